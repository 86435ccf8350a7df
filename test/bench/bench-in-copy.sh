#!/usr/bin/env bash
# bench-in-copy.sh: the benchmark, in the copy that setup.sh made.
#
# Where variants are compared, all take turns within a round, so that a slow
# spell of the machine hits them alike, and the ratio to the bare table is
# computed round by round.  Files of results go to descriptor 3 as an archive.
root=$PWD
mkdir results
export BENCH_RESULTS=$root/results BENCH_STARTED=$EPOCHSECONDS
export PGDATABASE=postgres PGUSER=postgres
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

all='single cold bulk100 batches copy pinned isolation growth reads charts live partitions decade verdicts machines'
read -ra workloads <<< "${ONLY:-$all}"
for name in "${workloads[@]}"; do
    [[ " $all " = *" $name "* ]] || die "ONLY is of: $all"
done

# Checkpoints come between workloads: page images after one would fall on
# whichever variant is next.
note 'building'
start_server "$root" <<CONF
checkpoint_timeout = 30min
shared_buffers = 1GB
max_wal_size = 16GB
max_connections = 600
${PRELOAD:+shared_preload_libraries = 'playevent'}
CONF
# Rivals that the server has, be it only for this run (see bench.sh).  Debian's
# servers list what is in their own directories only.
BENCH_RIVALS=$(sql postgres -c "SELECT name FROM pg_available_extensions WHERE name = 'pg_ivm'")
if [ -d pg_ivm ]; then
    BENCH_RIVALS=pg_ivm
    make -s -C pg_ivm PG_CONFIG="$PG_CONFIG" with_llvm=no DESTDIR="$root/stage" clean install > pg_ivm.log 2>&1 ||
        { cat pg_ivm.log >&2; exit 1; }
fi
export BENCH_RIVALS
[[ " ${VARIANTS:-} " != *' pg_ivm '* ]] || [ -n "$BENCH_RIVALS" ] || die "the server has no pg_ivm: see PG_IVM"

finish() {
    stop_server
    # Something was measured, beside the line of names.
    if grep -qv '^workload' results/results.tsv 2> /dev/null; then tar -c -C results . >&3; fi
}
trap finish EXIT

printf 'workload\tkeys\tclients\tvariant\tround\tmetric\tvalue\n' > results/results.tsv
bash test/bench/machine.sh > results/machine.txt
took=''
for name in "${workloads[@]}"; do
    sql postgres -c CHECKPOINT
    started=$EPOCHSECONDS
    bash "test/bench/$name.sh"
    took+="${took:+, }$name $((EPOCHSECONDS - started))"
done

awk -f test/bench/summary.awk results/results.tsv > results/summary.tsv
awk -f test/bench/markdown.awk results/summary.tsv > results/ratios.md
for plot in single pinned decade; do
    if [[ " ${workloads[*]} " = *" $plot "* ]]; then
        # Without gnuplot's many empty groups
        gnuplot "test/bench/$plot.gp" | sed -z 's/<g [^>]*>\n<\/g>\n//g' > "results/$plot.svg"
    fi
done

note 'done'
[ ! -t 2 ] || say
{
    cat results/machine.txt
    awk -f test/bench/table.awk test/bench/targets.tsv results/summary.tsv
    echo 'After every workload, playevent.verify found no counter that differs from its log.'
    echo "Seconds that each workload took, all told: $took."
    [ -z "$quick" ] || echo 'QUICK=1: figures for a look only.'
} | tee results/report.txt
