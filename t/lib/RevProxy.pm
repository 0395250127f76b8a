package RevProxy;

=head1 NAME

RevProxy - test harness of mod_revproxy: a private httpd, scripted backends, an HTTP/1 client

=head1 SYNOPSIS

    use strict; use warnings;
    use Test::More;
    use lib 't/lib';
    use RevProxy;

    my $app = RevProxy::Backend->echo;
    my $t   = RevProxy->new(backends => { app => $app }, config => <<'EOT');
        ProxyPass        /app/ http://127.0.0.1:%%PORT:app%%/
        ProxyPassReverse /app/ http://127.0.0.1:%%PORT:app%%/
    EOT

    my $r = $t->get('/app/x?y=1', headers => [ 'X-Test' => 1 ]);
    is $r->status, 200, 'answered';
    like $r->body, qr{^GET /x\?y=1 HTTP/1\.1$}m, 'mapped';

    $app->stop;
    is $t->get('/app/x')->status, 503, 'backend gone';
    $t->claim(qr/RP0101/, 'and the log says so');

    $t->finish;
    done_testing;

Only core Perl is used. Run a test from the top of the tree: C<prove -I t/lib t/20-x.t>.

=head1 ENVIRONMENT

    RP_FRONT    revproxy (default); mod_proxy: the stock modules instead, to prove a test of
                compatibility against the real thing; none: neither
    RP_MODULE   the module to load (.libs/mod_revproxy.so)
    RP_MPM      event (default), worker, prefork
    RP_SAN      asan, tsan, valgrind: how to start httpd; reports fail the test
    RP_APXS, RP_HTTPD   programs to use instead of those found
    RP_LIBEXECDIR       directory of httpd's modules, instead of apxs's
    RP_TIMEOUT  seconds that a test file may take (120; more under RP_SAN)
    RP_KEEP     1: keep the temporary directory of a test that passed, too

=cut

use strict;
use warnings;
use Cwd ();
use File::Basename ();
use File::Path ();
use File::Temp ();
use IO::Select ();
use IO::Socket::INET ();
use POSIX ();
use Scalar::Util ();
use Test::More ();
use Time::HiRes qw(time sleep);
use RevProxy::HTTP;
use RevProxy::Client;
use RevProxy::Backend;

use Exporter 'import';
our @EXPORT = qw(front mpm only_ours ours);

our %CHILDREN;       # processes of ours besides httpd: pid => what it is
our $SLOW;           # by how much a sanitizer stretches times
our $TOP;            # of the source tree

my %LIVE;            # servers of this process that are not finished
my $abandoned = 0;    # servers whose test did not call finish
my $OWNER = $$;

BEGIN {
    $TOP  = Cwd::realpath(File::Basename::dirname(__FILE__) . '/../..');
    $SLOW = { asan => 3, tsan => 5, valgrind => 8 }->{ $ENV{RP_SAN} || '' } || 1;
    $RevProxy::HTTP::TIMEOUT *= $SLOW > 4 ? 4 : $SLOW;
}

=head1 FUNCTIONS

=head2 front

What serves C<ProxyPass>: "revproxy", "mod_proxy" or "none".

=head2 mpm

The MPM that the tests run under. What cannot work under one (HTTP/2 under prefork) says so:
C<plan skip_all =E<gt> '...' if mpm eq 'prefork'>.

=head2 ours($value, mod_proxy => $value, $why)

The first value with our module, the second with the stock ones, for what differs on purpose:

    is $r->status, ours(504, mod_proxy => 502, 'no answer in time is 504 here (RFC 9110 15.6.5)');

=head2 only_ours { ... } 'why'

Assertions that the stock modules cannot meet; under RP_FRONT=mod_proxy one skip with the reason.

=cut

sub front { return $ENV{RP_FRONT} || 'revproxy' }
sub mpm   { return $ENV{RP_MPM}   || 'event' }

sub ours {
    my ($ours, $other, $theirs) = @_;
    die "ours(value, mod_proxy => value, why)\n" if $other ne 'mod_proxy';
    return front() eq 'mod_proxy' ? $theirs : $ours;
}

sub only_ours(&$) {
    my ($code, $why) = @_;
    return $code->() if front() ne 'mod_proxy';
    Test::More->builder->skip("mod_proxy differs: $why");
    return;
}

# --- the server's programs and modules ---------------------------------------------------------

my %found;

