# Mistakes in health checks stop configtest with file and line: mod_proxy's own words where it has some, then what to
# write instead.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Mistakes;
use RevProxy::Testing;

# [configuration, line of the mistake, mod_proxy's words (undef: it accepts), our advice]
my @mistakes = (
    [ 'ProxyHCTemplate t hcmethod=CPING', 1, undef, qr/CPING is for ajp:.*write hcmethod=TCP or hcmethod=GET/ ],
    [ 'ProxyHCTemplate t hcmethod=PROVIDER', 1, qr/not \(yet\) implemented/, qr/write hcmethod=GET/ ],
    [ 'ProxyHCTemplate t hcmethod=HED', 1, qr/Unknown method/, qr/known are NONE, TCP, .*did you mean HEAD\?/ ],
    [ 'ProxyHCTemplate t hcinterval=99ms', 1, qr/Interval must be a positive value greater than/, qr/write for example hcinterval=10/ ],
    [ 'ProxyHCTemplate t hcfails=many', 1, undef, qr/Fails must be a positive value: 'hcfails=many' is no whole number/ ],
    [ 'ProxyHCTemplate t hcpasses=-1', 1, qr/Passes must be a positive value/, qr/out of range/ ],
    [ 'ProxyHCTemplate t hctimeout=0', 1, undef, qr/hctimeout must be at least one millisecond/ ],
    [ 'ProxyHCTemplate t hcuri=/' . 'x' x 63, 1, qr/Health check uri length must be < 64 characters/, qr/was read/ ],
    [ 'ProxyHCTemplate t "hcuri=/a b"', 1, undef, qr/write %20/ ],
    [ 'ProxyHCTemplate t hcexpr=nobody', 1, qr/Unknown health check condition expr: nobody/, qr/define it before this line/ ],
    [ 'ProxyHCTemplate t timeout=5', 1, qr/unknown Worker hcheck parameter/, qr/a template takes hcmethod/ ],
    [ 'ProxyHCTemplate t hcmethod', 1, qr/must be in the form 'key=value'/, qr/'hcmethod' was read/ ],
    [ 'ProxyHCTemplate', 1, qr/Missing template name/, qr/write ProxyHCTemplate NAME/ ],
    [ 'ProxyPass / http://h/ hctemplate=nobody', 1, qr/Unknown ProxyHCTemplate name: nobody/, qr/in the same server/ ],
    [ "ProxyHCTemplate t hcmethod=TCP\n<VirtualHost *>\nProxyPass / http://h/ hctemplate=t\n</VirtualHost>", 3,
        qr/Unknown ProxyHCTemplate name: t/, qr/in the same server/ ],
    [ 'ProxyHCExpr e {%{REQUEST_STATUS} ~ 5}', 1, qr/Could not parse expression/, qr/Could not parse/ ],
    [ 'ProxyHCExpr sixteenletters16 {true}', 1, qr/limited to 15 characters/, qr/'sixteenletters16' was read/ ],
    [ 'ProxyHCExpr e true false', 1, qr/extra parameter/, qr/put braces or quotes/ ],
    [ 'ProxyHCTPsize -1', 1, qr/Invalid ProxyHCTPsize/, qr/remove it/ ],
    [ 'RevProxyCheckBodyMax 10', 1, undef, qr/must be 1024 to 67108864 bytes/ ],
    [ 'BalancerMember balancer://b http://h', 1, undef, qr/BalancerMember balancer:\/\/b needs memory that all children share; add the line: LoadModule slotmem_shm_module/ ],
);

are_refused(\@mistakes);

only_ours {
    my ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], args => [ '-t', '-D', 'DUMP_REVPROXY' ], config => <<'EOT');
RevProxyHCExpr up {%{REQUEST_STATUS} =~ /^2/}
RevProxyHCTemplate app hcmethod=get11 hcuri=/health hcinterval=5 hcexpr=up
<RevProxy balancer://b>
    RevBalancerMember http://127.0.0.1:1 hctemplate=app hcfails=3 hctimeout=2
</RevProxy>
RevProxyPass / balancer://b/
EOT
    ok $ok, 'second spellings';
    like $output, qr/hcmethod=GET11 hcinterval=5s hctimeout=2s hcfails=3 hcuri=\/health hcexpr=up/, '... in the dump of routes';
} 'second spellings are ours';

# mod_watchdog is often linked into httpd: hidden here.
only_ours {
    my $hide = RevProxy::Testing::load_line() . "\nTestingHide mod_watchdog.c\n";
    for my $config ("ProxyHCTemplate t hcmethod=TCP", "BalancerMember balancer://b http://h hcmethod=GET", "ProxyPass / http://h/ hcmethod=HEAD11") {
        my ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], config => "$hide$config\n");
        my $line = 2 + split /\n/, $config;
        ok !$ok && $output =~ /error on line $line of .*test\.conf:/
            && $output =~ /health checks are run by mod_watchdog; add the line: LoadModule watchdog_module/, "without mod_watchdog: $config"
            or diag $output;
    }
    my ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], config => "$hide<Proxy balancer://b>\nBalancerMember http://h hcmethod=NONE\n</Proxy>\n");
    ok $ok, '... which nothing needs that is not checked' or diag $output;
} 'mod_proxy_hcheck cannot be loaded without it';
done_testing;
