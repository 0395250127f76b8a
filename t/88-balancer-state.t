# What all children know of members: counts that are exact over many children, also when one is killed with
# requests in flight; what a restart keeps, found by name and not by place in the file.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy counts without atomic operations, and keeps nothing' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b c));
my $status = <<'EOT';
ProxyPass /status !
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
my %url = map { ($_ => $m{$_}->url) } keys %m;

sub processes {
    my ($n) = @_;
    return "ServerLimit 32\nStartServers $n\nMinSpareServers $n\nMaxSpareServers 32\nMaxRequestWorkers 32\nMaxConnectionsPerChild 0" if mpm eq 'prefork';
    my $most = 8 * $n;
    return "ServerLimit 16\nStartServers $n\nThreadsPerChild 8\nMinSpareThreads $most\nMaxSpareThreads $most\nMaxRequestWorkers $most\nMaxConnectionsPerChild 0";
}

# Waits until mod_status says so.
sub busy_is {
    my ($t, $balancer, $url, $n, $name) = @_;
    my $until = time + 5;
    my $busy;
    do { $busy = figures($t, $balancer)->{$url}{busy}; sleep 0.02 } while $busy != $n && time < $until;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $busy, $n, $name;
    return;
}

# --- restarts ------------------------------------------------------------------------------------

sub config {
    my ($persist, @members) = @_;
    return "BalancerPersist $persist\n<Proxy balancer://k>\n" . join('', map {"BalancerMember $_\n"} @members)
        . "</Proxy>\nProxyPass /k/ balancer://k/\n$status";
}

my $dead = 'http://127.0.0.1:%%PORT:dead%%';
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)],
    config => config('Off', '%%URL:a%%', '%%URL:b%%', "$dead retry=30 lbset=0"));
my $dead_url = 'http://127.0.0.1:' . $t->port_of('dead');
$t->allow(qr/RP0111|RP0102/);
is who($t, '/k/x', 7), 'a b a b a b a', 'two of three are well';
my $before = figures($t, 'k');
is $before->{$dead_url}{status}, 'Init Err', 'the third is in error';
$t->reload_graceful;
is_deeply figures($t, 'k'), $before, 'a graceful restart keeps figures and status';
is who($t, '/k/x', 2), 'b a', '... and the turn';

$before = figures($t, 'k');
$t->set_config(config('Off', "$dead retry=30 lbset=0", '%%URL:c%%', '%%URL:b%%', '%%URL:a%%'));
$t->reload_graceful;
my $after = figures($t, 'k');
is_deeply $after->{$_}, $before->{$_}, "reordered: $_ kept its state" for $url{a}, $url{b}, $dead_url;
is $after->{ $url{c} }{elected}, 0, '... and a new one begins';

$t->set_config(config('Off', "$dead retry=30 lbset=0", '%%URL:c%% status=+D', '%%URL:b%%', '%%URL:a%% status=+H'));
$t->reload_graceful;
$after = figures($t, 'k');
is $after->{ $url{c} }{status}, 'Init Dis', 'status of the file, where that changed';
is $after->{ $url{a} }{status}, 'Init Stby Ok', '... for each flag';
is $after->{$dead_url}{status}, 'Init Err', '... the error stays';
$t->set_config(config('Off', '%%URL:c%%', '%%URL:b%% loadfactor=3'));
$t->reload_graceful;
$after = figures($t, 'k');
is $after->{ $url{c} }{status}, 'Init Ok', '... and back';
my %n;
$n{$_}++ for split ' ', who($t, '/k/x', 40);
is "$n{b} $n{c}", '30 10', 'loadfactor of the file';
$t->start_again;
is figures($t, 'k')->{ $url{b} }{elected}, 0, 'a stop and start forgets';

$t->set_config(config('On', "$dead retry=30", '%%URL:c%%', '%%URL:b%%'));
$t->start_again;
is who($t, '/k/x', 4), 'c b c b', 'BalancerPersist On';
$before = figures($t, 'k');
$t->start_again;
is_deeply figures($t, 'k'), $before, '... keeps figures and status over a stop and start';
$t->set_config(config('On', '%%URL:a%%', '%%URL:b%%', "$dead retry=30"));
$t->start_again;
$after = figures($t, 'k');
is_deeply $after->{$_}, $before->{$_}, "... of $_, in another place" for $url{b}, $dead_url;
is $after->{ $url{a} }{elected}, 0, '... and a new one begins';
$t->finish;

# Rubbish where the state was: a start as if nothing had been kept.
$t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], config => config('On', '%%URL:a%%'));
who($t, '/k/x', 2);
$t->stop;
my ($file) = glob $t->dir . '/run/*revproxy-members*persist*';
ok $file, 'the state is in a file';
RevProxy::write_file($file, pack 'C*', map { $_ * 7 % 256 } 1 .. (-s $file));
$t->start;
is figures($t, 'k')->{ $url{a} }{elected}, 0, 'rubbish in it is not believed';
is who($t, '/k/x', 1), 'a', '... and does no harm';
$t->claim(qr/AH02551/, 'log: mod_slotmem_shm says so');
$t->finish;

