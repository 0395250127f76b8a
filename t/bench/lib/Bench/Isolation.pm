package Bench::Isolation;

# What waiting requests cost, and what they do to others: measured with a timetable of requests (open
# loop: a request starts when it is due, whatever became of those before it).

use strict;
use warnings;
use Time::HiRes qw(sleep time);
use Bench::Client ();
use Bench::Httpd qw(write_configuration);
use Bench::Machine qw(free_ports start wait_for_port slurp family has_exited);
use RevProxy::Load ();

use constant {
    HOLD_N       => 4000,
    HOLD_S       => 10,
    DEAD_N       => 2000,
    SLOW_N       => 500,     # readers, and as many uploaders
    SLOW_RATE    => 500,     # of the third route, requests per second
    GIVE_UP_S    => 30,
    FAST_CLIENTS => 64,
    FAST_S       => 10,      # the longest that an answer of the fast route may take
    NOFILE       => 20_000,
};

my %ROWS = (
    hold => { threads => 64, run => \&run_hold, text => HOLD_N . ' requests that wait ' . HOLD_S . ' s each, 64 threads' },
    dead => { threads => 64, run => \&run_dead, text => DEAD_N . ' requests hang on a dead backend, another route at half of its capacity, 64 threads' },
    slow => { threads => 16, run => \&run_slow, text => SLOW_N . ' readers of 1 MB at 10 KB/s, ' . SLOW_N . ' uploaders of 100 KB at 2 KB/s, a third route at ' . SLOW_RATE . '/s, 16 threads' },
);

sub rows { return qw(hold dead slow) }
sub text { return $ROWS{ $_[0] }{text} }

# --- servers --------------------------------------------------------------------------------

sub start_httpd {
    my ($ctx, $name, $row) = @_;
    my $base = "$ctx->{dir}/$name-$row";
    my ($port)  = free_ports(1);
    my @command = write_configuration($ctx, name => $name, base => $base, log => "$base.log",
        threads => $ROWS{$row}{threads}, factor => 400, timeout => 120, text => <<"CONF");
KeepAliveTimeout 120
LogLevel crit
Listen 127.0.0.1:$port
ProxyPass /wait/ http://127.0.0.1:$ctx->{wait}{port}/
ProxyPass /fast/ http://127.0.0.1:$ctx->{quick}{port}/
CONF
    my $pid = start($name, $ctx->{proxy_core}, "$base.log", @command);
    wait_for_port($pid, $port, 10) or die "$name does not start:\n" . slurp("$base.log");
    return { name => $name, pid => $pid, port => { main => $port }, log => "$base.log" };
}

sub stop_httpd {
    my ($proxy) = @_;
    my @pids = family($proxy->{pid});
    kill TERM => $proxy->{pid};
    my $end = time + 15;
    sleep 0.05 until has_exited($proxy->{pid}) || time > $end;
    kill KILL => @pids if time > $end;
    return;
}

# --- runs -----------------------------------------------------------------------------------

sub begin {
    my ($ctx, $proxy, $jobs, $giveup) = @_;
    return RevProxy::Load::start(port => $proxy->{port}{main}, jobs => $jobs, giveup => $giveup || GIVE_UP_S, kept => FAST_CLIENTS,
        wrap => [ 'setpriv', '--pdeathsig', 'TERM', 'taskset', '-c', $ctx->{load_cores} ]);
}

# Resident memory of the child, in KB, and its open files.
sub child_use {
    my ($proxy) = @_;
    my ($child) = grep { $_ != $proxy->{pid} } family($proxy->{pid});
    my ($kb)    = slurp("/proc/$child/status") =~ /^VmRSS:\s+(\d+)/m;
    my @fds     = glob "/proc/$child/fd/*";
    return ($kb, scalar @fds);
}

sub latency {
    my (@results) = @_;
    my @good = grep { $_->{outcome} eq 'ok' && $_->{status} == 200 } @results;
    my @ms   = map { 1000 * $_->{seconds} } @results;
    return (
        requests => scalar @results,
        errors   => @results - @good,
        p50_ms   => RevProxy::Load::percentile(50, @ms),
        p99_ms   => RevProxy::Load::percentile(99, @ms),
        max_ms   => RevProxy::Load::percentile(100, @ms),
        tally    => RevProxy::Load::tally(@results),
    );
}

