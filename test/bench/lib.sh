#!/usr/bin/env bash
# lib.sh: what the workloads share: the settings, databases to measure in, and
# a place for each measurement.
#
# A workload is a script of its own, NAME.sh, which bench-in-copy.sh runs with
# the server up.  It makes its own databases, so that none inherits another's
# bloat, and has them verified when it drops them.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

case ${QUICK:-0} in
    0) quick='' ;;
    *) quick=1 ;;
esac

# full and QUICK value of a setting
pick() { if [ -n "$quick" ]; then echo "$2"; else echo "$1"; fi; }

# shellcheck disable=SC2034
rounds=${ROUNDS:-$(pick 5 1)}
seconds=${SECONDS_EACH:-$(pick 3 1)}
workload=$(basename "$0" .sh)

# compare FULL QUICK: the variants to compare.  BENCH_RIVALS are the other
# extensions that the server has.
compare() {
    read -ra variants <<< "${VARIANTS:-$(pick "$1" "$2") ${BENCH_RIVALS:-}}"
}
compare 'bare row_triggers row_triggers_with_day transition_table transition_table_with_day playevent' \
    'bare row_triggers_with_day transition_table_with_day playevent'

# The schema "playevent" is the extension's, and none begins with pg_.
schema() {
    local schema=${1/#playevent/measured}
    echo "${schema/#pg_ivm/ivm}"
}

# The settings of a variant's sessions, for PGOPTIONS
options() {
    echo "-c search_path=$(schema "$1"),public"
    # As its documents say
    [ "$1" != pg_ivm ] || echo '-c session_preload_libraries=pg_ivm'
}

# One line of progress on standard error; a log gets one every 20 seconds.
noted=-20
note() {
    local elapsed=$((EPOCHSECONDS - BENCH_STARTED))
    if [ -t 2 ]; then
        printf '\r\033[K%2d:%02d  %s' $((elapsed / 60)) $((elapsed % 60)) "$*" >&2
    elif [ $((elapsed - noted)) -ge 20 ]; then
        noted=$elapsed
        printf '%2d:%02d  %s\n' $((elapsed / 60)) $((elapsed % 60)) "$*" >&2
    fi
}

# in_turn ROUND: the variants, each round beginning with the next one, so that
# none always follows the same other.
in_turn() {
    local i n=${#variants[@]}
    for ((i = $1 - 1; i < $1 - 1 + n; i++)); do echo "${variants[i % n]}"; done
}

# record KEYS CLIENTS VARIANT ROUND METRIC VALUE
record() {
    (IFS=$'\t'; echo "$workload"$'\t'"$*") >> "$BENCH_RESULTS/results.tsv"
}

# sql DATABASE PSQL-ARGUMENT...
sql() {
    psql -qXAt -v ON_ERROR_STOP=1 -F ' ' -d "$@"
}

new_database() {
    local database=$1 tracks=$2
    note "$workload: database $database, $tracks tracks"
    createdb "$database"
    set --
    [[ " ${variants[*]} " != *' pg_ivm '* ]] || set -- -v pg_ivm=1
    sql "$database" "$@" -v tracks="$tracks" -f test/bench/variants.sql > /dev/null
}

# preload DATABASE TRACKS ROWS KINDS: a log that has been in use for long
preload() {
    note "$workload: $3 rows over $2 tracks"
    sql "$1" -v tracks="$2" -v rows="$3" -v kinds="$4" -f test/bench/preload.sql > /dev/null
}

# play_all DATABASE TRACKS: logs in use: every track has its counters, and the
# table has grown beyond the first pages, whose summary in the BRIN index every
# insert changes
play_all() {
    local variant
    for variant in "${variants[@]}"; do
        note "$workload: every track is played, $variant"
        PGOPTIONS=$(options "$variant") sql "$1" -c "INSERT INTO play_event (track_entry_key, bucket)
            SELECT 'track-' || 1 + n % $2, 'complete' FROM generate_series(1, greatest($2, 20000)) n"
    done
    sql "$1" -c 'VACUUM ANALYZE'
}

# Whatever the speed, the counters must be exact; a rival's must add up, or it
# would be compared doing less.
drop_database() {
    local wrong variant counter
    note "$workload: verifying $1"
    for variant in "${variants[@]}"; do
        [[ $variant = playevent* ]] || continue
        wrong=$(sql "$1" -c "SELECT v.* FROM playevent.verify('$(schema "$variant").play_event') v")
        [ -z "$wrong" ] || die "
playevent.verify after $workload, database $1, $variant: counters differ from the log:
$wrong"
    done
    for variant in "${variants[@]}"; do
        for counter in play_counter play_daily; do
            case $variant,$counter in
                bare* | playevent*) continue ;;
                *_with_day,play_daily) ;;
                *,play_daily) continue ;;
            esac
            wrong=$(sql "$1" -c "SET search_path = $(schema "$variant")" -c "
                SELECT r.n, c.n FROM (SELECT count(*) AS n FROM play_event) r,
                       (SELECT coalesce(sum(plays), 0) AS n FROM $counter) c WHERE r.n <> c.n")
            [ -z "$wrong" ] || die "after $workload, $variant.$counter: rows and plays counted: $wrong"
        done
    done
    dropdb "$1"
}

