# lbmethod=leasttime: one member of ten that takes ten times as long does not show in what 99 of 100 clients see, as it
# does with byrequests.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time);
use RevProxy;
use RevProxy::Load;
use RevProxy::Members;

plan skip_all => 'mod_proxy has no such method' if front eq 'mod_proxy';

my ($fast, $slow) = (40, 400);    # milliseconds: what a busy machine adds is little beside them
my ($rate, $seconds) = (120, 5);  # requests a second, to each balancer
my %m = map { ("f$_" => RevProxy::Load::Backend->new(ms => $fast)) } 0 .. 9;
$m{slow} = RevProxy::Load::Backend->new(ms => $slow);

sub members { return join '', map {"    BalancerMember %%URL:$_%%\n"} @_ }
my @one_slow = ((map {"f$_"} 0 .. 3), 'slow', map {"f$_"} 4 .. 8);
my %pool = (fast => [ leasttime => map {"f$_"} 0 .. 9 ], slow => [ leasttime => @one_slow ], contrast => [ byrequests => @one_slow ]);
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1,
    process => mpm eq 'prefork'
    ? "ServerLimit 80\nStartServers 80\nMinSpareServers 8\nMaxSpareServers 80\nMaxRequestWorkers 80"
    : "ServerLimit 3\nStartServers 3\nThreadsPerChild 32\nMaxRequestWorkers 96\nMinSpareThreads 1\nMaxSpareThreads 96",
    config => join('', map {
        my ($method, @names) = @{ $pool{$_} };
        "<Proxy balancer://$_>\n" . members(@names) . "    ProxySet lbmethod=$method\n</Proxy>\nProxyPass /$_/ balancer://$_/\n"
    } sort keys %pool) . <<'EOT');
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

# All three at the same time, so that what else the machine does is the same for each.
my @jobs = map { my $n = $_; map { { at => $n / $rate, path => "/$_/$n", keep => 1, pool => $_ } } sort keys %pool } 1 .. $rate * $seconds;
my @results = RevProxy::Load::run(port => $t->port, kept => 64, jobs => [@jobs]);
is RevProxy::Load::tally(@results), @jobs . ' ok 200', 'all are answered';
my %times;
push @{ $times{ $jobs[$_]{pool} } }, $results[$_]{seconds} * 1000 for 0 .. $#jobs;
my %p99 = map { ($_ => RevProxy::Load::percentile(99, @{ $times{$_} })) } keys %times;
diag join ', ', 'p99 in ms', map { sprintf '%s %.0f', $_, $p99{$_} } sort keys %p99;
cmp_ok $p99{slow}, '<=', 1.5 * $p99{fast}, 'leasttime: p99 with one slow member is within 1.5 of that of the fast ones';
cmp_ok $p99{contrast}, '>=', $slow, '... and byrequests shows what that is worth';

my $elected = figures($t, 'slow')->{ $m{slow}->url }{elected};
cmp_ok $elected, '>', 0, "the slow one was asked ($elected times)";
$t->allow(qr/AH00287|AH00484|AH03490/);
$t->finish;
done_testing;
