#!/usr/bin/env bash
# run.sh: what `make test` does.  Runs every test there is in throwaway
# clusters and closes with the line `N passed, N failed`.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
run_in_copy test/run-in-copy.sh postgresql-@ postgresql-server-dev-@ \
    postgresql-@-pgtap libtap-parser-sourcehandler-pgtap-perl libipc-run-perl perl
