# A browser's WebSockets: a page in Chromium over ws and wss, HTTP/1.1 and HTTP/2, to Node's ws; with the recipes of
# conf-examples and through a graceful restart.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Browser;
use RevProxy::Node;

my $why = RevProxy::Node::why_not('ws') || RevProxy::Browser::why_not();
plan skip_all => $why if $why;

my $is_stock = front() eq 'mod_proxy';
my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', 'localhost', '127.0.0.1');
my ($plain, $tls) = map { RevProxy::Ports::reserve() } 1 .. 2;
my %peer = (plain => RevProxy::Node::start('ws-server.js', $plain), tls => RevProxy::Node::start('ws-server.js', $tls, $cert, $key));

# H2WebSockets came with httpd 2.4.58.
my $has_h2 = mpm() ne 'prefork' && !$is_stock && RevProxy::slurp(RevProxy::module_file('http2')) =~ /H2WebSockets/;
my $t = RevProxy->new(
    modules => [ 'ssl', $has_h2 ? 'http2' : () ],
    threads => 40,
    children_may_change => 1,
    config  => ($has_h2 ? "H2WebSockets on\nH2MaxWorkers 40\n" : '') . <<"EOT");
    RevProxyTunnelDrain 1
    SSLProxyEngine On
    SSLProxyVerify none
    SSLProxyCheckPeerName off
    LogFormat "%H %m %>s %U" protocol
    CustomLog %%DIR%%/logs/protocol.log protocol
    ProxyPass /ws/  http://127.0.0.1:$plain/ upgrade=websocket
    ProxyPass /wss/ https://127.0.0.1:$tls/ upgrade=websocket
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:h2%%
    <VirtualHost 127.0.0.1:%%PORT:h2%%>
        @{[ $has_h2 ? 'Protocols h2 http/1.1' : '' ]}
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
    </VirtualHost>
EOT

# The recipes as they are shipped: upgrades to a port of their own, and everything on one.
my @examples = map {
    my ($file, @ports) = @$_;
    RevProxy->new(
        modules => [ RevProxy->example_modules($file) ],
        threads => 40,
        config  => RevProxy->example($file, '*:80' => '*:%%PORT%%', @ports),
    );
} [ '05-websocket-rewrite.conf', 8081 => $plain, 8080 => $plain ], $is_stock ? () : [ '06-websocket.conf', 3000 => $plain ];

# [name, address of the page, options of the page]
my %at = (ws => 'http://127.0.0.1:' . $t->port, map { ($_ => 'https://127.0.0.1:' . $t->port_of($_)) } qw(tls h2));
my @pages = (
    [ 'ws to https', "$at{ws}/wss/" ],
    [ 'wss to http', "$at{tls}/ws/", $is_stock ? () : (restart => '1001  true') ],
    $has_h2 ? [ 'HTTP/2', "$at{h2}/ws/" ] : (),
    map({ [ "example $_", 'http://127.0.0.1:' . $examples[$_]->port . '/', brief => 1 ] } 0 .. $#examples),
);

my $next = '';
for my $page (reverse @pages) {
    my ($name, $url, @options) = @$page;
    my %query = (name => $name, next => $next, @options);
    s/([^\w.])/sprintf '%%%02X', ord $1/ge for values %query;
    $next = $url . 'browser.html?' . join '&', map {"$_=$query{$_}"} sort keys %query;
}
my $browser = RevProxy::Browser->open($next);
for my $page (@pages) {
    my ($name, $url) = @$page;
    my $peer = $peer{ $url =~ /wss/ ? 'tls' : 'plain' };
    my ($line, $done);
    while (!$done && defined($line = RevProxy::Node::read_line($peer, 25 * $RevProxy::SLOW))) {
        $done = $line =~ /^done/;
        if ($line =~ /^restart/) { $t->reload_graceful; next }
        ok $line =~ /^ok /, $line if !$done;
    }
    last if !ok $done, "$name: to the end";
}
diag $browser->log if !Test::More->builder->is_passing;
$browser->close;
if ($has_h2) {
    like RevProxy::slurp($t->dir . '/logs/protocol.log'), qr{^HTTP/2\.0 \w+ \d+ /ws/deflate$}m,
        'the browser used HTTP/2 for sockets, too';
}
for my $server ($t, @examples) {
    $server->allow(qr/RP070[156]|\[ssl:|AH0\d{4}|AH10\d{3}/);
    $server->finish;
}
done_testing;
