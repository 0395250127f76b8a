# Changes while requests run: a member drained, one added, one taken out, without a failed request.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;
use RevProxy::Manager;

plan skip_all => 'mod_proxy: its children learn of a change some time later' if front eq 'mod_proxy';

my %m = map { ($_ => RevProxy::Backend->new(name => $_, answer => do { my $n = $_; sub { my ($c) = @_; $c->pause(0.01); $c->respond(200, [ 'X-Member' => $n ], $n) } })) } qw(a b c);
my %url = map { ($_ => $m{$_}->url) } keys %m;
my $processes = mpm eq 'prefork' ? undef : "ServerLimit 16\nStartServers 4\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 32\nMaxRequestWorkers 32\nMaxConnectionsPerChild 0";
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], $processes ? (process => $processes) : (), children_may_change => 1,
    config => <<'EOT' . manager_config());
<Proxy balancer://l>
    BalancerMember %%URL:a%% route=a
    BalancerMember %%URL:b%% route=b
    ProxySet growth=3 stickysession=S
</Proxy>
ProxyPass /l/ balancer://l/
EOT

$t->allow(qr/AH0004[56]/) if $ENV{RP_SAN}; # children that look for leaks when they end take long

# Clients that note each answer: when it was asked for, and the member, or the status.
my $journal = $t->dir . '/var/journal';
my $until   = time + 60;
sub run_client {
    my ($i, @headers) = @_;
    open my $out, '>', "$journal.$i" or die $!;
    $out->autoflush(1);
    my ($stop, $k) = (0);
    local $SIG{TERM} = sub { $stop = 1 };
    while (!$stop && time < $until) {
        $k ||= $t->connect;
        my $asked = time;
        my $r = $k->request(path => '/l/x', headers => \@headers);
        # A server may close a kept connection at any time before a request; the client asks again.
        if (!$r->status) { $k = undef; next }
        printf $out "%.3f %s\n", $asked, $r->header('X-Member') // $r->status;
        $k = undef if rand() < 0.2;
    }
    return;
}

my @clients = map {
    my $i = $_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        eval { run_client($i, $i == 1 ? (Cookie => 'S=x.b') : ()) };
        POSIX::_exit($@ ? 1 : 0);
    }
    $pid;
} 1 .. 6;

sub answers {
    my ($since, @files) = @_;
    my %n;
    for my $file (@files ? map {"$journal.$_"} @files : glob "$journal.*") {
        for (split /\n/, RevProxy::slurp($file)) { my ($at, $who) = split ' '; $n{$who}++ if $at > $since }
    }
    return \%n;
}

# Answers to n requests that are made from now on, by some of the clients.
sub next_answers {
    my ($n, @files) = @_;
    my ($since, $end, $all, $sum) = (time, time + 20, {}, 0);
    while ($sum < $n && time < $end) {
        sleep 0.05;
        ($all, $sum) = (answers($since, @files), 0);
        $sum += $_ for values %$all;
    }
    return $all;
}

sub who_answers { return join ' ', sort keys %{ next_answers(@_) } }

is who_answers(60, 2 .. 6), 'a b', 'both members serve';
is change($t, b => 'l', w => $url{b}, w_status_N => 1)->status, 200, 'b is drained';
is who_answers(60, 2 .. 6), 'a', '... nobody new goes there';
is who_answers(10, 1), 'b', '... but its session';

is change($t, b => 'l', b_nwrkr => $url{c}, b_wyes => 1)->status, 200, 'c is added';
is who_answers(60, 2 .. 6), 'a', '... and gets nothing yet';
is change($t, b => 'l', w => $url{c}, w_status_D => 0)->status, 200, '... and enabled';
is who_answers(60, 2 .. 6), 'a c', '... and serves';

is change($t, b => 'l', w => $url{b}, w_status_D => 1)->status, 200, 'b is disabled';
ok !next_answers(60)->{b}, '... and its session goes elsewhere';
is members($t, 'l')->{ $url{b} }{Busy}, 0, '... nothing is in flight there';
$m{b}->stop;
is change($t, b => 'l', b_lbm => $_)->status, 200, "lbmethod $_" for qw(bybusyness leasttime hash byrequests);
is change($t, b => 'l', w => $url{a}, w_lf => 4)->status, 200, 'loadfactor 4';
my $n = next_answers(100, 2 .. 6);
cmp_ok $n->{a} / ($n->{c} || 1), '>', 2.5, "... is in effect: $n->{a} to $n->{c}";
$t->reload_graceful;
is who_answers(60, 2 .. 6), 'a c', 'both serve after a graceful restart';

kill TERM => @clients;
my $failed = grep { waitpid $_, 0; $? } @clients;
is $failed, 0, 'clients ended in order';
my %all = %{ answers(0) };
is join(' ', grep {/^\d/} sort keys %all), '', 'no request failed, of ' . eval { my $s = 0; $s += $_ for values %all; $s };
$t->allow(qr{\[(?:manager|group-unused)\]});
$t->finish;
done_testing;
