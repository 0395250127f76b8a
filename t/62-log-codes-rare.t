# Faults that are rare: each is provoked, and has its line in the error log, with its code and what locates it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Module;
use RevProxy::WebSocket;

plan skip_all => 'the codes are ours' if front() ne 'revproxy';

my $app = RevProxy::Backend->echo;
my $ws  = RevProxy::WebSocket->echo(name => 'ws');
my $t   = RevProxy->new(
    backends  => { app => $app, ws => $ws },
    modules   => [qw(slotmem_shm env)],
    one_child => 1,
    config    => RevProxy::Module::load('resize') . <<'EOT');
    HttpProtocolOptions Unsafe
    Timeout 2
    ProxyPass /app/  %%URL:app%%/
    ProxyPass /fresh/  http://localhost:%%PORT:app%%/ disablereuse=On
    ProxyPass /ws/   ws://127.0.0.1:%%PORT:ws%%/
    ProxyPass /pool/ balancer://pool/
    ProxyPassMatch ^/many/(.*)$ %%URL:app%%/$1$1$1$1$1$1$1$1$1$1$1$1
    <Location /app/spooled/>
        SetEnv proxy-sendcl 1
    </Location>
    <Location /app/small/>
        LimitRequestBody 10
    </Location>
    <Proxy balancer://pool>
        BalancerMember http://127.0.0.1:%%PORT:nobody%% retry=1s
    </Proxy>
    Listen 127.0.0.1:%%PORT:trace%%
    <VirtualHost 127.0.0.1:%%PORT:trace%%>
        TraceEnable On
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:connect%%
    <VirtualHost 127.0.0.1:%%PORT:connect%%>
        SetHandler "proxy:%%URL:app%%/x"
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:bind%%
    <VirtualHost 127.0.0.1:%%PORT:bind%%>
        ProxySourceAddress 192.0.2.1
        ProxyPass /bind/ %%URL:app%%/
    </VirtualHost>
EOT

sub answer {
    my ($bytes, @to) = @_;
    my $k = $t->connect(@to);
    $k->send($bytes);
    my $r = $k->read_response;
    $k->close;
    return $r ? $r->status : 'nothing';
}

# --- requests that are none

is answer("G\@T /app/a HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 'a method that is no token, where httpd lets it through';
$t->claim(qr/RP0205 method is not a token: route \/app\//, 'RP0205');
is answer("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", to => 'connect'), 405, 'CONNECT, which has no path, where a handler is set for all';
$t->claim(qr/RP0511 CONNECT is for forward proxies: route SetHandler/, 'RP0511');
is answer("GET http:///app/a HTTP/1.1\r\nHost: x\r\n\r\n"), 400, 'a URL without a host';
$t->claim(qr/RP0211 the target's host is empty: route \/app\//, 'RP0211');
is answer("TRACE /app/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", to => 'trace'), 413, 'TRACE with a body';
$t->claim(qr/RP0508 TRACE with a request body: route \/app\//, 'RP0508');
is answer("POST /app/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"), 400, 'chunks that are none';
$t->claim(qr/RP0502 request body from the client could not be read: route \/app\//, 'RP0502');
is answer("POST /app/a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nabc"), 408, 'a body that does not come';
$t->claim(qr/RP0503 timeout reading the request body from the client: route \/app\//, 'RP0503');
is answer("POST /app/small/ HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" . 'a' x 20), 413, 'a body that is too large';
$t->claim(qr/RP0507 request body is over LimitRequestBody: route \/app\//, 'RP0507');
is $app->requests + 0, 0, 'nothing of all that went to the backend';

# --- lengths: of the target, of a body that a filter changes while it is sent

is answer('GET /many/' . 'u' x 7000 . " HTTP/1.1\r\nHost: x\r\n\r\n"), 500, 'a target that becomes longer than httpd allows';
$t->claim(qr/RP0604 substitution of \$n into the target failed: route \^\/many\//, 'RP0604');

for my $how (qw(short long)) {
    is $t->request(method => 'POST', path => '/app/a', body => 'b' x 300_000, headers => [ 'X-Resize' => $how ])->status, 500,
        "a body that gets too $how";
}
$t->claim(qr/RP0505 an input filter changed the length of the request body: route \/app\//, 'RP0505', count => 2);

# --- this machine lacks something

# A limit of the child as prlimit(1) names it. For that one has to be who the child is, or to be allowed more than root is in a container.
sub limit {
    my ($what) = @_;
    my ($child) = $t->children;
    my ($uid, $gid) = (stat "/proc/$child")[ 4, 5 ];
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        if ($> == 0) { $) = "$gid $gid"; $( = $gid; POSIX::setuid($uid) }
        { no warnings 'exec'; exec 'prlimit', "--pid=$child", $what }
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $? == 0;
}

my @body = (method => 'POST', path => '/app/spooled/a', chunks => [ ('s' x 8000) x 40 ]);
is $t->request(@body)->status, 200, 'a body that is kept in a file';
ok limit('--fsize=65536:'), 'no file may become longer than a fifth of it';
is $t->request(@body)->status, 500, '... so this one cannot be kept';
$t->claim(qr/File too large.*RP0509 request body could not be kept in a temporary file: route \/app\//, 'RP0509');
ok limit('--fsize=unlimited:'), 'nobody minds any more';
is $t->request(@body)->status, 200, '... and it is kept';

my ($many) = RevProxy::slurp('/proc/' . ($t->children)[0] . '/limits') =~ /^Max open files\s+(\d+)/m;
my $k = $t->connect;
is $k->request(path => '/app/a')->status, 200, 'a client that is connected';
ok limit('--nofile=3:'), 'there are no more descriptors';
is $k->request(path => '/fresh/a')->status, 503, '... not one for the backend';
ok limit("--nofile=$many:"), 'now there are';
$t->claim(qr/Too many open files.*RP0109 no descriptor or memory for a connection to backend: route \/fresh\//, 'RP0109');
is $t->get('/fresh/a')->status, 200, '... one for the backend, too';
$k->close;
is $t->get('/bind/a', to => 'bind')->status, 200, 'an address that is not of this machine is not bound to';
$t->claim(qr/RP0110 cannot bind to the ProxySourceAddress: /, 'RP0110');

# --- members, tunnels

is $t->get('/pool/a')->status, 503, 'a member that is not there';
$t->claim(qr/RP0102 .*route \/pool\//, 'RP0102');
$t->claim(qr/RP0111 .*balancer:\/\/pool/, 'RP0111');
sleep 1.2;
is $t->get('/pool/a')->status, 503, '... is tried again when its time is over';
$t->claim(qr/RP0113 member in error is given another chance: /, 'RP0113');
{
    my $one = RevProxy::WebSocket->open($t, '/ws/a');
    $one->text('hello');
    $one->read(3);
    $one->http->reset;
    $t->claim(qr/RP0705 the client reset the tunnel: route \/ws\//, 'RP0705');
}
ok $ws->wait_closed(5), 'the backend\'s side is closed';

# --- each code has a test that claims its line

my $tests = join '', map { RevProxy::slurp($_) } glob "$RevProxy::TOP/t/*.t";
$tests =~ s/->allow\(.*//g;
my @none = grep { my $code = sprintf 'RP%04d', $_; $_ && $tests !~ /$code/ }
    RevProxy::slurp("$RevProxy::TOP/src/rp_err.def") =~ /^RP_ERR\(\w+, (\d+)/gm;
is "@none", '', 'codes that no test looks for';

$t->finish;
done_testing;
