#!/usr/bin/env bash
# bench-in-copy.sh: throughput of single-row inserts, against the bare table.
#
# All variants take turns within a round, so that a slow spell of the machine
# hits them alike; what is reported is the median of the rounds' ratios.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

root=$PWD
export PGDATABASE=postgres PGUSER=postgres
clients=${CLIENTS:-16}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
read -ra keys <<< "${KEYS:-uniform hot}"
read -ra variants <<< "${VARIANTS:-bare row_triggers transition_table playevent}"

"$PG_CONFIG" --version
start_server "$root" <<CONF
shared_buffers = 1GB
max_wal_size = 16GB
max_connections = 200
CONF
psql -qX -v ON_ERROR_STOP=1 -f test/bench/variants.sql > /dev/null
psql -qXAt -F ' = ' -c "SELECT name, current_setting(name) FROM pg_settings
    WHERE name IN ('fsync', 'synchronous_commit', 'shared_buffers', 'max_wal_size', 'autovacuum')"
echo "nproc = $(nproc), clients = $clients, rounds = $rounds of ${seconds}s"

for key in "${keys[@]}"; do
    for ((round = 1; round <= rounds; round++)); do
        for variant in "${variants[@]}"; do
            tps=$(PGOPTIONS="-c search_path=${variant/#playevent/measured}" pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" \
                -f "test/bench/$key.pgbench" 2> pgbench.err | sed -n 's/^tps = \([0-9]*\).*/\1/p')
            [ -n "$tps" ] || { cat pgbench.err >&2; exit 1; }
            echo "$key $round $variant $tps" >> tps.txt
            printf '\r%-8s round %d  %-18s %6d tps  ' "$key" "$round" "$variant" "$tps" >&2
        done
    done
done
printf '\n' >&2

psql -qXAt -c "SELECT count(*) || ' counters differ from the log' FROM playevent.verify('measured.play_event')"

awk '
    $3 == "bare" { bare[$1 "," $2] = $4 }
    { tps[$1 "," $3 "," $2] = $4; if (!(($1 "," $3) in n)) order[++groups] = $1 "," $3; n[$1 "," $3]++ }
    function median(values, count,   i, j, t) {
        for (i = 2; i <= count; i++) {
            t = values[i]
            for (j = i - 1; j > 0 && values[j] > t; j--) values[j + 1] = values[j]
            values[j + 1] = t
        }
        return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
    }
    END {
        printf "%-8s %-18s %8s %7s %15s\n", "keys", "variant", "tps", "ratio", "min .. max"
        for (g = 1; g <= groups; g++) {
            split(order[g], part, ",")
            rounds = n[order[g]]
            for (r = 1; r <= rounds; r++) {
                t[r] = tps[order[g] "," r]
                ratio[r] = t[r] / bare[part[1] "," r]
            }
            m = median(t, rounds); q = median(ratio, rounds)
            printf "%-8s %-18s %8d %7.2f %8.2f .. %4.2f\n", part[1], part[2], m, q, ratio[1], ratio[rounds]
        }
    }' tps.txt
