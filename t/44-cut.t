# A response that the backend does not finish: the client sees that, and no cache keeps it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my %head = (
    length  => "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nCache-Control: max-age=60\r\nContent-Type: text/x-t\r\n\r\n",
    chunked => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\nContent-Type: text/x-t\r\n\r\n",
    close   => "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=60\r\nContent-Type: text/x-t\r\n\r\n",
);
my $all = RevProxy::Backend::pattern(100_000);

# FRAMING-HOW[-AMOUNT[-now]]: sends so much of the body, lets the client have it unless told to be quick, then breaks off.
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($framing, $how, $amount, $now) = split /-/, ($r->target =~ m{/([^/?]*)\z})[0];
    return $c->respond(200, [], 'fine') if !$how;
    my $body = substr $all, 0, $amount // ($how eq 'whole' ? 100_000 : 50_000);
    my $sent = $head{$framing} . ($framing ne 'chunked' ? $body : length $body ? sprintf "%x\r\n%s\r\n", length $body, $body : '');
    if ($how eq 'whole') { $c->send($sent . ($framing eq 'chunked' ? "0\r\n\r\n" : '')); return $c->close }
    my $end = { badchunk => "zz\r\nxx\r\n", midsize => '1', halfchunk => "1000\r\nabc", notail => "0\r\n", badtail => "3\r\nabcXX0\r\n\r\n" }->{$how} // '';
    if ($now) { $c->send($sent . $end) }
    elsif ($how eq 'timeout') { $c->send($sent) }
    else      { $c->send($sent); $c->wait_signal('seen-' . ($r->header('X-Id') // 0), 5); $c->send($end) }
    return $c->reset if $how eq 'reset';
    return $c->peer_closed(5) if $how eq 'timeout';
    $c->close;
});
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(cache cache_disk deflate filter headers)],
    docs     => {},
    config   => <<'EOT');
    CacheRoot %%DIR%%/var
    CacheEnable disk /cached/
    CacheHeader On
    ProxyPass / %%URL:app%%/ timeout=3
    <Location /gz/>
        SetOutputFilter DEFLATE
    </Location>
EOT
$t->allow(qr/AH01110|AH00898|AH02609|AH01102|AH10480|AH01385|AH02589/) if front eq 'mod_proxy';
my ($id, %code) = (0);

# A request of whose answer the client sees the start before the backend breaks off.
sub begin {
    my ($path, $version) = @_;
    my $k = $t->connect;
    $k->send_request(path => $path, version => $version, headers => [ 'X-Id' => ++$id, 'Accept-Encoding' => 'gzip' ]);
    return { k => $k, id => $id };
}

# Its answer, and whether the connection was closed then.
sub end {
    my ($k, $n) = @{ $_[0] }{qw(k id)};
    my $r = $k->read_response(body => 0);
    my ($framing, $length) = RevProxy::Client::response_framing($r, 0);
    $app->signal("seen-$n");
    $k->read_body_into($r, $framing, $length, Time::HiRes::time + 5);
    my $closed = $k->peer_closed(2);
    $k->close;
    return ($r, $closed);
}

sub cut { my ($path, $version) = @_; return end(begin($path, $version || '1.1')) }

# What has to wait waits together.
my %timeouts = map { my $framing = $_; map { ("/$framing-timeout $_" => begin("/$framing-timeout", $_)) } '1.0', '1.1' } qw(length chunked close);
my %cached   = map { ("/cached/$_-timeout" => begin("/cached/$_-timeout", '1.1')) } qw(chunked close);

for my $case (
    # what the backend does, code in the log
    [ 'length-eof',        401 ],
    [ 'length-reset',      403 ],
    [ 'length-timeout',    402 ],
    [ 'length-eof-0',      401 ],
    [ 'chunked-eof',       401 ],
    [ 'chunked-reset',     403 ],
    [ 'chunked-timeout',   402 ],
    [ 'chunked-eof-0',     401 ],
    [ 'chunked-badchunk',  404 ],
    [ 'chunked-midsize',   401 ],
    [ 'chunked-halfchunk', 401 ],
    [ 'chunked-notail',    401 ],
    [ 'chunked-badtail',   404 ],
    [ 'close-reset',       403 ],
    [ 'close-timeout',     402 ])
{
    my ($path, $code) = @$case;
    for my $version ('1.1', '1.0') {
        my $name = "$path, client of HTTP/$version";
        my $begun = delete $timeouts{"/$path $version"} || begin("/$path", $version);
        my ($r, $closed) = end($begun);
        # A client of HTTP/1.0 without Content-Length can only see a reset.
        next if front eq 'mod_proxy' && $version eq '1.0' && $path !~ /^length/;
        is $r->status, 200, "$name: the head was out";
        ok $r->truncated, "... the end is missing (@{[ $r->framing, $r->body_length ]})";
        ok !$r->timeout && $closed, '... and the connection closed';
        $code{$code}++;
    }
}
my %first = map { my ($r) = end($cached{$_}); ($_ => $r) } keys %cached;
$code{402} += keys %cached;
only_ours { $t->claim(qr/RP0$_ /, "RP0$_ for each", count => $code{$_}) for sort keys %code } 'its own words';

my ($r) = cut('/gz/chunked-eof');
ok $r->truncated, 'through mod_deflate';
is $t->get('/fine')->body, 'fine', 'the next request is served';

# Known before a byte went out: the client gets to know from the status.
for my $path ('chunked-badchunk-0-now', 'length-eof-0-now', 'chunked-eof-0-now', 'chunked-midsize-0-now') {
    my $k = $t->connect;
    $r = $k->request(path => "/$path");
    my $visible = ($r->status // 0) == 502 || $r->truncated;
    ok $visible, "$path: 502 or cut (" . ($r->status // 'none') . ')';
    is $r->status, 502, '... a bad chunk at once: 502' if $path =~ /badchunk/;
    $k->close;
}

# --- caches

sub hits { return scalar grep { $_->target eq $_[0] } $app->requests }
for my $framing (qw(length chunked close)) {
    # mod_cache commits a moment after the client has the last byte.
    my $answer = $t->get("/cached/$framing-whole");
    for (1 .. 50) {
        last if ($answer = $t->get("/cached/$framing-whole"))->header('X-Cache') =~ /^HIT/;
        select undef, undef, undef, 0.02;
    }
    like $answer->header('X-Cache'), qr/^HIT/, "a whole response, $framing, is cached";
}
my @cut = map {"/cached/$_"} qw(length-eof length-reset chunked-eof chunked-reset chunked-badchunk chunked-notail close-reset);
$first{$_} = (cut($_))[0] for @cut;
$cached{$_} = begin($_, '1.1') for keys %cached;
for my $path (@cut, sort keys %cached) {
    my ($second) = end($cached{$path} || begin($path, '1.1'));
    ok $first{$path}->truncated && $second->truncated, "$path: cut";
    is hits($path), 2, '... and not cached';
    unlike $second->header('X-Cache'), qr/^HIT/, '... says the cache';
}
$t->allow(qr/RP040[1-4]|AH0072\d|AH0073\d/);

$t->finish;
done_testing;
