package Bench::Load;

# One measured run: what a row asks, what the load generator says of it, and what the
# proxy, the backend and the rest of the machine spent meanwhile.

use strict;
use warnings;
use Time::HiRes qw(sleep time);
use Bench::Client ();
use Bench::Machine qw(has_exited family cpu_seconds run_ns core_seconds slurp);
use Bench::Servers ();

use constant {
    QUIET_NS   => 2_000_000,  # CPU in 0.2 s below which a server is at rest
    SETTLE_S   => 10,
    BULK_BYTES => 1 << 20,
    CROWD      => 500,     # so many clients take most of a second to connect, which is not what a row is about:
    CROWD_S    => 4,       # ... not shorter
};

# name, tool (Bench::Client), port of the proxy, path, body bytes, clients, in the default set, text
my @ROWS = map {
    my %row;
    @row{qw(name tool port path size clients default text)} = @$_;
    \%row
} (
    ['small', 'wrk', 'main',  '/12',        12,        32, 1, '12-byte answer, 32 keepalive clients'],
    ['floor', 'wrk', 'floor', '/12',        12,        32, 1, 'the same without a backend'],
    ['1k',    'wrk', 'main',  '/1024',      1024,      32, 0, '1 KiB answer, 32 keepalive clients'],
    ['16k',   'wrk', 'main',  '/16384',     16384,     32, 0, '16 KiB answer, 32 keepalive clients'],
    ['64k',   'wrk', 'main',  '/65536',     65536,     32, 1, '64 KiB answer, 32 keepalive clients'],
    ['1m',    'wrk', 'main',  '/1048576',   1048576,   32, 1, '1 MiB answer, 32 keepalive clients'],
    ['100m',  'wrk', 'main',  '/104857600', 104857600, 4,  0, '100 MiB answer, 4 keepalive clients'],
    ['up100m', 'uploads', 'sink', '/', 104857600, 4, 0, '100 MiB upload, 4 at a time'],
    ['wait',  'wrk', 'wait',  '/12', 12, 1000, 1, '1000 clients, backend answers after 100 ms'],
    ['tls-small', 'wrk', 'tls', '/12',      12,      32, 0, '12-byte answer, 32 keepalive clients by TLS'],
    ['tls-16k',   'wrk', 'tls', '/16384',   16384,   32, 0, '16 KiB answer, 32 keepalive clients by TLS'],
    ['tls-64k',   'wrk', 'tls', '/65536',   65536,   32, 0, '64 KiB answer, 32 keepalive clients by TLS'],
    ['tls-1m',    'wrk', 'tls', '/1048576', 1048576, 32, 0, '1 MiB answer, 32 keepalive clients by TLS'],
    ['btls-small', 'wrk', 'btls', '/12',    12,      32, 0, '12-byte answer, TLS to the backend'],
    ['btls-64k',   'wrk', 'btls', '/65536', 65536,   32, 0, '64 KiB answer, TLS to the backend'],
    ['h2-small', 'h2load', 'h2', '/12',     12,      10, 0, '12-byte answer, 10 HTTP/2 clients (h2c) of 100 streams'],
    ['h2-64k',   'h2load', 'h2', '/65536',  65536,   10, 0, '64 KiB answer, 10 HTTP/2 clients (h2c) of 100 streams'],
    ['half-small', 'half', 'main', '/12',      12,      32,   0, '12-byte answer at half of the proxy\'s capacity, or nginx\'s if that is less'],
    ['half-64k',   'half', 'main', '/65536',   65536,   32,   0, '64 KiB answer at half of the proxy\'s capacity, or nginx\'s if that is less'],
    ['half-1m',    'half', 'main', '/1048576', 1048576, 32,   0, '1 MiB answer at half of the proxy\'s capacity, or nginx\'s if that is less'],
    ['half-wait',  'half', 'wait', '/12',      12,      1000, 0, 'backend answers after 100 ms, at half of the proxy\'s capacity, or nginx\'s if that is less'],
);

sub rows { return @ROWS }

