# single.gp: throughput of single-row inserts against clients, a panel for each
# distribution of the plays over the tracks.  Reads results/summary.tsv.
load "test/bench/style.gp"

file = "results/summary.tsv"
of(keys, v) = sprintf('$1 == "single" && $2 == "%s" && $4 == "%s" && $5 == "tps" { print $3, $7, $8, $9 }', keys, v)
title(keys) = keys eq "hot" ? "one hot track" : keys eq "zipf" ? "Zipf over many tracks" : "uniform over many tracks"

# What was measured, in our order
panels = ""
do for [k in "uniform zipf hot"] {
    if (strlen(awk(sprintf('$1 == "single" && $2 == "%s"', k), file))) { panels = panels." ".k }
}
shown = ""
do for [v in variants] {
    if (strlen(awk(sprintf('$1 == "single" && $4 == "%s"', v), file))) { shown = shown." ".v }
}
highest = real(awk('$1 == "single" && $5 == "tps" && $9 > m { m = $9 } END { print m }', file))

set logscale x 2
set xrange [0.8:80]
set yrange [0:highest * 1.05]
set format y "%.0s%c"
set xtics (1, 4, 16, 64)
set xlabel "clients"
set ylabel "plays a second, each durably committed" offset 1,0
load "test/bench/legend.gp"

set multiplot layout 1,words(panels) margins 0.07,0.985,0.16,0.82 spacing 0.05,0
do for [k in panels] {
    set title title(k) offset 0,-0.5
    plot for [v in shown] data(of(k, v), file) using 1:2:3:4 with yerrorlines \
        linecolor rgb colour(v) linewidth width(v) pointtype point(v) pointsize 0.7
    unset label
    unset arrow
    unset ylabel
}
unset multiplot
