# Nothing that waits holds a thread: more requests than threads in each kind of wait, and another route
# answers at once. Without parking the same waits hold the threads.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Socket;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $THREADS = 3;
my $MANY    = 8;                 # waiting requests

my $backd = RevProxy::Load::Backend->new;

# The kernel takes one or two connections for it and then none.
my $full = RevProxy::Backend->new(name => 'full', backlog => 1, handler => sub { });
$full->pause_accept;
my @fill;
for (1 .. 8) {
    socket my $s, AF_INET, SOCK_STREAM, 0 or die $!;
    IO::Handle::blocking($s, 0);
    connect $s, pack_sockaddr_in($full->port, INADDR_LOOPBACK);
    push @fill, $s;
}

# Accepts, and reads nothing.
my $deaf = RevProxy::Backend->new(name => 'deaf', handler => sub { $_[0]->pause(60) });

# What mod_deflate cannot make smaller.
my $noise = RevProxy::Backend->new(name => 'noise', answer => sub {
    my ($c) = @_;
    open my $random, '<:raw', '/dev/urandom' or die $!;
    read $random, my $bytes, 1 << 20;
    $c->respond(200, [ 'Content-Type' => 'text/plain' ], $bytes x 6);
});

my ($crt, $key) = RevProxy->certificate('127.0.0.1');
my $CONFIG = <<"EOT";
    AsyncRequestWorkerFactor 100
    $RevProxy::Load::STATUS
    ProxyPass /fast/  %%URL:backd%%/
    ProxyPass /slow/  %%URL:backd%%/ timeout=20
    ProxyPass /one/   %%URL:backd%%/ max=1 acquire=20000
    ProxyPass /full/  %%URL:full%%/ connectiontimeout=20
    ProxyPass /deaf/  %%URL:deaf%%/
    ProxyPass /noise/ %%URL:noise%%/
    ProxyPass /held/  %%URL:backd%%/
    ProxyPass /patient/ %%URL:backd%%/
    <Location /noise/>
        RequestHeader set Accept-Encoding gzip
        SetOutputFilter DEFLATE
    </Location>
    <Location /held/>
        RevProxyPark Off
    </Location>
    <Location /patient/>
        RevProxyParkAfter 700
    </Location>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine On
        SSLCertificateFile $crt
        SSLCertificateKeyFile $key
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:brief%%
    <VirtualHost 127.0.0.1:%%PORT:brief%%>
        Timeout 1
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:off%%
    <VirtualHost 127.0.0.1:%%PORT:off%%>
        RevProxyPark Off
        <Location /slow/on/>
            RevProxyPark On
        </Location>
    </VirtualHost>
EOT

my $t = RevProxy->new(
    backends => { backd => $backd, full => $full, deaf => $deaf, noise => $noise },
    modules  => [qw(status ssl headers deflate filter)],
    threads  => $THREADS,
    config   => $CONFIG
);

sub run_many { my ($job, %opt) = @_; return RevProxy::Load::start(port => $t->port, giveup => 60, jobs => [ map { {%$job} } 1 .. $MANY ], %opt) }

# How long another route takes.
sub time_of_fast {
    my $since = time;
    my $r     = $t->get('/fast/?mark=quick', timeout => 3);
    return ($r->status // 'no answer', time - $since);
}

# $stop ends the requests that wait.
sub holds {
    my ($name, $stop) = @_;
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} >= $MANY }, 10 * $RevProxy::SLOW);
    cmp_ok $s->{RevProxyParked}, '>=', $MANY, "$name: $MANY requests wait without one of $THREADS threads";
    my ($status, $seconds) = time_of_fast();
    # Late once, by a busy machine; with no thread free it would be late each time.
    for (1 .. 3) { (undef, $seconds) = time_of_fast() if $seconds >= 0.5 * $SLOW }
    is $status, 200, "$name: another route answers";
    cmp_ok $seconds, '<', 0.5 * $SLOW, "$name: at once";
    $stop->();
    $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} == 0 && $_->{RevProxyConnsLeased} == 0 });
    is "$s->{RevProxyParked} $s->{RevProxyConnsLeased}", '0 0', "$name: over, with nothing left behind";
    return;
}

sub holds_job {
    my ($name, %job) = @_;
    my $run = run_many({ how => 'r', %job });
    holds($name, sub { RevProxy::Load::leave($run) });
    return;
}

# --- each wait ---

holds_job('connecting',                   path => '/full/x');
holds_job('sending to a deaf backend',    path => '/deaf/x', up => 16_000_000);
holds_job('response head',                path => '/slow/?end=hang');
holds_job('between body bytes',           path => '/slow/?end=headhang&size=100');
holds_job('a short upload, slowly',       path => '/slow/x', up => 2000, up_rate => 40);
holds_job('a long upload, slowly',        path => '/slow/x', up => 1_000_000, up_rate => 60_000);
holds_job('a slow reader',                path => '/slow/?size=12000000', read_rate => 2000);
holds_job('a slow reader behind deflate', path => '/noise/x', read_rate => 2000);
{
    my @clients = map { $t->connect(to => 'tls', tls => 1) } 1 .. $MANY;
    $_->send_request(path => '/slow/?size=24000000') for @clients;
    holds('a slow reader with TLS', sub { $_->close for @clients });
    @clients = map { $t->connect(to => 'tls', tls => 1) } 1 .. $MANY;
    $_->send("POST /slow/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" . 'x' x 50000) for @clients;
    holds('a slow upload with TLS', sub { $_->close for @clients });
}
{
    my $first = $t->connect;
    $first->send_request(path => '/one/?end=hang');
    RevProxy::Load::wait_status($t, sub { $_->{RevProxyConnsLeased} == 1 });
    my $run = run_many({ path => '/one/x', how => 'r' });
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyWaiting} == $MANY });
    is $s->{RevProxyWaiting}, $MANY, 'acquire: they wait for a connection';
    holds('acquire', sub { RevProxy::Load::leave($run); $first->reset });
}
$t->allow(qr/RP050[1236]/);

