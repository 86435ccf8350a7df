#!/usr/bin/env bash
# single.sh: one row a transaction, by number of clients and by how the plays
# are spread over the tracks.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra client_counts <<< "${CLIENTS:-$(pick '1 4 16 64' '1 16')}"
read -ra key_sets <<< "${KEYS:-uniform zipf hot}"

new_database single 10000
for keys in "${key_sets[@]}"; do
    for clients in "${client_counts[@]}"; do
        note "single: $keys keys, $clients clients"
        for variant in "${variants[@]}"; do
            start_clients single "$variant" "$clients" -D tracks=10000 -f "test/bench/$keys.pgbench"
        done
        for ((round = 1; round <= rounds; round++)); do
            for variant in $(in_turn "$round"); do
                note "single: $keys keys, $clients clients, round $round of $rounds, $variant"
                rate=$(clients_rate single "$variant" 1)
                record "$keys" "$clients" "$variant" "$round" tps "$rate"
            done
        done
        stop_clients single
    done
done
drop_database single
