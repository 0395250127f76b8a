# A child that stops at once goes soon, however many clients have asked whose requests no thread has taken up.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy leaves that to the MPM' if front() ne 'revproxy';
plan skip_all => 'needs parking'                    if mpm() ne 'event';

my $SLOW    = $RevProxy::SLOW;
my $THREADS = 4;

my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, threads => $THREADS, children_may_change => 1, config => <<'EOT');
    AsyncRequestWorkerFactor 1000
    KeepAliveTimeout 60
    ProxyPass /app/ %%URL:backd%%/
EOT

my $REQUEST = "GET /app/?size=6 HTTP/1.1\r\nHost: x\r\n\r\n";

my @clients = map { $t->connect } 1 .. 40;
for my $c (@clients) {
    syswrite $c->{socket}, $REQUEST;
    sysread $c->{socket}, my $answer, 65536;
}
sleep 0.1 * $SLOW;

# These have the threads: the core waits for the body of a request for a file.
my @holding = map { $t->connect } 1 .. $THREADS;
syswrite $_->{socket}, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n" for @holding;
sleep 0.2 * $SLOW;

# All are ready when the MPM's listener looks next.
my ($child) = $t->children;
kill STOP => $child;
syswrite $_->{socket}, $REQUEST for @clients;
kill CONT => $child;
sleep 0.2 * $SLOW;

kill TERM => $t->pid;
my $began = time;
sleep 0.1 * $SLOW;
close $_->{socket} for @holding;
sleep 0.01 while grep({ $_ == $child } $t->children) && time - $began < 12 * $SLOW;
my $took = time - $began;
cmp_ok $took, '<', 1.5 * $SLOW, sprintf 'a child that is told to stop at once is gone after %.3f s', $took;

$t->allow(qr/AH00484/);    # no thread is left, as meant
$t->finish;
done_testing;
