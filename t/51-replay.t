# A kept connection that its backend closes just as it is used again: the request is sent once more where
# that is safe, never where it could be done twice.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use RevProxy;

# /prime is answered, as is the first request of a connection. Of a later one, what its path says:
my $stale = RevProxy::Backend->new(name => 'stale', handler => sub {
    my ($c) = @_;
    my ($r, $how);
    while ($r = $c->read_request) {
        ($how) = $r->target =~ m{/(\w+)};
        last if $how ne 'prime' && $r->number > 1;
        $c->respond(200, [], $r->body_md5);
    }
    return if !$r;
    return if $how eq 'eof';
    if ($how eq 'rst') { $c->reset; return }
    if ($how eq 'partial') { $c->send("HTTP/1.1 200 OK\r\nContent-Le"); return }
    if ($how eq 'interim') { $c->send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"); return }
    if ($how eq 'late') { $c->pause(1.3); return }
    if ($how eq 'half') { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"); return }
    die "what is $how?\n";
});
# Closes each connection after the first request it reads, whatever that is.
my $dead = RevProxy::Backend->new(name => 'dead', handler => sub { $_[0]->read_request });
# As the first, but every new connection after the first one fails, too.
my $gone = RevProxy::Backend->new(name => 'gone', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    return if $c->number > 1;
    $c->respond(200, [], 'ok');
    $c->read_request;
});
# Ends connections at random: while idle, at a request, in order or not.
my $random = RevProxy::Backend->new(name => 'random', handler => sub {
    my ($c) = @_;
    srand 7919 * $c->number;
    my $serves = 1 + int rand 6;
    while (my $r = $c->read_request) {
        return $c->reset if $serves == 0;
        return if $serves < 0;
        $c->respond(200, [ 'X-Echo' => $r->target ], 'x' x int rand 300);
        next if --$serves > 0;
        my $end = rand 1;
        if ($end < 0.5) { $c->pause(rand 0.004); return }
        if ($end < 0.7) { $c->pause(rand 0.004); return $c->reset }
        $serves = -1 if $end < 0.85;
    }
});

my @one_child = mpm eq 'prefork' ? (process => "ServerLimit 1\nStartServers 1\nMaxRequestWorkers 1\nMaxConnectionsPerChild 0") : ();
my $t = RevProxy->new(
    backends => { stale => $stale, dead => $dead, gone => $gone, random => $random },
    @one_child,
    config => <<'EOT');
    ProxyPass /stale/  %%URL:stale%%/ timeout=1
    ProxyPass /dead/   %%URL:dead%%/
    ProxyPass /gone/   %%URL:gone%%/
    ProxyPass /random/ %%URL:random%%/
EOT

# Leaves one connection in the pool that has served, then sends the request. Returns the response and the
# requests that the backend saw for it.
sub second_request {
    my ($path, %opt) = @_;
    $t->get('/stale/prime');
    $stale->forget;
    my $r = $t->request(path => "/stale/$path", %opt);
    return ($r, grep { $_->target =~ m{^/\Q$path\E} } $stale->requests);
}

my $body = join '', map { chr(32 + $_ % 90) } 1 .. 9000;
my $SECTION0 = 'it does not send again';

only_ours {
    for my $how (qw(eof rst)) {
        for my $case ([ 'GET' ], [ 'HEAD' ], [ 'OPTIONS' ], [ 'DELETE' ], [ 'PUT', $body ], [ 'PUT', '' ]) {
            my ($method, $data) = @$case;
            my ($r, @seen) = second_request($how, method => $method, defined $data ? (body => $data) : ());
            my $what = "$how, $method" . (defined $data ? ' of ' . length($data) . ' bytes' : '');
            is $r->status, 200, "$what: answered";
            is scalar(@seen), 2, "$what: sent twice";
            isnt $seen[0]->connection, $seen[1]->connection, "$what: on two connections";
            is $seen[1]->raw_head, $seen[0]->raw_head, "$what: the same head";
            is $seen[1]->body_md5, md5_hex($data), "$what: the same body" if defined $data;
        }
    }
    my ($r, @seen) = second_request('eof', method => 'PUT', chunks => [ substr($body, 0, 5000), substr $body, 5000 ]);
    is $r->status . @seen, '2002', 'a chunked PUT that is whole in memory';
    is $seen[1]->body_md5, md5_hex($body), 'with the same body';
    my @lines = $t->wait_log(qr/RP0203/);
    like $lines[0], qr{:info\].*RP0203 [^:]+: route /stale/ backend \S+ attempt 1 phase [^:]+: trying again}, 'RP0203 in the log';
}
$SECTION0;

