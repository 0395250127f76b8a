package RevProxy::Backend;

=head1 NAME

RevProxy::Backend - a scripted backend in its own process, and a record of what it was sent

=head1 SYNOPSIS

    # the whole connection in the test's hands
    my $b = RevProxy::Backend->new(sub {
        my ($c) = @_;
        my $r = $c->read_request or return;
        $c->send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        $c->pause(0.2);
        $c->reset;
    });

    # one answer per request, connection kept alive
    my $b = RevProxy::Backend->new(answer => sub { my ($c, $r) = @_; $c->respond(200, [], $r->target) });

    my $app = RevProxy::Backend->echo;      # says back what it was sent, see below

    my $t = RevProxy->new(backends => { app => $app }, config => <<'EOT');
        ProxyPass / http://127.0.0.1:%%PORT:app%%/
    EOT
    $t->get('/x');
    is $app->connections, 1;
    is(($app->requests)[0]->header('Host'), ...);

The handler runs in a child of the backend's process, one per connection (C<< serial => 1 >>: one
connection after the other in one process), so variables of the test are copies there; use notes
and signals to talk to it. An exception in a handler fails the test at its end.

=cut

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Storable qw(nfreeze thaw);
use MIME::Base64 ();
use Fcntl qw(:flock);
use File::Temp ();
use POSIX ();
use Scalar::Util ();
use Socket;
use Time::HiRes qw(time sleep);
use RevProxy::HTTP;

our %ALL;    # of this process, by a number, so that a test's end can look at each

=head1 CONSTRUCTORS

=head2 new($handler | %opt)

C<handler> (code, gets the connection), or C<answer> (code, gets connection and request, called for
each request until the connection ends). C<unix> (1: listens on a unix socket, see C<path>),
C<serial>, C<backlog> (128), C<port> (a given one), C<host> (127.0.0.1), C<start>
(0: only reserve the port; connections are refused until C<start> is called), C<name>.

=cut

my $made = 0;

sub new {
    my $class = shift;
    my %opt   = @_ % 2 ? (handler => @_) : @_;
    my $dir   = File::Temp::tempdir('rp-b-XXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    my $self = bless {
        handler => $opt{handler} || answer_loop($opt{answer} || die "backend without handler or answer\n"),
        serial  => $opt{serial}, backlog => $opt{backlog} || 128, dir => $dir, owner => $$,
        record  => "$dir/record", number => ++$made, name => $opt{name} || "backend $made",
        host    => $opt{host} || '127.0.0.1',
    }, $class;
    if   ($opt{unix}) { $self->{path} = "$dir/socket" }
    else              { $self->{port} = $opt{port} || RevProxy::Ports::reserve() }
    Scalar::Util::weaken($ALL{$made} = $self);
    $self->start if $opt{start} // 1;
    return $self;
}

sub answer_loop {
    my ($answer) = @_;
    return sub {
        my ($c) = @_;
        while (my $r = $c->read_request) {
            return if $r->truncated;
            $answer->($c, $r);
            return if $c->{closed};
        }
    };
}

=head2 port, path, url

Where it listens. C<url> is what ProxyPass takes, without a slash at its end.

=cut

sub port { return $_[0]{port} }
sub path { return $_[0]{path} }
sub url {
    my ($self) = @_;
    return "unix:$self->{path}|http://localhost" if $self->{path};
    return 'http://' . ($self->{host} =~ /:/ ? "[$self->{host}]" : $self->{host}) . ":$self->{port}";
}

=head2 start, stop, stop_listening, pause_accept, resume_accept, freeze, unfreeze

C<stop> ends the listener and its connections; the port stays reserved, so connections to it are
refused; C<start> listens there again. C<pause_accept>: connections are taken by the kernel, but
nobody answers. C<freeze> stops the processes of its connections, too. C<stop_listening>: new connections are
refused, those that are there go on.

=cut

sub start {
    my ($self) = @_;
    return if $self->{pid};
    my $listener = $self->listen;
    my $pid      = fork // die "fork: $!\n";
    if (!$pid) {
        eval { $self->accept_loop($listener); 1 } or warn "$self->{name}: $@";
        POSIX::_exit(0);
    }
    CORE::close $listener;
    return $self->{pid} = $pid;
}

