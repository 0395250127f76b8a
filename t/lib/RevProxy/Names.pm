package RevProxy::Names;

=head1 NAME

RevProxy::Names - host names that resolve to what a test says, and later to something else

=head1 SYNOPSIS

    my $names = RevProxy::Names->new('app.test' => [ '127.0.0.1', '::1' ]);
    my $t = RevProxy->new(env => { $names->env }, ...);
    $names->set('app.test' => [ '127.0.0.2' ]);

The address C<slow> makes the look-up take a second; a name without addresses is unknown. It works by
preloading F<t/lib/names.c> into httpd.

=cut

use strict;
use warnings;
use File::Basename ();
use File::Temp ();

sub new {
    my ($class, %names) = @_;
    my $dir = File::Temp::tempdir('rp-n-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my $source = File::Basename::dirname(__FILE__) . '/../names.c';
    my $cc     = $ENV{CC} || 'cc';
    system("$cc -shared -fPIC -O1 -Wall -Wextra -Werror -o $dir/names.so $source -ldl") == 0 or die "$cc cannot build names.c\n";
    my $self = bless { dir => $dir, names => {} }, $class;
    $self->set(%names);
    return $self;
}

sub env { my ($self) = @_; return (LD_PRELOAD => "$self->{dir}/names.so", RP_NAMES => "$self->{dir}/names") }

sub set {
    my ($self, %names) = @_;
    %{ $self->{names} } = (%{ $self->{names} }, %names);
    open my $out, '>', "$self->{dir}/new" or die $!;
    print $out map {"$_ @{ $self->{names}{$_} }\n"} sort keys %{ $self->{names} };
    close $out or die $!;
    rename "$self->{dir}/new", "$self->{dir}/names" or die $!;
    return;
}

1;
