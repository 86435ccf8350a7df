#!/usr/bin/env bash
# bench.sh: what `make bench` does.  From the environment:
#
#   QUICK=1        every workload, small and short: for a look only
#   ONLY           of single cold bulk100 batches copy pinned isolation growth
#                  reads charts live partitions decade verdicts machines
#   VARIANTS       of those in variants.sql: bare row_triggers
#                  row_triggers_with_day transition_table
#                  transition_table_with_day playevent playevent_without_day
#                  pg_ivm bare_partitioned playevent_partitioned
#   PRELOAD=1      preloads the library, so that backends share hints
#   PG_IVM         the source directory of pg_ivm, to compare with it too; it is
#                  built in the copy, and gone afterwards
#   CITUS          a directory that Citus was installed into with `make install
#                  DESTDIR=`, for machines; default is that the server has it
#   ROUNDS, SECONDS_EACH
#   CLIENTS, KEYS  of the workloads single and partitions; keys are uniform, zipf,
#                  hot or event_id.  KEYS of machines, too: hot or zipf
#   DECADE_PLAYS   how many plays the decade has: 10 million
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

prepare_copy() {
    [ -z "${PG_IVM:-}" ] || cp -r "$PG_IVM" pg_ivm
    [ -z "${CITUS:-}" ] || { mkdir stage && cp -R "$CITUS/." stage; }
}

# The server's user may not write here, so the results come as an archive.  The
# parentheses keep run_in_copy's traps apart from ours.
(run_in_copy test/bench/bench-in-copy.sh \
    postgresql-@ postgresql-server-dev-@ gnuplot-nox '?postgresql-@-plproxy') 3> "$archive"
