/*-------------------------------------------------------------------------
 *
 * heap_fetch.c
 *	  Fetches rows of heap tables by their place or by an index.
 *
 * Layer: Postgres.
 *
 * What TupleTableSlots and table_index_fetch_tuple would do, but that the tuple
 * stays where it is in the buffer, and that pages are pruned less often.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"

#include "compat.h"
#include "heap_fetch.h"

/*
 * prune_below
 *		Prune the page if less than room is free on it.
 *
 * An index scan prunes from the fillfactor on, an effort of 15,000
 * instructions that frees a single version, every time; without pruning the
 * page would fill up and updates stop being HOT.  A look without a lock is good
 * enough to decide, as in heap_page_prune_opt.
 */
static inline void
prune_below(Relation rel, Buffer buffer, Size room)
{
	if (room > 0 && PageGetHeapFreeSpace(BufferGetPage(buffer)) < room)
		prune_heap_page(rel, buffer);
}

/*
 * visible_version
 *		The version at an offset of the page, if there is one that the snapshot
 *		sees.  The buffer is locked.
 */
static bool
visible_version(Relation rel, Buffer buffer, OffsetNumber offset,
				Snapshot snapshot, HeapTuple tuple)
{
	Page		page = BufferGetPage(buffer);
	ItemId		lp;
	bool		visible;

	if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return false;
	lp = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(lp))
		return false;

	tuple->t_data = (HeapTupleHeader) PageGetItem(page, lp);
	tuple->t_len = ItemIdGetLength(lp);
	tuple->t_tableOid = RelationGetRelid(rel);
	ItemPointerSet(&tuple->t_self, BufferGetBlockNumber(buffer), offset);

	visible = HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
	if (visible)
		PredicateLockTID(rel, &tuple->t_self, snapshot,
						 HeapTupleHeaderGetXmin(tuple->t_data));
	HeapCheckForSerializableConflictOut(visible, rel, tuple, buffer, snapshot);
	return visible;
}

/*
 * fetch_version
 *		Fetch the version at an offset of the page, if there is one that the
 *		snapshot sees.  The buffer is pinned; the tuple points into it.
 *
 * heap_fetch, but for a page that is at hand.
 */
bool
fetch_version(Relation rel, Buffer buffer, OffsetNumber offset,
			  Snapshot snapshot, Size room, HeapTuple tuple)
{
	bool		found;

	prune_below(rel, buffer, room);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = visible_version(rel, buffer, offset, snapshot, tuple);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return found;
}

/*
 * fetch_by_root
 *		Fetch the version that the snapshot sees of the row whose HOT chain
 *		starts at root.  The buffer is that of root's block, and pinned; the
 *		tuple points into it.
 *
 * It does what heapam_index_fetch_tuple does, but that the page is pruned only
 * when less than room is free.
 *
 * *all_dead is set if no transaction needs any version in the chain.
 */
bool
fetch_by_root(Relation rel, Buffer buffer, ItemPointer root,
			  Snapshot snapshot, Size room, HeapTuple tuple, bool *all_dead)
{
	ItemPointerData tid = *root;
	bool		found;

	prune_below(rel, buffer, room);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&tid, rel, buffer, snapshot, tuple,
								   all_dead, true);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	tuple->t_self = tid;
	return found;
}

/*
 * fetch_next
 *		Fetch the next row that the index scan tells of and its snapshot sees;
 *		or, for a *limit, only if it is among as many entries.
 *
 * Returns the buffer that the tuple points into, pinned, or InvalidBuffer.
 * *root is set to what the index says, the root of the row's HOT chain.
 */
Buffer
fetch_next(IndexScanDesc scan, ScanDirection direction, int *limit, Size room,
		   HeapTuple tuple, ItemPointer root)
{
	Relation	rel = scan->heapRelation;
	ItemPointer tid;

	while ((limit == NULL || (*limit)-- > 0) &&
		   (tid = index_getnext_tid(scan, direction)) != NULL)
	{
		Buffer		buffer;
		bool		all_dead;

		CHECK_FOR_INTERRUPTS();

		*root = *tid;
		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(root));
		if (fetch_by_root(rel, buffer, root, scan->xs_snapshot, room, tuple,
						  &all_dead))
		{
			pgstat_count_heap_fetch(scan->indexRelation);
			return buffer;
		}

		/* Let the index forget what nobody needs, as index_fetch_heap does. */
		scan->kill_prior_tuple = all_dead;
		ReleaseBuffer(buffer);
	}
	return InvalidBuffer;
}
