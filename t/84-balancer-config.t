# Balancers in the configuration: where members and parameters may stand, and what stops configtest.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Mistakes;

# [configuration, line of the mistake, mod_proxy's words (undef: it accepts), our advice]
my @mistakes = (
    [ 'ProxyPass / balancer://b retry=5', 1, qr/unknown Balancer parameter/, qr/parameter of members, write it behind their URLs/ ],
    [ 'ProxyPass / balancer://b flushpackets=on', 1, qr/unknown Balancer parameter/, qr/parameter of members/ ],
    [ 'ProxyPass / balancer://b stickysesion=S', 1, qr/unknown Balancer parameter/, qr/did you mean stickysession\?/ ],
    [ 'ProxyPass / balancer://b nothing=S', 1, qr/unknown Balancer parameter/, qr/'nothing=S'/ ],
    [ 'ProxyPass / balancer://b lbmethod=byrequest', 1, qr/unknown lbmethod/,
        qr/'byrequest': known are .*\bbybusyness\b.*; did you mean byrequests\?/ ],
    [ 'ProxyPass / balancer://b lbmethod=roundrobin', 1, qr/unknown lbmethod/, qr/known are .*\bbyrequests\b.*\bbytraffic\b/ ],
    [ 'ProxyPass / balancer://b stickysessionsep=..', 1, qr/stickysessionsep must be a single character or Off/, qr/write for example/ ],
    [ 'ProxyPass / balancer://b nofailover=yes', 1, qr/failover must be On\|Off/, qr/nofailover=On/ ],
    [ 'ProxyPass / balancer://b timeout=0', 1, qr/timeout must be at least one second/, qr/timeout=5/ ],
    [ 'ProxyPass / balancer://b timeout=5x', 1, undef, qr/timeout must be at least one second/ ],
    [ 'ProxyPass / balancer://b maxattempts=-1', 1, qr/must be a positive number/, qr/maxattempts=1/ ],
    [ 'ProxyPass / balancer://b failonstatus=99', 1, qr/failonstatus must be one or more HTTP response codes/, qr/failonstatus=500,503/ ],
    [ 'ProxyPass / balancer://b failonstatus=500,x', 1, qr/failonstatus must be one or more HTTP response codes/, qr/'failonstatus=500,x'/ ],
    [ 'ProxyPass / balancer://b failontimeout=1', 1, qr/failontimeout must be On\|Off/, qr/failontimeout=On/ ],
    [ 'ProxyPass / balancer://b scolonpathdelim=1', 1, qr/scolonpathdelim must be On\|Off/, qr/scolonpathdelim=On/ ],
    [ 'ProxyPass / balancer://b forcerecovery=1', 1, qr/forcerecovery must be On\|Off/, qr/forcerecovery=Off/ ],
    [ 'ProxyPass / balancer://b growth=101', 1, qr/growth must be between 1 and 100/, qr/growth=10/ ],
    [ 'ProxyPass / balancer://b nonce=' . 'x' x 37, 1, qr/Provided nonce is too large/, qr/36/ ],
    [ 'ProxyPass / balancer://b stickycookie=a;b', 1, undef, qr/stickycookie must be a cookie's name/ ],
    [ 'ProxyPass / balancer://b stickysecret=short', 1, undef, qr/at least 16 characters/ ],
    [ 'ProxyPass / balancer://b "hashkey=%{"', 1, undef, qr/hashkey must be a string expression/ ],
    [ 'ProxyPass / balancer://' . 'x' x 90, 1, qr/balancer name \(\S+\) too long/, qr/at most 95/ ],
    [ 'ProxyPass / http://h/ lbmethod=byrequests', 1, qr/unknown Worker/, qr/parameter of balancers/ ],
    # members
    [ 'BalancerMember http://h', 1, qr/BalancerMember must define/, qr/write balancer:\/\/name before the member's URL/ ],
    [ 'BalancerMember balancer://b', 1, qr/BalancerMember must define remote proxy server/, qr/write its URL/ ],
    [ 'BalancerMember balancer://b http://h junk', 1, qr/Invalid BalancerMember parameter/, qr/'junk' was read/ ],
    [ 'BalancerMember balancer://b http://h loadfactor=0.5', 1, qr/LoadFactor must be a number between 1\.\.100/, qr/loadfactor=2/ ],
    [ 'BalancerMember balancer://b http://h status=X', 1, qr/Unknown status parameter option/, qr/letters: D disabled/ ],
    [ 'BalancerMember balancer://b http://h lbset=100', 1, qr/lbset must be between 0 and 99/, qr/lbset=1/ ],
    [ 'BalancerMember balancer://b http://h stickysession=S', 1, qr/unknown Worker/, qr/parameter of balancers/ ],
    [ 'BalancerMember balancer://b balancer://c', 1, undef, qr/a balancer can not be a member/ ],
    [ "<Proxy balancer://b>\nBalancerMember\n</Proxy>", 2, qr/must define remote proxy server/, qr/write its URL/ ],
    [ "<Location /x>\nBalancerMember balancer://b http://h\n</Location>", 2, qr/BalancerMember/, qr/main server or a <VirtualHost>/ ],
    # ProxySet, containers, the rest
    [ 'ProxySet balancer://b lbmethod=byrequests', 1, qr/can not find 'balancer:\/\/b' Balancer/, qr/define it first/ ],
    [ "<Proxy balancer://b>\nProxySet retry=1\n</Proxy>", 2, qr/unknown Balancer parameter/, qr/parameter of members/ ],
    [ "<Proxy balancer://b>\nProxySet lbmethod\n</Proxy>", 2, qr/Invalid|form 'key=value'/, qr/Invalid parameter 'lbmethod'/ ],
    [ "<Proxy balancer://b timeout=x>\n</Proxy>", 1, qr/timeout must be at least one second/, qr/timeout=5/ ],
    [ "<Proxy balancer://* timeout=5>\n</Proxy>", 1, qr/arguments are not supported for wildchar url/, qr/wildchar/ ],
    [ 'BalancerGrowth 1001', 1, qr/BalancerGrowth must be between 0 and 1000/, qr/'1001' was read/ ],
    [ 'BalancerGrowth x', 1, undef, qr/BalancerGrowth must be between 0 and 1000/ ],
    [ 'BalancerPersist maybe', 1, qr/BalancerPersist must be On or Off/, qr/On or Off/ ],
    [ 'BalancerInherit maybe', 1, qr/BalancerInherit must be On or Off/, qr/On or Off/ ],
);

are_refused(\@mistakes, modules => ['slotmem_shm']);

only_ours {
    for my $config ('ProxyPass / balancer://b/', 'BalancerMember balancer://b http://h', "<Proxy balancer://b>\n</Proxy>") {
        my ($ok, $output) = RevProxy->configtest(config => "$config\n");
        ok !$ok && $output =~ /line 1 of .*test\.conf:/ && $output =~ /add the line: LoadModule slotmem_shm_module/,
            "without mod_slotmem_shm: $config" or diag $output;
    }
    my ($ok, $output) = RevProxy->configtest(config => "<Proxy balancer://*>\nRequire all granted\n</Proxy>\n");
    ok $ok, 'a section for any balancer needs no memory' or diag $output;
} 'mod_proxy_balancer refuses to start as a whole';

# What is right, in all the forms that the manual and its readers use.
my ($ok, $output) = RevProxy->configtest(modules => [qw(slotmem_shm headers rewrite)], config => <<'EOT');
<IfModule mod_proxy.c>
<IfModule mod_proxy_balancer.c>
<IfModule lbmethod_byrequests_module>
    LogLevel proxy:warn proxy_balancer:info
</IfModule>
</IfModule>
</IfModule>
<IfModule !mod_lbmethod_bytraffic.c>
    NotThere
</IfModule>
<IfModule !mod_lbmethod_bybusyness.c>
    NotThere
</IfModule>
<Proxy "balancer://pair">
    BalancerMember "http://127.0.0.1:80"
    BalancerMember "http://127.0.0.2:80"
</Proxy>
ProxyPass        "/t" "balancer://pair"
ProxyPassReverse "/t" "balancer://pair"
<Proxy balancer://set1>
    BalancerMember http://127.0.0.1:8080
    BalancerMember http://127.0.0.2:8080 loadfactor=3 timeout=1
    ProxySet lbmethod=bytraffic
</Proxy>
ProxyPass "/images/" "balancer://set1/"
ProxyPassReverse "/images/" "balancer://set1/"
<Proxy balancer://set2>
    BalancerMember http://127.0.0.1:8080
    BalancerMember http://127.0.0.3:8080 status=+R
    BalancerMember http://127.0.0.5:8080 status=+H
    BalancerMember http://127.0.0.6:8080 lbset=1
    ProxySet lbmethod=byrequests
</Proxy>
ProxyPass "/f/" "balancer://set2/"
ProxyPass "/special" "http://127.0.0.7" smax=5 max=10
ProxyPass "/c" "balancer://c1/" stickysession=JSESSIONID|jsessionid nofailover=On scolonpathdelim=On
<Proxy "balancer://c1">
    BalancerMember "http://127.0.0.4:8009" route=node1
    BalancerMember "http://127.0.0.6:8009" loadfactor=2.25 status=+D
</Proxy>
<Proxy "balancer://st">
    BalancerMember "http://127.0.0.1" route=1
    ProxySet stickysession=ROUTEID
</Proxy>
ProxyPass "/s" "balancer://st"
ProxySet "balancer://st" lbmethod=bybusyness timeout=15
<Proxy balancer://uds>
    BalancerMember unix:/run/a.sock|http://ua
    BalancerMember unix:/run/b.sock|http://ub
</Proxy>
ProxyPass "/q" "balancer://q" failonstatus=500,503 failontimeout=On maxattempts=2 forcerecovery=Off growth=10
<Proxy "balancer://q" lbmethod=byrequests>
    BalancerMember "http://127.0.0.1" ping=1 redirect=b route=a
    BalancerMember "http://127.0.0.2" route=b status=+I-E
</Proxy>
BalancerMember balancer://LOOSE http://127.0.0.1 loadfactor=2
ProxySet balancer://loose stickysessionsep=Off nonce=None
<Proxy balancer://dyn>
    ProxySet growth=10
</Proxy>
ProxyPass /dyn balancer://dyn/
BalancerPersist On
BalancerGrowth 10
<Proxy balancer://pth>
    BalancerMember http://127.0.0.1/mods
</Proxy>
ProxyPass        /pp balancer://pth/alias
ProxyPassReverse /pp balancer://pth/alias
ProxyPassMatch ^/m/(.*)$ balancer://pth/$1
<Location /loc>
    ProxyPass balancer://pth/loc
</Location>
<Proxy balancer://*>
    Require all granted
</Proxy>
RewriteEngine On
RewriteRule ^/rw/(.*)$ balancer://pair/$1 [P]
<VirtualHost *:80>
    ServerName v.example.test
    ProxyPassInherit Off
    BalancerInherit Off
    ProxyPass / balancer://vb/
    <Proxy balancer://vb>
        BalancerMember http://127.0.0.9
    </Proxy>
</VirtualHost>
EOT
ok $ok, 'the forms of the manual' or diag $output;

only_ours {
    ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], config => <<'EOT');
<Proxy balancer://b>
    BalancerMember http://127.0.0.1:81 loadfactor=2
    BalancerMember http://127.0.0.1:81 loadfactor=3
</Proxy>
<VirtualHost *:80>
    <Proxy balancer://b>
        BalancerMember http://127.0.0.1:82
    </Proxy>
    ProxyPass / balancer://b/
</VirtualHost>
EOT
    ok $ok, 'legal, but suspicious' or diag $output;
    like $output, qr/test\.conf:3: http:\/\/127\.0\.0\.1:81 is a member of balancer:\/\/b already/, 'a member twice is named';
    like $output, qr/test\.conf:6: balancer:\/\/b has the members that the main server gives it/, 'lost members are named';
    ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'],
        config => "<RevProxy balancer://b>\nRevBalancerMember http://127.0.0.1:81\nRevProxySet lbmethod=leasttime\n</RevProxy>\nRevProxyPass / balancer://b/ stickycookie=NODE\n");
    ok $ok, 'second spellings' or diag $output;
    ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], config => <<'EOT');
