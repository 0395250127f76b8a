# The request body on its way to the backend: whole, and framed as it should be.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use RevProxy;

# One that says how the body came; the raw end of the connection is kept for /crlf/.
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    $c->note('extra ' . unpack 'H*', $c->read_raw(0.1)) if $r->target =~ m{^/crlf};
    $c->respond(200, [ 'X-Framing' => $r->framing, 'X-Trailers' => scalar @{ $r->trailers } ],
        join ' ', $r->body_length, $r->body_md5, $r->truncated ? 'cut' : ());
});
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(env deflate filter)],
    docs     => { passwd => '' },
    config   => <<'EOT');
    ProxyPass / %%URL:app%%/
    <Location /cl/>
        SetEnv proxy-sendcl 1
    </Location>
    <Location /chunks/>
        SetEnv proxy-sendchunks 1
    </Location>
    <Location /chunked/>
        SetEnv proxy-sendchunked 1
    </Location>
    <Location /clchunked/>
        SetEnv proxy-sendcl 1
        SetEnv proxy-sendchunked 1
    </Location>
    <Location /f10/>
        SetEnv force-proxy-request-1.0 1
    </Location>
    <Location /f10chunked/>
        SetEnv force-proxy-request-1.0 1
        SetEnv proxy-sendchunked 1
    </Location>
    <Location /crlf/>
        SetEnv proxy-sendextracrlf 1
    </Location>
    <Location /nb/>
        SetEnv proxy-prefetch-nonblocking 1
    </Location>
    <LocationMatch /inflate>
        SetInputFilter DEFLATE
    </LocationMatch>
    <Location /limit/>
        LimitRequestBody 1000
    </Location>
    <Location /nolimit/>
        LimitRequestBody 0
    </Location>
EOT
$t->allow(qr/AH00898|AH01095|AH01093|AH01097|AH02609|AH01085/) if front eq 'mod_proxy';
my $k = $t->connect;

sub post {
    my ($path, %opt) = @_;
    return $k->request(method => 'POST', path => $path, %opt);
}

