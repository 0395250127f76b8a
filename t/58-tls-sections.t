# Every SSLProxy directive counts inside <Proxy> for its target: of two sections that differ in this directive alone, one
# reaches the backend and the other gets 502, and the log says which check failed.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Authority;

plan skip_all => 'log lines are this module\'s own' if front() eq 'mod_proxy';

my $pki = RevProxy::Authority->new;
my $dir = $pki->dir;
$pki->ca($_) for qw(ca stranger);
$pki->ca('inter', by => 'ca');
$pki->cert('good',     by => 'ca',       alt => 'DNS:localhost');
$pki->cert('revoked',  by => 'ca',       alt => 'DNS:localhost');
$pki->cert('named',    by => 'ca',       alt => 'DNS:app.test');
$pki->cert('localhost', by => 'ca',      alt => 'DNS:app.test');
$pki->cert('expired',  by => 'ca',       alt => 'DNS:localhost', days => -1);
$pki->cert('unknown',  by => 'stranger', alt => 'DNS:localhost');
$pki->cert('deep',     by => 'inter',    alt => 'DNS:localhost');
$pki->cert('client',   by => 'ca',       alt => 'DNS:client.test');
$pki->cert('foreign',  by => 'stranger', alt => 'DNS:client.test');
$pki->cert('below',    by => 'inter',    alt => 'DNS:client.test');
$pki->bundle('deep.pem', 'deep.pem', 'inter.pem');
$pki->bundle("$_-both.pem", "$_.pem", "$_.key") for qw(client foreign below);
$pki->bundle('chain.pem', 'inter.pem', 'ca.pem');
$pki->crl('none', by => 'ca');
$pki->crl('some', by => 'ca', revoked => ['revoked']);
$pki->crl('old',  by => 'ca', next => '20200201000000Z');
$pki->hashed('ca-path',       'ca.pem');
$pki->hashed('stranger-path', 'stranger.pem');
$pki->hashed('none-path',     'none.crl');
$pki->hashed('some-path',     'some.crl');
$pki->hashed('client-path',   'client-both.pem');
$pki->hashed('foreign-path',  'foreign-both.pem');

# --- the backends: one TLS server each ---

my %server = (
    (map { $_ => [$_] } qw(good revoked named localhost expired unknown deep)),
    old => [ 'good', 'SSLProtocol TLSv1.2', 'SSLCipherSuite ECDHE-ECDSA-AES128-SHA256' ],
    new => [ 'good', 'SSLProtocol TLSv1.3', 'SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256' ],
    ask => [ 'good', 'SSLProtocol TLSv1.2', "SSLCACertificateFile $dir/ca.pem", 'SSLVerifyClient require', 'SSLVerifyDepth 2' ],
);

sub vhost {
    my ($name) = @_;
    my ($cert, @more) = @{ $server{$name} };
    return join "\n", "Listen 127.0.0.1:%%PORT:$name%%", "<VirtualHost 127.0.0.1:%%PORT:$name%%>", 'SSLEngine on',
        "SSLCertificateFile $dir/$cert.pem", "SSLCertificateKeyFile $dir/$cert.key", 'ProxyPass / %%URL:app%%/', @more, "</VirtualHost>\n";
}

my $app = RevProxy::Backend->echo;
# Under the event MPM in any case: kept connections, one a route, are not to hold its threads.
my $far = RevProxy->new(front => 'mod_proxy', mpm => 'event', backends => { app => $app }, modules => ['ssl'],
    config => join '', map { vhost($_) } sort keys %server);

# --- [ backend, what both sections say, the directive that lets it pass, the one that does not (undef: none), words of the log ] ---

