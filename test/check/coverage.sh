#!/usr/bin/env bash
# coverage.sh: what `make coverage` does.  Runs every test with src/ compiled for
# gcov, prints the share of lines that ran, by file, and lists those that did
# not.  Closes with the line `N passed, N failed`.  From the environment, beside
# what run.sh knows:
#
#   COVERAGE_MIN   the share in percent below which it fails; default 95
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

# Without optimization, for the figures are of lines; libc's headers warn that
# fortifying needs it.
export COVERAGE_MIN=${COVERAGE_MIN:-95}
export BUILD_FLAGS='--coverage -O0 -Wno-cpp' AFTERWARDS=test/check/uncovered.sh
# shellcheck disable=SC2046
run_in_copy test/run-in-copy.sh $(test_packages) lcov
