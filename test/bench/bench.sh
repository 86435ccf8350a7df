#!/usr/bin/env bash
# bench.sh: what `make bench` does.  From the environment:
#
#   QUICK=1        every workload, small and short: for a look only
#   ONLY           of single bulk100 batches copy pinned isolation growth reads
#   VARIANTS       of bare row_triggers transition_table playevent
#   ROUNDS, SECONDS_EACH
#   CLIENTS, KEYS  of the workload single; keys are uniform, zipf or hot
#   RESULTS        directory for the results, else a fresh one in /tmp
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

if [ -n "${RESULTS:-}" ]; then
    mkdir -p "$RESULTS"
else
    RESULTS=$(mktemp -d /tmp/playevent-bench.XXXXXX)
    chmod 755 "$RESULTS"
fi
archive=$(mktemp /tmp/playevent-bench.XXXXXX)

# After an interruption too: what was measured until then stays.
unpack() {
    local status=$?
    if [ -s "$archive" ]; then
        tar -x --no-same-owner --no-same-permissions -C "$RESULTS" -f "$archive"
        [ $status = 0 ] || say 'the benchmark did not finish'
        say "results are in $RESULTS"
    else
        rmdir --ignore-fail-on-non-empty "$RESULTS"
    fi
    rm -f "$archive"
}
trap unpack EXIT

# The server's user may not write here, so the results come as an archive.  The
# parentheses keep run_in_copy's traps apart from ours.
(run_in_copy test/bench/bench-in-copy.sh \
    postgresql-@ postgresql-server-dev-@ gnuplot-nox) 3> "$archive"
