# Backends behind TLS: certificates, names, reuse, large bodies, sections.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 'md5_hex';
use IO::Select;
use IO::Socket::INET;
use RevProxy;

# The backend is a second httpd, which ends TLS and hands on to a recording backend.
my $app  = RevProxy::Backend->echo;
my ($cert, $key)   = RevProxy->certificate('app.test', 'app.test', 'localhost', '127.0.0.1');
my ($other, $okey) = RevProxy->certificate('other.test', 'other.test');
my $far = RevProxy->new(
    front    => 'mod_proxy',
    backends => { app => $app },
    modules  => [qw(ssl headers)],
    config   => <<EOT);
    ProxyPreserveHost On
    ProxyAddHeaders Off
    RequestHeader set X-SNI "expr=%{SSL_TLS_SNI}"
    RequestHeader set X-Far-Port "expr=%{REMOTE_PORT}"
    Listen 127.0.0.1:%%PORT:good%%
    Listen 127.0.0.2:%%PORT:good%%
    <VirtualHost 127.0.0.1:%%PORT:good%% 127.0.0.2:%%PORT:good%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPass / %%URL:app%%/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:other%%
    <VirtualHost 127.0.0.1:%%PORT:other%%>
        SSLEngine on
        SSLCertificateFile $other
        SSLCertificateKeyFile $okey
        ProxyPass / %%URL:app%%/
    </VirtualHost>
EOT
my ($good, $wrong) = map { $far->port_of($_) } qw(good other);
my $clear = RevProxy::Backend->echo(name => 'clear');
my $mute  = RevProxy::Backend->new(name => 'mute', handler => sub { $_[0]->pause(4) });
# The same TLS server by way of a line that, once the request is through, lets a few bytes pass now and then: records that
# never come to their end, session tickets, and nothing of the response.
my $drip = RevProxy::Backend->new(name => 'drip', handler => sub {
    my ($c) = @_;
    my $near = $c->{socket};
    my $far = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $good) or die "far: $!\n";
    my ($flights, $held) = (0, '');
    for my $turn (1 .. 2000) {
        for my $from (IO::Select->new($near, $far)->can_read($held eq '' ? 10 : 0.2)) {
            sysread($from, my $bytes, 16384) or return;
            if ($from == $near) { syswrite $far, $bytes; $flights++ }
            elsif ($flights < 2) { syswrite $near, $bytes }
            else                 { $held .= $bytes }
        }
        next if $held eq '';
        syswrite $near, substr $held, 0, 3, '';
        $c->pause(0.2);
    }
});

my $t = RevProxy->new(
    backends => { clear => $clear, mute => $mute, drip => $drip },
    modules  => ['ssl'],
    config   => <<EOT);
    SSLProxyEngine On
    SSLProxyCACertificateFile $cert
    SSLProxyVerify none
    SSLProxyCheckPeerName off
    SSLProxyCheckPeerExpire on
    ProxyPass /tls/   https://localhost:$good/
    ProxyPassReverse /tls/ https://localhost:$good/
    ProxyPass /ip/    https://127.0.0.1:$good/ip/
    <Location /public/>
        ProxyPass https://localhost:$good/public/
        ProxyPreserveHost On
    </Location>
    ProxyPass /clear/ https://127.0.0.1:%%PORT:clear%%/ timeout=2
    ProxyPass /mute/  https://127.0.0.1:%%PORT:mute%%/ timeout=1
    ProxyPass /drip/  https://127.0.0.1:%%PORT:drip%%/ timeout=1
    ProxyPass /gone/  https://127.0.0.1:%%PORT:gone%%/

    # The same server, with other demands.
    Listen 127.0.0.1:%%PORT:strict%%
    <VirtualHost 127.0.0.1:%%PORT:strict%%>
        SSLProxyEngine On
        SSLProxyCACertificateFile $cert
        SSLProxyVerify require
        SSLProxyCheckPeerName on
        ProxyPass /good/   https://localhost:$good/
        ProxyPass /signed/ https://localhost:$wrong/
        ProxyPass /named/  https://127.0.0.2:$good/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:lax%%
    <VirtualHost 127.0.0.1:%%PORT:lax%%>
        SSLProxyEngine On
        SSLProxyVerify none
        SSLProxyCheckPeerName on
        ProxyPass /named/ https://localhost:$wrong/named/
        <Proxy "https://localhost:$wrong/inside/">
            SSLProxyCheckPeerName off
        </Proxy>
        ProxyPass /inside/ https://localhost:$wrong/inside/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:off%%
    <VirtualHost 127.0.0.1:%%PORT:off%%>
        SSLProxyEngine Off
        ProxyPass /off/ https://localhost:$good/off/
        <Proxy "https://localhost:$good/on/">
            SSLProxyEngine On
            SSLProxyVerify none
            SSLProxyCheckPeerName off
        </Proxy>
        ProxyPass /on/ https://localhost:$good/on/
    </VirtualHost>
EOT

sub seen  { my @all = $app->requests; return $all[-1] }
sub sni   { return seen()->header('X-SNI') }
sub port_seen { return seen()->header('X-Far-Port') }

# --- a proper backend ---

