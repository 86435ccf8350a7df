/*-------------------------------------------------------------------------
 *
 * release.c
 *	  Promise P2: a play's release is what the track table says.
 *
 * Layer: rows.
 *
 * One probe of the track table's unique index in the statement's snapshot,
 * without SPI and without a plan; or a look at where the track was last found.
 * Another snapshot serves only where the table's file is newer than that one.
 * Answers are remembered for the rest of the statement, since bulk loads
 * repeat keys: the snapshot is the same, so the answer would be.
 *
 * Lifetime: the memo hangs on the trigger's FmgrInfo, which the executor
 * makes anew for each execution of a statement, and lives in its memory.  It
 * starts over when it holds MEMO_MAX_SIZE bytes.  Locks: the track
 * table in AccessShareLock to the end of the transaction, the index for the
 * probe: kept longer, it would let a REINDEX that waits for it stop everyone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "tcop/pquery.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "heap_fetch.h"
#include "image.h"
#include "play_fault.h"
#include "release.h"
#include "row_hint.h"
#include "track_binding.h"
#include "trigger_call.h"

PG_FUNCTION_INFO_V1(playevent_resolve);

/* In bytes: some 30,000 tracks */
#define MEMO_MAX_SIZE (3 * 1024 * 1024)

/* What the track table says of a key. */
typedef struct Answer
{
	bool		known;			/* is there such a track? */
	bool		isnull;			/* loose or deleted, or unknown */
	Datum		release;
} Answer;

/* One allocation with the key, for a look at it to cost one cache miss. */
typedef struct MemoEntry
{
	Answer		answer;
	Datum		key;			/* points right behind, unless by value */
} MemoEntry;

typedef struct MemoCell
{
	MemoEntry  *entry;
	uint32		hash;
	char		status;			/* for simplehash */
} MemoCell;

struct ReleaseMemo
{
	MemoryContext context;		/* holds the entries; NULL if there are none */
	TrackBinding *binding;
	struct memo_hash *entries;	/* NULL until the statement's second row */
	bool		warned;			/* of releases that a dump brought */

	/* release_memo's */
	Relation	event;
	Trigger    *trigger;
	Snapshot	snapshot;

	/*
	 * The snapshot that the answers of a trigger hold for.  These tell it:
	 * for one xmax, transactions only leave the set of those that run, so an
	 * equal count of them is an equal set; and a subtransaction commits only
	 * with its parent.
	 */
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	CommandId	curcid;
};

#define SH_PREFIX		memo
#define SH_ELEMENT_TYPE	MemoCell
#define SH_KEY_TYPE		MemoEntry *
#define SH_KEY			entry
#define SH_HASH_KEY(tb, entry) hash_value(&memo_binding(tb)->key_type, (entry)->key)
#define SH_EQUAL(tb, a, b) same_value(&memo_binding(tb)->key_type, (a)->key, (b)->key)
#define memo_binding(tb) ((TrackBinding *) (tb)->private_data)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A track that is looked for. */
typedef struct TrackKey
{
	TrackBinding *binding;
	Relation	track;
	Datum		key;
} TrackKey;

static bool
is_track(void *arg, HeapTuple tuple)
{
	TrackKey   *wanted = arg;
	TrackBinding *binding = wanted->binding;
	bool		isnull;
	Datum		found = heap_getattr(tuple, binding->track_key,
									 RelationGetDescr(wanted->track), &isnull);

	return !isnull &&
		DatumGetBool(FunctionCall2Coll(&binding->key_equal,
									   binding->key_collation, found,
									   wanted->key));
}

/*
 * index_serves
 *		May the track table's index be used?
 *
 * An index built over broken HOT chains serves only snapshots newer than
 * itself, as the planner knows too (get_relation_info).  Until then, and that
 * is until older transactions are gone, there is but the table.
 */
static inline bool
index_serves(TrackBinding *binding)
{
	return !TransactionIdIsValid(binding->index_xmin) ||
		TransactionIdPrecedes(binding->index_xmin, TransactionXmin);
}

/*
 * init_scan_key
 *		"column = key", for the track table's index or for the table itself.
 */
static void
init_scan_key(TrackBinding *binding, AttrNumber column, Datum key,
			  ScanKey scankey)
{
	ScanKeyEntryInitializeWithInfo(scankey, 0, column, BTEqualStrategyNumber,
								   binding->key_subtype,
								   binding->key_collation,
								   &binding->key_equal, key);
}

