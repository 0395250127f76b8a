# More clients than threads, each of which asks again as soon as it has its answer: all of them get theirs, in turns, and who
# connects meanwhile is served as well.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Select;
use Time::HiRes qw(time);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy leaves that to the MPM' if front() ne 'revproxy';
plan skip_all => 'needs parking'                    if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $CLIENTS = 60;
my $THREADS = 4;
my $SECONDS = 3 * ($SLOW > 1 ? 3 : 1);

# Compressing is what keeps the threads at work.
my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, modules => [qw(filter deflate)], threads => $THREADS, children_may_change => 1, config => <<'EOT');
    AsyncRequestWorkerFactor 1000
    MaxKeepAliveRequests 0
    KeepAliveTimeout 20
    DeflateCompressionLevel 9
    SetOutputFilter DEFLATE
    ProxyPass /app/ %%URL:backd%%/
EOT

my $REQUEST = "GET /app/?size=30000 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";

my (%client, $lost);
my $select = IO::Select->new;

sub begin {
    my $c = $t->connect;
    $client{ fileno $c->{socket} } = { connection => $c, answers => 0, longest => 0 };
    $select->add($c->{socket});
    return $client{ fileno $c->{socket} };
}

sub ask {
    my ($socket) = @_;
    my $c = $client{ fileno $socket };
    @$c{qw(asked text)} = (time, '');
    syswrite $socket, $REQUEST;
    return;
}

sub is_whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return if !defined $body;
    return $head =~ /^Content-Length: (\d+)/mi ? length $body >= $1 : $body =~ /\r\n0\r\n\r\n\z/;
}

sub hear {
    my ($socket) = @_;
    my $c = $client{ fileno $socket };
    my $n = sysread $socket, $c->{text}, 65536, length $c->{text};
    if (!$n) {
        $lost++;
        $select->remove($socket);
        return;
    }
    return if !is_whole($c->{text});
    my $took = time - $c->{asked};
    $c->{longest} = $took if $took > $c->{longest};
    $c->{answers}++;
    ask($socket);
    return;
}

begin() for 1 .. $CLIENTS;
$lost = 0;
my ($began, $late) = (time);
ask($_) for $select->handles;
while (time - $began < $SECONDS) {
    if (!$late && time - $began > $SECONDS / 2) {
        $late = begin();
        ask($late->{connection}{socket});
    }
    hear($_) for $select->can_read(0.1);
}
my $until = time;
for my $c (values %client) {
    $c->{longest} = $until - $c->{asked} if $until - $c->{asked} > $c->{longest};
}

my @early   = grep { $_ != $late } values %client;
my @answers = sort { $a <=> $b } map { $_->{answers} } @early;
my @longest = sort { $a <=> $b } map { $_->{longest} } @early;
my $all     = 0;
$all += $_ for @answers;
my $fair = $SECONDS / ($all / $CLIENTS);    # that is how long each waits where all take turns
note sprintf '%d answers, %d to %d for each client, %.3f s to %.3f s at most, %.3f s on average', $all, @answers[0, -1], @longest[0, -1], $fair;
is $lost, 0, "$CLIENTS clients at $THREADS threads keep their connections";
cmp_ok $answers[0], '>=', $all / $CLIENTS / 2, 'each has got at least half of its share';
cmp_ok $longest[-1], '<', 8 * $fair + 0.5 * $SLOW, 'and none has waited for several rounds';
cmp_ok $late->{answers}, '>', 0, 'who connects meanwhile is served';

# --- a stop, while they wait in line ---

my ($old) = $t->children;
my ($answered, $stop_began) = (0, time);
$t->reload_graceful;
while (time - $stop_began < 10 * $SLOW && kill 0, $old) {
    for my $socket ($select->can_read(0.05)) {
        my $before = $client{ fileno $socket }{answers};
        hear($socket);
        $answered += $client{ fileno $socket }{answers} - $before;
    }
}
cmp_ok time - $stop_began, '<', 5 * $SLOW, 'a child that stops gracefully answers them and goes';
cmp_ok $answered, '>=', $CLIENTS, '... all of them';

$t->allow(qr/AH00484/);    # no thread is left now and then, as meant
$t->finish;
done_testing;
