package RevProxy::Node;

=head1 NAME

RevProxy::Node - Node programs as backends and clients, with packages from npm

=head1 FUNCTIONS

=head2 why_not(@packages)

Undef when node is here and these packages of t/node are (build/node-packages puts all of them into
.build/node, once), else the reason, for a skip.

=head2 start($script, @arguments)

Starts t/lib/SCRIPT, which prints "listening" when it serves; it ends with the test. Returns its pid.

=head2 start_client($script, @arguments)

The same for a program that runs by itself: it need not say "listening".

=head2 read_line($pid, $seconds), read_rest($pid), wait_output($seconds, @pids)

The next line that it prints, without line feed; undef at its end, or when none comes in time. C<read_rest> kills
it and returns the lines that are left. C<wait_output>: the pid of a program that has printed something, or undef.

=head2 run($script, @arguments)

Runs t/lib/SCRIPT to its end; returns what it printed.

=cut

use strict;
use warnings;
use RevProxy;
use Time::HiRes qw(time);

my (%OUTPUT, %LEFT);    # by pid: pipes, what was read of them

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
    my $pid = start_client($script, @args);
    (read_line($pid, 30) // '') =~ /listening/ or die "$script does not listen\n";
    return $pid;
}

sub start_client {
    my ($script, @args) = @_;
    my $pid = open my $out, '-|', command($script, @args) or die "node: $!\n";
    $RevProxy::CHILDREN{$pid} = "node $script";
    $OUTPUT{$pid} = $out;    # closing it would wait for the program
    $LEFT{$pid}   = '';
    return $pid;
}

sub read_line {
    my ($pid, $seconds) = @_;
    my $until = time + $seconds;
    while ($LEFT{$pid} !~ /\n/) {
        my $left = $until - time;
        return if $left <= 0 || !wait_output($left, $pid) || !sysread $OUTPUT{$pid}, $LEFT{$pid}, 65536, length $LEFT{$pid};
    }
    (my $line, $LEFT{$pid}) = split /\n/, $LEFT{$pid}, 2;
    return $line;
}

sub read_rest {
    my ($pid) = @_;
    kill KILL => $pid;
    my @lines;
    while (defined(my $line = read_line($pid, 5))) { push @lines, $line }
    return @lines;
}

sub wait_output {
    my ($seconds, @pids) = @_;
    my $bits = '';
    vec($bits, fileno $OUTPUT{$_}, 1) = 1 for @pids;
    return if select($bits, undef, undef, $seconds) <= 0;
    my ($pid) = grep { vec $bits, fileno $OUTPUT{$_}, 1 } @pids;
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
