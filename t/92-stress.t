# All ends of a request mixed at random, with graceful restarts in between: each client gets a right answer or
# the right error, and no descriptor, lease or memory is left behind.
#
#   RP_STRESS_SECONDS   how long (8; a long run: 60)
#   RP_STRESS_SEED      the seed that an earlier run printed
#   RP_STRESS_RATE      requests per second (400)

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);

my $SECONDS = $ENV{RP_STRESS_SECONDS} || 8;
BEGIN { $ENV{RP_TIMEOUT} ||= 120 + ($ENV{RP_STRESS_SECONDS} || 8) }
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW = $RevProxy::SLOW;
my $RATE = ($ENV{RP_STRESS_RATE} || 400) / $SLOW;
my $SEED = $ENV{RP_STRESS_SEED} || int(time * 1000) % 1_000_000_000;
srand $SEED;
diag "seed $SEED, $SECONDS seconds, $RATE requests per second";
RevProxy::Load::raise_open_files(16_000) or plan skip_all => 'needs 16000 open files';

my $backd = RevProxy::Load::Backend->new;
my $t     = RevProxy->new(
    backends => { backd => $backd },
    modules  => ['status'],
    threads  => 8,
    children_may_change => 1,
    config   => <<"EOT");
    AsyncRequestWorkerFactor 1000
    ListenBacklog 4000
    GracefulShutdownTimeout 60
    $RevProxy::Load::STATUS
    ProxyPass /app/   %%URL:backd%%/ smax=4 ttl=1
    ProxyPass /few/   %%URL:backd%%/ max=5 acquire=300
    ProxyPass /short/ %%URL:backd%%/ timeout=400ms
    <Location /few/>
        RevProxyParkAfter 0
    </Location>
    LogLevel revproxy:crit
EOT

sub one_of { return $_[ rand @_ ] }

# Expected: outcomes and statuses, as a pattern.
sub job {
    my ($n) = @_;
    my $ms    = one_of(0, 0, 1, 5, 30, 200, 800);
    my $size  = one_of(1, 10, 100, 5000, 60_000, 300_000);
    my %own   = (mark => "m$n", size => $size, keep => int rand 2);
    my $query = "ms=$ms&mark=m$n&size=$size";
    my $leave = 0.001 + rand 0.5;
    return { %own, %{ one_of(
        map({ { expect => qr/\Aok 200\z/, path => "/app/?$query" } } 1 .. 4),
        { expect => qr/\Aok 200\z/, path => "/app/?$query", up => 1 + int rand 200_000 },
        { expect => qr/\Aok 200\z/, path => "/app/?$query", up => 1 + int rand 50_000, up_rate => 20_000 + int rand 200_000 },
        { expect => qr/\Aok 200\z/, path => "/app/?$query", read_rate => 50_000 + int rand 500_000 },
        { expect => qr/\Aok (?:200|503)\z/, path => "/few/?$query" },
        { expect => qr/\Aok 504\z/, path => '/short/?end=' . one_of(qw(hang hang)) },
        { expect => qr/\Acut 200\z/, path => "/short/?end=headhang&mark=m$n&size=$size" },
        { expect => qr/\Aok 502\z/, path => "/app/?$query&end=" . one_of(qw(reset eof junk)) },
        { expect => qr/\Acut 200\z/, path => "/app/?$query&end=cut", size => 300_000, path => "/app/?ms=$ms&mark=m$n&size=300000&end=cut" },
        { expect => qr/\A(?:left \d+|ok 200)\z/, path => "/app/?$query", leave => $leave, how => one_of(qw(f r)) },
        { expect => qr/\A(?:left \d+|ok 200)\z/, path => "/app/?$query", leave => $leave, how => one_of(qw(f r)), up => 100_000, up_rate => 100_000 },
        { expect => qr/\A(?:left \d+|ok 200)\z/, path => "/app/?$query", leave => $leave, how => one_of(qw(f r)), read_rate => 50_000 },
        { expect => qr/\Aleft 0\z/, path => '/app/?end=hang', leave => $leave, how => one_of(qw(f r)) },
        # Who half-closes may be answered, or cut off.
        { expect => qr/\A(?:ok 200|closed 0|reset 0|cut 200)\z/, path => "/app/?$query", leave => $leave, how => 'h', keep => 0 },
    ) } };
}

sub descriptors { my @fds = glob "/proc/$_[0]/fd/*"; return scalar @fds }
sub rss { return RevProxy::slurp("/proc/$_[0]/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0 }

sub settle {
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} == 0 && $_->{RevProxyConnsLeased} == 0 }, 20);
    for (1 .. 3) { sleep 1.1; $t->get('/app/x') }
    return $s;
}

my @jobs  = map { { %{ job($_) }, at => $_ / $RATE } } 1 .. $RATE * $SECONDS;
my $parent_rss = rss($t->pid);
my $run   = RevProxy::Load::start(port => $t->port, giveup => 30 * $SLOW, jobs => \@jobs);
my $ends  = time + $SECONDS;
my $restarts = 0;
while (time < $ends - 2) {
    sleep 1 + rand 2;
    $t->reload_graceful;
    $restarts++;
}
my @results = RevProxy::Load::collect($run);

my (%seen, @wrong);
for my $i (0 .. $#results) {
    my $got = "$results[$i]{outcome} $results[$i]{status}";
    push @wrong, "$got, not $jobs[$i]{expect}: " . RevProxy::Load::format_job($jobs[$i]) if $got !~ $jobs[$i]{expect};
}
ok $restarts >= 1, "$restarts graceful restarts";
is scalar @wrong, 0, scalar(@results) . ' requests, each with a right answer or the right error: ' . RevProxy::Load::tally(@results)
    or diag "seed $SEED\n", map {"$_\n"} @wrong[ 0 .. ($#wrong < 19 ? $#wrong : 19) ];

my $s = settle();
is "$s->{RevProxyParked} $s->{RevProxyConnsLeased} $s->{RevProxyWaiting}", '0 0 0', 'nothing is parked, leased or waited for';
my $until = time + 10 * $SLOW;
my @children;
sleep 0.1 while (@children = $t->children) > 1 && time < $until;
is scalar @children, 1, 'the old children have ended';
my ($child) = @children;

# What a child needs when it rests is known from one that has done a little.
my ($used, $kb) = (descriptors($child), rss($child));
$t->reload_graceful;
RevProxy::Load::run(port => $t->port, jobs => [ map { { path => '/app/?ms=20' } } 1 .. 100 ]);
settle();
my ($fresh) = grep { $_ != $child } $t->children;
cmp_ok $used, '<=', descriptors($fresh) + 12, "descriptors of the child: $used, of a fresh one " . descriptors($fresh);
cmp_ok $kb, '<', rss($fresh) + 40_000 * $SLOW, "memory of the child: $kb KB, of a fresh one " . rss($fresh);
cmp_ok rss($t->pid) - $parent_rss, '<', 6_000 * $SLOW, 'restarts leave little memory behind in the parent';
$until = time + 5;
sleep 0.1 while $backd->open_connections > 40 && time < $until;
cmp_ok $backd->open_connections, '<=', 40, 'the backend is left with the idle connections only';

$t->allow(qr/AH00484|AH00485/);    # no idle thread at some moment, as meant
$t->finish;
done_testing;
