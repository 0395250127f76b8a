package Bench::Machine;

# Processes, cores and ports: starts servers pinned to a core, reads what CPU
# they used from /proc, and ends them again.  Only processes started here are
# ever signalled, each by its own pid.

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(
    free_ports start wait_for_port wait_for_exit has_exited stop_all
    family cpu_seconds run_ns core_seconds expand_cores allowed_cores
    slurp write_file
);

my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my %started;    # pid => name, of what still runs

sub slurp {
    my ($path) = @_;
    open my $fh, '<', $path or return '';
    local $/;
    my $text = <$fh>;
    return defined $text ? $text : '';
}

sub write_file {
    my ($path, $text) = @_;
    open my $fh, '>', $path or die "cannot write $path: $!\n";
    print $fh $text;
    close $fh or die "cannot write $path: $!\n";
    return $path;
}

# All are held open together, so that they differ.
sub free_ports {
    my ($count) = @_;
    my @held = map {
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1)
            or die "no free port: $!\n"
    } 1 .. $count;
    return map { $_->sockport } @held;
}

# A session of its own keeps the terminal's signals away (httpd takes a window
# resize, SIGWINCH, as the order to stop); the death signal ends the server
# when the bench itself is killed.
sub start {
    my ($name, $cores, $output, @command) = @_;
    my $pid = fork;
    die "fork: $!\n" if !defined $pid;
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
        POSIX::setsid();
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $output;
        open STDERR, '>>', $output;
        exec 'setpriv', '--pdeathsig', 'TERM', 'taskset', '-c', $cores, @command
            or POSIX::_exit(127);
    }
    $started{$pid} = $name;
    return $pid;
}

sub has_exited {
    my ($pid) = @_;
    return 1 if !$started{$pid};
    return 0 if waitpid($pid, POSIX::WNOHANG()) == 0;
    delete $started{$pid};
    return 1;
}

sub wait_for_port {
    my ($pid, $port, $seconds) = @_;
    my $end = time + $seconds;
    while (time < $end && !has_exited($pid)) {
        return 1 if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
        sleep 0.05;
    }
    return 0;
}

sub wait_for_exit {
    my ($pid, $seconds) = @_;
    my $end = time + $seconds;
    until (has_exited($pid)) {
        return 0 if time >= $end;
        sleep 0.02;
    }
    return 1;
}

sub stop_all {
    my %families = map { $_ => [family($_)] } keys %started;
    kill 'TERM', keys %families;
    for my $pid (keys %families) {
        next if wait_for_exit($pid, 5);
        kill 'KILL', @{ $families{$pid} };
        wait_for_exit($pid, 2);
    }
    return;
}

# Fields of /proc/PID/stat after the command name, which may hold spaces:
# 1 is the parent's pid, 11 and 12 are utime and stime.
sub stat_fields {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/stat");
    $text =~ s/^.*\) // or return;
    return split ' ', $text;
}

# A process and all that descend from it.
sub family {
    my ($root) = @_;
    my %children;
    for my $dir (glob '/proc/[0-9]*') {
        my ($pid) = $dir =~ /(\d+)$/;
        my @field = stat_fields($pid) or next;
        push @{ $children{ $field[1] } }, $pid;
    }
    my @found = ($root);
    for (my $i = 0; $i < @found; $i++) {
        push @found, @{ $children{ $found[$i] } || [] };
    }
    return sort { $a <=> $b } @found;
}

sub cpu_seconds {
    my (@pids) = @_;
    my $ticks = 0;
    for my $pid (@pids) {
        my @field = stat_fields($pid) or next;
        $ticks += $field[11] + $field[12];
    }
    return $ticks / $TICKS;
}

# The scheduler's own count in nanoseconds, over living threads only.  Much
# finer than the ticks of stat, so it tells whether a server has come to rest.
sub run_ns {
    my (@pids) = @_;
    my $ns = 0;
    for my $file (map { glob "/proc/$_/task/*/schedstat" } @pids) {
        $ns += (split ' ', slurp($file))[0] || 0;
    }
    return $ns;
}

sub expand_cores {
    my ($list) = @_;
    return map { /^(\d+)-(\d+)$/ ? ($1 .. $2) : $_ } split /,/, $list;
}

sub allowed_cores {
    my ($pid) = @_;
    return slurp("/proc/$pid/status") =~ /^Cpus_allowed_list:\s*(\S+)/m ? $1 : '';
}

# Seconds that the cores were not idle since boot, all work together.
sub core_seconds {
    my ($list) = @_;
    my $stat = slurp('/proc/stat');
    my $busy = 0;
    for my $core (expand_cores($list)) {
        my ($line) = $stat =~ /^cpu$core (.*)$/m or next;
        my ($user, $nice, $system, undef, undef, $irq, $softirq, $steal) = split ' ', $line;
        $busy += $user + $nice + $system + $irq + $softirq + ($steal || 0);
    }
    return $busy / $TICKS;
}

1;
