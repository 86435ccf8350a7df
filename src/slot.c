/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Promise P4: adding to a counter never waits for another transaction.
 *
 * Layer: storage.
 *
 * A key's count is the sum of its slots, rows of the slot table.  To add to
 * it, take any slot that no transaction in progress has touched; if there is
 * none, make one.  So a cold key has one slot, a hot one as many as
 * transactions were ever adding to it at once.
 *
 * Why no wait can occur: a slot that nobody has touched is updated by a
 * heap_update that is told not to wait, and gives up when somebody has come in
 * between.  Any other is locked with LockWaitSkip before, and heap_update never
 * waits for a tuple its own transaction has locked (others may hold FOR KEY
 * SHARE, which a no-key update does not conflict with).  The slot table has no
 * unique index (check_plain in slot_binding.c), so inserts don't wait either.
 * What is left are buffer and extension locks, which nobody holds for longer than
 * a page takes.
 *
 * Why sums are exact in every snapshot: the versions of one slot form a chain
 * in the order of their transactions' commits, each adding its own share.  A
 * snapshot that sees a version sees all transactions before it in the chain,
 * since each had committed when the next could update the slot.  A transaction
 * with a snapshot of its own (REPEATABLE READ, SERIALIZABLE) breaks that for
 * itself if it builds upon a version which that snapshot doesn't see, so it
 * leaves such slots alone.  In READ COMMITTED the next statement sees all;
 * what one statement's own later parts see is what they would see of UPDATE.
 *
 * Slots are searched with SnapshotSelf: it sees the newest version that is
 * committed or one's own, and it takes no predicate locks, so that
 * SERIALIZABLE finds no conflict between two who merely count.  It may miss
 * a row under concurrent update, or show two versions of it; then another
 * slot is taken, or the update or the lock fails.
 *
 * Writes go below the executor: no triggers (the slot table's guard refuses
 * SQL writes), no rules, no policies.  Index entries are made by
 * ExecInsertIndexTuples.
 *
 * A slot's amount is a count, or of another kind (amount.h).  Counts and sums are
 * added here, inline.  Sketches of listeners are united instead, and a slot that
 * covers what is to be added is left as it is (cover_by_version).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "binding.h"
#include "compat.h"
#include "heap_fetch.h"
#include "row_hint.h"
#include "slot.h"
#include "slot_binding.h"
#include "slot_writer.h"

/*
 * How many index entries to look at before making a new slot.  More than
 * clients usually add to one key at once; and with an old snapshot about,
 * entries of dead versions pile up that are no use to look at.
 */
#define MAX_CANDIDATES 64

/*
 * A server with assertions stops when heap_update, told not to wait, finds
 * somebody to wait for; up to 19 Postgres itself never tells it so.
 */
#ifdef USE_ASSERT_CHECKING
static const bool may_update_unlocked = false;
#else
static const bool may_update_unlocked = true;
#endif

/*
 * slot_writer_begin
 *		Get ready to write to a slot table, which the caller has bound and
 *		locked.  Allocates in the current memory context.
 */
SlotWriter *
slot_writer_begin(SlotBinding *binding)
{
	Relation	rel = table_open(binding->relid, NoLock);
	int			natts = RelationGetNumberOfAttributes(rel);
	SlotWriter *writer = palloc0(offsetof(SlotWriter, row_values) +
								 natts * (sizeof(Datum) + sizeof(bool)));

	writer->binding = binding;
	writer->rel = rel;
	writer->cid = GetCurrentCommandId(true);
	if (IsolationUsesXactSnapshot())
		writer->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	writer->context = CurrentMemoryContext;
	writer->row_isnull = (bool *) &writer->row_values[natts];
	return writer;
}

/*
 * slot_writer_end
 *		Release what slot_writer_begin and the writes took.  The locks on the
 *		slot table and its index stay to the end of the transaction.
 */
