#!/usr/bin/env bash
# instructions.sh: what `make bench-instructions` does: counts the instructions
# of a single-row insert.  Exact, so that commits can be compared.
#
#   EVENT_IDS=1    of plays with an event_id: into a log of one table, and into a
#                  partitioned one, whose key table keeps them apart; that without a
#                  key table, and with an index more on it
#   SUMS=1         of a log with a further counter, of rows or of a column's sums
#   PRELOAD=1      with the library preloaded: tracks that other backends have met,
#                  and this one has not
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

# There is but one backend, so it is made forgetful: it asks for what it has told.
[ -z "${PRELOAD:-}" ] || export BUILD_FLAGS="${BUILD_FLAGS:-} -DMAX_CELLS=1024"
run_in_copy test/bench/instructions-in-copy.sh postgresql-@ postgresql-server-dev-@ valgrind
