# The request body in motion: streamed, answered early, slow, cut off by the client.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use Time::HiRes qw(time);
use RevProxy;

my $app = RevProxy::Backend->new(handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request(body => 0)) {
        my ($what) = $r->target =~ m{/([^/?]*)\z};
        my $until = time + 10;
        if ($what eq 'watch') {
            # Says when something of the body is here, then takes the rest.
            $c->wait_more($until) if $c->{buffer} eq '';
            $c->note('watch: first bytes');
        }
        elsif ($what eq 'early') {
            $c->respond(403, [ 'X-Early' => 1 ], 'not you');
        }
        elsif ($what eq 'close') {
            # Answers and closes with bytes of the body unread, which resets the connection.
            $c->wait_more($until) if length $c->{buffer} < 1000;
            $c->respond(413, [], 'enough', close => 1);
            return;
        }
        elsif ($what eq 'politeclose') {
            $c->respond(413, [ Connection => 'close' ], 'enough');
            $c->half_close;
            $c->note('politeclose: ' . ($c->peer_closed(5) ? 'closed' : 'open'));
            return;
        }
        elsif ($what eq 'okclose') {
            $c->respond(200, [ Connection => 'close' ], 'enough', close => 1);
            return;
        }
        elsif ($what eq 'echo') {
            $c->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            $c->read_body($r, sink => sub { $c->send(sprintf "%x\r\n%s\r\n", length $_[0], $_[0]) });
            $c->send("0\r\n\r\n");
            next;
        }
        elsif ($what eq 'deaf') { $c->wait_signal('heard', 6); return }
        elsif ($what eq 'gone') {
            $c->wait_more($until) if $c->{buffer} eq '';
            $c->reset;
            return;
        }
        $c->read_body($r, timeout => 10);
        $c->note("$what: " . ($r->truncated ? 'truncated ' : 'whole ') . $r->body_length);
        return if $r->truncated;
        next if $what eq 'early';
        $c->respond(200, [ 'X-Connection' => $c->number ], $r->body_length . ' ' . $r->body_md5);
    }
});
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(env reqtimeout)],
    config   => <<'EOT');
    RequestReadTimeout header=0 body=0
    ProxyPass /short/ %%URL:app%%/short/ timeout=1
    ProxyPass / %%URL:app%%/
    <Location /nb/>
        SetEnv proxy-prefetch-nonblocking 1
    </Location>
    <VirtualHost *:%%PORT%%>
        ServerName main
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:limited%%
    Listen 127.0.0.1:%%PORT:rated%%
    <VirtualHost *:%%PORT:limited%%>
        RequestReadTimeout header=0 body=1
    </VirtualHost>
    <VirtualHost *:%%PORT:rated%%>
        RequestReadTimeout header=0 body=1,MinRate=1000
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName impatient
        Timeout 1
    </VirtualHost>
EOT
$t->allow(qr/AH00898|AH01095|AH10154|AH01097|AH01086|AH02608|AH02609|AH01084|AH01102|AH01382/) if front eq 'mod_proxy';

my $body = RevProxy::Backend::pattern(300_000);
my $good = '300000 ' . md5_hex($body);

