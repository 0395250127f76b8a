package Bench::Tunnels;

# WebSocket tunnels through each proxy: what idle ones cost, how fast messages go to and fro, what a
# byte costs.  Both sides are t/load/sockets.c.

use strict;
use warnings;
use IPC::Open2 qw(open2);
use Time::HiRes qw(sleep time);
use Bench::Httpd qw(write_configuration);
use Bench::Machine qw(free_ports start wait_for_port slurp write_file family has_exited cpu_seconds);
use Bench::Report ();
use Bench::Servers ();
use RevProxy::Load ();

use constant {
    IDLE_N    => 4000,
    IDLE_S    => 4,         # of silence
    OPEN_S    => 10,        # without an answered handshake: then no more are opened
    ECHO_N    => 200,
    FRAMES    => 16_384,    # of 64 KB: 1 GB
    FRAME     => 65_536,
    STREAM_S  => 60,        # the longest that one stream may take
    SUBJECT   => 'mod_revproxy',
    NOFILE    => 20_000,
};

my %SETUPS = (mod_revproxy => \&setup_httpd, mod_proxy => \&setup_httpd, nginx => \&setup_nginx, haproxy => \&setup_haproxy);

# threads: of both httpd.
my %ROWS = (
    idle   => { threads => 64, run => \&run_idle, text => IDLE_N . ' idle tunnels, one child of 64 threads; then each echoes' },
    echo   => { threads => 256, run => \&run_echo, text => 'round trips of 100 bytes on ' . ECHO_N . ' tunnels, one child of 256 threads' },
    stream => { threads => 256, run => \&run_stream, text => '1 GB (2^30 bytes) through one tunnel in frames of 64 KB, down and up' },
);

sub rows    { return qw(idle echo stream) }
sub proxies { return qw(mod_revproxy mod_proxy nginx haproxy) }
sub text    { my ($row) = @_; return $ROWS{$row} && $ROWS{$row}{text} }
sub unknown { return grep { !$SETUPS{$_} } @_ }

# --- servers --------------------------------------------------------------------------------

sub start_backend {
    my ($ctx) = @_;
    my ($port) = free_ports(1);
    my $pid = start('sockets', $ctx->{load_cores}, "$ctx->{dir}/sockets.out", RevProxy::Load::program('sockets'), 'serve', $port);
    wait_for_port($pid, $port, 10) or die "sockets does not start:\n" . slurp("$ctx->{dir}/sockets.out");
    return { pid => $pid, port => $port };
}

sub setup_httpd {
    my ($ctx, $proxy, $threads) = @_;
    return write_configuration($ctx, %$proxy{qw(name base log)}, threads => $threads, factor => 400, timeout => 300, text => <<"CONF");
LogLevel crit
Listen 127.0.0.1:$proxy->{port}
ProxyPass / http://127.0.0.1:$ctx->{backend}{port}/ upgrade=websocket
CONF
}

sub setup_nginx {
    my ($ctx, $proxy) = @_;
    my $base = $proxy->{base};
    my ($user, $temp) = Bench::Servers::nginx_main($ctx->{dir}, 'nginx');
    write_file("$base.conf", <<"CONF");
$user
worker_processes 1;
daemon off;
pid $base.pid;
error_log $proxy->{log} warn;
events { worker_connections 16384; }
http {
$temp
    access_log off;
    server {
        listen 127.0.0.1:$proxy->{port} backlog=4096;
        location / {
            proxy_pass http://127.0.0.1:$ctx->{backend}{port};
            proxy_http_version 1.1;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 300s;
            proxy_send_timeout 300s;
        }
    }
}
CONF
    return ('nginx', '-e', $proxy->{log}, '-c', "$base.conf", '-p', $ctx->{dir});
}

sub setup_haproxy {
    my ($ctx, $proxy) = @_;
    write_file("$proxy->{base}.conf", <<"CONF");
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    backlog 4096
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
frontend main
    bind 127.0.0.1:$proxy->{port}
    default_backend sockets
backend sockets
    server s 127.0.0.1:$ctx->{backend}{port}
CONF
    return ('haproxy', '-db', '-f', "$proxy->{base}.conf");
}

sub start_proxy {
    my ($ctx, $name, $row) = @_;
    my $base   = "$ctx->{dir}/$name-$row";
    my ($port) = free_ports(1);
    my $proxy  = { name => $name, base => $base, port => $port, log => "$base.log" };
    my @command = $SETUPS{$name}->($ctx, $proxy, $ROWS{$row}{threads});
    $proxy->{pid} = start($name, $ctx->{proxy_core}, $proxy->{log}, @command);
    wait_for_port($proxy->{pid}, $port, 10) or die "$name does not start:\n" . slurp($proxy->{log});
    $proxy->{pids} = [ family($proxy->{pid}) ];
    # haproxy serves in the process that was started, the others in its child.
    ($proxy->{child}) = ((grep { $_ != $proxy->{pid} } @{ $proxy->{pids} }), $proxy->{pid});
    return $proxy;
}

