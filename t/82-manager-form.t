# The balancer manager: the page that scripts read, and each parameter that they send. As mod_proxy has it
# (RP_FRONT=mod_proxy), but for what says so.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Members;
use RevProxy::Manager;

my %m = RevProxy::Members->make(qw(a b c));
my %url = map { ($_ => $m{$_}->url) } keys %m;
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], one_child => 1, config => <<'EOT' . manager_config());
<Proxy balancer://one>
    BalancerMember %%URL:a%% route=a loadfactor=1.5 retry=5
    BalancerMember %%URL:b%% route=b
    ProxySet stickysession=SID|sid growth=2
</Proxy>
<Proxy balancer://two-x>
    BalancerMember %%URL:c%%/p
</Proxy>
<Proxy balancer://none nonce=None>
    BalancerMember %%URL:c%%
</Proxy>
<Proxy balancer://dyn>
    ProxySet growth=1 nonce=of-the-file
</Proxy>
ProxyPass /one/ balancer://one/
ProxyPass /two/ balancer://two-x/
ProxyPass /dyn/ balancer://dyn/
EOT
$t->allow(qr/AH10187|AH10163|AH10164/) if front eq 'mod_proxy';

sub one { return members($t, 'one') }

# --- the page ------------------------------------------------------------------------------------

my $page = manager($t, '');
is $page->status, 200, 'a page';
like $page->header('Content-Type'), qr{^text/html}, '... of HTML';
like $page->body, qr{<title>Balancer Manager</title>}, '... with its title';
like $page->body, qr{<dt>Server Version: Apache/2\.4\.\d+ }, '... and the version, for which ansible looks';
is_deeply [ map { s/&amp;/&/gr =~ s/nonce=[0-9a-f-]{36}/nonce=N/r } $page->body =~ /<a href="([^"]*)"/g ], [
    '/balancer-manager?b=one&nonce=N', map({"/balancer-manager?b=one&w=$url{$_}&nonce=N"} qw(a b)),
    '/balancer-manager?b=two-x&nonce=N', "/balancer-manager?b=two-x&w=$url{c}/p&nonce=N",
    '/balancer-manager?b=none&nonce=', "/balancer-manager?b=none&w=$url{c}&nonce=", '/balancer-manager?b=dyn&nonce=of-the-file',
], '... its links, with names and nonces';
only_ours { like nonce($t, 'one'), qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, '... the nonce is random (version 4)' } 'it depends on how APR was built';
is_deeply settings($t, 'one'), {
    MaxMembers => '4 [2 Used]', StickySession => 'SID|sid', DisableFailover => 'Off', Timeout => 0, FailoverAttempts => 1,
    Method => 'byrequests', Path => '/one/', Active => 'Yes',
}, '... first table of a balancer';
my %a = %{ one()->{ $url{a} } };
delete @a{ grep {/^HC|Passes|Fails/} keys %a };
is_deeply \%a, {
    'Worker URL' => $url{a}, Route => 'a', RouteRedir => '', Factor => '1.50', Set => 0, Status => 'Init Ok ', Elected => 0, Busy => 0,
    Load => 0, To => '  0 ', From => '  0 ',
}, '... second table';
is settings($t, 'two-x')->{StickySession}, ' (None) ', '... no stickiness';

my %form = %{ form_of(manager($t, '?b=one&nonce=' . nonce($t, 'one'))->body) };
is $form{b}, 'one', 'form of a balancer';
is join(' ', map {"$_=$form{$_}"} grep { $_ ne 'b_frc' } sort grep {/^b_/} keys %form), 'b_lbm=byrequests b_max=1 b_nwrkr= b_sforce=0 b_ss=SID|sid b_tmo=0',
    '... its fields';
