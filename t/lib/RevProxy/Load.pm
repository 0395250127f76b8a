package RevProxy::Load;

=head1 NAME

RevProxy::Load - thousands of clients, and a backend for them

=head1 SYNOPSIS

    use RevProxy::Load;
    my $backend = RevProxy::Load::Backend->new;        # for RevProxy's option "backends"
    my @results = RevProxy::Load::run(port => $t->port, jobs => [
        map { { at => $_ / 100, path => "/x?mark=m$_", mark => "m$_", size => 100 } } 1 .. 1000
    ]);
    is $results[0]{outcome}, 'ok';

The programs are t/load/backd.c and t/load/clients.c, which say all there is to say. The bench uses them
too, so nothing here depends on the test harness.

=cut

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Path ();
use POSIX ();
use Time::HiRes qw(time sleep);

my $TOP = Cwd::realpath(File::Basename::dirname(__FILE__) . '/../../..');

=head1 FUNCTIONS

=head2 program($name)

Path of the program, compiled if its source is newer.

=cut

sub program {
    my ($name) = @_;
    my ($source, $to) = ("$TOP/t/load/$name.c", "$TOP/.build/load/$name");
    return $to if -e $to && -M $to <= -M $source;
    File::Path::make_path("$TOP/.build/load");
    my $new = "$to.$$";    # two tests may want it at the same time
    system('cc', '-O2', '-o', $new, $source) == 0 or die "$source does not compile\n";
    rename $new, $to or die "$to: $!\n";
    return $to;
}

=head2 raise_open_files($n)

Lets this process, and what it starts, have so many open files. Returns false where that is not allowed.

=cut

sub raise_open_files {
    my ($n) = @_;
    return 1 if POSIX::sysconf(POSIX::_SC_OPEN_MAX()) >= $n;
    return system("prlimit --pid $$ --nofile=$n:$n 2>/dev/null") == 0
        || system("prlimit --pid $$ --nofile=$n: 2>/dev/null") == 0;
}

=head2 start(port => N, jobs => [...], %opt), collect($run)

C<start> sets clients going and returns; C<collect> waits for them and returns one result per job, in the
jobs' order. A job is a hash: C<path>; C<at> (seconds, 0), C<keep>, C<up> (bytes), C<up_rate>, C<read_rate>,
C<leave> (seconds), C<how>, C<mark>, C<size>. A result: C<status>, C<outcome>, C<seconds>, C<bytes>.
C<giveup>: seconds (30). C<kept>: how many connections the jobs with C<keep> share (no limit). C<wrap>: a list of words before the command.

C<< leave($run) >>: those under way leave now, then as C<collect>.

=head2 run(...)

C<start> and C<collect>.

=cut

my $runs = 0;

sub start {
    my (%opt) = @_;
    my $base = ($ENV{TMPDIR} || '/tmp') . "/rp-l-$$-" . ++$runs;
    my @jobs = sort { ($a->{at} || 0) <=> ($b->{at} || 0) } @{ $opt{jobs} };
    open my $table, '>', "$base.in" or die "$base.in: $!\n";
    print $table format_job($_), "\n" for @jobs;
    close $table or die "$base.in: $!\n";
    my @command = (@{ $opt{wrap} || [] }, program('clients'), $opt{port}, $opt{giveup} || 30, $opt{kept} || 0);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
        open STDIN,  '<', "$base.in"  or POSIX::_exit(126);
        open STDOUT, '>', "$base.out" or POSIX::_exit(126);
        { no warnings 'exec'; exec { $command[0] } @command }
        POSIX::_exit(127);
    }
    $RevProxy::CHILDREN{$pid} = 'clients';
    return { pid => $pid, base => $base, jobs => \@jobs };
}

sub format_job {
    my ($j) = @_;
    return join ' ', int(1e6 * ($j->{at} || 0)), $j->{keep} || 0, $j->{up} || 0, $j->{up_rate} || 0, $j->{read_rate} || 0,
        int(1e6 * ($j->{leave} || 0)), $j->{how} || 'f', $j->{size} // -1, $j->{mark} // '-', $j->{path};
}