sub listen {
    my ($self) = @_;
    my $listener;
    if ($self->{path}) {
        unlink $self->{path};
        $listener = IO::Socket::UNIX->new(Local => $self->{path}, Listen => $self->{backlog});
        chmod 0777, $self->{path} if $listener;
    }
    else {
        $listener = IO::Socket::IP->new(
            LocalHost => $self->{host}, LocalPort => $self->{port},
            Listen    => $self->{backlog}, ReuseAddr => 1
        );
    }
    return $listener || die "$self->{name}: cannot listen on " . ($self->{path} || $self->{port}) . ": $!\n";
}

sub stop {
    my ($self) = @_;
    if (my $left = delete $self->{left}) { kill KILL => -$left }
    my $pid = delete $self->{pid} or return;
    kill KILL => -$pid;
    kill KILL => $pid;
    waitpid $pid, 0;
    return;
}

sub pause_accept  { my ($self) = @_; kill STOP => $self->{pid}; return }
sub resume_accept { my ($self) = @_; kill CONT => $self->{pid}; return }
sub stop_listening {
    my ($self) = @_;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    $self->{left} = delete $self->{pid};
    return;
}

sub freeze        { my ($self) = @_; kill STOP => -$self->{pid}; return }
sub unfreeze      { my ($self) = @_; kill CONT => -$self->{pid}; return }

# --- the backend's own process -----------------------------------------------------------------

sub accept_loop {
    my ($self, $listener) = @_;
    my $parent = getppid;
    setpgrp;
    local %SIG = (%SIG, map({ $_ => 'DEFAULT' } qw(ALRM TERM INT __DIE__ __WARN__)), CHLD => 'IGNORE', PIPE => 'IGNORE');
    my $count = 0;
    while (1) {
        my $bits = '';
        vec($bits, fileno $listener, 1) = 1;
        if (select($bits, undef, undef, 1) <= 0) {
            # The test may have been killed; nobody else would end this process group then.
            kill KILL => 0 if getppid != $parent;
            next;
        }
        my $socket = $listener->accept or next;
        $count = $self->next_connection;
        if ($self->{serial}) { $self->serve($socket, $count); next }
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            CORE::close $listener;
            $SIG{CHLD} = 'DEFAULT';
            $self->serve($socket, $count);
            POSIX::_exit(0);
        }
        CORE::close $socket;
    }
}

sub next_connection {
    my ($self) = @_;
    my $number = ++$self->{accepted};
    my $base   = $self->{base} //= () = grep { $_->{event} eq 'open' } $self->events;
    append($self->{record}, { event => 'open', connection => $base + $number });
    return $base + $number;
}

sub serve {
    my ($self, $socket, $number) = @_;
    my $c = RevProxy::Backend::Conn->new($socket, record => $self->{record}, dir => $self->{dir}, number => $number);
    if (!eval { $self->{handler}->($c); 1 }) {
        append($self->{record}, { event => 'died', connection => $number, text => "$@" });
    }
    $c->close;
    append($self->{record}, { event => 'close', connection => $number, error => $c->{error}, eof => $c->{eof} });
    return;
}

# One write to a file opened for appending, so that records of several processes stay whole.
sub append {
    my ($file, $record) = @_;
    $record->{at} = time;
    my $bytes = nfreeze($record);
    open my $fh, '>>:raw', $file or die "$file: $!";
    flock $fh, LOCK_EX;
    syswrite $fh, pack('N', length $bytes) . $bytes;
    CORE::close $fh;
    return;
}

=head1 WHAT IT SAW

=head2 events

All records in order, hashes with C<event> (open, request, note, close, died), C<connection> (1..),
C<at> (time).

=head2 requests

The requests as RevProxy::Message objects, with C<connection> and C<number> (on that connection).

=head2 connections, open_connections

How many were accepted; how many of them have not ended.

=head2 notes

What handlers said with C<< $c->note(...) >>.

=cut

