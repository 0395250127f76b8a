# %{...}^rp in access logs: what an exchange came to.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

if (front() ne 'revproxy') {
    plan skip_all => 'mod_proxy has no such log formats';
}

my $app = RevProxy::Backend->new(sub {
    my ($c) = @_;
    my $n = 0;
    while (my $q = $c->read_request) {
        $c->pause(0.2) if $q->{target} =~ /slow/;
        return if $q->{target} =~ /again/ && $n++ > 0; # a pooled connection that closes
        $c->respond(200, [], 'ok');
    }
});
my $t = RevProxy->new(one_child => 1, backends => { app => $app }, config => <<'EOT');
    ProxyPass /app/  http://127.0.0.1:%%PORT:app%%/
    ProxyPass /gone/ http://127.0.0.1:1/
    ErrorDocument 503 "away"
    LogFormat "%U %{backend}^rp %{attempts}^rp %{code}^rp %{connect}^rp %{answer}^rp %{total}^rp %{nonsense}^rp" rp
    CustomLog %%DIR%%/logs/rp.log rp
    <Location /local>
        SetHandler none
    </Location>
EOT

sub logged {
    my ($path) = @_;
    my $line;
    for (1 .. 50) {
        open my $fh, '<', $t->dir . '/logs/rp.log' or die $!;
        ($line) = grep { /^\Q$path\E / } <$fh>;
        last if $line;
        select undef, undef, undef, 0.02;
    }
    return split ' ', $line // '';
}

my $url = 'http://127.0.0.1:' . $app->port . '/';
is $t->get('/app/slow')->status, 200, 'answered';
my (undef, $backend, $attempts, $code, $connect, $answer, $total, $nonsense) = logged('/app/slow');
is $backend,  $url, 'backend';
is $attempts, 1,    'one attempt';
is $code,     '-',  'no code';
cmp_ok $connect, '<',  100_000 * $RevProxy::SLOW, 'connected soon';
cmp_ok $answer,  '>=', 190_000, 'answered late';
cmp_ok $total,   '>=', $answer, 'and ended after that';
is $nonsense, '-', 'an unknown word says nothing';

$t->get('/app/again1');
is $t->get('/app/again2')->status, 200, 'a stale connection costs nothing';
is +(logged('/app/again2'))[2], 2, 'but a second attempt';

is $t->get('/gone/x')->status, 503, 'nobody there';
(undef, $backend, $attempts, $code, $connect, $answer) = logged('/gone/x');
is $backend, 'http://127.0.0.1:1/', 'backend';
is $code,    'RP0102',              'the code of the error log';
is $answer,  '-',                   'never answered';
$t->claim(qr/RP0102/, 'which has it, too');

$t->get('/local');
is +(logged('/local'))[1], '-', 'a request that was not proxied has nothing to say';

$t->finish;
done_testing;
