/*-------------------------------------------------------------------------
 *
 * key_table.c
 *	  The event_ids of a partitioned log, which no unique index of its own could
 *	  keep apart: one row for each in a table beside it.
 *
 * Layer: storage.
 *
 * An event_id is written as INSERT ... ON CONFLICT DO NOTHING would, below the
 * executor: whoever finds another's uncommitted entry waits until he commits,
 * and then leaves it, or rolls back, and then writes it.  Nobody's trigger,
 * rule, policy, expression or predicate runs (key_binding.c).
 *
 * Most event_ids are new.  So one is inserted without a look, and the index says
 * whether somebody else may have it: entries are made under the lock of a page,
 * so of two who write one event_id at once the first hears that nobody has it,
 * and is done.  The second takes his row back, and only then looks and waits.  A
 * row that its own transaction has deleted is nobody's: it never was there,
 * whatever becomes of that transaction.  So nobody waits because of one, and no
 * two wait for each other.
 *
 * An event_id whose row was left out is nobody's, either (key_row.c): whoever finds
 * it makes it his own.
 *
 * That saves the search of the index, the lock on a token and the WAL record by
 * which ON CONFLICT marks rows that may be taken back: of 33,100 instructions
 * that an event_id took on PostgreSQL 15, 11,900.  But a retry leaves a dead row.
 * So after one the next event_id is looked for first, as a batch that is sent
 * again has many.
 *
 * Event_ids that are old are found by reading all of the table, from where this
 * backend found some last.  An index on the time would have a say in every
 * insert: see key_table_forget.
 *
 * Memory: the current context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "heap_fetch.h"
#include "key_binding.h"
#include "key_row.h"
#include "key_table.h"

/* An event_id that is being written. */
typedef struct KeyWriter
{
	KeyBinding *keys;
	Relation	rel;
	Relation   *indexes;		/* of the binding, in its order */
	Datum	   *values;			/* a row of the key table */
	bool	   *isnull;
	ItemPointerData found;		/* one of this event_id that is there */
	int64		found_id;		/* what that says, if it says it */
	Timestamp	found_created;
	bool		found_row;
	bool		found_own;		/* this transaction has written it */
} KeyWriter;

/* Was the last event_id that came known? */
static bool last_was_known = false;

/* When the client's command began that was the last to write one. */
static TimestampTz last_written;

/*
 * check_seen
 *		Check that the snapshot sees the row that has the event_id, as ON
 *		CONFLICT does.
 *
 * With a snapshot of its own, a transaction would leave out a play because of
 * one that it can't see.
 */
static void
check_seen(HeapTuple tuple, Buffer buffer)
{
	bool		seen;

	if (!IsolationUsesXactSnapshot())
		return;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	seen = HeapTupleSatisfiesVisibility(tuple, GetTransactionSnapshot(),
										buffer) ||
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (!seen)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Another transaction has recorded the same event_id meanwhile."),
				 errhint("Try again.")));
}

/*
 * is_taken_back
 *		Was the row, of a transaction that has not ended, deleted by the same one?
 *		One that it has taken over was not: that goes on in another version.
 */
static bool
is_taken_back(HeapTuple tuple, Buffer buffer)
{
	HeapTupleHeader header = tuple->t_data;
	bool		result;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		ItemPointerEquals(&header->t_ctid, &tuple->t_self) &&
		TransactionIdEquals(HeapTupleHeaderGetRawXmin(header),
							HeapTupleHeaderGetRawXmax(header));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return result;
}

/*
 * read_found
 *		Read what a row of the event_id says.
 */
static void
read_found(KeyWriter *writer, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);
	bool		id_isnull;
	bool		created_isnull;
	Datum		id = heap_getattr(tuple, writer->keys->attnos[KEY_ID], desc,
								  &id_isnull);
	Datum		created = heap_getattr(tuple,
									   writer->keys->attnos[KEY_CREATED], desc,
									   &created_isnull);

	writer->found = tuple->t_self;
	writer->found_row = !id_isnull && !created_isnull;
	if (writer->found_row)
	{
		/* Both types of time are the same integer. */
		writer->found_id = DatumGetInt64(id);
		writer->found_created = DatumGetTimestamp(created);
	}
	writer->found_own = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