sub stop_proxy {
    my ($proxy) = @_;
    my @pids = family($proxy->{pid});
    kill TERM => $proxy->{pid};
    my $end = time + 10;
    sleep 0.05 until has_exited($proxy->{pid}) || time > $end;
    kill KILL => @pids if !has_exited($proxy->{pid});
    return;
}

# --- clients --------------------------------------------------------------------------------

sub begin_client {
    my ($ctx, $limit_s, @args) = @_;
    my $pid = open2(my $out, my $in, 'setpriv', '--pdeathsig', 'TERM', 'taskset', '-c', $ctx->{load_cores},
        'timeout', '-k', 1, $limit_s, RevProxy::Load::program('sockets'), @args);
    return { pid => $pid, out => $out, in => $in };
}

# Its next line, as word => number; empty when it has ended instead.
sub next_line {
    my ($client) = @_;
    my $line = readline $client->{out};
    return defined $line ? split(' ', $line) : ();
}

# A client that holds sockets waits for the end of its input.
sub end_client {
    my ($client) = @_;
    close $client->{in};
    1 while defined readline $client->{out};
    waitpid $client->{pid}, 0;
    return;
}

# --- idle -----------------------------------------------------------------------------------

sub of_child {
    my ($proxy, $name) = @_;
    my ($n) = slurp("/proc/$proxy->{child}/status") =~ /^\Q$name\E:\s+(\d+)/m;
    return $n || 0;
}

# What every thread needs once does not count: each has had a tunnel before.
sub warm {
    my ($ctx, $proxy, $n) = @_;
    my $client = begin_client($ctx, 60, 'talk', $proxy->{port}, '/', $n, 1);
    end_client($client);
    sleep 1;
    return;
}

sub hold_tunnels {
    my ($ctx, $proxy) = @_;
    my %was    = map { $_ => of_child($proxy, $_) } qw(VmRSS Threads);
    my $client = begin_client($ctx, 2 * IDLE_S + 6 * OPEN_S, 'hold', $proxy->{port}, '/', IDLE_N, IDLE_S, OPEN_S);
    my %seen   = next_line($client);
    sleep IDLE_S / 2;
    my @threads = ($was{Threads}, of_child($proxy, 'Threads'));
    my $kb = of_child($proxy, 'VmRSS') - $was{VmRSS};
    %seen = (open => 0, echo => 0, %seen, next_line($client));
    push @threads, of_child($proxy, 'Threads');
    end_client($client);
    return { %seen, threads => \@threads, kb_each => $seen{open} ? $kb / $seen{open} : 0 };
}

sub run_idle {
    my ($ctx, $names, $say) = @_;
    for my $name (@$names) {
        my $proxy = start_proxy($ctx, $name, 'idle');
        warm($ctx, $proxy, $ROWS{idle}{threads});
        my $seen = hold_tunnels($ctx, $proxy);
        stop_proxy($proxy);
        my $wrong = idle_fault($seen);
        $ctx->{failed} = 1 if $wrong && $name eq SUBJECT;
        $say->(sprintf('%-13s %4d open, %4d echoed; threads before, with them, after the echo: %s; %.1f KB each',
            $name, @$seen{qw(open echo)}, join(', ', @{ $seen->{threads} }), $seen->{kb_each}) . $wrong);
    }
    return;
}

sub idle_fault {
    my ($seen) = @_;
    return '  ! no further handshake was answered in ' . OPEN_S . ' s' if $seen->{open} < IDLE_N;
    return '  ! not all echoed' if $seen->{echo} < IDLE_N;
    return $seen->{threads}[0] < $seen->{threads}[1] || $seen->{threads}[0] < $seen->{threads}[2] ? '  ! more threads' : '';
}

# --- rounds ---------------------------------------------------------------------------------

# Every proxy in turn, round by round, so that a slow spell of the machine meets all of them.
sub rounds {
    my ($ctx, $row, $names, $run) = @_;
    my %proxy = map { $_ => start_proxy($ctx, $_, $row) } @$names;
    my %runs;
    warm($ctx, $_, ECHO_N) for values %proxy;
    for my $round (1 .. $ctx->{rounds}) {
        push @{ $runs{$_} }, $run->($proxy{$_}) for @$names;
    }
    stop_proxy($_) for values %proxy;
    $ctx->{failed} = 1 if grep { $_->{wrong} } @{ $runs{ +SUBJECT } || [] };
    return \%runs;
}

