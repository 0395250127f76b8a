# httpd -X: the parent is the only child, as under a debugger. Requests wait, members are checked, the manager changes them, tunnels
# talk, and a stop is one, from a terminal too.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Manager;
use RevProxy::Members;
use RevProxy::WebSocket;

plan skip_all => 'tests of this module' if front() ne 'revproxy';

my $SLOW = $RevProxy::SLOW;
my %m    = RevProxy::Members->make(qw(a b));
my $app  = RevProxy::Backend->echo(name => 'app');
my $ws   = RevProxy::WebSocket->echo(name => 'ws');
my $t    = RevProxy->new(
    backends => { %m, app => $app, ws => $ws }, modules => [qw(slotmem_shm watchdog status)], one_process => 1, threads => 4, config => manager_config() . <<'EOT');
RevProxyLint -manager
<Proxy balancer://k>
    BalancerMember %%URL:a%% route=a hcmethod=TCP hcinterval=100ms
    BalancerMember %%URL:b%% route=b hcmethod=TCP hcinterval=100ms
</Proxy>
ProxyPass /k/   balancer://k/
ProxyPass /app/ %%URL:app%%/
ProxyPass /ws/  ws://127.0.0.1:%%PORT:ws%%/
EOT

sub status_of { my ($key) = @_; return $t->get('/status?auto')->body =~ /^$key: (\d+)/m ? $1 : 'none' }

is status_of('RevProxyChild'), $t->pid, 'one process';
is who($t, '/k/x', 2), 'a b', 'it serves';

if (mpm eq 'event') {
    my @waiting = map { my $k = $t->connect; $k->send_request(path => '/app/x?reply-delay=1'); $k } 1 .. 8;
    ok $app->wait_requests(8), 'requests wait, more than threads are there';
    is join(' ', map { $_->read_response->status } @waiting), join(' ', (200) x 8), '... and are answered';
}

is change($t, b => 'k', w => $m{a}->url, w_lf => 5)->status, 200, 'the manager';
is members($t, 'k')->{ $m{a}->url }{Factor}, '5.00', '... changes a member';
$m{b}->stop;
$t->claim(qr/RP0117 .*\Q@{[ $m{b}->url ]}/, 'a member that is gone fails its checks');
is who($t, '/k/x', 2), 'a a', '... and is left out';

for my $stop ([ TERM => 'kill' ], [ INT => 'Ctrl-C' ]) {
    my ($signal, $what) = @$stop;
    my $open = RevProxy::WebSocket->open($t, '/ws/x');
    $open->text('hello');
    is $open->said(5 * $SLOW), 'hello', 'a tunnel talks';
    sleep 0.2;
    my $since = time;
    kill $signal => $t->pid;
    waitpid $t->pid, 0;
    is $?, 0, "$what: httpd ends in order";
    cmp_ok time - $since, '<', 5 * $SLOW, '... at once';
    my $bye = $open->read(3 * $SLOW);
    is $bye && $bye->{code}, 1001, '... and tells those in a tunnel' if mpm eq 'event';
    $t->forget_process;
    unlink $t->dir . '/run/httpd.pid';    # it leaves that, whatever modules it has
    $t->start;
}

$t->allow(qr/RP0117/);
$t->finish;
done_testing;
