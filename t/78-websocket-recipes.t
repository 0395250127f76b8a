# WebSocket recipes as users write them, found in the issues of a dozen projects: each as it stands there, with the
# handshake of Chromium and of Firefox, pages beside it; and each as one ProxyPass line.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time);
use RevProxy;
use RevProxy::Node;
use RevProxy::WebSocket;

my $is_stock = front() eq 'mod_proxy';
my %back = map { ($_ => RevProxy::WebSocket->echo(name => $_)) } qw(app hub);
my ($cert, $key) = RevProxy->certificate('app.test', 'localhost', '*.test');    # ProxyPreserveHost: the name is the virtual host's
my $no_tls = RevProxy::Node::why_not('ws');
my $tls    = RevProxy::Ports::reserve();
RevProxy::Node::start('ws-server.js', $tls, $cert, $key) if !$no_tls;

# name => where it is from; lines: as written there, APP, HUB and TLS for the addresses; one: the same as one line;
# socket: path of the client => of the backend (hub: where that is); page: likewise;
# stock: what mod_proxy makes of it, where it is not the same: 'chromium' only, or 'none'.
my $REWRITE_ALL = <<'EOT';
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteRule /(.*)           ws://APP/$1 [P,L]
    RewriteCond %{HTTP:Upgrade} !=websocket [NC]
    RewriteRule /(.*)           http://APP/$1 [P,L]
    ProxyPassReverse / http://APP/
