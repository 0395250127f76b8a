# Members that are killed or frozen, that refuse, reset, vanish (half-open) and complain while requests come: as long
# as one is well no GET fails, and no POST is done twice.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy gives up where we go on' if front eq 'mod_proxy';

my $mode = File::Temp::tempdir('rp-f-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0777, $mode;
my %m = map { my $name = $_; ($name => RevProxy::Backend->new(name => $name, handler => sub { serve($name, @_) })) } qw(a b c);

# A file named like the member says how it is to fail.
sub serve {
    my ($name, $c) = @_;
    while (my $r = $c->read_request) {
        my $how = RevProxy::slurp("$mode/$name");
        return $c->reset if $how eq 'reset';
        return if $how eq 'close';
        return $c->pause(15) if $how eq 'silent' || $how eq 'half-open' && !$c->vanish;
        return if $how eq 'half-open';
        $c->respond($how eq '503' ? 503 : 200, [ 'X-Member' => $name ], "$name\n");
    }
    return;
}

my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1, timeout => 30,
    process => mpm eq 'prefork'
    ? "ServerLimit 64\nStartServers 6\nMinSpareServers 4\nMaxSpareServers 64\nMaxRequestWorkers 64"
    : "ServerLimit 16\nStartServers 2\nThreadsPerChild 8\nMaxRequestWorkers 64\nMinSpareThreads 8\nMaxSpareThreads 64",
    config => <<'EOT');
<Proxy balancer://b>
    BalancerMember %%URL:a%% timeout=1
    BalancerMember %%URL:b%% timeout=1
    BalancerMember %%URL:c%% timeout=1
    ProxySet failoverstatus=503
</Proxy>
ProxyPass /get/ balancer://b/
<Proxy balancer://p>
    BalancerMember %%URL:a%% timeout=1
    BalancerMember %%URL:b%% timeout=1
    BalancerMember %%URL:c%% timeout=1
    ProxySet lbmethod=bybusyness failoverstatus=503
</Proxy>
ProxyPass /post/ balancer://p/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
$t->allow(qr/RP0[12345]\d\d/, qr/AH00287|AH00484|AH03490/);

# Clients, each in a process of its own, until the file is gone.
RevProxy::write_file("$mode/go", '');
my @clients = map { client($_) } 1 .. 6;

sub client {
    my ($number) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my (%seen, $n);
    while (-e "$mode/go") {
        $n++;
        my $is_post = $number <= 2;
        my $r = eval {
            $is_post ? $t->request(method => 'POST', path => "/post/$number-$n", body => 'once')
                     : $t->get("/get/$number-$n", headers => [ 'User-Agent' => 'fire' ])
        };
        my $whose = $r && $r->status && $r->status != 200 && $r->header('X-Member') ? ' of a member' : '';
        $seen{ ($is_post ? 'POST ' : 'GET ') . ($r && $r->status ? $r->status . $whose : "nothing") }++;
        sleep 0.002;
    }
    RevProxy::write_file("$mode/seen-$number", join '', map {"$_ $seen{$_}\n"} keys %seen);
    POSIX::_exit(0);
}

sub set_fault { my ($name, $how) = @_; RevProxy::write_file("$mode/$name", $how); return }

sleep 0.3;
for my $how (qw(reset close silent half-open 503)) {
    set_fault('a', $how);
    sleep 0.5;
    set_fault('b', $how);
    sleep 0.7;
    set_fault($_, '') for qw(a b);
    sleep 0.2;
}
for my $name (qw(a b c)) {
    $m{$name}->stop;
    sleep 0.6;
    $m{$name}->start;
    sleep 1.3;
}
for my $name (qw(a b)) {
    $m{$name}->freeze;
    sleep 1;
    $m{$name}->unfreeze;
}
unlink "$mode/go";
waitpid $_, 0 for @clients;

my %seen;
for my $number (1 .. 6) {
    for my $line (split /\n/, RevProxy::slurp("$mode/seen-$number")) {
        my ($what, $n) = $line =~ /^(.*) (\d+)$/;
        $seen{$what} += $n;
    }
}
diag join ', ', map {"$_: $seen{$_}"} sort keys %seen;
cmp_ok $seen{'GET 200'}, '>', 100, 'GETs were answered';
is join(' ', grep { /^GET/ && $_ ne 'GET 200' } sort keys %seen), '', 'none of them failed';
cmp_ok $seen{'POST 200'}, '>', 50, 'POSTs were answered';
is $seen{'POST 503'} // 0, 0, 'none of them found no member';
cmp_ok $seen{'POST 503 of a member'}, '>', 0, '... and who got a 503 got it from one, once';
my %done;
$done{ $_->target }++ for grep { $_->method eq 'POST' } map { $_->requests } values %m;
is join(' ', grep { $done{$_} > 1 } sort keys %done), '', 'none was done twice';
my $until = time + 5;
my $busy;
do {
    $busy = join ' ', map { my $g = $_; map { $_->{busy} } values %{ figures($t, $g) } } qw(b p);
    sleep 0.05;
} while $busy ne '0 0 0 0 0 0' && time < $until;
is $busy, '0 0 0 0 0 0', 'nothing is in flight at the end';
$t->finish;
done_testing;
