/*-------------------------------------------------------------------------
 *
 * sticky.h
 *	  Where a row was last found, as a hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_STICKY_H
#define PLAYEVENT_STICKY_H

#include "storage/itemptr.h"
#include "utils/rel.h"

typedef struct StickyTid
{
	Oid			relid;
	uint32		hash;			/* of the row's key */
	ItemPointerData tid;
} StickyTid;

extern StickyTid *sticky_tid(Relation rel, uint32 hash);
extern bool sticky_tid_usable(StickyTid *sticky, Relation rel, uint32 hash);
extern void sticky_tid_set(StickyTid *sticky, Relation rel, uint32 hash,
						   ItemPointer tid);

#endif							/* PLAYEVENT_STICKY_H */
