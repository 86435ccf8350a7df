#!/usr/bin/env bash
# citus.sh: what `make test-citus` does.  Runs the tests of test/citus on clusters
# of a coordinator and some workers, which go at the end, and closes with the
# line `N passed, N failed`.  Where the server has no Citus, they are left out,
# and a line says so.  From the environment, beside what run.sh knows:
#
#   CITUS          directory that Citus was installed into with `make install
#                  DESTDIR=`; default is that the server of PG_CONFIG has it
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

if [ -n "${CITUS:-}" ]; then CITUS=$(realpath "$CITUS"); fi
export CITUS
mapfile -t packages < <(test_packages | tr ' ' '\n')
run_in_copy test/check/citus-in-copy.sh "${packages[@]}"
