# -D DUMP_REVPROXY_URL=... says which way a request takes. What it says is compared with what a real request
# does: the same target, the same head at the backend, the same Location for the client.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

plan skip_all => 'mod_proxy has no such report' if front() eq 'mod_proxy';

my $app = RevProxy::Backend->echo;
my $config = <<'EOT';
<VirtualHost *:%%PORT%%>
    ServerName www.example.com
    ServerAlias example.com
    ProxyPass        /enc/ http://127.0.0.1:%%PORT:app%%/enc/ mapping=encoded
    ProxyPass        /static/ !
    ProxyPassMatch   ^/img/(.*\.gif)$ http://127.0.0.1:%%PORT:app%%/pictures/$1
    ProxyPass        /app http://127.0.0.1:%%PORT:app%%/in timeout=30 nocanon
    ProxyPassReverse /app http://127.0.0.1:%%PORT:app%%/in
    ProxyPassReverseCookiePath /in /app
    <Proxy balancer://c>
        BalancerMember http://127.0.0.1:%%PORT:app%%/ctx route=a
        ProxySet stickysession=ROUTE|route timeout=2 lbmethod=bybusyness
    </Proxy>
    ProxyPass        /pool balancer://c/x
    ProxyPassReverse /pool balancer://c/x
    <Location /loc/>
        ProxyPass http://127.0.0.1:%%PORT:app%%/l/
        ProxyPreserveHost On
    </Location>
    <Proxy http://127.0.0.1:%%PORT:app%%/l/>
        ProxyAddHeaders Off
        ProxyPreserveHost Off
    </Proxy>
    RewriteEngine On
    RewriteRule ^/old/(.*) http://127.0.0.1:%%PORT:app%%/$1 [P]
</VirtualHost>
<VirtualHost *:%%PORT%%>
    ServerName other.example.com
    ProxyVia On
    ProxyPass / http://127.0.0.1:%%PORT:app%%/other/
</VirtualHost>
RevProxyLint Off
EOT
my %server = (config => $config, modules => [qw(slotmem_shm rewrite)], backends => { app => $app });
my $t = RevProxy->new(%server);
my $port = $t->port;
$config = $t->expand($config);