sub run_hold {
    my ($ctx, $proxy) = @_;
    # What every thread needs once does not count.
    RevProxy::Load::collect(begin($ctx, $proxy, [ map { { path => '/wait/?ms=300' } } 1 .. 64 ]));
    my ($kb, $fds) = child_use($proxy);
    my $run = begin($ctx, $proxy,
        [ map { { at => 2 * $_ / HOLD_N, path => '/wait/?ms=' . 1000 * HOLD_S . "&mark=m$_&size=200", mark => "m$_", size => 200 } } 1 .. HOLD_N ]);
    sleep HOLD_S * 0.7;
    my ($kb_then, $fds_then) = child_use($proxy);
    my @results = RevProxy::Load::collect($run);
    my $answered = grep { $_->{outcome} eq 'ok' && $_->{status} == 200 } @results;
    return {
        answered => $answered, requests => scalar @results, tally => RevProxy::Load::tally(@results),
        kb_each  => ($kb_then - $kb) / HOLD_N, files_each => ($fds_then - $fds) / HOLD_N,
    };
}

# Requests per second of /fast/ alone, as fast as 32 clients ask.
sub capacity {
    my ($ctx, $proxy) = @_;
    my $row = { tool => 'wrk', port => 'main', path => '/fast/', clients => 32 };
    Bench::Client::run($ctx, $proxy, $row, 1);
    my $wrk = Bench::Client::run($ctx, $proxy, $row, 3);
    return $wrk->{requests} / $wrk->{seconds};
}

sub fast_jobs {
    my ($rate, $from, $seconds) = @_;
    return map { { at => $from + $_ / $rate, path => '/fast/', keep => 1, size => 6, mark => 'hello' } } 0 .. $rate * $seconds - 1;
}

# The fast route by itself, then with what $burden->() has started meanwhile.
sub compare {
    my ($ctx, $proxy, $rate, $seconds, $burden) = @_;
    my $measure = sub { latency(RevProxy::Load::collect(begin($ctx, $proxy, [ fast_jobs($rate, 0, $seconds) ], FAST_S))) };
    my %alone   = $measure->();
    $burden->();
    sleep 2;
    return ($measure->(), rate => $rate, alone_p99_ms => $alone{p99_ms}, alone_errors => $alone{errors});
}

sub run_dead {
    my ($ctx, $proxy, $seconds) = @_;
    my $rate = int(capacity($ctx, $proxy) / 2);
    my $dead;
    my %seen = compare($ctx, $proxy, $rate, $seconds, sub {
        $dead = begin($ctx, $proxy, [ map { { at => $_ / DEAD_N, path => '/wait/?end=hang', how => 'r' } } 1 .. DEAD_N ], 600);
    });
    RevProxy::Load::leave($dead);
    return \%seen;
}

sub run_slow {
    my ($ctx, $proxy, $seconds) = @_;
    my @slow = map {
        (
            { at => $_ / SLOW_N, path => '/wait/?size=1000000', read_rate => 10_000, how => 'r' },
            { at => $_ / SLOW_N, path => '/wait/x', up => 100_000, up_rate => 2000, how => 'r' },
        )
    } 1 .. SLOW_N;
    my $slow;
    my %seen  = compare($ctx, $proxy, SLOW_RATE, $seconds, sub { $slow = begin($ctx, $proxy, \@slow, 600) });
    my @still = grep { $_->{outcome} ne 'left' } $ctx->{full} ? RevProxy::Load::collect($slow) : RevProxy::Load::leave($slow);
    return { %seen, others => RevProxy::Load::tally(@still) };
}

sub measure {
    my ($ctx, $name, $row, $seconds) = @_;
    my $proxy  = start_httpd($ctx, $name, $row);
    my $result = eval { $ROWS{$row}{run}->($ctx, $proxy, $seconds) };
    my $error  = $@;
    stop_httpd($proxy);
    die $error if $error;
    return $result;
}

sub describe {
    my ($row, $r) = @_;
    return sprintf '%d of %d answered (%s); %.1f KB and %.1f open files each', @$r{qw(answered requests tally kb_each files_each)} if $row eq 'hold';
    my $others = $r->{others} ? "; the slow ones that ended: $r->{others}" : '';
    return sprintf '%d/s: p50 %.1f ms, p99 %.1f ms, longest %.0f ms, %d errors of %d (%s); alone: p99 %.1f ms, %d errors%s',
        @$r{qw(rate p50_ms p99_ms max_ms errors requests tally alone_p99_ms alone_errors)}, $others;
}

1;
