# ProxyErrorOverride: which responses of backends httpd's own error pages replace, and what stays.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app, dead => RevProxy::Backend->echo(start => 0) },
    modules  => [qw(headers)],
    docs     => { 'e404.html' => "page 404\n", 'e503.html' => "page 503\n", 'e401.html' => "page 401\n" },
    config   => <<'EOT');
    ProxyPass /e404.html !
    ProxyPass /e503.html !
    ProxyPass /e401.html !
    ProxyPass /dead/ http://127.0.0.1:%%PORT:dead%%/
    # raw answers close the connection behind them
    ProxyPass /re/   %%URL:app%%/re/
    ProxyPass /      %%URL:app%%/ disablereuse=On
    Header always set X-Always 1
    <Location /on/>
        ProxyErrorOverride On
        ErrorDocument 404 /e404.html
        ErrorDocument 503 /e503.html
        ErrorDocument 401 /e401.html
        ErrorDocument 410 "text of 410"
    </Location>
    <Location /re/>
        ProxyErrorOverride On
    </Location>
    <Location /code/>
        ProxyErrorOverride On 404 503
        ErrorDocument 404 /e404.html
    </Location>
    <Location /code/more/>
        ProxyErrorOverride On 500
    </Location>
    <Location /code/plain/>
        ProxyErrorOverride On
    </Location>
    <Location /code/off/>
        ProxyErrorOverride Off
    </Location>
    <Location /none/>
        ErrorDocument 404 /e404.html
    </Location>
    # pages that are proxied themselves
    <Location /pageoff/>
        ProxyErrorOverride On
        ErrorDocument 503 /remote/page
    </Location>
    <Location /pageon/>
        ProxyErrorOverride On
        ErrorDocument 503 /remoteon/page
        ErrorDocument 404 /remoteon/page
    </Location>
    <Location /remoteon/>
        ProxyErrorOverride On
    </Location>
    <Location /pagebad/>
        ProxyErrorOverride On
        ErrorDocument 503 /remoteon/page?reply-status=500
    </Location>
    <Location /dead/>
        ErrorDocument 503 /e503.html
    </Location>
EOT

