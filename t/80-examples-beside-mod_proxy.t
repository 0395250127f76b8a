# conf-examples/11-beside-mod_proxy.conf with traffic: FastCGI through mod_proxy_fcgi, HTTP through us.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::FastCGI;

plan skip_all => 'it is about two proxy modules in one server' if front() eq 'mod_proxy';

my $app = RevProxy::Backend->echo;
my $php = RevProxy::FastCGI->responder;
for my $first (0, 1) {
    my $when = $first ? 'we first' : 'mod_proxy first';
    my $t = RevProxy->new(
        backends    => { app => $app, php => $php },
        modules     => [ RevProxy->example_modules('11-beside-mod_proxy.conf') ],
        front_first => $first,
        docs        => { 'info.php' => "source\n", 'page.html' => "page\n" },
        config      => RevProxy->example('11-beside-mod_proxy.conf', '*:80' => '*:%%PORT%%',
            3000 => '%%PORT:app%%', 9000 => '%%PORT:php%%', '/var/www/html' => '%%DOCROOT%%'),
    );
    my @host = (headers => [ Host => 'yourdomain.com' ]);
    my $r = $t->get('/info.php?a=b', @host);
    is $r->status, 200, "$when: PHP";
    like $r->body, qr{^SCRIPT_FILENAME=.*/htdocs/info\.php$}m, "$when: the script in the document root";
    like $r->body, qr{^QUERY_STRING=a=b$}m, "$when: its query";
    like $t->get('/legacy/x', @host)->body, qr{^SCRIPT_FILENAME=.*/srv/legacy/x$}m, "$when: ProxyPass fcgi://";
    is $t->get('/page.html', @host)->body, "page\n", "$when: files are files";
    $r = $t->get('/app/x?y=1', @host);
    like $r->body, qr{^GET /x\?y=1 HTTP/1\.1$}m, "$when: the application";
    $r = $t->get('/app/x?reply-status=302&reply-header=Location:%20' . $app->url . '/login', @host);
    is $r->header('Location'), 'http://yourdomain.com/app/login', "$when: its redirects";
    is $t->get('/app/y.php', @host)->status, 200, "$when: a .php of the application";
    like +($app->requests)[-1]->target, qr{^/y\.php}, "$when: is not PHP's";
    is $t->get('/app/x?reply-delay=0.2', @host)->status, 200, "$when: with its own timeout";
    $t->finish;
}
done_testing;