# The values of apxs's variables: one process for all, it takes long to start.
sub apxs {
    my (@names) = @_;
    my ($apxs) = grep { -x } $ENV{RP_APXS} || (), map { ("$_/apxs", "$_/apxs2") } qw(/usr/bin /usr/sbin /usr/local/apache2/bin);
    my $values = $apxs ? qx($apxs -q @names 2>/dev/null) : '';
    chomp $values;
    my @values = split /;;/, $values, -1;
    return map { $_ // '' } @values[ 0 .. $#names ];
}

# Where httpd is. For a whole run build/test asks once: RP_HTTPD, RP_LIBEXECDIR.
sub httpd      { return $ENV{RP_HTTPD}      ||= places()->{httpd} }
sub libexecdir { return $ENV{RP_LIBEXECDIR} ||= places()->{libexecdir} }

sub places {
    return $found{places} //= do {
        my ($sbin, $name, $libexec) = apxs(qw(SBINDIR PROGNAME LIBEXECDIR));
        my @try = ($sbin . '/' . ($name || 'httpd'), '/usr/sbin/apache2', '/usr/sbin/httpd');
        my ($program) = grep { -x && !-d } $ENV{RP_HTTPD} || (), @try;
        { httpd => $program || die("no httpd found (looked for @try)\n"), libexecdir => $libexec || '/usr/lib/apache2/modules' };
    };
}

sub module_file { return libexecdir() . "/mod_$_[0].so" }

sub is_static {
    my ($name) = @_;
    $found{static} //= { map { /^\s+(?:mod_)?(\w+)\.c$/ ? ($1 => 1) : () } qx(@{[ httpd() ]} -l) };
    return $found{static}{$name};
}

# What a module needs loaded before it, where the server does not say it in words.
my %NEEDS = (
    ssl         => ['socache_shmcb'],
    cache_disk  => ['cache'],
    cache_socache => [ 'cache', 'socache_shmcb' ],
    auth_basic  => [qw(authn_core authn_file authz_user)],
    proxy_fcgi  => ['proxy'],
    proxy_http  => ['proxy'],
    http2       => [],
);

my @STOCK = qw(slotmem_shm proxy proxy_http proxy_balancer lbmethod_byrequests lbmethod_bytraffic
    lbmethod_bybusyness proxy_wstunnel proxy_hcheck);

sub load_lines {
    my ($self) = @_;
    my $ours  = $ENV{RP_MODULE} || "$TOP/.libs/mod_revproxy.so";
    my @front = $self->{front} eq 'mod_proxy' ? @STOCK : $self->{front} eq 'none' ? () : (\$ours);
    my @more  = @{ $self->{modules} };
    my @all   = ("mpm_$self->{mpm}", qw(authz_core unixd log_config mime dir alias),
        $self->{front_first} ? (@front, @more) : (@more, @front));
    my (%seen, @lines);
    for my $module (map { ref $_ ? $_ : (@{ $NEEDS{$_} || [] }, $_) } @all) {
        my ($name, $file) = ref $module ? ('revproxy', $$module) : ($module, module_file($module));
        next if $seen{$name}++ || !-e $file && is_static($name);
        push @lines, "LoadModule ${name}_module $file";
    }
    return @lines;
}

=head1 THE SERVER

=head2 new(config => $text, %opt)

Starts httpd and waits until it serves; dies with its log if it does not. The text is included at
the top level of a minimal configuration, with these replaced:

    %%PORT%%          the front's port (127.0.0.1; a Listen line is there)
    %%PORT:name%%     the port of the backend of that name, else a free port reserved under it
    %%SOCK:name%%     path of a backend's unix socket
    %%URL:name%%      a backend's URL without a slash at its end (http://... or unix:...)
    %%DIR%%           temporary directory; %%DOCROOT%% the DocumentRoot in it, %%DIR%%/var is
                      writable for the server's children
    %%TOP%%           top of the source tree

