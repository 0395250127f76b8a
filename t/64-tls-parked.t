# Exchanges with TLS backends hold no thread while they wait: for the answer, in the midst of a record of the response,
# while the backend reads slowly. All get their own answer, in about the time of one.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 'md5_hex';
use IO::Select;
use IO::Socket::INET;
use Socket;
use Time::HiRes 'time';
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $ONE     = 1 + ($SLOW > 5 ? 4 : 2) * $SLOW;    # seconds: an answer, and many handshakes, which valgrind makes long
my $THREADS = 4;
my $MANY    = 60;
my $SOME    = 3 * $THREADS;

# The backend is a second httpd, which ends TLS and has threads for all.
my $backd = RevProxy::Load::Backend->new;
my $echo  = RevProxy::Backend->echo;
my ($cert, $key) = RevProxy->certificate('app.test', 'localhost', '127.0.0.1');
my $far = RevProxy->new(front => 'mod_proxy', modules => ['ssl'], threads => $MANY + 20, backends => { backd => $backd, echo => $echo }, config => <<EOT);
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPass /echo/ %%URL:echo%%/
        ProxyPass /      %%URL:backd%%/
    </VirtualHost>
EOT
my $port = $far->port_of('tls');

# --- lines to it that hold back what they carry ---

sub line {
    my ($c, $up, $down) = @_;
    my $near = $c->{socket};
    my $far  = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port) or die "far: $!\n";
    my $both = IO::Select->new($near, $far);
    while (1) {
        for my $from ($both->can_read(20)) {
            sysread $from, my $bytes, 65536 or return;
            $from == $near ? $up->($far, $bytes) : $down->($near, $bytes);
        }
    }
}

# Large records come in two pieces. Where the first one ends is another place each time: inside of its head, in the
# middle, before the last byte. With the second large record, the rest waits for the test.
sub cut_records {
    my ($c) = @_;
    my ($held, $large) = ('', 0);
    my @places = (sub { 3 }, sub { int $_[0] / 2 }, sub { $_[0] - 1 });
    return line($c, sub { my ($far, $bytes) = @_; syswrite $far, $bytes }, sub {
        my ($near, $bytes) = @_;
        $held .= $bytes;
        while (length $held >= 5 && length $held >= (my $size = 5 + unpack 'x3n', $held)) {
            my $record = substr $held, 0, $size, '';
            if ($size < 4000) { syswrite $near, $record; next }
            syswrite $near, substr $record, 0, $places[ ($large + $c->number) % 3 ]->($size), '';
            if (++$large == 2) { $c->note('held'); $c->wait_signal('go', 60) }
            else               { $c->pause(0.03) }
            syswrite $near, $record;
        }
    });
}

# An upload that has begun is read on when the test says so, and then in small pieces.
sub read_slowly {
    my ($c) = @_;
    my $seen = 0;
    setsockopt $c->{socket}, SOL_SOCKET, SO_RCVBUF, 65536;
    return line($c, sub {
        my ($far, $bytes) = @_;
        syswrite $far, $bytes;
        my $before = $seen;
        $seen += length $bytes;
        if    ($seen < 100_000)   { }
        elsif ($before < 100_000) { $c->note('held'); $c->wait_signal('go', 60) }
        else                      { $c->pause(0.002) }
    }, sub { my ($near, $bytes) = @_; syswrite $near, $bytes });
}

my $pieces = RevProxy::Backend->new(name => 'pieces', handler => \&cut_records);
my $slow   = RevProxy::Backend->new(name => 'slow',   handler => \&read_slowly);
my $routes = <<"EOT";
        SSLProxyEngine On
        SSLProxyVerify require
        SSLProxyCACertificateFile $cert
        SSLProxyCheckPeerName off
        ProxyPass /app/    https://localhost:$port/
        ProxyPass /pieces/ https://127.0.0.1:%%PORT:pieces%%/
        ProxyPass /slow/   https://127.0.0.1:%%PORT:slow%%/echo/
EOT
my $t = RevProxy->new(
    modules  => [qw(status ssl http2)],
    threads  => $THREADS,
    backends => { pieces => $pieces, slow => $slow },
    config   => <<EOT);
    AsyncRequestWorkerFactor 100
    H2MinWorkers $SOME
    H2MaxWorkers $SOME
    $RevProxy::Load::STATUS
    LogFormat "%{tls}^rp" tls
    CustomLog %%DIR%%/var/tls.log tls
    <VirtualHost 127.0.0.1:%%PORT%%>
        $routes
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        Protocols h2 http/1.1
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        $routes
    </VirtualHost>
EOT

sub are_parked {
    my ($n, $name) = @_;
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} >= $n }, 5 * $SLOW);
    return cmp_ok $s->{RevProxyParked}, '>=', $n, "$name: $n requests wait without one of $THREADS threads";
}

