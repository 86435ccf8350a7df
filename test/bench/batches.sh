#!/usr/bin/env bash
# batches.sh: batches of 1,000 plays with their event_ids, as a queue's consumer
# sends them: record_plays, against a bare INSERT ... SELECT of the same rows.
# Each is a durable transaction.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The dollars are SQL's.
# shellcheck disable=SC2016
insert='INSERT INTO %s.play_event (track_entry_key, bucket, event_id) SELECT * FROM unnest($1, $2, $3)'
# shellcheck disable=SC2016
declare -A statement=([playevent]='SELECT count(*) FROM measured.record_plays($1::text[], $2, $3)')

# send DATABASE WARM-UP EACH: one session sends all, for a consumer stays
# connected: WARM-UP batches first, then EACH a round
send() {
    local first=$2 round variant sends='' output
    for variant in "${variants[@]}"; do
        : "${statement[$variant]:=${insert//%s/$(schema "$variant")}}"
        sends+="CALL send('${statement[$variant]}', 0, $(($2 - 1)));"$'\n'
    done
    sends+='\timing on'$'\n'
    for ((round = 1; round <= rounds; round++)); do
        for variant in $(in_turn "$round"); do
            sends+="\\echo $variant $round"$'\n'
            sends+="CALL send('${statement[$variant]}', $first, $((first + $3 - 1)));"$'\n'
        done
        first=$((first + $3))
    done
    note "batches: $rounds rounds, $1"
    output=$(sql "$1" -f - <<< "$sends")
    while read -r variant round seconds; do
        record "$1" 1 "$variant" "$round" seconds "$seconds"
    done < <(awk '$1 == "Time:" { print run, $2 / 1000; next } { run = $0 }' <<< "$output")
}

new_database zipf 10000
each=$(pick 40 5)
warm=$(pick 100 10)
sql zipf -v tracks=10000 -v plays=$(((warm + rounds * each) * 1000)) -f test/bench/zipf_plays.sql > /dev/null
sql zipf -f test/bench/batches.sql
send zipf "$warm" "$each"
drop_database zipf

if [ -e listening_history.csv.gz ]; then
    new_database real 0
    gunzip -c listening_history.csv.gz > history.csv
    sql real -f test/bench/real_plays.sql
    # Once to get warm, once to measure
    sql real -c 'INSERT INTO drawn SELECT * FROM drawn'
    sql real -f test/bench/batches.sql
    batches=$(sql real -c 'SELECT count(*) FROM batch')
    send real $((batches / 2)) $((batches / 2 / rounds))
    drop_database real
fi
