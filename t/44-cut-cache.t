# No cache keeps a response that broke off, however it did: mod_cache_disk in front of all kinds of broken
# backends. What was whole is kept, so the tests could fail.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Select;
use IO::Socket::INET;
use Time::HiRes 'sleep';
use RevProxy;

my $LIMIT = $RevProxy::SLOW > 5 ? 4 : 1;    # seconds: a handshake, too, which valgrind makes long
my $BODY = RevProxy::Backend::pattern(200_000);
my $HEAD = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n";
my $part = substr $BODY, 0, 30_000;
# What is sent, and what then becomes of the connection.
my %plain = (
    whole           => [ "${HEAD}Connection: close\r\n\r\n$part", 'end' ],
    'length-late'   => [ "${HEAD}Content-Length: 200000\r\n\r\n$part", 'late' ],
    'length-reset'  => [ "${HEAD}Content-Length: 200000\r\n\r\n$part", 'reset' ],
    'close-late'    => [ "${HEAD}Connection: close\r\n\r\n$part", 'late' ],
    'close-reset'   => [ "${HEAD}Connection: close\r\n\r\n$part", 'reset' ],
    'chunk-bad'     => [ "${HEAD}Transfer-Encoding: chunked\r\n\r\n7530\r\n$part\r\nZZ\r\n", 'end' ],
    'chunk-trailer' => [ "${HEAD}Transfer-Encoding: chunked\r\n\r\n7530\r\n$part\r\n0\r\nX-A: b\r\n", 'end' ],
);
my $app = RevProxy::Backend->new(handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    my ($name) = $r->target =~ m{([\w-]+)\z};
    my ($bytes, $then) = @{ $plain{$name} };
    $c->send($bytes);
    $c->pause($LIMIT + 1 + $RevProxy::SLOW) if $then eq 'late';
    $c->pause(0.3)->reset if $then eq 'reset';
    return;
});

# A TLS server, and a line to it that ends behind so many of its records, where TLS's own end (close_notify) has not come yet.
my $echo = RevProxy::Backend->echo(name => 'echo');
my ($cert, $key) = RevProxy->certificate('localhost', 'localhost');
my $far = RevProxy->new(front => 'mod_proxy', backends => { echo => $echo }, modules => [qw(ssl headers)], config => <<EOT);
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        Header unset Content-Length
        ProxyPass / %%URL:echo%%/
    </VirtualHost>
EOT
my $tls  = $far->port_of('tls');
my %line = map { my ($name, $limit) = @$_; ($name => RevProxy::Backend->new(name => $name, handler => sub {
    my ($c) = @_;
    my $near = $c->{socket};
    my $other = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $tls) or die "TLS: $!\n";
    my $held = '';
    while ($limit > 0) {
        for my $from (IO::Select->new($near, $other)->can_read(5)) {
            sysread($from, my $bytes, 16384) or return;
            if ($from == $near) { syswrite $other, $bytes; next }
            $held .= $bytes;
            while ($limit > 0 && length $held >= 5 && length $held >= 5 + unpack 'x3n', $held) {
                syswrite $near, substr $held, 0, 5 + unpack('x3n', $held), '';
                $limit--;
            }
        }
    }
    return;
})) } [ line => 1_000_000 ], [ cut => 14 ];

my $t = RevProxy->new(
    backends => { app => $app, %line },
    modules  => [qw(cache cache_disk ssl env)],
    config   => <<"EOT");
    CacheRoot %%DIR%%/var
    CacheEnable disk /
    CacheHeader on
    ProxyTimeout $LIMIT
    SSLProxyEngine On
    SSLProxyVerify none
    SSLProxyCheckPeerName off
    # HTTP/1.0 has no chunks: without a length the end of the connection is that of the body
    <LocationMatch ^/(line|cut)/>
        SetEnv force-proxy-request-1.0 1
    </LocationMatch>
    ProxyPass /line/ https://localhost:%%PORT:line%%/
    ProxyPass /cut/  https://localhost:%%PORT:cut%%/
    ProxyPass /      %%URL:app%%/
EOT

sub cache { my ($r) = @_; return ($r->header('X-Cache') // 'none') =~ s/ from .*//r }

for my $name (sort keys %plain) {
    my @r = map { $t->get("/$name") } 1, 2;
    my $is_whole = $name eq 'whole';
    is cache($r[1]), $is_whole ? 'HIT' : 'MISS', "$name: the second time";
    is $r[1]->truncated ? 1 : 0, $is_whole ? 0 : 1, '... and whether it is whole can be seen';
}
my $page = '?reply-size=200000&reply-header=Cache-Control:%20max-age=600';
my @r = map { $t->get("/line/x$page") } 1, 2;
is join(' ', map { $_->status . ' ' . $_->body_length } @r), '200 200000 200 200000', 'TLS, until it ends';
is cache($r[1]), 'HIT', '... is kept' or diag $r[0]->raw_head;
@r = map { $t->get("/cut/x$page") } 1, 2;
cmp_ok $r[0]->body_length, '<', 200_000, 'TLS, cut before its end';
only_ours { is cache($r[1]), 'MISS', '... is not, since close_notify did not come (RFC 9112 9.8)' } 'it does not look for that';

$t->allow(qr/RP0[45]\d\d|AH\d{5}|\[ssl:/);
$far->allow(qr/AH\d{5}/);
$_->finish for $t, $far;
done_testing;
