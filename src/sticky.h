/*-------------------------------------------------------------------------
 *
 * sticky.h
 *	  Where a row was last found, as a hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_STICKY_H
#define PLAYEVENT_STICKY_H

#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct StickyTid
{
	Oid			relid;
	uint32		hash;			/* of the row's key */
	ItemPointerData root;		/* of its HOT chain: what an index says */
	OffsetNumber version;		/* of its last version, on the same page */
} StickyTid;

extern bool fetch_by_root(Relation rel, ItemPointer root, OffsetNumber version,
						  Snapshot snapshot, Size room, TupleTableSlot *slot,
						  bool *all_dead);
extern StickyTid *sticky_tid(Relation rel, uint32 hash);
extern bool sticky_tid_fetch(StickyTid *sticky, Relation rel, uint32 hash,
							 Snapshot snapshot, Size room,
							 TupleTableSlot *slot);
extern void sticky_tid_set(StickyTid *sticky, Relation rel, uint32 hash,
						   ItemPointer root, ItemPointer version);

#endif							/* PLAYEVENT_STICKY_H */
