/*-------------------------------------------------------------------------
 *
 * key_row.c
 *	  Whether the row is in its log that an event_id was written for (P3, P9).
 *
 * Layer: storage.
 *
 * An event_id is written before its row, which may then be left out without an
 * error: by a BEFORE ROW trigger of the app's whose name comes behind ours, or
 * ON CONFLICT DO NOTHING because of another unique index.  So whoever finds an
 * event_id looks for its row in the partition that the time is of: by the id, by
 * the time, or by the event_id.  Where no index has that, nor one of the others, or
 * there is such a trigger, which may have given the row another id, all of the
 * partition is read.
 *
 * Where that can't be told, the row counts as there, as one does that was retired: a
 * partition whose seal names no manifest keeps its place (15_retire.sql).
 *
 * Nothing of anybody's runs: indexes are used that are of Postgres's own types, and
 * have no predicate.  Nobody is waited for: a partition, or an index, that is locked
 * against reading is being retired or altered, or somebody waits to do so, who has to
 * wait for what this transaction has locked itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "heap_fetch.h"
#include "integer.h"
#include "key_binding.h"
#include "key_row.h"
#include "trigger_role.h"

/* What is looked for. */
typedef struct SoughtRow
{
	const char *id_column;
	const char *created_column;
	const char *event_id_column;
	Oid			id_type;
	Oid			created_type;
	Datum		id;
	Datum		created;
	Datum		event_id;
	bool		thorough;		/* read all of a partition, if need be */
	Snapshot	snapshot;
	int64	   *found_id;		/* the row's own, if it is found */
} SoughtRow;

static bool may_be_below(const SoughtRow *sought, Oid relid);

/*
 * lock_at_once
 *		Lock a relation for reading, unless that means to wait.
 *
 * Who writes to it already goes before whoever waits for that.  Until 17 a
 * conditional lock was not to be had then.
 */
static bool
lock_at_once(Oid relid)
{
	if (!has_lock(relid, RowExclusiveLock))
		return ConditionalLockRelationOid(relid, AccessShareLock);
	LockRelationOid(relid, AccessShareLock);
	return true;
}

/*
 * is_indexed_at
 *		Has an index this column at that place, as values of this type are compared?
 */
static bool
is_indexed_at(Relation index, int place, AttrNumber attno, Oid type)
{
	return place < index->rd_index->indnkeyatts &&
		index->rd_index->indkey.values[place] == attno &&
		index->rd_opfamily[place] ==
		lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

/*
 * index_on
 *		Open an index whose first column is this one, of this type, by which its
 *		values are found in all rows; NULL if there is none.  *is_locked is set if
 *		there is one that others have.
 */
static Relation
index_on(Relation rel, AttrNumber attno, Oid type, bool *is_locked)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Oid			oid = lfirst_oid(lc);
		Relation	index = NULL;

		if (lock_at_once(oid))
		{
			index = try_relation_open(oid, NoLock);
			if (index == NULL)
				UnlockRelationOid(oid, AccessShareLock);
		}
		else
			*is_locked = true;
		if (index == NULL)
			continue;
		if (index->rd_index->indisvalid &&
			index->rd_rel->relam == BTREE_AM_OID &&
			is_indexed_at(index, 0, attno, type) &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
			return index;
		relation_close(index, AccessShareLock);
	}
	return NULL;
}

/*
 * is_sought
 *		Has the row the event_id, in this column?  Then its id is taken.
 */
static bool
is_sought(const SoughtRow *sought, Relation rel, AttrNumber attno,
		  HeapTuple row)
{
	bool		isnull;
	Datum		value = heap_getattr(row, attno, RelationGetDescr(rel), &isnull);

	if (isnull || memcmp(DatumGetUUIDP(value), DatumGetUUIDP(sought->event_id),
						 UUID_LEN) != 0)
		return false;
	value = heap_getattr(row, get_attnum(RelationGetRelid(rel),
										 sought->id_column),
						 RelationGetDescr(rel), &isnull);
	if (!isnull)
		*sought->found_id = integer_value(sought->id_type, value);
	return true;
}

