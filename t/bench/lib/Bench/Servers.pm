package Bench::Servers;

# The backends and the four proxies: their configurations, how each is started
# and which lines of its log are complaints.  Every proxy listens on loopback
# ports: main (in front of the fast backend), wait (in front of the slow one),
# sink (in front of the one that takes uploads) and floor (answers itself, with
# no backend).  Where a row needs them also: tls (main by TLS), h2 (main by
# HTTP/2), btls (in front of the fast backend, by TLS) and, in httpd only,
# sink_once (sink with a new connection for each request).

use strict;
use warnings;
use Bench::Httpd qw(apxs_value write_configuration);
use Bench::Machine qw(free_ports start wait_for_port slurp write_file family allowed_cores);
use RevProxy::Load ();

use constant {
    THREADS  => 64,
    FOREVER  => 1_000_000_000,    # requests on one connection
    IDLE_S   => 300,              # no idle connection expires during a run
    BACKLOG  => 4096,
    BLOCK    => 1 << 20,
    GREETING => "hello world\n",
};

my %KINDS = (
    mod_proxy    => { setup => \&setup_httpd,   complaint => \&complaint_httpd },
    mod_revproxy => { setup => \&setup_httpd,   complaint => \&complaint_httpd },
    nginx        => { setup => \&setup_nginx,   complaint => \&complaint_nginx },
    haproxy      => { setup => \&setup_haproxy, complaint => \&complaint_haproxy },
);

sub names { return qw(mod_proxy nginx haproxy mod_revproxy) }

# --- backends ---------------------------------------------------------------

sub nginx_main {
    my ($dir, $name) = @_;
    my $user = $> == 0 ? 'user www-data;' : '';
    my $temp = join "\n", map { "    ${_}_temp_path $dir/$name-$_;" }
        qw(client_body proxy fastcgi uwsgi scgi);
    return ($user, $temp);
}

sub body_of {
    my ($size) = @_;
    return GREETING if $size == length GREETING;
    my $block = $size < BLOCK ? $size : BLOCK;
    my $text  = join '', map { sprintf "%015d\n", $_ } 1 .. $block / 16;
    return $text x ($size / $block);
}

# A certificate for rows with TLS; haproxy wants it and its key in one file.
sub make_certificate {
    my ($ctx) = @_;
    my $base = "$ctx->{dir}/tls";
    return $base if -e "$base.pem";
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout $base.key -out $base.crt 2>/dev/null"
        . " && cat $base.crt $base.key >$base.pem") == 0
        or die "openssl makes no certificate\n";
    return $base;
}

sub needs_tls { my ($ctx) = @_; return $ctx->{needs}{tls} || $ctx->{needs}{btls} }

sub start_fast_backend {
    my ($ctx, @sizes) = @_;
    my ($dir, $bodies) = @$ctx{qw(dir bodies)};
    my ($port, $tls_port) = free_ports(2);
    my ($user, $temp) = nginx_main($dir, 'backend');
    my $cert = $ctx->{needs}{btls} ? make_certificate($ctx) : '';
    my $tls  = $cert ? "listen 127.0.0.1:$tls_port ssl; ssl_certificate $cert.crt; ssl_certificate_key $cert.key;" : '';
    write_file("$bodies/$_", body_of($_)) for grep { $_ != length GREETING } @sizes;
    my ($forever, $idle, $backlog) = (FOREVER, IDLE_S, BACKLOG);
    write_file("$dir/backend.conf", <<"CONF");
$user
worker_processes 1;
daemon off;
pid $dir/backend.pid;
error_log $dir/backend.log warn;
events { worker_connections 8192; }
http {
$temp
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    etag off;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
    keepalive_timeout $idle;
    keepalive_requests $forever;
    server {
        listen 127.0.0.1:$port backlog=$backlog;
        $tls
        root $bodies;
        location = /12 { return 200 "hello world\\n"; }
    }
}
CONF
    my $pid = start('backend', $ctx->{load_cores}, "$dir/backend.out",
        'nginx', '-e', "$dir/backend.log", '-c', "$dir/backend.conf", '-p', $dir);
    wait_for_port($pid, $port, 10)
        or die "the backend does not start:\n" . slurp("$dir/backend.log");
    return { pid => $pid, port => $port, tls_port => $tls_port };
}

