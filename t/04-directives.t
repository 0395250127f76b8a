# No drift between the table of directives, the configuration's members, conf-examples/reference.conf
# and README.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

sub text_of {
    my ($file) = @_;
    open my $fh, '<', $file or die "$file: $!\n";
    return do { local $/; <$fh> };
}

my $table = text_of('src/rp_conf_cmd.c');
$table =~ s/.*\bcommand_rec rp_conf_commands\[\]//s or die "no command table found\n";

# name => the setter
my %directive;
$directive{"<$1"} = $2 while $table =~ /\bTWO_SECTIONS\("(\w+)", (\w+)/g;
$directive{$1} = $2 while $table =~ /\b(?:TWO\(\w+|AP_INIT_\w+)[,(] ?"(\w+)", (\w+)/g;
cmp_ok scalar(keys %directive), '>=', 30, 'directives found in the table';

my $reference = text_of('conf-examples/reference.conf');
for my $name (sort keys %directive) {
    my ($word) = $name =~ /(\w+)/;
    my $is_there = $directive{$name} eq 'refuse'
        ? $reference =~ /^#.*\b$word\b/m
        : $reference =~ /^\s*\Q$name\E\s/m && $reference =~ /^\s*# \Q$name\E [^\n]*\((?:server|route|section)/m
        || $directive{$name} =~ /^add_cookie/ && $reference =~ /^\Q$name\E\s/m;
    ok $is_there, "$name is in reference.conf";
}

my %known = map { lc($_) => 1 } keys %directive;
my @used = $reference =~ /^\s*<?(\w+)/mg;
s/^(?=Proxy(?:Match)?$)/</ for @used;
is join(' ', grep { !$known{ lc $_ } && !/^(?:Location|Require|SetHandler)$/ && !/^(?:ttl|responsefieldsize)$/ } @used), '',
    'reference.conf uses no other ones';

# Parameters of backends.
my $params = text_of('src/rp_conf_param.c');
$params =~ s/.*\bparam_t params\[\](.*?)^\};.*/$1/ms or die "no table of parameters found\n";
my @params = $params =~ /\{(?:\.name = )?"(\w+)"/g;
cmp_ok scalar(@params), '>=', 20, 'parameters found in the table';
is join(' ', grep { $reference !~ /\b$_\b/ } @params), '', 'all are in reference.conf';

# Members that can be unset have to be in the lists by which create and merge go.
my ($header, $source) = (text_of('src/rp_conf.h'), text_of('src/rp_conf.c'));
my @members = $header =~ /\bbool (\w+)_set;/g;
for my $switches ($header =~ /^\s*rp_switch_t ([^;]+);/mg) {
    push @members, split /,\s*/, $switches;
}
push @members, $header =~ /apr_array_header_t \*(\w+);\s+\/\* rp_mapping_t/g;
cmp_ok scalar(@members), '>=', 18, 'members found in the header';
is join(' ', grep { $source !~ /\bX\($_\b/ } @members), '', 'all are created and merged';

SKIP: {
    skip 'no README yet', 1 if !-e 'README';
    my $readme = text_of('README');
    is join(' ', grep { my ($word) = /(\w+)/; $readme !~ /\b$word\b/ } sort keys %directive), '', 'all are in README';
}

# The reference itself.
my ($ok, $output) = RevProxy->configtest(config => $reference, modules => [qw(authz_host slotmem_shm)]);
ok $ok, 'configtest accepts reference.conf' or diag $output;
unlike $output, qr/\brevproxy:(?:warn|error)/, 'without a warning';

done_testing;
