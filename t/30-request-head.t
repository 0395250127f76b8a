# The head of the request that a backend gets: fields kept, removed, added, and their order.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(env setenvif headers include authn_core authn_file authz_user auth_basic)],
    docs     => { 'ssi/page.shtml' => qq{<!--#include virtual="/plain/inner"-->\n}, 'passwd' => "ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n" },
    config   => <<'EOT');
    UseCanonicalName Off
    AddOutputFilter INCLUDES .shtml
    ProxyPass /ssi !
    ProxyPass / %%URL:app%%/
    <Directory %%DOCROOT%%/ssi>
        Options +Includes
    </Directory>
    <Location /keeps/>
        ProxyPreserveHost On
    </Location>
    <Location /noadd/>
        ProxyAddHeaders Off
    </Location>
    <Location /auth/>
        AuthType Basic
        AuthName x
        AuthUserFile %%DOCROOT%%/passwd
        Require valid-user
    </Location>
    <Location /auth/chain/>
        SetEnv proxy-chain-auth 1
    </Location>
    <Location /set/>
        RequestHeader set X-Set yes
        RequestHeader append X-Forwarded-For 1.1.1.1
        RequestHeader unset Cookie
    </Location>
    <Location /f10/>
        SetEnv force-proxy-request-1.0 1
    </Location>
    <Location /f10case/>
        SetEnv FORCE-Proxy-Request-1.0 any
    </Location>
    <Location /once/>
        SetEnv proxy-nokeepalive 1
    </Location>
    <Location /initial/>
        SetEnv proxy-initial-not-pooled 1
    </Location>
    <VirtualHost *:%%PORT%%>
        ServerName main.example
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName via.example
        ProxyVia On
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName full.example
        ProxyVia Full
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName block.example
        ProxyVia Block
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName canonical.example:8443
        UseCanonicalName On
        ProxyVia On
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName hops.example
        ProxyMaxForwards 7
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName hops0.example
        ProxyMaxForwards 0
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName trace.example
        TraceEnable On
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName extended.example
        TraceEnable extended
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName notrace.example
        TraceEnable Off
    </VirtualHost>
EOT
my $target = '127.0.0.1:' . $app->port;

# What the backend got (undef if nothing), and the answer.
sub sent {
    my (%request) = @_;
    my $seen = () = $app->requests;
    my $r    = $t->request(method => 'GET', path => '/', %request);
    my @got  = $app->requests;
    return wantarray ? ($got[$seen], $r) : $got[$seen];
}

sub lines_of { my ($q) = @_; return join '', map {"$_->[0]: $_->[1]\n"} @{ $q->headers } }

# --- 12.1 request line

for my $case (
    [ 'GET',       '/p/q?a=b&c',  '/p/q?a=b&c' ],
    [ 'POST',      '/p',          '/p' ],
    [ 'PROPFIND',  '/dav/',       '/dav/' ],
    [ 'BREW',      '/pot?',       '/pot?' ],
    [ 'x-lower!#', '/m',          '/m' ],
    [ 'DELETE',    '/',           '/' ])
{
    my ($method, $path, $expected) = @$case;
    my $q = sent(method => $method, path => $path);
    my ($line) = $q->raw_head =~ /\A([^\r]*)/;
    is $line, "$method $expected HTTP/1.1", "request line of $method $path";
}
is sent(version => '1.0')->version, '1.1', 'an HTTP/1.0 client is one of HTTP/1.1 to the backend';

# --- 12.2 order: Host, the client's in order, ours, Connection

my $q = sent(headers => [ Accept => '*/*', Host => 'main.example', Cookie => 'a=1', 'X-Two' => '1', 'User-Agent' => 'u', 'X-Two' => '2', Cookie => 'b=2' ]);
is lines_of($q), <<"EOT", 'order of fields';
Host: $target
Accept: */*
Cookie: a=1, b=2
X-Two: 1, 2
User-Agent: u
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: main.example
X-Forwarded-Server: main.example
Connection: Keep-Alive
EOT

$q = sent(headers => [ 'X-A' => 1, 'X-Forwarded-Server' => 's.example', Via => '1.0 fred', 'X-Forwarded-For' => '9.9.9.9',
        'X-B' => 2, 'x-forwarded-host' => 'h.example', Host => 'via.example:8081' ]);
is lines_of($q), <<"EOT", 'ours are appended in place';
Host: $target
X-A: 1
X-Forwarded-Server: s.example, via.example
Via: 1.0 fred, 1.1 via.example:8081
X-Forwarded-For: 9.9.9.9, 127.0.0.1
X-B: 2
x-forwarded-host: h.example, via.example:8081
Connection: Keep-Alive
EOT

$q = sent(headers => [ Host => 'via.example', 'X-A' => 1 ], body => 'abc');
is lines_of($q), <<"EOT", 'those that were not there come at the end, then framing';
Host: $target
X-A: 1
Via: 1.1 via.example
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: via.example
X-Forwarded-Server: via.example
Content-Length: 3
Connection: Keep-Alive
EOT

# --- hop-by-hop

$q = sent(headers => [
        Host => 'main.example', Connection => 'X-Foo, keep-alive,  x-bar', 'X-Foo' => 1, 'X-Bar' => 2, 'X-Baz' => 3,
        'Keep-Alive' => 'timeout=5', 'Proxy-Connection' => 'keep-alive', TE => 'trailers', Trailer => 'X-T', Upgrade => 'foo/1',
        'Proxy-Authorization' => 'Basic eDp5', Authorization => 'Basic eDp5', Range => 'bytes=0-1', 'Accept-Encoding' => 'gzip',
        'If-None-Match' => '"e"', 'If-Match' => '"m"', 'If-Modified-Since' => 'Sat, 29 Oct 1994 19:43:31 GMT', 'If-Range' => '"r"',
        'If-Unmodified-Since' => 'Sat, 29 Oct 2094 19:43:31 GMT', Expect => undef ]);
is lines_of($q), <<"EOT", 'fields of one hop are not forwarded, those end to end are';
Host: $target
X-Baz: 3
Proxy-Authorization: Basic eDp5
Authorization: Basic eDp5
Range: bytes=0-1
Accept-Encoding: gzip
If-None-Match: "e"
If-Match: "m"
If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT
If-Range: "r"
If-Unmodified-Since: Sat, 29 Oct 2094 19:43:31 GMT
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: main.example
X-Forwarded-Server: main.example
Connection: Keep-Alive
EOT
for my $field ('Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Upgrade') {
    is sent(headers => [ $field => 'x' ])->header($field), undef, "... nor $field where Connection does not name it";
}
$q = sent(headers => [ Connection => 'a', 'X-One' => 1, Connection => ',, x-one ,', 'X-Two' => 2 ]);
ok !defined $q->header('X-One'), 'named on a second Connection line';
is $q->header('X-Two'), 2, '... and no other';
is $q->header('Connection'), 'Keep-Alive', 'the Connection field is ours';
$q = sent(headers => [ Host => 'via.example', Connection => 'x-forwarded-for, via, x-forwarded-host', 'X-Forwarded-For' => '6.6.6.6', Via => '1.1 evil', 'X-Forwarded-Host' => 'evil' ]);
is $q->header('X-Forwarded-For'), '127.0.0.1', 'naming X-Forwarded-For in Connection does not keep ours out';
is $q->header('X-Forwarded-Host'), 'via.example', '... nor X-Forwarded-Host';
is $q->header('Via'), '1.1 via.example', '... nor Via';
is sent(headers => [ Connection => 'host, content-length' ], body => 'xyz')->header('Content-Length'), 3, '... nor what frames the message';
is sent(headers => [ Proxy => 'evil:1' ])->header('Proxy'), ours(undef, mod_proxy => 'evil:1', 'httpoxy'), 'a Proxy field';

# --- Host

is sent(path => '/keeps/x', headers => [ Host => 'Public.Example:8080' ])->header('Host'), 'Public.Example:8080', 'ProxyPreserveHost On: verbatim, with its port';
is sent(path => '/x',       headers => [ Host => 'public.example:8080' ])->header('Host'), $target, 'Off: the target';
($q) = sent(path => '/keeps/x', version => '1.0', headers => [ Host => undef ]);
is $q->header('Host'), 'main.example', 'no Host from an HTTP/1.0 client: ServerName';
ok !defined $q->header('X-Forwarded-Host'), '... and no X-Forwarded-Host';
$t->claim(qr/AH01092/) if front eq 'mod_proxy';

# --- X-Forwarded-*, RequestHeader, credentials

$q = sent(path => '/noadd/', headers => [ 'X-Forwarded-For' => '9.9.9.9', 'X-Forwarded-Server' => 's' ]);
is_deeply [ map { $q->header("X-Forwarded-$_") } qw(For Host Server) ], [ '9.9.9.9', undef, 's' ], "ProxyAddHeaders Off: the client's only";
is sent(headers => [ 'X-Forwarded-For' => '1.2.3.4', 'X-Other' => 1, 'X-Forwarded-For' => '5.6.7.8' ])->header('X-Forwarded-For'),
    '1.2.3.4, 5.6.7.8, 127.0.0.1', 'two lines become one, ours last';
$q = sent(path => '/set/', headers => [ Cookie => 'a=1' ]);
is $q->header('X-Set'), 'yes', 'RequestHeader sets';
is $q->header('Cookie'), undef, '... and unsets';
is $q->header('X-Forwarded-For'), '1.1.1.1, 127.0.0.1', '... before X-Forwarded-For is appended to';
my @user = (Authorization => 'Basic YW5uOnNlY3JldA==', 'Proxy-Authorization' => 'Basic eDp5');
SKIP: {
    my ($got, $r) = sent(path => '/auth/', headers => [ 'Authorization' => 'Basic YW5uOnRlc3Q=', 'Proxy-Authorization' => 'Basic eDp5' ]);
    is $r->status, 200, 'authenticated by httpd' or skip 'no credentials', 3;
    is $got->header('Authorization'), 'Basic YW5uOnRlc3Q=', 'Authorization is forwarded all the same';
    is $got->header('Proxy-Authorization'), undef, '... Proxy-Authorization is not';
    is sent(path => '/auth/chain/', headers => [ 'Authorization' => 'Basic YW5uOnRlc3Q=', 'Proxy-Authorization' => 'Basic eDp5' ])->header('Proxy-Authorization'),
        'Basic eDp5', '... but with Proxy-Chain-Auth';
}

# --- Via

for my $case (
    [ 'main.example',      [],                    undef,                               'Off' ],
    [ 'main.example',      [ Via => '1.0 a' ],    '1.0 a',                             'Off: the old one stays' ],
    [ 'full.example',      [],                    qr{\A1\.1 full\.example \(Apache/2\.4\.\d+\S*\)\z}, 'Full' ],
    [ 'block.example',     [ Via => '1.0 a' ],    undef,                               'Block' ],
    [ 'via.example',       [ Via => '1.0 a', 'X-Y' => 1, Via => '1.1 b' ], '1.0 a, 1.1 b, 1.1 via.example', 'On, two lines' ],
    [ 'canonical.example', [],                    '1.1 canonical.example:8443',        'the port of ServerName with UseCanonicalName' ])
{
    my ($host, $headers, $expected, $name) = @$case;
    my $via = sent(headers => [ Host => $host, @$headers ])->header('Via');
    ref $expected ? like($via, $expected, "Via: $name") : is($via, $expected, "Via: $name");
}
is sent(version => '1.0', headers => [ Host => 'via.example' ])->header('Via'), '1.0 via.example', 'Via: version of the client';

# --- subrequests

my @conditions = ('If-Match' => '*', 'If-Modified-Since' => 'Sat, 29 Oct 1994 19:43:31 GMT', 'If-None-Match' => '"x"', 'If-Range' => '"r"',
    'If-Unmodified-Since' => 'Sat, 29 Oct 2094 19:43:31 GMT');
my ($sub, $r) = sent(path => '/ssi/page.shtml', headers => [ 'X-End' => 1, @conditions ]);
is $r->status, 200, 'a page includes a proxied one';
like $r->body, qr{^GET /plain/inner HTTP/1\.1$}m, '... and has its body';
is_deeply [ grep { defined $sub->header($_) } grep {/^If/} @conditions ], [], 'a subrequest has no conditions';
is $sub->header('X-End'), 1, '... but other fields';
is $sub->header('Connection'), 'close', '... on a connection of its own';
$sub = sent(path => '/ssi/page.shtml', body => 'a body for the page', method => 'POST');
is_deeply [ $sub->method, map { $sub->header($_) } 'Content-Length', 'Transfer-Encoding' ], [ 'GET', undef, undef ], 'the body of a POST is not for the subrequest';

# --- 12.6 Max-Forwards, TRACE

for my $case (
    # host, method, Max-Forwards, status, what the backend gets (undef: nothing)
    [ 'main.example',  'GET',     undef, 200, '' ],
    [ 'main.example',  'GET',     '5',   200, 4 ],
    [ 'main.example',  'GET',     '1',   200, 0 ],
    [ 'main.example',  'GET',     '0',   400 ],
    [ 'main.example',  'GET',     '-1',  400 ],
    [ 'main.example',  'GET',     '5x',  400 ],
    [ 'main.example',  'GET',     '99999999999999999999', 400 ],
    [ 'hops.example',  'GET',     undef, 200, 7 ],
    [ 'hops.example',  'GET',     '3',   200, 2 ],
    [ 'hops0.example', 'GET',     undef, 200, 0 ],
    [ 'main.example',  'OPTIONS', '0',   200 ],
    [ 'main.example',  'OPTIONS', '2',   200, 1 ])
{
    my ($host, $method, $hops, $status, $forwarded) = @$case;
    my $name = "$host $method Max-Forwards " . ($hops // 'absent');
    my ($got, $answer) = sent(method => $method, headers => [ Host => $host, 'Max-Forwards' => $hops ]);
    is $answer->status, $status, "$name: status";
    is $got ? $got->header('Max-Forwards') // '' : undef, $forwarded, "$name: backend";
    is $answer->reason, 'Proxy Error', "$name: reason" if $status == 400;
    ok defined $answer->header('Allow'), "$name: answered here" if $method eq 'OPTIONS' && $hops == 0;
}
$t->allow(qr/AH10188|AH00898/) if front eq 'mod_proxy';

# "TraceEnable On" allows no body, says httpd's manual.
my $without_body = ours(413, mod_proxy => 200, 'the check has no effect there');
my $anyway       = ours(0,   mod_proxy => 1,   'the check has no effect there');
for my $case (
    [ 'trace.example',    {}, 200, 1 ],
    [ 'trace.example',    { body => 'x' },     $without_body, $anyway ],
    [ 'trace.example',    { chunks => ['x'] }, $without_body, $anyway ],
    [ 'extended.example', { body => 'x' }, 200, 1 ],
    [ 'notrace.example',  {}, 405 ])
{
    my ($host, $with, $status, $reaches) = @$case;
    my ($got, $answer) = sent(method => 'TRACE', headers => [ Host => $host ], %$with);
    my $name = "TRACE at $host" . (%$with ? ' with a body' : '');
    is $answer->status, $status, "$name: status";
    is $got ? $got->method : undef, $reaches ? 'TRACE' : undef, "$name: backend";
}
$t->claim(qr/AH01139/) if front eq 'mod_proxy';
my ($got, $answer) = sent(method => 'TRACE', headers => [ Host => 'trace.example', 'Max-Forwards' => 0, 'X-Mine' => 'echoed' ]);
is $answer->status, 200, 'TRACE, Max-Forwards 0: answered here';
is $answer->header('Content-Type'), 'message/http', '... as TRACE is';
like $answer->body, qr/^X-Mine: echoed\r?$/m, '... with what was sent';
ok !$got, '... the backend sees nothing';

# --- 11.2 environment

for my $path ('/f10/', '/f10case/') {
    my $f10 = sent(path => $path, method => 'POST', chunks => [ 'a' x 20000 ]);
    is $f10->version, '1.0', "$path force-proxy-request-1.0";
    is_deeply [ map { $f10->header($_) } 'Connection', 'Transfer-Encoding', 'Content-Length' ], [ undef, undef, 20000 ], '... with a length, without Connection';
}
is sent(path => '/f10/')->header('Connection'), undef, 'no Connection field without a body either';
my $k = $t->connect;
$k->request(path => '/plain');
for my $n (1, 2) {
    my $before = $app->open_connections;
    $k->request(path => '/once/');
    is +($app->requests)[-1]->header('Connection'), 'close', "proxy-nokeepalive, request $n: Connection says so";
    ok $app->wait_for(sub { $app->open_connections == $before - 1 }), '... and it is closed';
    $k->request(path => '/plain');
}
$k->close;

$app->stop;
$app->forget;
$app->start;
my $warm = $t->connect;
$warm->request(path => '/plain');
my $before = $app->connections;
my $first  = $t->connect;
$first->request(path => '/initial/');
is $app->connections, $before + 1, 'proxy-initial-not-pooled: a fresh connection for the first request of a client';
is +($app->requests)[-1]->header('Connection'), 'Keep-Alive', '... which is kept';
$first->request(path => '/initial/');
is $app->connections, $before + 1, '... for the second';
$_->close for $first, $warm;

$t->finish;
done_testing;
