# Tunnels that carry much: the bytes go through pipes where both sides are bare sockets, and nobody sees a difference,
# neither in them nor in what is counted.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Digest::MD5 qw(md5_hex);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'pipes and their directive are ours' if front() eq 'mod_proxy';

my $WS   = 'RevProxy::WebSocket';
my $seed = $ENV{RP_SEED} || time;
srand $seed;
my $app = $WS->echo(name => 'app');
# /take: reads to the end and tells what it was; /give-N: sends N bytes and ends; /half: begins a WebSocket's frame and is silent.
my $raw = RevProxy::Backend->new(name => 'raw', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    my $protocol = $r->header('Upgrade');
    if ($protocol eq 'websocket') {
        $WS->accept($c, $r);
        $c->send(substr RevProxy::WebSocket::format_frame(2, RevProxy::Backend::pattern(400_000)), 0, 300_000);
        return $c->peer_closed(10);
    }
    $c->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: $protocol\r\nConnection: Upgrade\r\n\r\n");
    if ($r->target =~ /give-(\d+)/) { $c->send(RevProxy::Backend::pattern($1)); return }
    my $md5 = Digest::MD5->new;
    my $n   = 0;
    $c->read_to_end(time + 20, sub { $n += length $_[0]; $md5->add($_[0]) });
    $c->send("$n " . $md5->hexdigest);
});
my $t = RevProxy->new(
    backends => { app => $app, raw => $raw },
    modules  => ['logio'],
    config   => <<'EOT');
    LogFormat "%U %I %O %{up}^rp %{down}^rp" bytes
    CustomLog %%DIR%%/logs/bytes.log bytes
    ProxyPass /on/  http://127.0.0.1:%%PORT:app%%/
    ProxyPass /off/ http://127.0.0.1:%%PORT:app%%/
    ProxyPass /raw/on/  http://127.0.0.1:%%PORT:raw%%/ upgrade=ANY
    ProxyPass /raw/off/ http://127.0.0.1:%%PORT:raw%%/ upgrade=ANY
    <LocationMatch "^(/raw)?/off/">
        RevProxySplice Off
    </LocationMatch>
    <Location /raw/on/half>
        RevProxyTunnelIdle 700ms
    </Location>
EOT
sub pipes { my %seen; $seen{ readlink $_ // '' } = 1 for map { glob "/proc/$_/fd/*" } $t->children; return scalar grep {/^pipe/} keys %seen }
sub wait_until { my ($is_so) = @_; for (1 .. 100) { return 1 if $is_so->(); select undef, undef, undef, 0.05 } return 0 }

# --- frames of any size, among them those around the limits, both ways ---

my $big = RevProxy::Backend::pattern(3_000_000);
my @sizes = (7_999, 8_000, 8_001, 32_767, 32_768, 40_000, 40_010, 65_535, 65_536, 262_144, 300_000, 3_000_000, map { int rand 700_000 } 1 .. 8);
my $idle = pipes();
for my $way ('on', 'off') {
    my $ws = $WS->open($t, "/$way/frames");
    my @wrong;
    for my $n (@sizes) {
        $ws->binary(substr $big, 0, $n);
        $ws->text("mark $n");
        my @got = ($ws->said(10) // '', $ws->said(10) // '');
        push @wrong, $n if md5_hex($got[0]) ne md5_hex(substr $big, 0, $n) || $got[1] ne "mark $n";
    }
    is "@wrong", '', "RevProxySplice $way: every frame comes back whole (RP_SEED=$seed)";
    $ws->close(1000);
    is $ws->read(5)->{code}, 1000, 'and the close frame';
    ok $ws->http->peer_closed(5), 'and the end';
    if ($way eq 'on') { cmp_ok pipes(), '>', $idle, 'pipes were made' }
}
# One thread's pipes serve all: a tunnel that says nothing holds none.
{
    my $before = pipes();
    my @ws = map { $WS->open($t, '/on/quiet') } 1 .. 3;
    for my $ws (@ws) { $ws->binary(substr $big, 0, 500_000); $ws->said(10) }
    cmp_ok pipes(), '<=', mpm() eq 'prefork' ? $before + 2 * @ws : $before + 1, 'idle tunnels hold no pipe';
    $_->http->close for @ws;
}

# --- any other protocol: no borders at all, ends carried over ---

for my $way ('on', 'off') {
    my ($k, $r) = $WS->ask($t, "/raw/$way/give-2345678", headers => [ Upgrade => 'bytes' ]);
    is $r->status, 101, "another protocol, RevProxySplice $way";
    my ($n, $md5) = (0, Digest::MD5->new);
    $k->read_to_end(time + 20, sub { $n += length $_[0]; $md5->add($_[0]) });
    is "$n " . $md5->hexdigest, '2345678 ' . md5_hex(RevProxy::Backend::pattern(2_345_678)), 'down to the end';
    ($k, $r) = $WS->ask($t, "/raw/$way/take", headers => [ Upgrade => 'bytes' ]);
    $k->send($big);
    $k->half_close;
    my $told = '';
    $k->read_to_end(time + 20, sub { $told .= $_[0] });
    is $told, '3000000 ' . md5_hex($big), 'up, the half-close, and the answer to it';
    $k->close;
}

# --- a frame that stops in its middle: no close frame is put there ---

{
    my $ws  = $WS->open($t, '/raw/on/half');
    my $got = '';
    $ws->http->read_to_end(time + 10, sub { $got .= $_[0] });
    is md5_hex($got), md5_hex(substr RevProxy::WebSocket::format_frame(2, RevProxy::Backend::pattern(400_000)), 0, 300_000), 'within a frame: nothing but its bytes';
    $t->claim_fault('RP0701', route => '/raw/on/', phase => 'tunnelling', count => 1);
}
# --- a client that reads slowly, or goes: its pipe goes with it ---

{
    my $ws = $WS->open($t, '/on/slow', rcvbuf => 4096);
    $ws->text('!size 6000000');
    select undef, undef, undef, 0.3;
    is md5_hex($ws->said(20)), md5_hex(RevProxy::Backend::pattern(6_000_000)), 'a slow reader gets all';
    $ws->http->close;
    my @gone = map { $WS->open($t, '/on/gone', rcvbuf => 4096) } 1 .. 4;
    $_->text('!size 6000000') for @gone;
    select undef, undef, undef, 0.3;
    my $held = pipes();
    $_->http->reset for @gone;
    ok $app->wait_closed(10), 'clients that go: the backend is told';
    ok wait_until(sub { pipes() < $held || $held <= 4 }), 'pipes with bytes in them are closed';
}

# --- what is counted ---

{
    my %count;
    wait_until(sub {
        %count = ();
        for (split /\n/, RevProxy::slurp($t->dir . '/logs/bytes.log')) { my ($path, @n) = split; push @{ $count{$path} }, "@n" }
        return $count{'/raw/off/take'} && $count{'/off/frames'};
    });
    for my $path ('/raw/%s/take', '/raw/%s/give-2345678', '/%s/frames') {
        my ($on, $off) = map { [ split ' ', ($count{ sprintf $path, $_ } || [''])->[0] ] } 'on', 'off';
        # The paths differ by a letter in the request's head.
        $off->[0]--;
        is "@$on", "@$off", "$path: bytes on the wire and in the tunnel are the same with and without pipes";
        cmp_ok $on->[0], '>', $on->[2], '... and more than its own';
    }
}

$t->allow(qr/RP070[56]|RP0701/);
$t->finish;
done_testing;
