package RevProxy::Routes;

# The entry routes: every way by which a request gets to a backend. The one list of them; a test that runs "over all
# routes" takes it from here, so that a new way in is a new row.

use strict;
use warnings;

# name      also the first path segment: /name/...; what it is
# config    with %%URL:app%% (TCP), %%SOCK:uds%% (unix socket); server level
# docs      files under the DocumentRoot
# backend   app or uds: which one is asked
# raw       1: the target is what the client sent, not the canonical path
# path      where the backend sees it (default: the same path)
our @ALL = (
    { name => 'px', what => 'ProxyPass', config => 'ProxyPass /px/ %%URL:app%%/px/' },
    { name => 'pm', what => 'ProxyPassMatch', config => 'ProxyPassMatch ^/pm/(.*)$ %%URL:app%%/pm/$1' },
    { name => 'lo', what => 'ProxyPass in a Location', config => "<Location /lo/>\nProxyPass %%URL:app%%/lo/\n</Location>" },
    { name => 'rw', what => 'RewriteRule [P]', config => 'RewriteRule ^/rw/(.*)$ %%URL:app%%/rw/$1 [P]' },
    { name => 'dl', what => '[P] in a Location',
      config => "<Location /dl/>\nRewriteEngine On\nRewriteRule dl/(.*)\$ %%URL:app%%/dl/\$1 [P]\n</Location>" },
    { name => 'ht', what => '[P] in .htaccess', config => "<Directory %%DOCROOT%%/ht>\nAllowOverride All\n</Directory>",
      docs => { 'ht/.htaccess' => "RewriteEngine On\nRewriteRule ^(.*)\$ %%URL:app%%/ht/\$1 [P]\n" } },
    { name => 'un', what => 'unix:', config => 'ProxyPass /un/ unix:%%SOCK:uds%%|http://app/un/', backend => 'uds' },
    { name => 'ru', what => '[P] to unix:', config => 'RewriteRule ^/ru/(.*)$ unix:%%SOCK:uds%%|http://app/ru/$1 [P]', backend => 'uds' },
    { name => 'ws', what => 'ws:// as plain http', config => 'ProxyPass /ws/ ws://127.0.0.1:%%PORT:app%%/ws/' },
    { name => 'ba', what => 'balancer://',
      config => "<Proxy balancer://routes>\nBalancerMember %%URL:app%%\n</Proxy>\nProxyPass /ba/ balancer://routes/ba/" },
    { name => 'rb', what => '[P] to balancer://', config => 'RewriteRule ^/rb/(.*)$ balancer://routes/rb/$1 [P]' },
    { name => 'nc', what => 'nocanon', config => 'ProxyPass /nc/ %%URL:app%%/nc/ nocanon', raw => 1 },
    { name => 'me', what => 'mapping=encoded', config => 'ProxyPass /me/ %%URL:app%%/me/ mapping=encoded', raw => 1 },
    { name => 'in', what => 'interpolated target',
      config => "SetEnvIf Request_URI ^/in/(.*)\$ REST=\$1\nProxyPassInterpolateEnv On\n"
          . 'ProxyPassMatch ^/in/ %%URL:app%%/in/${REST} interpolate' },
    { name => 'sh', what => 'SetHandler', config => "<Location /sh/>\nSetHandler \"proxy:%%URL:app%%\"\n</Location>" },
);

# Those of the given names, or all.
sub list {
    my (@names) = @_;
    return @ALL if !@names;
    my %by = map { $_->{name} => $_ } @ALL;
    return map { $by{$_} || die "no route $_\n" } @names;
}

sub config { return join "\n", 'RewriteEngine On', map({ $_->{config} } @ALL), '' }
sub docs   { return { map { %{ $_->{docs} || {} } } @ALL } }

1;
