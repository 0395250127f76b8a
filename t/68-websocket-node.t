# Node's ws as real server and client, over ws:// and wss:// on either side; the recipes of conf-examples with it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Node;

my $why = RevProxy::Node::why_not('ws');
plan skip_all => $why if $why;

my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', 'localhost', '127.0.0.1');
my ($plain, $tls) = map { RevProxy::Ports::reserve() } 1 .. 2;
RevProxy::Node::start('ws-server.js', $plain);
RevProxy::Node::start('ws-server.js', $tls, $cert, $key);

my $routes = <<"EOT";
    SSLProxyEngine On
    SSLProxyVerify none
    SSLProxyCheckPeerName off
    ProxyPass /http/  http://127.0.0.1:$plain/ upgrade=websocket
    ProxyPass /ws/    ws://127.0.0.1:$plain/
    ProxyPass /https/ https://127.0.0.1:$tls/ upgrade=websocket
    ProxyPass /wss/   wss://127.0.0.1:$tls/
EOT
my $t = RevProxy->new(
    modules => [qw(ssl rewrite)],
    threads => 24,
    config  => <<EOT);
    <VirtualHost 127.0.0.1:%%PORT%%>
        $routes
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        $routes
    </VirtualHost>
EOT

sub drive {
    my ($name, $url) = @_;
    my $out = RevProxy::Node::run('ws-client.js', $url);
    for my $line (split /\n/, $out) { ok $line =~ /^ok /, "$name: $line" }
    like $out, qr/^ok done$/m, "$name: to the end";
    return;
}

my %front = (ws => $t->port, wss => $t->port_of('tls'));
for my $scheme (sort keys %front) {
    for my $path (qw(http ws https wss)) {
        drive("$scheme to /$path/", "$scheme://127.0.0.1:$front{$scheme}/$path/");
    }
}
like $t->get('/ws/x')->body, qr{^page /x$}m, 'pages on a ws route';
like $t->get('/wss/x')->body, qr{^page /x$}m, 'pages on a wss route';
$t->allow(qr/RP070[56]|\[ssl:|AH0\d{4}|AH10\d{3}/);
$t->finish;

# --- conf-examples ---

my $pages = RevProxy::Backend->new(name => 'pages', answer => sub { my ($c, $r) = @_; $c->respond(200, [], 'elsewhere ' . $r->target . "\n") });
for my $example (
    [ '05-websocket-rewrite.conf', 'elsewhere /x', 8081 => $plain, 8080 => $pages->port ],
    [ '06-websocket.conf',         'page /x',      3000 => $plain ],
    )
{
    my ($file, $page, @ports) = @$example;
    next if front() eq 'mod_proxy' && $file =~ /^06/;
    my $e = RevProxy->new(
        modules => [ RevProxy->example_modules($file) ],
        threads => 24,
        config  => RevProxy->example($file, '*:80' => '*:%%PORT%%', @ports),
    );
    drive($file, 'ws://127.0.0.1:' . $e->port . '/');
    like $e->get('/x', headers => [ Host => 'yourdomain.com' ])->body, qr{^$page$}m, "$file: pages";
    $e->allow(qr/RP070[56]|AH0\d{4}|AH10\d{3}/);
    $e->finish;
}
done_testing;
