# Fifty graceful restarts while a balancer serves: no request fails, every member keeps its figures, the shares stay right.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

plan skip_all => 'mod_proxy begins anew with each restart' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b c));
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1,
    process => mpm eq 'prefork'
    ? "ServerLimit 64\nStartServers 6\nMinSpareServers 4\nMaxSpareServers 64\nMaxRequestWorkers 64"
    : "ServerLimit 16\nStartServers 2\nThreadsPerChild 8\nMaxRequestWorkers 64\nMinSpareThreads 8\nMaxSpareThreads 64",
    docs => { 'file.txt' => "x\n" }, config => <<'EOT');
<Proxy balancer://b>
    BalancerMember %%URL:a%% loadfactor=2
    BalancerMember %%URL:b%%
    BalancerMember %%URL:c%%
</Proxy>
ProxyPass /file.txt !
ProxyPass /status !
ProxyPass / balancer://b/
ProxyStatus On
<Location /status>
    SetHandler server-status
</Location>
EOT
$t->allow(qr/AH00287|AH00484|AH03490/);

# Asks on a fresh connection each time until it is told to stop; says what it got how often. Under load httpd drops a
# connection or two as its old children end, whatever was to be served: these are asked again, if no member has seen them.
sub client {
    my ($path) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        my ($stop, $asked, %seen) = (0, 0);
        $SIG{TERM} = sub { $stop = 1 };
        while (!$stop) {
            my $n = "$$-" . ++$asked;
            my $r = eval { $t->get("$path?$n") };
            $seen{"again $path $n"}++ if !$r || !$r->status;
            $r = eval { $t->get("$path?$n-again") } if !$r || !$r->status;
            $seen{ $r && $r->status ? $r->status : "nothing for $path" }++;
        }
        print $write join ',', map {"$_=$seen{$_}"} sort keys %seen;
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    return { pid => $pid, read => $read };
}

my @clients = map { client($_ % 3 ? '/x' : '/file.txt') } 1 .. 4;
my $restarts = $RevProxy::SLOW > 1 ? 10 : 50;    # children take long to end under a sanitizer
for (1 .. $restarts) { sleep 0.15; $t->reload_graceful }
sleep 0.2;
kill TERM => $_->{pid} for @clients;
my %seen;
for my $c (@clients) {
    for my $pair (split /,/, readline $c->{read}) {
        my ($what, $n) = split /=/, $pair;
        $seen{$what} += $n;
    }
    waitpid $c->{pid}, 0;
}
my (%again, %dropped);    # requests; connections, by what they asked for
for my $key (grep {/^again /} keys %seen) {
    my (undef, $path, $n) = split / /, $key;
    $again{$n} = 1;
    $dropped{$path}++;
    delete $seen{$key};
}
cmp_ok $seen{200}, '>', 200 / $RevProxy::SLOW, "$seen{200} answers while httpd restarted $restarts times";
is join(' ', grep { $_ ne '200' } sort keys %seen), '', 'and none that failed';
my ($of_balancer, $of_file) = map { $_ // 0 } @dropped{qw(/x /file.txt)};
cmp_ok $of_balancer, '<=', 3 * $of_file + 5, "three clients of the balancer lost no more connections ($of_balancer) than one of a file ($of_file) leads to expect";
my @lost = grep { $_->target =~ /\?(.*)/ && $again{$1} } map { $_->requests } values %m;
is join(' ', map { $_->target } @lost), '', '... nor was lost on its way back (' . keys(%again) . ' connections dropped by httpd)';

my %f = %{ figures($t, 'b') };
my $sum = 0;
$sum += $_->{elected} for values %f;
cmp_ok abs($f{ $m{a}->url }{elected} / $sum - 0.5), '<', 0.02, "shares are right over all restarts, of $sum requests";
my $asked = 0;
$asked += $_->requests for values %m;
# A generation that is ending writes to memory that nobody reads any more; a slow one takes longer to end.
cmp_ok $sum, '>', 0.8 * $asked / $RevProxy::SLOW, 'figures of all generations';
$t->finish;
done_testing;
