# Which member gets a request while all are well: weights, methods, lbsets, spares, standbys, drain; with
# the path, the environment and the way back that belong to it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m = RevProxy::Members->make(qw(a b c d));
$m{big} = RevProxy::Backend->new(name => 'big', answer => sub { $_[0]->respond(200, [ 'X-Member' => 'big' ], 'x' x 20000) });
$m{small} = RevProxy::Backend->new(name => 'small', answer => sub { $_[0]->respond(200, [ 'X-Member' => 'small' ], 'x') });
$m{redirect} = RevProxy::Backend->new(name => 'redirect', answer => sub {
    my ($c, $r) = @_;
    my ($to) = $r->target =~ /to=(\S+)/;
    $c->respond(302, [ Location => $to, 'X-Member' => 'redirect' ], '');
});

my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status headers rewrite)], config => <<'EOT');
<Proxy balancer://w>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:b%% loadfactor=2.5
    BalancerMember %%URL:c%%
</Proxy>
ProxyPass /w balancer://w
<Proxy balancer://traffic>
    BalancerMember %%URL:big%%
    BalancerMember %%URL:small%%
    ProxySet lbmethod=bytraffic
</Proxy>
ProxyPass /traffic/ balancer://traffic/
<Proxy balancer://busy>
    BalancerMember %%URL:a%% loadfactor=2
    BalancerMember %%URL:b%%
    ProxySet lbmethod=bybusyness
</Proxy>
ProxyPass /busy/ balancer://busy/
<Proxy balancer://idle>
    BalancerMember %%URL:c%% status=+D
    BalancerMember %%URL:a%%
    BalancerMember %%URL:b%%
    ProxySet lbmethod=bybusyness
</Proxy>
ProxyPass /idle/ balancer://idle/
<Proxy balancer://sets>
    BalancerMember %%URL:c%% lbset=2
    BalancerMember %%URL:a%% lbset=1
    BalancerMember %%URL:b%% lbset=1
</Proxy>
ProxyPass /sets/ balancer://sets/
<Proxy balancer://drain>
    BalancerMember %%URL:a%% status=+N
    BalancerMember %%URL:b%%
    BalancerMember %%URL:c%% status=+D
    BalancerMember %%URL:d%% status=+S
</Proxy>
ProxyPass /drain/ balancer://drain/
<Proxy balancer://spare>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:d%% status=+D
    BalancerMember %%URL:b%% status=+R
    BalancerMember %%URL:c%% status=+R
    BalancerMember %%URL:big%% status=+H
</Proxy>
ProxyPass /spare/ balancer://spare/
<Proxy balancer://standby>
    BalancerMember %%URL:a%% status=+D
    BalancerMember %%URL:b%% status=+H
    BalancerMember %%URL:c%% lbset=1
</Proxy>
ProxyPass /standby/ balancer://standby/
<Proxy balancer://empty>
    ProxySet growth=2
</Proxy>
ProxyPass /empty/ balancer://empty/
<Proxy balancer://path>
    BalancerMember %%URL:a%%/mods route=r1
</Proxy>
ProxyPass /pp balancer://path/alias
ProxyPassMatch ^/re/(.*)\.x$ balancer://path/re/$1
<Location /loc>
    ProxyPass balancer://path/loc
</Location>
RewriteEngine On
RewriteRule ^/rw/(.*)$ balancer://path/$1 [P]
<Location /sh>
    SetHandler "proxy:balancer://path"
</Location>
<Proxy balancer://slash>
    BalancerMember %%URL:a%%/
</Proxy>
ProxyPass /slash/ balancer://slash/
<Proxy balancer://back>
    BalancerMember %%URL:redirect%%/mods
</Proxy>
ProxyPass        /back balancer://back/alias
ProxyPassReverse /back balancer://back/alias
<Proxy balancer://back2>
    BalancerMember %%URL:redirect%%
    BalancerMember http://other.example.test:81 status=+D
</Proxy>
ProxyPass /back2 balancer://back2
<Location /back2>
    ProxyPassReverse balancer://back2
</Location>
Header set X-Name   "%{BALANCER_NAME}e"
Header set X-Worker "%{BALANCER_WORKER_NAME}e"
Header set X-Route  "%{BALANCER_WORKER_ROUTE}e"
Header set X-Changed "%{BALANCER_ROUTE_CHANGED}e" env=BALANCER_ROUTE_CHANGED
Header set X-Session "%{BALANCER_SESSION_ROUTE}e" env=BALANCER_SESSION_ROUTE
ProxyPass /status !
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

