# What the manager changes is there for all children at once, in mod_status and in what requests meet, and stays over
# restarts: with BalancerPersist over a stop and start, too. Members that were added as well.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;
use RevProxy::Manager;

plan skip_all => 'mod_proxy keeps nothing, and its children learn of a change some time later' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b c d));
my %url = map { ($_ => $m{$_}->url) } keys %m;

sub config {
    my ($persist, %opt) = @_;
    my $growth = $opt{growth} // 'growth=2';
    my $more   = $opt{more}   // '';
    my $params = $opt{params} // '';
    return <<"EOT" . manager_config();
BalancerPersist $persist
<Proxy balancer://p stickycookie=NODE>
    BalancerMember %%URL:a%% $params
    BalancerMember %%URL:b%%
    $more
    ProxySet $growth
</Proxy>
ProxyPass /p/ balancer://p/
ProxyPassReverse /p/ balancer://p/
EOT
}

my $processes = mpm eq 'prefork' ? undef : "ServerLimit 16\nStartServers 4\nThreadsPerChild 8\nMinSpareThreads 8\nMaxSpareThreads 32\nMaxRequestWorkers 32\nMaxConnectionsPerChild 0";
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], $processes ? (process => $processes) : (), children_may_change => 1,
    config => config('Off'));
$t->allow(qr/AH0004[56]/) if $ENV{RP_SAN}; # children that look for leaks when they end take long
cmp_ok scalar($t->children), '>=', 4, 'four children';

# --- all children --------------------------------------------------------------------------------

# Many connections, so that all children are asked.
sub all_say {
    my ($code, $expected, $name) = @_;
    my %said;
    $said{ $code->() }++ for 1 .. 24;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is_deeply [ sort keys %said ], [$expected], $name;
}

sub pid { my ($t) = @_; my ($pid) = $t->get('/status?auto')->body =~ /^RevProxyChild: (\d+)/m; return $pid }
my (%pids, $asked);
$pids{ pid($t) }++ while $asked++ < 40 || (keys %pids < 2 && $asked < 1000);
cmp_ok scalar(keys %pids), '>', 1, 'more than one of them answers: ' . keys %pids;

is change($t, b => 'p', w => $url{a}, w_status_D => 1)->status, 200, 'a is disabled';
all_say sub { who($t, '/p/x', 1) }, 'b', '... in all children';
all_say sub { members($t, 'p')->{ $url{a} }{Status} }, 'Init Dis ', '... and so say all of them';
change($t, b => 'p', w => $url{a}, w_status_D => 0, w_wr => 'ra', w_lf => 3);

