# Sessions that stick to a member: where their ids are found, what belongs to a route, redirects, what the
# environment says; and the cookie of our own.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m = RevProxy::Members->make(qw(r1 r2 dr dis st));
my ($cert, $key) = RevProxy->certificate('127.0.0.1');

my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status headers ssl)],
    config => <<"HEAD" . <<'EOT');
Listen 127.0.0.1:%%PORT:tls%%
<VirtualHost 127.0.0.1:%%PORT:tls%%>
    SSLEngine On
    SSLCertificateFile $cert
    SSLCertificateKeyFile $key
</VirtualHost>
HEAD
<Proxy balancer://s>
    BalancerMember %%URL:r1%%  route=r1
    BalancerMember %%URL:r2%%  route=r2
    BalancerMember %%URL:dr%%  route=dr status=+N
    BalancerMember %%URL:dis%% route=dis status=+D redirect=r2
    BalancerMember %%URL:st%%  route=st status=+H
    BalancerMember http://127.0.0.1:%%PORT:dead%% route=dead lbset=1 retry=30
    ProxySet stickysession=SID|sid
</Proxy>
ProxyPass /s balancer://s
<Proxy balancer://colon>
    BalancerMember %%URL:r1%% route=r1
    BalancerMember %%URL:r2%% route=r2
</Proxy>
ProxyPass /colon balancer://colon stickysession=SID|sid scolonpathdelim=On
<Proxy balancer://sep>
    BalancerMember %%URL:r1%% route=r1
    BalancerMember %%URL:r2%% route=r2
    ProxySet stickysession=SID stickysessionsep=Off
</Proxy>
ProxyPass /sep balancer://sep
<Proxy balancer://bang>
    BalancerMember %%URL:r1%% route=r1
    BalancerMember %%URL:r2%% route=r2
    ProxySet stickysession=SID stickysessionsep=!
</Proxy>
ProxyPass /bang balancer://bang
<Proxy balancer://force>
    BalancerMember %%URL:r1%%  route=r1
    BalancerMember %%URL:dis%% route=dis status=+D
    ProxySet stickysession=SID nofailover=On
</Proxy>
ProxyPass /force balancer://force
# the manual's recipe
<Proxy "balancer://st">
    BalancerMember %%URL:r1%% route=1
    BalancerMember %%URL:r2%% route=2
    ProxySet stickysession=ROUTEID
</Proxy>
ProxyPass "/st" "balancer://st"
<Location /st>
    Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED
</Location>
<IfModule mod_revproxy.c>
<Proxy "balancer://own">
    BalancerMember %%URL:r1%%
    BalancerMember %%URL:r2%%
    RevProxySet stickycookie=NODE
</Proxy>
ProxyPass /own balancer://own
<Proxy "balancer://told">
    BalancerMember %%URL:r1%%
    BalancerMember %%URL:r2%%
    RevProxySet stickycookie=NODE "stickysecret=a text that two front ends have in common"
</Proxy>
ProxyPass /told balancer://told
<Proxy "balancer://to">
    BalancerMember %%URL:r1%%
    BalancerMember %%URL:r2%% route=two
    BalancerMember %%URL:dis%% redirect=two
    RevProxySet stickycookie=NODE
</Proxy>
ProxyPass /to balancer://to
</IfModule>
Header set X-Name    "%{BALANCER_NAME}e"
Header set X-Route   "%{BALANCER_WORKER_ROUTE}e"
Header set X-Changed "%{BALANCER_ROUTE_CHANGED}e" env=BALANCER_ROUTE_CHANGED
Header set X-Session "%{BALANCER_SESSION_ROUTE}e" env=BALANCER_SESSION_ROUTE
Header set X-Sticky  "%{BALANCER_SESSION_STICKY}e" env=BALANCER_SESSION_STICKY
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

sub ask {
    my ($path, $cookie) = @_;
    return $t->get($path, headers => [ defined $cookie ? (Cookie => $cookie) : () ]);
}

