# Clients that speak TLS and HTTP/2 (over TLS, h2c with prior knowledge, h2c by upgrade): all that HTTP/1 has.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 'md5_hex';
use RevProxy;

plan skip_all => 'mod_http2 does not work under prefork' if mpm eq 'prefork';
plan skip_all => 'curl without HTTP/2' if qx(curl -V 2>&1) !~ /HTTP2/;

my $app = RevProxy::Backend->echo;
# Trailers; an early answer to an upload; a response that is cut.
my $odd = RevProxy::Backend->new(name => 'odd', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request(body => 0)) {
        if ($r->target =~ /early/) { $c->send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"); $c->pause(0.2); return }
        $c->read_body($r);
        if ($r->target =~ /trailers/) {
            $c->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n");
            next;
        }
        if ($r->target =~ /cut/) { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" . 'x' x 50); return }
        if ($r->target =~ /hints/) { $c->send("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"); $c->pause(0.1); $c->respond(200, [], 'after'); next }
        $c->respond(200, [], 'odd');
    }
});
my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', '127.0.0.1');
my $t = RevProxy->new(
    backends => { app => $app, odd => $odd },
    modules  => [qw(ssl http2 headers)],
    threads  => 24,
    config   => <<EOT);
    H2EarlyHints on
    <VirtualHost 127.0.0.1:%%PORT%%>
        Protocols h2c http/1.1
        ProxyPass        /app/ %%URL:app%%/
        ProxyPassReverse /app/ %%URL:app%%/
        ProxyPass        /odd/ %%URL:odd%%/
        ProxyPass        /gone/ http://127.0.0.1:%%PORT:gone%%/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        ServerName front.test
        Protocols h2 http/1.1
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPass        /app/ %%URL:app%%/
        ProxyPassReverse /app/ %%URL:app%%/
        ProxyPass        /host/ %%URL:app%%/
        <Location /host/>
            ProxyPreserveHost On
            RequestHeader set X-Forwarded-Proto https
        </Location>
        ProxyPass        /odd/ %%URL:odd%%/
        ProxyPass        /gone/ http://127.0.0.1:%%PORT:gone%%/
    </VirtualHost>
EOT

my $dir   = $t->dir . '/var';
my $large = RevProxy::Backend::pattern(1_000_000);
RevProxy::write_file("$dir/large", $large);
my $plain = 'http://127.0.0.1:' . $t->port;
my $tls   = 'https://127.0.0.1:' . $t->port_of('tls');

sub seen { my @all = $app->requests; return $all[-1] }

