# How the settings of the main server, virtual hosts and sections combine, and that options of one route
# never reach another.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
# Says a status, or a redirect, by its path.
my $port = RevProxy::Ports::reserve();
my $status = RevProxy::Backend->new(port => $port, answer => sub {
    my ($c, $r) = @_;
    my ($what) = $r->target =~ m{([^/]*)$};
    return $c->respond(302, [ Location => "http://127.0.0.1:$port/there" ], '') if $what eq 'redirect';
    return $c->respond($what, [], "backend $what\n");
});
# Answers after a second, so that a timeout tells which options a route has.
my $slow = RevProxy::Backend->new(sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    $c->pause(1.5);
    $c->respond(200, [], "late\n");
});

my $t = RevProxy->new(backends => { app => $app, status => $status, slow => $slow }, modules => ['headers'],
    config => <<'EOT');
ProxyVia On
ProxyPreserveHost On
ProxyErrorOverride On 404
ProxyPass        /main/ %%URL:app%%/main/
ProxyPass        /s/    %%URL:status%%/
ProxyPassReverse /outer/ %%URL:status%%/
<Location /s/inner/>
    ProxyErrorOverride On 500
    ProxyPassReverse %%URL:status%%/
</Location>
<Location /s/off/>
    ProxyErrorOverride Off
</Location>
<Location /main/target-host/>
    ProxyPreserveHost Off
</Location>
<Location /main/bare/>
    ProxyAddHeaders Off
</Location>
<Proxy "%%URL:app%%/main/sec">
    RequestHeader set X-Sec first
    ProxyPreserveHost Off
</Proxy>
<Proxy "%%URL:app%%/main/sec*">
    RequestHeader append X-Sec second
</Proxy>

# Options: each route its own, although the backend is one.
ProxyPass /impatient/ %%URL:slow%%/ timeout=500ms
ProxyPass /patient/   %%URL:slow%%/ timeout=10
ProxyPass /below/     %%URL:slow%%/impatient/
# By name they reach all routes to it.
ProxyPass /named/     %%URL:slow%%/named/
ProxySet %%URL:slow%%/named/ timeout=500ms
<Proxy "%%URL:slow%%/section/">
    ProxySet timeout=500ms
</Proxy>
ProxyPass /section/   %%URL:slow%%/section/
ProxyPass /override/  %%URL:slow%%/section/ timeout=10

<VirtualHost *>
    ServerName other.test
    ProxyVia Off
    ProxyPass /other/ %%URL:app%%/other/
    # The main server's rules come first, so this one is never used.
    ProxyPass /main/  %%URL:app%%/shadowed/
    <Proxy "%%URL:app%%/main/sec">
        RequestHeader append X-Sec host
    </Proxy>
    ProxyTimeout 500ms
    ProxyPass /quick/ %%URL:slow%%/
</VirtualHost>
<VirtualHost *>
    ServerName alone.test
    ProxyPassInherit Off
    ProxyPass /main/  %%URL:app%%/alone/
</VirtualHost>
<VirtualHost *>
    ServerName empty.test
</VirtualHost>
EOT

sub body { my ($path, $host) = @_; return $t->get($path, headers => [ Host => $host // 'default.test' ])->body }

# An unnamed main server is not reached once there are name-based hosts on its address, so the first host
# answers for other names; what the main server says is seen in a host without settings.
like body('/main/x', 'empty.test'), qr{^GET /main/x .*^Via: }ms, 'a host without settings has the main server\'s';
like body('/main/x', 'other.test'), qr{^GET /main/x }m, 'main rules come first';
unlike body('/main/x', 'other.test'), qr{^Via: }m, 'a host\'s own value counts';
like body('/other/x', 'other.test'), qr{^GET /other/x }m, 'then the host\'s rules';
is $t->get('/other/x', headers => [ Host => 'empty.test' ])->status, 404, '... which stay its own';
only_ours { like body('/main/x', 'alone.test'), qr{^GET /alone/x }m, 'ProxyPassInherit Off: without the main rules' }
'it does other than its manual says';
like body('/main/x', 'alone.test'), qr{^Via: }m, '... with the main settings';

like body('/main/x', 'empty.test'), qr{^Host: empty\.test\s*$}m, 'ProxyPreserveHost of the server';
like body('/main/target-host/x', 'empty.test'), qr{^Host: 127\.0\.0\.1:}m, '... Off in a Location';
like body('/main/bare/x', 'empty.test'), qr{\A(?!.*^X-Forwarded-For).*^Host: empty}ms, 'ProxyAddHeaders Off in a Location';

like body('/main/sec/x', 'empty.test'), qr{^X-Sec: first, second\s*$}m, '<Proxy> sections in their order';
like body('/main/sec/x', 'other.test'), qr{^X-Sec: first, second, host\s*$}m, '... the host\'s after the main server\'s';
like body('/main/sec/x', 'empty.test'), qr{^Host: 127\.0\.0\.1:}m, '... and over the server\'s settings';

sub own_page { return body(@_) !~ /^backend/ ? 1 : 0 }
is own_page('/s/404', 'empty.test'), 1, 'ProxyErrorOverride with a code';
is own_page('/s/500', 'empty.test'), 0, '... not for another';
is own_page('/s/inner/500', 'empty.test'), 1, 'codes inside';
is own_page('/s/inner/404', 'empty.test'), 1, '... are added to those outside';
is own_page('/s/inner/403', 'empty.test'), 0, '... and are no others';
is own_page('/s/off/404', 'empty.test'), 0, 'Off inside';

sub location { return $t->get($_[0], headers => [ Host => 'empty.test' ])->header('Location') }
like location('/s/redirect'), qr{^http://empty\.test(?::\d+)?/outer/there$}, 'ProxyPassReverse of the server';
like location('/s/inner/redirect'), qr{/outer/there$}, '... is asked before the Location\'s';

sub status { return $t->get($_[0], headers => [ Host => $_[1] // 'empty.test' ])->status }
only_ours {
    is status('/impatient/x'), 504, 'timeout=500ms of one route';
    is status('/patient/x'), 200, '... is not that of another route to the same URL';
    is status('/below/x'), 200, '... nor of one below it';
    is status('/named/x'), 504, 'ProxySet URL reaches the route';
    is status('/section/x'), 504, '<Proxy URL> reaches a later route';
    is status('/override/x'), 200, '... which may say otherwise';
    is status('/quick/x', 'other.test'), 504, 'ProxyTimeout of the host';
    $t->claim(qr/RP0302/, 'timeouts are logged', count => 4);
}
'it shares workers by the prefix of their URL, and reads units otherwise';

$t->allow(qr/lint: |AH01146/);
$t->finish;
done_testing;
