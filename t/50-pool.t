# Connections to a backend: kept and used again, limits, who gets which, and when one is closed.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;

my $SLOW = $RevProxy::SLOW;
my %b    = map { $_ => RevProxy::Backend->echo(name => $_) }
    qw(plain ttl max acquire smax off min probe rewrite abort);
my $uds1 = RevProxy::Backend->echo(unix => 1, name => 'uds1');
my $uds2 = RevProxy::Backend->echo(unix => 1, name => 'uds2');

# Answers, and sends bytes that nobody asked for a little later.
my $noisy = RevProxy::Backend->new(name => 'noisy', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request) {
        $c->respond(200, [], 'connection ' . $c->number);
        $c->pause(0.1);
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        $c->note('noise');
    }
});
# Speaks HTTP/1.0.
my $old = RevProxy::Backend->new(name => 'old', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request) { $c->send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok") }
});

# One child that lives on, so that there is one pool.
my @one_child = mpm eq 'prefork' ? (process => "ServerLimit 1\nStartServers 1\nMaxRequestWorkers 1\nMaxConnectionsPerChild 0") : ();

my $t = RevProxy->new(
    backends => { %b, uds1 => $uds1, uds2 => $uds2, noisy => $noisy, old => $old },
    modules  => [qw(rewrite env setenvif)],
    @one_child,
    config => <<'EOT');
    ProxyPass /plain/   %%URL:plain%%/
    ProxyPass /ttl/     %%URL:ttl%%/ ttl=1
    ProxyPass /max/     %%URL:max%%/ max=2
    ProxyPass /acquire/ %%URL:acquire%%/ max=1 acquire=300
    ProxyPass /smax/    %%URL:smax%%/ smax=1
    ProxyPass /off/dis/ %%URL:off%%/dis/ disablereuse=On
    ProxyPass /off/en/  %%URL:off%%/en/ enablereuse=Off
    ProxyPass /off/on/  %%URL:off%%/on/ disablereuse=On enablereuse=On
    ProxyPass /min/     %%URL:min%%/ min=2 max=4
    ProxyPass /probe/on/  %%URL:probe%%/on/ keepalive=On
    ProxyPass /probe/off/ %%URL:probe%%/off/
    ProxyPass /abort/   %%URL:abort%%/ max=1 acquire=15s timeout=15
    ProxyPass /noisy/   %%URL:noisy%%/
    ProxyPass /old/     %%URL:old%%/
    ProxyPassMatch ^/pm-path/(\w+)$ %%URL:rewrite%%/pm/$1
    ProxyPassMatch ^/pm-port/(\d+)/(\w+)$ http://127.0.0.1:$1/pp/$2
    ProxyPassMatch ^/pm-opt/(\w+)$ %%URL:rewrite%%/po/$1 disablereuse=On
    RewriteEngine On
    RewriteRule ^/rewrite/(.*)$ %%URL:rewrite%%/rw/$1 [P]
    RewriteRule ^/rewrite-uds/(.*)$ unix:%%SOCK:uds1%%|http://rewritten/$1 [P]
    # the pseudo URL is the same, the socket is not
    ProxyPass /uds1/ unix:%%SOCK:uds1%%|http://localhost/
    ProxyPass /uds2/ unix:%%SOCK:uds2%%|http://localhost/
    # the options of one route are not another's
    ProxyPass /mine/     %%URL:plain%%/mine/
    ProxyPass /deep/     %%URL:plain%%/mine/deep/ timeout=1
    ProxyPass /deepoff/  %%URL:plain%%/mine/deepoff/ disablereuse=On
    SetEnvIf Request_URI ^/plain/nokeep proxy-nokeepalive
    SetEnvIf Request_URI ^/plain/initial proxy-initial-not-pooled
    SetEnvIf Request_URI ^/plain/force10 force-proxy-request-1.0
EOT

