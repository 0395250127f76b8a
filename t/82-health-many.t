# Health checks do not wait for each other; failures and passes count in a row; TLS and unix sockets; the state lasts over
# a graceful restart.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy has no hctimeout, 16 threads, and does not count in a row' if front eq 'mod_proxy';

my %m;
$m{well} = RevProxy::Backend->new(name => 'well', serial => 1,
    handler => sub { $_[0]->read_request and $_[0]->respond(200, [], 'x', close => 1) });
$m{frozen} = RevProxy::Backend->new(name => 'frozen', handler => sub { });
$m{frozen}->pause_accept;
# By its number, b: bad, g: good; good from there on.
my ($script, $n) = ('bgbgbgbbbgbgg', 0);
$m{moody} = RevProxy::Backend->new(name => 'moody', serial => 1, handler => sub {
    my ($c) = @_;
    $c->read_request or return;
    my $is_bad = ($n < length $script ? substr $script, $n, 1 : 'g') eq 'b';
    $n++;
    return $c->respond($is_bad ? 500 : 200, [], 'x', close => 1);
});
$m{sock} = RevProxy::Backend->new(name => 'sock', unix => 1, answer => sub { RevProxy::Members::answer('sock', @_) });
$m{bare} = RevProxy::Backend->new(name => 'bare', handler => sub { $_[0]->send("220 hello, this is no TLS\r\n"); $_[0]->pause(0.2) });
my $state = File::Temp::tempdir(CLEANUP => 1) . '/sick';
$m{patient} = RevProxy::Backend->new(name => 'patient', answer => sub { $_[0]->respond(-e $state ? 503 : 200, [], 'x') });

my ($cert, $key) = RevProxy->certificate('127.0.0.1');
sub pool {
    my ($name, $url, $params) = @_;
    return "<Proxy balancer://$name>\nSSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCACertificateFile $cert\n"
        . "BalancerMember $url hcinterval=200ms $params\n</Proxy>\nProxyPass /$name/ balancer://$name/\n";
}
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm ssl status)], docs => { 'x.txt' => "x\n" }, config => join '',
    <<"HEAD",
Listen 127.0.0.1:%%PORT:tls%%
<VirtualHost 127.0.0.1:%%PORT:tls%%>
    ProxyPassInherit Off
    BalancerInherit Off
    SSLEngine On
    SSLCertificateFile $cert
    SSLCertificateKeyFile $key
</VirtualHost>
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
HEAD
    pool('well', '%%URL:well%%', 'hcmethod=GET hcuri=/well'),
    map({ pool("frozen$_", '%%URL:frozen%%', 'hcmethod=HEAD timeout=60' . ($_ == 1 ? ' hctimeout=1' : '')) } 1 .. 30),
    pool('moody', '%%URL:moody%%', 'hcmethod=GET hcfails=2 hcpasses=2'),
    pool('sock', '%%URL:sock%%', 'hcmethod=GET11 hcuri=/sock'),
    pool('tls', 'https://127.0.0.1:%%PORT:tls%%', 'hcmethod=GET hcuri=/x.txt'),
    pool('notls', 'https://127.0.0.1:%%PORT:bare%%', 'hcmethod=GET'),
    pool('port', 'https://127.0.0.1:%%PORT:bare%%', 'hcmethod=TCP'),
    pool('patient', '%%URL:patient%%', 'hcmethod=OPTIONS'));
$t->allow(qr/RP011[4789]|RP0104|AH\d{5}|SSL Library Error/);

sub status { my ($name) = @_; my ($f) = values %{ figures($t, $name) }; return $f->{status} }
sub becomes {
    my ($name, $want) = @_;
    my $until = time + 10 * $RevProxy::SLOW;
    sleep 0.05 while status($name) ne $want && time < $until;
    return status($name);
}

# 30 checks hang, which would be more than mod_proxy's 16 threads.
ok $m{well}->wait_for(sub { $_[0]->requests >= 3 }, 4 * $RevProxy::SLOW), 'checks go on while thirty others hang';
is status('frozen2'), 'Init Ok', '... for five seconds';
is becomes('frozen1', 'Init HcFl'), 'Init HcFl', 'hctimeout=1';
is becomes('frozen2', 'Init HcFl'), 'Init HcFl', 'not for the minute that a request may wait';
$t->claim(qr/RP0117 .*balancer:..frozen1, HEAD ., timeout waiting for the response of backend: not through after 1000 ms/, 'log: a second');
$t->claim(qr/RP0117 .*balancer:..frozen2, HEAD ., .* not through after 5000 ms/, 'log: five');

ok $t->wait_log(qr/RP0118 .*balancer:..moody/, 10 * $RevProxy::SLOW), 'two passes in a row bring it back';
my @moody = map { /RP01(1\d)/ } grep {/balancer:..moody/} $t->error_log;
is "@moody", '19 19 19 19 17 18', 'two failures in a row take it out, no others';
my $at = $m{moody}->requests;
cmp_ok $at, '>=', 13, '... after as many checks as that takes';

is status('sock'), 'Init Ok', 'a member with a unix socket';
is scalar(grep { $_->target eq '/sock' && $_->header('Host') eq 'localhost:80' } $m{sock}->requests) > 0, 1, '... is asked';
is status('tls'), 'Init Ok', 'a member with TLS';
is becomes('notls', 'Init HcFl'), 'Init HcFl', '... one without';
is status('port'), 'Init Ok', '... whose port is open';
$t->claim(qr/RP0117 .*balancer:..notls, GET ., TLS handshake with backend failed/, 'log: why');

RevProxy::write_file($state, '');
is becomes('patient', 'Init HcFl'), 'Init HcFl', 'a member falls ill';
$t->reload_graceful;
is status('patient'), 'Init HcFl', '... and still is after a graceful restart';
unlink $state;
is becomes('patient', 'Init Ok'), 'Init Ok', '... until it is well again';
is scalar(my @out = grep {/RP0117 .*balancer:..patient/} $t->error_log), 1, '... which was logged once';
$t->finish;
done_testing;
