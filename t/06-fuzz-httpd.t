# Fuzz targets that run in a real httpd (t/fuzz/httpd): conversations of a hostile backend with the exchange, and what an
# operator may write. Each on its corpus, and where clang is there on some thousand more of libFuzzer's from it, always
# the same ("make -f Makefile.apxs fuzz" for more).

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use RevProxy;
use RevProxy::Fuzz;

plan skip_all => 'tests of this module, in one process under prefork' if front() ne 'revproxy' || mpm() ne 'event';
plan skip_all => 'one process with one thread, under AddressSanitizer and UBSan always' if ($ENV{RP_SAN} || 'asan') ne 'asan';

my $why = RevProxy::Fuzz::why_not_clang();
my $cc  = $why ? '' : 'CC=clang';
my ($module) = $why ? '.build/fuzzreplay/mod_revproxy.so' : '.build/libfuzzer/mod_revproxy.so';
# -O0: building takes longer than running.
my $output = qx(make -s -j2 -f Makefile.apxs VARIANT=fuzz SAN_O=-O0 $cc 2>&1);
is $?, 0, 'the module is built with the targets in it' or diag $output;

my $found = File::Temp::tempdir(CLEANUP => 1);
for my $target ([ conversation => 3000 ], [ config => 20_000 ]) {
    my ($name, $count) = @$target;
    my $corpus = "$RevProxy::TOP/t/fuzz/corpus/$name";
    my @inputs = glob "$corpus/*";
    cmp_ok scalar(@inputs), '>', 30, "$name: there is a corpus";
    mkdir "$found/$name";

    my ($status, $log) = RevProxy::Fuzz::run("$RevProxy::TOP/$module", $name, $why ? $corpus : "-runs=0 -artifact_prefix=$found/ $corpus");
    is $status, 0, "$name: it brings no finding" or diag substr $log, -6000;
    my ($n) = $log =~ ($why ? qr/^replayed (\d+)$/m : qr/^INFO:\s+(\d+) files found/m);
    is $n, scalar @inputs, '... all of it was run';

    SKIP: {
        skip "no short run of libFuzzer: $why", 2 if $why;
        ($status, $log) = RevProxy::Fuzz::run("$RevProxy::TOP/$module", $name,
            "-seed=1 -runs=$count -max_total_time=10 -timeout=30 -artifact_prefix=$found/ $found/$name $corpus");
        is $status, 0, "$count more neither" or diag substr $log, -6000;
        my ($runs) = $log =~ /^Done (\d+) runs/m;
        cmp_ok $runs // 0, '>', @inputs, 'it tried inputs of its own';
        note "$runs inputs";
    }
}
done_testing;
