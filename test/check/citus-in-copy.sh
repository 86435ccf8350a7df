#!/usr/bin/env bash
# citus-in-copy.sh: the tests of test/citus, in the copy that setup.sh made.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

sharedir=$("$PG_CONFIG" --sharedir)
if [ -n "${CITUS:-}" ]; then
    mkdir stage
    cp -R "$CITUS/." stage
    [ -e "stage$sharedir/extension/citus.control" ] || die "no Citus for $PG_CONFIG in $CITUS"
elif [ ! -e "$sharedir/extension/citus.control" ]; then
    say "the server of $PG_CONFIG has no Citus: what needs it is not tested"
    echo '0 passed, 0 failed'
    exit 0
fi
sed -n "s/^default_version = '\(.*\)'/Citus \1/p" "${CITUS:+stage}$sharedir/extension/citus.control"
export ONLY=tap TAP=${TAP:-test/citus/*.pl}
bash test/run-in-copy.sh
