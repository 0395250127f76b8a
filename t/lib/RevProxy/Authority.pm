package RevProxy::Authority;

=head1 NAME

RevProxy::Authority - certificate authorities, and certificates of all kinds

=head1 SYNOPSIS

    use RevProxy::Authority;
    my $pki = RevProxy::Authority->new;
    $pki->ca('ca');
    $pki->cert('app', by => 'ca', alt => 'DNS:localhost');
    # SSLCertificateFile app.pem, SSLCertificateKeyFile app.key, SSLProxyCACertificateFile ca.pem, all in $pki->dir

=head1 METHODS

=head2 new, dir

All files lie in one temporary directory, which everybody may read.

=head2 ca($name, by => $ca), cert($name, by => $ca, alt => $names, days => $n)

Make F<$name.pem> and F<$name.key>; the CN is $name. An authority is its own issuer without C<by>. C<alt> is
the subjectAltName as openssl writes it; C<days> (30) of validity, which may be negative.

=head2 crl($name, by => $ca, revoked => [names], next => $time)

Makes the revocation list F<$name.crl>. C<next>: when the next one is due, as YYYYMMDDHHMMSSZ.

=head2 bundle($name, @files)

Makes F<$name> of these files, one after the other.

=head2 hashed($name, @files)

Makes a directory of copies under the names by which OpenSSL finds them (F<5ed36f99.0>, F<5ed36f99.r0>).

=cut

use strict;
use warnings;
use File::Copy ();
use File::Temp ();

sub new {
    my ($class) = @_;
    my $dir = File::Temp::tempdir('rp-a-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    return bless { dir => $dir }, $class;
}

sub dir { return $_[0]{dir} }

sub openssl {
    my ($self, $args) = @_;
    system("cd $self->{dir} && openssl $args >/dev/null 2>&1") == 0 or die "openssl $args failed\n";
    return;
}

sub write_file { my ($self, $name, $text) = @_; RevProxy::write_file("$self->{dir}/$name", $text); return }

sub ca {
    my ($self, $name, %opt) = @_;
    return $self->sign($name, %opt, extensions => "basicConstraints=critical,CA:TRUE\n") if $opt{by};
    $self->openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=$name "
          . "-keyout $name.key -out $name.pem -addext basicConstraints=critical,CA:TRUE");
    return;
}

sub cert {
    my ($self, $name, %opt) = @_;
    return $self->sign($name, %opt, extensions => "subjectAltName=$opt{alt}\nbasicConstraints=critical,CA:FALSE\n");
}

sub sign {
    my ($self, $name, %opt) = @_;
    my $days = $opt{days} // 30;
    $self->write_file("$name.ext", $opt{extensions});
    $self->openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out $name.csr");
    $self->openssl("x509 -req -in $name.csr -CA $opt{by}.pem -CAkey $opt{by}.key -CAcreateserial -days $days -extfile $name.ext -out $name.pem");
    chmod 0644, "$self->{dir}/$name.key";
    return;
}

sub crl {
    my ($self, $name, %opt) = @_;
    my $next = $opt{next} ? "-crl_lastupdate 20200101000000Z -crl_nextupdate $opt{next}" : '-crldays 30';
    $self->write_file("$name.index", join '', map { $self->format_revoked($_) } @{ $opt{revoked} || [] });
    $self->write_file("$name.cnf", "[ca]\ndefault_ca=this\n[this]\ndatabase=$name.index\ndefault_md=sha256\n");
    $self->openssl("ca -config $name.cnf -gencrl -keyfile $opt{by}.key -cert $opt{by}.pem $next -out $name.crl");
    return;
}

# A line of openssl's database.
sub format_revoked {
    my ($self, $name) = @_;
    my ($serial) = qx(openssl x509 -in $self->{dir}/$name.pem -noout -serial) =~ /=(\w+)/;
    return "R\t400101000000Z\t200101000000Z\t$serial\tunknown\t/CN=$name\n";
}

sub bundle {
    my ($self, $name, @files) = @_;
    $self->write_file($name, join '', map { RevProxy::slurp("$self->{dir}/$_") } @files);
    return;
}

sub hashed {
    my ($self, $name, @files) = @_;
    mkdir "$self->{dir}/$name" or die "$name: $!\n";
    File::Copy::copy("$self->{dir}/$_", "$self->{dir}/$name/") or die "$_: $!\n" for @files;
    $self->openssl("rehash $name");
    return;
}

1;
