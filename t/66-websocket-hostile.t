# Upgrades that must not become tunnels (CVE-2019-0197, CVE-2019-17567, CVE-2025-49812; RFC 9110 7.8): answers that nobody asked for,
# protocols that never pass, requests that two servers may read differently, bytes behind a failed handshake.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'mod_proxy differs here on purpose' if front() eq 'mod_proxy';

my $WS = 'RevProxy::WebSocket';

# Answers as the query says, whatever it is asked.
my $evil = RevProxy::Backend->new(name => 'evil', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request) {
        my ($what) = $r->target =~ /\?(\w+)/;
        my %head = (
            ok        => "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
            foo       => "101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade",
            h2c       => "101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade",
            tls       => "101 Switching Protocols\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade",
            list      => "101 Switching Protocols\r\nUpgrade: websocket, foo\r\nConnection: Upgrade",
            twice     => "101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: foo\r\nConnection: Upgrade",
            bare      => "101 Switching Protocols\r\nConnection: Upgrade",
            unnamed   => "101 Switching Protocols\r\nUpgrade: websocket",
            framed    => "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            two       => "200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2",
            denied    => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2",
            required  => "426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2",
            foreign   => "426 Upgrade Required\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\nContent-Length: 2",
            silent    => undef,
        );
        if ($what eq 'early') { $c->send("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"); $what = 'ok' }
        return if !defined $head{$what};
        $c->send("HTTP/1.1 $head{$what}\r\n\r\n");
        if ($head{$what} =~ /^101/) { $c->note('tunnel ' . $c->read_raw(0.3)); return }
        $c->send('no') if $r->method ne 'HEAD';
    }
});
my $t = RevProxy->new(
    backends => { evil => $evil },
    modules  => ['env'],
    config   => <<'EOT');
    ProxyPass /px/admin http://127.0.0.1:%%PORT:evil%%/px/admin
    ProxyPass /ws/  ws://127.0.0.1:%%PORT:evil%%/
    ProxyPass /h/   http://127.0.0.1:%%PORT:evil%%/
    ProxyPass /any/ http://127.0.0.1:%%PORT:evil%%/ upgrade=ANY
    ProxyPass /foo/ http://127.0.0.1:%%PORT:evil%%/ upgrade=foo,bar/2
    <Location /px/admin>
        Require all denied
    </Location>
    <Location /strict/>
        ProxyWebsocketFallbackToProxyHttp Off
        ProxyPass ws://127.0.0.1:%%PORT:evil%%/
    </Location>
    <Location /h10/>
        SetEnv force-proxy-request-1.0 1
        ProxyPass http://127.0.0.1:%%PORT:evil%%/
    </Location>
EOT

$t->allow(qr{AH01630.*/px/admin|RP0308});
my $SECOND = "GET /px/admin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

