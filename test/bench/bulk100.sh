#!/usr/bin/env bash
# bulk100.sh: 100 plays a statement, of mixed tracks, as a queue's consumer
# inserts them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

{
    for ((i = 1; i <= 100; i++)); do echo "\\set n$i random_zipfian(1, :tracks, 1.07)"; done
    echo -n 'INSERT INTO play_event (track_entry_key, bucket) VALUES '
    for ((i = 1; i < 100; i++)); do echo -n "('track-' || :n$i, 'complete'), "; done
    echo "('track-' || :n100, 'complete');"
} > bulk100.pgbench

new_database bulk100 10000
for variant in "${variants[@]}"; do
    start_clients bulk100 "$variant" 8 -D tracks=10000 -f bulk100.pgbench
done
for ((round = 1; round <= rounds; round++)); do
    for variant in $(in_turn "$round"); do
        note "bulk100: round $round of $rounds, $variant"
        # Row triggers spend most of it in deadlocks: their upserts come in
        # the order of the rows.
        rate=$(clients_rate bulk100 "$variant" 100)
        record zipf 8 "$variant" "$round" tps "$rate"
    done
done
stop_clients bulk100
drop_database bulk100
