# What is sent to the manager is no markup on its pages, and what is no form is refused. JSON and XML are valid
# whatever names there are; JSON says with its status what came of a change.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use JSON::PP ();
use RevProxy;
use RevProxy::Members;
use RevProxy::Manager;

plan skip_all => 'mod_proxy has no JSON, and no messages' if front eq 'mod_proxy';

my $evil = q{"><script>alert('x')</script>&amp;};
my %m    = RevProxy::Members->make(qw(a b));
my %url  = map { ($_ => $m{$_}->url) } keys %m;
my $t    = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status watchdog)], config => <<'EOT' . manager_config());
ProxyHCExpr <script>&amp; {%{REQUEST_STATUS} != 999}
<Proxy balancer://h>
    BalancerMember %%URL:a%% route=a hcmethod=HEAD hcinterval=3600
    BalancerMember unix:%%DIR%%/no&b'dy.sock|http://localhost
    ProxySet growth=2 stickysession=<i>|<b>
</Proxy>
ProxyPass "/h<b>/" balancer://h/
<LocationMatch "^/manager">
    SetHandler balancer-manager
</LocationMatch>
ServerSignature On
Listen 127.0.0.1:%%PORT:named%%
<VirtualHost 127.0.0.1:%%PORT:named%%>
    ServerName www.test
    ServerAlias *.alias.test
</VirtualHost>
EOT
$t->allow(qr/RP0902/);

sub json {
    my ($r) = @_;
    is $r->header('Content-Type'), 'application/json', 'JSON by its type';
    my $data = eval { JSON::PP->new->utf8->decode($r->body) };
    ok $data, '... and in fact' or diag $@, $r->body;
    return $data;
}

