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

tracks=$(pick 10000 1000)
new_database bulk100 "$tracks"
play_all bulk100 "$tracks"
for variant in "${variants[@]}"; do
    note "bulk100: clients get warm, $variant"
    start_warm_clients bulk100 "$variant" 8 "$tracks" bulk100.pgbench -D tracks="$tracks"
done
for ((round = 1; round <= rounds; round++)); do
    for variant in $(in_turn "$round"); do
        note "bulk100: round $round of $rounds, $variant"
        # Row triggers spend most of it in deadlocks: their upserts come in
        # the order of the rows.
        measure zipf 8 bulk100 "$variant" "$round" 100
    done
done
stop_clients bulk100
drop_database bulk100
