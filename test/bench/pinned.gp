# pinned.gp: one hot track while an old snapshot pins the horizon: throughput by
# slice, size of the counter's table, rows that hold the count.  Reads
# results/results.tsv.
set terminal svg size 900,340 font "sans-serif,12" background "white"
load "test/bench/style.gp"

file = "results/results.tsv"
is(metric, v) = sprintf('$1 == "pinned" && $4 == "%s" && $6 == "%s" && $2 != "hot, vacuumed" { print $5, $7 }', v, metric)
rows(metric, v) = sprintf("< awk -F'\t' '%s' %s", is(metric, v), file)
edge(what) = real(system(sprintf("awk -F'\t' '$1 == \"pinned\" && $2 == \"hot, pinned\" { if (!n++ || $5 < lo) lo = $5; if ($5 > hi) hi = $5; if (n == 1) first = $5; else if (!step && $5 > first) step = $5 - first } END { print %s }' %s", what, file)))
title(metric) = metric eq "tps" ? "plays a second" : metric eq "bytes" ? "counter table with indexes, MB" : "rows of the hot track's counter"
factor(metric) = metric eq "bytes" ? 1 / 1048576.0 : 1

from = edge("lo - step")
to = edge("hi")
set object 1 rectangle from from, graph 0 to to, graph 1 behind fillcolor rgb "#eeeeee" fillstyle solid noborder
set label 1 "snapshot held" at (from + to) / 2, graph 0.96 center textcolor rgb "#666666" font ",11"
set xlabel "seconds"

set multiplot layout 1,3 margins 0.055,0.985,0.16,0.78 spacing 0.055,0
set key at screen 0.5,0.985 center top horizontal samplen 2.5 maxrows 1 width 1
do for [metric in "tps bytes slots"] {
    shown = ""
    do for [v in variants] { if (measured(file, is(metric, v))) { shown = shown." ".v } }
    set title title(metric) offset 0,-0.5
    if (words(shown)) {
        plot for [v in shown] rows(metric, v) using 1:($2 * factor(metric)) with linespoints \
            linecolor rgb colour(v) linewidth width(v) pointtype point(v) pointsize 0.5 title name(v) noenhanced
    }
    unset key
}
unset multiplot
