# A balancing method that comes with another module, made with mod_revproxy.h alone.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;
use RevProxy::Testing;

plan skip_all => 'mod_proxy has an interface of its own' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b c));
my $load = RevProxy::Testing::load_line();
my $pool = <<'EOT';
<Proxy balancer://b>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:b%%
    BalancerMember %%URL:c%% status=+H
    ProxySet lbmethod=last
</Proxy>
ProxyPass / balancer://b/
EOT
my $t = RevProxy->new(backends => \%m, modules => ['slotmem_shm'], config => "$load\n$pool");
is who($t, '/x', 3), 'b b b', 'its choice among usable members';
$m{b}->stop;
is who($t, '/x', 3), 'a a a', '... of which one less is there now';
$t->reload_graceful;
is who($t, '/x', 1), 'a', '... also after a graceful restart';
$t->allow(qr/RP0111|RP0102/);
$t->finish;

my ($ok, $output) = RevProxy->configtest(backends => \%m, modules => ['slotmem_shm'], config => $pool);
ok !$ok && $output =~ /line 5 of .*unknown lbmethod 'last': known are/s, 'nobody knows it without that module' or diag $output;
done_testing;
