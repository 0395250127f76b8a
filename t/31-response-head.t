# What becomes of a backend's status line and header fields on their way to the client.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

# Answers by path. A head without Content-Length gets one, and the body "body".
my %answer = (
    '/nope'     => "HTTP/1.1 404 Nope",
    '/foo'      => "HTTP/1.1 299 Foo",
    '/odd'      => "HTTP/1.1 799 Odd status",
    '/low'      => "HTTP/1.1 099 Low",
    '/bare'     => "HTTP/1.1 200",
    '/space'    => "HTTP/1.1 200 ",
    '/minor0'   => "HTTP/1.0 200 Old",
    '/minor7'   => "HTTP/1.7 200 New",
    '/blank'    => "\r\nHTTP/1.1 200 OK",
    '/blank2'   => "\r\n\r\nHTTP/1.1 200 OK",
    '/major2'   => "HTTP/2.0 200 OK",
    '/garbage'  => "garbage",
    '/longline' => "HTTP/1.1 200 " . 'r' x 8200,
    '/esc'      => "HTTP/1.1 200 O\x1bK",
    '/cr'       => "HTTP/1.1 200 OK\rSet-Cookie: a=1",
    '/esc404'   => "HTTP/1.1 404 N\x01",
    '/esc799'   => "HTTP/1.1 799 N\x01",
    '/lf'       => "HTTP/1.1 200 OK\nX-A: 1\nX-B: 2",
    '/fold'     => "HTTP/1.1 200 OK\r\nX-Fold: a\r\n  b\r\n\tc",
    '/trim'     => "HTTP/1.1 200 OK\r\nX-Trim:\t  a  b \t \r\nX-Empty:\r\nX-None: ",
    '/h8100'    => "HTTP/1.1 200 OK\r\nX-Long: " . 'x' x 8100,
    '/h8300'    => "HTTP/1.1 200 OK\r\nX-Long: " . 'x' x 8300,
    '/nocolon'  => "HTTP/1.1 200 OK\r\nX-A: 1\r\nno colon here\r\nX-B: 2",
    '/extra'    => "HTTP/1.1 200 OK\r\nX-A: 1\r\nHTTP/1.0 200 OK\r\nX-B: 2",
    '/badname'  => "HTTP/1.1 200 OK\r\nBad Name: 2",
    '/noname'   => "HTTP/1.1 200 OK\r\n: 1",
    '/namesp'   => "HTTP/1.1 200 OK\r\nX-Sp : 1",
    '/ctl'      => "HTTP/1.1 200 OK\r\nX-Ctl: a\x01b",
    '/nul'      => "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-Nul: a\0b\r\nX-Frame-Options: DENY",
    '/typecr'   => "HTTP/1.1 200 OK\r\nContent-Type: text/html\rX-Inj: 1",
    '/othercr'  => "HTTP/1.1 200 OK\r\nX-A: text\rX-Inj: 1",
    '/dup'      => "HTTP/1.1 200 OK\r\nX-D: 1\r\nSet-Cookie: a=1\r\nX-D: 2\r\nSet-Cookie: b=2\r\nVary: A\r\nVary: B",
    '/hop'      => "HTTP/1.1 200 OK\r\nConnection: X-Named, keep-alive\r\nX-Named: 1\r\nX-Kept: 1\r\nProxy-Connection: x\r\n"
                 . "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTE: x\r\nTrailer: X-T\r\nUpgrade: foo",
    '/hop2'     => "HTTP/1.1 200 OK\r\nConnection: x-one\r\nX-One: 1\r\nConnection: ,, X-TWO ,close\r\nX-Two: 2\r\nClose: no",
    '/nodate'   => "HTTP/1.1 200 OK",
    '/date'     => "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Mine/1.0",
    '/date850'  => "HTTP/1.1 200 OK\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\nExpires: Sun Nov  6 08:49:37 1994\r\n"
                 . "Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT\r\nX-Date: Sunday, 06-Nov-94 08:49:37 GMT",
    '/expires0' => "HTTP/1.1 200 OK\r\nExpires: 0\r\nLast-Modified: never",
    '/warning'  => "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                 . qq{Warning: 110 a "same" "Sun, 06 Nov 1994 08:49:37 GMT", 111 b "other" "Mon, 07 Nov 1994 08:49:37 GMT", 112 c "again" "Sun, 06 Nov 1994 08:49:37 GMT"\r\n}
                 . qq{Warning: 199 c "without, date"\r\nX-W: 1},
    '/badwarn'  => qq{HTTP/1.1 200 OK\r\nWarning: 1\r\nWarning: 199 a "open\r\nX-W: 1},
    '/via'      => "HTTP/1.1 200 OK\r\nVia: 1.0 inner",
    '/many'     => "HTTP/1.1 200 OK" . join('', map { "\r\nX-$_: $_" } 1 .. 400),
    '/toomany'  => "HTTP/1.1 200 OK" . join('', map { "\r\nX-$_: $_" } 1 .. 600),
    '/reset'    => "HTTP/1.1 205 Reset Content",
);
# Date headers that a parser with fixed offsets would read past (CVE-2007-3847)
my @dates = ('M', ',', 'Sun', '', 'Sun, ', 'Sun, 06 Nov', 'x' x 8000, 'Sunday, 06-', 'Sun Nov', 'Mon, 99 Foo 0000 99:99:99 GMT');
$answer{"/e1-$_"} = "HTTP/1.1 200 OK\r\nDate: $dates[$_]\r\nExpires: $dates[$_]\r\nLast-Modified: $dates[$_]" for 0 .. $#dates;
my %raw = (
    '/html'     => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2000\r\n\r\n" . 'x' x 2000,
    '/cl5'      => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    '/cl0'      => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/204'      => "HTTP/1.1 204 No Content\r\nContent-Type: text/x\r\nContent-Length: 5\r\n\r\n",
    '/304'      => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
    '/both'     => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/xchunked' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nabc",
    '/cltwice'  => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    '/clsame'   => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    '/clneg'    => "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
    '/cllist'   => "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    '/clnamed'  => "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
    '/trailers' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trail\r\n\r\n3\r\nabc\r\n0\r\nX-Trail: 1\r\nX-Trail2: 2\r\n"
                 . "Set-Cookie: t=1\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nContent-Type: x\r\n\r\n",
    '/eof'      => "HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=1\r\n",
    '/ilong'    => "HTTP/1.1 103 E\x01arly\rSet-Cookie: x=1\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/early'    => "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nSet-Cookie: i=1\r\nConnection: X-N\r\nX-N: 1\r\n\r\n"
                 . "HTTP/1.1 200 OK\r\nSet-Cookie: f=1\r\nContent-Length: 0\r\n\r\n",
    '/i9'       => "HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" x 9 . "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/i10'      => "HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" x 10 . "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/i199'     => "HTTP/1.1 199 Odd\r\nX-I: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    '/s100'     => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
);

my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($path) = $r->target =~ /^([^?]*)/;
    my $bytes = exists $raw{$path} ? $raw{$path} : "$answer{$path}\r\nContent-Length: 4\r\n\r\nbody";
    $c->send($bytes);
    $c->close;
});
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(headers filter deflate env setenvif)],
    config   => <<'EOT');
    ServerName front.example
    # the backend closes behind every answer
    ProxyPass / %%URL:app%%/ disablereuse=On
    LogFormat "%>s %{proxy-status}n" statuses
    CustomLog %%DIR%%/var/statuses statuses
    LogFormat "%U %{X-Trail}^to %{X-Trail2}^to %{Set-Cookie}^to %{Content-Length}^to %{Transfer-Encoding}^to %{Content-Type}^to" trailers
    CustomLog %%DIR%%/var/trailers trailers
    Header set    X-Early 1 early
    Header add    Set-Cookie early=1 early
    Header always set X-Always 1
    <Location /html>
        AddDefaultCharset utf-8
        SetOutputFilter DEFLATE
    </Location>
    SetEnvIf X-Policy (.+) proxy-interim-response=$1
    Listen 127.0.0.1:%%PORT:ignore%%
    <VirtualHost 127.0.0.1:%%PORT:ignore%%>
        ProxyBadHeader Ignore
        ProxyVia On
        ServerName ignore.example
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:startbody%%
    <VirtualHost 127.0.0.1:%%PORT:startbody%%>
        ProxyBadHeader StartBody
        ProxyVia Full
        ServerName start.example:81
        UseCanonicalName On
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:block%%
    <VirtualHost 127.0.0.1:%%PORT:block%%>
        ProxyVia Block
    </VirtualHost>
