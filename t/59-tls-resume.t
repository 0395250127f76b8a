# A second connection to a TLS backend resumes the session of the first, where the backend allows it, and
# never over other trust settings, another name or client certificate.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes 'sleep';
use RevProxy;

plan skip_all => 'mod_proxy resumes no sessions' if front() eq 'mod_proxy';

# The backend is a second httpd that closes after each response. It tells what it saw of the handshake, and
# forgets sessions and ticket keys when it is restarted.
my $app = RevProxy::Backend->echo;
my ($cert, $key) = RevProxy->certificate('app.test', 'localhost', 'app.test', 'www.test', '127.0.0.1');
my ($client, $client_key) = RevProxy->certificate('client.test');

sub vhost {
    my ($name, @more) = @_;
    return join "\n", "Listen 127.0.0.1:%%PORT:$name%%", "<VirtualHost 127.0.0.1:%%PORT:$name%%>", 'SSLEngine on', "SSLCertificateFile $cert",
        "SSLCertificateKeyFile $key", @more, 'ProxyPass / %%URL:app%%/', "</VirtualHost>\n";
}

my $far = RevProxy->new(
    front     => 'mod_proxy',
    backends  => { app => $app },
    modules   => [qw(ssl headers socache_shmcb)],
    config    => join '', <<'EOT',
    KeepAlive Off
    SSLSessionCache shmcb:%%DIR%%/var/sessions(512000)
    RequestHeader set X-Session "expr=%{SSL_SESSION_RESUMED} %{SSL_PROTOCOL}"
EOT
    vhost('v12', 'SSLProtocol TLSv1.2'), vhost('v13', 'SSLProtocol TLSv1.3'),
    vhost('ids', 'SSLProtocol TLSv1.2', 'SSLSessionTickets off'),
    vhost('ask', 'SSLProtocol TLSv1.3', "SSLCACertificateFile $client", 'SSLVerifyClient require'));
my %port = map { $_ => $far->port_of($_) } qw(v12 v13 ids ask);
RevProxy::write_file($far->dir . '/var/both.pem', RevProxy::slurp($client) . RevProxy::slurp($client_key));
my $both = $far->dir . '/var/both.pem';

my $routes = join '', map {"ProxyPass /$_/ https://localhost:$port{$_}/\n"} qw(v12 v13 ids);
my $t = RevProxy->new(
    modules   => ['ssl'],
    one_child => 1,
    config    => <<EOT);
    LogFormat "%U %{tls}^rp" tls
    CustomLog %%DIR%%/var/tls.log tls
    SSLProxyEngine On
    SSLProxyVerify require
    SSLProxyCACertificateFile $cert
    $routes
    <Location /public/>
        ProxyPass https://localhost:$port{v13}/
        ProxyPreserveHost On
    </Location>
    ProxyPass /lax/ https://127.0.0.1:$port{v13}/
    <Proxy "https://127.0.0.1:$port{v13}/">
        SSLProxyVerify none
        SSLProxyCheckPeerName off
    </Proxy>
    ProxyPass /ask/ https://localhost:$port{ask}/
    <Proxy "https://localhost:$port{ask}/">
        SSLProxyMachineCertificateFile $both
    </Proxy>
    <Location /v13/full/>
        RevProxyTLSResume Off
    </Location>
    <VirtualHost *:%%PORT%%>
        ServerName first.test
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName other.test
        SSLProxyEngine On
        SSLProxyVerify optional_no_ca
        SSLProxyCACertificateFile $client
    </VirtualHost>
EOT

sub session {
    my ($path, $host) = @_;
    my $r = $t->get($path, headers => [ Host => $host // 'first.test' ]);
    return 'status ' . $r->status if $r->status != 200;
    my @all = $app->requests;
    return $all[-1]->header('X-Session');
}

for my $case ([ v12 => 'TLSv1.2', 'TLS 1.2, by ticket' ], [ ids => 'TLSv1.2', 'TLS 1.2, by session id' ], [ v13 => 'TLSv1.3', 'TLS 1.3' ]) {
    my ($name, $protocol, $what) = @$case;
    is session("/$name/x"), "Initial $protocol", "$what: the first handshake is a full one";
    is session("/$name/x"), "Resumed $protocol", "$what: the $_ is not" for qw(second third);
}
is session('/v13/full/x'), 'Initial TLSv1.3', 'RevProxyTLSResume Off: a full one';
is session('/v13/x'), 'Resumed TLSv1.3', 'and elsewhere still not';

# --- what must not be mixed ---

is session('/lax/x'), 'Initial TLSv1.3', 'other trust settings, in <Proxy>';
is session('/lax/x'), 'Resumed TLSv1.3', '... resume their own';
is session('/v13/x', 'other.test'), 'Initial TLSv1.3', 'other trust settings, in another virtual host';
is session('/v13/x'), 'Resumed TLSv1.3', '... and the first ones still resume theirs';
is session('/public/x', 'app.test'), 'Initial TLSv1.3', 'another name';
is session('/public/x', 'www.test'), 'Initial TLSv1.3', 'and another one';
is session('/public/x', 'app.test'), 'Resumed TLSv1.3', '... resume their own';
is session('/ask/x'), 'Initial TLSv1.3', 'with a client certificate';
is session('/ask/x'), 'Resumed TLSv1.3', '... which the session remembers';

# --- eight at once ---
SKIP: {
    skip 'one child of prefork serves one client at a time', 2 if mpm eq 'prefork';
    my @k = map { $t->connect } 1 .. 8;
    $_->send_request(path => '/v13/many?reply-delay=0.1', headers => [ Host => 'first.test' ]) for @k;
    is scalar(grep { $_->read_response->status == 200 } @k), 8, 'eight connections at once';
    my @seen = grep { $_->target =~ /many/ } $app->requests;
    is scalar(grep { $_->header('X-Session') =~ /Resumed/ } @seen), 8, 'all of them resume';
}

# --- a backend that has forgotten, and settings that have changed ---
$far->start_again;
is session('/v12/x'), 'Initial TLSv1.2', 'the backend has other keys: a full handshake, without an error';
is session('/v12/x'), 'Resumed TLSv1.2', 'and the new session is taken';
$t->reload_graceful;
is session('/v12/x'), 'Initial TLSv1.2', 'after a reload nothing is resumed, whatever has changed in the configuration';

my $log = RevProxy::slurp($t->dir . '/var/tls.log');
like $log, qr{^/v12/x new\n/v12/x resumed\n/v12/x resumed\n}, '%{tls}^rp in the access log';

$t->allow(qr{\[ssl:|lint:}, mpm eq 'prefork' ? qr{AH00161} : ());
$far->allow(qr/AH0\d{4}/);
$_->finish for $t, $far;
done_testing;
