#!/usr/bin/env bash
# charts.sh: how long the server takes for top and series, over a year of plays.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tracks=$(pick 1000000 10000)
plays=$((10 * tracks))

new_database charts "$tracks"
note "charts: $plays plays in a year"
sql charts -v tracks="$tracks" -v plays="$plays" -f test/bench/year.sql > /dev/null
note "charts: $tracks tracks"
sql charts -v tracks="$tracks" -v rounds="$rounds" -f test/bench/charts.sql > charts.out
while read -r what round p50 p99; do
    record "$what, tracks=$tracks" 1 playevent "$round" p50_ms "$p50"
    record "$what, tracks=$tracks" 1 playevent "$round" p99_ms "$p99"
done < charts.out
drop_database charts
