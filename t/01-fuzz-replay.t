# Every fuzz target of t/fuzz on its corpus, t/fuzz/corpus/NAME for NAME_fuzz.c.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy::Programs;

my @programs = RevProxy::Programs::build('replay', 't/fuzz', qr/(\w+_fuzz)\.c$/);
ok scalar(@programs), 'there are fuzz targets';
for my $program (@programs) {
    my ($name) = $program =~ m{(\w+)_fuzz$};
    my $corpus = "t/fuzz/corpus/$name";
    my @inputs = grep {-f} glob "$corpus/*";
    ok scalar(@inputs), "$corpus has inputs" or next;
    RevProxy::Programs::run_tap($program, $corpus);
}

done_testing;
