#!/usr/bin/perl
# The bench: reads the options, starts backends and proxies, runs the rounds,
# prints the report.  Called by `run`, which has installed what it needs.

use strict;
use warnings;
use Cwd ();
use File::Basename qw(dirname);
use File::Temp ();
use Getopt::Long qw(:config no_auto_abbrev);
use POSIX ();
my $bench;
BEGIN { $bench = dirname(Cwd::abs_path(__FILE__)); unshift @INC, "$bench/lib", "$bench/../lib" }
use Bench::Client ();
use Bench::Httpd ();
use Bench::Load ();
use Bench::Machine ();
use Bench::Plot ();
use Bench::Report qw(summarise print_report write_json);
use Bench::Servers ();

use constant {
    DELAY_MS    => 100,
    OVERHEAD_S  => 3,      # settling and starting, for each run
    NOFILE      => 8192,
    EXIT_ERRORS => 1,
    EXIT_USAGE  => 2,
    EXIT_LIMIT  => 3,
};

sub usage {
    my ($complaint) = @_;
    my $rows    = join ',', map { $_->{name} } Bench::Load::rows();
    my $default = join ',', map { $_->{name} } grep { $_->{default} } Bench::Load::rows();
    my $proxies = join ',', Bench::Servers::names();
    my $text = <<"TEXT";
usage: t/bench/run [options]
  --rounds N       rounds; in each, every row is run on every proxy (5)
  --seconds N      length of one run (3); at least 4 for a thousand clients
  --rows LIST      of $rows,
                   and cN: small with N clients
                   ($default)
  --proxies LIST   of $proxies (all)
  --subject NAME   the proxy whose ratios are printed (mod_revproxy if it runs)
  --module FILE    the module (.libs/mod_revproxy.so)
  --proxy-core N   core of the proxy (0)
  --load-cores L   cores of load generator and backends, as for taskset (1)
  --json FILE      write every run, medians and ratios there
  --plot FILE      of the rows cN: draw requests per second and p99 over N there (SVG)
  --limit N        end after N seconds (about twice the time expected)
  --keep           keep the directory with configurations and logs
  --no-install     do not install missing packages
TEXT
    print STDERR "bench: $complaint\n" if $complaint;
    print { $complaint ? *STDERR : *STDOUT } $text;
    exit($complaint ? EXIT_USAGE : 0);
}

sub choose {
    my ($what, $list, @known) = @_;
    my %known = map { $_ => 1 } @known;
    my @wanted = split /,/, $list;
    for my $name (@wanted) {
        usage("no $what \"$name\"") if !$known{$name};
    }
    usage("no $what given") if !@wanted;
    return @wanted;
}

sub options {
    my %opt = (
        rounds => 5, seconds => 3, 'proxy-core' => 0, 'load-cores' => '1',
        rows    => join(',', map { $_->{name} } grep { $_->{default} } Bench::Load::rows()),
        proxies => join(',', Bench::Servers::names()),
        module  => "$bench/../../.libs/mod_revproxy.so",
    );
    GetOptions(\%opt, qw(rounds=i seconds=i rows=s proxies=s subject=s module=s proxy-core=i
        load-cores=s json=s plot=s limit=i keep no-install help)) or usage('see the options');
    usage() if $opt{help};
    usage('what is "' . join(' ', @ARGV) . '"?') if @ARGV;
    usage('rounds and seconds start at 1') if $opt{rounds} < 1 || $opt{seconds} < 1;
    usage('load-cores is a list such as 1 or 1,2-3') if $opt{'load-cores'} !~ /^\d+(?:[-,]\d+)*\z/;
    $opt{rows}    = [map { Bench::Load::find_row($_) || usage("no row \"$_\"") } split /,/, $opt{rows}];
    usage('no row given') if !@{ $opt{rows} };
    $opt{proxies} = [choose('proxy', $opt{proxies}, Bench::Servers::names())];
    choose('proxy', $opt{subject}, @{ $opt{proxies} }) if defined $opt{subject};
    return \%opt;
}

