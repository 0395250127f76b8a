# conf-examples/01-first-proxy.conf with traffic: a Node application behind it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Socket::INET;
use Time::HiRes qw(time sleep);
use RevProxy;

my ($node) = grep {-x} map {"$_/node"} split /:/, $ENV{PATH};
plan skip_all => 'no node here' if !$node;

my $port = RevProxy::Ports::reserve();
my ($app, $out);

sub start_app {
    $app = open $out, '-|', $node, "$RevProxy::TOP/t/lib/app.js", $port or die "node: $!\n";
    $RevProxy::CHILDREN{$app} = 'node';
    <$out> =~ /listening/ or die "node does not listen\n";
    return;
}
sub stop_app { kill KILL => $app; close $out; delete $RevProxy::CHILDREN{$app}; return }

start_app();
my $t = RevProxy->new(
    modules => [ RevProxy->example_modules('01-first-proxy.conf') ],
    config  => RevProxy->example('01-first-proxy.conf', '*:80' => '*:%%PORT%%', 3000 => $port),
);
my @host = (Host => 'yourdomain.com');

my $r = $t->get('/', headers => [@host]);
is $r->status, 200, 'the application answers';
like $r->body, qr{<h1>Your application</h1>}, 'with its page';
is $r->header('Content-Type'), 'text/html', 'and its fields';
$r = $t->get('/account', headers => [@host]);
is $r->status, 302, 'it redirects';
is $r->header('Location'), 'http://yourdomain.com/login', 'to its public address';
is $t->get('/login', headers => [@host])->body, "log in here\n", 'where the login page is';
is $t->get('/nothing', headers => [@host])->status, 404, 'its 404 is its own';
like $t->get('/headers', headers => [@host])->body, qr{"x-forwarded-for":"127\.0\.0\.1","x-forwarded-host":"yourdomain\.com"}, 'X-Forwarded-*';
is $t->request(path => '/upload', headers => [@host], body => 'x' x 700_000)->body, "700000 bytes\n", 'an upload';
is $t->request(path => '/upload', headers => [@host], chunks => [ ('x' x 10_000) x 9 ])->body, "90000 bytes\n", 'in chunks';

# Node closes idle connections; nobody is to notice.
{
    my @status;
    for my $n (1 .. 12) {
        push @status, $t->get('/login', headers => [@host])->status;
        sleep 0.19 + 0.002 * $n;
    }
    only_ours { is "@status", join(' ', (200) x 12), 'requests as its keepalive connections end' } 'it does not send again';
}
# It streams.
{
    my $k = $t->connect;
    my $since = time;
    my ($first, $done);
    $k->send_request(path => '/slow', headers => [@host]);
    my $slow = $k->read_response(sink => sub { $first //= time - $since });
    is $slow->body, "first\nsecond\n", 'a page in two pieces';
    cmp_ok $slow->time - $first, '>', 0.2, 'the first comes while the second is not there';
}
# The logs are where the example says.
like RevProxy::slurp($t->dir . '/logs/yourapp_access.log'), qr{"GET /account HTTP/1\.1" 302 \d+ "-" "-"$}m, 'access log, combined';
stop_app();
is $t->get('/', headers => [@host])->status, 503, 'the application is down: 503';
only_ours {
    like RevProxy::slurp($t->dir . '/logs/yourapp_error.log'), qr{Connection refused: .*RP0102 .*route / backend http://127\.0\.0\.1:$port},
        'and the error log of the example says so';
} 'its lines are its own';
start_app();
is $t->get('/', headers => [@host])->status, 200, 'and up again: 200';
stop_app();

$t->finish;
done_testing;
