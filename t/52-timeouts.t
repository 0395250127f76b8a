# Every clock on the way to a backend: which directive sets it, when it rings, and what the client gets.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Socket::INET;
use Socket;
use Time::HiRes qw(time sleep);
use RevProxy;

my $SLOW = $RevProxy::SLOW;
my $UNIT = $SLOW > 1 ? 3 : 1;    # seconds that are one second of this file: where all is slow a pause is never exact

# What the path says, for the requests of this file.
my $app = RevProxy::Backend->new(name => 'app', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request(body => 0)) {
        my ($how) = $r->target =~ m{(\w+)\z};
        if ($how eq 'silent') { $c->pause(4 * $UNIT); return }
        if ($how eq 'unread') { $c->pause(4 * $UNIT); return }
        if ($how eq 'expect') { $c->pause(4 * $UNIT); return }
        if ($how eq 'expect100') {
            $c->note('expects ' . ($r->header('Expect') // 'nothing'));
            $c->send("HTTP/1.1 100 Continue\r\n\r\n");
            $c->read_body($r, continue => 0);
            $c->respond(200, [], 'got ' . $r->body_length);
            next;
        }
        $c->read_body($r, continue => 0);
        if ($how eq 'headonly') { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"); $c->pause(4 * $UNIT); return }
        if ($how eq 'three') { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"); $c->pause(4 * $UNIT); return }
        if ($how eq 'chunked') { $c->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"); $c->pause(4 * $UNIT); return }
        if ($how eq 'tricklehead') { $c->pause(0.3 * $UNIT)->send($_) for "HTTP/1.1 2", "00 OK\r\nConte", "nt-Length: 2\r\n\r\n", 'ok'; next }
        if ($how =~ /\Adrip(\w+)/) {
            # a byte now and then, for four units: never silent, and never at an end
            $c->send({
                head    => "HTTP/1.1 200 OK\r\nX-A: ",
                line    => 'HTTP/1.1 200 ',
                size    => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3;a=",
                trailer => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: ",
            }->{$1});
            for (1 .. 20) { $c->pause(0.2 * $UNIT)->send('x') or last }
            return;
        }
        if ($how eq 'tricklebody') {
            $c->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
            $c->pause(0.3 * $UNIT)->send($_) for qw(a b c d);
            next;
        }
        if ($how eq 'slow') { $c->pause(1.4 * $UNIT); $c->respond(200, [], 'slow'); next }
        $c->respond(200, [], 'expect ' . ($r->header('Expect') // 'nothing'));
    }
});
# The kernel takes one or two connections for it and then none.
my $full = RevProxy::Backend->new(name => 'full', backlog => 1, handler => sub { });
$full->pause_accept;
my @fill;
for (1 .. 8) {
    socket my $s, AF_INET, SOCK_STREAM, 0 or die $!;
    IO::Handle::blocking($s, 0);
    connect $s, pack_sockaddr_in($full->port, INADDR_LOOPBACK);
    push @fill, $s;
}

my $config = <<'EOT';
    ProxyPass /t1/    %%URL:app%%/t1/ timeout=1
    ProxyPass /none/  %%URL:app%%/none/
    ProxyPass /ping/  %%URL:app%%/ping/ ping=400ms timeout=3
    ProxyPass /pong/  %%URL:app%%/pong/ ping=4
    ProxyPass /full/connect/ %%URL:full%%/1/ connectiontimeout=300ms timeout=4
    ProxyPass /full/timeout/ %%URL:full%%/2/ timeout=1
    Listen 127.0.0.1:%%PORT:directive%%
    <VirtualHost 127.0.0.1:%%PORT:directive%%>
        ProxyTimeout 1
        ProxyPass /d/     %%URL:app%%/d/
        ProxyPass /longer/ %%URL:app%%/dl/ timeout=3
        ProxyPass /full/  %%URL:full%%/3/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:plain%%
    <VirtualHost 127.0.0.1:%%PORT:plain%%>
        Timeout 1
        ProxyPass /p/     %%URL:app%%/p/
        ProxyPass /vping/ %%URL:app%%/pp/ ping=400ms
    </VirtualHost>
EOT
$config =~ s/((?:timeout|ping)=|Timeout )(\d+)/$1 . $2 * $UNIT/gie;
my $t = RevProxy->new(
    backends => { app => $app, full => $full },
    threads  => 32,
    loglevel => 'core:error',
    config   => $config,
);

my $LATE = ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)');
my @rows = (
    # name, request, status, units of time
    [ 'timeout=: no answer', { path => '/t1/silent' }, $LATE, 1 ],
    [ 'timeout=: no answer to a POST', { path => '/t1/silent', body => 'x' }, $LATE, 1 ],
    [ 'timeout=: silent after the head', { path => '/t1/headonly' }, 200, 1, truncated => 0 ],
    [ 'timeout=: silent after three bytes', { path => '/t1/three' }, 200, 1, truncated => 3 ],
    [ 'timeout=: silent in a chunked body', { path => '/t1/chunked' }, 200, 1, truncated => 3 ],
    [ 'timeout=: a head in slow pieces is in time', { path => '/t1/tricklehead' }, 200, 1.2 ],
    [ 'timeout=: and so is a body', { path => '/t1/tricklebody' }, 200, 1.2 ],
    (front() eq 'mod_proxy' ? () : (
        [ 'timeout=: a head that drips', { path => '/t1/driphead' }, 504, 1 ],
        [ 'timeout=: a status line that drips', { path => '/t1/dripline' }, 504, 1 ],
        [ 'timeout=: the size of a chunk that drips', { path => '/t1/dripsize' }, 200, 1, truncated => 3 ],
        [ 'timeout=: trailers that drip', { path => '/t1/driptrailer' }, 200, 1, truncated => 3 ],
    )),
    [ 'timeout=: the request is not read', { path => '/t1/unread', body => 'x' x 12_000_000 }, 504, 1 ],
    [ 'no timeout=: harness Timeout of 20 s', { path => '/none/slow' }, 200, 1.4 ],
    [ 'ProxyTimeout', { path => '/d/silent', to => 'directive' }, $LATE, 1 ],
    [ 'timeout= comes before ProxyTimeout', { path => '/longer/slow', to => 'directive' }, 200, 1.4 ],
    [ 'Timeout', { path => '/p/silent', to => 'plain' }, $LATE, 1 ],
    [ 'connectiontimeout=', { path => '/full/connect/x' }, 503, 0.3 ],
    [ 'connecting, timeout=', { path => '/full/timeout/x' }, 503, 1 ],
    [ 'connecting, ProxyTimeout', { path => '/full/x', to => 'directive' }, 503, 1 ],
    [ 'ping=: no 100', { path => '/ping/expect', body => 'abc' }, 503, 0.4 ],
    [ 'ping=: no 100, chunked', { path => '/ping/expect', chunks => [ 'x' x 20000 ] }, 503, 0.4 ],
    [ 'ping= comes before Timeout', { path => '/vping/expect', body => 'abc', to => 'plain' }, 503, 0.4 ],
    [ 'ping=: answered', { path => '/pong/expect100', body => 'abc' }, 200, 0 ],
    [ 'ping=: no body, no Expect', { path => '/ping/x' }, 200, 0, body => 'expect nothing' ],
    [ 'ping=: an empty body, no Expect', { path => '/ping/x', body => '' }, 200, 0, body => 'expect nothing' ],
    [ 'client expects 100, backend is silent', { path => '/t1/expect', body => 'abc', headers => [ Expect => '100-continue' ] }, 503, 1 ],
);

# All at once: each has its own connections.
my @under_way;
for my $row (@rows) {
    my %request = %{ $row->[1] };
    my $k = $t->connect(exists $request{to} ? (to => delete $request{to}) : ());
    if ($request{path} =~ /unread/) {
        # Not all of it can be written.
        my $bytes = RevProxy::Client::format_request(port => $t->port, %request, method => 'POST');
        $k->{since} = time;
        my $pid = fork // die $!;
        if (!$pid) { $k->send($bytes, 5); POSIX::_exit(0) }
        push @under_way, [ $k, $pid ];
        next;
    }
    $k->send_request(%request);
    push @under_way, [ $k ];
}
for my $row (@rows) {
    my ($name, $request, $status, $seconds, %more) = @$row;
    my ($k, $pid) = @{ shift @under_way };
    # Time on the server, as the client may have read others meanwhile.
    my $r = $k->read_response;
    is $r->status, $status, $name;
    $row->[5] = $r;
    is $r->truncated . ',' . $r->body_length, "1,$more{truncated}", "$name: the loss is visible" if exists $more{truncated};
    is $r->body, $more{body}, "$name: body" if defined $more{body};
    if ($pid) { kill KILL => $pid; waitpid $pid, 0 }
    $k->close;
}

# How long each took, by the access log.
my %took;
for ($t->access_log(scalar @rows)) {
    my ($path, $us) = m{"\w+ (\S+) [^"]*" \d+ \S+ (\d+)\z} or next;
    push @{ $took{$path} }, $us / 1e6;
}
for my $row (@rows) {
    my ($name, $request, undef, $units) = @$row;
    my $seconds = $units * $UNIT;
    my $times = join ' ', map { sprintf '%.2f', $_ } @{ $took{ $request->{path} } || [] };
    my @wrong = grep { $_ < $seconds - 0.05 || $_ > $seconds + 1.5 * $SLOW } @{ $took{ $request->{path} } || [-1] };
    ok !@wrong, "$name: $seconds s ($times)";
}
is(($app->notes)[0], 'expects ' . '100-Continue', 'ping= adds the Expect');

$t->claim_fault('RP0302', route => $_, phase => 'waiting for the response') for qw(/t1/ /d/ /p/);
$t->claim_fault('RP0302', route => '/t1/', phase => 'reading the response head', count => 2) if front() ne 'mod_proxy';
$t->claim_fault('RP0402', route => '/t1/', phase => 'relaying the response body', count => front() eq 'mod_proxy' ? 3 : 5);
$t->claim_fault('RP0201', route => '/t1/', phase => 'sending the request', count => 1);
$t->claim_fault('RP0103', route => $_, phase => 'connecting', count => 1) for qw(/full/connect/ /full/timeout/ /full/);
$t->claim_fault('RP0206', route => '/ping/', phase => 'waiting for 100 Continue', count => 2);
$t->claim_fault('RP0206', route => $_, phase => 'waiting for 100 Continue', count => 1) for qw(/vping/ /t1/);

$t->finish;
done_testing;
