# SetHandler "proxy:URL": the file's name is sent behind the URL, as mod_proxy has it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $uds = RevProxy::Backend->echo(unix => 1);
my ($url, $sock) = ($app->url, $uds->path);
my $t = RevProxy->new(
    backends => { app => $app, uds => $uds },
    modules  => [qw(headers setenvif mime)],
    docs     => {
        'dir/a.x'      => "source\n",
        'dir/plain'    => "plain\n",
        'dir/a b%c?d.x' => "source\n",
        'ht/.htaccess' => qq{<Files "*.y">\nSetHandler "proxy:$url"\n</Files>\n},
        'ht/f.y'       => "source\n",
        'type/t.z'     => "static\n",
    },
    config => <<'EOT');
    LogFormat "%U %f" names
    CustomLog %%DIR%%/var/names names
    <Location /sh1>
        SetHandler "proxy:%%URL:app%%"
    </Location>
    <Location /sh2>
        SetHandler "proxy:http://127.0.0.1:%%PORT:app%%/Foo/"
    </Location>
    <Location /uds1>
        SetHandler "proxy:unix:%%SOCK:uds%%|http:"
    </Location>
    <Location /uds2>
        SetHandler "proxy:unix:%%SOCK:uds%%|http://"
    </Location>
    <Location /uds3>
        SetHandler "proxy:unix:%%SOCK:uds%%|http:/p"
    </Location>
    <Location /uds4>
        SetHandler "proxy:unix:%%SOCK:uds%%|http:///p"
    </Location>
    <Location /uds5>
        SetHandler "proxy:unix:%%SOCK:uds%%|http://named.example/P"
    </Location>
    <Location /bad>
        SetHandler "proxy:http:"
    </Location>
    <Location /none>
        SetHandler "proxy:gopher://127.0.0.1/"
    </Location>
    <FilesMatch "\.x$">
        SetHandler "proxy:%%URL:app%%"
    </FilesMatch>
    <Directory %%DOCROOT%%/ht>
        AllowOverride All
    </Directory>
    <Directory %%DOCROOT%%/dir>
        Header set X-Dir yes
    </Directory>
    # not consulted
    <Proxy *>
        Header set X-Section yes
        Require all denied
    </Proxy>
    ProxyPassReverse /sh1 %%URL:app%%
    # a type that a client chooses is no handler
    <Location /type>
        RequestHeader set Content-Type "%{TYPE}e" env=TYPE
    </Location>
    SetEnvIf X-T (.*) TYPE=$1
    # a route hides a handler below it
    ProxyPass /sh1/route %%URL:app%%/route
    <Location /sh1/route>
        Require all granted
    </Location>
    <Location /sh1/route2>
        Require all granted
    </Location>
EOT

my $root = $t->expand('%%DOCROOT%%');
sub seen { my @r = $_[0]->requests; return $r[-1] ? $r[-1]->target : '' }
sub sent_for {
    my ($path, $to, %opt) = @_;
    $_->forget for $app, $uds;
    my $r = $t->get($path, %opt);
    return $r->status == 200 ? seen($to || $app) : $r->status;
}

is sent_for('/sh1/a'),         "$root/sh1", 'path info is lost';
is sent_for('/sh1'),           "$root/sh1", 'the file name';
is sent_for('/sh1/a?b=%20c'),  "$root/sh1?b=%20c", 'the query follows';
is sent_for('/sh2/a?b=1'),     "/foo/$root/sh2?b=1", 'lower case, double slash';
is sent_for('/dir/a.x'),       "$root/dir/a.x", 'FilesMatch';
is $t->get('/dir/a.x')->header('X-Dir'), 'yes', 'Directory holds';
is sent_for('/dir/a%20b%25c%3Fd.x'), "$root/dir/a%20b%25c%3Fd.x", 'the name is encoded';
is $t->get('/dir/plain')->body, "plain\n", 'other files are files';
is sent_for('/ht/f.y'),        "$root/ht/f.y", '.htaccess';
is sent_for('/sh1%0d%0aX:1'),  404, 'no name, no handler';
is sent_for('/uds1/a', $uds),  "$root/uds1", 'unix:S|http:';
is sent_for('/uds2/a', $uds),  "$root/uds2", 'unix:S|http://';
is sent_for('/uds3/a', $uds),  "/p$root/uds3", 'unix:S|http:/p';
is sent_for('/uds4/a', $uds),  "/p$root/uds4", 'unix:S|http:///p';
is(($uds->requests)[-1]->header('Host'), 'localhost', 'no host: localhost');
is sent_for('/uds5/a', $uds),  "/P$root/uds5", 'unix: keeps case';
is(($uds->requests)[-1]->header('Host'), 'named.example', 'a host behind the socket is sent');
is sent_for('/bad/a'),         400, 'no host';
is sent_for('/none/a'), ours(500, mod_proxy => 404, 'it would show a file\'s source'), 'unknown scheme';
is sent_for('/sh1/route/x'),   '/route/x', 'ProxyPass comes before';

{
    my $r = $t->get('/sh1/a', headers => [ 'X-Reply-Status' => 302, 'X-Reply-Header' => "Location: $url/x" ]);
    is $r->header('Location'), 'http://127.0.0.1:' . $t->port . '/sh1/x', 'ProxyPassReverse holds';
    is $r->header('X-Section'), undef, '<Proxy> sections do not';
}

is sent_for('/type/t.z', $app, headers => [ 'X-T' => "proxy:$url" ]), '', 'a content type is no handler';
is scalar $app->requests, 0, 'nothing was sent for it';

{
    # httpd writes a line after the response
    my %name;
    for (1 .. 50) {
        open my $fh, '<', $t->expand('%%DIR%%/var/names') or die $!;
        %name = map { /^(\S+) (.*)$/ ? ($1 => $2) : () } <$fh>;
        last if $name{'/bad/a'} && $name{'/none/a'};
        select undef, undef, undef, 0.1;
    }
    is $name{'/bad/a'},  "$root/bad", 'a request that failed has its file\'s name again';
    is $name{'/none/a'}, "$root/none";
}

if (front() eq 'mod_proxy') {
    $t->allow(qr/AH01083|AH01144|AH01171/);
}
else {
    $t->claim(qr/RP0207 .*route SetHandler/, 'no host: RP0207', count => 1);
    $t->claim(qr/RP0108 .*route SetHandler/, 'unknown scheme: RP0108', count => 1);
}
$t->finish;
done_testing;
