# Which requests a ProxyPass takes, and to which path: order, prefixes, patterns, exclusions.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $b1 = RevProxy::Backend->echo;
my $b2 = RevProxy::Backend->echo;
my $t  = RevProxy->new(
    backends => { one => $b1, two => $b2 },
    modules  => [qw(alias env setenvif rewrite mime status headers)],
    docs     => {
        'index.html'          => "root\n",
        'ex/no/x'             => "local ex\n",
        'lx/in/x'             => "local lx\n",
        'envskip/x'           => "local env\n",
        'static/x'            => "local static\n",
        'loc/out/x'           => "local out\n",
        'pm/keep.gif'         => "local gif\n",
        'rwskip/x'            => "local rw\n",
        'wsoff/x'             => "local ws\n",
    },
    config => <<'EOT');
    ProxyPass /a/ %%URL:one%%/
    ProxyPass /b  %%URL:one%%/bb
    ProxyPass /c  %%URL:one%%
    ProxyPass /d/ %%URL:one%%
    ProxyPass /e  %%URL:one%%/e/
    # more patterns
    ProxyPassMatch ^/pm/keep\.gif$ !
    ProxyPassMatch \.gif$          %%URL:one%%
    ProxyPassMatch ^/g/(\d+)$      %%URL:one%%/g?id=$1
    ProxyPassMatch ^/two/(\w+)/(\w+)$ %%URL:one%%/$2/$1/$0
    ProxyPassMatch ^/Case$         %%URL:one%%/case
    ProxyPass ~ ^/tilde/(.*)$      %%URL:one%%/t/$1
    ProxyPassMatch ^/mid           %%URL:one%%/base
    ProxyPassMatch ^(/slash/.*)$   %%URL:one%%$1
    ProxyPassMatch ^/esc/(.*)$     %%URL:one%%/\$1/$1
    ProxyPassMatch ^/opt(/x)?/y$   %%URL:one%%/o$1/y
    ProxyPass /ex/no !
    ProxyPass /ex    %%URL:one%%/ex
    # the first match wins, not the longest
    ProxyPass /first/       %%URL:one%%/one/
    ProxyPass /first/longer %%URL:two%%/two
    # double slashes in the pattern
    ProxyPass /dbl//x/ %%URL:one%%/dbl/
    # schemes and hosts in any case, default path
    ProxyPass /up/ HTTP://127.0.0.1:%%PORT:one%%/up/
    # a query in the target
    ProxyPass /q/ %%URL:one%%/q?x=/
    # a Location's own route comes before the server's
    ProxyPass /loc %%URL:one%%/server
    <Location /loc>
        ProxyPass %%URL:two%%/location
    </Location>
    # exclusion in a Location cancels the server's route and that of an outer Location
    <Location /loc/out>
        ProxyPass !
    </Location>
    ProxyPass /lx %%URL:one%%/lx
    <Location /lx/in>
        ProxyPass !
    </Location>
    # a server's exclusion cannot cancel a Location's route
    ProxyPass /keep !
    <Location /keep>
        ProxyPass %%URL:two%%/keep
    </Location>
    # LocationMatch, and a Location with a glob character, which is a pattern
    <LocationMatch ^/u/([^/]+)/x>
        ProxyPassMatch %%URL:two%%/user/$1
    </LocationMatch>
    <LocationMatch ^/lm/[0-9]+$>
        ProxyPass %%URL:two%%/lm
    </LocationMatch>
    # env no-proxy: in time from SetEnvIf and a RewriteRule, too late from SetEnv
    SetEnvIf Request_URI ^/envskip no-proxy
    SetEnv   no-proxy 1
    ProxyPass /envskip %%URL:one%%/env
    RewriteEngine On
    RewriteRule ^/rwskip - [E=no-proxy:1]
    ProxyPass /rwskip %%URL:one%%/rw
    # before Alias, Redirect, handlers
    Alias    /alias %%DOCROOT%%
    Redirect /redir http://elsewhere.example/
    ProxyPass /alias %%URL:one%%/alias
    ProxyPass /redir %%URL:one%%/redir
    ProxyPass /server-status !
    ProxyPass /status        %%URL:one%%/status
    <LocationMatch ^/(server-)?status>
        SetHandler server-status
    </LocationMatch>
    # a rewritten path without [PT] ends the phase
    RewriteRule ^/moved/(.*)$ /static/$1
    RewriteRule ^/passed/(.*)$ /a/$1 [PT]
    ProxyPass /moved %%URL:one%%/moved
    # a ws route with the fallback off is for upgrades only
    <Location /wsoff>
        ProxyWebsocketFallbackToProxyHttp Off
    </Location>
    ProxyPass /wsoff/on ws://127.0.0.1:%%PORT:one%%/wsoff
    ProxyPass /wsoff/on %%URL:two%%/http
    ProxyPass /wson     ws://127.0.0.1:%%PORT:one%%/wson
    # types by extension stay httpd's
    AddType text/x-local .loc
    Listen 127.0.0.1:%%PORT:inner%%
    <VirtualHost 127.0.0.1:%%PORT:inner%%>
        ServerName inner.example
        ProxyPassInherit Off
        ProxyPass /a/ %%URL:two%%/inner/
        ProxyPass /in/ %%URL:two%%/in/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:heir%%
    <VirtualHost 127.0.0.1:%%PORT:heir%%>
        ServerName heir.example
        ProxyPass /a/ %%URL:two%%/heir/
        ProxyPass /in/ %%URL:two%%/in/
    </VirtualHost>
EOT

