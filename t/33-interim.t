# Interim (1xx) responses of the backend on their way to the client.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
my $final = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Final: 1\r\n\r\nhello";

# /N...: N times 103; /slow: 103, pause, then the rest; else the status of the path and its fields.
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($what) = $r->target =~ m{/([^/]*)\z};
    if    ($what =~ /\A\d{1,2}\z/) { $c->send($hints x $what . $final) }
    elsif ($what eq 'split') { $c->send($_), $c->pause(0.002) for split //, "$hints$final" }
    elsif ($what eq 'slow')  { $c->send($hints); $c->wait_signal('go'); $c->send($final) }
    elsif ($what eq 'cut')   { $c->send($hints); $c->close }
    elsif ($what eq 'bad')   { $c->send("HTTP/1.1 103 x\r\nBad Name\r\n\r\n$final") }
    elsif ($what eq 'hop')   { $c->send("HTTP/1.1 103 Early Hints\r\nConnection: X-Foo\r\nX-Foo: 1\r\nKeep-Alive: 1\r\nX-Kept: 1\r\nSet-Cookie: a=1; path=/in\r\n\r\n$final") }
    else                     { $c->send("HTTP/1.1 $what Some\r\nX-In: 1\r\n\r\n$final") }
});
my $t = RevProxy->new(backends => { app => $app }, modules => [qw(env headers)], config => <<'EOT');
    ProxyPass / %%URL:app%%/
    ProxyPassReverseCookiePath /in /out
    <Location /rfc/>
        SetEnv proxy-interim-response RFC
    </Location>
    <Location /rfclower/>
        SetEnv proxy-interim-response rfc
    </Location>
    <Location /suppress/>
        SetEnv proxy-interim-response Suppress
    </Location>
    <Location /odd/>
        SetEnv proxy-interim-response whatever
    </Location>
    <Location /set/>
        Header set X-Set 1
    </Location>
EOT

sub interims { my ($r) = @_; return join ' ', map { $_->status } @{ $r->interim } }

$t->allow(qr/AH00898/) if front eq 'mod_proxy';

my $k = $t->connect;
my $r = $k->request(path => '/1');
is interims($r), '103', '103 is forwarded';
my $in = $r->interim->[0];
is $in->header('Link'), '</a.css>; rel=preload', '... with its fields';
is $in->reason, 'Early Hints', '... and its reason';
is $r->header('Link'), undef, '... which are not those of the final response';
is $r->body, 'hello', '... that comes after it';
is interims($k->request(path => '/9')), join(' ', (103) x 9), 'nine of them are allowed';
is interims($k->request(path => '/split')), '103', 'however the bytes come';
is $app->connections, 1, 'all on one connection';

$r = $k->request(path => '/hop');
$in = $r->interim->[0];
is_deeply [ map { $in->header($_) } qw(X-Foo Keep-Alive Connection X-Kept) ], [ undef, undef, undef, 1 ], 'hop-by-hop fields of a 103 are removed';
is $in->header('Set-Cookie'), 'a=1; path=/out', '... and its fields are mapped';
is $r->header('Set-Cookie'), undef, '... for it alone';

$k->send_request(path => '/slow');
$in = $k->read_response(interim => 1);
is $in->status, 103, 'it is there before the final response';
$app->signal('go');
is $k->read_response->status, 200, '... which follows';

$r = $t->get('/10');
is interims($r), join(' ', (103) x 10), 'the tenth is relayed';
is $r->status . ' ' . $r->reason, '502 Proxy Error', '... and ends the request';
$t->claim(ours(qr/RP0307/, mod_proxy => qr/Too many.*interim/, 'its own words'));

# policies
for my $case (
    # path, what the client sees of it
    [ '/100',          '' ],
    [ '/102',          '102' ],
    [ '/199',          '199' ],
    [ '/rfc/100',      '100' ],
    [ '/rfclower/100', '100' ],
    [ '/rfc/103',      '103' ],
    [ '/suppress/103', '' ],
    [ '/suppress/100', '' ],
    [ '/odd/103',      '' ])
{
    my ($path, $expected) = @$case;
    my $answer = $t->get($path);
    is interims($answer), $expected, "$path: interim";
    is $answer->body, 'hello', "$path: final";
    is $answer->interim->[0]->header('X-In'), 1, "$path: fields" if $expected;
}
$t->claim(qr/undefined proxy interim response policy/) if front eq 'mod_proxy';
is interims($t->get('/1', version => '1.0')), '', 'an HTTP/1.0 client gets none';

# faults
$r = $t->get('/101');
is $r->status, 502, '101 that nobody asked for';
is interims($r), '', '... does not reach the client';
$t->claim(ours(qr/RP0308/, mod_proxy => qr/AH00898.*Upgrade/, 'its own words'));
$r = $t->get('/cut');
is interims($r), '103', 'end of the connection after a 103';
is $r->status, 502, '... is a 502';
$t->claim(ours(qr/RP0301.*before its response head was complete/, mod_proxy => qr/AH01102/, 'its own words'));
$r = $t->get('/bad');
is $r->status, 502, 'malformed 103';
is interims($r), '', '... does not reach the client';
$t->claim(ours(qr/RP0304/, mod_proxy => qr/AH01106|AH01097|AH01070/, 'its own words'));

$t->finish;
done_testing;
