package RevProxy::Nginx;

=head1 NAME

RevProxy::Nginx - nginx as a backend: a process of its own for each, to be killed, frozen, reloaded

=head1 SYNOPSIS

    my $why = RevProxy::Nginx::why_not();
    plan skip_all => $why if $why;
    my $n = RevProxy::Nginx->new(name => 'a', locations => 'location / { return 200 "a\n"; }');
    $n->url; $n->signal('STOP'); $n->kill; $n->start;

It answers with the field X-Member: NAME. A RevProxy server takes it for C<backends>.

=cut

use strict;
use warnings;
use File::Path ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;

sub program {
    my ($program) = grep {-x} map({"$_/nginx"} split /:/, $ENV{PATH}), '/usr/sbin/nginx', "$RevProxy::TOP/.build/nginx/usr/sbin/nginx";
    return $program;
}

sub why_not { return program() ? undef : 'no nginx here' }

sub new {
    my ($class, %opt) = @_;
    my $dir  = File::Temp::tempdir('rp-n-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, owner => $$, port => RevProxy::Ports::reserve(), name => $opt{name} }, $class;
    RevProxy::write_file("$dir/nginx.conf", <<"EOT");
daemon off;
worker_processes 2;
pid $dir/pid;
error_log $dir/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
    keepalive_timeout 60;
    server {
        listen 127.0.0.1:$self->{port};
        add_header X-Member $opt{name} always;
        $opt{locations}
    }
}
EOT
    $self->start;
    return $self;
}

sub start {
    my ($self) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        setpgrp;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM QUIT);
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/out";
        open STDERR, '>&', \*STDOUT;
        { no warnings 'exec'; exec { program() } 'nginx', '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf", '-e', "$self->{dir}/error.log" }
        POSIX::_exit(127);
    }
    $RevProxy::CHILDREN{$pid} = 'nginx';
    $self->{pid} = $pid;
    my $until = time + 10;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})) {
        die "nginx does not start:\n" . RevProxy::slurp("$self->{dir}/out") if time > $until;
        sleep 0.02;
    }
    return;
}

sub name { return $_[0]{name} }
sub port { return $_[0]{port} }
sub url  { return "http://127.0.0.1:$_[0]{port}" }
sub died { return }

# To master and workers. reload, quit: as nginx's manual says, to the master.
sub signal { my ($self, $name) = @_; CORE::kill $name => -$self->{pid}; return }
sub reload { my ($self) = @_; CORE::kill HUP => $self->{pid}; return }

sub quit { my ($self) = @_; CORE::kill QUIT => $self->{pid}; return $self->forget }
sub kill { my ($self) = @_; $self->signal('KILL'); return $self->forget }

sub forget {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    waitpid $pid, 0;
    delete $RevProxy::CHILDREN{$pid};
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!, $@);
    return if $self->{owner} != $$;
    $self->signal($_) for $self->{pid} ? qw(CONT KILL) : ();
    $self->forget;
    return File::Path::remove_tree($self->{dir});
}

1;
