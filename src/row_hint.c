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
 * A preloaded library has another one in shared memory, of a fixed size.  A
 * backend asks it for rows that its own does not know, and tells it of those
 * that it has met for the first time or that have moved: what one backend has
 * searched, no other needs to.  Nobody locks it, for a cell that is torn, since
 * somebody writes it, is but one more hint that misleads.
 *
 * Only for heap tables that are not temporary.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "compat.h"
#include "heap_fetch.h"
#include "row_hint.h"

#define MIN_CELLS 1024
#ifndef MAX_CELLS
#define MAX_CELLS 131072
#endif

/* In kB */
#define MAX_SHARED_HINTS (16 * 1024 * 1024)

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

typedef struct HintTable
{
	RowHint    *cells;			/* aligned to the processor's cache lines */
	uint32		ncells;			/* a power of two, or 0 */
} HintTable;

static HintTable own;
static void *allocated;			/* what its cells lie in */
static uint32 used_cells;

static HintTable shared;
static int	shared_hints;		/* setting, in kB */
static shmem_request_hook_type next_request_hook;
static shmem_startup_hook_type next_startup_hook;

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

/*
 * shared_tag
 *		Its tag where rows of all databases are.
 */
static inline uint32
shared_tag(uint32 tag)
{
	return tag ^ murmurhash32(~MyDatabaseId);
}

static inline RowHint *
set_of(HintTable *table, uint32 tag)
{
	return &table->cells[tag & (table->ncells - 1) & ~(SET_SIZE - 1)];
}

/*
 * find_cell
 *		The cell that tells of this row, or NULL.
 */
static inline RowHint *
find_cell(HintTable *table, uint32 tag)
{
	RowHint    *set;

	if (table->ncells == 0)
		return NULL;
	set = set_of(table, tag);
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
take_cell(HintTable *table, uint32 tag)
{
	RowHint    *set = set_of(table, tag);

	if (table == &own && !is_used(&set[SET_SIZE - 1]))
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
	HintTable	old = own;
	void	   *old_allocated = allocated;
	uint32		nnew = old.ncells == 0 ? MIN_CELLS : old.ncells * 2;

	allocated = MemoryContextAllocZero(TopMemoryContext,
									   nnew * sizeof(RowHint) +
									   PG_CACHE_LINE_SIZE);
	own.cells = (RowHint *) CACHELINEALIGN(allocated);
	own.ncells = nnew;
	used_cells = 0;

	/* The newest of each set last, to be the first in its new one. */
	for (uint32 i = old.ncells; i-- > 0;)
	{
		if (is_used(&old.cells[i]))
			*take_cell(&own, old.cells[i].tag) = old.cells[i];
	}
	if (old_allocated != NULL)
		pfree(old_allocated);
}

/*
 * read_shared
 *		Copy what all backends know of this row; false if that is nothing.
 */
static bool
read_shared(uint32 tag, RowHint *hint)
{
	RowHint    *cell = find_cell(&shared, shared_tag(tag));

	if (cell == NULL)
		return false;

	/* Once, so that what is checked is what is used. */
	*hint = *(volatile RowHint *) cell;
	return is_used(hint) && hint->buffer >= 0 && hint->buffer <= NBuffers;
}

/*
 * write_shared
 *		Let all backends know of this row.  What they know already is left
 *		alone, lest they take the cache line from each other.
 */
static void
write_shared(uint32 tag, RowHint *hint)
{
	RowHint    *cell;

	if (shared.ncells == 0)
		return;
	tag = shared_tag(tag);
	cell = find_cell(&shared, tag);
	if (cell != NULL && ItemPointerEquals(&cell->root, &hint->root))
		return;
	if (cell == NULL)
		cell = take_cell(&shared, tag);
	*cell = *hint;
	cell->tag = tag;
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
	RowHint		read;
	Buffer		buffer;
	bool		all_dead;
	bool		is_news;
	bool		by_version;
	uint32		tag = row_tag(rel, hash);

	hint = find_cell(&own, tag);
	is_news = hint == NULL;
	if (is_news)
	{
		hint = &read;
		if (!read_shared(tag, hint))
			return InvalidBuffer;
	}
	buffer = pin_hinted(hint, rel);
	if (!BufferIsValid(buffer))
		return InvalidBuffer;
	*root = hint->root;

	by_version = fetch_version(rel, buffer, hint->version, snapshot, room,
							   tuple) && holds_key(arg, tuple);
	if (!by_version &&
		!(fetch_by_root(rel, buffer, root, snapshot, 0, tuple, &all_dead) &&
		  holds_key(arg, tuple)))
	{
		ReleaseBuffer(buffer);
		return InvalidBuffer;
	}

	if (is_news)
		row_hint_remember(rel, hash, root, &tuple->t_self, buffer);
	else if (!by_version)
	{
		/* The check may have run code that came by here: look again. */
		hint = find_cell(&own, tag);
		if (hint != NULL && ItemPointerEquals(&hint->root, root))
			hint->version = ItemPointerGetOffsetNumber(&tuple->t_self);
	}
	return buffer;
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
	RowHint    *hint = find_cell(&own, tag);
	bool		is_news = hint == NULL || !ItemPointerEquals(&hint->root, root);

	if (hint == NULL)
	{
		if (used_cells >= own.ncells / 2 && own.ncells < MAX_CELLS)
			make_room();
		hint = take_cell(&own, tag);
	}
	hint->tag = tag;
	hint->root = *root;
	hint->version = ItemPointerGetBlockNumber(root) == ItemPointerGetBlockNumber(version) ?
		ItemPointerGetOffsetNumber(version) : InvalidOffsetNumber;
	hint->buffer = buffer;
	if (is_news)
		write_shared(tag, hint);
}

/*
 * shared_size
 *		What the shared cells take, in bytes: a power of two, or 0.
 */
static Size
shared_size(void)
{
	Size		bytes = (Size) shared_hints * 1024;

	return bytes == 0 ? 0 : (Size) 1 << pg_leftmost_one_pos64(bytes);
}

static void
request_shared(void)
{
	if (next_request_hook != NULL)
		next_request_hook();
	RequestAddinShmemSpace(shared_size());
}

static void
start_shared(void)
{
	bool		found;

	if (next_startup_hook != NULL)
		next_startup_hook();
	if (shared_size() == 0)
		return;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared.cells = ShmemInitStruct("playevent row hints", shared_size(),
								   &found);
	if (!found)
		memset(shared.cells, 0, shared_size());
	LWLockRelease(AddinShmemInitLock);
	shared.ncells = shared_size() / sizeof(RowHint);
}

/*
 * row_hint_init
 *		Ask for memory to share, which is to be had while the server starts, and
 *		only by libraries that are preloaded.
 */
void
row_hint_init(void)
{
	StaticAssertStmt(sizeof(RowHint) == 16, "cells in a power of two bytes");

	if (!process_shared_preload_libraries_in_progress)
		return;
	DefineCustomIntVariable("playevent.shared_hints",
							"Memory in which backends tell each other where tracks and their counters are.",
							"Only of use where playevent is in shared_preload_libraries.",
							&shared_hints, 16 * 1024, 0, MAX_SHARED_HINTS,
							PGC_POSTMASTER, GUC_UNIT_KB, NULL, NULL, NULL);
	MarkGUCPrefixReserved("playevent");
	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared;
}