/*
 * fetch_track
 *		Fetch the track from a heap table: from where it was found last, by this
 *		backend or, where hints are shared, by another, if it is still there,
 *		for its key is unique; or by the index, if that serves.
 *
 * Returns the buffer that the tuple points into, pinned, or InvalidBuffer.
 */
static Buffer
fetch_track(TrackBinding *binding, Relation track, Snapshot snapshot,
			Datum key, uint32 hash, HeapTuple tuple)
{
	TrackKey	wanted = {binding, track, key};
	Relation	index;
	IndexScanDesc scan;
	ScanKeyData scankey;
	ItemPointerData root;
	Buffer		buffer;

	buffer = row_hint_fetch(track, hash, snapshot, 0, is_track, &wanted, tuple,
							&root);
	if (BufferIsValid(buffer) || !index_serves(binding))
		return buffer;

	index = index_open(binding->index_oid, AccessShareLock);
	scan = begin_index_scan(track, index, snapshot, 1);
	init_scan_key(binding, 1, key, &scankey);
	index_rescan(scan, &scankey, 1, NULL, 0);
	buffer = fetch_next(scan, ForwardScanDirection, NULL, 0, tuple, &root);
	if (BufferIsValid(buffer))
		row_hint_remember(track, hash, &root, &tuple->t_self, buffer);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return buffer;
}

/*
 * search_track
 *		Search for the track in a table of another access method, or without
 *		the index.
 */
static bool
search_track(TrackBinding *binding, Relation track, Snapshot snapshot,
			 Datum key, TupleTableSlot *row)
{
	ScanKeyData scankey;
	bool		found;

	if (index_serves(binding))
	{
		Relation	index = index_open(binding->index_oid, AccessShareLock);
		IndexScanDesc scan = begin_index_scan(track, index, snapshot, 1);

		init_scan_key(binding, 1, key, &scankey);
		index_rescan(scan, &scankey, 1, NULL, 0);
		found = index_getnext_slot(scan, ForwardScanDirection, row);
		index_endscan(scan);
		index_close(index, AccessShareLock);
	}
	else
	{
		TableScanDesc scan;

		init_scan_key(binding, binding->track_key, key, &scankey);
		scan = begin_table_scan(track, snapshot, 1, &scankey);
		found = table_scan_getnextslot(scan, ForwardScanDirection, row);

		/* What the row points to is a part of the scan. */
		if (found)
			ExecMaterializeSlot(row);
		table_endscan(scan);
	}
	return found;
}

/*
 * is_deleted
 *		Does the track's deletion column say that it is gone?
 */
static bool
is_deleted(TrackBinding *binding, HeapTuple tuple, TupleDesc desc)
{
	Datum		deleted;
	bool		isnull;

	if (binding->track_deleted == InvalidAttrNumber)
		return false;
	deleted = heap_getattr(tuple, binding->track_deleted, desc, &isnull);
	if (isnull)
		return false;
	return binding->deleted_is_flag ? DatumGetBool(deleted) : true;
}

/*
 * read_track
 *		The answer that a track's row gives.
 */
static void
read_track(TrackBinding *binding, HeapTuple tuple, TupleDesc desc,
		   Answer *answer)
{
	Datum		release;

	answer->known = true;
	if (is_deleted(binding, tuple, desc))
		return;
	release = heap_getattr(tuple, binding->track_release, desc,
						   &answer->isnull);
	if (answer->isnull)
		return;
	if (binding->release_typmod >= 0)
		release = fit_release(binding, release);
	answer->release = datumCopy(release, binding->release_byval,
								binding->release_len);
}

/*
 * look_up_track
 *		Look up a track by its key, as the snapshot has it.
 *
 * Fills in known, isnull and release, which is copied to the current memory
 * context.
 */
static void
look_up_track(TrackBinding *binding, Snapshot snapshot, Datum key, uint32 hash,
			  Answer *answer)
{
	Relation	track = table_open(binding->track_relid, NoLock);
	TupleDesc	desc = RelationGetDescr(track);
	HeapTupleData tuple;
	Buffer		buffer = InvalidBuffer;

	answer->known = false;
	answer->isnull = true;

	if (binding->track_is_heap)
		buffer = fetch_track(binding, track, snapshot, key, hash, &tuple);
	if (BufferIsValid(buffer))
	{
		read_track(binding, &tuple, desc, answer);
		ReleaseBuffer(buffer);
	}
	else if (!binding->track_is_heap || !index_serves(binding))
	{
		TupleTableSlot *row = table_slot_create(track, NULL);

		if (search_track(binding, track, snapshot, key, row))
		{
			bool		should_free;
			HeapTuple	found = ExecFetchSlotHeapTuple(row, false,
													   &should_free);

			read_track(binding, found, desc, answer);
			if (should_free)
				heap_freetuple(found);
		}
		ExecDropSingleTupleTableSlot(row);
	}
	table_close(track, NoLock);
}

