# Restarts under traffic, and what 2000 requests of all kinds leave behind: nothing.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;

my $SLOW = $RevProxy::SLOW;
my $app  = RevProxy::Backend->echo(backlog => 512);
my $odd  = RevProxy::Backend->new(name => 'odd', handler => sub {
    my ($c) = @_;
    while (my $r = $c->read_request) {
        my ($how) = $r->target =~ m{/(\w+)};
        if ($how eq 'reset') { $c->reset; return }
        if ($how eq 'close') { return }
        if ($how eq 'cut')   { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"); return }
        if ($how eq 'mute')  { $c->peer_closed(3); return }
        if ($how eq 'bad')   { $c->send("nonsense\r\n\r\n"); return }
        if ($how eq 'tail')  { $c->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok surplus"); next }
        $c->respond(200, [], 'ok');
    }
});
my $config = <<'EOT';
    ProxyPass /app/  %%URL:app%%/
    ProxyPass /odd/  %%URL:odd%%/ timeout=1 max=24
    ProxyPass /one/  %%URL:app%%/one/ max=1
    ProxyPass /gone/ http://127.0.0.1:%%PORT:gone%%/
    ProxyPass /file/ !
EOT
my $t = RevProxy->new(
    backends => { app => $app, odd => $odd }, config => $config, children_may_change => 1,
    threads => 16, docs => { 'file/x.txt' => "x\n" },
);

# --- graceful restarts while clients ask ---

# A process that asks until it is told to stop; says how many answers were good, and what was not.
sub client {
    my ($keepalive, $path) = @_;
    pipe my $read, my $write or die $!;
    my $pid = fork // die $!;
    if (!$pid) {
        my ($stop, $good, %bad) = (0, 0);
        $SIG{TERM} = sub { $stop = 1 };
        my $k;
        while (!$stop) {
            my $reused = defined $k;
            $k //= eval { $t->connect } or do { $bad{'no connection'}++; sleep 0.01; next };
            my $r = $k->request(path => $path, timeout => 10);
            if (($r->status // 0) == 200 && !$r->truncated) { $good++ }
            # A server may close a kept connection at any time; RFC 9112 9.3.1 has the client ask again.
            elsif (!defined $r->status && $reused && $r->raw_head eq '') { }
            else { $bad{ $r->status // 'nothing' }++ }
            $k = undef if !$keepalive || $r->truncated || ($r->header('Connection') // '') =~ /close/i;
        }
        print $write join ',', $good, map {"$_: $bad{$_}"} sort keys %bad;
        close $write;
        POSIX::_exit(0);
    }
    close $write;
    return { pid => $pid, read => $read };
}

{
    my @clients = map { client($_ % 2, $_ % 3 ? '/app/x?reply-size=20000' : '/app/x?reply-delay=0.05') } 1 .. 6;
    for (1 .. 3) { sleep 0.4; $t->reload_graceful }
    sleep 0.4;
    kill TERM => $_->{pid} for @clients;
    my ($good, @bad) = 0;
    for my $c (@clients) {
        my $line = readline $c->{read};
        waitpid $c->{pid}, 0;
        my ($n, @more) = split /,/, $line;
        $good += $n;
        push @bad, @more;
    }
    cmp_ok $good, '>', 20 / $RevProxy::SLOW, "$good answers while httpd restarted three times";
    is "@bad", '', 'and not one request lost';
}

# A request that is under way when the restart comes ends well; so does one that waits without a thread.
{
    my @k = map { $t->connect } 1 .. 4;
    my $seen = () = $app->requests;
    $_->send_request(path => '/app/x?reply-delay=0.8&reply-size=3000') for @k;
    $app->wait_requests($seen + 4);
    $t->reload_graceful;
    is join(' ', map { my $r = $_->read_response; $r->status . ':' . $r->body_length } @k), join(' ', ('200:3000') x 4), 'requests under way';
    $_->close for @k;
}
# One child is left; the configuration was read anew.
$t->set_config($config . "ProxyPass /new/ %%URL:app%%/new/\n");
is $t->get('/new/x')->status, 404, 'not yet there';
$t->reload_graceful;
is $t->get('/new/x')->status, 200, 'a route added by a graceful restart';
my $deadline = time + 8 * $SLOW;
sleep 0.05 while $t->children > 1 && mpm ne 'prefork' && time < $deadline;

# --- descriptors ---

SKIP: {
    skip 'no /proc/PID/fd here', 3 if !-d "/proc/$$/fd";
    skip 'several children, which come and go', 3 if mpm eq 'prefork';
    my ($child) = $t->children;
    my $fds   = sub { my %fd = map { $_ => readlink } glob "/proc/$child/fd/*"; return \%fd };
    my $count = sub { return scalar keys %{ $fds->() } };
    # Warm: threads, the pool, the parking descriptors.
    $t->get('/app/x') for 1 .. 20;
    my @warm = map { $t->connect } 1 .. 16;
    $_->send_request(path => '/app/x?reply-delay=0.2') for @warm;
    $_->read_response, $_->close for @warm;
    $_->stop, $_->start for $app, $odd;
    sleep 1.2;
    $t->get('/gone/x');
    sleep 0.2;
    my $before = $count->();

    my @kinds = (
        [ '/app/x' ], [ '/app/x', body => 'x' x 100 ], [ '/app/x?reply-size=100000' ], [ '/app/x?reply-chunked=1' ],
        [ '/app/x?reply-close=2' ], [ '/app/x?reply-status=404' ], [ '/odd/reset' ], [ '/odd/close' ], [ '/odd/cut' ],
        [ '/odd/bad' ], [ '/odd/tail' ], [ '/odd/ok' ], [ '/gone/x' ], [ '/file/x.txt' ], [ '/one/x' ],
        [ '/app/x?reply-delay=0.02' ], [ '/app/x', chunks => [ 'x' x 30000 ] ], [ '/app/x', method => 'HEAD' ],
    );
    # Clients that leave: before the answer, in it, in their own body; and a backend that is silent.
    my %leave = (
        unanswered => sub { my ($k) = @_; $k->send_request(path => '/app/x?reply-delay=0.3'); sleep 0.002; $k->reset },
        unfinished => sub { my ($k) = @_; $k->send_request(path => '/app/x?reply-size=3000000'); $k->read_response(body => 0); $k->reset },
        uploading  => sub { my ($k) = @_; $k->send("POST /app/x HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n" . 'x' x 40000); $k->reset },
        closing    => sub { my ($k) = @_; $k->send_request(path => '/app/x?reply-delay=0.1'); $k->close },
        mute       => sub { my ($k) = @_; $k->send_request(path => '/odd/mute'); push @warm, $k },
    );
    my @leave = sort keys %leave;
    @warm = ();
    my ($requests, $since) = (0, time);
    while ($requests < 1000) {
        my $leaves = $leave[ ($requests / (@kinds + 1)) % @leave ];
        $leave{$leaves}->($t->connect) if $leaves ne 'mute' || @warm < 4;
        my @k;
        for my $kind (@kinds) {
            my ($path, %more) = @$kind;
            my $k = $t->connect;
            $k->send_request(path => $path, %more);
            push @k, $k;
        }
        $_->read_response, $_->close for @k;
        $requests += @kinds + 1;
    }
    $_->read_response, $_->close for @warm;
    sleep 0.5;    # for the answers that nobody waits for
    note sprintf '%d requests in %.1f s', $requests, time - $since;
    # The backends close what is in the pool; what is left then is leaked.
    $_->stop, $_->start for $app, $odd;
    my $until = time + (front() eq 'mod_proxy' ? 0 : 6 * $SLOW);
    my $after;
    while (1) {
        $t->get('/app/x?reply-close=1');    # gives the pool a reason to look
        sleep 0.15;
        $after = $count->();
        last if $after <= $before || time > $until;
    }
    only_ours {
        cmp_ok $after, '<=', $before, "descriptors of the child: $before before, $after after $requests requests"
            or diag map { my $fd = $fds->(); map {"$_ $fd->{$_}\n"} sort keys %$fd } 1;
    } 'it keeps connections that their backend has closed until it needs one';
    is(($t->children)[0], $child, 'in the same child');
    is $t->get('/one/x')->status, 200, 'a pool of one connection is free';
}

# --- graceful stop ---

{
    my @k = map { $t->connect } 1 .. 3;
    my $seen = () = $app->requests;
    $_->send_request(path => '/app/last?reply-delay=0.7') for @k;
    $app->wait_for(sub { 3 <= grep { $_->target =~ /last/ } $app->requests });
    my $pid = $t->pid;
    kill WINCH => $pid;
    is join(' ', map { $_->read_response->status } @k), '200 200 200', 'graceful-stop: requests under way end well';
    $_->close for @k;
    my $until = time + 8 * $SLOW;
    my $gone;
    while (!($gone = waitpid $pid, POSIX::WNOHANG()) && time < $until) { sleep 0.02 }
    is $gone, $pid, 'and then httpd is gone';
    is $?, 0, 'in order';
    $t->forget_process;
}

if (front() eq 'mod_proxy' || mpm eq 'prefork') { $t->allow(qr/AH0\d{4}/) }
else {
    $t->claim_fault('RP0102', route => '/gone/', phase => 'connecting');
    $t->claim_fault('RP0401', route => '/odd/', phase => 'relaying the response body');
    $t->claim_fault('RP0302', route => '/odd/', phase => 'waiting for the response');
    $t->claim(qr/$_ .*route \/odd\//, "$_ came, too") for qw(RP0301 RP0303 RP0304);
    $t->allow(qr/RP0[25]0/);
    # On a connection of the pool that the backend had just closed, and then on a new one.
    $t->allow(qr{RP03\d\d .*route /odd/ .* attempt 2 });
}
$t->allow(qr/AH00(?:161|286|288|484|485)/);    # all threads were busy
$t->finish;
done_testing;