void
slot_writer_end(SlotWriter *writer)
{
	if (writer->scan != NULL)
	{
		index_endscan(writer->scan);
		index_close(writer->index, NoLock);
	}
	if (writer->estate != NULL)
	{
		ExecDropSingleTupleTableSlot(writer->entry_row);
		ExecCloseIndices(writer->rri);
		FreeExecutorState(writer->estate);
	}
	if (writer->snapshot != NULL)
		UnregisterSnapshot(writer->snapshot);
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
 *		Insert index entries for a row just written.
 */
static void
make_index_entries(SlotWriter *writer, HeapTuple tuple, bool update,
				   bool only_summarizing)
{
	if (writer->estate == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(writer->context);

		writer->estate = CreateExecutorState();
		writer->rri = makeNode(ResultRelInfo);

		/* Range table index 0: no columns are known to be updated. */
		InitResultRelInfo(writer->rri, writer->rel, 0, NULL, 0);
		ExecOpenIndices(writer->rri, false);
		writer->entry_row = MakeSingleTupleTableSlot(RelationGetDescr(writer->rel),
													 &TTSOpsHeapTuple);
		MemoryContextSwitchTo(oldcontext);
	}
	ExecStoreHeapTuple(tuple, writer->entry_row, false);
	insert_index_entries(writer->rri, writer->entry_row, writer->estate,
						 update, only_summarizing);
	ExecClearTuple(writer->entry_row);
	ResetPerTupleExprContext(writer->estate);
}

/*
 * need_values
 *		Take the key being added to apart, unless that has been done.
 */
static inline void
need_values(SlotWriter *writer)
{
	if (!writer->has_values)
		heap_deform_tuple(&writer->key, writer->binding->key_desc,
						  writer->values, writer->isnull);
	writer->has_values = true;
}

/*
 * form_slot
 *		A row for the key being added to.
 */
static HeapTuple
form_slot(SlotWriter *writer, Datum amount)
{
	SlotBinding *binding = writer->binding;
	TupleDesc	desc = RelationGetDescr(writer->rel);

	need_values(writer);

	/* Columns that were dropped are null. */
	memset(writer->row_isnull, true, desc->natts * sizeof(bool));
	for (int i = 0; i < binding->nkeys; i++)
	{
		writer->row_values[binding->key_attnos[i] - 1] = writer->values[i];
		writer->row_isnull[binding->key_attnos[i] - 1] = writer->isnull[i];
	}
	writer->row_values[binding->amount_attno - 1] = amount;
	writer->row_isnull[binding->amount_attno - 1] = false;

	return heap_form_tuple(desc, writer->row_values, writer->row_isnull);
}

/*
 * begins_with_key
 *		Does the row begin with the very bytes of the key being added to?  If
 *		not, they may be equal all the same: a long string may be compressed in
 *		one of them.
 *
 * heap_fill_tuple is what makes both, from the same columns; what is between
 * them is zero.  Both start at a multiple of MAXIMUM_ALIGNOF.
 */
static inline bool
begins_with_key(SlotWriter *writer, HeapTuple slot)
{
	HeapTupleHeader row = slot->t_data;
	HeapTupleHeader key = writer->key.t_data;
	Size		size;

	if (key == NULL || !writer->binding->key_is_first)
		return false;
	size = writer->key.t_len - key->t_hoff;

	StaticAssertStmt(COUNTER_MAX_KEYS <= BITS_PER_BYTE,
					 "bits of a key's nulls are in several bytes");
	if (HeapTupleHeaderGetNatts(row) < writer->binding->nkeys ||
		slot->t_len - row->t_hoff < size ||
		(row->t_infomask & HEAP_HASNULL) != (key->t_infomask & HEAP_HASNULL) ||
		((row->t_infomask & HEAP_HASNULL) != 0 &&
		 ((row->t_bits[0] ^ key->t_bits[0]) &
		  ((1 << writer->binding->nkeys) - 1)) != 0))
		return false;
	return memcmp((char *) row + row->t_hoff, (char *) key + key->t_hoff,
				  size) == 0;
}

/*
 * holds_key
 *		Is the slot one of the key being added to?
 */
bool
holds_key(void *arg, HeapTuple slot)
{
	SlotWriter *writer = arg;
	SlotBinding *binding = writer->binding;

	if (begins_with_key(writer, slot))
		return true;

	need_values(writer);
	heap_deform_tuple(slot, RelationGetDescr(writer->rel), writer->row_values,
					  writer->row_isnull);
	for (int i = 0; i < binding->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(binding->key_desc, i);
		int			column = binding->key_attnos[i] - 1;

		if (writer->row_isnull[column] != writer->isnull[i])
			return false;
		if (!writer->isnull[i] &&
			!datum_image_eq(writer->row_values[column], writer->values[i],
							att->attbyval, att->attlen))
			return false;
	}
	return true;
}

/*
 * amount_place
 *		Where the slot's count is in the tuple, or NULL if that takes a search.
 *
 * It is not null and of fixed length; and tuples end where their last column
 * does (heap_compute_data_size).
 */
static inline char *
amount_place(SlotWriter *writer, HeapTuple slot)
{
	if (!writer->binding->amount_is_last ||
		HeapTupleHeaderGetNatts(slot->t_data) != writer->binding->amount_attno)
		return NULL;
	return (char *) slot->t_data + slot->t_len - sizeof(int64);
}

/*
 * read_amount
 *		What the slot counts.  What is no bigint stays where it is.
 */
Datum
read_amount(SlotWriter *writer, HeapTuple slot)
{
	char	   *place = amount_place(writer, slot);
	bool		isnull;
	Datum		amount;

	if (place != NULL)
	{
		int64		count;

		memcpy(&count, place, sizeof(count));
		return Int64GetDatum(count);
	}
	amount = heap_getattr(slot, writer->binding->amount_attno,
						  RelationGetDescr(writer->rel), &isnull);
	if (isnull)
		elog(ERROR, "slot without a count in table \"%s\"",
			 RelationGetRelationName(writer->rel));
	return amount;
}

/*
 * add_amounts
 *		a + b, or an error (22003).
 */
Datum
add_amounts(SlotWriter *writer, Datum a, Datum b)
{
	SlotBinding *binding = writer->binding;
	int64		sum;

	if (!binding->kind->is_bigint)
		return binding->kind->add(binding->column, a, b);

	if (pg_add_s64_overflow(DatumGetInt64(a), DatumGetInt64(b), &sum))
		report_out_of_range(binding);
	return Int64GetDatum(sum);
}

/*
 * is_visible
 *		Does the snapshot see the version?
 */
static bool
is_visible(SlotVersion *version, Snapshot snapshot)
{
	bool		visible;

	LockBuffer(version->buffer, BUFFER_LOCK_SHARE);
	visible = HeapTupleSatisfiesVisibility(&version->tuple, snapshot,
										   version->buffer);
	LockBuffer(version->buffer, BUFFER_LOCK_UNLOCK);
	return visible;
}

/*
 * is_of_this_command
 *		Did this very command of the transaction write the version?
 */
static inline bool
is_of_this_command(CommandId cid, SlotVersion *version)
{
	HeapTupleHeader header = version->tuple.t_data;

	return !HeapTupleHeaderXminCommitted(header) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(header)) &&
		HeapTupleHeaderGetCmin(header) >= cid;
}

