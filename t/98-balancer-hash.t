# lbmethod=hash: a key leads to the same member, in all children and over restarts; a member that goes takes only its own
# keys along, and gets them back; one key that all ask for does not bury its member.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy has no such method' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b c d));
my @members = map {"    BalancerMember %%URL:$_%%\n"} qw(a b c d);
sub config {
    my @lines = @_;
    return join '', map({ "<Proxy balancer://$_->[0]>\n@lines    ProxySet lbmethod=hash $_->[1]\n</Proxy>\nProxyPass /$_->[0]/ balancer://$_->[0]/\n" }
        [ h => '"hashkey=%{req:X-Key}"' ], [ p => '' ]), <<'EOT';
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
}
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1,
    process => mpm eq 'prefork'
    ? "ServerLimit 32\nStartServers 16\nMinSpareServers 4\nMaxSpareServers 32\nMaxRequestWorkers 32"
    : "ServerLimit 8\nStartServers 3\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 24\nMaxRequestWorkers 32",
    config => config(@members));
$t->allow(qr/RP0111|RP0102|RP0110|RP0112|AH00287|AH00484|AH03490|AH10159/);

my @keys = map {"key $_"} 1 .. 40;
# key => member, each asked for on a connection of its own.
sub owners {
    my ($path) = @_;
    return { map { ($_ => $t->get($path, headers => [ 'X-Key' => $_ ])->header('X-Member') // 'nobody') } @keys };
}

my $before = owners('/h/x');
my %n;
$n{$_}++ for values %$before;
is join(' ', sort keys %n), 'a b c d', 'all members have keys' or diag explain \%n;
is_deeply owners('/h/y?z'), $before, 'the same again: whatever the path, whichever the child';
is_deeply { map { ($_ => who($t, "/p/$_", 1)) } 1 .. 20 }, { map { ($_ => who($t, "/p/$_", 1)) } 1 .. 20 }, 'without hashkey= the path is the key';
$t->set_config(config(reverse @members));
$t->reload_graceful;
is_deeply owners('/h/x'), $before, 'the same after a restart, with members in another order';

$m{b}->stop;
my $without = owners('/h/x');
is join(' ', grep { $before->{$_} ne 'b' && $without->{$_} ne $before->{$_} } @keys), '', 'a member goes: the others keep their keys';
is join(' ', grep { $without->{$_} !~ /^[acd]\z/ } @keys), '', '... and have its keys now';
$m{b}->start;
my $until = time + 10 * $RevProxy::SLOW;
my $back;
do { sleep 0.2; $back = owners('/h/x') } while "@$back{@keys}" ne "@$before{@keys}" && time < $until;
is_deeply $back, $before, 'it is back: so are its keys';

my $many = 10;
my @held = map { my $k = $t->connect; $k->send("GET /h/silent HTTP/1.1\r\nHost: x\r\nX-Key: hot\r\n\r\n"); sleep 0.02; $k } 1 .. $many;
$until = time + 5 * $RevProxy::SLOW;
my (@busy, $sum);
do {
    sleep 0.05;
    @busy = sort { $b <=> $a } map { $_->{busy} } values %{ figures($t, 'h') };
    $sum = $busy[0] + $busy[1] + $busy[2] + $busy[3];
} while $sum != $many && time < $until;
is $sum, $many, "$many requests for one key are in flight";
cmp_ok $busy[0], '<=', 4, "... no member has more than a quarter above its share (@busy)";
cmp_ok $busy[0], '>', $busy[3], '... but the key\'s own has the most';
$_->close for @held;
$t->finish;
done_testing;
