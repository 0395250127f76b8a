package Bench::Costs;

# What a request costs besides time: system calls, TLS handshakes, memory.

use strict;
use warnings;
use Time::HiRes qw(sleep);
use Bench::Client ();
use Bench::Httpd ();
use Bench::Load ();
use Bench::Machine qw(start wait_for_exit wait_for_port free_ports slurp write_file family);
use Bench::Servers ();
use RevProxy::Load ();

use constant {
    REQUESTS   => 10_000,
    TLS_ASKED  => 2000,
    TLS_CLOSES => 20,        # the backend closes a connection after so many requests
    IDLE       => 1000,
    MILLION    => 1_000_000,
    BIG_RUN_S  => 1200,
};

my %ROWS = (
    calls      => { run => \&run_calls,      text => 'system calls of a keepalive request, ' . REQUESTS . ' requests' },
    handshakes => { run => \&run_handshakes, text => TLS_ASKED . ' requests to a TLS backend that closes after ' . TLS_CLOSES },
    idle       => { run => \&run_idle,       text => 'memory of ' . IDLE . ' idle connections to a backend' },
    choose     => { run => \&run_choose,     text => 'choosing a member, from its beginning to its end' },
    flat       => { run => \&run_flat,       text => 'memory of a child after each million of requests' },
);

sub rows { return qw(calls handshakes idle choose flat) }
sub text { return $ROWS{ $_[0] }{text} }

# The lines to print.
sub measure {
    my ($ctx, $row) = @_;
    return $ROWS{$row}{run}->($ctx);
}

sub child { my ($proxy) = @_; return (grep { $_ != $proxy->{pid} } family($proxy->{pid}))[0] }
sub rss_kb { my ($pid) = @_; return slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0 }

# So many requests for a path on so many connections.
sub ask {
    my ($ctx, $url, $requests, $clients) = @_;
    my $text = Bench::Client::output_of($ctx, BIG_RUN_S, 'h2load', '--h1', '-n', $requests, '-c', $clients, $url);
    my ($good) = $text =~ /^status codes: (\d+) 2xx/m;
    die "not all requests were answered:\n$text" if !$good || $good != $requests;
    return;
}

# --- system calls ---------------------------------------------------------------------------

sub count_calls {
    my ($ctx, $proxy, $port, $clients) = @_;
    my $url    = "http://127.0.0.1:$proxy->{port}{$port}/12";
    my $report = "$ctx->{dir}/strace.out";
    ask($ctx, $url, 1000, $clients);
    my $tracer = start('strace', $ctx->{load_cores}, "$ctx->{dir}/strace.log",
        'strace', '-c', '-f', '-o', $report, map { ('-p', $_) } family($proxy->{pid}));
    sleep 1;
    ask($ctx, $url, REQUESTS, $clients);
    kill INT => $tracer;
    wait_for_exit($tracer, 10) or die "strace does not end\n";
    my %calls;
    for (split /\n/, slurp($report)) {
        my @field = split;
        $calls{ $field[-1] } = $field[3] / REQUESTS if @field >= 5 && $field[3] =~ /^\d+\z/ && $field[-1] ne 'total';
    }
    return \%calls;
}

sub describe_calls {
    my ($what, $calls) = @_;
    my $total = 0;
    $total += $_ for values %$calls;
    my @names = grep { $calls->{$_} >= 0.01 } sort { $calls->{$b} <=> $calls->{$a} } keys %$calls;
    return sprintf '%-22s %5.2f: %s', $what, $total, join ', ', map { sprintf '%s %.2f', $_, $calls->{$_} } @names;
}

sub run_calls {
    my ($ctx) = @_;
    my @lines;
    for my $clients (1, 32) {
        for my $name ('mod_revproxy', 'mod_proxy', 'nginx') {
            my $proxy = $ctx->{proxies}{$name};
            push @lines, describe_calls("$name, floor, $clients", count_calls($ctx, $proxy, 'floor', $clients)) if $name ne 'mod_proxy';
            push @lines, describe_calls("$name, $clients", count_calls($ctx, $proxy, 'main', $clients));
        }
    }
    return @lines;
}

# --- TLS handshakes -------------------------------------------------------------------------

# A backend that writes for each request: its number on the connection, and whether the session was resumed.
sub start_closing_backend {
    my ($ctx) = @_;
    my $dir    = $ctx->{dir};
    my ($port) = free_ports(1);
    my $cert   = Bench::Servers::make_certificate($ctx);
    my ($user, $temp) = Bench::Servers::nginx_main($dir, 'closing');
    my $closes = TLS_CLOSES;
    write_file("$dir/closing.conf", <<"CONF");
$user
worker_processes 1;
daemon off;
pid $dir/closing.pid;
error_log $dir/closing.err;
events { worker_connections 1024; }
http {
$temp
    log_format reuse '\$connection_requests \$ssl_session_reused';
    access_log $dir/closing.log reuse;
    keepalive_requests $closes;
    ssl_session_cache shared:s:1m;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $cert.crt;
        ssl_certificate_key $cert.key;
        location / { return 200 "hello world\\n"; }
    }
}
CONF
    my $pid = start('closing', $ctx->{load_cores}, "$dir/closing.out", 'nginx', '-e', "$dir/closing.err", '-c', "$dir/closing.conf", '-p', $dir);
    wait_for_port($pid, $port, 10) or die "the TLS backend does not start:\n" . slurp("$dir/closing.err");
    return { pid => $pid, port => $port, log => "$dir/closing.log" };
}