sub way_of {
    my (@urls) = @_;
    my ($ok, $output) = RevProxy->configtest(%server, config => $config, args => [ '-t', map { ('-D', "DUMP_REVPROXY_URL=$_") } @urls ]);
    $ok or diag $output;
    $output =~ s/\(\S+(test\.conf)/($1/g;
    return $output =~ s/^Syntax OK\n//mr;
}
# The head that the report says is sent.
sub head_in { my ($text) = @_; return $text =~ /that sends nothing but Host:\n((?:    \S+ [^\n]*\n)+)/ ? $1 =~ s/^    //mgr : 'none' }

for my $case (
    [ 'www.example.com',   '/app/a%20b?y=1',     qr{^    yes /app -> \S+ nocanon \(test\.conf:7\)$}m ],
    [ 'example.com',       '/app',               qr{^    yes /app }m ],
    [ 'www.example.com',   '/img/a/%41b.gif',    qr{^    yes ~ \^/img/}m ],
    [ 'www.example.com',   '/enc/a%2fb;c',       qr{^    yes /enc/ -> \S+ mapping=encoded}m ],
    [ 'www.example.com',   '/pool/y?z',          qr{^    yes /pool -> balancer://c/x \(test\.conf:14\)$}m ],
    [ 'www.example.com',   '/loc/q',             qr{^    yes <Location> /loc/ }m ],
    [ 'other.example.com', '/x/../%7Ey/./z?q#f', qr{^  virtual host other\.example\.com \(test\.conf:27\)}m ],
    [ 'nobody.example.com', '/app/z',            qr{^  virtual host www\.example\.com }m ],
) {
    my ($host, $path, $words) = @$case;
    my $text = way_of("http://$host:$port$path");
    like $text, $words, "$host$path: the way";
    my $r = $t->get($path =~ s/#.*//r, headers => [ Host => "$host:$port" ], version => '1.1');
    my @said = sort grep {/./} map { s/192\.0\.2\.1/127.0.0.1/r } split /\n/, head_in($text);
    my @sent = sort grep {/./} split /\r?\n/, $r->body =~ s/\r?\n\r?\n.*//sr;
    is join("\n", @said), join("\n", grep { !/^(?:User-Agent|Accept):/i } @sent), '... the head that the backend gets';
}

my $text = way_of("http://www.example.com:$port/app/x");
is $text, <<"EOT", 'a whole report' or diag $text;
GET /app/x HTTP/1.1, Host: www.example.com:$port
  virtual host www.example.com (test.conf:1)
  routes, in the order in which they are tried:
    no  /enc/ -> http://127.0.0.1:@{[ $app->port ]}/enc/ mapping=encoded (test.conf:4): the path does not begin so
    no  /static/ -> not proxied (test.conf:5): the path does not begin so
    no  ~ ^/img/(.*\\.gif)\$ -> http://127.0.0.1:@{[ $app->port ]}/pictures/\$1 (test.conf:6): the regular expression does not match
    yes /app -> http://127.0.0.1:@{[ $app->port ]}/in nocanon (test.conf:7)
  target: http://127.0.0.1:@{[ $app->port ]}/in/x
  backend: http://127.0.0.1:@{[ $app->port ]}/in (test.conf:7)
      connect within 30s, wait for each piece of data 30s; timeout=30s
  sent to the backend, for a client at 192.0.2.1 that sends nothing but Host:
    GET /in/x HTTP/1.1
    Host: 127.0.0.1:@{[ $app->port ]}
    X-Forwarded-For: 192.0.2.1
    X-Forwarded-Host: www.example.com:$port
    X-Forwarded-Server: www.example.com
    Connection: Keep-Alive
  fields of a client that are not passed on: Connection and what it names, Keep-Alive, Proxy-Connection,
    TE, Trailer, Transfer-Encoding, Content-Length (made anew), Upgrade (asked for where the protocol is allowed), HTTP2-Settings, Proxy
  on the way back, the first that fits:
    ProxyPassReverse /app http://127.0.0.1:@{[ $app->port ]}/in (test.conf:8)
    ProxyPassReverse /pool balancer://c/x (test.conf:15)
    ProxyPassReverseCookiePath /in /app (test.conf:9)
    Location: http://127.0.0.1:@{[ $app->port ]}/in/x becomes http://www.example.com:$port/app/x
  note: RewriteRule (test.conf:25) and what follows are not tried here: a rule with [P] comes before the routes, others change the path
EOT

like way_of("http://www.example.com:$port/static/x"), qr{yes /static/ -> not proxied \(test\.conf:5\)\n  not proxied, the last line says so}, 'excluded';
like way_of("http://www.example.com:$port/appx"), qr{no  /app -> .*: it ends inside a word of the path\n}, 'a word that goes on';
like way_of("http://www.example.com:$port/appx"), qr{not proxied, no route matches}, '... and nobody takes it';
like way_of("http://www.example.com:$port/app/%2f"), qr{answered with 404}, 'what httpd refuses';
like way_of("http://www.example.com:$port/%zz"), qr{answered with 400}, '... or cannot read';
like way_of("http://www.example.com:$port/pool/"), qr{balancer: balancer://c \(test\.conf:10\), lbmethod=bybusyness\n    member: http://127\.0\.0\.1:\d+/ctx \(test\.conf:11\)}, 'a balancer\'s members';
like way_of("http://www.example.com:$port/loc/q"), qr{in force here: ProxyPreserveHost On, ProxyAddHeaders Off\n}, 'settings of sections, Location after Proxy';
like way_of('/x'), qr{Host: www\.example\.com:$port\n.*Host: other\.example\.com:$port\n}s, 'a path alone: in each server';
like way_of('x'), qr{DUMP_REVPROXY_URL: 'x' is no path and no URL: write /path\?query or https://host/path}, 'neither path nor URL';
my ($ok, $output) = RevProxy->configtest(args => [ '-t', '-D', 'DUMP_REVPROXY_URL=http://h.example.com/' ], config => "ProxyPass / http://127.0.0.1:1/\nRevProxyLint Off\n");
like $output, qr{^  main server .*\n.*\n    yes / }m, 'the main server';
for my $bad ([ "ProxyPass /d/ http://h.example.com\n", 'http://a.example.com/d/x', qr{answered with 502} ],
    [ "ProxyPassMatch ^/(.*) http://\$1/\n", 'http://a.example.com/u@h', qr{answered with 400|answered with 502} ]) {
    ($ok, $output) = RevProxy->configtest(args => [ '-t', '-D', "DUMP_REVPROXY_URL=$bad->[1]" ], config => "$bad->[0]RevProxyLint Off\n");
    like $output, $bad->[2], "$bad->[1]: what would be refused";
}

# A server with TLS: https for the backend and for redirects, as it is for a client.
{
    my ($cert, $key) = RevProxy->certificate('tls.example.com');
    my ($ok, $text) = RevProxy->configtest(modules => ['ssl'], args => [ '-t', '-D', 'DUMP_REVPROXY_URL=https://tls.example.com/x' ], config => <<"EOT");
Listen 443
<VirtualHost *:443>
    ServerName tls.example.com
    SSLEngine on
    SSLCertificateFile $cert
    SSLCertificateKeyFile $key
    RevProxyForwarded proto
    ProxyPass        / http://127.0.0.1:8080/
    ProxyPassReverse / http://127.0.0.1:8080/
</VirtualHost>
EOT
    like $text, qr{^    X-Forwarded-Proto: https$}m, 'TLS: the backend is told';
    like $text, qr{Location: http://127\.0\.0\.1:8080/x becomes https://tls\.example\.com/x$}m, '... and redirects lead to https';
    unlike $text, qr{http://tls\.example}, '... all of them';
}

$t->finish;
done_testing;
