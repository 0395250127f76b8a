# The response body on its way to the client.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use RevProxy;

*pattern = \&RevProxy::Backend::pattern;

sub chunks_of {
    my ($body, $size) = @_;
    return join('', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$size)*", $body) . "0\r\n\r\n";
}

# The last part of the path, split at dashes, says what comes.
my %answer = (
    length  => sub { my ($c, $n) = @_; $c->respond(200, [], pattern($n)) },
    chunked => sub { my ($c, $n, $size) = @_; $c->respond(200, [], pattern($n), chunked => $size || 8192) },
    close   => sub { my ($c, $n) = @_; $c->respond(200, [], pattern($n), bare => 1); $c->close },
    bytes   => sub {
        my ($c, $kind) = @_;
        my $body = "0123456789abcdefghij";
        my $all  = $kind eq 'chunked' ? "Transfer-Encoding: chunked\r\n\r\n" . chunks_of($body, 3) : "Content-Length: 20\r\n\r\n$body";
        for my $byte (split //, "HTTP/1.1 200 OK\r\n$all") { $c->send($byte); $c->pause(0.001) }
    },
    # Writes that end where those of a test ask for.
    split => sub {
        my ($c, $n, $at) = @_;
        my $all = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" . chunks_of(pattern($n), 1000);
        $c->send(substr $all, 0, $at);
        $c->pause(0.01);
        $c->send(substr $all, $at);
    },
    sse => sub {
        my ($c, $kind) = @_;
        my $frame = $kind eq 'chunked' ? sub { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] } : sub { $_[0] };
        $c->send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                . ($kind eq 'chunked' ? "Transfer-Encoding: chunked\r\n" : $kind eq 'length' ? "Content-Length: 24\r\n" : '') . "\r\n");
        for my $n (0 .. 2) { $c->wait_signal("$kind$n"); $c->send($frame->("data: $n\n")) }
        $c->send("0\r\n\r\n") if $kind eq 'chunked';
        $c->close if $kind eq 'close';
    },
    status => sub {
        my ($c, $status, $length) = @_;
        $c->send("HTTP/1.1 $status Some\r\n" . (defined $length ? "Content-Length: $length\r\n" : '') . "Content-Type: text/x-y\r\nX-Kept: 1\r\n\r\n");
        $c->send('x' x $length) if $status == 205;
    },
    # HEAD: no body whatever the fields say.
    head => sub { my ($c, @fields) = @_; $c->send("HTTP/1.1 200 OK\r\n" . join('', map {"$_\r\n"} @fields) . "\r\n") },
    trailers => sub {
        my ($c) = @_;
        $c->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext=1\r\nhello\r\n0;last\r\nX-Sum: abc\r\nSet-Cookie: no\r\n\r\n");
    },
    coded => sub { my ($c) = @_; $c->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" . chunks_of('not really gzip', 4)) },
    both  => sub { my ($c) = @_; $c->send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" . chunks_of('longer than three', 4)) },
    surplus => sub { my ($c) = @_; $c->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
    old   => sub { my ($c, $n) = @_; $c->send("HTTP/1.0 200 OK\r\n\r\n" . pattern($n)); $c->close },
    oldlength => sub { my ($c, $n) = @_; $c->send("HTTP/1.0 200 OK\r\nContent-Length: $n\r\nConnection: keep-alive\r\n\r\n" . pattern($n)) },
);
my %head = (length => ['Content-Length: 5'], zero => ['Content-Length: 0'], chunked => ['Transfer-Encoding: chunked'], none => []);
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($how, @args) = split /-/, ($r->target =~ m{/([^/?]*)\z})[0];
    @args = @{ $head{ $args[0] } } if $how eq 'head';
    $answer{$how}->($c, @args);
});
my $t = RevProxy->new(backends => { app => $app }, modules => [qw(headers deflate filter)], config => <<'EOT');
    LogFormat "%U %{X-Sum}^to %{Set-Cookie}^to" trailers
    CustomLog %%DIR%%/logs/trailers.log trailers "expr=%{REQUEST_URI} =~ /trailers/"
    ProxyPass / %%URL:app%%/
    <Location /gz/>
        SetOutputFilter DEFLATE
    </Location>
EOT
my $k = $t->connect;

