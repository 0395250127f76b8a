# A client that goes away while its request waits: noticed, the backend's connection closed, the request ended
# and logged with its reason, within 100 ms. One that only shuts its sending side gets its answer where the
# configuration says so.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;

plan skip_all => 'mod_proxy does not notice' if front() ne 'revproxy';

my $SLOW    = $RevProxy::SLOW;
my $SAMPLES = 5;
# The 50 ms in which a quick answer may still reach a client that has half-closed are in it.
my $NOTICED = 0.1 * ($SLOW > 1 ? 4 : 1);

# What the path says; notes when the front closes.
my $app = RevProxy::Backend->new(name => 'app', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request(body => 0) or return;
    my ($how) = $r->target =~ m{(\w+)\z};
    if ($how eq 'quick') { $c->pause(0.02);   return $c->respond(200, [], 'quick', close => 1) }
    # To close with a part of the request unread would reset the connection; and whoever closes says so, or the next
    # request may find its connection gone.
    if ($how eq 'late')  { $c->read_body($r); $c->pause(0.3); return $c->respond(200, [], 'late', close => 1) }
    $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc") if $how eq 'body';
    if ($how eq 'big') {
        my $at = time;
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        1 while $c->send('x' x 1_000_000, 10) && time < $at + 20;
        $c->note("$how closed");
        return;
    }
    if ($c->peer_closed(20)) { $c->note("$how closed") }
});

my ($crt, $key) = RevProxy->certificate('127.0.0.1');
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => ['ssl'],
    threads  => 16,
    config   => <<"EOT");
    <IfModule mpm_event_module>
        AsyncRequestWorkerFactor 20
    </IfModule>
    ProxyPass /app/ %%URL:app%%/ timeout=10
    ProxyPass /off/ %%URL:app%%/ timeout=10
    ProxyPass /one/ %%URL:app%%/one/ timeout=10 max=1 acquire=8000
    <Location /off/>
        RevProxyClientAbort Off
    </Location>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine On
        SSLCertificateFile $crt
        SSLCertificateKeyFile $key
    </VirtualHost>
    LogFormat "%U %>s %{ms}T" timed
    CustomLog %%DIR%%/logs/timed.log timed
EOT

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ] }

# Starts a request, lets the client leave, and returns how long the backend's connection lived after that.
sub leave {
    my ($start, $leave, $note) = @_;
    $app->forget;
    my $k = $start->();
    $app->wait_requests(1);
    sleep 0.15;
    my $at = time;
    $leave->($k);
    my $event = $app->wait_for(sub { (grep { $_->{event} eq 'note' && $_->{text} eq $note } $app->events)[0] }, 4 * $SLOW);
    $k->close;
    return $event ? $event->{at} - $at : 99;
}

sub is_noticed {
    my ($name, $start, $leave, $note) = @_;
    my @took = map { leave($start, $leave, $note) } 1 .. $SAMPLES;
    my $took = median(@took);
    ok $took < $NOTICED, sprintf '%s: the backend sees it after %d ms', $name, 1000 * $took;
    return;
}

my $close = sub { $_[0]->close };
my $reset = sub { $_[0]->reset };

sub get_of { my ($path, %opt) = @_; return sub { my $k = $t->connect(%opt); $k->send_request(path => $path); return $k } }

is_noticed('waiting for the head, FIN', get_of('/app/hang'), $close, 'hang closed');
is_noticed('waiting for the head, RST', get_of('/app/hang'), $reset, 'hang closed');
is_noticed('waiting for the head, RST, ClientAbort Off', get_of('/off/hang'), $reset, 'hang closed') if mpm() eq 'event';
is_noticed('waiting for the body, FIN', get_of('/app/body'), $close, 'body closed');
is_noticed('waiting for the body, RST', get_of('/app/body'), $reset, 'body closed');
my $upload = sub {
    my $k = $t->connect;
    $k->send("POST /app/hang HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" . 'x' x 50000);
    return $k;
};
is_noticed('uploading, FIN', $upload, $close, 'hang closed');
is_noticed('uploading, RST', $upload, $reset, 'hang closed');
is_noticed('reading slowly, FIN', get_of('/app/big', rcvbuf => 8192), $close, 'big closed');
is_noticed('reading slowly, RST', get_of('/app/big', rcvbuf => 8192), $reset, 'big closed');
is_noticed('TLS, waiting for the head', get_of('/app/hang', to => 'tls', tls => 1), $close, 'hang closed');
is_noticed('TLS, waiting for the body', get_of('/app/body', to => 'tls', tls => 1), $close, 'body closed');
is_noticed('TLS, RST',                  get_of('/app/hang', to => 'tls', tls => 1), sub { kill_client() }, 'hang closed');

