# RewriteRule [P]: server, virtual host, Location, Directory, .htaccess.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $uds = RevProxy::Backend->echo(unix => 1);
my $url = $app->url;
my $t   = RevProxy->new(
    backends => { app => $app, uds => $uds },
    modules  => [qw(rewrite env setenvif headers dir)],
    docs     => {
        'ht/.htaccess'  => <<"EOT",
RewriteEngine On
RewriteRule ^p/(.*)\$ $url/ht/\$1 [P]
RewriteRule ^ne/(.*)\$ $url/htne/\$1 [P,NE]
RewriteRule ^sub/(.*)\$ $url/sub/\$1?x=1 [P,QSA]
EOT
        'ht/index.html' => "local\n",
        'dir/file'      => "local dir\n",
        'adm/x'         => "local adm\n",
    },
    config => <<'EOT');
    RewriteEngine On
    RewriteRule ^/rw/(.*)$   %%URL:app%%/$1 [P]
    RewriteRule ^/rwq/(.*)$  %%URL:app%%/rwq?u=$1 [P,QSA]
    RewriteRule ^/qsd/(.*)$  %%URL:app%%/qsd/$1 [P,QSD]
    RewriteRule ^/qset/(.*)$ %%URL:app%%/qset/$1?only=1 [P]
    RewriteRule ^/rwne/(.*)$ %%URL:app%%/rwne/$1 [P,NE]
    RewriteRule ^/b/(.*)$    %%URL:app%%/b/$1 [P,B]
    RewriteRule ^/uds/(.*)$  unix:%%SOCK:uds%%|http://sock.example/uds/$1 [P]
    RewriteRule ^/udsrel/(.*)$ "unix:udsrel.sock|http:/udsrel/$1" [P]
    RewriteRule ^/ws/(.*)$   ws://127.0.0.1:%%PORT:app%%/ws/$1 [P]
    RewriteRule ^/port/(.*)$ http://127.0.0.1:0/$1 [P]
    RewriteRule ^/nohost/(.*)$ http:///$1 [P]
    RewriteRule ^/nogroup/(.*)$ balancer://nosuch/$1 [P]
    RewriteRule ^/foreign/(.*)$ gopher://127.0.0.1:%%PORT:app%%/$1 [P]
    RewriteCond expr "false"
    RewriteRule ^/adm(.*)    %%URL:app%%/adm$1 [P]
    RewriteRule ^/nop(.*)    "$1"
    RewriteRule ^/query3f/(.*)$ %%URL:app%%/$1.php?x=1 [P]
    # scheme by variable
    RewriteCond %{HTTPS} =off
    RewriteRule . - [E=proto:http]
    RewriteRule ^/m/(.*)  %{ENV:proto}://127.0.0.1:%%PORT:app%%/m/$1 [P]
    ProxyPassReverse /rw/ %%URL:app%%/
    # routing by agent, cookie and query
    RewriteCond %{HTTP_USER_AGENT} Mobile
    RewriteRule ^/cond/(.*) %%URL:app%%/mobile/$1 [P]
    RewriteCond %{HTTP_COOKIE} beta=1
    RewriteRule ^/cond/(.*) %%URL:app%%/beta/$1 [P]
    RewriteCond %{QUERY_STRING} (?:^|&)v=2
    RewriteRule ^/cond/(.*) %%URL:app%%/v2/$1 [P]
    RewriteRule ^/cond/(.*) %%URL:app%%/plain/$1 [P]
    # [P] comes before ProxyPass
    ProxyPass /rw %%URL:app%%/never
    ProxyPass /pp/ %%URL:app%%/pp/

    <Location /locrw/>
        RewriteEngine On
        RewriteRule locrw/(.*)$ %%URL:app%%/inloc/$1 [P]
    </Location>
    # a rule in a Location sees a request that has a route already
    <Location /pp/re/>
        RewriteEngine On
        RewriteRule re/(.*)$ http://localhost:%%PORT:app%%/changed/$1 [P]
    </Location>
    <Directory %%DOCROOT%%/dir>
        RewriteEngine On
        RewriteRule ^p/(.*)$ %%URL:app%%/dir/$1 [P]
    </Directory>
    <Directory %%DOCROOT%%/ht>
        AllowOverride All
    </Directory>
    # <Proxy> sections apply to [P] in the server, not in directories
    <Proxy %%URL:app%%/sec/>
        Require all denied
    </Proxy>
    RewriteRule ^/sec/(.*)$ %%URL:app%%/sec/$1 [P]
    <Location /locsec/>
        RewriteEngine On
        RewriteRule locsec/(.*)$ %%URL:app%%/sec/$1 [P]
    </Location>
    # a backend that is defined, and its options
    <Proxy %%URL:app%%/defined>
        ProxySet timeout=20
    </Proxy>
    RewriteRule ^/def/(.*)$ %%URL:app%%/defined/$1 [P]
EOT

