# Backends behind unix sockets: paths, hosts, pools, failures.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes 'sleep';
use RevProxy;

my %b = map { $_ => RevProxy::Backend->echo(unix => 1, name => $_) } qw(a b c);
my $sleepy = RevProxy::Backend->new(unix => 1, name => 'sleepy', handler => sub { $_[0]->read_request; $_[0]->pause(3) });
my @one_child = mpm eq 'prefork' ? (process => "ServerLimit 1\nStartServers 1\nMaxRequestWorkers 1\nMaxConnectionsPerChild 0") : ();
my $t = RevProxy->new(
    backends => { %b, sleepy => $sleepy },
    modules  => [qw(rewrite headers)],
    docs     => { 'sh/a.x' => "source\n" },
    @one_child,
    config => <<'EOT');
    # a path from the root, and one below DefaultRuntimeDir
    ProxyPass "/u/" "unix:%%SOCK:a%%|http://app-a/"
    ProxyPass "/v/" "unix:app-b.sock|http://app-b/base/"
    ProxyPassReverse "/u/" "http://app-a/"
    <FilesMatch "\.x$">
        SetHandler "proxy:unix:%%SOCK:c%%|http://localhost"
    </FilesMatch>
    ProxyPass /port/ unix:%%SOCK:a%%|http://app-a:8080/port/
    ProxyPass /other/ unix:%%SOCK:a%%|http://other-a/other/
    <Location /keep/>
        ProxyPass unix:%%SOCK:a%%|http://kept/keep/
        ProxyPreserveHost On
    </Location>
    ProxyPassMatch ^/match/(\w+)$ unix:%%SOCK:b%%|http://matched/$1
    RewriteEngine On
    RewriteRule ^/rw/(.*)$ unix:%%SOCK:c%%|http://rewritten/$1 [P]
    ProxyPass /missing/ unix:%%DIR%%/var/missing.sock|http://missing/
    ProxyPass /stale/   unix:%%DIR%%/var/stale.sock|http://stale/
    ProxyPass /file/    unix:%%DIR%%/conf/httpd.conf|http://file/
    ProxyPass /sleepy/  unix:%%SOCK:sleepy%%|http://sleepy/ timeout=1
    <Proxy "http://app-a/secret*">
        Require all denied
    </Proxy>
EOT
# The second path is relative; nobody listens on the stale one.
symlink $b{b}->path, $t->dir . '/run/app-b.sock' or die $!;
IO::Socket::UNIX->new(Local => $t->dir . '/var/stale.sock', Listen => 1)->close;
chmod 0777, $t->dir . '/var/stale.sock';

sub seen { my @all = $_[0]->requests; return $all[-1] }

for my $row (
    # path, backend, request line's target, Host
    [ '/u/x?y=1',    'a', '/x?y=1',  'app-a' ],
    [ '/v/x',        'b', '/base/x', 'app-b' ],
    [ '/sh/a.x',     'c', $t->expand('%%DOCROOT%%/sh/a.x'), 'localhost' ],
    [ '/port/x',     'a', '/port/x', 'app-a:8080' ],
    [ '/other/x',    'a', '/other/x', 'other-a' ],
    [ '/keep/x',     'a', '/keep/x', 'public.test' ],
    [ '/match/word', 'b', '/word',   'matched' ],
    [ '/rw/x%20y',   'c', '/x%20y',  'rewritten' ],
    )
{
    my ($path, $name, $target, $host) = @$row;
    $b{$name}->forget;
    my $r = $t->get($path, headers => [ Host => 'public.test' ]);
    is $r->status, 200, "$path: answered";
    my $seen = seen($b{$name});
    is $seen && $seen->target, $target, "$path: path";
    is $seen && $seen->header('Host'), $host, "$path: Host";
}

# Connections are kept, and belong to one socket.
{
    $_->stop, $_->forget, $_->start for $b{a};
    $t->get('/u/x') for 1 .. 3;
    is $b{a}->connections, 1, 'three requests, one connection';
    my $r = $t->request(path => '/u/x', body => 'y' x 100000);
    like $r->body, qr/^body-length: 100000$/m, 'a body';
    is $t->get('/u/x?reply-size=500000')->body_length, 500000, 'a response';
    is $b{a}->connections, 1, 'still one';
}
{
    my $r = $t->get('/u/x?reply-status=302&reply-header=Location:%20http://app-a/login');
    is $r->header('Location'), 'http://127.0.0.1:' . $t->port . '/u/login', 'ProxyPassReverse by the pseudo host';
    is $t->get('/u/secret')->status, 403, '<Proxy> by the pseudo host';
    $t->allow(qr/AH01630/);
}

# Failures.
for my $row ([ missing => 503 ], [ stale => 503 ], [ file => 503 ]) {
    my ($name, $status) = @$row;
    is $t->get("/$name/x")->status, $status, "$name socket: $status";
    $t->claim_fault('RP0102', route => "/$name/", phase => 'connecting', count => 1);
}
only_ours {
    my ($line) = $t->wait_log(qr{RP0102.*/missing/});
    like $line, qr{No such file or directory.*missing\.sock}, 'the log names the socket and the reason';
} 'its lines are its own';
{
    my $r = $t->get('/sleepy/x');
    is $r->status, ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)'), 'silent backend';
    cmp_ok $r->time, '<', 2.2, 'timeout= holds for sockets';
    $t->claim_fault('RP0302', route => '/sleepy/', phase => 'waiting for the response', count => 1);
}
# It was replaced, as a deployment does.
{
    $b{a}->stop;
    sleep 0.1;    # its processes end, and their connections
    is $t->get('/u/x')->status, 503, 'socket without listener';
    $t->claim_fault('RP0102', route => '/u/', phase => 'connecting', count => 1);
    $b{a}->start;
    is $t->get('/u/x')->status, 200, 'a new listener on the same path';
}

$t->allow(qr/AH00161/) if mpm eq 'prefork';    # its one child is busy
$t->finish;
done_testing;