# The record only grows, or is emptied by forget: what was read of it once is kept, as tests ask often.
sub events {
    my ($self) = @_;
    open my $fh, '<:raw', $self->{record} or return;
    flock $fh, LOCK_SH;
    my $seen = $self->{seen} //= { at => 0, events => [] };
    %$seen = (at => 0, events => []) if $seen->{at} > -s $fh;
    seek $fh, $seen->{at}, 0;
    while (read($fh, my $length, 4) == 4) {
        $length = unpack 'N', $length;
        last if read($fh, my $bytes, $length) != $length;
        push @{ $seen->{events} }, thaw($bytes);
        $seen->{at} += 4 + $length;
    }
    return @{ $seen->{events} };
}

sub of_kind { my ($self, $kind) = @_; return grep { $_->{event} eq $kind } $self->events }

sub requests         { my ($self) = @_; return map { $_->{message} } $self->of_kind('request') }
sub connections      { my ($self) = @_; return scalar(my @all = $self->of_kind('open')) }

# By number: what was opened before forget is not counted, and may close after it.
sub open_connections {
    my ($self) = @_;
    my %open = map { $_->{connection} => 1 } $self->of_kind('open');
    delete $open{ $_->{connection} } for $self->of_kind('close');
    return scalar keys %open;
}

sub notes            { my ($self) = @_; return map { $_->{text} } $self->of_kind('note') }

=head2 wait_for(sub { condition }, $seconds)

Polls until the code (called with the backend) is true; returns its value, or false after the time
(5 seconds). C<wait_requests($n)>, C<wait_closed> (no connection is left open) and C<wait_note($re)>
use it.

=cut

sub wait_for {
    my ($self, $condition, $seconds) = @_;
    my $until = time + ($seconds // 5 * $RevProxy::SLOW);
    while (1) {
        my $value = $condition->($self);
        return $value if $value || time >= $until;
        sleep 0.01;
    }
}

sub wait_requests { my ($self, $n, $s) = @_; return $self->wait_for(sub { $self->requests >= $n }, $s) }
sub wait_closed   { my ($self, $s)     = @_; return $self->wait_for(sub { $self->open_connections == 0 }, $s) }
sub wait_note     { my ($self, $re, $s) = @_; return $self->wait_for(sub { scalar grep { $_ =~ $re } $self->notes }, $s) }

=head2 signal($name)

Lets handlers that wait in C<< $c->wait_signal($name) >> go on.

=head2 forget

Empties the record (the numbers of later connections begin at 1 again only after C<start>).

=cut

sub signal { my ($self, $name) = @_; open my $fh, '>', "$self->{dir}/signal-$name" or die $!; return }
sub forget { my ($self) = @_; truncate $self->{record}, 0; delete $self->{seen}; return }

sub died { my ($self) = @_; return map {"connection $_->{connection}: $_->{text}"} $self->of_kind('died') }

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->discard; return }

sub discard {
    my ($self) = @_;
    return if $self->{owner} != $$;
    $self->stop;
    delete $ALL{ $self->{number} };
    unlink glob "$self->{dir}/*";
    rmdir $self->{dir};
    return;
}

=head1 THE ECHO BACKEND

=head2 echo(%opt)

Answers each request with 200, C<text/plain>, a dump of the request (first line, header lines,
empty line, C<body-length: N>, C<body-md5: X>), on a kept connection. Fields of the request, or
parameters of its query (where a test cannot set fields), change the answer:

    X-Reply-Status: 404            reply-status=404
    X-Reply-Header: Name: value    (may come several times; reply-header=Name:%20value)
    X-Reply-Body: text             instead of the dump
    X-Reply-Size: 100000           a body of that many bytes, a repeated pattern
    X-Reply-Chunked: 1             body in chunks (a number above 1: of that size)
    X-Reply-Close: 1               Connection: close, and closes; 2: no Content-Length either
    X-Reply-Delay: 0.5             seconds before the head
    X-Reply-Raw-B64: ...           exactly these bytes (Base64), then close (with X-Reply-Keep: 1 stay open)

=cut

sub echo {
    my ($class, %opt) = @_;
    return $class->new(name => 'echo', %opt, answer => \&echo_answer);
}

