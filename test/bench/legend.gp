# legend.gp: one line over all panels, for the variants in `shown`.
x = 0.05
do for [i = 1:words(shown)] {
    v = word(shown, i)
    set arrow 10 + i from screen x, 0.95 to screen x + 0.035, 0.95 nohead linecolor rgb colour(v) linewidth width(v)
    set label 10 + i at screen x + 0.0175, 0.95 point pointtype point(v) pointsize 0.7 linecolor rgb colour(v)
    set label 20 + i name(v) at screen x + 0.042, 0.95 left noenhanced textcolor rgb "#222222"
    x = x + 0.075 + 0.0075 * strlen(name(v))
}
