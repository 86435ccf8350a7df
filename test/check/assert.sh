#!/usr/bin/env bash
# assert.sh: what `make test-assert` does.  Builds Postgres from the
# distribution's source package with assertions, runs every test on it, and a
# few once more with all caches discarded whenever they could be.  Closes with
# the line `N passed, N failed`.  From the environment, beside what run.sh knows:
#
#   CACHE          directory that keeps the built server (see source.sh)
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/source.sh"
run_from_source test/check/assert-in-copy.sh
