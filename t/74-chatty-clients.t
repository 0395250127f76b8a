# Clients that send one request right after another keep their threads while these are plenty, and take turns while they wait.
# None is told an answer early, late or twice, whatever time the backend takes; and the threads come back.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Select;
use POSIX ();
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy has other limits' if front() ne 'revproxy';

my $SLOW    = $RevProxy::SLOW;
my $CLIENTS = 10;
my $ROUNDS  = 60;
my @DELAYS  = (0, 0, 0, 1, 3, 12, 30);    # of the backend, in ms; parked after 10

my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, modules => ['status'], threads => 32, config => <<"EOT");
    MaxKeepAliveRequests 0
    $RevProxy::Load::STATUS
    ProxyPass /app/  %%URL:backd%%/
    ProxyPass /late/ %%URL:backd%%/2/ timeout=300ms
EOT

# Each asks as soon as it has its answer. Returns how many answers were right, and what was wrong with the first other one.
sub talk {
    my (%left, %text, %want, $first_bad);
    my $right  = 0;
    my $select = IO::Select->new;
    my $ask    = sub {
        my ($c) = @_;
        my $n = $left{ fileno $c }--;
        my $ms = $DELAYS[ ($n * 7 + fileno $c) % @DELAYS ];
        $want{ fileno $c } = sprintf 'c%d-%d', fileno $c, $n;
        $text{ fileno $c } = '';
        syswrite $c, sprintf "GET /app/?ms=%d&mark=%s&size=%d HTTP/1.1\r\nHost: x\r\n\r\n", $ms, $want{ fileno $c }, 1 + length $want{ fileno $c };
    };
    my @keep = map { $t->connect } 1 .. $CLIENTS;
    for my $c (map { $_->{socket} } @keep) {
        $left{ fileno $c } = $ROUNDS;
        $select->add($c);
        $ask->($c);
    }
    my $until = time + 30 * $SLOW;
    while ($select->count && time < $until) {
        for my $c ($select->can_read(1)) {
            my $id = fileno $c;
            my $n  = sysread $c, $text{$id}, 65536, length $text{$id};
            next if $n && $text{$id} !~ /\r\n\r\n.*\n\z/s;
            if ($n && $text{$id} =~ m{\AHTTP/1\.1 200 [^\n]*\n(?:[^\n]+\n)*\r\n\Q$want{$id}\E\n\z}) { $right++ }
            else                                                                          { $first_bad //= $text{$id} || 'nothing' }
            if ($n && $left{$id} > 0) { $ask->($c) }
            else                      { $select->remove($c) }
        }
    }
    return ($right, $first_bad);
}

my ($right, $bad) = talk();
is $right, $CLIENTS * $ROUNDS, "$CLIENTS clients that ask at once again: every answer is right" or diag $bad // '';

# A deadline is kept to while others take turns.
my $pid = fork // die $!;
if (!$pid) {
    $SIG{$_} = 'DEFAULT' for qw(INT TERM);
    talk();
    POSIX::_exit(0);
}
my $began = time;
my $answer = $t->get('/late/?ms=5000');
my $took   = time - $began;
is $answer->{status}, 504, 'a backend that is late while others ask';
cmp_ok $took, '>=', 0.3, 'not before its time';
cmp_ok $took, '<', 0.3 + 0.15 * ($SLOW > 1 ? 4 : 1), "and in time: $took s";
waitpid $pid, 0;

sleep 0.1 * $SLOW;
my ($busy) = $t->get('/server-status?auto')->{body} =~ /^BusyWorkers: (\d+)/m;
is $busy, 1, 'and no thread stays with them when they say no more' if mpm() eq 'event';

$t->claim_fault('RP0302', route => '/late/', phase => 'waiting for the response');
$t->finish;
done_testing;
