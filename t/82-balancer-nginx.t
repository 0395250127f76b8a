# nginx as members: shares by weight, and no GET that fails while one after the other is killed, frozen, reloaded and
# ended in order, and comes back.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Load;
use RevProxy::Members;
use RevProxy::Nginx;

my $why = RevProxy::Nginx::why_not();
plan skip_all => $why if $why;

my %m = map { ($_ => RevProxy::Nginx->new(name => $_, locations => "location / { return 200 \"$_ \$request_uri\\n\"; }")) } qw(a b c);
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1, timeout => 30,
    process => mpm() eq 'prefork'
    ? "ServerLimit 64\nStartServers 8\nMaxSpareServers 64\nMaxRequestWorkers 64"
    : "ServerLimit 16\nStartServers 3\nThreadsPerChild 16\nMaxRequestWorkers 128\nMinSpareThreads 16\nMaxSpareThreads 128",
    config => <<'EOT');
<Proxy balancer://b>
    BalancerMember %%URL:a%% loadfactor=2 timeout=1
    BalancerMember %%URL:b%% timeout=1
    BalancerMember %%URL:c%% timeout=1
</Proxy>
ProxyPass /b/ balancer://b/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

my (%n, $k);
$n{ $_->header('X-Member') }++ for map { ($k //= $t->connect)->request(path => "/b/$_") } 1 .. 200;
is_deeply \%n, { a => 100, b => 50, c => 50 }, 'shares by weight';

only_ours {
    my $seconds = 8;
    my $run = RevProxy::Load::start(port => $t->port, giveup => 20, jobs => [ map { { at => $_ / 60, path => "/b/$_" } } 1 .. 60 * $seconds ]);
    sleep 0.5;
    $m{a}->kill;
    sleep 1;
    $m{a}->start;
    $m{b}->signal('STOP');
    sleep 1.5;
    $m{b}->signal('CONT');
    $m{c}->reload;
    sleep 0.5;
    $m{c}->quit;
    sleep 0.5;
    $m{a}->reload;
    $m{c}->start;
    my @results = RevProxy::Load::collect($run);
    is RevProxy::Load::tally(@results), 60 * $seconds . ' ok 200', 'no GET failed';
    my $until = time + 15;
    my $status;
    do { sleep 0.1; $t->get('/b/x'); $status = join ' ', map { $_->{status} } values %{ figures($t, 'b') } }
        while $status ne 'Init Ok Init Ok Init Ok' && time < $until;
    is $status, 'Init Ok Init Ok Init Ok', 'all are back';
    %n = ();
    $n{ $_->header('X-Member') }++ for map { $t->get("/b/$_") } 1 .. 40;
    is scalar keys %n, 3, '... and serve' or diag explain \%n;
} 'members are out for a minute, and timeouts are answered with 502';
$t->allow(qr/RP0[1-4]\d\d/, qr/AH00287|AH00484|AH03490/);
$t->finish;
done_testing;
