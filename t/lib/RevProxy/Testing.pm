package RevProxy::Testing;

=head1 NAME

RevProxy::Testing - a module that does inside of httpd what a test cannot do from outside

=head1 SYNOPSIS

    my $load = RevProxy::Testing::load_line();
    my ($ok, $output) = RevProxy->configtest(config => "$load\nTestingHide mod_watchdog.c\n...");

Its directives are described in F<t/lib/mod_testing.c>.

=cut

use strict;
use warnings;
use File::Basename ();
use File::Temp ();
use RevProxy;

my $dir;

=head2 load_line

Builds the module; returns its LoadModule line.

=cut

sub load_line {
    return "LoadModule testing_module $dir/mod_testing.so" if $dir;
    my $made   = File::Temp::tempdir('rp-m-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $source = File::Basename::dirname(__FILE__) . '/../mod_testing.c';
    my $cc     = $ENV{CC} || 'cc';
    my @flags  = RevProxy::apxs(qw(CFLAGS EXTRA_CPPFLAGS));
    my @where  = map {"-I$_"} RevProxy::apxs(qw(INCLUDEDIR APR_INCLUDEDIR APU_INCLUDEDIR)), $RevProxy::TOP;
    chmod 0755, $made;
    system("$cc -shared -fPIC -O1 -Wall -Wextra -Wno-missing-field-initializers -Werror @flags @where -o $made/mod_testing.so $source") == 0
        or die "$cc cannot build mod_testing.c\n";
    $dir = $made;
    return load_line();
}

1;
