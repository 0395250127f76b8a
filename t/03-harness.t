# The harness itself: that a test fails when it should, and that client and backends report what
# was on the wire. Needs httpd, but no proxy module.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Temp ();
use RevProxy;

# --- the end of a test -------------------------------------------------------------------------

# Runs a test file of its own around a server without proxy. Returns (exit status, output).
sub nested {
    my ($body, %env) = @_;
    my $file = File::Temp->new(SUFFIX => '.t');
    print $file <<'HEAD', $body, "\ndone_testing;\n";
use strict; use warnings; use Test::More; use RevProxy;
my $t = RevProxy->new(docs => { 'a.txt' => "hello\n", 'no.txt' => '' }, config => <<'EOT');
<Files no.txt>
    Require all denied
</Files>
EOT
is $t->get('/a.txt')->body, "hello\n", 'served';
HEAD
    close $file;
    local %ENV = (%ENV, RP_FRONT => 'none', %env);
    delete $ENV{HARNESS_ACTIVE};
    my $output = qx($^X -I t/lib @{[ $file->filename ]} 2>&1);
    my $status = $?;
    File::Path::remove_tree($1) while $output =~ /kept in (\S+)/g;
    return ($status, $output);
}

sub fails {
    my ($name, $body, $expected, %env) = @_;
    my ($status, $output) = nested($body, %env);
    ok $status != 0 && $output =~ $expected, "fails: $name" or diag $output;
    return $output;
}

sub passes {
    my ($name, $body, %env) = @_;
    my ($status, $output) = nested($body, %env);
    ok $status == 0 && $output !~ /^not ok/m, "passes: $name" or diag $output;
    return $output;
}

my $denied = q{is $t->get('/no.txt')->status, 403;};

passes('a quiet test', '$t->finish;');
fails('an unclaimed error', "$denied \$t->finish;", qr/^not ok.*unclaimed.*AH01630/ms);
passes('a claimed error', "$denied \$t->claim(qr/AH01630/); \$t->finish;");
passes('an allowed error', "$denied \$t->allow(qr/AH01630/); \$t->finish;");
fails('a claim that nothing meets', '$t->claim(qr/RP9999/); $t->finish;', qr/^not ok.*RP9999/m);
fails('a wrong count', "$denied \$t->claim(qr/AH01630/, 'twice', count => 2); \$t->finish;", qr/^not ok.*twice/m);
fails('a forgotten finish', "ok 1;", qr/finish was not called/);
fails('a child that was killed', 'kill SEGV => ($t->children)[0]; $t->wait_log(qr/exit signal/); $t->finish;',
    qr/^not ok.*unclaimed.*exit signal.*^not ok.*same children/ms);
fails('a report of a sanitizer',
    q{RevProxy::write_file($t->dir . '/san/asan.1', "ERROR: x\n"); $t->finish;}, qr/^not ok.*sanitizer/m);
fails('a backend that died', <<'EOT', qr/^not ok.*backends.*lost my way/ms);
my $b = $t->{backends}{x} = RevProxy::Backend->new(sub { die "lost my way\n" });
my $k = RevProxy::Client->new(port => $b->port); $k->peer_closed; $b->wait_closed; $t->finish;
EOT
fails('a file that takes too long', 'sleep 20;', qr/more than 1 seconds/, RP_TIMEOUT => 1 / $RevProxy::SLOW)
    if $RevProxy::SLOW == 1;

{
    my $output = fails('a test that is killed', q{diag 'httpd ' . $t->pid; $t->{failed} = 1; diag "kept in " . $t->dir; kill KILL => $$;}, qr/httpd/);
    my ($pid) = $output =~ /httpd (\d+)/;
    my $gone;
    for (1 .. 500) { last if $gone = !kill 0 => $pid; select undef, undef, undef, 0.02 }
    ok $gone, 'and its httpd ends all the same';
}

