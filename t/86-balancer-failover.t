# Members that fail: who is tried next, what is never sent twice, when a member comes back.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

my %m = RevProxy::Members->make(qw(a b c d));
# Reads a request and closes, or resets, or answers nonsense, or is silent, by its path; writes down each.
$m{bad} = RevProxy::Backend->new(name => 'bad', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    return $c->reset if $r->target =~ /rst/;
    return $c->pause(20) if $r->target =~ /hang/;
    return $c->send("nonsense\r\n\r\n") if $r->target =~ /nonsense/;
    return $c->respond(503, [ 'X-Member' => 'bad' ], 'no') if $r->target =~ /503/;
    return;
});
my $later = RevProxy::Backend->new(name => 'later', start => 0, answer => sub { RevProxy::Members::answer('later', @_) });
$m{later} = $later;

sub pool {
    my ($name, $params, @members) = @_;
    return "<Proxy balancer://$name>\n" . join('', map {"BalancerMember $_\n"} @members)
        . ($params ? "ProxySet $params\n" : '') . "</Proxy>\nProxyPass /$name/ balancer://$name/\n";
}

my ($a, $b, $c, $d) = map {"%%URL:$_%%"} qw(a b c d);
my $dead = sub {"http://127.0.0.1:%%PORT:dead$_[0]%%"};

my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status headers)], config => join '',
    pool('one',   '', $dead->(1) . ' retry=30', $a),
    pool('none',  'maxattempts=0', $dead->(1) . ' retry=30', $a),
    pool('i',     '', $dead->(1) . ' status=+I', $a),
    pool('alone', 'forcerecovery=Off', $dead->(1)),
    pool('force', '', $dead->(1) . ' retry=30', $dead->(2) . ' retry=30'),
    pool('spare', '', $a, $dead->(1) . ' retry=30', "$b status=+R", "$c status=+R", "$d status=+H"),
    pool('sets',  '', $dead->(1) . ' retry=30', $dead->(2) . ' retry=30 lbset=1', "$d status=+H lbset=1", "$a lbset=2"),
    pool('fos',   'failonstatus=503', $a, $b),
    pool('fosi',  'failonstatus=503', "$a status=+I", $b),
    (front eq 'mod_proxy' ? () : (
        pool('over',  'failoverstatus=503', $a, $b),
        pool('overd', 'failoverstatus=503', $a, "$b status=+D"),
        pool('overn', 'failoverstatus=503', $a, "$b status=+N"),
        pool('overe', 'failoverstatus=503 forcerecovery=On failonstatus=503', $a, $dead->(3) . ' retry=30'),
        pool('overh', 'failoverstatus=503', $a, "$b status=+H"),
        pool('overf', 'failoverstatus=503 stickysession=S nofailover=On', "$a route=a", "$b route=b"),
        pool('overs', 'failoverstatus=503 stickysession=S', "$a route=a redirect=n", "$d route=n status=+N"),
    )),
    pool('sole',  '', '%%URL:bad%% timeout=1', "$a status=+D"),
    pool('noone', '', 'http://nowhere.invalid:82', "$a status=+D"),
    pool('fot',   'failontimeout=On', '%%URL:bad%% timeout=1', $a),
    pool('bad',   '', '%%URL:bad%% timeout=1', $a),
    pool('nohost', '', 'http://nowhere.invalid:81', $a),
    pool('full',  '', "$a max=1 acquire=50 disablereuse=Off retry=30", $b),
    pool('back',  '', '%%URL:later%%', $a),
    pool('patient', '', '%%URL:later%% retry=2', $a),
    pool('zero',  '', '%%URL:later%% retry=0', $a),
    pool('wait',  'timeout=5 forcerecovery=Off', '%%URL:later%%'),
    pool('te',    '', $a),
    <<'EOT');
Header always set X-Changed "%{BALANCER_ROUTE_CHANGED}e" env=BALANCER_ROUTE_CHANGED
Header always set X-Worker "%{BALANCER_WORKER_NAME}e"
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

