/*-------------------------------------------------------------------------
 *
 * sticky.c
 *	  Where a row was last found, as a hint that saves an index scan.
 *
 * Only a hint: the row may have been updated, removed or moved since, even the
 * table rewritten, and a cell may be overwritten by another key of the same
 * hash.  Whoever follows it checks what is found there: that it is visible,
 * and the key.  A table that was dropped leaves cells that no table claims, or
 * one with the same OID, which checks as well.
 *
 * Memory: one array per backend, made when first needed and never freed, of
 * STICKY_TIDS cells, a quarter of a megabyte.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "sticky.h"

#define STICKY_TIDS 16384

static StickyTid *sticky_tids;

/*
 * sticky_tid
 *		The cell for the row of rel whose key has this hash.
 */
StickyTid *
sticky_tid(Relation rel, uint32 hash)
{
	if (sticky_tids == NULL)
		sticky_tids = MemoryContextAllocZero(TopMemoryContext,
											 STICKY_TIDS * sizeof(StickyTid));
	return &sticky_tids[(hash ^ RelationGetRelid(rel)) % STICKY_TIDS];
}

/*
 * sticky_tid_usable
 *		Does the cell hold a TID for such a row, which may be fetched?  Not if
 *		the table has been truncated: there heap_fetch would raise an error.
 */
bool
sticky_tid_usable(StickyTid *sticky, Relation rel, uint32 hash)
{
	return sticky->relid == RelationGetRelid(rel) && sticky->hash == hash &&
		ItemPointerGetBlockNumberNoCheck(&sticky->tid) < RelationGetNumberOfBlocks(rel);
}

void
sticky_tid_set(StickyTid *sticky, Relation rel, uint32 hash, ItemPointer tid)
{
	sticky->relid = RelationGetRelid(rel);
	sticky->hash = hash;
	sticky->tid = *tid;
}
