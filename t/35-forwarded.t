# RevProxyForwarded: X-Forwarded-Proto, X-Forwarded-Port and Forwarded (RFC 7239), which no client can set,
# add to or remove, whatever way a request takes.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Socket::IP;
use RevProxy;
use RevProxy::Regress;

plan skip_all => 'mod_proxy has no such directive' if front() eq 'mod_proxy';

# --- the configuration ---

for my $case (
    [ 'RevProxyForwarded prot',                 qr/'prot' is none of .*did you mean 'proto'\?/ ],
    [ 'RevProxyForwarded replace',              qr/says no field: write some of proto/ ],
    [ 'RevProxyForwarded proto by',             qr/parts of Forwarded: add forwarded/ ],
    [ 'RevProxyForwarded forwarded by=edge',    qr/'by=edge' is no name.*write for example by=_edge1/ ],
    [ 'RevProxyForwarded forwarded for=_a"',    qr/is no name/ ],
    [ 'RevProxyForwarded proto append replace', qr/replace or append, once/ ],
    [ 'RevProxyForwarded proto off',            qr/off stands alone/ ],
    )
{
    my ($line, $words) = @$case;
    my ($ok, $output) = RevProxy->configtest(config => "$line\n");
    ok !$ok && $output =~ $words, "refused: $line" or diag $output;
}

# --- traffic ---

my ($cert, $key) = RevProxy->certificate('www.test');
my $has_v6 = IO::Socket::IP->new(Listen => 1, LocalHost => '::1', LocalPort => 0);
my $listen_v6 = $has_v6 ? 'Listen [::1]:%%PORT:v6%%' : '';
my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [ qw(ssl rewrite slotmem_shm), mpm eq 'prefork' ? () : 'http2' ],
    config   => <<EOT);
    RevProxyForwarded proto port forwarded
    ProxyPass /off/ %%URL:app%%/
    <Location /off/>
        RevProxyForwarded off
    </Location>
    ProxyPass /append/ %%URL:app%%/
    <Location /append/>
        RevProxyForwarded proto forwarded append
    </Location>
    ProxyPass /named/ %%URL:app%%/
    <Location /named/>
        RevProxyForwarded forwarded by=_edge1 for=_hidden
    </Location>
    ProxyPass /by/ %%URL:app%%/
    <Location /by/>
        RevProxyForwarded forwarded by
    </Location>
    <Proxy balancer://pool>
        BalancerMember %%URL:app%%
    </Proxy>
    ProxyPass /pool/ balancer://pool/
    RewriteEngine On
    RewriteRule ^/rewritten/(.*) %%URL:app%%/\$1 [P]
    ProxyPass / %%URL:app%%/
    $listen_v6
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        ServerName www.test
        SSLEngine On
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        <IfModule http2_module>
            Protocols h2 http/1.1
        </IfModule>
    </VirtualHost>
EOT
my ($port, $tls) = ($t->port, $t->port_of('tls'));

sub seen { my @all = $app->requests; return $all[-1] }

# What the backend got: Forwarded, proto, port.
sub told {
    my ($path, @headers) = @_;
    $t->get($path, headers => [ Host => 'www.test', @headers ]);
    return got();
}
sub got { return [ map { scalar seen()->header($_) } qw(Forwarded X-Forwarded-Proto X-Forwarded-Port) ] }

my $plain = [ 'for=127.0.0.1;host=www.test;proto=http', 'http', $port ];
my @lies  = (
    'Forwarded'         => 'for=9.9.9.9;proto=https',
    'Forwarded'         => 'for=8.8.8.8',
    'X-Forwarded-Proto' => 'https',
    'x-forwarded-port'  => 443,
    'X-Forwarded-Proto' => 'https',
);
is_deeply told('/x'), $plain, 'what is so';
is_deeply told('/x', @lies), $plain, 'what the client says is replaced';
is_deeply told('/x', Connection => 'Forwarded, X-Forwarded-Proto, X-Forwarded-Port, close'), $plain, 'its Connection removes nothing (CVE-2022-31813)';
is_deeply told('/x', @lies, Connection => 'forwarded, x-forwarded-proto, X-FORWARDED-PORT'), $plain, '... also with both';
is_deeply told("/pool/x", @lies), $plain, 'a balancer';
is_deeply told("/rewritten/x", @lies), $plain, '[P]';
is_deeply told('/off/x', @lies), [ 'for=9.9.9.9;proto=https, for=8.8.8.8', 'https, https', 443 ], 'off: as the client sent them';
is_deeply told('/off/x'), [ undef, undef, undef ], '... or nothing';