sub collect {
    my ($run) = @_;
    waitpid $run->{pid}, 0;
    my $status = $?;
    delete $RevProxy::CHILDREN{ $run->{pid} };
    die "clients ended with status $status\n" if $status;
    open my $out, '<', "$run->{base}.out" or die "$run->{base}.out: $!\n";
    while (my $line = <$out>) {
        my ($index, $code, $outcome, $us, $bytes) = split ' ', $line;
        $run->{jobs}[$index]{result} = { status => $code, outcome => $outcome, seconds => $us / 1e6, bytes => $bytes };
    }
    close $out;
    unlink "$run->{base}.in", "$run->{base}.out";
    return map { delete $_->{result} // { status => 0, outcome => 'lost', seconds => 0, bytes => 0 } } @{ $run->{jobs} };
}

sub leave { my ($run) = @_; kill TERM => $run->{pid}; return collect($run) }

sub run { return collect(start(@_)) }

=head2 status($t), wait_status($t, sub { condition on %$_ }, $seconds)

What mod_status says of the child that answers, as a hash: the lines of C<?auto>, with C<RevProxyParked>,
C<RevProxyConnsLeased> and so on (src/rp_status.h). The server needs $STATUS in its configuration and the module
status. C<wait_status> polls (5 seconds) until the condition is true of it; returns the last hash.

=cut

our $STATUS = <<'EOT';
    ProxyStatus On
    ExtendedStatus Off
    <Location /server-status>
        ProxyPass "!"
        SetHandler server-status
    </Location>
EOT

sub status {
    my ($t) = @_;
    my $r = $t->get('/server-status?auto');
    return { map { /^(\w+): (.*)$/ ? ($1 => $2) : () } split /\r?\n/, $r->body // '' };
}

sub wait_status {
    my ($t, $condition, $seconds) = @_;
    my $until = time + ($seconds || 5 * $RevProxy::SLOW);
    while (1) {
        my $now = status($t);
        return $now if $condition->(local $_ = $now) || time > $until;
        sleep 0.02;
    }
}

=head2 tally(@results)

Text: how many of each "outcome status".

=head2 percentile($p, @values)

=cut

sub tally {
    my %n;
    $n{"$_->{outcome} $_->{status}"}++ for @_;
    return join ', ', map {"$n{$_} $_"} sort keys %n;
}

sub percentile {
    my ($p, @values) = @_;
    @values = sort { $a <=> $b } @values;
    return $values[ int(@values * $p / 100) ] // $values[-1];
}

package RevProxy::Load::Backend;

# Looks like a RevProxy::Backend to the harness, as far as it asks.

use IO::Socket::INET;
use Time::HiRes qw(time sleep);

=head1 THE BACKEND

RevProxy::Load::Backend->new(port => N, ms => N): starts backd there (a port that is reserved if left out), with
that delay for requests that do not say (0). C<port>, C<url>, C<pid>, C<stop>.

=cut

sub new {
    my ($class, %opt) = @_;
    my $port = $opt{port} || RevProxy::Ports::reserve();
    my $self = bless { port => $port, name => 'backd', owner => $$ }, $class;
    my @command = (@{ $opt{wrap} || [] }, RevProxy::Load::program('backd'), $port, $opt{ms} || 0);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
        { no warnings 'exec'; exec { $command[0] } @command }
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    $RevProxy::CHILDREN{$pid} = 'backd';
    my $until = time + 10;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
        die "backd does not start\n" if time > $until;
        sleep 0.01;
    }
    return $self;
}

sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }
sub url  { return "http://127.0.0.1:$_[0]{port}" }
sub died { return }

# Connections that it has open.
sub open_connections {
    my ($self) = @_;
    my @fds = glob "/proc/$self->{pid}/fd/*";
    return scalar grep { (readlink || '') =~ /^socket/ } @fds;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    kill KILL => $pid;
    waitpid $pid, 0;
    delete $RevProxy::CHILDREN{$pid};
    return;
}

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->stop; return }

1;
