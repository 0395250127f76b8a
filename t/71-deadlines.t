# Deadlines are exact, whether the request waits parked or in a thread, and what follows them is in order:
# the right status, a client connection that serves its next request, a closed connection to the backend.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Socket;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy has other limits' if front() ne 'revproxy';

my $SLOW    = $RevProxy::SLOW;
my $SAMPLES = 5;
my $EXACT   = 0.05 * ($SLOW > 1 ? 4 : 1);

my $hang  = RevProxy::Load::Backend->new;    # gets nothing but requests that it does not answer
my $backd = RevProxy::Load::Backend->new;

# The kernel takes one or two connections for it and then none.
my $full = RevProxy::Backend->new(name => 'full', backlog => 1, handler => sub { });
$full->pause_accept;
my @fill;
for (1 .. 8) {
    socket my $s, AF_INET, SOCK_STREAM, 0 or die $!;
    IO::Handle::blocking($s, 0);
    connect $s, pack_sockaddr_in($full->port, INADDR_LOOPBACK);
    push @fill, $s;
}

my $t = RevProxy->new(
    backends => { backd => $backd, hang => $hang, full => $full },
    modules  => ['status'],
    threads  => 60,
    # All processes at the start: prefork adds them too slowly for exact times.
    mpm() eq 'prefork' ? (process => "ServerLimit 60\nStartServers 60\nMaxSpareServers 60\nMaxRequestWorkers 60") : (),
    loglevel => 'core:error',
    config   => <<"EOT");
    $RevProxy::Load::STATUS
    ProxyPass /parked/connect/ %%URL:full%%/1/ connectiontimeout=400ms
    ProxyPass /thread/connect/ %%URL:full%%/2/ connectiontimeout=400ms
    ProxyPass /parked/timeout/ %%URL:hang%%/ timeout=700ms
    ProxyPass /thread/timeout/ %%URL:hang%%/ timeout=700ms
    ProxyPass /parked/acquire/ %%URL:hang%%/1/ max=1 acquire=500 timeout=60
    ProxyPass /thread/acquire/ %%URL:hang%%/2/ max=1 acquire=500 timeout=61
    ProxyPass /parked/next/    %%URL:backd%%/
    ProxyPass /thread/next/    %%URL:backd%%/
    <LocationMatch "^/thread/">
        RevProxyPark Off
    </LocationMatch>

    Listen 127.0.0.1:%%PORT:short%%
    <VirtualHost 127.0.0.1:%%PORT:short%%>
        Timeout 1
        ProxyPass /parked/long/ %%URL:backd%%/ timeout=2500ms
        ProxyPass /thread/long/ %%URL:backd%%/ timeout=2500ms
        ProxyPass /parked/body/ %%URL:backd%%/
        ProxyPass /thread/body/ %%URL:backd%%/
        ProxyTimeout 1
    </VirtualHost>

    # The second one's KeepAliveTimeout makes the MPM use its Timeout, not that of the address.
    Listen 127.0.0.1:%%PORT:named%%
    <VirtualHost 127.0.0.1:%%PORT:named%%>
        ServerName first.test
        Timeout 20
    </VirtualHost>
    <VirtualHost 127.0.0.1:%%PORT:named%%>
        ServerName second.test
        Timeout 1
        KeepAliveTimeout 3
        ProxyPass /parked/named/ %%URL:backd%%/ timeout=5
        ProxyPass /thread/named/ %%URL:backd%%/ timeout=5
    </VirtualHost>
EOT

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ] }

my $POST_PART = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc";
my @kinds = (
    # name, path, port, status, seconds, and: cut (the body, and with it the connection), close (httpd closes
    # after 408 and 503)
    [ 'connectiontimeout',              'connect/x',              undef,   503, 0.4, 'close' ],
    [ 'timeout, for the head',          'timeout/?end=hang',      undef,   504, 0.7 ],
    [ 'timeout, between body bytes',    'timeout/?end=headhang&size=100', undef, 200, 0.7, 'cut' ],
    [ 'ProxyTimeout, for the head',     'body/?end=hang',         'short', 504, 1 ],
    [ 'ProxyTimeout, between body bytes', 'body/?end=headhang&size=100', 'short', 200, 1, 'cut' ],
    [ 'timeout, above Timeout',         'long/?end=hang',         'short', 504, 2.5 ],
    [ 'an answer later than Timeout',   'long/?ms=2200',          'short', 200, 2.2 ],
    [ 'later than Timeout of a named host', 'named/?ms=2200',     'named', 200, 2.2 ],
    [ 'the rest of the request body',   'next/x',                 'short', 408, 1, 'close', $POST_PART ],
    [ 'acquire',                        'acquire/x',              undef,   503, 0.5, 'close' ],
);

