# Expect: 100-continue, end to end or answered here, and as a ping.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

# What it does is in the last part of the path. It notes whether body bytes came before its word.
my $app = RevProxy::Backend->new(handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request(body => 0)) {
        my ($what) = $r->target =~ m{/([^/?]*)\z};
        my $early = $c->read_raw($what eq 'prompt' ? 0.01 : 0.05);
        $c->{buffer} = $early . $c->{buffer};
        $c->note("$what: expect " . ($r->header('Expect') // 'none') . ', early ' . length $early);
        return if $what eq 'eof';
        if ($what eq 'silent') { $c->peer_closed(10); return }
        if ($what eq 'final') { $c->respond(417, [ 'X-Early' => 1 ], 'no'); $c->read_body($r, continue => 0); next }
        if ($what eq 'finalclose') { $c->respond(413, [], 'no', close => 1); return }
        if ($what eq 'final10') { $c->send("HTTP/1.0 403 No\r\nContent-Length: 2\r\n\r\nno"); $c->close; return }
        if ($what eq 'hints') { $c->send("HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"); $c->pause(0.05); $c->note('hints: more ' . length $c->read_raw(0.05)) }
        $c->send("HTTP/1.1 100 Continue\r\nX-From: backend\r\n\r\n") if $r->header('Expect');
        $c->read_body($r, continue => 0);
        $c->respond(200, [], 'body ' . $r->body_length . ' ' . $r->body_md5);
    }
});
my $t = RevProxy->new(backends => { app => $app }, modules => ['env'], config => <<'EOT');
    ProxyPass /ping/  %%URL:app%%/ping/ ping=1
    ProxyPass /short/ %%URL:app%%/short/ timeout=1
    ProxyPass / %%URL:app%%/
    <Location /off/>
        Proxy100Continue Off
    </Location>
    <Location /f10/>
        SetEnv force-proxy-request-1.0 1
    </Location>
    <Location /ping/f10/>
        SetEnv force-proxy-request-1.0 1
    </Location>
    <Location /ping/rfc/>
        SetEnv proxy-interim-response RFC
    </Location>
    <Location /suppress/>
        SetEnv proxy-interim-response Suppress
    </Location>
EOT
my $md5 = Digest::MD5::md5_hex('0123456789');
$t->allow(qr/AH00898|AH01102/) if front eq 'mod_proxy';

sub last_note { return +($app->notes)[-1] }

# A client that waits for 100 before it sends; returns the first response and the final one.
sub ask {
    my ($path, %opt) = @_;
    my $k = $opt{on} || $t->connect;
    my $body = $opt{body} // '0123456789';
    my $chunked = $opt{chunked} ? "Transfer-Encoding: chunked\r\n" : 'Content-Length: ' . length($body) . "\r\n";
    $k->send("POST $path HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n$chunked\r\n");
    my $first = $k->read_response(interim => 1, timeout => 5);
    my $final = $first;
    if (($first->status // 0) == 100) {
        $k->send($opt{chunked} ? sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body) : $body);
        $final = $k->read_response;
    }
    $k->close if !$opt{on};
    return ($first, $final, $k);
}

# --- end to end

my $k = $t->connect;
my ($first, $final) = ask('/yes', on => $k);
is $first->status, 100, '100 Continue of the backend reaches the client';
is $first->header('X-From'), 'backend', '... and is its own';
is last_note(), 'yes: expect 100-continue, early 0', '... the request was sent with Expect, without a body';
is $final->body, "body 10 $md5", '... which follows';
($first, $final) = ask('/yes', on => $k, chunked => 1);
is $final->body, "body 10 $md5", 'a chunked body too';
($first, $final) = ask('/yes', on => $k, body => 'x' x 100_000);
is $final->body, 'body 100000 ' . Digest::MD5::md5_hex('x' x 100_000), '... and a large one';
is $app->connections, 1, 'on one connection to the backend';
is $k->request(path => '/get')->status, 200, 'whose client goes on';
$k->close;

# RFC 9110 10.1.1: no client may expect it without content, and to the backend we are the client.
only_ours {
    $k = $t->connect;
    $k->send_request(path => '/get', headers => [ Expect => '100-continue' ]);
    $first = $k->read_response(interim => 1);
    is $first->status, 200, 'expected without a body: the answer, and no 100 before it';
    my @all = $app->requests;
    ok !defined $all[-1]->header('Expect'), '... and the backend is not asked';
    $k->close;
} 'it sends it on, and a 100 first';

