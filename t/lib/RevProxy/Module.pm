package RevProxy::Module;

=head1 NAME

RevProxy::Module - modules of httpd that only tests need

=head1 SYNOPSIS

    my $t = RevProxy->new(config => RevProxy::Module::load('resize') . '...');

=head2 load($name)

Compiles F<t/lib/mod_NAME.c> into a temporary directory and returns the LoadModule line for it.

=cut

use strict;
use warnings;
use File::Temp ();
use RevProxy;

sub load {
    my ($name) = @_;
    my $dir = File::Temp::tempdir('rp-m-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my ($cpp, $more, @include) = RevProxy::apxs(qw(CPPFLAGS EXTRA_CPPFLAGS INCLUDEDIR APR_INCLUDEDIR APU_INCLUDEDIR));
    my $cc    = $ENV{CC} || 'cc';
    my $paths = join ' ', map {"-isystem $_"} grep {length} @include;
    system("$cc -shared -fPIC -O1 -Wall -Wextra -Werror $cpp $more $paths -o $dir/mod_$name.so $RevProxy::TOP/t/lib/mod_$name.c") == 0
        or die "$cc cannot build mod_$name.c\n";
    return "LoadModule ${name}_module $dir/mod_$name.so\n";
}

1;
