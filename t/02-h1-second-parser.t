#!/usr/bin/perl
# Licensed under the Apache License, Version 2.0; see the file LICENSE.

# rp_h1 against Node's parser (llhttp, strict), over the fuzz corpus and mutations of
# it: what both accept must mean the same; what rp_h1 accepts and llhttp refuses must
# be in the short list below. H1_SECOND_SEED and H1_SECOND_COUNT change the mutations.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use Test::More;
use lib 't/lib';
use RevProxy::Programs;

my $SEED  = $ENV{H1_SECOND_SEED}  // 20240229;
my $COUNT = $ENV{H1_SECOND_COUNT} // 4000;

my $TAB = 'RFC 9112 5.1: a tab may end a field line, llhttp does not cut it off framing fields';

sub has_tab_after_framing_value {
    my ($input) = @_;
    return head($input) =~ /^(?:Content-Length|Transfer-Encoding):[^\n]*\t[ ]*\r?$/mi;
}

# Where rp_h1 accepts on purpose what llhttp refuses. Each has its reason in the name.
my @EXPLAINED = (
    [ 'RFC 9112 2.2: LF alone may end a line of the head', sub { head( $_[0] ) =~ /(?<!\r)\n/ } ],
    [ 'RFC 9112 5.2: a fold is joined', sub { head( $_[0] ) =~ /\n[ \t]/ } ],
    [ 'control bytes in the reason: the reason is replaced', sub { $_[1]{reason_unfit} } ],
    [
        'mod_proxy: a second status line among the fields is dropped',
        sub { head( $_[0] ) =~ m{\nHTTP/\d\.\d \d{3}[^:\n]*\n} }
    ],
    [
        'RFC 9110 2.5: a minor version above 1 is read as 1',
        sub { $_[1]{minor} > 1 || $_[0] =~ m{^HTTP/1\.[2-9] 1\d\d}m }
    ],
    [
        'RFC 9112 6.3: Transfer-Encoding overrides Content-Length',
        sub { head( $_[0] ) =~ /^Transfer-Encoding/mi && head( $_[0] ) =~ /^Content-Length/mi }
    ],
    [
        'RFC 9110 8.6: equal Content-Length lines are one',
        sub { ( () = head( $_[0] ) =~ /^Content-Length/mig ) > 1 }
    ],
    [
        'framing fields of a message without body do not matter',
        sub { $_[1]{framing} eq 'none' }
    ],
    [ $TAB, \&has_tab_after_framing_value ],
);

# Where both accept the head, but on purpose do not see the same in it; the third
# argument says where they differ.
my @DIFFERENT = (
    [ 'a chunk size has at most 16 digits here', sub { $_[0] =~ /^[0-9a-f]{17,}/mi } ],
    [
        'chunk extensions are dropped without a look at their grammar',
        sub { $_[2] eq 'end' && $_[1]{complete} && $_[0] =~ /^[0-9a-f]+[ \t]*;/mi }
    ],
    [
        'RFC 9110 5.6.1: empty list elements are ignored, llhttp takes them for codings',
        sub { $_[2] =~ /end|body/ && head( $_[0] ) =~ /^Transfer-Encoding:[^\n]*,/mi }
    ],
    [ $TAB, sub { $_[2] =~ /end|body/ && has_tab_after_framing_value( $_[0] ) } ],
    [
        'RFC 9112 2.2: a bare CR in the reason ends no line',
        sub { $_[1]{reason_unfit} && head( $_[0] ) =~ /^HTTP[^\n]*\r[^\n]/m }
    ],
);

# The same for llhttp before 8 (Node 18, which is what Debian 12 has): laxer than the RFC,
# and than its later versions.
my @DIFFERENT_TO_OLD = (
    [
        'RFC 9112 6.3: a 1xx and a 204 have no body, llhttp before 8 reads one',
        sub { $_[2] =~ /end|body/ && ( $_[1]{status} == 204 || $_[1]{status} < 200 ) }
    ],
    [
        'RFC 9112 7.1: llhttp before 8 takes any bytes for the line ends of a chunked body',
        sub { $_[2] eq 'end' && !$_[1]{complete} && $_[1]{framing} eq 'chunked' }
    ],
);

sub command_exists {
    my ($name) = @_;
    return grep { -x "$_/$name" } split /:/, $ENV{PATH};
}

plan skip_all => 'node is not installed: no second parser to compare with'
    if !command_exists('node');

