/*-------------------------------------------------------------------------
 *
 * slot_compact.c
 *	  Removes slots that are to spare: merged into others of their key, or all
 *	  of a table.
 *
 * Layer: storage.
 *
 * As with all that is done to slots, nobody is waited for (slot.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "slot.h"
#include "slot_binding.h"
#include "slot_compact.h"
#include "slot_writer.h"

/* How far back the slots of a counter by day are merged. */
#define COMPACT_DAYS 7

/*
 * take_key
 *		Make a slot's key the writer's, in the current memory context.
 */
static void
take_key(SlotWriter *writer, HeapTuple slot)
{
	SlotBinding *binding = writer->binding;

	for (int i = 0; i < binding->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(binding->key_desc, i);
		Datum		value;

		value = heap_getattr(slot, binding->key_attnos[i],
							 RelationGetDescr(writer->rel),
							 &writer->isnull[i]);
		if (!writer->isnull[i])
			writer->values[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	writer->has_values = true;
}

/*
 * remove_slots
 *		Delete all slots of a table that the active snapshot sees, but those
 *		that somebody is adding to.  Returns how many.
 */
int64
remove_slots(Oid relid)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	CommandId	cid = GetCurrentCommandId(true);
	TableScanDesc scan = begin_table_scan(rel, GetActiveSnapshot(), 0, NULL);
	HeapTuple	slot;
	int64		removed = 0;

	while ((slot = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		HeapTupleData locked;
		Buffer		buffer;
		TM_FailureData tmfd;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		locked.t_self = slot->t_self;
		result = heap_lock_tuple(rel, &locked, cid, LockTupleExclusive,
								 LockWaitSkip, false, &buffer, &tmfd);
		ReleaseBuffer(buffer);
		if (result == TM_Ok &&
			delete_heap_tuple(rel, &slot->t_self, cid) == TM_Ok)
			removed++;
	}
	table_endscan(scan);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return removed;
}

/* What compaction is at: a key, and its slot that takes the others' amounts. */
typedef struct Compaction
{
	SlotWriter *writer;
	MemoryContext context;		/* of the key, reset with it */
	SlotVersion kept;			/* no buffer if there is none yet */
	bool		is_locked;		/* the kept one */
	Datum		amount;			/* then, with what it takes */
	int64		taken;			/* from how many of the key's slots */
	int64		removed;		/* of all keys */
} Compaction;

/*
 * keep
 *		Keep this slot, the first of its key that may be free.  A key's only
 *		slot is left alone: so until there is a second it is not locked.
 */
static void
keep(Compaction *at, SlotVersion *version)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(at->context);

	at->kept = *version;
	at->is_locked = false;
	at->taken = 0;
	take_key(at->writer, &version->tuple);
	MemoryContextSwitchTo(oldcontext);
}

/* Is the sum of two amounts one that a slot can have? */
static bool
sum_fits(SlotWriter *writer, Datum a, Datum b)
{
	int64		sum;

	return !writer->binding->kind->is_bigint ||
		!pg_add_s64_overflow(DatumGetInt64(a), DatumGetInt64(b), &sum);
}

/*
 * merge
 *		Let the kept slot take the amount of another of the key, which goes, if
 *		both are free.  If the kept one is not, the other is kept instead; and it
 *		stays if a bigint can't be both.
 */
static void
merge(Compaction *at, SlotVersion *version)
{
	MemoryContext oldcontext;

	if (!at->is_locked)
	{
		if (!lock_version(at->writer, &at->kept, LockTupleNoKeyExclusive))
		{
			ReleaseBuffer(at->kept.buffer);
			at->kept = *version;
			return;
		}
		at->is_locked = true;
		at->amount = read_amount(at->writer, &at->kept.tuple);
	}
	if (sum_fits(at->writer, at->amount,
				 read_amount(at->writer, &version->tuple)) &&
		remove_if_free(at->writer, version))
	{
		/* A version never changes, not even when it is deleted. */
		oldcontext = MemoryContextSwitchTo(at->context);
		at->amount = add_amounts(at->writer, at->amount,
								 read_amount(at->writer, &version->tuple));
		MemoryContextSwitchTo(oldcontext);
		at->taken++;
		at->removed++;
	}
	ReleaseBuffer(version->buffer);
}

/*
 * finish_key
 *		Write what the kept slot has taken, and be done with its key.  If that
 *		adds up to nothing, the slot goes, too.
 */
static void
finish_key(Compaction *at)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(at->context);

	if (at->taken > 0 && is_nothing(at->writer, at->amount) &&
		remove_if_free(at->writer, &at->kept))
		at->removed++;
	else if (at->taken > 0)
		write_amount(at->writer, &at->kept, at->amount);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(at->context);
	ReleaseBuffer(at->kept.buffer);
	at->kept.buffer = InvalidBuffer;
}

