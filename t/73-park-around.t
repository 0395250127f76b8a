# What surrounds a parked request goes on as ever: logs and their figures, ids, time limits, error pages; what
# cannot be parked waits in its thread; children end and begin with two thousand requests parked.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Time::HiRes qw(time sleep);
use RevProxy;
use RevProxy::Load;

plan skip_all => 'mod_proxy cannot park'                if front() ne 'revproxy';
plan skip_all => 'only the event MPM waits for requests' if mpm() ne 'event';

my $SLOW = $RevProxy::SLOW;
my $MANY = $SLOW > 1 ? 300 : 2000;
RevProxy::Load::raise_open_files(8 * $MANY) or plan skip_all => 'needs ' . 8 * $MANY . ' open files';

my $backd = RevProxy::Load::Backend->new;

my $COMMON = <<"EOT";
    AsyncRequestWorkerFactor 1000
    ListenBacklog 4000
    $RevProxy::Load::STATUS
    ProxyPass /app/ %%URL:backd%%/ timeout=30
    ProxyPass /long/ %%URL:backd%%/ timeout=60
EOT

# --- logs and limits ---

{
    my $t = RevProxy->new(
        backends => { backd => $backd },
        modules  => [qw(status logio unique_id reqtimeout rewrite include headers filter setenvif)],
        threads  => 3,
        docs     => {
            'sorry.html' => "sorry\n",
            'page.shtml' => 'a<!--#include virtual="/app/?ms=300&mark=inner" -->b',
        },
        config   => <<"EOT");
        $COMMON
        LogFormat "%{X-Id}i|%>s|%B|%{ms}T|%I|%O|%S|%{UNIQUE_ID}e|%L|%X" full
        CustomLog %%DIR%%/logs/full.log full
        ErrorLogFormat "[%t] [%-m:%l] [pid %P] [id %L] [unique %{UNIQUE_ID}e] %M"
        ProxyPass /short/ %%URL:backd%%/ timeout=300ms
        ProxyPass /refused/ http://127.0.0.1:%%PORT:nobody%%/
        <Location /short/>
            ErrorDocument 504 /sorry.html
        </Location>
        <Location /refused/>
            ErrorDocument 503 "/app/?ms=300&mark=page"
        </Location>
        RewriteEngine On
        RewriteRule ^/docs/x\$ - [L]
        <Directory %%DOCROOT%%>
            Options +Includes
            Require all granted
            RewriteEngine On
            RewriteRule ^again\$ /app/?ms=300&mark=again [L]
        </Directory>
        AddOutputFilter INCLUDES .shtml
        # It looks at the first byte of a kept connection's request, and mod_logio counts that twice.
        RequestReadTimeout header=0 body=0
        Header set X-Unique "%{UNIQUE_ID}e"
        Listen 127.0.0.1:%%PORT:limited%%
        <VirtualHost 127.0.0.1:%%PORT:limited%%>
            RequestReadTimeout header=0 body=2,MinRate=100000
        </VirtualHost>
EOT
    $t->allow(qr/AH00484/);    # three threads are easily all at work
    my %sent = (a => 0, b => 0);
    my $k = $t->connect;
    for my $id (qw(a b)) {
        my $text = "GET /app/?ms=400&size=5000&mark=$id HTTP/1.1\r\nHost: x\r\nX-Id: $id\r\n\r\n";
        $sent{$id} = length $text;
        $k->send($text);
        my $r = $k->read_response;
        is $r->body_length, 5000, "request $id is answered";
        $sent{"$id head"} = length $r->raw_head;
        $sent{"$id unique"} = $r->header('X-Unique');
        sleep 0.1;    # else httpd looks at the next request before it has logged this one, and counts it here, too
    }
    my $r = $k->request(path => '/short/?end=hang', headers => [ 'X-Id' => 'c' ]);
    is $r->status . $r->body, "504sorry\n", 'ErrorDocument of a parked request that is late';
    is $k->request(path => '/app/?mark=again', headers => [ 'X-Id' => 'd' ])->body, "again\n", 'and the connection goes on';
    $k->close;
    my $slurp = sub { my %line; for (split /\n/, RevProxy::slurp($t->dir . '/logs/full.log')) { my @f = split /\|/; $line{ $f[0] } = \@f } return %line };
    my $until = time + 3;
    my %line = $slurp->();
    while (!$line{d} && time < $until) { sleep 0.02; %line = $slurp->() }
    for my $id (qw(a b)) {
        my (undef, $status, $bytes, $ms, $in, $out, $both, $unique, undef, $state) = @{ $line{$id} || [] };
        is "$status $bytes", '200 5000', "access log: status and bytes of $id";
        ok $ms >= 395 && $ms < 395 + 300 * $SLOW, "access log: the time includes the wait ($ms ms)";
        is $in, $sent{$id}, 'mod_logio: %I';
        is $out, $sent{"$id head"} + 5000, 'mod_logio: %O';
        is $both, $in + $out, 'mod_logio: %S';
        is $unique, $sent{"$id unique"}, 'mod_unique_id: the same before and after the wait';
        is $state, '+', 'connection status';
    }
    isnt $line{a}[7], $line{b}[7], 'mod_unique_id: another one for the next request';
    is $line{c}[1], 504, 'access log: status of the late one';
    my ($error) = grep {/RP0302/} $t->error_log;
    my ($id, $unique) = ($error // '') =~ /\[id (\S+)\] \[unique (\S+)\]/;
    is $id, $line{c}[8], 'error log: the id that the access log has, too';
    is $unique, $line{c}[7], 'error log: the unique id';
    $t->claim(qr/RP0302/, 'one line for it', count => 1);

    # mod_reqtimeout ends an upload that is too slow, parked as it is.
    my $up = RevProxy::Load::start(port => $t->port_of('limited'), jobs => [ map { { path => '/app/x', up => 1_000_000, up_rate => 5000 } } 1 .. 5 ]);
    my @results = RevProxy::Load::collect($up);
    my @wrong   = grep { $_->{seconds} < 1.9 || $_->{seconds} > 4 * $SLOW } @results;
    is scalar @wrong, 0, 'mod_reqtimeout: slow uploads end after its time';
    is scalar(grep { $_->{status} == 408 || $_->{status} == 400 } @results), 5, 'mod_reqtimeout: 408: ' . RevProxy::Load::tally(@results);
    $t->allow(qr/RP050[123]|AH01382/);
    my @fast = RevProxy::Load::run(port => $t->port_of('limited'), jobs => [ { path => '/app/?ms=3000&mark=x', up => 100 } ]);
    is RevProxy::Load::tally(@fast), '1 ok 200', 'mod_reqtimeout: does not count the wait for the answer';

    # Subrequests, internal redirects: in a thread, and with the right answers.
    my $since = time;
    like $t->get('/page.shtml')->body, qr/\Aainner\nb/, 'a subrequest is answered';
    is $t->get('/again')->body, "again\n", 'an internal redirect is answered';
    is $t->get('/refused/x')->body, "page\n", 'an error page from a backend';
    $t->claim_fault('RP0102', route => '/refused/', phase => 'connecting');
    my $run = RevProxy::Load::start(port => $t->port, jobs => [ map { { path => '/page.shtml' } } 1 .. 2 ]);
    sleep 0.1;
    is RevProxy::Load::status($t)->{RevProxyParked}, 0, 'a subrequest is not parked';
    RevProxy::Load::collect($run);
    sleep 0.2;    # httpd may crash when it is stopped while it closes a connection
    $t->finish;
}

# --- HTTP/2 ---

{
    my ($crt, $key) = RevProxy->certificate('127.0.0.1');
    my $t = RevProxy->new(
        backends => { backd => $backd },
        modules  => [qw(status ssl http2)],
        threads  => 16,
        config   => <<"EOT");
        $COMMON
        Listen 127.0.0.1:%%PORT:tls%%
        <VirtualHost 127.0.0.1:%%PORT:tls%%>
            Protocols h2 http/1.1
            SSLEngine On
            SSLCertificateFile $crt
            SSLCertificateKeyFile $key
        </VirtualHost>
EOT
    my $port = $t->port_of('tls');
    my @urls = map {"https://127.0.0.1:$port/app/?ms=400&mark=s$_"} 1 .. 6;
    my $since = time;
    my $got = $t->curl('-k', '--http2', '--parallel', '-w', '%{http_version} ', @urls);
    is join(' ', sort grep {/^s/} split /\s+/, $got->{out} =~ s/2 (?=s|\z)/\n/gr), 's1 s2 s3 s4 s5 s6', 'HTTP/2 streams wait, each with its own answer';
    my $s = RevProxy::Load::status($t);
    is "$s->{RevProxyParked} $s->{RevProxyConnsLeased}", '0 0', 'and nothing is left';
    $t->finish;
}

# --- children end and begin ---

sub parked_server {
    my ($more, %opt) = @_;
    my $t = RevProxy->new(backends => { backd => $backd }, modules => ['status'], threads => 8, %opt,
        config => "$COMMON\n$more\n");
    $t->allow(qr/AH00484/);    # all threads at work for a moment
    return $t;
}

sub park {
    my ($t, $ms, $n, $path) = @_;
    $n    ||= $MANY;
    $path ||= '/app/';
    my $run = RevProxy::Load::start(port => $t->port, jobs => [ map { { at => $_ / 4000, path => "$path?ms=$ms&mark=m$_&size=300", mark => "m$_", size => 300 } } 1 .. $n ]);
    RevProxy::Load::wait_status($t, sub { $_->{RevProxyParked} >= $n }, 10 * $SLOW);
    return $run;
}

# Under way while the others are tried: after the time, httpd waits some seconds before it kills a child.
my $late = parked_server("GracefulShutdownTimeout 1", children_may_change => 1);
my $late_run = park($late, 60_000, 50, '/long/');
kill WINCH => $late->pid;
my $late_since = time;

{
    my $t = parked_server('GracefulShutdownTimeout 60', children_may_change => 1);
    my ($old) = $t->children;
    my $run = park($t, 2500 * $SLOW);
    $t->reload_graceful;
    is $t->get('/app/?mark=new')->body, "new\n", "graceful: the new child serves while $MANY requests are parked in the old one";
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$MANY ok 200", 'graceful: each of them gets its own answer';
    my $until = time + 5 * $SLOW;
    sleep 0.02 while kill(0, $old) && time < $until;
    ok !kill(0, $old), 'graceful: the old child ends then';

    # graceful-stop
    $run = park($t, 2000 * $SLOW);
    kill WINCH => $t->pid;
    is RevProxy::Load::tally(RevProxy::Load::collect($run)), "$MANY ok 200", 'graceful-stop: each gets its own answer';
    $until = time + 5 * $SLOW;
    sleep 0.02 while $t->children && time < $until;
    is scalar(my @left = $t->children), 0, 'graceful-stop: and the children end';
    $t->finish;
}
{
    # A child that is stopped at once exits with all that its requests hold.
    my $t = parked_server('', children_may_change => 1, env => { LSAN_OPTIONS => 'detect_leaks=0' });
    my ($old) = $t->children;
    my $run = park($t, 60_000);
    kill KILL => $old;
    my @results = RevProxy::Load::collect($run);
    is scalar(grep { $_->{outcome} !~ /\A(?:closed|reset)\z/ } @results), 0, 'a child killed by SIGKILL: its clients see a close: ' . RevProxy::Load::tally(@results);
    my $until = time + 10 * $SLOW;
    my $r;
    do { sleep 0.1; $r = eval { $t->get('/app/?mark=on') } } until ($r && ($r->body // '') eq "on\n") || time > $until;
    is $r && $r->body, "on\n", 'and the rest goes on';

    # A plain stop does not wait.
    $run = park($t, 60_000);
    my $since = time;
    my @stop  = $t->stop;
    is "@stop", '', "stop with $MANY parked: in order";
    cmp_ok time - $since, '<', 3 * $SLOW, 'and at once';
    @results = RevProxy::Load::collect($run);
    is scalar(grep { $_->{outcome} !~ /\A(?:closed|reset)\z/ } @results), 0, 'clients see a close: ' . RevProxy::Load::tally(@results);
    $t->finish;
}
{
    my $t = parked_server('', children_may_change => 1,
        process => "ServerLimit 4\nStartServers 1\nThreadLimit 8\nThreadsPerChild 8\nMaxRequestWorkers 16\nMinSpareThreads 1\nMaxSpareThreads 16\nMaxConnectionsPerChild 150");
    my @jobs = map { { at => $_ / 400, path => "/app/?ms=800&mark=m$_&size=300", mark => "m$_", size => 300 } } 1 .. 500;
    my ($old) = $t->children;
    my @results = RevProxy::Load::run(port => $t->port, jobs => \@jobs);
    is RevProxy::Load::tally(@results), '500 ok 200', 'MaxConnectionsPerChild: every parked request is answered';
    my $until = time + 10 * $SLOW;
    sleep 0.05 while kill(0, $old) && time < $until;
    ok !kill(0, $old), 'and the child that had its share ended';
    $t->finish;
}

{
    my @results = RevProxy::Load::collect($late_run);
    is scalar(grep { $_->{outcome} !~ /\A(?:closed|reset)\z/ } @results), 0, 'GracefulShutdownTimeout: who is still parked then sees a close: ' . RevProxy::Load::tally(@results);
    cmp_ok time - $late_since, '<', 45 * $SLOW, 'it does not wait for the answers';
    $late->allow(qr/AH00045|AH00046/);
    $late->finish;
}

done_testing;
