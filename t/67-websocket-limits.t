# How long a tunnel lasts, how many there are, back-pressure; idle ones hold no thread.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'the directives are ours' if front() eq 'mod_proxy';

my $WS   = 'RevProxy::WebSocket';
my $SLOW = $RevProxy::SLOW;
my $app  = $WS->echo(name => 'app');
# Sends without end, and says how much was taken; or takes nothing.
my $flood = RevProxy::Backend->new(name => 'flood', handler => sub {
    my ($c) = @_;
    my $r  = $c->read_request or return;
    my $ws = $WS->accept($c, $r);
    if ($r->target =~ /deaf/) { $c->wait_signal('listen', 20); my $n = 0; $c->read_to_end(time + 20, sub { $n += length $_[0] }); $c->note("took $n"); return }
    my ($sent, $piece) = (0, 'x' x 65536);
    while ($sent < 64 << 20 && $c->send($piece, 1)) { $sent += length $piece }
    $c->note("sent $sent");
    $c->pause(3) if $sent < 64 << 20;
});
my $threads = 8;
my $t = RevProxy->new(
    backends => { app => $app, flood => $flood },
    modules  => [qw(status slotmem_shm)],
    threads  => $threads,
    timeout  => 2,
    config   => <<'EOT');
    <IfModule mpm_event_module>
        AsyncRequestWorkerFactor 40
    </IfModule>
    ProxyPass /idle/   http://127.0.0.1:%%PORT:app%%/ timeout=1
    ProxyPass /long/   http://127.0.0.1:%%PORT:app%%/ timeout=60
    ProxyPass /flood/  http://127.0.0.1:%%PORT:flood%%/ timeout=60
    ProxyPass /few/    http://127.0.0.1:%%PORT:app%%/few/ tunnelmax=2
    <Proxy balancer://pool>
        BalancerMember http://127.0.0.1:%%PORT:app%%/m1 tunnelmax=1
        BalancerMember ws://127.0.0.1:%%PORT:app%%/m2 tunnelmax=1
    </Proxy>
    ProxyPass /pool/   balancer://pool/
    <Location /apart/>
        ProxyPass http://127.0.0.1:%%PORT:app%%/ timeout=60
        RevProxyTunnelIdle 700ms
    </Location>
    <Location /life/>
        ProxyPass http://127.0.0.1:%%PORT:app%%/ timeout=60
        RevProxyTunnelLifetime 1
    </Location>
    ProxyStatus On
    <Location /server-status>
        SetHandler server-status
    </Location>
EOT
sub status { my ($n) = $t->get('/server-status?auto')->body =~ /^RevProxy$_[0]: (\d+)/m; return $n }
sub soon { my ($code, $seconds) = @_; my $until = time + ($seconds || 5) * $SLOW; while (time < $until) { return 1 if $code->(); sleep 0.02 } return 0 }

sub lasted {
    my ($path, $talk) = @_;
    my $ws    = $WS->open($t, $path);
    my $since = time;
    my $bye;
    while ($talk && time - $since < 4 * $SLOW) { $ws->text('x'); $bye = $ws->read(1); last if !$bye || $bye->{opcode} == 8; sleep 0.1 }
    $bye = $ws->read(10) if !$talk;
    ok $ws->http->peer_closed(3), "$path: the connection is closed";
    return (time - $since, $bye && $bye->{code});
}

# --- time ---

{
    my ($seconds, $code) = lasted('/idle/x');
    cmp_ok $seconds, '>', 1.8, 'idle limit: the larger of Timeout (2) and timeout=1';
    cmp_ok $seconds, '<', 4 * $SLOW, 'and no more';
    is $code, 1001, 'the client gets close code 1001';
    $t->claim_fault('RP0701', route => '/idle/', phase => 'tunnelling', count => 1);
    ($seconds, $code) = lasted('/apart/x');
    cmp_ok $seconds, '<', 2 * $SLOW, 'RevProxyTunnelIdle sets it apart';
    is $code, 1001, 'the same code';
    ($seconds, $code) = lasted('/life/x', 1);
    cmp_ok $seconds, '<', 2.5 * $SLOW, 'RevProxyTunnelLifetime ends a busy one';
    is $code, 1001, 'with the same code';
    $t->claim_fault('RP0702', route => '/life/', phase => 'tunnelling', count => 1);
    my $ws = $WS->open($t, '/long/x');
    sleep 3;    # longer than Timeout: the MPM must not close it
    $ws->text('still here');
    is $ws->said(3), 'still here', 'a tunnel may be silent for longer than Timeout';
    # In the middle of a frame no other may be put.
    my $half = $WS->open($t, '/apart/x');
    $half->frame(2, 'y' x 1000, fin => 0);
    $half->said(3);
    $half->http->send(substr RevProxy::WebSocket::format_frame(1, 'x' x 100, mask => 1), 0, 50);
    my $end = $half->read(5);
    is $end->{code}, 1001, 'between fragments it may';
    ok $app->wait_for(sub { $app->open_connections <= 1 + 2 * ($t->{mpm} eq 'prefork') }, 5), 'the backends\' connections are closed, too';
}

