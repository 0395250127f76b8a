# Members that speak TLS, beside plain ones and unix sockets: SSLProxy settings of the balancer's section count, and a
# handshake that fails is a member that fails.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m = RevProxy::Members->make(qw(plain));
$m{sock} = RevProxy::Backend->new(name => 'sock', unix => 1, answer => sub { RevProxy::Members::answer('sock', @_) });
$m{bare} = RevProxy::Backend->new(name => 'bare', handler => sub { $_[0]->send("220 hello, this is no TLS\r\n"); $_[0]->pause(0.2) });
my ($cert, $key) = RevProxy->certificate('127.0.0.1');
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm ssl headers status)], docs => { 'x.txt' => "from tls\n" },
    config => <<"HEAD" . <<'EOT');
Listen 127.0.0.1:%%PORT:tls%%
<VirtualHost 127.0.0.1:%%PORT:tls%%>
    ProxyPassInherit Off
    BalancerInherit Off
    SSLEngine On
    SSLCertificateFile $cert
    SSLCertificateKeyFile $key
    Header set X-Member tls
</VirtualHost>
<Proxy balancer://checked>
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile $cert
    BalancerMember https://127.0.0.1:%%PORT:tls%%
</Proxy>
HEAD
ProxyPass /checked/ balancer://checked/
<Proxy balancer://mixed>
    SSLProxyEngine On
    BalancerMember https://127.0.0.1:%%PORT:tls%%
    BalancerMember %%URL:plain%%
    BalancerMember %%URL:sock%%
</Proxy>
ProxyPass /mixed/ balancer://mixed/
<Proxy balancer://broken>
    SSLProxyEngine On
    BalancerMember https://127.0.0.1:%%PORT:bare%%
    BalancerMember https://127.0.0.1:%%PORT:tls%%
</Proxy>
ProxyPass /broken/ balancer://broken/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT

is who($t, '/checked/x.txt', 2), 'tls tls', 'a member with TLS, its certificate checked';
is $t->get('/checked/x.txt')->body, "from tls\n", '... answers';
is who($t, '/mixed/x.txt', 6), 'tls plain sock tls plain sock', 'TLS, plain and a unix socket in one balancer';
is who($t, '/mixed/x.txt', 6, client => $t->connect), 'tls plain sock tls plain sock', '... over one connection of the client';
only_ours {
    is who($t, '/broken/x.txt', 3), 'tls tls tls', 'a member that speaks no TLS';
    is figures($t, 'broken')->{ 'https://127.0.0.1:' . $m{bare}->port }{status}, 'Init Err', '... is in error';
    $t->claim(qr/RP0111 .*TLS handshake with backend failed/, 'log: it says why');
} 'a fault of the backend is 502 here';
$t->allow(qr/RP0104|AH\d{5}|SSL Library Error/);
$t->finish;
done_testing;