# One request each occupies the only connection.
my @blockers;
for my $how (qw(parked thread)) {
    push @blockers, my $k = $t->connect;
    $k->send_request(path => "/$how/acquire/?end=hang");
}
RevProxy::Load::wait_status($t, sub { $_->{RevProxyConnsLeased} == 2 }) if mpm() ne 'prefork';
sleep 0.3 if mpm() eq 'prefork';

# All kinds at once, some of each. Returns what each kind took, which statuses it got, and what did not work
# on the clients' connections afterwards.
sub measure {
    my ($how) = @_;
    my (@under_way, %seconds, %status, @keep, %head);
    for my $kind (@kinds) {
        my ($name, $path, $to, $status, $seconds, $end, $raw) = @$kind;
        for (1 .. $SAMPLES) {
            my $k = $t->connect($to ? (to => $to) : ());
            if ($raw) { $k->{since} = time; $k->send(sprintf $raw, "/$how/$path") }
            else      { $k->send_request(path => "/$how/$path", $path =~ /^named/ ? (headers => [ Host => 'second.test' ]) : ()) }
            push @under_way, [ $kind, $k ];
        }
    }
    # As they come in, so that the time of each is its own.
    my %waiting = map { fileno $_->[1]->socket => $_ } @under_way;
    my $until = time + 15 * $SLOW;
    while (%waiting && time < $until) {
        my $bits = '';
        vec($bits, $_, 1) = 1 for keys %waiting;
        next if select(my $ready = $bits, undef, undef, 0.5) <= 0;
        for my $fd (grep { vec $ready, $_, 1 } keys %waiting) {
            my ($kind, $k) = @{ $waiting{$fd} };
            my ($name, $end) = ($kind->[0], $kind->[5] // '');
            my $r = $head{$fd} // $k->read_response(body => $end eq 'cut' ? 0 : 1);
            my $took = time - $k->{since};
            if ($end eq 'cut' && !$head{$fd}) { $head{$fd} = $r; next if !$k->{eof} && $k->{buffer} eq '' }
            delete $waiting{$fd};
            push @{ $seconds{$name} }, $took;
            $status{$name}{ $r->status // 'none' }++;
            push @keep, [ $kind, $k ] if !$end;
        }
    }
    my @again = map { [ $_->[0][0], $_->[1]->request(path => "/$how/next/?mark=again", $_->[0][2] ? (headers => [ Host => 'second.test' ]) : ())->body // 'none' ] } @keep;
    $_->[1]->close for @under_way;
    return ({ map { $_->[0] => median(@{ $seconds{ $_->[0] } || [-1] }) } @kinds }, \%status, join ' ', map {"[@$_]"} grep { $_->[1] ne "again\n" } @again);
}

@kinds = grep { $_->[0] ne 'acquire' } @kinds if mpm() eq 'prefork';    # a pool has one request per process there

sub is_exact { my ($took, $seconds) = @_; return $took > $seconds - 0.01 && $took < $seconds + $EXACT }

for my $how (qw(parked thread)) {
    my ($took, $status, $failed);
    # A machine that is busy for a moment delays all: what is late each time is not exact.
    for my $try (1 .. 3) {
        ($took, $status, $failed) = measure($how);
        last if !grep { !is_exact($took->{ $_->[0] }, $_->[4]) } @kinds;
        diag "$how, try $try: " . join ', ', map { is_exact($took->{ $_->[0] }, $_->[4]) ? () : sprintf '%s %.3f', $_->[0], $took->{ $_->[0] } } @kinds;
    }
    for my $kind (@kinds) {
        my ($name, undef, undef, $expected, $seconds) = @$kind;
        is_deeply $status->{$name}, { $expected => $SAMPLES }, "$how, $name: $expected";
        ok is_exact($took->{$name}, $seconds), sprintf '%s, %s: %.1f s (%.3f)', $how, $name, $seconds, $took->{$name};
    }
    is $failed, '', "$how: the clients' connections serve their next requests";
}
$_->reset for @blockers;
$t->claim_fault('RP0302', route => "/$_/timeout/", phase => 'waiting for the response') for qw(parked thread);
$t->claim_fault('RP0106', route => "/$_/acquire/", phase => 'waiting for a free connection') for mpm() eq 'prefork' ? () : qw(parked thread);
$t->allow(qr/RP0(?:103|106|302|402|501|503) /);

# Only the blockers' connections may have been open at the end, and they end with their clients.
my $until = time + 3 * $SLOW;
sleep 0.02 while $hang->open_connections > 1 && time < $until;
is $hang->open_connections, 1, 'every connection that a deadline ended is closed';

$t->finish;
done_testing;
