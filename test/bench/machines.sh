#!/usr/bin/env bash
# machines.sh: one server; tracks over two nodes behind PL/Proxy; two ingest servers and
# a hub; a coordinator and two workers of Citus.  Each has bare tables and logs, in
# databases of those names, and all take turns.
# Everything runs on this one machine: what is seen is the work a play takes, and not
# how many more of them several machines can take.
#
# CPU and WAL are of all servers of an engine.  A hub has the plays when it has applied
# them, so its rounds end then.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# An engine is servers, of which clients connect to the entrances, and nodes give plays
# their ids.  Another is a line in each of these, a function set_up_NAME, and if need be
# a function wait_NAME, until all is where it belongs.
declare -A servers=([plain]='plain' [proxy]='proxy node_1 node_2' [hub]='hub ingest_1 ingest_2' [citus]='coordinator worker_1 worker_2')
declare -A entrances=([plain]='plain' [proxy]='proxy' [hub]='ingest_1 ingest_2' [citus]='coordinator')
declare -A nodes=([plain]='plain' [proxy]='node_1 node_2' [hub]='ingest_1 ingest_2' [citus]='coordinator')
engines=(plain)
tracks=$(pick 10000 1000)
each=1000  # plays a batch
clients=16
consumers=2

# at SERVER DATABASE PSQL-ARGUMENT...
at() {
    local server=$1
    shift
    PGHOST=$PWD/$server sql "$@"
}

started=()
finish() {
    local server
    kill_clients
    for server in "${started[@]}"; do end_server "$server/data"; done
}
trap finish EXIT

# start SERVER, with the settings of the server that all other workloads use
start() {
    note "machines: server $1"
    mkdir "$1"
    initdb -N -A trust -D "$1/data" -U postgres --encoding=UTF8 --locale=C.UTF-8 > initdb.log
    { cat settings; cat; echo "unix_socket_directories = '$PWD/$1'"; } >> "$1/data/postgresql.conf" <<CONF
shared_buffers = 256MB
max_logical_replication_workers = 12
max_worker_processes = 20
wal_retrieve_retry_interval = 100ms
CONF
    [[ $1 != ingest_* ]] || echo 'wal_level = logical' >> "$1/data/postgresql.conf"
    [[ " ${servers[citus]} " != *" $1 "* ]] || cat >> "$1/data/postgresql.conf" <<CONF
shared_preload_libraries = 'citus${PRELOAD:+, playevent}'
max_prepared_transactions = 200
citus.local_hostname = '$PWD/$1'
citus.node_conninfo = 'sslmode=prefer'
citus.enable_statistics_collection = off
${CITUS:+citus.enable_version_checks = off}
CONF
    pg_ctl -D "$1/data" -l "$1/log" -w start > /dev/null
    started+=("$1")
}

