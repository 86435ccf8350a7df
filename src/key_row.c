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
 * event_id looks for its row, by the id in the partition that the time is of.
 *
 * Where that can't be told, the row counts as there, as one does that was retired:
 * a sealed partition keeps its place (retire.c).
 *
 * Nothing of anybody's runs: the index is one of integers, without a predicate.
 * Nobody is waited for: a partition that is locked against reading is being sealed,
 * retired or altered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "heap_fetch.h"
#include "key_binding.h"
#include "key_row.h"
#include "trigger_role.h"

/* What is looked for. */
typedef struct SoughtRow
{
	const char *id_column;
	const char *created_column;
	Oid			id_type;
	int64		id;
	Datum		created;
	Snapshot	snapshot;
} SoughtRow;

static bool may_be_below(const SoughtRow *sought, Oid relid);

/*
 * find_id
 *		Is there a row with the id, by an index on it?
 */
static bool
find_id(const SoughtRow *sought, Relation rel, Relation index)
{
	IndexScanDesc scan = begin_index_scan(rel, index, sought->snapshot, 1);
	HeapTupleData tuple;
	ItemPointerData root;
	ScanKeyData key;
	Buffer		buffer;

	if (sought->id_type == INT8OID)
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(sought->id));
	else if (sought->id_type == INT4OID)
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(sought->id));
	else
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT2EQ,
					Int16GetDatum(sought->id));
	index_rescan(scan, &key, 1, NULL, 0);
	buffer = fetch_next(scan, ForwardScanDirection, NULL, 0, &tuple, &root);
	if (buffer != InvalidBuffer)
		ReleaseBuffer(buffer);
	index_endscan(scan);
	return buffer != InvalidBuffer;
}

/*
 * may_be_in
 *		Is the row in this table, which has no partitions, for all that can be told?
 */
static bool
may_be_in(const SoughtRow *sought, Relation rel)
{
	AttrNumber	id = get_attnum(RelationGetRelid(rel), sought->id_column);
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		has_trigger(RelationGetRelid(rel), ROLE_SEAL))
		return true;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		serves = index->rd_index->indisvalid &&
		index->rd_index->indkey.values[0] == id &&
		index->rd_rel->relam == BTREE_AM_OID &&
		index->rd_opfamily[0] == INTEGER_BTREE_FAM_OID &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
		bool		found = serves && find_id(sought, rel, index);

		index_close(index, AccessShareLock);
		if (serves)
			return found;
	}
	return true;
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
	int			n = parts->nparts;
	Oid		   *oids;

	if (key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
		key->partattrs[0] == created)
	{
		Oid			part = partition_of(sought, key, parts);

		return !OidIsValid(part) || may_be_below(sought, part);
	}

	/* Opening others may replace the list. */
	oids = palloc(n * sizeof(Oid));
	memcpy(oids, parts->oids, n * sizeof(Oid));
	for (int i = 0; i < n; i++)
	{
		if (may_be_below(sought, oids[i]))
			return true;
	}
	return false;
}

static bool
may_be_below(const SoughtRow *sought, Oid relid)
{
	Relation	rel;
	bool		found;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
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
 *		Is the row of this id and time in the log, or was it retired?
 *
 * In a snapshot that has all that has been committed, and what this transaction
 * has inserted so far, with the rows of the statement that is running.
 */
bool
key_row_exists(KeyBinding *keys, int64 id, Datum created)
{
	SoughtRow	sought = {.id_type = keys->id_type,.id = id,.created = created};
	bool		found;

	sought.id_column = get_attname(keys->event_relid,
								   keys->event_attnos[KEY_ID], false);
	sought.created_column = get_attname(keys->event_relid,
										keys->event_attnos[KEY_CREATED], false);
	CommandCounterIncrement();
	sought.snapshot = RegisterSnapshot(GetLatestSnapshot());
	found = may_be_below(&sought, keys->log_relid);
	UnregisterSnapshot(sought.snapshot);
	return found;
}