/*
 * is_altered_since
 *		Was the track table altered by a transaction that the snapshot doesn't
 *		see?
 */
static inline bool
is_altered_since(TrackBinding *binding, Snapshot snapshot)
{
	return TransactionIdIsNormal(binding->altered_by) &&
		XidInMVCCSnapshot(binding->altered_by, snapshot) &&
		!TransactionIdIsCurrentTransactionId(binding->altered_by);
}

/*
 * probe_track
 *		look_up_track, for a snapshot that may be older than the table's file.
 *
 * A table that was rewritten by ALTER TABLE or REPACK (CONCURRENTLY), or
 * filled anew after TRUNCATE, is empty to snapshots older than that: not only
 * to those of long transactions, but to that of a statement which has waited
 * here for the table.  No play is to be lost by that, nor its release, so what
 * such a snapshot doesn't show is looked for as of now.
 */
static void
probe_track(TrackBinding *binding, Snapshot snapshot, Datum key, uint32 hash,
			Answer *answer)
{
	look_up_track(binding, snapshot, key, hash, answer);
	if (!answer->known && is_altered_since(binding, snapshot))
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		look_up_track(binding, snapshot, key, hash, answer);
		UnregisterSnapshot(snapshot);
	}
}

/*
 * statement_memo
 *		The memo of the running statement, for this trigger.
 */
static ReleaseMemo *
statement_memo(FmgrInfo *flinfo, TriggerData *trigdata, Snapshot snapshot)
{
	ReleaseMemo *memo = flinfo->fn_extra;

	if (memo == NULL)
	{
		memo = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ReleaseMemo));
		flinfo->fn_extra = memo;
	}

	/* Same statement and nothing was altered meanwhile: the answers hold. */
	if (memo->binding != NULL && memo->binding->head.valid &&
		memo->xmin == snapshot->xmin && memo->xmax == snapshot->xmax &&
		memo->xcnt == snapshot->xcnt && memo->curcid == snapshot->curcid)
	{
		if (memo->context == NULL)
			memo->context = AllocSetContextCreate(flinfo->fn_mcxt,
												  "playevent releases",
												  ALLOCSET_DEFAULT_SIZES);
		else if (MemoryContextMemAllocated(memo->context, false) < MEMO_MAX_SIZE)
			return memo;
		MemoryContextReset(memo->context);
		memo->entries = memo_create(memo->context, 64, memo->binding);
		return memo;
	}

	if (memo->context != NULL)
	{
		MemoryContextDelete(memo->context);
		memo->context = NULL;
		memo->entries = NULL;
	}
	memo->binding = track_binding(trigdata->tg_relation, trigdata->tg_trigger);
	memo->xmin = snapshot->xmin;
	memo->xmax = snapshot->xmax;
	memo->xcnt = snapshot->xcnt;
	memo->curcid = snapshot->curcid;
	return memo;
}

/*
 * make_entry
 *		An entry of the memo, in the current memory context.
 */
static MemoEntry *
make_entry(TrackBinding *binding, Datum key, Answer *answer)
{
	Size		size = binding->key_type.byval ? 0 :
	datumGetSize(key, false, binding->key_type.len);
	MemoEntry  *entry = palloc(MAXALIGN(sizeof(MemoEntry)) + size);

	entry->key = key;
	if (!binding->key_type.byval)
	{
		entry->key = PointerGetDatum((char *) entry +
									 MAXALIGN(sizeof(MemoEntry)));
		memcpy(DatumGetPointer(entry->key), DatumGetPointer(key), size);
	}
	entry->answer = *answer;
	if (!answer->isnull)
		entry->answer.release = datumCopy(answer->release,
										  binding->release_byval,
										  binding->release_len);
	return entry;
}

/*
 * find_release
 *		Answer from the memo, or by a probe.  A key that the memo has, or has
 *		from now on, becomes the memo's.
 */