sub echo_control {
    my ($r) = @_;
    my %control;
    for my $pair (@{ $r->headers }) {
        push @{ $control{ lc $1 } }, $pair->[1] if $pair->[0] =~ /\AX-Reply-(.+)\z/i;
    }
    my ($query) = $r->target =~ /\?(.*)/s;
    for my $param (split /[&;]/, $query // '') {
        next if $param !~ /\Areply-([^=]+)=(.*)\z/s;
        my ($name, $value) = (lc $1, $2);
        $value =~ s/\+/ /g;
        $value =~ s/%([0-9a-fA-F]{2})/chr hex $1/ge;
        push @{ $control{$name} }, $value;
    }
    return \%control;
}

sub echo_answer {
    my ($c, $r) = @_;
    my $control = echo_control($r);
    my $get     = sub { my $v = $control->{ $_[0] }; return $v ? $v->[0] : undef };
    $c->pause($get->('delay')) if $get->('delay');
    if (defined $get->('raw-b64')) {
        $c->send(MIME::Base64::decode_base64($get->('raw-b64')));
        $c->close if !$get->('keep');
        return;
    }
    my $body = $get->('body') // dump_of($r);
    $body = pattern($get->('size')) if defined $get->('size');
    my @headers = map { /\A([^:]+):\s*(.*)\z/s ? ($1, $2) : () } @{ $control->{header} || [] };
    push @headers, 'Content-Type', 'text/plain' if !grep { lc $_ eq 'content-type' } @headers;
    my $close = $get->('close') // 0;
    $c->respond($get->('status') // 200, \@headers, $body, chunked => $get->('chunked'), close => $close, bare => $close == 2);
    return;
}

sub dump_of {
    my ($r) = @_;
    return join('', map {"$_\n"} $r->method . ' ' . $r->target . ' HTTP/' . $r->version,
        map({"$_->[0]: $_->[1]"} @{ $r->headers }), '',
        'body-length: ' . $r->body_length, 'body-md5: ' . $r->body_md5);
}

=head2 RevProxy::Backend::pattern($n)

The body of C<X-Reply-Size>: $n bytes in which every 16-byte line differs from its neighbours.

=cut

sub pattern {
    my ($n) = @_;
    my $block = join '', map { sprintf "%015x\n", $_ } 0 .. 4095;
    return substr $block x (1 + int $n / length $block), 0, $n;
}

# --- one connection, in the handler ------------------------------------------------------------

package RevProxy::Backend::Conn;

=head1 THE CONNECTION IN A HANDLER

C<send($bytes)>, C<pause($seconds)>, C<half_close>, C<close>, C<reset> (TCP RST), C<vanish>, C<peer_closed($seconds)>,
C<read_raw($idle_seconds)>, C<read_line>, C<number> of the connection (1..), and:

=head2 read_request(%opt)

The next request with its body as a RevProxy::Message, recorded; undef when the front closed the
connection before one. C<truncated> is set when it ended inside. Options: C<timeout> (60 seconds),
C<body> (0: only the head is read and recorded; C<read_body($r)> reads on), C<continue> (0: do not answer
C<Expect: 100-continue> with 100).

=head2 respond($status, [name, value, ...], $body, %opt)

A whole response. Content-Length is added unless C<chunked> (1, or the size of chunks), C<bare> (neither),
or the status has no body; for HEAD the body is left out. C<close>: says Connection: close, and closes.

=head2 note($text), wait_signal($name, $seconds)

=cut

use parent -norequire, 'RevProxy::HTTP';
use Time::HiRes qw(time sleep);

sub new { my ($class, $socket, %opt) = @_; return RevProxy::HTTP::new($class, $socket, %opt, served => 0) }

sub read_request {
    my ($self, %opt) = @_;
    my $deadline = time + ($opt{timeout} || 60);
    delete $self->{timeout};
    my ($raw, $first, $headers) = $self->read_head($deadline);
    return undef if !defined $raw;
    my $r = bless { raw_head => $raw, headers => $headers, connection => $self->{number}, number => ++$self->{served},
        body => '', body_length => 0, body_md5 => '', framing => 'none', trailers => [], chunks => [], truncated => 0 },
        'RevProxy::Message';
    if (defined $first && $first =~ m{\A(\S+) (.*) HTTP/(\d\.\d)\z}s) { @$r{qw(method target version)} = ($1, $2, $3) }
    else                                                              { $r->{truncated} = 1 }
    $self->{method} = $r->{method} // '';
    if ($opt{body} // 1) { $self->read_body($r, %opt, deadline => $deadline) }
    else                 { $r->{unread} = 1; $self->record($r) }
    return $r;
}

sub read_body {
    my ($self, $r, %opt) = @_;
    if (!$r->{truncated}) {
        my ($framing, $length) = request_framing($r);
        $self->send("HTTP/1.1 100 Continue\r\n\r\n")
            if $framing ne 'none' && ($opt{continue} // 1) && ($r->header('Expect') // '') =~ /\A100-continue\z/i;
        $self->read_body_into($r, $framing, $length, $opt{deadline} || time + ($opt{timeout} || 60), $opt{sink});
    }
    delete $r->{unread};
    $self->record($r);
    return $r;
}

sub request_framing {
    my ($r) = @_;
    return 'chunked' if ($r->header('Transfer-Encoding') // '') =~ /\bchunked\s*\z/i;
    my $length = $r->header('Content-Length');
    return defined $length && $length =~ /\A\d+\z/ ? ('length', $length) : ('none', 0);
}

sub record {
    my ($self, $r) = @_;
    return RevProxy::Backend::append($self->{record},
        { event => 'request', connection => $self->{number}, message => $r });
}

my %REASON = (200 => 'OK', 201 => 'Created', 204 => 'No Content', 206 => 'Partial Content', 301 => 'Moved Permanently',
    302 => 'Found', 304 => 'Not Modified', 400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden',
    404 => 'Not Found', 500 => 'Internal Server Error', 502 => 'Bad Gateway', 503 => 'Service Unavailable');

sub respond {
    my ($self, $status, $headers, $body, %opt) = @_;
    $body //= '';
    my @fields = @{ $headers || [] };
    my $head   = "HTTP/1.1 $status " . ($REASON{$status} || 'Reason') . "\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) { $head .= "$name: $value\r\n" }
    my $bodiless = $status =~ /\A(?:1\d\d|204|304)\z/;
    if ($opt{chunked}) { $head .= "Transfer-Encoding: chunked\r\n" }
    elsif (!$bodiless && !$opt{bare} && $head !~ /^Content-Length:/mi) { $head .= 'Content-Length: ' . length($body) . "\r\n" }
    $head .= "Connection: close\r\n" if $opt{close};
    $body = '' if $bodiless || $self->{method} eq 'HEAD';
    if ($opt{chunked} && $self->{method} ne 'HEAD') {
        my $size = $opt{chunked} > 1 ? $opt{chunked} : 8192;
        my $out  = '';
        for (my $at = 0; $at < length $body; $at += $size) {
            my $part = substr $body, $at, $size;
            $out .= sprintf "%x\r\n%s\r\n", length $part, $part;
        }
        $body = "${out}0\r\n\r\n";
    }
    my $sent = $self->send("$head\r\n$body");
    $self->close if $opt{close};
    return $sent;
}

sub number { return $_[0]{number} }

sub note {
    my ($self, $text) = @_;
    return RevProxy::Backend::append($self->{record}, { event => 'note', connection => $self->{number}, text => $text });
}

sub wait_signal {
    my ($self, $name, $seconds) = @_;
    my $until = time + ($seconds // 30);
    while (!-e "$self->{dir}/signal-$name") {
        die "signal $name did not come\n" if time > $until;
        sleep 0.01;
    }
    return 1;
}

# --- ports -------------------------------------------------------------------------------------

package RevProxy::Ports;

use IO::Socket::INET;

my %held;

# A TCP port of 127.0.0.1 that nobody uses. Below the kernel's range for outgoing connections, so
# that none of those takes it, and held against other tests by the UDP port of the same number.
sub reserve {
    for (1 .. 500) {
        my $port = 10000 + int rand 20000;
        next if $held{$port};
        my $lock = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => $port) or next;
        IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 1, ReuseAddr => 1) or next;
        $held{$port} = $lock;
        return $port;
    }
    die "no free port found\n";
}

1;