sub start_slow_backend {
    my ($ctx, $delay_ms) = @_;
    my $dir = $ctx->{dir};
    my ($port) = free_ports(1);
    system('cc', '-O2', '-o', "$dir/delayd", "$ctx->{bench}/delayd.c") == 0
        or die "delayd.c does not compile\n";
    my $pid = start('delayd', $ctx->{load_cores}, "$dir/delayd.out",
        "$dir/delayd", $port, $delay_ms);
    wait_for_port($pid, $port, 10)
        or die "delayd does not start:\n" . slurp("$dir/delayd.out");
    return { pid => $pid, port => $port };
}

# Reads the whole request, then answers.
sub start_sink {
    my ($ctx) = @_;
    my ($port) = free_ports(1);
    my $pid = start('backd', $ctx->{load_cores}, "$ctx->{dir}/backd.out", RevProxy::Load::program('backd'), $port);
    wait_for_port($pid, $port, 10) or die "backd does not start:\n" . slurp("$ctx->{dir}/backd.out");
    return { pid => $pid, port => $port };
}

# --- httpd: mod_proxy and mod_revproxy --------------------------------------

# apxs leaves its products beside the source, hence the copy.
sub build_floor_module {
    my ($ctx) = @_;
    my $dir = "$ctx->{dir}/floor";
    return "$dir/.libs/mod_floor.so" if -e "$dir/.libs/mod_floor.so";
    mkdir $dir;
    write_file("$dir/mod_floor.c", slurp("$ctx->{bench}/mod_floor.c"));
    system("cd $dir && apxs -c mod_floor.c >build.log 2>&1") == 0
        or die "mod_floor.c does not compile:\n" . slurp("$dir/build.log");
    return "$dir/.libs/mod_floor.so";
}

# For the ports that few rows need. Nothing of it is there without them.
sub httpd_extras {
    my ($ctx, $port) = @_;
    my $modules = apxs_value('LIBEXECDIR');
    my $to_fast = "ProxyPass / http://127.0.0.1:$ctx->{fast}{port}/";
    my $text    = '';
    if (needs_tls($ctx)) {
        $text .= "LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so\nLoadModule ssl_module $modules/mod_ssl.so\n"
            . "SSLSessionCache shmcb:$ctx->{dir}/sessions-$port->{main}(512000)\n";
    }
    if ($ctx->{needs}{tls}) {
        my $cert = make_certificate($ctx);
        $text .= "Listen 127.0.0.1:$port->{tls}\n<VirtualHost 127.0.0.1:$port->{tls}>\nSSLEngine on\n"
            . "SSLCertificateFile $cert.crt\nSSLCertificateKeyFile $cert.key\n$to_fast\n</VirtualHost>\n";
    }
    if ($ctx->{needs}{btls}) {
        $text .= "Listen 127.0.0.1:$port->{btls}\n<VirtualHost 127.0.0.1:$port->{btls}>\nSSLProxyEngine on\n"
            . "ProxyPass / https://127.0.0.1:$ctx->{fast}{tls_port}/\n</VirtualHost>\n";
    }
    if ($ctx->{needs}{sink_once}) {
        $text .= "Listen 127.0.0.1:$port->{sink_once}\n<VirtualHost 127.0.0.1:$port->{sink_once}>\n"
            . "ProxyPass / http://127.0.0.1:$ctx->{sink}{port}/ disablereuse=On\n</VirtualHost>\n";
    }
    if ($ctx->{needs}{h2}) {
        $text .= "LoadModule http2_module $modules/mod_http2.so\nListen 127.0.0.1:$port->{h2}\n"
            . "<VirtualHost 127.0.0.1:$port->{h2}>\nProtocols h2c http/1.1\n$to_fast\n</VirtualHost>\n";
    }
    return $text;
}

