#!/usr/bin/env bash
# discard-caches.sh: the regression tests of bindings once more, with the relation
# and system caches thrown away wherever an invalidation could come in: what was
# kept beyond its time shows as a crash or as garbage.
export PGOPTIONS='-c debug_discard_caches=1'
if make -s installcheck PG_CONFIG="$PG_CONFIG" with_llvm=no ISOLATION= TAP_TESTS= \
    REGRESS='p10_misconfiguration p2_tracks_move p9_left_out' > discard-caches.log 2>&1; then
    echo 'with caches discarded: passed'
else
    echo 'with caches discarded: FAILED'
    cat discard-caches.log
    [ ! -s regression.diffs ] || cat regression.diffs
    exit 1
fi
