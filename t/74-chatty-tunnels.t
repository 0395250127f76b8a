# Idle WebSockets need no thread: a client that keeps asking keeps its own, however many of them there are.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Load;
use RevProxy::WebSocket;

plan skip_all => 'mod_proxy holds a thread for each' if front() ne 'revproxy';
plan skip_all => 'only the event MPM parks'          if mpm() ne 'event';

my $REQUESTS = 100;

my $t = RevProxy->new(backends => { ws => RevProxy::WebSocket->echo, backd => RevProxy::Load::Backend->new }, modules => ['status'], threads => 8, config => <<"EOT");
    MaxKeepAliveRequests 0
    LogFormat "%{tid}P %U" threads
    CustomLog %%DIR%%/logs/threads.log threads
    $RevProxy::Load::STATUS
    ProxyPass /ws/  %%URL:ws%%/ upgrade=websocket
    ProxyPass /app/ %%URL:backd%%/
EOT

my @sockets = map { RevProxy::WebSocket->open($t, '/ws/') } 1 .. 20;
RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} >= @sockets }, 5 * $RevProxy::SLOW);

my $c = $t->connect;
my $right = 0;
for (1 .. $REQUESTS) {
    $c->send("GET /app/?size=6 HTTP/1.1\r\nHost: x\r\n\r\n");
    $right++ if $c->read_response->body eq "hello\n";
}
is $right, $REQUESTS, 'a client asks on and on beside idle WebSockets';
$c->close;
$_->http->close for @sockets;

my @threads = RevProxy::slurp($t->dir . '/logs/threads.log') =~ m{^(\d+) /app/$}mg;
my $changes = grep { $threads[$_] ne $threads[ $_ - 1 ] } 1 .. $#threads;
cmp_ok $changes, '<', @threads / 10, "$changes changes of its thread with " . @threads . ' requests';

$t->finish;
done_testing;