sub check_cores {
    my ($opt) = @_;
    my %may = map { $_ => 1 } Bench::Machine::expand_cores(Bench::Machine::allowed_cores('self'));
    my @load = Bench::Machine::expand_cores($opt->{'load-cores'});
    for my $core ($opt->{'proxy-core'}, @load) {
        usage("core $core is not available here; see --proxy-core, --load-cores") if !$may{$core};
    }
    usage('the proxy needs a core of its own') if grep { $_ == $opt->{'proxy-core'} } @load;
    return;
}

sub say_progress { print STDERR "bench: @_\n"; return }

sub context {
    my ($opt) = @_;
    my $dir = File::Temp::tempdir('revproxy-bench-XXXXXX', TMPDIR => 1, CLEANUP => !$opt->{keep});
    my $bodies = File::Temp::tempdir('revproxy-bench-XXXXXX', DIR => '/dev/shm', CLEANUP => 1);
    chmod 0755, $dir, $bodies;
    say_progress("configurations and logs stay in $dir") if $opt->{keep};
    return {
        dir        => $dir,
        bodies     => $bodies,
        bench      => $bench,
        module     => Cwd::abs_path($opt->{module}) || $opt->{module},
        proxy_core => $opt->{'proxy-core'},
        load_cores => $opt->{'load-cores'},
        needs      => { map { $_->{port} => 1 } @{ $opt->{rows} } },
    };
}

sub start_backends {
    my ($ctx, $opt) = @_;
    my @sizes = map { $_->{size} } grep { $_->{tool} ne 'uploads' } @{ $opt->{rows} };
    $ctx->{fast} = Bench::Servers::start_fast_backend($ctx, @sizes);
    $ctx->{sink} = Bench::Servers::start_sink($ctx);
    $ctx->{slow} = Bench::Servers::start_slow_backend($ctx, DELAY_MS);
    return;
}

# Returns the proxies that run and the reasons of those that do not.
sub start_proxies {
    my ($ctx, $opt) = @_;
    my (@running, %absent, $failed);
    for my $name (@{ $opt->{proxies} }) {
        my $reason = Bench::Servers::reason_to_skip($ctx, $name);
        my $proxy = $reason ? undef : eval { Bench::Servers::start_proxy($ctx, $name) };
        if ($proxy) {
            push @running, $proxy;
            next;
        }
        $failed = 1 if !$reason;
        $absent{$name} = $reason || $@;
        print "$name is left out: $absent{$name}\n";
    }
    die "no proxy to measure\n" if !@running;
    return (\@running, \%absent, $failed);
}

# Checks each answer, then loads each proxy for a second, so that the pools are
# filled and the code is warm before anything is measured.
sub warm_up {
    my ($ctx, $rows, $proxies) = @_;
    for my $row (@$rows) {
        say_progress("warming up: $row->{name}");
        for my $proxy (@$proxies) {
            $proxy->{answer_bytes}{ $row->{name} } = Bench::Load::probe($proxy, $row);
            Bench::Client::run($ctx, $proxy, $row, 1, Bench::Client::prepare($ctx, $proxy, $row));
        }
    }
    Bench::Load::settle($_) for @$proxies;
    Bench::Servers::new_complaints($_) for @$proxies;
    return;
}

sub run_rounds {
    my ($ctx, $opt, $proxies, $result) = @_;
    for my $round (1 .. $opt->{rounds}) {
        for my $row (@{ $opt->{rows} }) {
            say_progress("round $round of $opt->{rounds}: $row->{name}");
            for my $proxy (@$proxies) {
                push @{ $result->{runs}{ $row->{name} }{ $proxy->{name} } },
                    Bench::Load::measure($ctx, $proxy, $row, Bench::Load::length_of($row, $opt->{seconds}));
            }
        }
        $result->{rounds_done} = $round;
    }
    return;
}

