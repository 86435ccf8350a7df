/*-------------------------------------------------------------------------
 *
 * heap_fetch.h
 *	  Fetching rows of heap tables by their place or by an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_HEAP_FETCH_H
#define PLAYEVENT_HEAP_FETCH_H

#include "access/htup.h"
#include "access/relscan.h"
#include "access/sdir.h"
#include "storage/buf.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

extern bool fetch_version(Relation rel, Buffer buffer, OffsetNumber offset,
						  Snapshot snapshot, Size room, HeapTuple tuple);
extern bool fetch_by_root(Relation rel, Buffer buffer, ItemPointer root,
						  Snapshot snapshot, Size room, HeapTuple tuple,
						  bool *all_dead);
extern Buffer fetch_next(IndexScanDesc scan, ScanDirection direction,
						 int *limit, Size room, HeapTuple tuple,
						 ItemPointer root);

#endif							/* PLAYEVENT_HEAP_FETCH_H */
