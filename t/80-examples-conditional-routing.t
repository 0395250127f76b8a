# conf-examples/10-conditional-routing.conf with traffic: query string, cookie and User-Agent choose.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my %b = map { $_ => RevProxy::Backend->echo(name => $_) } qw(site mobile beta api);
my $t = RevProxy->new(
    backends => \%b,
    modules  => [ RevProxy->example_modules('10-conditional-routing.conf') ],
    config   => RevProxy->example('10-conditional-routing.conf', '*:80' => '*:%%PORT%%',
        3000 => '%%PORT:site%%', 3001 => '%%PORT:mobile%%', 3002 => '%%PORT:beta%%', 3003 => '%%PORT:api%%'),
);

# Which application got the request, and its path there.
sub who {
    my ($path, @headers) = @_;
    $_->forget for values %b;
    my $r = $t->get($path, headers => [ Host => 'yourdomain.com', @headers ]);
    return join ' ', $r->status, map { my $n = $_; map { "$n " . $_->target } $b{$n}->requests } sort keys %b;
}

my @phone = ('User-Agent' => 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Mobile');
my @desk  = ('User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64)');

is who('/a/b?c=d'),             '200 site /a/b?c=d',  'everybody';
is who('/', @desk),             '200 site /',         'a desktop browser';
is who('/a?b=c', @phone),       '200 mobile /a?b=c',  'a phone';
is who('/a', 'User-Agent' => 'ANDROID'), '200 mobile /a', 'in any case';
is who('/assets/x.css', @phone), '200 site /assets/x.css', 'but not its stylesheets';
is who('/a', Cookie => 'beta=1'),           '200 beta /a', 'a volunteer';
is who('/a', Cookie => 'x=y; beta=1; z=1'), '200 beta /a', 'with more cookies';
is who('/a', Cookie => 'beta=10'),          '200 site /a', 'another value';
is who('/a', Cookie => 'alphabeta=1'),      '200 site /a', 'another name';
is who('/a', Cookie => 'beta=1', @phone),   '200 beta /a', 'the cookie comes before the browser';
is who('/api/items?version=2'),     '200 api /items?version=2', 'the new API';
is who('/api/items?a=b&version=2'), '200 api /items?a=b&version=2', 'anywhere in the query';
is who('/api/items?version=20'),    '200 site /api/items?version=20', 'another version';
is who('/api/items'),               '200 site /api/items', 'none';
is who('/a%20b/%C3%A9?q=%26', @phone), '200 mobile /a%20b/%C3%A9?q=%26', 'escapes arrive as they were';
is who('/@evil.test/', @phone), '200 mobile /@evil.test/', 'the path is never part of the host';
is who('//evil.test/x', @phone) =~ s{//?}{/}r, '200 mobile /evil.test/x', 'nor with two slashes';

# Redirects, also of those.
for my $row ([ site => '/x', '/' ], [ mobile => '/x', '/', @phone ], [ beta => '/x', '/', Cookie => 'beta=1' ],
    [ api => '/api/x?version=2', '/api/' ])
{
    my ($name, $path, $public, @headers) = @$row;
    my $to = $path . ($path =~ /\?/ ? '&' : '?') . 'reply-status=302&reply-header=Location:%20' . $b{$name}->url . '/login';
    is $t->get($to, headers => [ Host => 'yourdomain.com', @headers ])->header('Location'), "http://yourdomain.com${public}login", "$name: redirect";
}
$b{mobile}->stop;
is who('/a', @phone), '503', 'an application that is down';
# The second attempt, where it is not seen at once that what was kept is closed.
$t->claim_fault('RP0102', route => '[P]', phase => 'connecting', count => 1, attempt => '[12]');
is who('/a'), '200 site /a', 'does not concern the others';

$t->finish;
done_testing;
