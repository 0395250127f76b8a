# Alone, the module answers for mod_proxy and mod_proxy_http where others look for them: mod_rewrite's
# [P], <IfModule>, LogLevel, Mutex. It survives reloads, and the order of LoadModule does not matter.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;

my $config = <<'EOT';
<IfModule !mod_proxy.c>
    NotThere mod_proxy.c
</IfModule>
<IfModule !mod_proxy_http.c>
    NotThere mod_proxy_http.c
</IfModule>
<IfModule !proxy_module>
    NotThere proxy_module
</IfModule>
<IfModule !proxy_http_module>
    NotThere proxy_http_module
</IfModule>
<IfModule mod_proxy_fcgi.c>
    NotThere it is not here, and must not seem so
</IfModule>
<IfModule proxy_ajp_module>
    NotThere it is not here, and must not seem so
</IfModule>
Mutex default proxy
Mutex default proxy-balancer-shm
RewriteEngine On
RewriteRule ^/rw/(.*) %%URL:app%%/rewritten/$1 [P]
<Directory %%DOCROOT%%/dir>
    RewriteEngine On
    RewriteRule (.*) %%URL:app%%/perdir/$1 [P]
</Directory>
ProxyPass        /app/ %%URL:app%%/
ProxyPassReverse /app/ %%URL:app%%/
EOT

for my $first (0, 1) {
    my $when = $first ? 'loaded before mod_rewrite' : 'loaded after mod_rewrite';
    my $t = RevProxy->new(backends => { app => $app }, modules => ['rewrite'], front_first => $first,
        docs => { 'dir/x' => "local\n" }, config => $config);
    for my $round (1 .. 3) {
        like $t->get('/rw/x')->body, qr{^GET /rewritten/x }m, "$when: [P] in the server, round $round";
        like $t->get('/dir/x')->body, qr{^GET /perdir/x }m, "$when: [P] in a directory, round $round";
        like $t->get('/app/x')->body, qr{^GET /x }m, "$when: ProxyPass, round $round";
        $t->reload_graceful if $round < 3;
    }
    $t->finish;
}

# Without the stand-in the rule above answers 403 and configtest says nothing, so look at the log too.
my ($ok, $output) = RevProxy->configtest(modules => ['rewrite'], config => "RewriteRule ^/x http://h/ [P]\n");
ok $ok && $output !~ /AH10160|AH00669/, 'mod_rewrite has nothing to say' or diag $output;

# Levels: names of mod_proxy's count for us as long as our own has none.
only_ours {
    for my $name (qw(proxy proxy_module mod_proxy.c proxy_http proxy_http_module mod_proxy_http.c)) {
        is remarks("LogLevel warn $name:info"), 1, "LogLevel $name:info";
    }
    is remarks('LogLevel warn'), 0, 'LogLevel warn';
    is remarks('LogLevel warn proxy:info revproxy:warn'), 0, 'our own level goes first';
}
'its records are its own';

# What the module remarks at level info about a harmless configuration.
sub remarks {
    my ($level) = @_;
    my $t = RevProxy->new(config => "$level\nProxyPass /x http://127.0.0.1:1 retry=5\n");
    my @lines = grep { /retry= has no effect/ } $t->error_log;
    $t->finish;
    return scalar @lines;
}

# A real mod_proxy that is loaded later gets its names back.
only_ours {
    for my $first (0, 1) {
        ($ok, $output) = RevProxy->configtest(modules => ['proxy'], front_first => $first, config => <<'EOT');
<IfModule !proxy_module>
    NotThere proxy_module
</IfModule>
LogLevel proxy:debug
Mutex default proxy
ProxyPass /x ajp://127.0.0.1:8009/
EOT
        ok $ok, 'mod_proxy loaded ' . ($first ? 'after' : 'before') . ' us' or diag $output;
    }
}
'it is the real one';

done_testing;