sub first_line {
    my ($command) = @_;
    my ($line) = grep { /\S/ } split /\n/, qx($command 2>&1);
    return $line;
}

sub machine {
    my ($cpu) = Bench::Machine::slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
    my $httpd = Bench::Httpd::httpd();
    return {
        cpu     => $cpu,
        kernel  => first_line('uname -sr'),
        httpd   => first_line("$httpd -v"),
        nginx   => first_line('nginx -v'),
        haproxy => first_line('haproxy -v'),
        wrk     => first_line('wrk -v'),
    };
}

sub subject {
    my ($opt, $proxies) = @_;
    my @names = map { $_->{name} } @$proxies;
    my $wanted = defined $opt->{subject} ? $opt->{subject} : 'mod_revproxy';
    return (grep { $_ eq $wanted } @names) ? $wanted : $names[0];
}

sub bench {
    my ($opt, $result) = @_;
    my $ctx = context($opt);
    start_backends($ctx, $opt);
    my ($proxies, $absent, $failed) = start_proxies($ctx, $opt);
    %$result = (
        machine => machine(), rows => $opt->{rows}, seconds => $opt->{seconds},
        rounds_asked => $opt->{rounds}, rounds_done => 0, left_out => $absent,
        proxies => [map { $_->{name} } @$proxies], subject => subject($opt, $proxies),
    );
    warm_up($ctx, $opt->{rows}, $proxies);
    run_rounds($ctx, $opt, $proxies, $result);
    return $failed;
}

sub report {
    my ($opt, $result) = @_;
    return if !$result->{rounds_done};
    summarise($result);
    print_report($result);
    write_json($result, $opt->{json}) if defined $opt->{json};
    Bench::Plot::draw($result, $opt->{plot}) if defined $opt->{plot};
    return;
}

# A rival's errors are printed; only the subject's make the bench fail.
sub has_errors {
    my ($result) = @_;
    return if !defined $result->{subject};
    my @runs = map { @{ $_->{ $result->{subject} } || [] } } values %{ $result->{runs} };
    return grep { @{ $_->{troubles} } } @runs;
}

sub time_limit {
    my ($opt) = @_;
    return $opt->{limit} if $opt->{limit};
    my $proxies = @{ $opt->{proxies} };
    my $seconds = 60;
    for my $row (@{ $opt->{rows} }) {
        $seconds += 2 * $proxies * ($opt->{rounds} * (Bench::Load::length_of($row, $opt->{seconds}) + OVERHEAD_S) + 1 + OVERHEAD_S);
    }
    return $seconds;
}

sub raise_open_files {
    return if POSIX::sysconf(POSIX::_SC_OPEN_MAX()) >= NOFILE;
    system('prlimit', '--pid', $$, '--nofile=' . NOFILE . ':') == 0
        or usage('needs ' . NOFILE . ' open files; raise the hard limit (ulimit -Hn)');
    return;
}

sub main {
    my $opt = options();
    check_cores($opt);
    raise_open_files();
    system "taskset -p -c $opt->{'load-cores'} $$ >/dev/null";
    my ($result, $ended) = ({}, '');
    my $limit = time_limit($opt);
    local $SIG{ALRM} = sub { $ended = EXIT_LIMIT; die "the time limit of $limit s is over\n" };
    local @SIG{qw(INT TERM HUP)} = (sub { $ended = EXIT_USAGE; die "SIG$_[0]\n" }) x 3;
    alarm $limit;
    my $failed = eval { bench($opt, $result) };
    my $complaint = $@;
    alarm 0;
    Bench::Machine::stop_all();
    report($opt, $result);
    print STDERR "bench: incomplete: $complaint" if $complaint;
    return $ended if $ended;
    return $failed || $complaint || has_errors($result) ? EXIT_ERRORS : 0;
}

exit main();
