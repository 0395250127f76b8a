package RevProxy::Client;

=head1 NAME

RevProxy::Client - one client connection, with HTTP/1 responses parsed

=head1 SYNOPSIS

    my $k = $t->connect;                               # keep-alive connection to the front
    $k->send_request(path => '/a');                    # or $k->send("GET /a HTTP/1.1\r\n...")
    my $r = $k->read_response;                         # HEAD: read_response(head => 1)
    is $r->status, 200;
    ok !$r->truncated;

=cut

use strict;
use warnings;
use parent -norequire, 'RevProxy::HTTP';
use RevProxy::HTTP;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket;
use Time::HiRes qw(time);

=head1 METHODS

=head2 new(port => N, %opt)

Options: C<host> (127.0.0.1), C<unix> (a path), C<rcvbuf> (bytes; to be a slow reader with little
kernel memory), C<tls> (1: through C<openssl s_client>; a list reference: its further arguments).
Dies if the connection is refused.

=cut

sub new {
    my ($class, %opt) = @_;
    my $socket
        = $opt{tls}    ? tls_socket(%opt)
        : $opt{unix}   ? IO::Socket::UNIX->new(Peer => $opt{unix})
        : $opt{rcvbuf} ? small_socket(%opt)
        :                IO::Socket::INET->new(PeerAddr => $opt{host} || '127.0.0.1', PeerPort => $opt{port});
    die "connect to " . ($opt{unix} || "port $opt{port}") . ": $!\n" if !$socket;
    $socket->setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1) if !$opt{tls} && !$opt{unix};
    return RevProxy::HTTP::new($class, $socket, port => $opt{port}, since => time);
}

sub small_socket {
    my (%opt) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or return;
    $socket->setsockopt(SOL_SOCKET, SO_RCVBUF, $opt{rcvbuf});
    return $socket->connect(pack_sockaddr_in($opt{port}, inet_aton($opt{host} || '127.0.0.1'))) ? $socket : undef;
}

# IO::Socket::SSL is not in core Perl; openssl is where httpd with mod_ssl is.
sub tls_socket {
    my (%opt) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or return;
    bless $_, 'IO::Socket' for $ours, $theirs;
    my $pid = fork // return;
    if (!$pid) {
        open STDIN,  '<&', $theirs;
        open STDOUT, '>&', $theirs;
        open STDERR, '>', '/dev/null';
        my @command = ('openssl', 's_client', '-quiet', '-no_ign_eof', '-connect', ($opt{host} || '127.0.0.1') . ":$opt{port}",
            ref $opt{tls} ? @{ $opt{tls} } : ());
        { no warnings 'exec'; exec { $command[0] } @command }
        POSIX::_exit(127);
    }
    CORE::close $theirs;
    $RevProxy::CHILDREN{$pid} = 's_client';
    return $ours;
}

=head2 send($bytes)

True if all was taken. C<pause($s)>, C<half_close>, C<close>, C<reset>, C<peer_closed($timeout)>,
C<read_raw($idle_seconds)> work on the same connection.

=head2 send_request(%request)

C<method> (GET, or POST with a body), C<path>, C<headers> (list of names and values; a Host line is
added unless one is given; C<< Host => undef >> leaves it out), C<body> (Content-Length is added),
C<chunks> (list: sent chunked), C<trailers> (list of names and values, after the chunks),
C<version> (1.1).

=cut

sub send_request {
    my ($self, %req) = @_;
    $self->{since}  = time;
    $self->{method} = $req{method} || (defined $req{body} || $req{chunks} ? 'POST' : 'GET');
    return $self->send(format_request(port => $self->{port}, %req));
}