# Requests of its own client connection each; returns the numbers of the backend's connections.
sub conns_of {
    my ($backend, @paths) = @_;
    my $before = () = $backend->requests;
    for my $path (@paths) { $t->get($path)->status == 200 or diag "$path failed" }
    my @requests = $backend->requests;
    return map { $_->connection } @requests[ $before .. $#requests ];
}

sub last_of { my @requests = $_[0]->requests; return $requests[-1] }

# --- reuse ---

{
    my @n = conns_of($b{plain}, ('/plain/x') x 6);
    is "@n", '1 1 1 1 1 1', 'six requests, one connection';
    is last_of($b{plain})->header('Connection'), 'Keep-Alive', 'and the backend is asked to keep it';
    for my $kind ('reply-status=404', 'reply-status=204', 'reply-status=304', 'reply-chunked=1', 'reply-size=100000', 'reply-size=0') {
        $t->get("/plain/x?$kind");
        is last_of($b{plain})->connection, 1, "kept after $kind";
    }
    $t->request(method => 'HEAD', path => '/plain/x?reply-size=500');
    $t->request(path => '/plain/x', body => 'x' x 50000);
    $t->request(path => '/plain/x', chunks => [ 'x' x 20000, 'y' x 30000 ]);
    $t->get('/plain/x');
    is last_of($b{plain})->connection, 1, 'kept after HEAD and requests with bodies';
}

{
    my @n = conns_of($b{plain}, '/plain/x?reply-close=1', '/plain/x', '/plain/x?reply-close=2', '/plain/x');
    is "@n", '1 2 2 3', 'not after Connection: close, nor after a body that ends with the connection';
    $t->get('/plain/nokeep');
    is last_of($b{plain})->header('Connection'), 'close', 'proxy-nokeepalive asks for the end';
    $t->get('/plain/force10');
    is last_of($b{plain})->version, '1.0', 'force-proxy-request-1.0';
    is last_of($b{plain})->header('Connection'), undef, 'says nothing about the connection';
    $t->get('/plain/x');
    ok $b{plain}->wait_for(sub { $b{plain}->open_connections == 1 }), 'both were closed';
    my $pooled = last_of($b{plain})->connection;
    my @fresh  = conns_of($b{plain}, '/plain/initial');
    isnt $fresh[0], $pooled, 'proxy-initial-not-pooled: the first request of a client gets a fresh one';
    my $k = $t->connect;
    $k->request(path => '/plain/initial');
    my $first = last_of($b{plain})->connection;
    $k->request(path => '/plain/initial');
    my $second = last_of($b{plain})->connection;
    is $second, $first, 'which is pooled afterwards';
    isnt $first, $fresh[0], 'and was another for each client';
    $k->close;
}

{
    $t->get('/old/x') for 1 .. 2;
    is $old->connections, 2, 'a backend of HTTP/1.0 is not kept';
}

{
    is $t->get('/noisy/1')->body, 'connection 1', 'first answer';
    ok $noisy->wait_note(qr/noise/), 'then bytes that nobody asked for';
    is $t->get('/noisy/2')->body, 'connection 2', 'never taken for the answer to the next request';
}

# --- parameters ---

SKIP: {
    skip 'a single-threaded MPM keeps one connection and ignores the parameters', 2 if mpm eq 'prefork';
    my @n = conns_of($b{ttl}, '/ttl/a', '/ttl/b');
    is "@n", '1 1', 'ttl: used again before its end';
    sleep 1.3;
    @n = conns_of($b{ttl}, '/ttl/c');
    is "@n", '2', 'ttl: not after it';
}

for my $row ([ '/off/dis/', 'close' ], [ '/off/en/', 'close' ], [ '/off/on/', 'Keep-Alive' ]) {
    my ($path, $word) = @$row;
    my %seen = map { $_ => 1 } conns_of($b{off}, ("${path}x") x 2);
    is scalar(keys %seen), $word eq 'close' ? 2 : 1, "$path connections for two requests";
    is last_of($b{off})->header('Connection'), $word, "$path asks for $word";
}

is $b{min}->connections, 0, 'min: no connection before there is a request';
conns_of($b{min}, '/min/x', '/min/y');
is $b{min}->connections, 1, 'min: one for the requests';

# State of the kernel's timer of our connection to the port: 2 is a keepalive timer.
sub timers_to {
    my ($port) = @_;
    my $hex = sprintf '0100007F:%04X', $port;
    open my $fh, '<', '/proc/net/tcp' or return 'no /proc/net/tcp';
    return join ' ', map { my @f = split; $f[2] eq $hex && $f[3] eq '01' ? $f[5] =~ /\A(\d\d):/ : () } <$fh>;
}
SKIP: {
    skip 'no /proc/net/tcp here', 2 if !-r '/proc/net/tcp';
    $t->get('/probe/off/x');
    is timers_to($b{probe}->port), '00', 'no TCP keepalive by itself';
    $t->get('/probe/on/x');
    is join(' ', sort split / /, timers_to($b{probe}->port)), '00 02', 'keepalive=On: the kernel probes, on that route only';
}

SKIP: {
    skip 'one request at a time under prefork with one child', 14 if mpm eq 'prefork';
    {
        my @k = map { $t->connect } 1 .. 6;
        my $since = time;
        $_->send_request(path => '/max/x?reply-delay=0.3') for @k;
        my @status = map { $_->read_response->status } @k;
        my $took = time - $since;
        is "@status", '200 200 200 200 200 200', 'max: requests above it wait';
        cmp_ok $took, '>=', 0.85, 'max: in three rounds';
        is $b{max}->connections, 2, 'max: two connections for six requests at once';
    }
    {
        my $long = $t->connect;
        $long->send_request(path => '/acquire/long?reply-delay=1.2');
        $b{acquire}->wait_requests(1);
        my $r = $t->get('/acquire/short');
        is $r->status, 503, 'acquire: no connection in that time';
        cmp_ok $r->time, '>=', 0.25, 'acquire: it waited';
        cmp_ok $r->time, '<', 0.3 + 0.6 * $SLOW, 'acquire: and not longer';
        $t->claim_fault('RP0106', route => '/acquire/', phase => 'waiting for a free connection', count => 1);
        is $long->read_response->status, 200, 'the one that has it is not disturbed';
        is $t->get('/acquire/x')->status, 200, 'and leaves it to the next';
        is $b{acquire}->connections, 1, 'acquire: one connection in all';
    }
    {
        my @k = map { $t->connect } 1 .. 4;
        $_->send_request(path => '/smax/x?reply-delay=0.3') for @k;
        $_->read_response->body for @k;
        is $b{smax}->connections, 4, 'smax: no limit while they are in use';
        only_ours {
            ok $b{smax}->wait_for(sub { $b{smax}->open_connections == 1 }), 'smax: one stays';
        } 'it closes them later, when it needs a new one';
    }
    {
        # The backend's connection comes back when the client aborts, in any phase.
        for my $path ('/abort/x?reply-size=20000000', '/abort/x?reply-size=20000000&reply-chunked=1') {
            my $k = $t->connect(rcvbuf => 4096);
            $k->send_request(path => $path);
            $k->read_response(body => 0);
            $k->reset;
            my $r = $t->get('/abort/next');
            is $r->status, 200, 'a client that aborts leaves no connection leased: ' . ($path =~ /chunked/ ? 'chunked' : 'length');
        }
        $t->allow(qr/RP0501|AH01110|AH00574/);
    }
}

# --- targets that vary ---

{
    my %n;
    my @cases = ([ '/rewrite/', '[P]' ], [ '/pm-path/', '$1 in the path' ], [ '/pm-port/' . $b{rewrite}->port . '/', '$1 in the port' ]);
    for my $case (@cases) {
        my ($path, $what) = @$case;
        my %seen = map { $_ => 1 } conns_of($b{rewrite}, "${path}a", "${path}b", "${path}c");
        is scalar(keys %seen), ours(1, mod_proxy => 3, 'it does not pool these'), "$what: connections for three requests";
        is last_of($b{rewrite})->header('Connection'), ours('Keep-Alive', mod_proxy => 'close', 'it does not pool these'), "$what: Connection";
    }
    my %seen = map { $_ => 1 } conns_of($b{rewrite}, '/pm-opt/a', '/pm-opt/b');
    is scalar(keys %seen), 2, 'disablereuse=On of such a route holds';
    my @n = conns_of($uds1, '/rewrite-uds/a', '/rewrite-uds/b');
    is $n[0] == $n[1], ours(1 == 1, mod_proxy => 1 == 0, 'it does not pool these'), '[P] to a unix socket';
}

# --- no route takes another's options ---

{
    my @one = conns_of($uds1, '/uds1/x');
    is scalar(@one), 1, 'first socket';
    my @two = conns_of($uds2, '/uds2/x');
    is scalar(@two), ours(1, mod_proxy => 0, 'it shares workers by the prefix of their URL'), 'second socket under the same pseudo URL';
    is scalar(conns_of($uds1, '/uds1/y')), 1, 'first socket again';
}
{
    is $t->get('/mine/x?reply-delay=1.4')->status, 200, 'a route without timeout waits';
    is $t->get('/deep/x?reply-delay=1.4')->status, ours(504, mod_proxy => 200, 'it shares workers by the prefix of their URL'), 'one below it has its own';
    $t->claim_fault('RP0302', route => '/deep/', phase => 'waiting for the response', count => 1);
    $t->get('/deepoff/x');
    is last_of($b{plain})->header('Connection'), ours('close', mod_proxy => 'Keep-Alive', 'it shares workers by the prefix of their URL'), 'disablereuse of one';
    $t->get('/mine/x');
    is last_of($b{plain})->header('Connection'), 'Keep-Alive', 'is not the other\'s';
}

# It points at the variable port.
$t->allow(qr/lint: .*pm-port/);
$t->allow(qr/AH00161/) if mpm eq 'prefork';    # its one child is busy
$t->finish;
done_testing;