# Host with a port, and no Host at all.
$t->get('/x', headers => [ Host => 'www.test:8443' ]);
is_deeply got(), [ 'for=127.0.0.1;host="www.test:8443";proto=http', 'http', $port ], 'a port is quoted; X-Forwarded-Port does not believe it';
$t->raw("GET /x HTTP/1.0\r\n\r\n");
is_deeply got(), [ 'for=127.0.0.1;proto=http', 'http', $port ], 'HTTP/1.0 without Host';

is_deeply told('/named/x', @lies), [ 'for=_hidden;host=www.test;proto=http;by=_edge1', 'https, https', 443 ], 'names in place of addresses; other fields are the client\'s';
is told('/by/x')->[0], "for=127.0.0.1;host=www.test;proto=http;by=\"127.0.0.1:$port\"", 'by: address and port';

# append
is_deeply told('/append/x', @lies), [ 'for=9.9.9.9;proto=https, for=8.8.8.8, for=127.0.0.1;host=www.test;proto=http', 'http', 443 ],
    'append: Forwarded grows; two values of X-Forwarded-Proto are none';
is told('/append/x', 'X-Forwarded-Proto' => 'https')->[1], 'https', '... one is kept';
is told('/append/x', 'X-Forwarded-Proto' => "https://evil")->[1], 'http', '... if it is one';
is told('/append/x', 'Forwarded' => 'for="9.9.9.9')->[0], $plain->[0], '... and a quote without end is dropped, or it would take in what follows';
is told('/append/x', 'Forwarded' => 'for="a\\""')->[0], "for=\"a\\\"\", $plain->[0]", '... one with an escaped quote is fine';

SKIP: {
    skip 'no IPv6 on this machine', 1 if !$has_v6;
    my $k = IO::Socket::IP->new(PeerHost => '::1', PeerPort => $t->port_of('v6')) or die "::1: $!\n";
    print {$k} "GET /by/x HTTP/1.1\r\nHost: [::1]:99\r\nConnection: close\r\n\r\n";
    1 while <$k>;
    is got()->[0], 'for="[::1]";host="[::1]:99";proto=http;by="[::1]:' . $t->port_of('v6') . '"', 'IPv6';
}

