# Backends that the configuration takes out of service: status=D, status=S, ProxyBlock.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my $t   = RevProxy->new(
    backends => { app => $app },
    modules  => ['rewrite'],
    config   => <<'EOT');
    ProxyPass /disabled/ %%URL:app%%/d/ status=D
    ProxyPass /stopped/  %%URL:app%%/s/ status=+S
    ProxyPass /both/     %%URL:app%%/ds/ status=DS
    ProxyPass /undone/   %%URL:app%%/u/ status=D status=-D
    ProxyPass /mixed/    %%URL:app%%/m/ status=D-D
    # marks of members that mean nothing for a single backend
    ProxyPass /drain/    %%URL:app%%/n/ status=N
    ProxyPass /spare/    %%URL:app%%/r/ status=R
    ProxyPass /ignore/   %%URL:app%%/i/ status=I
    ProxyPass /set/      %%URL:app%%/set/
    <Proxy "%%URL:app%%/set/">
        ProxySet status=D
    </Proxy>
    ProxyPass /on/       %%URL:app%%/on/
    Listen 127.0.0.1:%%PORT:word%%
    <VirtualHost 127.0.0.1:%%PORT:word%%>
        ProxyBlock nothing.test 127.0.0
        ProxyPass /x/ %%URL:app%%/w/
        ProxyPass /name/ http://localhost:%%PORT:app%%/wn/
        RewriteEngine On
        RewriteRule ^/rw/(.*)$ %%URL:app%%/w/$1 [P]
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:all%%
    <VirtualHost 127.0.0.1:%%PORT:all%%>
        ProxyBlock *
        ProxyPass /x/ http://localhost:%%PORT:app%%/a/
    </VirtualHost>
    Listen 127.0.0.1:%%PORT:other%%
    <VirtualHost 127.0.0.1:%%PORT:other%%>
        ProxyBlock elsewhere.test
        ProxyPass /x/ %%URL:app%%/o/
    </VirtualHost>
EOT

sub status_of {
    my ($path, %opt) = @_;
    $app->forget;
    my $r = $t->get($path, %opt);
    return $r->status . (scalar(my @all = $app->requests) ? ' sent' : '');
}

for my $path (qw(/disabled/ /stopped/ /both/ /set/)) {
    is status_of("${path}x"), 503, "$path: 503, and nothing is sent";
    $t->claim_fault('RP0107', route => $path, phase => 'choosing a backend', count => 1);
}
is status_of("/$_/x"), '200 sent', "/$_/: in service" for qw(undone mixed drain spare ignore on);

is status_of('/x/y', to => 'word'),    403, 'ProxyBlock: the host contains the word';
is status_of('/rw/y', to => 'word'),   403, 'ProxyBlock: holds for rewrite rules';
is status_of('/name/y', to => 'word'), '200 sent', 'ProxyBlock: another host';
is status_of('/x/y', to => 'all'),     403, 'ProxyBlock *';
is status_of('/x/y', to => 'other'),   '200 sent', 'ProxyBlock of others';
is status_of('/on/y'),                 '200 sent', 'and of other servers';
if (front() eq 'mod_proxy') { $t->allow(qr/AH0\d{4}/) }
else                        { $t->claim(qr/RP0601 backend is blocked by ProxyBlock/, 'RP0601', count => 3) }

$t->finish;
done_testing;
