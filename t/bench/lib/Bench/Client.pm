package Bench::Client;

# The load generators, one function for each, all with the same answer: what was asked of the proxy
# in one run and how long it took.
#
#   requests, seconds    answers that came, and in what time
#   bytes                of these answers, heads included; only where the tool counts them
#   p50_us, p99_us       latency
#   errors               { kind => count }; kind "status" are answers that are not 2xx

use strict;
use warnings;
use JSON::PP ();
use Time::HiRes qw(time);
use Bench::Machine qw(start wait_for_exit slurp);
use RevProxy::Load ();

our @EXPORT_OK = qw(run);

use constant {
    ANSWER_S    => 10,     # the longest that one answer may take
    STREAMS     => 100,    # of an HTTP/2 connection
    UPLOADS     => 12,     # in one run
    CAPACITY_S  => 1,      # how long the rate is looked for of which the half is then asked
};

my %TOOLS = (wrk => \&run_wrk, h2load => \&run_h2load, uploads => \&run_uploads, half => \&run_half);

# What has to be known of the proxy before the run, and does not count: passed on to run.
sub prepare {
    my ($ctx, $proxy, $row) = @_;
    return if $row->{tool} ne 'half';
    my $full = run_wrk($ctx, $proxy, $row, CAPACITY_S);
    my $rate = $full->{requests} / $full->{seconds} / 2 || die "$proxy->{name}: no rate to halve\n";
    return no_more_than_nginx($ctx, $proxy, $row, $rate);
}

# Where a proxy is faster than nginx it is the load's core that is full. At half of that core's capacity the tail is of
# the queues there; so that a faster proxy does not pay for longer ones, it is asked for no more.
sub no_more_than_nginx {
    my ($ctx, $proxy, $row, $rate) = @_;
    my $nginx = \$ctx->{half_of_nginx}{ $row->{name} };
    $$nginx = $rate if $proxy->{name} eq 'nginx';
    return defined $$nginx && $$nginx < $rate ? $$nginx : $rate;
}

sub run {
    my ($ctx, $proxy, $row, $seconds, $prepared) = @_;
    return $TOOLS{ $row->{tool} }->($ctx, $proxy, $row, $seconds, $prepared);
}

sub url {
    my ($proxy, $row) = @_;
    my $scheme = $row->{port} eq 'tls' ? 'https' : 'http';
    return "$scheme://127.0.0.1:$proxy->{port}{ $row->{port} }$row->{path}";
}

# What a command prints until it ends.
sub output_of {
    my ($ctx, $seconds, @command) = @_;
    my $output = "$ctx->{dir}/client.out";
    unlink $output;
    my $pid = start($command[0], $ctx->{load_cores}, $output, @command);
    wait_for_exit($pid, $seconds + 3 * ANSWER_S) or die "$command[0] does not end\n";
    return slurp($output);
}

sub run_wrk {
    my ($ctx, $proxy, $row, $seconds) = @_;
    my $text = output_of($ctx, $seconds, 'wrk', '-t', 1, '-c', $row->{clients}, '-d', "${seconds}s",
        '--timeout', ANSWER_S . 's', '-s', "$ctx->{bench}/wrk.lua", url($proxy, $row));
    my ($json) = $text =~ /^BENCH (\{.*\})$/m or die "wrk gives no summary:\n$text";
    my $wrk = JSON::PP::decode_json($json);
    $wrk->{seconds} = delete($wrk->{duration_us}) / 1e6;
    return $wrk;
}

sub percentiles {
    my (@us) = @_;
    return map { ("p${_}_us" => RevProxy::Load::percentile($_, @us) // 0) } 50, 99;
}

sub run_h2load {
    my ($ctx, $proxy, $row, $seconds) = @_;
    my $log = "$ctx->{dir}/h2load.log";
    unlink $log;
    my $text = output_of($ctx, $seconds, 'h2load', '-c', $row->{clients}, '-m', STREAMS, '-D', $seconds,
        '--log-file', $log, url($proxy, $row));
    my ($good)   = $text =~ /^status codes: (\d+) 2xx/m or die "h2load gives no summary:\n$text";
    my ($failed) = $text =~ /(\d+) failed,/;
    return {
        requests => $good,
        seconds  => $seconds,
        errors   => { failed => $failed },
        percentiles(map { (split /\t/)[2] } split /\n/, slurp($log)),
    };
}

# Requests of a timetable: one starts when it is due, whatever became of those before it, and its
# latency counts from then.
sub run_timetable {
    my ($ctx, $proxy, $row, @jobs) = @_;
    my $began   = time;
    my @results = RevProxy::Load::run(port => $proxy->{port}{ $row->{port} }, jobs => \@jobs, giveup => 60,
        kept => $row->{clients}, wrap => ['setpriv', '--pdeathsig', 'TERM', 'taskset', '-c', $ctx->{load_cores}]);
    my @good = grep { $_->{outcome} eq 'ok' && $_->{status} == 200 } @results;
    my %errors;
    $errors{"$_->{outcome} $_->{status}"}++ for grep { $_->{outcome} ne 'ok' || $_->{status} != 200 } @results;
    return {
        requests => scalar @good,
        seconds  => time - $began,
        errors   => \%errors,
        percentiles(map { 1e6 * $_->{seconds} } @good),
    };
}

sub run_uploads {
    my ($ctx, $proxy, $row) = @_;
    return run_timetable($ctx, $proxy, $row, map { { path => $row->{path}, up => $row->{size}, keep => 1 } } 1 .. UPLOADS);
}

# At half of the rate that the proxy reaches when all clients ask as fast as they can.
sub run_half {
    my ($ctx, $proxy, $row, $seconds, $rate) = @_;
    return run_timetable($ctx, $proxy, $row,
        map { { at => $_ / $rate, path => $row->{path}, keep => 1 } } 0 .. $rate * $seconds - 1);
}

1;
