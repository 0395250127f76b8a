# conf-examples/12-health-checks.conf with traffic, its times shortened; and the manual's own examples.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Members;

# A file says how it is: "sick" (503), "alone" (its database is away), else well.
my $state = File::Temp::tempdir(CLEANUP => 1);
sub member {
    my ($name) = @_;
    return RevProxy::Backend->new(name => $name, answer => sub {
        my ($c, $r) = @_;
        my $how = RevProxy::slurp("$state/$name");
        return $c->respond(503, [], 'sick') if $how eq 'sick';
        return $c->respond(200, [], $how eq 'alone' ? '{"database": "down"}' : '{"database": "up"}') if $r->target eq '/health';
        return $c->respond(200, [ 'X-Member' => $name ], $name);
    });
}
sub set_state { my ($name, $how) = @_; RevProxy::write_file("$state/$name", $how); return }

my %m = map { $_ => member($_) } qw(one two old sorry);
my @where = ('*:80' => '*:%%PORT%%', map { ("10.0.0.$_->[0]:8080" => '127.0.0.1:' . $m{ $_->[1] }->port) }
    [ 1, 'one' ], [ 2, 'two' ], [ 3, 'old' ], [ 4, 'sorry' ]);
my @host = (headers => [ Host => 'yourdomain.com' ]);
# Who answers, once it is those, in whatever order.
sub settles {
    my ($t, $want) = @_;
    my ($until, $got) = (time + 10 * $RevProxy::SLOW, '');
    while ($got ne $want && time < $until) {
        my %who = map { $_ => 1 } split / /, who($t, '/x', 6, @host);
        $got = join ' ', sort keys %who;
        sleep 0.1;
    }
    return $got;
}

only_ours {
    my $example = RevProxy->example('12-health-checks.conf', @where);
    $example =~ s/hcinterval=5 hctimeout=2/hcinterval=200ms hctimeout=2/ or die;
    ($example =~ s/hcinterval=10/hcinterval=200ms/g) == 2 or die;
    my $t = RevProxy->new(backends => \%m, modules => [ RevProxy->example_modules('12-health-checks.conf') ], config => $example);
    my ($all, $log) = ('old one two', $t->dir . '/logs/yourapp_error.log');
    is settles($t, $all), $all, 'all are well';
    ok $m{one}->wait_for(sub { grep { $_->target eq '/health' && $_->version eq '1.1' } $_[0]->requests }, 5), '/health is asked for';
    ok $m{old}->wait_for(sub { grep { $_->method eq 'HEAD' } $_[0]->requests }, 5), '... and the head of the old one';
    set_state(one => 'alone');
    is settles($t, 'old two'), 'old two', 'one without its database is out';
    like RevProxy::slurp($log), qr/RP0117 .*GET11 .health, status 200, condition all_up is false/, '... and the log says why';
    set_state($_ => 'sick') for qw(two old);
    is settles($t, 'sorry'), 'sorry', 'the standby says sorry';
    set_state($_ => 'well') for qw(one two old);
    is settles($t, $all), $all, 'all are back';
    like RevProxy::slurp($log), qr/RP0118/, '... the log says it';
    $t->finish;
} 'hctimeout= is ours';

# The manual of mod_proxy_hcheck, word for word but for the hosts.
my $t = RevProxy->new(backends => \%m, modules => ['slotmem_shm'],
    config => join '', map { s/www(\d?)\.example\.com/'127.0.0.1:' . $m{ { '' => 'one', 2 => 'two', 3 => 'old', 4 => 'sorry' }->{$1} }->port/er } split /(?<=\n)/, <<'EOT');
ProxyHCExpr ok234 {%{REQUEST_STATUS} =~ /^[234]/}
ProxyHCExpr gdown {%{REQUEST_STATUS} =~ /^[5]/}
ProxyHCExpr in_maint {hc('body') !~ /Under maintenance/}

<Proxy balancer://foo>
  BalancerMember http://www.example.com/  hcmethod=GET hcexpr=in_maint hcuri=/status.php
  BalancerMember http://www2.example.com/ hcmethod=HEAD hcexpr=ok234 hcinterval=10
  BalancerMember http://www3.example.com/ hcmethod=TCP hcinterval=5 hcpasses=2 hcfails=3
  BalancerMember http://www4.example.com/
</Proxy>

ProxyPass "/" "balancer://foo"
ProxyPassReverse "/" "balancer://foo"

ProxyHCTemplate tcp5 hcmethod=tcp hcinterval=5
<Proxy balancer://bar>
  BalancerMember http://www2.example.com/ hctemplate=tcp5
  BalancerMember http://www.example.com/ hcexpr=in_maint hcmethod=get hcuri=/status.php
</Proxy>
ProxyHCTPsize 32
EOT
is $t->get('/')->status, 200, 'the examples of the manual';
$t->allow(qr/lint/);
$t->finish;
done_testing;
