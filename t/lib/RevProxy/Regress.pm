package RevProxy::Regress;

=head1 NAME

RevProxy::Regress - rig and oracles of the tests of known flaws (t/regress)

=head1 SYNOPSIS

    my $g = RevProxy::Regress->new(scripts => { bad => "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n" }, config => '...');
    for my $route ($g->routes) {
        my $r = $g->get($route, '~bad~');
        is $r->status, 502, "$route->{name}: refused";
        $g->safe("$route->{name}: harmless");
    }
    $g->finish;

A server with all routes of RevProxy::Routes; backends app (TCP) and uds (unix socket) that answer as
RevProxy::Backend->echo does, but where C<~name~> stands in the target as the script of that name says;
and canaries on TCP and on a socket, which no directive names. Further backends: option C<backends>.

=head2 new(%opt)

As RevProxy->new; besides C<scripts>: name to bytes, which are sent as they are (what becomes of the
connection then is in a note: "name closed" or "name kept"), or to code that gets connection and
request and returns true if the connection goes on.

=cut

use strict;
use warnings;
use Test::More ();
use Time::HiRes ();
use RevProxy;
use RevProxy::Routes;

sub new {
    my ($class, %opt) = @_;
    Test::More::plan(skip_all => 'tests of this module: what the stock ones do is known') if front() ne 'revproxy';
    my $play = play(delete $opt{scripts} || {});
    my $self = bless {
        app    => RevProxy::Backend->new(name => 'app', handler => $play),
        uds    => RevProxy::Backend->new(name => 'uds', handler => $play, unix => 1),
        canary => RevProxy::Backend->echo(name => 'canary'), cansock => RevProxy::Backend->echo(name => 'cansock', unix => 1),
    }, $class;
    my %docs = %{ RevProxy::Routes::docs() };
    s/%%URL:app%%/$self->{app}->url/ge for values %docs;
    $self->{t} = RevProxy->new(
        %opt,
        backends => { (map { $_ => $self->{$_} } qw(app uds canary cansock)), %{ $opt{backends} || {} } },
        modules  => [ qw(rewrite headers setenvif env slotmem_shm), mpm() eq 'prefork' ? () : 'http2', @{ $opt{modules} || [] } ],
        docs     => { 'static.txt' => "static\n", %docs, %{ $opt{docs} || {} } },
        config   => (mpm() eq 'prefork' ? '' : "Protocols h2c http/1.1\n") . ($opt{before} // '') . RevProxy::Routes::config() . ($opt{config} // ''),
    );
    return $self;
}

sub play {
    my ($scripts) = @_;
    return sub {
        my ($c) = @_;
        while (my $r = $c->read_request(body => 0)) {
            my $name   = $r->header('X-Script') // (($r->target // '') =~ /~(\w+)~/ ? $1 : undef);
            my $script = defined $name ? $scripts->{$name} : undef;
            if (ref $script) {
                return if !$script->($c, $r);
                next;
            }
            $c->read_body($r);
            return if $r->truncated;
            if (defined $script) {
                $c->send($script);
                my $gone = $c->peer_closed(0.5);
                $c->note("$name " . ($gone ? 'closed' : 'kept'));
                return if $gone;
                next;
            }
            RevProxy::Backend::echo_answer($c, $r);
            return if $c->{closed};
        }
    };
}

sub t      { return $_[0]{t} }
sub app    { return $_[0]{app} }
sub uds    { return $_[0]{uds} }
sub canary { return '127.0.0.1:' . $_[0]{canary}->port }
sub sock   { return $_[0]{cansock}->path }

=head2 routes(@names)

All, or those.

=cut

sub routes { my ($self, @names) = @_; return RevProxy::Routes::list(@names) }

=head2 get($route, $rest, %opt), request($path, %opt), raw($bytes, %opt), h2($path, @curl_arguments)

Each forgets what the backends saw before. C<raw> reads until nothing has come for C<idle> (0.1) seconds. C<h2> returns the status as a number (0: none), over HTTP/2
with prior knowledge.

=cut

sub forget { my ($self) = @_; $_->forget for @$self{qw(app uds)}; return }

sub get {
    my ($self, $route, $rest, %opt) = @_;
    # SetHandler does not send the whole path
    $opt{headers} = [ @{ $opt{headers} || [] }, 'X-Script' => $1 ] if $rest =~ /~(\w+)~/;
    return $self->request("/$route->{name}/$rest", %opt);
}

sub request {
    my ($self, $path, %opt) = @_;
    $self->forget;
    return $self->{t}->request(path => $path, %opt);
}

sub raw {
    my ($self, $bytes, %opt) = @_;
    $self->forget;
    my $k = $self->{t}->connect(map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(to tls));
    $k->send($bytes);
    $k->half_close if $opt{half_close};
    $k->ready(0, 4 * $RevProxy::SLOW);
    my $back = $k->read_raw($opt{idle} || 0.1 * $RevProxy::SLOW);
    $k->close;
    return $back;
}

sub has_h2 {
    my ($self) = @_;
    return $self->{has_h2} //= mpm() ne 'prefork' && qx(curl -V 2>&1) =~ /HTTP2/ ? 1 : 0;
}

sub h2 { my ($self, $path, @args) = @_; return $self->h2_curl($self->{t}->port, $path, '-o', '/dev/null', @args)->{status} }

sub h2_curl {
    my ($self, $port, $path, @args) = @_;
    $self->forget;
    my $r = $self->{t}->curl('--http2-prior-knowledge', '--path-as-is', '-g', '-w', '%{http_code}', @args, "http://127.0.0.1:$port$path");
    $r->{status} = $r->{out} =~ s/(\d+)\z// ? 0 + $1 : 0;
    return $r;
}

=head2 h2_get($path, %opt), h2_cases(@cases)

C<h2_get> asks as C<request> does, over HTTP/2 (options C<method>, C<headers>, C<body>, C<to>); a hash with C<status> (0: no answer),
C<head>, C<body>, C<whole> (the stream ended well). C<h2_cases>: each case with one of the routes, all of them in turn, as [route, case];
nothing where there is no HTTP/2.

=cut

sub h2_get {
    my ($self, $path, %opt) = @_;
    my @args = defined $opt{method} ? ('-X', $opt{method}) : ();
    my @left = (@{ $opt{headers} || [] }, $path =~ /~(\w+)~/ ? ('X-Script' => $1) : ());
    while (my ($name, $value) = splice @left, 0, 2) { push @args, '-H', "$name: $value" }
    if (defined $opt{body}) {
        RevProxy::write_file("$self->{t}{dir}/var/h2-body", $opt{body});
        push @args, '--data-binary', "\@$self->{t}{dir}/var/h2-body", '-H', 'Expect:';
    }
    my $file = "$self->{t}{dir}/var/h2-head";
    unlink $file;
    my $r = $self->h2_curl($opt{to} ? $self->{t}->port_of($opt{to}) : $self->{t}->port, $path, '-D', $file, @args);
    return { status => $r->{status}, head => RevProxy::slurp($file), body => $r->{out}, whole => $r->{exit} == 0 };
}

sub h2_cases {
    my ($self, @cases) = @_;
    my @routes = $self->has_h2 ? $self->routes : return;
    return map { [ $routes[ $_ % @routes ], $cases[$_] ] } 0 .. $#cases;
}

=head2 h2_raw([name => value, ...], %opt)

One HTTP/2 request with exactly these fields, pseudo fields too, which no library has looked at. Returns the
status of the answer if it is 200, else what else came: "answer", "reset", "goaway", "closed". Options: C<body>, C<to>.

=cut

sub h2_frame { my ($type, $flags, $stream, $payload) = @_; return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload }

# HPACK (RFC 7541 6.2.2): a literal without indexing, without Huffman coding.
sub h2_string { my ($s) = @_; return length $s < 127 ? chr(length $s) . $s : "\x7f" . h2_number(length($s) - 127) . $s }
sub h2_number { my ($n) = @_; my $out = ''; while ($n > 127) { $out .= chr($n % 128 + 128); $n = int($n / 128) } return $out . chr $n }

sub h2_raw {
    my ($self, $fields, %opt) = @_;
    my @left  = @$fields;
    my $block = '';
    while (my ($name, $value) = splice @left, 0, 2) { $block .= "\0" . h2_string($name) . h2_string($value) }
    $self->forget;
    my $k = $self->{t}->connect($opt{to} ? (to => $opt{to}) : ());
    $k->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . h2_frame(4, 0, 0, '') . h2_frame(1, defined $opt{body} ? 4 : 5, 1, $block)
        . (defined $opt{body} ? h2_frame(0, 1, 1, $opt{body}) : ''));
    my $got = h2_outcome($k, Time::HiRes::time() + 0.5 * $RevProxy::SLOW);
    $k->close;
    return $got;
}