for my $how (qw(eof rst)) {
    for my $case ([ 'POST', $body ], [ 'POST', '' ], [ 'PATCH', $body ], [ 'FROB', undef ]) {
        my ($method, $data) = @$case;
        my ($r, @seen) = second_request($how, method => $method, defined $data ? (body => $data) : ());
        is $r->status, 502, "$how, $method: 502";
        is scalar(@seen), 1, "$how, $method: sent once";
        like $r->body, qr/Error reading from remote server/, "$how, $method: and the page says why";
    }
}
$t->claim_fault($_, route => '/stale/', phase => 'waiting for the response') for qw(RP0301 RP0303);

# After the first request of a client's connection, mod_proxy answers nothing and closes.
{
    $t->get('/stale/prime');
    my $k = $t->connect;
    is $k->request(path => '/stale/prime')->status, 200, 'first request of a client';
    my $r = $k->request(path => '/stale/eof', body => 'x');
    is $r->status, ours(502, mod_proxy => undef, 'it does not send again'), 'POST as its second';
    $k->close;
}

{
    my $large = 'x' x 300000;
    my ($r, @seen) = second_request('eof', method => 'PUT', body => $large);
    is $r->status . @seen, '5021', 'a PUT that is not in memory any more is not sent again';
    $t->allow(qr/RP0301|RP0202/);
}
for my $case ([ partial => 502 ], [ interim => 502 ], [ half => 200 ]) {
    my ($how, $status) = @$case;
    my ($r, @seen) = second_request($how);
    is $r->status . @seen, "${status}1", "$how: once a byte has come back, not again";
    ok $r->truncated, 'half: and the loss is visible' if $how eq 'half';
}
$t->claim_fault('RP0401', route => '/stale/', phase => 'relaying the response body', count => 1);
$t->claim_fault('RP0301', route => '/stale/', phase => 'reading the response head');
{
    my ($r, @seen) = second_request('late');
    is $r->status . @seen, ours('5041', mod_proxy => '5021', 'no answer in time is 504 here (RFC 9110 15.6.5)'), 'late: a timeout is not a closed connection';
    $t->claim_fault('RP0302', route => '/stale/', phase => 'waiting for the response', count => 1);
}

# Only reused connections can be stale.
{
    my $r = $t->get('/dead/x');
    is $r->status, 502, 'a backend that closes a fresh connection: 502';
    is scalar(my @all = $dead->requests), 1, 'and is asked once';
    $t->claim_fault('RP0301', route => '/dead/', phase => 'waiting for the response', count => 1);
}
{
    $t->get('/gone/1');
    my $r = $t->get('/gone/2');
    is $r->status, 502, 'the second attempt fails, too: 502';
    is scalar(grep { $_->target eq '/2' } $gone->requests), ours(2, mod_proxy => 1, 'it does not send again'), 'and there is no third';
    $t->claim_fault('RP0301', route => '/gone/', phase => 'waiting for the response', attempt => 2, count => 1);
}

# A connection that was closed while idle is not used, whatever the method.
{
    my $before = () = $stale->requests;
    $t->get('/random/1?prime');
    my $bad = my $count = 0;
    my @k = map { $t->connect } 1 .. (mpm eq 'prefork' ? 1 : 8);
    my $rounds = 2000 / @k;
    for my $round (1 .. $rounds) {
        $k[$_]->send_request(path => "/random/$round.$_") for 0 .. $#k;
        for my $i (0 .. $#k) {
            my $r = $k[$i]->read_response;
            $count++;
            my $ok = ($r->status // 0) == 200 && ($r->header('X-Echo') // '') eq "/$round.$i" && !$r->truncated;
            next if $ok;
            $bad++;
            $k[$i] = $t->connect;
        }
    }
    is $count, 2000, '2000 requests to a backend that closes at random';
    my $served = () = grep { $_->{event} eq 'open' } $random->events;
    cmp_ok $served, '>', 200, "which used $served connections";
    only_ours { is $bad, 0, 'and not one error' } 'some of these fail';
}

$t->allow(qr/AH00161/) if mpm eq 'prefork';    # its one child is busy
$t->finish;
done_testing;