/*
 * is_in_reach
 *		May a version that is free be built upon?
 */
static inline bool
is_in_reach(SlotWriter *writer, SlotVersion *version)
{
	return writer->snapshot == NULL || is_visible(version, writer->snapshot);
}

/*
 * lock_version
 *		Lock a slot, unless it is out of reach.
 *
 * The mode is that of what is to follow, or that would wait after all:
 * LockTupleNoKeyExclusive for an update, LockTupleExclusive for a deletion.
 * As with update_version, the version's buffer stays pinned all the while, so its
 * line pointer can't be reused between the look and the lock; and a version never
 * changes, so what was read before the lock is true after it.
 */
bool
lock_version(SlotWriter *writer, SlotVersion *version, LockTupleMode mode)
{
	HeapTupleData locked;
	Buffer		buffer;
	TM_FailureData tmfd;
	TM_Result	result;

	if (!is_in_reach(writer, version))
		return false;
	locked.t_self = version->tuple.t_self;
	result = heap_lock_tuple(writer->rel, &locked, writer->cid, mode,
							 LockWaitSkip, false, &buffer, &tmfd);
	ReleaseBuffer(buffer);
	return result == TM_Ok;
}

/*
 * form_version
 *		A new version of a slot of the key.
 */
static HeapTuple
form_version(SlotWriter *writer, HeapTuple slot, Datum amount)
{
	HeapTuple	tuple;
	int64		count;

	if (amount_place(writer, slot) == NULL)
		return form_slot(writer, amount);
	tuple = heap_copytuple(slot);
	count = DatumGetInt64(amount);
	memcpy(amount_place(writer, tuple), &count, sizeof(count));
	return tuple;
}

