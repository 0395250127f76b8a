# Hostile clients that speak HTTP/2, frame by frame: what RFC 9113 calls malformed never reaches the backend as a whole request,
# whatever is legal there is one well-formed HTTP/1 request, and nobody else notices. What mod_http2 refuses is pinned.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy::Regress;
plan skip_all => 'mod_http2 does not work under prefork' if RevProxy::mpm() eq 'prefork';

my $g       = RevProxy::Regress->new;
my $canary  = $g->canary;
my $preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
my %type    = (DATA => 0, HEADERS => 1, PRIORITY => 2, RST_STREAM => 3, SETTINGS => 4, PUSH_PROMISE => 5, PING => 6, WINDOW_UPDATE => 8, CONTINUATION => 9);
my ($END_STREAM, $END_HEADERS, $PADDED, $PRIORITY) = (1, 4, 8, 32);

sub frame { my ($name, $flags, $stream, $payload) = @_; return RevProxy::Regress::h2_frame($type{$name}, $flags, $stream, $payload // '') }

sub block {
    my (@fields) = @_;
    my $block = '';
    while (my ($name, $value) = splice @fields, 0, 2) { $block .= "\0" . RevProxy::Regress::h2_string($name) . RevProxy::Regress::h2_string($value) }
    return $block;
}

# The fields of a good request, with others in their place, and more behind.
sub ask {
    my ($change, @more) = @_;
    my %pseudo = (':method' => 'GET', ':scheme' => 'http', ':path' => '/px/a', ':authority' => 'rig', %$change);
    return block((map { defined $pseudo{$_} ? ($_ => $pseudo{$_}) : () } qw(:method :scheme :path :authority)), @more);
}
sub get  { my (@fields) = @_; return frame(HEADERS => $END_STREAM | $END_HEADERS, 1, ask({}, @fields)) }
sub post { my ($body, @fields) = @_; return frame(HEADERS => $END_HEADERS, 1, ask({ ':method' => 'POST' }, @fields)) . (defined $body ? frame(DATA => $END_STREAM, 1, $body) : '') }

# What comes back first for what is sent: 200, "answer" (another status), "reset", "goaway", "closed".
sub play {
    my ($bytes) = @_;
    $g->forget;
    my $k = $g->t->connect;
    $k->send($preface . frame(SETTINGS => 0, 0) . $bytes);
    my $got = RevProxy::Regress::h2_outcome($k, Time::HiRes::time() + 0.5 * $RevProxy::SLOW);
    $k->close;
    return $got;
}
sub whole { return grep { !$_->truncated && !$_->unread } $g->seen }

# --- malformed: no answer but a refusal, and no whole request at the backend ----------------------------------------

my $smuggled = "GET /px/smug HTTP/1.1\r\nHost: rig\r\n\r\n";
my @malformed = (
    # [what, RFC 9113, frames]
    [ 'content-length beyond the data',     '8.1.1', post('hello', 'content-length' => 50) ],
    [ 'content-length within the data',     '8.1.1', post("hello$smuggled", 'content-length' => 5) ],
    [ 'content-length 0 and data',          '8.1.1', post($smuggled, 'content-length' => 0) ],
    [ 'two lengths',                        '8.1.1', post('hello', 'content-length' => 5, 'content-length' => 6) ],
    [ 'a length that is none',              '8.1.1', post('hello', 'content-length' => '+5') ],
    [ 'a list of lengths',                  '8.1.1', post('hello', 'content-length' => '5, 6') ],
    [ 'data behind the end of the stream',  '5.1',   post('hello', 'content-length' => 50) . frame(DATA => 0, 1, 'x' x 45) ],
    [ 'transfer-encoding',                  '8.2.2', post("5\r\nhello\r\n0\r\n\r\n$smuggled", 'transfer-encoding' => 'chunked') ],
    [ 'connection',                         '8.2.2', get(connection => 'x-forwarded-for') ],
    [ 'keep-alive',                         '8.2.2', get('keep-alive' => 'timeout=5') ],
    [ 'proxy-connection',                   '8.2.2', get('proxy-connection' => 'keep-alive') ],
    [ 'upgrade',                            '8.2.2', get(upgrade => 'h2c') ],
    [ 'te that is not trailers',            '8.2.2', get(te => 'gzip') ],
    [ 'an upper-case name',                 '8.2.1', get('X-Up' => 1) ],
    [ 'a name with a colon in it',          '8.2.1', get('x:y' => 1) ],
    [ 'a name with a space',                '8.2.1', get('x y' => 1) ],
    [ 'an empty name',                      '8.2.1', get('' => 1) ],
    [ 'an unknown pseudo field',            '8.3',   get(':foo' => 1) ],
    [ 'a pseudo field of responses',        '8.3',   get(':status' => 200) ],
    [ 'a pseudo field behind others',       '8.3',   frame(HEADERS => 5, 1, block(':method' => 'GET', ':scheme' => 'http', 'x-a' => 1, ':path' => '/px/a', ':authority' => 'rig')) ],
    [ 'two paths',                          '8.3',   get(':path' => '/px/b') ],
    [ 'two methods',                        '8.3',   get(':method' => 'POST') ],
    [ 'no method',                          '8.3.1', frame(HEADERS => 5, 1, ask({ ':method' => undef })) ],
    [ 'no path',                            '8.3.1', frame(HEADERS => 5, 1, ask({ ':path' => undef })) ],
    [ 'no scheme',                          '8.3.1', frame(HEADERS => 5, 1, ask({ ':scheme' => undef })) ],
    [ 'an empty path',                      '8.3.1', frame(HEADERS => 5, 1, ask({ ':path' => '' })) ],
    [ 'LF in a value',                      '8.2.1', get('x-a' => "b\nX-Injected: 1") ],
    [ 'CR in a value',                      '8.2.1', get('x-a' => "b\rX-Injected: 1") ],
    [ 'NUL in a value',                     '8.2.1', get('x-a' => "b\0c") ],
    [ 'CONNECT to the canary',              '8.5',   frame(HEADERS => 4, 1, block(':method' => 'CONNECT', ':authority' => $canary)) ],
    [ 'CONNECT with a path',                '8.5',   frame(HEADERS => 4, 1, ask({ ':method' => 'CONNECT', ':authority' => $canary })) ],
    [ 'a tunnel that the route is not for', '8441 4', frame(HEADERS => 4, 1, ask({ ':method' => 'CONNECT', ':path' => '/px/a' }, ':protocol' => 'websocket')) ],
    [ 'trailers with a pseudo field',       '8.1',   post(undef) . frame(DATA => 0, 1, 'hello') . frame(HEADERS => 5, 1, block(':path' => '/px/b')) ],
    [ 'trailers that do not end it',        '8.1',   post(undef) . frame(DATA => 0, 1, 'hello') . frame(HEADERS => 4, 1, block('x-a' => 1)) ],
    [ 'an even stream',                     '5.1.1', frame(HEADERS => 5, 2, ask({})) ],
    [ 'stream 0',                           '6.2',   frame(HEADERS => 5, 0, ask({})) ],
    [ 'data before a head',                 '5.1',   frame(DATA => 1, 1, $smuggled) ],
    [ 'more padding than there is',         '6.1',   post(undef) . frame(DATA => 9, 1, "\xffhello") ],
    [ 'a promise from a client',            '8.4',   frame(PUSH_PROMISE => 4, 1, pack('N', 2) . ask({})) ],
    [ 'something between head and its end', '6.10',  frame(HEADERS => 1, 1, substr ask({}), 0, 9) . frame(PING => 0, 0, 'x' x 8) . frame(CONTINUATION => 4, 1, substr ask({}), 9) ],
    [ 'HPACK that is none',                 '4.3',   frame(HEADERS => 5, 1, "\xff\xff\xff\xff\xff\xff\xff") ],
    [ 'a window of more than 2^31',         '6.9.1', post(undef) . frame(WINDOW_UPDATE => 0, 1, pack 'N', 0x7fffffff) . frame(WINDOW_UPDATE => 0, 1, pack 'N', 0x7fffffff) ],
    [ 'HTTP/1 behind the preface',          '3.4',   $smuggled ],
);
for my $case (@malformed) {
    my ($name, $rfc, $frames) = @$case;
    my $got = play($frames);
    isnt $got, 200, "$name (RFC $rfc): refused";
    is join(' ', map { $_->method . ' ' . $_->target } whole()), '', '... and no whole request reaches the backend';
    $g->safe('... nor anybody else');
}

# --- legal, or harmless: one request, as HTTP/1 has it ------------------------------------------------------------------

my $cases = 0;
sub served {
    my ($name, $rfc, $frames, $look) = @_;
    my $got = play($frames);
    is $got, 200, "$name (RFC $rfc): served" or return;
    my @seen = whole();
    is scalar(@seen), 1, '... by one request';
    $look->($seen[0]) if $look && @seen;
    $g->safe('... and no more');
    $cases++;
    return;
}
served('cookies in pieces', '8.2.3', get(cookie => 'a=1', cookie => 'b=2'), sub { is_deeply [ $_[0]->header('Cookie') ], ['a=1; b=2'], 'are one line' });
served('host beside :authority', '8.3.1', get(host => 'other.example'), sub { is scalar(my @h = $_[0]->header('Host')), 1, 'one Host'; unlike $_[0]->header('Host'), qr/other/, 'not that one' });
served('te: trailers', '8.2.2', get(te => 'trailers'), sub { is $_[0]->header('Transfer-Encoding'), undef, 'is no coding' });
served('a body that is a request', '8.1', post($smuggled), sub { is $_[0]->body_length, length $smuggled, 'is a body' });
served('chunks as a body', '8.1', post("5\r\nhello\r\n0\r\n\r\n$smuggled", 'content-length' => 15 + length $smuggled), sub { is $_[0]->body_length, 15 + length $smuggled, 'are data' });
served('padding', '6.1', post(undef) . frame(DATA => 9, 1, "\4hello\0\0\0\0"), sub { is $_[0]->body_length, 5, 'is no data' });
served('forty empty frames', '6.1', post(undef) . frame(DATA => 0, 1, '') x 40 . frame(DATA => 1, 1, 'hello'), sub { is $_[0]->body_length, 5, 'are no data' });
served('trailers', '8.1', post(undef, 'x-case' => 'trailers') . frame(DATA => 0, 1, 'hello') . frame(HEADERS => 5, 1, block('host' => 'evil.example', 'x-forwarded-for' => '9.9.9.9')),
    sub { unlike $_[0]->raw_head, qr/evil|9\.9\.9\.9/, 'are no fields' });
served('a head in pieces', '6.10', do { my $b = ask({}, 'x-a' => 'b'); frame(HEADERS => 1, 1, substr $b, 0, 5) . frame(CONTINUATION => 0, 1, substr $b, 5, 5) . frame(CONTINUATION => 4, 1, substr $b, 10) },
    sub { is $_[0]->header('X-A'), 'b', 'is whole' });
served('a reserved bit and unknown frames', '4.1, 5.5', RevProxy::Regress::h2_frame(0xee, 0xff, 1, 'x' x 20) . get(), sub { is $_[0]->target, '/px/a', 'do not matter' });
served('a request for a URL', '8.3.1', frame(HEADERS => 5, 1, ask({ ':path' => '/px/http://' . $canary . '/' })), sub { like $_[0]->target, qr{^/px/http:}, 'is a path' });
cmp_ok $cases, '>=', 10, 'legal ones';

# --- floods: an end, and the server serves on -----------------------------------------------------------------------------

my $k = $g->t->connect;
$k->send($preface . frame(SETTINGS => 0, 0) . frame(HEADERS => 1, 1, ask({})));
$k->send(frame(CONTINUATION => 0, 1, block('x-a' => 'y' x 4000))) for 1 .. 200;
isnt RevProxy::Regress::h2_outcome($k, Time::HiRes::time() + 2 * $RevProxy::SLOW), 200, '800 KB of CONTINUATION (RFC 9113 10.5.1)';
$k->close;
$k = $g->t->connect;
$k->send($preface . frame(SETTINGS => 0, 0) . join '', map { frame(HEADERS => 5, 2 * $_ - 1, ask({})) . frame(RST_STREAM => 0, 2 * $_ - 1, pack 'N', 8) } 1 .. 200);
RevProxy::Regress::h2_outcome($k, Time::HiRes::time() + 0.3);
$k->close;
$g->forget;
$g->sound('after 200 requests that are reset at once (CVE-2023-44487)');
$k = $g->t->connect;
$k->send($preface . frame(SETTINGS => 0, 0, pack('nN', 4, 0)) . join '', map { frame(HEADERS => 5, 2 * $_ - 1, ask({})) } 1 .. 20);
RevProxy::Regress::h2_outcome($k, Time::HiRes::time() + 0.3);
$k->close;
$g->forget;
$g->sound('after requests whose answers nobody takes');
$k = $g->t->connect;
$k->send($preface . frame(SETTINGS => 0, 0) x 2000 . frame(PING => 0, 0, 'x' x 8) x 2000);
RevProxy::Regress::h2_outcome($k, Time::HiRes::time() + 0.3);
$k->close;
$g->forget;
$g->sound('after all that');

$g->finish;
