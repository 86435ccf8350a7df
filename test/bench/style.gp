# style.gp: colours that the colour-blind tell apart (Okabe and Ito's); playevent
# stands out.  A white ground, since the page may be dark.
variants = "bare playevent row_triggers transition_table"
name(v) = v eq "bare" ? "bare table" : v eq "row_triggers" ? "PL/pgSQL row triggers" : \
    v eq "transition_table" ? "PL/pgSQL transition table" : v
colour(v) = v eq "bare" ? "#666666" : v eq "playevent" ? "#0072B2" : v eq "row_triggers" ? "#E69F00" : "#CC79A7"
width(v) = v eq "playevent" ? 3.5 : 1.8
point(v) = v eq "bare" ? 6 : v eq "playevent" ? 7 : v eq "row_triggers" ? 5 : 9

# Whether anything was measured is for gnuplot to know before it plots.
measured(file, condition) = int(system(sprintf("awk -F'\t' '%s' %s | wc -l", condition, file))) > 0

set border 3 linecolor "#444444"
set tics nomirror
set grid ytics linecolor "#dddddd" linetype 1 linewidth 0.7
set format y "%.0s%c"
set yrange [0:*]
