# conf-examples/02-tls-termination.conf with traffic: certificates with a chain, HTTPS in front, HTTP behind.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use RevProxy;

# root -> intermediate -> yourdomain.com
my $dir = File::Temp::tempdir('rp-x-XXXXXX', TMPDIR => 1, CLEANUP => 1);
RevProxy::write_file("$dir/ca.ext",   "basicConstraints=critical,CA:TRUE\n");
RevProxy::write_file("$dir/leaf.ext", "subjectAltName=DNS:yourdomain.com\nbasicConstraints=critical,CA:FALSE\n");
my @steps = (
    "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=root -keyout $dir/root.key -out $dir/root.pem -addext basicConstraints=critical,CA:TRUE",
    "req -new -newkey rsa:2048 -nodes -subj /CN=between -keyout $dir/between.key -out $dir/between.csr",
    "x509 -req -in $dir/between.csr -CA $dir/root.pem -CAkey $dir/root.key -CAcreateserial -days 30 -extfile $dir/ca.ext -out $dir/between.pem",
    "req -new -newkey rsa:2048 -nodes -subj /CN=yourdomain.com -keyout $dir/leaf.key -out $dir/leaf.csr",
    "x509 -req -in $dir/leaf.csr -CA $dir/between.pem -CAkey $dir/between.key -CAcreateserial -days 30 -extfile $dir/leaf.ext -out $dir/leaf.pem",
);
for my $step (@steps) { system("openssl $step >/dev/null 2>&1") == 0 or die "openssl $step failed\n" }

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [ RevProxy->example_modules('02-tls-termination.conf') ],
    config   => "Listen 127.0.0.1:%%PORT:tls%%\n" . RevProxy->example('02-tls-termination.conf',
        '*:443' => '*:%%PORT:tls%%', 8080 => '%%PORT:app%%', '/path/to/your/certificate.crt' => "$dir/leaf.pem",
        '/path/to/your/private.key' => "$dir/leaf.key", '/path/to/your/chain.pem' => "$dir/between.pem"),
);
my $port = $t->port_of('tls');
my @curl = ('--cacert', "$dir/root.pem", '--resolve', "yourdomain.com:$port:127.0.0.1");

sub seen { my @all = $app->requests; return $all[-1] }

my $r = $t->curl(@curl, "https://yourdomain.com:$port/x?y=1");
is $r->{exit}, 0, 'the certificate and its chain are good for a client that knows the root';
like $r->{out}, qr{^GET /x\?y=1 HTTP/1\.1$}m, 'the application answers';
is seen()->header('Host'), "yourdomain.com:$port", 'and sees the public Host';
is $t->curl('--resolve', "yourdomain.com:$port:127.0.0.1", "https://yourdomain.com:$port/x")->{exit}, 60, 'one that does not know it refuses';
is $t->curl(@curl, "http://127.0.0.1:$port/x", '-o', '/dev/null', '-w', '%{http_code}')->{out}, 400, 'plain HTTP there is refused';

# The application builds its links from Host, so they are public already; internal ones are mapped.
$r = $t->curl(@curl, '-i', "https://yourdomain.com:$port/x?reply-status=302&reply-header=Location:%20http://127.0.0.1:" . $app->port . '/login');
like $r->{out}, qr{^Location: https://yourdomain\.com:$port/login\r$}m, 'a redirect';
my $file = "$dir/large";
RevProxy::write_file($file, RevProxy::Backend::pattern(1_500_000));
$r = $t->curl(@curl, '-T', $file, "https://yourdomain.com:$port/upload");
like $r->{out}, qr/^body-length: 1500000$/m, 'a large upload';
is length $t->curl(@curl, "https://yourdomain.com:$port/x?reply-size=1500000")->{out}, 1500000, 'a large download';
$app->stop;
is $t->curl(@curl, "https://yourdomain.com:$port/x", '-o', '/dev/null', '-w', '%{http_code}')->{out}, 503, 'without the application: 503';
$t->claim_fault('RP0102', route => '/', phase => 'connecting', count => 1);
$t->allow(qr/AH02008|AH02007|AH01914/);    # what curl refused

$t->finish;
done_testing;
