#!/usr/bin/env bash
# assert-in-copy.sh: every test on a server with assertions.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/source.sh"
build_from_source "$MAJOR" assert
export PG_CONFIG AFTERWARDS=test/check/discard-caches.sh
bash test/run-in-copy.sh