Options: C<backends> (hash of name to RevProxy::Backend), C<modules> (names without mod_: headers ssl
rewrite ...), C<front_first> (load the proxy before them), C<mpm>, C<threads> (16 per child),
C<one_child> (under prefork, too, where a second connection
then waits until the first has ended; for tests of what is kept per child, with one client connection at a time),
C<one_process> (C<httpd -X>: the parent is the child, too),
C<process> (text that replaces the whole process configuration), C<loglevel> (added to "warn"; our
module's level is info unless this says otherwise), C<docs> (hash of path to content under the
DocumentRoot), C<files> (the same under %%DIR%%), C<env> (hash for httpd's environment), C<defines> (for -D),
C<children_may_change>, C<timeout>
(Timeout directive, 20), C<front> (overrides RP_FRONT for this server).

With the stock modules as front, lines with directives that they do not know (RevProxy...) are left
out and second spellings (RevProxyPass) become the first ones.

=cut

sub new {
    my ($class, %opt) = @_;
    my $self = $class->prepare(%opt);
    $LIVE{ $self->{dir} } = $self;
    Scalar::Util::weaken($LIVE{ $self->{dir} });
    $self->start;
    return $self;
}

sub prepare {
    my ($class, %opt) = @_;
    watch_time();
    my $self = bless {
        front => front(), mpm => mpm(), threads => 16, timeout => 20, config => '',
        docs => {}, files => {}, env => {}, defines => [], claims => [], ports => {}, %opt,
        modules => [ @{ $opt{modules} || [] } ], backends => { %{ $opt{backends} || {} } }, owner => $$,
    }, $class;
    $self->{dir}  = Cwd::realpath(File::Temp::tempdir('rp-t-XXXXXX', TMPDIR => 1));
    $self->{port} = RevProxy::Ports::reserve();
    $self->lay_out;
    return $self;
}

sub lay_out {
    my ($self) = @_;
    my $dir = $self->{dir};
    chmod 0755, $dir;
    mkdir "$dir/$_" for qw(conf logs run htdocs var san);
    chmod 01777, "$dir/$_" for qw(var san);
    my %files = (%{ $self->{files} }, map { ("htdocs/$_" => $self->{docs}{$_}) } keys %{ $self->{docs} });
    for my $name (keys %files) {
        File::Path::make_path(File::Basename::dirname("$dir/$name"));
        write_file("$dir/$name", $files{$name});
    }
    write_file("$dir/conf/test.conf",  $self->expand($self->for_front($self->{config})));
    write_file("$dir/conf/httpd.conf", $self->frame);
    return;
}

sub write_file {
    my ($file, $bytes) = @_;
    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $bytes;
    close $fh or die "$file: $!\n";
    return;
}

=head2 expand($text)

The text with its %%...%% replaced; for files and expectations.

=cut

sub expand {
    my ($self, $text) = @_;
    my %plain = (PORT => $self->{port}, DIR => $self->{dir}, DOCROOT => "$self->{dir}/htdocs", TOP => $TOP);
    $text =~ s/%%([A-Z]+)(?::(\w+))?%%/ defined $2 ? $self->named($1, $2) : $plain{$1} \/\/ die "what is %%$1%%?\n" /ge;
    return $text;
}

sub named {
    my ($self, $what, $name) = @_;
    my $backend = $self->{backends}{$name};
    if ($what eq 'PORT') {
        return $backend->port if $backend;
        return $self->{ports}{$name} //= RevProxy::Ports::reserve();
    }
    die "no backend $name\n" if !$backend;
    return $what eq 'SOCK' ? $backend->path : $what eq 'URL' ? $backend->url : die "what is %%$what:...%%?\n";
}

my %PLAIN = map { lc $_ => 1 } qw(Proxy ProxyMatch ProxyPass ProxyPassMatch ProxyPassReverse ProxyPassReverseCookieDomain
    ProxyPassReverseCookiePath ProxyPassInherit ProxyPassInterpolateEnv ProxyPreserveHost ProxyAddHeaders
    ProxyVia ProxyErrorOverride ProxyTimeout ProxyIOBufferSize ProxyReceiveBufferSize ProxyBadHeader
    ProxyMaxForwards ProxySourceAddress ProxyStatus ProxySet ProxyRequests ProxyRemote ProxyRemoteMatch ProxyBlock
    ProxyDomain NoProxy BalancerMember BalancerGrowth BalancerPersist BalancerInherit
    ProxyHCExpr ProxyHCTemplate ProxyHCTPsize ProxyWebsocketFallbackToProxyHttp);

sub for_front {
    my ($self, $text) = @_;
    return $text if $self->{front} ne 'mod_proxy';
    return join '', map { for_stock($_) } split /(?<=\n)/, $text;
}

sub for_stock {
    my ($line) = @_;
    return $line if $line !~ m{^(\s*</?)?\s*Rev(\w+)}i;
    my $name = $2;
    return "# $line" if !$PLAIN{ lc $name };
    $line =~ s/Rev(?=\Q$name\E)//i;
    return $line;
}

sub frame {
    my ($self) = @_;
    my ($dir, $port) = @$self{qw(dir port)};
    my $identity = $> == 0 ? server_identity() : '';
    my $level    = join ' ', 'warn', "mpm_$self->{mpm}:notice", 'core:notice',
        $self->{front} eq 'revproxy' ? 'revproxy:info' : (), $self->{loglevel} // ();
    $level =~ s/\brevproxy:/proxy:/g if $self->{front} eq 'mod_proxy';
    return join "\n", "ServerRoot $dir", "DefaultRuntimeDir $dir/run", "PidFile $dir/run/httpd.pid",
        $self->load_lines, "Listen 127.0.0.1:$port", "ServerName 127.0.0.1:$port", $identity,
        "DocumentRoot $dir/htdocs", 'AddType text/plain .txt', 'AddType text/html .html', 'TypesConfig /dev/null',
        "ErrorLog $dir/logs/error.log", "LogLevel $level",
        'LogFormat "%h \"%r\" %>s %b %D" harness', "CustomLog $dir/logs/access.log harness",
        'LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined',
        "Timeout $self->{timeout}", 'KeepAlive On', 'MaxKeepAliveRequests 0', 'KeepAliveTimeout 20', 'GracefulShutdownTimeout 5',
        grep({ $_ eq 'ssl' } @{ $self->{modules} }) ? "SSLSessionCache shmcb:$dir/run/ssl(65536)" : (),
        $self->{process} // $self->process_lines, "Include $dir/conf/test.conf", '';
}

sub server_identity {
    my ($user)  = grep { getpwnam $_ } qw(www-data apache daemon nobody);
    my ($group) = grep { getgrnam $_ } qw(www-data apache daemon nogroup);
    return "User $user\nGroup $group";
}

# One child whose threads do not come and go, so that a test can compare its pid; room in the
# scoreboard for old generations, so that a graceful restart need not wait for them.
sub process_lines {
    my ($self) = @_;
    my $n = $self->{threads};
    if ($self->{mpm} eq 'prefork') {
        my ($start, $most) = $self->{one_child} ? (1, 1) : (4, $n);
        return ('ServerLimit ' . 2 * $n, "StartServers $start", 'MinSpareServers 1', "MaxSpareServers $n", "MaxRequestWorkers $most",
            'MaxConnectionsPerChild 0');
    }
    return ('ServerLimit 8', 'StartServers 1', "ThreadLimit $n", "ThreadsPerChild $n", "MaxRequestWorkers $n", 'MinSpareThreads 1',
        "MaxSpareThreads $n", 'MaxConnectionsPerChild 0');
}

sub command {
    my ($self, @args) = @_;
    my @wrap = ($ENV{RP_SAN} || '') eq 'valgrind' && "@args" !~ /-t\b/ ? valgrind($self->{dir}) : ();
    return (@wrap, httpd(), '-d', $self->{dir}, '-f', "$self->{dir}/conf/httpd.conf", map({ ('-D', $_) } @{ $self->{defines} }), @args);
}

sub valgrind {
    my ($dir) = @_;
    return ('valgrind', '-q', '--trace-children=no', '--num-callers=30', '--error-limit=no', '--fair-sched=try', '--vgdb=no',
        "--suppressions=$TOP/t/valgrind.supp", "--log-file=$dir/san/valgrind.%p");
}

# What the sanitizers need in httpd's environment only: the runtime must come first in a program
# that was not built with it.
sub sanitizer_env {
    my ($self) = @_;
    my $mode = $ENV{RP_SAN} || '';
    return () if $self->{front} ne 'revproxy' || $mode ne 'asan' && $mode ne 'tsan'; # a peer of stock httpd is not what is tested
    my $log = "log_path=$self->{dir}/san/$mode:exitcode=86";
    # httpd -X unloads its modules in exit(), which a frame of the MPM has called: a whole stack of what is freed then would have
    # to read that frame's code, and what only globals of a module point to would look lost.
    my $at_exit = $self->{one_process} ? 'detect_leaks=0:fast_unwind_on_malloc=1' : 'detect_leaks=1:fast_unwind_on_malloc=0';
    return (
        LD_PRELOAD   => join(' ', sanitizer_runtime($mode), $mode eq 'tsan' ? File::Basename::dirname($ENV{RP_MODULE}) . '/apr_for_tsan.so' : ()),
        # 2: httpd, which has handlers of its own for these, does not take them over.
        ASAN_OPTIONS => "$log:$at_exit:detect_odr_violation=0:handle_segv=2:handle_sigbus=2:" . ($ENV{ASAN_OPTIONS} || ''),
        LSAN_OPTIONS => "suppressions=$TOP/t/lsan.supp:print_suppressions=0",
        UBSAN_OPTIONS => "$log:print_stacktrace=1",
        TSAN_OPTIONS => "$log:suppressions=$TOP/t/tsan.supp:second_deadlock_stack=1:handle_segv=2:handle_sigbus=2:" . ($ENV{TSAN_OPTIONS} || ''),
    );
}

sub sanitizer_runtime {
    my ($mode) = @_;
    return $ENV{RP_SAN_LIB} if $ENV{RP_SAN_LIB};
    return $found{"lib $mode"} //= do {
        my $module = $ENV{RP_MODULE} || die "RP_SAN=$mode without RP_MODULE\n";
        my ($path) = qx(ldd $module) =~ m{=>\s*(\S*(?:lib|clang_rt\.)$mode\S*)};
        $path || die "$module is not built for $mode\n";
    };
}

