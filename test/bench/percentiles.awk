# percentiles.awk: the rounds, and latencies.awk's output sorted, to keys,
# clients, round, and the median and 99th percentile in milliseconds.
BEGIN { FS = OFS = "\t" }

NR == FNR { round[++rounds] = $1 FS $2 FS $3; next }

{ time[$1, ++n[$1]] = $2 }

function percentile(r, share,    i) {
    i = int(n[r] * share + 0.999999)
    return time[r, i < 1 ? 1 : i] / 1000
}

END {
    for (r = 1; r <= rounds; r++)
        if (n[r]) print round[r], percentile(r, 0.5), percentile(r, 0.99)
}