# Response by curl: (status, version, body); the head is in $dir/head.
sub fetch {
    my ($how, $path, @args) = @_;
    my $url = ($how->{tls} ? $tls : $plain) . $path;
    my $r   = $t->curl('-k', @{ $how->{args} }, '-D', "$dir/head", '-w', '\n%{http_code} %{http_version}', @args, $url);
    my ($body, $status, $version) = $r->{out} =~ /\A(.*)\n(\d+) ([\d.]+)\z/s;
    return ($status // "exit $r->{exit}", $version, $body // '', $r->{exit});
}
sub head { return RevProxy::slurp("$dir/head") }

my @how = (
    { name => 'h2',      version => 2,     tls => 1, args => ['--http2'] },
    { name => 'h2c',     version => 2,     tls => 0, args => ['--http2-prior-knowledge'] },
    { name => 'upgrade', version => 2,     tls => 0, args => ['--http2'] },
    { name => 'https',   version => '1.1', tls => 1, args => ['--http1.1'] },
    { name => 'http',    version => '1.1', tls => 0, args => ['--http1.1'] },
);
for my $how (@how) {
    my $name = $how->{name};
    my ($status, $version, $body) = fetch($how, '/app/x?y=%20z');
    is "$status $version", "200 $how->{version}", "$name: GET";
    is seen()->target, '/x?y=%20z', "$name: path and query";
    is seen()->version, '1.1', "$name: HTTP/1.1 behind us";
    is seen()->header('X-Forwarded-Host'), ($how->{tls} ? $tls : $plain) =~ s{.*//}{}r, "$name: X-Forwarded-Host";
    is join('|', grep { defined && /h2|settings|upgrade/i } map { seen()->header($_) } qw(Upgrade HTTP2-Settings Connection)), '',
        "$name: nothing of the protocol goes on" if $name ne 'upgrade' || front() ne 'mod_proxy';

    ($status, $version, $body) = fetch($how, '/app/x?reply-size=1000000');
    is md5_hex($body), md5_hex($large), "$name: a large response";
    ($status, $version, $body) = fetch($how, '/app/x?reply-size=1000000&reply-chunked=10000');
    is md5_hex($body), md5_hex($large), "$name: a large response in chunks";
    ($status, $version, $body) = fetch($how, '/app/x?reply-size=300000&reply-close=2');
    is length $body, 300000, "$name: one that ends with the connection";

    ($status, $version, $body) = fetch($how, '/app/x', '-d', 'a=b');
    is $status . seen()->method . seen()->body, '200POSTa=b', "$name: POST";
    ($status, $version, $body) = fetch($how, '/app/x', '-T', "$dir/large");
    is $status . seen()->method . seen()->body_md5, '200PUT' . md5_hex($large), "$name: a large upload";
    ($status, $version, $body) = fetch($how, '/app/x', '-T', "$dir/large", '-H', 'Content-Length:', '-H', 'Transfer-Encoding: chunked') if $name =~ /http/;
    is seen()->body_md5, md5_hex($large), "$name: and of unknown length";
    ($status, $version, $body) = fetch($how, '/app/x?reply-size=5000', '-I');
    is $status . seen()->method, '200HEAD', "$name: HEAD";
    like head(), qr/^content-length: 5000\r$/mi, "$name: with the length";
    ($status) = fetch($how, "/app/x?reply-status=$_"), is $status, $_, "$name: status $_" for 204, 304, 404;

    fetch($how, '/app/x?reply-status=302&reply-header=Location:%20' . $app->url . '/login');
    my $back = ($how->{tls} ? $tls : $plain) . '/app/login';
    like head(), qr{^location: \Q$back\E\r$}mi, "$name: ProxyPassReverse";

    if ($name !~ /h2/) {
        ($status) = fetch($how, '/odd/early', '-T', "$dir/large");
        is $status, 403, "$name: an answer before the upload's end";
    }
    ($status, $version, $body) = fetch($how, '/gone/x');
    is $status, 503, "$name: no backend";
    ($status, $version, $body, my $exit) = fetch($how, '/odd/cut');
    ok $exit, "$name: a cut response is an error of the transfer ($exit)";
}
$t->claim_fault('RP0102', route => '/gone/', phase => 'connecting');
$t->claim_fault('RP0401', route => '/odd/', phase => 'relaying the response body');
$t->allow(qr/RP0202|RP050|AH0\d{4}|AH10\d{3}/);

{
    my ($status) = fetch($how[0], '/host/x', '-H', 'Host: front.test');
    is seen()->header('Host'), 'front.test', 'TLS termination: the public Host';
    is seen()->header('X-Forwarded-Proto'), 'https', 'and the scheme, where asked for';
}

# Several streams at once on one connection, more than the connection's client reads in order.
SKIP: {
    skip 'no nghttp here', 12 if !grep { -x "$_/nghttp" } split /:/, $ENV{PATH};
    for my $url ($plain, $tls) {
        my @paths = map {"$url/app/x?n=$_&reply-size=" . 100 * $_} 1 .. 12;
        my $since = time;
        my $out   = qx(nghttp -ns @{[ map {"'$_&reply-delay=0.4'"} @paths ]} 2>&1);
        is scalar(() = $out =~ /^\s+\d+\s+.* 200\s/mg), 12, "twelve streams on one connection, $url";
        cmp_ok time - $since, '<', 4 * $RevProxy::SLOW, 'at the same time';
        my $slow = qx(nghttp -n -w 10 '$url/app/x?reply-size=2000000' '$url/app/y?reply-size=2000000' 2>&1; echo exit \$?);
        like $slow, qr/exit 0/, 'and with windows of a kilobyte';
    }
    my $out = qx(nghttp -v '$plain/odd/trailers' 2>&1);
    like $out, qr/recv \(stream_id=\d+\) :status: 200/, 'a response with trailers';
    unlike $out, qr/transfer-encoding/i, 'has no Transfer-Encoding';
    $out = qx(nghttp -v '$plain/odd/hints' 2>&1);
    like $out, qr/:status: 103.*:status: 200/s, '103 Early Hints goes to an HTTP/2 client';
    $out = qx(nghttp -v --trailer='x-sum: 7' -d $dir/large '$plain/app/x' 2>&1);
    like $out, qr/:status: 200/, 'a request with trailers';
    is seen()->body_md5, md5_hex($large), 'its body is whole';
    # curl 7.88 takes the RST_STREAM (NO_ERROR) behind it for a failure.
    $out = qx(nghttp -v -d $dir/large '$plain/odd/early' 2>&1);
    like $out, qr/:status: 403/, 'an answer before the end of the upload';
}

# A client that resets its streams leaves nothing behind.
{
    for my $n (1 .. 5) { $t->curl('-k', '--http2-prior-knowledge', '-m', '0.2', "$plain/app/x?reply-delay=0.6") }
    my ($status) = fetch($how[1], '/app/x');
    is $status, 200, 'after cancelled streams, others are served';
    $t->allow(qr/RP0501/);
}

$t->finish;
done_testing;
