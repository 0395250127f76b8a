package Bench::Report;

# From the runs to medians and ratios, as text and as JSON.

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use List::Util qw(min);

our @EXPORT_OK = qw(summarise print_report write_json);

my @FIGURES = qw(rps cpu_us p50_ms p99_ms busy load);

# Shares of a core: above the first, other work disturbed a run; below the
# second, the proxy was not what limited the rate.
use constant { FOREIGN => 0.05, SATURATED => 0.9 };

sub median {
    my @sorted = sort { $a <=> $b } @_;
    my $half = int(@sorted / 2);
    return @sorted % 2 ? $sorted[$half] : ($sorted[ $half - 1 ] + $sorted[$half]) / 2;
}

sub spread {
    my @sorted = sort { $a <=> $b } @_ or return;
    return { median => median(@sorted), low => $sorted[0], high => $sorted[-1] };
}

# Each round's runs stand next to each other in time, so the ratio is taken
# within the round: what slows the whole machine for a while cancels out.  A
# round in which one of them has no figure gives none.
sub ratios {
    my ($mine, $theirs, $figure) = @_;
    my @found;
    for my $i (0 .. min($#$mine, $#$theirs)) {
        my ($m, $t) = ($mine->[$i]{$figure}, $theirs->[$i]{$figure});
        push @found, $m / $t if $m > 0 && $t > 0;
    }
    return spread(@found);
}

sub above_floor {
    my ($runs) = @_;
    my ($small, $floor) = @$runs{qw(small floor)};
    return if !$small || !$floor;
    return [
        map { { above_us => $small->[$_]{cpu_us} - $floor->[$_]{cpu_us} } }
            0 .. min($#$small, $#$floor)
    ];
}

sub summarise_row {
    my ($by_proxy, $subject) = @_;
    my %row;
    for my $proxy (keys %$by_proxy) {
        my $runs = $by_proxy->{$proxy};
        for my $figure (@FIGURES) {
            $row{proxies}{$proxy}{$figure} = median(map { $_->{$figure} } @$runs);
        }
        next if $proxy eq $subject || !$by_proxy->{$subject};
        $row{ratios}{$proxy} =
            { map { $_ => ratios($by_proxy->{$subject}, $runs, $_) } qw(rps cpu_us p99_ms) };
    }
    return \%row;
}

sub summarise_floor {
    my ($result) = @_;
    my %above;
    for my $proxy (@{ $result->{proxies} }) {
        my %runs = map { $_ => $result->{runs}{$_}{$proxy} } qw(small floor);
        $above{$proxy} = above_floor(\%runs) || next;
    }
    my $mine = $above{ $result->{subject} };
    my %summary;
    for my $proxy (keys %above) {
        $summary{proxies}{$proxy} = median(map { $_->{above_us} } @{ $above{$proxy} });
        next if !$mine || $proxy eq $result->{subject};
        $summary{ratios}{$proxy} = ratios($mine, $above{$proxy}, 'above_us');
    }
    return %summary ? \%summary : undef;
}

sub summarise {
    my ($result) = @_;
    for my $row (@{ $result->{rows} }) {
        my $by_proxy = $result->{runs}{ $row->{name} } or next;
        $result->{summary}{ $row->{name} } = summarise_row($by_proxy, $result->{subject});
    }
    $result->{above_floor} = summarise_floor($result);
    return;
}

# --- text -------------------------------------------------------------------

sub ratio_text {
    my ($ratio) = @_;
    return '-' if !$ratio;
    return sprintf '%.2f (%.2f to %.2f)', @$ratio{qw(median low high)};
}

sub print_figures {
    my ($result, $summary, $runs) = @_;
    printf "  %-13s %10s %12s %9s %9s %12s  %s\n",
        'proxy', 'req/s', 'CPU us/req', 'p50 ms', 'p99 ms', 'cores busy', 'errors';
    for my $proxy (grep { $summary->{proxies}{$_} } @{ $result->{proxies} }) {
        my $m   = $summary->{proxies}{$proxy};
        my $bad = grep { @{ $_->{troubles} } } @{ $runs->{$proxy} };
        printf "  %-13s %10.0f %12.1f %9.2f %9.2f %5.0f%% %4.0f%%  %s\n", $proxy,
            @$m{qw(rps cpu_us p50_ms p99_ms)}, 100 * $m->{busy}, 100 * $m->{load},
            $bad ? "in $bad of " . @{ $runs->{$proxy} } . ' runs' : 'none';
    }
    return;
}

sub print_ratios {
    my ($result, $summary) = @_;
    my @rivals = grep { $summary->{ratios}{$_} } @{ $result->{proxies} } or return;
    printf "  %-26s %-22s %-22s %s\n", "$result->{subject} to", 'req/s', 'CPU us/req', 'p99';
    for my $rival (@rivals) {
        my $r = $summary->{ratios}{$rival};
        printf "    %-24s %-22s %-22s %s\n", $rival,
            map { ratio_text($r->{$_}) } qw(rps cpu_us p99_ms);
    }
    return;
}

sub print_troubles {
    my ($runs, $proxy) = @_;
    for my $i (0 .. $#{ $runs->{$proxy} }) {
        print "  ! $proxy, round ", $i + 1, ": $_\n" for @{ $runs->{$proxy}[$i]{troubles} };
    }
    return;
}

sub print_doubts {
    my ($result, $row, $runs, $summary) = @_;
    for my $proxy (grep { $runs->{$_} } @{ $result->{proxies} }) {
        print_troubles($runs, $proxy);
        for my $core (qw(proxy load)) {
            my $share = median(map { $_->{foreign}{$core} } @{ $runs->{$proxy} });
            printf "  ? %s: other work took %.0f%% of the %s's core\n", $proxy, 100 * $share, $core
                if $share > FOREIGN;
        }
        next if $row->{port} eq 'wait' || $summary->{proxies}{$proxy}{busy} >= SATURATED;
        print "  ? $proxy: its core was not full, so req/s is not its limit; compare the CPU\n";
    }
    return;
}

sub print_above_floor {
    my ($result) = @_;
    my $above = $result->{above_floor} or return;
    print "\nCPU above the floor: small less floor, us/req\n";
    for my $proxy (grep { exists $above->{proxies}{$_} } @{ $result->{proxies} }) {
        printf "  %-13s %10.1f\n", $proxy, $above->{proxies}{$proxy};
    }
    for my $proxy (grep { $above->{ratios}{$_} } @{ $result->{proxies} }) {
        print "  $result->{subject} to $proxy: ", ratio_text($above->{ratios}{$proxy}), "\n";
    }
    return;
}

sub print_report {
    my ($result) = @_;
    printf "\n%d rounds of %d s for each row and proxy; medians; ratios are medians of the\n"
        . "rounds' own ratios (lowest to highest).  Only the ratios mean anything elsewhere.\n",
        $result->{rounds_done}, $result->{seconds};
    for my $row (@{ $result->{rows} }) {
        my $length = Bench::Load::length_of($row, $result->{seconds});
        print "$row->{name}: $length s a round\n" if $length != $result->{seconds};
    }
    for my $row (@{ $result->{rows} }) {
        my $summary = $result->{summary}{ $row->{name} } or next;
        my $runs    = $result->{runs}{ $row->{name} };
        print "\n$row->{name}: $row->{text}\n";
        print_figures($result, $summary, $runs);
        print_ratios($result, $summary);
        print_doubts($result, $row, $runs, $summary);
    }
    print_above_floor($result);
    return;
}

sub write_json {
    my ($result, $path) = @_;
    open my $fh, '>', $path or die "cannot write $path: $!\n";
    print $fh JSON::PP->new->canonical->pretty->encode($result);
    close $fh or die "cannot write $path: $!\n";
    return;
}

1;
