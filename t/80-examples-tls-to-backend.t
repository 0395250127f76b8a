# conf-examples/09-tls-to-backend.conf with traffic: a backend whose certificate a private authority has signed.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use RevProxy;

my $dir = File::Temp::tempdir('rp-x-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $ec = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
RevProxy::write_file("$dir/leaf.ext", "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n");
for my $step (
    (map {"req -x509 $ec -days 30 -subj /CN=$_ -keyout $dir/$_.key -out $dir/$_.pem -addext basicConstraints=critical,CA:TRUE"} qw(private other)),
    "req -new $ec -subj /CN=localhost -keyout $dir/leaf.key -out $dir/leaf.csr",
    "x509 -req -in $dir/leaf.csr -CA $dir/private.pem -CAkey $dir/private.key -CAcreateserial -days 30 -extfile $dir/leaf.ext -out $dir/leaf.pem",
    )
{
    system("openssl $step >/dev/null 2>&1") == 0 or die "openssl $step failed\n";
}
chmod 0644, "$dir/leaf.key";

my $app = RevProxy::Backend->echo;
my $far = RevProxy->new(
    front    => 'mod_proxy',
    backends => { app => $app },
    modules  => [qw(ssl headers)],
    config   => <<EOT);
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        ServerName localhost
        SSLEngine on
        SSLCertificateFile $dir/leaf.pem
        SSLCertificateKeyFile $dir/leaf.key
        ProxyAddHeaders Off
        RequestHeader set X-Protocol "expr=%{SSL_PROTOCOL} %{SSL_TLS_SNI}"
        ProxyPass / %%URL:app%%/
    </VirtualHost>
EOT
my $port = $far->port_of('tls');

sub start {
    my ($ca) = @_;
    return RevProxy->new(
        modules => [ RevProxy->example_modules('09-tls-to-backend.conf') ],
        config  => RevProxy->example('09-tls-to-backend.conf', '*:80' => '*:%%PORT%%', 'backend.example.com:8443' => "localhost:$port",
            '/path/to/your/private-ca.pem' => "$dir/$ca.pem"));
}
sub seen { my @all = $app->requests; return $all[-1] }

my $t = start('private');
my @host = (headers => [ Host => 'yourdomain.com' ]);
is $t->get('/a/b?c=d', @host)->status, 200, 'the application answers';
is seen()->target, '/a/b?c=d', 'it got the request';
is seen()->header('X-Protocol'), 'TLSv1.3 localhost', '... over TLS, and was asked for by its name';
only_ours { is seen()->header('X-Forwarded-Proto'), 'http', 'it knows how the visitor came' } 'RevProxyForwarded';
my $r = $t->get("/x?reply-status=302&reply-header=Location:%20https://localhost:$port/login", @host);
is $r->header('Location'), 'http://yourdomain.com/login', 'redirects are mapped';
is $t->request(path => '/upload', @host, body => 'x' x 500_000)->status, 200, 'an upload';
is seen()->body_length, 500_000, '... arrives';
$t->finish;

$t = start('other');
is $t->get('/x', @host)->status, ours(502, mod_proxy => 500, 'a fault of the backend is 502 here'), 'another authority: refused';
only_ours {
    like RevProxy::slurp($t->dir . '/logs/yourapp_error.log'), qr{RP0104 .*certificate is of an unknown CA}, 'the log of the example says why';
} 'its lines are its own';
$t->finish;

$far->allow(qr/AH0\d{4}/);
$far->finish;
done_testing;
