/*-------------------------------------------------------------------------
 *
 * sticky.c
 *	  Where a row was last found, as a hint that saves an index scan.
 *
 * What is remembered is what an index would say, the root of the row's HOT
 * chain, so that the hint survives HOT updates, by others too, and pruning; the
 * version that was found or written, which saves a walk along the chain if
 * nobody else has been there; and the buffer, which saves a look at the table's
 * size and at the buffer mapping.  Root and version may come to belong to
 * different rows, even of the same key, when a line pointer is used again.
 * Still it is only a hint: the row may have moved to another page, or be gone,
 * the table may be rewritten, the buffer hold another page, and a cell be
 * overwritten by another key of the same hash.  So the key of what is found is
 * checked.  A table that was dropped leaves cells that no table claims, or one
 * with the same OID, which checks as well.
 *
 * Memory: one array of cells per backend, never freed.  It doubles when half
 * of it is in use, up to MAX_CELLS or 1.3 MB: two tables' worth of some
 * 20,000 tracks.
 *
 * Only for heap tables that are not temporary.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "compat.h"
#include "fetch.h"
#include "sticky.h"

#define MIN_CELLS 1024
#define MAX_CELLS 65536

typedef struct StickyTid
{
	Oid			relid;
	uint32		hash;			/* of the row's key */
	ItemPointerData root;		/* of its HOT chain: what an index says */
	OffsetNumber version;		/* of its last version, on the same page */
	Buffer		buffer;			/* that held the page, if known */
} StickyTid;

static StickyTid *cells;
static uint32 ncells;
static uint32 used_cells;

/*
 * One in so many pins is taken by way of the buffer mapping.  The short way
 * does not raise the buffer's usage count, by which busy pages stay in memory.
 */
#define MAPPED_PIN_INTERVAL 16

/*
 * find_cell
 *		The cell that tells of this row, or NULL.  It may be one of two
 *		neighbours: at half load a single place would be lost to another row one
 *		time in five.
 */
static inline StickyTid *
find_cell(Oid relid, uint32 hash)
{
	uint32		home = (hash ^ relid) & (ncells - 1);

	for (uint32 i = 0; ncells > 0 && i < 2; i++)
	{
		StickyTid  *cell = &cells[home ^ i];

		if (cell->relid == relid && cell->hash == hash)
			return cell;
	}
	return NULL;
}

/*
 * take_cell
 *		A cell for a row that has none: its home.  Who lives there moves to the
 *		neighbour, and the neighbour is forgotten.
 */
static StickyTid *
take_cell(Oid relid, uint32 hash)
{
	uint32		home = (hash ^ relid) & (ncells - 1);

	if (OidIsValid(cells[home].relid))
	{
		if (!OidIsValid(cells[home ^ 1].relid))
			used_cells++;
		cells[home ^ 1] = cells[home];
	}
	else
		used_cells++;
	return &cells[home];
}

/*
 * make_room
 *		Double the number of cells.
 */
static void
make_room(void)
{
	StickyTid  *old = cells;
	uint32		nold = ncells;
	uint32		nnew = nold == 0 ? MIN_CELLS : nold * 2;

	cells = MemoryContextAllocZero(TopMemoryContext,
								   nnew * sizeof(StickyTid));
	ncells = nnew;
	used_cells = 0;
	for (uint32 i = 0; i < nold; i++)
	{
		if (OidIsValid(old[i].relid))
			*take_cell(old[i].relid, old[i].hash) = old[i];
	}
	if (old != NULL)
		pfree(old);
}

/*
 * pin_sticky
 *		Pin the block that the cell tells of; InvalidBuffer if it is gone with a
 *		truncation.
 */
static Buffer
pin_sticky(StickyTid *sticky, Relation rel)
{
	static uint32 pins;
	BlockNumber block = ItemPointerGetBlockNumber(&sticky->root);

	if (BufferIsValid(sticky->buffer) && ++pins % MAPPED_PIN_INTERVAL != 0 &&
		pin_recent_buffer(rel, block, sticky->buffer))
		return sticky->buffer;
	if (block >= RelationGetNumberOfBlocks(rel))
		return InvalidBuffer;
	sticky->buffer = ReadBuffer(rel, block);
	return sticky->buffer;
}

/*
 * sticky_fetch
 *		Fetch the row with a key of this hash, if it is remembered, and a
 *		version that the snapshot sees is there.
 *
 * Whether it is the row, holds_key tells, and is asked for the version first
 * and then for what the root leads to: on a page of many rows that are updated
 * often, the version's line pointer soon belongs to another.
 *
 * Returns the buffer that the tuple points into, pinned, or InvalidBuffer.
 * *root is set to the root that is remembered.
 */
Buffer
sticky_fetch(Relation rel, uint32 hash, Snapshot snapshot, Size room,
			 KeyCheck holds_key, void *arg, HeapTuple tuple, ItemPointer root)
{
	StickyTid  *sticky;
	Buffer		buffer;
	bool		all_dead;

	sticky = find_cell(RelationGetRelid(rel), hash);
	if (sticky == NULL)
		return InvalidBuffer;
	buffer = pin_sticky(sticky, rel);
	if (!BufferIsValid(buffer))
		return InvalidBuffer;
	*root = sticky->root;

	if (fetch_version(rel, buffer, sticky->version, snapshot, room, tuple) &&
		holds_key(arg, tuple))
		return buffer;

	if (fetch_by_root(rel, buffer, root, snapshot, 0, tuple, &all_dead) &&
		holds_key(arg, tuple))
	{
		/* The check may have run code that came by here: look again. */
		sticky = find_cell(RelationGetRelid(rel), hash);
		if (sticky != NULL && ItemPointerEquals(&sticky->root, root))
			sticky->version = ItemPointerGetOffsetNumber(&tuple->t_self);
		return buffer;
	}
	ReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*
 * sticky_remember
 *		Remember the row with a key of this hash: the root of its HOT chain,
 *		the version just found or written, and the root's buffer if known.
 */
void
sticky_remember(Relation rel, uint32 hash, ItemPointer root,
				ItemPointer version, Buffer buffer)
{
	StickyTid  *sticky = find_cell(RelationGetRelid(rel), hash);

	if (sticky == NULL)
	{
		if (used_cells >= ncells / 2 && ncells < MAX_CELLS)
			make_room();
		sticky = take_cell(RelationGetRelid(rel), hash);
	}
	sticky->relid = RelationGetRelid(rel);
	sticky->hash = hash;
	sticky->root = *root;
	sticky->version = ItemPointerGetBlockNumber(root) == ItemPointerGetBlockNumber(version) ?
		ItemPointerGetOffsetNumber(version) : InvalidOffsetNumber;
	sticky->buffer = buffer;
}
