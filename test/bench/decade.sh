#!/usr/bin/env bash
# decade.sh: a log that lives for ten years, a month at a time: plays come, months
# are sealed, and retired after 13.  What it takes on disk, and what inserts and
# reads cost, at its end as before anything was retired.
#
# Before anything is, the database is copied, so that both ages are there at the
# end and take turns.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

plays=${DECADE_PLAYS:-$(pick 10000000 200000)}
tracks=$(pick 1000000 10000)
months=$(pick 120 30)
most_played=$(pick 10000 1000)
variants=(playevent)
# Days and partitions are UTC's.
export PGTZ=UTC

[[ $plays =~ ^[0-9]{5,}$ ]] || die 'DECADE_PLAYS is a number, 10000 or more'

# What stays, and WAL until the next checkpoint, in kB
wal=$((plays * 2))
[ $wal -le 17000000 ] || wal=17000000
needed=$((1000000 + wal + plays * 3 / 10))
free=$(df --output=avail -k . | tail -n 1)
[ "$free" -ge $needed ] ||
    die "$plays plays in a decade need $((needed / 1000000)) GB in $PWD: leave it out with ONLY, or set DECADE_PLAYS"

note "decade: $tracks tracks"
createdb decade
sql decade -v tracks="$tracks" -v plays="$plays" -v months="$months" -f test/bench/decade.sql > /dev/null
# No statement takes that long, so none is waited for in vain.
sql decade -c "ALTER DATABASE decade SET statement_timeout = '30min'" -c 'VACUUM ANALYZE'

# live MONTH: one of the log's months
put_off=0
live() {
    local load seal retire tidy late output
    output=$(sql decade -v n="$1" -v file="$PWD/month.copy" -f test/bench/decade_month.sql)
    read -r load seal retire tidy late <<< "${output//$'\n'/ }"
    put_off=$((put_off + late))
    record load 1 playevent "$1" tps "$(quotient "$(sql decade -c "SELECT plays FROM public.month WHERE n = $1")" "$load")"
    record seal 1 playevent "$1" seconds "$seal"
    record tidy 1 playevent "$1" seconds "$tidy"
    [ "$1" -le 13 ] || record retire 1 playevent "$1" seconds "$retire"
    sql decade -F $'\t' -c "SELECT $1, what, mb FROM public.size" >> "$BENCH_RESULTS/decade.tsv"
}

# copy_database: who looks into it, as autovacuum does, is waited for
copy_database() {
    local tries=0
    until createdb -T decade -S file_copy decade_start 2> createdb.err; do
        tries=$((tries + 1))
        [ $tries -le 20 ] || die "$(cat createdb.err)"
        sleep 1
    done
    sql decade_start -c "ALTER DATABASE decade_start SET statement_timeout = '30min'"
}

for ((month = 1; month <= months; month++)); do
    note "decade: month $month of $months, $plays plays in all"
    live $month
    [ $month != 13 ] || copy_database
done
rm -f month.copy
record 'seal, tidy, retire' 1 playevent 1 put_off "$put_off"

declare -A age=([decade_start]=start [decade]=end) lived=([decade_start]=13 [decade]=$months)

# ages ROUND: each database is first in turn
ages() { if [ $(($1 % 2)) = 1 ]; then echo decade_start decade; else echo decade decade_start; fi; }

for database in $(ages 1); do
    note "decade: are the totals of ${lived[$database]} months right?"
    wrong=$(sql "$database" -c "SELECT * FROM public.differences(${lived[$database]}) LIMIT 20")
    [ -z "$wrong" ] || die "
after ${lived[$database]} months, counts differ from the plays (of what, counted, played):
$wrong"
    sql "$database" -c 'VACUUM ANALYZE'
    while read -r what mb; do
        record "size of $what, ${age[$database]}" 1 playevent 1 mb "$mb"
    done < <(sql "$database" -c 'SELECT what, mb FROM public.size')
done
sql postgres -c CHECKPOINT

for ((round = 1; round <= rounds; round++)); do
    for database in $(ages "$round"); do
        note "decade: reads, round $round of $rounds, ${age[$database]}"
        while read -r what p50; do
            record "$what, ${age[$database]}" 1 playevent "$round" p50_ms "$p50"
        done < <(sql "$database" -v month="${lived[$database]}" -f test/bench/decade_reads.sql)
    done
done

# The month that is the present has as many plays as any, by record_plays.
batches=$((plays / months / 1000 / rounds))
[ $batches -gt 0 ] || batches=1
for ((round = 1; round <= rounds; round++)); do
    for database in $(ages "$round"); do
        note "decade: record_plays, round $round of $rounds, ${age[$database]}"
        took=$(sql "$database" -c "CALL public.record_batches($batches)")
        record "record_plays, ${age[$database]}" 1 playevent "$round" seconds "$took"
    done
done

for database in $(ages 1); do sql "$database" -c VACUUM; done
sql postgres -c CHECKPOINT
for database in $(ages 1); do
    note "decade: 16 clients get warm, ${age[$database]}"
    start_warm_clients "$database" playevent 16 "$most_played" test/bench/uniform.pgbench -D tracks="$most_played"
done
for ((round = 1; round <= rounds; round++)); do
    for database in $(ages "$round"); do
        note "decade: inserts, round $round of $rounds, ${age[$database]}"
        measure "insert, ${age[$database]}" 16 "$database" playevent "$round" 1
    done
done
for database in $(ages 1); do
    stop_clients "$database"
    drop_database "$database"
done
