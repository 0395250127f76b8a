# Mistakes stop configtest with file and line: mod_proxy's own words where it has some, then what to
# write instead.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Mistakes;

# [configuration, line of the mistake, mod_proxy's words (undef: it accepts), our advice]
my @mistakes = (
    # parameters
    [ 'ProxyPass / http://h/ timeot=5', 1, qr/ProxyPass unknown Worker (?:hcheck )?parameter/, qr/'timeot=5': did you mean timeout\?/ ],
    [ 'ProxyPass / http://h/ conectiontimeout=5', 1, qr/unknown Worker (?:hcheck )?parameter/, qr/did you mean connectiontimeout\?/ ],
    [ 'ProxyPass / http://h/ xyzzy=5', 1, qr/unknown Worker (?:hcheck )?parameter/, qr/'xyzzy=5'$/m ],
    [ 'ProxyPass / http://h/ stickysession=S', 1, qr/unknown Worker (?:hcheck )?parameter/, qr/parameter of balancers/ ],
    [ 'ProxyPass / http://h/ nocanan', 1, qr/Parameter must be in the form 'key=value'/, qr/did you mean nocanon\?/ ],
    [ 'ProxyPass / http://h/ mapping=servlett', 1, qr/unknown mapping/, qr/mapping=encoded or mapping=servlet/ ],
    [ 'ProxyPass / http://h/ timeout=0', 1, qr/Timeout must be at least one second/, qr/'timeout=0' is out of range/ ],
    [ 'ProxyPass / http://h/ timeout=5x', 1, undef, qr/'timeout=5x' has no known unit \(ms, s, mi, h\); write for example timeout=60/ ],
    [ 'ProxyPass / http://h/ timeout=5m', 1, undef, qr/no known unit/ ],
    [ 'ProxyPass / http://h/ timeout=0.5', 1, qr/Timeout must be at least one second/, qr/timeout=500ms/ ],
    [ 'ProxyPass / http://h/ timeout=99999999999999999999', 1, undef, qr/out of range/ ],
    [ 'ProxyPass / http://h/ timeout=-1', 1, qr/Timeout must be at least one second/, qr/is no time/ ],
    [ 'ProxyPass / http://h/ ttl=0', 1, qr/TTL must be at least one second/, qr/'ttl=0' is out of range/ ],
    [ 'ProxyPass / http://h/ acquire=0', 1, qr/Acquire must be at least one millisecond/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ ping=0', 1, qr/must be at least one millisecond/, qr/write for example ping=1/ ],
    [ 'ProxyPass / http://h/ connectiontimeout=1m', 1, qr/Connectiontimeout/, qr/no known unit/ ],
    [ 'ProxyPass / http://h/ retry=-1', 1, qr/Retry must be a positive value/, qr/is no time/ ],
    [ 'ProxyPass / http://h/ addressttl=500ms', 1, qr/AddressTTL must be -1 or a number of seconds/, qr/addressttl=60/ ],
    [ 'ProxyPass / http://h/ max=-1', 1, qr/Max must be a positive number/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ max=10x', 1, undef, qr/'max=10x' has something behind the number/ ],
    [ 'ProxyPass / http://h/ smax=many', 1, undef, qr/Smax must be a positive number: 'smax=many' is no whole number/ ],
    [ 'ProxyPass / http://h/ max=99999999999', 1, undef, qr/out of range/ ],
    [ 'ProxyPass / http://h/ disablereuse=yes', 1, qr/DisableReuse must be On\|Off/, qr/neither On nor Off/ ],
    [ 'ProxyPass / http://h/ enablereuse=1', 1, qr/EnableReuse must be On\|Off/, qr/neither On nor Off/ ],
    [ 'ProxyPass / http://h/ keepalive=true', 1, qr/KeepAlive must be On\|Off/, qr/neither On nor Off/ ],
    [ 'ProxyPass / http://h/ iobuffersize=511', 1, qr/IOBufferSize must be >= 512 bytes, or 0/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ receivebuffersize=1', 1, qr/ReceiveBufferSize must be >= 512 bytes, or 0/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ responsefieldsize=-1', 1, qr/ResponseFieldSize must be greater than 0 bytes/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ loadfactor=0.5', 1, qr/LoadFactor must be a number between 1..100/, qr/loadfactor=2/ ],
    [ 'ProxyPass / http://h/ loadfactor=100.01', 1, qr/LoadFactor must be/, qr/loadfactor=2/ ],
    [ 'ProxyPass / http://h/ lbset=100', 1, qr/lbset must be between 0 and 99/, qr/out of range/ ],
    [ 'ProxyPass / http://h/ route=' . 'r' x 64, 1, qr/Route length must be < 64 characters/, qr/too long/ ],
    [ 'ProxyPass / http://h/ status=+Q', 1, qr/Unknown status parameter option/, qr/letters: D disabled/ ],
    [ 'ProxyPass / http://h/ status=D+', 1, qr/Unknown status parameter option/, qr/not valid/ ],
    [ 'ProxyPass / http://h/ upgrade=0123456789abcdef', 1, qr/upgrade protocol length must be < 16 characters/, qr/upgrade=NONE/ ],
    [ 'ProxyPass / http://h/ upgrade=h2c', 1, undef, qr/neither HTTP nor TLS.*upgrade=NONE/s ],
    [ 'ProxyPass / http://h/ upgrade=foo,tls/1', 1, undef, qr/neither HTTP nor TLS.*upgrade=NONE/s ],
    [ 'ProxyPass / http://h/ tunnelmax=many', 1, undef, qr/tunnelmax must be a number.*tunnelmax=1000/s ],
    [ 'RevProxyTunnelIdle 0', 1, undef, qr/RevProxyTunnelIdle must be.*10mi/s ],
    [ 'ProxyPass / http://h/ flushpackets=maybe', 1, qr/flushpackets must be on\|off\|auto/, qr/not valid/ ],
    [ 'ProxyPass / http://h/ flushwait=1001', 1, qr/flushwait must be <= 1000/, qr/not valid/ ],

    # targets
    [ 'ProxyPass / htp://h/', 1, undef, qr/unknown scheme 'htp'.*did you mean http\?/ ],
    [ 'ProxyPass / gopher://h/', 1, undef, qr/unknown scheme 'gopher'.*known are http:/ ],
    [ 'ProxyPass / fcgi://h/', 1, undef, qr/unsupported scheme 'fcgi'.*load mod_proxy and mod_proxy_fcgi beside/ ],
    [ 'ProxyPass / h:8080', 1, qr/URL must be absolute!/, qr{write for example http://} ],
    [ 'ProxyPass / /local', 1, qr/URL must be absolute!: /, qr{write for example http://} ],
    [ 'ProxyPass / http:///p', 1, qr/URL must be absolute!/, qr/names no host/ ],
    [ 'ProxyPass / http://h:99999/', 1, undef, qr/Unable to parse URL: .*invalid port/ ],
    [ 'ProxyPass / http://h:80x/', 1, qr/Unable to parse URL/, qr/invalid port/ ],
    [ 'ProxyPass / "http://a b/"', 1, undef, qr/invalid host name/ ],
    [ 'ProxyPass / unix:/run/x.sock', 1, qr/URL must be absolute!/, qr{write \|http://localhost/} ],
    [ 'ProxyPass / unix:/run/x.sock|localhost', 1, qr/invalid "unix:" URL/, qr{write unix:/path} ],
    [ 'ProxyPass / "unix://h/x.sock|http:"', 1, undef, qr/no host before the socket's path/ ],
    [ 'ProxyPass / unix:/' . 'x' x 200 . '|http:', 1, qr/worker uds path .* too long/, qr/at most \d+ bytes/ ],
    [ 'ProxyPass / "unix:/run/x.sock|http:localhost/"', 1, undef, qr/URL must be absolute!.*write for example http:/ ],
    [ 'ProxyPassMatch ^/(x)/(.*) "unix:/run/x.sock|http:$1/"', 1, undef, qr/URL must be absolute!/ ],
    [ 'ProxyPassMatch ^/(x)/(.*) http://:::$1/', 1, undef, qr/Unable to parse URL: .*invalid host name/ ],
    [ 'ProxyPassMatch ^/(x)/(.*) http://$1:80:80/', 1, undef, qr/Unable to parse URL: .*invalid port/ ],
    [ 'ProxyPassMatch ^/(x)/(.*) "http://a b$1/"', 1, undef, qr/invalid host name/ ],
    [ 'ProxyPassMatch ^/(x http://h/', 1, qr/Regular expression could not be compiled/, qr{\^/\(x} ],
    [ 'ProxyPassMatch ~ ^/x http://h/', 1, qr/'~' usage/, qr/without it/ ],
    [ 'ProxyPass / balancer://b', 1, undef, qr/balancer:\/\/b needs memory that all children share; add the line: LoadModule slotmem_shm_module/ ],

    # places and forms
    [ 'ProxyPass http://h/', 1, qr/needs a path when not defined in a location/, qr/write PATH URL/ ],
    [ "<Location /a>\nProxyPass /b http://h/\n</Location>", 2, qr/can not have a path when defined in a location/, qr/target alone/ ],
    [ "<Directory /a>\nProxyPass http://h/\n</Directory>", 2, qr/ProxyPass cannot occur within <Directory> section/, qr/belongs in .*<Location>/ ],
    [ "<If true>\nProxyPass http://h/\n</If>", 2, qr/cannot occur within <If> section/, qr/belongs in/ ],
    [ "<Files x>\nProxyPassReverse http://h/\n</Files>", 2, qr/cannot occur within <Files> section/, qr/belongs in/ ],
    [ "<Location /a>\nProxyTimeout 5\n</Location>", 2, qr/ProxyTimeout not allowed in <Location> context/, qr/belongs in the main server or a <VirtualHost>/ ],
    [ "<Proxy *>\nProxyVia On\n</Proxy>", 2, qr/ProxyVia not allowed in <Proxy> context/, qr/belongs in the main server/ ],
    [ "<Location /a>\n<Proxy *>\n</Proxy>\n</Location>", 2, qr/<Proxy.* not allowed in <Location> context/, qr/belongs in/ ],
    [ 'ProxyPassReverse http://h/', 1, qr/ProxyPassReverse needs a path/, qr/write PATH URL/ ],
    [ "<Location /a>\nProxyPassReverse /a http://h/\n</Location>", 2, qr/can not have a path/, qr/URL alone/ ],
    [ 'ProxyPassReverse / http://h/ interpolat', 1, undef, qr/may only be 'interpolate'/ ],
    [ 'ProxyPassReverseCookiePath / /x/ nocanon', 1, undef, qr/may only be 'interpolate'/ ],
    [ "<Proxy>\n</Proxy>", 1, undef, qr/must specify a path/ ],
    [ "<Proxy * timeout=5>\n</Proxy>", 1, qr/arguments are not supported for wildchar url/, qr// ],
    [ "<Proxy foo timeout=5>\n</Proxy>", 1, qr/arguments are not supported for non url/, qr// ],
    [ "<ProxyMatch ^http timeout=5>\n</ProxyMatch>", 1, qr/Multiple <ProxyMatch> arguments not/, qr// ],
    [ "<ProxyMatch (>\n</ProxyMatch>", 1, qr/Regex could not be compiled/, qr// ],
    [ "<Proxy http://h>\nProxySet timeout=x\n</Proxy>", 2, qr/ProxySet.*Timeout must be/, qr/'timeout=x' is no time.*; http:/ ],
    [ "<Proxy http://h timeot=5>\n</Proxy>", 1, qr/unknown Worker (?:hcheck )?parameter/, qr/did you mean timeout/ ],
    [ "<Proxy balancer://b>\n</Proxy>", 1, undef, qr/balancer:\/\/b needs memory that all children share; add the line: LoadModule slotmem_shm_module/ ],
    [ 'ProxySet http://nowhere/ timeout=5', 1, qr/ProxySet can not find 'http:..nowhere.' Worker/, qr/define it first/ ],
    [ "ProxyPass / http://h/\nProxySet http://h/ timeout", 2, qr/Parameter must be in the form 'key=value'/, qr/'timeout'/ ],

    # values
    [ 'ProxyRequests On', 1, undef, qr/refused: .*open proxy.*ProxyRequests Off/ ],
    [ 'ProxyTimeout 0', 1, qr/Proxy Timeout must be at least 1 second/, qr/out of range/ ],
    [ 'ProxyTimeout 5x', 1, undef, qr/no known unit/ ],
    [ 'ProxyVia maybe', 1, qr/ProxyVia must be one of: off \| on \| full \| block/, qr/'maybe' was read/ ],
    [ 'ProxyBadHeader maybe', 1, qr/ProxyBadHeader must be one of: IsError \| Ignore \| StartBody/, qr/'maybe' was read/ ],
    [ 'ProxyStatus maybe', 1, qr/ProxyStatus must be one of: off \| on \| full/, qr/'maybe' was read/ ],
    [ 'ProxyPreserveHost maybe', 1, qr/ProxyPreserveHost must be On or Off/, qr// ],
    [ 'ProxyIOBufferSize 100', 1, qr/ProxyIOBufferSize must be >= 512 bytes, or 0 for system default/, qr/'100' is out of range/ ],
    [ 'ProxyReceiveBufferSize 100', 1, qr/ProxyReceiveBufferSize must be >= 512 bytes/, qr/'100' is out of range/ ],
    [ 'ProxyIOBufferSize 8k', 1, undef, qr/something behind the number/ ],
    [ 'ProxyMaxForwards ten', 1, undef, qr/no whole number/ ],
    [ 'ProxySourceAddress not.an.address.invalid', 1, qr/ProxySourceAddress invalid value/, qr/10\.0\.0\.5/ ],
    [ 'ProxyErrorOverride maybe', 1, qr/first parameter must be one of: off \| on/, qr/'maybe' was read/ ],
    [ 'ProxyErrorOverride 404', 1, qr/first parameter must be one of: off \| on/, qr// ],
    [ 'ProxyErrorOverride On x', 1, qr/must be numeric/, qr/'x' was read/ ],
    [ 'ProxyErrorOverride On 404 200', 1, qr/valid HTTP Status Codes >=400 && <600/, qr/'200' was read/ ],
    [ 'ProxyErrorOverride Off 404', 1, qr/must follow a value of 'on'/, qr// ],
    [ 'ProxyDomain example', 1, qr/domain name must start with a dot/, qr// ],
    [ 'RevProxyResponseHeadMax 100', 1, undef, qr/must be 1024 to 16777216 bytes: '100' is out of range/ ],
    [ 'RevProxyResponseFieldsMax 0', 1, undef, qr/must be 1 to 100000: '0' is out of range/ ],
    [ 'RevProxyPass / http://h/ timeot=5', 1, undef, qr/RevProxyPass unknown Worker parameter/ ],

    # not here
    [ 'ProxyRemote * http://other:8080', 1, undef, qr/not supported: name the backend itself/ ],
    [ 'NoProxy 10.0.0.0/8', 1, undef, qr/ProxyRemote, which is not supported: remove the line/ ],
    [ 'BalancerMember balancer://b http://h', 1, undef, qr/BalancerMember balancer:\/\/b needs memory that all children share; add the line: LoadModule slotmem_shm_module/ ],
);

are_refused(\@mistakes);

# What looks like some of these and is right.
my ($ok, $output) = RevProxy->configtest(config => <<'EOT');
ProxyRequests Off
ProxyDomain .example.test
ProxyTimeout 60
ProxyVia Full
ProxyStatus Full
ProxyMaxForwards -1
ProxyIOBufferSize 0
ProxyReceiveBufferSize 0
ProxyBlock example.test *
ProxySourceAddress 127.0.0.1
ProxyErrorOverride On 404 500
ProxyErrorOverride Off
ProxyPass /a http://h:80 TimeOut=5 retry=0 min=0 max=0 lbset=99 loadfactor=2.25 status=+I-E addressttl=-1 secret=x
ProxyPass /b http://h route= ping=500ms acquire=3000 connectiontimeout=1mi ttl=1h upgrade=any iobuffersize=0 flushwait=0
ProxyPass /c !
ProxyPass ~ ^/d http://h
ProxyPass "/e/" "unix:run/x.sock|http:"
ProxyPass /f HTTP://[::1]:8080
ProxySet http://h keepalive=On
<Proxy "proxy:http://y/">
    Require all granted
</Proxy>
<Proxy "http://x/" ping=1>
    Require all granted
    ProxySet timeout=5 disablereuse=On enablereuse=On
</Proxy>
<ProxyMatch "^https?://(?<site>[^/]+)/adm">
    Require all granted
</ProxyMatch>
<Location /g>
    ProxyPass !
</Location>
<LocationMatch "^/h/(.*)$">
    ProxyPassMatch http://h/$1 nocanon noquery
    ProxyPassReverse http://h/ interpolate
</LocationMatch>
EOT
ok $ok, 'a sound configuration' or diag $output;

# What $n and ${} may stand for: a host, part of one, a port, the path.
for my $target ('http://h:8080$1', 'http://[::1]:8080$1', 'http://[::1]$1', 'http://$1:8080$2', 'http://$1.example.com$2', 'http://h:$1/', 'http://$1', 'http://$1$2',
    'https://$1-$2.example.com/', 'http://h$1', 'unix:/s|http://$1/', 'unix:/s|http:/$1')
{
    my $quiet = front() eq 'mod_proxy' ? '' : "RevProxyLint Off\n";
    ($ok, $output) = RevProxy->configtest(config => qq(ProxyPassMatch ^/(a)(/.*) "$target"\n$quiet), modules => ['ssl']);
    ok $ok, "variables: $target" or diag $output;
}

done_testing;
