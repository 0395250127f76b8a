package Bench::Load;

# One measured run: what a row asks, wrk's summary of it, and what the proxy,
# the backend and the rest of the machine spent meanwhile.

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(sleep time);
use Bench::Machine qw(start wait_for_exit has_exited family cpu_seconds run_ns core_seconds slurp);
use Bench::Servers ();

use constant {
    ANSWER_S   => 10,         # the longest that one answer may take
    QUIET_NS   => 2_000_000,  # CPU in 0.2 s below which a server is at rest
    SETTLE_S   => 10,
    BULK_BYTES => 1 << 20,
};

# name, port of the proxy, path, body bytes, clients, in the default set, text
my @ROWS = map {
    my %row;
    @row{qw(name port path size clients default text)} = @$_;
    \%row
} (
    ['small', 'main',  '/12',      12,      32,   1, '12-byte answer, 32 keepalive clients'],
    ['floor', 'floor', '/12',      12,      32,   1, 'the same without a backend'],
    ['1k',    'main',  '/1024',    1024,    32,   0, '1 KiB answer, 32 keepalive clients'],
    ['16k',   'main',  '/16384',   16384,   32,   0, '16 KiB answer, 32 keepalive clients'],
    ['64k',   'main',  '/65536',   65536,   32,   1, '64 KiB answer, 32 keepalive clients'],
    ['1m',    'main',  '/1048576', 1048576, 32,   1, '1 MiB answer, 32 keepalive clients'],
    ['wait',  'wait',  '/12',      12,      1000, 1, '1000 clients, backend answers after 100 ms'],
);

sub rows { return @ROWS }

# The request that wrk sends.
sub request_text {
    my ($port, $path) = @_;
    return "GET $path HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n\r\n";
}

sub read_answer {
    my ($socket) = @_;
    my ($text, $end) = ('', time + ANSWER_S);
    my $ready = IO::Select->new($socket);
    while (time < $end && $ready->can_read($end - time)) {
        sysread $socket, $text, 1 << 20, length $text or last;
        my $head = index $text, "\r\n\r\n";
        next if $head < 0;
        my ($length) = substr($text, 0, $head) =~ /^Content-Length: *(\d+)/im or last;
        return $text if length $text >= $head + 4 + $length;
    }
    return $text;
}

# Asks once and compares the whole answer; returns its bytes, head included.
sub probe {
    my ($proxy, $row) = @_;
    my $where  = "$proxy->{name}, row $row->{name}";
    my $port   = $proxy->{port}{ $row->{port} };
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
        or die "$where: no connection: $!\n";
    print $socket request_text($port, $row->{path});
    my $text = read_answer($socket);
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($status) = split /\r\n/, defined $head ? $head : '';
    die "$where: answer is ", $status || 'nothing', "\n"
        if !$status || $status !~ m{^HTTP/1\.1 200};
    die "$where: not the body expected\n"
        if !defined $body || $body ne Bench::Servers::body_of($row->{size});
    return length $text;
}

# Requests that wrk gave up at the end of a run may still be under way.
sub settle {
    my ($proxy) = @_;
    my @pids = family($proxy->{pid});
    my ($before, $end) = (run_ns(@pids), time + SETTLE_S);
    while (time < $end) {
        sleep 0.2;
        my $now = run_ns(@pids);
        return if $now - $before < QUIET_NS;
        $before = $now;
    }
    return;
}

sub run_wrk {
    my ($ctx, $proxy, $row, $seconds) = @_;
    my $output = "$ctx->{dir}/wrk.out";
    unlink $output;
    my $pid = start('wrk', $ctx->{load_cores}, $output,
        'wrk', '-t', 1, '-c', $row->{clients}, '-d', "${seconds}s", '--timeout', ANSWER_S . 's',
        '-s', "$ctx->{bench}/wrk.lua",
        "http://127.0.0.1:$proxy->{port}{ $row->{port} }$row->{path}");
    wait_for_exit($pid, $seconds + 3 * ANSWER_S) or die "wrk does not end\n";
    my $text = slurp($output);
    my ($json) = $text =~ /^BENCH (\{.*\})$/m or die "wrk gives no summary:\n$text";
    return JSON::PP::decode_json($json);
}

sub snapshot {
    my ($ctx, $proxy) = @_;
    my @pids     = family($proxy->{pid});
    my @backends = map { $ctx->{$_}{pid} } qw(fast slow);
    die "a backend ended\n" if grep { has_exited($_) } @backends;
    my (undef, undef, $user, $system) = times;
    return {
        pids    => "@pids",
        proxy   => cpu_seconds(@pids),
        load    => $user + $system + cpu_seconds(map { family($_) } @backends),
        at_core => core_seconds($ctx->{proxy_core}),
        at_load => core_seconds($ctx->{load_cores}),
        time    => time,
    };
}

sub not_negative { return $_[0] > 0 ? $_[0] : 0 }

# Good answers that the proxy delivered.  Where few fit into a run, those that
# are cut off at its end count by their bytes.
sub answers {
    my ($wrk, $row, $length) = @_;
    my $bad = $wrk->{errors}{status};
    return $wrk->{requests} - $bad if $bad || $row->{size} < BULK_BYTES;
    return $wrk->{bytes} / $length;
}

sub troubles {
    my ($proxy, $row, $length, $wrk, $same_pids) = @_;
    my %count = map { ("$_ errors" => $wrk->{errors}{$_}) } qw(connect read write timeout);
    $count{'non-2xx answers'} = $wrk->{errors}{status};
    my @found = map { "$count{$_} $_" } grep { $count{$_} } sort keys %count;
    push @found, 'no answer at all' if !$wrk->{requests};
    my $least = 0.99 * $length * $wrk->{requests};
    my $most  = 1.01 * $length * ($wrk->{requests} + $row->{clients});
    push @found, 'answers of another length than the first one'
        if $wrk->{bytes} < $least || $wrk->{bytes} > $most;
    push @found, 'a process of the proxy ended or was started' if !$same_pids;
    my @lines = Bench::Servers::new_complaints($proxy);
    push @found, scalar(@lines) . " lines in its error log, the first: $lines[0]" if @lines;
    return @found;
}

sub measure {
    my ($ctx, $proxy, $row, $seconds) = @_;
    my $length = $proxy->{answer_bytes}{ $row->{name} };
    settle($proxy);
    my $before = snapshot($ctx, $proxy);
    my $wrk    = run_wrk($ctx, $proxy, $row, $seconds);
    my $after  = snapshot($ctx, $proxy);
    my %spent  = map { $_ => $after->{$_} - $before->{$_} }
        qw(proxy load at_core at_load time);
    my $answers = answers($wrk, $row, $length);
    return {
        requests => $wrk->{requests},
        bytes    => $wrk->{bytes},
        rps      => $answers / ($wrk->{duration_us} / 1e6),
        cpu_us   => $answers ? 1e6 * $spent{proxy} / $answers : 0,
        p50_ms   => $wrk->{p50_us} / 1000,
        p99_ms   => $wrk->{p99_us} / 1000,
        busy     => $spent{proxy} / $spent{time},
        load     => $spent{load} / $spent{time},
        foreign  => {
            proxy => not_negative($spent{at_core} - $spent{proxy}) / $spent{time},
            load  => not_negative($spent{at_load} - $spent{load}) / $spent{time},
        },
        troubles => [troubles($proxy, $row, $length, $wrk, $before->{pids} eq $after->{pids})],
    };
}

1;