sub h2_outcome {
    my ($k, $until) = @_;
    my $in = '';
    while (1) {
        while (length $in >= 9 && length $in >= 9 + unpack 'N', "\0" . substr $in, 0, 3) {
            my ($length, $type) = (unpack('N', "\0" . substr $in, 0, 3), ord substr $in, 3, 1);
            my $payload = substr substr($in, 0, 9 + $length, ''), 9;
            return $payload =~ /\A(?:\x3f[\x80-\xff]*[\x00-\x7f]|[\x20-\x3e])*\x88/ ? 200 : 'answer' if $type == 1;
            return 'reset'  if $type == 3;
            return 'goaway' if $type == 7;
        }
        return 'closed' if !$k->wait_more($until);
        $in .= substr $k->{buffer}, 0, length $k->{buffer}, '';
    }
}

=head2 status_of($bytes)

The first status of what a raw request brought, "http09" for an answer without head, "none" for none.

=cut

sub status_of {
    my ($bytes) = @_;
    return $bytes =~ m{\AHTTP/1\.\d (\d{3})} ? $1 : $bytes eq '' ? 'none' : 'http09';
}

=head2 seen, targets

Requests that the backends got since the last request; their targets, joined.

=cut

# A request is on record when its head has come, and again with its body.
sub seen {
    my ($self) = @_;
    my (@order, %last);
    for my $backend (@$self{qw(app uds)}) {
        for my $r ($backend->requests) {
            my $id = "$backend->{name} $r->{connection} $r->{number}";
            push @order, $id if !$last{$id};
            $last{$id} = $r;
        }
    }
    return @last{@order};
}
sub targets { my ($self) = @_; return join ' ', map { $_->target // 'no request' } $self->seen }

=head1 ORACLES

As functions that return what is wrong (nothing if all is well): C<not_alive>, C<canary_reached>, C<not_one>, C<mixed>.
C<safe($name)> asserts the middle two, C<sound($name)> all four.

=head2 not_alive

A child crashed, a sanitizer reported, or a plain request is not answered with 200.

=cut

sub not_alive {
    my ($self) = @_;
    my $t   = $self->{t};
    my @bad = grep {/exit signal/} $t->error_log;
    push @bad, $t->reports;
    my $r = $t->get('/px/alive');
    push @bad, 'a plain request got ' . ($r->status // 'no answer') if ($r->status // 0) != 200;
    $self->forget;
    return @bad;
}

=head2 canary_reached

=cut

sub canary_reached { my ($self) = @_; return $self->{canary}->connections || $self->{cansock}->connections ? ('the canary was reached') : () }

=head2 not_one

More than one request at the backends; a request line without exactly two spaces or with a control byte; a body
that is not what its head declares (what is too much would be a second request); a field that is not one.

=cut

sub not_one {
    my ($self) = @_;
    my @seen = $self->seen;
    my @bad = @seen > 1 ? (@seen . ' requests: ' . $self->targets) : ();
    for my $r (@seen) {
        my ($line, $rest) = $r->raw_head =~ /\A([^\n]*)\r\n(.*)\z/s;
        push @bad, 'request line ' . ($line // 'missing') if ($line // '') !~ m{\A[!#\$%&'*+.^_`|~0-9A-Za-z-]+ [/*][^\x00-\x20\x7f]* HTTP/1\.[01]\z};
        push @bad, "field line $_" for grep { !/\A[!#\$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\x00-\x08\x0a-\x1f\x7f]*\r\z/ && $_ ne "\r" } split /\n/, $rest // '';
        push @bad, 'Content-Length and Transfer-Encoding' if defined $r->header('Content-Length') && defined $r->header('Transfer-Encoding');
        push @bad, 'X-Inj' if grep { lc $_->[0] eq 'x-inj' } @{ $r->headers };
    }
    return @bad;
}

=head2 mixed

Ten marked requests, over TCP and socket, of which one did not get its own mark back.

=cut

my $mark = 0;

sub mixed {
    my ($self) = @_;
    my @bad;
    for (1 .. 10) {
        my $id = 'mark' . ++$mark . 'x';
        my $r  = $self->{t}->get(($_ % 2 ? '/px/' : '/un/') . $id);
        push @bad, "$id got " . ($r->status // 'no answer') if ($r->body // '') !~ m{\AGET /(?:px|un)/$id HTTP/1\.1\n};
    }
    $self->forget;
    return @bad;
}

sub safe {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return same('', join('; ', $self->not_one, $self->canary_reached), $name);
}

sub sound {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bad = ($self->not_one, $self->canary_reached);    # before the requests of the other two
    return same('', join('; ', @bad, $self->not_alive, $self->mixed), $name);
}

sub same { my ($want, $have, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return Test::More::is($have, $want, $name) }

=head2 finish

The end of the file. What bad messages bring into the log is not counted one by one here: other tests
claim those lines; what is neither ours nor httpd's still fails.

=cut

sub finish {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->{t}->allow(qr/AH(?!0005[0-2])\d{5}|RP\d{4}|lint: |ignoring unsafe nocanon/);
    $self->{t}->finish;
    Test::More::done_testing();
    return;
}

1;
