# What people ask why it does not work: each configuration as they wrote it (host names and comments
# apart), and what configtest has to say: the line, what is wrong, what to write instead. Nothing else may be
# said at the level of warnings.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Names;
use Time::HiRes qw(time);

plan skip_all => 'mod_proxy has no such reports' if front() eq 'mod_proxy';

my ($cert, $key) = RevProxy->certificate('backend.example.com');
my $cert_text = RevProxy::slurp($cert);
my $key_text  = RevProxy::slurp($key);
my ($old_cert, $old_key) = ("$cert.old", "$key.old");
for my $command ("req -new -newkey rsa:2048 -nodes -subj /CN=old.example.com -keyout $old_key -out $old_cert.csr",
    "x509 -req -days -1 -in $old_cert.csr -signkey $old_key -out $old_cert")
{
    system("openssl $command >/dev/null 2>&1") == 0 or die "openssl $command failed\n";
}
my ($old_text, $old_key_text) = map { RevProxy::slurp($_) } $old_cert, $old_key;

# No name server is asked: what is not named here is looked up as ever.
my $names = RevProxy::Names->new('web-app.invalid' => [], 'hangs.invalid' => [ ('slow') x 9 ]);

# [question, { modules, files, level }, configuration, line, what is said]
my @questions = (
    # --- order
    [ 'API behind the catch-all', {}, <<'EOT', 3, qr{ProxyPass /api http://localhost:8000: never used: ProxyPass / http://localhost:3000/ \(\S+:1\) comes first.*put the longer path before it.*\[shadow\]} ],
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
ProxyPass /api http://localhost:8000
ProxyPassReverse /api http://localhost:8000
EOT
    [ 'static files excluded too late', {}, <<'EOT', 3, qr{ProxyPass /static !: never used: .*put the longer path before it} ],
ProxyPass / http://127.0.0.1:8000/
ProxyPassReverse / http://127.0.0.1:8000/
ProxyPass /static !
EOT
    [ "Let's Encrypt's challenge goes to the application", {}, <<'EOT', 4, qr{ProxyPass /\.well-known/acme-challenge !: never used: .*put the longer path before it} ],
<VirtualHost *:80>
    ServerName www.example.org
    ProxyPass / http://localhost:8080/
    ProxyPass /.well-known/acme-challenge !
    ProxyPassReverse / http://localhost:8080/
</VirtualHost>
EOT
    [ 'exclusion beside a Location', {}, <<'EOT', 1, qr{ProxyPass /static !: never used: .*a <Location>'s route comes before those of the server: put this one into a <Location> behind} ],
ProxyPass /static !
<Location />
    ProxyPass http://127.0.0.1:8000/
    ProxyPassReverse http://127.0.0.1:8000/
</Location>
EOT
    [ 'longer Location first', {}, <<'EOT', 2, qr{ProxyPass /app/api http://localhost:9000/api: never used: <Location /app> \(\S+:6\) comes later.*put the longer path behind it.*\[location-shadow\]} ],
<Location /app/api>
    ProxyPass http://localhost:9000/api
    ProxyPassReverse http://localhost:9000/api
</Location>
<Location /app>
    ProxyPass http://localhost:8080/app
    ProxyPassReverse http://localhost:8080/app
</Location>
EOT
    [ 'two backends for one path', {}, <<'EOT', 2, qr{never used: .*for several backends of one path write a balancer} ],
ProxyPass /app http://10.0.0.1:8080/app
ProxyPass /app http://10.0.0.2:8080/app
ProxyPassReverse /app http://10.0.0.1:8080/app
ProxyPassReverse /app http://10.0.0.2:8080/app
EOT
    [ 'the main server takes what a virtual host has', {}, <<'EOT', 5, qr{never used: .*it is the main server's: write ProxyPassInherit Off here} ],
ProxyPass / http://127.0.0.1:8080/
ProxyPassReverse / http://127.0.0.1:8080/
<VirtualHost *:80>
    ServerName git.example.com
    ProxyPass / http://127.0.0.1:3000/
    ProxyPassReverse / http://127.0.0.1:3000/
</VirtualHost>
EOT
    [ 'WebSocket path behind the catch-all (Cockpit, Rocket.Chat)', {}, <<'EOT', 3, qr{ProxyPass /websocket ws://127.0.0.1:3000/websocket: never used: .*put the longer path before it} ],
ProxyPass / http://127.0.0.1:3000/
ProxyPassReverse / http://127.0.0.1:3000/
ProxyPass /websocket ws://127.0.0.1:3000/websocket
EOT
    [ 'a ws catch-all, then pages elsewhere', {}, <<'EOT', 2, qr{takes ordinary requests, too; write ProxyWebsocketFallbackToProxyHttp Off.*\[ws-takes-all\]} ],
ProxyPass / ws://127.0.0.1:8081/
ProxyPass / http://127.0.0.1:8080/
ProxyPassReverse / http://127.0.0.1:8080/
EOT

    # --- slashes
    [ 'slash at the path only', {}, <<'EOT', 1, qr{/app/x becomes http://127.0.0.1:8080/appx: end both in / or neither.*\[slash\]} ],
ProxyPass /app/ http://127.0.0.1:8080/app
ProxyPassReverse /app http://127.0.0.1:8080/app
EOT
    [ 'slash at the target only', {}, <<'EOT', 1, qr{a request for /jenkins/x is sent for //x there: end both in / or neither} ],
ProxyPass /jenkins http://localhost:8080/jenkins/
ProxyPassReverse /jenkins http://localhost:8080/jenkins
EOT
    [ 'no slash behind the port: "DNS lookup failure for: localhost:8080app"', {}, <<'EOT', 1, qr{lets clients choose the host: write http://localhost:8080/} ],
ProxyPass / http://localhost:8080
ProxyPassReverse / http://localhost:8080/
EOT
    [ 'slash mismatch in ProxyPassReverse: redirects to /applogin', {}, <<'EOT', 2, qr{a redirect to http://localhost:8080/x becomes /appx: end both in / or neither.*\[reverse-slash\]} ],
ProxyPass /app/ http://localhost:8080/
ProxyPassReverse /app http://localhost:8080/
EOT
    [ 'a unix socket (gunicorn)', {}, <<'EOT', 1, qr{becomes the host of .*write unix:/run/gunicorn.sock\|http://localhost/} ],
ProxyPass / unix:/run/gunicorn.sock|http://localhost
EOT

    # --- redirects
    [ 'ProxyPassReverse of another port', {}, <<'EOT', 2, qr{no target begins so, and http://localhost:3000/ \(\S+:1\) is not mapped back.*write ProxyPassReverse / http://localhost:3000/ \[reverse-target\]} ],
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:8080/
EOT
    [ 'ProxyPassReverse with the public name', {}, <<'EOT', 4, qr{no target begins so, and http://10.0.0.7:8080/ \(\S+:3\) is not mapped back} ],
<VirtualHost *:80>
    ServerName www.example.com
    ProxyPass / http://10.0.0.7:8080/
    ProxyPassReverse / http://www.example.com/
</VirtualHost>
EOT
    [ 'redirects to /app/app', {}, <<'EOT', 2, qr{a redirect to http://localhost:8080/app/ becomes /app/, and this target is public as / .*write ProxyPassReverse / http://localhost:8080/app/ \[reverse-path\]} ],
ProxyPass / http://localhost:8080/app/
ProxyPassReverse / http://localhost:8080/
EOT
    [ 'ProxyPassReverse as a regular expression', {}, <<'EOT', 2, qr{it takes no regular expressions and no \$1.*\[reverse-regex\]} ],
ProxyPassMatch ^/app/(.*)$ http://localhost:8080/$1
ProxyPassReverse ^/app/(.*)$ http://localhost:8080/$1
EOT
    [ 'no ProxyPassReverse at all', { level => 'notice' }, <<'EOT', 1, qr{redirects of the backend reach clients as they are; to map them write ProxyPassReverse /app http://localhost:8080/app \[reverse\]} ],
ProxyPass /app http://localhost:8080/app
EOT
    [ 'a leftover ProxyPassReverse', { level => 'notice' }, <<'EOT', 3, qr{no target begins so; right only if a backend calls itself that.*\[reverse-unused\]} ],
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
ProxyPassReverse / http://oldhost.example.com:9090/
EOT
    [ 'cookie path the wrong way round: login does not last', {}, <<'EOT', 3, qr{the backend's path comes first, so no cookie is changed: write ProxyPassReverseCookiePath /app / \[cookie-path\]} ],
ProxyPass / http://localhost:8080/app/
ProxyPassReverse / http://localhost:8080/app/
ProxyPassReverseCookiePath / /app
EOT
    [ 'cookie domain as a URL', {}, <<'EOT', 3, qr{a cookie's domain has neither scheme nor port: write the names alone.*\[cookie-domain\]} ],
ProxyPass / http://10.0.0.3:8080/
ProxyPassReverse / http://10.0.0.3:8080/
ProxyPassReverseCookieDomain http://backend.example.com:8080 www.example.com
EOT

    # --- paths and targets
    [ 'a regular expression in ProxyPass', {}, <<'EOT', 1, qr{compares its path letter by letter, and this is a regular expression: write ProxyPassMatch \[path\]} ],
ProxyPass ^/app/(.*)$ http://localhost:8080/app/$1
EOT
    [ 'a star in ProxyPass', {}, <<'EOT', 1, qr{the \* is compared as a letter.*write it without \[path\]} ],
ProxyPass /images/* http://10.0.0.9/images/*
EOT
    [ 'LocationMatch with ProxyPass', {}, <<'EOT', 2, qr{the section's path is a regular expression.*write ProxyPassMatch} ],
<LocationMatch "^/(api|auth)/">
    ProxyPass http://localhost:9000/
</LocationMatch>
EOT
    [ 'ProxyPassMatch that doubles the path', {}, <<'EOT', 1, qr{/app/x is sent for /app/app/x: write http://localhost:8080, or use \$1 \[match-append\]} ],
ProxyPassMatch ^/app http://localhost:8080/app
ProxyPassReverse /app http://localhost:8080/app
EOT
    [ 'ProxyPassMatch lets clients choose the host', {}, <<'EOT', 1, qr{it can choose the host: put a / before \$1 \[host-append\]} ],
ProxyPassMatch ^/(.*)$ http://localhost:3000$1
EOT
    [ 'the first URL parameter is fixed', {}, <<'EOT', 1, qr{sent as %3F.*use RewriteRule with \[P\] to add a query \[query\]} ],
ProxyPass /search http://solr.example.com:8983/solr/select?wt=json
EOT
    [ 'a semicolon from nginx', {}, <<'EOT', 1, qr{the ; becomes part of every path that is sent: remove it \[typo\]}, qr{\[slash\]} ],
ProxyPass / http://127.0.0.1:3000/;
EOT
    [ 'the scheme twice', {}, <<'EOT', 1, qr{a : is missing, or the URL has its scheme twice \[typo\]}, qr{resolve} ],
ProxyPass / http://http//localhost:8080/
EOT
    [ 'plain HTTP to a TLS port: "The plain HTTP request was sent to HTTPS port"', {}, <<'EOT', 1, qr{port 8443 usually speaks TLS.*write https:// \(and SSLProxyEngine On\) \[port\]} ],
ProxyPass / http://10.0.0.4:8443/
ProxyPassReverse / http://10.0.0.4:8443/
EOT
    [ 'the server itself: "server reached MaxRequestWorkers"', {}, <<'EOT', 3, qr{a loop: this httpd itself listens at localhost:%%PORT%%.*write the backend's own port \[loop\]} ],
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    ProxyPass / http://localhost:%%PORT%%/
    ProxyPassReverse / http://localhost:%%PORT%%/
</VirtualHost>
EOT
    [ 'its own public name', {}, <<'EOT', 3, qr{a loop: .*\[loop\]} ],
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    ProxyPass /app http://app.example.com:%%PORT%%/app
    ProxyPassReverse /app http://app.example.com:%%PORT%%/app
</VirtualHost>
EOT
    [ 'a balancer member that is the server itself', { modules => ['slotmem_shm'] }, <<'EOT', 7, qr{ProxyPass / balancer://app/: a loop by way of the member http://localhost:%%PORT%%: this httpd itself listens .*\[loop\]} ],
<Proxy balancer://app>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://localhost:%%PORT%%
</Proxy>
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    ProxyPass / balancer://app/
    ProxyPassReverse / balancer://app/
</VirtualHost>
EOT
    [ 'its own public name, by [P]', { modules => ['rewrite'] }, <<'EOT', 4, qr{RewriteRule .*: a loop: this httpd itself listens at http://app.example.com:%%PORT%%.*this rule again.*write the backend's own port \[loop\]} ],
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    RewriteEngine On
    RewriteRule ^/(.*)$ http://app.example.com:%%PORT%%/$1 [P,L]
</VirtualHost>
EOT
    [ '... the same behind rules that are none of its business', { modules => ['rewrite'] }, <<'EOT', 6, qr{RewriteRule .*: a loop: .*\[loop\]} ],
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    ProxyPreserveHost On
    RewriteEngine On
    RewriteRule ^/api/(.*)$ http://10.0.0.1:9000/$1 [P]
    RewriteRule .* http://127.0.0.1:%%PORT%%%{REQUEST_URI} [P,L]
</VirtualHost>
EOT
    [ 'a name that does not resolve (containers)', { resolve => 1 }, <<'EOT', 1, qr{the name web-app.invalid does not resolve .*requests get 502 \(RP0101\).*\[resolve\]} ],
ProxyPass / http://web-app.invalid:8080/
ProxyPassReverse / http://web-app.invalid:8080/
EOT

    # --- TLS
    [ 'SSLProxyEngine is missing', { modules => ['ssl'], level => 'error' }, <<'EOT', 1, qr{load mod_ssl and write SSLProxyEngine On \[tls-engine\]} ],
ProxyPass /grafana https://grafana.example.com/grafana
ProxyPassReverse /grafana https://grafana.example.com/grafana
EOT
    [ 'SSLProxyEngine in the other virtual host', { modules => ['ssl'], level => 'error' }, <<'EOT', 2, qr{SSLProxyEngine is not on here.*\[tls-engine\]} ],
<VirtualHost *:80>
    ProxyPass / https://10.0.0.8/
    ProxyPassReverse / https://10.0.0.8/
</VirtualHost>
<VirtualHost *:8080>
    SSLProxyEngine On
</VirtualHost>
EOT
    [ 'SSLProxyEngine in a virtual host that does not take the main server\'s routes', { modules => ['ssl'], level => 'error' }, <<'EOT', 1, qr{SSLProxyEngine is not on here.*\[tls-engine\]} ],
ProxyPass / https://10.0.0.8/
ProxyPassReverse / https://10.0.0.8/
<VirtualHost *:8080>
    ProxyPassInherit Off
    SSLProxyEngine On
</VirtualHost>
EOT
    [ 'SSLProxyEngine Off in the virtual host', { modules => ['ssl'], level => 'error' }, <<'EOT', 3, qr{SSLProxyEngine is not on here.*\[tls-engine\]} ],
<VirtualHost *:80>
    SSLProxyEngine Off
    ProxyPass / https://10.0.0.8/
    ProxyPassReverse / https://10.0.0.8/
</VirtualHost>
SSLProxyEngine On
EOT
    [ 'SSLProxyEngine for another target', { modules => ['ssl'], level => 'error' }, <<'EOT', 4, qr{ProxyPass /a/ https://10\.0\.0\.8/: .*SSLProxyEngine is not on here.*\[tls-engine\]} ],
<Proxy https://10.0.0.9/>
    SSLProxyEngine On
</Proxy>
ProxyPass /a/ https://10.0.0.8/
ProxyPassReverse /a/ https://10.0.0.8/
ProxyPass / https://10.0.0.9/
ProxyPassReverse / https://10.0.0.9/
EOT
    [ 'SSLProxyEngine for the member in place of the balancer', { modules => [qw(ssl slotmem_shm)], level => 'error' }, <<'EOT', 5, qr{BalancerMember https://10\.0\.0\.8: .*SSLProxyEngine is not on here.*\[tls-engine\]} ],
<Proxy https://10.0.0.8/>
    SSLProxyEngine On
</Proxy>
<Proxy balancer://c>
    BalancerMember https://10.0.0.8
</Proxy>
ProxyPass / balancer://c/
ProxyPassReverse / balancer://c/
EOT
    [ 'a [P] rule with TLS, and no SSLProxyEngine', { modules => [qw(ssl rewrite)], level => 'error' }, <<'EOT', 7, qr{RewriteRule .*the target wants TLS.*write SSLProxyEngine On \[tls-rule\]} ],
<VirtualHost *:8080>
    ServerName a.example.com
    SSLProxyEngine On
</VirtualHost>
<VirtualHost *:80>
    RewriteEngine On
    RewriteRule ^/(.*)$ https://backend.example.com/$1 [P,L]
</VirtualHost>
EOT
    [ '... in a Location, for WebSockets', { modules => [qw(ssl rewrite)], level => 'error' }, <<'EOT', 4, qr{RewriteRule .*the target wants TLS.*write SSLProxyEngine On \[tls-rule\]} ],
<Location /ws>
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteRule /ws/(.*) wss://backend.example.com/$1 [P]
</Location>
EOT
    [ 'ProxyPassMatch in a Location with TLS, and no SSLProxyEngine', { modules => ['ssl'], level => 'error' }, <<'EOT', 2, qr{ProxyPassMatch .*the target wants TLS.*write SSLProxyEngine On \[tls-engine\]} ],
<LocationMatch ^/app/(.*)>
    ProxyPassMatch https://backend.example.com/$1
</LocationMatch>
EOT
    [ 'a handler with TLS, and no SSLProxyEngine', { modules => ['ssl'], level => 'error' }, <<'EOT', 2, qr{SetHandler .*the target wants TLS.*write SSLProxyEngine On in the server itself.*\[tls-rule\]} ],
<Location /app>
    SetHandler "proxy:https://backend.example.com"
</Location>
<Proxy https://backend.example.com/>
    SSLProxyEngine On
</Proxy>
EOT
    [ 'SSLProxyVerify without a CA: every request 502', { modules => ['ssl'] }, <<'EOT', 2, qr{no authority is trusted here.*write SSLProxyCACertificateFile.*\[tls-ca\]} ],
SSLProxyEngine On
SSLProxyVerify require
ProxyPass / https://backend.example.com/
ProxyPassReverse / https://backend.example.com/
EOT
    [ 'https to an address: AH02411', { modules => ['ssl'], level => 'info' }, <<'EOT', 2, qr{certificate has to name the address 192\.168\.1\.10, .*write the name that stands in it as the target's host, or SSLProxyCheckPeerName off \[tls-address\]} ],
SSLProxyEngine On
ProxyPass / https://192.168.1.10/
ProxyPassReverse / https://192.168.1.10/
EOT
    [ 'ProxyPreserveHost and the wrong certificate', { modules => ['ssl'], level => 'info' }, <<'EOT', 3, qr{the client's Host is the TLS name \(SNI\), too.*else ProxyPreserveHost Off or SSLProxyCheckPeerName off \[tls-host\]} ],
SSLProxyEngine On
ProxyPreserveHost On
ProxyPass / https://backend.example.com/
ProxyPassReverse / https://backend.example.com/
EOT
    [ 'nobody verifies the backend (most recipes)', { modules => ['ssl'], level => 'info' }, <<'EOT', 5, qr{nobody looks who has signed.*write SSLProxyVerify require.*\[tls-unverified\]} ],
SSLProxyEngine On
SSLProxyVerify none
SSLProxyCheckPeerName off
SSLProxyCheckPeerCN off
ProxyPass / https://10.0.0.5:8443/
ProxyPassReverse / https://10.0.0.5:8443/
EOT
    [ 'a CA file in DER', { modules => ['ssl'], files => { 'conf/ca.cer' => "0\202\3\1junk\n" } }, <<'EOT', 2, qr{no PEM certificate.*openssl x509 -inform DER.*\[cert-file\]} ],
SSLProxyEngine On
SSLProxyCACertificateFile %%DIR%%/conf/ca.cer
EOT
    [ 'a client certificate without its key', { modules => ['ssl'], files => { 'conf/client.pem' => $cert_text } }, <<'EOT', 2, qr{the private key is missing: put it into the same file.*\[cert-file\]} ],
SSLProxyEngine On
SSLProxyMachineCertificateFile %%DIR%%/conf/client.pem
EOT
    [ 'a client key with a passphrase', { modules => ['ssl'], files => { 'conf/client.pem' => "$cert_text-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----\n" } }, <<'EOT', 2, qr{its key has a passphrase.*openssl pkey.*\[cert-file\]} ],
SSLProxyEngine On
SSLProxyMachineCertificateFile %%DIR%%/conf/client.pem
EOT
    [ 'a client certificate that has expired', { modules => ['ssl'], files => { 'conf/client.pem' => "$old_text$old_key_text" } }, <<'EOT', 2, qr{the certificate of old\.example\.com expired on \w+ +\d+ [\d:]+ \d+ GMT, so backends refuse it: put a new one there \[cert-dates\]} ],
SSLProxyEngine On
SSLProxyMachineCertificateFile %%DIR%%/conf/client.pem
EOT
    [ 'an authority that has expired', { modules => ['ssl'], files => { 'conf/ca.pem' => $old_text } }, <<'EOT', 3, qr{the certificate of old\.example\.com expired on .*no backend is trusted and each request gets 502.*\[cert-dates\]} ],
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificateFile %%DIR%%/conf/ca.pem
EOT
    [ 'certificates copied into the path without hashes', { modules => ['ssl'], files => { 'conf/ca/backend.pem' => $cert_text } }, <<'EOT', 3, qr{no file in it has a name like 5ed36f99\.0.*run openssl rehash .*\[cert-path\]} ],
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificatePath %%DIR%%/conf/ca
ProxyPass / https://backend.example.com/
ProxyPassReverse / https://backend.example.com/
EOT
    [ 'X-Forwarded-Proto is missing: redirect loops, http:// links', { modules => ['ssl'], level => 'info', files => { 'conf/c.pem' => $cert_text, 'conf/k.pem' => $key_text } }, <<'EOT', 3, qr{may build http:// links or redirect without end: write RevProxyForwarded proto \[forwarded-proto\]} ],
<VirtualHost *:443>
    ServerName www.example.com
    SSLEngine on
    SSLCertificateFile %%DIR%%/conf/c.pem
    SSLCertificateKeyFile %%DIR%%/conf/k.pem
    ProxyPass / http://127.0.0.1:8080/
    ProxyPassReverse / http://127.0.0.1:8080/
</VirtualHost>
EOT

    # --- balancers
    [ 'a pool under another name', { modules => ['slotmem_shm'] }, <<'EOT', 5, qr{balancer://my-cluster has no members, so every request for it gets 503: add BalancerMember lines; names are compared.*\[group-empty\]}, qr{mycluster is never used} ],
<Proxy balancer://mycluster>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://my-cluster/
ProxyPassReverse / balancer://my-cluster/
EOT
    [ 'a pool that nothing leads to', { modules => ['slotmem_shm'] }, <<'EOT', 1, qr{balancer://old is never used: write ProxyPass / balancer://old/, or remove it \[group-unused\]} ],
<Proxy balancer://old>
    BalancerMember http://10.0.0.1:8080
</Proxy>
ProxyPass / http://10.0.0.2:8080/
ProxyPassReverse / http://10.0.0.2:8080/
EOT
    [ 'a member twice, for a larger share', { modules => ['slotmem_shm'] }, <<'EOT', 3, qr{is a member of balancer://c already: this line has no effect; for a larger share write loadfactor=2 \[member-double\]} ],
<Proxy balancer://c>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://c/
ProxyPassReverse / balancer://c/
EOT
    [ 'a member with a slash', { modules => ['slotmem_shm'] }, <<'EOT', 2, qr{so /x becomes //x there: write it without \[member-slash\]} ],
<Proxy balancer://c>
    BalancerMember http://10.0.0.1:8080/
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://c/
ProxyPassReverse / balancer://c/
EOT
    [ 'sticky sessions that do not stick', { modules => ['slotmem_shm'] }, <<'EOT', 1, qr{has stickysession=JSESSIONID, but no member has a route=.*give each member one, or write stickycookie=NAME \[sticky-route\]} ],
<Proxy balancer://tomcat>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.2:8080
    ProxySet stickysession=JSESSIONID
</Proxy>
ProxyPass / balancer://tomcat/
ProxyPassReverse / balancer://tomcat/
EOT
    [ 'the same route twice', { modules => ['slotmem_shm'] }, <<'EOT', 3, qr{has route=node1 as http://10\.0\.0\.1:8080 .*give it a name of its own \[member-route\]} ],
<Proxy balancer://tomcat>
    BalancerMember http://10.0.0.1:8080 route=node1
    BalancerMember http://10.0.0.2:8080 route=node1
    ProxySet stickysession=JSESSIONID
</Proxy>
ProxyPass / balancer://tomcat/
ProxyPassReverse / balancer://tomcat/
EOT
    [ 'redirect= to nobody', { modules => ['slotmem_shm'] }, <<'EOT', 2, qr{has redirect=node3, and no member has this route=.*write the route= of another member \[redirect\]} ],
<Proxy balancer://tomcat>
    BalancerMember http://10.0.0.1:8080 route=node1 redirect=node3
    BalancerMember http://10.0.0.2:8080 route=node2
    ProxySet stickysession=JSESSIONID
</Proxy>
ProxyPass / balancer://tomcat/
ProxyPassReverse / balancer://tomcat/
EOT
    [ 'timeout of the balancer', { modules => ['slotmem_shm'], level => 'notice' }, <<'EOT', 1, qr{is how long requests wait when no member is usable; .*write timeout= behind BalancerMember, or ProxyTimeout \[group-timeout\]} ],
<Proxy balancer://c>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://c/ timeout=600
ProxyPassReverse / balancer://c/
EOT
    [ 'members lost to the main server\'s pool', { modules => ['slotmem_shm'] }, <<'EOT', 6, qr{has the members that the main server gives it .*choose another name, or write ProxyPassInherit Off and BalancerInherit Off \[group-hidden\]} ],
<Proxy balancer://c>
    BalancerMember http://10.0.0.1:8080
</Proxy>
ProxyPass /main balancer://c
<VirtualHost *:80>
    <Proxy balancer://c>
        BalancerMember http://10.0.0.2:8080
    </Proxy>
    ProxyPass / balancer://c/
    ProxyPassReverse / balancer://c/
</VirtualHost>
EOT
    [ 'the manager for everybody', { modules => ['slotmem_shm'] }, <<'EOT', 2, qr{everybody may look at the balancers and change them: add Require local.*\[manager\]} ],
<Location /balancer-manager>
    SetHandler balancer-manager
    Require all granted
</Location>
EOT

    # --- rewrite rules
    [ 'RewriteEngine is forgotten', { modules => ['rewrite'] }, <<'EOT', 4, qr{never used: write RewriteEngine On in this server \[rewrite-off\]} ],
<VirtualHost *:80>
    ServerName app.example.com
    RewriteEngine Off
    RewriteRule ^/(.*)$ http://localhost:3000/$1 [P,L]
</VirtualHost>
EOT
    [ '[P] lets clients choose the host', { modules => ['rewrite'] }, <<'EOT', 2, qr{appended to the host name, so it can choose the host: put a / before \$1 \[rewrite-host\]} ],
RewriteEngine On
RewriteRule ^/(.*) http://localhost:3000$1 [P]
EOT
    [ 'the slash before what the client sends may be missing', {}, <<'EOT', 1, qr{appended to the host name, so it can choose the host: put a / before \$1 \[host-append\]} ],
ProxyPassMatch ^/app(/?.*)$ http://localhost:3000$1
EOT
    [ '... or is in one alternative only', {}, <<'EOT', 1, qr{appended to the host name, so it can choose the host: put a / before \$1 \[host-append\]} ],
ProxyPassMatch ^/app((?:/.*|\..*))$ http://localhost:3000$1
EOT
    [ 'Connection: Upgrade in the wrong case', { modules => ['rewrite'] }, <<'EOT', 2, qr{which this does not match: write RewriteCond %\{HTTP:Connection\} upgrade \[NC\] \[ws-condition\]} ],
RewriteEngine On
RewriteCond %{HTTP:Connection} upgrade
RewriteRule /(.*) ws://localhost:9001/$1 [P,L]
EOT
    [ 'the WebSocket rule behind the catch-all rule', { modules => ['rewrite'] }, <<'EOT', 4, qr{never used: RewriteRule \S+ \S+ \[P\] \(\S+:2\) comes first and takes all requests; put this rule and its RewriteConds before it \[rewrite-order\]} ],
RewriteEngine On
RewriteRule ^/(.*)$ http://localhost:3000/$1 [P]
RewriteCond %{HTTP:Upgrade} websocket [NC]
RewriteRule ^/(.*)$ ws://localhost:3000/$1 [P]
EOT
    [ 'works in Chrome, not in Firefox', { modules => ['rewrite'] }, <<'EOT', 3, qr{Firefox sends 'Connection: keep-alive, Upgrade'.*write RewriteCond %\{HTTP:Connection\} upgrade \[NC\] \[ws-condition\]} ],
RewriteEngine On
RewriteCond %{HTTP:Upgrade} websocket [NC]
RewriteCond %{HTTP:Connection} ^Upgrade$ [NC]
RewriteRule .* ws://localhost:3000%{REQUEST_URI} [P]
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'WebSocket in capitals', { modules => ['rewrite'] }, <<'EOT', 2, qr{in small letters, which this does not match: write RewriteCond %\{HTTP:Upgrade\} websocket \[NC\]} ],
RewriteEngine On
RewriteCond %{HTTP:Upgrade} =WebSocket
RewriteRule /(.*) ws://localhost:9001/$1 [P,L]
EOT
    [ '[P] forgotten', { modules => ['rewrite'] }, <<'EOT', 3, qr{without \[P\] this is a redirect, which browsers do not follow for a WebSocket: write \[P,L\] \[ws-redirect\]} ],
RewriteEngine On
RewriteCond %{HTTP:Upgrade} websocket [NC]
RewriteRule /(.*) ws://localhost:9001/$1 [L]
EOT

    # --- parameters and folklore
    [ 'a timeout in milliseconds', {}, <<'EOT', 1, qr{timeout=60000 is 16 hours, a bare number counts in seconds: write timeout=60000ms.*\[unit\]} ],
ProxyPass / http://localhost:3000/ timeout=60000
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'ProxyTimeout in milliseconds', {}, <<'EOT', 1, qr{this is 16 hours, a bare number counts in seconds: write 60000ms, or 16h if it is meant \[unit\]} ],
ProxyTimeout 60000
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'ProxyTimeout of two hours', { level => 'notice' }, <<'EOT', 1, qr{clients give up after 300 seconds at most.*write timeout= at the one route that needs it.*\[patience\]} ],
ProxyTimeout 7200
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'Timeout of an hour, for one slow report', { level => 'notice' }, <<'EOT', 1, qr{Timeout 3600: clients give up after 300 seconds at most.*write timeout= at the one route that needs it.*\[patience\]} ],
Timeout 3600
<VirtualHost *:80>
    ProxyPass / http://localhost:3000/
    ProxyPassReverse / http://localhost:3000/
</VirtualHost>
EOT
    [ 'a member with TLS, and no SSLProxyEngine', { modules => [qw(ssl slotmem_shm)], level => 'error' }, <<'EOT', 2, qr{BalancerMember https://10\.0\.0\.1:8443: the target wants TLS.*write SSLProxyEngine On \[tls-engine\]} ],
<Proxy balancer://c>
    BalancerMember https://10.0.0.1:8443
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://c/
ProxyPassReverse / balancer://c/
EOT
    [ 'a timeout that no client waits for', { level => 'notice' }, <<'EOT', 1, qr{timeout= is 3600 seconds, and clients give up after 300.*for idle WebSockets write RevProxyTunnelIdle \[patience\]} ],
ProxyPass / http://localhost:3000/ timeout=3600
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'retry=0', { level => 'notice' }, <<'EOT', 1, qr{retry=0 was the cure for a minute of 503.*leave it out \[retry\]} ],
ProxyPass / http://localhost:3000/ retry=0
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'retry=0 in a pool', { modules => ['slotmem_shm'], level => 'notice' }, <<'EOT', 2, qr{BalancerMember http://10\.0\.0\.1:8080: with retry=0 a member that has just failed gets its share.*leave it out, then one request tries it.*\[retry\]} ],
<Proxy balancer://pool>
    BalancerMember http://10.0.0.1:8080 retry=0
    BalancerMember http://10.0.0.2:8080
</Proxy>
ProxyPass / balancer://pool/
ProxyPassReverse / balancer://pool/
EOT
    [ 'a member that never gets a request', { modules => ['slotmem_shm'], level => 'notice' }, <<'EOT', 3, qr{member http://10\.0\.0\.2:8080 gets no requests, since status= says that it is disabled: remove the letter when it shall \[member-unused\]} ],
<Proxy balancer://pool>
    BalancerMember http://10.0.0.1:8080
    BalancerMember http://10.0.0.2:8080 status=+D
</Proxy>
ProxyPass / balancer://pool/
ProxyPassReverse / balancer://pool/
EOT
    [ 'disablereuse=On', { level => 'notice' }, <<'EOT', 1, qr{disablereuse=On costs a new connection for each request.*leave it out \[reuse\]} ],
ProxyPass / http://localhost:3000/ disablereuse=On
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'proxy-initial-not-pooled', { modules => ['env'], level => 'notice' }, <<'EOT', 1, qr{costs a new connection for each request that is a client's first.*leave it out \[env\]} ],
SetEnv proxy-initial-not-pooled 1
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'an API whose errors are replaced', { level => 'info' }, <<'EOT', 1, qr{an API's JSON and login pages with 401 among them, are replaced: name the statuses, as in ProxyErrorOverride On 502 503 504 \[error-override\]} ],
ProxyErrorOverride On
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'encoded slashes give 404', { level => 'info' }, <<'EOT', 1, qr{httpd answers 404 to such requests before: write AllowEncodedSlashes NoDecode in this server \[encoded-slashes\]} ],
ProxyPass / http://localhost:8008/ nocanon
ProxyPassReverse / http://localhost:8008/
EOT
    [ 'smax above max', {}, <<'EOT', 1, qr{smax=50 is more than max=20.*write smax=20 or less \[limits\]} ],
ProxyPass / http://localhost:3000/ max=20 smax=50
ProxyPassReverse / http://localhost:3000/
EOT

    # --- modules
    [ 'mod_proxy is still loaded, mod_proxy_http is not', { modules => ['proxy'] }, <<'EOT', 1, qr{without mod_proxy_http every request gets 500: unload mod_proxy \(a2dismod proxy\), or write RevProxyPass \[no-http\]} ],
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
    [ 'mod_proxy is still loaded', { modules => [qw(proxy proxy_http)] }, <<'EOT', 1, qr{mod_revproxy has nothing to do: unload mod_proxy and mod_proxy_http, or write RevProxyPass \[beside\]} ],
ProxyPass / http://localhost:3000/
ProxyPassReverse / http://localhost:3000/
EOT
);

for my $question (@questions) {
    my ($name, $opt, $config, $line, @words) = @$question;
    my ($ok, $output) = RevProxy->configtest(
        env => { $opt->{resolve} ? $names->env : () },
        modules => $opt->{modules} || [], files => $opt->{files} || {},
        config => $config . ($opt->{resolve} ? '' : "RevProxyLint -resolve\n"),
    );
    my $level  = $opt->{level} || 'warn';
    my ($port) = $output =~ /listens at \S+:(\d+)/;
    my @lint   = grep {/ lint: /} split /\n/, $output;
    my @hits   = grep {
        my $words = $words[0] =~ s/%%PORT%%/$port\/\/0/er;
        /:$level\]/ && /lint: \S+test\.conf:$line: / && /$words/
    } @lint;
    my @others = grep { my $said = $_; /:(?:warn|error)\]/ && !grep { $said =~ $_ } @words } @lint;
    @others = () if $words[0] =~ /%%PORT/;
    ok $ok == ($level ne 'error') && @hits == 1 && !@others, $name or diag $output;
}

cmp_ok scalar(@questions), '>=', 40, 'questions';

# What looks like these and is none.
my @sound = (
    [ 'a bundle with an old authority among others', { modules => ['ssl'], files => { 'conf/ca.pem' => "$old_text$cert_text" } }, <<'EOT' ],
SSLProxyEngine On
SSLProxyVerify require
SSLProxyCACertificateFile %%DIR%%/conf/ca.pem
EOT
    [ 'SSLProxyEngine where the main server\'s route is used', { modules => ['ssl'] }, <<'EOT' ],
ProxyPass / https://10.0.0.8/
ProxyPassReverse / https://10.0.0.8/
<VirtualHost *:8080>
    SSLProxyEngine On
</VirtualHost>
EOT
    [ 'SSLProxyEngine in sections that apply', { modules => [qw(ssl slotmem_shm rewrite)] }, <<'EOT' ],
<Proxy "https://10.0.0.8/app/">
    SSLProxyEngine On
</Proxy>
<Proxy https://10.0.0.9*>
    SSLProxyEngine On
</Proxy>
<ProxyMatch ^https://10\.0\.0\.10/.*\.php$>
    SSLProxyEngine On
</ProxyMatch>
<Proxy balancer://c>
    BalancerMember https://10.0.0.11
    SSLProxyEngine On
</Proxy>
ProxyPass /8/ https://10.0.0.8/
ProxyPassReverse /8/ https://10.0.0.8/
ProxyPass /9/ https://10.0.0.9/app/
ProxyPassReverse /9/ https://10.0.0.9/app/
ProxyPass /10/ https://10.0.0.10/
ProxyPassReverse /10/ https://10.0.0.10/
ProxyPass /c/ balancer://C/
ProxyPassReverse /c/ balancer://C/
RewriteEngine On
RewriteRule ^/r/(.*)$ https://10.0.0.9/$1 [P]
EOT
    [ 'SSLProxyEngine in the server of a handler', { modules => ['ssl'] }, <<'EOT' ],
<VirtualHost *:8080>
    SSLProxyEngine On
    <Location /h/>
        SetHandler "proxy:https://10.0.0.7/app/"
    </Location>
</VirtualHost>
EOT
    [ 'rules that lead to another part of this server', { modules => ['rewrite'] }, <<'EOT' ],
<VirtualHost *:%%PORT%%>
    ServerName app.example.com
    RewriteEngine On
    RewriteRule ^/local/ - [L]
    RewriteRule ^/(.*)$ http://localhost:%%PORT%%/local/$1 [P,L]
</VirtualHost>
<VirtualHost *:%%PORT%%>
    ServerName cond.example.com
    RewriteEngine On
    RewriteCond %{HTTP:X-Inside} !yes
    RewriteRule ^/(.*)$ http://cond.example.com:%%PORT%%/$1 [P,L]
</VirtualHost>
<VirtualHost *:%%PORT%%>
    ServerName other.example.com
    RewriteEngine On
    RewriteRule ^/(.*)$ http://localhost:%%PORT%%/$1 [P,L]
</VirtualHost>
<VirtualHost *:%%PORT%%>
    ServerName port.example.com
    RewriteEngine On
    RewriteRule ^/(.*)$ http://port.example.com:1/$1 [P,L]
</VirtualHost>
EOT
    [ 'Timeout where routes have another', {}, <<'EOT' ],
Timeout 3600
<VirtualHost *:80>
    ProxyTimeout 60
    ProxyPass / http://localhost:3000/
    ProxyPassReverse / http://localhost:3000/
</VirtualHost>
EOT
    [ 'a member that is another part of this server', { modules => ['slotmem_shm'] }, <<'EOT' ],
<Proxy balancer://app>
    BalancerMember http://localhost:%%PORT%%/local
</Proxy>
ProxyPass /app/ balancer://app/
ProxyPassReverse /app/ balancer://app/
EOT
    [ 'the engine of the main server is on in virtual hosts, too', { modules => ['rewrite'] }, <<'EOT' ],
RewriteEngine "On"
<VirtualHost *:80>
    RewriteRule ^/api/(.*)$ http://127.0.0.1:9000/$1 [P]
</VirtualHost>
EOT
    [ 'virtual hosts use the rules of the main server', { modules => ['rewrite'] }, <<'EOT' ],
RewriteRule ^/api/(.*)$ http://127.0.0.1:9000/$1 [P]
<VirtualHost *:80>
    RewriteEngine On
    RewriteOptions Inherit
</VirtualHost>
EOT
    [ 'SSLProxyEngine for a rule that nobody asks', { modules => [qw(ssl rewrite)] }, <<'EOT' ],
<VirtualHost *:8080>
    ServerName a.example.com
    SSLProxyEngine On
</VirtualHost>
<VirtualHost *:8080>
    ServerName b.example.com
    RewriteRule ^/(.*)$ https://backend.example.com/$1 [P,L]
    RevProxyLint -rewrite-off
</VirtualHost>
EOT
    [ 'rules that are skipped or belong to a chain', { modules => ['rewrite'] }, <<'EOT' ],
<VirtualHost *:80>
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} !websocket [NC]
    RewriteRule .* - [S=1]
    RewriteRule ^/(.*)$ ws://127.0.0.1:3000/$1 [P,L]
    RewriteRule ^/(.*)$ http://127.0.0.1:3000/$1 [P,L]
</VirtualHost>
<VirtualHost *:80>
    RewriteEngine On
    RewriteRule ^/api/ - [C]
    RewriteRule ^/(.*)$ http://127.0.0.1:9000/$1 [P]
    RewriteRule ^/(.*)$ http://127.0.0.1:3000/$1 [P]
</VirtualHost>
EOT
    [ 'a host is followed by nothing or a path', { modules => ['rewrite'] }, <<'EOT' ],
RewriteEngine On
RewriteRule ^/a(|/.*)$ http://[::1]:3000$1 [P]
RewriteRule ^/b(/?)$ http://[::1]:3000$1 [P]
<Location /z>
    RewriteEngine On
    RewriteRule z(/.*)$ http://127.0.0.1:3000$1 [P,L]
</Location>
ProxyPassMatch ^/c((?:/[^/]+)*)$ http://127.0.0.1:8000$1
ProxyPassMatch ^/d(?<rest>/.*)$ http://127.0.0.1:8001$1
ProxyPassMatch ^/e[])](?<=x)(\/.*)$ http://127.0.0.1:8002$1
ProxyPassMatch ^/f((?:/a|/b|)/.*)?$ http://127.0.0.1:8003$1
EOT
    [ 'conditions that match what browsers send', { modules => ['rewrite'] }, <<'EOT' ],
RewriteEngine On
RewriteCond %{HTTP:Connection} ^(keep-alive,\s*)?upgrade$ [NC]
RewriteRule ^/a ws://127.0.0.1:3000/a [P]
RewriteCond %{HTTP:Connection} "^.*Upgrade.*$"
RewriteRule ^/b ws://127.0.0.1:3000/b [P]
RewriteCond %{HTTP:Connection} !^Upgrade$ [NC]
RewriteRule ^/c http://127.0.0.1:3000/c [P]
EOT
    [ 'a manager that others guard', { modules => [qw(slotmem_shm authz_host)] }, <<'EOT' ],
<Location /balancer-manager>
    SetHandler balancer-manager
</Location>
<Location />
    Require ip 10.0.0.0/8
</Location>
<Location /bm>
    Require local
    <If "true">
        SetHandler balancer-manager
    </If>
</Location>
<VirtualHost 127.0.0.1:8081 [::1]:8081>
    <LocationMatch ^/m>
        SetHandler balancer-manager
    </LocationMatch>
</VirtualHost>
EOT
);
for my $case (@sound) {
    my ($name, $opt, $config) = @$case;
    my ($accepted, $said) = RevProxy->configtest(modules => $opt->{modules}, files => $opt->{files} || {}, config => "${config}RevProxyLint -resolve\n");
    ok $accepted && $said !~ /\[(?:loop|cert-dates|tls-engine|tls-rule|rewrite-\w+|host-append|ws-condition|manager|patience)\]/, $name or diag $said;
}

# As many lines as nobody has: what each of them costs does not grow with their number.
my $many = join '', map {"ProxyPass /p$_/ http://10.0.0.1/p$_/\nProxyPassReverse /p$_/ http://10.0.0.1/p$_/\n"} 1 .. 10000;
my $before = (times)[2] + (times)[3];
my ($ok, $output) = RevProxy->configtest(config => $many);
cmp_ok((times)[2] + (times)[3] - $before, '<', 5 * $RevProxy::SLOW, '10000 routes: seconds of CPU');
unlike $output, qr/lint:/, '... and nothing to say';

# A name server that does not answer holds configtest up for two seconds, whatever the number of names.
my $hanging = join '', map {"ProxyPass /$_ http://hangs.invalid:$_/\n"} 1 .. 9;
$names->set(map { ("h$_.invalid" => [ ('slow') x 9 ]) } 1 .. 20);
$hanging .= join '', map {"ProxyPass /h$_ http://h$_.invalid\n"} 1 .. 20;
my $start = time;
($ok, $output) = RevProxy->configtest(env => { $names->env }, config => $hanging);
cmp_ok time - $start, '<', 2 + 3 * $RevProxy::SLOW, 'names that nobody answers for: seconds';
ok $ok, '... and configtest goes on' or diag $output;
unlike $output, qr/\[resolve\]/, '... and says nothing of them';

done_testing;
