#!/usr/bin/env bash
# partitions.sh: one row a transaction, into a table and a log that are one table
# and into the same partitioned by month.  Clients are warm, as in single.sh.
#
# Where plays have an event_id, a log that is one table keeps them apart by a unique
# index, and a partitioned one by a key table.  The bare partitioned table has
# nothing that does.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

read -ra client_counts <<< "${CLIENTS:-$(pick '1 16' 16)}"
read -ra key_sets <<< "${KEYS:-uniform hot event_id}"
compare 'bare bare_partitioned playevent playevent_partitioned' 'bare bare_partitioned playevent playevent_partitioned'
tracks=$(pick 10000 1000)

new_database partitions "$tracks"
play_all partitions "$tracks"
for keys in "${key_sets[@]}"; do
    for clients in "${client_counts[@]}"; do
        sql partitions -c VACUUM -c CHECKPOINT
        for variant in "${variants[@]}"; do
            note "partitions: $keys keys, $clients clients get warm, $variant"
            start_warm_clients partitions "$variant" "$clients" "$([ "$keys" = hot ] && echo 1 || echo "$tracks")" \
                "test/bench/$keys.pgbench" -D tracks="$tracks"
        done
        for ((round = 1; round <= rounds; round++)); do
            for variant in $(in_turn "$round"); do
                note "partitions: $keys keys, $clients clients, round $round of $rounds, $variant"
                measure "$keys" "$clients" partitions "$variant" "$round" 1
            done
        done
        stop_clients partitions
    done
done
drop_database partitions
