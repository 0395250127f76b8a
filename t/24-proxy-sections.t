# <Proxy> and <ProxyMatch>: what they match, in which order they merge, what they may hold.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $uds = RevProxy::Backend->echo(unix => 1);
my $t   = RevProxy->new(
    backends => { app => $app, uds => $uds },
    modules  => [qw(headers rewrite env setenvif)],
    docs     => { 'local' => "local\n" },
    config   => <<'EOT');
    <Proxy *>
        Header append X-Seen all
        Require all granted
    </Proxy>
    <Proxy %%URL:app%%/foo>
        Header append X-Seen prefix
    </Proxy>
    <Proxy %%URL:app%%/foo>
        Header append X-Seen second
    </Proxy>
    <Proxy "%%URL:app%%/gl*ob">
        Header append X-Seen glob
    </Proxy>
    <Proxy "%%URL:app%%/secret*">
        Require all denied
    </Proxy>
    <Proxy proxy:%%URL:app%%/stripped>
        Header append X-Seen stripped
    </Proxy>
    <Proxy "http://127.0.0.1:%%PORT:app%%/CASE">
        Header append X-Seen case
    </Proxy>
    <Proxy http://sock.example/>
        Header append X-Seen socket
    </Proxy>
    <ProxyMatch "^https?://(?<site>[^/:]+)[^/]*/adm(?:/(?<deep>\w+))?(/opt)?">
        RequestHeader set X-Site "%{MATCH_SITE}e"
        RequestHeader set X-Deep "%{MATCH_DEEP}e" env=MATCH_DEEP
        Header append X-Seen match
    </ProxyMatch>
    <ProxyMatch "/(?<tail>[^/]+)$">
        RequestHeader set X-Tail "%{MATCH_TAIL}e" env=MATCH_TAIL
    </ProxyMatch>
    <Proxy %%URL:app%%/host/>
        ProxyPreserveHost On
        ProxyAddHeaders Off
    </Proxy>
    # Locations come after, If after them
    <Proxy %%URL:app%%/order>
        Header set X-Who proxy
        ProxyErrorOverride On
    </Proxy>
    <Location /order/loc>
        Header set X-Who location
        ProxyErrorOverride Off
    </Location>
    <If "%{REQUEST_URI} =~ m#^/order/loc/if#">
        Header set X-Who if
    </If>
    # files' sections never hold for a proxied request
    <Directory />
        Header set X-Directory yes
    </Directory>
    <Files "*">
        Header set X-Files yes
    </Files>

    ProxyPass /u/ unix:%%SOCK:uds%%|http://sock.example/
    ProxyPass /   %%URL:app%%/
    RewriteEngine On
    RewriteRule ^/rwadm/(.*)$ %%URL:app%%/adm/$1 [P]
    RewriteRule ^/rwu/(.*)$ unix:%%SOCK:uds%%|http://sock.example/$1 [P]

    Listen 127.0.0.1:%%PORT:vhost%%
    <VirtualHost 127.0.0.1:%%PORT:vhost%%>
        <Proxy %%URL:app%%/foo>
            Header append X-Seen vhost
        </Proxy>
    </VirtualHost>
EOT

sub seen { return $t->get(@_)->header('X-Seen') // '' }

is seen('/x'),           'all', '<Proxy *>';
is seen('/foo/x'),       'all, prefix, second', 'a prefix; all that match, in their order';
is seen('/foobar'),      'all, prefix, second', 'without boundary';
is seen('/Foo'),         'all', 'case counts';
is seen('/gl/a/ob'),     'all, glob', '* crosses /';
is seen('/gl/a/obx'),    'all', 'a glob covers the whole';
is seen('/stripped/x'),  'all, stripped', 'a leading proxy: is dropped';
is seen('/case'),        'all', 'no canonical form before matching';
is seen('/CASE/'),       'all, case';
is seen('/foo/x', to => 'vhost'), 'all, prefix, second, vhost', 'main server\'s first';
is $t->get('/secret')->status,     403, 'access control on the target';
is $t->get('/secrets/x')->status,  403;
is $t->get('/%73ecret')->status,   403, 'matched after decoding';
is $t->get('/secre')->status,      200;
is seen('/u/x'), 'all, socket', 'a socket\'s path is no part of what is matched';
only_ours { is seen('/rwu/x'), 'all, socket', 'for [P] neither' } 'with [P] it matches the text before the bar';

# <ProxyMatch>
$app->forget;
is seen('/adm/users'), 'all, match', 'ProxyMatch';
{
    my ($r) = $app->requests;
    is $r->header('X-Site'), '127.0.0.1', 'a named group is MATCH_SITE';
    is $r->header('X-Deep'), 'users', 'the second one too';
    is $r->header('X-Tail'), 'users', 'and one of another section';
}
$app->forget;
is seen('/rwadm/a%20b'), 'all, match', '[P] in the server';
is(($app->requests)[0]->header('X-Tail'), 'a b', 'matched as it is before encoding');
$app->forget;
$t->get('/adm');
is(($app->requests)[0]->header('X-Deep'), undef, 'a group that took no part sets nothing');
$app->forget;
$t->get('/xadm/');
is(($app->requests)[0]->header('X-Site'), undef, 'no match');

# our own directives in a section
$app->forget;
$t->get('/host/x', headers => [ Host => 'public.example' ]);
{
    my ($r) = $app->requests;
    is $r->header('Host'), 'public.example', 'ProxyPreserveHost in a section';
    is $r->header('X-Forwarded-For'), undef, 'ProxyAddHeaders in a section';
}

is $t->get('/order/x')->header('X-Who'), 'proxy', 'a section';
is $t->get('/order/loc/x')->header('X-Who'), 'location', 'a Location comes after';
is $t->get('/order/loc/if')->header('X-Who'), 'if', 'an If after that';
isnt $t->get('/order/x', headers => [ 'X-Reply-Status' => 404, 'X-Reply-Body' => 'mine' ])->body, 'mine', 'override in a section';
is $t->get('/order/loc/x', headers => [ 'X-Reply-Status' => 404, 'X-Reply-Body' => 'mine' ])->body, 'mine', 'ended by a Location';

{
    my $r = $t->get('/local');
    is $r->header('X-Directory'), undef, 'no <Directory> for a proxied request';
    is $r->header('X-Files'),     undef, 'no <Files>';
}

$t->claim(qr/AH01630/, 'denied', count => 3);
$t->finish;
done_testing;