/*
 * is_by_day
 *		Are slots neighbours in the index that are of one day?
 */
static bool
is_by_day(SlotBinding *binding)
{
	return binding->key_types[binding->index_key[0]] == DATEOID;
}

/*
 * is_same_key
 *		Is the slot one of the key that compaction is at, as far as the index and
 *		the view can tell?  Equal keys may have several images (1.0 and 1.00).
 *
 * holds_key takes the slot's row apart where it must look at it.  If the index has
 * not all of the key, or another collation than the view, what it calls equal need
 * not be.
 */
static bool
is_same_key(Compaction *at, HeapTuple slot)
{
	SlotWriter *writer = at->writer;
	SlotBinding *binding = writer->binding;
	MemoryContext oldcontext = MemoryContextSwitchTo(at->context);
	bool		holds = holds_key(writer, slot);
	bool		same = holds || binding->index_nkeys == binding->nkeys;

	for (int i = 0; same && !holds && i < binding->index_nkeys; i++)
	{
		int			k = binding->index_key[i];
		int			column = binding->key_attnos[k] - 1;

		same = writer->row_isnull[column] == writer->isnull[k] &&
			binding->index_collation[i] ==
			TupleDescAttr(RelationGetDescr(writer->rel), column)->attcollation &&
			(writer->isnull[k] ||
			 DatumGetBool(FunctionCall2Coll(&binding->index_equal[i],
											binding->index_collation[i],
											writer->row_values[column],
											writer->values[k])));
	}
	MemoryContextSwitchTo(oldcontext);
	return same;
}

/*
 * merge_slots
 *		Merge the slots of each key into one, as far as they are free, until
 *		about limit slots are removed.  Returns how many were.  Of a counter by
 *		day, days may be a scan key for those concerned; NULL is all.
 *
 * Walks the index, where a key's slots are neighbours if the index covers the
 * whole key; if it does not, some are passed over.  The first free slot of a
 * key is kept locked while others are removed, and takes their amounts when
 * the key is done with.  Nobody waits for these locks: writers go to another
 * slot or make one until this transaction ends, which is why limit should be
 * modest.  A writer used for this is good for nothing else.
 */
static int64
merge_slots(SlotWriter *writer, int64 limit, ScanKey days)
{
	Compaction	at = {.writer = writer,.kept.buffer = InvalidBuffer};
	SlotVersion version;

	at.context = AllocSetContextCreate(writer->context, "playevent compact",
									   ALLOCSET_SMALL_SIZES);
	begin_scan(writer, days != NULL);
	index_rescan(writer->scan, days, days != NULL, NULL, 0);
	while (at.removed < limit &&
		   next_version(writer, ForwardScanDirection, NULL, &version))
	{
		if (BufferIsValid(at.kept.buffer) && !is_same_key(&at, &version.tuple))
			finish_key(&at);
		if (BufferIsValid(at.kept.buffer))
			merge(&at, &version);
		else
			keep(&at, &version);
	}
	if (BufferIsValid(at.kept.buffer))
		finish_key(&at);
	MemoryContextDelete(at.context);
	return at.removed;
}

/*
 * slot_writer_compact
 *		Merge slots; of a counter by day those of the last COMPACT_DAYS, for days
 *		before are not counted in any more, and only grow in number.
 */
int64
slot_writer_compact(SlotWriter *writer, int64 limit)
{
	ScanKeyData days;

	if (!is_by_day(writer->binding))
		return merge_slots(writer, limit, NULL);
	ScanKeyInit(&days, 1, BTGreaterEqualStrategyNumber, F_DATE_GE,
				DateADTGetDatum(GetSQLCurrentDate() - COMPACT_DAYS));
	return merge_slots(writer, limit, &days);
}

/*
 * slot_writer_compact_before
 *		Merge the slots of days before this one, if the counter is by day.
 */
int64
slot_writer_compact_before(SlotWriter *writer, DateADT day)
{
	ScanKeyData days;

	if (!is_by_day(writer->binding))
		return 0;
	ScanKeyInit(&days, 1, BTLessStrategyNumber, F_DATE_LT,
				DateADTGetDatum(day));
	return merge_slots(writer, PG_INT64_MAX, &days);
}

/*
 * slot_writer_compact_all
 *		Merge the slots of every key.
 */
int64
slot_writer_compact_all(SlotWriter *writer)
{
	return merge_slots(writer, PG_INT64_MAX, NULL);
}
