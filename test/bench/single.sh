#!/usr/bin/env bash
# single.sh: one row a transaction, by number of clients and by how the plays
# are spread over the tracks.  The clients have played every track before;
# cold.sh has those that have not.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

measure_warm "$(pick 10000 1000)" \
    "${CLIENTS:-$(pick '1 4 16 64' '1 16')}" "${KEYS:-$(pick 'uniform zipf hot' 'uniform hot')}"