# What pgbench says has an error of each client, and a summary.
complain() {
    say
    grep -vE '^(transaction type|scaling factor|query mode|number of|maximum number|duration):?' <<< "$1" | head -n 20 >&2
}

# insert_rate DATABASE VARIANT CLIENTS PGBENCH-ARGUMENT...: runs pgbench with
# new connections and prints "transactions-per-second failed-transactions", the
# time of connecting left out
insert_rate() {
    local database=$1 variant=$2 clients=$3 output
    shift 3
    output=$(PGOPTIONS="${PGOPTIONS:-} $(options "$variant")" \
        pgbench -n -M prepared -c "$clients" -j 2 "$@" "$database" 2>&1) ||
        { complain "$output"; return 1; }
    awk '/^tps = / { tps = $3 }
         /^number of failed transactions: / { failed = $5 }
         END { print tps, failed + 0; exit tps == "" }' <<< "$output"
}

# Clients that stay connected, as a site's do: a backend's caches fill while it
# works.  Those of all variants are there at once, and stopped but for the one
# whose turn it is.
declare -A clients_of=()

# A stopped process would stay for ever.
kill_clients() {
    [ ${#clients_of[@]} = 0 ] || kill -KILL "${clients_of[@]}" 2> /dev/null || true
}
trap kill_clients EXIT
trap 'exit 130' INT TERM

# wait_idle DATABASE VARIANT: until nothing of the variant runs any more.  A
# client that is stopped leaves its statement to the server, and one that waits
# for a deadlock to be noticed would hold back the others' pruning meanwhile.
wait_idle() {
    local tries=0
    until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'
            AND datname = '$1' AND application_name = 'bench_$2'")" = 0 ]; do
        tries=$((tries + 1))
        [ $tries -le 600 ] || die "statements of $2 do not end"
        sleep 0.1
    done
}

# start_clients DATABASE VARIANT CLIENTS PGBENCH-ARGUMENT...: and lets them work
# for a little, so that plans are made and catalogs read
start_clients() {
    local database=$1 variant=$2 clients=$3 tries=0
    shift 3
    PGAPPNAME=${first_name:-bench}_$variant PGOPTIONS=$(options "$variant") \
        pgbench -n -M prepared -c "$clients" -j 2 -T 86400 -l --log-prefix="latency_$database.$variant" \
        "$@" "$database" > "clients_$database.$variant" 2>&1 &
    clients_of[$database.$variant]=$!
    until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE state IS NOT NULL
            AND datname = '$database' AND application_name = 'bench_$variant'")" = "$clients" ]; do
        tries=$((tries + 1))
        check_clients "$database" "$variant"
        [ $tries -le 6000 ] || die "$clients clients do not get ready"
        sleep 0.1
    done
    sleep "$(pick 2 0.3)"
    kill -STOP "${clients_of[$database.$variant]}"
    wait_idle "$database" "$variant"
}

# start_warm_clients DATABASE VARIANT CLIENTS TRACKS SCRIPT PGBENCH-ARGUMENT...:
# each plays tracks 1 to TRACKS first, as clients do who have been connected for
# long, before it goes on with the script
start_warm_clients() {
    local database=$1 variant=$2 clients=$3 chunks=$((($4 + 99) / 100)) script=$5 first_name=warming
    shift 5
    { cat test/bench/warm_up.pgbench "$script"; printf '\n\\endif\n'; } > "warm_$database.pgbench"
    start_clients "$database" "$variant" "$clients" -D variant="$variant" -D chunks="$chunks" -D left="$chunks" \
        "$@" -f "warm_$database.pgbench"
}

check_clients() {
    local output
    kill -0 "${clients_of[$1.$2]}" 2> /dev/null && ! grep -q '^pgbench: error' "clients_$1.$2" && return
    output=$(cat "clients_$1.$2")
    complain "$output"
    exit 1
}

# The log's identity column tells how many rows there have been.
last_id() {
    sql "$1" -c "SELECT last_value FROM $(schema "$2").play_event_id_seq"
}

# quotient A B: A / B.  quotient A FROM TO: A / (TO - FROM)
quotient() {
    awk -v a="$1" -v from="${3:+$2}" -v b="${3:-$2}" 'BEGIN { print a / (b - from) }'
}

# How many bytes of WAL there have been
wal_position() {
    sql postgres -c "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
}

