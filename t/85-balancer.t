use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my %b = map { my $n = $_; ($n => RevProxy::Backend->new(name => $n, answer => sub { $_[0]->respond(200, [], "$n " . $_[1]->target) })) } 1 .. 3;
my $t = RevProxy->new(backends => { map { ("b$_" => $b{$_}) } 1 .. 3 }, modules => ['slotmem_shm'], config => <<'EOT');
<Proxy balancer://w>
    BalancerMember %%URL:b1%%
    BalancerMember %%URL:b2%% loadfactor=2.5
    BalancerMember %%URL:b3%%
</Proxy>
ProxyPass /w balancer://w
EOT
is join(' ', map { (split ' ', $t->get('/w/x')->body)[0] } 1 .. 9), '2 1 2 3 2 1 2 3 2', 'order';
$t->finish;
done_testing;