my ($llhttp) = qx(node -p process.versions.llhttp) =~ /^(\d+)/;
BAIL_OUT('node does not tell its llhttp') if !defined $llhttp;
push @DIFFERENT, @DIFFERENT_TO_OLD if $llhttp < 8;

my $dir = tempdir( CLEANUP => 1 );

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/ = undef;
    return scalar <$file>;
}

sub spill {
    my ( $path, $text ) = @_;
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} $text;
    close $file or die "$path: $!";
    return $path;
}

# All heads up to and with the final one, as far as text can tell.
sub head {
    my ($text) = @_;
    return $text =~ /\A((?:\r?\n)?(?:HTTP\/1\.\d 1\d\d.*?\n\r?\n)*.*?\n\r?\n)/s ? $1 : $text;
}

my @TOKENS = (
    "\r\n", "\n", "\r", "\0", ' ', "\t", ':', ',', ';', '0', '5', 'a', "\x0b", "\x7f", "\xe9",
    "X-A: b\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "chunked", "5\r\n",
    "0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n c", "Connection: close\r\n", "garbage\r\n",
);

sub mutate {
    my ($text) = @_;
    for ( 1 .. 1 + int rand 3 ) {
        # Mostly near the start, where the head is.
        my $at   = int rand( rand() < 0.8 && length $text > 120 ? 120 : 1 + length $text );
        my $kind = int rand 4;
        if    ( $kind == 0 ) { substr $text, $at, 0, $TOKENS[ rand @TOKENS ]; }
        elsif ( $kind == 1 ) { substr $text, $at, 1 + int rand 3, q{}; }
        elsif ( $kind == 2 ) { substr $text, $at, 1, chr int rand 256; }
        else                 { substr $text, $at, 0, substr $text, int rand length $text, 12; }
        $text = 'H' if $text eq q{};
    }
    return $text;
}

sub build_dumper {
    my ($program) = RevProxy::Programs::build( 'unit', 't/unit', qr/(h1_dump)\.c$/ );
    BAIL_OUT('cannot compile h1_dump.c') if !defined $program;
    return join q{ }, RevProxy::Programs::command($program);
}

sub run_parser {
    my ( $command, $what ) = @_;
    my @lines = `$command`;
    is( $?, 0, "$what ran to its end" );
    return @lines;
}

# The two programs print flat objects in the same form; JSON::PP is in core Perl.
sub decode_lines {
    require JSON::PP;
    return map { JSON::PP::decode_json($_) } @_;
}

# Node drops an unknown part of the body when it meets a fault, and takes bytes behind
# a complete message for one: bodies are compared as far as both have them.
sub body_difference {
    my ( $ours, $theirs ) = @_;
    return 'end' if $theirs->{complete} && !$ours->{complete};
    return 'end' if $ours->{complete} && !$theirs->{complete} && !$ours->{rest};
    return $ours->{body} eq $theirs->{body} ? undef : 'body' if $theirs->{complete};
    my ( $short, $long ) = sort { length $a <=> length $b } $ours->{body}, $theirs->{body};
    return index( $long, $short ) == 0 ? undef : 'start of the body';
}

# The first thing in which two accepted readings differ, or undef.
sub difference {
    my ( $ours, $theirs ) = @_;
    return 'status' if $ours->{status} != $theirs->{status};
    return 'reason' if !$ours->{reason_unfit} && $ours->{reason} ne $theirs->{reason};
    return 'fields' if "@{$ours->{fields}}" ne "@{$theirs->{fields}}";
    return body_difference( $ours, $theirs );
}

# The reason of the first entry of the list that applies, or undef.
sub explanation {
    my ( $list, @case ) = @_;
    for my $pair ( @{$list} ) {
        return $pair->[0] if $pair->[1]->(@case);
    }
    return;
}

sub show {
    my ( $input, $ours, $theirs, $why ) = @_;
    ( my $text = substr $input, 0, 400 ) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    my $json = JSON::PP->new->canonical;
    diag("$why: $text\n  rp_h1: " . $json->encode($ours) . "\n  node:  " . $json->encode($theirs));
    return;
}

my @corpus = map { slurp($_) } grep { -f } sort glob "$FindBin::Bin/fuzz/corpus/h1_head/*";
ok( @corpus > 100, 'the corpus is there' );
my @small = grep { length() < 2000 } @corpus;

diag("seed $SEED") if $ENV{H1_SECOND_SEED};
srand $SEED;
my @inputs = ( @corpus, map { mutate( $small[ rand @small ] ) } 1 .. $COUNT );

