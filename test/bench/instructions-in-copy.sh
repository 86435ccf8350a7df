#!/usr/bin/env bash
# instructions-in-copy.sh: instructions per single-row insert, in the copy that
# setup.sh made.
#
# callgrind counts those of a single-user server (no other process, no waiting)
# which executes a prepared INSERT, each its own transaction.  Two runs differ
# by a thousand inserts only: their difference leaves out the start of the
# server, the filling of its caches, and planning.  Page images are left out
# since they depend on how long ago the last checkpoint was.
root=$PWD
export PGDATABASE=postgres PGUSER=postgres BENCH_STARTED=$EPOCHSECONDS
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

few=200
many=1200
all_keys='hot uniform'
compared='bare row_triggers playevent_without_day playevent bare_partitioned playevent_partitioned'
tracks=10000
event_id=''
if [ -n "${EVENT_IDS:-}" ]; then
    event_id=', event_id'
    compared='bare playevent playevent_partitions playevent_keys playevent_indexed_keys'
fi
[ -z "${SUMS:-}" ] || compared='bare playevent playevent_rows playevent_sums'
if [ -n "${PRELOAD:-}" ]; then
    # All tracks are met once before.
    few=$((few + tracks))
    many=$((many + tracks))
    all_keys=uniform
fi

note 'building'
start_server "$root" <<CONF
autovacuum = off
fsync = off
full_page_writes = off
shared_buffers = 128MB
${PRELOAD:+shared_preload_libraries = playevent}
CONF

# Logs in use: every track has its counter.
sql postgres -v tracks=$tracks -f test/bench/variants.sql > /dev/null
[ -z "$event_id" ] || sql postgres -f test/bench/event_ids.sql > /dev/null
[ -z "${SUMS:-}" ] || sql postgres -f test/bench/sums.sql > /dev/null
for variant in $compared; do
    sql postgres -c "INSERT INTO $(schema "$variant").play_event (track_entry_key, bucket$event_id)
        SELECT 'track-' || n, 'complete'${event_id:+, md5('before' || n)::uuid} FROM generate_series(1, $tracks) n"
done
sql postgres -c 'VACUUM ANALYZE' -c CHECKPOINT
pg_ctl -D s/data -w stop > /dev/null

# count VARIANT KEYS INSERTS: prints the instructions of a whole run
count() {
    local name=$1.$2.$3
    cp -a s/data "$name.data"
    awk -v schema="$(schema "$1")" -v keys="$2" -v inserts="$3" -v tracks="$tracks" -v ids="$event_id" 'BEGIN {
        print "PREPARE play(text" (ids ? ", uuid" : "") ") AS INSERT INTO " schema ".play_event (track_entry_key, bucket" ids ") VALUES ($1, \047complete\047" (ids ? ", $2" : "") ");"
        # 7919 is prime: no track comes twice.
        for (i = 1; i <= inserts; i++)
            print "EXECUTE play(\047track-" (keys == "hot" ? 1 : i * 7919 % tracks + 1) "\047" \
                (ids ? sprintf(", \047%08x-0000-4000-8000-%012x\047", i * 2654435761 % 4294967296, i) : "") ");"
    }' > "$name.sql"
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$("$PG_CONFIG" --bindir)/postgres" --single -D "$name.data" postgres \
        < "$name.sql" > "$name.out" 2> "$name.err" || { cat "$name.err" >&2; return 1; }
    if grep -E 'ERROR|FATAL|PANIC' "$name.err" >&2; then return 1; fi
    rm -rf "$name.data"
    sed -n 's/.*Collected : //p' "$name.err"
}

for keys in $all_keys; do
    for variant in $compared; do
        # Once is enough: tracks make no difference to partitions.
        if [[ $variant = *_partitioned ]] && [ "$keys" != hot ]; then continue; fi
        note "$keys keys, $variant"
        count "$variant" "$keys" "$few" > fewer.out &
        other=$!
        count "$variant" "$keys" "$many" > more.out
        wait $other
        echo "$keys $variant $((($(cat more.out) - $(cat fewer.out)) / (many - few)))" >> instructions
    done
done

[ ! -t 2 ] || say
"$PG_CONFIG" --version
echo 'instructions per single-row insert'
awk '
    BEGIN { target["hot"] = 40000; target["uniform"] = 60000; form = "%-8s %-22s %8s %18s  %s\n"; printf form, "keys", "variant", "all", "beyond the bare", "target" }
    # The table without triggers comes before the logs that are like it.
    $2 ~ /^bare/ { bare = $3 }
    { printf form, $1, $2, $3, $2 ~ /^bare/ ? "" : $3 - bare,
        $2 ~ /^playevent/ ? "<= " target[$1] ($3 - bare <= target[$1] ? " met" : " MISSED") : "" }
' instructions | sed 's/ *$//'