sub start {
    my ($self) = @_;
    my $stderr = "$self->{dir}/logs/stderr.log";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;    # prefork signals its whole process group when it stops
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $stderr;
        open STDERR, '>>', $stderr;
        $self->become($self->{one_process} ? '-X' : ('-D', 'FOREGROUND'));
    }
    $self->{pid} = $pid;
    $self->{guard} = guard($pid);
    $self->wait_up(($self->{ups} || 0) + 1);
    $self->{first_children} = [ sort $self->children ];
    return;
}

# Makes httpd of this process.
sub become {
    my ($self, @args) = @_;
    my @command   = $self->command(@args);
    my %sanitizer = $self->sanitizer_env;
    unshift @command, 'setarch', '-R' if ($ENV{RP_SAN} || '') eq 'tsan';
    %ENV = (%ENV, %sanitizer, %{ $self->{env} });
    $ENV{LD_PRELOAD} = join ' ', grep {defined} map { $_->{LD_PRELOAD} } \%sanitizer, $self->{env};
    delete $ENV{$_} for grep {/^(?:MALLOC_|PERL5)/} keys %ENV;
    { no warnings 'exec'; exec { $command[0] } @command }
    print STDERR "cannot run $command[0]: $!\n";
    POSIX::_exit(127);
}

# Ends httpd when the test is killed in a way that leaves it no time for that itself.
sub guard {
    my ($pid) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $guard = fork // die "fork: $!\n";
    if ($guard) { close $read; return { pid => $guard, pipe => $write } }
    close $write;
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
    sysread $read, my $byte, 1;
    POSIX::_exit(0) if defined $byte && length $byte;
    kill TERM => $pid;
    POSIX::_exit(0);
}

