package RevProxy::Members;

=head1 NAME

RevProxy::Members - members of a balancer for tests, and what mod_status says of them

=head1 SYNOPSIS

    my %m = RevProxy::Members->make(qw(a b));         # name => backend that answers "NAME TARGET"
    my $t = RevProxy->new(backends => \%m, modules => [qw(slotmem_shm status)], config => <<'EOT');
        <Proxy balancer://b>
            BalancerMember %%URL:a%%
        </Proxy>
        ProxyPass /b/ balancer://b/
        ProxyStatus On
        <Location /status>
            ProxyPass !
            SetHandler server-status
        </Location>
    EOT
    is who($t, '/b/', 4), 'a a a a';
    is figures($t, 'b')->{ $m{a}->url }{elected}, 4;

=cut

use strict;
use warnings;
use Exporter 'import';
use RevProxy;

our @EXPORT = qw(who figures);

sub make {
    my ($class, @names) = @_;
    return map {
        my $name = $_;
        ($name => RevProxy::Backend->new(name => $name, answer => sub { answer($name, @_) }))
    } @names;
}

# The path may ask for something else: /status/503, /silent, /redirect (to itself).
sub answer {
    my ($name, $c, $r) = @_;
    return $c->pause(30) if $r->target =~ m{/silent};
    return $c->respond(302, [ Location => 'http://' . $r->header('Host') . '/there' ], '') if $r->target =~ m{/redirect};
    my ($status) = $r->target =~ m{/status/(\d+)};
    return $c->respond($status || 200, [ 'X-Member' => $name ], "$name " . $r->target);
}

=head2 who($t, $path, $n, %opt)

The members that answered n requests, or their status where none did: "a b 503". Options go to
RevProxy's request; each on a connection of its own, or over C<client>.

=cut

sub who {
    my ($t, $path, $n, %opt) = @_;
    my $client = delete $opt{client};
    return join ' ', map {
        my $r = $client ? $client->request(path => $path, %opt) : $t->request(method => 'GET', path => $path, %opt);
        $r->header('X-Member') // $r->status // 'nothing'
    } 1 .. $n || 1;
}

=head2 figures($t, $balancer, %opt)

What mod_status (at /status) says of the members: hash of URL to hash of name, status, elected, busy, sent, rcvd.

=cut

sub figures {
    my ($t, $balancer, %opt) = @_;
    my ($body, $group, %all) = ($t->get('/status?auto', %opt)->body, '');
    my %name;
    for my $line (split /\n/, $body) {
        if ($line =~ /^ProxyBalancer\[\d+\]Name: (\S+)/) { $group = $1; %name = () }
        next if $group ne "balancer://$balancer";
        my ($i, $key, $value) = $line =~ /^ProxyBalancer\[\d+\]Worker\[(\d+)\](\w+): (.*?)\s*$/ or next;
        $name{$i} = $value if $key eq 'Name';
        $all{ $name{$i} }{ lc $key } = $value;
    }
    return \%all;
}

1;
