# Requests that wait until a member is usable (timeout= of a balancer): without threads, each for its own time; upgrades
# to a balancer.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy sleeps in its threads' if front eq 'mod_proxy';

my $later = RevProxy::Backend->new(name => 'later', start => 0, answer => sub { RevProxy::Members::answer('later', @_) });
# Takes an upgrade, and says back what comes.
my $ws = RevProxy::Backend->new(name => 'ws', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    $c->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    $c->read_exact(5, time + 10, sub { $c->send($_[0]) });
    $c->peer_closed(10);
});
my $t = RevProxy->new(backends => { later => $later, ws => $ws }, modules => [qw(slotmem_shm status)], threads => 8,
    docs => { 'file.txt' => "here\n" }, config => <<'EOT');
<Proxy balancer://wait>
    BalancerMember %%URL:later%%
    ProxySet timeout=6 forcerecovery=Off
</Proxy>
ProxyPass /wait/ balancer://wait/
<Proxy balancer://short>
    BalancerMember http://127.0.0.1:%%PORT:dead%%
    ProxySet timeout=500ms forcerecovery=Off
</Proxy>
ProxyPass /short/ balancer://short/
<Proxy balancer://ws>
    BalancerMember http://127.0.0.1:%%PORT:dead%%
    BalancerMember %%URL:ws%%
    ProxySet stickycookie=NODE
</Proxy>
ProxyPass /ws/ balancer://ws/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
$t->allow(qr/RP0111|RP0102|RP0114|AH00484/);

is $t->get('/short/x')->status, 503, 'a member that is down';
my $began = time;
is $t->get('/short/x')->status, 503, 'a request waits for it';
my $took = time - $began;
ok $took > 0.4 && $took < 2 * $RevProxy::SLOW, "... as long as timeout= says ($took)";

is $t->get('/wait/x')->status, 503, 'another one is down';
my $n = mpm eq 'event' ? 14 : 4;
$began = time;
my @waiting = map { my $k = $t->connect; $k->send("GET /wait/$_ HTTP/1.1\r\nHost: x\r\n\r\n"); $k } 1 .. $n;
sleep 0.3;
is $t->get('/file.txt')->body, "here\n", "$n requests wait, and " . (mpm eq 'event' ? 'hold no thread' : 'leave threads');
cmp_ok time - $began, '<', 1.5 * $RevProxy::SLOW, '... at once';
$waiting[0]->close;
shift @waiting;
$later->start;
my @got = map { my $r = $_->read_response; $r->header('X-Member') // $r->status } @waiting;
is join(' ', @got), join(' ', ('later') x @waiting), 'all are served when it is back';
cmp_ok time - $began, '<', 5 * $RevProxy::SLOW, '... soon';

{
    my $k = $t->connect;
    $k->send("GET /ws/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    my $head = $k->read_raw(0.5 * $RevProxy::SLOW);
    like $head, qr{^HTTP/1.1 101 }, 'an upgrade to a balancer, past a dead member';
    like $head, qr/^Set-Cookie: NODE=/m, '... with its cookie';
    $k->send('hello');
    is $k->read_raw(0.5 * $RevProxy::SLOW), 'hello', '... and bytes go through';
    is figures($t, 'ws')->{ $ws->url }{busy}, 1, '... in flight while it lasts';
    $k->close;
    my $until = time + 5;
    sleep 0.05 while figures($t, 'ws')->{ $ws->url }{busy} && time < $until;
    is figures($t, 'ws')->{ $ws->url }{busy}, 0, '... and no longer';
}
$t->finish;
done_testing;