/*
 * find_other
 *		Is there a row of this event_id, other than the writer's own?
 *
 * While the writer has none, this waits for whoever is writing or deleting one,
 * checks that the snapshot sees it, and reads it.  Much as
 * check_exclusion_or_unique_constraint has it.
 */
static bool
find_other(KeyWriter *writer, Relation index, ItemPointer own)
{
	SnapshotData dirty;
	ScanKeyData key;
	TransactionId writes;
	ItemPointerData tid;
	bool		found;

	ScanKeyEntryInitializeWithInfo(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
								   writer->keys->collation,
								   &writer->keys->equal,
								   writer->values[writer->keys->attnos[KEY_EVENT_ID] - 1]);
	InitDirtySnapshot(dirty);
	do
	{
		IndexScanDesc scan = begin_index_scan(writer->rel, index, &dirty, 1);
		HeapTupleData tuple;
		ItemPointerData root;
		Buffer		buffer;

		found = false;
		writes = InvalidTransactionId;
		index_rescan(scan, &key, 1, NULL, 0);
		while (!found &&
			   (buffer = fetch_next(scan, ForwardScanDirection, NULL, 0,
									&tuple, &root)) != InvalidBuffer)
		{
			tid = tuple.t_self;
			writes = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
			found = (own == NULL || !ItemPointerEquals(own, &tid)) &&
				!(TransactionIdIsValid(dirty.xmin) &&
				  is_taken_back(&tuple, buffer));
			if (found && own == NULL && !TransactionIdIsValid(writes))
			{
				check_seen(&tuple, buffer);
				read_found(writer, &tuple);
			}
			ReleaseBuffer(buffer);
		}
		index_endscan(scan);
		if (found && own == NULL && TransactionIdIsValid(writes))
			XactLockTableWait(writes, writer->rel, &tid, XLTW_InsertIndex);
	} while (found && own == NULL && TransactionIdIsValid(writes));
	return found;
}

/*
 * make_entry
 *		Make the row's entry in an index; false if somebody else may have the
 *		event_id there.
 */
static bool
make_entry(KeyWriter *writer, KeyIndex *bound, Relation index, HeapTuple tuple)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	for (int i = 0; i < index->rd_index->indnatts; i++)
	{
		AttrNumber	attno = index->rd_index->indkey.values[i];

		values[i] = writer->values[attno - 1];
		isnull[i] = writer->isnull[attno - 1];
	}
	return index_insert(index, values, isnull, &tuple->t_self, writer->rel,
						bound->is_unique ? UNIQUE_CHECK_PARTIAL :
						UNIQUE_CHECK_NO, false, bound->info) ||
		!bound->is_unique;
}

/*
 * insert
 *		Insert the row; false if somebody else has the event_id, and it was taken
 *		back.
 */
static bool
insert(KeyWriter *writer)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(writer->rel),
										writer->values, writer->isnull);
	bool		conflict = false;

	heap_insert(writer->rel, tuple, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < writer->keys->nindexes; i++)
	{
		if (make_entry(writer, &writer->keys->indexes[i], writer->indexes[i],
					   tuple))
			continue;

		/*
		 * A scan may come to a version just when another one takes its place
		 * (take_over) whose entry it has passed by.  The next one has that.
		 */
		conflict |= find_other(writer, writer->indexes[i], &tuple->t_self) ||
			find_other(writer, writer->indexes[i], &tuple->t_self);
	}
	if (conflict)
	{
		/* Or it would be too young to be deleted. */
		CommandCounterIncrement();
		if (delete_heap_tuple(writer->rel, &tuple->t_self,
							  GetCurrentCommandId(true)) != TM_Ok)
			elog(ERROR, "could not take back an event_id");
	}
	heap_freetuple(tuple);
	return !conflict;
}

/*
 * is_known
 *		Is the event_id there?
 */
static bool
is_known(KeyWriter *writer)
{
	for (int i = 0; i < writer->keys->nindexes; i++)
	{
		if (writer->keys->indexes[i].oid == writer->keys->search)
			return find_other(writer, writer->indexes[i], NULL);
	}
	return false;
}

/*
 * row_exists
 *		Is the row there that the event_id was written for which was found?  Its id
 *		takes the place of what that says.
 */