sub format_request {
    my (%req)  = @_;
    my @given  = @{ $req{headers} || [] };
    my $method = $req{method} || (defined $req{body} || $req{chunks} ? 'POST' : 'GET');
    my $head   = "$method " . ($req{path} // '/') . ' HTTP/' . ($req{version} || '1.1') . "\r\n";
    my %seen;
    while (my ($name, $value) = splice @given, 0, 2) {
        $seen{ lc $name } = 1;
        $head .= "$name: $value\r\n" if defined $value;
    }
    $head =~ s/\r\n/\r\nHost: 127.0.0.1:$req{port}\r\n/ if !$seen{host};
    $head .= 'Content-Length: ' . length($req{body}) . "\r\n"
        if defined $req{body} && !$seen{'content-length'} && !$seen{'transfer-encoding'};
    $head .= "Transfer-Encoding: chunked\r\n" if $req{chunks} && !$seen{'transfer-encoding'};
    return "$head\r\n" . ($req{chunks} ? format_chunks($req{chunks}, $req{trailers}) : $req{body} // '');
}

sub format_chunks {
    my ($chunks, $trailers) = @_;
    my $out = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } grep {length} @$chunks;
    my @fields = @{ $trailers || [] };
    $out .= "0\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) { $out .= "$name: $value\r\n" }
    return "$out\r\n";
}

=head2 read_response(%opt)

Reads one final response with the interim ones before it (C<< $r->interim >>). Options: C<head> (the
response has no body; implied after C<< send_request(method => 'HEAD') >>), C<timeout> (seconds),
C<interim> (1: return the first interim response by itself), C<sink> (code called with pieces of the
body), C<body> (0: leave the body unread). Returns a RevProxy::Message; C<status> is undef when the
connection ended before a head (C<truncated> is set then).

=cut

sub read_response {
    my ($self, %opt) = @_;
    my $since    = $self->{since};
    my $deadline = time + ($opt{timeout} || $RevProxy::HTTP::TIMEOUT);
    my $head     = $opt{head} // (($self->{method} // '') eq 'HEAD');
    my @interim;
    delete $self->{timeout};
    while (1) {
        my $msg = $self->read_response_head($deadline);
        $msg->{first_byte} = time - $since;
        if (defined $msg->{status} && $msg->{status} =~ /\A1\d\d\z/ && $msg->{status} != 101) {
            return $msg if $opt{interim};
            push @interim, $msg;
            next;
        }
        $msg->{interim} = \@interim;
        if (defined $msg->{status} && ($opt{body} // 1)) {
            my ($framing, $length) = response_framing($msg, $head);
            $self->read_body_into($msg, $framing, $length, $deadline, $opt{sink});
        }
        $msg->{time} = time - $since;
        return $msg;
    }
}

sub read_response_head {
    my ($self, $deadline) = @_;
    my ($raw, $first, $headers) = $self->read_head($deadline);
    my $msg = bless { raw_head => $raw // '', headers => $headers, interim => [], trailers => [], chunks => [],
        body => '', body_length => 0, framing => 'none', truncated => 0, timeout => $self->{timeout} ? 1 : 0 },
        'RevProxy::Message';
    if (!defined $first) { $msg->{truncated} = 1; return $msg }
    if ($first =~ m{\AHTTP/(\d\.\d) (\d{3})(?: (.*))?\z}s) { @$msg{qw(version status reason)} = ($1, $2, $3 // '') }
    else                                                   { $msg->{truncated} = 1 }
    return $msg;
}

sub response_framing {
    my ($msg, $head) = @_;
    return 'none' if $head || $msg->{status} =~ /\A(?:101|204|304)\z/;
    return 'chunked' if ($msg->header('Transfer-Encoding') // '') =~ /\bchunked\s*\z/i;
    my $length = $msg->header('Content-Length');
    return ('length', $length) if defined $length && $length =~ /\A\d+\z/;
    return 'close';
}

=head2 request(%request)

C<send_request> and C<read_response> in one; the options of both.

=cut

sub request {
    my ($self, %opt) = @_;
    $self->send_request(%opt);
    delete $opt{body};
    return $self->read_response(map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(head timeout interim sink));
}

1;