sub start_upload {
    my ($path, %opt) = @_;
    my $k = $t->connect(to => $opt{to});
    $k->{method} = 'POST';
    $k->send("POST $path HTTP/1.1\r\nHost: " . ($opt{host} || 'main') . "\r\n"
            . ($opt{chunked} ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . ($opt{length} // length $body)) . "\r\n\r\n");
    return $k;
}
sub as_chunk { my ($bytes) = @_; return sprintf "%x\r\n%s\r\n", length $bytes, $bytes }

# --- streaming

for my $chunked (0, 1) {
    my $how = $chunked ? 'chunked' : 'with a length';
    my $frame = $chunked ? \&as_chunk : sub { $_[0] };
    for my $case ([ '/watch', 20_000 ], [ '/nb/watch', 10 ]) {
        my ($path, $first) = @$case;
        $app->forget;
        my $k = start_upload($path, chunked => $chunked);
        $k->pause(0.05);
        $k->send($frame->(substr $body, 0, $first));
        ok $app->wait_note(qr/^watch: first/), "$path, $how: the backend has bytes while the client still sends";
        $k->send($frame->(substr $body, $first));
        $k->send("0\r\n\r\n") if $chunked;
        is $k->read_response->body, $good, '... and all of them in the end';
        $k->close;
    }
    my $k = start_upload('/plain', chunked => $chunked);
    for (my $at = 0; $at < length $body; $at += 60_000) {
        $k->pause(0.02);
        $k->send($frame->(substr $body, $at, 60_000));
    }
    $k->send("0\r\n\r\n") if $chunked;
    my $r = $k->read_response;
    is $r->body, $good, "a slow upload, $how";
    is $k->request(path => '/plain', body => 'x')->header('X-Connection'), $r->header('X-Connection'), '... the connection serves on';
    $k->close;
}
my $k = start_upload('/plain', chunked => 1);
for my $byte (split //, as_chunk('0123456789') . "0\r\n\r\n") { $k->send($byte); $k->pause(0.003) }
is $k->read_response->body, '10 ' . md5_hex('0123456789'), 'a chunked body byte by byte';
$k->close;
$k = start_upload('/plain', length => 20_000);
for my $piece (unpack '(a97)*', 'y' x 20_000) { $k->send($piece) }
is $k->read_response->body, '20000 ' . md5_hex('y' x 20_000), 'a body in 200 small pieces';
$k->half_close;
$k->close;
$k = start_upload('/plain');
$k->send($body);
$k->half_close;
is $k->read_response->body, $good, 'a client that closes its side after the request is answered';
$k->close;

# --- the exchange ends before the body is there: httpd must not wait for the rest of it

for my $case ([ '/okclose', 200 ], [ '/gone', 502 ]) {
    my ($path, $status) = @$case;
    my $c = start_upload($path);
    $c->send(substr $body, 0, 40_000);
    my $start = time;
    is $c->read_response->status, $status, "$path: the client that sends no more gets the answer";
    cmp_ok time - $start, '<', 3 * $RevProxy::SLOW, '... at once';
    $c->close;
}
$t->claim(qr/RP0202|RP0301|RP0303/, 'one of them was an error');

# --- answers before the body is there

only_ours {
    for my $chunked (0, 1) {
        my $frame = $chunked ? \&as_chunk : sub { $_[0] };
        my $how = $chunked ? 'chunked' : 'with a length';
        $app->forget;
        my $k = start_upload('/early', chunked => $chunked);
        $k->send($frame->(substr $body, 0, 20_000));
        my $r = $k->read_response(timeout => 3);
        is $r->status, 403, "answered while uploading, $how";
        is $r->body, 'not you', '... with its body';
        $k->send($frame->(substr $body, 20_000));
        $k->send("0\r\n\r\n") if $chunked;
        ok $app->wait_note(qr/^early: whole 300000$/), '... the backend gets the rest';
        is $k->request(path => '/plain', body => $body)->body, $good, '... and both connections serve on';
        $k->close;
    }
    # However fast the client sends, the answer does not wait for it to pause.
    my $huge = 'z' x 1_000_000;
    my $k = start_upload('/early', length => 300 * length $huge);
    my $sender = fork // die $!;
    if (!$sender) { $k->send($huge) for 1 .. 300; POSIX::_exit(0) }
    is $k->read_response(timeout => 10)->status, 403, 'a client that sends without a pause';
    is waitpid($sender, POSIX::WNOHANG()), 0, '... is answered while it sends';
    kill KILL => $sender;
    waitpid $sender, 0;
    $k->reset;
    ok $app->wait_note(qr/^early: truncated/), '... and may stop then';

    $k = start_upload('/echo', chunked => 1);
    my ($back, $n) = ('', 0);
    $k->send(as_chunk(substr $body, 0, 30_000));
    my $r = $k->read_response(body => 0);
    is $r->status, 200, 'full duplex: the head comes early';
    # What was sent has to come back before more is sent.
    for (my $at = 30_000; $at < length $body; $at += 30_000) {
        $k->wait_more(time + 5) or last until length($k->{buffer}) > $at;
        $n++ if length($k->{buffer}) > $at;
        $k->send(as_chunk(substr $body, $at, 30_000));
    }
    $k->send("0\r\n\r\n");
    is $n, 9, '... each piece comes back before the next is sent';
    my ($whole) = $k->read_chunked(time + 5, sub { $back .= $_[0] });
    ok $whole && $back eq $body, '... and all is the same in the end';
    is $k->request(path => '/plain', body => $body)->body, $good, '... and the connection serves on';
    $k->close;
} 'the body is sent before the response is read';

only_ours {
    my $k = start_upload('/close');
    $k->send(substr $body, 0, 100_000);
    my $r = $k->read_response(timeout => 3);
    is $r->status, 413, 'a backend that answers and closes with bytes unread';
    is $r->body, 'enough', '... is heard';
    is $r->header('Connection'), 'close', "... and the client is told that it need not send on";
    $k->close;
    # The write that meets the closed connection comes before anybody has looked for an answer.
    my $heard = 0;
    for (1 .. 10) {
        my $k = start_upload('/close', length => 30_000_000);
        my $sender = fork // die $!;
        if (!$sender) { $k->send('z' x 30_000_000, 3); POSIX::_exit(0) }
        my $r = $k->read_response(timeout => 3);
        $heard++ if ($r->status // 0) == 413;
        kill KILL => $sender;
        waitpid $sender, 0;
        $k->reset;
    }
    is $heard, 10, '... however fast the client sends';
    $app->forget;
    $k = start_upload('/politeclose');
    $k->send(substr $body, 0, 50_000);
    is $k->read_response(timeout => 3)->status, 413, 'one that says close, and waits';
    ok $app->wait_note(qr/^politeclose: closed$/), '... is closed, too';
    $k->close;
} 'the body is sent before the response is read';

$k = start_upload('/gone');
$k->send($body);
is $k->read_response->status, 502, 'a backend that resets without an answer';
$t->claim(qr/RP0202|RP0303/) if front ne 'mod_proxy';
$k->close;

my $large = 'z' x 16_000_000;
$k = start_upload('/short/deaf', length => length $large);
my $began = time;
{ my $pid = fork // die $!; if (!$pid) { $k->send($large, 5); POSIX::_exit(0) } }
is $k->read_response(timeout => 5)->status, 504, 'a backend that does not read';
ok time - $began < 4, '... after timeout=';
$app->signal('heard');
$t->claim(qr/RP0201/) if front ne 'mod_proxy';
$k->close;

# --- clients that do not send what they promised

for my $case ([ '/plain', 100_000, 0 ], [ '/plain', 100_000, 1 ], [ '/plain', 100, 0 ], [ '/plain', 100, 1 ]) {
    my ($path, $sent, $chunked) = @$case;
    $app->forget;
    my $k = start_upload($path, chunked => $chunked);
    $k->send($chunked ? as_chunk(substr $body, 0, $sent) : substr $body, 0, $sent);
    $app->wait_for(sub { $app->events > 0 }, 0.3);
    $k->pause(0.05);
    $k->close;
    my $name = "a client that goes away after $sent bytes" . ($chunked ? ', chunked' : '');
    if ($sent > 20_000) { ok $app->wait_note(qr/^plain: truncated/), "$name: the backend sees it" }
    else                { ok $app->wait_closed, "$name: no request is left at the backend" }
    is_deeply [ grep {/whole/} $app->notes ], [], '... as a cut one';
}
$k = start_upload('/plain', length => 100);
$k->send('x' x 50);
$k->half_close;
my $r = $k->read_response(timeout => 3);
is $r->status, 400, 'half of a body, then its end';
$k->close;

# --- limits of time

my @waiting = map {
    my ($name, $sent, @where) = @$_;
    my $k = start_upload('/plain', @where);
    $k->send(substr $body, 0, $sent);
    [ $name, $k ]
} (
    [ 'mod_reqtimeout, at the start',  100,    to   => 'limited' ],
    [ 'mod_reqtimeout, in the middle', 50_000, to   => 'limited' ],
    [ 'Timeout, at the start',         100,    host => 'impatient' ],
    [ 'Timeout, in the middle',        50_000, host => 'impatient' ]);
$k = start_upload('/plain', to => 'rated', length => 9_000);
for my $piece (1 .. 9) { $k->send('r' x 1000); $k->pause(0.15) }
is $k->read_response->body, '9000 ' . md5_hex('r' x 9000), 'MinRate: a client that is fast enough has its time';
$k->close;
for my $waiting (@waiting) {
    my ($name, $k) = @$waiting;
    my $r = $k->read_response(timeout => 3);
    is $r->status, 408, "$name: 408";
    is $r->header('Connection'), 'close', '... and the connection ends';
    $k->close;
}

$t->finish;
done_testing;
