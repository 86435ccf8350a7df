/*-------------------------------------------------------------------------
 *
 * sticky.h
 *	  Where a row was last found, as a hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_STICKY_H
#define PLAYEVENT_STICKY_H

#include "access/htup.h"
#include "storage/buf.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct StickyTid
{
	Oid			relid;
	uint32		hash;			/* of the row's key */
	ItemPointerData root;		/* of its HOT chain: what an index says */
	OffsetNumber version;		/* of its last version, on the same page */
	Buffer		buffer;			/* that held the page, if known */
} StickyTid;

extern bool fetch_by_root(Relation rel, Buffer buffer, ItemPointer root,
						  OffsetNumber version, Snapshot snapshot, Size room,
						  HeapTuple tuple, bool *all_dead);
extern StickyTid *sticky_tid(Relation rel, uint32 hash);
extern Buffer sticky_tid_fetch(StickyTid *sticky, Relation rel, uint32 hash,
							   Snapshot snapshot, Size room, HeapTuple tuple);
extern void sticky_tid_set(StickyTid *sticky, Relation rel, uint32 hash,
						   ItemPointer root, ItemPointer version,
						   Buffer buffer);

#endif							/* PLAYEVENT_STICKY_H */