EOT

# The line that a log of the server's gets, soon: httpd writes it after the response.
sub logged {
    my ($log, $regex) = @_;
    for (1 .. 50) {
        open my $fh, '<', $t->expand("%%DIR%%/var/$log") or die $!;
        my ($line) = grep { $_ =~ $regex } <$fh>;
        return $line if defined $line;
        select undef, undef, undef, 0.1;
    }
    return;
}

sub line { my ($first) = $_[0]->raw_head =~ /\A([^\r\n]*)/; return $first }
sub status_line { return line($t->get(@_)) }

# --- status line ----------------------------------------------------------------

is status_line('/nope'),    'HTTP/1.1 404 Nope', 'a reason is kept';
is status_line('/foo'),     'HTTP/1.1 299 Foo';
is status_line('/odd'),     'HTTP/1.1 799 Odd status', 'any status';
like status_line('/bare'),  qr{^HTTP/1\.1 200 ?(OK)?$}, 'no reason';
is $t->get('/bare')->status, 200;
is $t->get('/space')->status, 200;
is status_line('/minor0'),  'HTTP/1.1 200 Old', 'HTTP/1.0';
is status_line('/minor7'),  'HTTP/1.1 200 New', 'a later minor version';
is $t->get('/blank')->status, 200, 'one empty line is skipped';
is $t->get('/blank2')->status, 502, 'two are not';
is $t->get('/major2')->status, 502, 'HTTP/2.0';
is $t->get('/garbage')->status, ours(502, mod_proxy => 200, 'it takes it for HTTP/0.9'), 'no HTTP';
is $t->get('/longline')->status, 502, 'a status line over responsefieldsize';
is $t->get('/low')->status, ours(502, mod_proxy => '099', 'no such class of status'), 'a status below 100';

