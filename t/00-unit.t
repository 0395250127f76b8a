# The C unit programs of t/unit, built with AddressSanitizer and UBSan where the compiler has them, or as RP_SAN says.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy::Programs;

my @programs = RevProxy::Programs::build('unit', 't/unit', qr/(\w+_t)\.c$/);
ok scalar(@programs), 'there are unit programs';
RevProxy::Programs::run_tap($_) for @programs;

done_testing;