{
    my $r = $t->get('/tls/x?y=1');
    is $r->status, 200, 'https backend';
    is seen()->target, '/x?y=1', 'path and query';
    is seen()->header('Host'), "localhost:$good", 'Host with the port';
    is sni(), 'localhost', 'SNI is the target\'s name';
    my $first = port_seen();
    $t->get('/tls/x') for 1 .. 3;
    is port_seen(), $first, 'the TLS connection is used again' if mpm ne 'prefork';
    $t->get('/ip/x');
    is sni(), '', 'no SNI for an address';
    $r = $t->get("/tls/x?reply-status=302&reply-header=Location:%20https://localhost:$good/login");
    is $r->header('Location'), 'http://127.0.0.1:' . $t->port . '/tls/login', 'ProxyPassReverse';

    $t->get('/public/x', headers => [ Host => 'public.test' ]);
    is sni(), 'public.test', 'ProxyPreserveHost: SNI is the public name';
    my $public = port_seen();
    $t->get('/public/x', headers => [ Host => 'www.test' ]);
    is sni(), 'www.test', 'another one: its own';
    isnt port_seen(), $public, 'on a connection of its own';
    $far->allow(qr/AH02032|AH02033/);
}
{
    my $n = 2_500_000;
    my $r = $t->get("/tls/x?reply-size=$n");
    is $r->body_length . $r->body_md5, $n . md5_hex(RevProxy::Backend::pattern($n)), 'a large response';
    $r = $t->get("/tls/x?reply-size=$n&reply-chunked=70000");
    is $r->body_length . $r->body_md5, $n . md5_hex(RevProxy::Backend::pattern($n)), 'a large response in chunks';
    my $up = RevProxy::Backend::pattern($n);
    $r = $t->request(path => '/tls/x', body => $up);
    is seen()->body_md5, md5_hex($up), 'a large upload';
    $r = $t->request(path => '/tls/x', chunks => [ unpack '(a50000)*', $up ]);
    is seen()->body_md5, md5_hex($up), 'a large upload in chunks';
    my $k = $t->connect;
    $k->send_request(path => "/tls/x?reply-size=$n", body => $up);
    $r = $k->read_response;
    is $r->body_md5 . seen()->body_md5, md5_hex($up) x 2, 'both at once';
    $r = $t->get('/tls/x?reply-delay=0.5&reply-size=100');
    is $r->status . $r->body_length, '200100', 'a backend that takes its time';
    my @k = map { $t->connect } 1 .. 8;
    $_->send_request(path => '/tls/x?reply-size=400000&reply-delay=0.1') for @k;
    is scalar(grep { $_->read_response->body_length == 400000 } @k), 8, 'eight at once';
}

# --- certificates ---

my $PAGE = 'Error during SSL Handshake with remote server';
my $BAD  = ours(502, mod_proxy => 500, 'a fault of the backend is 502 here');

is $t->get('/good/x', to => 'strict')->status, 200, 'SSLProxyVerify require, SSLProxyCheckPeerName: a good certificate';
for my $row (
    [ '/signed/', 'strict', 'signed by nobody we trust' ],
    [ '/named/',  'strict', 'of another name (SSLProxyCheckPeerName)' ],
    [ '/named/',  'lax',    'of another name, without SSLProxyVerify' ],
    )
{
    my ($path, $server, $what) = @$row;
    my $before = () = $app->requests;
    my $r = $t->get("${path}x", to => $server);
    is $r->status, $BAD, "a certificate $what: refused";
    like $r->body, qr/\Q$PAGE\E/, "a certificate $what: the page says it";
    is scalar(my @now = $app->requests), $before, "a certificate $what: nothing is sent";
    $t->claim_fault('RP0104', route => $path, phase => 'connecting');
}
is $t->get('/inside/x', to => 'lax')->status, 200, 'settings inside <Proxy> hold for their target';
is $t->get('/named/x', to => 'lax')->status, $BAD, 'and for no other, though a connection is open';

# --- switched off ---

{
    my $r = $t->get('/off/x', to => 'off');
    is $r->status, $BAD, 'no SSLProxyEngine';
    $t->claim_fault('RP0105', route => '/off/', phase => 'connecting', count => 1);
    is $t->get('/on/x', to => 'off')->status, 200, 'SSLProxyEngine On inside <Proxy>';
    is $t->get('/off/x', to => 'off')->status, $BAD, 'and still not outside, though a connection is open';
}

# --- what is no TLS server ---

{
    my $r = $t->get('/clear/x');
    is $r->status, $BAD, 'a backend that speaks plain HTTP';
    like $r->body, qr/\Q$PAGE\E/, 'the page says it';
    $t->claim_fault('RP0104', route => '/clear/', phase => 'connecting', count => 1);
    $r = $t->get('/mute/x');
    is $r->status, $BAD, 'a backend that does not answer the handshake';
    cmp_ok $r->time, '<', 3, 'in time';
    $t->claim_fault('RP0104', route => '/mute/', phase => 'connecting', count => 1);
    only_ours {
        $r = $t->get('/drip/x');
        is $r->status, 504, 'TLS records that drip are no answer';
        cmp_ok $r->time, '<', 1 + 3 * $RevProxy::SLOW, 'in time';
        $t->claim_fault('RP0302', route => '/drip/', phase => 'waiting for the response', count => 1);
    } 'it waits for ever';
    is $t->get('/gone/x')->status, 503, 'no backend at all';
    $t->claim_fault('RP0102', route => '/gone/', phase => 'connecting', count => 1);
}

# mod_ssl's own lines, which say what was wrong with a certificate.
$t->claim(qr/AH02(?:039|411)/, 'mod_ssl names the fault');
$t->allow(qr/\[ssl:|AH0196[01]|AH01144|lint: .*\/off\//, front() eq 'mod_proxy' ? qr/AH0\d{4}/ : ());
$far->allow(qr/AH0\d{4}/);
$_->finish for $t, $far;
done_testing;
