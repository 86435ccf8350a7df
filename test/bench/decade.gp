# decade.gp: a log of ten years, month by month: what it takes on disk, how long the
# end of a month takes, and how fast its plays are loaded.  Reads results/decade.tsv
# and results/results.tsv.
load "test/bench/style.gp"

name(v) = v eq "log" ? "partitions" : v eq "keys" ? "event_ids" : v eq "retired" ? "retired counts" : \
    v eq "seal" || v eq "retire" ? v."()" : v
colour(v) = v eq "log" ? "#0072B2" : v eq "slots" ? "#E69F00" : v eq "keys" ? "#009E73" : v eq "retired" ? "#CC79A7" : \
    v eq "seal" ? "#56B4E9" : v eq "retire" ? "#D55E00" : "#666666"
width(v) = 2.2
point(v) = 0

sizes = "results/decade.tsv"
size(v) = sprintf('$2 == "%s" { print $1, $3 }', v)
results = "results/results.tsv"
of(v, metric) = sprintf('$1 == "decade" && $2 == "%s" && $6 == "%s" { print $5, $7 }', v, metric)

# What was measured
stored = ""
do for [v in "log slots keys retired"] { if (strlen(awk(size(v), sizes))) { stored = stored." ".v } }
steps = "seal retire"
last = real(awk('$1 > m { m = $1 } END { print m }', sizes))

set object 1 rectangle from 0, graph 0 to 13, graph 1 behind fillcolor rgb "#eeeeee" fillstyle solid noborder
set xlabel "months; grey: before any was retired"
set xrange [0:last + 1]
set xtics 12 * ceil(last / 60)
set offsets 0, 0, graph 0.05, 0
shown = stored." ".steps
load "test/bench/legend.gp"

set multiplot layout 1,3 margins 0.05,0.985,0.16,0.82 spacing 0.05,0
set title "on disk, with indexes, MB" offset 0,-0.5
plot for [v in stored] data(size(v), sizes) using 1:2 with lines linecolor rgb colour(v) linewidth width(v)
unset label
unset arrow
set title "end of a month, seconds"
plot for [v in steps] data(of(v, "seconds"), results) using 1:2 with lines linecolor rgb colour(v) linewidth width(v)
set title "plays loaded a second"
set format y "%.0s%c"
plot data(of("load", "tps"), results) using 1:2 with lines linecolor rgb colour("load") linewidth width("load")
unset multiplot