# --- number ---

{
    my @ws = map { $WS->open($t, '/few/x') } 1 .. 2;
    {
        my ($k, $r) = $WS->ask($t, '/few/x', read_body => 1);
        is $r->status, 503, 'tunnelmax: the third is refused';
        like $r->header('Retry-After'), qr/^\d+\z/, 'with Retry-After';
        $t->claim_fault('RP0708', route => '/few/', phase => 'choosing a backend', count => 1);
        is $t->get('/few/x')->status, 200, 'other requests are not concerned';
        my $other = eval { $WS->open($t, '/long/x') };
        ok $other, 'nor other routes to the same backend';
        (pop @ws)->http->close;
    }
    ok soon(sub { eval { $WS->open($t, '/few/x') } }), 'a place that was left can be taken';
}

{
    my @ws = map { $WS->open($t, '/pool/x') } 1 .. 2;
    ok $_, 'a pool: a member with room takes it' for @ws;
    my ($k, $r) = $WS->ask($t, '/pool/x', read_body => 1);
    is $r->status, 503, 'until none has';
    like $r->header('Retry-After'), qr/^\d+\z/, 'with Retry-After';
    is $t->get('/pool/x')->status, 200, 'and no member is in error for that';
    $t->allow(qr/RP0708 .*route \/pool\//);
}

# --- back-pressure ---

{
    my ($before) = $t->rss_kb;
    my $ws = $WS->open($t, '/flood/x', rcvbuf => 16384);
    ok $flood->wait_note(qr/^sent/), 'a client that does not read';
    my ($note) = grep {/^sent/} $flood->notes;
    my ($sent) = $note =~ /(\d+)/;
    cmp_ok $sent, '<', 20 << 20, "stops the backend after what the kernel buffers hold ($sent)";
    cmp_ok $t->rss_kb - $before, '<', 4000 * $SLOW, 'and costs no memory here';
    my $n = 0;
    $ws->http->read_to_end(time + 10, sub { $n += length $_[0] });
    cmp_ok $n, '>=', $sent, 'all of it comes when it reads';
    my $up = $WS->open($t, '/flood/deaf');
    my ($put, $piece) = (0, 'y' x 65536);
    while ($put < 64 << 20 && $up->http->send($piece, 1)) { $put += 65536 }
    cmp_ok $put, '<', 56 << 20, "a backend that does not read stops the client ($put)";
    cmp_ok $t->rss_kb - $before, '<', 4000 * $SLOW, 'and costs no memory either';
    $flood->signal('listen');
    $up->http->half_close;
    ok $flood->wait_note(qr/^took \d/), 'all of it comes when it reads';
    my ($took) = map {/^took (\d+)/} $flood->notes;
    cmp_ok $took, '>=', $put, "($took)";
}

# --- many ---

SKIP: {
    skip mpm . ' has a thread for each tunnel', 5 if mpm ne 'event';
    my $n   = 60;
    my @ws  = map { $WS->open($t, '/long/x') } 1 .. $n;
    ok soon(sub { status('Parked') >= $n }), "$n idle tunnels on $threads threads are parked";
    cmp_ok status('Tunnels'), '>=', $n, 'mod_status counts them';
    for my $i (1 .. $n) { $ws[ $i - 1 ]->text("number $i") }
    is scalar(grep { ($ws[ $_ - 1 ]->said(5) // '') eq "number $_" } 1 .. $n), $n, 'all of them echo';
    is $t->get('/long/x')->status, 200, 'other requests are served beside them';
    for my $ws (@ws) { $ws->close(1000); $ws->http->peer_closed(3); $ws->http->close }
    ok soon(sub { status('Tunnels') <= 2 }), 'all places are left in the end' or diag status('Tunnels');
}

$t->allow(qr/RP070[1-6]/);
$t->finish;
done_testing;