# server_cpu: each process of the server, and its CPU time in microseconds.  A
# process's name, in parentheses, may have blanks.
server_cpu() {
    { cat /proc/[0-9]*/stat 2> /dev/null || true; } |
        awk -v server="$(server_pid s/data)" -v hertz="$(getconf CLK_TCK)" '
            { pid = $1; sub(/^.*\) /, "") }
            pid == server || $2 == server { printf "%d %.0f\n", pid, ($12 + $13) * 1e6 / hertz }'
}

# cpu_between BEFORE AFTER: of the processes that are in both.  Those that came
# or went are sessions of ours that ask something, and autovacuum, which falls on
# whichever variant is there.
cpu_between() {
    awk 'NR == FNR { before[$1] = $2; next } $1 in before { used += $2 - before[$1] } END { print used + 0 }' "$1" "$2"
}

# measure KEYS CLIENTS DATABASE VARIANT ROUND ROWS-A-TRANSACTION: lets the
# clients work for a round, and records transactions per second, and a row's CPU
# and WAL.  stop_clients records how long the round's transactions took.
measure() {
    local pid=${clients_of[$3.$4]} first last started ended wal
    first=$(last_id "$3" "$4")
    wal=$(wal_position)
    server_cpu > cpu.before
    started=$EPOCHREALTIME
    kill -CONT "$pid"
    sleep "$seconds"
    ended=$EPOCHREALTIME
    kill -STOP "$pid"
    last=$(last_id "$3" "$4")
    record "$1" "$2" "$4" "$5" tps "$(quotient "$(quotient $((last - first)) "$6")" "$started" "$ended")"
    printf '%s\t' "$1" "$2" "$5" "$started" >> "rounds_$3.$4"
    echo "$ended" >> "rounds_$3.$4"

    # Statements that were under way have cost, too.
    wait_idle "$3" "$4"
    check_clients "$3" "$4"
    server_cpu > cpu.after
    wal=$(($(wal_position) - wal))
    last=$(last_id "$3" "$4")
    [ "$last" -gt "$first" ] || return 0
    record "$1" "$2" "$4" "$5" cpu_us "$(quotient "$(cpu_between cpu.before cpu.after)" $((last - first)))"
    record "$1" "$2" "$4" "$5" wal_bytes "$(quotient "$wal" $((last - first)))"
}

# record_latencies DATABASE VARIANT: of pgbench's log of each transaction, those
# that began and ended within a round
record_latencies() {
    local keys clients round p50 p99
    [ -e "rounds_$1.$2" ] || return 0
    while IFS=$'\t' read -r keys clients round p50 p99; do
        record "$keys" "$clients" "$2" "$round" p50_ms "$p50"
        record "$keys" "$clients" "$2" "$round" p99_ms "$p99"
    done < <(cat "latency_$1.$2".* | awk -f test/bench/latencies.awk "rounds_$1.$2" - |
        sort -t $'\t' -k 1,1n -k 2,2n | awk -f test/bench/percentiles.awk "rounds_$1.$2" -)
    rm "rounds_$1.$2"
}

# stop_clients DATABASE
stop_clients() {
    local name
    for name in "${!clients_of[@]}"; do
        [ "${name%.*}" = "$1" ] || continue
        kill -TERM "${clients_of[$name]}"
        kill -CONT "${clients_of[$name]}"
        wait "${clients_of[$name]}" 2> /dev/null || true
        unset "clients_of[$name]"
        record_latencies "$1" "${name##*.}"
        rm -f "latency_$name".*
    done
    until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname = '$1'")" = 0 ]; do sleep 0.1; done
}

# measure_warm TRACKS CLIENT-COUNTS KEYS: one row a transaction by warm clients, in a
# database of its own.  The last two are lists, with blanks in between.
measure_warm() {
    local tracks=$1 keys clients variant round client_counts key_sets
    read -ra client_counts <<< "$2"
    read -ra key_sets <<< "$3"
    new_database "$workload" "$tracks"
    play_all "$workload" "$tracks"
    for keys in "${key_sets[@]}"; do
        for clients in "${client_counts[@]}"; do
            # Warming up writes each page once after the checkpoint, so that its
            # image is in nobody's WAL later.  Nor is what autovacuum would find.
            sql "$workload" -c VACUUM -c CHECKPOINT
            for variant in "${variants[@]}"; do
                note "$workload: $keys keys, $clients clients get warm, $variant"
                start_warm_clients "$workload" "$variant" "$clients" "$([ "$keys" = hot ] && echo 1 || echo "$tracks")" \
                    "test/bench/$keys.pgbench" -D tracks="$tracks"
            done
            for ((round = 1; round <= rounds; round++)); do
                for variant in $(in_turn "$round"); do
                    note "$workload: $keys keys, $clients clients, round $round of $rounds, $variant"
                    measure "$keys" "$clients" "$workload" "$variant" "$round" 1
                done
            done
            stop_clients "$workload"
        done
    done
    drop_database "$workload"
}
