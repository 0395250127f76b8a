package RevProxy::WebSocket;

=head1 NAME

RevProxy::WebSocket - handshakes and frames (RFC 6455), for either side of a connection

=head1 SYNOPSIS

    my $app = RevProxy::WebSocket->echo;            # a backend
    my $ws  = RevProxy::WebSocket->open($t, '/ws'); # through the front; dies unless it gets a 101
    $ws->text('hello');
    is $ws->read->{payload}, 'hello';
    $ws->close(1000);

=head1 CLIENT

=head2 open($server, $path, %opt), ask($server, $path, %opt)

C<ask> sends a handshake and returns (connection, response); C<open> the connection after a 101. Options:
C<to>, C<tls>, C<rcvbuf> as in RevProxy::Client; C<headers> (list; a value of undef leaves a field out
that would be sent), C<method>, C<version>, C<body> and C<first> (bytes sent right behind the head).

=head1 BOTH

=head2 text($s), binary($s), frame($opcode, $payload, %opt), close($code), ping($s)

Send one frame. C<fin> (1), C<mask> (the client's do, by default).

=head2 read($seconds)

The next frame: a hash of C<opcode>, C<payload>, C<fin>, C<masked>, C<code> (of a close frame); undef when
none came, or the connection ended. C<http>: the connection below it, with all methods of RevProxy::HTTP.

=head1 BACKEND

=head2 echo(%opt)

Accepts handshakes on any path, and sends back text and binary messages, answers ping and close. Notes
"close CODE" and "end". Other requests get 200 and "plain METHOD TARGET upgrade VALUE". A text message begins commands:
"!size N" sends a binary message of N bytes, "!drop" ends the connection, "!reset" resets it, "!pause S" sleeps.

=head2 accept($c, $r)

Answers the handshake of the request on a backend's connection; returns the WebSocket.

=cut

use strict;
use warnings;
use Digest::SHA ();
use MIME::Base64 ();
use Time::HiRes qw(time);
use RevProxy::Backend;
use RevProxy::Client;

my $KEY = MIME::Base64::encode_base64('0123456789abcdef', '');

sub key_answer {
    my ($key) = @_;
    return MIME::Base64::encode_base64(Digest::SHA::sha1($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
}

sub handshake {
    my ($path, %opt) = @_;
    my @fields = (
        Host => '127.0.0.1', Upgrade => 'websocket', Connection => 'Upgrade', 'Sec-WebSocket-Version' => 13,
        'Sec-WebSocket-Key' => $KEY,
    );
    my @more = @{ $opt{headers} || [] };
    my %set  = map { lc $more[ 2 * $_ ] => 1 } 0 .. @more / 2 - 1;
    my $head = ($opt{method} || 'GET') . " $path HTTP/" . ($opt{version} || '1.1') . "\r\n";
    for my $i (0 .. @fields / 2 - 1) { $head .= "$fields[2*$i]: $fields[2*$i+1]\r\n" if !$set{ lc $fields[ 2 * $i ] } }
    for my $i (0 .. @more / 2 - 1) { $head .= "$more[2*$i]: $more[2*$i+1]\r\n" if defined $more[ 2 * $i + 1 ] }
    return "$head\r\n";
}

sub ask {
    my ($class, $server, $path, %opt) = @_;
    my $port = $opt{to} ? $server->port_of($opt{to}) : $server->port;
    my $k    = RevProxy::Client->new(port => $port, map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(tls rcvbuf));
    $k->send(handshake($path, %opt) . ($opt{body} // '') . ($opt{first} // ''));
    return ($k, $k->read_response(body => $opt{read_body} // 0));
}

sub open {
    my ($class, $server, $path, %opt) = @_;
    my ($k, $r) = $class->ask($server, $path, %opt);
    die "no 101 for $path but " . ($r->status // 'nothing') . "\n" if ($r->status // 0) != 101;
    my $accept = $r->header('Sec-WebSocket-Accept') // '';
    die "Sec-WebSocket-Accept is $accept\n" if $accept ne key_answer($KEY);
    return bless { http => $k, mask => 1, response => $r }, $class;
}

sub over { my ($class, $http, %opt) = @_; return bless { http => $http, mask => 0, %opt }, $class }
sub http { return $_[0]{http} }

sub format_frame {
    my ($opcode, $payload, %opt) = @_;
    $payload = "$payload";    # ^ of numbers is another thing
    my $n    = length $payload;
    my $head = chr(($opt{fin} // 1 ? 0x80 : 0) | $opcode);
    my $mask = $opt{mask} ? 0x80 : 0;
    $head .= $n < 126 ? chr($mask | $n) : $n < 65536 ? chr($mask | 126) . pack('n', $n) : chr($mask | 127) . pack('Q>', $n);
    return $head . $payload if !$mask;
    my $key = pack 'N', int rand 2**32;
    return $head . $key . ($payload ^ substr $key x (1 + $n / 4), 0, $n);
}

sub frame {
    my ($self, $opcode, $payload, %opt) = @_;
    return $self->{http}->send(format_frame($opcode, $payload, mask => $self->{mask}, %opt));
}
sub text   { my ($self, $s, %opt) = @_; return $self->frame(1, $s, %opt) }
sub binary { my ($self, $s, %opt) = @_; return $self->frame(2, $s, %opt) }
sub ping   { my ($self, $s) = @_; return $self->frame(9, $s // '') }
sub close  { my ($self, $code) = @_; return $self->frame(8, defined $code ? pack('n', $code) : '') }

sub take {
    my ($self, $n, $deadline) = @_;
    my $got = '';
    return $self->{http}->read_exact($n, $deadline, sub { $got .= $_[0] }) ? $got : undef;
}

sub read {
    my ($self, $seconds) = @_;
    my $deadline = time + ($seconds // $RevProxy::HTTP::TIMEOUT);
    my $head = $self->take(2, $deadline) // return;
    my ($first, $second) = unpack 'CC', $head;
    my $n = $second & 0x7f;
    if ($n == 126) { $n = unpack 'n',  $self->take(2, $deadline) // return }
    elsif ($n == 127) { $n = unpack 'Q>', $self->take(8, $deadline) // return }
    my $key = $second & 0x80 ? $self->take(4, $deadline) // return : undef;
    my $payload = $n ? $self->take($n, $deadline) // return : '';
    $payload ^= substr $key x (1 + $n / 4), 0, $n if defined $key;
    my %frame = (opcode => $first & 15, fin => $first >> 7, masked => defined $key, payload => $payload);
    $frame{code} = unpack 'n', $payload if $frame{opcode} == 8 && $n >= 2;
    return \%frame;
}

=head2 said($seconds)

The payload of the next frame, or undef.

=cut

sub said {
    my ($self, $seconds) = @_;
    my $frame = $self->read($seconds);
    return $frame ? $frame->{payload} : undef;
}

sub accept {
    my ($class, $c, $r, @fields) = @_;
    my $more = '';
    while (my ($name, $value) = splice @fields, 0, 2) { $more .= "$name: $value\r\n" }
    $c->send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            . key_answer($r->header('Sec-WebSocket-Key') // '') . "\r\n$more\r\n");
    return $class->over($c);
}

sub echo {
    my ($class, %opt) = @_;
    return RevProxy::Backend->new(%opt, handler => sub {
        my ($c) = @_;
        while (my $r = $c->read_request) {
            my $upgrade = $r->header('Upgrade');
            if (lc($upgrade // '') eq 'websocket') { serve($class->accept($c, $r)); return }
            $c->respond(200, [], join ' ', 'plain', $r->method, $r->target, 'upgrade', $upgrade // '-');
        }
    });
}

sub serve {
    my ($ws) = @_;
    my $c = $ws->http;
    while (my $frame = $ws->read(60)) {
        my $opcode = $frame->{opcode};
        if ($opcode == 8) { $c->note('close ' . ($frame->{code} // '-')); $ws->close($frame->{code}); last }
        if ($opcode == 9) { $ws->frame(10, $frame->{payload}); next }
        next if $opcode > 2;
        if ($opcode == 1 && $frame->{payload} =~ /\A!(\w+) ?([\d.]*)\z/) {
            if    ($1 eq 'size')  { $ws->binary(RevProxy::Backend::pattern($2)) }
            elsif ($1 eq 'reset') { $c->reset; return }
            elsif ($1 eq 'pause') { $c->pause($2) }
            else                  { return }
            next;
        }
        $ws->frame($opcode, $frame->{payload}, fin => $frame->{fin});
    }
    $c->note('end');
    return;
}

1;
