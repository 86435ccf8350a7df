#!/usr/bin/env bash
# single.sh: one row a transaction, by number of clients and by how the plays
# are spread over the tracks.  The clients have played every track before;
# cold.sh has those that have not.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra client_counts <<< "${CLIENTS:-$(pick '1 4 16 64' '1 16')}"
read -ra key_sets <<< "${KEYS:-$(pick 'uniform zipf hot' 'uniform hot')}"
tracks=$(pick 10000 1000)

new_database single "$tracks"
play_all single "$tracks"
for keys in "${key_sets[@]}"; do
    for clients in "${client_counts[@]}"; do
        # Warming up writes each page once after the checkpoint, so that its
        # image is in nobody's WAL later.  Nor is what autovacuum would find.
        sql single -c VACUUM -c CHECKPOINT
        for variant in "${variants[@]}"; do
            note "single: $keys keys, $clients clients get warm, $variant"
            start_warm_clients single "$variant" "$clients" "$([ "$keys" = hot ] && echo 1 || echo "$tracks")" \
                "test/bench/$keys.pgbench" -D tracks="$tracks"
        done
        for ((round = 1; round <= rounds; round++)); do
            for variant in $(in_turn "$round"); do
                note "single: $keys keys, $clients clients, round $round of $rounds, $variant"
                measure "$keys" "$clients" single "$variant" "$round" 1
            done
        done
        stop_clients single
    done
done
drop_database single
