#!/usr/bin/env bash
# reads.sh: how long the server takes to read counters, with many tracks that
# all have some.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tracks=$(pick 1000000 10000)

new_database reads "$tracks"
preload reads "$tracks" $((2 * tracks)) 2
note "reads: counters of $tracks tracks"
sql reads -v tracks="$tracks" -v rounds="$rounds" -f test/bench/reads.sql > reads.out
while read -r what round p50 p99; do
    record "$what, tracks=$tracks" 1 playevent "$round" p50_ms "$p50"
    record "$what, tracks=$tracks" 1 playevent "$round" p99_ms "$p99"
done < <(grep -E '^(track|release|top100) ' reads.out)
grep -vE '^(track|release|top100) ' reads.out > "$BENCH_RESULTS/reads-plans.txt"
drop_database reads
