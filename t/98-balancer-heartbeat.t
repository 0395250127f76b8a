# lbmethod=heartbeat: by what servers say of themselves, in the file of HeartbeatStorage.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m = map {
    my $name = "s$_";
    ($name => RevProxy::Backend->new(name => $name, host => "127.0.0.$_", answer => sub { RevProxy::Members::answer($name, @_) }))
} 1 .. 5;
my $t = RevProxy->new(backends => \%m, modules => [ 'slotmem_shm', front eq 'mod_proxy' ? 'lbmethod_heartbeat' : () ],
    files => { 'var/beats' => <<'FILE' }, config => <<'EOT');
# comment
127.0.0.1 busy=1&ready=30&lastseen=0
127.0.0.2 ready=10&busy=2&lastseen=3&port=80
127.0.0.3 busy=1&ready=1000&lastseen=20
127.0.0.4 busy=1&ready=0&lastseen=0
127.0.0.44 busy=1&ready=1000&lastseen=0
nonsense
FILE
HeartbeatStorage %%DIR%%/var/beats
<Proxy balancer://b>
    BalancerMember %%URL:s1%%
    BalancerMember %%URL:s2%%
    BalancerMember %%URL:s3%%
    BalancerMember %%URL:s4%%
    BalancerMember %%URL:s5%%
    ProxySet lbmethod=heartbeat
</Proxy>
ProxyPass / balancer://b/
EOT

my %n = map { $_ => 0 } keys %m;
my $k = $t->connect;
$n{$_}++ for split ' ', who($t, '/x', 400, client => $k);
is $n{s3} + $n{s5}, 0, 'none for those that are not heard of';
only_ours { is $n{s4}, 0, '... or have no thread ready' } 'off by one';
ok $n{s1} > 240 && $n{s1} < 360, "... by their number ($n{s1} of 400)" or diag explain \%n;
RevProxy::write_file($t->dir . '/var/beats', "127.0.0.5 busy=0&ready=8&lastseen=1\n");
is who($t, '/x', 3), 's5 s5 s5', 'the file is read anew';
RevProxy::write_file($t->dir . '/var/beats', '');
is $t->get('/x')->status, 503, 'nobody is ready';
$t->claim(ours(qr/RP0114/, mod_proxy => qr/AH01170/, ''), 'log: no member');
$t->allow(qr/AH02282/);
$t->finish;
done_testing;
