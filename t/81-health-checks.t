# What a health check sends, what passes, and what comes of it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

# Checks have no field but Host; requests of the test have X-Test. The first word of a path says what comes back.
my $app = RevProxy::Backend->new(name => 'app', serial => 1, handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    my ($what) = $r->target =~ m{([a-z]+)\z};
    $what //= 'ok';
    return $c->respond(503, [], 'no', close => 1) if $what eq 'bad';
    return $c->respond(302, [ Location => '/' ], '', close => 1) if $what eq 'moved';
    return $c->respond(404, [ 'X-Load' => 'low' ], 'none', close => 1) if $what eq 'none';
    return $c->respond(200, [], ('x' x 70000) . 'Under maintenance', close => 1, chunked => 1000) if $what eq 'maint';
    return $c->respond(200, [], 'y' x 100_000, close => 1, bare => 1) if $what eq 'long';
    return $c->send("HTTP/1.1 200 OK\r\nNo colon here\r\nContent-Length: 0\r\n\r\n") && $c->close if $what eq 'colon';
    return $c->send("SSH-2.0-x\r\n\r\n") && $c->close if $what eq 'ssh';
    return $c->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort") && $c->close if $what eq 'cut';
    return $c->send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") && $c->close
        if $what eq 'hints';
    return $c->respond(200, [ 'X-Member' => 'app' ], 'ok', close => 1);
});

my @pools;
sub pool {
    my ($name, $params, $url) = @_;
    push @pools, $name;
    $url //= '%%URL:app%%';
    return "<Proxy balancer://$name>\nBalancerMember $url hcinterval=300ms $params\n</Proxy>\nProxyPass /$name/ balancer://$name/\n";
}

my $t = RevProxy->new(backends => { app => $app }, modules => [qw(slotmem_shm status headers)], config => join '',
    <<'EOT',
ProxyHCExpr ok234 {%{REQUEST_STATUS} =~ /^[234]/}
ProxyHCExpr notmaint {hc('body') !~ /Under maintenance/}
ProxyHCExpr same "%{HC_BODY} == 'ok'"
ProxyHCExpr load {resp('X-Load') == 'low' && %{REQUEST_METHOD} == 'GET' && %{REMOTE_ADDR} == '127.0.0.1'}
ProxyHCExpr nonsense {%{REQUEST_STATUS} =~ /^2/ && file('/nowhere') == 'x'}
ProxyHCTemplate head11 hcmethod=HEAD11 hcinterval=300ms hcuri=/template
ProxyHCTPsize 4
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
    pool('tcp',     'hcmethod=TCP'),
    pool('refused', 'hcmethod=tcp', 'http://127.0.0.1:%%PORT:nobody%%'),
    pool('options', 'hcmethod=OPTIONS hcuri=/unused'),
    pool('options11', 'hcmethod=OPTIONS11'),
    pool('head',    'hcmethod=HEAD hcuri=/s'),
    pool('head11',  'hcmethod=HEAD11 hcuri=/s11'),
    pool('get',     'hcmethod=GET', '%%URL:app%%/p'),
    pool('get11',   'hcmethod=GET11 hcuri=s', '%%URL:app%%/p'),
    pool('slashes', 'hcmethod=GET hcuri=/s', '%%URL:app%%/'),
    pool('root',    'hcmethod=GET'),
    pool('bad',     'hcmethod=GET hcuri=/bad'),
    pool('moved',   'hcmethod=GET hcuri=/moved'),
    pool('none',    'hcmethod=GET hcuri=/none'),
    pool('ok234',   'hcmethod=GET hcuri=/none hcexpr=ok234'),
    pool('load',    'hcmethod=GET hcuri=/none hcexpr=load'),
    pool('maint',   'hcmethod=GET hcuri=/maint hcexpr=notmaint'),
    pool('nomaint', 'hcmethod=GET11 hcuri=/fine hcexpr=notmaint'),
    pool('same',    'hcmethod=GET hcuri=/fine hcexpr=same'),
    pool('samehead', 'hcmethod=HEAD hcuri=/fine hcexpr=same'),
    pool('nonsense', 'hcmethod=GET hcuri=/fine hcexpr=nonsense'),
    pool('long',    'hcmethod=GET hcuri=/long'),
    pool('colon',   'hcmethod=GET hcuri=/colon'),
    pool('ssh',     'hcmethod=GET hcuri=/ssh'),
    pool('cut',     'hcmethod=GET hcuri=/cut'),
    pool('hints',   'hcmethod=GET hcuri=/hints'),
    pool('template', 'hctemplate=head11'),
    pool('over',    'hctemplate=head11 hcmethod=GET hcuri=/over'),
    pool('error',   'hcmethod=TCP status=+E'),
    pool('stopped', 'hcmethod=GET hcuri=/stopped status=+S'),
    pool('disabled', 'hcmethod=GET hcuri=/disabled status=+D'),
    "<Proxy balancer://three>\nBalancerMember %%URL:app%% hcmethod=GET hcuri=/bad hcinterval=300ms hcfails=3\n</Proxy>\n");

