# Modules that change what passes through: deflate, headers, mime, cache, ratelimit, include, buffer of
# request bodies.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;

my $app = RevProxy::Backend->echo;
# Answers with its own count, so that a copy from a cache shows.
my $counting = RevProxy::Backend->new(name => 'counting', answer => sub {
    my ($c, $r) = @_;
    my ($kind) = $r->target =~ m{/(\w+)};
    my @age = $kind eq 'fresh' || $kind eq 'cut' ? ('Cache-Control' => 'max-age=60') : $kind eq 'never' ? ('Cache-Control' => 'no-store')
        : ('Cache-Control' => 'max-age=0', ETag => '"one"');
    return $c->respond(304, [@age]) if $kind eq 'stale' && ($r->header('If-None-Match') // '') eq '"one"';
    if ($kind eq 'cut') {
        $c->send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\nContent-Length: 20\r\n\r\nhalf a body");
        return $c->close;
    }
    $c->respond(200, [ @age, 'Content-Type' => 'text/plain' ], "answer $kind");
});

my $t = RevProxy->new(
    backends => { app => $app, counting => $counting },
    modules  => [qw(filter deflate headers setenvif env cache_disk ratelimit include buffer substitute)],
    files    => { 'var/cache/.keep' => '' },
    docs     => {
        'ssi/page.shtml' => qq{A<!--#include virtual="/app/part?reply-body=part" -->B<!--#include virtual="/gone/x" -->C\n},
        'ssi/two.shtml'  => qq{<!--#include virtual="/app/a?reply-body=one" --><!--#include virtual="/app/b?reply-body=two" -->\n},
    },
    config => <<'EOT');
    ProxyPass /app/   %%URL:app%%/
    ProxyPass /count/ %%URL:counting%%/
    ProxyPass /gone/  http://127.0.0.1:%%PORT:gone%%/

    ProxyPass /deflate/ %%URL:app%%/deflate/
    <Location /deflate/>
        SetOutputFilter DEFLATE
    </Location>
    ProxyPass /bytype/ %%URL:app%%/bytype/
    <Location /bytype/>
        AddOutputFilterByType DEFLATE text/html
    </Location>
    ProxyPass /inflate/ %%URL:app%%/inflate/
    <Location /inflate/>
        SetInputFilter DEFLATE
    </Location>
    ProxyPass /subst/ %%URL:app%%/subst/
    <Location /subst/>
        AddOutputFilterByType SUBSTITUTE text/plain
        Substitute s/internal/public/n
    </Location>

    ProxyPass /headers/ %%URL:app%%/headers/
    RequestHeader set X-Early server early
    <Location /headers/>
        RequestHeader set X-Set set
        RequestHeader append X-Client more
        RequestHeader unset X-Secret
        RequestHeader set Host changed.test
        Header set X-Response set
        Header always set X-Always always
        Header unset X-Powered-By
        Header edit X-Edit ^(.*)$ <$1>
        Header set X-Backend-Type "expr=%{resp:Content-Type}"
    </Location>
    <Location /gone/>
        Header always set X-Always always
        Header set X-Response set
    </Location>

    CacheRoot %%DIR%%/var/cache
    CacheEnable disk /count/
    CacheDisable /count/api
    CacheHeader on
    CacheMaxExpire 3600

    ProxyPass /slow/ %%URL:app%%/slow/
    <Location /slow/>
        SetOutputFilter RATE_LIMIT
        SetEnv rate-limit 100
    </Location>

    <Location /ssi/>
        Options +Includes
        SetOutputFilter INCLUDES
    </Location>

    AddType image/x-test .tst
    AddEncoding x-gzip .tgz
    AddLanguage fr .fr
    AddHandler cgi-script .cgi
    AddOutputFilter SUBSTITUTE .sub
    <LocationMatch \.sub$>
        Substitute s/internal/public/n
    </LocationMatch>
EOT
chmod 0777, $t->dir . '/var/cache';

sub seen { my @all = $app->requests; return $all[-1] }

# --- mod_deflate ---

for my $kind ('reply-size=100000', 'reply-size=100000&reply-chunked=1000') {
    my $curl = $t->curl('-H', 'Accept-Encoding: gzip', '-D', $t->dir . '/var/head', 'http://127.0.0.1:' . $t->port . "/deflate/x?$kind", '-o', $t->dir . '/var/body');
    my ($size) = $kind =~ /size=(\d+)/;
    my $head   = RevProxy::slurp($t->dir . '/var/head');
    like $head, qr/^Content-Encoding: gzip\r$/mi, "deflate, $kind: Content-Encoding";
    unlike $head, qr/^Content-Length: $size\r$/mi, "deflate, $kind: the length is not the backend's";
    my $file = $t->dir . '/var/body';
    my $text = qx(gzip -dc < $file);
    is $text, RevProxy::Backend::pattern($size), "deflate, $kind: the text is";
}
is $t->get('/deflate/x?reply-body=text')->body, 'text', 'deflate: not for a client that does not take it';
is $t->get('/bytype/x?reply-size=2000&reply-header=Content-Type:%20text/html', headers => [ 'Accept-Encoding' => 'gzip' ])->header('Content-Encoding'),
    'gzip', 'deflate by type: the backend\'s';
is $t->get('/bytype/x?reply-size=2000', headers => [ 'Accept-Encoding' => 'gzip' ])->header('Content-Encoding'), undef, 'deflate by type: of another';
{
    my $file = $t->dir . '/var/plain';
    RevProxy::write_file($file, my $plain = join ' ', map { $_ * 7919 } 1 .. 9000);
    my $r = $t->request(path => '/inflate/x', body => scalar(qx(gzip -c $file)), headers => [ 'Content-Encoding' => 'gzip' ]);
    is $r->status, 200, 'a compressed request body';
    is seen()->body_length, length $plain, 'is inflated on its way';
    only_ours { is seen()->header('Content-Encoding'), undef, 'and says so' } 'it sends the field of before the filter';
    is $t->request(path => '/inflate/x', body => 'plain')->status, 200, 'a plain one';
    is seen()->body_length, 5, 'stays';
}
is $t->get('/subst/x?reply-body=the%20internal%20name')->body, 'the public name', 'substitute';

# --- mod_headers ---

{
    my $r = $t->get('/headers/x?reply-header=X-Powered-By:%20it&reply-header=X-Edit:%20e',
        headers => [ 'X-Client' => 'mine', 'X-Secret' => 's' ]);
    my $seen = seen();
    is $seen->header('X-Set'), 'set', 'RequestHeader set';
    is $seen->header('X-Client'), 'mine, more', 'RequestHeader append';
    is $seen->header('X-Secret'), undef, 'RequestHeader unset';
    is $seen->header('X-Early'), 'server', 'RequestHeader early';
    is $seen->header('Host'), '127.0.0.1:' . $app->port, 'Host is the target\'s all the same';
    is $seen->header('X-Forwarded-Host'), 'changed.test', 'and X-Forwarded-Host the changed one';
    is $r->header('X-Response'), 'set', 'Header set';
    is $r->header('X-Always'), 'always', 'Header always set';
    is $r->header('X-Powered-By'), undef, 'Header unset of the backend\'s field';
    is $r->header('X-Edit'), '<e>', 'Header edit';
    is $r->header('X-Backend-Type'), 'text/plain', '%{resp:..} is the backend\'s';
    my $error = $t->get('/gone/x');
    is $error->status . $error->header('X-Always'), '503always', 'always: on our own errors, too';
    is $error->header('X-Response'), undef, 'and set without always is not';
    $t->claim_fault('RP0102', route => '/gone/', phase => 'connecting', count => 1);
}

# --- mod_mime: by the extension of the target, where the backend says nothing ---

for my $row (
    [ '/app/a.tst?reply-header=Content-Type:%20a/b', 'Content-Type', 'a/b' ],
    [ '/app/a.fr', 'Content-Language', 'fr' ],
    [ '/app/a.tgz', 'Content-Encoding', 'x-gzip' ],
    )
{
    my ($path, $field, $value) = @$row;
    is $t->get($path)->header($field), $value, "$path: $field";
}
is $t->get('/app/a.cgi')->status, 200, 'a handler by extension does not take a proxied request';
is $t->get('/app/a.sub?reply-body=internal')->body, 'public', 'a filter by extension does';

# --- mod_cache ---

sub asked { my ($path) = @_; return scalar grep { $_->target eq $path } $counting->requests }

for my $n (1 .. 3) {
    my $r = $t->get('/count/fresh');
    is $r->body, 'answer fresh', "cache: answer $n";
    like $r->header('X-Cache'), $n == 1 ? qr/MISS/ : qr/HIT/, "cache: answer $n is " . ($n == 1 ? 'new' : 'a copy');
}
is asked('/fresh'), 1, 'cache: the backend was asked once';
is $t->get('/count/never')->body, 'answer never', 'no-store' for 1 .. 2;
is asked('/never'), 2, 'no-store: asked each time';
$t->get('/count/api/x') for 1 .. 2;
is asked('/api/x'), 2, 'CacheDisable: asked each time';
{
    is $t->get('/count/stale')->body, 'answer stale', 'a stale copy, first';
    my $r = $t->get('/count/stale');
    is $r->status . $r->body, '200answer stale', 'is revalidated with the backend';
    is scalar(grep { defined $_->header('If-None-Match') } $counting->requests), 1, 'by its ETag, once';
}
{
    my $r = $t->get('/count/cut');
    ok $r->truncated, 'a response that is cut short';
    $r = $t->get('/count/cut');
    is asked('/cut'), 2, 'is not kept in the cache';
    $t->claim_fault('RP0401', route => '/count/', phase => 'relaying the response body', count => 2);
    $t->allow(qr/AH00(?:733|756|759|760|763|771|776|777|780)/);
}

# --- mod_ratelimit ---

{
    my $since = time;
    my $r     = $t->get('/slow/x?reply-size=100000');
    is $r->body_length, 100000, 'ratelimit: all of it';
    cmp_ok time - $since, '>', 0.6, 'ratelimit: 100 KB at 100 KB/s take their time';
}

# --- mod_include ---

like $t->get('/ssi/page.shtml')->body, qr/\AApartB/, 'include virtual: the backend\'s part is in the page';
is $t->get('/ssi/two.shtml')->body, "onetwo\n", 'two parts';
is seen()->header('Connection'), 'close', 'subrequests use a connection of their own';
{
    my $r = $t->request(path => '/ssi/two.shtml', body => 'x=1');
    is $r->body, "onetwo\n", 'in the answer to a POST';
    is seen()->method . seen()->body_length, 'GET0', 'a subrequest is a GET without body';
}
$t->claim_fault('RP0102', route => '/gone/', phase => 'connecting');
$t->allow(qr/AH01371|unable to include/);

$t->finish;
done_testing;
