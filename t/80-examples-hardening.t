# conf-examples/08-hardening.conf with traffic: each of its lines does what it says.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes 'time';
use RevProxy;

my ($cert, $key) = RevProxy->certificate('yourdomain.com');
my $app = RevProxy::Backend->echo;

# Only ports, paths and times are changed: a test does not wait for 20 seconds.
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [ RevProxy->example_modules('08-hardening.conf'), 'alias' ],
    config   => "Listen 127.0.0.1:%%PORT:tls%%\n" . RevProxy->example('08-hardening.conf',
        '*:80' => '*:%%PORT%%', '*:443' => '*:%%PORT:tls%%', 3000 => '%%PORT:app%%', '/path/to/your/certificate.crt' => $cert,
        '/path/to/your/private.key' => $key, 'ProxyTimeout 20' => 'ProxyTimeout 1', 'Timeout 30' => 'Timeout 3',
        'header=10-20' => 'header=1-2', 'body=10' => 'body=1', '10.0.0.0/8' => '127.0.0.2', 'rate-limit 400' => 'rate-limit 100'),
);
my $port = $t->port_of('tls');
my @curl = ('-s', '-k', '--resolve', "yourdomain.com:$port:127.0.0.1");
my $site = "https://yourdomain.com:$port";

sub seen { my @all = $app->requests; return $all[-1] }
sub ask  { my (@args) = @_; return $t->curl(@curl, '-i', @args)->{out} }
sub status { my ($out) = @_; my @all = $out =~ m{^HTTP/\S+ (\d+)}mg; return $all[-1] }
sub field { my ($out, $name) = @_; my @all = $out =~ /^\Q$name\E: ([^\r\n]*)/mig; return join '|', @all }

# --- what visitors are told ---

my %wanted = (
    'Strict-Transport-Security' => 'max-age=31536000; includeSubDomains',
    'X-Content-Type-Options'    => 'nosniff',
    'X-Frame-Options'           => 'SAMEORIGIN',
    'Server'                    => 'Apache',
    'X-Powered-By'              => '',
);
my $tells = 'reply-header=Server:%20tomcat/9.0.1&reply-header=X-Powered-By:%20PHP/5.2';
my $page  = ask("$site/x?$tells");
my $none  = ask("$site/x?$tells&reply-status=404");
my $error = ask("$site/.git/config");
for my $name (sort keys %wanted) {
    is field($page,  $name), $wanted{$name}, "$name on a page";
    is field($none,  $name), $wanted{$name}, '... on the application\'s own error';
    is field($error, $name), $wanted{$name}, '... and on ours';
}
is status($page) . status($none) . status($error), '200404403', 'which these were';
unlike $error, qr/Apache/ , 'no signature on the error page' if $error =~ s/^Server: Apache\r$//m;
my $plain = $t->get('/a?b=c', headers => [ Host => 'yourdomain.com' ]);
is $plain->status . ' ' . $plain->header('Location'), '301 https://yourdomain.com/a?b=c', 'plain HTTP leads to HTTPS';
is status(ask('-X', 'TRACE', "$site/x")), 405, 'no TRACE';

# --- what the application is told ---

ask('-H', 'X-Forwarded-Proto: http', '-H', 'X-Forwarded-For: 9.9.9.9', '-H', 'Connection: X-Forwarded-Proto, X-Forwarded-For', "$site/x");
is seen()->header('Host'), "yourdomain.com:$port", 'the public Host';
is seen()->header('X-Forwarded-For'), '127.0.0.1', 'the visitor\'s address, and nothing that he made up';
only_ours {
    is seen()->header('X-Forwarded-Proto'), 'https', 'https';
    is seen()->header('X-Forwarded-Port'), $port, 'the port';
} 'RevProxyForwarded';

# --- who may go where ---
{
    my $before = () = $app->requests;
    is status(ask("$site$_")), 403, "$_ is closed" for '/admin', '/admin?x', '/admin/', '/admin/x', '//admin', '/.git/config', '/a/.env', '/admin/../admin/x';
    is scalar(my @now = $app->requests), $before, 'the application does not see that';
    is status(ask('--interface', '127.0.0.2', "$site/admin/x")), 200, 'the right network may';
}

# --- how much ---
{
    my $file = $t->dir . '/var/large';
    RevProxy::write_file($file, 'x' x 10_485_761);
    is status(ask('-H', 'Expect:', '-T', $file, "$site/upload")), 413, 'LimitRequestBody';
    my $since = time;
    my $size  = 150 * 1024;
    is length($t->curl(@curl, "$site/download/x?reply-size=$size")->{out}), $size, 'a download';
    cmp_ok time - $since, '>', 1, '... at the rate of mod_ratelimit';
    $since = time;
    is length($t->curl(@curl, "$site/x?reply-size=$size")->{out}), $size, 'elsewhere';
    cmp_ok time - $since, '<', 1, '... at full speed';
}

# --- how long ---
{
    my $since = time;
    is status(ask("$site/x?reply-delay=4")), ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)'), 'ProxyTimeout';
    cmp_ok time - $since, '<', 3, '... in time';

    $since = time;
    my $r = $t->raw("GET / HTTP/1.1\r\nHost: yourdomain.com\r\n", idle => 6);
    like $r, qr{^HTTP/1\.1 408 }, 'a head that does not come: mod_reqtimeout';
    cmp_ok time - $since, '<', 5, '... in time';
}
{
    my $since = time;
    my $k = $t->connect(to => 'tls', tls => 1);
    $k->send("POST /slow HTTP/1.1\r\nHost: yourdomain.com\r\nContent-Length: 3000\r\n\r\nabc");
    is $k->read_response->status, 408, 'a body that does not come: mod_reqtimeout';
    cmp_ok time - $since, '<', 5, '... in time';
}
only_ours {
    like RevProxy::slurp($t->dir . '/logs/yourapp_error.log'), qr{RP0302 .*route / .*phase waiting for the response}, 'the log of the example names it';
} 'its lines are its own';
$t->allow(qr/AH0\d{4}|RP0507|RP050[123]/);
$t->finish;
done_testing;
