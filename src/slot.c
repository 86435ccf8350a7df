/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Promise P4: adding to a counter never waits for another transaction.
 *
 * A key's count is the sum of its slots, rows of the slot table.  To add to
 * it, take any slot that no transaction in progress has touched; if there is
 * none, make one.  So a cold key has one slot, a hot one as many as
 * transactions were ever adding to it at once.
 *
 * Why no wait can occur: a slot is locked with LockWaitSkip before it is
 * updated, and heap_update never waits for a tuple its own transaction has
 * locked (others may hold FOR KEY SHARE, which a no-key update does not
 * conflict with).  The slot table has no unique index (binding.c sees to it),
 * so inserts don't wait either.  What is left are buffer and extension locks,
 * which nobody holds for longer than a page takes.
 *
 * Why sums are exact in every snapshot: the versions of one slot form a chain
 * in the order of their transactions' commits, each adding its own share.  A
 * snapshot that sees a version sees all transactions before it in the chain,
 * since each had committed when the next could lock the slot.  A transaction
 * with a snapshot of its own (REPEATABLE READ, SERIALIZABLE) breaks that for
 * itself if it builds upon a version which that snapshot doesn't see, so it
 * leaves such slots alone.  In READ COMMITTED the next statement sees all;
 * what one statement's own later parts see is what they would see of UPDATE.
 *
 * Slots are searched with SnapshotSelf: it sees the newest version that is
 * committed or one's own, and it takes no predicate locks, so that
 * SERIALIZABLE finds no conflict between two who merely count.  It may miss
 * a row under concurrent update, or show two versions of it; then another
 * slot is taken, or the lock fails.
 *
 * Writes go below the executor: no triggers (the slot table's guard refuses
 * SQL writes), no rules, no policies.  Index entries are made by
 * ExecInsertIndexTuples.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "slot.h"
#include "sticky.h"

/*
 * How many index entries to look at before making a new slot.  More than
 * clients usually add to one key at once; and with an old snapshot about,
 * entries of dead versions pile up that are no use to look at.
 */
#define MAX_CANDIDATES 64

/*
 * Free space under which a sticky slot's page is pruned.  Enough for some
 * more versions, as pruning has to wait for a moment when nobody else has the
 * page pinned.
 */
#define PRUNE_BELOW (BLCKSZ / 8)

struct SlotWriter
{
	SlotBinding *binding;
	Relation	rel;
	CommandId	cid;
	Snapshot	snapshot;		/* what slots must be visible to, or NULL */
	TupleTableSlot *candidate;	/* a slot row found, then locked */
	ItemPointerData root;		/* what an index says is where it is */
	TupleTableSlot *written;	/* its new version */
	MemoryContext context;		/* holds the writer and what it opens */
	MemoryContext key_context;	/* reset after each key */

	/* the key being added to */
	Datum		values[COUNTER_MAX_KEYS];
	bool		isnull[COUNTER_MAX_KEYS];

	/* opened when first needed */
	Relation	index;
	IndexScanDesc scan;
	EState	   *estate;
	ResultRelInfo *rri;
};

/*
 * slot_writer_begin
 *		Get ready to write to a slot table, which the caller has bound and
 *		locked.  Allocates in the current memory context.
 */
SlotWriter *
slot_writer_begin(SlotBinding *binding)
{
	SlotWriter *writer = palloc0(sizeof(SlotWriter));

	writer->binding = binding;
	writer->rel = table_open(binding->relid, NoLock);
	writer->cid = GetCurrentCommandId(true);
	if (IsolationUsesXactSnapshot())
		writer->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	writer->candidate = table_slot_create(writer->rel, NULL);
	writer->written = MakeSingleTupleTableSlot(RelationGetDescr(writer->rel),
											   &TTSOpsHeapTuple);
	writer->context = CurrentMemoryContext;
	writer->key_context = AllocSetContextCreate(CurrentMemoryContext,
												"playevent slot",
												ALLOCSET_SMALL_SIZES);
	return writer;
}

/*
 * slot_writer_end
 *		Release what slot_writer_begin and the writes took.  The lock on the
 *		slot table stays to the end of the transaction.
 */
void
slot_writer_end(SlotWriter *writer)
{
	if (writer->scan != NULL)
	{
		index_endscan(writer->scan);
		index_close(writer->index, RowExclusiveLock);
	}
	if (writer->estate != NULL)
	{
		ExecCloseIndices(writer->rri);
		FreeExecutorState(writer->estate);
	}
	ExecDropSingleTupleTableSlot(writer->candidate);
	ExecDropSingleTupleTableSlot(writer->written);
	if (writer->snapshot != NULL)
		UnregisterSnapshot(writer->snapshot);
	MemoryContextDelete(writer->key_context);
	table_close(writer->rel, NoLock);
	pfree(writer);

	/*
	 * Let the transaction's next command see the counts; and let the next
	 * writer, since for the same command locking these slots would return
	 * TM_Invisible.
	 */
	CommandCounterIncrement();
}

