# Modules and sections that decide who may come through, and what happens instead: authentication, remoteip,
# <If>, .htaccess, mod_dir, ErrorDocument, mod_status, reqtimeout.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(time sleep);
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(auth_basic rewrite headers setenvif env remoteip status reqtimeout access_compat authz_host)],
    # alice's password is wonderland
    files    => { 'conf/users' => 'alice:' . crypt('wonderland', 'ab') . "\n" },
    docs     => {
        'local.html'            => "local page\n",
        'ht/.htaccess'          => "RewriteEngine On\nRewriteRule ^(go/.*)\$ %%URL:app%%/\$1 [P]\n",
        'ht/static.txt'         => "static\n",
        'ht2/.htaccess'         => "Header set X-Ht yes\nRequire all denied\n",
    },
    config => <<'EOT');
    ProxyPass /open/ %%URL:app%%/open/
    ProxyPass /auth/ %%URL:app%%/auth/
    ProxyPass /chain/ %%URL:app%%/chain/
    <LocationMatch ^/(auth|chain)/>
        AuthType Basic
        AuthName "the proxy"
        AuthUserFile %%DIR%%/conf/users
        AuthBasicProvider file
        Require valid-user
        RequestHeader set X-User expr=%{REMOTE_USER}
    </LocationMatch>
    <Location /chain/>
        SetEnv Proxy-Chain-Auth 1
    </Location>
    ProxyPass /denied/ %%URL:app%%/denied/
    <Location /denied/>
        Require all denied
    </Location>

    RemoteIPHeader X-Client-IP
    RemoteIPInternalProxy 127.0.0.1

    ProxyPass /if/ %%URL:app%%/if/
    <If "%{REQUEST_URI} =~ m#^/if/(deny|add)# && %{QUERY_STRING} == 'now'">
        RequestHeader set X-If yes
        <If "%{REQUEST_URI} =~ m#^/if/deny#">
            Require all denied
        </If>
    </If>
    <If "%{REQUEST_URI} =~ m#^/if/host#">
        ProxyPreserveHost On
    </If>

    <Directory %%DOCROOT%%/ht>
        AllowOverride FileInfo
    </Directory>
    # neither applies to what ProxyPass took
    <Directory %%DOCROOT%%/ht2>
        AllowOverride All
    </Directory>
    ProxyPass /ht2/ %%URL:app%%/ht2/

    # the index of a directory may be proxied
    <Directory %%DOCROOT%%>
        DirectoryIndex /app-index index.html
    </Directory>
    ProxyPass /app-index %%URL:app%%/the-index
    <Location /noslash>
        DirectorySlash Off
    </Location>

    ErrorDocument 503 /local.html
    ProxyPass /gone/ http://127.0.0.1:%%PORT:gone%%/
    ProxyPass /gone2/ http://127.0.0.1:%%PORT:gone%%/2/
    <Location /gone2/>
        ErrorDocument 503 /errors/503
    </Location>
    ProxyPass /gone3/ http://127.0.0.1:%%PORT:gone%%/3/
    <Location /gone3/>
        ErrorDocument 503 /gone/again
    </Location>
    ProxyPass /gone4/ http://127.0.0.1:%%PORT:gone%%/4/
    <Location /gone4/>
        ErrorDocument 503 https://elsewhere.test/sorry
    </Location>
    ProxyPass /errors/ %%URL:app%%/errors/
    ProxyPass /over/ %%URL:app%%/over/
    <Location /over/>
        ProxyErrorOverride On 404 500
        ErrorDocument 404 /local.html
        ErrorDocument 500 /errors/500
    </Location>
    ProxyPass /keepstatus/ %%URL:app%%/keepstatus/
    <Location /keepstatus/>
        ProxyErrorOverride On
    </Location>
    ProxyPass /over2/ %%URL:app%%/over2/
    <Location /over2/>
        ProxyErrorOverride On 500
        ErrorDocument 500 /keepstatus/500
    </Location>

    ExtendedStatus On
    ProxyPass /server-status !
    <Location /server-status>
        SetHandler server-status
    </Location>

    ProxyPass /upload/ %%URL:app%%/upload/
    Listen 127.0.0.1:%%PORT:clock%%
    <VirtualHost 127.0.0.1:%%PORT:clock%%>
        RequestReadTimeout header=1 body=1
        ProxyPass / %%URL:app%%/clock/
    </VirtualHost>
