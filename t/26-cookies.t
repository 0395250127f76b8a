# ProxyPassReverseCookiePath and ProxyPassReverseCookieDomain (compatibility 16.3).

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(headers)],
    config   => <<'EOT');
    ProxyPass /m/ %%URL:app%%/
    <Location /m/>
        ProxyPassReverseCookiePath   /own   /m/own
        ProxyPassReverseCookiePath   /      /m/
        ProxyPassReverseCookieDomain backend.example  www.example.test
        ProxyPassReverseCookieDomain .dotted.example  .example.test
        ProxyPassReverseCookieDomain short.example    a.very.long.domain.name.example.test
    </Location>
    # for the whole server
    ProxyPass /mirror/ %%URL:app%%/
    <Location /mirror/>
        ProxyPassReverseCookiePath / /mirror/
    </Location>
    ProxyPass /none/ %%URL:app%%/
    # inner entries come after outer ones
    <Location /m/in/>
        ProxyPassReverseCookiePath /own /inner
        ProxyPassReverseCookiePath /in  /inner
    </Location>
    # accepted in other sections, too
    <Directory %%DOCROOT%%>
        ProxyPassReverseCookiePath / /d/
    </Directory>
EOT

sub cookie {
    my ($value, $path) = @_;
    return $t->get(($path // '/m/') . 'x', headers => [ 'X-Reply-Header' => "Set-Cookie: $value" ])->header('Set-Cookie');
}

sub becomes {
    my ($value, $want, $name, $path) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is cookie($value, $path), $want, "$value -> $want" . ($name ? ": $name" : '');
    return;
}

# path
becomes 'a=b; Path=/',            'a=b; Path=/m/';
becomes 'a=b; Path=/foo/bar',     'a=b; Path=/m/', 'the whole value is replaced';
becomes 'a=b; PATH=/x; Secure',   'a=b; PATH=/m/; Secure', 'any case, the rest stays';
becomes 'a=b;path=/',             'a=b;path=/m/', 'no space';
becomes 'a=b;   path=/',          'a=b;   path=/m/', 'many spaces';
becomes 'a=b; Path = /',          'a=b; Path = /', 'spaces around =: no attribute';
becomes 'a=b; Path=/own/x',       'a=b; Path=/m/own', 'the first entry that matches';
becomes 'a=b; Path=/OWN/x',       'a=b; Path=/m/', 'case counts in paths';
becomes 'a=b; Path=x',            'a=b; Path=x', 'no match';
becomes 'a=b; Path=',             'a=b; Path=';
becomes 'a=b; Path=/; Path=/own', 'a=b; Path=/; Path=/m/own', 'the last one counts';
becomes 'a=b; Path=/own; Path=x', 'a=b; Path=/own; Path=x', 'also where it does not match';
becomes 'a=b; xpath=/',           'a=b; xpath=/';
becomes 'a=/; c',                 'a=/; c', 'the value is no attribute';

# domain
becomes 'a=b; Domain=backend.example',      'a=b; Domain=www.example.test';
becomes 'a=b; domain=BackEnd.Example; x=y', 'a=b; domain=www.example.test; x=y', 'any case';
becomes 'a=b; Domain=.backend.example',     'a=b; Domain=.backend.example', 'a leading dot is not skipped';
becomes 'a=b; Domain=.dotted.example',      'a=b; Domain=.example.test';
becomes 'a=b; Domain=backend.example.com',  'a=b; Domain=www.example.test', 'a prefix, and all of it is replaced';
becomes 'a=b; Domain=other.example',        'a=b; Domain=other.example';

# both, in either order, longer and shorter
becomes 'a=b; Path=/; Domain=backend.example; HttpOnly', 'a=b; Path=/m/; Domain=www.example.test; HttpOnly';
becomes 'a=b; Domain=backend.example; Path=/',           'a=b; Domain=www.example.test; Path=/m/';
becomes 'a=b; Domain=short.example; Path=/long/path/of/a/cookie', 'a=b; Domain=a.very.long.domain.name.example.test; Path=/m/';
becomes 'a=b; Path=/long/path/of/a/cookie; Domain=short.example', 'a=b; Path=/m/; Domain=a.very.long.domain.name.example.test';

# where
becomes 'a=b; Path=/', 'a=b; Path=/', 'another place', '/none/';
becomes 'a=b; Path=/', 'a=b; Path=/mirror/', 'a path of the whole server', '/mirror/';
becomes 'a=b; Path=/own/x', 'a=b; Path=/m/own', 'the outer entry first', '/m/in/';
becomes 'a=b; Path=/in/x',  'a=b; Path=/m/', 'the outer entry first', '/m/in/';

# several cookies stay several lines
{
    my $r = $t->get('/m/x?reply-header=Set-Cookie:%20a=1%3b%20Path=/&reply-header=Set-Cookie:%20b=2&reply-header=Set-Cookie:%20c=3%3b%20Path=/own');
    is_deeply [ $r->all('Set-Cookie') ], [ 'a=1; Path=/m/', 'b=2', 'c=3; Path=/m/own' ], 'in order';
}

# other fields are left alone
is $t->get('/m/x', headers => [ 'X-Reply-Header' => 'Set-Cookie2: a=b; Path=/' ])->header('Set-Cookie2'), 'a=b; Path=/', 'Set-Cookie2';

$t->finish;
done_testing;
