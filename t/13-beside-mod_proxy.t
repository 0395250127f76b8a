# Beside a loaded mod_proxy the plain directives are mod_proxy's and the ones with Rev are ours, whatever
# the order of LoadModule; FastCGI through mod_proxy_fcgi goes on working.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

plan skip_all => 'it is about two proxy modules in one server' if front() eq 'mod_proxy';

# A FastCGI responder, enough for one request per connection: says back PATH_INFO-like variables.
sub read_bytes {
    my ($c, $n) = @_;
    my $bytes = '';
    while (length $bytes < $n) {
        sysread($c->{socket}, $bytes, $n - length $bytes, length $bytes) or return;
    }
    return $bytes;
}

sub record { my ($type, $id, $content) = @_; return pack('CCnnCx', 1, $type, $id, length $content, 0) . $content }

my $fcgi = RevProxy::Backend->new(sub {
    my ($c) = @_;
    my ($uri, $id) = ('?', 1);
    $c->{socket}->blocking(1);
    while (defined(my $head = read_bytes($c, 8))) {
        (undef, my $type, $id, my $length, my $padding) = unpack 'CCnnC', $head;
        my $content = $length ? read_bytes($c, $length) : '';
        read_bytes($c, $padding) if $padding;
        $uri = $1 if $type == 4 && $content =~ m{REQUEST_URI([\x20-\x7e]*?)(?:[\x00-\x1f]|$)};
        last if $type == 5 && !$length;
    }
    $c->send(record(6, $id, "Content-Type: text/plain\r\n\r\nfcgi $uri\n") . record(6, $id, '')
        . record(3, $id, pack 'NCxxx', 0, 0));
    $c->close;
});
my $app = RevProxy::Backend->echo;

my $config = <<'EOT';
# mod_proxy's
ProxyPass /fcgi/ fcgi://127.0.0.1:%%PORT:fcgi%%/
ProxyTimeout 7
ProxyRequests Off
ProxyVia On
<Proxy "fcgi://127.0.0.1:%%PORT:fcgi%%/">
    ProxySet retry=0
    Require all granted
</Proxy>
<Location /fcgi2/>
    ProxyPass fcgi://127.0.0.1:%%PORT:fcgi%%/
</Location>
# ours
RevProxyPass        /app/ http://127.0.0.1:%%PORT:app%%/ timeout=5000ms
RevProxyPassReverse /app/ http://127.0.0.1:%%PORT:app%%/
RevProxyPassMatch   ^/re/(.*)$ http://127.0.0.1:%%PORT:app%%/matched/$1
<RevProxy "http://127.0.0.1:%%PORT:app%%/">
    RevProxySet connectiontimeout=500ms
    Require all granted
    RequestHeader set X-Section revproxy
</RevProxy>
<RevProxyMatch "^http://[^/]+/denied">
    Require all denied
</RevProxyMatch>
<Proxy *>
    RequestHeader set X-Theirs not-ours
</Proxy>
<Location /loc/>
    RevProxyPass http://127.0.0.1:%%PORT:app%%/in/
    RevProxyPreserveHost On
</Location>
EOT

for my $first (0, 1) {
    my $when = $first ? 'we first' : 'mod_proxy first';
    my $t = RevProxy->new(backends => { fcgi => $fcgi, app => $app }, modules => [qw(headers proxy_http proxy_fcgi)],
        front_first => $first, config => $config);
    for my $round (1, 2) {
        my $r = $t->get('/fcgi/x');
        is $r->status . $r->body, "200fcgi /fcgi/x\n", "$when: FastCGI, round $round";
        is $t->get('/fcgi2/y')->body, "fcgi /fcgi2/y\n", "$when: FastCGI in a Location, round $round";
        my $body = $t->get('/app/x', headers => [ Host => 'public.test' ])->body;
        like $body, qr{^GET /x }m, "$when: our route, round $round";
        like $body, qr{^X-Section: revproxy\s*$}m, "$when: with our section";
        unlike $body, qr{not-ours|^Via}m, "$when: without mod_proxy's settings";
        like $body, qr{^Host: 127\.0\.0\.1:}m, "$when: and the target's Host";
        like $t->get('/loc/x', headers => [ Host => 'public.test' ])->body, qr{^GET /in/x .*^Host: public\.test}ms, "$when: our Location";
        like $t->get('/re/z')->body, qr{^GET /matched/z }m, "$when: our regular expression";
        like $t->get('/app/a%20b%25c?d=%41')->body, qr{^GET /a%20b%25c\?d=%41 }m, "$when: our path is encoded once";
        is $t->get('/app/denied')->status, 403, "$when: our <RevProxyMatch>";
        $t->reload_graceful if $round == 1;
    }
    $t->allow(qr/AH01630/);
    $t->finish;
}

# Each keeps its own mistakes and its own words.
my @rows = (
    [ 'RevProxyPass /x http://h/ timeot=5', qr/RevProxyPass unknown Worker parameter 'timeot=5': did you mean timeout/ ],
    [ 'ProxyPass /x http://h/ timeot=5', qr/^ProxyPass unknown Worker parameter$/m ],
    [ "<Location /x>\nProxyTimeout 5\n</Location>", qr/^ProxyTimeout not allowed in <Location> context$/m ],
    [ 'ProxyTimeout 0', qr/Proxy Timeout must be at least 1 second\.$/m ],
    [ 'ProxyWebsocketFallbackToProxyHttp On', qr/needs mod_proxy_wstunnel.c; .* RevProxyWebsocket/ ],
    [ 'ProxyHCTPsize 4', qr/needs mod_proxy_hcheck.c/ ],
);
for my $first (0, 1) {
    for my $row (@rows) {
        my ($ok, $output) = RevProxy->configtest(config => "$row->[0]\n", modules => ['proxy'], front_first => $first);
        ok !$ok && $output =~ $row->[1], ($first ? 'we first: ' : 'mod_proxy first: ') . $row->[0] =~ s/\n/ /gr or diag $output;
    }
}

done_testing;