sub setup_httpd {
    my ($ctx, $proxy) = @_;
    my $port   = $proxy->{port};
    my $floor  = build_floor_module($ctx);
    my $extras = httpd_extras($ctx, $port);
    my $idle   = IDLE_S;
    return write_configuration($ctx, name => $proxy->{name}, base => "$ctx->{dir}/$proxy->{name}", log => $proxy->{log},
        threads => THREADS, factor => 64, timeout => 60, text => <<"CONF");
LoadModule floor_module $floor
KeepAliveTimeout $idle
Listen 127.0.0.1:$port->{main}
Listen 127.0.0.1:$port->{wait}
Listen 127.0.0.1:$port->{floor}
Listen 127.0.0.1:$port->{sink}
<VirtualHost 127.0.0.1:$port->{sink}>
    ProxyPass / http://127.0.0.1:$ctx->{sink}{port}/
</VirtualHost>
<VirtualHost 127.0.0.1:$port->{main}>
    ProxyPass / http://127.0.0.1:$ctx->{fast}{port}/
</VirtualHost>
<VirtualHost 127.0.0.1:$port->{wait}>
    ProxyPass / http://127.0.0.1:$ctx->{slow}{port}/
</VirtualHost>
<VirtualHost 127.0.0.1:$port->{floor}>
    <Location "/">
        SetHandler bench-floor
    </Location>
</VirtualHost>
$extras
CONF
}

sub complaint_httpd { return $_[0] =~ /\[[\w.-]*:(?:warn|error|crit|alert|emerg)\]/ }

# --- nginx ------------------------------------------------------------------

sub nginx_extras {
    my ($ctx, $port) = @_;
    my $to_fast = 'location / { proxy_pass http://fast; }';
    my $text    = '';
    if ($ctx->{needs}{tls}) {
        my $cert = make_certificate($ctx);
        $text .= "server { listen 127.0.0.1:$port->{tls} ssl; ssl_certificate $cert.crt; ssl_certificate_key $cert.key; $to_fast }\n";
    }
    if ($ctx->{needs}{btls}) {
        $text .= "server { listen 127.0.0.1:$port->{btls}; location / { proxy_pass https://fast_tls; } }\n";
    }
    $text .= "server { listen 127.0.0.1:$port->{h2} http2; $to_fast }\n" if $ctx->{needs}{h2};
    return $text;
}

