# Ten thousand requests that were parked and answered, timed out, left or failed: no descriptor of the child is
# left open, no connection leased, and each client got its own answer, never another's.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW = $RevProxy::SLOW;
my $MANY = $SLOW > 1 ? 2000 : 10_000;
RevProxy::Load::raise_open_files(16_000) or plan skip_all => 'needs 16000 open files';

my $backd = RevProxy::Load::Backend->new;
my $t     = RevProxy->new(
    backends => { backd => $backd },
    modules  => ['status'],
    threads  => 8,
    config   => <<"EOT");
    AsyncRequestWorkerFactor 1000
    ListenBacklog 4000
    $RevProxy::Load::STATUS
    # smax: how many idle connections are kept is known then
    ProxyPass /app/   %%URL:backd%%/ smax=4 ttl=1
    ProxyPass /short/ %%URL:backd%%/ timeout=300ms
    LogLevel revproxy:crit
EOT
my ($child) = $t->children;

sub descriptors { my @fds = glob "/proc/$child/fd/*"; return scalar @fds }

# Parked with certainty, each some time.
sub job {
    my ($n) = @_;
    my %own   = (mark => "m$n", size => 40 + $n % 3000, keep => $n % 3 ? 1 : 0);
    my $query = "ms=" . (50 + $n % 350) . "&mark=$own{mark}&size=$own{size}";
    my @kinds = (
        { expect => 'ok 200', path => "/app/?$query" },
        { expect => 'ok 200', path => "/app/?$query", up => 500 + 40 * ($n % 700), up_rate => 100_000 },
        { expect => 'ok 200', path => "/app/?$query" },
        { expect => 'ok 504', path => "/short/?end=hang" },
        { expect => 'left 0', path => "/app/?ms=2000", leave => 0.1, how => $n % 2 ? 'f' : 'r', keep => 0 },
        { expect => 'ok 502', path => "/app/?$query&end=reset" },
        { expect => 'ok 502', path => "/app/?$query&end=eof" },
        { expect => 'cut 200', path => "/app/?$query&end=cut" },
        { expect => 'ok 502', path => "/app/?$query&end=junk" },
        { expect => 'left (?:200|0)', path => "/app/?size=400000&mark=m$n", size => 400_000, read_rate => 50_000, leave => 0.3, how => 'r' },
    );
    return { %own, %{ $kinds[ $n % @kinds ] } };
}

sub run_all {
    my ($n, $rate) = @_;
    my @jobs    = map { { %{ job($_) }, at => $_ / $rate } } 1 .. $n;
    my @results = RevProxy::Load::run(port => $t->port, giveup => 30 * $SLOW, jobs => \@jobs);
    my %wrong;
    for my $i (0 .. $#results) {
        my $got = "$results[$i]{outcome} $results[$i]{status}";
        $wrong{"$jobs[$i]{path}: $got instead of $jobs[$i]{expect}"}++ if $got !~ /\A$jobs[$i]{expect}\z/;
    }
    return ([ sort keys %wrong ], @results);
}

# Nothing is under way any more, and connections that were kept have had their time.
sub settle {
    my $s = RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} == 0 && $_->{RevProxyConnsLeased} == 0 }, 20);
    my ($last, $until) = (-1, time + 8 * $SLOW);
    while (time < $until) {
        my $now = descriptors();
        last if $now == $last;
        $last = $now;
        sleep 1.2;
        $t->get('/app/x');    # the pool sweeps its old connections when one is given back
    }
    return $s;
}

run_all(200, 500);
settle();
my $before = descriptors();
$t->allow(qr/AH00484/);    # no idle thread at some moment
my ($wrong, @results) = run_all($MANY, 1500 / $SLOW);
is scalar @results, $MANY, "$MANY requests: " . RevProxy::Load::tally(@results);
is_deeply [ @$wrong[ 0 .. ($#$wrong < 9 ? $#$wrong : 9) ] ], [], 'each ended as it should, with its own answer'
    or diag scalar(@$wrong) . ' did not';
my $s     = settle();
my $after = descriptors();
cmp_ok abs($after - $before), '<=', 8, "the child's descriptors: $before before, $after after";
is "$s->{RevProxyParked} $s->{RevProxyConnsLeased} $s->{RevProxyWaiting}", '0 0 0', 'nothing is parked, leased or waited for';
is "$s->{RevProxyChild}", $child, 'it is still the same child';

$t->finish;
done_testing;