EOT
# %% in documents are not replaced by themselves.
RevProxy::write_file($t->dir . '/htdocs/ht/.htaccess', $t->expand("RewriteEngine On\nRewriteRule ^(go/.*)\$ %%URL:app%%/\$1 [P]\n"));
my $public = 'http://127.0.0.1:' . $t->port;

sub seen    { my @all = $app->requests; return $all[-1] }
sub basic   { return (Authorization => 'Basic ' . encode_base64($_[0], '')) }
sub seen_n  { return scalar(my @all = $app->requests) }

# --- authentication ---

{
    is $t->get('/auth/x')->status, 401, 'without a password';
    is $t->get('/auth/x')->header('WWW-Authenticate'), 'Basic realm="the proxy"', 'is asked for one';
    is $t->get('/auth/x', headers => [ basic('alice:wrong') ])->status, 401, 'with a wrong one';
    is seen_n(), 0, 'and the backend is not reached';
    my $r = $t->get('/auth/x', headers => [ basic('alice:wonderland'), 'Proxy-Authorization' => 'Basic eDp5' ]);
    is $r->status, 200, 'with the right one';
    is seen()->header('Authorization'), (basic('alice:wonderland'))[1], 'Authorization goes on to the backend';
    is seen()->header('X-User'), 'alice', 'the user is known to other modules';
    is seen()->header('Proxy-Authorization'), undef, 'Proxy-Authorization is the proxy\'s own then';
    $t->get('/chain/x', headers => [ basic('alice:wonderland'), 'Proxy-Authorization' => 'Basic eDp5' ]);
    is seen()->header('Proxy-Authorization'), 'Basic eDp5', 'unless Proxy-Chain-Auth is set';
    $t->get('/open/x', headers => [ 'Proxy-Authorization' => 'Basic eDp5' ]);
    is seen()->header('Proxy-Authorization'), 'Basic eDp5', 'or nobody was authenticated here';
    is $t->get('/denied/x')->status, 403, 'Require all denied';
    my @access = grep {/"GET \/auth\/x/} $t->access_log(7);
    ok @access >= 4, 'all in the access log';
    $t->allow(qr/AH01617|AH01618|AH01630/);
}
{
    my $r = $t->request(path => '/auth/x', body => 'x' x 200000);
    is $r->status, 401, 'a refused upload';
}

# --- mod_remoteip ---

{
    $t->get('/open/x', headers => [ 'X-Client-IP' => '203.0.113.9' ]);
    is seen()->header('X-Forwarded-For'), '203.0.113.9', 'X-Forwarded-For has the address that mod_remoteip found';
    is seen()->header('X-Client-IP'), undef, 'whose header is used up';
    $t->get('/open/x', headers => [ 'X-Client-IP' => '203.0.113.9', 'X-Forwarded-For' => '198.51.100.1' ]);
    is seen()->header('X-Forwarded-For'), '198.51.100.1, 203.0.113.9', 'behind what was there';
}

# --- <If>, .htaccess ---

$t->get('/if/add?now');
is seen()->header('X-If'), 'yes', '<If> adds a field';
$t->get('/if/add?later');
is seen()->header('X-If'), undef, 'or not';
is $t->get('/if/deny?now')->status, 403, '<If> refuses';
is $t->get('/if/deny?later')->status, 200, 'or not';
$t->get('/if/host', headers => [ Host => 'public.test' ]);
is seen()->header('Host'), 'public.test', 'ProxyPreserveHost inside <If>';

is $t->get('/ht/static.txt')->body, "static\n", '.htaccess: a file stays a file';
is $t->get('/ht/go/x?y=1')->status, 200, '.htaccess: [P]';
is seen()->target, '/go/x?y=1', '.htaccess: reaches the backend';
my $ht2 = $t->get('/ht2/x');
is $ht2->status . ($ht2->header('X-Ht') // ''), '200', '.htaccess and <Directory> do not apply to a ProxyPass';

# --- mod_dir ---

{
    my $r = $t->get('/?q=1');
    is $r->status, 200, 'DirectoryIndex: a proxied index';
    is seen()->target, '/the-index?q=1', 'is asked for with the query';
}

# --- ErrorDocument ---

{
    my $r = $t->get('/gone/x');
    is $r->status . $r->body, "503local page\n", 'a local page keeps the status';
    $r = $t->get('/gone2/x');
    is $r->status, 200, 'a proxied page brings its own';
    is seen()->target, '/errors/503', 'of the backend';
    is seen()->method, 'GET', 'asked for with GET';
    $r = $t->request(path => '/gone2/x', body => 'x' x 50000);
    is $r->status . seen()->method, '200GET', 'after a POST, too';
    is seen()->body_length, ours(0, mod_proxy => 50000, 'a page has no use for the body of what failed'), 'without its body';
    $r = $t->request(path => '/over/x?reply-status=500', body => 'x' x 50000);
    is $r->status . seen()->target, '200/errors/500', 'the same where the body is with a backend already';
    is seen()->body_length, 0, 'without its body';
    is $t->request(method => 'HEAD', path => '/gone2/x')->status, 200, 'after a HEAD';
    $r = $t->get('/gone3/x');
    is $r->status, 503, 'a proxied page that fails, too: once is enough';
    $r = $t->get('/gone4/x');
    is $r->status . $r->header('Location'), '302https://elsewhere.test/sorry', 'a page elsewhere';
    $t->claim_fault('RP0102', route => $_, phase => 'connecting') for qw(/gone/ /gone2/ /gone3/ /gone4/);

    $r = $t->get('/over/x?reply-status=404&reply-body=secret&reply-header=Set-Cookie:%20a=b');
    is $r->status . $r->body, "404local page\n", 'ProxyErrorOverride: the local page';
    is $r->header('Set-Cookie'), undef, 'and none of the backend\'s fields';
    $r = $t->get('/over/x?reply-status=403&reply-body=its%20own');
    is $r->status . $r->body, '403its own', 'not for other statuses';
    $r = $t->get('/over/x?reply-status=500');
    is $r->status . seen()->target, '200/errors/500', 'a proxied page for it: its status';
    $r = $t->get('/over2/x?reply-status=500');
    is $r->status . seen()->target, '500/keepstatus/500', 'unless overriding is on for the page, too';
}

# --- mod_status ---

SKIP: {
    my $k = $t->connect;
    $k->send_request(path => '/open/slow?reply-delay=0.5');
    $app->wait_for(sub { grep { $_->target =~ /slow/ } $app->requests });
    my $r = $t->get('/server-status');
    is $r->status, 200, 'server-status under way';
    like $r->body, qr{GET /over2/x\?reply-status=500}, 'with the requests of before in it';
    like $t->get('/server-status?auto')->body, qr{^BusyWorkers: \d+$}m, 'and for machines';
    is $k->read_response->status, 200, 'the request under way ends well';
    $k->close;
    my ($ms) = $t->get('/server-status?auto')->body =~ m{^Total Duration: (\d+)$}m;
    cmp_ok $ms, '<', 60000, 'and its time is counted rightly';
}

# --- mod_reqtimeout ---

{
    my $k = $t->connect(to => 'clock');
    $k->send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    my $since = time;
    my $r     = $k->read_response;
    is $r->status, 408, 'RequestReadTimeout body: 408';
    cmp_ok time - $since, '<', 2.5 * $RevProxy::SLOW, 'in time';
    # While the body is streamed: the backend waits already.
    $k = $t->connect(to => 'clock');
    $k->send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" . 'x' x 40000);
    $since = time;
    $r     = $k->read_response;
    is $r->status, ours(408, mod_proxy => 408, 'the same'), 'and when part of the body is with the backend: 408';
    cmp_ok time - $since, '<', 2.5 * $RevProxy::SLOW, 'in time';
    is $t->get('/x', to => 'clock')->status, 200, 'and others are served';
    my $slow = $t->get('/x?reply-delay=1.3', to => 'clock');
    is $slow->status, 200, 'a slow backend is not a slow client';
}

$t->allow(qr/AH0\d{4}/) if front() eq 'mod_proxy';
$t->finish;
done_testing;
