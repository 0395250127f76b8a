# WebSockets from HTTP/2 clients (RFC 8441, H2WebSockets on; CVE-2024-36387).

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use JSON::PP ();
use RevProxy;
use RevProxy::Node;
use RevProxy::WebSocket;

plan skip_all => 'mod_http2 does not work under prefork' if mpm eq 'prefork';
my $why = RevProxy::Node::why_not();
plan skip_all => $why if $why;
my $http2 = RevProxy::module_file('http2');
plan skip_all => 'this mod_http2 has no WebSockets' if RevProxy::slurp($http2) !~ /H2WebSockets/;

my $app = RevProxy::WebSocket->echo(name => 'app');
my $odd = RevProxy::Backend->new(name => 'odd', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    if    ($r->target =~ /404/)   { $c->respond(404, [], 'no') }
    elsif ($r->target =~ /foo/)   { $c->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\n") }
    elsif ($r->target =~ /stall/) { $c->peer_closed(10) }
});
my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', '127.0.0.1');
my $t = RevProxy->new(
    backends => { app => $app, odd => $odd },
    modules  => [qw(ssl http2)],
    threads  => 24,
    config   => <<EOT);
    H2WebSockets on
    H2MaxWorkers 40
    <VirtualHost 127.0.0.1:%%PORT%%>
        Protocols h2c http/1.1
        ProxyPass /ws/  %%URL:app%%/ upgrade=websocket
        ProxyPass /odd/ %%URL:odd%%/ upgrade=websocket timeout=1
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        ServerName front.test
        Protocols h2 http/1.1
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPass /ws/  %%URL:app%%/ upgrade=websocket
    </VirtualHost>
EOT
my $plain = 'http://127.0.0.1:' . $t->port;
my $tls   = 'https://127.0.0.1:' . $t->port_of('tls');

sub drive { my $out = RevProxy::Node::run('ws-http2.js', @_); return eval { JSON::PP::decode_json($out) } || { error => $out } }

for my $url ($plain, $tls) {
    my $o = drive($url, '/ws/x', 'echo');
    is $o->{status}, 200, "$url: open" or diag explain $o;
    is join(',', @{ $o->{echoes} || [] }), 'one,two,three,later', "$url: echoes";
    cmp_ok $o->{ms} // 999, '<', 200 * $RevProxy::SLOW, "$url: without delay";
    is $o->{close}, 8, "$url: close frame";
    is $o->{ended}, 'end', "$url: and the stream's end";
    $o = drive($url, '/ws/x', 'big', 1_500_000);
    is $o->{size}, 1_500_000, "$url: a big message down" or diag explain $o;
    ok $o->{same}, "$url: and up and down";
    is $o->{ended}, 'end', "$url: the client ends its side: so does the backend";
    # mod_http2 works on no more than six streams of a connection until some have ended.
    $o = drive($url, '/ws/x', 'many', 6);
    is $o->{open}, 6, "$url: six streams on a connection" or diag explain $o;
    is $o->{echoes}, 6, "$url: all echo";
}
is drive($plain, '/odd/404', 'answer')->{status}, 404, 'no WebSocket there';
is drive($plain, '/odd/foo', 'answer')->{status}, 502, '101 with another protocol';
is drive($plain, '/odd/close', 'answer')->{status}, 502, 'the backend closes';
is drive($plain, '/odd/stall', 'answer')->{status}, ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)'), 'the backend stalls';
cmp_ok drive($plain, '/ws/x', 'reset', 60)->{reset} // 0, '>', 5, 'streams that are reset' for 1 .. 4;    # mod_http2 ends connections where that goes on
ok $app->wait_closed(10) && $odd->wait_closed(10), 'leave no connection behind';
is drive($plain, '/ws/x', 'echo')->{status}, 200, 'and a server that works';

$t->allow(qr/RP030[128]|RP0501|RP070[156]|AH0\d{4}|AH10\d{3}|\[http2:/);
$t->finish;
done_testing;
