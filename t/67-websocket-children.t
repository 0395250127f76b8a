# Limits on tunnels hold for all children together: exactly, also when some ask at once, and when a child is killed.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'the directives are ours' if front() eq 'mod_proxy';

my $WS       = 'RevProxy::WebSocket';
my $SLOW     = $RevProxy::SLOW;
my $app      = $WS->echo(name => 'app');
my $children = 8;
my $max      = 10;
my $few      = 6;

# So few threads in each that no child can have all tunnels.
sub processes {
    return "ServerLimit 32\nStartServers 14\nMinSpareServers 2\nMaxSpareServers 32\nMaxRequestWorkers 32\nMaxConnectionsPerChild 0" if mpm eq 'prefork';
    my $most = 2 * $children;
    return "ServerLimit 16\nStartServers $children\nThreadsPerChild 2\nMinSpareThreads $most\nMaxSpareThreads $most\nMaxRequestWorkers $most\nMaxConnectionsPerChild 0";
}

my $t = RevProxy->new(backends => { app => $app }, process => processes(), children_may_change => 1, timeout => 60, config => <<"EOT");
<IfModule mpm_event_module>
    AsyncRequestWorkerFactor 1
</IfModule>
RevProxyTunnelMax $max
RevProxyTunnelDrain 1
ProxyPass /few/  http://127.0.0.1:%%PORT:app%%/few/ tunnelmax=$few
ProxyPass /all/  http://127.0.0.1:%%PORT:app%%/all/
EOT

# As many as are let in, of n asked for; what the others got is in %refused.
my %refused;
sub fill {
    my ($path, $n) = @_;
    my @in;
    for (1 .. $n) {
        my $ws = eval { $WS->open($t, $path) };
        if ($ws) { push @in, $ws; next }
        my ($k, $r) = $WS->ask($t, $path, read_body => 1);
        $refused{ $r->status }++;
    }
    return @in;
}
sub is_alive { my ($ws) = @_; return $ws->text('x') && ($ws->said(2 * $SLOW) // '') eq 'x' }
sub leave { my ($ws) = @_; $ws->close(1000); $ws->http->peer_closed(5); $ws->http->close; return }
# A place is free when the server has noticed that a tunnel ended.
sub fill_up {
    my ($path, $n) = @_;
    my $until = time + 10 * $SLOW;
    my @in;
    while (@in < $n && time < $until) { push @in, fill($path, 1) or sleep 0.05 }
    return @in;
}

my @few = fill('/few/', $few + 3);
is scalar @few, $few, "tunnelmax=$few holds over $children children";
my @all = fill('/all/', $max);
is @few + @all, $max, "RevProxyTunnelMax $max holds for both backends together";
is_deeply [ keys %refused ], [503], 'the others got 503';
is scalar(grep { is_alive($_) } @few, @all), $max, 'those inside talk';
is $t->get('/all/')->status, 200, 'other requests are not concerned';

leave(pop @all);
push @all, fill_up('/all/', 1);
is @few + @all, $max, 'a place that was left in one child is free in all';
is scalar(fill('/all/', 2)), 0, '... once';

# --- killed --------------------------------------------------------------------------------------

my $killed = 0;
for my $pid ($t->children) {
    my $before = @few + @all;
    kill KILL => $pid;
    sleep 0.05;
    @few = grep { is_alive($_) } @few;
    @all = grep { is_alive($_) } @all;
    my $lost = $before - @few - @all or next;
    $killed++;
    my @new = fill_up('/all/', $lost);
    is scalar @new, $lost, "a child was killed with $lost tunnels: as many places are free";
    is scalar(fill('/all/', 2)), 0, '... and no more';
    push @all, @new;
    last if $killed == 2;
}
is $killed, 2, 'two children had tunnels, and were killed';
$t->claim(qr/child \d+ ended with \d+ tunnels: not counted any more/, 'log: what became of them');

# --- at once -------------------------------------------------------------------------------------

leave($_) for @few, @all;
my @pipes;
for my $i (1 .. 6) {
    pipe my $from, my $to or die;
    my $pid = fork // die;
    if (!$pid) {
        close $from;
        my @in = fill('/few/', 4);
        syswrite $to, pack 'C', scalar @in;
        sleep 3 * $SLOW; # all have asked by then
        require POSIX;
        POSIX::_exit(0);
    }
    close $to;
    push @pipes, [ $from, $pid ];
}
my $together = 0;
for (@pipes) { sysread $_->[0], my $n, 1; $together += unpack 'C', $n }
waitpid $_->[1], 0 for @pipes;
cmp_ok $together, '<=', $few, "six clients that ask at once: no more than $few get in ($together)";
cmp_ok $together, '>', 0, 'and some do';
is scalar(my @again = fill_up('/few/', $few)), $few, 'no place was lost';
leave($_) for @again;

$t->allow(qr/RP070[1-68]|AH00052|AH00287|AH00484|AH03490|AH10159|AH10392/);
$t->finish;
done_testing;
