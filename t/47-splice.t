# Large bodies that the kernel moves past the filters, and the same bodies through buffers: nobody sees a difference, and
# no filter is left out.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use RevProxy;

my $seed = $ENV{RP_SEED} || time;
srand $seed;
my $bytes = join '', map { pack 'L', rand 2**32 } 1 .. 150_000;
sub body_of { my ($n) = @_; return substr $bytes x (2 + $n / length $bytes), $n % 97, $n }
my $text = join '', map {"line $_ of the internal text\n"} 1 .. 20_000;

# The last part of the path, split at dashes, says what comes.
my %answer = (
    whole => sub { my ($c, $n) = @_; $c->respond(200, [], body_of($n)) },
    text  => sub { my ($c) = @_; $c->respond(200, [ 'Content-Type' => 'text/plain' ], $text) },
    # In pieces, with pauses: longer ones than a thread stays.
    pieces => sub {
        my ($c, $n, $size, $pause) = @_;
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: $n\r\n\r\n");
        for my $piece (unpack "(a$size)*", body_of($n)) { $c->pause($pause); $c->send($piece) }
    },
    range => sub {
        my ($c, $n, undef, $range) = @_;
        my ($from, $to) = ($range // '') =~ /^bytes=(\d+)-(\d+)\z/ or return $c->respond(200, [ 'Accept-Ranges' => 'bytes' ], body_of($n));
        $c->respond(206, [ 'Content-Range' => "bytes $from-$to/$n" ], substr body_of($n), $from, $to - $from + 1);
    },
    ignored => sub { my ($c, $n) = @_; $c->respond(200, [], body_of($n)) },
    # Breaks off after so much.
    cut => sub {
        my ($c, $n, $after, $how) = @_;
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: $n\r\n\r\n" . substr body_of($n), 0, $after);
        $c->pause(0.05);
        return $how eq 'reset' ? $c->reset : $c->close;
    },
    surplus => sub { my ($c, $n) = @_; $c->send("HTTP/1.1 200 OK\r\nContent-Length: $n\r\n\r\n" . body_of($n) . 'surplus') },
);
my ($cert, $key) = RevProxy->certificate('127.0.0.1');
my $app = RevProxy::Backend->new(answer => sub {
    my ($c, $r) = @_;
    my ($how, @args) = split /-/, ($r->target =~ m{/([^/?]*)\z})[0];
    $args[2] = $r->header('Range') if $how eq 'range';
    $answer{$how}->($c, @args);
});
my $t = RevProxy->new(
    backends => { app => $app },
    modules  => [qw(env logio headers deflate filter substitute ext_filter ratelimit ssl)],
    config   => <<"EOC");
    LogFormat "%U %s %B %O %X" bytes
    CustomLog %%DIR%%/logs/bytes.log bytes
    ExtFilterDefine upper mode=output cmd="/usr/bin/tr a-z A-Z"
    ProxyPass / %%URL:app%%/
    <Location /off/>
        RevProxySplice Off
    </Location>
    <Location /gz/>
        SetOutputFilter DEFLATE
    </Location>
    <Location /substitute/>
        SetOutputFilter SUBSTITUTE
        Substitute s/internal/public/n
    </Location>
    <Location /upper/>
        SetOutputFilter upper
    </Location>
    <Location /rate/>
        SetOutputFilter RATE_LIMIT
        SetEnv rate-limit 4000
    </Location>
    <Location /headers/>
        Header set X-Set yes
    </Location>
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPassInherit Off
        ProxyPass / %%URL:app%%/
    </VirtualHost>
EOC

# What of an answer a filter or an uninvolved relay can show.
sub describe { my ($r) = @_; return join ' ', $r->status, $r->header('Content-Length') // '-', $r->header('Content-Range') // '-', $r->body_md5, $r->truncated ? 'truncated' : 'whole' }

my ($k, @logged) = ($t->connect);
# The same request with and without splice.
sub is_same {
    my ($what, $want, $name, @more) = @_;
    my %got;
    for my $way ('on', 'off') {
        $got{$way} = describe($k->request(path => "/$way/$what", @more));
        $k = $t->connect if $got{$way} =~ /truncated/;
        push @logged, "/$way/$what";
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $got{on}, $got{off}, "$name: the same with and without splice";
    return like $got{on}, $want, "... as the backend sent it";
}
sub whole { my ($n) = @_; my $md5 = md5_hex(body_of($n)); return qr/^200 $n - $md5 whole\z/ }

# --- sizes: random ones, and those around every limit

for my $n (32_767, 32_768, 40_000, 40_768, 65_536, 262_144, 300_000, map { 33_000 + int rand 1_500_000 } 1 .. 6) {
    is_same("whole-$n", whole($n), "$n bytes (RP_SEED=$seed)");
}
my $before = $app->connections;
is_same('whole-500000', whole(500_000), 'and again');
is $app->connections, $before, '... all on one connection to the backend';

# --- in pieces, parked in between or not

is_same("pieces-$$_[0]-$$_[1]-$$_[2]", whole($$_[0]), "$$_[0] bytes, $$_[1] at a time, $$_[2] s apart")
    for [ 100_000, 7_000, 0.001 ], [ 200_000, 45_000, 0.03 ], [ 200_000, 100_000, 0.03 ], [ 90_000, 40_000, 0.015 ], [ 40_000, 100, 0 ];

# --- ranges: the backend's, and where it knows none, the whole

{
    my $part = md5_hex(substr body_of(900_000), 1_000, 700_001);
    is_same('range-900000', qr{^206 700001 bytes 1000-701000/900000 $part whole\z}, 'a range', headers => [ Range => 'bytes=1000-701000' ]);
    $part = md5_hex(substr body_of(900_000), 5, 10);
    is_same('range-900000', qr{^206 10 bytes 5-14/900000 $part whole\z}, 'a small range', headers => [ Range => 'bytes=5-14' ]);
    is_same('range-900000', whole(900_000), 'no range');
    is_same('ignored-900000', whole(900_000), 'a range that the backend ignores', headers => [ Range => 'bytes=1000-701000' ]);
}

# --- HTTP/1.0, HEAD

is_same('whole-400000', whole(400_000), 'HTTP/1.0', version => '1.0', headers => [ Connection => 'keep-alive' ]);
{
    my $r = $k->request(method => 'HEAD', path => '/on/whole-400000');
    is $r->status . ' ' . length $r->body, '200 0', 'HEAD';
}

# --- a backend that breaks off

for my $how ('close', 'reset') {
    for my $after (0, 100, 50_000, 200_000) {
        next if $how eq 'reset' && $after;    # how much of it comes is the kernel's matter
        my $md5 = md5_hex(substr body_of(300_000), 0, $after);
        is_same("cut-300000-$after-$how", qr/^200 300000 - $md5 truncated\z/, "the backend's $how after $after bytes");
    }
}
$t->claim(qr/RP0401/, 'cut bodies are logged', count => 8);
$t->claim(qr/RP0403/, 'resets are', count => 2);
is_same('surplus-300000', whole(300_000), 'bytes beyond the body');
is_same('whole-300000', whole(300_000), '... are nobody\'s answer');

# --- clients that read slowly, or leave; each holds at most one pipe, and none when it is gone

sub wait_until {
    my ($is_so) = @_;
    for (1 .. 100) { return 1 if $is_so->(); $k->pause(0.05) }
    return 0;
}
sub pipes { my %seen; $seen{ readlink $_ // '' } = 1 for map { glob "/proc/$_/fd/*" } $t->children; return scalar grep {/^pipe/} keys %seen }
{
    my $idle = pipes();
    my @slow = map { $t->connect(rcvbuf => 4096) } 1 .. 6;
    $_->send_request(path => '/on/whole-6000000') for @slow;
    only_ours { ok wait_until(sub { pipes() > $idle }), 'slow clients: bodies wait in pipes' } 'no splice there';
    for (1, 2) { my $gone = pop @slow; $gone->close }
    my $r = $slow[0]->read_response;
    is $r->body_md5, md5_hex(body_of(6_000_000)), 'one reads on: the whole body';
    $slow[1]->read_response(body => 0);
    my $reset = pop @slow;
    $reset->reset;
    is $t->get('/on/whole-100')->body, body_of(100), 'others are served meanwhile';
    $_->close for @slow;
    ok wait_until(sub { $app->open_connections <= 3 }), 'the backend is told of the clients that left';
    cmp_ok pipes(), '<=', $idle + 32, '... and few pipes are kept';
}
$t->allow(qr/RP0501|RP0502|RP0503/);

# --- filters of others see every byte

is $k->request(path => '/headers/whole-400000')->header('X-Set'), 'yes', 'mod_headers';
is_deeply [ map { md5_hex($t->get("/$_/text")->body) } 'on', 'substitute', 'upper' ],
    [ map { md5_hex($_) } $text, $text =~ s/internal/public/gr, uc $text ], 'none, mod_substitute, mod_ext_filter';
{
    my $file = $t->dir . '/var/gz';
    $t->curl('-H', 'Accept-Encoding: gzip', '-o', $file, 'http://127.0.0.1:' . $t->port . '/gz/text');
    is md5_hex(scalar qx(gzip -dc < $file)), md5_hex($text), 'mod_deflate';
    my $r = $t->get('/gz/whole-400000');
    is $r->body_md5, md5_hex(body_of(400_000)), '... which leaves it to a client that does not take gzip';
}
is $t->get('/rate/whole-400000')->body_md5, md5_hex(body_of(400_000)), 'mod_ratelimit';
for my $n (400_000, 2_000_000) {
    my $file = $t->dir . "/var/tls-$n";
    $t->curl('-k', '-o', $file, 'https://127.0.0.1:' . $t->port_of('tls') . "/whole-$n");
    is md5_hex(RevProxy::slurp($file)), md5_hex(body_of($n)), "TLS to the client, $n bytes";
}

# --- what the access log counts

{
    $k->close;
    my %count;
    for (split /\n/, RevProxy::slurp($t->dir . '/logs/bytes.log')) {
        my ($path, @figures) = split;
        push @{ $count{$path} }, "@figures";
    }
    my @differ = grep { my $off = s{^/on/}{/off/}r; "@{$count{$_}}" ne "@{$count{$off}}" } grep { m{^/on/} && $count{s{^/on/}{/off/}r} && !/6000000|cut|whole-(?:100|400000)\z/ } sort keys %count;
    is "@differ", '', 'status, bytes of body and bytes on the wire: the same with and without splice';
    like "@{$count{'/on/whole-500000'}}", qr/^200 500000 500\d\d\d \+\z/, 'for instance';
}
$t->finish;
done_testing;