/*
 * update_version
 *		Write a new version of a slot of the key, if heap_update does.
 */
static TM_Result
update_version(SlotWriter *writer, SlotVersion *version, Datum amount,
			   bool wait)
{
	HeapTuple	tuple = form_version(writer, &version->tuple, amount);
	IndexDemand demand;
	TM_Result	result;

	result = update_heap_tuple(writer->rel, &version->tuple.t_self, tuple,
							   writer->cid, wait, &demand);
	if (result == TM_Ok)
	{
		writer->root_buffer = version->buffer;
		writer->written = tuple->t_self;
		if (demand.any)
		{
			make_index_entries(writer, tuple, true, demand.only_summarizing);
			if (!demand.only_summarizing)
			{
				writer->root = tuple->t_self;
				writer->root_buffer = InvalidBuffer;
			}
		}
	}
	heap_freetuple(tuple);
	return result;
}

/*
 * write_amount
 *		Write a new version of a locked slot of the key.
 */
void
write_amount(SlotWriter *writer, SlotVersion *version, Datum amount)
{
	TM_Result	result = update_version(writer, version, amount, true);

	if (result != TM_Ok)
		elog(ERROR, "unexpected heap_update status: %d", result);
}

/*
 * write_if_free
 *		Write a new version of a slot of the key, unless that is out of reach or
 *		in somebody's hands.
 *
 * A version that nobody has touched is updated without being locked before: told
 * not to wait, heap_update gives up when somebody has come in between.  Whoever
 * has just locked the version may be gone, or be oneself, or be in nobody's way
 * (KEY SHARE), which heap_lock_tuple tells and heap_update without waiting does
 * not.
 *
 * Of its own branch for that, heap_update says that "we don't consider the "no
 * wait" case here", which "may cause failures with third-party code that calls
 * heap_update directly" (read in the sources of 16 and 17).  That is said of where
 * it finds an xmax that is set, and it gives up there before it decides anything.
 * t/p4_wait_free.pl races writers, on a server without assertions as packages are.
 */
static bool
write_if_free(SlotWriter *writer, SlotVersion *version, Datum amount)
{
	uint16		infomask = version->tuple.t_data->t_infomask;

	if (may_update_unlocked && (infomask & HEAP_XMAX_INVALID) != 0)
		return !is_of_this_command(writer->cid, version) &&
			is_in_reach(writer, version) &&
			update_version(writer, version, amount, false) == TM_Ok;

	/* SnapshotSelf sees it, so whoever updates it has not committed. */
	if (may_update_unlocked && (infomask & HEAP_XMAX_IS_MULTI) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(infomask))
		return false;

	if (!lock_version(writer, version, LockTupleNoKeyExclusive))
		return false;
	write_amount(writer, version, amount);
	return true;
}