sub dismiss_guard {
    my ($self) = @_;
    my $guard = delete $self->{guard} or return;
    syswrite $guard->{pipe}, 'x';
    close $guard->{pipe};
    waitpid $guard->{pid}, 0;
    return;
}

sub wait_up {
    my ($self, $times) = @_;
    my $until = time + 20 * $SLOW;
    while (1) {
        last if $self->is_up($times);
        my $gone = waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid};
        if ($gone || time > $until) {
            delete $self->{pid} if $gone;
            $self->{failed} = 1;
            my $what = $gone ? "httpd ended ($?)" : 'httpd does not come up';
            die "$what:\n" . slurp("$self->{dir}/logs/stderr.log") . slurp("$self->{dir}/logs/error.log") . "in $self->{dir}\n";
        }
        sleep 0.01;
    }
    $self->{ups} = $times;
    return;
}

sub is_up {
    my ($self, $times) = @_;
    return $self->answers if $self->{one_process}; # it does not say that it begins
    my $ups = () = slurp("$self->{dir}/logs/error.log") =~ /resuming normal operations/g;
    return $ups >= $times && $self->children;
}

# Its port is open before it listens to signals.
sub answers {
    my ($self) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}) or return;
    print {$s} "GET / HTTP/1.0\r\n\r\n";
    return IO::Select->new($s)->can_read(5) && sysread $s, my $byte, 1;
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return '';
    local $/;
    return scalar(<$fh>) // '';
}

=head2 configtest(config => $text, %opt)

Class method, options as for C<new>: C<httpd -t>. Returns (1 if it accepts, output). C<args> (list) instead
of C<-t>: ['-t', '-D', 'DUMP_REVPROXY']. In messages the file is F<.../conf/test.conf>, and its line numbers
are those of the text given.

=cut

sub configtest {
    my ($class, %opt) = @_;
    my $self = $class->prepare(%opt);
    my $pid = open my $out, '-|';
    die "fork: $!\n" if !defined $pid;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        $self->become(@{ $opt{args} || ['-t'] });
    }
    my $output = do { local $/; <$out> };
    close $out;
    my $ok     = $? == 0 ? 1 : 0;
    my $report = join '', map { slurp($_) } glob "$self->{dir}/san/*";
    Test::More::fail("sanitizer report at configtest:\n$report") if $report ne '';
    File::Path::remove_tree($self->{dir});
    $self->{done} = 1;
    return ($ok, $output);
}

=head2 example($file, $from => $to, ...)

Class method: the text of F<conf-examples/$file> for C<config>, with ports and paths of this machine: each
$from, wherever it is not part of a longer word or number, becomes $to. Dies if one is not in the file.
${APACHE_LOG_DIR}, which Debian sets, is %%DIR%%/logs. Nothing else is changed.

=head2 example_modules($file)

The modules that the file's line "Needs: a2enmod ..." names, without revproxy.

=cut

sub example {
    my ($class, $file, @map) = @_;
    my $text = slurp("$TOP/conf-examples/$file") || die "no conf-examples/$file\n";
    while (my ($from, $to) = splice @map, 0, 2) {
        $text =~ s/(?<![\w.])\Q$from\E(?!\w)/$to/g or die "conf-examples/$file: no $from in it\n";
    }
    return "Define APACHE_LOG_DIR %%DIR%%/logs\n$text";
}