my @ROWS = (
    [ old     => '', 'SSLProxyProtocol TLSv1.2', 'SSLProxyProtocol TLSv1.3', qr/backend sent the alert "protocol version"$/ ],
    [ old     => '', 'SSLProxyCipherSuite ECDHE-ECDSA-AES128-SHA256', 'SSLProxyCipherSuite ECDHE-ECDSA-AES256-GCM-SHA384',
        qr/backend sent the alert "handshake failure"$/ ],
    [ new     => '', 'SSLProxyCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256', 'SSLProxyCipherSuite TLSv1.3 TLS_AES_256_GCM_SHA384',
        qr/backend sent the alert "handshake failure"$/ ],
    [ unknown => '', 'SSLProxyVerify none', undef, qr/certificate is of an unknown CA: unable to get local issuer certificate$/ ],
    [ deep    => '', 'SSLProxyVerifyDepth 2', 'SSLProxyVerifyDepth 1', qr/certificate is deeper than SSLProxyVerifyDepth allows: certificate chain too long$/ ],
    [ unknown => '', "SSLProxyCACertificateFile $dir/stranger.pem", "SSLProxyCACertificateFile $dir/ca.pem", qr/certificate is of an unknown CA: / ],
    [ unknown => '', "SSLProxyCACertificatePath $dir/stranger-path", "SSLProxyCACertificatePath $dir/ca-path", qr/certificate is of an unknown CA: / ],
    [ revoked => 'SSLProxyCARevocationCheck leaf', "SSLProxyCARevocationFile $dir/none.crl", "SSLProxyCARevocationFile $dir/some.crl",
        qr/certificate is revoked: certificate revoked$/ ],
    [ revoked => 'SSLProxyCARevocationCheck leaf', "SSLProxyCARevocationPath $dir/none-path", "SSLProxyCARevocationPath $dir/some-path",
        qr/certificate is revoked: certificate revoked$/ ],
    [ revoked => "SSLProxyCARevocationFile $dir/some.crl", 'SSLProxyCARevocationCheck none', 'SSLProxyCARevocationCheck leaf', qr/certificate is revoked: / ],
    [ good    => 'SSLProxyCARevocationCheck leaf', "SSLProxyCARevocationFile $dir/none.crl", "SSLProxyCARevocationFile $dir/old.crl",
        qr/certificate is not accepted: CRL has expired$/ ],
    [ expired => 'SSLProxyVerify none', 'SSLProxyCheckPeerExpire off', 'SSLProxyCheckPeerExpire on', qr/certificate expired on [\w :]+ GMT$/ ],
    [ named   => '', 'SSLProxyCheckPeerName off', 'SSLProxyCheckPeerName on', qr/certificate is for app\.test, not for localhost$/ ],
    [ named   => '', 'SSLProxyCheckPeerCN off', 'SSLProxyCheckPeerCN on', qr/certificate is for app\.test, not for localhost$/ ],
    [ good    => 'SSLProxyCheckPeerName off', 'SSLProxyCheckPeerCN off', 'SSLProxyCheckPeerCN on',
        qr/certificate has the CN good, not localhost \(SSLProxyCheckPeerCN\)$/ ],
    [ ask     => '', "SSLProxyMachineCertificateFile $dir/client-both.pem", "SSLProxyMachineCertificateFile $dir/foreign-both.pem",
        qr/backend sent the alert "handshake failure"$/ ],
    [ ask     => '', "SSLProxyMachineCertificatePath $dir/client-path", "SSLProxyMachineCertificatePath $dir/foreign-path",
        qr/backend sent the alert "handshake failure"$/ ],
    # The backend names the authority it trusts, and ours is below that: only the chain tells that it fits.
    [ ask     => "SSLProxyMachineCertificateFile $dir/below-both.pem", "SSLProxyMachineCertificateChainFile $dir/chain.pem", undef,
        qr/backend sent the alert "handshake failure"$/ ],
    [ good    => '', 'SSLProxyEngine On', 'SSLProxyEngine Off', undef ],
);

sub route {
    my ($path, $port, @lines) = @_;
    return join "\n", "ProxyPass /$path/ https://localhost:$port/$path/", "<Proxy \"https://localhost:$port/$path/\">",
        (grep {defined} @lines), "</Proxy>\n";
}

my $routes = '';
for my $i (0 .. $#ROWS) {
    my ($server, $both, $pass, $fail) = @{ $ROWS[$i] };
    $routes .= route("pass$i", $far->port_of($server), $both, $pass) . route("fail$i", $far->port_of($server), $both, $fail);
}
# The CN fits, and the names, which a certificate has first, do not.
$routes .= route('cn', $far->port_of('localhost'), 'SSLProxyCheckPeerName off', 'SSLProxyCheckPeerCN on');
my $t = RevProxy->new(modules => ['ssl'], config => <<EOT);
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile $dir/ca.pem
    $routes
EOT

for my $i (0 .. $#ROWS) {
    my ($server, $both, $pass, $fail, $words) = @{ $ROWS[$i] };
    my $where = " to $server" . ($both ? ", with $both" : '');
    s/\Q$dir\E\///g for grep {defined} $where, $pass, $fail;
    $fail //= "no $1" if $pass =~ /^(\w+)/;
    # The other way round, too: a connection that is open, or a session, of the one is not for the other.
    is $t->get("/pass$i/x")->status, 200, "$pass$where";
    is $t->get("/fail$i/x")->status, 502, "$fail$where";
    is $t->get("/pass$i/x")->status, 200, "$pass, once more";
    $t->claim_fault($words ? 'RP0104' : 'RP0105', route => "/fail$i/", phase => 'connecting', count => 1, $words ? (detail => $words) : ());
}

is $t->get('/cn/x')->status, 200, 'SSLProxyCheckPeerCN on to a backend with this CN';

$t->allow(qr/\[ssl:|AH0\d{4}|lint: /);
$far->allow(qr/AH0\d{4}/);
$_->finish for $t, $far;
done_testing;