# Twice, because of two that are balanced one would go to the other member.
sub sticks {
    my ($path, $cookie, $member, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @got = map { ask($path, $cookie)->header('X-Member') } 1 .. 2;
    is "@got", "$member $member", $name // "$path" . (defined $cookie ? " Cookie: $cookie" : '') . " sticks to $member";
    return;
}

# Balanced, and the environment says so.
sub misses {
    my ($path, $cookie, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is ask($path, $cookie)->header('X-Changed'), '1', $name // "$path" . (defined $cookie ? " Cookie: $cookie" : '') . ' is balanced';
    return;
}

sticks '/s/x', 'SID=abc.r2', 'r2';
sticks '/s/x', 'SID=abc.r1', 'r1';
sticks '/s/x', 'a=b; SID=abc.r2; c=d', 'r2';
sticks '/s/x', 'a=b,SID=abc.r2,c=d', 'r2';
sticks '/s/x', 'XSID=abc.r1; SID=abc.r2', 'r2';
sticks '/s/x', 'SID = abc.r2', 'r2';
misses '/s/x', 'SID=abc.x.r2', 'the route is behind the first separator';
misses '/s/x', 'SID=r2', 'no separator, no route';
misses '/s/x', 'SID="abc.r2"', 'quotes are kept';
misses '/s/x', 'sid=abc.r2', 'the cookie\'s name counts letter by letter';
misses '/s/x', 'SID=abc.', 'an empty route';
misses '/s/x', 'SID=abc.R2', 'routes count letter by letter';
sticks '/s/x', 'SID=abc.dr', 'dr', 'a draining member serves its sessions';
sticks '/s/x', 'SID=abc.st', 'st', 'a standby, too';
sticks '/s/x', 'SID=abc.dis', 'r2', 'redirect of a disabled one';

sticks '/s/x?sid=q.r2', 'SID=a.r1', 'r2';
sticks '/s/x?xsid=q.r2', undef, 'r2', 'the parameter\'s name is not anchored';
sticks '/s/x;sid=q.r2', undef, 'r2';
misses '/s/x;sid=q.r2;f=b', undef, '; does not end the value';
misses '/s/x;sid=q.r2/y', undef, '/ does not, either';
sticks '/colon/x;sid=q.r2;f=b', undef, 'r2', 'scolonpathdelim=On: ; does';
sticks '/colon/x;sid=q.r2?a=b', undef, 'r2';
misses '/s/x?SID=q.r2', undef, 'the cookie\'s name is not the parameter\'s';
sticks '/sep/x', 'SID=r2', 'r2', 'stickysessionsep=Off: the id is the route';
sticks '/bang/x', 'SID=a.b!r2', 'r2', 'another separator';

# what the environment says
my $r = ask('/s/x', 'SID=abc.r2');
is $r->header('X-Name'), 'balancer://s', 'BALANCER_NAME';
is $r->header('X-Route'), 'r2', 'BALANCER_WORKER_ROUTE';
is $r->header('X-Session'), 'r2', 'BALANCER_SESSION_ROUTE';
is $r->header('X-Sticky'), 'SID', 'BALANCER_SESSION_STICKY';
is $r->header('X-Changed'), undef, 'no BALANCER_ROUTE_CHANGED';
is ask('/s/x?sid=q.r2')->header('X-Sticky'), 'sid', 'BALANCER_SESSION_STICKY: the parameter';
is ask('/s/x')->header('X-Changed'), '1', 'BALANCER_ROUTE_CHANGED for a new client';
is ask('/s/x')->header('X-Session'), undef, '... which has no session';
is ask('/s/x', 'SID=abc.unknown')->header('X-Changed'), '1', 'BALANCER_ROUTE_CHANGED for an unknown route';
is ask('/s/x', 'SID=abc.unknown')->header('X-Session'), 'unknown', '... which is named';
is ask('/s/x', 'SID=abc.dis')->header('X-Changed'), '1', 'BALANCER_ROUTE_CHANGED after a redirect';
is ask('/s/x', 'SID=abc.')->header('X-Session'), '', 'an empty route is a route for the environment';

# a session's member that is dead
$t->allow(qr/RP0111|AH\d{5}/);
$r = ask('/s/x', 'SID=abc.dead');
is $r->status, 200, 'a dead member\'s session moves on';
is $r->header('X-Changed'), '1', '... and the change is noted';

# nofailover
sticks '/force/x', 'SID=abc.r1', 'r1', 'nofailover: the member';
$r = ask('/force/x', 'SID=abc.dis');
is $r->status, 503, '... or none';
is ask('/force/x', 'SID=abc.unknown')->status, 200, '... but an unknown route is balanced';
$t->claim(ours(qr/RP0116 .*balancer:\/\/force|RP0116 .*route \/force/, mod_proxy => qr/AH01167/, ''), 'log: session without its member');

# the manual's recipe
my $first = ask('/st/x');
my ($cookie) = $first->header('Set-Cookie') =~ /^(ROUTEID=\.[12]); path=\/$/;
ok $cookie, 'a cookie from the manual\'s recipe' or diag $first->header('Set-Cookie');
sticks '/st/x', $cookie, $first->header('X-Member'), '... leads back';
is ask('/st/x', $cookie)->header('Set-Cookie'), undef, '... and is not set again';

# our own cookie
only_ours {
    $first = ask('/own/x');
    ($cookie, my $rest) = ($first->header('Set-Cookie') // '') =~ /^(NODE=[0-9a-f]{32})(; .*)$/;
    is $rest, '; Path=/; HttpOnly; SameSite=Lax', 'stickycookie=';
    sticks '/own/x', $cookie, $first->header('X-Member'), '... leads back';
    is ask('/own/x', $cookie)->header('Set-Cookie'), undef, '... and is not set again';
    misses '/own/x', 'NODE=' . '0' x 32, 'one that we did not make says nothing';
    my ($forged) = $cookie =~ /^(.*)..$/;
    misses '/own/x', "${forged}xx", '... nor one that was changed';
    is ask('/own/x', 'NODE=1')->header('X-Changed'), '1', 'BALANCER_ROUTE_CHANGED, too';
    like $t->curl('-k', '-i', 'https://127.0.0.1:' . $t->port_of('tls') . '/own/x')->{out},
        qr/^Set-Cookie: NODE=[0-9a-f]{32}; Path=\/; HttpOnly; SameSite=Lax; Secure\r$/m, 'Secure on TLS';
    my %told = map { my $r = ask('/told/x'); ($r->header('X-Member') => $r->header('Set-Cookie')) } 1 .. 2;
    isnt $told{r1}, $told{r2}, 'one value for each member';
    isnt substr($cookie, 5), (split /[=;]/, $told{ $first->header('X-Member') })[1], '... of each balancer';
    my %to = map { my $r = ask('/to/x'); ($r->header('X-Member') => $r->header('Set-Cookie') =~ s/;.*//r) } 1 .. 3;
    sticks '/to/x', $to{dis}, 'dis', 'a member with redirect=';
    $t->set_config($t->{config} =~ s/(dis%% redirect=two)/$1 status=+D/r);
    $t->reload_graceful;
    sticks '/to/x', $to{dis}, 'r2', '... that is disabled now';
    $r = ask('/to/x', $to{dis});
    is $r->header('X-Changed'), '1', '... which the environment says';
    is $r->header('Set-Cookie') =~ s/;.*//r, $to{r2}, '... and the session is the other\'s from now on';
    sticks '/own/x', $cookie, $first->header('X-Member'), '... leads back after a graceful restart';
    $t->start_again;
    sticks '/own/x', $cookie, $first->header('X-Member'), '... and after a stop and start';
    sticks '/told/x', (split /;/, $told{r2})[0], 'r2', 'stickysecret=, too';
} 'it has none';

$t->finish;
done_testing;
