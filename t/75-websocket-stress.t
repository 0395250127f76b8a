# Sockets that open, talk, stall, reset, half-close and leave at random, while httpd restarts gracefully: every echo
# is the socket's own, and in the end no descriptor, connection or place is left. RP_SEED repeats a run.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;
use RevProxy::WebSocket;

plan skip_all => 'the counters are ours' if front() ne 'revproxy';

my $WS      = 'RevProxy::WebSocket';
my $SLOW    = $RevProxy::SLOW;
my $SEED    = $ENV{RP_SEED} || int(time) % 100_000;
my $SECONDS = $ENV{RP_STRESS_SECONDS} || 6;
my $CLIENTS = mpm eq 'event' ? 8 : 4;
diag "RP_SEED=$SEED";

my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', '127.0.0.1');
my $app = $WS->echo(name => 'app');
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(status ssl)],
    threads  => 12,
    children_may_change => 1,
    config   => <<"EOT");
    <IfModule mpm_event_module>
        AsyncRequestWorkerFactor 40
    </IfModule>
    $RevProxy::Load::STATUS
    RevProxyTunnelDrain 1
    RevProxyTunnelIdle 2
    ProxyPass /ws/ %%URL:app%%/ smax=2 ttl=1
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
    </VirtualHost>
EOT

sub descriptors { my $n = 0; $n += () = glob "/proc/$_/fd/*" for $t->children; return $n }

# One echo: '' when all is well, undef when the socket was ended from the other side.
sub talk {
    my ($ws, $tag) = @_;
    my $text = "$tag " . 'x' x (rand() < 0.2 ? int rand 200_000 : int rand 300);
    $ws->text($text) or return;
    my $frame = $ws->read(10 * $SLOW) or return;
    return if $frame->{opcode} == 8;
    return $frame->{payload} eq $text ? '' : 'another\'s words: ' . substr $frame->{payload}, 0, 60;
}

my @ends = (
    sub { $_[0]->close(1000); $_[0]->read(5 * $SLOW); $_[0]->http->close },
    sub { $_[0]->http->close },
    sub { $_[0]->http->reset },
    sub { $_[0]->http->half_close; $_[0]->http->peer_closed(5 * $SLOW); $_[0]->http->close },
    sub { $_[0]->text('!drop'); $_[0]->http->peer_closed(5 * $SLOW); $_[0]->http->close },
    sub { $_[0]->text('!reset'); $_[0]->http->peer_closed(5 * $SLOW); $_[0]->http->close },
    sub { $_[0]->text('!size 3000000'); sleep rand 0.2; $_[0]->http->reset },
    sub { $_[0]->http->send(substr RevProxy::WebSocket::format_frame(1, 'x' x 99, mask => 1), 0, 1 + int rand 50); $_[0]->http->close },
);

# A client's life; what went wrong, line by line, and how often what happened.
sub live {
    my ($n) = @_;
    srand $SEED + $n;
    my ($until, %count, @wrong) = (time + $SECONDS);
    while (time < $until) {
        # s_client is slow to start: few of these.
        my $tls = $n == 0 && rand() < 0.2;
        my $ws  = eval { $WS->open($t, "/ws/$n", $tls ? (to => 'tls', tls => 1) : ()) };
        if (!$ws) { $count{refused}++; sleep 0.05; next }
        $count{open}++;
        for my $i (1 .. int rand 6) {
            my $verdict = talk($ws, "$n.$i." . rand);
            if (!defined $verdict) { $count{ended}++; last }
            push @wrong, $verdict if $verdict;
            $count{echo}++;
            sleep rand 0.02 if rand() < 0.3;
            sleep rand 2.5  if rand() < 0.02;
        }
        $ends[ rand @ends ]->($ws);
    }
    return join("\n", map({"$_ $count{$_}"} sort keys %count), @wrong) . "\n";
}

my $before = descriptors();
my @pipes;
for my $n (0 .. $CLIENTS - 1) {
    my $pid = open my $pipe, '-|';
    die "fork: $!\n" if !defined $pid;
    if (!$pid) { print live($n); close STDOUT; POSIX::_exit(0) }
    push @pipes, $pipe;
}
sleep $SECONDS / 3;
$t->reload_graceful;
my (%sum, @wrong);
for my $pipe (@pipes) {
    while (my $line = <$pipe>) {
        if ($line =~ /^(\w+) (\d+)$/) { $sum{$1} += $2 }
        else                          { push @wrong, $line }
    }
    close $pipe;
}
note join ', ', map {"$_ $sum{$_}"} sort keys %sum;
is join('', @wrong), '', 'every socket heard its own words';
cmp_ok $sum{open} // 0, '>', 20 / $SLOW, 'sockets were opened';
cmp_ok $sum{echo} // 0, '>', 40 / $SLOW, 'and used';
cmp_ok $sum{refused} // 0, '<=', ($sum{open} // 0) / 10 + $CLIENTS, 'few were refused';

my $s = RevProxy::Load::wait_status($t, sub { !$_->{RevProxyTunnels} && !$_->{RevProxyConnsLeased} }, 10 * $SLOW);
is $s->{RevProxyTunnels}, 0, 'no tunnel is left';
is $s->{RevProxyConnsLeased}, 0, 'no connection is leased';
ok $app->wait_closed(10 * $SLOW), 'the backend has no connection either' if mpm ne 'prefork';
my ($now, $until) = (0, time + 10 * $SLOW);
# Of the status request, and of idle connections to the backend.
do { sleep 0.1; $now = descriptors() } while ($now > $before + 8 && time < $until);
cmp_ok $now, '<=', $before + 8, "no descriptor is left ($before before)" if mpm ne 'prefork';    # whose children come and go

$t->allow(qr/RP0\d{3}|AH0\d{4}|\[ssl:/);
$t->finish;
done_testing;