# --- many children -------------------------------------------------------------------------------

$t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], process => processes(8), children_may_change => 1,
    config => <<"EOT");
<Proxy balancer://w>
    BalancerMember %%URL:a%% loadfactor=5
    BalancerMember %%URL:b%% loadfactor=3
    BalancerMember %%URL:c%% loadfactor=2
</Proxy>
ProxyPass /w/ balancer://w/
<Proxy balancer://t>
    BalancerMember %%URL:a%% loadfactor=5
    BalancerMember %%URL:b%% loadfactor=3
    BalancerMember %%URL:c%% loadfactor=2
    ProxySet lbmethod=bytraffic
</Proxy>
ProxyPass /t/ balancer://t/
<Proxy balancer://i>
    BalancerMember %%URL:a%% loadfactor=5
    BalancerMember %%URL:b%% loadfactor=3
    BalancerMember %%URL:c%% loadfactor=2
    ProxySet lbmethod=bybusyness
</Proxy>
ProxyPass /i/ balancer://i/
<Proxy balancer://f>
    BalancerMember %%URL:a%%
</Proxy>
ProxyPass /f/ balancer://f/
$status
EOT

my $each = 250;

# A server may close a kept connection at any time, and the client asks again.
sub ask_often {
    my ($n, $path) = @_;
    my $k;
    while ($n > 0) {
        $k = $t->connect if !$k || $n % 10 == 0;
        if ($k->request(path => $path)->status) { $n-- }
        else                                     { $k = undef }
    }
    return;
}

sub ask_from {
    my ($clients, $path) = @_;
    my @workers = map {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            eval { ask_often($each, $path) };
            POSIX::_exit($@ ? 1 : 0);
        }
        $pid;
    } 1 .. $clients;
    is scalar(grep { waitpid $_, 0; $? } @workers), 0, "$clients clients at a time";
    return;
}

sub shares_are_right {
    my ($balancer, $method, $least) = @_;
    my $w   = figures($t, $balancer);
    my $sum = 0;
    $sum += $_->{elected} for values %$w;
    cmp_ok $sum, '>=', $least, "$method: all of their requests are counted";
    for my $member ([ a => 5 ], [ b => 3 ], [ c => 2 ]) {
        my ($name, $weight) = @$member;
        my $share = $w->{ $url{$name} }{elected} / $sum;
        cmp_ok abs($share - $weight / 10), '<', 0.01, "$method: $name gets its share within 1 % ($share)";
    }
    is join(' ', map { $w->{$_}{busy} } values %url), '0 0 0', '... and nothing is in flight';
    return;
}

ask_from(8, '/w/x');
shares_are_right('w', 'byrequests', 8 * $each);
# All answers have the same length, so a share of bytes is one of requests.
ask_from(8, '/t/x');
shares_are_right('t', 'bytraffic', 8 * $each);
# Loads count where members are equally busy: none is, between the requests of one client. Its connections lead to all children.
ask_from(1, '/i/x');
shares_are_right('i', 'bybusyness', $each);

my $many = mpm eq 'prefork' ? 10 : 24;    # each needs a child there
my @held = map { my $k = $t->connect; $k->send("GET /f/silent HTTP/1.1\r\nHost: x\r\n\r\n"); $k } 1 .. $many;
busy_is $t, 'f', $url{a}, $many, 'requests in flight, over eight children';
$held[0]->close;
shift @held;
busy_is $t, 'f', $url{a}, $many - 1, '... one less for a client that left';

# A child dies with what it had: find out by the clients' connections how many that was.
my %pids = map { $_ => 1 } $t->children;
for my $pid (sort { $a <=> $b } keys %pids) {
    kill KILL => $pid;
    my $until = time + 5;
    sleep 0.02 while grep({ $_ == $pid } $t->children) && time < $until;
    sleep 0.1;
    @held = grep { !$_->peer_closed(0) } @held;
    busy_is $t, 'f', $url{a}, scalar @held, 'a child was killed: ' . @held . ' requests are left';
    last if !@held;
}
is scalar @held, 0, 'all have been killed';
$t->allow(qr/AH00287|AH00484|AH03490|AH10159|AH10392/); # all threads are spare, of a child that is not there yet, too; two children in a row were killed
$t->claim(qr/child \d+ ended with \d+ requests in flight: not counted any more/, 'log: what became of their requests');
is who($t, '/f/x', 2), 'a a', 'the next generation serves';
busy_is $t, 'f', $url{a}, 0, '... and counts from there';
$t->finish;
done_testing;