EOT
my $ONE_FOR_ALL = 'ProxyPass / http://APP/';
my @recipes = (
    { name => 'cockpit #9543, Rocket.Chat #6537: two rules', lines => $REWRITE_ALL, one => $ONE_FOR_ALL,
        socket => [ '/cockpit/socket?a=b' => '/cockpit/socket?a=b' ], page => [ '/x?y=z' => '/x?y=z' ] },
    { name => 'cockpit #5812: a Location behind the catch-all', tls => 1, lines => <<'EOT', one => "SSLProxyEngine On\nProxyPass / https://TLS/",
    SSLProxyEngine On
    RequestHeader set Front-End-Https "On"
    ProxyPreserveHost On
    ProxyPass / https://TLS/
    ProxyPassReverse / https://TLS/
    <Location "/cockpit/socket">
        ProxyPass "wss://TLS/cockpit/socket"
    </Location>
EOT
        socket => [ '/cockpit/socket' => '/cockpit/socket' ], page => [ '/x' => '/x' ] },
    { name => 'Rocket.Chat #4266: ProxyPassMatch', lines => <<'EOT', one => $ONE_FOR_ALL,
    ProxyPreserveHost On
    ProxyPassMatch ^/sockjs/(.*)/websocket ws://APP/sockjs/$1/websocket
    ProxyPass / http://APP/
    ProxyPassReverse / http://APP/
EOT
        socket => [ '/sockjs/717/2ox1ssjn/websocket' => '/sockjs/717/2ox1ssjn/websocket' ], page => [ '/sockjs/info' => '/sockjs/info' ] },
    { name => 'Rocket.Chat.Android #2225: rules in a Location', lines => <<'EOT', one => 'ProxyPass /mm http://APP/mm',
    <Location /mm>
        RewriteEngine On
        RewriteCond %{REQUEST_URI} /mm/api/v[0-9]+/(users/)?websocket [NC,OR]
        RewriteCond %{HTTP:UPGRADE} ^WebSocket$ [NC,OR]
        RewriteCond %{HTTP:CONNECTION} ^Upgrade$ [NC]
        RewriteRule .* ws://APP%{REQUEST_URI} [P,QSA,L]
        Require all granted
        ProxyPass http://APP/mm
        ProxyPassReverse http://APP/mm
        ProxyPassReverseCookieDomain 127.0.0.1 thawn.example.org
    </Location>
EOT
        socket => [ '/mm/api/v4/websocket' => '/mm/api/v4/websocket' ], page => [ '/mm/channels' => '/mm/channels' ] },
    { name => 'thingsboard #1144: the socket\'s rule behind the catch-all', lines => <<'EOT', one => $ONE_FOR_ALL, stock => 'none',
    ProxyPass / http://APP/
    ProxyPassReverse / http://APP/
    ProxyPassReverseCookieDomain / http://APP/
    ProxyPassReverseCookiePath / http://APP/
    ProxyPass /api/ws ws://APP/
    ProxyPassReverse /api/ws ws://APP/
EOT
        socket => [ '/api/ws/plugins/telemetry?token=x' => '/api/ws/plugins/telemetry?token=x' ], page => [ '/x' => '/x' ] },
    { name => 'WebThings #1806: two rules for one path', lines => <<'EOT', one => $ONE_FOR_ALL, stock => 'none',
    ProxyPreserveHost On
    ProxyPass / http://APP/
    ProxyPassReverse / http://APP/
    ProxyPass / ws://APP/
    ProxyPassReverse / ws://APP/
EOT
        socket => [ '/things' => '/things' ], page => [ '/x' => '/x' ] },
    { name => 'vaultwarden #708: a port of its own, its path cut', lines => <<'EOT', one => "ProxyPass /notifications/hub http://HUB/\nProxyPass / http://APP/",
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteRule /notifications/hub(.*) ws://HUB/$1 [P,L]
    ProxyPass / http://APP/
    ProxyPreserveHost On
    ProxyRequests Off
    RequestHeader set X-Real-IP %{REMOTE_ADDR}s
EOT
        socket => [ '/notifications/hub?access_token=x' => '/?access_token=x', 'hub' ], page => [ '/x' => '/x' ] },
    { name => 'vaultwarden #1588: every upgrade to the other port', lines => <<'EOT', one => "ProxyPass /hub http://HUB/hub\nProxyPass / http://APP/",
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteCond %{HTTP:Connection} upgrade [NC]
    RewriteRule ^/?(.*) "ws://HUB/$1" [P,L]
    ProxyPass / http://APP/
EOT
        socket => [ '/hub' => '/hub', 'hub' ], page => [ '/x' => '/x' ] },
    { name => 'gotify #638: two Locations, a path cut', lines => <<'EOT', one => 'ProxyPass /gotify/ http://APP/',
    ProxyPreserveHost On
    <Location /gotify/>
        ProxyPass http://APP/ retry=0 timeout=60
        ProxyPassReverse "http://APP/"
    </Location>
    <Location /gotify/stream>
        ProxyPass ws://APP/stream retry=0 timeout=60
    </Location>
EOT
        socket => [ '/gotify/stream?token=x' => '/stream?token=x' ], page => [ '/gotify/x' => '/x' ] },
    { name => 'quassel-webserver #217: a rule for a path', lines => <<'EOT', one => $ONE_FOR_ALL,
    RewriteEngine On
    RewriteCond %{HTTP:Connection} Upgrade [NC]
    RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteRule /p/socket(.*) ws://APP/p/socket$1 [P,L]
    ProxyPass / http://APP/
EOT
        socket => [ '/p/socket/info' => '/p/socket/info' ], page => [ '/p/x' => '/p/x' ] },
    { name => 'quassel-webserver #85: ws by ProxyPass', lines => <<'EOT', one => 'ProxyPass /quassel http://APP/quassel',
    ProxyPass /quassel/p/socket ws://APP/quassel/p/socket
    ProxyPass /quassel http://APP/quassel
    ProxyPassReverse /quassel http://APP/quassel
EOT
        socket => [ '/quassel/p/socket' => '/quassel/p/socket' ], page => [ '/quassel/x' => '/quassel/x' ] },
    { name => 'virtualmin #972, butterfly #165: anchored conditions', lines => <<'EOT', one => $ONE_FOR_ALL, stock => 'chromium',
    ProxyPreserveHost On
    RewriteEngine On
    RewriteCond %{HTTP:UPGRADE} ^WebSocket$   [NC]
    RewriteCond %{HTTP:CONNECTION} ^Upgrade$ [NC]
    RewriteRule .* ws://APP%{REQUEST_URI} [P]
    ProxyPass / "http://APP/"
    ProxyPassReverse / "http://APP"
EOT
        socket => [ '/api/v1/ws?a=b' => '/api/v1/ws?a=b' ], page => [ '/x' => '/x' ] },
    { name => 'cozy-proxy #170: by the query', lines => <<'EOT', one => $ONE_FOR_ALL,
    RewriteEngine           On
    RewriteCond             %{REQUEST_URI}  ^/socket.io            [NC]
    RewriteCond             %{QUERY_STRING} transport=websocket    [NC]
    RewriteRule             /(.*)           ws://APP/$1 [P,L]
    ProxyPass               / http://APP/ retry=0 Keepalive=On
    ProxyPassReverse        / http://APP/
EOT
        socket => [ '/socket.io/?EIO=4&transport=websocket' => '/socket.io/?EIO=4&transport=websocket' ],
        page   => [ '/socket.io/?EIO=4&transport=polling' => '/socket.io/?EIO=4&transport=polling' ] },
    { name => 'docker-handbrake #67: wss by %{REQUEST_URI}', tls => 1, lines => <<'EOT', one => "SSLProxyEngine On\nProxyPass / https://TLS/",
    ProxyPreserveHost On
    ProxyRequests Off
    SSLProxyEngine On
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteCond %{HTTP:Connection} upgrade [NC]
    RewriteRule .* "wss://TLS%{REQUEST_URI}" [P]
    ProxyPass "/" "https://TLS/"
    ProxyPassReverse "/" "https://TLS/"
EOT
        socket => [ '/websockify' => '/websockify' ], page => [ '/x' => '/x' ] },
    { name => 'vaadin #6059: upgrade= before the catch-all', lines => <<'EOT', one => 'ProxyPass /app http://APP/app',
    ProxyPass /app/VAADIN/push http://APP/app/VAADIN/push upgrade=websocket
    ProxyPass /app http://APP/app
EOT
        socket => [ '/app/VAADIN/push?v-r=push' => '/app/VAADIN/push?v-r=push' ], page => [ '/app/x' => '/app/x' ] },
    { name => 'vaadin #6059: its options lost to the worker of another rule', lines => <<'EOT', one => 'ProxyPass /app http://APP/app', stock => 'none',
    ProxyPass /other http://APP/
    ProxyPass /app/VAADIN/push http://APP/app/VAADIN/push upgrade=websocket
    ProxyPass /app http://APP/app
EOT
        socket => [ '/app/VAADIN/push' => '/app/VAADIN/push' ], page => [ '/app/x' => '/app/x' ] },
    { name => 'centreon #11141: a path to the root of another port', lines => <<'EOT', one => "ProxyPass /gorgone/pullwss/websocket http://HUB/\nProxyPass / http://APP/",
    <IfModule mod_proxy_wstunnel.c>
        ProxyPass "/gorgone/pullwss/websocket"  "ws://HUB/"
        ProxyPassReverse "/gorgone/pullwss/websocket"  "ws://HUB/"
    </IfModule>
    ProxyPass / http://APP/
EOT
        socket => [ '/gorgone/pullwss/websocket' => '/', 'hub' ], page => [ '/x' => '/x' ] },
    { name => 'express-ws #128, ws #2257: ws beside http, without keepalive', lines => <<'EOT', one => "SetEnv proxy-nokeepalive 1\nProxyPass / http://APP/",
    SetEnv proxy-nokeepalive 1
    ProxyPass /ws ws://APP/ws
    ProxyPass / http://APP/
    ProxyPassReverse / http://APP/
EOT
        socket => [ '/ws/echo' => '/ws/echo' ], page => [ '/x' => '/x' ] },
);