{
    local $ENV{RP_FRONT} = 'none';
    my ($ok, $output) = RevProxy->configtest(config => "# one\nNoSuchThing 1\n");
    is $ok, 0, 'configtest refuses';
    like $output, qr{line 2 of \S+/conf/test\.conf}, 'and names the line of the text given';
    ($ok, $output) = RevProxy->configtest(config => "<Location /x>\n</Location>\n", modules => ['headers']);
    is $ok, 1, 'configtest accepts' or diag $output;
}

{
    my $stock = bless { front => 'mod_proxy' }, 'RevProxy';
    is $stock->for_front(<<'A'), <<'B', 'configuration for the stock modules';
RevProxyPass /a http://b/
    ProxyPass /c http://d/
<RevProxy balancer://x>
RevProxyParkAfter 10
</RevProxy>
A
ProxyPass /a http://b/
    ProxyPass /c http://d/
<Proxy balancer://x>
# RevProxyParkAfter 10
</Proxy>
B
    $stock->{done} = 1;
}

# --- the server --------------------------------------------------------------------------------

{
    local $ENV{RP_FRONT} = 'none';
    my $t = RevProxy->new(config => "Listen 127.0.0.1:%%PORT:second%%\n", docs => { 'a.txt' => 'one' }, loglevel => 'core:info');
    is $t->request(to => 'second', path => '/a.txt')->body, 'one', 'a second port';
    my @before = $t->children;
    $t->set_config("Listen 127.0.0.1:%%PORT:second%%\nRedirect 302 /b.txt http://example.com/\n");
    $t->reload_graceful;
    is $t->get('/b.txt')->header('Location'), 'http://example.com/', 'a reload takes another configuration';
    isnt "@{[ sort $t->children ]}", "@{[ sort @before ]}", 'and other children';
    cmp_ok $t->rss_kb, '>', 100, 'memory of the children';
    like $t->raw("GET /a.txt HTTP/1.0\r\n\r\n"), qr{^HTTP/1\.1 200.*one\z}s, 'raw bytes';
    is scalar($t->access_log(3)), 3, 'access log';
    is $t->curl("http://127.0.0.1:@{[ $t->port ]}/a.txt")->{out}, 'one', 'curl';
    $t->finish;
}

# --- client and backends -----------------------------------------------------------------------

sub talk {
    my ($handler, @requests) = @_;
    my $b = RevProxy::Backend->new($handler);
    my $k = RevProxy::Client->new(port => $b->port);
    my @got = map { $k->request(path => '/', timeout => 2, %$_) } @requests;
    $k->close;
    return (@got, $b);
}

sub sends {
    my ($bytes, $then) = @_;
    return sub { my ($c) = @_; $c->read_request; $c->send($bytes); $then->($c) if $then };
}

{
    my ($r, $b) = talk(sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
                . "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX: 1\r\n\r\n"), {});
    is $r->body, 'hello world', 'chunked body';
    is_deeply $r->chunks, [ 5, 6 ], 'sizes of chunks';
    is_deeply $r->trailers, [ [ 'X', 1 ] ], 'trailers';
    is $r->framing . $r->truncated, 'chunked0', 'whole';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), {});
    is $r->truncated, 1, 'chunked without its end is truncated';
    is $r->body, 'hello', 'with what came';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"), {});
    is $r->truncated, 1, 'a chunk without its line end is truncated';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), {});
    is $r->truncated . $r->body, '1hello', 'Content-Length cut short is truncated';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\n\r\nhello"), {});
    is $r->framing . $r->truncated . $r->body, 'close0hello', 'closing ends a body in order';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\n\r\nhello", sub { $_[0]->pause(0.1); $_[0]->reset }), {});
    is $r->truncated, 1, 'a reset does not';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\nContent-"), {});
    ok !defined $r->status && $r->truncated, 'a head cut short has no status';
}
{
    my ($r) = talk(sends("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", sub { $_[0]->pause(2) }), { timeout => 0.3 });
    ok $r->timeout && $r->truncated, 'silence is a timeout';
    cmp_ok $r->time, '>=', 0.3, 'time taken';
}
{
    my ($r) = talk(sends("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: 1\r\na: 2\r\n\r\nok"), {});
    is scalar @{ $r->interim }, 1, 'an interim response';
    is $r->interim->[0]->status . $r->interim->[0]->header('link'), '103a', 'is parsed';
    is $r->status . $r->body . $r->header('A'), '200ok1, 2', 'and the final one after it';
    is_deeply [ $r->all('A') ], [ 1, 2 ], 'fields keep their order';
}
{
    my ($r, $s) = talk(sub { my ($c) = @_; while ($c->read_request) { $c->respond(200, [ X => 1 ], 'body') } }, { method => 'HEAD' }, {});
    is $r->body . '|' . $r->header('Content-Length'), '|4', 'HEAD has no body';
    is $s->body, 'body', 'the connection goes on after it';
}

