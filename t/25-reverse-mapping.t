# ProxyPassReverse: which header values are mapped, by which entry, to what.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $uds = RevProxy::Backend->echo(unix => 1);
my $t   = RevProxy->new(
    backends => { app => $app, uds => $uds },
    modules  => [qw(headers rewrite)],
    config   => <<'EOT');
    ServerName front.example
    ProxyPass        /app/ %%URL:app%%/
    ProxyPassReverse /app/ %%URL:app%%/
    ProxyPassReverse /app/ http://Second.example:8080/base/
    ProxyPassReverse /nb   http://nb
    ProxyPassReverse /port/ http://port.example:80/
    ProxyPassReverse /away http://gone.example/
    ProxyPassReverse http://other.example/x/ http://absolute.example/

    ProxyPass /rel/ %%URL:app%%/
    <Location /rel/>
        ProxyPassReverse /
    </Location>
    ProxyPass /relsub/ %%URL:app%%/
    <Location /relsub/>
        ProxyPassReverse /base/
    </Location>
    ProxyPass /loc %%URL:app%%/
    <Location /loc>
        ProxyPassReverse http://inloc.example/
    </Location>
    <LocationMatch "^/lm/(\d+)/">
        ProxyPassReverse http://inmatch.example/
    </LocationMatch>
    ProxyPass /lm/ %%URL:app%%/
    # an outer entry beats an inner one
    <Location /app/in>
        ProxyPassReverse http://second.example:8080/base/
        ProxyPassReverse http://inner.example/
    </Location>
    ProxyPass        /u/ unix:%%SOCK:uds%%|http://sock.example/
    ProxyPassReverse /u/ http://sock.example/
    # no such balancer: a plain prefix
    ProxyPassReverse /lb balancer://nosuch/x

    Listen 127.0.0.1:%%PORT:canon%%
    <VirtualHost 127.0.0.1:%%PORT:canon%%>
        ServerName canon.example:81
        UseCanonicalName On
        ProxyPass        /c/ %%URL:app%%/
        ProxyPassReverse /c/ http://canon-backend.example/
    </VirtualHost>
EOT

my $front = 'http://127.0.0.1:' . $t->port;
my $back  = $app->url;

# The header as the client gets it when the backend says it.
sub mapped {
    my ($value, %opt) = @_;
    my ($name, $path) = (delete $opt{name} // 'Location', delete $opt{path} // '/app/x');
    my $r = $t->get($path, headers => [ 'X-Reply-Status' => $opt{status} // 302, 'X-Reply-Header' => "$name: $value",
        @{ $opt{headers} || [] } ], $opt{to} ? (to => $opt{to}) : ());
    return $r->header($name);
}

sub maps {
    my ($value, $want, $name, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is mapped($value, %opt), $want, "$value -> $want" . ($name ? ": $name" : '');
    return;
}

# the first argument an URL
maps "$back/y?q#f",      "$front/app/y?q#f";
maps "$back/",           "$front/app/";
maps $back,              $back, 'shorter than the entry: unchanged';
maps uc("$back/y"),      "$front/app/Y", 'any case';
maps 'http://second.example:8080/base/y', "$front/app/y", 'a second entry';
maps 'http://second.example:8080/other',  'http://second.example:8080/other', 'outside its path';
maps 'https://second.example:8080/base/', 'https://second.example:8080/base/', 'another scheme';
maps 'http://nbx.example/y', "$front/nbx.example/y", 'no boundary';
maps 'http://port.example/y', 'http://port.example/y', 'a default port is part of the text';
maps 'http://port.example:80/y', "$front/port/y";
maps 'http://gone.example/y', "$front/awayy", 'no slash is put in';
maps 'http://absolute.example/y', 'http://other.example/x/y', 'a path that is an URL';
maps '/y',               '/y', 'host-relative: unchanged';
maps '//second.example:8080/base/y', '//second.example:8080/base/y', 'network path: unchanged';
maps 'y',                'y';
maps 'http://foreign.example/y', 'http://foreign.example/y';
maps 'balancer://nosuch/x/y', "$front/lb/y", 'unknown balancer';

# the first argument a path
maps '/y',               "$front/rel/y", 'a path entry', path => '/rel/x';
maps 'http://foreign.example/y', "$front/rel/y", 'whatever its host', path => '/rel/x';
maps 'http://foreign.example', 'http://foreign.example', 'no path, no match', path => '/rel/x';
maps '/base/y',          "$front/relsub/y", '', path => '/relsub/x';
maps '/Base/y',          "$front/relsub/y", 'any case', path => '/relsub/x';
maps '/other/y',         '/other/y', '', path => '/relsub/x';
maps 'https://h/base/y', "$front/relsub/y", '', path => '/relsub/x';

# Locations
maps 'http://inloc.example/y', "$front/locy", 'the Location\'s path', path => '/loc/x';
maps 'http://inloc.example/y', 'http://inloc.example/y', 'outside of it';
maps 'http://inmatch.example/y', "$front^/lm/(\\d+)/y", 'LocationMatch: the text of its pattern', path => '/lm/1/x';
maps 'http://inner.example/y', "$front/app/iny", '', path => '/app/in/x';
maps 'http://second.example:8080/base/y', "$front/app/y", 'the outer entry first', path => '/app/in/x';

# fields, statuses
maps "$back/y", "$front/app/y", $_, name => $_ for qw(Content-Location URI Destination location);
maps "$back/y", "$back/y", "$_ is left", name => $_ for qw(Refresh Link X-Location);
maps "$back/y", "$front/app/y", "status $_", status => $_ for qw(200 201 301 404 503);
{
    my $r = $t->get("/app/x?reply-header=Location:%20$back/1&reply-header=Location:%20$back/2");
    is_deeply [ $r->all('Location') ], [ "$front/app/1", "$front/app/2" ], 'each of several lines';
}

# the name of this server
maps "$back/y", 'http://public.example:8080/app/y', 'the Host of the request', headers => [ Host => 'public.example:8080' ];
maps "$back/y", 'http://public.example/app/y', 'without port', headers => [ Host => 'public.example' ];
maps 'http://canon-backend.example/y', 'http://canon.example:81/c/y', 'UseCanonicalName', path => '/c/x', to => 'canon',
    headers => [ Host => 'public.example' ];

# sockets, what was sent for the value
maps 'http://sock.example/y', "$front/u/y", 'a socket\'s host', path => '/u/x';

# CVE-2016-4975: nothing of the request's path gets out of its encoding
{
    my $r = $t->get('/app/%0d%0aX-Inj:1', headers => [ 'X-Reply-Status' => 302, 'X-Reply-Header' => "Location: $back/%0d%0aX-Inj:1" ]);
    is $r->header('X-Inj'), undef, 'B3: no header of its own';
    is $r->header('Location'), "$front/app/%0d%0aX-Inj:1", 'B3: it stays encoded';
}

$t->allow(qr/test\.conf:\d+:/);
$t->finish;
done_testing;
