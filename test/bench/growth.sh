#!/usr/bin/env bash
# growth.sh: what a single-row insert costs with a long log, and with many
# tracks.  All sizes are there at once and take turns.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra row_counts <<< "$(pick '10000 1000000 10000000' '10000 100000')"
read -ra track_counts <<< "$(pick '1000 100000 1000000' '1000 10000')"

# Rows, twice, at some 150 bytes with their index; WAL for them until the next
# checkpoint.
free=$(df --output=avail -k . | tail -n 1)
[ "$free" -ge "$(pick 15000000 1000000)" ] ||
    die "growth needs 15 GB in $PWD: leave it out with ONLY"

# "database tracks keys" of each size
sizes=()
for n in "${row_counts[@]}"; do
    new_database "growth_rows_$n" 10000
    preload "growth_rows_$n" 10000 "$n" 1
    sizes+=("growth_rows_$n 10000 rows=$n")
done
for n in "${track_counts[@]}"; do
    new_database "growth_tracks_$n" "$n"
    preload "growth_tracks_$n" "$n" "$n" 1
    sizes+=("growth_tracks_$n $n tracks=$n")
done

# each_variant COMMAND: for every size and variant, in the round's order
each_variant() {
    local size variant database tracks keys
    for size in "${sizes[@]}"; do
        read -r database tracks keys <<< "$size"
        for variant in $(in_turn "$round"); do
            case $variant in bare | playevent) "$1" ;; esac
        done
    done
}

# shellcheck disable=SC2317
start() {
    note "growth: $keys, $variant"
    start_clients "$database" "$variant" 16 -D tracks="$tracks" -f test/bench/uniform.pgbench
}

# shellcheck disable=SC2317
measure_size() {
    note "growth: round $round of $rounds, $keys, $variant"
    measure "uniform, $keys" 16 "$database" "$variant" "$round" 1
}

round=1
each_variant start
for ((round = 1; round <= rounds; round++)); do
    each_variant measure_size
done
for size in "${sizes[@]}"; do
    stop_clients "${size%% *}"
    drop_database "${size%% *}"
done
