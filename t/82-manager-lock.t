# A child is killed in the midst of a change by the manager: the others serve on, and the next change is made
# as soon as the parent has seen it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use RevProxy;
use RevProxy::Manager;
use RevProxy::Members;
use RevProxy::Testing;

plan skip_all => 'mod_proxy has nothing like it' if front eq 'mod_proxy';

my %m = RevProxy::Members->make(qw(a b));
my %url = map { ($_ => $m{$_}->url) } keys %m;
my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], children_may_change => 1,
    mpm eq 'prefork' ? () : (process => "ServerLimit 4\nStartServers 3\nThreadsPerChild 8\nMinSpareThreads 24\nMaxSpareThreads 32\nMaxRequestWorkers 32"),
    config => RevProxy::Testing::load_line() . "\nTestingDieAt \"loadfactor from '1.00' to '7.00'\"\n" . manager_config() . <<'EOT');
<Proxy balancer://p>
    BalancerMember %%URL:a%%
    BalancerMember %%URL:b%%
    ProxySet growth=1
</Proxy>
ProxyPass /p/ balancer://p/
EOT
$t->allow(qr/AH00287|AH00484|AH03490|AH10159/);
my %before = map { $_ => 1 } $t->children;

# The log line of the first of two changes is its last; it has the lock.
my $r = eval { change($t, b => 'p', w => $url{a}, w_lf => 7, w_ls => 3) };
ok !$r || !$r->status, 'no answer from the child that was killed' or diag $r->status;
$t->claim(qr/loadfactor from '1.00' to '7.00'/, '... in the midst of the change');
is join('', sort split / /, who($t, '/p/x', 8)), 'aaaaaaab', 'the others serve at once, with what was done';
# The parent looks after its children once a second.
my $until = time + 5;
do { $r = change($t, b => 'p', w => $url{b}, w_lf => 2) } while $r->status == 503 && $r->body =~ /Try again/ && time < $until;
is $r->status, 200, 'the next change is made';
is members($t, 'p')->{ $url{b} }{Factor}, '2.00', '... which all see';
is members($t, 'p')->{ $url{a} }{Factor}, '7.00', '... beside what was done of the first';
is members($t, 'p')->{ $url{a} }{Set}, '0', '... and not what was not';
is change($t, b => 'p', w => $url{a}, w_lf => 1, w_ls => 0)->status, 200, '... and made good';
$until = time + 5;
sleep 0.05 while $t->children < keys %before && time < $until;
is scalar(grep { $before{$_} } $t->children), keys(%before) - 1, 'one child was killed, no other';
$t->allow(qr{\[(?:manager|group-unused)\]});
$t->finish;
done_testing;
