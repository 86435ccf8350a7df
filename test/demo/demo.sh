#!/usr/bin/env bash
# demo.sh: what `make demo` does: a small music site in a throwaway cluster.
# KEEP=1 leaves the cluster up.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
run_in_copy test/demo/demo-in-copy.sh postgresql-@ postgresql-server-dev-@
