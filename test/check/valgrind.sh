#!/usr/bin/env bash
# valgrind.sh: what `make test-valgrind` does.  Runs the tests with the server's
# processes under memcheck, and fails on any error with a frame of playevent's.
# Closes with the line `N passed, N failed`.  It takes long: ONLY, PGTAP and TAP
# choose parts.
#
# The server is one that tells memcheck of its memory contexts, built from the
# distribution's source package: to Debian's own, an allocation is all of a
# block of 8 kB or more, and what is read beyond a row goes unnoticed.
#
# From the environment, beside what run.sh knows:
#
#   CACHE          directory that keeps the built server (see source.sh)
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/source.sh"
run_from_source test/check/valgrind-in-copy.sh
