package RevProxy::Mistakes;

=head1 NAME

RevProxy::Mistakes - configurations that configtest has to refuse, one by one

=head1 SYNOPSIS

    # configuration, line of the mistake, mod_proxy's words (undef: it accepts), our advice
    are_refused([ [ 'ProxyPass / http://h/ timeot=5', 1, qr/unknown Worker parameter/, qr/did you mean timeout\?/ ] ]);

=cut

use strict;
use warnings;
use Exporter 'import';
use Test::More ();
use RevProxy;

our @EXPORT = qw(are_refused);

=head2 are_refused(\@mistakes, %opt)

Each has to stop with file and line: mod_proxy's own words where it has some, then our advice. With the stock modules
those that they accept are left out. Options go to C<configtest>.

=cut

sub are_refused {
    my ($mistakes, %opt) = @_;
    my $is_stock = front() eq 'mod_proxy';
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $mistake (@$mistakes) {
        my ($config, $line, $theirs, $ours) = @$mistake;
        next if $is_stock && !$theirs;
        my ($ok, $output) = RevProxy->configtest(%opt, config => "$config\n");
        my $right = !$ok && $output =~ /error on line $line of .*test\.conf:/
            && (!$theirs || $output =~ $theirs) && ($is_stock || $output =~ $ours);
        Test::More::ok($right, substr((split /\n/, $config)[ $line - 1 ], 0, 90)) or Test::More::diag($output);
    }
    return;
}

1;
