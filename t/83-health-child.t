# The child that makes the health checks is killed: another one goes on, with the counts as they were.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy logs its checks otherwise' if front() eq 'mod_proxy';
my $app = RevProxy::Backend->new(name => 'app', answer => sub { $_[0]->respond(503, [], 'x') });
my $mpm = mpm();
my $t = RevProxy->new(backends => { app => $app }, modules => ['slotmem_shm'], children_may_change => 1, loglevel => 'revproxy:debug',
    process => $mpm eq 'prefork' ? "StartServers 3\nMinSpareServers 3\nMaxRequestWorkers 3\nServerLimit 3"
        : "StartServers 3\nServerLimit 3\nThreadsPerChild 4\nMaxRequestWorkers 12\nMinSpareThreads 12\nMaxSpareThreads 12",
    config => <<'EOT');
<Proxy balancer://b>
    BalancerMember %%URL:app%% hcmethod=HEAD hcinterval=100ms hcfails=1000000
</Proxy>
ProxyPass / balancer://b/
EOT

sub checkers {
    my %pid;
    $pid{$_}++ for map { /\[pid (\d+).*health check of/ ? $1 : () } $t->error_log;
    return \%pid;
}
$t->wait_log(qr/health check of/, 5 * $RevProxy::SLOW);
sleep 1;
my ($checker, @others) = keys %{ checkers() };
ok $checker && !@others, 'one child checks';
kill KILL => $checker;
my $until = time + 16 * $RevProxy::SLOW;    # mod_watchdog waits ten seconds
sleep 0.1 while keys %{ checkers() } < 2 && time < $until;
is scalar(keys %{ checkers() }), 2, 'another one goes on when it is killed';
$t->allow(qr/AH00052.*exit signal Killed/);
$t->finish;
done_testing;