static bool
row_exists(KeyWriter *writer, bool thorough)
{
	return !writer->found_row ||
		key_row_exists(writer->keys,
					   writer->values[writer->keys->attnos[KEY_EVENT_ID] - 1],
					   &writer->found_id, writer->found_created, thorough);
}

/*
 * is_of_command
 *		May the event_id which was found be one that the client's command has
 *		written?
 */
static bool
is_of_command(KeyWriter *writer)
{
	return writer->found_own &&
		last_written == GetCurrentStatementStartTimestamp();
}

/*
 * is_taken
 *		Is the event_id which was found that of a row, for all that can be told?
 *
 * A row of the command that is running may be on its way: a trigger may insert, while
 * another row is not inserted yet.  So what this transaction has written passes for
 * taken once the client's command has written any.
 */
static bool
is_taken(KeyWriter *writer)
{
	return is_of_command(writer) || row_exists(writer, true);
}

/*
 * take_over
 *		Make the event_id which was found the row's; false if somebody else has
 *		just done so.
 *
 * By an update, which nobody waits for who has a row of his own that he will take
 * back: two would else wait for each other.
 */
static bool
take_over(KeyWriter *writer)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(writer->rel),
										writer->values, writer->isnull);
	IndexDemand demand;
	TM_Result	result = update_heap_tuple(writer->rel, &writer->found, tuple,
										   GetCurrentCommandId(true), true,
										   &demand);

	if (result != TM_Ok && result != TM_Updated && result != TM_Deleted)
		elog(ERROR, "could not take over an event_id: %d", (int) result);
	for (int i = 0; result == TM_Ok && demand.any && i < writer->keys->nindexes; i++)
		(void) make_entry(writer, &writer->keys->indexes[i],
						  writer->indexes[i], tuple);
	heap_freetuple(tuple);
	return result == TM_Ok;
}

/*
 * begin_writing
 *		Open the table and its indexes, which the binding has locked.
 */
static void
begin_writing(KeyWriter *writer, KeyBinding *keys)
{
	int			natts;

	writer->keys = keys;
	writer->rel = table_open(keys->relid, NoLock);
	natts = RelationGetNumberOfAttributes(writer->rel);
	writer->values = palloc0(natts * sizeof(Datum));
	writer->isnull = palloc(natts * sizeof(bool));
	memset(writer->isnull, true, natts * sizeof(bool));
	writer->indexes = palloc(keys->nindexes * sizeof(Relation));
	for (int i = 0; i < keys->nindexes; i++)
		writer->indexes[i] = index_open(keys->indexes[i].oid, NoLock);
}

static void
set_value(KeyWriter *writer, KeyColumn c, Datum value, bool isnull)
{
	writer->values[writer->keys->attnos[c] - 1] = value;
	writer->isnull[writer->keys->attnos[c] - 1] = isnull;
}

static void
end_writing(KeyWriter *writer)
{
	for (int i = 0; i < writer->keys->nindexes; i++)
		index_close(writer->indexes[i], NoLock);
	table_close(writer->rel, NoLock);
	pfree(writer->values);
	pfree(writer->isnull);
	pfree(writer->indexes);
}

/*
 * key_table_add
 *		Write an event_id, with the id and the time, values by KeyColumn, of
 *		which the id is a bigint; false if it is there already.
 *
 * The binding has locked the table and its indexes.  It is written as its owner
 * (P8).  The abort restores the user after an error.
 *
 * Errors: in REPEATABLE READ and SERIALIZABLE, another transaction has written
 * the event_id meanwhile (40001).
 */
bool
key_table_add(KeyBinding *keys, const Datum *values, const bool *isnull)
{
	KeyWriter	writer;
	Oid			user;
	int			sec_context;
	bool		look = last_was_known;
	bool		known = false;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(keys->owner,
						   sec_context | SECURITY_RESTRICTED_OPERATION);

	begin_writing(&writer, keys);
	for (KeyColumn c = 0; c < KEY_NCOLUMNS; c++)
		set_value(&writer, c, values[c], isnull[c]);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (look && is_known(&writer))
		{
			known = is_taken(&writer);
			if (known || take_over(&writer))
				break;
		}
		else if (insert(&writer))
			break;
		look = true;
	}
	last_was_known = known;
	if (!known)
		last_written = GetCurrentStatementStartTimestamp();

	end_writing(&writer);
	SetUserIdAndSecContext(user, sec_context);
	return !known;
}

