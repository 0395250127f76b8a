# Graceful restarts in quick succession while requests are parked: each gets its answer, also one that a child has
# accepted in the moment in which it was told to end.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'requests are parked under the event MPM' if mpm() ne 'event';

my $restarts = 50;
my $backd    = RevProxy::Load::Backend->new;
my $t = RevProxy->new(backends => { backd => $backd }, children_may_change => 1,
    process => "ServerLimit 16\nStartServers 2\nThreadsPerChild 8\nMaxRequestWorkers 64\nMinSpareThreads 8\nMaxSpareThreads 64",
    config => <<'EOT');
ProxyPass        / http://127.0.0.1:%%PORT:backd%%/
ProxyPassReverse / http://127.0.0.1:%%PORT:backd%%/
EOT

my $n   = 13 * $restarts;
my $run = RevProxy::Load::start(port => $t->port, giveup => 30 * $RevProxy::SLOW, jobs => [ map { { at => $_ / 50, path => "/$_?ms=400" } } 1 .. $n ]);
for (1 .. $restarts) { sleep 0.1; $t->reload_graceful }
my @results = RevProxy::Load::collect($run);
is RevProxy::Load::tally(@results), "$n ok 200", "$n answers while httpd restarted $restarts times";
$t->allow(qr/AH00287|AH00484|AH03490/);
$t->finish;
done_testing;