# What arrived: framing, length, and whether the bytes are those sent.
sub arrived {
    my ($r, $body) = @_;
    return 'status ' . ($r->status // 'none') if ($r->status // 0) != 200;
    my ($length, $md5, $cut) = split / /, $r->body;
    my $same = $md5 eq md5_hex($body) && $length == length $body && !$cut ? 'same' : "other ($length)";
    return $r->header('X-Framing') . " $same";
}

sub in_pieces { my ($body, $size) = @_; return [ unpack "(a$size)*", $body ] }

# --- which framing arrives

my $small = RevProxy::Backend::pattern(6);
my $big   = RevProxy::Backend::pattern(40_000);
for my $case (
    # path, body, sent as, arrives as
    [ '/',            undef,  'length',  'none' ],
    [ '/',            '',     'length',  'length' ],
    [ '/',            '',     'chunked', 'length' ],
    [ '/',            $small, 'length',  'length' ],
    [ '/',            $small, 'chunked', 'length' ],
    [ '/',            $big,   'length',  'length' ],
    [ '/',            $big,   'chunked', 'chunked' ],
    [ '/cl/',         $big,   'chunked', 'length' ],
    [ '/cl/',         $big,   'length',  'length' ],
    [ '/chunks/',     $big,   'chunked', 'chunked' ],
    [ '/chunks/',     $big,   'length',  'length' ],
    [ '/chunked/',    $big,   'length',  'length' ],
    [ '/chunked/',    $small, 'chunked', 'length' ],
    [ '/clchunked/',  $big,   'chunked', 'chunked' ],
    [ '/f10/',        $big,   'chunked', 'length' ],
    [ '/f10/',        $big,   'length',  'length' ],
    [ '/f10chunked/', $big,   'chunked', 'length' ])
{
    my ($path, $body, $as, $expected) = @$case;
    my $r = !defined $body ? post($path) : $as eq 'length' ? post($path, body => $body) : post($path, chunks => in_pieces($body, 7001));
    is arrived($r, $body // ''), "$expected same", "$path: " . (defined $body ? length($body) . " bytes, $as" : 'no body');
    is $r->header('X-Trailers'), 0, '... without trailers' if $as eq 'chunked';
}
ok $app->connections > 1, 'HTTP/1.0 takes a connection of its own';
my $r = post('/', chunks => [ $small ], trailers => [ 'X-T' => 1 ]);
is arrived($r, $small), 'length same', 'trailers of a small body are dropped';
$r = post('/', chunks => in_pieces($big, 999), trailers => [ 'X-T' => 1, 'Content-Length' => 5 ]);
is arrived($r, $big), 'chunked same', '... and those of a large one';
is $r->header('X-Trailers'), 0, '... do not reach the backend';
$k->send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d;\"\r\nhello\r\n00000A ; x\r\n0123456789\r\n000\r\n\r\n");
is arrived($k->read_response, 'hello0123456789'), 'length same', 'chunk extensions and leading zeros';
is arrived(post('/', body => 'x' x 10, method => 'GET'), 'x' x 10), 'length same', 'a GET with a body';
is arrived(post('/', body => $big, method => 'DELETE'), $big), 'length same', 'a DELETE with one';

# --- sizes around what is read ahead and what is read at a time

for my $size (map { ($_ - 1, $_, $_ + 1) } 8192, 16_304, 16_384, 32_768, 49_152, 65_536, 300_000) {
    my $body = RevProxy::Backend::pattern($size);
    my $as_length  = arrived(post('/', body => $body), $body);
    my $as_chunked = arrived(post('/', chunks => in_pieces($body, 4093)), $body);
    my $spooled    = arrived(post('/cl/', chunks => in_pieces($body, 50_021)), $body);
    is "$as_length; $spooled", 'length same; length same', "$size bytes, with a length and spooled";
    like $as_chunked, $size < 16_000 ? qr/^length same$/ : $size > 16_384 ? qr/^chunked same$/ : qr/^\w+ same$/, "$size bytes, chunked";
}

# --- both framings, and other codings

my $before = $app->connections;
my $client = $t->connect;
$r = $client->request(method => 'POST', headers => [ 'Content-Length' => 3 ], chunks => ['hello']);
is arrived($r, 'hello'), 'length same', 'Content-Length beside chunked is ignored';
$client->close;
$r = post('/', headers => [ 'Content-Length' => 3 ], chunks => in_pieces($big, 8192));
is arrived($r, $big), 'chunked same', '... also for a large body';
my ($got) = ($app->requests)[-1];
is $got->header('Content-Length'), undef, '... and does not arrive';
is $r->header('Connection'), 'close', "... and the client's connection is not used again";
$k->close;
$k = $t->connect;
for my $coding ('gzip, chunked', 'identity, chunked', 'chunked, chunked') {
    my $seen = () = $app->requests;
    $r = $t->request(method => 'POST', path => '/', headers => [ 'Transfer-Encoding' => $coding ], chunks => ['hello']);
    is $r->status, ours(501, mod_proxy => 500, 'it blames the backend'), "Transfer-Encoding: $coding";
    is scalar(() = $app->requests), $seen, '... does not reach the backend';
}
is post('/')->status, 200, 'and the backend is in use as before';

for my $case (
    [ "zz\r\nhello\r\n0\r\n\r\n",        'no number' ],
    [ "5\r\nhelloX\r\n0\r\n\r\n",        'more than the chunk says' ],
    [ "-5\r\nhello\r\n0\r\n\r\n",        'a negative one' ],
    [ "10000000000000000\r\nhello\r\n",  'too large a one' ])
{
    my ($body, $name) = @$case;
    my $c = $t->connect;
    $c->send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n$body");
    my $answer = $c->read_response;
    like $answer->status, qr/^4(?:00|13)$/, "chunk size: $name";
    is $answer->header('Connection'), 'close', '... and the connection ends';
    $c->close;
}

# --- input filters that change the length (mod_deflate)

my $plain = RevProxy::Backend::pattern(200_000);
my $dir = $t->dir;
open my $fh, '>:raw', "$dir/var/plain" or die $!;
print $fh $plain;
close $fh;
my $gzip = qx(gzip -c $dir/var/plain);
my @gzip = (headers => [ 'Content-Encoding' => 'gzip' ]);
ok length $gzip < 200_000 / 2 && length $gzip > 20_000, 'a compressed body of ' . length $gzip;
for my $case (
    [ '/inflate',           'length',  'length' ],
    [ '/inflate',           'chunked', 'chunked' ],
    [ '/cl/inflate',        'length',  'length' ],
    [ '/cl/inflate',        'chunked', 'length' ],
    [ '/chunked/inflate',   'length',  'chunked' ],
    [ '/chunks/inflate',    'length',  'chunked' ],
    [ '/clchunked/inflate', 'length',  'length' ],
    [ '/f10/inflate',       'length',  'length' ],
    [ '/f10chunked/inflate','length',  'length' ])
{
    my ($path, $as, $expected) = @$case;
    $r = $as eq 'length' ? post($path, body => $gzip, @gzip) : post($path, chunks => in_pieces($gzip, 5000), @gzip);
    is arrived($r, $plain), "$expected same", "$path: inflated, $as";
}
is arrived(post('/inflate', body => $plain), $plain), 'length same', 'one that the filter leaves as it is';
is +($app->requests)[-1]->header('Content-Encoding'), undef, '... of no coding';

# --- extra CRLF, prefetching without waiting

post('/crlf/', body => 'abc');
ok $app->wait_note(qr/^extra 0d0a$/), 'proxy-sendextracrlf';
$app->forget;
for my $piece (1, 2) {
    my $c = $t->connect;
    $c->send("POST /nb/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    $c->pause(0.05);
    $c->send('0123456789');
    is arrived($c->read_response, '0123456789'), 'length same', 'proxy-prefetch-nonblocking: the body comes later';
    $c->close;
}

# --- LimitRequestBody

$app->forget;
my $over = ours(413, mod_proxy => 200, 'it has no limit there');
is post('/limit/', body => 'x' x 1000)->status, 200, 'as much as LimitRequestBody allows';
is post('/limit/', chunks => [ 'x' x 500, 'x' x 500 ])->status, 200, '... in chunks';
is $app->requests + 0, 2, '... arrive';
for my $how ([ body => 'x' x 1001 ], [ chunks => [ 'x' x 500, 'x' x 501 ] ], [ chunks => in_pieces($big, 100) ]) {
    my $c = $t->connect;
    $r = $c->request(method => 'POST', path => '/limit/', @$how);
    is $r->status, $over, "more, $how->[0]";
    $c->close;
}
only_ours {
    my $c = $t->connect;
    $c->send("POST /limit/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
    is $c->read_response(timeout => 3)->status, 413, 'more is announced: refused before it is sent';
    $c->close;
} 'it has no limit there';
is $app->requests + 0, ours(2, mod_proxy => 5, 'it has no limit there'), '... does not reach the backend';
is post('/nolimit/', body => $big)->status, 200, 'LimitRequestBody 0 is none';

$t->finish;
done_testing;