$t->allow(qr/RP0111|RP0102|RP0101|RP0114|RP0106|RP030[1-4]|RP0504|AH\d{5}/);
my $dead1 = 'http://127.0.0.1:' . $t->port_of('dead1');
my $dead2 = 'http://127.0.0.1:' . $t->port_of('dead2');

is who($t, '/one/x', 6), 'a a a a a a', 'a dead member is not noticed by clients';
is figures($t, 'one')->{$dead1}{status}, 'Init Err', '... and is in error';
is figures($t, 'one')->{$dead1}{elected}, 1, '... was tried once';
is $t->get('/one/x')->header('X-Worker'), $m{a}->url, 'the environment names the one that answers';
is $t->request(method => 'POST', path => '/one/x', body => 'x' x 1000)->status, 200, 'POST, too: nothing was sent';
is who($t, '/none/x', 3), '503 a a', 'maxattempts=0: no second attempt';
is who($t, '/i/x', 4), '503 a 503 a', '+I: never in error, no second attempt';
is figures($t, 'i')->{$dead1}{status}, 'Init Ign Ok', '... as its status says';

is who($t, '/alone/x', 4), '503 503 503 503', 'forcerecovery=Off';
is figures($t, 'alone')->{$dead1}{elected}, 1, '... contacts it once';
is who($t, '/force/x', 3), '503 503 503', 'all dead';
cmp_ok figures($t, 'force')->{$dead1}{elected}, '>=', 3, '... forcerecovery=On tries them each time';

is who($t, '/spare/x', 12), 'a a b a b a b a b a b a', 'the first spare stands in for the dead one';
is who($t, '/sets/x', 3), 'd d d', 'a standby of lbset 1 before lbset 2';

is who($t, '/fos/status/503', 1), 'a', 'failonstatus: the response is delivered';
is $t->get('/fos/status/503')->status, 503, '... from the other, too';
is figures($t, 'fos')->{ $m{a}->url }{status}, 'Init Err', '... and the member is in error';
is who($t, '/fosi/status/503', 2), 'a b', 'failonstatus and +I';
is figures($t, 'fosi')->{ $m{a}->url }{status}, 'Init Ign Ok', '... is not marked';

# a member that says so is passed over, where that does no harm
only_ours {
    my $asked = sub { scalar map { $_->requests } @m{qw(a b)} };
    my $before = $asked->();
    is $t->get('/over/status/503')->status, 503, 'failoverstatus: all members say so, and the client hears it';
    is $asked->() - $before, 2, '... when each was asked once';
    $before = $asked->();
    is $t->request(method => 'POST', path => '/over/status/503', body => 'x')->status, 503, '... a POST is not sent twice';
    is $asked->() - $before, 1, '... but once';
    is $t->get('/over/status/500')->status, 500, '... other statuses are delivered';
    is figures($t, 'over')->{ $m{a}->url }{status}, 'Init Ok', '... and nobody is in error';

    # ... but only where there is another: what this one says is not to be lost
    my %why = (overd => 'disabled', overn => 'drained', overe => 'in error');
    is who($t, '/overe/x', 2), 'a a', 'a dead member';
    for my $pool (sort keys %why) {
        is $t->get("/$pool/status/503")->body, 'a /status/503', "failoverstatus, the other one is $why{$pool}: the answer is delivered";
    }
    is $t->get('/overh/status/503')->body, 'b /status/503', '... a standby is asked';
    my $sticks = sub { $t->get($_[0], headers => [ Cookie => 'S=x.a' ])->body };
    is $sticks->('/overf/status/503'), 'a /status/503', '... no other is, where the session is kept to its member';
    is $sticks->('/overs/status/503'), 'd /status/503', '... a drained one is, where it redirects to it';
} 'failoverstatus= is ours';

only_ours {
    is $t->get('/sole/hang')->status, 504, 'the only usable member is silent: that is what the client hears';
    is $t->get('/sole/eof')->status, 502, '... and that it closes';
    is $t->get('/noone/x')->status, 502, '... and that it has no address';
} 'it says 503';

