#!/usr/bin/env bash
# pinned.sh: one hot track while an old snapshot keeps VACUUM and pruning from
# removing any version of its counter that has been written since.
#
# pgbench's progress reports are the clock: each ends a slice of time, and the
# counter's table is looked at then.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# In slices; the issue's two minutes are 12.
slice=$(pick 10 1)
before=1
pinned=$(pick 12 4)
after=$(pick 2 1)

compare 'bare row_triggers_with_day playevent' 'bare row_triggers_with_day playevent'
declare -A counter_table=(
    [row_triggers]=row_triggers.play_counter
    [row_triggers_with_day]=row_triggers_with_day.play_counter
    [playevent]=measured.play_counter_slot
)

# look VARIANT PHASE SECOND: how many rows hold the hot track's count, and the
# size of their table with its indexes
look() {
    local table=${counter_table[$1]:-} sizes
    [ -n "$table" ] || return 0
    sizes=$(sql pinned -c "SELECT count(*), pg_total_relation_size('$table') FROM $table
                            WHERE track_entry_key = 'track-1'")
    record "hot, $2" 16 "$1" "$3" slots "${sizes% *}"
    record "hot, $2" 16 "$1" "$3" bytes "${sizes#* }"
}

# Reads pgbench's output; what isn't progress is for whoever looks for an error.
follow() {
    local variant=$1 n=0 word second tps rest phase=before holder
    while read -r word second rest; do
        if [ "$word" != progress: ]; then
            echo "$word $second $rest"
            continue
        fi
        n=$((n + 1))
        [ $n -le $((before + pinned + after)) ] || continue
        note "pinned: $variant, $((n * slice)) s of $(((before + pinned + after) * slice)), $phase"
        read -r _ tps _ <<< "$rest"
        record "hot, $phase" 16 "$variant" $((n * slice)) tps "$tps"
        look "$variant" "$phase" $((n * slice))
        if [ $n = "$before" ]; then
            phase=pinned
            sql pinned -c "BEGIN ISOLATION LEVEL REPEATABLE READ;
                SELECT FROM public.track LIMIT 1; SELECT pg_sleep($((pinned * slice)))" > /dev/null &
            holder=$!
        elif [ $n = $((before + pinned)) ]; then
            phase=after
        fi
    done
    [ -z "${holder:-}" ] || wait "$holder"
    [ $n -ge $((before + pinned + after)) ] || { echo "$n reports of progress"; return 1; }
}

new_database pinned 10000
for variant in "${variants[@]}"; do
    case $variant in transition_table* | pg_ivm) continue ;; esac
    sql pinned -c CHECKPOINT
    look "$variant" empty 0
    # A second more, for a report that is late
    PGOPTIONS=$(options "$variant") \
        pgbench -n -M prepared -c 16 -j 2 -T $(((before + pinned + after) * slice + 1)) -P "$slice" \
        -f test/bench/hot.pgbench pinned 2>&1 | follow "$variant" > pgbench.log ||
        { complain "$(cat pgbench.log)"; exit 1; }
    sql pinned -c VACUUM
    look "$variant" vacuumed $(((before + pinned + after) * slice))
done
drop_database pinned
