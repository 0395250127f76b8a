# Faults whose answer other tests look at: that each has its line in the error log, with its code and what locates it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'the codes are ours' if front() ne 'revproxy';

my $app  = RevProxy::Backend->echo;
my $ws   = RevProxy::WebSocket->echo(name => 'ws');
my $busy = RevProxy::Backend->new(name => 'busy', handler => sub { my ($c) = @_; $c->read_request and $c->respond(503, [], 'busy') });
my $much = RevProxy::Backend->new(name => 'much', handler => sub {
    my ($c) = @_;
    $c->read_request or return;
    $c->send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
    my $piece = 'x' x 65536;
    for (1 .. 763) { $c->send($piece, 3) or last }
});
my $t = RevProxy->new(
    backends => { app => $app, ws => $ws, busy => $busy, much => $much },
    modules  => [qw(slotmem_shm headers rewrite)],
    config   => <<'EOT');
    LogLevel warn revproxy:info
    TraceEnable Off
    <Location /made/>
        RequestHeader set X-Made "expr=%{unescape:a%01b}"
    </Location>
    ProxyPass /app/  %%URL:app%%/
    ProxyPass /made/ %%URL:app%%/
    ProxyPass /much/ %%URL:much%%/
    ProxyPass /pool/ balancer://pool/
    ProxyPass /ws/   ws://127.0.0.1:%%PORT:ws%%/
    ProxyWebsocketFallbackToProxyHttp Off
    RewriteEngine On
    RewriteRule ^/strict ws://127.0.0.1:%%PORT:ws%%/ [P]
    <Proxy balancer://pool>
        BalancerMember %%URL:busy%%
        BalancerMember %%URL:app%% status=+R
        ProxySet failoverstatus=503
    </Proxy>
    RevProxyTunnelMax 1
    Timeout 2
EOT

sub answer {
    my ($bytes) = @_;
    my $k = $t->connect;
    $k->send($bytes);
    my $r = $k->read_response;
    $k->close;
    return $r ? $r->status : 'nothing';
}

is answer("GET /app/ HTTP/2.0\r\nHost: x\r\n\r\n"), 505, 'a major version that it is not';
$t->claim(qr/RP0510 HTTP\/1 request claims a major version.*route \/app\//, 'RP0510');
is answer("TRACE /app/ HTTP/1.1\r\nHost: x\r\n\r\n"), 405, 'TRACE where it is off';
$t->claim(qr/RP0512 TRACE is off here: route \/app\//, 'RP0512');
is $t->get('/made/x')->status, 400, 'a field that a directive made of control characters';
$t->claim(qr/RP0209 control character in a header field of the request: route \/made\/ .*: X-Made/, 'RP0209, with the name of the field');
is $t->get('/pool/x')->status, 200, 'a member that another may do better than';
$t->claim(qr/RP0309 member answered with a status.*route \/pool\/ .*503/, 'RP0309');
is $t->get('/strict')->status, 426, 'no upgrade, and no way without';
$t->claim(qr/RP0707 request without an upgrade to WebSocket: route \[P\]/, 'RP0707');

{
    my $one = RevProxy::WebSocket->open($t, '/ws/a');
    $one->text('hello');
    $one->read(3);
    is $t->request(path => '/ws/b', headers => [ Upgrade => 'websocket', Connection => 'Upgrade',
        'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => 'AAAAAAAAAAAAAAAAAAAAAA==' ])->status, 503, 'one tunnel too many';
    $t->claim(qr/RP0704 too many tunnels in this server: route \/ws\//, 'RP0704');
    $one->text('!reset');
    ok $one->http->peer_closed(5), 'a tunnel that the backend resets';
    $t->claim(qr/RP0706 the backend reset the tunnel: route \/ws\//, 'RP0706');
}
{
    my $k = $t->connect;
    $k->send("GET /much/ HTTP/1.1\r\nHost: x\r\n\r\n");
    my $log   = $t->dir . '/logs/error.log';
    my $until = time + 15 * $RevProxy::SLOW;
    sleep 0.1 while RevProxy::slurp($log) !~ /RP0506/ && time < $until;
    $t->claim(qr/RP0506 client did not read its response in time: route \/much\//, 'RP0506: who does not read');
    $k->close;
}

$t->finish;
done_testing;