# after the request was sent
only_ours {
    $m{bad}->forget;
    for my $how (qw(eof rst hang)) {
        my $began = time;
        is who($t, "/bad/$how", 2), 'a a', "GET, $how: the other member answers";
        cmp_ok time - $began, '<', 2.5, '... soon' if $how eq 'hang';
    }
    is scalar($m{bad}->requests), 3, '... after this one was asked';
    is figures($t, 'bad')->{ $m{bad}->url }{status}, 'Init Ok', '... which is not in error for that';
    $m{bad}->forget;
    for my $method (qw(POST PATCH PUT DELETE)) {
        for my $how (qw(eof rst)) {
            my @status = map { $t->request(method => $method, path => "/bad/$how", body => 'once')->status } 1 .. 2;
            is join(' ', sort @status), '200 502', "$method, $how: never twice";
        }
    }
    is scalar($m{bad}->requests), 8, '... as the member\'s journal says';
    is join(' ', sort map { $_->status } map { $t->get('/bad/nonsense') } 1 .. 2), '200 502', 'an answer that is none';
    my $r = $t->get('/nohost/x');
    is $r->status, 200, 'a member without an address';
    is figures($t, 'nohost')->{'http://nowhere.invalid:81'}{status}, 'Init Err', '... is in error';
    is $t->request(method => 'GET', path => '/te/x', headers => [ 'Transfer-Encoding' => 'gzip, chunked' ])->status, 501,
        'a coding nobody knows';
    is figures($t, 'te')->{ $m{a}->url }{status}, 'Init Ok', '... does not take the member out';
} 'no second attempt for those';

is $t->get('/fot/hang')->status, ours(200, mod_proxy => 502, 'it tries no other member then'), 'failontimeout';
is figures($t, 'fot')->{ $m{bad}->url }{status}, 'Init Err', '... takes the member out';

# a full pool counts as a failure
only_ours {
    SKIP: {
    skip 'max= is per child, and each has one connection under prefork', 3 if mpm eq 'prefork';
    my $k = $t->connect;
    $k->send("GET /full/silent HTTP/1.1\r\nHost: x\r\n\r\n");
    ok $m{a}->wait_for(sub { grep { $_->target eq '/silent' } $m{a}->requests }), 'a member with max=1 is busy';
    is figures($t, 'full')->{ $m{a}->url }{busy}, 1, '... as its figures say';
    is who($t, '/full/x', 3), 'b b b', '... the others wait for acquire= and go on';
    $k->close;
    }
} 'max= is per child';

# back again
only_ours {
    is who($t, '/back/x', 2), 'a a', 'a member that is down';
    is who($t, '/patient/x', 2), 'a a', '... with retry=2, too';
    my $down = time;
    $later->start;
    sleep 1.1;
    like who($t, '/back/x', 3), qr/later/, 'without retry= it is tried a second later';
    is figures($t, 'back')->{ $later->url }{status}, 'Init Ok', '... and is back';
    is who($t, '/patient/x', 3), 'a a a', 'retry=2 is kept to the letter' if time - $down < 1.9;
    my $left = 2.2 - (time - $down);
    sleep $left if $left > 0;
    like who($t, '/patient/x', 3), qr/later/, '... and over';
    $t->claim(qr/RP0112 .*\Q@{[ $later->url ]}\E/, 'log: it is back', count => 1);
    $later->stop;
} 'retry is a minute';

# retry=0: at the next selection
is who($t, '/zero/x', 4), 'a a a a', 'retry=0: a dead member';
cmp_ok figures($t, 'zero')->{ $later->url }{elected}, '>=', 2, '... is tried each time';

# waiting for a member
only_ours {
    my $k = $t->connect;
    is $t->get('/wait/x')->status, 503, 'the only member is down';
    $k->send("GET /wait/x HTTP/1.1\r\nHost: x\r\n\r\n");
    my $began = time;
    sleep 0.3;
    $later->start;
    is $k->read_response->header('X-Member'), 'later', 'timeout=: a request waits for a member';
    cmp_ok time - $began, '<', 3, '... until it is back';
} 'it sleeps, and the member is out for a minute';

$t->finish;
done_testing;
