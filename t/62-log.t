# What the access log and the error log say of proxied requests: statuses, bytes, times, notes, levels.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $uds = RevProxy::Backend->echo(unix => 1);
my $cut = RevProxy::Backend->new(name => 'cut', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    $c->send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" . 'x' x 100);
});
my $mute = RevProxy::Backend->new(name => 'mute', handler => sub { $_[0]->read_request; $_[0]->pause(3) });

my $config = <<'EOT';
    ProxyPass /app/  %%URL:app%%/
    ProxyPass /uds/  unix:%%SOCK:uds%%|http://localhost/
    ProxyPass /cut/  %%URL:cut%%/
    ProxyPass /mute/ %%URL:mute%%/ timeout=1
    ProxyPass /gone/ http://127.0.0.1:%%PORT:gone%%/
    <Location /app/over>
        ProxyErrorOverride On
    </Location>
    LogFormat "%r|%>s|%b|%B|%D|%X|%I|%O|%R|%{proxy-status}n|%{proxy-source-port}n|%{proxy_timedout}n|%{X-Out}o|%{X-In}i|%f" proxied
    CustomLog %%DIR%%/logs/proxied.log proxied
EOT
my $t = RevProxy->new(
    backends => { app => $app, uds => $uds, cut => $cut, mute => $mute },
    modules  => ['logio'],
    config   => $config . 'LogLevel proxy:debug proxy_http:debug mod_proxy.c:debug' . "\n",
);

my @names = qw(request status b B us X in out handler proxy_status source_port timedout out_field in_field file);
my $lines = 0;

# The log's line for one request.
sub logged {
    my (@request) = @_;
    my $r = $t->request(@request);
    $lines++;
    for (1 .. 300) {
        my @all = split /\n/, RevProxy::slurp($t->dir . '/logs/proxied.log');
        if (@all >= $lines) {
            my %line;
            @line{@names} = split /\|/, $all[-1];
            return ($r, \%line);
        }
        select undef, undef, undef, 0.01;
    }
    return ($r, {});
}

{
    my ($r, $l) = logged(path => '/app/x?reply-size=12345&reply-header=X-Out:%20o', headers => [ 'X-In' => 'i' ]);
    is $l->{status}, 200, '%>s';
    is $l->{b}, 12345, '%b: bytes of the body';
    is $l->{B}, 12345, '%B';
    is $l->{out}, length($r->raw_head) + 12345, '%O: all bytes sent';
    cmp_ok $l->{in}, '>', 50, '%I: bytes of the request';
    is $l->{X}, '+', '%X: the connection stays';
    is $l->{handler}, 'proxy-server', '%R: the handler\'s name';
    is $l->{proxy_status}, 200, 'note proxy-status';
    is $l->{out_field} . $l->{in_field}, 'oi', 'fields of response and request';
    is $l->{file}, 'proxy:' . $app->url . '/x?reply-size=12345&reply-header=X-Out:%20o', '%f';
    like $l->{source_port}, qr/\A\d+\z/, 'note proxy-source-port';
}
{
    my ($r, $l) = logged(path => '/app/x?reply-size=12345&reply-chunked=1000');
    is $l->{b}, 12345, '%b of a chunked body';
    is $l->{out} > 12345, 1, '%O of it';
    ($r, $l) = logged(method => 'HEAD', path => '/app/x?reply-size=12345');
    is $l->{b}, '-', '%b of HEAD';
    ($r, $l) = logged(path => '/app/x', body => 'x' x 20000);
    cmp_ok $l->{in}, '>', 20000, '%I of an upload';
    ($r, $l) = logged(path => '/app/x?reply-delay=0.4');
    cmp_ok $l->{us}, '>', 390_000, '%D of a slow backend';
    cmp_ok $l->{us}, '<', 400_000 + 800_000 * $RevProxy::SLOW, '%D and not more';
    ($r, $l) = logged(path => '/app/x?reply-status=404');
    is "$l->{status} $l->{proxy_status}", '404 404', 'an error of the backend';
    ($r, $l) = logged(path => '/app/over?reply-status=503');
    is "$l->{status} $l->{proxy_status}", '503 503', 'one with another page';
    is $l->{b}, length $r->body, 'whose bytes count';
    ($r, $l) = logged(path => '/uds/x');
    is $l->{source_port}, '-', 'a unix socket has no port' if front() ne 'mod_proxy';
}
{
    my ($r, $l) = logged(path => '/gone/x');
    is "$l->{status} $l->{proxy_status} $l->{timedout}", '503 - -', 'no backend: no status of it';
    ($r, $l) = logged(path => '/cut/x');
    is "$l->{status} $l->{b} $l->{X}", '200 100 -', 'a body that was cut: the bytes that went, and the end of the connection';
    ($r, $l) = logged(path => '/mute/x');
    is "$l->{status} $l->{timedout}", ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)') . ' 1', 'note proxy_timedout';
    $t->claim_fault('RP0102', route => '/gone/', phase => 'connecting', count => 1);
    $t->claim_fault('RP0401', route => '/cut/', phase => 'relaying the response body', count => 1);
    $t->claim_fault('RP0302', route => '/mute/', phase => 'waiting for the response', count => 1);
}
is scalar($t->access_log($lines)), $lines, 'one line per request';
$t->allow(qr/:debug\]/);
$t->finish;

# --- LogLevel ---

for my $row ([ 'warn', 1, 0 ], [ 'revproxy:crit', 0, 0 ], [ 'revproxy:info', 1, 1 ], [ 'proxy_http:crit', 1, 0 ]) {
    my ($level, $error, $info) = @$row;
    last if front() eq 'mod_proxy';
    my $q = RevProxy->new(backends => { app => $app }, loglevel => $level =~ /revproxy/ ? $level : "revproxy:warn $level",
        config => "ProxyPass /gone/ http://127.0.0.1:%%PORT:gone%%/\nProxyPass /app/ %%URL:app%%/\n");
    $q->get('/gone/x');
    $q->get('/app/x', headers => [ 'Max-Forwards' => 0 ]);
    $q->access_log(2);
    is scalar(grep {/RP0102/} $q->error_log), $error, "$level: errors";
    is scalar(grep {/RP0208/} $q->error_log), $info, "$level: what clients did";
    $q->allow(qr/RP0102/);
    $q->finish;
}

done_testing;
