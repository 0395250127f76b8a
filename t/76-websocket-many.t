# Thousands of idle WebSockets through one child with a few threads: all open, all echo, no thread more, and what
# each costs the child in memory.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy has a thread for each'       if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for tunnels' if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $N       = $ENV{RP_SOCKETS} || ($SLOW > 1 ? 500 : 4000);
my $THREADS = 64;
RevProxy::Load::raise_open_files(4 * $N + 1500) or plan skip_all => 'needs ' . (4 * $N + 1500) . ' open files';
my $program = RevProxy::Load::program('sockets');

my $port = RevProxy::Ports::reserve();
my $pid  = open my $backend, '-|', $program, 'serve', $port or die "$program: $!\n";
$RevProxy::CHILDREN{$pid} = 'sockets';
my $t = RevProxy->new(
    modules  => ['status'],
    threads  => $THREADS,
    config   => <<"EOT");
    AsyncRequestWorkerFactor 400
    ListenBacklog 4000
    $RevProxy::Load::STATUS
    ProxyPass /ws/ http://127.0.0.1:$port/
    RevProxyTunnelIdle 10mi
EOT
my ($child) = $t->children;

sub of_child { my ($name) = @_; my ($n) = RevProxy::slurp("/proc/$child/status") =~ /^$name:\s+(\d+)/m; return $n }
sub descriptors { my @fds = glob "/proc/$child/fd/*"; return scalar @fds }

# What every thread needs once does not count.
{
    open my $warm, '-|', $program, 'talk', $t->port, '/ws/', 128, 1 or die;
    my @lines = <$warm>;
    like $lines[-1], qr/ lost 0$/, 'a busy start';
}
RevProxy::Load::wait_status($t, sub { !$_->{RevProxyTunnels} }, 5);
my ($kb, $threads, $fds) = (of_child('VmRSS'), of_child('Threads'), descriptors());

my $hold = open my $out, '-|', $program, 'hold', $t->port, '/ws/', $N, 3 or die;
# 'hold' waits for a line on its input: it keeps ours, and is ended below.
$RevProxy::CHILDREN{$hold} = 'sockets hold';
is scalar(<$out>), "open $N\n", "$N sockets open";
my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} >= $N }, 5 * $SLOW);
cmp_ok $s->{RevProxyParked}, '>=', $N, 'all are parked';
is of_child('Threads'), $threads, "on the $THREADS threads that were there";
my $each = (of_child('VmRSS') - $kb) / $N;
diag sprintf '%.1f KB of the child and %.2f descriptors each', $each, (descriptors() - $fds) / $N;
# 24.5 KB in the bench's server, without the modules that tests load (t/bench/tunnels --rows idle).
cmp_ok $each, '<=', 30, 'memory of each' if $SLOW == 1;
is $t->get('/server-status?auto')->status, 200, 'other requests are served';
is scalar(<$out>), "echo $N\n", 'and every one echoes';
is of_child('Threads'), $threads, 'still no thread more';
kill KILL => $hold;
waitpid $hold, 0;
delete $RevProxy::CHILDREN{$hold};
$s = RevProxy::Load::wait_status($t, sub { !$_->{RevProxyTunnels} && !$_->{RevProxyConnsLeased} }, 20 * $SLOW);
is "$s->{RevProxyTunnels} $s->{RevProxyConnsLeased}", '0 0', 'no tunnel and no connection is left';
my $until = time + 20 * $SLOW;
sleep 0.1 while descriptors() > $fds + 10 && time < $until;
cmp_ok descriptors(), '<=', $fds + 10, 'nor a descriptor';

# Perl waits for a piped child when it ends.
kill KILL => $pid;
waitpid $pid, 0;
delete $RevProxy::CHILDREN{$pid};

$t->allow(qr/RP070[56]/, qr/AH00484/); # all threads at work for a moment is no fault
$t->finish;
done_testing;
