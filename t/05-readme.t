# No drift between README and the sources: directives with their places and defaults, parameters,
# environment variables, figures of mod_status, error codes, links; its configurations are accepted.

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

my $readme = text_of('README');

# The rows of the table between <!-- NAME --> and <!-- /NAME -->, as lists of cells.
sub table {
    my ($name) = @_;
    my ($text) = $readme =~ /^<!-- $name -->\n(.*?)^<!-- \/$name -->$/ms or die "README has no table of $name\n";
    my @rows = map { [ map {s/^\s+|\s+$//gr} (split /(?<!\\)\|/, $_, -1)[ 1 .. 3 ] ] } grep {/^\|/} split /\n/, $text;
    return @rows[ 2 .. $#rows ];
}
sub names_in { my ($cell) = @_; return $cell =~ /`<?([^`>]+)>?`/g }
sub only_in { my ($these, @others) = @_; my %other = map { $_ => 1 } @others; return join ' ', sort grep { !$other{$_} } @$these }

# --- error codes

is text_of('README') =~ /^<!-- codes -->\n(.*?)^<!-- \/codes -->$/ms ? $1 : '', scalar(qx($^X build/readme-codes)),
    'error codes (build/readme-codes -w puts them in)';
is $?, 0, 'build/readme-codes';
my @codes = $readme =~ /\bRP(\d{4})\b/g;
my %in_table = map { $_ => 1 } text_of('src/rp_err.def') =~ /^RP_ERR\(\w+, (\d+),/mg;
cmp_ok scalar(@codes), '>=', 40, 'codes found';
is join(' ', grep { !$in_table{ $_ + 0 } } @codes), '', 'README speaks of no other ones';

# --- directives

my $source = text_of('src/rp_conf_cmd.c');
$source =~ s/.*\bcommand_rec rp_conf_commands\[\]//s or die "no command table found\n";
my %setter;
$setter{$1} = $2 while $source =~ /\bTWO_SECTIONS\("(\w+)", (\w+)/g;
$setter{$1} = $2 while $source =~ /\b(?:TWO\(\w+|AP_INIT_\w+)[,(] ?"(\w+)", (\w+)/g;
cmp_ok scalar(keys %setter), '>=', 35, 'directives found in the source';
my @served = grep { $setter{$_} ne 'refuse' } keys %setter;

my %row = map { my $row = $_; map { $_ => $row } names_in($row->[0]) } table('directives');
is only_in([@served], keys %row), '', 'all that work are in the table';
is only_in([ keys %row ], @served), '', '... and no others';
is join(' ', grep { $readme !~ /\b$_\b/ } sort keys %setter), '', 'those that are refused are named';

my $reference = text_of('conf-examples/reference.conf');
for my $name (sort keys %row) {
    my ($where, $about) = $reference =~ /^\s*# <?\Q$name\E\b[^\n]*?\((server|route|section)\b([^)\n]*)/m;
    ($where) = ($where // '') || $reference =~ /^\s*# \Q$name\E\b.*\n?.*\((section)\)/m;
    is $row{$name}[1], $where, "$name: where, as in reference.conf";
    my ($default) = ($about // '') =~ /default (\w[\w-]*|-\d+)$/;
    is $row{$name}[2], $default, '... and its default' if defined $default;
}

my %figure = map { ("RevProxy$_" => 1) } text_of('src/rp_status.c') =~ /\{"(\w+)", "/g;
cmp_ok scalar(keys %figure), '>=', 5, 'figures of mod_status found in the source';
is join(' ', grep { $readme !~ /`$_`/ } sort keys %figure), '', 'all are in README';
my %known = (%figure, map { ($_ => 1, "Rev$_" => 1) } keys %setter);
my %named = map { $_ => 1 } $readme =~ /\b((?:Rev)?(?:(?:No)?Proxy|Balancer|Heartbeat)(?:[A-Z0-9]\w*)|RevProxy|NoProxy)\b/g;
is join(' ', grep { !$known{$_} } sort keys %named), '', 'README names no directive that does not exist';

# --- checks of the configuration

my %level;
for my $file (glob 'src/rp_lint_*.c') {
    my $tables = text_of($file);
    $level{$1} = { ERR => 'error', WARNING => 'warn', NOTICE => 'notice', INFO => 'info' }->{$2} while $tables =~ /^    \{"([\w-]+)", APLOG_(ERR|WARNING|NOTICE|INFO),/mg;
}
cmp_ok scalar(keys %level), '>=', 40, 'checks found in the source';
my %check = map { (names_in($_->[0]))[0] => $_->[1] } table('lint');
is_deeply \%check, \%level, 'all are in the table, with their levels';

# --- parameters

my $params = text_of('src/rp_conf_param.c');
my ($keywords) = $params =~ /\bkeywords\[\] = \{([^}]*)\}/ or die "no keywords found\n";
$params =~ s/.*\bparam_t params\[\](.*?)^\};.*/$1/ms or die "no table of parameters found\n";
my @params = $params =~ /\{(?:\.name = )?"(\w+)"/g;
cmp_ok scalar(@params), '>=', 25, 'parameters found in the source';
my @in_readme = map { names_in($_->[0]) } table('parameters');
is only_in(\@params, @in_readme), '', 'all are in the table';
is only_in(\@in_readme, @params), '', '... and no others';
is join(' ', grep { $readme !~ /`$_[`=]/ } $keywords =~ /"(\w+)"/g), '', 'the words of ProxyPass, too';

my $groups = text_of('src/rp_conf_group_param.c');
$groups =~ s/.*\bparam_t params\[\](.*?)^\};.*/$1/ms or die "no table of balancers' parameters found\n";
@params = $groups =~ /\{"(\w+)"/g;
cmp_ok scalar(@params), '>=', 12, 'parameters of balancers found in the source';
@in_readme = map { names_in($_->[0]) } table('balancer');
is only_in(\@params, @in_readme), '', 'all are in the table';
is only_in(\@in_readme, @params), '', '... and no others';
is join(' ', grep { $reference !~ /\b$_=/ } @params), '', '... and in reference.conf';

# --- environment

my $all = join '', map { text_of($_) } glob 'src/*.c';
my %read = map { $_ => 1 } $all =~ /(?:\bhas_env\(\w+|->subprocess_env), "([^"]+)"/g;
cmp_ok scalar(keys %read), '>=', 8, 'environment variables found in the source';
@in_readme = map { names_in($_->[0]) } table('environment');
is only_in([ keys %read ], @in_readme), '', 'all are in the table';
is only_in(\@in_readme, keys %read), '', '... and no others';

# --- links and files

my %anchor = map { my $a = lc; $a =~ s/[^\w -]//g; $a =~ tr/ /-/; ("#$a" => 1) } $readme =~ /^#+ (.+)$/mg;
my @links = $readme =~ /\]\(([^)]+)\)/g;
cmp_ok scalar(@links), '>=', 10, 'links found';
is join(' ', grep { /^#/ ? !$anchor{$_} : !-e } @links), '', 'all lead somewhere';
my %file = map { $_ => 1 } $readme =~ m{`((?:build|src|t|conf-examples)/[\w./-]*)`}g, $readme =~ m{^    (build/\w+)}mg;
cmp_ok scalar(keys %file), '>=', 8, 'files found';
is join(' ', grep { !-e } sort keys %file), '', 'all exist';
is join(' ', grep { index($readme, "($_)") < 0 } glob 'conf-examples/*.conf'), '', 'every example is linked';

# --- configurations

my @blocks = $readme =~ /^```apache\n(.*?)^```$/msg;
cmp_ok scalar(@blocks), '>=', 4, 'configurations found';
only_ours {
    for my $block (@blocks) {
        my ($needs) = $block =~ /^# LoadModule (.*) are there/m;
        my @modules = grep { $_ ne 'revproxy' } ($needs // '') =~ /(\w+)_module/g;
        my ($ok, $output) = RevProxy->configtest(modules => [ 'ssl', @modules ],
            config => "Define APACHE_LOG_DIR %%DIR%%/logs\n$block");
        my ($name) = $block =~ /^\s*([^#\s][^\n]*)/m;
        ok $ok && $output !~ /\brevproxy:(?:warn|error)/, "configtest accepts: $name ..." or diag $output;
    }
} 'they use directives of ours';

done_testing;
