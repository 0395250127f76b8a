# Request bodies that come over TLS in small pieces: mod_ssl hands out a buffer that it uses again.

use strict;
use warnings;
use lib 't/lib';
use Test::More;
use RevProxy;

my $app = RevProxy::Backend->echo;
my ($cert, $key) = RevProxy->certificate('front.test', 'front.test', '127.0.0.1');
my $t = RevProxy->new(backends => { app => $app }, modules => ['ssl'], config => <<EOT);
    Listen 127.0.0.1:%%PORT:tls%%
    <VirtualHost 127.0.0.1:%%PORT:tls%%>
        ServerName front.test
        SSLEngine on
        SSLCertificateFile $cert
        SSLCertificateKeyFile $key
        ProxyPass / %%URL:app%%/
    </VirtualHost>
EOT
# Digits only: lines that begin with Q, R or K are commands to openssl s_client.
my %to = (to => 'tls', tls => 1);
sub digits { my ($i, $n) = @_; return substr("0123456789", $i % 10, 1) x $n }
sub last_body { return +($app->requests)[-1]->body }

for my $pieces ([ 'hello ', 'world' ], [ map { digits($_, 700) } 1 .. 26 ], [ map { digits($_, 5000) } 1 .. 30 ]) {
    my $n    = @$pieces;
    my $body = join '', @$pieces;
    is $t->request(%to, path => '/a', chunks => $pieces)->status, 200, "$n chunks in one piece";
    ok last_body() eq $body, "$n chunks arrive as they were sent";

    for my $chunked (0, 1) {
        my $k = $t->connect(%to);
        $k->send("POST /b HTTP/1.1\r\nHost: x\r\n" . ($chunked ? "Transfer-Encoding: chunked\r\n\r\n" : 'Content-Length: ' . length($body) . "\r\n\r\n"));
        for (@$pieces) {
            $k->send($chunked ? sprintf "%x\r\n%s\r\n", length, $_ : $_);
            $k->pause(0.003);
        }
        $k->send("0\r\n\r\n") if $chunked;
        is $k->read_response->status, 200, "$n writes, chunked: $chunked";
        ok last_body() eq $body, "$n writes, chunked: $chunked: arrive as they were sent";
    }
}

$t->finish;
done_testing;