$t->allow(qr/lint: .*ends in|RP011[479]|AH\d{5}|nowhere/);
# Each path comes at least twice: one interval after the start, and one after that check.
ok $app->wait_for(sub {
    my %n;
    $n{ $_->method . ' ' . $_->target . ' ' . $_->version }++ for $app->requests;
    return !grep { ($n{$_} // 0) < 2 } 'OPTIONS * 1.0', 'OPTIONS * 1.1', 'HEAD /s 1.0', 'HEAD /s11 1.1', 'GET /p 1.0', 'GET /p/s 1.1',
        'GET ///s 1.0', 'HEAD /template 1.1', 'GET /over 1.0', 'GET /bad 1.0', 'GET /disabled 1.0', 'GET /maint 1.0',
        ours('GET / 1.0', mod_proxy => 'GET /none 1.0', 'it sends no path at all');
}, 10 * $RevProxy::SLOW), 'each check is sent, and again' or diag join "\n", map { $_->method . ' ' . $_->target . ' ' . $_->version } $app->requests;
my @requests = $app->requests;
is join(' ', map { $_->[0] } @{ $requests[0]->headers }), 'Host', 'Host is the only field';
is $requests[0]->header('Host'), '127.0.0.1:' . $app->port, '... with the port';
is scalar(grep { $_->target =~ /stopped|unused/ } @requests), 0, 'a stopped member is not checked; OPTIONS has no path';

my %out = map { $_ => 1 } qw(refused bad none maint samehead nonsense colon ssh cut);
sub status { my ($name) = @_; my ($f) = values %{ figures($t, $name) }; return $f->{status} }
for my $name (@pools) {
    my $want = $name eq 'stopped' ? 'Init Stop' : $name eq 'disabled' ? 'Init Dis' : $out{$name} ? 'Init HcFl' : 'Init Ok';
    $want = ours($want, mod_proxy => 'Init HcFl', 'an interim head is not the response') if $name eq 'hints';
    my $until = time + 5;
    sleep 0.05 while status($name) ne $want && time < $until;
    is status($name), $want, "$name: $want";
}
is $t->get('/bad/x')->status, 503, 'no requests for a member that failed';
is $t->get('/get/x')->status, 200, '... but for one that passed';
only_ours {
    my $url = $app->url;
    $t->claim(qr/\QRP0117 member failed its health checks: backend $url: balancer:\/\/bad, GET \/bad, status 503\E$/, 'log: why', count => 1);
    $t->claim(qr/RP0117 .*balancer:..maint, GET .maint, status 200, condition notmaint is false/, 'log: an expression', count => 1);
    $t->claim(qr/RP0117 .*balancer:..refused, TCP, connection to backend failed: address .*Connection refused/, 'log: a connection', count => 1);
    $t->claim(qr/RP0117 .*balancer:..ssh, GET .ssh, malformed response head from backend/, 'log: what is no HTTP', count => 1);
    $t->claim(qr/RP0117 .*balancer:..cut, GET .cut, backend closed in the middle of the response body/, 'log: a cut body', count => 1);
    $t->claim(qr/RP0118 .*balancer:..error, TCP, passed/, 'log: a member in error is brought back', count => 1);
    my @steps = grep {/balancer:..three/} $t->wait_log(qr/RP0117 .*balancer:..three/, 5);
    is scalar(@steps), 1, 'hcfails=3: out';
    is scalar(my @two = grep {/RP0119 .*balancer:..three/} $t->error_log), 2, '... after two failures that were not enough';
} 'our log';
$t->allow(qr{\[(?:manager|group-unused)\]});
$t->finish;
done_testing;
