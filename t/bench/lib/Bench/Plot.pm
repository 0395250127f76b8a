package Bench::Plot;

# Draws requests per second and p99 over the number of clients (the rows cN), with gnuplot.

use strict;
use warnings;
use File::Temp ();

my %COLOUR = (mod_revproxy => '#0b6e4f', mod_proxy => '#c1292e', nginx => '#235789', haproxy => '#e0a100');

# Lines "clients figure" of one proxy, in the order of the clients.
sub points {
    my ($result, $proxy, $figure) = @_;
    my @rows = sort { $a->{clients} <=> $b->{clients} } grep { $_->{name} =~ /^c\d+\z/ } @{ $result->{rows} };
    my @lines;
    for my $row (@rows) {
        my $seen = $result->{summary}{ $row->{name} }{proxies}{$proxy} or next;
        push @lines, "$row->{clients} $seen->{$figure}\n" if $seen->{$figure} > 0;
    }
    return join '', @lines;
}

sub plot_text {
    my ($result, $figure, $title) = @_;
    my @proxies = grep { points($result, $_, $figure) } @{ $result->{proxies} };
    my $plot    = join ', ', map { "'-' with linespoints linewidth 2 pointtype 7 linecolor rgb '" . ($COLOUR{$_} || 'black') . "' title '$_'" } @proxies;
    return "set ylabel '$title'\nplot $plot\n" . join '', map { points($result, $_, $figure) . "e\n" } @proxies;
}

sub draw {
    my ($result, $file) = @_;
    my $commands = File::Temp->new(SUFFIX => '.gnuplot');
    print $commands <<"EOT",
set terminal svg size 900,760 font 'sans,13' enhanced background rgb 'white'
set output '$file'
set multiplot layout 2,1 title '12-byte answers, one core for the proxy'
set logscale x
set grid
set xlabel 'keepalive clients'
set termoption noenhanced
set key outside right top
set yrange [0:*]
EOT
        plot_text($result, 'rps', 'requests per second'),
        "set logscale y\nset yrange [*:*]\n",
        plot_text($result, 'p99_ms', 'p99, milliseconds'),
        "unset multiplot\n";
    close $commands;
    system('gnuplot', $commands->filename) == 0 or die "gnuplot fails\n";
    return;
}

1;
