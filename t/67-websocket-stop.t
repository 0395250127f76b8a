# What becomes of open WebSockets when httpd ends or starts again: gracefully, over RevProxyTunnelDrain; else at once. Each
# is told, where its stream stands at a frame border and its connection is still there; and each has its log line.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::WebSocket;

plan skip_all => 'mod_proxy keeps them through a graceful restart, and tells nobody' if front() eq 'mod_proxy';

my $WS   = 'RevProxy::WebSocket';
my $SLOW = $RevProxy::SLOW;
my $app  = $WS->echo(name => 'app');
my $half = RevProxy::Backend->new(name => 'half', handler => sub {
    my ($c) = @_;
    my $r = $c->read_request or return;
    $WS->accept($c, $r);
    $c->send(substr RevProxy::WebSocket::format_frame(1, 'x' x 100), 0, 50);
    $c->peer_closed(30 * $SLOW);
});
my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', '127.0.0.1');
my $few = mpm eq 'prefork' ? 3 : 12;
# httpd closes the sockets of the threads it stops, so only what waits without a thread can still be told. Prefork's children exit.
my $is_told_at_once = mpm eq 'event';

sub server {
    return RevProxy->new(backends => { app => $app, half => $half }, modules => ['ssl'], timeout => 60, children_may_change => 1, config => <<"EOT");
        RevProxyTunnelDrain 2
        GracefulShutdownTimeout 20
        ProxyPass /ws/   http://127.0.0.1:%%PORT:app%%/
        ProxyPass /half/ http://127.0.0.1:%%PORT:half%%/
        Listen 127.0.0.1:%%PORT:tls%%
        <VirtualHost 127.0.0.1:%%PORT:tls%%>
            ServerName front.test
            SSLEngine on
            SSLCertificateFile $cert
            SSLCertificateKeyFile $key
        </VirtualHost>
EOT
}

sub open_all {
    my ($t) = @_;
    my @ws = ((map { $WS->open($t, '/ws/x') } 1 .. $few), $WS->open($t, '/ws/tls', to => 'tls', tls => 1));
    for my $ws (@ws) { $ws->text('a'); $ws->said(5 * $SLOW) // die "no echo\n" }
    return @ws;
}

# Each one's close code and when it came, once all connections are closed.
sub watch_end {
    my ($since, @ws) = @_;
    my @end;
    for my $ws (@ws) {
        my $bye = $ws->read(8 * $SLOW);
        push @end, { code => $bye ? $bye->{code} : undef, at => time - $since };
        $ws->close(1001);
        $end[-1]{closed} = $ws->http->peer_closed(5 * $SLOW);
    }
    return @end;
}

sub is_gone_in {
    my ($pid, $seconds) = @_;
    my $until = time + $seconds;
    while (time < $until) { return 1 if waitpid $pid, POSIX::WNOHANG(); sleep 0.02 }
    return 0;
}

sub count_of { my ($what, @lines) = @_; return scalar grep { $_ =~ $what } @lines }

# --- gracefully ----------------------------------------------------------------------------------

for my $case ([ 'graceful restart', sub { $_[0]->reload_graceful } ], [ 'graceful stop', sub { kill WINCH => $_[0]->pid } ]) {
    my ($name, $end_it) = @$case;
    my $t     = server();
    my @ws    = open_all($t);
    my $inner = $WS->open($t, '/half/x');
    my $since = time;
    $end_it->($t);
    my @end = watch_end($since, @ws);
    is count_of(qr/1001/, map { $_->{code} // '' } @end), scalar @ws, "$name: all get close code 1001";
    my ($last) = sort { $b <=> $a } map { $_->{at} } @end;
    cmp_ok $last, '<', 4.5 * $SLOW, 'within RevProxyTunnelDrain';
    cmp_ok $last, '>', 0.4, 'not all at once' if $few > 3;
    my $rest = '';
    $inner->http->read_to_end(time + 5 * $SLOW, sub { $rest .= $_[0] });
    is length $rest, 50, 'nothing is put into the middle of a frame';
    if ($name =~ /stop/) {
        ok is_gone_in($t->pid, 10 * $SLOW), 'and then httpd is gone';
        $t->forget_process;
    }
    else {
        my $ws = $WS->open($t, '/ws/x');
        $ws->text('new');
        is $ws->said(3 * $SLOW), 'new', 'the new generation serves';
        $ws->close(1000);
        $ws->http->peer_closed(3);
    }
    is count_of(qr/RP0703/, $t->error_log), @ws + 1, 'a line for each in the error log';
    my $all = @ws + ($name =~ /restart/ ? 2 : 1);
    is count_of(qr{" 101 }, $t->access_log($all)), $all, 'and in the access log';
    $t->finish;
}

# --- at once -------------------------------------------------------------------------------------

for my $case ([ stop => 'TERM' ], [ restart => 'HUP' ]) {
    my ($name, $signal) = @$case;
    my $t     = server();
    my @ws    = open_all($t);
    my $inner = $WS->open($t, '/half/x');
    sleep 0.1;    # the last one is parked
    my $since = time;
    kill $signal => $t->pid;
    my @end = watch_end($since, @ws);
    is count_of(qr/1/, map { $_->{closed} } @end), scalar @ws, "$name: all are closed";
    cmp_ok $end[-1]{at}, '<', 2 * $SLOW, 'at once';
    my $rest = '';
    $inner->http->read_to_end(time + 5 * $SLOW, sub { $rest .= $_[0] });
    is length $rest, 50, 'nothing is put into the middle of a frame';
    if ($is_told_at_once) {
        is count_of(qr/1001/, map { $_->{code} // '' } @end), scalar @ws, 'each gets close code 1001';
    }
    if ($name eq 'stop') {
        ok is_gone_in($t->pid, 8 * $SLOW), 'and httpd is gone';
        $t->forget_process;
    }
    if (mpm ne 'prefork') {
        is count_of(qr/RP0703/, $t->error_log), @ws + 1, 'a line for each in the error log';
        is count_of(qr/RP0705/, $t->error_log), 0, 'none is taken for reset by its client';
        is count_of(qr{" 101 }, $t->access_log(@ws + 1)), @ws + 1, 'and in the access log';
    }
    if ($name eq 'restart') {
        ok soon(sub { eval { $WS->open($t, '/ws/x') } }), 'httpd serves again';
    }
    $t->finish;
}

sub soon { my ($code) = @_; my $until = time + 8 * $SLOW; while (time < $until) { return 1 if $code->(); sleep 0.05 } return 0 }

done_testing;
