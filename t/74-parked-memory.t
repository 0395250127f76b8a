# A request that waits costs little memory and no thread.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy holds a thread for each'        if front() ne 'revproxy';
plan skip_all => 'only the event MPM parks'                 if mpm() ne 'event';
plan skip_all => 'a sanitizer has memory of its own for all' if $ENV{RP_SAN};

my $N  = 1500;
my $KB = 26;    # with the modules that tests load; 20.5 in the bench's server, t/bench/isolation --rows hold

plan skip_all => 'so many open files are not allowed here' if !RevProxy::Load::raise_open_files(5 * $N);

my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, modules => ['status'], threads => 16, config => <<"EOT");
    AsyncRequestWorkerFactor 1000
    $RevProxy::Load::STATUS
    ProxyPass /app/ %%URL:backd%%/
EOT

# What every thread needs once does not count.
RevProxy::Load::run(port => $t->port, jobs => [ map { { path => '/app/?ms=300' } } 1 .. 64 ]);
my $before = $t->rss_kb;
my $run = RevProxy::Load::start(port => $t->port,
    jobs => [ map { { at => $_ / $N, path => "/app/?ms=4000&mark=m$_&size=50", mark => "m$_", size => 50 } } 1 .. $N ]);
my $now  = RevProxy::Load::wait_status($t, sub { ($_->{RevProxyParked} || 0) >= $N }, 10);
my $each = ($t->rss_kb - $before) / $N;
is $now->{RevProxyParked}, $N, "$N requests wait";
cmp_ok $now->{BusyWorkers}, '<=', 2, 'and hold no thread';
cmp_ok $each, '<', $KB, sprintf 'each takes %.1f KB', $each;
my $right = grep { $_->{outcome} eq 'ok' && $_->{status} == 200 } RevProxy::Load::collect($run);
is $right, $N, 'and is answered';
# A child that is stopped while threads close connections may crash in the MPM (its close_worker_sockets uses what they free).
RevProxy::Load::wait_status($t, sub { ($_->{ConnsTotal} || 0) <= 1 }, 10);

$t->allow(qr/AH00484/);    # where threads are slow to end
$t->finish;
done_testing;