{
    my $b = RevProxy::Backend->echo;
    my $k = RevProxy::Client->new(port => $b->port);
    my $r = $k->request(path => '/a', method => 'POST', body => 'x' x 100_000, headers => [ 'X-One' => 1, 'x-one' => 2 ]);
    like $r->body, qr{\APOST /a HTTP/1\.1\n.*^body-length: 100000\n}ms, 'echo';
    $r = $k->request(path => '/b', chunks => [ 'ab', 'cde' ], trailers => [ T => 1 ]);
    $r = $k->request(path => '/c?reply-status=404&reply-body=gone%21', headers => [ 'X-Reply-Header' => 'X-A: b' ]);
    is $r->status . $r->body . $r->header('X-A'), '404gone!b', 'echo obeys';
    $r = $k->request(headers => [ 'X-Reply-Size' => 50_000, 'X-Reply-Chunked' => 1000 ]);
    is scalar @{ $r->chunks }, 50, 'chunks of the size asked for';
    is $r->body, RevProxy::Backend::pattern(50_000), 'with the known pattern';
    is $b->connections, 1, 'one connection was counted';
    is $b->open_connections, 1, 'and is open';
    $k->close;
    ok $b->wait_closed, 'until the client closes it';
    my $k2 = RevProxy::Client->new(port => $b->port);
    $k2->request(headers => [ 'X-Reply-Raw-B64' => 'SFRUUC8xLjEgMjA0IE4NCg0K' ]);
    my @seen = $b->requests;
    is_deeply [ map { [ $_->connection, $_->number ] } @seen ], [ [ 1, 1 ], [ 1, 2 ], [ 1, 3 ], [ 1, 4 ], [ 2, 1 ] ], 'requests by connection';
    is_deeply [ $seen[0]->all('X-One') ], [ 1, 2 ], 'recorded fields';
    is $seen[0]->body_length, 100_000, 'recorded length';
    is join('|', $seen[1]->framing, $seen[1]->body, "@{ $seen[1]->chunks }", $seen[1]->trailers->[0][0]), 'chunked|abcde|2 3|T', 'recorded chunks';
    $b->stop;
    ok !eval { RevProxy::Client->new(port => $b->port); 1 }, 'a stopped backend refuses';
    $b->start;
    is(RevProxy::Client->new(port => $b->port)->request->status, 200, 'and answers when started again');
    is $b->connections, 3, 'counting on';
}
{
    my $b = RevProxy::Backend->new(unix => 1, handler => sub {
        my ($c) = @_;
        my $r = $c->read_request(body => 0);
        $c->note('head seen');
        $c->wait_signal('go');
        $c->read_body($r);
        $c->respond(200, [], $r->body);
    });
    my $k = RevProxy::Client->new(unix => $b->path);
    $k->send_request(headers => [ Host => 'x' ], body => 'abc');
    ok $b->wait_note(qr/head seen/), 'a note from a handler';
    ok !$k->peer_closed(0.1), 'which waits';
    $b->signal('go');
    is $k->read_response->body, 'abc', 'for a signal; over a unix socket';
}

done_testing;
