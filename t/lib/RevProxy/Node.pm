package RevProxy::Node;

=head1 NAME

RevProxy::Node - Node programs as backends and clients, with packages from npm

=head1 FUNCTIONS

=head2 why_not(@packages)

Undef when node is here and the packages are (they are installed into .build/node, once, when the
registry answers), else the reason, for a skip.

=head2 start($script, @arguments)

Starts t/lib/SCRIPT, which prints "listening" when it serves; it ends with the test. Returns its pid.

=head2 run($script, @arguments)

Runs t/lib/SCRIPT to its end; returns what it printed.

=cut

use strict;
use warnings;
use File::Path ();
use RevProxy;

sub node { my ($node) = grep {-x} map {"$_/$_[0]"} split /:/, $ENV{PATH}; return $node }
sub dir  { return "$RevProxy::TOP/.build/node" }

sub why_not {
    my (@packages) = @_;
    return 'no node here' if !node('node');
    my @missing = grep { !-d dir() . "/node_modules/$_" } @packages;
    return if !@missing;
    return 'no npm here' if !node('npm');
    File::Path::make_path(dir());
    my $out = qx(npm install --no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=20000 --prefix @{[ dir() ]} @missing 2>&1);
    @missing = grep { !-d dir() . "/node_modules/$_" } @packages;
    $out =~ s/\s+/ /g;
    return @missing ? "npm cannot install @missing: " . substr($out, 0, 200) : undef;
}

sub command { my ($script, @args) = @_; $ENV{NODE_PATH} = dir() . '/node_modules'; return (node('node'), "$RevProxy::TOP/t/lib/$script", @args) }

sub start {
    my ($script, @args) = @_;
    my $pid = open my $out, '-|', command($script, @args) or die "node: $!\n";
    $RevProxy::CHILDREN{$pid} = "node $script";
    (<$out> // '') =~ /listening/ or die "$script does not listen\n";
    our %OUTPUT;
    $OUTPUT{$pid} = $out;    # closing it would wait for the program
    return $pid;
}

sub run {
    my ($script, @args) = @_;
    open my $out, '-|', command($script, @args) or die "node: $!\n";
    my $text = do { local $/; <$out> };
    close $out;
    return $text // '';
}

1;