# CVE-2026-33523: control characters in a reason
is status_line('/esc'), 'HTTP/1.1 200 OK', 'B11: the standard reason';
is status_line('/esc404'), 'HTTP/1.1 404 Not Found', 'B11: of that status';
is $t->get('/esc799')->status, ours(799, mod_proxy => 500, 'httpd takes the status for its own fault'), 'B11: a status without standard reason';
unlike $t->get('/cr')->raw_head, qr/a=1|\r(?!\n)/, 'B11: no second line out of a bare CR';

# --- lines ------------------------------------------------------------------------

{
    my $r = $t->get('/lf');
    is $r->header('X-B'), 2, 'bare line feeds end lines';
    is $t->get('/fold')->header('X-Fold'), "a  b\tc", 'a fold is joined, its space kept';
    $r = $t->get('/trim');
    is $r->header('X-Trim'), 'a  b', 'white space around a value is cut';
    is $r->header('X-Empty'), '', 'an empty value stays';
    is length $t->get('/h8100')->header('X-Long'), 8100, 'a line of 8100 bytes';
    is $t->get('/h8300')->status, 502, 'a line over responsefieldsize';
}
is $t->get('/nocolon')->status, 502, 'ProxyBadHeader IsError';
{
    my $r = $t->get('/nocolon', to => 'ignore');
    is_deeply [ $r->status, $r->header('X-A'), $r->header('X-B'), $r->body ], [ 200, 1, 2, 'body' ], 'Ignore';
    $r = $t->get('/nocolon', to => 'startbody');
    is_deeply [ $r->status, $r->header('X-A'), $r->header('X-B') ], [ 200, 1, undef ], 'StartBody';
    like $r->body, ours(qr/\Ano colon here\r?\nX-B: 2\r?\n/, mod_proxy => qr/X-B: 2\r?\n/, 'it loses the first line'), 'that line starts the body';
    $r = $t->get('/extra', to => $_) and is_deeply [ $r->status, $r->header('X-A'), $r->header('X-B') ], [ 200, 1, 2 ],
        'a status line among the fields is skipped' for undef, 'ignore', 'startbody';
}
for my $case ([ badname => 'a space in a name' ], [ noname => 'no name' ], [ ctl => 'a control in a value' ]) {
    is $t->get("/$case->[0]")->status, ours(502, mod_proxy => 500, 'B8: the backend is at fault'), "B8 CVE-2023-38709: $case->[1]";
}
is $t->get('/namesp')->status, ours(502, mod_proxy => 500, 'B8: the backend is at fault'), 'B8: a space behind a name';
for my $path (qw(/typecr /othercr /nul /eof)) {
    my $r = $t->get($path);
    like $r->status, qr/^50[02]$/, "B6, B10 CVE-2022-37436, CVE-2024-42516: $path";
    unlike $r->raw_head . $r->body, qr/X-Inj|DENY|a=1/, 'nothing of the head leaks';
}
{
    my $r = $t->get('/dup');
    is_deeply [ $r->all('X-D') ], [ 1, 2 ], 'several lines of a name stay';
    is_deeply [ grep { !/early/ } $r->all('Set-Cookie') ], [ 'a=1', 'b=2' ], 'cookies too';
    is_deeply [ map { s/ //gr } $r->all('Vary') ], ['A,B'], 'Vary is merged';
    is $t->get('/many')->header('X-400'), 400, '400 fields';
    is $t->get('/toomany')->status, ours(502, mod_proxy => 200, 'no limit there'), '600 fields';
}

# fields that other modules had set
{
    my $r = $t->get('/nope');
    is $r->header('X-Early'), undef, 'an earlier field is gone';
    is $r->header('Set-Cookie'), 'early=1', 'but for cookies';
    is $r->header('X-Always'), 1, 'err_headers_out stays';
}

# --- rewriting ------------------------------------------------------------------------------

{
    my $r = $t->get('/hop');
    is $r->header($_), undef, "$_ is between the backend and us" for qw(X-Named Proxy-Connection Keep-Alive Proxy-Authenticate TE Trailer Upgrade);
    is $r->header('X-Kept'), 1, 'others stay';
    $r = $t->get('/hop2');
    is_deeply [ map { $r->header($_) } qw(X-One X-Two) ], [ undef, undef ], 'named in several lines, in any case';
}
{
    my $r = $t->get('/date');
    is $r->header('Date'), 'Sun, 06 Nov 1994 08:49:37 GMT', 'the backend\'s Date';
    is $r->header('Server'), 'Mine/1.0', 'the backend\'s Server';
    is scalar(() = $r->all('Date')), 1, 'once';
    $r = $t->get('/nodate');
    like $r->header('Date'), qr/^\w{3}, \d\d \w{3} \d{4} /, 'ours, where it has none';
    like $r->header('Server'), qr/Apache/;
    $r = $t->get('/date850');
    is $r->header($_), 'Sun, 06 Nov 1994 08:49:37 GMT', "$_ in the one form" for qw(Date Expires Last-Modified);
    is $r->header('X-Date'), 'Sunday, 06-Nov-94 08:49:37 GMT', 'in no other field';
    $r = $t->get('/expires0');
    is $r->header('Expires'), '0', 'what is no date stays';
    is $r->header('Last-Modified'), 'never';
}
for my $i (0 .. $#dates) {
    my $r = $t->get("/e1-$i");
    is $r->status, 200, 'E1 CVE-2007-3847: a date of ' . length($dates[$i]) . ' bytes';
    is $r->header('Expires'), $dates[$i], 'E1: stays' if $dates[$i] !~ / \z/;
}
is_deeply [ $t->get('/warning')->all('Warning') ], [ '110 a "same" "Sun, 06 Nov 1994 08:49:37 GMT"',
    '112 c "again" "Sun, 06 Nov 1994 08:49:37 GMT"', '199 c "without, date"' ],
    'a Warning of another date is dropped';
{
    my $r = $t->get('/badwarn');
    is_deeply [ $r->status, $r->header('X-W') ], [ 200, 1 ], 'a Warning that is none';
}
{
    my $version = qr/1\.1/;
    is $t->get('/via')->header('Via'), '1.0 inner', 'ProxyVia Off';
    my @on = $t->get('/via', to => 'ignore')->all('Via');
    is $on[0], '1.0 inner', 'On: the backend\'s stays';
    is $on[1], '1.1 ignore.example:' . $t->port_of('ignore'), 'On: a line of ours after it';
    my @full = $t->get('/via', to => 'startbody')->all('Via');
    like $full[1], qr{^1\.1 start\.example:81 \(Apache/2\.[\d.]+\)$}, 'Full';
    is $t->get('/via', to => 'block')->header('Via'), '1.0 inner', 'Block: responses keep theirs';
}
{
    my $r = $t->get('/html', headers => [ 'Accept-Encoding' => 'gzip' ]);
    like $r->header('Content-Type'), qr{^text/html; ?charset=utf-8$}, 'AddDefaultCharset sees the type';
    is $r->header('Content-Encoding'), 'gzip', 'and so does mod_deflate';
}

# --- lengths (CVE-2024-24795) -------------------------------------------------------------------

is $t->request(method => 'HEAD', path => '/cl5')->header('Content-Length'), 5, 'HEAD, 5';
is $t->request(method => 'HEAD', path => '/cl0')->header('Content-Length'), undef, 'HEAD, 0: httpd drops it';
{
    my $r = $t->get('/204');
    is_deeply [ $r->status, $r->header('Content-Length'), $r->header('Content-Type') ], [ 204, undef, 'text/x' ], 'status 204';
    $r = $t->get('/304');
    is_deeply [ $r->status, $r->header('Content-Length'), $r->header('ETag') ], [ 304, undef, '"x"' ], 'status 304';
    $r = $t->get('/both');
    is_deeply [ $r->status, $r->body ], [ 200, 'abc' ], 'B9: Transfer-Encoding beside it wins';
    isnt $r->header('Content-Length'), 5, 'B9: the length is dropped';
    $r = $t->get('/clsame');
    is_deeply [ $r->status, [ $r->all('Content-Length') ], $r->body ], [ 200, [3], 'abc' ], 'the same twice: once';
    $r = $t->get('/clnamed');
    is_deeply [ $r->status, $r->body ], [ 200, 'abc' ], 'named in Connection: framed anew';
    is $t->get('/xchunked')->status, ours(502, mod_proxy => 200, 'B9: it reads on to the end'), 'B9: an unknown coding';
    is $t->get('/cltwice')->status, ours(502, mod_proxy => 200, 'B9: it takes the first'), 'B9: two lengths';
    is $t->get('/clneg')->status, 502, 'B9: -1';
    is $t->get('/cllist')->status, 502, 'B9: a list';
    is $t->get('/reset')->body, 'body', '205 with a body';
}

# --- interim responses ---------------------------------------------------------------------

{
    my $r = $t->get('/early');
    my ($i) = @{ $r->interim };
    is_deeply [ $i->status, $i->reason, $i->header('Link'), $i->header('X-N') ], [ 103, 'Early Hints', '</x>', undef ], 'a 103';
    only_ours {
        is_deeply [ $i->all('Set-Cookie') ], ['i=1'], 'it has its own cookies';
        is_deeply [ sort $r->all('Set-Cookie') ], [ 'early=1', 'f=1' ], 'the final response those of other modules';
    } 'cookies of other modules go out with the 103';
    is scalar @{ $t->get('/i9')->interim }, 9, '9 of them';
    is $t->get('/i9')->status, 200;
    $r = $t->get('/i10');
    is_deeply [ scalar @{ $r->interim }, $r->status ], [ 10, 502 ], 'after the tenth: 502';
    $r = $t->get('/i199');
    is_deeply [ map({ $_->status, $_->reason, $_->header('X-I') } @{ $r->interim }), $r->status ], [ 199, 'Odd', 1, 200 ], 'an unknown one';
    is_deeply [ map { $_->status } @{ $t->get('/s100')->interim } ], [], '100 that nobody waits for';
    is_deeply [ map { $_->status } @{ $t->get('/i199', headers => [ 'X-Policy' => 'Suppress' ])->interim } ], [], 'Suppress';
    is_deeply [ map { $_->status } @{ $t->get('/s100', headers => [ 'X-Policy' => 'RFC' ])->interim } ], [100], 'RFC: 100 too';
    $r = $t->get('/ilong');
    unlike join('', map({ $_->raw_head } @{ $r->interim }), $r->raw_head), qr/x=1|\r(?!\n)|\x01/, 'B11: reasons of interim responses';
}

# --- trailers (CVE-2013-5704) -----------------------------------------------------------------------

{
    my $r = $t->get('/trailers');
    is $r->body, 'abc', 'a body with trailers';
    is_deeply $r->trailers, [], 'none goes to the client';
    is_deeply [ grep { /t=1|99/ } $r->raw_head =~ /[^\r\n]+/g ], [], 'none becomes a header';
    my $line = logged('trailers', qr{^/trailers });
    like $line, qr{^/trailers 1 2 }, 'the log can name them';
    only_ours { is $line, "/trailers 1 2 - - - -\n", 'but for those that must not be there' } 'it keeps them all';
}

# --- the note --------------------------------------------------------------------------------------------

{
    ok logged('statuses', qr/^404 404$/), 'the note proxy-status';
}

if (front() eq 'mod_proxy') {
    $t->allow(qr/AH\d{5}/);
}
else {
    $t->allow(qr/RP030[14567] /);
    $t->claim(qr/RP0304 malformed response head.*route \//, 'malformed heads: RP0304');
    $t->claim(qr/RP0305 .*over a limit/, 'limits: RP0305', count => 3);
    $t->claim(qr/RP0306 .*framing/, 'framing: RP0306', count => 4);
    $t->claim(qr/RP0307 .*interim/, 'interim responses: RP0307', count => 1);
    $t->claim(qr/RP0301 .*closed before/, 'end in a head: RP0301');
}
$t->finish;
done_testing;
