# style.gp: what the plots share.  Colours that the colour-blind tell apart
# (Okabe and Ito's), playevent foremost; a white ground, since the page may be
# dark.
set terminal svg size 900,330 font "sans-serif,12" background "white"
# Those that keep the two counters that playevent keeps, and pg_ivm
variants = "bare row_triggers_with_day transition_table_with_day pg_ivm playevent"
name(v) = v eq "bare" ? "bare table" : v eq "row_triggers_with_day" ? "PL/pgSQL row triggers" : \
    v eq "transition_table_with_day" ? "PL/pgSQL transition table" : v
colour(v) = v eq "bare" ? "#666666" : v eq "playevent" ? "#0072B2" : v eq "row_triggers_with_day" ? "#E69F00" : \
    v eq "pg_ivm" ? "#009E73" : "#CC79A7"
width(v) = v eq "playevent" ? 3.5 : 1.8
point(v) = v eq "bare" ? 6 : v eq "playevent" ? 7 : v eq "row_triggers_with_day" ? 5 : v eq "pg_ivm" ? 13 : 9

# What awk prints of a file of results: as one word, and as data.
awk(program, file) = system(sprintf("awk -F'\t' '%s' %s", program, file))
data(program, file) = sprintf("< awk -F'\t' '%s' %s", program, file)

set border 3 linecolor "#444444"
set tics nomirror
set grid ytics linecolor "#dddddd" linetype 1 linewidth 0.7
set yrange [0:*]
unset key
