# No byte of a request chooses where it goes, and none gets raw into the request line: known
# flaws of proxies of this kind (CVE numbers with the cases), over every way into the module.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app    = RevProxy::Backend->echo;
my $uds    = RevProxy::Backend->echo(unix => 1);
my $canary = RevProxy::Backend->echo;               # no directive names these two
my $cansock = RevProxy::Backend->echo(unix => 1);
my ($evil, $sock) = ('127.0.0.1:' . $canary->port, $cansock->path);
my $url = $app->url;

my $t = RevProxy->new(
    backends => { app => $app, uds => $uds, canary => $canary },
    modules  => [qw(rewrite headers status setenvif http2 env)],
    docs     => {
        'e.html' => "error page\n", 't.html' => "static\n", 'index.html' => "root\n", 'adm/x' => "local\n",
        'ht/.htaccess' => "RewriteEngine On\nRewriteRule ^(.*)\$ $url/ht/\$1 [P]\n",
    },
    config => <<'EOT');
    Protocols h2c http/1.1
    ProxyPass      /px/ %%URL:app%%/px/
    # no slash behind the host, one behind the path: what follows would join the host
    ProxyPass      /noslash/ %%URL:app%%
    ProxyPass      /noport/  http://localhost
    ProxyPassMatch ^/pm/(.*)$ %%URL:app%%/pm/$1
    ProxyPass      /nc/ %%URL:app%%/nc/ nocanon
    ProxyPass      /me/ %%URL:app%%/me/ mapping=encoded
    ProxyPass      /mt/ %%URL:app%%/mt/ mapping=servlet
    ProxyPass      /ws/ ws://127.0.0.1:%%PORT:app%%/ws/
    ProxyPass      /u/  unix:%%SOCK:uds%%|http://app/u/
    SetEnvIf Request_URI ^/in/(.*)$ REST=$1
    ProxyPassInterpolateEnv On
    ProxyPassMatch ^/in/ %%URL:app%%/in/${REST} interpolate
    RewriteEngine On
    RewriteRule ^/rw/(.*)$ %%URL:app%%/rw/$1 [P]
    RewriteRule ^/rq/(.*)$ %%URL:app%%/e?$1 [P]
    RewriteRule ^/q/(.*)$  %%URL:app%%/$1.php?x=1 [P]
    RewriteRule ^/ne/(.*)$ %%URL:app%%/ne/$1 [P,NE]
    RewriteRule ^/ru/(.*)$ unix:%%SOCK:uds%%|http://app/ru/$1 [P]
    RewriteRule ^/s(proxy:.*|http:.*|balancer:.*) "$1"
    RewriteCond expr "false"
    RewriteRule ^/adm(.*)  %%URL:app%%/adm$1 [P]
    <Location /dl/>
        RewriteEngine On
        RewriteRule dl/(.*)$ %%URL:app%%/dl/$1 [P]
    </Location>
    <Directory %%DOCROOT%%/ht>
        AllowOverride All
    </Directory>
    <Location /sh/>
        SetHandler "proxy:%%URL:app%%"
    </Location>
    <Location /px/admin>
        Require all denied
    </Location>
    <Location /nc/admin>
        Require all denied
    </Location>
    <Location /me/admin>
        Require all denied
    </Location>
    <Location /mt/admin>
        Require all denied
    </Location>
    <Location /rw/admin>
        Require all denied
    </Location>
    <Location /dl/admin>
        Require all denied
    </Location>
    <Location /px/over>
        ProxyErrorOverride On
        ErrorDocument 502 /e.html
    </Location>
    <LocationMatch ^/t\.html>
        RequestHeader set Content-Type "%{TYPE}e" env=TYPE
    </LocationMatch>
    SetEnvIf X-T (.*) TYPE=$1

    # the rules of CVE-2011-3368: no slash between host and $1
    Listen 127.0.0.1:%%PORT:match%%
    <VirtualHost 127.0.0.1:%%PORT:match%%>
        ProxyPassMatch "(.*)\.png$" "%%URL:app%%$1.png"
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:rewrite%%
    <VirtualHost 127.0.0.1:%%PORT:rewrite%%>
        RewriteEngine On
        RewriteRule ^(.*) %%URL:app%%$1 [P]
    </VirtualHost>
    # $n in the host, by intent and by mistake
    Listen 127.0.0.1:%%PORT:host%%
    <VirtualHost 127.0.0.1:%%PORT:host%%>
        ProxyPassMatch ^/h/([^/]*)/(.*)$ http://$1/$2
        ProxyPassMatch ^/(.*)\.png$ %%URL:app%%$1.png
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:block%%
    <VirtualHost 127.0.0.1:%%PORT:block%%>
        ProxyBlock blocked.example calhos
        ProxyPass /blocked/ http://localhost:%%PORT:app%%/
        RewriteEngine On
        RewriteRule ^/rwb/(.*)$ http://$1/ [P]
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:slashes%%
    <VirtualHost 127.0.0.1:%%PORT:slashes%%>
        MergeSlashes Off
    </VirtualHost>