# One virtual host for each, one more for each as one line.
my %address = (APP => '127.0.0.1:%%PORT:app%%', HUB => '127.0.0.1:%%PORT:hub%%', TLS => "localhost:$tls");
my $config = '';
for my $i (0 .. $#recipes) {
    for my $form (qw(lines one)) {
        my $text = $recipes[$i]{$form};
        $text =~ s/\b(APP|HUB|TLS)\b/$address{$1}/g;
        $config .= "<VirtualHost 127.0.0.1:%%PORT%%>\n    ServerName $form-$i.test\n$text\n</VirtualHost>\n";
    }
}
my $t = RevProxy->new(backends => \%back, modules => [qw(rewrite headers ssl env)], threads => 24,
    config => "<VirtualHost 127.0.0.1:%%PORT%%>\nServerName default.test\n</VirtualHost>\n$config");

# The path that a socket to the path has reached, after an echo and a close in order; or what happened.
sub try_socket {
    my ($recipe, $host, $connection) = @_;
    my ($path, undef, $where) = @{ $recipe->{socket} };
    my $backend = $back{ $where // 'app' };
    $backend->forget;
    my $ws = eval { RevProxy::WebSocket->open($t, $path, headers => [ Host => $host, Connection => $connection ]) } or return "no socket: $@";
    my $target = $recipe->{tls} ? ($ws->said(5) // '') =~ s/^hello //r : ($backend->requests)[-1]->target;
    $ws->text('words');
    my $said  = $ws->said(5) // 'nothing';
    my $began = time;
    $ws->close(1000);
    my $bye = $ws->read(5);
    return "said $said" if $said ne 'words';
    return 'no close' if !$bye || ($bye->{code} // 0) != 1000 || !$ws->http->peer_closed(3);
    return 'a slow close' if time - $began > 2 * $RevProxy::SLOW;
    return $target;
}

my %CONNECTION = (chromium => 'Upgrade', firefox => 'keep-alive, Upgrade');
for my $i (0 .. $#recipes) {
    my $recipe = $recipes[$i];
    SKIP: {
        skip "$recipe->{name}: $no_tls", 6 if $recipe->{tls} && $no_tls;
        for my $form ($is_stock ? 'lines' : qw(lines one)) {
            my $name = $form eq 'one' ? "$recipe->{name}, as one ProxyPass line" : $recipe->{name};
            my $host = "$form-$i.test";
            for my $browser (sort keys %CONNECTION) {
                my $works = !$is_stock || !$recipe->{stock} || $recipe->{stock} eq $browser;
                my $got   = try_socket($recipe, $host, $CONNECTION{$browser});
                if   ($works) { is $got, $recipe->{socket}[1], "$name: $browser" }
                else          { like $got, qr/^no socket/, "$name: $browser has none" }
            }
            my ($path, $at) = @{ $recipe->{page} };
            my $body = $t->get($path, headers => [ Host => $host ])->body;
            like $body, qr/^(?:plain GET \Q$at\E upgrade -|page \Q$at\E\n)$/, "$name: pages";
        }
    }
}
$t->allow(qr/RP070[56]|lint:|\[ssl:|AH0\d{4}|AH10\d{3}/);
$t->finish;
done_testing;
