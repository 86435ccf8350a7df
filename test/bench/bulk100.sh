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
for ((round = 1; round <= rounds; round++)); do
    for variant in $(in_turn "$round"); do
        note "bulk100: round $round of $rounds, $variant"
        result=$(insert_rate bulk100 "$variant" 8 -D tracks=10000 -f bulk100.pgbench)
        record zipf 8 "$variant" "$round" tps "${result% *}"
        # Deadlocks: unsorted upserts have them.
        record zipf 8 "$variant" "$round" failed "${result#* }"
    done
done
drop_database bulk100
