#!/usr/bin/env bash
# instructions.sh: what `make bench-instructions` does: counts the instructions
# of a single-row insert.  Exact, so that commits can be compared.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
run_in_copy test/bench/instructions-in-copy.sh postgresql-@ postgresql-server-dev-@ valgrind