static void
find_release(ReleaseMemo *memo, Snapshot snapshot, Datum *key, Answer *answer)
{
	TrackBinding *binding = memo->binding;
	MemoEntry	wanted = {.key = *key};
	uint32		hash = hash_value(&binding->key_type, *key);
	MemoEntry  *entry;
	MemoCell   *cell;
	MemoryContext oldcontext;
	bool		found;

	/* Most statements insert one row; they need no hash table. */
	if (memo->entries == NULL)
	{
		probe_track(binding, snapshot, *key, hash, answer);
		return;
	}

	cell = memo_lookup_hash(memo->entries, &wanted, hash);
	if (cell != NULL)
		entry = cell->entry;
	else
	{
		probe_track(binding, snapshot, *key, hash, answer);

		oldcontext = MemoryContextSwitchTo(memo->context);
		entry = make_entry(binding, *key, answer);
		memo_insert_hash(memo->entries, entry, hash, &found);
		MemoryContextSwitchTo(oldcontext);
	}
	*key = entry->key;
	*answer = entry->answer;
}

/*
 * release_memo
 *		A memo for many keys that a trigger would look up in this snapshot, in
 *		the current memory context.  Returns with the track table locked.
 *
 * Errors: what track_binding reports.
 */
ReleaseMemo *
release_memo(Relation event, Trigger *trigger, Snapshot snapshot)
{
	ReleaseMemo *memo = palloc0(sizeof(ReleaseMemo));

	memo->context = CurrentMemoryContext;
	memo->binding = track_binding(event, trigger);
	memo->entries = memo_create(memo->context, 64, memo->binding);
	memo->event = event;
	memo->trigger = trigger;
	memo->snapshot = snapshot;
	return memo;
}

/*
 * release_columns
 *		The columns of the log by which the memo looks up, and that it is for.
 */
void
release_columns(ReleaseMemo *memo, AttrNumber *key, AttrNumber *release)
{
	*key = memo->binding->event_key;
	*release = memo->binding->event_release;
}

/*
 * check_unaltered
 *		Check that what the memo was made for still is: code of the log's owner,
 *		as that of a default, may have altered the trigger or the track table
 *		since, and have it bound so.
 */
static void
check_unaltered(ReleaseMemo *memo)
{
	TrackBinding *before = memo->binding;
	TrackBinding *now;

	if (before->head.valid)
		return;
	now = track_binding(memo->event, memo->trigger);
	if (now->track_relid != before->track_relid ||
		now->track_key != before->track_key ||
		now->track_release != before->track_release ||
		now->track_deleted != before->track_deleted ||
		now->event_key != before->event_key ||
		now->event_release != before->event_release)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("trigger \"%s\" of table \"%s\" was altered while a batch was recorded",
						memo->trigger->tgname,
						RelationGetRelationName(memo->event))));
	memo->binding = now;
}

/*
 * release_of
 *		What the trigger would put into a row of this key, which is not null
 *		and not empty; false if it would refuse the row.
 *
 * The key becomes the memo's, so that equal ones are in one place; and so are
 * the releases of one track.
 */
bool
release_of(ReleaseMemo *memo, Datum *key, Datum *release, bool *isnull)
{
	Answer		answer = {0};

	check_unaltered(memo);
	if (memo->binding->key_type.is_string)
		*key = PointerGetDatum(PG_DETOAST_DATUM_PACKED(*key));
	find_release(memo, memo->snapshot, key, &answer);
	*release = answer.release;
	*isnull = answer.isnull;
	return answer.known || !memo->binding->reject_unknown;
}

/*
 * reject_unknown_track
 *		The error of unknown_track => 'reject': as a foreign key would say it.
 */
static void
reject_unknown_track(TriggerData *trigdata, TrackBinding *binding, Datum key)
{
	Relation	rel = trigdata->tg_relation;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
										  binding->event_key - 1);
	Oid			output;
	bool		isvarlena;

	getTypeOutputInfo(att->atttypid, &output, &isvarlena);
	report_fault(binding->event_key == binding->event_release ?
				 FAULT_UNKNOWN_RELEASE : FAULT_UNKNOWN_TRACK,
				 rel, binding->event_key,
				 psprintf("Key (%s)=(%s) is not present in table \"%s\".",
						  NameStr(att->attname),
						  OidOutputFunctionCall(output, key),
						  get_rel_name(binding->track_relid)));
}

