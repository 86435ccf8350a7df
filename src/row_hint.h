/*-------------------------------------------------------------------------
 *
 * row_hint.h
 *	  Where a row was last found, as a hint.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_ROW_HINT_H
#define PLAYEVENT_ROW_HINT_H

#include "access/htup.h"
#include "storage/buf.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* Does the tuple hold the key that is looked for? */
typedef bool (*KeyCheck) (void *arg, HeapTuple tuple);

extern void row_hint_init(void);
extern Buffer row_hint_fetch(Relation rel, uint32 hash, Snapshot snapshot,
							 Size room, KeyCheck holds_key, void *arg,
							 HeapTuple tuple, ItemPointer root);
extern void row_hint_remember(Relation rel, uint32 hash, ItemPointer root,
							  ItemPointer version, Buffer buffer);

#endif							/* PLAYEVENT_ROW_HINT_H */
