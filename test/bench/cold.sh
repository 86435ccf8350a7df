#!/usr/bin/env bash
# cold.sh: one row a transaction, of tracks that the client has not met before.
# Either the client is connected and has worked on other tracks, or it is new:
# then its first inserts read the catalogs and make the plans, too.  Either way
# each track has its counters.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra client_counts <<< "$(pick '1 16' 16)"
tracks=$(pick 200000 50000)
each=200

new_database cold "$tracks"
play_all cold "$tracks"

for clients in "${client_counts[@]}"; do
    declare -A before=()
    for variant in "${variants[@]}"; do
        note "cold: $clients clients, $variant"
        before[$variant]=$(last_id cold "$variant")
        start_clients cold "$variant" "$clients" -D tracks="$tracks" -D played=0 -f test/bench/new_tracks.pgbench
    done
    for ((round = 1; round <= rounds; round++)); do
        for variant in $(in_turn "$round"); do
            note "cold: $clients clients, round $round of $rounds, $variant"
            measure 'not met before' "$clients" cold "$variant" "$round" 1
        done
    done
    stop_clients cold
    for variant in "${variants[@]}"; do
        [ $((($(last_id cold "$variant") - before[$variant]) / clients)) -lt "$tracks" ] ||
            die "clients of $variant met all $tracks tracks: shorten the rounds"
    done
done

for ((round = 1; round <= rounds; round++)); do
    for variant in $(in_turn "$round"); do
        note "cold: new connections, round $round of $rounds, $variant"
        read -r rate failed <<< "$(insert_rate cold "$variant" 16 -t "$each" \
            -D tracks="$tracks" -D played=$((round * each)) -f test/bench/new_tracks.pgbench)"
        [ "$failed" = 0 ] || die "$failed inserts of $variant failed"
        record "new connections" 16 "$variant" "$round" tps "$rate"
    done
done
drop_database cold
