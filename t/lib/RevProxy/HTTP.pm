package RevProxy::HTTP;

# One end of an HTTP/1 connection, for the scripted backends and the client alike: reads with a
# deadline, parses heads and bodies, and says what it saw rather than what it expected.

use strict;
use warnings;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time sleep);

our $TIMEOUT = 15;    # seconds a read or a write may take; the harness stretches it for sanitizers

sub new {
    my ($class, $socket, %opt) = @_;
    binmode $socket;
    $socket->blocking(0);
    return bless { socket => $socket, buffer => '', eof => 0, error => '', %opt }, $class;
}

sub socket { return $_[0]{socket} }

sub ready {
    my ($self, $for_write, $timeout) = @_;
    my $bits = '';
    vec($bits, fileno $self->{socket}, 1) = 1;
    my $until = time + $timeout;
    while (1) {
        my $left = $until - time;
        $left = 0 if $left < 0;
        my $n = $for_write ? select(undef, my $w = $bits, undef, $left) : select(my $r = $bits, undef, undef, $left);
        return 1 if $n > 0;
        return 0 if $n == 0 || !$!{EINTR};
    }
}

# Appends what has come to the buffer. Returns the number of bytes, 0 at the end (eof or reset,
# see {eof}, {error}), undef when nothing came before the deadline (absolute time).
sub fill {
    my ($self, $deadline, $max) = @_;
    return 0 if $self->{eof};
    return undef if !$self->ready(0, $deadline - time);
    my $n = sysread $self->{socket}, $self->{buffer}, $max || 65536, length $self->{buffer};
    return $n if $n;
    return undef if !defined $n && ($!{EAGAIN} || $!{EINTR});
    $self->{error} = "$!" if !defined $n;
    $self->{eof}   = 1;
    return 0;
}

# Bytes up to and including a line feed; undef if the connection ended or time ran out before.
sub read_line {
    my ($self, $deadline) = @_;
    while (1) {
        my $at = index $self->{buffer}, "\n";
        return substr $self->{buffer}, 0, $at + 1, '' if $at >= 0;
        return undef if !$self->wait_more($deadline);
    }
}

# 1 when more bytes came, 0 when the connection ended or the deadline passed ({timeout} is set).
sub wait_more {
    my ($self, $deadline) = @_;
    while (1) {
        my $n = $self->fill($deadline);
        return 1 if $n;
        return 0 if defined $n;
        next if time < $deadline;
        $self->{timeout} = 1;
        return 0;
    }
}

# Head of a message: (raw bytes, first line, [[name, value], ...]). Raw is undef at a clean end
# before the first byte; the first line is undef when the head is cut short.
sub read_head {
    my ($self, $deadline) = @_;
    my ($raw, @lines) = ('');
    while (1) {
        my $line = $self->read_line($deadline);
        if (!defined $line) {
            $raw .= substr $self->{buffer}, 0, length $self->{buffer}, '';
            return length $raw ? ($raw, undef, []) : (undef, undef, []);
        }
        $raw .= $line;
        $line =~ s/\r?\n\z//;
        last if $line eq '' && @lines;
        push @lines, $line if $line ne '' || @lines;
    }
    my $first = shift @lines;
    return ($raw, $first, fields(@lines));
}

sub fields {
    my @pairs;
    for my $line (@_) {
        if ($line =~ /\A[ \t]/ && @pairs) { $pairs[-1][1] .= $line; next }
        my ($name, $value) = $line =~ /\A([^:]*):[ \t]*(.*?)[ \t]*\z/s;
        push @pairs, defined $name ? [ $name, $value ] : [ $line, '' ];
    }
    return \@pairs;
}

# Body of exactly $length bytes, to $sink->($bytes). 1 if complete.
sub read_exact {
    my ($self, $length, $deadline, $sink) = @_;
    while ($length > 0) {
        return 0 if $self->{buffer} eq '' && !$self->wait_more($deadline);
        my $part = substr $self->{buffer}, 0, $length, '';
        $length -= length $part;
        $sink->($part);
    }
    return 1;
}

# Chunked body to $sink->($bytes). Returns (complete, trailer pairs, sizes of the chunks).
sub read_chunked {
    my ($self, $deadline, $sink) = @_;
    my @sizes;
    while (1) {
        my $line = $self->read_line($deadline);
        return (0, [], \@sizes) if !defined $line || $line !~ /\A([0-9a-fA-F]+)[ \t]*(?:;.*)?\r?\n\z/s;
        my $size = hex $1;
        last if $size == 0;
        push @sizes, $size;
        return (0, [], \@sizes) if !$self->read_exact($size, $deadline, $sink);
        my $end = $self->read_line($deadline);
        return (0, [], \@sizes) if !defined $end || $end !~ /\A\r?\n\z/;
    }
    my @trailers;
    while (1) {
        my $line = $self->read_line($deadline);
        return (0, fields(@trailers), \@sizes) if !defined $line;
        $line =~ s/\r?\n\z//;
        return (1, fields(@trailers), \@sizes) if $line eq '';
        push @trailers, $line;
    }
}