is who($t, '/w/x', 9), 'b a b c b a b c b', 'byrequests: weights 1, 2.5, 1';
is who($t, '/w/x', 9), 'b a b c b a b c b', '... and again';
is figures($t, 'w')->{ $m{b}->url }{elected}, 10, 'elected';
is figures($t, 'w')->{ $m{b}->url }{status}, 'Init Ok', 'status';

my $client = $t->connect;
my %n;
$n{$_}++ for split ' ', who($t, '/w/x', 900, client => $client);
is_deeply \%n, { a => 200, b => 500, c => 200 }, 'exact over 900 requests';

# bytraffic: bytes count, not requests
%n = ();
$n{$_}++ for split ' ', who($t, '/traffic/', 60, client => $client);
cmp_ok $n{big}, '<=', 3, 'bytraffic: few for the one that answers at length';
my $traffic = figures($t, 'traffic');
like $traffic->{ $m{big}->url }{rcvd}, qr/^[1-9]\dK$/, '... which has sent most';

# mod_proxy takes a request for done only some time after the client has its response.
is join(' ', map { select undef, undef, undef, front eq 'mod_proxy' ? 0.05 : 0; who($t, '/busy/x', 1) } 1 .. 6), 'a b a a b a', 'bybusyness: as byrequests while none is busy';
only_ours {
    my $k = $t->connect;
    $k->send("GET /idle/silent HTTP/1.1\r\nHost: x\r\n\r\n");
    ok $m{a}->wait_for(sub { grep { $_->target eq '/silent' } $m{a}->requests }), '... while one is';
    is who($t, '/idle/x', 3), 'b b b', '... the one that is not, wherever it stands';
} 'it does not notice that the client of a silent member leaves';
is who($t, '/sets/x', 4), 'a b a b', 'the lowest lbset that has a member';
is who($t, '/drain/x', 3), 'b b b', 'none for drained, disabled and stopped ones';
is figures($t, 'drain')->{ $m{a}->url }{status}, 'Init Drn Ok', 'status: drained';
is figures($t, 'drain')->{ $m{c}->url }{status}, 'Init Dis', 'status: disabled';
is figures($t, 'drain')->{ $m{d}->url }{status}, 'Init Stop', 'status: stopped';
is who($t, '/spare/x', 4), 'a b a b', 'a spare for each one missing, beside the others';
is who($t, '/standby/x', 2), 'b b', 'a standby before the next lbset';
is who($t, '/empty/x', 1), '503', 'no members';

# path
my $r = $t->get('/pp/x%20y?q=1');
is $r->body, 'a /mods/alias/x%20y?q=1', 'paths of member and balancer are joined';
is $r->header('X-Name'), 'balancer://path', 'BALANCER_NAME';
is $r->header('X-Worker'), $m{a}->url . '/mods', 'BALANCER_WORKER_NAME';
is $r->header('X-Route'), 'r1', 'BALANCER_WORKER_ROUTE';
is $r->header('X-Changed'), undef, 'BALANCER_ROUTE_CHANGED is for stickysession';
is $r->header('X-Session'), undef, 'no BALANCER_SESSION_ROUTE';
is $t->get('/pp')->body, 'a /mods/alias', 'without a rest';
is $t->get('/re/y/z.x?q=2')->body, 'a /mods/re/y/z?q=2', 'ProxyPassMatch';
is $t->get('/loc/z')->body, 'a /mods/loc/z', 'ProxyPass in a Location';
is $t->get('/rw/z?q=3')->body, 'a /mods/z?q=3', '[P]';
like $t->get('/sh/z')->body, qr{^a /mods/}, 'SetHandler';
is $t->get('/slash/z')->body, 'a //z', 'a member that ends in a slash, as with mod_proxy';

# the way back
my $front = 'http://127.0.0.1:' . $t->port;
my $real  = $m{redirect}->url;
sub location { my ($path, $to) = @_; return $t->get("$path?to=$to")->header('Location') }
is location('/back/x', "$real/mods/alias/y"), "$front/back/y", 'reverse: the member\'s path and the balancer\'s';
is location('/back/x', "$real/mods/other/y"), "$real/mods/other/y", '... not another path';
is location('/back2/x', "$real/y"), "$front/back2/y", 'reverse: a member';
is location('/back2/x', 'http://other.example.test:81/y'), "$front/back2/y", '... any member, whoever answered';
is location('/back2/x', 'http://127.0.0.1:1/y'), 'http://127.0.0.1:1/y', '... nobody else';

$t->allow(qr/lint: .*ends in \//);
$t->claim(ours(qr/RP0115 .*route \/empty\//, mod_proxy => qr/AH01171/, ''), 'log: no members');
$t->finish;
done_testing;
