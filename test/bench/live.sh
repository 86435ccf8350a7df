#!/usr/bin/env bash
# live.sh: what live numbers cost: inserts beside a trigger that notifies, and the
# reads of whoever asks again and again.  The trigger is the one that the reference
# shows; beside it, one that tells of each play.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tracks=1000
variants=(playevent)
new_database live "$tracks"
play_all live "$tracks"
awk '/^## / { inside = /^## Live numbers/ } inside && /^```/ { sql = /sql/; next } inside && sql' sql/README.md |
    sed -n '/^CREATE TABLE play_told/,/^CREATE TRIGGER/p' | sed '/^CREATE TRIGGER/d; /^INSERT INTO/d' > tell_plays.sql
PGOPTIONS='-c search_path=public' sql live -f tell_plays.sql
sql live -c "CREATE FUNCTION tell_each() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_notify(''plays'', p.track_entry_key) FROM (SELECT DISTINCT track_entry_key FROM played) AS p; RETURN NULL; END'"

# measure LABEL SCRIPT FUNCTION TOLD: with that many tracks to be told of
measure() {
    local tps failed
    sql live -c "SET client_min_messages = error" -c "SET search_path = measured" -c "DROP TRIGGER IF EXISTS tell ON play_event" \
        -c "TRUNCATE public.play_told" -c "INSERT INTO public.play_told SELECT 'track-' || n FROM generate_series(1, $4) n"
    [ "$3" = none ] ||
        sql live -c "SET search_path = measured, public" -c "CREATE TRIGGER tell AFTER INSERT ON play_event
            REFERENCING NEW TABLE AS played FOR EACH STATEMENT EXECUTE FUNCTION $3()"
    note "live: round $round of $rounds, $1"
    coproc listener { sql live -c 'LISTEN plays' -f -; }
    # shellcheck disable=SC2154
    read -r tps failed < <(insert_rate live playevent 16 -T "$seconds" -D tracks="$tracks" -f "test/bench/$2.pgbench")
    eval "exec ${listener[1]}>&-"
    wait "$listener_PID" || true
    record "$1" 16 playevent "$round" tps "$tps"
    record "$1" 16 playevent "$round" failed "$failed"
}

# read_times LABEL SQL: of one client, in microseconds as pgbench sees them
read_times() {
    echo "$2" > read.pgbench
    rm -f read_log.*
    insert_rate live playevent 1 -T "$seconds" -l --log-prefix=read_log -f read.pgbench > /dev/null
    record "$1" 1 playevent "$round" p50_ms "$(cut -d ' ' -f 3 read_log.* | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] / 1000 }')"
    record "$1" 1 playevent "$round" p99_ms "$(cut -d ' ' -f 3 read_log.* | sort -n | awk '{ t[NR] = $1 } END { print t[int(NR * 0.99) + 1] / 1000 }')"
}

one="SELECT plays FROM play_by_track WHERE track_entry_key = 'track-1';"
twenty="SELECT track_entry_key, plays FROM play_by_track WHERE track_entry_key = ANY (ARRAY(SELECT 'track-' || n FROM generate_series(1, 20) n));"
for ((round = 1; round <= rounds; round++)); do
    measure 'hot, told of nothing' hot none 0
    measure 'hot, told once a second' hot tell_plays 1
    measure 'hot, told of each play' hot tell_each 0
    measure 'uniform, told of nothing' uniform none 0
    measure 'uniform, 20 tracks told once a second' uniform tell_plays 20
    measure 'uniform, 1000 tracks told once a second' uniform tell_plays 1000
    measure 'uniform, told of each play' uniform tell_each 0
    sql live -c 'DROP TRIGGER tell ON measured.play_event'
    read_times 'read a track, nobody plays' "$one"
    read_times 'read 20 tracks, nobody plays' "$twenty"
    insert_rate live playevent 16 -T $((2 * seconds + 2)) -f test/bench/hot.pgbench > beside.out &
    playing=$!
    read_times 'read a track, 16 play it' "$one"
    read_times 'read 20 tracks, 16 play one of them' "$twenty"
    wait $playing
done
drop_database live
