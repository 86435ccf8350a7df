/*-------------------------------------------------------------------------
 *
 * slot_writer.h
 *	  What slot.c and slot_compact.c do to slots with.
 *
 * Layer: storage.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SLOT_WRITER_H
#define PLAYEVENT_SLOT_WRITER_H

#include "access/genam.h"
#include "access/relscan.h"
#include "executor/executor.h"
#include "storage/buf.h"

#include "slot_binding.h"

/* A version of a slot, and the pinned buffer that its tuple points into. */
typedef struct SlotVersion
{
	HeapTupleData tuple;
	Buffer		buffer;
} SlotVersion;

struct SlotWriter
{
	SlotBinding *binding;
	Relation	rel;
	CommandId	cid;
	Snapshot	snapshot;		/* what slots must be visible to, or NULL */
	MemoryContext context;		/* holds the writer and what it opens */

	/* the key being added to; when compacting, there are but its values */
	HeapTupleData key;
	bool		has_values;		/* the key's, below */
	Datum		values[COUNTER_MAX_KEYS];
	bool		isnull[COUNTER_MAX_KEYS];

	/*
	 * Where its slot is, for row_hint_remember.  root is what an index or a
	 * hint said when the slot was fetched, or its place if it got an index
	 * entry; written is the version that holds the amount, new or covering.
	 * root_buffer had both when that was written; no pin, but a hint.
	 */
	ItemPointerData root;
	ItemPointerData written;
	Buffer		root_buffer;	/* InvalidBuffer if not known */

	/* opened when first needed */
	Relation	index;
	IndexScanDesc scan;
	EState	   *estate;
	ResultRelInfo *rri;
	TupleTableSlot *entry_row;	/* of the row to make index entries for */

	/* scratch, for a row of the slot table */
	bool	   *row_isnull;
	Datum		row_values[FLEXIBLE_ARRAY_MEMBER];
};

extern bool holds_key(void *arg, HeapTuple slot);
extern Datum read_amount(struct SlotWriter *writer, HeapTuple slot);
extern Datum add_amounts(struct SlotWriter *writer, Datum a, Datum b);
extern bool lock_version(struct SlotWriter *writer, SlotVersion *version,
						 LockTupleMode mode);
extern bool remove_if_free(struct SlotWriter *writer, SlotVersion *version);
extern void write_amount(struct SlotWriter *writer, SlotVersion *version,
						 Datum amount);
extern void begin_scan(struct SlotWriter *writer, int nkeys);
extern bool next_version(struct SlotWriter *writer, ScanDirection direction,
						 int *limit, SlotVersion *version);

/*
 * is_nothing
 *		Is a slot of this amount as good as none?
 */
static inline bool
is_nothing(struct SlotWriter *writer, Datum amount)
{
	return writer->binding->kind->is_bigint && DatumGetInt64(amount) == 0;
}

#endif							/* PLAYEVENT_SLOT_WRITER_H */
