#!/usr/bin/env bash
# verdicts.sh: void of 100,000 plays, alone and beside clients that insert; and what
# those clients get done meanwhile.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Beside clients a void ends when it does; they insert for longer.
ids=$(pick 100000 5000)
variants=(playevent)
new_database verdicts 10000
sql verdicts -c "INSERT INTO measured.play_event (track_entry_key, bucket)
    SELECT 'track-' || 1 + n % 10000, (enum_range(NULL::measured.play_bucket))[1 + n % 3] FROM generate_series(1, $rounds * 2 * $ids) n"

# void FIRST: that many ids from there on; how long it took
void() {
    sql verdicts -c "SET jit = off" -c '\timing on' -c "SELECT playevent.void('measured.play_event',
        ARRAY(SELECT id FROM measured.play_event ORDER BY id LIMIT $ids OFFSET $1), 'measured')" |
        awk '$1 == "Time:" { ms = $2 } END { printf "%.3f\n", ms / 1000 }'
}

for ((round = 1; round <= rounds; round++)); do
    note "verdicts: round $round of $rounds"
    first=$(((round - 1) * 2 * ids))
    record 'void, alone' 1 playevent "$round" seconds "$(void $first)"
    insert_rate verdicts playevent 8 -T "$seconds" -D tracks=10000 -f test/bench/uniform.pgbench > alone.out
    void $((first + ids)) > beside.out &
    voiding=$!
    insert_rate verdicts playevent 8 -T "$seconds" -D tracks=10000 -f test/bench/uniform.pgbench > inserts.out
    wait $voiding
    record 'void, beside 8 clients' 1 playevent "$round" seconds "$(< beside.out)"
    read -r tps failed < alone.out
    record 'inserts, alone' 8 playevent "$round" tps "$tps"
    read -r beside_tps beside_failed < inserts.out
    record 'inserts, beside a void' 8 playevent "$round" tps "$beside_tps"
    record 'inserts, beside a void' 8 playevent "$round" failed $((failed + beside_failed))
    record 'inserts, beside a void' 8 playevent "$round" tps_to_alone "$(quotient "$beside_tps" "$tps")"
done
drop_database verdicts
