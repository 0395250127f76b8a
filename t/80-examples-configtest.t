# Every file in conf-examples/ passes configtest, with the modules that it says it needs and nothing that
# lint would warn of.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my ($cert, $key) = RevProxy->certificate('yourdomain.com');
# Paths of files that httpd looks for at once.
my %paths = (
    '02-tls-termination.conf' => [
        '/path/to/your/certificate.crt' => $cert, '/path/to/your/private.key' => $key, '/path/to/your/chain.pem' => $cert,
    ],
    '07-cache.conf'         => [ '/var/cache/apache2/mod_cache_disk' => '%%DOCROOT%%' ],
    '08-hardening.conf'     => [ '/path/to/your/certificate.crt' => $cert, '/path/to/your/private.key' => $key ],
    '09-tls-to-backend.conf' => [ '/path/to/your/private-ca.pem' => $cert ],
    '11-beside-mod_proxy.conf' => [ '/var/www/html' => '%%DOCROOT%%' ],
);
# These need no example's line: every module that they may use.
my %modules = ('reference.conf' => [qw(ssl rewrite headers setenvif env authz_host slotmem_shm)]);

my @files = map { m{([^/]+)\z} } sort glob "$RevProxy::TOP/conf-examples/*.conf";
cmp_ok scalar(@files), '>=', 5, 'there are examples';
for my $file (@files) {
    my @needs = $modules{$file} ? @{ $modules{$file} } : RevProxy->example_modules($file);
    if ($file !~ /reference/) {
        my $text = RevProxy::slurp("$RevProxy::TOP/conf-examples/$file");
        like $text, qr/^# Needs:\s+a2enmod [\w ]*\brevproxy\b/m, "$file says what it needs";
        like $text, qr/^# Try:\s+curl /m, "$file says how to try it";
    }
    if (front() eq 'mod_proxy' && $file =~ /reference|beside/) {
        only_ours { } "$file is about mod_revproxy";
        next;
    }
    my ($ok, $output) = RevProxy->configtest(modules => \@needs, config => RevProxy->example($file, @{ $paths{$file} || [] }));
    ok $ok, "$file passes configtest" or diag $output;
    unlike $output, qr/:(?:warn|notice)\].* lint:/, "$file has nothing to warn of, and no notice";
}
done_testing;