# --- a body in crumbs does not fill the memory while it is waited for ---

{
    my $before  = $t->rss_kb;
    my @clients = map { $t->connect } 1 .. 40;
    $_->send("POST /slow/x HTTP/1.1\r\nHost: x\r\nContent-Length: 12000\r\n\r\n") for @clients;
    for (1 .. 250) {
        $_->send('x' x 20) for @clients;
        sleep 0.004;
    }
    my $grown = $t->rss_kb - $before;
    cmp_ok $grown, '<', 10_000 * $SLOW, "40 bodies in crumbs, 5 KB of each so far: $grown KB";
    $_->reset for @clients;
}

# --- all of them together come back with the right answer ---

{
    my @jobs = map { { path => "/slow/?ms=400&mark=m$_&size=5000", mark => "m$_", size => 5000, keep => $_ % 2 } } 1 .. 40;
    my $since = time;
    my @results = RevProxy::Load::run(port => $t->port, jobs => \@jobs);
    is RevProxy::Load::tally(@results), '40 ok 200', "40 requests that wait 0.4 s each on $THREADS threads: each got its own answer";
    cmp_ok time - $since, '<', 2 * $SLOW, 'at the same time';
}

# --- keepalive and pipelined requests around a parked one ---

{
    my $k = $t->connect;
    for my $turn (1 .. 3) {
        is $k->request(path => "/fast/?mark=f$turn")->body,        "f$turn\n", "turn $turn: before";
        is $k->request(path => "/slow/?ms=150&mark=s$turn")->body, "s$turn\n", "turn $turn: a parked one";
        is $k->request(path => "/server-status?auto")->status, 200, "turn $turn: a request that is not ours";
    }
    $k->send(join '', map { "GET $_ HTTP/1.1\r\nHost: x\r\n\r\n" } '/fast/?mark=p1', '/slow/?ms=200&mark=p2', '/slow/?ms=200&mark=p3', '/fast/?mark=p4');
    is $k->read_response->body, "p$_\n", "pipelined: answer $_" for 1 .. 4;
    $k->send("POST /slow/?ms=200&mark=q1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /fast/?mark=q2 HTTP/1.1\r\nHost: x\r\n\r\n");
    is $k->read_response->body, "q$_\n", "pipelined behind a body: answer $_" for 1 .. 2;
    # The second arrives while the first is parked.
    $k->send_request(path => '/slow/?ms=400&mark=r1');
    sleep 0.1;
    $k->send_request(path => '/slow/?ms=100&mark=r2');
    is $k->read_response->body, "r$_\n", "sent while one was parked: answer $_" for 1 .. 2;
    $k->close;
}

# --- mod_status ---

{
    my $run  = run_many({ path => '/slow/?ms=3500' });
    my $brief = $t->connect(to => 'brief');
    $brief->send_request(path => '/slow/?ms=3500');    # httpd counts when the first of its queues has a Timeout
    my $s = RevProxy::Load::wait_status($t, sub { ($_->{ConnsAsyncWaitIO} // 0) >= $MANY }, 3);
    cmp_ok $s->{ConnsAsyncWaitIO}, '>=', $MANY, 'mod_status: parked requests are asynchronous connections';
    cmp_ok $s->{BusyWorkers}, '<=', $THREADS, 'mod_status: not busy workers';
    like $t->get('/server-status')->body, qr{Reverse proxy.*<th>Parked requests</th>.*<td>\d+</td>}s, 'and on its page';
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$MANY ok 200", 'they are answered';
}

# --- switched off ---

$t->allow(qr/AH00484/);    # no thread is left, as meant

sub held_for {
    my ($port, $path) = @_;
    my $run = RevProxy::Load::start(port => $port, jobs => [ map { { path => "$path?ms=1000&mark=x" } } 1 .. $THREADS ]);
    sleep 0.2;
    my ($status, $seconds) = time_of_fast();
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$THREADS ok 200", "$path: answered";
    return $seconds;
}
cmp_ok held_for($t->port, '/held/'),                '>', 0.25, 'RevProxyPark Off in a Location: threads are held';
cmp_ok held_for($t->port_of('off'), '/slow/'),      '>', 0.25, 'RevProxyPark Off in a virtual host: likewise';
cmp_ok held_for($t->port_of('off'), '/slow/on/'),   '<', 0.4 * $SLOW, 'RevProxyPark On in a Location there: they are not';
# While threads are plenty: one request only.
for (['/patient/', 0, 'RevProxyParkAfter 700 ms: the thread stays so long'], ['/slow/', 1, 'by default: it does not']) {
    my ($path, $parked, $name) = @$_;
    my $k = $t->connect;
    $k->send_request(path => "$path?ms=500&mark=x");
    sleep 0.2;
    is RevProxy::Load::status($t)->{RevProxyParked}, $parked, $name;
    is $k->read_response->body, "x\n", "$path: answered";
}
cmp_ok held_for($t->port, '/slow/'),                '<', 0.25 * $SLOW, 'and leaves for others';

$t->finish;
done_testing;