my $framed = spill( "$dir/inputs", join q{}, map { length() . "\n$_" } @inputs );
my $script = spill( "$dir/second.js", do { local $/ = undef; scalar <DATA> } );
my $dumper = build_dumper();
my @ours   = decode_lines( run_parser( "$dumper < $framed", 'rp_h1' ) );
my @theirs = decode_lines( run_parser( "node $script $framed", 'node' ) );
is( scalar @ours,   scalar @inputs, 'rp_h1 answered each input' );
is( scalar @theirs, scalar @inputs, 'node answered each input' );

my %count = map { $_ => 0 } qw(both differ unexplained);
my %used;
for my $i ( 0 .. $#inputs ) {
    my ( $input, $ours, $theirs ) = ( $inputs[$i], $ours[$i], $theirs[$i] );
    next if !$ours->{ok};
    my ( $list, $counter, $where ) = ( \@EXPLAINED, 'unexplained', 'only rp_h1 accepts' );
    if ( $theirs->{ok} ) {
        $count{both}++;
        ( $list, $counter, $where ) = ( \@DIFFERENT, 'differ', difference( $ours, $theirs ) );
        next if !defined $where;
    }
    my $why = explanation( $list, $input, $ours, $where );
    if   ( defined $why ) { $used{$why}++; }
    else                  { show( $input, $ours, $theirs, $where ) if $count{$counter}++ < 5; }
}
note("explained, $used{$_}: $_") for sort keys %used;
cmp_ok( $count{both}, '>', @inputs / 10, "enough accepted by both ($count{both})" );
is( $count{differ},      0, 'what both accept means the same to both' );
is( $count{unexplained}, 0, 'nothing is accepted by rp_h1 alone without a known reason' );
done_testing();

__DATA__
'use strict';

const fs = require('fs');
const http = require('http');
const { Duplex } = require('stream');

function readInputs(file) {
    const all = fs.readFileSync(file);
    const inputs = [];
    for (let at = 0; at < all.length;) {
        const lf = all.indexOf(10, at);
        const n = parseInt(all.toString('latin1', at, lf), 10);
        inputs.push(all.subarray(lf + 1, lf + 1 + n));
        at = lf + 1 + n;
    }
    return inputs;
}

// A connection that delivers the bytes in two pieces, then ends.
class Backend extends Duplex {
    constructor(bytes) {
        super();
        const half = bytes.length >> 1;
        this.pieces = [bytes.subarray(0, half), bytes.subarray(half)].filter((p) => p.length);
        this.asked = false;
    }
    _write(chunk, encoding, done) {
        done();
        if (!this.asked) {
            this.asked = true;
            for (const piece of this.pieces) this.push(piece);
            this.push(null);
        }
    }
    _read() {}
    setTimeout() { return this; }
    setNoDelay() { return this; }
    setKeepAlive() { return this; }
    ref() { return this; }
    unref() { return this; }
}

const hex = (text) => Buffer.from(text, 'latin1').toString('hex');

function describe(res, body, complete) {
    return {
        ok: true, status: res.statusCode, reason: hex(res.statusMessage),
        fields: res.rawHeaders.map(hex), complete, body: body.toString('hex'),
    };
}

function parse(bytes) {
    return new Promise((resolve) => {
        let settled = false;
        const settle = (result) => { if (!settled) { settled = true; resolve(result); } };
        const agent = new http.Agent({ keepAlive: false });
        agent.createConnection = () => new Backend(bytes);
        const req = http.request({
            method: 'GET', path: '/', host: 'localhost', agent, insecureHTTPParser: false,
            maxHeaderSize: 4 << 20,
        });
        req.maxHeadersCount = 0;
        let answered = null;
        const pieces = [];
        const finish = (error) => {
            if (!answered) return settle({ ok: false, error: String(error && error.code) });
            const complete = answered.complete && !error;
            settle(describe(answered, Buffer.concat(pieces), complete));
        };
        req.on('upgrade', (res) => settle(describe(res, Buffer.alloc(0), true)));
        req.on('response', (res) => {
            answered = res;
            res.on('data', (piece) => pieces.push(piece));
            res.on('end', () => finish());
            res.on('error', finish);
            res.on('close', () => finish());
        });
        req.on('error', finish);
        req.on('close', () => setImmediate(() => setImmediate(finish)));
        req.end();
    });
}

(async () => {
    const out = [];
    for (const bytes of readInputs(process.argv[2])) out.push(JSON.stringify(await parse(bytes)));
    process.stdout.write(out.join('\n') + '\n');
})();