/*
 * is_restored
 *		Does a dump bring the row?  So does COPY; of INSERT, a session tells
 *		that a dump's script is run in it, by a setting that nobody else has
 *		use for.
 */
static bool
is_restored(void)
{
	if (ActivePortal == NULL)
		return false;
	return ActivePortal->commandTag == CMDTAG_COPY ||
		(ActivePortal->commandTag == CMDTAG_INSERT && !check_function_bodies);
}

/*
 * warn_of_restored_release
 *		Say that a release was brought that is not the track's: of COPY once a
 *		statement, of INSERT once a session.
 *
 * An application's is ignored without a word, but a dump's was recorded when
 * the track was played, and is about to be lost.
 */
static void
warn_of_restored_release(TriggerData *trigdata, ReleaseMemo *memo)
{
	static List *inserted = NIL;
	Oid			trigger = trigdata->tg_trigger->tgoid;

	/* Where a release is what was looked up, it is the same or spelt anew. */
	if (memo->warned || !is_restored() ||
		memo->binding->event_key == memo->binding->event_release)
		return;
	memo->warned = true;
	if (ActivePortal->commandTag == CMDTAG_INSERT)
	{
		MemoryContext oldcontext;

		if (list_member_oid(inserted, trigger))
			return;
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		inserted = lappend_oid(inserted, trigger);
		MemoryContextSwitchTo(oldcontext);
	}
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("releases brought to table \"%s\" were replaced",
					RelationGetRelationName(trigdata->tg_relation)),
			 errdetail("Trigger \"%s\" takes them from table \"%s\", as it is now.",
					   trigdata->tg_trigger->tgname,
					   get_rel_name(memo->binding->track_relid)),
			 errhint("To restore them as they were, restore the table together with its data, or use --disable-triggers, as a superuser if it has foreign keys.")));
}

/*
 * playevent.resolve(track, track key, track release, track deleted or '',
 *					 record | reject, key column, release column)
 *		returns trigger
 *
 * BEFORE INSERT FOR EACH ROW: sets the release column to the release of the
 * row's track, whatever the client put there; to null if the track is loose,
 * deleted or unknown.
 *
 * Errors: an empty key (23514); an unknown track, under reject (23503); a release that
 * is too long for the column (22001, 22003), or none where its domain takes no null
 * (23502); and what track_binding reports.
 */
Datum
playevent_resolve(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	TrackBinding *binding;
	ReleaseMemo *memo;
	Snapshot	snapshot;
	Datum		key;
	bool		key_isnull;
	Answer		answer = {0};
	HeapTuple	tuple;

	trigdata = check_trigger_call(fcinfo, "resolve",
								  "BEFORE INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_BEFORE);

	/* The executor and COPY both run with the statement's snapshot active. */
	snapshot = GetActiveSnapshot();
	memo = statement_memo(fcinfo->flinfo, trigdata, snapshot);
	binding = memo->binding;

	key = slot_getattr(trigdata->tg_trigslot, binding->event_key, &key_isnull);
	answer.isnull = true;
	if (!key_isnull)
	{
		if (binding->key_type.is_string)
		{
			struct varlena *string = PG_DETOAST_DATUM_PACKED(key);

			if (is_empty_key(string))
				report_fault(FAULT_EMPTY_KEY, trigdata->tg_relation,
							 binding->event_key, NULL);
			key = PointerGetDatum(string);
		}
		find_release(memo, snapshot, &key, &answer);
		if (!answer.known && binding->reject_unknown)
			reject_unknown_track(trigdata, binding, key);
	}
	/* else: the column's NOT NULL constraint has the word, later */

	if (answer.isnull && binding->release_not_null)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("column \"%s\" of table \"%s\" is of a domain that takes no null",
						NameStr(TupleDescAttr(RelationGetDescr(trigdata->tg_relation),
											  binding->event_release - 1)->attname),
						RelationGetRelationName(trigdata->tg_relation)),
				 errdetail("The track has no release."),
				 errtablecol(trigdata->tg_relation, binding->event_release)));
	tuple = replace_column(trigdata, binding->event_release, answer.release,
						   answer.isnull);
	if (tuple != trigdata->tg_trigtuple &&
		!slot_attisnull(trigdata->tg_trigslot, binding->event_release))
		warn_of_restored_release(trigdata, memo);
	return PointerGetDatum(tuple);
}
