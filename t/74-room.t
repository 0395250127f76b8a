# Idle clients, more of them than the MPM accepts connections: the one that has been idle for longest makes room for a new one. Each is
# closed when its KeepAliveTimeout is over, not later, and nobody is woken before.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Select;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy leaves that to the MPM' if front() ne 'revproxy';
plan skip_all => 'needs parking'                    if mpm() ne 'event';

my $SLOW = $RevProxy::SLOW;

my $backd = RevProxy::Load::Backend->new;

sub front_with {
    my ($keep_alive, $factor, $threads) = @_;
    return RevProxy->new(backends => { backd => $backd }, threads => $threads // 4, children_may_change => 1, config => <<"EOT");
    <IfModule mpm_event_module>
        AsyncRequestWorkerFactor $factor
    </IfModule>
    KeepAliveTimeout $keep_alive
    ProxyPass /app/ %%URL:backd%%/
EOT
}

# A connection with its first answer, and when that came.
sub begin {
    my ($t) = @_;
    my $c = $t->connect;
    ask($c);
    return { c => $c, since => time };
}

sub ask {
    my ($c) = @_;
    my $text = '';
    syswrite $c->{socket}, "GET /app/?size=6 HTTP/1.1\r\nHost: x\r\n\r\n";
    while ($text !~ /hello\n\z/) {
        IO::Select->new($c->{socket})->can_read(10 * $SLOW) or last;
        sysread $c->{socket}, $text, 65536, length $text or last;
    }
    return $text =~ m{\AHTTP/1\.1 200 .*hello\n\z}s;
}

sub is_closed {
    my ($c) = @_;
    return IO::Select->new($c->{socket})->can_read(0) && !sysread $c->{socket}, my $byte, 1;
}

# --- room: the MPM accepts 4 + 4 * 2 connections ---

my $t = front_with(30, 2);
my @idle = map { sleep 0.02; begin($t) } 1 .. 12;
my $began = time;
ok ask($t->connect), 'a client that comes when as many as are accepted are idle is served';
cmp_ok time - $began, '<', 3 * $SLOW, 'soon';
sleep 1 * $SLOW;
my $closed = grep { is_closed($_->{c}) } @idle;
cmp_ok $closed, '>=', 1, 'others have made room';
cmp_ok $closed, '<=', 6, '... not all of them';
ok !is_closed($idle[-1]{c}), 'not the one that was idle for the shortest time';
ok ask($idle[-1]{c}), '... which is served on';
$t->allow(qr/AH00484/);
$t->finish;

# --- a single thread: the MPM that has stopped to accept begins again when nobody is left ---

$t = front_with(30, 2, 1);
@idle = map { begin($t) } 1 .. 3;
$began = time;
ok ask($t->connect), 'one thread, and a client that comes when as many as are accepted are idle: it is served';
cmp_ok time - $began, '<', 3 * $SLOW, 'soon';
$t->allow(qr/AH00484/);
$t->finish;

# --- time ---

$t = front_with(2, 100);
@idle = map { begin($t) } 1 .. 30;
my ($pid) = $t->children;

sub switches {
    my $n = 0;
    for my $file (glob "/proc/$pid/task/*/status") {
        open my $fh, '<', $file or next;
        /^voluntary_ctxt_switches:\s+(\d+)/ and $n += $1 while <$fh>;
    }
    return $n;
}

sleep 0.2;
my $before = switches();
sleep 1.4;
cmp_ok switches() - $before, '<', 30, '30 clients rest, and are not woken meanwhile';
my @open = @idle;
my ($soonest, $latest) = (1e9, 0);
while (@open && time - $idle[0]{since} < 15) {
    sleep 0.02;
    my @left;
    for my $one (@open) {
        if (!is_closed($one->{c})) {
            push @left, $one;
            next;
        }
        my $after = time - $one->{since};
        $soonest = $after if $after < $soonest;
        $latest  = $after if $after > $latest;
    }
    @open = @left;
}
is @open, 0, 'all are closed in the end';
cmp_ok $soonest, '>', 1.9, 'none before its time';
cmp_ok $latest, '<', 3.3 + ($SLOW > 1 ? 2 : 0.4), 'and none more than a second after it';
$t->finish;

# --- whose KeepAliveTimeout: a virtual host without one has that of the first one of its address, as the MPM takes it ---

$t = RevProxy->new(backends => { backd => $backd }, threads => 4, config => <<'EOT');
    KeepAliveTimeout 1
    <VirtualHost *:%%PORT%%>
        ServerName first
        KeepAliveTimeout 60
    </VirtualHost>
    <VirtualHost *:%%PORT%%>
        ServerName x
        ProxyPass /app/ %%URL:backd%%/
    </VirtualHost>
EOT
my $c = $t->connect;
ok ask($c), 'a client of a virtual host without a KeepAliveTimeout';
sleep 2.6;
ok !is_closed($c), '... rests for as long as that of the first one says';
$t->finish;
done_testing;