# s_client ends by SIGKILL: the kernel closes for it, without a TLS alert.
sub kill_client { my ($pid) = sort { $b <=> $a } grep { $RevProxy::CHILDREN{$_} eq 's_client' } keys %RevProxy::CHILDREN; kill KILL => $pid; return }

# --- the log ---

my @gone = grep {/RP0501/} $t->error_log;
cmp_ok scalar @gone, '>=', 7 * $SAMPLES, 'each is logged';
is scalar(grep { !/RP0501 client went away: route \/(?:app|off)\/ backend \S+ attempt 1 phase (?:waiting for the response|sending the request|relaying the response body)/ } @gone), 0,
    'with code, route, backend and phase';
is scalar(grep { /phase sending the request/ } @gone), 2 * $SAMPLES, 'those in their upload as such';
my @timed = map { [split] } split /\n/, RevProxy::slurp($t->dir . '/logs/timed.log');
is scalar(grep { $_->[0] eq '/app/hang' && $_->[1] !~ /^(?:499|400)$/ } @timed), 0, 'access log: 499 (400 inside the request body)';
is scalar(grep { $_->[0] eq '/app/body' && $_->[1] != 200 } @timed), 0, 'access log: the status that was sent, where one was';
is scalar(grep { $_->[0] =~ m{/app/(?:hang|body)} && $_->[2] > 150 + 1000 * $NOTICED + 800 * $SLOW } @timed), 0, 'access log: ended then';

# Nor does it matter that its upload is not complete, where nobody reads it meanwhile.
if (mpm() ne 'prefork') {
    $app->forget;
    my $first = get_of('/one/hang')->();
    $app->wait_requests(1);
    my $k = $t->connect;
    $k->send("POST /one/waits HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" . 'x' x 50000);
    sleep 0.15;
    $k->close;
    my ($until, $ms) = (time + 4 * $SLOW);
    sleep 0.02 while !(($ms) = RevProxy::slurp($t->dir . '/logs/timed.log') =~ m{^/one/waits \d+ (\d+)}m) && time < $until;
    ok $ms && $ms <= 150 + 1000 * $NOTICED + 800 * $SLOW, 'in an upload that waits for a free connection, FIN: ' . ($ms // 'not') . ' ms';
    $first->close;
}

# --- half-close ---

sub half_close {
    my ($path) = @_;
    my $k = $t->connect;
    $k->send_request(path => $path, headers => [ Connection => 'close' ]);
    $k->half_close;
    my $r = $k->read_response;
    $k->close;
    return $r->body;
}
# A busy machine may take longer than that for the answer, but not each time.
my $quick = '';
for (1 .. 40) { last if ($quick = half_close('/app/quick')) eq 'quick' }
is $quick, 'quick', 'half-closed: an answer within 50 ms is delivered';
is half_close('/app/late'),  '',      'half-closed: a later one is not, by default';
is half_close('/off/quick'), 'quick', 'RevProxyClientAbort Off: an answer is delivered';
is half_close('/off/late'),  'late',  'RevProxyClientAbort Off: a late one, too';
{
    my $k = $t->connect;
    $k->send("POST /off/late HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    $k->half_close;
    is $k->read_response->body, 'late', 'RevProxyClientAbort Off: an answer to a POST';
    $k = $t->connect;
    $k->send("POST /app/late HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    is $k->read_response->body, 'late', 'who does not close is not taken for one who does';
}

$t->allow(qr/RP0501/);
ok $app->wait_closed, 'no connection to the backend is left';
$t->finish;
done_testing;
