# What is wrong with a TLS backend stands in our own log line: which check failed, or which step. Client
# certificates.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Authority;
use RevProxy::WebSocket;

plan skip_all => 'log lines are this module\'s own' if front() eq 'mod_proxy';

# --- an authority, another one, and certificates of all kinds ---

my $pki = RevProxy::Authority->new;
my $dir = $pki->dir;
$pki->ca($_) for qw(ca stranger);
$pki->cert('good',    by => 'ca',       alt => 'DNS:localhost');
$pki->cert('named',   by => 'ca',       alt => 'DNS:app.test,DNS:www.test');
$pki->cert('expired', by => 'ca',       alt => 'DNS:localhost', days => -1);
$pki->cert('unknown', by => 'stranger', alt => 'DNS:localhost');
$pki->cert('client',  by => 'ca',       alt => 'DNS:client.test');
$pki->bundle('client-both.pem', 'client.pem', 'client.key');
my ($self) = RevProxy->certificate('self.test', 'localhost');

my $app = RevProxy::Backend->echo;

sub vhost {
    my ($name, $cert, @more) = @_;
    my ($file, $key) = -e "$dir/$cert.pem" ? ("$dir/$cert.pem", "$dir/$cert.key") : ($cert, $cert =~ s/crt$/key/r);
    return join "\n", map({"Listen $_:%%PORT:$name%%"} '127.0.0.1', '127.0.0.2'), "<VirtualHost *:%%PORT:$name%%>", 'SSLEngine on',
        "SSLCertificateFile $file", "SSLCertificateKeyFile $key", 'ProxyPass / %%URL:app%%/', @more, "</VirtualHost>\n";
}

my @ask = ("SSLCACertificateFile $dir/ca.pem", 'SSLVerifyClient require');
my $far = RevProxy->new(
    front    => 'mod_proxy',
    backends => { app => $app },
    modules  => [qw(ssl headers)],
    config   => join '', "RequestHeader set X-Client-CN \"expr=%{SSL_CLIENT_S_DN_CN}\"\n",
    vhost('good', 'good'), vhost('named', 'named'), vhost('expired', 'expired'), vhost('unknown', 'unknown'), vhost('self', $self),
    vhost('old', 'good', 'SSLProtocol TLSv1.2', 'SSLCipherSuite AES128-SHA256:ECDHE-ECDSA-AES128-SHA256'),
    vhost('ask12', 'good', 'SSLProtocol TLSv1.2', @ask), vhost('ask13', 'good', 'SSLProtocol TLSv1.3', @ask),
);
my %port  = map { $_ => $far->port_of($_) } qw(good named expired unknown self old ask12 ask13);
my $clear = RevProxy::Backend->new(name => 'clear', handler => sub { $_[0]->send("HTTP/1.0 400 Bad Request\r\n\r\n") });
my $shut  = RevProxy::Backend->new(name => 'shut', handler => sub { });

my $routes = join '', map {"ProxyPass /$_/ https://localhost:$port{$_}/\n"} sort keys %port;
my $t = RevProxy->new(
    backends => { clear => $clear, shut => $shut },
    modules  => [qw(ssl slotmem_shm)],
    config   => <<EOT);
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile $dir/ca.pem
    $routes
    ProxyPass /clear/ https://localhost:%%PORT:clear%%/
    ProxyPass /shut/  https://localhost:%%PORT:shut%%/
    ProxyPass /modern/ https://127.0.0.1:$port{old}/
    <Proxy "https://127.0.0.1:$port{old}/">
        SSLProxyProtocol TLSv1.3
    </Proxy>
    ProxyPass /cipher/ https://127.0.0.2:$port{old}/
    <Proxy "https://127.0.0.2:$port{old}/">
        SSLProxyCheckPeerName off
        SSLProxyCipherSuite AES256-GCM-SHA384
    </Proxy>
    ProxyPass /wss/ wss://localhost:$port{unknown}/
    <Proxy balancer://sockets>
        BalancerMember wss://localhost:$port{self}
    </Proxy>
    ProxyPass /sockets/ balancer://sockets/
    ProxyPass /lax/ https://127.0.0.1:$port{expired}/
    <Proxy "https://127.0.0.1:$port{expired}/">
        SSLProxyVerify none
        SSLProxyCheckPeerName off
    </Proxy>
    <Proxy balancer://mixed>
        BalancerMember https://localhost:$port{unknown} retry=60
        BalancerMember https://localhost:$port{good}
    </Proxy>
    ProxyPass /mixed/ balancer://mixed/

    Listen 127.0.0.1:%%PORT:known%%
    <VirtualHost 127.0.0.1:%%PORT:known%%>
        ProxyPassInherit Off
        SSLProxyEngine On
        SSLProxyVerify require
        SSLProxyCACertificateFile $dir/ca.pem
        ProxyPass /ask12/ https://localhost:$port{ask12}/
        ProxyPass /ask13/ https://localhost:$port{ask13}/
        <ProxyMatch "^https://localhost:($port{ask12}|$port{ask13})/">
            SSLProxyMachineCertificateFile $dir/client-both.pem
        </ProxyMatch>
    </VirtualHost>