<Proxy balancer://empty>
</Proxy>
<Proxy balancer://s>
    BalancerMember http://127.0.0.1:81/
    ProxySet stickysession=S
</Proxy>
<VirtualHost *:80>
    ProxyPass /s/ balancer://s/
    ProxyPass / balancer://s
</VirtualHost>
EOT
    like $output, qr/lint: \S+test\.conf:1: balancer:\/\/empty has no members/, 'lint: no members';
    like $output, qr/lint: \S+test\.conf:4: member http:\/\/127\.0\.0\.1:81\/ ends in \//, 'lint: a member that ends in a slash';
    like $output, qr/lint: \S+test\.conf:3: balancer:\/\/s has stickysession=S, but no member has a route=/, 'lint: no routes';
    like $output, qr/lint: \S+test\.conf:9: ProxyPass \/ balancer:\/\/s: the path ends in \/ and the target does not/, 'lint: slash';
    is scalar(() = $output =~ /:warn\].* lint:/g), 4, '... once each' or diag $output;
    ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], args => [ '-t', '-D', 'DUMP_REVPROXY' ],
        config => "ProxyPass / balancer://b/ lbmethod=hash\nBalancerMember balancer://b unix:/run/a.sock|http://a loadfactor=2\n");
    like $output, qr{^  / -> balancer://b/.*\n  balancer://b lbmethod=hash \(\S+:1\)\n    /run/a\.sock\|http://a loadfactor=2\.00 \(\S+:2\)$}m,
        'DUMP_REVPROXY' or diag $output;
} 'it says nothing';

done_testing;
