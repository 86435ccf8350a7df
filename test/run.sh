#!/usr/bin/env bash
# run.sh: what `make test` does.  Runs every test there is in throwaway
# clusters and closes with the line `N passed, N failed`.  From the environment,
# beside what setup.sh knows (MAJOR, PG_CONFIG, INSTALL, KEEP):
#
#   ONLY           of regress isolation pgtap tap: just those
#   TAP            which TAP tests, as a pattern; default test/t/*.pl
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
# shellcheck disable=SC2046
run_in_copy test/run-in-copy.sh $(test_packages)