# The backend answers with this status, a reason, cookies and a body of its own.
sub reply {
    my ($path, $status, %opt) = @_;
    my $raw = "HTTP/1.1 $status " . ($opt{reason} // 'Theirs') . "\r\nSet-Cookie: b=1\r\nX-Backend: 1\r\nContent-Type: text/x-theirs\r\n"
        . join('', map { "$_\r\n" } @{ $opt{fields} || [] }) . "Content-Length: 4\r\n\r\nmine";
    require MIME::Base64;
    my %request = (method => $opt{method} // 'GET', path => $path, headers => [ 'X-Reply-Raw-B64' => MIME::Base64::encode_base64($raw, '') ]);
    return $t->request(%request);
}
sub line { my ($first) = $_[0]->raw_head =~ /\A([^\r\n]*)/; return $first }

# which pages are replaced
{
    my $r = reply('/on/x', 404, reason => 'Nope');
    is line($r), 'HTTP/1.1 404 Not Found', 'an error document has the standard reason';
    is $r->body, "page 404\n", 'and its own body';
    is_deeply [ map { $r->header($_) } qw(Set-Cookie X-Backend) ], [ undef, undef ], 'no field of the backend';
    is $r->header('X-Always'), 1, 'ours stay';
    is $r->header('Content-Type'), 'text/html', 'the page\'s type';

    $r = reply('/on/x', 403, reason => 'Nope');
    is line($r), 'HTTP/1.1 403 Nope', 'a canned page keeps the backend\'s reason';
    like $r->body, qr/permission to access/, 'canned';
    is_deeply [ map { $r->header($_) } qw(Set-Cookie X-Backend) ], [ undef, undef ], 'no field of the backend';
    like $r->header('Content-Type'), qr{^text/html}, 'type of the canned page';

    $r = reply('/on/x', 410);
    is $r->body, 'text of 410', 'text in the configuration';
}
for my $status (qw(400 404 418 499 500 503 599)) {
    isnt reply('/on/x', $status)->body, 'mine', "On: $status is replaced";
}
for my $status (qw(200 302 399 600 799)) {
    my $r = reply('/on/x', $status);
    is_deeply [ $r->status, $r->body, $r->header('X-Backend') ], [ $status, 'mine', 1 ], "On: $status is not";
}

# the challenge of a 401 stays
{
    my $r = reply('/on/x', 401, fields => [ 'WWW-Authenticate: Basic realm="b"', 'X-Other: 1' ]);
    is_deeply [ $r->status, $r->body, $r->header('WWW-Authenticate'), $r->header('X-Other') ],
        [ 401, "page 401\n", 'Basic realm="b"', undef ], 'status 401';
    $r = reply('/on/x', 401);
    is $r->header('WWW-Authenticate'), undef, 'a 401 without one';
    only_ours {
        $r = reply('/on/x', 401, fields => [ 'WWW-Authenticate: Basic realm="b"', 'WWW-Authenticate: Negotiate' ]);
        is_deeply [ $r->all('WWW-Authenticate') ], [ 'Basic realm="b"', 'Negotiate' ], 'all of several';
    } 'it keeps the first only';
    $r = reply('/on/x', 403, fields => [ 'WWW-Authenticate: Basic realm="b"' ]);
    is $r->header('WWW-Authenticate'), undef, 'not with another status';
}

# HEAD
{
    my $r = reply('/on/x', 404, method => 'HEAD');
    is_deeply [ $r->status, $r->header('X-Backend'), $r->header('Content-Length') ], [ 404, undef, length "page 404\n" ], 'HEAD';
}

# codes
is reply('/code/x', 404)->body, "page 404\n", 'a code of the list';
is reply('/code/x', 500)->body, 'mine', 'one that is not in it';
is line(reply('/code/x', 403, reason => 'Nope')), 'HTTP/1.1 403 Nope', 'untouched';
isnt reply('/code/more/x', 500)->body, 'mine', 'an inner list adds';
isnt reply('/code/more/x', 404)->body, 'mine', 'to the outer one';
is reply('/code/plain/x', 500)->body, 'mine', 'a plain On drops none of the outer codes';
is reply('/code/off/x', 404)->body, 'mine', 'Off';
is reply('/none/x', 404)->body, 'mine', 'not asked for';

# pages of other backends
{
    my $r = $t->get('/pageoff/x?reply-status=503');
    is $r->status, 200, 'the page\'s own status';
    like $r->body, qr{^GET /remote/page }, 'the page of the backend';
    $r = $t->get('/pageon/x?reply-status=503');
    is $r->status, 503, 'with override at the page: the error\'s status';
    is line($r), 'HTTP/1.1 503 Service Unavailable', 'and its standard reason';
    like $r->body, qr{^GET /remoteon/page }, 'with the page\'s body';
    $r = $t->get('/pageon/x?reply-status=404');
    is $r->status, 404, 'another one';
    $r = $t->get('/pagebad/x?reply-status=503');
    is $r->status, 500, 'a page that fails: its error';
    like $r->body, qr/DOCTYPE.*Internal Server Error/s, 'and a canned page';
}

# errors of the proxy always have httpd's pages
is $t->get('/dead/x')->body, "page 503\n", 'a backend that is gone';

# the backend's connection is not used again, its body not sent on
{
    $app->forget;
    my $k = $t->connect;
    $k->send_request(path => '/re/1', headers => [ 'X-Reply-Status' => 404 ]);
    $k->read_response;
    $k->send_request(path => '/re/2', headers => [ 'X-Reply-Body' => 'second' ]);
    is $k->read_response->body, 'second', 'the next response on the client\'s connection is its own';
    my ($one, $two) = $app->requests;
    isnt $two->connection, $one->connection, 'on another connection to the backend';
}

# large and endless bodies of overridden responses are not waited for
{
    my $began = time;
    my $r = $t->get('/on/x', headers => [ 'X-Reply-Status' => 404, 'X-Reply-Size' => 5_000_000 ]);
    is $r->body, "page 404\n", 'a large body';
    cmp_ok time - $began, '<', 10, 'is not waited for';
}

$t->claim(front() eq 'mod_proxy' ? qr/AH01114|AH00957/ : qr/RP0102/, 'the dead backend');
$t->allow(qr/AH01109/);
$t->finish;
done_testing;
