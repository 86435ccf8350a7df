#!/usr/bin/env bash
# single.sh: one row a transaction, by number of clients and by how the plays
# are spread over the tracks.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra client_counts <<< "${CLIENTS:-1 4 16 64}"
read -ra key_sets <<< "${KEYS:-uniform zipf hot}"

new_database single 10000
for ((round = 1; round <= rounds; round++)); do
    for keys in "${key_sets[@]}"; do
        for clients in "${client_counts[@]}"; do
            for variant in $(in_turn "$round"); do
                note "single: round $round of $rounds, $keys keys, $clients clients, $variant"
                result=$(insert_rate single "$variant" "$clients" -D tracks=10000 -f "test/bench/$keys.pgbench")
                record "$keys" "$clients" "$variant" "$round" tps "${result% *}"
            done
        done
    done
done
drop_database single
