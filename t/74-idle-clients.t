# Clients that keep their connections are not cut off because others ask at the same time: the event MPM closes idle
# connections when more become ready at once than threads are idle. Nor do they keep a child that stops.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Select;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy leaves that to the MPM' if front() ne 'revproxy';
plan skip_all => 'only the event MPM closes them'   if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $CLIENTS = 80;
my $ROUNDS  = $SLOW > 1 ? 10 : 40;

my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, modules => ['status'], threads => 4, children_may_change => 1, config => <<"EOT");
    AsyncRequestWorkerFactor 1000
    KeepAliveTimeout 20
    MaxKeepAliveRequests 0
    $RevProxy::Load::STATUS
    ProxyPass /app/ %%URL:backd%%/
EOT

my @clients;

# All ask at the same time. Returns how many requests were not answered; their clients connect again.
sub ask_all {
    my ($path) = @_;
    my $request = "GET $path HTTP/1.1\r\nHost: x\r\n\r\n";
    my %text    = map { fileno($_->{socket}) => '' } @clients;
    my $lost    = 0;
    my $waiting = IO::Select->new;
    for my $c (@clients) {
        local $SIG{PIPE} = 'IGNORE';
        if (syswrite $c->{socket}, $request) { $waiting->add($c->{socket}) }
        else                                 { $lost++ }
    }
    my $until = time + 20 * $SLOW;
    while ($waiting->count && time < $until) {
        for my $socket ($waiting->can_read(1)) {
            my $n = sysread $socket, $text{ fileno $socket }, 65536, length $text{ fileno $socket };
            my $is_done = $text{ fileno $socket } =~ m{\AHTTP/1\.1 200 .*\r\n\r\nhello\n}s;
            $lost++ if !$n && !$is_done;
            $waiting->remove($socket) if !$n || $is_done;
        }
    }
    $lost += $waiting->count;
    @clients = map { $text{ fileno $_->{socket} } ? $_ : $t->connect } @clients;
    return $lost;
}

# --- a burst of new clients ---

# The first have their answers while there are few others.
@clients = map { $t->connect } 1 .. 2;
is ask_all('/app/?size=6'), 0, 'the first clients are answered';
my @first = @clients;
my $lost  = 0;
for my $burst (1 .. 5) {
    @clients = map { $t->connect } 1 .. $CLIENTS;
    $lost += ask_all('/app/?size=6');
    @clients = @first;
    $lost += ask_all('/app/?size=6');
    @first = @clients;
}
is $lost, 0, 'nor do bursts of new clients cost the first ones their connections';

# --- bursts of the same clients ---

$lost = 0;
@clients = (@first, map { $t->connect } @first + 1 .. $CLIENTS);
for my $round (1 .. $ROUNDS) {
    $lost += ask_all('/app/?size=6' . ($round % 2 ? '' : '&ms=5'));
}
is $lost, 0, "no connection lost of $CLIENTS clients that ask at once, $ROUNDS times, with four threads";

# --- a stop does not wait for them ---

my ($old) = $t->children;
my $began = time;
$t->reload_graceful;
sleep 0.05 while kill(0, $old) && time - $began < 15;
cmp_ok time - $began, '<', 5 * $SLOW, 'idle clients do not keep a child that stops gracefully';

$t->allow(qr/AH00484/);    # no thread is left now and then, as meant
$t->finish;
done_testing;
