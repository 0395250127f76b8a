# SSLProxy* settings inside <Proxy>, which mod_ssl finishes when we run its hook for each section.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my ($cert, $key) = RevProxy->certificate('localhost', 'localhost');
my $t = RevProxy->new(modules => ['ssl'], docs => { 'x' => "over TLS\n" },
    files => { 'cert.pem' => slurp($cert), 'key.pem' => slurp($key) }, config => <<'EOT');
Listen 127.0.0.1:%%PORT:tls%% https
<VirtualHost 127.0.0.1:%%PORT:tls%%>
    # The server is its own backend: connections that are kept would delay its end.
    KeepAliveTimeout 1
    SSLEngine On
    SSLCertificateFile %%DIR%%/cert.pem
    SSLCertificateKeyFile %%DIR%%/key.pem
</VirtualHost>
ProxyPass /on/       https://localhost:%%PORT:tls%%/
ProxyPass /off/      https://127.0.0.1:%%PORT:tls%%/
<Proxy "https://localhost:%%PORT:tls%%/">
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile %%DIR%%/cert.pem
</Proxy>
<VirtualHost *:%%PORT%%>
    ServerName host.test
    ProxyPass /strict/ https://127.0.0.1:%%PORT:tls%%/
    <Proxy "https://127.0.0.1:%%PORT:tls%%/">
        SSLProxyEngine On
        SSLProxyVerify require
        SSLProxyCACertificateFile %%DIR%%/cert.pem
    </Proxy>
</VirtualHost>
<VirtualHost *:%%PORT%%>
    ServerName bare.test
</VirtualHost>
EOT

sub slurp {
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    return do { local $/; <$fh> };
}

sub ask { my ($path, $host) = @_; return $t->get($path, headers => [ Host => $host ]) }

for my $round (1, 2) {
    is ask('/on/x', 'bare.test')->body, "over TLS\n", "the section of the target, round $round";
    is ask('/on/x', 'host.test')->body, "over TLS\n", "... in another host";
    my $refused = ours(502, mod_proxy => 500, 'a fault of the backend is 502 here');
    is ask('/off/x', 'bare.test')->status, $refused, 'no section: no TLS';
    is ask('/strict/x', 'host.test')->status, $refused, 'the name in the certificate is another';
    $t->reload_graceful if $round == 1;
}

$t->allow(qr/AH0\d+|AH1\d+|lint: |RP010[45]/);
$t->finish;
done_testing;