# What a request leads to: "1 /target" (seen by the first backend), or a status, or a body.
sub outcome {
    my ($path, %opt) = @_;
    my ($n1, $n2) = (scalar $b1->requests, scalar $b2->requests);
    my $r = $t->get($path, %opt);
    my @seen = (map({ '1 ' . $_->target } ($b1->requests)[$n1 .. $#{ [ $b1->requests ] }]),
        map({ '2 ' . $_->target } ($b2->requests)[$n2 .. $#{ [ $b2->requests ] }]));
    return "@seen" if @seen;
    return $r->status == 200 ? $r->body : $r->status;
}

sub leads {
    my ($path, $want, $name, %opt) = @_;
    my $shown = $want;
    chomp $shown;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is outcome($path, %opt), $want, "$path -> $shown" . ($name ? ": $name" : '');
    return;
}

leads '/a',    404,      'shorter than the pattern, no redirect';
leads '/a/',   '1 /';
leads '/a//x', '1 /x',   'a run of slashes';
leads '/a/x',  '1 /x';
leads '/ax',   404;
leads '/A/x',  404,      'case counts';
leads '/a/x?',     '1 /x?', 'an empty query stays';
leads '/a/x?y=%20&z', '1 /x?y=%20&z';
leads '/b',   '1 /bb';
leads '/b/',  '1 /bb/';
leads '/b/x', '1 /bb/x';
leads '/b?q', '1 /bb?q';
leads '/bx',  404, 'no boundary';
leads '/c',   '1 /';
leads '/c/x', '1 /x';
leads '/c?x', '1 /?x';
leads '/d/',  '1 /';
leads '/d/x', ours(502, mod_proxy => 500, 'a fault of the backend is 502 here'), 'the host would become another';
leads '/e/x', '1 /e//x';
leads '/e',   '1 /e/';

# patterns
leads '/i/j.gif?k=1',    '1 /i/j.gif?k=1', 'no $n: the whole path';
leads '/pm/keep.gif',    "local gif\n",    'ProxyPassMatch !';
leads '/g/12?z=1',       '1 /g%3Fid=12?z=1', 'a ? in the target is encoded';
leads '/two/x/y',        '1 /y/x//two/x/y';
leads '/case',           404;
leads '/Case',           '1 /case/Case', 'no $n: the whole path behind the target';
leads '/tilde/a%20b',    '1 /t/a%20b', 'ProxyPass ~';
leads '/x/mid',          404;
leads '/middle/z',       '1 /base/middle/z', 'patterns are not anchored at their end';
leads '/slash/x?y',      '1 /slash/x?y', 'a slash out of the path ends the host';
leads '/esc/z',          '1 /$1/z', 'an escaped $';
leads '/opt/y',          '1 /o/y', 'a group without match is empty';
leads '/opt/x/y',        '1 /o/x/y';

leads '/ex/no/x', "local ex\n";
leads '/ex/nope', '1 /ex/nope';

leads '/first/longer/x', '1 /one/longer/x', 'first match, not longest';
leads '/dbl/x/y',        '1 /dbl/y';
leads '/up/x',           '1 /up/x';
leads '/q/a?b=1',        '1 /q%3Fx=/a?b=1';

# Locations
leads '/loc/x',     '2 /location/x';
leads '/loc/out/x', "local out\n";
leads '/lx/in/x',   "local lx\n";
leads '/lx/y',      '1 /lx/y';
leads '/keep/x',    '2 /keep/x';
leads '/u/joe/x',   '2 /user/joe';
leads '/lm/17',     '2 /lm/lm/17', 'ProxyPass in a LocationMatch is a pattern';

# no-proxy
leads '/envskip/x', "local env\n";
leads '/rwskip/x',  "local rw\n";
leads '/a/setenv',  '1 /setenv', 'SetEnv no-proxy is too late';

# other modules
leads '/alias/index.html', '1 /alias/index.html', 'before Alias';
leads '/redir/x',  '1 /redir/x', 'before Redirect';
leads '/status',   '1 /status', 'before SetHandler';
like $t->get('/server-status')->body, qr/Apache Server Status/, 'an excluded SetHandler';
leads '/moved/x',  "local static\n", 'a RewriteRule without [PT] ends the phase';
leads '/passed/x', '1 /x', 'with [PT] it does not';

# ws targets
leads '/wsoff/on/x', '2 /http/x', 'no Upgrade: the next route';
leads '/wson/x',     '1 /wson/x', 'plain HTTP to a ws target';

# request targets that are not mapped
is $t->request(method => 'OPTIONS', path => '*')->status, 200, 'OPTIONS * is httpd\'s own';
leads "http://other.example/a/abs", '1 /abs', 'absolute form is a path here';

# the main server's routes in virtual hosts
leads '/a/x',  ours('2 /inner/x', mod_proxy => '1 /x', 'it does other than its manual says'), 'ProxyPassInherit Off', to => 'inner';
leads '/in/x', '2 /in/x', '', to => 'inner';
leads '/a/x',  '1 /x', 'the main server\'s come first', to => 'heir';
leads '/in/x', '2 /in/x', '', to => 'heir';

# what httpd makes of the request
{
    my $r = $t->get('/a/x.loc', headers => [ 'X-Reply-Raw-B64' => 'SFRUUC8xLjEgMjAwIE9LDQpDb250ZW50LUxlbmd0aDogMA0KDQo=' ]);
    is $r->header('Content-Type'), 'text/x-local', 'AddType counts where the backend names no type';
    is $t->get('/a/x.loc')->header('Content-Type'), 'text/plain', 'the backend\'s type wins';
}

$t->allow(qr/test\.conf:\d+: ProxyPass/);    # what configtest warns of is here on purpose
if (front() eq 'mod_proxy') {
    $t->allow(qr/AH00898|DNS lookup failure|AH01114/);
}
else {
    $t->claim(qr/RP0603 .* route \/d\/ /, 'the log names the route', count => 1);
}
$t->finish;
done_testing;