only_ours {
    my $v6 = '[::1]:' . $t->port;
    for my $host ('www.example.test', $v6) {
        my ($action) = $t->get('/balancer-manager?b=one', headers => [ Host => $host ])->body =~ /<form [^>]*\baction="([^"]*)"/;
        is $action, '/balancer-manager', "... sent to a path, whatever a front end makes of http://$host";
    }
    like change($t, b => 'one', b_tmo => 1, headers => [ Host => $v6, Origin => "http://$v6" ])->body, qr/timeout from '0' to '1'/, '... from where it is accepted';
    is change($t, b => 'one', b_tmo => 0)->status, 200, '... and undone';
} 'it is sent to http:// and the host of the request';
%form = %{ form_of(manager($t, "?b=one&w=$url{b}")->body) };
is $form{w}, $url{b}, 'form of a member';
is join(' ', map {"$_=$form{$_}"} sort grep {/^w_[lrw]/} keys %form), 'w_lf=1.00 w_ls=0 w_rr= w_wr=b', '... its fields';
is join(' ', map {"$_=$form{$_}"} sort grep {/^w_status_/} keys %form), join(' ', map {"w_status_$_=0"} qw(C D H I N R S)), '... its flags';

my $before = manager($t, '')->body;
is change($t, %form)->status, 200, 'a form that is sent back as it is';
only_ours { is manager($t, '')->body, $before, '... changes nothing' } 'it resets Load for a loadfactor that is the same';
is $t->request(method => 'PUT', path => '/balancer-manager', body => 'x')->status, 405, 'other methods are refused';

# --- members -------------------------------------------------------------------------------------

sub set_b { return change($t, b => 'one', w => $url{b}, @_)->status }

for my $case ([ w_ls => 3, Set => 3 ], [ w_wr => 'bb', Route => 'bb' ], [ w_rr => 'a', RouteRedir => 'a' ],
    [ w_status_I => 1, Status => 'Init Ign Ok ' ], [ w_status_I => 0, Status => 'Init Ok ' ],
    [ w_status_N => 1, Status => 'Init Drn Ok ' ], [ w_status_N => 0, Status => 'Init Ok ' ],
    [ w_status_D => 1, Status => 'Init Dis ' ],    [ w_status_D => 0, Status => 'Init Ok ' ],
    [ w_status_H => 1, Status => 'Init Stby Ok ' ], [ w_status_H => 0, Status => 'Init Ok ' ],
    [ w_status_R => 1, Status => 'Init Spar Ok ' ], [ w_status_R => 0, Status => 'Init Ok ' ],
    [ w_status_S => 1, Status => 'Init Stop ' ],   [ w_status_S => 0, Status => 'Init Ok ' ],
    [ w_status_C => 1, Status => 'Init HcFl ' ],   [ w_status_C => 0, Status => 'Init Ok ' ],
    [ w_lf => '2.5', Factor => '2.50' ], [ w_lf => 100, Factor => '100.00' ],
    [ w_wr => '', Route => '' ], [ w_rr => '', RouteRedir => '' ], [ w_lf => 0.5, Factor => '100.00' ], [ w_lf => 101, Factor => '100.00' ], [ w_lf => '922337203685477580799', Factor => '100.00' ],
    [ w_ls => 100, Set => 3 ], [ w_ls => 0, Set => 0 ]) {
    my ($key, $value, $column, $shown) = @$case;
    is set_b($key => $value), 200, "$key=$value";
    is one()->{ $url{b} }{$column}, $shown, "... $column $shown";
}
is set_b(w_lf => 3, w_ls => 1, w_wr => 'b', w_status_D => 1), 200, 'several at once';
is join(' ', @{ one()->{ $url{b} } }{qw(Factor Set Route Status)}), '3.00 1 b Init Dis ', '... are all set';
is one()->{ $url{a} }{Status}, 'Init Ok ', '... of this member alone';
is who($t, '/one/x', 3), 'a a a', 'a disabled member gets nothing';
set_b(w_status_D => 0, w_ls => 0, w_lf => 1);
like who($t, '/one/x', 6), qr/b/, '... an enabled one does, again';
is change($t, b => 'one', w => $url{b} =~ s/:/%3A/gr, w_ls => 2)->status, 200, 'the URL of a member, encoded twice';
is one()->{ $url{b} }{Set}, 2, '... is understood';
set_b(w_ls => 0);
is change($t, b => 'two-x', w => "$url{c}/p", w_lf => 7)->status, 200, 'loadfactor of a sole member';
is members($t, 'two-x')->{"$url{c}/p"}{Factor}, '1.00', '... stays 1';