sub is_over {
    my ($name) = @_;
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} == 0 && $_->{RevProxyConnsLeased} == 0 });
    return is "$s->{RevProxyParked} $s->{RevProxyConnsLeased}", '0 0', "$name: nothing is left behind";
}

sub of_connections {
    my %n;
    $n{$_}++ for grep { $_ ne '-' } split /\n/, RevProxy::slurp($t->dir . '/var/tls.log');
    return \%n;
}

# --- an answer that takes its time: on new connections, on those of the pool ---

for ([ 'new connections', 1000 ], [ 'connections of the pool', 600 ]) {
    my ($what, $ms) = @$_;
    my $before = of_connections()->{kept} // 0;
    my $since  = time;
    my $run    = RevProxy::Load::start(port => $t->port, jobs => [ map { { path => "/app/?ms=$ms&mark=m$_&size=3000", mark => "m$_", size => 3000 } } 1 .. $MANY ]);
    are_parked($MANY, $what);
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$MANY ok 200", "$what: each got its own answer";
    # One after the other on all threads they take 15 s, and 9 s.
    cmp_ok time - $since, '<', $ONE, "$what: in about the time of one";
    is_over($what);
    my $kept = (of_connections()->{kept} // 0) - $before;
    $what =~ /pool/ ? is($kept, $MANY, "$what: all on kept ones") : is($kept, 0, "$what: none on a kept one");
}

# --- clients with TLS, and streams of HTTP/2, which wait in mod_http2's threads ---

{
    my $n = $THREADS + 2;
    my @clients = map { $t->connect(to => 'tls', tls => 1) } 1 .. $n;
    $clients[ $_ - 1 ]->send_request(path => "/app/?ms=700&mark=t$_") for 1 .. $n;
    are_parked($n, 'clients with TLS');
    is join('', map { $_->read_response->body } @clients), join('', map {"t$_\n"} 1 .. $n), 'clients with TLS: each got its own answer';
    $_->close for @clients;
    is_over('clients with TLS');
}
SKIP: {
    skip 'curl without HTTP/2', 3 if qx(curl -V 2>&1) !~ /HTTP2/;
    my $since = time;
    my ($url, $dir) = ('https://127.0.0.1:' . $t->port_of('tls'), $t->dir . '/var');
    my $r = $t->curl('-k', '--http2', '-Z', '-o', "$dir/stream#1", '-w', '%{http_code} %{http_version}\n', "$url/app/?ms=500&mark=s[1-$SOME]");
    is $r->{out}, "200 2\n" x $SOME, 'streams of HTTP/2: answered';
    is join('', map { RevProxy::slurp("$dir/stream$_") } 1 .. $SOME), join('', map {"s$_\n"} 1 .. $SOME), 'streams of HTTP/2: each got its own answer';
    cmp_ok time - $since, '<', $ONE, 'streams of HTTP/2: in about the time of one';
}

# --- in the midst of a record of the response ---

{
    my $run = RevProxy::Load::start(port => $t->port, jobs => [ map { { path => "/pieces/?mark=p$_&size=60000", mark => "p$_", size => 60000 } } 1 .. $SOME ]);
    ok $pieces->wait_for(sub { $_[0]->notes == $SOME }, 10 * $SLOW), "half of a record: $SOME responses have begun";
    are_parked($SOME, 'half of a record');
    $pieces->signal('go');
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$SOME ok 200", 'half of a record: the other halves complete them';
    is_over('half of a record');
}

# --- sending to a backend that reads slowly ---

{
    # The kernel keeps 4 MB of it at most.
    my $body = RevProxy::Backend::pattern(5_000_000);
    my $file = $t->dir . '/var/body';
    RevProxy::write_file($file, $body);
    my $uploads = $THREADS + 1;
    my @curl = ('curl', '--no-progress-meter', '--noproxy', '*', '-m', 30 * $SLOW, '-Z', '--parallel-immediate', '-H', 'Expect:');
    open my $curl, '-|', @curl, '--data-binary', "\@$file", 'http://127.0.0.1:' . $t->port . "/slow/[1-$uploads]" or die "curl: $!\n";
    ok $slow->wait_for(sub { $_[0]->notes == $uploads }, 10 * $SLOW), "uploads: $uploads have begun";
    are_parked($uploads, 'uploads that the backend does not read');
    $slow->signal('go');
    my $out = do { local $/; <$curl> };
    close $curl;
    my @sums = $out =~ /body-md5: (\w+)/g;
    is "@sums", join(' ', (md5_hex($body)) x $uploads), 'uploads: they arrive as they were sent';
    is_over('uploads');
}

$t->allow(qr/\[ssl:|AH0\d{4}/);
$far->allow(qr/AH0\d{4}/);
$_->finish for $t, $far;
done_testing;
