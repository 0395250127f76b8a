package RevProxy::Programs;

# Builds the C test programs through Makefile.apxs (which keeps them in .build/ while nothing that
# they include has changed) and runs programs that print TAP. Sanitizers are in them as Makefile.apxs says; RP_SAN=valgrind
# runs them under valgrind.

use strict;
use warnings;
use Test::More ();
use TAP::Parser;

our $SECONDS = $ENV{RP_SAN} ? 600 : 120;    # that one program may take

# Where programs of a kind ("unit", "replay") are built.
sub directory { return join '/', '.build', $ENV{RP_SAN} || (), $_[0] }

# The programs of a kind whose source in $from matches: asserts that they build; returns the paths of those that did.
sub build {
    my ($kind, $from, $pattern) = @_;
    my @wanted = map { $_ =~ $pattern ? directory($kind) . "/$1" : () } sort glob "$from/*.c";
    my $output = qx(make -k -s -f Makefile.apxs @wanted 2>&1);
    Test::More::ok($? == 0, "make @wanted") or Test::More::diag($output);
    return grep { -x } @wanted;
}

# How to run a program: a list.
sub command {
    my ($program, @arguments) = @_;
    my %wrap = (
        tsan     => [ 'setarch', '-R' ],
        valgrind => [ 'valgrind', '-q', '--num-callers=30', '--leak-check=full', '--errors-for-leak-kinds=definite', '--error-exitcode=86' ],
    );
    return (@{ $wrap{ $ENV{RP_SAN} || '' } || [] }, $program, @arguments);
}

# Runs a program and asserts that it kept its plan, that every test passed, and that it ended well.
sub run_tap {
    my (@program) = @_;
    local $ENV{ASAN_OPTIONS}  = 'detect_leaks=1:abort_on_error=0';
    local $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';
    my $parser = TAP::Parser->new({ exec => [ 'timeout', $SECONDS, command(@program) ], merge => 1 });
    my (@failed, @last, $count);
    while (my $result = $parser->next) {
        $count++ if $result->is_test;
        push @failed, $result->as_string if $result->is_test && !$result->is_ok;
        push @last, $result->as_string;
        splice @last, 0, -40;
    }
    my $good = $count && !@failed && $parser->is_good_plan && !$parser->exit;
    Test::More::ok($good, "@program: " . ($count || 'no') . ' tests');
    return 1 if $good;
    Test::More::diag(@failed ? @failed[ 0 .. ($#failed < 20 ? $#failed : 20) ] : map {"$_\n"} @last);
    Test::More::diag('exit status ' . $parser->exit . ', plan ' . ($parser->plan // 'none')) if !@failed;
    return 0;
}

1;