sub run_handshakes {
    my ($ctx) = @_;
    my $backend = start_closing_backend($ctx);
    my $mine = { %$ctx, dir => "$ctx->{dir}/tls-proxies", needs => { btls => 1 }, fast => { %{ $ctx->{fast} }, tls_port => $backend->{port} } };
    my @lines;
    mkdir $mine->{dir}, 0755;
    for my $name ('mod_revproxy', 'mod_proxy', 'nginx', 'haproxy') {
        my $proxy = Bench::Servers::start_proxy($mine, $name);
        write_file($backend->{log}, '');
        ask($ctx, "http://127.0.0.1:$proxy->{port}{btls}/", TLS_ASKED, 4);
        sleep 0.3;
        my @requests = split /\n/, slurp($backend->{log});
        my @first    = grep {/^1 /} @requests;
        my @full     = grep {/^1 \.\z/} @requests;
        push @lines, sprintf '%-13s %d requests, %d connections, %d full handshakes', $name, scalar @requests, scalar @first, scalar @full;
        kill TERM => $proxy->{pid};
        wait_for_exit($proxy->{pid}, 10);
    }
    return @lines;
}

# --- choosing a member ----------------------------------------------------------------------

use constant METHODS => qw(byrequests bytraffic bybusyness leasttime hash);

# A server of its own, with the module that measures it in the same file (mod_choose.c).
sub run_choose {
    my ($ctx) = @_;
    my $top = "$ctx->{bench}/../..";
    system("make -s -C $top -f Makefile.apxs choose >$ctx->{dir}/choose.make 2>&1") == 0 or die slurp("$ctx->{dir}/choose.make");
    my ($port)  = free_ports(1);
    my $modules = Bench::Httpd::apxs_value('LIBEXECDIR');
    my $load    = join '', map {"LoadModule ${_}_module $modules/mod_$_.so\n"} grep { -e "$modules/mod_$_.so" } qw(mpm_event authz_core slotmem_shm watchdog);
    my $groups  = '';
    for my $members (2, 200) {
        for my $method (METHODS) {
            my $lines = join '', map {"    BalancerMember http://127.0.0.1:9/$method/$members/$_\n"} 1 .. $members;
            $groups .= "<Proxy balancer://$method-$members>\n$lines    ProxySet lbmethod=$method growth=1\n</Proxy>\nProxyPass /$method-$members balancer://$method-$members\n";
        }
    }
    my $user = $> == 0 ? "User www-data\nGroup www-data\n" : '';
    my $dir  = "$ctx->{dir}/choose";
    mkdir $dir;
    write_file("$dir.conf", <<"CONF");
ServerRoot $dir
DefaultRuntimeDir $dir
PidFile $dir.pid
ErrorLog $dir.err
ServerName bench
${user}Listen 127.0.0.1:$port
${load}LoadModule revproxy_module $top/.build/release/mod_choose.so
LoadModule choose_module $top/.build/release/mod_choose.so
ServerLimit 1
StartServers 1
ThreadsPerChild 4
MaxRequestWorkers 4
MaxSpareThreads 4
RevProxyLint Off
<Location /choose>
    SetHandler bench-choose
</Location>
$groups
CONF
    my $httpd = Bench::Httpd::httpd();
    my $pid   = start('choose', $ctx->{proxy_core}, "$dir.out", $httpd, '-f', "$dir.conf", '-DFOREGROUND');
    wait_for_port($pid, $port, 20) or die "httpd does not start:\n" . slurp("$dir.out") . slurp("$dir.err");
    my $text = qx(curl -s --max-time 120 http://127.0.0.1:$port/choose);
    kill TERM => $pid;
    wait_for_exit($pid, 10);
    my @lines = map { m{^balancer://(\S+)-\d+ (\d+) (\d+)\z} ? sprintf('%-11s %3d members: %5.2f us', $1, $2, $3 / 1000) : () } split /\n/, $text;
    die "not all methods were measured:\n$text" if @lines != 2 * (() = METHODS);
    return @lines;
}

# --- memory ---------------------------------------------------------------------------------

# A burst of requests over connections that are not kept, before and after there are idle connections of
# another pool: memory that an earlier burst has left behind serves the next, so the difference is theirs.
sub run_idle {
    my ($ctx) = @_;
    my $proxy = $ctx->{proxies}{mod_revproxy};
    my $child = child($proxy);
    my $burst = sub {
        my ($port) = @_;
        my @results = RevProxy::Load::run(port => $proxy->{port}{$port}, kept => 0, giveup => 30,
            jobs => [ map { { path => '/wait/?ms=2000', at => $_ / IDLE } } 1 .. IDLE ]);
        my $bad = grep { $_->{outcome} ne 'ok' || $_->{status} != 200 } @results;
        die "$bad of the requests failed\n" if $bad;
        sleep 1;
        return rss_kb($child);
    };
    $burst->('sink_once') for 1 .. 2;
    my $before = $burst->('sink_once');
    $burst->('sink');
    my $fds   = () = glob "/proc/$child/fd/*";
    my $after = $burst->('sink_once');
    return sprintf 'mod_revproxy  %d KB for %d idle connections (%d open files)', $after - $before, IDLE, $fds;
}

# What grows is looked for, so each thread has been at work before the first
# million: what each takes once, when it is needed for the first time (the pages of its stack), is taken.
sub run_flat {
    my ($ctx) = @_;
    my $proxy = $ctx->{proxies}{mod_revproxy};
    my $child = child($proxy);
    my $url   = "http://127.0.0.1:$proxy->{port}{main}/12";
    my @lines;
    ask($ctx, $url, MILLION / 10, 64);
    for my $million (1 .. $ctx->{millions}) {
        ask($ctx, $url, MILLION, 32);
        push @lines, sprintf 'mod_revproxy  after %2d million: %d KB', $million, rss_kb($child);
    }
    return @lines;
}

1;