sub is_body {
    my ($r, $n, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is $r->body_md5 . ($r->truncated ? ' truncated' : ''), md5_hex(pattern($n)), $name;
}

# --- whole at every size; all but the last on one connection of each side

for my $n (0, 1, map { ($_ - 1, $_, $_ + 1) } 4_096, 7_800, 8_000, 8_192, 16_384, 32_000, 32_768, 64_000, 65_536, 96_000, 1_000_000) {
    my $r = $k->request(path => "/length-$n");
    is_body($r, $n, "$n bytes with a length");
    is $r->header('Content-Length'), $n, '... which is kept';
    $r = $k->request(path => "/chunked-$n");
    is_body($r, $n, "$n bytes in chunks");
    $r = $k->request(path => "/close-$n");
    is_body($r, $n, "$n bytes until close");
}
for my $size (1, 2, 15, 16, 17, 255, 256, 4_095, 4_096, 4_097, 31_999, 32_000, 32_001, 65_535, 65_536, 70_000) {
    my $n = $size < 10 ? 3_000 : 150_000;
    is_body($k->request(path => "/chunked-$n-$size"), $n, "$n bytes in chunks of $size");
}
for my $at (45 .. 60, 1_040 .. 1_060) {
    is_body($k->request(path => "/split-3000-$at"), 3_000, "chunks, the first write ends after $at bytes");
}
is $k->request(path => "/bytes-$_")->body, '0123456789abcdefghij', "byte by byte, $_" for qw(length chunked);
my $before = $app->connections;
is_body($k->request(path => '/length-10'), 10, 'and all the time');
is $app->connections, $before, '... the connection to the backend was kept';

# A client that reads slowly, through small buffers.
for my $how ('length', 'chunked', 'close') {
    my $slow = $t->connect(rcvbuf => 4096);
    $slow->send_request(path => "/$how-2000000");
    $slow->pause(0.1);
    is_body($slow->read_response(sink => sub { $slow->pause(0.0005) }), 2_000_000, "a slow reader, $how");
    $slow->close;
}

# --- framing towards the client

my $r = $k->request(path => '/close-10');
is_body($r, 10, 'until close');
ok !$r->truncated && $r->framing ne 'close', '... is framed for an HTTP/1.1 client';
$r = $k->request(path => '/chunked-100000');
is $r->framing, 'chunked', 'chunked stays so';
is $r->header('Content-Length'), undef, '... without a length';
$r = $t->get('/chunked-100000', version => '1.0');
is $r->framing, 'close', 'chunked becomes until close for an HTTP/1.0 client';
is_body($r, 100_000, '... and is whole');
is $r->header('Transfer-Encoding'), undef, '... without the field';
is_body($k->request(path => '/old-100'), 100, 'a backend of HTTP/1.0, until close');
$r = $k->request(path => '/oldlength-100');
is_body($r, 100, '... with a length');
like $r->raw_head, qr{^HTTP/1\.1 200}, '... is HTTP/1.1 to the client';
$before = $app->connections;
is_body($k->request(path => '/length-10'), 10, '... but its connection');
is $app->connections, $before + 1, '... is not kept, even where it says so';

$r = $k->request(path => '/both');
is $r->body, 'longer than three', 'Content-Length beside chunked does not count';
isnt $r->header('Content-Length'), 3, '... and is not passed on';
$before = $app->connections;
$k->request(path => '/length-10');
is $app->connections, $before + 1, '... the connection is not used again';
$r = $k->request(path => '/coded');
is $r->status, ours(502, mod_proxy => 200, 'it loses the name of the coding: RFC 9112 7'), 'gzip, chunked: a coding that the client would not know of';
$t->claim(qr/RP0306/) if front ne 'mod_proxy';

$r = $k->request(path => '/surplus');
is $r->body, 'hello', 'bytes behind the end of a response';
$before = $app->connections;
is $k->request(path => '/length-4')->body, pattern(4), '... are never those of the next';
is $app->connections, $before + 1, '... for which there is another connection';

# --- no body

for my $case (
    # kind, Content-Length for the client
    [ 'length',  5 ],
    [ 'zero',    undef ],
    [ 'none',    undef ],
    [ 'chunked', undef ])
{
    my ($kind, $length) = @$case;
    $r = $k->request(method => 'HEAD', path => "/head-$kind");
    is $r->status, 200, "HEAD, $kind";
    is $r->header('Content-Length'), $length, '... its Content-Length';
}
for my $case ([ 204, 5 ], [ 204 ], [ 304, 5 ], [ 304 ]) {
    my ($status, $length) = @$case;
    $r = $k->request(path => "/status-$status" . (defined $length ? "-$length" : ''));
    is $r->status, $status, "status $status" . ($length ? ' with a length' : '');
    is $r->header('Content-Length'), undef, '... has none for the client';
    is $r->header('X-Kept'), 1, '... other fields are there';
    is $r->header('Transfer-Encoding'), undef, '... no coding';
}
$before = $app->connections;
is $k->request(path => '/length-4')->body, pattern(4), 'and the next response';
is $app->connections, $before, '... comes over the same connection';
$r = $k->request(path => '/status-205-7');
is $r->body, 'xxxxxxx', '205 with a body';

# --- streaming

for my $kind (qw(chunked length close)) {
    my $reader = $t->connect;
    $reader->send_request(path => "/sse-$kind");
    my $head = $reader->read_response(body => 0);
    is $head->status, 200, "$kind: the head is there while the backend has sent no body";
    my $bytes = '';
    for my $n (0 .. 2) {
        $app->signal("$kind$n");
        my $until = Time::HiRes::time + 5;
        while ($bytes !~ /data: $n\n/ && Time::HiRes::time < $until) {
            $reader->wait_more($until);
            $bytes .= substr $reader->{buffer}, 0, length $reader->{buffer}, '';
        }
        ok $bytes =~ /data: $n\n/, "... event $n comes while the backend waits";
    }
    $reader->close;
}

# --- trailers

$r = $k->request(path => '/trailers');
is $r->body, 'hello', 'a body with trailers';
is_deeply $r->trailers, [], '... which are not for the client';
is $r->header('Trailer'), undef, '... nor their announcement';
my $log = "$t->{dir}/logs/trailers.log";
my $until = Time::HiRes::time + 3;
select undef, undef, undef, 0.01 while !-s $log && Time::HiRes::time < $until;
open my $fh, '<', $log or die $!;
is scalar(<$fh>), ours("/trailers abc -\n", mod_proxy => "/trailers abc no\n", 'RFC 9110 6.5.1'), '... but for the log, as far as they may be trailers';

# --- filters

$r = $k->request(path => '/gz/chunked-200000-1000', headers => [ 'Accept-Encoding' => 'gzip' ]);
is $r->header('Content-Encoding'), 'gzip', 'mod_deflate';
RevProxy::write_file("$t->{dir}/var/x.gz", $r->body);
is md5_hex(scalar qx(gzip -dc $t->{dir}/var/x.gz)), md5_hex(pattern(200_000)), '... and all is there';

$k->close;
$t->finish;
done_testing;
