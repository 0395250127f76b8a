# Balancers and virtual hosts: what is inherited, what the same name in both means, whose state it is;
# beside the real mod_proxy.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m  = RevProxy::Members->make(qw(a b c d));
my $t  = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status headers rewrite)], config => <<'EOT');
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
<Proxy balancer://main>
    BalancerMember %%URL:a%% route=a
    BalancerMember %%URL:b%% route=b
</Proxy>
ProxyPass /main/ balancer://main/
<Proxy balancer://both>
    BalancerMember %%URL:a%% route=a
    BalancerMember http://127.0.0.1:%%PORT:dead%% route=dead retry=30
    ProxySet stickysession=SID maxattempts=0 failonstatus=501
</Proxy>
ProxyPass /both/ balancer://both/
<Proxy balancer://loose>
    ProxySet lbmethod=bybusyness
</Proxy>
BalancerMember balancer://Loose %%URL:d%%
ProxyPass /loose/ balancer://loose/

# inherits
Listen 127.0.0.1:%%PORT:one%%
<VirtualHost 127.0.0.1:%%PORT:one%%>
    ProxyPass /vm/ balancer://main/
    ProxyPass /vb/ balancer://both/ maxattempts=1 failonstatus=502
    Header set X-Changed "%{BALANCER_ROUTE_CHANGED}e" env=BALANCER_ROUTE_CHANGED
</VirtualHost>
# stands alone
Listen 127.0.0.1:%%PORT:two%%
<VirtualHost 127.0.0.1:%%PORT:two%%>
    ProxyPassInherit Off
    BalancerInherit Off
    <Proxy balancer://main>
        BalancerMember %%URL:c%%
    </Proxy>
    ProxyPass /vm/ balancer://main/
    RewriteEngine On
    RewriteRule ^/gone/(.*)$ balancer://both/$1 [P]
</VirtualHost>
# says nothing of its own
Listen 127.0.0.1:%%PORT:three%%
<VirtualHost 127.0.0.1:%%PORT:three%%>
    ServerName three.example.test
</VirtualHost>
EOT

is who($t, '/main/x', 2), 'a b', 'the main server';
is who($t, '/vm/x', 4, to => 'one'), 'a b a b', 'a virtual host has the main server\'s balancers';
is who($t, '/main/x', 2, to => 'three'), 'a b', '... and its routes';
is figures($t, 'main')->{ $m{a}->url }{elected}, 4, 'it is one state';
is figures($t, 'main', to => 'one')->{ $m{a}->url }{elected}, 4, '... seen from both';

is who($t, '/vm/x', 2, to => 'two'), 'c c', 'a host that inherits nothing has its own of that name';
is figures($t, 'main', to => 'two')->{ $m{c}->url }{elected}, 2, '... with its own state';
is figures($t, 'main')->{ $m{a}->url }{elected}, 4, '... and the main server\'s is as it was';
is $t->get('/gone/x', to => 'two')->status, ours(500, mod_proxy => 500, ''), '... and no others';
is $t->get('/main/x', to => 'two')->status, ours(404, mod_proxy => 200, 'it does other than its manual says'), 'ProxyPassInherit Off';

# The same name in both: members of the main server, parameters of both.
$t->allow(qr/RP0111|RP0102|AH\d{5}/);
is who($t, '/vb/x', 2, to => 'one'), 'a a', 'maxattempts=1 of the virtual host';
is $t->get('/vb/x', to => 'one', headers => [ Cookie => 'SID=1.a' ])->header('X-Changed'), undef, 'stickysession of the main server';
is $t->get('/vb/x', to => 'one')->header('X-Changed'), '1', '... in force';
is figures($t, 'both')->{ 'http://127.0.0.1:' . $t->port_of('dead') }{status}, 'Init Err', 'members\' state is one';
is $t->get('/vb/status/501', to => 'one')->status, 501, 'failonstatus of both: 501';
is figures($t, 'both')->{ $m{a}->url }{status}, 'Init Err', '... puts the member in error';

is who($t, '/loose/x', 2), 'd d', 'BalancerMember outside of <Proxy>, in any case of letters';
$t->claim(ours(qr/RP0602/, mod_proxy => qr/AH\d{5}/, ''), 'log: no such balancer');
$t->finish;

# Beside the real one: second spellings, and each its own.
only_ours {
    my $u = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm proxy proxy_http proxy_balancer lbmethod_byrequests rewrite)],
        config => <<'EOT');
<Proxy balancer://x>
    BalancerMember %%URL:a%%
</Proxy>
ProxyPass /theirs/ balancer://x/
<RevProxy balancer://x>
    RevBalancerMember %%URL:b%%
</RevProxy>
RevProxyPass /ours/ balancer://x/
<RevProxy balancer://y>
    RevBalancerMember %%URL:c%%
</RevProxy>
RewriteEngine On
RewriteRule ^/rw/(.*)$ balancer://y/$1 [P]
EOT
    is who($u, '/theirs/x', 2), 'a a', 'beside mod_proxy: its balancer';
    is who($u, '/ours/x', 2), 'b b', '... and ours of the same name';
    is who($u, '/rw/x', 2), 'c c', '... and [P] to ours';
    $u->finish;
} 'it is the real one';

done_testing;