/*
 * find_by_keys
 *		Is the row among those that an index finds by these keys?
 */
static bool
find_by_keys(const SoughtRow *sought, Relation rel, Relation index,
			 ScanKey keys, int nkeys)
{
	IndexScanDesc scan = begin_index_scan(rel, index, sought->snapshot, nkeys);
	AttrNumber	attno = get_attnum(RelationGetRelid(rel),
								   sought->event_id_column);
	HeapTupleData row;
	ItemPointerData root;
	Buffer		buffer;
	bool		found = false;

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (!found &&
		   (buffer = fetch_next(scan, ForwardScanDirection, NULL, 0, &row,
								&root)) != InvalidBuffer)
	{
		found = is_sought(sought, rel, attno, &row);
		ReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
	}
	index_endscan(scan);
	return found;
}

static void
set_key(ScanKey key, AttrNumber place, Oid type, Datum value)
{
	ScanKeyInit(key, place, BTEqualStrategyNumber,
				get_opcode(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr),
				value);
}

/*
 * find_by
 *		Is the row there by the value of a column?  *is_indexed is set if an index
 *		has told.
 *
 * A batch has many rows of one time, which an index may tell apart by their ids.
 */
static bool
find_by(const SoughtRow *sought, Relation rel, const char *column, Oid type,
		Datum value, bool *is_indexed, bool *is_locked)
{
	Oid			relid = RelationGetRelid(rel);
	Relation	index = index_on(rel, get_attnum(relid, column), type,
								 is_locked);
	ScanKeyData keys[2];
	bool		found;

	if (index == NULL)
		return false;
	*is_indexed = true;
	set_key(&keys[0], 1, type, value);
	set_key(&keys[1], 2, sought->id_type, sought->id);
	found = (is_indexed_at(index, 1, get_attnum(relid, sought->id_column),
						   sought->id_type) &&
			 find_by_keys(sought, rel, index, keys, 2)) ||
		find_by_keys(sought, rel, index, keys, 1);
	relation_close(index, AccessShareLock);
	return found;
}

/*
 * find_in_all
 *		Is the row there?  Reads all of the table.
 */
static bool
find_in_all(const SoughtRow *sought, Relation rel)
{
	TableScanDesc scan = begin_table_scan(rel, sought->snapshot, 0, NULL);
	AttrNumber	attno = get_attnum(RelationGetRelid(rel),
								   sought->event_id_column);
	HeapTuple	row;
	bool		found = false;

	while (!found && (row = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		found = is_sought(sought, rel, attno, row);
	}
	table_endscan(scan);
	return found;
}

/*
 * may_be_changed
 *		Has the table a trigger, behind ours, that may give rows another id or time?
 */
static bool
may_be_changed(Relation rel)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	bool		behind = false;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		TriggerRole role = role_of(trigger);

		/* They are in the order of their names, in which they fire. */
		if (role == ROLE_DEDUPE)
			behind = true;
		else if (behind && role == ROLE_NONE &&
				 TRIGGER_FOR_ROW(trigger->tgtype) &&
				 TRIGGER_FOR_BEFORE(trigger->tgtype) &&
				 TRIGGER_FOR_INSERT(trigger->tgtype))
			return true;
	}
	return false;
}

/*
 * is_place_of_retired
 *		Is the table there in place of partitions that were retired?
 */
static bool
is_place_of_retired(Relation rel)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (role_of(&triggers->triggers[i]) == ROLE_SEAL &&
			triggers->triggers[i].tgnargs == 0)
			return true;
	}
	return false;
}

/*
 * may_be_in
 *		Is the row in this table, which has no partitions, for all that can be
 *		told?
 */