/*
 * make_index_entries
 *		Insert index entries for the row in writer->written.
 */
static void
make_index_entries(SlotWriter *writer, bool update, bool only_summarizing)
{
	MemoryContext oldcontext;

	if (writer->estate == NULL)
	{
		oldcontext = MemoryContextSwitchTo(writer->context);
		writer->estate = CreateExecutorState();
		writer->rri = makeNode(ResultRelInfo);

		/* Range table index 0: no columns are known to be updated. */
		InitResultRelInfo(writer->rri, writer->rel, 0, NULL, 0);
		ExecOpenIndices(writer->rri, false);
		MemoryContextSwitchTo(oldcontext);
	}
	insert_index_entries(writer->rri, writer->written, writer->estate,
						 update, only_summarizing);
	ResetPerTupleExprContext(writer->estate);
}

/*
 * holds_key
 *		Is the candidate a slot of the key being added to?
 */
static bool
holds_key(SlotWriter *writer)
{
	SlotBinding *binding = writer->binding;

	for (int i = 0; i < binding->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(binding->key_desc, i);
		Datum		value;
		bool		isnull;

		value = slot_getattr(writer->candidate, binding->key_attnos[i],
							 &isnull);
		if (isnull != writer->isnull[i])
			return false;
		if (!isnull && !datum_image_eq(value, writer->values[i],
									   att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/*
 * lock_candidate
 *		Lock the slot in writer->candidate and read its count, unless it is out
 *		of reach.
 *
 * The mode is that of what is to follow, or that would wait after all:
 * LockTupleNoKeyExclusive for an update, LockTupleExclusive for a deletion.
 * The candidate's buffer stays pinned in its table slot all the while, so its
 * line pointer can't be reused between the look and the lock.  Locking stores
 * the tuple in the same table slot again, whether or not it succeeds.
 */
static bool
lock_candidate(SlotWriter *writer, LockTupleMode mode, int64 *count)
{
	ItemPointerData tid = writer->candidate->tts_tid;
	TM_FailureData tmfd;
	Datum		value;
	bool		isnull;

	if (writer->snapshot != NULL &&
		!table_tuple_satisfies_snapshot(writer->rel, writer->candidate,
										writer->snapshot))
		return false;

	if (table_tuple_lock(writer->rel, &tid, SnapshotSelf, writer->candidate,
						 writer->cid, mode, LockWaitSkip, 0, &tmfd) != TM_Ok)
		return false;

	value = slot_getattr(writer->candidate, writer->binding->count_attno,
						 &isnull);
	Assert(!isnull);
	*count = DatumGetInt64(value);
	return true;
}

/*
 * write_count
 *		Write a new version of the locked candidate with its count raised by n.
 */
static void
write_count(SlotWriter *writer, int64 count, int64 n)
{
	SlotBinding *binding = writer->binding;
	ItemPointerData tid = writer->candidate->tts_tid;
	TM_Result	result;
	IndexDemand demand;
	int64		sum;
	Datum		value;
	bool		isnull = false;
	bool		should_free;
	HeapTuple	tuple;
	int			attno = binding->count_attno;

	if (pg_add_s64_overflow(count, n, &sum))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("count in table \"%s\" out of range",
						RelationGetRelationName(writer->rel)),
				 errtablecol(writer->rel, binding->count_attno)));

	value = Int64GetDatum(sum);
	tuple = heap_modify_tuple_by_cols(ExecFetchSlotHeapTuple(writer->candidate, false,
															 &should_free),
									  RelationGetDescr(writer->rel),
									  1, &attno, &value, &isnull);
	Assert(!should_free);
	ExecStoreHeapTuple(tuple, writer->written, false);

	result = update_tuple(writer->rel, &tid, writer->written, writer->cid,
						  &demand);
	if (result != TM_Ok)
		elog(ERROR, "unexpected table_tuple_update status: %d", result);
	if (demand.any)
	{
		make_index_entries(writer, true, demand.only_summarizing);
		if (!demand.only_summarizing)
			writer->root = writer->written->tts_tid;
	}
}

/*
 * add_to_candidate
 *		Add n to the slot in writer->candidate, unless that is out of reach.
 */
static bool
add_to_candidate(SlotWriter *writer, int64 n)
{
	int64		count;

	if (!lock_candidate(writer, LockTupleNoKeyExclusive, &count))
		return false;
	write_count(writer, count, n);
	return true;
}

/*
 * add_to_sticky
 *		Add n to the slot that this backend wrote last for the key, if it is
 *		still there and free.  This needs no index scan, and on a hot key meets
 *		nobody: the others stick to theirs.
 */
static bool
add_to_sticky(SlotWriter *writer, StickyTid *sticky, uint32 hash, int64 n)
{
	writer->root = sticky->root;
	return sticky_tid_fetch(sticky, writer->rel, hash, SnapshotSelf,
							PRUNE_BELOW, writer->candidate) &&
		holds_key(writer) && add_to_candidate(writer, n);
}

static void
begin_scan(SlotWriter *writer, int nkeys)
{
	writer->index = index_open(writer->binding->index_oid, RowExclusiveLock);
	writer->scan = begin_index_scan(writer->rel, writer->index, SnapshotSelf,
									nkeys);
}

/*
 * add_to_any
 *		Add n to a free slot of the key, the newest first.
 */
static bool
add_to_any(SlotWriter *writer, int64 n)
{
	SlotBinding *binding = writer->binding;
	ScanKeyData scankeys[COUNTER_MAX_KEYS];
	int			candidates = 0;
	bool		added = false;
	bool		all_dead;

	for (int i = 0; i < binding->index_nkeys; i++)
	{
		int			k = binding->index_key[i];

		if (writer->isnull[k])
			ScanKeyEntryInitialize(&scankeys[i], SK_ISNULL | SK_SEARCHNULL,
								   i + 1, InvalidStrategy, InvalidOid,
								   InvalidOid, InvalidOid, (Datum) 0);
		else
			ScanKeyEntryInitializeWithInfo(&scankeys[i], 0, i + 1,
										   BTEqualStrategyNumber, InvalidOid,
										   binding->index_collation[i],
										   &binding->index_equal[i],
										   writer->values[k]);
	}

	/* The access method allocates as it goes, and frees at the scan's end. */
	MemoryContextSwitchTo(writer->context);
	if (writer->scan == NULL)
		begin_scan(writer, binding->index_nkeys);
	index_rescan(writer->scan, scankeys, binding->index_nkeys, NULL, 0);

	while (!added && candidates++ < MAX_CANDIDATES &&
		   index_getnext_tid(writer->scan, BackwardScanDirection) != NULL)
	{
		CHECK_FOR_INTERRUPTS();

		/* As index_fetch_heap does, but for pruning: tell of dead entries. */
		writer->root = writer->scan->xs_heaptid;
		if (!fetch_by_root(writer->rel, &writer->root, InvalidOffsetNumber,
						   SnapshotSelf, PRUNE_BELOW, writer->candidate,
						   &all_dead))
		{
			writer->scan->kill_prior_tuple = all_dead;
			continue;
		}

		/*
		 * The index may cover part of the key only, or call more than one
		 * image equal (1.0 and 1.00).  The latter get slots apart; the views
		 * add them up.
		 */
		MemoryContextSwitchTo(writer->key_context);
		added = holds_key(writer) && add_to_candidate(writer, n);
		MemoryContextSwitchTo(writer->context);
	}
	MemoryContextSwitchTo(writer->key_context);
	return added;
}

/*
 * add_slot
 *		Make a new slot with n plays.
 */
static void
add_slot(SlotWriter *writer, int64 n)
{
	SlotBinding *binding = writer->binding;
	TupleDesc	desc = RelationGetDescr(writer->rel);
	Datum	   *values = palloc0(desc->natts * sizeof(Datum));
	bool	   *isnull = palloc(desc->natts * sizeof(bool));

	memset(isnull, true, desc->natts * sizeof(bool));
	for (int i = 0; i < binding->nkeys; i++)
	{
		values[binding->key_attnos[i] - 1] = writer->values[i];
		isnull[binding->key_attnos[i] - 1] = writer->isnull[i];
	}
	values[binding->count_attno - 1] = Int64GetDatum(n);
	isnull[binding->count_attno - 1] = false;

	ExecStoreHeapTuple(heap_form_tuple(desc, values, isnull),
					   writer->written, false);
	table_tuple_insert(writer->rel, writer->written, writer->cid, 0, NULL);
	make_index_entries(writer, false, false);
	writer->root = writer->written->tts_tid;
}

/*
 * slot_writer_add
 *		Add n, which may be negative, to a key's count.
 *
 * The key is a tuple of the binding's key_desc, and hash its hash value.
 * Within one writer, add to each key only once.
 *
 * Errors: the count exceeds bigint (22003), the key is too long for the
 * index (54000).
 */
void
slot_writer_add(SlotWriter *writer, uint32 hash, MinimalTuple key, int64 n)
{
	StickyTid  *sticky = sticky_tid(writer->rel, hash);
	MemoryContext oldcontext = MemoryContextSwitchTo(writer->key_context);
	HeapTupleData tuple;

	tuple.t_len = key->t_len + MINIMAL_TUPLE_OFFSET;
	tuple.t_data = (HeapTupleHeader) ((char *) key - MINIMAL_TUPLE_OFFSET);
	heap_deform_tuple(&tuple, writer->binding->key_desc, writer->values,
					  writer->isnull);

	if (!add_to_sticky(writer, sticky, hash, n) && !add_to_any(writer, n))
		add_slot(writer, n);

	sticky_tid_set(sticky, writer->rel, hash, &writer->root,
				   &writer->written->tts_tid);

	ExecClearTuple(writer->candidate);
	ExecClearTuple(writer->written);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextReset(writer->key_context);
}

/*
 * take_candidates_key
 *		Make the candidate's key the writer's, in the current memory context.
 */
static void
take_candidates_key(SlotWriter *writer)
{
	SlotBinding *binding = writer->binding;

	for (int i = 0; i < binding->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(binding->key_desc, i);
		Datum		value;

		value = slot_getattr(writer->candidate, binding->key_attnos[i],
							 &writer->isnull[i]);
		if (!writer->isnull[i])
			writer->values[i] = datumCopy(value, att->attbyval, att->attlen);
	}
}

/*
 * remove_candidate
 *		Delete the locked candidate.
 */
static void
remove_candidate(SlotWriter *writer)
{
	TM_FailureData tmfd;
	TM_Result	result;

	result = table_tuple_delete(writer->rel, &writer->candidate->tts_tid,
								writer->cid, SnapshotSelf, InvalidSnapshot,
								true, &tmfd, false);
	if (result != TM_Ok)
		elog(ERROR, "unexpected table_tuple_delete status: %d", result);
}

/*
 * slot_writer_compact
 *		Merge the slots of each key into one, as far as they are free, until
 *		about limit slots are removed.  Returns how many were.
 *
 * Walks the index, where a key's slots are neighbours.  The first free slot of
 * a key is kept locked while others are removed, and takes their counts when
 * the key is done with.  Nobody waits for these locks: writers go to another
 * slot or make one until this transaction ends, which is why limit should be
 * modest.  A writer used for this is good for nothing else.
 */
int64
slot_writer_compact(SlotWriter *writer, int64 limit)
{
	TupleTableSlot *kept = table_slot_create(writer->rel, NULL);
	TupleTableSlot *candidate = writer->candidate;
	bool		have_key = false;
	bool		have_kept = false;
	int64		kept_count = 0;
	int64		gathered = 0;
	int64		removed = 0;
	int64		removed_of_key = 0;
	bool		more = true;

	begin_scan(writer, 0);
	index_rescan(writer->scan, NULL, 0, NULL, 0);

	while (more)
	{
		int64		count;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(writer->context);
		more = removed < limit &&
			index_getnext_slot(writer->scan, ForwardScanDirection, candidate);
		MemoryContextSwitchTo(writer->key_context);

		/* The next key, or the end: what was gathered goes to the kept slot. */
		if (!more || !have_key || !holds_key(writer))
		{
			if (removed_of_key > 0)
			{
				writer->candidate = kept;
				write_count(writer, kept_count, gathered);
				writer->candidate = candidate;
				ExecClearTuple(writer->written);
			}
			ExecClearTuple(kept);
			MemoryContextReset(writer->key_context);
			if (!more)
				break;
			take_candidates_key(writer);
			have_key = true;
			have_kept = false;
			gathered = 0;
			removed_of_key = 0;
		}

		/*
		 * A key's only slot is left alone: its first is locked once there is
		 * a second, so until then just remembered.
		 */
		if (TupIsNull(kept))
		{
			ExecCopySlot(kept, candidate);
			continue;
		}
		if (!have_kept)
		{
			ItemPointerData tid = kept->tts_tid;

			writer->candidate = kept;
			have_kept = table_tuple_fetch_row_version(writer->rel, &tid,
													  SnapshotSelf, kept) &&
				lock_candidate(writer, LockTupleNoKeyExclusive, &kept_count);
			writer->candidate = candidate;
			if (!have_kept)
			{
				ExecCopySlot(kept, candidate);
				continue;
			}
		}
		if (!lock_candidate(writer, LockTupleExclusive, &count))
			continue;
		if (pg_add_s64_overflow(gathered, count, &gathered))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("count in table \"%s\" out of range",
							RelationGetRelationName(writer->rel))));
		remove_candidate(writer);
		removed++;
		removed_of_key++;
	}

	MemoryContextSwitchTo(writer->context);
	ExecDropSingleTupleTableSlot(kept);
	return removed;
}
