# ProxyPassInterpolateEnv: ${VAR} in routes and in the mappings of the way back.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $b1 = RevProxy::Backend->echo;
my $b2 = RevProxy::Backend->echo;
my $t  = RevProxy->new(
    backends => { one => $b1, two => $b2 },
    modules  => [qw(setenvif rewrite env headers)],
    docs     => { 'dyn/x' => "local\n" },
    config   => <<'EOT');
    SetEnvIf X-Tenant (.+) TENANT=$1
    SetEnvIf X-Host   (.+) APP_HOST=$1
    SetEnvIf X-Where  (.+) WHERE=$1
    RewriteEngine On
    RewriteRule ^/i/ - [E=FROMRW:rw]
    ProxyPassInterpolateEnv On
    ProxyPass /i/    %%URL:one%%/${TENANT}/${FROMRW}/ interpolate
    ProxyPass /two/  %%URL:one%%/${TENANT}${TENANT}x${NONE}y/ interpolate
    ProxyPass /no/   %%URL:one%%/${TENANT}/
    ProxyPass /open/ "%%URL:one%%/a${b" interpolate
    ProxyPass /host/ http://${APP_HOST}/h/ interpolate
    ProxyPass /pub${WHERE}/ %%URL:one%%/pub/ interpolate
    ProxyPassMatch ^/m/(.*)$ %%URL:one%%/${TENANT}/$1 interpolate
    ProxyPassReverse /i/  http://${TENANT}.example/ interpolate
    ProxyPassReverse /${TENANT}/i/ http://pub.example/ interpolate
    ProxyPassReverse /i/  http://${FROMRW}.plain.example/
    ProxyPassReverseCookiePath   /${TENANT} /i interpolate
    ProxyPassReverseCookieDomain ${TENANT}.example www.example interpolate
    ProxyPassReverseCookieDomain late${LATE}.example www.example interpolate
    SetEnv LATE set
    <Location /off/>
        ProxyPassInterpolateEnv Off
        ProxyPass %%URL:one%%/${TENANT}/ interpolate
        ProxyPassReverse http://${TENANT}.example/ interpolate
    </Location>
    <Location /inloc/>
        ProxyPass %%URL:one%%/loc/${TENANT}/ interpolate
    </Location>
EOT

sub outcome {
    my ($path, %headers) = @_;
    $_->forget for $b1, $b2;
    my $r = $t->get($path, headers => [%headers]);
    my @seen = (map({ '1 ' . $_->target } $b1->requests), map({ '2 ' . $_->target } $b2->requests));
    return @seen ? "@seen" : $r->status;
}

is outcome('/i/x', 'X-Tenant' => 'acme'),    '1 /acme/rw/x', 'variables of SetEnvIf and RewriteRule';
is outcome('/i/x'),                          '1 //rw/x', 'unknown: empty';
is outcome('/two/x', 'X-Tenant' => 'a'),     '1 /aaxy/x', 'several';
is outcome('/no/x', 'X-Tenant' => 'a'),      '1 /$%7BTENANT%7D/x', 'only where asked for';
is outcome('/open/x'),                       '1 /a$%7Bbx', 'a ${ without } is text';
is outcome('/m/x', 'X-Tenant' => 'a'),       '1 /a/x', 'in a pattern\'s target';
is outcome('/off/x', 'X-Tenant' => 'a'),     '1 /$%7BTENANT%7D/x', 'Off in a Location';
is outcome('/inloc/x', 'X-Tenant' => 'a'),   '1 /loc/a/x', 'in a Location';
is outcome('/pubq/x', 'X-Where' => 'q'),     '1 /pub/x', 'in the path';
is outcome('/pub/x'),                        '1 /pub/x';
is outcome('/host/x', 'X-Host' => '127.0.0.1:' . $b1->port), '1 /h/x', 'in the host';
is outcome('/host/x', 'X-Host' => 'LOCALHOST:' . $b2->port), '2 /h/x', 'per request';

# values are data
is outcome('/i/x', 'X-Tenant' => '${FROMRW}'), '1 /$%7BFROMRW%7D/rw/x', 'values are not expanded again';
is outcome('/i/x', 'X-Tenant' => 'a b?c#d%2f'), '1 /a%20b%3Fc%23d%252f/rw/x', 'values are encoded';
is outcome('/i/x', 'X-Tenant' => '../..'),   '1 /../../rw/x', 'values are the operator\'s affair';
is outcome('/m/x', 'X-Tenant' => '$1'), '1 /x/x', 'but before $n';
is outcome('/host/x', 'X-Host' => 'user@127.0.0.1:' . $b2->port),
    ours(502, mod_proxy => '2 /h/x', 'A1: no @ from a variable'), 'a variable does not bring a user along';
is outcome('/host/x', 'X-Host' => '127.0.0.1:' . $b1->port . '/..'), '1 /../h/x', 'a slash ends the host';
is outcome('/host/x', 'X-Host' => '127.0.0.1:x'), ours(400, mod_proxy => 500, 'it looks the whole up as a name'), 'no port';
is outcome('/host/x'), 400, 'no host';

# the way back
{
    my @mapped = map {
        $t->get('/i/x', headers => [ 'X-Tenant' => 'acme', 'X-Reply-Status' => 302, 'X-Reply-Header' => "Location: $_" ])->header('Location')
    } 'http://acme.example/y', 'http://pub.example/y', 'http://rw.plain.example/y', 'http://other.example/y';
    my $front = 'http://127.0.0.1:' . $t->port;
    is_deeply \@mapped, [ "$front/i/y", "$front/acme/i/y", 'http://rw.plain.example/y', 'http://other.example/y' ],
        'ProxyPassReverse';
    my @cookies = map {
        $t->get('/i/x', headers => [ 'X-Tenant' => 'acme', 'X-Reply-Header' => "Set-Cookie: a=b; $_" ])->header('Set-Cookie')
    } 'Path=/acme/z', 'Domain=acme.example', 'Path=/other', 'Domain=lateset.example', 'Domain=late.example';
    is_deeply \@cookies, [ 'a=b; Path=/i', 'a=b; Domain=www.example', 'a=b; Path=/other',
        'a=b; Domain=lateset.example', 'a=b; Domain=www.example' ],
        'cookies; SetEnv comes too late';
    is $t->get('/off/x', headers => [ 'X-Tenant' => 'acme', 'X-Reply-Status' => 302,
        'X-Reply-Header' => 'Location: http://acme.example/y' ])->header('Location'), 'http://acme.example/y', 'Off';
}

$t->allow(qr/test\.conf:\d+:|AH00111/);    # ${X} is meant for the requests
if (front() eq 'mod_proxy') {
    $t->allow(qr/AH01083|AH01144|AH01114|AH00957|AH00898/);
}
else {
    $t->claim(qr/RP0603 .*route \/host\//, 'an @: RP0603', count => 1);
    $t->claim(qr/RP0207 .*route \/host\//, 'no host, no port: RP0207', count => 2);
}
$t->finish;
done_testing;
