# How a path and a query reach the backend: encoding, nocanon, mapping=encoded and servlet,
# AllowEncodedSlashes.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(setenvif headers rewrite)],
    config   => <<'EOT');
    ProxyPass /a/   %%URL:app%%/
    ProxyPass /nc/  %%URL:app%%/nc/ nocanon
    ProxyPass /nx   %%URL:app%%/nx nocanon
    ProxyPassMatch ^/nm/(.*)$ %%URL:app%%/nm/$1 nocanon
    ProxyPassMatch ^/nw       %%URL:app%%       nocanon
    ProxyPassMatch \.raw$     %%URL:app%%       nocanon
    ProxyPass /enc/ %%URL:app%%/enc/ mapping=encoded
    ProxyPass "/sp%3Fecial" "%%URL:app%%/sp%3Fecial" mapping=encoded
    ProxyPass /mt   %%URL:app%%/mt mapping=servlet
    ProxyPass /ms/  %%URL:app%%/ms/ mapping=servlet
    ProxyPassMatch ^/em/(.*)$ %%URL:app%%/em/$1 mapping=encoded
    ProxyPassMatch ^/pm/(.*)$ %%URL:app%%/$1
    ProxyPass /tp/  "%%URL:app%%/a b%c/"
    <Location /loce/>
        ProxyPass %%URL:app%%/loce/ mapping=encoded
    </Location>
    <Location /mt/sec>
        Require all denied
    </Location>
    <Location /a/sec>
        Require all denied
    </Location>
    <Location /enc/sec>
        Require all denied
    </Location>
    ProxyPass /dots/ %%URL:app%%/
    <IfModule revproxy_module>
        <Location /dots>
            RevProxyRefuseDots Off
        </Location>
    </IfModule>
    RewriteEngine On
    RewriteRule ^/rwargs/(.*)$ %%URL:app%%/rw/$1?%{ENV:none}k=%{QUERY_STRING} [P]

    Listen 127.0.0.1:%%PORT:on%%
    <VirtualHost 127.0.0.1:%%PORT:on%%>
        AllowEncodedSlashes On
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:nodecode%%
    <VirtualHost 127.0.0.1:%%PORT:nodecode%%>
        AllowEncodedSlashes NoDecode
    </VirtualHost>
EOT