/*
 * key_table_find
 *		Find the id of the row that has the event_id; false if none has.
 *
 * Waits for whoever is writing it.  If this command has written it, the row most
 * likely is the one that was left out just now.  All of a partition is not read for
 * each of those, so one that has another id than it came with is not found.
 */
bool
key_table_find(KeyBinding *keys, Datum event_id, int64 *id)
{
	KeyWriter	writer;
	bool		known;

	begin_writing(&writer, keys);
	set_value(&writer, KEY_EVENT_ID, event_id, false);
	known = is_known(&writer) && writer.found_row &&
		row_exists(&writer, !is_of_command(&writer));
	if (known)
		*id = writer.found_id;
	end_writing(&writer);
	return known;
}

/*
 * find_old
 *		The places on a page of rows from before that time, or of all if that is
 *		NULL, which the snapshot sees.  Returns how many.
 */
static int
find_old(KeyBinding *keys, Relation rel, Buffer buffer, Snapshot snapshot,
		 const Datum *before, OffsetNumber *offsets)
{
	Page		page = BufferGetPage(buffer);
	int			n = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	for (OffsetNumber offset = FirstOffsetNumber;
		 offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		ItemId		lp = PageGetItemId(page, offset);
		HeapTupleData tuple;
		Datum		created;
		bool		isnull;

		if (!ItemIdIsNormal(lp))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), offset);
		if (before != NULL)
		{
			created = heap_getattr(&tuple, keys->attnos[KEY_CREATED],
								   RelationGetDescr(rel), &isnull);
			/* Both types of time are the same integer. */
			if (isnull ||
				DatumGetTimestamp(created) >= DatumGetTimestamp(*before))
				continue;
		}
		if (HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer))
			offsets[n++] = offset;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return n;
}

/*
 * remove_row
 *		Delete a row, unless somebody has it.
 */
static bool
remove_row(Relation rel, BlockNumber block, OffsetNumber offset, CommandId cid)
{
	HeapTupleData locked;
	Buffer		buffer;
	TM_FailureData tmfd;
	TM_Result	result;

	ItemPointerSet(&locked.t_self, block, offset);
	result = heap_lock_tuple(rel, &locked, cid, LockTupleExclusive,
							 LockWaitSkip, false, &buffer, &tmfd);
	ReleaseBuffer(buffer);
	return result == TM_Ok &&
		delete_heap_tuple(rel, &locked.t_self, cid) == TM_Ok;
}

/*
 * key_table_forget
 *		Delete event_ids from before that time, or all if that is NULL, until
 *		limit are gone; returns how many.
 *
 * Nobody is waited for.  But who sends one again meanwhile waits until this
 * transaction ends.
 *
 * All of the table is read, if need be.  Times are in order on its pages only
 * until the space of those that are gone is used again; so a BRIN index would
 * come to say that each range may have some.  A btree on the time would cost each
 * insert 10,000 instructions (EVENT_IDS=1 make bench-instructions), for what is
 * done once a day.  The next call goes on where this one ends, so several calls
 * take one turn.
 */
int64
key_table_forget(KeyBinding *keys, const Datum *before, int64 limit)
{
	static Oid	last_relid = InvalidOid;
	static BlockNumber last_block = 0;
	Relation	rel = table_open(keys->relid, NoLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	CommandId	cid = GetCurrentCommandId(true);
	BlockNumber block = last_relid == keys->relid ? last_block : 0;
	int64		removed = 0;

	for (BlockNumber i = 0; i < nblocks && removed < limit; i++)
	{
		OffsetNumber offsets[MaxHeapTuplesPerPage];
		Buffer		buffer;
		int			n;

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			block++;
		if (block >= nblocks)
			block = 0;
		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL,
									strategy);
		n = find_old(keys, rel, buffer, snapshot, before, offsets);
		for (int o = 0; o < n && removed < limit; o++)
			removed += remove_row(rel, block, offsets[o], cid);
		ReleaseBuffer(buffer);
	}
	last_relid = keys->relid;
	last_block = block;
	UnregisterSnapshot(snapshot);
	FreeAccessStrategy(strategy);
	table_close(rel, NoLock);
	CommandCounterIncrement();
	return removed;
}