# TLS, HTTP/2, WebSockets
my @curl = ('-k', '-o', '/dev/null', '--resolve', "www.test:$tls:127.0.0.1", '-H', 'X-Forwarded-Proto: http', '-H', 'Forwarded: for=9.9.9.9');
my $over_tls = [ "for=127.0.0.1;host=\"www.test:$tls\";proto=https", 'https', $tls ];
$t->curl(@curl, '--http1.1', "https://www.test:$tls/x");
is_deeply got(), $over_tls, 'TLS';
SKIP: {
    skip 'httpd has no HTTP/2 under prefork', 1 if mpm eq 'prefork';
    my $r = $t->curl(@curl, '--http2', '-w', '%{http_version}', "https://www.test:$tls/x");
    is_deeply [ $r->{out}, @{ got() } ], [ '2', @$over_tls ], 'HTTP/2';
}
$t->raw("GET /x HTTP/1.1\r\nHost: www.test\r\nConnection: Upgrade, Forwarded\r\nUpgrade: websocket\r\nForwarded: for=9.9.9.9\r\n"
      . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n");
is seen()->header('Upgrade'), 'websocket', 'a WebSocket is asked for';
is_deeply got(), $plain, '... with the same fields';

# --- behind a proxy that mod_remoteip trusts ---

my $behind = RevProxy->new(
    backends => { app => $app },
    modules  => ['remoteip'],
    config   => <<'EOT');
    RemoteIPHeader X-Forwarded-For
    RemoteIPInternalProxy 127.0.0.1
    RevProxyForwarded proto port forwarded
    ProxyPass /strict/ %%URL:app%%/
    <Location /strict/>
        RevProxyForwarded proto port forwarded replace
    </Location>
    ProxyPass / %%URL:app%%/
EOT
my @front = (headers => [ Host => 'www.test', 'X-Forwarded-For' => '9.9.9.9', 'X-Forwarded-Proto' => 'https', 'X-Forwarded-Port' => 443,
    Forwarded => 'for=9.9.9.9;proto=https' ]);
$behind->get('/x', @front);
is_deeply got(), [ 'for=9.9.9.9;proto=https, for=127.0.0.1;host=www.test;proto=http', 'https', 443 ], 'a trusted proxy\'s word is kept';
$behind->get('/strict/x', @front);
is_deeply got(), [ 'for=9.9.9.9;host=www.test;proto=http', 'http', $behind->port ], 'replace: not even that; the client is the one that mod_remoteip found';
$behind->get('/x', headers => [ Host => 'www.test', 'X-Forwarded-Proto' => 'https' ]);
is_deeply got(), [ 'for=127.0.0.1;host=www.test;proto=http', 'http', $behind->port ], 'one that speaks for nobody is a client';

# --- behind a balancer of TCP that speaks the PROXY protocol: fields are the client's ---

my $tcp = RevProxy->new(
    backends => { app => $app },
    modules  => [ 'remoteip', mpm eq 'prefork' ? () : 'http2' ],
    config   => (mpm eq 'prefork' ? '' : "Protocols h2c http/1.1\n") . <<'EOT');
    Listen 127.0.0.1:%%PORT:tcp%%
    RemoteIPHeader X-Forwarded-For
    RemoteIPInternalProxy 127.0.0.1
    RevProxyForwarded proto port forwarded
    ProxyPass /append/ %%URL:app%%/
    <Location /append/>
        RevProxyForwarded forwarded append
    </Location>
    ProxyPass / %%URL:app%%/
    <VirtualHost 127.0.0.1:%%PORT:tcp%%>
        RemoteIPProxyProtocol On
    </VirtualHost>
EOT
my $inside = $tcp->port_of('tcp');
my $honest = [ 'for=9.9.9.9;host=www.test;proto=http', 'http', $inside ];
my $forged = "Host: www.test\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nForwarded: for=8.8.8.8;proto=https\r\n";
my $proxied = "PROXY TCP4 9.9.9.9 127.0.0.1 4711 $inside\r\n";
$tcp->raw("${proxied}GET /x HTTP/1.1\r\n$forged\r\n", to => 'tcp');
is_deeply got(), $honest, 'the PROXY protocol: the client that it names is no proxy';
$tcp->raw("${proxied}GET /append/x HTTP/1.1\r\n$forged\r\n", to => 'tcp');
is got()->[0], 'for=8.8.8.8;proto=https, for=9.9.9.9;host=www.test;proto=http', 'append: behind what it sent stands that client';
SKIP: {
    skip 'httpd has no HTTP/2 under prefork', 1 if mpm eq 'prefork';
    my @fields = (':method' => 'GET', ':scheme' => 'http', ':path' => '/x', ':authority' => 'www.test',
        map { my ($name, $value) = split /: /; (lc $name => $value) } grep { !/^Host/ } split /\r\n/, $forged);
    my $block = join '', map { "\0" . RevProxy::Regress::h2_string($fields[2 * $_]) . RevProxy::Regress::h2_string($fields[2 * $_ + 1]) } 0 .. $#fields / 2;
    my $k = $tcp->connect(to => 'tcp');
    $k->send("${proxied}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . RevProxy::Regress::h2_frame(4, 0, 0, '') . RevProxy::Regress::h2_frame(1, 5, 1, $block));
    is RevProxy::Regress::h2_outcome($k, time + 5 * $RevProxy::SLOW), 200, '... over HTTP/2: an answer';
    $k->close;
    is_deeply got(), $honest, '... the same';
}
$tcp->get('/x', @front);
is_deeply got(), [ 'for=9.9.9.9;proto=https, for=127.0.0.1;host=www.test;proto=http', 'https', 443 ], 'beside it, without that protocol: a proxy is trusted';

$t->allow(qr/AH01906|AH01909/);
$_->finish for $t, $behind, $tcp;
done_testing;
