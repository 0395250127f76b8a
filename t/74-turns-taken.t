# Half of the threads are held by requests that are not for us, and new clients come without end: those in line for a turn
# move on all the same, and the new ones are served, too.

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
my $THREADS = 4;

my $backd = RevProxy::Load::Backend->new;

# Compressing is what keeps the threads at work.
sub start {
    return RevProxy->new(backends => { backd => $backd }, modules => [qw(filter deflate)], threads => $THREADS, children_may_change => 1, config => <<'EOT');
    AsyncRequestWorkerFactor 1000
    MaxKeepAliveRequests 0
    KeepAliveTimeout 60
    DeflateCompressionLevel 9
    <Location /app/>
        SetOutputFilter DEFLATE
    </Location>
    ProxyPass /app/ %%URL:backd%%/
EOT
}

sub request {
    my ($fields) = @_;
    return "GET /app/?size=30000 HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n$fields\r\n";
}

sub is_whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return if !defined $body;
    return $head =~ /^Content-Length: (\d+)/mi ? length $body >= $1 : $body =~ /\r\n0\r\n\r\n\z/;
}

my ($t, $select, %client, $lost);

sub ask {
    my ($c) = @_;
    my $socket = $c->{connection}{socket};
    @$c{qw(asked text)} = (time, '');
    $select->add($socket);
    $client{ fileno $socket } = $c;
    syswrite $socket, request($c->{is_new} ? "Connection: close\r\n" : '');
    return $c;
}

# Its answer, or its end: asks again, those that are new each time by a new connection.
sub hear {
    my ($socket) = @_;
    my $c = $client{ fileno $socket };
    my $n = sysread $socket, $c->{text}, 65536, length $c->{text};
    my $is_whole = is_whole($c->{text});
    return if $n && !$is_whole;
    $lost++ if !$is_whole;
    my $took = time - $c->{asked};
    $c->{longest} = $took if $took > $c->{longest};
    $c->{answers} += $is_whole ? 1 : 0;
    if ($c->{is_new} || !$is_whole) {
        $select->remove($socket);
        $c->{connection} = $t->connect;
    }
    ask($c);
    return;
}

# So many clients ask without pause. Returns those that keep their connections.
sub ask_for {
    my ($seconds, $keeping, $new) = @_;
    ($select, $lost, %client) = (IO::Select->new, 0);
    my @clients = map { { connection => $t->connect, is_new => $_ > $keeping, answers => 0, longest => 0 } } 1 .. $keeping + $new;
    ask($_) for @clients;
    my $began = time;
    while (time - $began < $seconds) {
        hear($_) for $select->can_read(0.1);
    }
    for my $c (@clients) {
        my $waits = time - $c->{asked};
        $c->{longest} = $waits if $waits > $c->{longest};
    }
    my @new = map { $_->{answers} } @clients[ $keeping .. $#clients ];
    my @kept = sort { $a->{answers} <=> $b->{answers} } @clients[ 0 .. $keeping - 1 ];
    my @longest = sort { $a <=> $b } map { $_->{longest} } @kept;
    my $all = 0;
    $all += $_->{answers} for @kept;
    note sprintf '%d to %d answers (%d in all), longest wait %.3f s; new ones: %s', (map { $_->{answers} } @kept[ 0, -1 ]), $all,
        $longest[-1], join ' ', @new;
    return { least => $kept[0]{answers}, average => $all / $keeping, longest => $longest[-1], new => [ sort { $a <=> $b } @new ] };
}

# --- requests that are not for us hold threads: the core waits for the body of one for a file ---

my $FOR_A_FILE = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";

sub try_with {
    my ($what, $before) = @_;
    $t = start();
    my @holding = map { $t->connect } 1 .. $THREADS / 2;
    for my $c (@holding) {
        syswrite $c->{socket}, $before . $FOR_A_FILE;
        IO::Select->new($c->{socket})->can_read($before ? 10 * $SLOW : 0.1 * $SLOW);
    }
    my $got = ask_for(2 * ($SLOW > 1 ? 3 : 1), 20, 8);
    is $lost, 0, "half of the threads are taken by $what, new clients come all the time: no connection is lost";
    cmp_ok $got->{least}, '>=', 5, '... each client that keeps asking has got several answers';
    cmp_ok $got->{least}, '>=', $got->{average} / 2, '... its share of them';
    cmp_ok $got->{longest}, '<', 1.2 * $SLOW, '... none after a long time';
    cmp_ok $got->{new}[0], '>', 0, '... and so has each of the new ones';
    close $_->{socket} for @holding, map { $_->{connection} } values %client;
    %client = ();
    $t->allow(qr/AH00484/);    # no thread is left now and then, as meant
    $t->finish;
    return;
}

try_with('requests for others behind one for us', request(''));
try_with('requests for others', '');
done_testing;
