package RevProxy::Browser;

=head1 NAME

RevProxy::Browser - Chromium, without a window, for pages that report by themselves

=head1 SYNOPSIS

    my $why = RevProxy::Browser::why_not();
    plan skip_all => $why if $why;
    my $browser = RevProxy::Browser->open('http://127.0.0.1:8080/page.html');
    ...
    $browser->close;

=cut

use strict;
use warnings;
use File::Path ();
use File::Temp ();
use POSIX ();
use RevProxy;
use Time::HiRes qw(sleep time);

sub program {
    my ($program) = grep {-x} map { ("$_/chromium", "$_/chromium-browser") } split /:/, $ENV{PATH};
    return $program;
}

=head1 METHODS

=head2 why_not

Undef if there is one, else the reason, for a skip.

=head2 open($url), close

Certificates are not checked: those of tests are self-signed. It ends with the test.

=cut

sub why_not { return program() ? undef : 'no chromium here' }

sub open {
    my ($class, $url) = @_;
    my $profile = File::Temp::tempdir('rp-w-XXXXXX', TMPDIR => 1);
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
        $ENV{HOME} = $profile;
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$profile/log";
        open STDERR, '>&', \*STDOUT;
        # --no-sandbox: as root it does not start otherwise. No request to anybody but the test.
        my @options = qw(--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run
            --disable-background-networking --disable-component-update --disable-sync --disable-extensions --disable-breakpad
            --no-proxy-server --ignore-certificate-errors --mute-audio);
        { no warnings 'exec'; exec { program() } 'chromium', @options, "--user-data-dir=$profile/data", $url }
        POSIX::_exit(127);
    }
    $RevProxy::CHILDREN{$pid} = 'chromium';
    return bless { pid => $pid, profile => $profile, owner => $$ }, $class;
}

# What it said, for a test that failed.
sub log { my ($self) = @_; return RevProxy::slurp("$self->{profile}/log") }

sub close {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    # Asked to end, it ends the processes that it has started, too.
    kill TERM => $pid;
    my $until = time + 5;
    my $gone;
    sleep 0.02 while !($gone = waitpid $pid, POSIX::WNOHANG()) && time < $until;
    kill KILL => -$pid;
    waitpid $pid, 0 if !$gone;
    delete $RevProxy::CHILDREN{$pid};
    File::Path::remove_tree($self->{profile}, { error => \my $late });
    return;
}

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->close; return }

1;
