# The C unit programs of t/unit, built with AddressSanitizer and UBSan where the compiler has them.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy::Programs;

my @programs = RevProxy::Programs::build('unit-programs', 't/unit', qr/(\w+_t)\.c$/, '.build/unit');
ok scalar(@programs), 'there are unit programs';
RevProxy::Programs::run_tap($_) for @programs;

done_testing;