sub seen { my @all = $evil->requests; return $all[-1] }
sub asked { return join '|', map { seen()->header($_) // '-' } qw(Connection Upgrade) }
sub tunnels { return scalar grep {/^tunnel/} $evil->notes }

# --- what the backend answers ---

for my $case ([ 'ws', 'a ws route' ], [ 'h', 'an http route' ]) {
    my ($where, $name) = @$case;
    for my $bad (qw(foo h2c tls list twice bare unnamed)) {
        my ($k, $r) = $WS->ask($t, "/$where/x?$bad", first => $SECOND, read_body => 1);
        is $r->status, 502, "$name: 101 $bad is 502";
        unlike $r->body, qr/foo|h2c|TLS/, "$name: 101 $bad: the page does not say what came";
        my $next = $k->read_response;
        is $next->status, 403, "$name: 101 $bad: the request behind it is judged by us";
        ok $k->peer_closed(3), "$name: 101 $bad: no tunnel";
        $t->claim_fault('RP0308', route => "/$where/", phase => 'reading the response head');
    }
    for my $good ([ two => 200 ], [ denied => 401 ], [ required => 426 ], [ foreign => 426 ]) {
        my ($k, $r) = $WS->ask($t, "/$where/x?$good->[0]", first => $SECOND, read_body => 1);
        is $r->status . $r->body, "$good->[1]no", "$name: $good->[1] is an ordinary answer";
        is $k->read_response->status, 403, "$name: $good->[1]: the request behind it is judged by us";
    }
}
{
    my ($k, $r) = $WS->ask($t, '/h/x?required', headers => [ 'Sec-WebSocket-Version' => 7 ], read_body => 1);
    is $r->status, 426, 'wrong version: the backend says so';
    is $r->header('Sec-WebSocket-Version'), 13, 'which one it knows';
    is $r->header('Upgrade'), 'websocket', 'and Upgrade comes back with it';
    like $r->header('Connection'), qr/\bUpgrade\b/, 'named by Connection';
    ($k, $r) = $WS->ask($t, '/h/x?foreign', read_body => 1);
    is $r->header('Upgrade'), undef, 'but no protocol that never passes';
    ($k, $r) = $WS->ask($t, '/h/x?silent');
    is $r->status, 502, 'no answer at all';
    $t->claim(qr/RP0301/, 'and it is logged');
    ($k, $r) = $WS->ask($t, '/h/x?framed');
    is $r->status, 101, 'framing fields in a 101 mean nothing (RFC 9110 8.6)';
    is $r->header('Content-Length') // $r->header('Transfer-Encoding'), undef, 'and are dropped';
    ($k, $r) = $WS->ask($t, '/h/x?early');
    is join(' ', map { $_->status } @{ $r->interim }, $r), '103 101', 'interim responses come first';
    my $before = tunnels();
    my $plain = $t->get('/h/x?ok');
    is $plain->status, 502, '101 to a request that did not ask';
    $plain = $t->get('/ws/x?ok');
    is $plain->status, 502, 'nor on a ws route';
    $t->claim(qr/RP0308.*no upgrade was asked for/, 'the log says why');
}

# --- what the client asks ---

for my $case (
    [ 'h2c',                [ Upgrade => 'h2c', Connection => 'Upgrade, HTTP2-Settings', 'HTTP2-Settings' => 'AAMAAABkAAQAoAAAAAIAAAAA' ] ],
    [ 'H2C in a list',      [ Upgrade => 'H2C, h2', Connection => 'upgrade' ] ],
    [ 'TLS',                [ Upgrade => 'TLS/1.0, HTTP/1.1', Connection => 'Upgrade' ] ],
    [ 'HTTP/2.0',           [ Upgrade => 'HTTP/2.0', Connection => 'Upgrade' ] ],
    )
{
    my ($name, $headers) = @$case;
    for my $route (qw(h ws any foo)) {
        my ($k, $r) = $WS->ask($t, "/$route/x?two", headers => $headers, read_body => 1);
        is $r->status, 200, "$name, /$route/: an ordinary answer";
        is asked(), 'Keep-Alive|-', "$name, /$route/: is not passed on";
        is seen()->header('HTTP2-Settings'), undef, "$name, /$route/: nor its settings";
        # The second request of the connection.
        $k->send(RevProxy::WebSocket::handshake("/$route/x?h2c", headers => $headers));
        is $k->read_response->status, 502, "$name, /$route/: a 101 all the same is 502";
    }
}
for my $case (
    [ 'any/x?two', 'foo',            'Upgrade|foo',    'ANY' ],
    [ 'any/x?two', 'h2c, foo',       'Upgrade|foo',    'the first of a list that may pass' ],
    [ 'any/x?two', 'WebSocket',      'Upgrade|WebSocket', 'the client\'s spelling' ],
    [ 'foo/x?two', 'bar/2',          'Upgrade|bar/2',  'a named version' ],
    [ 'foo/x?two', 'bar',            'Keep-Alive|-',   'another version' ],
    [ 'foo/x?two', 'websocket',      'Keep-Alive|-',   'websocket, where other names are given' ],
    [ 'h/x?two',   'foo, websocket', 'Upgrade|websocket', 'websocket in a list' ],
    )
{
    my ($path, $upgrade, $expected, $name) = @$case;
    $WS->ask($t, "/$path", headers => [ Upgrade => $upgrade ]);
    is asked(), $expected, "$upgrade: $name";
}
{
    my ($k, $r) = $WS->ask($t, '/foo/x?ok', headers => [ Upgrade => 'bar/2' ]);
    is $r->status, 502, 'websocket for bar/2';
    ($k, $r) = $WS->ask($t, '/any/x?foo', headers => [ Upgrade => 'FOO' ]);
    is $r->status . $r->header('Upgrade'), '101FOO', 'foo for FOO is the same';
}

# A body: what one server takes for it, the next may take for the tunnel.
for my $case (
    [ 'Content-Length',       [ 'Content-Length' => 5 ],             "GET /", {} ],
    [ 'chunks',               [ 'Transfer-Encoding' => 'chunked' ],  "5\r\nGET /\r\n0\r\n\r\n", {} ],
    [ 'no chunks',            [ 'Transfer-Encoding' => 'chunked' ],  "0\r\n\r\n", {} ],
    [ 'both',                 [ 'Content-Length' => 5, 'Transfer-Encoding' => 'chunked' ], "0\r\n\r\n", {} ],
    [ 'POST',                 [ 'Content-Length' => 0 ],             '', { method => 'POST' } ],
    [ 'HEAD',                 [],                                    '', { method => 'HEAD' } ],
    [ 'Expect',               [ 'Content-Length' => 5, Expect => '100-continue' ], "GET /", {} ],
    )
{
    my ($name, $headers, $body, $opt) = @$case;
    my ($k, $r) = $WS->ask($t, '/h/x?two', headers => $headers, body => $body, %$opt);
    is $r->status, 200, "$name: an ordinary request";
    unlike asked(), qr/upgrade/i, "$name: without Upgrade";
    ($k, $r) = $WS->ask($t, '/h/x?ok', headers => $headers, body => $body, %$opt);
    is $r->status, 502, "$name: a 101 all the same is 502";
}
{
    my ($k, $r) = $WS->ask($t, '/h/x?two', headers => [ 'Content-Length' => 0 ]);
    is asked(), 'Upgrade|websocket', 'Content-Length: 0 is no body';
    ($k, $r) = $WS->ask($t, '/foo/x?two', method => 'POST', headers => [ Upgrade => 'foo', 'Content-Length' => 5 ], body => 'hello');
    is asked() . seen()->body, 'Upgrade|foohello', 'protocols that were named may come with a POST (Docker does)';
    ($k, $r) = $WS->ask($t, '/any/x?foo', method => 'POST', headers => [ Upgrade => 'foo', 'Content-Length' => 5 ], body => 'hello', first => 'tunnelled');
    is $r->status, 101, 'and become tunnels';
    ok $evil->wait_note(qr/^tunnel tunnelled\z/), 'whose first byte is the one behind the body';
}
for my $case ([ 'HTTP/1.0', '/h/x?two', { version => '1.0' } ], [ 'force-proxy-request-1.0', '/h10/x?two', {} ]) {
    my ($name, $path, $opt) = @$case;
    my ($k, $r) = $WS->ask($t, $path, %$opt);
    is $r->status, 200, "$name: an ordinary request";
    unlike asked(), qr/upgrade/i, "$name: without Upgrade";
}

# --- ProxyWebsocketFallbackToProxyHttp Off ---

{
    my $before = () = $evil->requests;
    my ($k, $r) = $WS->ask($t, '/strict/x?two', headers => [ Upgrade => 'foo' ], read_body => 1);
    is $r->status, 426, 'fallback off: another protocol is refused';
    is $r->header('Upgrade'), 'WebSocket', 'with the one that is wanted';
    like $r->header('Connection'), qr/Upgrade/, 'named by Connection';
    is scalar(my @now = $evil->requests), $before, 'and the backend hears nothing';
    is $t->get('/strict/x?two')->status, 404, 'a request without Upgrade is not for this route';
    ($k, $r) = $WS->ask($t, '/strict/x?two', first => $SECOND, read_body => 1);
    is $r->status, 200, 'an answer that is no 101 is an answer';
    is $k->read_response->status, 403, 'and what comes behind it a request (CVE-2019-17567)';
    ($k, $r) = $WS->ask($t, '/strict/x?ok');
    is $r->status, 101, 'a WebSocket works';
}

# --- clients that talk too early ---

{
    my ($k, $r) = $WS->ask($t, '/h/x?two', first => RevProxy::WebSocket::format_frame(1, "\r\n\r\n" x 3), read_body => 1);
    is $r->status, 200, 'frames behind a handshake that failed';
    my $next = $k->read_response;
    is $next->status, 400, 'are a bad request';
    ok $k->peer_closed(3), 'and the end';
}
is $t->get('/h/x?two')->status, 200, 'the server is well';

$t->finish;
done_testing;
