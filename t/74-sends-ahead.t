# A parked request is not woken again and again by what its client has sent already: its next request, or its end. Such
# descriptors stay ready, whoever looks.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW  = $RevProxy::SLOW;
my $backd = RevProxy::Load::Backend->new;
my $t     = RevProxy->new(backends => { backd => $backd }, threads => 4, config => <<"EOT");
    ProxyPass /app/ %%URL:backd%%/
    <Location /app/off/>
        RevProxyClientAbort Off
    </Location>
EOT

# How often threads of the server gave up the processor: each look at a descriptor takes some.
sub switches {
    my $sum = 0;
    for my $pid ($t->children) {
        for my $status (glob "/proc/$pid/task/*/status") {
            my $text = eval { RevProxy::slurp($status) } // '';
            $sum += $1 while $text =~ /^(?:non)?voluntary_ctxt_switches:\s+(\d+)/mg;
        }
    }
    return $sum;
}

sub request { return "GET /app/$_[0]?ms=$_[1]&mark=$_[2]&size=2 HTTP/1.1\r\nHost: x\r\n\r\n" }

sub is_quiet {
    my ($what) = @_;
    sleep 0.2 * $SLOW;
    my $before = switches();
    sleep 0.5;
    my $woken = switches() - $before;
    cmp_ok $woken, '<', 100, "$what: the server sleeps while it waits ($woken switches)";
}

# Where clients are many as compared with threads, each is waited for like a parked request between two of its own.
my @others = map { $t->connect } 1 .. 6;
for my $k (@others) {
    $k->send(request('', 0, 'x'));
    $k->read_response;
}

{
    my $k = $t->connect;
    for my $n (1 .. 2) {
        sleep 0.1;
        $k->send(request('', 1000 * $SLOW, "a$n"));
        sleep 0.1;    # so that the next one stays in the socket
        $k->send(request('', 0, "b$n"));
        is_quiet("a request and the next, $n");
        like $k->read_response->body, qr{^a$n}, "its answer, $n";
        like $k->read_response->body, qr{^b$n}, "and the next one's, $n";
    }
    $k->close;
}
for my $before (0, 1) {
    my $k = $t->connect;
    if ($before) {
        $k->send(request('off/', 20, 'w'));
        $k->read_response;
        sleep 0.1;
    }
    $k->send(request('off/', 1000 * $SLOW, 'h') =~ s/\r\n\r\n/\r\nConnection: close\r\n\r\n/r);
    $k->half_close;
    is_quiet("a client that has sent its last, after $before requests");
    like $k->read_response->body, qr/^h/, 'its answer';
    $k->close;
}
$_->close for @others;

$t->finish;
done_testing;
