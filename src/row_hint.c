/*-------------------------------------------------------------------------
 *
 * row_hint.c
 *	  Where a row was last found, as a hint that saves an index scan.
 *
 * Layer: Postgres.
 *
 * What is remembered is what an index would say, the root of the row's HOT
 * chain, so that the hint survives HOT updates, by others too, and pruning; the
 * version that was found or written, which saves a walk along the chain if
 * nobody else has been there; and the buffer, which saves a look at the table's
 * size and at the buffer mapping.  Root and version may come to belong to
 * different rows, even of the same key, when a line pointer is used again.
 * Still it is only a hint: the row may have moved to another page, or be gone,
 * the table may be rewritten, the buffer hold another page, and the cell be
 * that of another key or table with the same tag.  So the key of what is found
 * is checked.
 *
 * Memory: one array of cells per backend, never freed.  It doubles when half
 * of it is in use, up to MAX_CELLS or 2 MB: worth some 20,000 tracks with
 * slots in two tables.
 *
 * Only for heap tables that are not temporary.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "compat.h"
#include "heap_fetch.h"
#include "row_hint.h"

#define MIN_CELLS 1024
#define MAX_CELLS 131072

typedef struct RowHint
{
	uint32		tag;			/* of the table and the row's key */
	ItemPointerData root;		/* of the row's HOT chain: what an index says */
	OffsetNumber version;		/* of its last version, on the same page */
	Buffer		buffer;			/* that held the page, if known */
} RowHint;

/*
 * A tag may be in any cell of one set, the newest first.  At half load one row
 * in 27 is lost to others; with sets of two it would be one in ten, with single
 * cells one in five.  A set of four takes a line of the processor's cache.
 */
#define SET_SIZE 4

static RowHint *cells;			/* aligned; NULL before the first row */
static void *allocated;			/* what they lie in */
static uint32 ncells;
static uint32 used_cells;

/*
 * One in so many pins is taken by way of the buffer mapping.  The short way
 * does not raise the buffer's usage count, by which busy pages stay in memory.
 */
#define MAPPED_PIN_INTERVAL 16

static inline bool
is_used(RowHint *cell)
{
	return ItemPointerIsValid(&cell->root);
}

static inline uint32
row_tag(Relation rel, uint32 hash)
{
	return murmurhash32(RelationGetRelid(rel)) ^ hash;
}

static inline RowHint *
set_of(uint32 tag)
{
	return &cells[tag & (ncells - 1) & ~(SET_SIZE - 1)];
}

/*
 * find_cell
 *		The cell that tells of this row, or NULL.
 */
static inline RowHint *
find_cell(uint32 tag)
{
	RowHint    *set;

	if (ncells == 0)
		return NULL;
	set = set_of(tag);
	for (int i = 0; i < SET_SIZE; i++)
	{
		if (set[i].tag == tag && is_used(&set[i]))
			return &set[i];
	}
	return NULL;
}

/*
 * take_cell
 *		A cell for a row that has none, to be filled in.  If its set is full,
 *		the row that has been there longest is forgotten.
 */
static RowHint *
take_cell(uint32 tag)
{
	RowHint    *set = set_of(tag);

	if (!is_used(&set[SET_SIZE - 1]))
		used_cells++;
	memmove(&set[1], &set[0], (SET_SIZE - 1) * sizeof(RowHint));
	return &set[0];
}

/*
 * make_room
 *		Double the number of cells.
 */
static void
make_room(void)
{
	RowHint    *old = cells;
	void	   *old_allocated = allocated;
	uint32		nold = ncells;
	uint32		nnew = nold == 0 ? MIN_CELLS : nold * 2;

	allocated = MemoryContextAllocZero(TopMemoryContext,
									   nnew * sizeof(RowHint) +
									   PG_CACHE_LINE_SIZE);
	cells = (RowHint *) CACHELINEALIGN(allocated);
	ncells = nnew;
	used_cells = 0;

	/* The newest of each set last, to be the first in its new one. */
	for (uint32 i = nold; i-- > 0;)
	{
		if (is_used(&old[i]))
			*take_cell(old[i].tag) = old[i];
	}
	if (old_allocated != NULL)
		pfree(old_allocated);
}

/*
 * pin_hinted
 *		Pin the block that the cell tells of; InvalidBuffer if it is gone with a
 *		truncation.
 */
static Buffer
pin_hinted(RowHint *hint, Relation rel)
{
	static uint32 pins;
	BlockNumber block = ItemPointerGetBlockNumber(&hint->root);

	if (BufferIsValid(hint->buffer) && ++pins % MAPPED_PIN_INTERVAL != 0 &&
		pin_recent_buffer(rel, block, hint->buffer))
		return hint->buffer;
	if (block >= RelationGetNumberOfBlocks(rel))
		return InvalidBuffer;
	hint->buffer = ReadBuffer(rel, block);
	return hint->buffer;
}

/*
 * row_hint_fetch
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
row_hint_fetch(Relation rel, uint32 hash, Snapshot snapshot, Size room,
			   KeyCheck holds_key, void *arg, HeapTuple tuple, ItemPointer root)
{
	RowHint    *hint;
	Buffer		buffer;
	bool		all_dead;
	uint32		tag = row_tag(rel, hash);

	hint = find_cell(tag);
	if (hint == NULL)
		return InvalidBuffer;
	buffer = pin_hinted(hint, rel);
	if (!BufferIsValid(buffer))
		return InvalidBuffer;
	*root = hint->root;

	if (fetch_version(rel, buffer, hint->version, snapshot, room, tuple) &&
		holds_key(arg, tuple))
		return buffer;

	if (fetch_by_root(rel, buffer, root, snapshot, 0, tuple, &all_dead) &&
		holds_key(arg, tuple))
	{
		/* The check may have run code that came by here: look again. */
		hint = find_cell(tag);
		if (hint != NULL && ItemPointerEquals(&hint->root, root))
			hint->version = ItemPointerGetOffsetNumber(&tuple->t_self);
		return buffer;
	}
	ReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*
 * row_hint_remember
 *		Remember the row with a key of this hash: the root of its HOT chain,
 *		the version just found or written, and the root's buffer if known.
 */
void
row_hint_remember(Relation rel, uint32 hash, ItemPointer root,
				  ItemPointer version, Buffer buffer)
{
	uint32		tag = row_tag(rel, hash);
	RowHint    *hint = find_cell(tag);

	if (hint == NULL)
	{
		if (used_cells >= ncells / 2 && ncells < MAX_CELLS)
			make_room();
		hint = take_cell(tag);
	}
	hint->tag = tag;
	hint->root = *root;
	hint->version = ItemPointerGetBlockNumber(root) == ItemPointerGetBlockNumber(version) ?
		ItemPointerGetOffsetNumber(version) : InvalidOffsetNumber;
	hint->buffer = buffer;
}