# make_logs SERVER FIRST STEP: both databases; ids start with FIRST, and go by STEP
make_logs() {
    local database
    for database in bare playevent; do
        at "$1" postgres -c "CREATE DATABASE $database"
        at "$1" "$database" > /dev/null <<SQL
CREATE EXTENSION playevent;
CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track SELECT 'track-' || n, n / 10, n % 50 = 0 FROM generate_series(1, $tracks) n;
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
CREATE TABLE marker (n int PRIMARY KEY);
SQL
        [ "$database" = playevent ] || at "$1" bare > /dev/null <<'SQL'
SET client_min_messages = warning;
CREATE TABLE bare (LIKE play_event INCLUDING ALL);
DROP TABLE play_event, play_counter_slot, play_daily_slot, play_verdict CASCADE;
DROP EXTENSION playevent CASCADE;
DROP FUNCTION record_play, record_plays(text[], play_bucket[], uuid[], text[]);
ALTER TABLE bare RENAME TO play_event;
CREATE FUNCTION record_play(track_entry_key text, bucket play_bucket, event_id uuid DEFAULT NULL, anon_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    inserted bigint;
BEGIN
    INSERT INTO play_event AS p (track_entry_key, bucket, event_id, anon_id) VALUES ($1, $2, $3, $4) RETURNING p.id INTO inserted;
    RETURN inserted;
END
$$;
CREATE FUNCTION record_plays(track_entry_keys text[], buckets play_bucket[], event_ids uuid[] DEFAULT NULL, anon_ids text[] DEFAULT NULL)
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE sql AS $$
    WITH inserted AS (
        INSERT INTO play_event AS p (track_entry_key, bucket, event_id, anon_id) SELECT * FROM unnest($1, $2, $3, $4) RETURNING p.id
    )
    SELECT row_number() OVER ()::int, 'recorded', i.id, NULL FROM inserted AS i
$$;
SQL
        at "$1" "$database" -c "ALTER TABLE play_event ALTER COLUMN id SET INCREMENT BY $3 RESTART WITH $2"
    done
}

# make_batches SERVER DATABASE: what consumers send, as text, which any engine takes
make_batches() {
    at "$1" "$2" > /dev/null <<SQL
SELECT setseed(0.5);
CREATE TABLE batch AS
WITH weight AS (
    SELECT n, sum(1 / power(n, float8 '1.07')) OVER (ORDER BY n) AS up_to FROM generate_series(1, $tracks) n
), threshold AS (
    SELECT array_agg(up_to / total ORDER BY n) AS up_to FROM weight, (SELECT max(up_to) AS total FROM weight) t
)
SELECT r.n, array_agg('track-' || 1 + width_bucket(r.track, t.up_to)) AS track_entry_keys, array_fill('complete'::text, ARRAY[$each]) AS buckets
  FROM threshold t, (SELECT i % 50 AS n, random() AS track FROM generate_series(1, 50 * $each) i OFFSET 0) r
 GROUP BY r.n;
CREATE UNIQUE INDEX ON batch (n);
VACUUM ANALYZE batch;
SQL
}

set_up_plain() { make_logs plain 1 1; }

# The functions are those of the document.
set_up_proxy() {
    local database part
    make_logs node_1 1 2
    make_logs node_2 2 2
    for database in bare playevent; do
        at proxy postgres -c "CREATE DATABASE $database"
        at proxy "$database" <<SQL
CREATE SCHEMA plproxy;
CREATE EXTENSION plproxy SCHEMA plproxy;
CREATE SERVER plays FOREIGN DATA WRAPPER plproxy
    OPTIONS (p0 'host=$PWD/node_1 dbname=$database', p1 'host=$PWD/node_2 dbname=$database');
CREATE USER MAPPING FOR postgres SERVER plays OPTIONS (user 'postgres');
SQL
        for part in 'which shard' batches; do
            awk -v first="-- in the proxy database: $part" '
                index($0, first) == 1 { inside = 1 } /^```/ { inside = 0 } inside' sql/OPERATIONS.md > proxy.sql
            [ -s proxy.sql ] || die "sql/OPERATIONS.md has no \"$part\""
            at proxy "$database" -f proxy.sql
        done
    done
}

# Markers come behind all plays.
set_up_hub() {
    local database ingest
    make_logs ingest_1 1 3
    make_logs ingest_2 2 3
    make_logs hub 3 3
    for database in bare playevent; do
        for ingest in ingest_1 ingest_2; do
            at "$ingest" "$database" -c "CREATE PUBLICATION plays FOR TABLE play_event, marker WITH (publish = 'insert')"
            at hub "$database" -c 'SET client_min_messages = warning' -c "CREATE SUBSCRIPTION ${ingest}_$database
                CONNECTION 'host=$PWD/$ingest dbname=$database user=postgres' PUBLICATION plays WITH (two_phase = true, streaming = on)"
        done
    done
}

markers=0
wait_hub() {
    markers=$((markers + 2))
    at ingest_1 "$1" -c "INSERT INTO marker VALUES ($markers)"
    at ingest_2 "$1" -c "INSERT INTO marker VALUES ($markers + 1)"
    at hub "$1" -c "DO \$\$ BEGIN WHILE (SELECT count(*) < 2 FROM marker WHERE n >= $markers) LOOP PERFORM pg_sleep(0.01); END LOOP; END \$\$"
}

# The bare table is unique by the same columns as the log: those that it is distributed by
# are among them.  Its batches are VALUES, which Citus takes in a third of the time of
# INSERT ... SELECT.
set_up_citus() {
    local database server
    make_logs coordinator 1 1
    for database in bare playevent; do
        for server in worker_1 worker_2; do at "$server" postgres -c "CREATE DATABASE $database"; done
        for server in ${servers[citus]}; do at "$server" "$database" -c 'CREATE EXTENSION citus'; done
        at coordinator "$database" > /dev/null -c "SELECT citus_set_coordinator_host('$PWD/coordinator', 5432)" \
            -c "SELECT citus_add_node('$PWD/worker_1', 5432), citus_add_node('$PWD/worker_2', 5432)"
    done
    at coordinator playevent > /dev/null 2>> citus.log <<'SQL'
BEGIN;
SELECT create_reference_table('track');
SELECT playevent.distribute_log('play_event');
COMMIT;
SQL
    at coordinator bare > /dev/null 2>> citus.log <<'SQL'
ALTER TABLE play_event DROP CONSTRAINT bare_pkey, ADD PRIMARY KEY (track_entry_key, id);
DROP INDEX bare_event_id_idx;
CREATE UNIQUE INDEX ON play_event (track_entry_key, event_id) WHERE event_id IS NOT NULL;
SELECT create_distributed_table('play_event', 'track_entry_key', shard_count => 32);
CREATE OR REPLACE FUNCTION record_plays(track_entry_keys text[], buckets play_bucket[], event_ids uuid[] DEFAULT NULL, anon_ids text[] DEFAULT NULL)
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE (
        SELECT 'INSERT INTO play_event AS p (track_entry_key, bucket, event_id, anon_id) VALUES ' ||
               string_agg(format('(%L, %L, %L, %L)', r.track_entry_key, r.bucket, r.event_id, r.anon_id), ', ') ||
               ' RETURNING 1, ''recorded''::text, p.id, NULL::text'
          FROM unnest($1, $2, $3, $4) AS r(track_entry_key, bucket, event_id, anon_id));
END
$$;
SQL
}

# wait_engine ENGINE DATABASE: until no statement is under way, and all is where it belongs
wait_engine() {
    local server
    for server in ${servers[$1]}; do
        at "$server" postgres -c "DO \$\$ BEGIN
            WHILE EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname <> 'postgres' AND state <> 'idle') LOOP
                PERFORM pg_sleep(0.01);
                PERFORM pg_stat_clear_snapshot();
            END LOOP;
        END \$\$"
    done
    ! declare -F "wait_$1" > /dev/null || "wait_$1" "$2"
}

# The CPU that these servers have used, in microseconds; that of processes which have
# ended is with their postmaster.
cpu_of() {
    local server pids=''
    for server; do pids+=" $(server_pid "$server/data")"; done
    { cat /proc/[0-9]*/stat 2> /dev/null || true; } | awk -v pids="$pids" -v hertz="$(getconf CLK_TCK)" '
        BEGIN { split(pids, listed, " "); for (i in listed) is_server[listed[i]] = 1 }
        { pid = $1; sub(/^.*\) /, "") }
        pid in is_server { used += $12 + $13 + $14 + $15 }
        $2 in is_server { used += $12 + $13 }
        END { printf "%.0f\n", used * 1e6 / hertz }'
}

# sum_of DATABASE EXPRESSION SERVER...
sum_of() {
    local database=$1 expression=$2 server sum=0
    shift 2
    for server; do sum=$((sum + $(at "$server" "$database" -c "SELECT $expression"))); done
    echo "$sum"
}
wal_of() { sum_of postgres "(pg_current_wal_insert_lsn() - '0/0')::bigint" "$@"; }
# By their sequences, which skip nothing here
plays_of() {
    local database=$1
    shift
    sum_of "$database" "coalesce((SELECT (pg_sequence_last_value(s.seqrelid) - s.seqstart) / s.seqincrement + 1 FROM pg_sequence s
        WHERE s.seqrelid = pg_get_serial_sequence('play_event', 'id')::regclass), 0)" "$@"
}

# start_group ENGINE DATABASE CLIENTS SCRIPT: clients at its entrances, that get warm
declare -A groups=()
start_group() {
    local entrance list pids=()
    read -ra list <<< "${entrances[$1]}"
    for entrance in "${list[@]}"; do
        PGHOST=$PWD/$entrance pgbench -n -M prepared -c $(($3 / ${#list[@]})) -T 86400 -D tracks="$tracks" -f "$4" "$2" \
            > "group_$1.$2.$entrance" 2>&1 &
        pids+=($!)
        clients_of[$1.$2.$entrance]=$!
    done
    groups[$1.$2]=${pids[*]}
    sleep "$(pick 2 0.5)"
    kill -STOP "${pids[@]}"
    wait_engine "$1" "$2"
}

check_group() {
    local file
    for file in "group_$1.$2".*; do
        ! grep -q '^pgbench: error' "$file" || { complain "$(cat "$file")"; exit 1; }
    done
}

# measure_group KEYS CLIENTS ENGINE DATABASE ROUND
measure_group() {
    local keys="$1, $3" plays wal cpu began ended all pids nodes_of
    read -ra all <<< "${servers[$3]}"
    read -ra nodes_of <<< "${nodes[$3]}"
    read -ra pids <<< "${groups[$3.$4]}"
    plays=$(plays_of "$4" "${nodes_of[@]}")
    wal=$(wal_of "${all[@]}")
    cpu=$(cpu_of "${all[@]}")
    began=$EPOCHREALTIME
    kill -CONT "${pids[@]}"
    sleep "$seconds"
    kill -STOP "${pids[@]}"
    wait_engine "$3" "$4"
    ended=$EPOCHREALTIME
    check_group "$3" "$4"
    cpu=$(($(cpu_of "${all[@]}") - cpu))
    wal=$(($(wal_of "${all[@]}") - wal))
    plays=$(($(plays_of "$4" "${nodes_of[@]}") - plays))
    [ "$plays" -gt 0 ] || die "no plays: $keys, $4"
    record "$keys" "$2" "$4" "$5" tps "$(quotient "$plays" "$began" "$ended")"
    record "$keys" "$2" "$4" "$5" cpu_us "$(quotient "$cpu" "$plays")"
    record "$keys" "$2" "$4" "$5" wal_bytes "$(quotient "$wal" "$plays")"
}

# measure_keys KEYS CLIENTS PGBENCH-SCRIPT-OF-THE-PROXY PGBENCH-SCRIPT
measure_keys() {
    local engine database round run server
    for server in "${started[@]}"; do
        for database in bare playevent; do at "$server" "$database" -c VACUUM -c CHECKPOINT; done
    done
    variants=()
    for engine in "${engines[@]}"; do
        for database in bare playevent; do
            note "machines: $1, clients of $engine, $database"
            start_group "$engine" "$database" "$2" "$([ "$engine" = proxy ] && echo "$3" || echo "$4")"
            variants+=("$engine.$database")
        done
    done
    for ((round = 1; round <= rounds; round++)); do
        for run in $(in_turn "$round"); do
            note "machines: $1, round $round of $rounds, $run"
            measure_group "$1" "$2" "${run%.*}" "${run#*.}" "$round"
        done
    done
    for run in "${!clients_of[@]}"; do
        kill -TERM "${clients_of[$run]}"
        kill -CONT "${clients_of[$run]}"
        wait "${clients_of[$run]}" 2> /dev/null || true
        unset "clients_of[$run]"
    done
    rm -f group_*
}

if [ "$(sql postgres -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'plproxy'")" = 0 ]; then
    say 'machines: PL/Proxy is left out, for the server does not have it'
else
    engines+=(proxy)
fi
engines+=(hub)
if [ -z "${CITUS:-}" ] && [ ! -e "$("$PG_CONFIG" --sharedir)/extension/citus.control" ]; then
    say 'machines: Citus is left out, for the server does not have it'
else
    engines+=(citus)
fi
for engine in "${engines[@]}"; do
    for server in ${servers[$engine]}; do start "$server" < /dev/null; done
    "set_up_$engine"
    for server in ${entrances[$engine]}; do
        for database in bare playevent; do make_batches "$server" "$database"; done
    done
    # Logs in use, beyond the first pages
    for server in ${nodes[$engine]}; do
        for database in bare playevent; do
            at "$server" "$database" -c "INSERT INTO play_event (track_entry_key, bucket)
                SELECT 'track-' || 1 + n % $tracks, 'complete' FROM generate_series(1, greatest($tracks, 20000)) n"
        done
    done
done

for keys in ${KEYS:-hot zipf}; do
    case $keys in
        hot) echo '\set n 1' ;;
        zipf) echo '\set n random_zipfian(1, :tracks, 1.07)' ;;
        *) die 'KEYS of machines are of hot, zipf' ;;
    esac > machines.pgbench
    echo "SELECT record_play('track-' || :n, 'complete', gen_random_uuid());" >> machines.pgbench
    measure_keys "$keys" "$clients" machines.pgbench machines.pgbench
done

for kinds in 'text[]' 'play_bucket[]'; do
    printf '%s\n' '\set n random(0, 49)' "SELECT count(*) FROM batch AS b CROSS JOIN LATERAL
        record_plays(b.track_entry_keys, b.buckets::$kinds, ARRAY(SELECT gen_random_uuid() FROM generate_series(1, $each) OFFSET 0 * b.n)) AS r
        WHERE b.n = :n;" | sed -z 's/\n *\([rW]\)/ \1/g' > "batch_${kinds%[[]*}.pgbench"
done
measure_keys "batches of $each" "$consumers" batch_text.pgbench batch_play_bucket.pgbench

# Whatever the speed: exact, and all of it arrived.
for engine in "${engines[@]}"; do
    for server in ${servers[$engine]}; do
        [ "$server" != proxy ] || continue
        wrong=$(at "$server" playevent -c "SELECT v.* FROM playevent.verify('play_event') v")
        [ -z "$wrong" ] || die "playevent.verify after machines, $server: counters differ from the log: $wrong"
    done
    if [ "$engine" = hub ]; then
        for database in bare playevent; do
            wait_hub "$database"
            rows='(SELECT count(*) FROM play_event)'
            [ "$(sum_of "$database" "$rows" ingest_1 ingest_2)" = "$(sum_of "$database" "$rows" hub)" ] ||
                die "machines, $database: the hub lacks plays"
        done
    fi
done