# The upstream pool is as large as the widest row needs.  Temporary files are
# off: with them a client slower than the backend would measure the disk.
sub setup_nginx {
    my ($ctx, $proxy) = @_;
    my ($dir, $port) = ($ctx->{dir}, $proxy->{port});
    my ($user, $temp) = nginx_main($dir, 'nginx');
    my ($forever, $idle, $backlog) = (FOREVER, IDLE_S, BACKLOG);
    my $extras = nginx_extras($ctx, $port);
    my $pool = "keepalive 1024; keepalive_requests $forever; keepalive_timeout ${idle}s;";
    write_file("$dir/nginx.conf", <<"CONF");
$user
worker_processes 1;
daemon off;
pid $dir/nginx.pid;
error_log $proxy->{log} warn;
events { worker_connections 8192; }
http {
$temp
    access_log off;
    default_type text/plain;
    keepalive_timeout $idle;
    keepalive_requests $forever;
    upstream fast { server 127.0.0.1:$ctx->{fast}{port}; $pool }
    upstream fast_tls { server 127.0.0.1:$ctx->{fast}{tls_port}; $pool }
    upstream slow { server 127.0.0.1:$ctx->{slow}{port}; $pool }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_max_temp_file_size 0;
    proxy_request_buffering off;
    client_max_body_size 0;
    server {
        listen 127.0.0.1:$port->{sink} backlog=$backlog;
        location / { proxy_pass http://127.0.0.1:$ctx->{sink}{port}; }
    }
    server {
        listen 127.0.0.1:$port->{main} backlog=$backlog;
        location / { proxy_pass http://fast; }
    }
    server {
        listen 127.0.0.1:$port->{wait} backlog=$backlog;
        location / { proxy_pass http://slow; }
    }
    server {
        listen 127.0.0.1:$port->{floor} backlog=$backlog;
        location / { return 200 "hello world\\n"; }
    }
    $extras
}
CONF
    return ('nginx', '-e', $proxy->{log}, '-c', "$dir/nginx.conf", '-p', $dir);
}

sub complaint_nginx { return $_[0] =~ /\[(?:warn|error|crit|alert|emerg)\]/ }

# --- haproxy ----------------------------------------------------------------

sub haproxy_extras {
    my ($ctx, $port) = @_;
    my $text = '';
    $text .= "frontend tls\n    bind 127.0.0.1:$port->{tls} ssl crt " . make_certificate($ctx) . ".pem\n    default_backend fast\n"
        if $ctx->{needs}{tls};
    $text .= "frontend h2\n    bind 127.0.0.1:$port->{h2} proto h2\n    default_backend fast\n" if $ctx->{needs}{h2};
    $text .= "frontend btls\n    bind 127.0.0.1:$port->{btls}\n    default_backend fast_tls\n"
        . "backend fast_tls\n    server s 127.0.0.1:$ctx->{fast}{tls_port} ssl verify none pool-purge-delay @{[IDLE_S]}s\n"
        if $ctx->{needs}{btls};
    return $text;
}

sub setup_haproxy {
    my ($ctx, $proxy) = @_;
    my ($dir, $port) = ($ctx->{dir}, $proxy->{port});
    my ($idle, $backlog) = (IDLE_S, BACKLOG);
    my $extras = haproxy_extras($ctx, $port);
    write_file("$dir/haproxy.conf", <<"CONF");
global
    nbthread 1
    maxconn 4000
    log stderr format raw local0
defaults
    mode http
    log global
    option dontlog-normal
    log-format "END %ts status=%ST backend=%b"
    backlog $backlog
    timeout connect 5s
    timeout client ${idle}s
    timeout server 60s
    timeout http-keep-alive ${idle}s
    http-reuse always
frontend main
    bind 127.0.0.1:$port->{main}
    default_backend fast
frontend wait
    bind 127.0.0.1:$port->{wait}
    default_backend slow
frontend floor
    bind 127.0.0.1:$port->{floor}
    http-request return status 200 content-type text/plain string "hello world\\n"
backend fast
    server s 127.0.0.1:$ctx->{fast}{port} pool-purge-delay ${idle}s
backend slow
    server s 127.0.0.1:$ctx->{slow}{port} pool-purge-delay ${idle}s
frontend sink
    bind 127.0.0.1:$port->{sink}
    default_backend sink
backend sink
    server s 127.0.0.1:$ctx->{sink}{port} pool-purge-delay ${idle}s
$extras
CONF
    return ('haproxy', '-db', '-f', "$dir/haproxy.conf");
}

# A termination state that begins with C is the client's own leaving, which the
# load generator does at the end of each run.
sub complaint_haproxy {
    my ($line) = @_;
    return $line =~ /^END (?!C)/ || $line =~ /^\[(?:WARNING|ALERT)\]/;
}

# --- all --------------------------------------------------------------------

sub reason_to_skip {
    my ($ctx, $name) = @_;
    return if $name ne 'mod_revproxy' || -e $ctx->{module};
    return "there is no $ctx->{module} (build it: make -f Makefile.apxs)";
}

# Starts one proxy; dies with its log when it does not come up or is not pinned.
sub start_proxy {
    my ($ctx, $name) = @_;
    my @ports = qw(main wait floor sink);
    push @ports, grep { $ctx->{needs}{$_} } qw(tls btls h2);
    push @ports, 'sink_once' if $ctx->{needs}{sink_once} && $name =~ /^mod_/;
    my %port;
    @port{@ports} = free_ports(scalar @ports);
    my $log = "$ctx->{dir}/$name.log";
    my $proxy = { name => $name, port => \%port, log => $log, log_at => 0 };
    my @command = $KINDS{$name}{setup}->($ctx, $proxy);
    $proxy->{pid} = start($name, $ctx->{proxy_core}, $log, @command);
    for my $port (values %port) {
        wait_for_port($proxy->{pid}, $port, 10)
            or die "$name does not start:\n" . slurp($log);
    }
    for my $pid (family($proxy->{pid})) {
        my $cores = allowed_cores($pid);
        die "$name: process $pid may run on cores $cores\n" if $cores ne $ctx->{proxy_core};
    }
    return $proxy;
}

# The complaints in the log since the last call.
sub new_complaints {
    my ($proxy) = @_;
    open my $fh, '<', $proxy->{log} or return;
    seek $fh, $proxy->{log_at}, 0;
    my @lines = <$fh>;
    $proxy->{log_at} = tell $fh;
    chomp @lines;
    return grep { $KINDS{ $proxy->{name} }{complaint}->($_) } @lines;
}

1;
