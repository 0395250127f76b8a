# What brings a member in error back: a new connection, and one request at a time tries. A connection that is left over
# from better days proves nothing: its server may refuse everybody else.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy waits for retry=' if front() eq 'mod_proxy';
plan skip_all => 'connections are pooled per child, and a child has one client' if mpm() eq 'prefork';

my %m = RevProxy::Members->make(qw(a b));
# Accepts, and is slow: how many try it at a time can be seen.
$m{slow} = RevProxy::Backend->new(name => 'slow', start => 0, answer => sub {
    my ($c, $r) = @_;
    $c->note('begin');
    $c->pause(0.7);
    $c->respond(200, [ 'X-Member' => 'slow' ], 'slow');
});
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], threads => 32, config => <<'EOT');
<Proxy balancer://b>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:b%%
</Proxy>
ProxyPass /b/ balancer://b/
<Proxy balancer://s>
    BalancerMember %%URL:slow%%
    BalancerMember %%URL:b%% lbset=1
</Proxy>
ProxyPass /s/ balancer://s/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
$t->allow(qr/RP0111|RP0102|RP0112/);

sub state_of { my ($name) = @_; return figures($t, 'b')->{ $m{$name}->url }{status} }

# Two connections to a are in the pool; then nobody listens any more, but the connections live.
is who($t, '/b/x', 2), 'a b', 'both serve';
my @held = map { my $k = $t->connect; $k->send("GET /b/held HTTP/1.1\r\nHost: x\r\n\r\n"); $k } 1 .. 4;
$_->read_response for @held;
$m{a}->stop_listening;
my $open = $m{a}->open_connections;
cmp_ok $open, '>=', 1, 'connections are left over';
my @many = map { my $k = $t->connect; $k->send("GET /b/slowly HTTP/1.1\r\nHost: x\r\n\r\n"); $k } 1 .. 12;
is join(' ', sort { $a <=> $b } map { $_->read_response->status } @many), join(' ', (200) x 12), 'requests are answered';
my $until = time + 5;
while (state_of('a') ne 'Init Err' && time < $until) {
    my @more = map { my $k = $t->connect; $k->send("GET /b/x HTTP/1.1\r\nHost: x\r\n\r\n"); $k } 1 .. 8;
    $_->read_response for @more;
}
is state_of('a'), 'Init Err', 'one that needed a new connection: the member is in error';
cmp_ok $m{a}->open_connections, '>=', 1, '... with connections left over';
sleep 1.2;
is who($t, '/b/x', 6), 'b b b b b b', 'its time comes to be tried: by a new connection, which is refused';
is state_of('a'), 'Init Err', '... so it stays in error';
$m{a}->start;
$until = time + 8;
sleep 0.1 while who($t, '/b/x', 2) !~ /a/ && time < $until;
is state_of('a'), 'Init Ok', 'it listens again: back';

# One request tries, the others do not wait for it.
is who($t, '/s/x', 2), 'b b', 'a member that is down';
$m{slow}->start;
$m{slow}->freeze;
sleep 1.1;
my @asking = map { my $k = $t->connect; $k->send("GET /s/x HTTP/1.1\r\nHost: x\r\n\r\n"); sleep 0.02; $k } 1 .. 6;
$m{slow}->unfreeze;
my @by = map { $_->read_response->header('X-Member') // 'none' } @asking;
is $by[0], 'slow', 'the first one tries it, and succeeds';
$t->finish;
done_testing;