EOT

sub seen { my @all = $app->requests; return $all[-1] }

is $t->get('/good/x')->status, 200, 'a certificate of our authority for this name';

my @bad = (
    [ 'expired', qr/certificate is expired: certificate has expired$/ ],
    [ 'unknown', qr/certificate is of an unknown CA: unable to get local issuer certificate$/ ],
    [ 'self',    qr/certificate is self-signed: self.signed certificate$/ ],
    [ 'named',   qr/certificate is for app\.test, www\.test, not for localhost$/ ],
    [ 'clear',   qr/wrong version number \(what came is not TLS\)$/ ],
    [ 'shut',    qr/backend closed the connection in the handshake$|Connection reset/ ],
    [ 'modern',  qr/backend sent the alert "protocol version"$/ ],
    [ 'cipher',  qr/backend sent the alert "handshake failure"$/ ],
    [ 'lax',     qr/certificate expired on \w{3} +\d+ [\d:]+ \d+ GMT, and is for localhost, not for 127\.0\.0\.1$/ ],
    [ 'ask12',   qr/backend sent the alert "handshake failure"$/ ],
);
for my $row (@bad) {
    my ($name, $words) = @$row;
    my $before = () = $app->requests;
    is $t->get("/$name/x")->status, 502, "$name: 502";
    is scalar(my @now = $app->requests), $before, "$name: nothing is sent";
    $t->claim_fault('RP0104', route => "/$name/", phase => 'connecting', count => 1, detail => $words);
}

# TLS 1.3: the handshake is over when the backend looks for our certificate.
is $t->get('/ask13/x')->status, 502, 'no client certificate, TLS 1.3: 502';
$t->claim(qr/RP030[13] .*route \/ask13\/ .*backend sent the TLS alert "certificate required"/, 'the alert is named');

is $t->get("/$_/x", to => 'known')->status, 200, "$_ with a client certificate" for qw(ask12 ask13);
is seen()->header('X-Client-CN'), 'client', 'which the backend sees';

# A WebSocket's handshake gets the same answer.
for my $row ([ wss => 'of an unknown CA: unable to get local issuer certificate' ], [ sockets => 'self-signed: self.signed certificate' ]) {
    my ($name, $words) = @$row;
    my ($k, $r) = RevProxy::WebSocket->ask($t, "/$name/x");
    is $r->status, 502, "$name: a WebSocket gets 502";
    $t->claim(qr/RP0104 .*route \/$name\/ .*certificate is $words$/, "$name: the log says why");
}

is $t->get('/mixed/x')->status, 200, 'of two members, one with a bad certificate: the other one answers' for 1, 2;
$t->allow(qr/RP0104 .*\/mixed\/|RP0111/);

$t->claim(qr/AH02(?:039|276|411|004)/, 'mod_ssl has lines of its own');
$t->allow(qr/\[ssl:/);
$far->allow(qr/AH0\d{4}/);
$_->finish for $t, $far;
done_testing;