# --- balancers -----------------------------------------------------------------------------------

for my $case ([ b_lbm => 'bybusyness', Method => 'bybusyness' ], [ b_lbm => 'nosuch', Method => 'bybusyness' ], [ b_lbm => 'byrequests', Method => 'byrequests' ],
    [ b_tmo => 7, Timeout => 7 ], [ b_tmo => 7201, Timeout => 7 ], [ b_tmo => '9223372036854775807', Timeout => 7 ], [ b_tmo => 0, Timeout => 0 ], [ b_max => 4, FailoverAttempts => 4 ],
    [ b_max => 100, FailoverAttempts => 4 ], [ b_max => 0, FailoverAttempts => 0 ],
    [ b_sforce => 1, DisableFailover => 'On' ], [ b_sforce => 0, DisableFailover => 'Off' ],
    [ b_ss => 'ROUTE', StickySession => 'ROUTE' ], [ b_ss => '', StickySession => 'ROUTE' ], [ b_ss => '-', StickySession => ' (None) ' ], [ b_ss => 'A|b', StickySession => 'A|b' ]) {
    my ($key, $value, $column, $shown) = @$case;
    is change($t, b => 'one', $key => $value)->status, 200, "$key=$value";
    is settings($t, 'one')->{$column}, $shown, "... $column $shown";
}

# --- a new member --------------------------------------------------------------------------------

$t->allow(front eq 'mod_proxy' ? qr/AH0117[01]/ : qr/RP011[45]/);
is who($t, '/dyn/x', 1), '503', 'an empty balancer';
is change($t, b => 'dyn', b_nwrkr => $url{c})->status, 200, 'a new member without b_wyes';
is_deeply members($t, 'dyn'), {}, '... is not added';
is change($t, b => 'dyn', b_nwrkr => $url{c}, b_wyes => 1)->status, 200, 'with it';
is members($t, 'dyn')->{ $url{c} }{Status}, 'Init Dis ', '... it is, disabled';
is settings($t, 'dyn')->{MaxMembers}, '1 [1 Used]', '... in the one place there is';
is who($t, '/dyn/x', 1), '503', '... and gets nothing';
is change($t, b => 'dyn', w => $url{c}, w_status_D => 0)->status, 200, 'it is enabled';
is who($t, '/dyn/x', 2), 'c c', '... and serves';
is figures($t, 'dyn')->{ $url{c} }{status}, 'Init Ok', '... and mod_status says so';
is change($t, b => 'dyn', b_nwrkr => $url{c}, b_wyes => 1)->status, 400, 'the same once more: 400';
is change($t, b => 'dyn', b_nwrkr => $url{b}, b_wyes => 1)->status, 400, 'one too many: 400';
is change($t, b => 'one', b_nwrkr => 'nonsense', b_wyes => 1)->status, 400, 'what is no URL: 400';
is change($t, b => 'one', b_nwrkr => 'balancer://x', b_wyes => 1)->status, 400, 'a balancer: 400' if front ne 'mod_proxy';
is scalar keys %{ one() }, 2, '... and not added';

# --- who may change ------------------------------------------------------------------------------

my @cases = (
    [ 'no nonce', nonce => '' ], [ 'a wrong nonce', nonce => '05742d0c-15ab-d293-194d-30de7b4be45d' ],
    [ 'the nonce of another balancer', nonce => nonce($t, 'two-x') ],
    [ 'no Referer', headers => [] ], [ 'a Referer of elsewhere', headers => [ Referer => 'http://evil.example.test/' ] ],
);
for my $case (@cases) {
    my ($name, @with) = @$case;
    is change($t, b => 'one', w => $url{b}, w_ls => 9, @with)->status, 200, "$name: the page";
    is one()->{ $url{b} }{Set}, 0, '... and no change';
}
change($t, b => 'none', w => $url{c}, w_ls => 9, nonce => $_) for '', 'None';
is members($t, 'none')->{ $url{c} }{Set}, 0, 'nonce=None forbids changes';
manager($t, "?b=one&w=$url{b}&w_ls=9&nonce=" . nonce($t, 'one'));
is one()->{ $url{b} }{Set}, 0, 'a GET changes nothing';
is change($t, b => 'nosuch', w_ls => 1, nonce => 'x')->status, 200, 'no such balancer: the page';
is change($t, b => 'one', w => 'http://nosuch.example.test', w_ls => 1)->status, 200, 'no such member: the page';

