#!/usr/bin/env bash
# bench.sh: what `make bench` does.  Settings, from the environment: CLIENTS,
# ROUNDS, SECONDS_EACH, KEYS (of uniform, zipf and hot), VARIANTS.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
run_in_copy test/bench/bench-in-copy.sh postgresql-@ postgresql-server-dev-@
