# A connection with a clogging input filter has its requests read one after the other in one thread. Those that wait are parked there,
# too: httpd reads the next only when it knows that the connection stays.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time);
use RevProxy;
use RevProxy::Load;
use RevProxy::Module;

plan skip_all => 'only the event MPM parks' if mpm() ne 'event' || front() ne 'revproxy';

my $backd = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, threads => 4, config => RevProxy::Module::load('clog') . <<'EOT');
    ProxyPass /app/ %%URL:backd%%/
EOT

my $c = $t->connect;
$c->send(join '', map {"GET /app/?ms=100&mark=m$_&size=3 HTTP/1.1\r\nHost: x\r\n\r\n"} 1 .. 3);
is eval { $c->read_response->body }, "m$_\n", "an answer that takes its time, $_ of 3 on one connection" for 1 .. 3;

for my $n (4 .. 6) {
    $c->send("GET /app/?ms=@{[ $n == 5 ? 0 : 100 ]}&mark=m$n&size=3 HTTP/1.1\r\nHost: x\r\n\r\n");
    is eval { $c->read_response->body }, "m$n\n", "one after the other, $n";
}
$c->close;    # its thread waits for the next request

my @many = map { $t->connect } 1 .. 20;
$_->send("GET /app/?ms=1000&mark=x&size=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") for @many;
my $began = time;
my $right = grep { (eval { $_->read_response->body } // '') eq "x\n" } @many;
is $right, @many, '20 wait at once, with four threads';
cmp_ok time - $began, '<', 3 * $RevProxy::SLOW, '... in none of them';

$t->allow(qr/AH00484/);    # no thread is left for a moment
$t->finish;
done_testing;
