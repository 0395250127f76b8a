package Bench::Httpd;

# What all httpd of the bench have in common: where apxs says they are, the modules, one child with its threads.

use strict;
use warnings;
use Exporter qw(import);
use Bench::Machine qw(write_file);

our @EXPORT_OK = qw(apxs_value httpd write_configuration);

use constant BACKLOG => 4096;

sub apxs_value {
    my ($name) = @_;
    my $value = qx(apxs -q $name);
    $value =~ s/\s+\z//;
    die "apxs -q $name says nothing\n" if $value eq '';
    return $value;
}

sub httpd { return apxs_value('SBINDIR') . '/' . apxs_value('PROGNAME') }

# The only difference between the two.
sub load_lines {
    my ($ctx, $name) = @_;
    return "LoadModule revproxy_module $ctx->{module}" if $name eq 'mod_revproxy';
    my $modules = apxs_value('LIBEXECDIR');
    return "LoadModule proxy_module $modules/mod_proxy.so\n"
        . "LoadModule proxy_http_module $modules/mod_proxy_http.so";
}

# For one httpd with one child. name: mod_proxy or mod_revproxy; base: of its files' names; log; threads; text: what it
# has beyond this. Of seconds is timeout, of AsyncRequestWorkerFactor factor. Returns the command.
sub write_configuration {
    my ($ctx, %o) = @_;
    my $modules = apxs_value('LIBEXECDIR');
    my $load    = load_lines($ctx, $o{name});
    my $user    = $> == 0 ? "User www-data\nGroup www-data" : '';
    my $backlog = BACKLOG;
    mkdir "$o{base}-run";
    write_file("$o{base}.conf", <<"CONF");
ServerRoot $ctx->{dir}
ServerName 127.0.0.1
DefaultRuntimeDir $o{base}-run
PidFile $o{base}-run/pid
ErrorLog $o{log}
LogLevel warn
$user
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
$load
ServerLimit 1
StartServers 1
ThreadLimit $o{threads}
ThreadsPerChild $o{threads}
MaxRequestWorkers $o{threads}
MinSpareThreads 1
MaxSpareThreads $o{threads}
MaxConnectionsPerChild 0
AsyncRequestWorkerFactor $o{factor}
ListenBacklog $backlog
KeepAlive On
MaxKeepAliveRequests 0
Timeout $o{timeout}
$o{text}
CONF
    return (httpd(), '-d', $ctx->{dir}, '-f', "$o{base}.conf", '-DFOREGROUND');
}

1;