EOT

# --- one look at everything that is sent ---------------------------------------------------------

sub reset_all { $_->forget for $app, $uds; return }

# No connection to what nobody configured, at most one request, and that one is whole.
sub safe {
    my ($name) = @_;
    my @seen = map { $_->requests } $app, $uds;
    my @bad;
    push @bad, 'canary reached' if $canary->connections || $cansock->connections;
    push @bad, @seen . ' requests' if @seen > 1;
    for my $r (@seen) {
        my ($line) = $r->raw_head =~ /\A([^\n]*)\r\n/ or push @bad, 'no request line';
        push @bad, "request line '$line'" if ($line // '') !~ m{\A[A-Z]+ /[\x21-\x7e\x80-\xff]* HTTP/1\.1\z};
        push @bad, 'injected field' if defined $r->header('X-Inj');
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok !@bad, $name or diag "@bad";
    return;
}

# Status and body of what a request in raw bytes brings; for unusual request lines.
sub raw_status {
    my ($line, $port) = @_;
    reset_all();
    my $out = $t->raw("$line\r\nHost: rig\r\nConnection: close\r\n\r\n", $port ? (to => $port) : ());
    return $out =~ m{\AHTTP/1\.\d (\d+)} ? $1 : $out =~ /<title>(\d+)/ ? $1 : "none: $out";
}

sub seen_for {
    my ($path, %opt) = @_;
    reset_all();
    my $r = $t->get($path, %opt);
    my @seen = map { $_->requests } $app, $uds;
    return join ' ', $r->status == 200 ? () : $r->status, map { $_->target } @seen;
}

# --- A1 to A3: request targets that do not start with a slash --------------------------------------

for my $port (qw(match rewrite host)) {
    is raw_status("GET \@$evil/x.png HTTP/1.1", $port), 400, "A1 CVE-2011-3368: \@host ($port)";
    safe("A1 ($port)");
    is raw_status("GET x:\@$evil/y.png HTTP/1.1", $port), 400, "A3 CVE-2011-4317: scheme and rest ($port)";
    is raw_status("GET \@${evil}::8880 HTTP/1.0", $port), 400, "A3: port twice ($port)";
    is raw_status('GET * HTTP/1.1', $port), 400, "A3: GET * ($port)";
    is raw_status('OPTIONS * HTTP/1.1', $port), 200, "A3: OPTIONS * is httpd's own ($port)";
    safe("A3 ($port)");
    # A2 CVE-2011-3639: no version
    my $out = $t->raw("GET \@$evil/x.png\r\n", to => $port, half_close => 1);
    like $out, qr/400 Bad Request|\A\z/, "A2 CVE-2011-3639: HTTP/0.9 ($port)";
    safe("A2 ($port)");
}
is seen_for('/a/b.png', to => 'match'), '/a/b.png', 'such a rule still does its work';
is seen_for('/a/b', to => 'rewrite'), '/a/b', 'and this one';

# A host that text of the request has become part of is not connected to.
for my $path ("/noslash/\@$evil/", '/noslash/.example/', "/noslash/:80\@$evil/", '/noport/:' . $canary->port . '/',
    "/noport/\@$evil/", '/noport/.example/x')
{
    reset_all();
    only_ours {
        is $t->get($path)->status, 502, "the host is what the route says: $path";
        safe("host literal: $path");
    } 'it connects where the request says';
}
is seen_for('/noslash/?q'), '/?q', 'such a route serves its own host';
for my $path ("/\@$evil/x.png", "/x:y\@$evil/z.png") {
    reset_all();
    only_ours {
        isnt $t->get($path, to => 'host')->status, 200, "\$1 brings no user along: $path";
        safe("\$1 in the host: $path");
    } 'it connects where the request says';
}
is seen_for('/h/127.0.0.1:' . $app->port . '/x', to => 'host'), '/x', 'a host that the operator left to $1';

# --- A4, A5: sockets and absolute forms ---------------------------------------------------------------

{
    my $long = 'A' x 4100;
    for my $query ("unix:$long|http://$evil/", "unix:$sock|http://$evil/", "a=unix:$sock|http:") {
        is seen_for("/px/?$query"), "/px/?$query", 'A4 CVE-2021-40438: the query is sent as it is, ' . substr($query, 0, 30);
        safe('A4');
    }
}
for my $path ("/px/unix:$sock|http://$evil/", "/px/%75nix:$sock%7Chttp://$evil/", "/nc/unix:$sock|http://$evil/",
    "/rw/unix:$sock|http://$evil/", "/ht/unix:$sock|http://$evil/")
{
    reset_all();
    $t->get($path);
    safe("A4: $path");
}
for my $case ([ "GET unix:$sock|http://x/ HTTP/1.1", 400 ], [ "GET ftp://$evil/ HTTP/1.1", 400 ],
    [ "GET ftp://$evil/px/a HTTP/1.1", 400 ])
{
    is raw_status($case->[0]), $case->[1], "A5 CVE-2021-44224: $case->[0]";
    safe('A5');
}
raw_status('GET http: HTTP/1.1');
is scalar $app->requests, 0, 'A5: a scheme alone is a path of this host';
safe('A5: http:');
like raw_status("CONNECT $evil HTTP/1.1"), qr/^40[05]$/, 'A5: CONNECT';
is raw_status("GET http://$evil/px/a HTTP/1.1"), 200, 'A5: absolute form is a path of this host';
is(($app->requests)[0]->target, '/px/a', 'A5: and goes to its backend');
safe('A5: absolute form');

{
    my $long = '/tmp/' . 'a' x 200;
    my ($ok, $out) = RevProxy->configtest(backends => {}, config => "ProxyPass /x/ unix:$long|http://h/\n");
    only_ours { ok !$ok && $out =~ /too long/, 'A4: a socket path too long stops configtest' or diag $out } 'it fails at run time';
}

# what ProxyBlock names is not connected to
is seen_for('/blocked/x', to => 'block'), 403, 'ProxyBlock: a route';
is seen_for('/rwb/www.Blocked.example', to => 'block'), ours(403, mod_proxy => 500, 'it looks the name up first'),
    'ProxyBlock: a rewritten target, any case';
is seen_for('/rwb/127.0.0.1:' . $app->port, to => 'block'), '/', 'ProxyBlock: others';

# --- A6 to A9: handlers and rewriting ----------------------------------------------------------------

for my $type ('server-status', "proxy:http://$evil/") {
    reset_all();
    my $r = $t->get('/px/over', headers => [ 'X-Reply-Status' => 502, 'X-Reply-Header' => "Content-Type: $type" ]);
    is $r->body, "error page\n", "A6 CVE-2024-38476: the page of the error, not handler $type";
    safe('A6');
    $r = $t->get('/px/x', headers => [ 'X-Reply-Header' => "Content-Type: $type", 'X-Reply-Body' => 'mine' ]);
    is $r->body, 'mine', 'A6: without redirect';
}
for my $path ("/sproxy:http://$evil/", "/shttp://$evil/", "/sbalancer://b/", "/sproxy:http://127.0.0.1:" . $app->port . '/') {
    reset_all();
    like $t->get($path)->status, qr/^(404|400|302)$/, "A7 CVE-2024-39573: $path";
    is scalar $app->requests, 0, 'A7: not proxied';
    safe('A7');
}
reset_all();
is $t->get('/t.html', headers => [ 'X-T' => "proxy:http://$evil/" ])->body, "static\n", 'A8 CVE-2024-43204: a type is no handler';
is $t->get('/t.html', headers => [ 'Content-Type' => "proxy:http://$evil/" ])->body, "static\n", 'A8: from the client itself';
safe('A8');
is seen_for('/adm/x'), '', 'A9 CVE-2025-54090: a false RewriteCond expr';

# --- B7, D8: every way in, every kind of bad byte -------------------------------------------------------

my @ways = qw(px pm nc me mt ws u in rw rq ne ru dl ht sh);
my @tails = (
    'x%20HTTP/1.1%0d%0aX-Inj:%201', 'x%0aX-Inj:1', 'x%0d', 'x%00y', 'x%20y', 'x%09y', 'x%7fy', 'x%3Fy%23z',
    "\@$evil/", "..;/\@$evil/", "%2e%2e/x", "//$evil/", "%2f%2f$evil/", "%5c%5c$evil", ".example.", ":\@$evil/",
    "?x%20HTTP/1.1%0d%0aX-Inj:1", "?\@$evil/", "unix:$sock|http:", "%75nix:$sock%7chttp://x/", "proxy:http://$evil/",
    '%252e%252e/', '%%32%65/', '%u002f', '%c0%ae%c0%ae/', '[::1]', '*',
);
for my $way (@ways) {
    my %bad;
    for my $tail (@tails) {
        reset_all();
        my $r = $t->get("/$way/$tail");
        my @seen = map { $_->requests } $app, $uds;
        my $why = @seen > 1 ? @seen . ' requests' : $canary->connections || $cansock->connections ? 'canary' : '';
        for (@seen) {
            my ($line) = $_->raw_head =~ /\A([^\n]*)\n/;
            $why ||= "line $line" if $line !~ m{\A[A-Z]+ /[\x21-\x7e\x80-\xff]* HTTP/1\.1\r\z};
            $why ||= 'injected' if defined $_->header('X-Inj');
        }
        $why ||= 'no answer' if !defined $r->status;
        $bad{$tail} = $why if $why;
    }
    ok !%bad, "B7 CVE-2023-25690, D8: /$way/ with " . @tails . ' tails' or diag explain \%bad;
}

# the same from HTTP/2
SKIP: {
    my $probe = $t->curl('--http2-prior-knowledge', '-o', '/dev/null', '-w', '%{http_version}', 'http://127.0.0.1:' . $t->port . '/px/');
    skip "no curl with HTTP/2 (it said '$probe->{out}')", 1 if $probe->{out} ne '2';
    my %bad;
    for my $way (qw(px pm nc me rw)) {
        for my $tail (@tails[ 0 .. 8 ], @tails[ 16 .. 20 ]) {
            reset_all();
            $t->curl('--http2-prior-knowledge', '--path-as-is', '-g', '-o', '/dev/null', 'http://127.0.0.1:' . $t->port . "/$way/$tail");
            for (map { $_->requests } $app, $uds) {
                my ($line) = $_->raw_head =~ /\A([^\n]*)\n/;
                $bad{"$way $tail"} = $line if $line !~ m{\A[A-Z]+ /[\x21-\x7e\x80-\xff]* HTTP/1\.1\r\z} || defined $_->header('X-Inj');
            }
        }
    }
    ok !%bad, 'B7: the same from HTTP/2' or diag explain \%bad;
}

# what exactly is made of some of them
my $inject = 'x%20HTTP/1.1%0d%0aX-Inj:%201';
is seen_for("/px/$inject"), '/px/x%20HTTP/1.1%0D%0AX-Inj:%201', 'B7: encoded again';
is seen_for("/pm/$inject"), '/pm/x%20HTTP/1.1%0D%0AX-Inj:%201', 'B7: captures too';
is seen_for("/rw/$inject"), '/rw/x%20HTTP/1.1%0D%0AX-Inj:%201', 'B7: [P] too';
is seen_for("/rq/$inject"), 403, 'B7: in a query: refused';
is seen_for("/ne/$inject"), 403, 'B7: with NE: refused';

# --- D: what access control saw is what is sent ----------------------------------------------------------

is seen_for('/pm/a.php%0a'), '/pm/a.php%0A', 'D1 CVE-2017-15715: a line break is not dropped';
for my $way (qw(px nc me mt rw dl)) {
    for my $path ("//$way/admin", "/$way//admin", "/$way/./admin", "/$way/x/../admin", "/$way/%2e/admin", "/$way/%61dmin") {
        is seen_for($path), 403, "D2 CVE-2019-0220: $path";
    }
}
is seen_for('/rw/%0aevil.example/'), '/rw/%0Aevil.example/', 'D3 CVE-2019-10098: . matches a line break';
for my $path ('//px/admin', '/px//admin') {
    like seen_for($path, to => 'slashes'), qr/^40[34]$/, "D5 CVE-2021-30641: $path with MergeSlashes Off";
}
for my $way (qw(px nc me mt rw)) {
    for my $path ("/$way/.%2e/.%2e/secret", "/$way/%2e%2e/%2e%2e/secret", "/$way/../../secret", "/$way/%%32%65%%32%65/x") {
        like seen_for($path), qr/^40[034]\b/, "D6, D7: $path";
        is scalar(map { $_->requests } $app), 0, 'D6: not sent' if $path !~ /%%/;
    }
}
is seen_for('/px/%252e%252e/x'), '/px/%252e%252e/x', 'D7 CVE-2021-42013: decoded once only';
is seen_for('/nc/a/../../px/admin'), 403, 'D6: nocanon';
is seen_for('/px/a%3Fb'), '/px/a%3Fb', 'D8 CVE-2024-38473: ProxyPass';
like seen_for('/sh/a%3Fb'), qr{^/[^?]*$}, 'D8: SetHandler: no raw ?';
like seen_for('/sh/a%2523'), qr{^/[^#]*$}, 'D8: SetHandler';
is seen_for('/q/secret%3Fa'), 403, 'D9 CVE-2024-38474: an encoded ? in a capture';
is seen_for('/pm/secret%3Fa'), '/pm/secret%3Fa', 'D9: ProxyPassMatch keeps it';

# The canary would have sung.
RevProxy::Client->new(port => $canary->port)->close;
RevProxy::Client->new(unix => $sock)->close;
ok $canary->wait_for(sub { $_[0]->connections == 1 }) && $cansock->wait_for(sub { $_[0]->connections == 1 }),
    'connections to what nobody configured would be seen';

# What the many bad requests above bring into the log is not counted one by one.
$t->allow(qr/AH(?!0005[0-2])\d{5}|RP0603|RP0204|RP0207|RP0212|RP0601|RP0101|RP0102/);
$t->allow(qr/test\.conf:\d+:|Unescaped URL path matched ProxyPass/);
$t->finish;
done_testing;