# Everything until the other side closes. 1 if it closed in order, 0 on a reset or a deadline.
sub read_to_end {
    my ($self, $deadline, $sink) = @_;
    while (1) {
        $sink->(substr $self->{buffer}, 0, length $self->{buffer}, '') if $self->{buffer} ne '';
        next if $self->wait_more($deadline);
        return !$self->{timeout} && $self->{error} eq '' ? 1 : 0;
    }
}

# Sends all bytes, waiting for room. 1 if all were taken, 0 if the other side is gone or too slow.
sub send {
    my ($self, $bytes, $timeout) = @_;
    my ($done, $deadline) = (0, time + ($timeout || $TIMEOUT));
    local $SIG{PIPE} = 'IGNORE';
    while ($done < length $bytes) {
        return 0 if !$self->ready(1, $deadline - time);
        my $n = syswrite $self->{socket}, $bytes, 262144, $done;
        if (defined $n) { $done += $n; next }
        next if $!{EAGAIN} || $!{EINTR};
        $self->{error} = "$!";
        return 0;
    }
    return 1;
}

sub pause { my ($self, $seconds) = @_; sleep $seconds; return $self }

sub half_close { my ($self) = @_; shutdown $self->{socket}, 1; return $self }

sub close {
    my ($self) = @_;
    return if $self->{closed}++;
    CORE::close $self->{socket};
    return;
}

# Ends the connection with a TCP reset.
sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
    $self->close;
    return;
}

# Half-open: the connection is gone here and the other side is not told, as when a machine loses its power. False where
# the kernel does not allow it (CAP_NET_ADMIN).
sub vanish {
    my ($self) = @_;
    setsockopt $self->{socket}, IPPROTO_TCP, 19, pack 'i', 1 or return 0;    # TCP_REPAIR
    $self->close;
    return 1;
}

# Whether the other side has ended the connection within $timeout seconds; bytes that come
# before that stay readable.
sub peer_closed {
    my ($self, $timeout) = @_;
    my $deadline = time + ($timeout // $TIMEOUT);
    while (!$self->{eof}) {
        my $n = $self->fill($deadline);
        return 0 if !defined $n && time >= $deadline;
    }
    return 1;
}

# All that comes within $idle seconds of silence, or until the end.
sub read_raw {
    my ($self, $idle) = @_;
    while (1) {
        my $n = $self->fill(time + $idle);
        last if !$n;
    }
    return substr $self->{buffer}, 0, length $self->{buffer}, '';
}

# --- messages ----------------------------------------------------------------------------------

package RevProxy::Message;

# A request or a response as it was read. Members: raw_head, version, headers ([[name, value],...]),
# body, body_length, body_md5, framing (none, length, chunked, close), chunks (sizes), trailers,
# truncated, timeout; requests: method, target; responses: status, reason, interim (list of
# messages), time (seconds to the end), first_byte (seconds to the head).

# All values of a field, in order.
sub all {
    my ($self, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{headers} };
}

# The values joined as the RFC joins them; undef if the field is absent.
sub header {
    my ($self, $name) = @_;
    my @all = $self->all($name);
    return @all ? join(', ', @all) : undef;
}
*get = \&header;

for my $member (qw(method target version status reason body body_length body_md5 framing chunks trailers
    truncated timeout raw_head headers interim time first_byte connection number unread))
{
    no strict 'refs';
    *$member = sub { return $_[0]{$member} };
}

package RevProxy::HTTP;

use Digest::MD5 ();

our $KEEP_BODY = 4 * 1024 * 1024;    # bytes of a body that a message keeps; length and MD5 are of all

# Reads a body into the message by the framing given, keeping its first bytes.
sub read_body_into {
    my ($self, $msg, $framing, $length, $deadline, $also) = @_;
    my ($md5, $total, $kept) = (Digest::MD5->new, 0, '');
    my $sink = sub {
        $total += length $_[0];
        $md5->add($_[0]);
        $kept .= $_[0] if length $kept < $KEEP_BODY;
        $also->($_[0]) if $also;
    };
    my $complete = 1;
    @$msg{qw(framing trailers chunks)} = ($framing, [], []);
    if ($framing eq 'length') {
        $complete = $self->read_exact($length, $deadline, $sink);
    }
    elsif ($framing eq 'chunked') {
        ($complete, @$msg{qw(trailers chunks)}) = $self->read_chunked($deadline, $sink);
    }
    elsif ($framing eq 'close') {
        $complete = $self->read_to_end($deadline, $sink);
    }
    @$msg{qw(body body_length body_md5 truncated timeout)}
        = ($kept, $total, $md5->hexdigest, $complete ? 0 : 1, $self->{timeout} ? 1 : 0);
    return $msg;
}

1;
