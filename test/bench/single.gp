# single.gp: throughput of single-row inserts against clients, a panel for each
# distribution of the plays over the tracks.  Reads results/summary.tsv.
set terminal svg size 900,340 font "sans-serif,12" background "white"
load "test/bench/style.gp"

file = "results/summary.tsv"
is(keys, v) = sprintf('$1 == "single" && $2 == "%s" && $4 == "%s" && $5 == "tps" { print $3, $7, $8, $9 }', keys, v)
rows(keys, v) = sprintf("< awk -F'\t' '%s' %s", is(keys, v), file)
title(keys) = keys eq "hot" ? "one hot track" : keys eq "zipf" ? "Zipf over 10,000 tracks" : "uniform over 10,000 tracks"

panels = ""
do for [k in "uniform zipf hot"] { if (measured(file, sprintf('$1 == "single" && $2 == "%s"', k))) { panels = panels." ".k } }
shown = ""
do for [v in variants] { if (measured(file, sprintf('$1 == "single" && $4 == "%s"', v))) { shown = shown." ".v } }
highest = real(system(sprintf("awk -F'\t' '$1 == \"single\" && $5 == \"tps\" && $9 > m { m = $9 } END { print m }' %s", file)))

set logscale x 2
set xrange [0.8:80]
set yrange [0:highest * 1.05]
set xtics (1, 4, 16, 64)
set xlabel "clients"

set multiplot layout 1,words(panels) margins 0.07,0.985,0.16,0.78 spacing 0.05,0
set key at screen 0.5,0.985 center top horizontal samplen 2.5 maxrows 1 width 1
do for [p = 1:words(panels)] {
    k = word(panels, p)
    set title title(k) offset 0,-0.5
    if (p == 1) { set ylabel "plays a second, each committed durably" offset 1,0 } else { unset ylabel; unset key }
    plot for [v in shown] rows(k, v) using 1:2:3:4 with yerrorlines \
        linecolor rgb colour(v) linewidth width(v) pointtype point(v) pointsize 0.7 title name(v) noenhanced
}
unset multiplot
