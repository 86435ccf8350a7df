#!/usr/bin/env bash
# isolation.sh: 14 clients on one hot track in READ COMMITTED, and beside them
# one in REPEATABLE READ and one in SERIALIZABLE, who may not fail.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# run VARIANT CLIENTS LEVEL
run() {
    PGOPTIONS="-c default_transaction_isolation=${3// /\\ }" \
        insert_rate isolation "$1" "$2" -T "$seconds" -f test/bench/hot.pgbench
}

# pg_ivm ends a session there with 55P03: it wants the whole view at once.
for v in "${!variants[@]}"; do
    [ "${variants[v]}" != pg_ivm ] || unset 'variants[v]'
done
variants=("${variants[@]}")

new_database isolation 10000
for ((round = 1; round <= rounds; round++)); do
    for variant in $(in_turn "$round"); do
        note "isolation: round $round of $rounds, $variant"
        run "$variant" 1 'repeatable read' > rr.out &
        repeatable_read=$!
        run "$variant" 1 serializable > ssi.out &
        serializable=$!
        run "$variant" 14 'read committed' > rc.out
        wait $repeatable_read
        wait $serializable
        read -r tps failed < rc.out
        read -r rr_tps rr_failed < rr.out
        read -r ssi_tps ssi_failed < ssi.out
        record hot 14 "$variant" "$round" tps "$tps"
        record 'hot, repeatable read' 1 "$variant" "$round" tps "$rr_tps"
        record 'hot, serializable' 1 "$variant" "$round" tps "$ssi_tps"
        record hot 16 "$variant" "$round" failed $((failed + rr_failed + ssi_failed))
    done
done
drop_database isolation
