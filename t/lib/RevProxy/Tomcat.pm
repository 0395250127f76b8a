package RevProxy::Tomcat;

=head1 NAME

RevProxy::Tomcat - a private Tomcat (Debian's tomcat10-common): one process, a server for each route

=head1 SYNOPSIS

    my $why = RevProxy::Tomcat::why_not();
    plan skip_all => $why if $why;
    my $tomcat = RevProxy::Tomcat->new(routes => [qw(a b)], pages => { 'x.jsp' => '...' });
    $tomcat->port('a');

Each server has jvmRoute set to its name, its own sessions, and the same pages. It ends with the test.

=cut

use strict;
use warnings;
use File::Path ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);
use RevProxy;

my $HOME = '/usr/share/tomcat10';

sub java { my ($java) = grep {-x} map {"$_/java"} split /:/, $ENV{PATH}; return $java }

sub why_not {
    return 'no java here' if !java();
    return -e "$HOME/bin/bootstrap.jar" ? undef : 'no tomcat10 here';
}

# Nothing is looked for in jars and nothing reloaded: it starts in a second or two.
my %FILES = (
    'conf/catalina.properties' => <<'EOT',
common.loader="${catalina.home}/lib","${catalina.home}/lib/*.jar","/usr/share/java/eclipse-jdt-core.jar"
tomcat.util.scan.StandardJarScanFilter.jarsToSkip=*
EOT
    'conf/context.xml' => qq{<Context reloadable="false"><JarScanner scanClassPath="false" scanManifest="false"/></Context>\n},
    'webapps/ROOT/WEB-INF/web.xml' => <<'EOT',
<?xml version="1.0"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0" metadata-complete="true">
  <absolute-ordering/>
  <servlet>
    <servlet-name>jsp</servlet-name><servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param><param-name>development</param-name><param-value>false</param-value></init-param>
  </servlet>
  <servlet-mapping><servlet-name>jsp</servlet-name><url-pattern>*.jsp</url-pattern></servlet-mapping>
</web-app>
EOT
);

sub new {
    my ($class, %opt) = @_;
    my $dir  = File::Temp::tempdir('rp-j-XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, owner => $$, ports => { map { ($_ => RevProxy::Ports::reserve()) } @{ $opt{routes} } } }, $class;
    File::Path::make_path(map {"$dir/$_"} qw(conf logs temp work webapps/ROOT/WEB-INF));
    RevProxy::write_file("$dir/$_", $FILES{$_}) for keys %FILES;
    RevProxy::write_file("$dir/conf/server.xml", $self->server_xml);
    RevProxy::write_file("$dir/webapps/ROOT/$_", $opt{pages}{$_}) for keys %{ $opt{pages} };
    $self->start;
    return $self;
}

sub server_xml {
    my ($self) = @_;
    return '<Server port="-1">' . join('', map { <<"EOT" } sort keys %{ $self->{ports} }) . "</Server>\n";
<Service name="$_">
  <Connector port="$self->{ports}{$_}" address="127.0.0.1" protocol="HTTP/1.1" maxThreads="20"/>
  <Engine name="$_" defaultHost="localhost" jvmRoute="$_">
    <Host name="localhost" appBase="webapps" workDir="work/$_" autoDeploy="false"/>
  </Engine>
</Service>
EOT
}

sub start {
    my ($self) = @_;
    my $dir = $self->{dir};
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP ALRM);
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', "$dir/logs/out";
        open STDERR, '>&', \*STDOUT;
        my @options = (qw(-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.security.egd=file:/dev/urandom),
            "-Dcatalina.home=$HOME", "-Dcatalina.base=$dir", "-Djava.io.tmpdir=$dir/temp");
        { no warnings 'exec'; exec { java() } 'java', @options, '-cp', "$HOME/bin/bootstrap.jar:$HOME/bin/tomcat-juli.jar",
            'org.apache.catalina.startup.Bootstrap', 'start' }
        POSIX::_exit(127);
    }
    $RevProxy::CHILDREN{$pid} = 'tomcat';
    $self->{pid} = $pid;
    my $until = time + 40;
    for my $port (values %{ $self->{ports} }) {
        until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
            die "tomcat does not start:\n" . RevProxy::slurp("$dir/logs/out") if time > $until;
            sleep 0.05;
        }
    }
    return;
}

sub port { my ($self, $route) = @_; return $self->{ports}{$route} }

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    return if $self->{owner} != $$;
    kill KILL => $pid;
    waitpid $pid, 0;
    delete $RevProxy::CHILDREN{$pid};
    File::Path::remove_tree($self->{dir});
    return;
}

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->stop; return }

1;
