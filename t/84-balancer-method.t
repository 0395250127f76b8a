# A balancing method that comes with another module, made with mod_revproxy.h alone.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Manager;
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

# The manager sets one for a balancer whose configuration does not need it; then its module goes.
my $other = "BalancerPersist On\n" . manager_config() . <<'EOT';
<Proxy balancer://o>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:c%%
</Proxy>
ProxyPass / balancer://o/
EOT
sub choose_last {
    is change($t, b => 'o', b_lbm => 'last')->status, 200, 'the manager sets it for another balancer';
    is who($t, '/x', 3), 'c c c', '... which uses it';
    return;
}

sub has_gone {
    my ($name) = @_;
    is join(' ', sort split / /, who($t, '/x', 2)), 'a c', "$name: the configuration's method";
    is settings($t, 'o')->{Method}, 'byrequests', '... as the manager says';
    return;
}

$t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], config => "$load\n$other");
choose_last();
$t->reload_graceful;
is who($t, '/x', 3), 'c c c', '... also after a graceful restart';
$t->set_config($other);
$t->reload_graceful;
has_gone('a graceful restart without its module');
$t->set_config("$load\n$other");
$t->start_again;
choose_last();
$t->set_config($other);
$t->start_again;
has_gone('a stop and start without it');
$t->allow(qr/\[manager\]/);
$t->finish;
done_testing;