static bool
may_be_in(const SoughtRow *sought, Relation rel)
{
	bool		by_event_id = false;
	bool		indexed = false;
	bool		locked = false;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		return true;
	if (RelationGetNumberOfBlocks(rel) == 0)
		return is_place_of_retired(rel);
	return find_by(sought, rel, sought->id_column, sought->id_type, sought->id,
				   &indexed, &locked) ||
		find_by(sought, rel, sought->created_column, sought->created_type,
				sought->created, &indexed, &locked) ||
		find_by(sought, rel, sought->event_id_column, UUIDOID,
				sought->event_id, &by_event_id, &locked) ||
		locked || (sought->thorough && !by_event_id &&
				   (!indexed || may_be_changed(rel)) &&
				   find_in_all(sought, rel));
}

/*
 * partition_of
 *		The partition that takes the time; InvalidOid if none does.
 *
 * As get_partition_for_tuple finds it.
 */
static Oid
partition_of(const SoughtRow *sought, PartitionKey key, PartitionDesc parts)
{
	PartitionBoundInfo bounds = parts->boundinfo;
	Datum		values[] = {sought->created};
	bool		equal;
	int			offset;
	int			index;

	if (bounds == NULL)
		return InvalidOid;
	offset = partition_range_datum_bsearch(key->partsupfunc,
										   key->partcollation, bounds, 1,
										   values, &equal);
	index = bounds->indexes[offset + 1];
	if (index < 0)
		index = bounds->default_index;
	return index < 0 ? InvalidOid : parts->oids[index];
}

/*
 * may_be_in_partition
 *		Is the row in a partition of this table, for all that can be told?
 */
static bool
may_be_in_partition(const SoughtRow *sought, Relation rel)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	PartitionDesc parts = RelationGetPartitionDesc(rel, true);
	AttrNumber	created = get_attnum(RelationGetRelid(rel),
									 sought->created_column);

	if (key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
		key->partattrs[0] == created)
	{
		Oid			part = partition_of(sought, key, parts);

		return !OidIsValid(part) || may_be_below(sought, part);
	}

	/* The list lasts as long as the table is open. */
	for (int i = 0; i < parts->nparts; i++)
	{
		if (may_be_below(sought, parts->oids[i]))
			return true;
	}
	return false;
}

static bool
may_be_below(const SoughtRow *sought, Oid relid)
{
	Relation	rel;
	bool		found;

	if (!lock_at_once(relid))
		return true;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return true;
	}
	found = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		may_be_in_partition(sought, rel) : may_be_in(sought, rel);
	relation_close(rel, AccessShareLock);
	return found;
}

/*
 * key_row_exists
 *		Is the row of this event_id, id and time in the log, or was it retired?  *id
 *		is set to the row's own, which a trigger of the app's may have given it.
 *
 * In a snapshot that has all that has been committed, and what this transaction
 * has inserted so far, with the rows of the statement that is running.
 */
bool
key_row_exists(KeyBinding *keys, Datum event_id, int64 *id, Timestamp created,
			   bool thorough)
{
	SoughtRow	sought = {.id_type = keys->id_type,
	.created_type = keys->created_type};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent event_id",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	bool		found;

	sought.id = integer_datum(keys->id_type, *id);
	sought.found_id = id;
	sought.created = TimestampGetDatum(created);
	sought.thorough = thorough;
	sought.event_id = event_id;
	sought.event_id_column = get_attname(keys->event_relid,
										 keys->event_attnos[KEY_EVENT_ID],
										 false);
	sought.id_column = get_attname(keys->event_relid,
								   keys->event_attnos[KEY_ID], false);
	sought.created_column = get_attname(keys->event_relid,
										keys->event_attnos[KEY_CREATED], false);
	CommandCounterIncrement();
	sought.snapshot = RegisterSnapshot(GetLatestSnapshot());
	found = may_be_below(&sought, keys->log_relid);
	UnregisterSnapshot(sought.snapshot);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return found;
}
