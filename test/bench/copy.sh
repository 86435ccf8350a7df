#!/usr/bin/env bash
# copy.sh: bulk loads by COPY and by INSERT ... SELECT: plays drawn once from a
# Zipf distribution, and real ones where there are.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Row triggers with one counter would take minutes to say the same.
compare 'bare row_triggers_with_day transition_table transition_table_with_day playevent' \
    'bare row_triggers_with_day transition_table_with_day playevent'
plays=$(pick 300000 20000)
declare -A statement=(
    [copy]="COPY play_event (track_entry_key, bucket) FROM '$PWD/plays.csv' (FORMAT csv)"
    [insert_select]='INSERT INTO play_event (track_entry_key, bucket) SELECT track_entry_key, bucket FROM drawn'
)

# load DATABASE: times both ways of loading, for all variants
load() {
    local output
    sql "$1" -c "COPY (SELECT track_entry_key, bucket FROM drawn) TO STDOUT (FORMAT csv)" > plays.csv
    for ((round = 1; round <= rounds; round++)); do
        for workload in copy insert_select; do
            for variant in $(in_turn "$round"); do
                # Once is enough: all versions of a hot counter are of one
                # transaction, and each update goes through them all.
                if [[ $variant = row_triggers* ]] && [ "$round" -gt 1 ]; then continue; fi
                note "$workload: round $round of $rounds, $1, $variant"
                output=$(PGOPTIONS=$(options "$variant") \
                    sql "$1" -c '\timing on' -c "${statement[$workload]}")
                record "$1" 1 "$variant" "$round" seconds \
                    "$(awk '/^Time: / { print $2 / 1000 }' <<< "$output")"
            done
        done
    done
    workload=copy
}

new_database zipf 10000
sql zipf -v tracks=10000 -v plays="$plays" -f test/bench/zipf_plays.sql > /dev/null
load zipf
drop_database zipf

if [ -e listening_history.csv.gz ]; then
    new_database real 0
    gunzip -c listening_history.csv.gz > history.csv
    sql real -f test/bench/real_plays.sql
    load real
    drop_database real
fi