# The row of that name. cN is small with N clients, for curves.
sub find_row {
    my ($name) = @_;
    my ($row) = grep { $_->{name} eq $name } @ROWS;
    return $row if $row || $name !~ /^c([1-9]\d{0,3})\z/;
    return { %{ $ROWS[0] }, name => $name, clients => $1, default => 0, text => "12-byte answer, $1 keepalive clients" };
}

# Asks once and compares the whole answer; returns its bytes, head included.
sub probe {
    my ($proxy, $row) = @_;
    return if $row->{tool} eq 'uploads';
    my $where = "$proxy->{name}, row $row->{name}";
    my $how   = $row->{port} eq 'h2' ? '--http2-prior-knowledge' : '--http1.1';
    my $url   = Bench::Client::url($proxy, $row);
    my $text  = qx(curl -s -i -k --max-time 20 $how $url);
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($status) = split /\r\n/, defined $head ? $head : '';
    die "$where: answer is ", $status || 'nothing', "\n" if !$status || $status !~ m{^HTTP/\S+ 200};
    die "$where: not the body expected\n" if !defined $body || $body ne Bench::Servers::body_of($row->{size});
    return length $text;
}

# How long a run of this row takes where so many seconds are asked for.
sub length_of {
    my ($row, $seconds) = @_;
    return $row->{clients} >= CROWD && $seconds < CROWD_S && $row->{name} !~ /^c/ ? CROWD_S : $seconds;
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

sub snapshot {
    my ($ctx, $proxy) = @_;
    my @pids     = family($proxy->{pid});
    my @backends = map { $ctx->{$_}{pid} } qw(fast slow sink);
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
    my ($seen, $row, $length) = @_;
    my $bad = $seen->{errors}{status} || 0;
    return $seen->{requests} - $bad if $bad || $row->{size} < BULK_BYTES || !$seen->{bytes};
    return $seen->{bytes} / $length;
}

sub has_odd_length {
    my ($seen, $row, $length) = @_;
    return if !$seen->{bytes};
    return $seen->{bytes} < 0.99 * $length * $seen->{requests}
        || $seen->{bytes} > 1.01 * $length * ($seen->{requests} + $row->{clients});
}

sub troubles {
    my ($proxy, $row, $length, $seen, $same_pids) = @_;
    my %count = map { ("$_ errors" => $seen->{errors}{$_}) } grep { $_ ne 'status' } keys %{ $seen->{errors} };
    $count{'non-2xx answers'} = $seen->{errors}{status};
    my @found = map { "$count{$_} $_" } grep { $count{$_} } sort keys %count;
    push @found, 'no answer at all' if !$seen->{requests} && !$seen->{bytes};
    push @found, 'answers of another length than the first one' if has_odd_length($seen, $row, $length);
    push @found, 'a process of the proxy ended or was started' if !$same_pids;
    my @lines = Bench::Servers::new_complaints($proxy);
    push @found, scalar(@lines) . " lines in its error log, the first: $lines[0]" if @lines;
    return @found;
}

sub measure {
    my ($ctx, $proxy, $row, $seconds) = @_;
    my $length = $proxy->{answer_bytes}{ $row->{name} };
    my $prepared = Bench::Client::prepare($ctx, $proxy, $row);
    settle($proxy);
    my $before = snapshot($ctx, $proxy);
    my $seen   = Bench::Client::run($ctx, $proxy, $row, $seconds, $prepared);
    my $after  = snapshot($ctx, $proxy);
    my %spent  = map { $_ => $after->{$_} - $before->{$_} }
        qw(proxy load at_core at_load time);
    my $answers = answers($seen, $row, $length);
    return {
        requests => $seen->{requests},
        bytes    => $seen->{bytes},
        rps      => $answers / $seen->{seconds},
        cpu_us   => $answers ? 1e6 * $spent{proxy} / $answers : 0,
        p50_ms   => $seen->{p50_us} / 1000,
        p99_ms   => $seen->{p99_us} / 1000,
        busy     => $spent{proxy} / $spent{time},
        load     => $spent{load} / $spent{time},
        foreign  => {
            proxy => not_negative($spent{at_core} - $spent{proxy}) / $spent{time},
            load  => not_negative($spent{at_load} - $spent{load}) / $spent{time},
        },
        troubles => [troubles($proxy, $row, $length, $seen, $before->{pids} eq $after->{pids})],
    };
}

1;