# Every element is closed, in order; text has no bare < or &; attributes are quoted.
sub is_well_formed {
    my ($xml, $name) = @_;
    my (@open, @bad);
    $xml =~ s/^<\?xml [^>]*\?>\n//;
    while ($xml =~ /\G([^<]*)(?:<(\/?)([\w:]+)((?:\s[\w:]+='[^'<]*')*)>)?/gc) {
        my ($text, $end, $element) = ($1, $2, $3);
        push @bad, "text $text" if $text =~ /&(?!(?:amp|lt|gt|quot|#\d+);)|[^\t\n -~\x80-\xff]/;
        last if !defined $element;
        if   ($end) { push @bad, "end of $element" if !@open || pop @open ne $element }
        else        { push @open, $element }
    }
    push @bad, 'rest: ' . substr $xml, pos($xml) // 0 if (pos($xml) // 0) < length $xml;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is join('; ', @bad, @open), '', $name;
}

# --- markup --------------------------------------------------------------------------------------

my $enc = RevProxy::Manager::escape($evil);
for my $query ("?b=$enc", "?b=h&w=$enc", "?b=h&nonce=$enc", "?format=$enc", "?$enc=$enc", "/" . $enc =~ s/%2F/x/r, "%22%3E%3Cscript%3E") {
    my $r = $t->get("/manager$query");
    is $r->status, 200, "GET /manager$query";
    unlike $r->body, qr/<script/i, '... has no script on its page';
}
$t->get("/manager$enc?format=json");
for my $format ('', '?format=json', '?xml=1') {
    for my $form ([ w_hu => "/$evil" ], [ w_he => '<script>&amp;' ], [ w_hm => $evil ], [ w_hi => $evil ], [ w_wr => $evil ], [ w_rr => $evil ], [ w_lf => $evil ], [ w => $evil ], [ nonce => $evil ], [ b => $evil, nonce => 'x' ],
        [ b_ss => '<script>|<script>' ], [ b_lbm => $evil ], [ b_nwrkr => $evil, b_wyes => 1 ], [ b_nwrkr => "http://$evil/", b_wyes => 1 ]) {
        my $r = change($t, b => 'h', w => $url{a}, query => $format, @$form);
        unlike $r->body, qr/<script/i, "POST$format @$form";
        json($r) if $format eq '?format=json';
        is_well_formed($r->body, '... XML') if $format eq '?xml=1';
    }
}
is members($t, 'h')->{ $url{a} }{Route}, $evil, 'a route with markup is shown as it is';
is form_of(manager($t, "?b=h&w=$url{a}")->body)->{w_wr}, $evil, '... in the form, too';
unlike $t->get('/status')->body, qr/<script/i, '... and not on the page of mod_status';
my $form = form_of(manager($t, "?b=h&w=$url{a}")->body);
is "$form->{w_hu} " . RevProxy::Manager::plain($form->{w_he} // ''), "/$evil <script>&amp;", 'path and expression of a health check, in the form';
my ($stored) = grep { $_->{url} eq $url{a} } @{ json($t->get('/manager?format=json'))->{balancers}[0]{members} };
is_deeply [ @$stored{qw(route redirect)}, @{ $stored->{check} }{qw(uri expr)} ], [ $evil, $evil, "/$evil", '<script>&amp;' ], '... all of it in JSON, as it is';
is settings($t, 'h')->{Path}, '/h<b>/', 'a path with markup';
my ($socket) = grep {/^unix/} keys %{ members($t, 'h') };
like $socket, qr{^unix:/.*/no&b'dy\.sock\|http://localhost$}, 'a member behind a socket';
is change($t, b => 'h', w => $socket, w_ls => 4)->status, 200, '... is found by its URL';
is members($t, 'h')->{$socket}{Set}, 4, '... and changed';
change($t, b => 'h', w => 'http://localhost/', w_ls => 5);
is members($t, 'h')->{$socket}{Set}, 5, "... and by the URL behind it, as mod_proxy's link has it";

# --- bytes ---------------------------------------------------------------------------------------

change($t, b => 'h', w => $url{a}, w_wr => "caf\xc3\xa9", w_rr => "caf\xe9");
my $data = json($t->get('/manager?format=json'));
my ($a) = grep { $_->{url} eq $url{a} } @{ $data->{balancers}[0]{members} };
is "$a->{route} $a->{redirect}", "caf\xe9 caf\xe9", 'UTF-8, and what is none';
is_well_formed($t->get('/manager?xml=1')->body, 'XML with them');

sub post {
    my ($body, @with) = @_;
    return $t->request(method => 'POST', path => '/manager', headers => [ RevProxy::Manager::referer($t) ], body => $body, @with);
}
my $nonce = nonce($t, 'h');
is post('b=%')->status, 400, 'a bad escape in a form: 400';
is post("b=h\0&w=x")->status, 400, 'a NUL: 400';
is post('b=h%00')->status, 400, '... escaped: 400';
is post("b=h&nonce=$nonce&w=$url{a}&w_wr=a%0Ab")->status, 400, 'a line feed: 400';
is $t->get('/manager?b=%zz')->status, 400, 'a bad escape in a query: 400';
is post('x=' . 'y' x 20_000)->status, 413, 'a form of 20 KB: 413';
is post(undef, chunks => [ "b=h&nonce=$nonce&w=", "$url{a}&w_l", 's=7' ])->status, 200, 'a form in chunks';
is members($t, 'h')->{ $url{a} }{Set}, 7, '... is read';
is post('')->status, 200, 'an empty form';
is post('&&=&==&b&w=&' . join('&', map {"k$_=v"} 1 .. 1000))->status, 200, 'a strange form';
is post('b=h&b=h&b=nosuch')->status, 200, 'a key several times';
is $t->raw("POST /manager HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nb=h", half_close => 1) =~ m{^HTTP/1\.1 400 }, 1, 'a form that breaks off: 400';

# --- what JSON says ------------------------------------------------------------------------------

sub json_change { return change($t, b => 'h', w => $url{a}, query => '?format=json', @_) }

my $r = json_change(w_ls => 1, w_lf => 2);
is $r->status, 200, 'two changes';
is_deeply json($r)->{changes}, [ "$url{a}: loadfactor from '1.00' to '2.00'", "$url{a}: lbset from '7' to '1'" ], '... are listed';
$r = json_change(w_ls => 2, w_lf => 1000);
is $r->status, 422, 'one good and one bad';
$data = json($r);
is_deeply $data->{errors}, [ 'loadfactor (w_lf) was not changed: it has to be a number from 1 to 100.', 'Nothing was changed.' ], '... is an error';
is members($t, 'h')->{ $url{a} }{Set}, 1, '... and changes nothing';
is json_change(w_ls => 3, nonce => 'x')->status, 403, 'a wrong nonce: 403';
is json_change(w_ls => 3, headers => [])->status, 403, 'no origin: 403';
is json_change(w_ls => 3, w => 'http://nosuch.example.test/')->status, 404, 'no such member: 404';
is json_change(w_ls => 3, b => 'nosuch', nonce => 'x')->status, 404, 'no such balancer: 404';
is json_change(b_nwrkr => 'x', b_wyes => 1)->status, 400, 'no URL of a member: 400';
$r = json_change(w_ls => 3, b_tmo => 3, b_nwrkr => 'x', b_wyes => 1);
is $r->status, 400, '... nor is what came with it a change';
is_deeply [ json($r)->{changes}, members($t, 'h')->{ $url{a} }{Set}, settings($t, 'h')->{Timeout} ], [ [], 1, 0 ], '... of member or balancer';
$r = json_change(b_nwrkr => $url{b}, b_wyes => 1);
is $r->status, 200, 'a new member';
$data = json($r);
my ($b) = grep { $_->{url} eq $url{b} } @{ $data->{balancers}[0]{members} };
ok $b->{added} && $b->{flags}{disabled} && !$a->{added}, '... is marked as such';
is json_change(w => $url{b}, w_status_D => 'off', w_lf => '1.05')->status, 200, 'off for 0';
($b) = grep { $_->{url} eq $url{b} } @{ json($t->get('/manager?format=json'))->{balancers}[0]{members} };
is "$b->{status}/$b->{loadfactor}", 'Init Ok /1.05', '... and figures are numbers';
my $long = 'http://x/' . 'y' x 600;
is json_change(b_nwrkr => $long, b_wyes => 1)->status, 400, 'a URL of 600 bytes: 400';
is $t->request(method => 'HEAD', path => '/manager')->status, 200, 'HEAD';

# --- DNS rebinding: a page of any name may be made to lead here, and is then of the origin that Host says --------------

my $set = 10;
for my $case ([ 'evil.test', 403 ], [ '127.0.0.1.evil.test', 403 ], [ 'localhost.evil.test', 403 ], [ 'WWW.test', 200 ], [ 'x.alias.test', 200 ], [ 'localhost', 200 ],
    [ '127.0.0.1', 200 ], [ '10.1.2.3', 200 ], [ '[::1]', 200 ]) {
    my ($host, $wanted) = @$case;
    my $here = "$host:" . $t->port_of('named');
    for my $from ([ Origin => "http://$here", 'Sec-Fetch-Site' => 'same-origin' ], [ Referer => "http://$here/balancer-manager" ]) {
        $set++;
        is $t->request(method => 'POST', to => 'named', path => '/balancer-manager?format=json', headers => [ Host => $here, @$from ],
            body => "b=h&nonce=$nonce&w=$url{a}&w_ls=$set")->status, $wanted, "$from->[0] and Host $host: $wanted";
        is members($t, 'h')->{ $url{a} }{Set} eq $set, $wanted == 200, '... and ' . ($wanted == 200 ? 'changed' : 'not changed');
    }
}
$t->allow(qr{\[(?:manager|group-unused|sticky-route)\]});
$t->finish;
done_testing;
