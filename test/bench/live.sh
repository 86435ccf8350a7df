#!/usr/bin/env bash
# live.sh: what live numbers cost: inserts beside a trigger that notifies, and the
# reads of whoever asks again and again.  The trigger is the one that the reference
# shows; beside it, one that tells of each play.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tracks=100000  # of which 1,000 are played meanwhile
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
    read -r tps failed < <(insert_rate live playevent 16 -T "$seconds" -D tracks=1000 -f "test/bench/$2.pgbench")
    eval "exec ${listener[1]}>&-"
    # shellcheck disable=SC2154
    wait "$listener_PID" || true
    record "$1" 16 playevent "$round" tps "$tps"
    record "$1" 16 playevent "$round" failed "$failed"
}

# By the server's clock; a transaction each, as whoever asks again and again has.
sql live -c "CREATE PROCEDURE read_times(tracks int, n int, INOUT p50 numeric, INOUT p99 numeric) LANGUAGE plpgsql AS '
    DECLARE
        keys text[] := ARRAY(SELECT ''track-'' || k FROM generate_series(1, tracks) k);
        started timestamptz;
        times double precision[];
    BEGIN
        FOR i IN 1 .. n LOOP
            started := clock_timestamp();
            PERFORM track_entry_key, plays FROM measured.play_by_track WHERE track_entry_key = ANY (keys);
            times := times || 1000 * extract(epoch FROM clock_timestamp() - started)::double precision;
            COMMIT;
        END LOOP;
        SELECT round(percentile_disc(0.5) WITHIN GROUP (ORDER BY t)::numeric, 4), round(percentile_disc(0.99) WITHIN GROUP (ORDER BY t)::numeric, 4)
          INTO p50, p99 FROM unnest(times) t;
    END'"

# read_times LABEL TRACKS
read_times() {
    local p50 p99
    note "live: round $round of $rounds, $1"
    read -r p50 p99 < <(sql live -c "CALL read_times($2, $(pick 5000 500), NULL, NULL)")
    record "$1" 1 playevent "$round" p50_ms "$p50"
    record "$1" 1 playevent "$round" p99_ms "$p99"
}

for ((round = 1; round <= rounds; round++)); do
    measure 'hot, told of nothing' hot none 0
    measure 'hot, told once a second' hot tell_plays 1
    measure 'hot, told of each play' hot tell_each 0
    measure 'uniform, told of nothing' uniform none 0
    measure 'uniform, 20 tracks told once a second' uniform tell_plays 20
    measure 'uniform, 1000 tracks told once a second' uniform tell_plays 1000
    measure 'uniform, told of each play' uniform tell_each 0
    sql live -c 'DROP TRIGGER tell ON measured.play_event'
    read_times 'read a track, nobody plays' 1
    read_times 'read 20 tracks, nobody plays' 20
    insert_rate live playevent 16 -T $((2 * seconds + 2)) -f test/bench/hot.pgbench > beside.out &
    playing=$!
    read_times 'read a track, 16 play it' 1
    read_times 'read 20 tracks, 16 play one of them' 20
    wait $playing
done
drop_database live
