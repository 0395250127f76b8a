package RevProxy::Node;

=head1 NAME

RevProxy::Node - Node programs as backends and clients, with packages from npm

=head1 FUNCTIONS

=head2 why_not(@packages)

Undef when node is here and these packages of t/node are (build/node-packages puts all of them into
.build/node, once), else the reason, for a skip.

=head2 start($script, @arguments)

Starts t/lib/SCRIPT, which prints "listening" when it serves; it ends with the test. Returns its pid.

=head2 read_line($pid, $seconds)

The next line that it prints, without line feed; undef at its end, or when none comes in time.

=head2 run($script, @arguments)

Runs t/lib/SCRIPT to its end; returns what it printed.

=cut

use strict;
use warnings;
use RevProxy;

my %OUTPUT;

sub node { my ($node) = grep {-x} map {"$_/$_[0]"} split /:/, $ENV{PATH}; return $node }
sub dir  { return "$RevProxy::TOP/.build/node" }

sub why_not {
    my (@packages) = @_;
    return 'no node here' if !node('node');
    return if !@packages;
    my $said = qx($RevProxy::TOP/build/node-packages 2>&1);
    return $? ? $said : undef;
}

sub command { my ($script, @args) = @_; $ENV{NODE_PATH} = dir() . '/node_modules'; return (node('node'), "$RevProxy::TOP/t/lib/$script", @args) }

sub start {
    my ($script, @args) = @_;
    my $pid = open my $out, '-|', command($script, @args) or die "node: $!\n";
    $RevProxy::CHILDREN{$pid} = "node $script";
    (<$out> // '') =~ /listening/ or die "$script does not listen\n";
    $OUTPUT{$pid} = $out;    # closing it would wait for the program
    return $pid;
}

sub read_line {
    my ($pid, $seconds) = @_;
    my $line;
    # Buffered reading and select do not go together.
    local $SIG{ALRM} = sub { die "late\n" };
    my $left = alarm $seconds;
    eval { $line = readline $OUTPUT{$pid} };
    alarm $left;
    chomp $line if defined $line;
    return $line;
}

sub run {
    my ($script, @args) = @_;
    open my $out, '-|', command($script, @args) or die "node: $!\n";
    my $text = do { local $/; <$out> };
    close $out;
    return $text // '';
}

1;
