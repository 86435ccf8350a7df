# pinned.gp: one hot track while an old snapshot pins the horizon: throughput by
# slice of time, size of the counter's table, rows that hold the count.  Reads
# results/results.tsv.
load "test/bench/style.gp"

file = "results/results.tsv"
of(metric, v) = sprintf('$1 == "pinned" && $4 == "%s" && $6 == "%s" && $2 != "hot, vacuumed" { print $5, $7 }', v, metric)
title(metric) = metric eq "tps" ? "plays a second" : \
    metric eq "bytes" ? "counter table with indexes, MB" : "rows of the hot track's counter"
unit(metric) = metric eq "tps" ? 1000.0 : metric eq "bytes" ? 1048576.0 : 1

shown = ""
do for [v in variants] { if (strlen(awk(of("tps", v), file))) { shown = shown." ".v } }
from = real(awk('$1 == "pinned" && $2 == "hot, before" && $5 > m { m = $5 } END { print m }', file))
to = real(awk('$1 == "pinned" && $2 == "hot, pinned" && $5 > m { m = $5 } END { print m }', file))

set object 1 rectangle from from, graph 0 to to, graph 1 behind fillcolor rgb "#eeeeee" fillstyle solid noborder
set xlabel "seconds; grey: while the snapshot was held"
set xrange [0:*]
set offsets 0, 0, graph 0.05, 0
load "test/bench/legend.gp"

set multiplot layout 1,3 margins 0.05,0.985,0.16,0.82 spacing 0.05,0
do for [metric in "tps bytes slots"] {
    set title title(metric) offset 0,-0.5
    if (metric eq "tps") { set format y "%gk" } else { set format y "%g" }
    counted = ""
    do for [v in shown] { if (strlen(awk(of(metric, v), file))) { counted = counted." ".v } }
    if (words(counted)) {
        plot for [v in counted] data(of(metric, v), file) using 1:($2 / unit(metric)) with linespoints \
            linecolor rgb colour(v) linewidth width(v) pointtype point(v) pointsize 0.5
    }
    unset label
    unset arrow
}
unset multiplot
