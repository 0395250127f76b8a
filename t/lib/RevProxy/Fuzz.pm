package RevProxy::Fuzz;

# Starts the fuzz targets that run inside httpd (t/fuzz/httpd): in one process, under prefork, with the module
# built with VARIANT=fuzz.
#
#   my ($status, $output) = RevProxy::Fuzz::run($module, $target, @arguments)
#
# The arguments are libFuzzer's, or without it directories to replay. RP_FUZZ_SHOW=1 prints what comes as it comes.

use strict;
use warnings;
use File::Path ();
use File::Temp ();
use POSIX ();
use RevProxy ();

my $CONFIG = <<'EOT';
Timeout 1
KeepAlive On
KeepAliveTimeout 20ms
ProxyIOBufferSize 4096
<Location /plain/>
    ProxyPass "unix:@SOCK@|http://b/"
</Location>
<Location /mapped/>
    ProxyPass "unix:@SOCK@|http://b/m/"
    ProxyPassReverse "http://b/m/"
    ProxyPassReverseCookiePath "/m/" "/mapped/"
    ProxyPassReverseCookieDomain "b" "h.example"
</Location>
<Location /replaced/>
    ProxyPass "unix:@SOCK@|http://b/r/"
    ProxyErrorOverride On
</Location>
<Location /ws/>
    ProxyPass "unix:@SOCK@|ws://b/ws/"
</Location>
<Location /once/>
    ProxyPass "unix:@SOCK@|http://once/" disablereuse=On
</Location>
<Proxy balancer://g>
    BalancerMember "unix:@SOCK@|http://m1" route=m1 retry=0
    BalancerMember "unix:@SOCK@|http://m2" route=m2 retry=0
    ProxySet stickysession=a failonstatus=503
</Proxy>
<Location /group/>
    ProxyPass "balancer://g/"
</Location>
<Location /ignore/>
    ProxyPass "unix:@SOCK@|http://b/i/"
</Location>
<Location /start/>
    ProxyPass "unix:@SOCK@|http://b/s/"
</Location>
EOT

# Why libFuzzer cannot be had, or undef.
sub why_not_clang {
    return 'clang is not installed' if !grep { -x "$_/clang" } split /:/, $ENV{PATH};
    my ($file) = qx(clang -print-file-name=libclang_rt.fuzzer_no_main-x86_64.a 2>/dev/null) =~ /(\S+)/;
    return $file && -e $file ? undef : 'clang has no libFuzzer (libclang-rt-dev)';
}

sub run {
    my ($module, $target, @arguments) = @_;
    my $dir = File::Temp::tempdir('rp-f-XXXXXX', TMPDIR => 1);
    mkdir "$dir/$_" for qw(htdocs run);
    (my $config = $CONFIG) =~ s/\@SOCK\@/$dir\/b.sock/g;
    my @modules = map { RevProxy::is_static($_) ? () : "LoadModule ${_}_module " . RevProxy::module_file($_) }
        qw(mpm_prefork authz_core slotmem_shm mime dir);
    RevProxy::write_file("$dir/httpd.conf", join "\n", "ServerRoot $dir", "DefaultRuntimeDir $dir/run", "PidFile $dir/run/pid", @modules,
        "LoadModule revproxy_module $module", "LoadModule fuzz_module $module", 'Listen 127.0.0.1:' . RevProxy::Ports::reserve(),
        'ServerName h', "DocumentRoot $dir/htdocs", "ErrorLog /dev/stderr", 'LogLevel emerg', 'TypesConfig /dev/null', $config);
    my ($runtime) = qx(ldd $module) =~ m{=>\s*(\S*(?:libasan|clang_rt\.asan)\S*)};
    my $pid = open my $out, '-|';
    die "fork: $!\n" if !defined $pid;
    if (!$pid) {
        $ENV{LD_PRELOAD}     = $runtime if $runtime;
        $ENV{ASAN_OPTIONS}   = 'detect_leaks=0:detect_odr_violation=0:' . ($ENV{ASAN_OPTIONS} || '');
        $ENV{UBSAN_OPTIONS}  = 'print_stacktrace=1';
        $ENV{RP_FUZZ_TARGET} = $target;
        $ENV{RP_FUZZ_SOCKET} = "$dir/b.sock";
        $ENV{RP_FUZZ_ARGS}   = "@arguments";
        open STDERR, '>&', \*STDOUT;
        { no warnings 'exec'; exec RevProxy::httpd(), '-X', '-f', "$dir/httpd.conf" }
        POSIX::_exit(127);
    }
    my $output = '';
    while (my $line = readline $out) {
        print $line if $ENV{RP_FUZZ_SHOW};
        $output .= $line;
    }
    close $out;
    my $status = $?;
    File::Path::remove_tree($dir);
    return ($status, $output);
}

1;