# 0 where every run went wrong.
sub median_of {
    my ($runs, $figure) = @_;
    my @good = map { $_->{$figure} } grep { !$_->{wrong} } @$runs;
    return @good ? Bench::Report::median(@good) : 0;
}

# The rounds' own ratios of this module to that proxy. A run that went wrong has no figures.
sub ratio_text {
    my ($runs, $name, @figures) = @_;
    return '' if $name eq SUBJECT || !$runs->{ +SUBJECT };
    my @texts;
    for my $figure (@figures) {
        my $r = Bench::Report::ratios($runs->{ +SUBJECT }, $runs->{$name}, $figure);
        push @texts, $r ? sprintf('%.2f (%.2f-%.2f)', @$r{qw(median low high)}) : '-';
    }
    return '  ' . SUBJECT . ' to it: ' . join ', ', map {"$figures[$_] $texts[$_]"} 0 .. $#figures;
}

sub wrong_text {
    my ($runs) = @_;
    my @wrong = grep {defined} map { $_->{wrong} } @$runs;
    return @wrong ? '  ! ' . join '; ', @wrong : '';
}

# --- echo -----------------------------------------------------------------------------------

sub echo {
    my ($ctx, $proxy) = @_;
    my $client = begin_client($ctx, $ctx->{seconds} + 2 * OPEN_S + 10, 'talk', $proxy->{port}, '/', ECHO_N, $ctx->{seconds}, OPEN_S);
    my %seen   = (open => 0, trips => 0, lost => 0, p50_us => 0, p99_us => 0, next_line($client));
    my ($cpu, $begin) = (cpu_seconds(@{ $proxy->{pids} }), time);
    %seen = (%seen, next_line($client));
    $cpu  = cpu_seconds(@{ $proxy->{pids} }) - $cpu;
    my $took = time - $begin;
    end_client($client);
    my %run = (rate => $seen{trips} / $ctx->{seconds}, cpu => $seen{trips} ? 1e6 * $cpu / $seen{trips} : 0,
        p50 => $seen{p50_us} / 1000, p99 => $seen{p99_us} / 1000, busy => $cpu / $took);
    return \%run if $seen{open} == ECHO_N && !$seen{lost} && $seen{trips};
    return { (map { $_ => 0 } keys %run), wrong => "$seen{open} open, $seen{lost} lost, $seen{trips} round trips" };
}

sub run_echo {
    my ($ctx, $names, $say) = @_;
    my $runs = rounds($ctx, 'echo', $names, sub { echo($ctx, @_) });
    for my $name (@$names) {
        my %median = map { $_ => median_of($runs->{$name}, $_) } qw(rate p50 p99 cpu busy);
        $say->(sprintf('%-13s %7.0f/s  p50 %6.2f ms  p99 %6.2f ms  CPU %5.1f us each  core %3.0f%% busy', $name, @median{qw(rate p50 p99 cpu)}, 100 * $median{busy})
            . ratio_text($runs, $name, qw(rate p99 cpu)) . wrong_text($runs->{$name}));
    }
    return;
}

# --- stream ---------------------------------------------------------------------------------

my %WAYS = (
    down => sub { my ($port) = @_; return ('stream', $port, '/?stream=' . FRAMES) },
    up   => sub { my ($port) = @_; return ('push', $port, '/?sink=' . FRAMES, FRAMES) },
);

sub stream {
    my ($ctx, $proxy, $way) = @_;
    my $cpu    = cpu_seconds(@{ $proxy->{pids} });
    my $client = begin_client($ctx, STREAM_S, $WAYS{$way}->($proxy->{port}));
    my %seen   = (bytes => 0, us => 0, next_line($client));
    end_client($client);
    $cpu = cpu_seconds(@{ $proxy->{pids} }) - $cpu;
    return { cpu => 0, seconds => 0, wrong => "$seen{bytes} bytes" } if $seen{bytes} != FRAMES * FRAME;
    return { cpu => $cpu, seconds => $seen{us} / 1e6 };
}

sub run_stream {
    my ($ctx, $names, $say) = @_;
    for my $way (qw(down up)) {
        my $runs = rounds($ctx, 'stream', $names, sub { stream($ctx, $_[0], $way) });
        for my $name (@$names) {
            $say->(sprintf('%-4s %-13s CPU %.2f s for 1 GB in %.2f s', $way, $name, median_of($runs->{$name}, 'cpu'), median_of($runs->{$name}, 'seconds'))
                . ratio_text($runs, $name, 'cpu') . wrong_text($runs->{$name}));
        }
    }
    return;
}

sub measure {
    my ($ctx, $row, $names, $say) = @_;
    $ROWS{$row}{run}->($ctx, $names, $say);
    return;
}

1;
