# Bodies of 300 MB in either direction: httpd's child does not grow with them.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;

plan skip_all => 'a sanitizer keeps what was freed' if $ENV{RP_SAN};

my $MB    = 1_000_000;
my $piece = RevProxy::Backend::pattern($MB);
my $chunk = sprintf "%x\r\n%s\r\n", $MB, $piece;

# /up, /up/slow: reads all; /length-N, /chunked-N, /close-N: sends N MB.
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($how, $n) = split /-/, substr $r->target, 1;
    $c->send("HTTP/1.1 200 OK\r\n" . ($how eq 'length' ? 'Content-Length: ' . $n * $MB : $how eq 'chunked' ? 'Transfer-Encoding: chunked' : 'X: y') . "\r\n\r\n");
    for (1 .. $n) { $c->send($how eq 'chunked' ? $chunk : $piece, 30) or return $c->close }
    $c->send("0\r\n\r\n") if $how eq 'chunked';
    $c->close if $how eq 'close';
});
# Reads as fast as it can, or not at all for a while, and says how much it was.
my $sink = RevProxy::Backend->new(handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request(body => 0)) {
        $c->pause(0.5) if $r->target =~ /slow/;
        my ($left, $total) = ($r->header('Content-Length'), 0);
        my $end = '';
        # What comes chunked is counted as it comes: the end is what matters.
        while (defined $left ? $total < $left : $end ne "0\r\n\r\n") {
            last if $c->{buffer} eq '' && !$c->wait_more(time + 20);
            $total += length $c->{buffer};
            $end = substr $end . substr($c->{buffer}, -5), -5;
            $c->{buffer} = '';
        }
        $c->respond(200, [], $total);
    }
});
my $t = RevProxy->new(backends => { app => $app, sink => $sink }, threads => 4, config => <<'EOT');
    ProxyPass /up %%URL:sink%%/up
    ProxyPass / %%URL:app%%/
EOT

my $most = 0;
sub look { my $rss = $t->rss_kb; $most = $rss if $rss > $most; return }

sub download {
    my ($path, $slow) = @_;
    my $k = $t->connect($slow ? (rcvbuf => 8192) : ());
    $k->send_request(path => $path);
    my $r = $k->read_response(body => 0);
    my ($framing, $length) = RevProxy::Client::response_framing($r, 0);
    my ($got, $next) = (0, 0);
    if ($slow) { for (1 .. 5) { sleep 0.1; look() } }
    my $count = sub {
        $got += length $_[0];
        if ($slow && $got < 100_000) { sleep 0.001 }
        if ($got >= $next) { $next += 10 * $MB; look() }
    };
    $framing eq 'length' ? $k->read_exact($length, time + 30, $count) : $k->read_chunked(time + 30, $count);
    $k->close;
    return $got;
}

sub upload {
    my ($path, $n, $chunked) = @_;
    my $k = $t->connect;
    $k->send("POST $path HTTP/1.1\r\nHost: x\r\n" . ($chunked ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . $n * $MB) . "\r\n\r\n");
    for my $i (1 .. $n) { $k->send($chunked ? $chunk : $piece, 30) or return 'not taken'; look() if $i % 10 == 0 }
    $k->send("0\r\n\r\n") if $chunked;
    my $r = $k->read_response(timeout => 30);
    $k->close;
    return $r->body;
}

# Each thread has its own memory: let all of them meet all kinds of work before.
for (1 .. 8) { download('/length-2'); download('/chunked-2'); upload('/up', 2, 0); upload('/up', 2, 1) }
download('/length-20', 1);
upload('/up/slow', 20, 0);
download('/close-2');

for my $case (
    [ 'download with a length'    => sub { download('/length-300') } ],
    [ 'chunked download'          => sub { download('/chunked-300') } ],
    [ 'download until close'      => sub { download('/close-300') } ],
    [ 'download to a slow reader' => sub { download('/length-300', 1) } ],
    [ 'upload with a length'      => sub { upload('/up', 300, 0) } ],
    [ 'chunked upload'            => sub { upload('/up', 300, 1) } ],
    [ 'upload to a slow backend'  => sub { upload('/up/slow', 300, 0) } ])
{
    my ($name, $transfer) = @$case;
    $most = 0;
    look();
    my $before = $most;
    my $moved  = $transfer->();
    ok $moved =~ /^\d+$/ && $moved >= 300 * $MB, "$name: all 300 MB arrive";
    my $grown = $most - $before;
    ok $before > 0 && $grown < 1024, "... and the child grew by $grown KB";
}

$t->finish;
done_testing;
