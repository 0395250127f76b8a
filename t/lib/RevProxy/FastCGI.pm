package RevProxy::FastCGI;

=head1 NAME

RevProxy::FastCGI - a FastCGI responder for tests beside mod_proxy

=head1 SYNOPSIS

    my $fcgi = RevProxy::FastCGI->responder;     # a RevProxy::Backend, one request per connection
    # ProxyPass /x/ fcgi://127.0.0.1:%%PORT:fcgi%%/
    # answers with the parameters, a line "NAME=value" each

=cut

use strict;
use warnings;
use RevProxy::Backend;

my ($BEGIN, $END, $PARAMS, $STDIN, $STDOUT) = (1, 3, 4, 5, 6);

sub responder {
    my ($class, %opt) = @_;
    return RevProxy::Backend->new(name => 'fcgi', %opt, handler => \&respond);
}

sub respond {
    my ($c) = @_;
    my ($params, $id) = ('', 1);
    while (my ($type, $from, $content) = read_record($c)) {
        $id = $from;
        $params .= $content if $type == $PARAMS;
        last if $type == $STDIN && $content eq '';
    }
    my $body = "Content-Type: text/plain\r\n\r\n" . join '', map {"$_\n"} pairs($params);
    $c->send(record($STDOUT, $id, $body) . record($STDOUT, $id, '') . record($END, $id, pack 'NCxxx', 0, 0));
    return $c->close;
}

sub read_record {
    my ($c) = @_;
    my $head = read_bytes($c, 8) // return;
    my (undef, $type, $id, $length, $padding) = unpack 'CCnnC', $head;
    my $content = substr read_bytes($c, $length + $padding) // return, 0, $length;
    return ($type, $id, $content);
}

sub read_bytes {
    my ($c, $n) = @_;
    my $bytes = '';
    $c->read_exact($n, time + 10, sub { $bytes .= $_[0] }) or return;
    return $bytes;
}

sub record { my ($type, $id, $content) = @_; return pack('CCnnCx', 1, $type, $id, length $content, 0) . $content }

sub pairs {
    my ($bytes) = @_;
    my @pairs;
    while (length $bytes) {
        my ($name, $value) = map { take_length(\$bytes) } 1, 2;
        push @pairs, join '=', map { substr $bytes, 0, $_, '' } $name, $value;
    }
    return @pairs;
}

sub take_length {
    my ($bytes) = @_;
    return unpack 'C', substr $$bytes, 0, 1, '' if ord($$bytes) < 128;
    return 0x7fffffff & unpack 'N', substr $$bytes, 0, 4, '';
}

1;
