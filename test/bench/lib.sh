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
read -ra variants <<< "${VARIANTS:-bare row_triggers transition_table playevent}"
workload=$(basename "$0" .sh)

# The schema "playevent" is the extension's.
schema() { echo "${1/#playevent/measured}"; }

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
    sql "$database" -v tracks="$tracks" -f test/bench/variants.sql > /dev/null
}

# preload DATABASE TRACKS ROWS KINDS: a log that has been in use for long
preload() {
    note "$workload: $3 rows over $2 tracks"
    sql "$1" -v tracks="$2" -v rows="$3" -v kinds="$4" -f test/bench/preload.sql > /dev/null
}

# Whatever the speed, the counters must be exact.
drop_database() {
    local wrong
    note "$workload: verifying $1"
    wrong=$(sql "$1" -c "SELECT v.* FROM playevent.verify('measured.play_event') v")
    [ -z "$wrong" ] || die "
playevent.verify after $workload, database $1: counters differ from the log:
$wrong"
    dropdb "$1"
}

# What pgbench says has an error of each client, and a summary.
complain() {
    say
    grep -vE '^(transaction type|scaling factor|query mode|number of|maximum number|duration):?' <<< "$1" | head -n 20 >&2
}

# insert_rate DATABASE VARIANT CLIENTS PGBENCH-ARGUMENT...: runs pgbench and
# prints "transactions-per-second failed-transactions"
insert_rate() {
    local database=$1 variant=$2 clients=$3 output
    shift 3
    output=$(PGOPTIONS="${PGOPTIONS:-} -c search_path=$(schema "$variant"),public" \
        pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" "$@" "$database" 2>&1) ||
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

# start_clients DATABASE VARIANT CLIENTS PGBENCH-ARGUMENT...: and lets them warm
# up a little
start_clients() {
    local database=$1 variant=$2 clients=$3 tries=0
    shift 3
    PGAPPNAME=bench_$variant PGOPTIONS="-c search_path=$(schema "$variant"),public" \
        pgbench -n -M prepared -c "$clients" -j 2 -T 86400 "$@" "$database" > "clients_$database.$variant" 2>&1 &
    clients_of[$database.$variant]=$!
    until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE state IS NOT NULL
            AND datname = '$database' AND application_name = 'bench_$variant'")" = "$clients" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ]; then check_clients "$database" "$variant"; die "$clients clients do not connect"; fi
        sleep 0.1
    done
    sleep "$(pick 2 1)"
    kill -STOP "${clients_of[$database.$variant]}"
    wait_idle "$database" "$variant"
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

# clients_rate DATABASE VARIANT ROWS-A-TRANSACTION: lets the clients work for a
# round; prints transactions per second
clients_rate() {
    local pid=${clients_of[$1.$2]} first last started ended
    first=$(last_id "$1" "$2")
    started=$EPOCHREALTIME
    kill -CONT "$pid"
    sleep "$seconds"
    ended=$EPOCHREALTIME
    kill -STOP "$pid"
    last=$(last_id "$1" "$2")
    wait_idle "$1" "$2"
    check_clients "$1" "$2"
    awk -v rows="$((last - first))" -v each="$3" -v started="$started" -v ended="$ended" \
        'BEGIN { print rows / each / (ended - started) }'
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
    done
    until [ "$(sql postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname = '$1'")" = 0 ]; do sleep 0.1; done
}
