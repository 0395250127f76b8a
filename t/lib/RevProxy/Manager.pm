package RevProxy::Manager;

=head1 NAME

RevProxy::Manager - the balancer manager (at /balancer-manager) as scripts use it

=head1 SYNOPSIS

    is nonce($t, 'pool') ...;
    my $r = change($t, b => 'pool', w => $url, w_lf => 5);   # posts it with nonce and Referer
    is members($t, 'pool')->{$url}{Factor}, '5.00';

=cut

use strict;
use warnings;
use Exporter 'import';
use RevProxy;

our @EXPORT = qw(manager_config manager nonce change members settings form_of);

=head2 manager_config

The lines that make it, and mod_status for RevProxy::Members.

=cut

sub manager_config {
    return <<'EOT';
ProxyPass /balancer-manager !
ProxyPass /status !
ProxyStatus On
<Location /balancer-manager>
    SetHandler balancer-manager
</Location>
<Location /status>
    SetHandler server-status
</Location>
EOT
}

=head2 manager($t, $query, %opt)

GET; with a Referer, without which mod_proxy does not look at the query.

=cut

sub manager {
    my ($t, $query, %opt) = @_;
    my $uri = $opt{uri} || '/balancer-manager';
    return $t->get("$uri$query", headers => [ referer($t), @{ $opt{headers} || [] } ]);
}

sub referer { my ($t) = @_; return (Referer => "http://127.0.0.1:$t->{port}/balancer-manager") }

=head2 nonce($t, $balancer)

As the perl-framework of httpd's own tests finds it: in the balancer's link.

=cut

sub nonce {
    my ($t, $balancer, %opt) = @_;
    my ($nonce) = manager($t, '', %opt)->body =~ m{\?b=\Q$balancer\E&amp;nonce=([^"]*)"};
    return $nonce;
}

=head2 change($t, b => $balancer, key => value ...)

POST. C<nonce> is added unless it is given; C<headers> instead of the Referer; C<query> to add to the path.

=cut

sub change {
    my ($t, %form) = @_;
    my $headers = delete $form{headers} || [ referer($t) ];
    my $query   = delete $form{query} // '';
    $form{nonce} //= nonce($t, $form{b});
    my $body = join '&', map { "$_=" . escape($form{$_}) } grep { defined $form{$_} } sort keys %form;
    return $t->request(method => 'POST', path => "/balancer-manager$query", body => $body,
        headers => [ 'Content-Type' => 'application/x-www-form-urlencoded', @$headers ]);
}

sub escape { my ($s) = @_; $s =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge; return $s }

=head2 members($t, $balancer), settings($t, $balancer)

What the page's second and first table for the balancer say, read as ansible's apache2_mod_proxy does: headings and
cells. Members: hash of URL to hash of heading to text; settings: hash of heading to text.

=cut

sub members {
    my ($t, $balancer, %opt) = @_;
    my ($head, @rows) = rows($t, $balancer, 1, %opt);
    return { map { my %row; @row{@$head} = @$_; ($row{'Worker URL'} => \%row) } @rows };
}

sub settings {
    my ($t, $balancer, %opt) = @_;
    my ($head, $row) = rows($t, $balancer, 0, %opt);
    my %row;
    @row{@$head} = @$row;
    return \%row;
}

sub rows {
    my ($t, $balancer, $which, %opt) = @_;
    my $page = manager($t, $opt{query} // '', %opt)->body;
    my ($part) = grep { m{\A<a href="[^"]*">balancer://\Q$balancer\E</a>} } split /<h3>LoadBalancer Status for /, $page;
    my @tables = ($part // '') =~ m{<table>(.*?)</table>}gs;
    return map { [ map { plain($_) } m{<t[hd]>(.*?)</t[hd]>}gs ] } ($tables[$which] // '') =~ m{<tr>(.*?)</tr>}gs;
}

sub plain {
    my ($s) = @_;
    $s =~ s/<[^>]*>//g;
    $s =~ s/&lt;/</g; $s =~ s/&gt;/>/g; $s =~ s/&quot;/"/g; $s =~ s/&amp;/&/g;
    return $s;
}

=head2 form_of($page)

The fields of the page's form as a browser would send them: hash of name to value.

=cut

sub form_of {
    my ($page) = @_;
    my ($form) = $page =~ m{<form [^>]*>(.*?)</form>}s;
    my %field;
    for my $input (($form // '') =~ /<input ([^>]*)>/g) {
        my ($name)  = $input =~ /name='([^']*)'/ or next;
        my ($value) = grep {defined} $input =~ /value ?=(?:"([^"]*)"|'([^']*)')/;
        next if $input =~ /type=(?:radio|checkbox)/ && $input !~ / checked/;
        $field{$name} = plain($value // '');
    }
    while (($form // '') =~ m{<select name='([^']*)'[^>]*>(.*?)</select>}gs) {
        my ($name, $options) = ($1, $2);
        ($field{$name}) = $options =~ /<option value='([^']*)'\s+selected/;
    }
    return \%field;
}

1;