sub outcome {
    my ($path, %opt) = @_;
    my ($n, $m) = (scalar $app->requests, scalar $uds->requests);
    my $r = $t->get($path, %opt);
    my @app = map { $_->target } $app->requests;
    my @uds = map { 'uds ' . $_->target } $uds->requests;
    my @seen = (@app[$n .. $#app], @uds[$m .. $#uds]);
    return join ' ', ($r->status == 200 ? () : $r->status), @seen if @seen;
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

# server context
leads '/rw/x',            '/x', 'before ProxyPass';
leads '/rw/x?a=1',        '/x?a=1';
leads '/rw/a%20b%25%c3%a9', '/a%20b%25%C3%A9', 'captured text is encoded again';
leads '/rw/a%23b',        '/a%23b';
leads '/rwq/a%26b?z=1',   '/rwq?u=a&b&z=1', 'a & in a variable';
leads '/qsd/x?y',         '/qsd/x';
leads '/qset/x?y',        '/qset/x?only=1';
leads '/rwne/a%20b',      403, 'a space that [NE] leaves';
leads '/rwne/a%0d%0aX:1', 403, 'no line breaks';
leads '/rwne/a%25b?q=%20', '/rwne/a%b?q=%20', 'NE: the path is raw';
leads '/rwne/ab',         '/rwne/ab';
leads '/b/a%20b',         '/b/a+b', '[B] encodes the captured text';
leads '/ws/x',            '/ws/x', 'a ws target, plain HTTP';
leads '/m/x',             '/m/x', 'the scheme by a variable';
leads '/def/x',           '/defined/x';
leads '/query3f/secret%3Fa', 403, 'mod_rewrite refuses an encoded ?';

# conditions
leads '/cond/x', '/mobile/x', 'agent', headers => [ 'User-Agent' => 'A Mobile B' ];
leads '/cond/x', '/beta/x',   'cookie', headers => [ Cookie => 'beta=1' ];
leads '/cond/x?v=2', '/v2/x?v=2', 'query';
leads '/cond/x', '/plain/x';
leads '/adm/x',  "local adm\n", 'RewriteCond expr false';

# unix sockets
leads '/uds/x?y', 'uds /uds/x?y';
is(($uds->requests)[-1]->header('Host'), 'sock.example', 'the host behind the bar is sent');
leads '/udsrel/x', 503, 'a relative path is one below the runtime directory';

# targets that cannot be
leads '/nohost/x',  400;
leads '/port/x',    400;
leads '/nogroup/x', 500;
leads '/foreign/x', 500;

# without [P] the internal prefix is only text
leads '/nopproxy:http://127.0.0.1/', 404, 'no [P]: never proxied';

# per directory
leads '/locrw/a%20b?q',  '/inloc/a%20b?q', 'Location';
leads '/dir/p/x',        '/dir/x', 'Directory';
leads '/dir/file',       "local dir\n";
leads '/ht/p/a%20b%3d',  '/ht/a%20b=', '.htaccess';
leads '/ht/ne/a%20b',    403, '.htaccess with NE';
leads '/ht/ne/ab?c=%20', '/htne/ab?c=%20';
leads '/ht/sub/x?y=2',   '/sub/x?x=1&y=2';
leads '/pp/x',           '/pp/x';
leads '/pp/re/x',        '/changed/x', 'a rule in the Location of a route';

# sections
leads '/sec/x',    403, '<Proxy> holds for [P] in the server';
leads '/locsec/x', '/sec/x', 'and not for [P] in a Location';

# the way back is mapped whatever brought the request here
is $t->get('/rw/x', headers => [ 'X-Reply-Status' => 302,
    'X-Reply-Header' => 'Location: ' . $t->expand('%%URL:app%%/y') ])->header('Location'),
    'http://127.0.0.1:' . $t->port . '/rw/y', 'Location is mapped';

# connections are kept
{
    $app->forget;
    my $k = $t->connect;
    $k->request(path => "/rw/$_") for qw(one two);
    my ($one, $two) = $app->requests;
    only_ours { is $two->connection, $one->connection, 'the connection is used again' }
        'no pooling for [P]';
}

if (front() eq 'mod_proxy') {
    $t->allow(qr/AH01114|AH00957|AH01144|AH01083|AH01171|AH10408|AH10415|AH02454|AH01151|AH00898|AH01171|AH00959/);
}
else {
    $t->claim(qr/RP0207 .*route \[P\]/, 'no host, no port: RP0207', count => 2);
    $t->claim(qr/RP0204 .*route \[P\]/, 'bytes that cannot be sent: RP0204', count => 3);
    $t->claim(qr/RP0602 .*balancer:\/\/nosuch/, 'no such balancer: RP0602', count => 1);
    $t->claim(qr/RP0108 .*gopher:/, 'unknown scheme: RP0108', count => 1);
    $t->claim(qr/RP0102 .*udsrel/, 'no socket: RP0102', count => 1);
}
$t->allow(qr/AH10508|AH01630|AH00127|AH10410|AH00128|AH10411/);
$t->finish;
done_testing;
