# latencies.awk: the rounds (keys, clients, round, start, end) and pgbench's log
# of transactions, to the number of each transaction's round in the first file
# and how long it took in microseconds.  What was under way when a round began
# or ended is left out: its client was stopped meanwhile.
BEGIN { OFS = "\t" }

NR == FNR {
    split($0, round, "\t")
    from[++rounds] = round[4] * 1e6
    to[rounds] = round[5] * 1e6
    at = 1
    next
}

# One that failed has a word in place of its time.
$3 ~ /^[0-9]+$/ {
    ended = $5 * 1e6 + $6
    for (r = 1; r <= rounds; r++)
        if (ended - $3 >= from[r] && ended <= to[r]) { print r, $3; next }
}