sub example_modules {
    my ($class, $file) = @_;
    my ($list) = slurp("$TOP/conf-examples/$file") =~ /^# Needs:\s+a2enmod ([\w ]+)$/m;
    return grep { $_ ne 'revproxy' } split ' ', $list // '';
}

=head2 port, port_of($name), dir, pid, front

C<port_of>: what %%PORT:name%% became.

=cut

sub port    { return $_[0]{port} }
sub port_of { my ($self, $name) = @_; return $self->named('PORT', $name) }
sub dir     { return $_[0]{dir} }
sub pid     { return $_[0]{pid} }

=head2 children, rss_kb

Pids of httpd's children; kilobytes of memory resident in all of them together.

=cut

sub children {
    my ($self) = @_;
    my $parent = $self->{pid} or return;
    return $parent if $self->{one_process};
    my $list   = "/proc/$parent/task/$parent/children";    # not in every kernel
    my @pids   = -e $list ? split ' ', slurp($list) : map { m{(\d+)} } glob '/proc/[0-9]*';
    # Z: has ended, and httpd has not looked yet.
    return grep { slurp("/proc/$_/stat") =~ /\) ([^Z]) (\d+) / && $2 == $parent } @pids;
}

sub rss_kb {
    my ($self) = @_;
    my $sum = 0;
    $sum += slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m ? $1 : 0 for $self->children;
    return $sum;
}

=head2 reload_graceful, start_again, set_config($text)

C<set_config> writes another text for the next start. C<reload_graceful> returns when the new
generation serves; the old children may still finish what they do. C<start_again>: stop and start.

=cut

sub set_config {
    my ($self, $text) = @_;
    write_file("$self->{dir}/conf/test.conf", $self->expand($self->for_front($self->{config} = $text)));
    return;
}

sub reload_graceful {
    my ($self) = @_;
    my %old = map { $_ => 1 } $self->children;
    kill USR1 => $self->{pid};
    $self->wait_up($self->{ups} + 1);
    my $until = time + 10 * $SLOW;
    sleep 0.01 while !grep({ !$old{$_} } $self->children) && time < $until;
    $self->{first_children} = [ grep { !$old{$_} } $self->children ];
    return;
}

sub start_again {
    my ($self) = @_;
    my @bad = $self->stop;
    die "httpd did not stop in order: @bad\n" if @bad;
    return $self->start;
}

=head1 CLIENT

=head2 get($path, %opt), request(%request)

One request on a connection of its own; see RevProxy::Client for the options and the response.
Besides: C<to> (name of another port), C<tls>.

=head2 connect(%opt)

A RevProxy::Client on the front's port, or C<< to => 'name' >>.

=head2 raw($bytes, %opt)

Sends the bytes and returns all that comes back until the server closes or is silent for C<idle> (1)
seconds; C<half_close>: says that no more will be sent.

=head2 curl(@arguments)

Runs curl with -s -m 30; returns a hash with C<exit>, C<out>, C<err>. For TLS and HTTP/2.

=cut

sub connect {
    my ($self, %opt) = @_;
    my $to = delete $opt{to};
    return RevProxy::Client->new(port => defined $to ? $self->port_of($to) : $self->{port}, %opt);
}

sub request {
    my ($self, %opt) = @_;
    my %where = map { exists $opt{$_} ? ($_ => delete $opt{$_}) : () } qw(to tls rcvbuf);
    my $k = $self->connect(%where);
    my $r = $k->request(%opt);
    $k->close;
    return $r;
}

sub get { my ($self, $path, %opt) = @_; return $self->request(method => 'GET', path => $path, %opt) }

sub raw {
    my ($self, $bytes, %opt) = @_;
    my $k = $self->connect(map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(to tls rcvbuf));
    $k->send($bytes);
    $k->half_close if $opt{half_close};
    my $back = $k->read_raw($opt{idle} || $SLOW);
    $k->close;
    return $back;
}

sub curl {
    my ($self, @args) = @_;
    my ($out, $err) = map {"$self->{dir}/var/curl-$_"} qw(out err);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', $out;
        open STDERR, '>', $err;
        { no warnings 'exec'; exec 'curl', '-s', '--noproxy', '*', '-m', 30 * $SLOW, @args }
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return { exit => $? >> 8, out => slurp($out), err => slurp($err) };
}

=head2 certificate($cn, @alternative_names)

Class or object method: makes (once) a self-signed certificate; returns (certificate file, key file).

=cut

sub certificate {
    my ($self, $cn, @names) = @_;
    my $base = (ref $self ? "$self->{dir}/var" : cert_dir()) . "/$cn";
    return ("$base.crt", "$base.key") if -e "$base.crt";
    # Not a certificate authority, and with the names of the server, or mod_ssl warns.
    my $alt = join ',', map { /\A[\d.]+\z/ ? "IP:$_" : "DNS:$_" } @names ? @names : ($cn, '127.0.0.1', 'localhost');
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=$cn' -addext 'subjectAltName=$alt' -addext 'basicConstraints=critical,CA:FALSE' "
            . "-keyout '$base.key' -out '$base.crt' >/dev/null 2>&1") == 0
        or die "openssl could not make a certificate\n";
    chmod 0644, "$base.key";
    return ("$base.crt", "$base.key");
}