only_ours {
    ($first, $final) = ask('/final');
    is $first->status, 417, 'a final response instead of 100 reaches the client';
    is $first->header('X-Early'), 1, '... as it is';
    is $first->header('Connection'), 'close', '... which need not send the body, but has to close';
} 'it waits for the body first, and the client for the answer';
($first, $final) = ask('/finalclose');
is $first->status, 413, '... also one with Connection: close';
($first, $final) = ask('/final10');
is $first->status, 403, '... and one of HTTP/1.0';
is $k = RevProxy::Client->new(port => $t->port)->request(path => '/get')->status, 200, 'the next request is served';

($first, $final, $k) = ask('/hints', on => $t->connect);
is $first->status, 103, 'a 103 comes before the 100';
ok $app->wait_note(qr/^hints: more 0$/), '... and does not let the body go';
my $second = $k->read_response(interim => 1);
is $second->status, 100, '... which the 100 does';
$k->send('0123456789');
is $k->read_response->body, "body 10 $md5", '... and then it arrives';
$k->close;

($first, $final) = ask('/short/silent');
is $first->status, 503, 'a backend that says nothing: 503';
$t->claim(ours(qr/RP0206/, mod_proxy => qr/AH00898.*100-Continue/, 'its own words'));
my $took = $final->time;
ok $took < 4, "... after timeout= ($took s)";
($first, $final) = ask('/eof');
is $first->status, 502, 'a backend that closes: 502';
$t->claim(ours(qr/RP0301/, mod_proxy => qr/AH01102/, 'its own words'));

# The client need not wait.
my $r = $t->request(path => '/prompt', headers => [ Expect => '100-continue' ], body => '0123456789');
is $r->body, "body 10 $md5", 'a client that does not wait for 100';
$r = $t->request(path => '/prompt', version => '1.0', headers => [ Expect => '100-continue' ], body => '0123456789');
is $r->body, "body 10 $md5", 'an HTTP/1.0 client';
is_deeply $r->interim, [], '... and gets no 100';
# Nothing to wait for.
$r = $t->request(method => 'GET', path => '/yes', headers => [ Expect => '100-continue' ]);
is $r->status, 200, 'Expect without a body';
$r = $t->request(path => '/yes', headers => [ Expect => '100-continue' ], body => '');
is $r->status, 200, 'Expect with an empty body';

# --- answered here

($first, $final) = ask('/off/yes');
is $first->status, 100, 'Proxy100Continue Off: 100 all the same';
is $first->header('X-From'), undef, '... from here';
is $final->body, "body 10 $md5", '... the body arrives';
is last_note(), 'yes: expect none, early 10', '... with the head, without Expect';
($first, $final) = ask('/f10/yes', chunked => 1);
is $final->body, "body 10 $md5", 'force-proxy-request-1.0: likewise';
is last_note(), 'yes: expect none, early 10', '... without Expect';

# --- ping=

$r = $t->get('/ping/yes');
is last_note(), 'yes: expect none, early 0', 'ping=: nothing for a request without a body';
$r = $t->request(path => '/ping/yes', body => '0123456789');
is last_note(), 'yes: expect 100-Continue, early 0', 'ping=: Expect is added to one with a body, which waits';
is $r->body, "body 10 $md5", '... and arrives';
is_deeply $r->interim, [], '... the 100 is not for the client';
$r = $t->request(path => '/ping/yes', chunks => [ '01234', '56789' ]);
is last_note(), 'yes: expect 100-Continue, early 0', '... chunked too';
is $r->body, "body 10 $md5", '... and arrives';
is scalar @{ $t->request(path => '/ping/rfc/yes', body => 'x')->interim }, 1, '... but with proxy-interim-response RFC the client gets it';
$r = $t->request(path => '/ping/yes', body => '');
is last_note(), 'yes: expect none, early 0', '... and nothing for an empty body';
$r = $t->request(path => '/ping/f10/yes', body => 'x');
is last_note(), 'yes: expect none, early 1', '... nor for HTTP/1.0';
$r = $t->request(path => '/ping/final', body => '0123456789');
is $r->status, 417, 'ping=: a backend that answers at once';
is $r->body, 'no', '... before it has the body';
$r = $t->request(path => '/ping/silent', body => '0123456789');
is $r->status, 503, 'ping=: a backend that says nothing';
ok $r->time < 3, '... for a second';
($first, $final) = ask('/ping/yes');
is $first->header('X-From'), 'backend', 'ping= and a client that waits: the 100 is for both';
is $final->body, "body 10 $md5", '... and the body arrives';

($first, $final) = ask('/ping/silent');
is $first->status, 503, 'ping= limits the wait of a client that asked, too';

$t->finish;
done_testing;
