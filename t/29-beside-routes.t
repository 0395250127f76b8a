# Beside a loaded mod_proxy: which of the two serves a request that mod_rewrite, SetHandler or
# DirectoryIndex sends to a proxy.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

plan skip_all => 'it is about two proxy modules in one server' if front() eq 'mod_proxy';

my $app   = RevProxy::Backend->echo;
my $other = RevProxy::Backend->echo;
my $uds   = RevProxy::Backend->echo(unix => 1);

# mod_proxy adds Via, we do not: so the backend tells who sent a request.
my $config = <<'EOT';
ProxyVia On
ProxyPass /theirs/ http://127.0.0.1:%%PORT:app%%/theirs/
ProxyPass /theirs-enc/ http://127.0.0.1:%%PORT:app%%/theirs-enc/ mapping=encoded
ProxyPass /theirs-raw/ http://127.0.0.1:%%PORT:app%%/theirs-raw/ nocanon
# a backend of ours that covers all paths there
RevProxyPass /ours-all/ http://127.0.0.1:%%PORT:app%%/
RevProxyPass /ours/ http://127.0.0.1:%%PORT:app%%/ours/
RevProxyPass /ours-enc/ http://127.0.0.1:%%PORT:app%%/ours-enc/ mapping=encoded
RevProxyPass /ours-raw/ http://127.0.0.1:%%PORT:app%%/ours-raw/ nocanon
RevProxyPass /ours-u/ unix:%%SOCK:uds%%|http://sock.example/ours-u/
RewriteEngine On
RewriteRule ^/rw-known/(.*)$ http://127.0.0.1:%%PORT:app%%/ours/$1 [P]
RewriteRule ^/rw-uds/(.*)$ unix:%%SOCK:uds%%|http://sock.example/ours-u/$1 [P]
RewriteRule ^/rw-other/(.*)$ http://127.0.0.1:%%PORT:other%%/$1 [P]
<Location /dir-known/>
    RewriteEngine On
    RewriteRule known/(.*)$ http://127.0.0.1:%%PORT:app%%/ours/$1 [P]
</Location>
<Location /dir-other/>
    RewriteEngine On
    RewriteRule other/(.*)$ http://127.0.0.1:%%PORT:other%%/$1 [P]
</Location>
<Location /sh-known>
    SetHandler "proxy:http://127.0.0.1:%%PORT:app%%/ours"
</Location>
<Location /sh-other>
    SetHandler "proxy:http://127.0.0.1:%%PORT:other%%/"
</Location>
<Directory %%DOCROOT%%/index>
    DirectoryIndex /ours/index%3F
</Directory>
<Directory %%DOCROOT%%/index-u>
    DirectoryIndex /ours-u/index
</Directory>
<Directory %%DOCROOT%%/index-t>
    DirectoryIndex /theirs/index
</Directory>
EOT

sub server {
    my ($first, @modules) = @_;
    return RevProxy->new(
        backends    => { app => $app, other => $other, uds => $uds },
        modules     => [ qw(rewrite headers), @modules ],
        front_first => $first,
        docs        => { map { ("$_/x" => "file\n") } qw(index index-u index-t) },
        config      => $config
    );
}

my $t;
sub who {
    my ($path) = @_;
    $_->forget for $app, $other, $uds;
    my $r = $t->get($path);
    my ($seen) = map { $_->requests } $app, $other, $uds;
    return $r->status if !$seen;
    return (defined $seen->header('Via') ? 'theirs ' : 'ours ') . $seen->target;
}

for my $first (0, 1) {
    my $when = $first ? 'we first' : 'mod_proxy first';
    $t = server($first, 'proxy_http');
    is who('/theirs/a%20b%25c?d'), 'theirs /theirs/a%20b%25c?d', "$when: its route, though to our backend";
    is who('/ours/a%20b%25c?d'),   'ours /ours/a%20b%25c?d',     "$when: our route";
    is who('/theirs-enc/a%2Fb?d'), 'theirs /theirs-enc/a%2Fb?d', "$when: mapping=encoded";
    is who('/ours-enc/a%2Fb?d'),   'ours /ours-enc/a%2Fb?d',     "$when: mapping=encoded";
    is who('/theirs-raw/%41?d'),   'theirs /theirs-raw/%41?d',   "$when: nocanon";
    is who('/ours-raw/%41?d'),     'ours /ours-raw/%41?d',       "$when: nocanon";
    is who('/ours-u/a%25?d'),      'ours /ours-u/a%25?d',        "$when: a socket";
    is who('/rw-known/a%25'),      'ours /ours/a%25',            "$when: [P] to a backend of ours";
    is who('/rw-uds/a%25'),        'ours /ours-u/a%25',          "$when: [P] to a socket of ours";
    is who('/rw-other/a%25'),      'theirs /a%25',               "$when: [P] elsewhere";
    is who('/dir-known/a%25'),     'ours /ours/a%25',            "$when: [P] per directory";
    is who('/dir-other/a%25'),     'theirs /a%25',               "$when: [P] per directory, elsewhere";
    like who('/sh-known'), qr{^ours /ours/},  "$when: SetHandler to a backend of ours";
    like who('/sh-other'), qr{^theirs //},    "$when: SetHandler elsewhere";
    is who('/index/'),     'ours /ours/index%3F',   "$when: DirectoryIndex";
    is who('/index-u/'),   'ours /ours-u/index',    "$when: DirectoryIndex behind a socket";
    is who('/index-t/'),   'theirs /theirs/index',  "$when: DirectoryIndex, theirs";
    $t->finish;
}

# Without mod_proxy_http nobody but us can serve http.
$t = server(0, 'proxy');
is who('/ours/x'),      'ours /ours/x', 'no mod_proxy_http: our route';
is who('/rw-other/x'),  'ours /x',      'and [P] elsewhere';
is who('/dir-other/x'), 'ours /x',      'and [P] per directory';
is who('/theirs/x'),    500,            'a route of mod_proxy stays its own';
$t->claim(qr/AH01144/, 'as it says');
$t->claim(qr/\[no-http\]/, 'and lint said at the start');
$t->finish;

# Alone: mod_dir's way to a proxied index.
$t = RevProxy->new(
    backends => { app => $app, other => $other, uds => $uds },
    docs     => { map { ("$_/x" => "file\n") } qw(index index-u) },
    config   => <<'EOT');
    ProxyPass /ours/   http://127.0.0.1:%%PORT:app%%/ours/
    ProxyPass /ours-u/ unix:%%SOCK:uds%%|http://sock.example/ours-u/
    <Directory %%DOCROOT%%/index>
        DirectoryIndex /ours/index
    </Directory>
    <Directory %%DOCROOT%%/index-u>
        DirectoryIndex /ours-u/index
    </Directory>
EOT
is who('/index/?a=%20'), 'ours /ours/index?a=%20', 'alone: DirectoryIndex';
is who('/index-u/'),     'ours /ours-u/index', 'alone: DirectoryIndex behind a socket';
$t->finish;
done_testing;