/*
 * is_being_deleted
 *		Has a transaction that may yet commit deleted the version?
 *
 * SnapshotSelf sees it, so that has not committed.  Its successor is itself where
 * it was deleted, and another where it was updated.  The new version of a row that
 * was locked, too, when an update of it was rolled back may have both for an xmax.
 */
static bool
is_being_deleted(SlotVersion *version)
{
	HeapTupleHeader header = version->tuple.t_data;
	bool		deleted;

	LockBuffer(version->buffer, BUFFER_LOCK_SHARE);
	deleted = (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		ItemPointerEquals(&header->t_ctid, &version->tuple.t_self) &&
		!TransactionIdDidAbort(HeapTupleHeaderGetUpdateXid(header));
	LockBuffer(version->buffer, BUFFER_LOCK_UNLOCK);
	return deleted;
}

/*
 * cover_by_version
 *		Add n to a slot of the key, which may cover it, unless the slot is out of
 *		reach.
 *
 * One that does, for it has all listeners already, is left as it is, even
 * unlocked, if the snapshot sees it: it was committed then, or written by this very
 * transaction, so whoever sees this transaction sees it too; and they stay in
 * whatever comes after it.  The snapshot is the statement's, lest the rest of the
 * statement see the row and not the slot.
 *
 * Where listeners are taken out of a key's sketches (playevent.void,
 * playevent.forget_listener, restore.c), its slots are deleted, and made anew of
 * the log.  A slot that somebody is deleting is not relied upon; and who deletes
 * waits, before the log is read, for all who may have relied on what was deleted:
 * they hold a lock on the slot table.
 */
static bool
cover_by_version(SlotWriter *writer, SlotVersion *version, Datum n)
{
	SlotBinding *binding = writer->binding;
	Datum		known = read_amount(writer, &version->tuple);
	Datum		sum = known;

	if (binding->kind->covers(binding->column, known, n, &sum) &&
		is_visible(version, writer->snapshot != NULL ? writer->snapshot :
				   GetActiveSnapshot()) &&
		!is_being_deleted(version))
	{
		writer->written = version->tuple.t_self;
		writer->root_buffer = version->buffer;
		return true;
	}
	return write_if_free(writer, version, sum);
}

/*
 * remove_if_free
 *		Delete a slot, unless that is out of reach or in somebody's hands.
 */
bool
remove_if_free(SlotWriter *writer, SlotVersion *version)
{
	TM_Result	result;

	if (!lock_version(writer, version, LockTupleExclusive))
		return false;
	result = delete_heap_tuple(writer->rel, &version->tuple.t_self,
							   writer->cid);
	if (result != TM_Ok)
		elog(ERROR, "unexpected heap_delete status: %d", result);
	writer->written = version->tuple.t_self;
	writer->root_buffer = version->buffer;
	return true;
}

/*
 * add_to_version
 *		Add n to a slot of the key, unless that is out of reach.  One that is
 *		empty then goes.  Unpins its buffer.
 */
static bool
add_to_version(SlotWriter *writer, SlotVersion *version, Datum n)
{
	bool		added = false;

	if (writer->binding->kind->covers != NULL)
		added = cover_by_version(writer, version, n);
	else
	{
		Datum		sum = add_amounts(writer,
									  read_amount(writer, &version->tuple), n);

		added = is_nothing(writer, sum) ? remove_if_free(writer, version) :
			write_if_free(writer, version, sum);
	}
	ReleaseBuffer(version->buffer);
	return added;
}

/*
 * add_to_hinted
 *		Add n to the slot that was written last for the key, by this backend or,
 *		where hints are shared, maybe by another, if it is still there and free.
 *		This needs no index scan, and on a hot key mostly meets nobody: the others
 *		stick to theirs.
 */
static bool
add_to_hinted(SlotWriter *writer, uint32 hash, Datum n)
{
	SlotVersion version;

	version.buffer = row_hint_fetch(writer->rel, hash, SnapshotSelf,
									writer->binding->kind->prune_below,
									holds_key, writer,
									&version.tuple, &writer->root);
	return BufferIsValid(version.buffer) &&
		add_to_version(writer, &version, n);
}

void
begin_scan(SlotWriter *writer, int nkeys)
{
	lock_until_end(writer->binding->index_oid, RowExclusiveLock);
	writer->index = index_open(writer->binding->index_oid, NoLock);
	writer->scan = begin_index_scan(writer->rel, writer->index, SnapshotSelf,
									nkeys);
}

/*
 * next_version
 *		Fetch the next slot that the index tells of; false if there is none or,
 *		for a *limit, after as many entries.
 */
bool
next_version(SlotWriter *writer, ScanDirection direction, int *limit,
			 SlotVersion *version)
{
	version->buffer = fetch_next(writer->scan, direction, limit,
								 writer->binding->kind->prune_below,
								 &version->tuple, &writer->root);
	return BufferIsValid(version->buffer);
}

/*
 * add_to_any
 *		Add n to a free slot of the key, the newest first.
 */
static bool
add_to_any(SlotWriter *writer, Datum n)
{
	SlotBinding *binding = writer->binding;
	ScanKeyData scankeys[COUNTER_MAX_KEYS];
	SlotVersion version;
	int			limit = MAX_CANDIDATES;
	MemoryContext oldcontext;
	bool		added = false;

	need_values(writer);
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
	oldcontext = MemoryContextSwitchTo(writer->context);
	if (writer->scan == NULL)
		begin_scan(writer, binding->index_nkeys);
	index_rescan(writer->scan, scankeys, binding->index_nkeys, NULL, 0);

	/*
	 * The index may cover part of the key only, or call more than one image
	 * equal (1.0 and 1.00).  The latter get slots apart; the views add them
	 * up.
	 */
	while (!added &&
		   next_version(writer, BackwardScanDirection, &limit, &version))
	{
		MemoryContextSwitchTo(oldcontext);
		if (holds_key(writer, &version.tuple))
			added = add_to_version(writer, &version, n);
		else
			ReleaseBuffer(version.buffer);
		MemoryContextSwitchTo(writer->context);
	}
	MemoryContextSwitchTo(oldcontext);
	return added;
}

/*
 * add_slot
 *		Make a new slot with the amount n.
 */
static void
add_slot(SlotWriter *writer, Datum n)
{
	HeapTuple	tuple = form_slot(writer, n);

	heap_insert(writer->rel, tuple, writer->cid, 0, NULL);
	make_index_entries(writer, tuple, false, false);
	writer->root = writer->written = tuple->t_self;
	writer->root_buffer = InvalidBuffer;
	heap_freetuple(tuple);
}

/*
 * slot_writer_add
 *		Add n to a key's amount; a bigint may be negative.
 *
 * The key is a tuple of the binding's key_desc, and hash its hash value.
 * Within one writer, add to each key only once: the second time would not see
 * the first, and make another slot.  Leaves garbage in the current
 * memory context, for the caller to reset.
 *
 * Errors: the count exceeds bigint (22003), the key is too long for the
 * index (54000).
 */
void
slot_writer_add(SlotWriter *writer, uint32 hash, MinimalTuple key, Datum n)
{
	writer->key.t_len = key->t_len + MINIMAL_TUPLE_OFFSET;
	writer->key.t_data = (HeapTupleHeader) ((char *) key - MINIMAL_TUPLE_OFFSET);
	writer->has_values = false;

	if (!add_to_hinted(writer, hash, n) && !add_to_any(writer, n))
		add_slot(writer, n);

	row_hint_remember(writer->rel, hash, &writer->root, &writer->written,
					  writer->root_buffer);
}
