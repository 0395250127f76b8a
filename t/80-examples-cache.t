# conf-examples/07-cache.conf with traffic: what is stored never reaches the backend again, what must not be
# stored is not.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes 'sleep';
use RevProxy;

# A backend that can do what an image server does: validators, Vary, and breaking off half way.
my $PIXELS = RevProxy::Backend::pattern(70_000);
my %CUT = (
    'cut-length'  => "Content-Length: 70000\r\n\r\n" . substr($PIXELS, 0, 30_000),
    'cut-large'   => "Content-Length: 3000000\r\n\r\n" . RevProxy::Backend::pattern(900_000),
    'cut-chunked' => "Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n%x\r\n", 20_000, substr($PIXELS, 0, 20_000), 50_000)
        . substr($PIXELS, 20_000, 5_000),
    'cut-chunks'  => "Transfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n", 20_000, substr($PIXELS, 0, 20_000)),
);
my $app = RevProxy::Backend->new(handler => sub {
    my ($c) = @_;
    while (my $q = $c->read_request) { return if !answer($c, $q) }
});

sub answer {
    my ($c, $q) = @_;
    my ($name) = $q->target =~ m{([\w-]+)(?:\?|\z)};
    my @kept   = ('Cache-Control' => 'max-age=600');
    if ($CUT{ $name // '' }) {
        $c->send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\n$CUT{$name}");
        return 0;
    }
    if (($name // '') eq 'old') {
        my $is_same = ($q->header('If-None-Match') // '') =~ /"v1"/;
        $c->respond($is_same ? 304 : 200, [ 'Cache-Control' => 'max-age=1', ETag => '"v1"' ], $is_same ? '' : $PIXELS);
    }
    elsif (($name // '') eq 'vary') {
        $c->respond(200, [ @kept, Vary => 'X-Kind' ], 'for ' . ($q->header('X-Kind') // 'nobody'));
    }
    elsif (($name // '') eq 'cookie')  { $c->respond(200, [ @kept, 'Set-Cookie' => 'who=me' ], 'a cookie') }
    elsif (($name // '') eq 'private') { $c->respond(200, [ 'Cache-Control' => 'private, max-age=600' ], 'mine') }
    elsif (($name // '') eq 'no-store') { $c->respond(200, [ 'Cache-Control' => 'no-store' ], 'never') }
    elsif (($name // '') eq 'bare')    { $c->respond(200, [ ETag => '"b"' ], 'no expiry') }
    elsif (($name // '') eq 'chunked') { $c->respond(200, [ @kept, ETag => '"c"' ], $PIXELS, chunked => 20_000) }
    else                               { $c->respond(200, [ @kept, ETag => '"1"' ], $PIXELS) }
    return 1;
}

my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [ RevProxy->example_modules('07-cache.conf') ],
    config   => "Define CACHE %%DIR%%/var\n" . RevProxy->example('07-cache.conf', '*:80' => '*:%%PORT%%', 3000 => '%%PORT:app%%',
        '/var/cache/apache2/mod_cache_disk' => '${CACHE}'));
my @host = (Host => 'yourdomain.com');

sub ask   { my ($path, @headers) = @_; return $t->get($path, headers => [ @host, @headers ]) }
sub asked { my ($path) = @_; return scalar grep { $_->target eq $path } $app->requests }
sub whole { my ($r) = @_; return $r->body_length == 70_000 }
sub cache { my ($r) = @_; return ($r->header('X-Cache') // '-') =~ s/ from .*//r }

# --- stored ---

for my $name (qw(logo chunked)) {
    my $r = ask("/images/$name");
    ok whole($r), "$name: the first answer";
    is cache($r), 'MISS', '... is the backend\'s';
    $r = ask("/images/$name");
    ok whole($r), "$name: the second one is the same";
    is cache($r), 'HIT', '... from the cache';
    ok defined $r->header('Age'), '... with an age';
    is asked("/images/$name"), 1, '... and the backend was asked once';
}
is ask('/images/logo', 'If-None-Match' => '"1"')->status, 304, 'If-None-Match: 304 from the cache';
is ask('/images/logo', Range => 'bytes=0-9')->body_length, 10, 'a range from the cache';
is asked('/images/logo'), 1, '... without the backend';
ask('/images/bare') for 1 .. 2;
is asked('/images/bare'), 1, 'no expiry: stored for CacheDefaultExpire';
is $t->request(method => 'HEAD', path => '/images/logo', headers => [@host])->status, 200, 'HEAD';
is asked('/images/logo'), 1, '... from the cache';

# --- revalidation ---
{
    ask('/images/old');
    sleep 2.1;
    my $r = ask('/images/old');
    ok whole($r), 'too old: asked for again, the backend says 304, the client gets it whole';
    is cache($r), 'REVALIDATE', '... the cache says so';
    my @q = grep { $_->target eq '/images/old' } $app->requests;
    is scalar(@q), 2, '... one more request';
    is $q[1]->header('If-None-Match'), '"v1"', '... with the validator';
}

# --- Vary ---
is ask('/images/vary', 'X-Kind' => $_->[0])->body, "for $_->[0]", "Vary: $_->[1]" for [ 'a', 'one' ], [ 'b', 'another' ], [ 'a', 'the first again' ];
is asked('/images/vary'), 2, '... the backend was asked twice';

# --- not stored ---
for my $path (qw(/api/logo /images/private /images/no-store /page/logo)) {
    ask($path) for 1 .. 2;
    is asked($path), 2, "$path: the backend is asked each time";
}
ask('/images/cookie');
my $r = ask('/images/cookie');
is cache($r) . ($r->header('Set-Cookie') // '-'), 'HIT-', 'a cookie is not stored with the answer';
$t->request(method => 'POST', path => '/images/form', headers => [@host], body => 'x') for 1 .. 2;
is asked('/images/form'), 2, 'POST';

# --- broken off: never stored, by whatever way it is relayed ---
for my $name (sort keys %CUT) {
    my $r = ask("/images/$name");
    ok $r->truncated, "$name: the client sees that it broke off";
    $r = ask("/images/$name");
    is asked("/images/$name"), 2, '... and it was not stored';
}
only_ours {
    my $log = RevProxy::slurp($t->dir . '/logs/yourapp_error.log');
    is scalar(() = $log =~ /RP0401/g), 8, 'the log of the example names it each time';
} 'its lines are its own';
$t->finish;
done_testing;
