# Tomcat behind a balancer: its session ids end in jvmRoute, which leads back to the server that has the session, in
# the cookie as in ;jsessionid= of a URL; conf-examples/04-sticky-sessions.conf in front of it.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;
use RevProxy::Tomcat;

my $why = RevProxy::Tomcat::why_not();
plan skip_all => $why if $why;

my $tomcat = RevProxy::Tomcat->new(routes => [qw(a b)], pages => { 'count.jsp' => <<'EOT' });
<%@ page contentType="text/plain; charset=UTF-8" %><%
Integer n = (Integer) session.getAttribute("n");
session.setAttribute("n", n = n == null ? 1 : n + 1);
if (request.getParameter("redirect") != null) {
    String self = request.getRequestURL().toString().replaceAll(";.*", "");
    response.sendRedirect(response.encodeRedirectURL(self));
    return;
}
String from = request.isRequestedSessionIdFromCookie() ? "cookie" : request.isRequestedSessionIdFromURL() ? "url" : "new";
%>visit <%= n %> session <%= session.getId() %> from <%= from %> link <%= response.encodeURL("/count.jsp") %>
EOT
my ($a, $b) = map { $tomcat->port($_) } qw(a b);
my $members = "BalancerMember http://127.0.0.1:$a route=a\n    BalancerMember http://127.0.0.1:$b route=b";

my $t = RevProxy->new(
    modules => [qw(slotmem_shm headers)],
    children_may_change => 1,
    process => mpm() eq 'prefork'
    ? "StartServers 6\nServerLimit 32\nMaxRequestWorkers 32"
    : "ServerLimit 8\nStartServers 4\nThreadsPerChild 8\nMaxRequestWorkers 32\nMinSpareThreads 8\nMaxSpareThreads 32",
    config => <<"EOT");
<Proxy balancer://tomcat>
    $members
    ProxySet stickysession=JSESSIONID|jsessionid scolonpathdelim=On
</Proxy>
ProxyPass        / balancer://tomcat/
ProxyPassReverse / balancer://tomcat/
EOT

# A page as (visit, session, from, link).
sub visit {
    my ($path, $session) = @_;
    my $r = $t->get($path, headers => [ $session ? (Cookie => "JSESSIONID=$session") : () ]);
    return $r->body =~ /^visit (\d+) session (\S+) from (\w+) link (\S+)/m;
}

my %session;
for (1 .. 4) {
    my ($n, $session, $from) = visit('/count.jsp');
    is "$n $from", '1 new', 'a new session';
    $session{ ($session =~ /\.(\w)$/)[0] } = $session;
}
is join(' ', sort keys %session), 'a b', 'new sessions go to both servers';

for my $route (qw(a b)) {
    my $session = $session{$route};
    my @visits = map { join ' ', (visit('/count.jsp', $session))[ 0 .. 2 ] } 2 .. 9;
    is join(',', @visits), join(',', map {"$_ $session cookie"} 2 .. 9), "$route: the cookie leads back each time";

    # A client without cookies goes by the links that the page gives it.
    my $path = "/count.jsp;jsessionid=$session";
    @visits = map { join ' ', (visit("$path?q=$_"))[ 0, 2, 3 ] } 10 .. 17;
    is join(',', @visits), join(',', map {"$_ url $path"} 10 .. 17), "$route: ;jsessionid= leads back each time";

    my $r = $t->get("$path?redirect=1");
    is $r->header('Location'), "http://127.0.0.1:" . $t->port . $path, "$route: a redirect comes back as ours, with the session";
    is join(' ', (visit($path))[0]), 19, '... and leads back, too';
}

# Through a restart, and a stop and start.
$t->reload_graceful;
is join(' ', map { (visit('/count.jsp', $session{$_}))[0] } qw(a b a b)), '20 20 21 21', 'sessions go on after a graceful restart';
$t->start_again;
is join(' ', map { (visit('/count.jsp', $session{$_}))[0] } qw(a b a b)), '22 22 23 23', '... and after a stop and start';

# Over several children and kept connections.
my @clients = map { { connection => $t->connect } } 1 .. 20;
for my $round (1 .. 5) {
    for my $client (@clients) {
        my $r = $client->{connection}->request(path => '/count.jsp', headers => [ $client->{session} ? (Cookie => "JSESSIONID=$client->{session}") : () ]);
        my ($n, $session) = $r->body =~ /^visit (\d+) session (\S+)/;
        $client->{session} //= $session;
        $client->{lost} = 1 if $n != $round || $session ne $client->{session};
    }
}
is scalar(grep { $_->{lost} } @clients), 0, 'twenty clients keep their sessions';
$t->allow(qr/AH00287|AH00484|AH03490/);
$t->finish;

# The recipe as it is shipped.
if (front() ne 'mod_proxy') {
    my $example = '04-sticky-sessions.conf';
    $t = RevProxy->new(
        modules => [ RevProxy->example_modules($example) ],
        config  => RevProxy->example($example, '*:80' => '*:%%PORT%%', '10.0.0.1:8080' => "127.0.0.1:$a", '10.0.0.2:8080' => "127.0.0.1:$b",
            'balancer://tomcat/shop' => 'balancer://tomcat'),
    );
    for my $route (qw(a b)) {
        my @n = map { (visit('/shop/count.jsp', $session{$route}))[0] } 1 .. 3;
        is $n[2] - $n[0], 2, "$example: the session on $route";
    }
    $t->finish;
}
done_testing;
