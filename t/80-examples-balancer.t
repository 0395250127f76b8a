# conf-examples/03-balancer.conf and 04-sticky-sessions.conf with traffic.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;

my %m = RevProxy::Members->make(qw(one two three four five six));
my @where = ('*:80' => '*:%%PORT%%', '10.0.0.1:8080' => '127.0.0.1:' . $m{one}->port, '10.0.0.2:8080' => '127.0.0.1:' . $m{two}->port);
my @more = map { my ($from, $name) = @$_; ($from => '127.0.0.1:' . $m{$name}->port) }
    [ '10.0.0.1:8081' => 'three' ], [ '10.0.0.2:8081' => 'four' ], [ '10.0.0.1:8082' => 'five' ], [ '10.0.0.2:8082' => 'six' ];
my @host = (Host => 'yourdomain.com');

sub start {
    my ($name, @more) = @_;
    return RevProxy->new(backends => \%m, modules => [ RevProxy->example_modules($name) ], config => RevProxy->example($name, @where, @more));
}

my $t = start('03-balancer.conf');
is who($t, '/x', 4, headers => [@host]), 'one two one two', 'two share the requests';
is $t->get('/a/b?c=d', headers => [@host])->body, 'one /a/b?c=d', 'paths are as they were';
$m{one}->stop;
is who($t, '/x', 4, headers => [@host]), 'two two two two', 'one is down';
is $t->request(method => 'POST', path => '/x', headers => [@host], body => 'form')->status, 200, 'POST, too';
like RevProxy::slurp($t->dir . '/logs/yourapp_error.log'), ours(qr/RP0111/, mod_proxy => qr/AH00959/, ''), 'the log says so';
$m{one}->start;
$t->finish;

only_ours {
    $t = start('04-sticky-sessions.conf', @more);
    is who($t, '/shop/x', 3, headers => [ @host, Cookie => "JSESSIONID=01.$_->[0]" ]), join(' ', ($_->[1]) x 3), "JSESSIONID, $_->[0]"
        for [ a => 'one' ], [ b => 'two' ];
    is who($t, '/shop/x;jsessionid=01.b;y=z?q=1', 3, headers => [@host]), 'two two two', 'jsessionid in the URL';
    for my $path ('/classic/x', '/x') {
        my $r = $t->get($path, headers => [@host]);
        my ($cookie) = ($r->header('Set-Cookie') // '') =~ /^(\w+=[^;]+)/;
        ok $cookie, "$path: a cookie" or next;
        is who($t, $path, 3, headers => [ @host, Cookie => $cookie ]), join(' ', ($r->header('X-Member')) x 3), '... that leads back';
    }
    # ProxyPassReverse knows members only, so those of one part must not be another's
    is $t->get("$_/redirect", headers => [@host])->header('Location'), "http://yourdomain.com$_/there", "$_/redirect leads back to its own part"
        for '/classic', '';
    $t->finish;
} 'stickycookie= is ours';

done_testing;
