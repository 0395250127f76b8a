# WebSockets on any route: handshake, frames, half-close, big messages.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 'md5_hex';
use RevProxy;
use RevProxy::WebSocket;

my $WS  = 'RevProxy::WebSocket';
my $app = $WS->echo(name => 'app');
# Speaks before it is asked, half-closes, counts.
my $odd = RevProxy::Backend->new(name => 'odd', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    if ($r->target =~ /early/) {
        my $key = $r->header('Sec-WebSocket-Key');
        $c->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nX-More: 1\r\n"
                . "Sec-WebSocket-Accept: " . RevProxy::WebSocket::key_answer($key) . "\r\n\r\n"
                . RevProxy::WebSocket::format_frame(1, 'first words'));
        my $ws = $WS->over($c);
        $c->note('heard ' . ($ws->said(5) // 'nothing'));
        return;
    }
    my $ws = $WS->accept($c, $r);
    if ($r->target =~ /count/) {
        my $n = 0;
        $c->read_to_end(time + 20, sub { $n += length $_[0] });
        $c->note("counted $n");
        $ws->text("counted $n");
        $c->pause(0.1);
        return;
    }
    if ($r->target =~ /half/) {
        $ws->text('last words');
        $c->half_close;
        $c->note('heard ' . ($ws->said(5) // 'nothing'));
        $c->note('then ' . ($c->peer_closed(5) ? 'end' : 'silence'));
        return;
    }
    $c->note($c->peer_closed(10) ? 'end' : 'silence');
});
my $t = RevProxy->new(
    backends => { app => $app, odd => $odd },
    modules  => [qw(rewrite env)],
    config   => (front() eq 'mod_proxy' ? '' : <<'LOG') . <<'EOT');
    LogFormat "%{up}^rp %{down}^rp %>s %B %U" tunnels
    CustomLog %%DIR%%/logs/tunnels.log tunnels
LOG
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteCond %{HTTP:Connection} upgrade [NC]
    RewriteRule ^/?rewritten/(.*) "ws://127.0.0.1:%%PORT:app%%/$1" [P,L]
    ProxyPass /rewritten/ http://127.0.0.1:%%PORT:app%%/http/
    ProxyPass /http/  http://127.0.0.1:%%PORT:app%%/
    ProxyPass /ws/    ws://127.0.0.1:%%PORT:app%%/
    ProxyPass /named/ http://127.0.0.1:%%PORT:app%%/ upgrade=websocket
    ProxyPass /none/  http://127.0.0.1:%%PORT:app%%/ upgrade=NONE
    ProxyPass /other/ http://127.0.0.1:%%PORT:app%%/ upgrade=foo
    ProxyPass /odd/   http://127.0.0.1:%%PORT:odd%%/
    ProxyPassMatch ^/(chat/ws)$ ws://127.0.0.1:%%PORT:app%%/$1
    ProxyPass /chat/  http://127.0.0.1:%%PORT:app%%/
    <Location /handler/>
        SetHandler proxy:ws://127.0.0.1:%%PORT:app%%
    </Location>
    <Location /nohalf/>
        ProxyPass http://127.0.0.1:%%PORT:odd%%/
        SetEnv proxy-nohalfclose 1
    </Location>
    <IfModule mod_proxy_wstunnel.c>
        Alias /standin-file %%DOCROOT%%/here.txt
    </IfModule>
    <IfModule proxy_wstunnel_module>
        Alias /standin-symbol %%DOCROOT%%/here.txt
    </IfModule>
EOT

# --- where it works ---

for my $path (qw(/http/x /ws/x /named/x /rewritten/x /chat/ws /handler/x)) {
    if (front() eq 'mod_proxy' && $path eq '/http/x') { next }
    my $ws = eval { $WS->open($t, $path) };
    ok $ws, "$path: 101" or diag($@), next;
    is lc $ws->{response}->header('Upgrade'), 'websocket', "$path: Upgrade";
    is $ws->{response}->header('Connection'), 'Upgrade', "$path: Connection";
    $ws->text('hello');
    is $ws->said(5), 'hello', "$path: echo";
    $ws->ping('p');
    my $pong = $ws->read(5);
    is "$pong->{opcode} $pong->{payload}", '10 p', "$path: pong";
    $ws->close(1000);
    my $bye = $ws->read(5);
    is $bye->{code}, 1000, "$path: close";
    my $since = time;
    ok $ws->http->peer_closed(5), "$path: and the connection ends";
    cmp_ok time - $since, '<=', 2, "$path: at once";
}
is(($app->requests)[0]->header('Connection'), 'Upgrade', 'Connection towards the backend');
is(($app->requests)[0]->header('Upgrade'), 'websocket', 'Upgrade towards the backend');
is((map { $_->target } grep { $_->target =~ m{http/x} } $app->requests)[0], undef, 'the [P] rule takes upgrades only');

# --- where it does not ---

for my $case (
    [ 'NONE',           '/none/x',  [] ],
    [ 'another named',  '/other/x', [] ],
    [ 'another wanted', '/http/x',  [ Upgrade => 'foo' ] ],
    [ 'no Connection',  '/http/x',  [ Connection => 'keep-alive' ] ],
    [ 'no Upgrade',     '/ws/x',    [ Upgrade => undef, Connection => undef ] ],
    )
{
    my ($name, $path, $headers) = @$case;
    next if front() eq 'mod_proxy' && $name eq 'no Connection';
    my ($k, $r) = $WS->ask($t, $path, headers => $headers, read_body => 1);
    is $r->body, 'plain GET /x upgrade -', "$name: an ordinary request";
    is(($app->requests)[-1]->header('Connection'), 'Keep-Alive', "$name: and connection");
}
for my $name (qw(file symbol)) { isnt $t->get("/standin-$name")->status, 500, "stand-in by $name" }
is $t->get('/rewritten/x')->body, 'plain GET /http/x upgrade -', 'the rest goes by ProxyPass';

# --- bytes ---

{
    my $ws  = $WS->open($t, '/odd/early', first => RevProxy::WebSocket::format_frame(1, 'eager', mask => 1));
    is $ws->said(5), 'first words', 'bytes behind the backend\'s head are not lost';
    ok $odd->wait_note(qr/heard eager/), 'nor those behind the client\'s';
    is $ws->{response}->header('X-More'), 1, 'other fields of the 101 come along';
    ok $ws->http->peer_closed(5), 'the backend\'s end is passed on';
}
{
    my $n  = 1_500_000;
    my $ws = $WS->open($t, '/ws/x');
    my $p  = RevProxy::Backend::pattern($n);
    $ws->text("!size $n");
    is md5_hex($ws->said(10)), md5_hex($p), 'a big message down';
    $ws->binary($p);
    is md5_hex($ws->said(10)), md5_hex($p), 'up and down again';
    $ws->text($_) for 1 .. 200;
    is join(',', map { $ws->said(5) // '-' } 1 .. 200), join(',', 1 .. 200), 'many small ones';
    $ws->binary(substr($p, 0, 70000), fin => 0);
    $ws->frame(0, 'x');
    my $frame = $ws->read(5);
    is length($frame->{payload}) . $frame->{fin}, '700000', 'fragments stay fragments';
}
{
    my $ws = $WS->open($t, '/odd/count');
    $ws->http->send('x' x 300000);
    $ws->http->half_close;
    is $ws->said(10), 'counted 300000', 'the client half-closes: the backend reads to the end, and its answer comes';
    ok $ws->http->peer_closed(5), 'then both are closed';
}
{
    my $ws = $WS->open($t, '/odd/half');
    is $ws->said(5), 'last words', 'the backend half-closes';
    ok $ws->http->peer_closed(3), 'the client sees the end';
    $ws->text('still here');
    ok $odd->wait_note(qr/heard still here/), 'and its words still arrive';
    $ws->http->close;
    ok $odd->wait_note(qr/then end/), 'then its end';
}
{
    my $ws = $WS->open($t, '/nohalf/count');
    $ws->http->send('x' x 1000);
    $ws->http->half_close;
    ok $ws->http->peer_closed(3), 'proxy-nohalfclose: one end is both';
    ok $odd->wait_note(qr/counted 1000/), 'after all bytes';
}
{
    my $ws = $WS->open($t, '/odd/x');
    $ws->http->reset;
    ok $odd->wait_note(qr/^end/), 'a client that resets ends the backend\'s connection';
    $ws = $WS->open($t, '/ws/x');
    $ws->text('!reset');
    ok $ws->http->peer_closed(3), 'a backend that resets ends the client\'s';
}
ok $odd->wait_closed(5), 'no connection is left';

# --- the log ---

only_ours {
    my $ws = $WS->open($t, '/ws/logged');
    $ws->text('12345');
    $ws->said(5);
    $ws->close(1000);
    $ws->read(5);
    ok $ws->http->peer_closed(5), 'closed';
    $ws->http->close;
    my $line;
    for (1 .. 100) { ($line) = grep {m{/ws/logged}} split /\n/, RevProxy::slurp($t->dir . '/logs/tunnels.log'); last if $line; select undef, undef, undef, 0.05 }
    # Masked frames: 11 and 8 bytes up; 7 and 4 down.
    is $line, '19 11 101 11 /ws/logged', 'access log: bytes each way, status, bytes sent';
} 'log variables are ours';

$t->allow(qr/RP070[56]|AH0\d{4}|AH10\d{3}/);
$t->finish;
done_testing;