is change($t, b => 'p', b_nwrkr => $url{c}, b_wyes => 1)->status, 200, 'a member is added';
all_say sub { members($t, 'p')->{ $url{c} }{Status} // 'not there' }, 'Init Dis ', '... in all children';
is change($t, b => 'p', w => $url{c}, w_status_D => 0, w_lf => 10)->status, 200, '... enabled';
change($t, b => 'p', w => $url{$_}, w_status_D => 1) for qw(a b);
all_say sub { who($t, '/p/x', 1) }, 'c', '... and serves from each of them';
my $r = $t->get('/p/x');
my ($cookie) = ($r->header('Set-Cookie') // '') =~ /^(NODE=[^;]+)/;
ok $cookie, '... with a cookie of its own';
change($t, b => 'p', w => $url{$_}, w_status_D => 0) for qw(a b);
all_say sub { who($t, '/p/x', 1, headers => [ Cookie => $cookie ]) }, 'c', '... that sticks to it in all children';

is change($t, b => 'p', b_lbm => 'bybusyness', b_tmo => 3, b_max => 2, b_ss => 'S|s', b_sforce => 1, b_frc => 0)->status, 200, 'settings of the balancer';
all_say sub { my $s = settings($t, 'p'); join ' ', @$s{qw(Method Timeout FailoverAttempts StickySession DisableFailover)} }, 'bybusyness 3 2 S|s On', '... in all children';
like $t->get('/status')->body, qr{balancer://p</h1>.*?<td>S \| s</td><td>3</td><td>bybusyness</td>}s, '... and in mod_status';
all_say sub { who($t, '/p/x', 1, headers => [ Cookie => 'S=1.ra' ]) }, 'a', '... and sessions go by it';
change($t, b => 'p', w => $url{a}, w_status_D => 1);
all_say sub { who($t, '/p/x', 1, headers => [ Cookie => 'S=1.ra' ]) }, '503', '... to nobody else, with nofailover';
$t->allow(qr/RP0113|RP0114|RP0116/);
change($t, b => 'p', w => $url{a}, w_status_D => 0);

like $t->get('/p/redirect', headers => [ Cookie => $cookie ])->header('Location'), qr{^http://127\.0\.0\.1:$t->{port}/p/there$},
    "ProxyPassReverse maps the added member's redirects, too";

# --- restarts ------------------------------------------------------------------------------------

sub state_of {
    my ($t) = @_;
    my $all = members($t, 'p');
    return { settings => settings($t, 'p'), map { my $u = $_; my %v = %{ $all->{$u} }; ($u => join ' ', map { "$_=$v{$_}" } qw(Route Factor Set Status)) } keys %$all };
}

my ($before, $nonce) = (state_of($t), nonce($t, 'p'));
$t->reload_graceful;
is_deeply state_of($t), $before, 'a graceful restart keeps all of it';
like manager($t, '')->body, qr/Balancer changes will be kept over a restart, but NOT over a stop and start\./, '... as the page says';
is nonce($t, 'p'), $nonce, '... and the nonce';
all_say sub { who($t, '/p/x', 1, headers => [ Cookie => $cookie ]) }, 'c', '... and the added member serves';
is change($t, b => 'p', b_nwrkr => $url{d}, b_wyes => 1)->status, 200, 'one more';
$t->reload_graceful;
is join(' ', map { $_ eq $url{c} ? 'c' : $_ eq $url{d} ? 'd' : () } sort keys %{ members($t, 'p') }), join(' ', map { $_->[0] } sort { $a->[1] cmp $b->[1] } map { [ $_, $url{$_} ] } qw(c d)), '... both are there after the next';

$t->set_config(config('Off', more => 'BalancerMember %%URL:c%% route=rc'));
$t->reload_graceful;
is settings($t, 'p')->{MaxMembers}, '5 [4 Used]', 'a line in the file for one that was added';
is members($t, 'p')->{ $url{c} }{Route}, 'rc', '... takes its place';
is members($t, 'p')->{ $url{c} }{Factor}, '10.00', '... with what was changed before';
$t->set_config(config('Off', more => 'BalancerMember %%URL:c%%', growth => 'timeout=9'));
$t->reload_graceful;
is_deeply [ sort keys %{ members($t, 'p') } ], [ sort @url{qw(a b c)} ], 'no growth any more';
$t->claim(qr/balancer:\/\/p: no place is left for \Q$url{d}\E, which was added at run time: raise growth=/, '... the log says who is gone');
is settings($t, 'p')->{Timeout}, 9, 'a value of the file, where that changed';
is settings($t, 'p')->{Method}, 'bybusyness', '... the others stay';

$t->set_config(config('On'));
$t->start_again;
is settings($t, 'p')->{Method}, 'byrequests', 'a stop and start forgets';
$t->set_config(config('On'));
change($t, b => 'p', b_nwrkr => $url{c}, b_wyes => 1);
change($t, b => 'p', w => $url{c}, w_status_D => 0, w_wr => 'rc');
change($t, b => 'p', b_lbm => 'bytraffic', b_tmo => 4);
($before, $nonce) = (state_of($t), nonce($t, 'p'));
$t->start_again;
is_deeply state_of($t), $before, '... but not with BalancerPersist';
isnt nonce($t, 'p'), $nonce, '... but for the nonce';
like manager($t, '')->body, qr/Balancer changes will be persisted on restart\./, '... and the page says so';
$t->allow(qr{\[(?:manager|group-unused)\]});
$t->finish;
done_testing;