my $cert_dir;
sub cert_dir { return $cert_dir //= File::Temp::tempdir('rp-c-XXXXXX', TMPDIR => 1, CLEANUP => 1) }

=head1 LOGS

=head2 error_log, access_log

Lines (without line feed) so far. C<< access_log($n) >> waits until there are that many: httpd writes a line
only after the response is out.

=head2 claim($regex, $name, %opt)

Asserts that the error log has (soon) a line that matches; such lines are expected from here on. A test
must claim every line of level warn or worse that it provokes: the end of the test fails on others.
C<< count => N >>: exactly so many lines. Returns the lines.

=head2 allow($regex)

Lines that match may come or not.

=head2 wait_log($regex, $seconds)

Waits for a line; returns the matching lines.

=cut

sub error_log {
    my ($self) = @_;
    return split /\n/, slurp("$self->{dir}/logs/stderr.log") . slurp("$self->{dir}/logs/error.log");
}

sub access_log {
    my ($self, $n) = @_;
    my $until = time + 5 * $SLOW;
    while (1) {
        my @lines = split /\n/, slurp("$self->{dir}/logs/access.log");
        return @lines if !$n || @lines >= $n || time > $until;
        sleep 0.01;
    }
}

sub wait_log {
    my ($self, $regex, $seconds) = @_;
    my $until = time + ($seconds // 3 * $SLOW);
    while (1) {
        my @lines = grep { $_ =~ $regex } $self->error_log;
        return @lines if @lines || time > $until;
        sleep 0.01;
    }
}

sub claim {
    my ($self, $regex, $name, %opt) = @_;
    push @{ $self->{claims} }, $regex;
    my @lines = $self->wait_log($regex);
    $name //= "log: $regex";
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    if   (defined $opt{count}) { Test::More::is(scalar @lines, $opt{count}, $name) }
    else                       { Test::More::ok(scalar @lines, $name) }
    return @lines;
}

sub allow { my ($self, @regexes) = @_; push @{ $self->{claims} }, @regexes; return }

=head2 claim_fault($code, route => $path, phase => $words, %opt)

C<claim> for a failure of one request: the line has the code (RP0101) and, as each of ours must, route,
backend, attempt (1) and phase. C<backend>: its name (any if left out), C<count>, C<detail>: a regex for
what stands behind these. With the stock modules
nothing is asserted, and all their lines are allowed.

=cut

sub claim_fault {
    my ($self, $code, %where) = @_;
    return $self->allow(qr/AH\d{5}/) if $self->{front} eq 'mod_proxy';
    my $backend = defined $where{backend} ? quotemeta $where{backend} : '\\S+';
    my $attempt = $where{attempt} || 1;
    my $regex   = qr/$code [^:]+: route \Q$where{route}\E backend $backend attempt $attempt phase \Q$where{phase}\E/;
    $regex = qr/$regex: .*$where{detail}/ if $where{detail};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->claim($regex, "$where{route}: $code, $where{phase}", exists $where{count} ? (count => $where{count}) : ());
}

# Of the machine, not of the test: mod_ssl and libssl are of different builds; a virtual host without
# ServerName, and 127.0.0.1 has no name in /etc/hosts.
my $ALWAYS = qr/AH01882|AH00549/;
# Children take seconds to end: they look for leaks first, or all that they do is slow.
$ALWAYS = qr/$ALWAYS|AH00045: child process \d+ still did not exit, sending a SIGTERM/ if $ENV{RP_SAN};

# Lines of level warn or worse, and lines that are not httpd's at all (a sanitizer, an assertion, a
# library that prints), which no claim covers.
sub unclaimed {
    my ($self) = @_;
    my @bad;
    for my $line ($self->error_log) {
        next if $line =~ /\A\[[^\]]+\] \[[\w.]*:?(?:notice|info|debug|trace\d)\]/ && $line !~ /exit signal/;
        next if $line =~ /\A\s*\z/ || grep { $line =~ $_ } $ALWAYS, @{ $self->{claims} };
        push @bad, $line;
    }
    return @bad;
}

=head1 THE END

=head2 finish

Asserts what every test asserts at its end: no unclaimed line in the error log, no sanitizer report,
no handler of a backend died, the children are those that were started (unless C<children_may_change>), httpd stops within 10 seconds.
Call it before C<done_testing>; where it was forgotten, the exit status tells. The temporary directory is kept, and
named, when the test failed.

=cut

sub finish {
    my ($self) = @_;
    return if $self->{done}++;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @verdicts = $self->verdicts;
    for my $verdict (@verdicts) {
        my ($what, @bad) = @$verdict;
        Test::More::ok(!@bad, "end: $what") or Test::More::diag(map {"  $_\n"} @bad[ 0 .. ($#bad < 40 ? $#bad : 40) ]);
    }
    $self->clean_up;
    return;
}

sub verdicts {
    my ($self) = @_;
    my @children = $self->{children_may_change} ? () : $self->lost_children;
    my @stop     = $self->stop;
    my @died     = map { my $b = $_; map {"$b->{name}: $_"} $b->died } values %{ $self->{backends} };
    return (
        [ 'no unclaimed line in the error log', $self->unclaimed ],
        [ 'no report of a sanitizer', $self->reports ],
        [ 'backends did as told', @died ],
        [ 'same children as at the start', @children ],
        [ 'httpd stopped in order', @stop ],
    );
}

sub lost_children {
    my ($self) = @_;
    my %now = map { $_ => 1 } $self->children;
    return map {"child $_ is gone"} grep { !$now{$_} } @{ $self->{first_children} || [] };
}

sub reports {
    my ($self) = @_;
    return map { my $file = $_; my $text = slurp($file); $text eq '' ? () : ("$file:", split /\n/, $text) } sort glob "$self->{dir}/san/*";
}

# Stops httpd; returns what was not in order.
sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    my @children = do { local $self->{pid} = $pid; $self->children };

    # The event MPM's main thread closes the sockets of its workers when it stops, and reads one that a
    # worker is just freeing (close_worker_sockets; with httpd alone half of the stops crash when that thread is held
    # up there for 20 ms while connections end): a connection that ended in this very moment crashed the child
    # about once in a hundred tests. So those that clients have left are waited for.
    my $ended = time + 2 * $SLOW;
    sleep 0.02 while $self->has_left_clients && time < $ended;
    sleep 0.1;
    kill TERM => $pid;
    my $until = time + 10 * $SLOW;
    my $gone;
    while (!($gone = waitpid $pid, POSIX::WNOHANG()) && time < $until) { sleep 0.01 }
    my $status = $?;
    if (!$gone) { kill KILL => $pid, @children; waitpid $pid, 0 }
    $self->dismiss_guard;
    return 'it had to be killed after ' . 10 * $SLOW . ' seconds' if !$gone;
    return $status ? "wait status $status" : ();
}

# Connections to the front that their clients have closed and the front has not (CLOSE_WAIT).
sub has_left_clients {
    my ($self) = @_;
    my $port = sprintf '%04X', $self->{port};
    return scalar grep {/^\s*\d+: [0-9A-F]+:$port [0-9A-F]+:[0-9A-F]{4} 08 /} split /\n/, slurp('/proc/net/tcp');
}

=head2 forget_process

The test has ended httpd itself, and waited for it.

=cut

sub forget_process {
    my ($self) = @_;
    delete $self->{pid};
    $self->{children_may_change} = 1;
    return $self->dismiss_guard;
}

sub clean_up {
    my ($self) = @_;
    delete $LIVE{ $self->{dir} };
    if (!Test::More->builder->is_passing || $self->{failed} || $ENV{RP_KEEP}) {
        Test::More::diag("logs and configuration are kept in $self->{dir}");
    }
    else { File::Path::remove_tree($self->{dir}) }
    return;
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{owner} || $self->{owner} != $$ || $self->{done};
    local ($?, $!, $@);
    $self->abandon;
    return;
}

# The end of a server whose test did not call finish: it died, or forgot.
sub abandon {
    my ($self) = @_;
    return if $self->{done}++;
    $abandoned++;
    my @bad = map { my ($what, @lines) = @$_; @lines ? ("not: $what", map {"  $_"} @lines) : () } $self->verdicts;
    Test::More::diag("$_") for 'finish was not called', @bad;
    $self->{failed} = 1;
    $self->clean_up;
    return;
}

my $watched;

sub watch_time {
    return if $watched++;
    my $seconds = ($ENV{RP_TIMEOUT} || 120) * $SLOW;
    $SIG{ALRM} = sub { Test::More::diag("this file took more than $seconds seconds"); exit 254 };
    $SIG{$_} //= sub { exit 130 }, for qw(INT TERM HUP);
    alarm $seconds;
    return;
}

END {
    if ($$ == $OWNER) {
        my $status = $?;
        alarm 0;
        $_->abandon for grep {defined} values %LIVE;
        $status ||= 253 if $abandoned;
        for my $pid (keys %CHILDREN) { kill KILL => $pid; waitpid $pid, 0 }
        $_->discard for grep {defined} values %RevProxy::Backend::ALL;
        $? = $status;
    }
}

1;
