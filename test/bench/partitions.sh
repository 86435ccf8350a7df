#!/usr/bin/env bash
# partitions.sh: one row a transaction, into a table and a log that are one table
# and into the same partitioned by month.  Clients are warm, as in single.sh.
#
# Where plays have an event_id, a log that is one table keeps them apart by a unique
# index, and a partitioned one by a key table.  The bare partitioned table has
# nothing that does.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

compare 'bare bare_partitioned playevent playevent_partitioned' 'bare bare_partitioned playevent playevent_partitioned'
measure_warm "$(pick 10000 1000)" "${CLIENTS:-$(pick '1 16' 16)}" "${KEYS:-uniform hot event_id}"