only_ours {
    $t->claim(qr/RP0902 change by the balancer manager refused: backend \Q$url{b}\E: it does not have the nonce/, 'log: a refusal');
    $t->claim(qr/RP0902 .*: it does not come from a page of this server/, '... for its origin');
    $t->claim(qr/RP0902 .*: nonce=None/, '... for nonce=None');
    $t->claim(qr/RP0901 changed by the balancer manager: backend \Q$url{b}\E: balancer:\/\/one, route from 'b' to 'bb', by a client without a name from 127\.0\.0\.1/,
        'log: who changed what, from what to what');
    $t->claim(qr/RP0901 .*: backend \Q$url{c}\E: balancer:\/\/dyn, added as a member, disabled/, '... and added it');

    my $own = "http://127.0.0.1:$t->{port}";
    for my $case (
        [ 'Origin of this server',      1, [ Origin => $own ] ],
        [ 'Origin of another port',     0, [ Origin => 'http://127.0.0.1:1' ] ],
        [ 'Origin of elsewhere, Referer of here', 0, [ Origin => 'http://evil.example.test', Referer => $own ] ],
        [ 'Origin null',                0, [ Origin => 'null' ] ],
        [ 'Sec-Fetch-Site same-origin', 1, [ Origin => $own, 'Sec-Fetch-Site' => 'same-origin' ] ],
        [ 'Sec-Fetch-Site cross-site',  0, [ Origin => $own, 'Sec-Fetch-Site' => 'cross-site' ] ],
        [ 'Sec-Fetch-Site same-site',   0, [ Origin => $own, 'Sec-Fetch-Site' => 'same-site' ] ],
        [ 'name of this server in a longer one', 0, [ Referer => 'http://127.0.0.1.evil.example.test/' ] ],
        [ 'behind a user',              0, [ Referer => 'http://127.0.0.1@evil.example.test/' ] ],
    ) {
        my ($name, $is_ok, $headers) = @$case;
        set_b(w_ls => 0);
        my $body = change($t, b => 'one', w => $url{b}, w_ls => 5, headers => $headers)->body;
        is one()->{ $url{b} }{Set}, $is_ok ? 5 : 0, "$name: " . ($is_ok ? 'allowed' : 'refused');
        like $body, $is_ok ? qr/<p class='done'>.*lbset from '0' to '5'/ : qr/<p class='error'>Nothing was changed: the request does not come from/, '... and the page says so';
    }
    set_b(w_ls => 0);
    my $r = $t->get('/balancer-manager');
    like $r->body, qr/LoadBalancer Status/, 'reading needs no Referer';
    is $r->header($_->[0]), $_->[1], "$_->[0] is $_->[1]"
        for [ 'Cache-Control' => 'no-store' ], [ 'X-Frame-Options' => 'DENY' ], [ 'X-Content-Type-Options' => 'nosniff' ], [ 'Referrer-Policy' => 'same-origin' ];
    like $r->header('Content-Security-Policy'), qr/default-src 'none'.*form-action 'self'.*frame-ancestors 'none'/, 'Content-Security-Policy';
    like change($t, b => 'one', w => $url{b}, w_lf => 'much')->body, qr/<p class='error'>loadfactor \(w_lf\) was not changed: it has to be a number from 1 to 100\./, 'what is wrong with a value';
    like change($t, b => 'one', w => $url{b}, w_wr => 'x' x 64)->body, qr/route \(w_wr\) was not changed: it has to be at most 63 characters/, '... that is too long';
    is one()->{ $url{b} }{Route}, 'b', '... and stays as it was';
    is change($t, b => 'one', b_frc => 0)->status, 200, 'b_frc, which mod_proxy does not have';
    is form_of(manager($t, '?b=one')->body)->{b_frc}, 0, '... is set';
} 'it has neither messages nor Origin, and needs a Referer for reading';
$t->allow(qr{\[(?:manager|group-unused)\]});
$t->finish;
done_testing;
