# Open WebSockets between plain sockets are served by a thread of their own: they talk on while every thread of
# the MPM is busy, and what ends them ends them as ever.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'a tunnel of mod_proxy holds its thread' if front() ne 'revproxy';
plan skip_all => 'only the event MPM parks tunnels'       if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $WS      = 'RevProxy::WebSocket';
my $THREADS = 3;
my $app     = $WS->echo(name => 'app');
my $silent  = RevProxy::Backend->new(name => 'silent', handler => sub {
    my ($c) = @_;
    $c->read_request or return;
    $c->peer_closed(20);
});
my $t = RevProxy->new(
    backends => { app => $app, silent => $silent },
    threads  => $THREADS,
    config   => <<'EOT');
    AsyncRequestWorkerFactor 100
    LogFormat "%U %>s %{down}^rp" ends
    CustomLog %%DIR%%/logs/ends.log ends
    ProxyPass /ws/   http://127.0.0.1:%%PORT:app%%/
    ProxyPass /held/ http://127.0.0.1:%%PORT:silent%%/
    <Location /held/>
        RevProxyPark Off
    </Location>
    <Location /ws/short>
        RevProxyTunnelIdle 500ms
    </Location>
EOT

my @open = map { $WS->open($t, "/ws/$_") } 1 .. 12;
for my $i (0 .. $#open) {
    $open[$i]->text("hello $i");
    is $open[$i]->said(5 * $SLOW), "hello $i", "socket $i talks";
}

# Parked by now: their first message went by a thread of the MPM, perhaps.
my @held = map { my $k = $t->connect; $k->send_request(path => '/held/x'); $k } 1 .. $THREADS;
$silent->wait_requests($THREADS);
sleep 0.2;
my $told = 0;
for my $turn (1 .. 5) {
    $_->text("turn $turn") for @open;
    $told += $_->said(5 * $SLOW) eq "turn $turn" for @open;
}
is $told, 5 * @open, 'all threads are busy: the sockets talk on';
$open[0]->text('!size 2000000');
is length $open[0]->said(20), 2_000_000, 'and carry much';
$_->close for @held;
$t->allow(qr/RP0501|AH00484/);

# Memory that is taken from the system for a message and given back shows in page faults.
if (!$ENV{RP_SAN}) {
    my $faults = sub { my ($pid) = $t->children; return (split ' ', RevProxy::slurp("/proc/$pid/stat") =~ s/^.*\) //r)[7] };
    my $before = $faults->();
    for my $turn (1 .. 50) {
        $_->text("turn $turn") for @open;
        $_->said(5 * $SLOW) for @open;
    }
    my $each = ($faults->() - $before) / (50 * @open);
    cmp_ok $each, '<', 0.5, sprintf 'a message costs no memory of its own (%.2f page faults)', $each;
}

# --- what ends them ---

my $short = $WS->open($t, '/ws/short');
for (1 .. 4) {
    sleep 0.3;
    $short->text('still here');
    is $short->said(5 * $SLOW), 'still here', 'each message begins the idle time anew';
}
my $since = time;
$short->http->read_to_end(time + 10 * $SLOW, sub { });
cmp_ok time - $since, '>', 0.3,         'an idle one is closed';
cmp_ok time - $since, '<', 1.5 * $SLOW, 'in time';
$t->claim_fault('RP0701', route => '/ws/', phase => 'tunnelling', count => 1);

$open[1]->http->close;
$open[2]->http->reset;
$t->allow(qr/RP0705/);
# At a stop, the MPM's listener that waits for an idle thread (here are three) is not woken, and holds the child for seconds.
sleep 0.5;
$t->finish;
done_testing;
