# Suspicious but legal settings are named at configtest, with file, line and what to write; sound ones
# are not. -D DUMP_REVPROXY prints the routes.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

plan skip_all => 'mod_proxy has no such reports' if front() eq 'mod_proxy';

sub lint {
    my ($config, %opt) = @_;
    # Names of hosts are made up here; t/16 looks some up.
    my ($ok, $output) = RevProxy->configtest(config => "$config\nRevProxyLint -resolve\n", %opt);
    $ok || $output =~ /revproxy:error\] .* lint: / or return "refused: $output";
    return join '', map { "$_\n" } grep { /\brevproxy:/ } split /\n/, $output;
}

# [configuration, line, level, what is said]
my @suspicious = (
    [ "ProxyPass / http://a/\nProxyPass /x http://b", 2, 'warn', qr{/x http://b: never used: ProxyPass / http://a/ \(.*:1\) comes first} ],
    [ "ProxyPass /x http://a\nProxyPass /x/y !", 2, 'warn', qr{never used} ],
    [ "ProxyPass / http://a/\nProxyPassMatch ^/x http://b", 2, 'warn', qr{never used} ],
    [ "ProxyPass / http://a/\n<VirtualHost *:80>\nProxyPass /x/ http://b/\n</VirtualHost>", 3, 'warn', qr{never used} ],
    [ 'ProxyPass /x/ http://a', 1, 'warn', qr{/x/x becomes the host of http://ax, which lets clients choose the host: write http://a/ \[slash\]$} ],
    [ 'ProxyPass /x/ http://a/b', 1, 'warn', qr{/x/x becomes http://a/bx} ],
    [ 'ProxyPass /x http://a/', 1, 'warn', qr{/x/x is sent for //x} ],
    [ "<Location /x/>\nProxyPass http://a\n</Location>", 2, 'warn', qr{becomes the host} ],
    [ 'ProxyPass / "unix:/run/s|http:"', 1, 'warn', qr{becomes the host} ],
    [ 'ProxyPassMatch \.gif$ http://a/', 1, 'warn', qr{whole path is appended} ],
    [ 'ProxyPassMatch ^/(.*)$ http://a$1', 1, 'warn', qr{put a / before \$1} ],
    [ 'ProxyPassMatch ^/[(]x/(.*)$ http://a:80$1', 1, 'warn', qr{put a / before \$1} ],
    [ 'ProxyPassMatch ^/([^/]+)/(.*)$ http://$1/$2', 1, 'info', qr{the client chooses the host} ],
    [ "<LocationMatch ^/x/>\nProxyPass http://a/\n</LocationMatch>", 2, 'warn', qr{write ProxyPassMatch} ],
    [ 'ProxyPass x http://a', 1, 'warn', qr{never used: paths of requests begin with /} ],
    [ 'ProxyPass /x http://a/y?z=1', 1, 'warn', qr{sent as %3F} ],
    [ 'ProxyPass /x http://a max=5 smax=6', 1, 'warn', qr{smax=6 is more than max=5} ],
    [ 'ProxyPass /x http://a retry=5', 1, 'notice', qr{retry= has no effect here: .*\[retry\]$} ],
    [ 'ProxyPass /x http://a disablereuse=On ttl=5', 1, 'notice', qr{disablereuse=On costs .*ttl= and smax= have no effect with it} ],
    [ "<Proxy http://a>\nProxyPass http://b\n</Proxy>", 2, 'warn', qr{no effect inside <Proxy>} ],
    [ 'ProxyPass /x http://a', 1, 'notice', qr{no ProxyPassReverse for this target.*write ProxyPassReverse /x http://a \[reverse\]$} ],
    [ 'ProxyPass /x https://a', 1, 'error', qr{SSLProxyEngine On} ],
    [ "<Proxy balancer://b>\nBalancerMember https://a\n</Proxy>\nProxyPass / balancer://b/", 2, 'error', qr{BalancerMember https://a: the target wants TLS.*SSLProxyEngine On} ],
    [ "<VirtualHost *:80>\nProxyPass /x wss://a\n</VirtualHost>\n<VirtualHost *:80>\nSSLProxyEngine On\n</VirtualHost>", 2, 'error', qr{SSLProxyEngine On} ],
);

for my $case (@suspicious) {
    my ($config, $line, $level, $words) = @$case;
    my $report = lint($config, modules => [qw(ssl slotmem_shm)]);
    my @hits = grep { /revproxy:$level\]/ && /lint: \S+test\.conf:$line: / && $_ =~ $words } split /\n/, $report;
    is scalar(@hits), 1, (split /\n/, $config)[ $line - 1 ] or diag $report;
}

my $chosen = "<Proxy balancer://b>\nBalancerMember http://a\n</Proxy>\nProxyPassMatch ^/(b|c)/ balancer://\$1/\n";
like lint($chosen, modules => ['slotmem_shm']), qr{balancer://\$1/: no ProxyPassReverse}, 'a balancer that the request names';
for my $dump ('DUMP_REVPROXY', 'DUMP_REVPROXY_URL=http://h.example/b/x') {
    my ($ok, $output) = RevProxy->configtest(modules => ['slotmem_shm'], config => "${chosen}RevProxyLint Off\n", args => [ '-t', '-D', $dump ]);
    like $output, qr/\Qbalancer:\/\/\E/, "... is in the dump ($dump)";
    ok $ok, '... which ends well';
}

ok !(RevProxy->configtest(modules => ['ssl'], config => "ProxyPass /x https://a\n"))[0], 'a level error fails configtest';
ok +(RevProxy->configtest(modules => ['ssl'], config => "ProxyPass /x https://a\nRevProxyLint -tls-engine -resolve\n"))[0], '... unless it is switched off';

my $sound = <<'EOT';
ProxyPass        /x/y/ http://c/
ProxyPassReverse /x/y/ http://c/
ProxyPass        /no !
ProxyPass        /x http://a
ProxyPassReverse /x http://a
ProxyPass        /xy/ http://b/base/ timeout=5 max=5 smax=5 ttl=60
ProxyPassReverse /xy/ http://b/base/
ProxyPassMatch   ^(/.*\.gif)$ http://img$1
ProxyPassMatch   ^/(ws/.*)$ ws://chat:9080/$1
ProxyPassMatch   \.png$ http://img
ProxyPassReverse / http://img/
ProxyPass        /enc/ https://d/enc/ mapping=encoded
ProxyPass        /${T} http://a/${T}/ interpolate
<Proxy "https://d/">
    SSLProxyEngine On
</Proxy>
<Location /l/>
    ProxyPass        http://e/
    ProxyPassReverse http://e/
</Location>
<VirtualHost *:80>
    ProxyPassInherit Off
    ProxyPass        / https://f/
    ProxyPassReverse / https://f/
    SSLProxyEngine On
</VirtualHost>
EOT
my $report = lint($sound, modules => ['ssl']);
is join("\n", grep { !/:(?:info|notice)\]/ } split /\n/, $report), '', 'a sound configuration: no warning';
$report =~ s/.*(?:no ProxyPassReverse for this target|nobody looks who has signed).*\n//g;
is $report, '', '... and no other remark';

# The usual configtest shows notices, some of each kind, and no remarks of level info.
my $many = join '', map {"ProxyPass /x$_ http://a/x$_\n"} 1 .. 12;
my $usual = lint("LogLevel revproxy:warn\nProxyPass / http://a flushpackets=on retry=5\n$many");
is scalar(() = $usual =~ /:notice\] .*retry= has no effect here.*\[retry\]$/mg), 1, 'a notice is shown, whatever LogLevel is';
is scalar(() = $usual =~ /:notice\] .*no ProxyPassReverse for this target.*\[reverse\]$/mg), 5, '... five of a kind';
like $usual, qr/lint: 8 more of this kind: LogLevel revproxy:info shows them, RevProxyLint -reverse none \[reverse\]$/m, '... and how many there are';
unlike $usual, qr/:info\]|flushpackets/, 'level info is hidden';
is scalar(() = lint("ProxyPass / http://a\n$many") =~ /:notice\] .*\[reverse\]$/mg), 13, 'LogLevel revproxy:info shows all';
unlike lint("ProxyPreserveHost On\nProxyPass /x/ http://a/x/\nProxyPass /y http://a/y\n<Location /z>\nProxyPass http://a/z\n</Location>"), qr/\[reverse\]/,
    'a backend that knows host and path redirects right';
is scalar(() = lint("ProxyPreserveHost On\nProxyPass /x/ http://a/y/\n<Location /z>\nProxyPreserveHost Off\nProxyPass http://a/z\n</Location>") =~ /\[reverse\]/g), 2, '... else it does not';

# --- RevProxyLint
my $wrong = "ProxyPass /x http://a/\n<VirtualHost *:80>\nProxyPassInherit Off\nProxyPass /y http://b/\n%s\n</VirtualHost>\n";
sub slashes { my ($main, $host) = @_; return join ' ', lint("$main\n" . sprintf $wrong, $host) =~ m{ProxyPass (/\w) .*\[slash\]}g }
is slashes('',                      ''),                    '/x /y', 'both servers are looked at';
is slashes('',                      'RevProxyLint -slash'), '/x',    '... silence in the virtual host';
is slashes('RevProxyLint -slash',   ''),                    '',      '... in the main server, for both';
is slashes('RevProxyLint -slash',   'RevProxyLint +slash'), '/y',    '... brought back';
is slashes('RevProxyLint Off',      'RevProxyLint On'),     '/y',    '... all of them';
is slashes('RevProxyLint -shadow -SLASH', ''),              '',      '... several names, in any case';
for my $bad ([ 'RevProxyLint -slsh', qr{test\.conf:1: RevProxyLint -slsh: there is no check of this name} ],
    [ 'RevProxyLint slash', qr{error on line 1.*\n.*RevProxyLint takes On, Off, or names} ]) {
    my ($ok, $output) = RevProxy->configtest(config => "$bad->[0]\n");
    ok !$ok && $output =~ $bad->[1], "$bad->[0]: refused" or diag $output;
}

sub times_in {
    my $log = join "\n", $_[0]->error_log;
    return scalar(() = $log =~ /the target ends in/g);
}

# At a start they go to the error log, once; at a reload again.
my $t = RevProxy->new(config => "ProxyPass /x http://127.0.0.1:%%PORT:none%%/\n");
$t->wait_log(qr/lint: /);
is times_in($t), 1, 'one line in the error log';
$t->reload_graceful;
is times_in($t), 2, 'one more when it is read again';
$t->claim(qr/lint: .*the target ends in/, 'claimed', count => 2);
$t->finish;

# --- the dump ---
my ($ok, $output) = RevProxy->configtest(args => [ '-t', '-D', 'DUMP_REVPROXY' ], config => <<'EOT');
ProxyPass /a/ http://a/ timeout=500ms retry=5 max=7 loadfactor=2.5 status=+I-E disablereuse=On route=r1 nocanon
ProxyPass /no !
<Location /l>
    ProxyPass http://l mapping=servlet
</Location>
<VirtualHost *:80>
    ServerName inherits.test
    ProxyPassMatch ^/m http://m
</VirtualHost>
<VirtualHost *:80>
    ServerName alone.test
    ProxyPassInherit Off
    RevProxyPass / http://v/ upgrade=any addressttl=60
</VirtualHost>
EOT
ok $ok, 'dump' or diag $output;
my %part = $output =~ /^(main server|virtual host \S+)[^\n]*\n((?:  [^\n]*\n)*)/mg;
s/\(\S+(test\.conf)/($1/g for values %part;
my $own = <<'EOT';
  <Location> /l -> http://l mapping=servlet (test.conf:4)
  /a/ -> http://a/ nocanon max=7 timeout=500ms retry=5s enablereuse=Off loadfactor=2.50 route=r1 status=+I-E (test.conf:1)
  /no -> not proxied (test.conf:2)
EOT
is $part{'main server'}, $own, 'the main server';
is $part{'virtual host inherits.test'}, "$own  ~ ^/m -> http://m (test.conf:8)\n", 'main rules first, then the host\'s';
is $part{'virtual host alone.test'},
    "  <Location> /l -> http://l mapping=servlet (test.conf:4)\n  / -> http://v/ addressttl=60s upgrade=* (test.conf:13)\n",
    'ProxyPassInherit Off';

done_testing;
