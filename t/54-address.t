# Which addresses a target's name leads to: several of them, names that change or do not exist, IPv6, and
# the address that we connect from.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Names;

plan skip_all => 'the system has no IPv6 on its loopback interface'
    if !IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1);

sub whose { my ($c, $r) = @_; $c->respond(200, [], join ' ', $c->{socket}->sockhost, $c->{socket}->peerhost, $r->header('Host')) }

my $v4    = RevProxy::Backend->new(name => 'v4', answer => \&whose);
my $other = RevProxy::Backend->new(name => 'other', host => '127.0.0.2', port => $v4->port, answer => \&whose);
my $v6    = RevProxy::Backend->new(name => 'v6', host => '::1', answer => \&whose);
my $port  = $v4->port;

my $names = RevProxy::Names->new(
    'both.test'  => [ '::1', '127.0.0.1' ],       # nobody listens on the first
    'third.test' => [ '::1', '127.0.0.3', '127.0.0.1' ],
    'dead.test'  => [ '127.0.0.3', '::1' ],
    'moves.test' => ['127.0.0.1'],
    'stays.test' => ['127.0.0.1'],
    'fresh.test' => ['127.0.0.1'],
    'slow.test'  => [ 'slow', '127.0.0.1' ],
    'none.test'  => [],
    'later.test' => [],
    'vary.test'  => ['127.0.0.1'],
    'moved.test' => ['127.0.0.3'],
);
my @one_child = mpm eq 'prefork' ? (process => "ServerLimit 1\nStartServers 1\nMaxRequestWorkers 1\nMaxConnectionsPerChild 0") : ();
my $t = RevProxy->new(
    backends => { v4 => $v4, v6 => $v6 },
    modules  => ['rewrite'],
    env      => { $names->env },
    @one_child,
    config => <<'EOT');
    ProxyPass /both/  http://both.test:%%PORT:v4%%/
    ProxyPass /third/ http://third.test:%%PORT:v4%%/
    ProxyPass /dead/  http://dead.test:%%PORT:v4%%/
    ProxyPass /moves/ http://moves.test:%%PORT:v4%%/ addressttl=1
    ProxyPass /stays/ http://stays.test:%%PORT:v4%%/
    ProxyPass /fresh/ http://fresh.test:%%PORT:v4%%/ disablereuse=On
    ProxyPass /slow/  http://slow.test:%%PORT:v4%%/
    ProxyPass /none/  http://none.test:%%PORT:v4%%/
    ProxyPass /later/ http://later.test:%%PORT:v4%%/
    ProxyPass /moved/ http://moved.test:%%PORT:v4%%/
    ProxyPass /v6/    http://[::1]:%%PORT:v6%%/
    ProxyPass /V6/    http://[0:0:0:0:0:0:0:1]:%%PORT:v6%%/full/
    RewriteEngine On
    RewriteRule ^/vary/(.*)$ http://vary.test:%%PORT:v4%%/$1 [P]
    Listen 127.0.0.1:%%PORT:source%%
    <VirtualHost 127.0.0.1:%%PORT:source%%>
        ProxySourceAddress 127.0.0.9
        ProxyPass / %%URL:v4%%/source/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:nosource%%
    <VirtualHost 127.0.0.1:%%PORT:nosource%%>
        ProxyPass / %%URL:v4%%/source/
    </VirtualHost>
EOT

sub body_of { my ($path, %opt) = @_; my $r = $t->get($path, %opt); return $r->status == 200 ? $r->body : $r->status }

# --- several addresses ---

is body_of('/both/x'),  "127.0.0.1 127.0.0.1 both.test:$port", 'the first address refuses, the second answers';
is body_of('/third/x'), "127.0.0.1 127.0.0.1 third.test:$port", 'or the third';
is body_of('/dead/x'), 503, 'no address answers: 503';
$t->claim_fault('RP0102', route => '/dead/', phase => 'connecting', count => 1);
$t->allow(qr/AH00957/);

# --- IPv6 ---

is body_of('/v6/x'), '::1 ::1 [::1]:' . $v6->port, 'an IPv6 target, brackets in Host';
is body_of('/V6/x') =~ s/ \[.*//r, '::1 ::1', 'written at length';

# --- our own address ---

is body_of('/x', to => 'nosource'), "127.0.0.1 127.0.0.1 127.0.0.1:$port", 'without ProxySourceAddress';
is body_of('/x', to => 'source'), "127.0.0.1 127.0.0.9 127.0.0.1:$port", 'ProxySourceAddress';
is body_of('/x', to => 'nosource'), "127.0.0.1 127.0.0.1 127.0.0.1:$port", 'the two share no connection';

# --- names that do not resolve ---

for my $route (qw(/none/ /later/)) {
    my $r = $t->get("${route}x");
    is $r->status, ours(502, mod_proxy => 500, 'a fault of the backend is 502 here'), "$route does not resolve";
    is $r->reason, 'Proxy Error', 'Proxy Error';
    (my $host = $route) =~ s{/}{}g;
    like $r->body, qr{DNS lookup failure for: \Q$host.test\E}, 'the page names the host';
    $t->claim_fault('RP0101', route => $route, phase => 'connecting', count => 1);
}
$names->set('later.test' => ['127.0.0.1']);
is body_of('/later/x'), "127.0.0.1 127.0.0.1 later.test:$port", 'a failure is not remembered';
$t->allow(qr/AH00898/);

# --- how long an answer holds ---

is body_of("/$_/x"), "127.0.0.1 127.0.0.1 $_.test:$port", "$_: before" for qw(moves stays fresh vary);
is body_of('/moved/x'), 503, 'moved: nobody there';
$t->claim_fault('RP0102', route => '/moved/', phase => 'connecting', count => 1);
$names->set(map { ("$_.test" => ['127.0.0.2']) } qw(moves stays fresh vary moved));
is body_of('/moves/x'), "127.0.0.1 127.0.0.1 moves.test:$port", 'addressttl: holds until its end';
is body_of('/fresh/x'), "127.0.0.2 127.0.0.1 fresh.test:$port", 'disablereuse: asks each time';
sleep 2.1;
is body_of('/moved/x'), "127.0.0.2 127.0.0.1 moved.test:$port", 'no address answered: asks again';
# An answer past its end may serve one more request, while it is looked up.
body_of('/moves/x');
sleep 0.2;
is body_of('/moves/x'), "127.0.0.2 127.0.0.1 moves.test:$port", 'addressttl: asks after it; the old connection is not used';
is body_of('/stays/x'), "127.0.0.1 127.0.0.1 stays.test:$port", 'else one answer holds for the life of the child';
{
    # A target of a rewrite rule is looked up for each connection; the pooled one is good as long as it lives.
    $v4->stop;
    is body_of('/vary/x'), "127.0.0.2 127.0.0.1 vary.test:$port", '[P]: asked anew for a new connection';
    $v4->start;
}

# --- a slow resolver ---

SKIP: {
    skip 'one request at a time under prefork with one child', 3 if mpm eq 'prefork';
    my $k = $t->connect;
    $k->send_request(path => '/slow/x');
    sleep 0.1;
    my $r = $t->get('/both/x');
    cmp_ok $r->time, '<', 0.7 * $RevProxy::SLOW, 'a slow look-up does not hold up other requests';
    $r = $k->read_response;
    is $r->status, 200, 'and is waited for';
    cmp_ok $r->time, '>=', 0.9, 'as long as it takes';
}

$t->allow(qr/AH00161/) if mpm eq 'prefork';    # its one child is busy
$t->finish;
done_testing;
