# The manager and active health checks: how a member is checked is shown, and can be changed while they run.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;
use RevProxy::Manager;

my %m = RevProxy::Members->make(qw(a b));
my %url = map { ($_ => $m{$_}->url) } keys %m;
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status watchdog)], one_child => 1, config => <<'EOT' . manager_config());
ProxyHCExpr fine {%{REQUEST_STATUS} =~ /^2/}
ProxyHCExpr two {hc('body') =~ /</}
<Proxy balancer://c>
    BalancerMember %%URL:a%% hcmethod=GET hcinterval=200ms hcuri=/fine hcexpr=fine hcfails=2
    ProxySet growth=1
</Proxy>
ProxyPass /c/ balancer://c/
EOT
$t->allow(front eq 'mod_proxy' ? qr/proxy_hcheck/ : qr/RP0117|RP0118/);

sub row { return members($t, 'c')->{ $url{a} } }
sub checks { my ($row) = @_; return join ' ', map { s/ \(\d+\)//r } @$row{ 'HC Method', 'HC Interval', 'Passes', 'Fails', 'HC uri', 'HC Expr' } }

# Until the page says so.
sub status_is {
    my ($url, $status, $name) = @_;
    my $until = time + 10;
    my $now;
    do { sleep 0.05; $now = members($t, 'c')->{$url}{Status} } while $now ne $status && time < $until;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is $now, $status, $name;
}

sub set_a { return change($t, b => 'c', w => $url{a}, @_)->status }

is checks(row()), 'GET 200ms 1 2 /fine fine', 'how a member is checked';
my $page = manager($t, "?b=c&w=$url{a}")->body;
like $page, qr{Expr name</th><th>Expression</th></tr>\s*<tr><td>fine</td><td>[^<]*REQUEST_STATUS}, 'the expressions there are';
my %form = %{ form_of($page) };
is join(' ', map { $form{$_} // 'none' } qw(w_hm w_hi w_hp w_hf w_hu)), 'GET 200 1 2 /fine', 'the form has it';
like $page, qr{<option value='fine' *selected>fine}i, '... with the expressions to choose from' if front ne 'mod_proxy';

for my $case ([ w_hm => 'HEAD11', 0, 'HEAD11' ], [ w_hi => 300, 1, '300ms' ], [ w_hi => '2s', 1, '2000ms' ], [ w_hi => 99, 1, '2000ms' ], [ w_hi => 150, 1, '150ms' ],
    [ w_hp => 3, 2, 3 ], [ w_hp => 0, 2, 3 ], [ w_hp => 1, 2, 1 ], [ w_hf => 4, 3, 4 ], [ w_hf => 1, 3, 1 ], [ w_hu => '/other', 4, '/other' ],
    [ w_hm => 'nosuch', 0, 'HEAD11' ], [ w_he => 'two', 5, 'two' ], [ w_he => '', 5, '' ], [ w_he => 'fine', 5, 'fine' ], [ w_hm => 'TCP', 5, '' ],
    [ w_he => 'fine', 5, '' ], [ w_hu => '', 4, '' ]) {
    my ($key, $value, $column, $shown) = @$case;
    is set_a($key => $value), 200, "$key=$value";
    is +(split / /, checks(row()), -1)[$column], $shown, "... column $column is '$shown'";
}
status_is $url{a}, 'Init Ok ', 'the member is well';
only_ours {
    set_a(w_hm => 'GET', w_hu => '/status/503');
    status_is $url{a}, 'Init HcFl ', 'checks go by what was changed: it fails';
    set_a(w_hu => '/fine');
    status_is $url{a}, 'Init Ok ', '... and is well again';
    set_a(w_hm => 'NONE');
    set_a(w_status_C => 1);
    is row()->{Status}, 'Init HcFl ', 'w_status_C without checks';
    sleep 0.5;
    is row()->{Status}, 'Init HcFl ', '... stays';
    set_a(w_status_C => 0);
    is row()->{Status}, 'Init Ok ', '... until it is cleared';

    is change($t, b => 'c', b_nwrkr => $url{b}, b_wyes => 1)->status, 200, 'a new member';
    change($t, b => 'c', w => $url{b}, w_status_D => 0, w_hm => 'GET', w_hi => 150, w_hu => '/status/500');
    status_is $url{b}, 'Init HcFl ', '... is checked, too';
    like change($t, b => 'c', w => $url{a}, w_he => 'nosuch')->body, qr/hcexpr \(w_he\) was not changed: it has to be the name of a ProxyHCExpr/, 'an expression that is not there';
    like change($t, b => 'c', w => $url{a}, w_hu => '/a b')->body, qr/hcuri \(w_hu\) was not changed/, 'a URI with a space';
    like $t->get('/balancer-manager?format=json')->body, qr{"check":\{"method":"GET","interval_ms":150,"passes":1,"fails":1,"passed":0,"failed":\d+,"uri":"/status/500","expr":""\}}, 'JSON has it';
} 'its checker goes on with what it has copied, checks no member that was added, and says nothing';
$t->allow(qr{\[(?:manager|group-unused|sticky-route)\]});
$t->finish;

only_ours {
    $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], config => <<'EOT' . manager_config());
<Proxy balancer://c>
    BalancerMember %%URL:a%%
</Proxy>
ProxyPass /c/ balancer://c/
EOT
    unlike manager($t, "?b=c&w=$url{a}")->body, qr/HC Method|w_hm/, 'a server without checks: neither columns nor fields';
    like change($t, b => 'c', w => $url{a}, w_hm => 'GET')->body, qr/hcmethod \(w_hm\) was not changed: no member of this server has health checks/, '... and the page says why';
    $t->allow(qr{\[(?:manager|group-unused|sticky-route)\]});
    $t->finish;
} 'its columns depend on a module';
done_testing;