# The target that the backend got, else the status.
sub outcome {
    my ($path, %opt) = @_;
    my $n = $app->requests;
    my $r = $t->get($path, %opt);
    my @seen = $app->requests;
    return join ' ', $r->status == 200 ? () : $r->status, map { $_->target } @seen[$n .. $#seen];
}

sub sends {
    my ($path, $want, $name, %opt) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is outcome($path, %opt), $want, "$path -> $want" . ($name ? ": $name" : '');
    return;
}

# decoded by httpd, then encoded by us
sends '/a/%25%3f%23%7e%41;p=1%3b', '/%25%3F%23~A;p=1;', 'decoded, then encoded';
sends '/a/%c3%a9',     '/%C3%A9';
sends '/a/[x]|^"',     '/%5Bx%5D%7C%5E%22';
sends q{/a/~$-_.+!*'(),;:@&=}, q{/~$-_.+!*'(),;:@&=}, 'these stay';
sends '/a/%7B%7D%3C%3E%5C%60', '/%7B%7D%3C%3E%5C%60';
sends '/a/%01%0d%0a%7f%ff', '/%01%0D%0A%7F%FF', 'controls are encoded';
sends '/a/a%20b+c',    '/a%20b+c';
sends '/a/%252e%252e/x', '/%252e%252e/x', 'decoded once';
sends '/a/x?a=%20%zz&b=%C3%A9+|', '/x?a=%20%zz&b=%C3%A9+|', 'a query is never touched';
sends '/a/?',          '/?';
sends '/pm/a%3Fb%23c', '/a%3Fb%23c', 'captures too';
sends '/tp/x',         '/a%20b%25c/x', 'the target\'s own text too';

# nocanon
sends '/nc/a%20b%3Fc?x=1', '/nc/a%20b%3Fc?x=1', 'nocanon';
sends '/nc/%41%7e%2e%c3%a9', '/nc/%41%7e%2e%c3%a9', 'nocanon: as it came';
sends '/nc//x', '/nc/x', 'another prefix when decoded: nocanon is ignored';
sends '/nx?q=1', '/nx?q=1', 'the end of the path is no boundary in the raw text';
sends '/nm/a%20b?y', '/nm/a%20b?y', 'nocanon with a pattern';
sends '/nm%2fa', 404;
sends '/nw/a%3Fb?y', '/nw/a%3Fb?y', 'nocanon with a pattern without $n';
sends 'http://h.example/nc/a%3Fb', '/nc/a%3Fb', 'absolute form: nocanon is ignored';
sends '/x/%41.raw', '/x/%41.raw', 'nocanon with a pattern that is not anchored';
only_ours { sends 'http://h.example/x/%41.raw', '/x/A.raw', 'absolute form: the raw text is no path' } 'its host joins the target\'s';
$t->claim(qr/Unescaped URL path matched ProxyPass/, 'which is warned of');

# mapping=encoded
sends '/enc/a%2Fb',    '/enc/a%2Fb', 'mapping=encoded';
sends '/enc/%41',      '/enc/A', 'httpd decodes the unreserved';
sends '/enc/a%3bb;c?d=%2F', '/enc/a%3bb;c?d=%2F';
sends '/%65nc/x',      '/enc/x', 'the prefix too';
sends '/sp%3Fecial/x', '/sp%3Fecial/x', 'an encoded ? in the path of the route';
sends '/em/a%2fb%20c?q', '/em/a%2fb%20c?q';
sends '/loce/a%2Fb',   '/loce/a%2Fb', 'in a Location';
sends '/enc/sec/x',    403, 'Locations see the encoded form';
sends '/enc/./sec/x',  403;
sends '/enc//sec/x',   403;

# mapping=servlet
sends '/mt/sec;v=1/x', 403, 'mapping=servlet';
sends '/mt;v=1/a;w=2/b?q=1', '/mt;v=1/a;w=2/b?q=1', 'parameters are kept';
sends '/mt;j=1',       '/mt', 'but not where nothing follows';
sends '/mtx',          404;
sends '/mt/a;x/../b',  '/mt/b', 'httpd resolves plain dots first';
sends '/mt/a/..;y/b',  '/mt/b', 'dots with parameters are resolved';
sends '/mt/a/..;/sec/x', 403, 'access control sees it resolved';
sends '/mt/..;/x',     404, 'out of the prefix';
sends '/..;/mt/x',     404, 'above the root';
sends '/ms/a;p=1/b',   '/ms/a;p=1/b';
sends '/ms;p=1/b',     '/ms/b', 'parameters of a matched segment';

# AllowEncodedSlashes
sends '/a/x%2Fy',  404, 'Off';
sends '/a/x%2Fy',  '/x/y', 'On', to => 'on';
sends '/a/100%25', '/100%25', 'On', to => 'on';
sends '/a/x%2f..%2fy', '/y', 'On: its dots are resolved', to => 'on';
sends '/a/x%2f..%2fsec/y', 403, 'On: before access is checked', to => 'on';
sends '/a/%252F',  '/%252F', 'On', to => 'on';
sends '/a/x%2Fy',  '/x%2Fy', 'NoDecode', to => 'nodecode';
sends '/a/x%2fy%2Fz', '/x%2fy%2Fz', 'NoDecode', to => 'nodecode';
sends '/a/100%25', ours('/100%25', mod_proxy => 400, 'it encodes % otherwise with NoDecode'), 'NoDecode', to => 'nodecode';
sends '/a/%252F',  ours('/%252F', mod_proxy => '/%2F', 'it encodes % otherwise with NoDecode'), 'NoDecode', to => 'nodecode';
sends '/a/a%20b%3fc', '/a%20b%3Fc', 'NoDecode', to => 'nodecode';

# dot segments that httpd's access control takes as names, and a backend may not
for my $case (
    [ '/a/..;/x' ], [ '/a/x/..;v=1/y', '/x/..;v=1/y' ], [ '/a/.;/x' ], [ '/pm/..%5cx', '/..%5Cx' ], [ '/tp/..;', '/a%20b%25c/..;' ],
    [ '/enc/x%2f..%2fsec/y', '/enc/x%2f..%2fsec/y' ], [ '/nc/..%5c..%5cx', '/nc/..%5c..%5cx' ], [ '/a/x%2f..%2fy', '/x%2f..%2fy', to => 'nodecode' ])
{
    my ($path, $passed, %opt) = @$case;
    sends $path, ours(400, mod_proxy => $passed || $path =~ s{^/a}{}r, 'it sends them'), 'refused', %opt;
}
sends '/dots/..;/x', '/..;/x', 'not with RevProxyRefuseDots Off';
sends '/a/x..;/y',   '/x..;/y', 'no dot segment';
sends '/a/...;/y',   '/...;/y', 'nor three dots';
sends '/a/x?/..;/y', '/x?/..;/y', 'nor in a query';
only_ours { $t->claim(qr/RP0212 .*route \/enc\/ .*'\/enc\/x%2f\.\.%2fsec\/y' \(RevProxyRefuseDots Off/, 'RP0212 says by which route, and what', count => 1) } 'no such code';

# spaces and controls in what is sent as it is: 403, before a backend sees anything. httpd itself
# lets none of them in through a request line; a header can bring them into a substitution.
is $t->get('/rwargs/x?a%20b')->status, 200, 'an encoded space in a query is fine';

$t->allow(qr/AH01083|AH10292|AH00898|AH01144/) if front() eq 'mod_proxy';
$t->allow(qr/RP0212|AH01630|AH00026|AH10508/);
$t->finish;
done_testing;
