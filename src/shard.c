/*-------------------------------------------------------------------------
 *
 * shard.c
 *	  Finds a log's tables beside one of its shards, and refuses what Citus keeps
 *	  elsewhere (P13).
 *
 * Layer: Postgres.
 *
 * A table that Citus manages has its name, but not its rows: those are in
 * tables of other names, on this node or others, and the planner of Citus sends
 * queries there.  What reads or writes the table itself, as triggers and the
 * bulk insert do, meets the shell: empty, or with the rows that were there when
 * Citus took over.  So a play would vanish, and a release be one of long ago.
 *
 * Such tables are those in pg_catalog.pg_dist_partition: distributed, reference
 * and local ones, and those of distributed schemas, on the coordinator and on
 * workers that have its metadata (on others their names are unknown).
 *
 * Their shards are in pg_catalog.pg_dist_shard.  Citus puts a table's triggers on
 * its shards too, with the arguments that they have, which name other tables that
 * it manages.  What such a name means for a shard is the shard that is beside it:
 * of a table that is distributed in the same way (colocated), the one with the
 * same lowest hash value, which Citus keeps on the same node, wherever it moves
 * the two, and splits with it; of a reference table, the one it has on each node.
 * A shard is called as its table, with its number behind that; the numbers of two
 * shards that are beside each other have nothing to do with each other.  Where
 * there is no such shard, the name means the shell, and that is refused; and so
 * is a table of this node's own, unless the log's is too (a "local table added to
 * metadata"), for the same name is another table elsewhere.
 *
 * The catalogs are read as Postgres reads its own, as of now, without a query,
 * and without anything of Citus: where there is no Citus, that is one look into
 * the system cache.  What they say counts if a superuser owns them, and a shard
 * is one if it has the name that it must have.  Whoever may make tables can make
 * one of such a name on a node where that shard isn't; but it is his, as its log
 * and slots must be (P8).
 *
 * Bindings ask once, so they must hear of changes: Citus invalidates the
 * relation's cache entry whenever it adds or takes out a row, by its functions or
 * by SQL (its trigger on pg_dist_partition), here and, as metadata are synced, on
 * the workers.  A shard that is moved or split is dropped, and others are made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "shard.h"

PG_FUNCTION_INFO_V1(playevent_check_no_shell);
PG_FUNCTION_INFO_V1(playevent_is_managed);
PG_FUNCTION_INFO_V1(playevent_is_distributed);
PG_FUNCTION_INFO_V1(playevent_check_not_distributed);

/* What pg_dist_partition says of a table that Citus manages. */
typedef struct Managed
{
	char		method;			/* DISTRIBUTE_BY_NONE, or others */
	char		model;			/* REPLICATE_TO_ALL, or others */
	int32		colocation;		/* 0 for none */
} Managed;

#define DISTRIBUTE_BY_NONE 'n'
#define DISTRIBUTE_BY_HASH 'h'
#define REPLICATE_TO_ALL 't'

/* What a table is that is a shard. */
typedef struct Shard
{
	Oid			table;			/* its shell */
	Managed		managed;		/* that */
	char	   *minvalue;		/* its lowest hash value; NULL if it has none */
} Shard;

/*
 * find_index
 *		The index that finds a row by a column of type oid or int8, or
 *		InvalidOid.
 */
static Oid
find_index(Relation catalog, AttrNumber column, Oid type)
{
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(catalog))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		/* One that starts with another opclass doesn't know our operator. */
		if (form->indisvalid && form->indkey.values[0] == column &&
			index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_opcintype[0] == type &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
			found = RelationGetRelid(index);
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	return found;
}

/*
 * column_of
 *		A catalog's column of this name and type, or InvalidAttrNumber.
 */
static AttrNumber
column_of(Relation catalog, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(catalog), name);

	return attno > 0 && TupleDescAttr(RelationGetDescr(catalog),
									  attno - 1)->atttypid == type ?
		attno : InvalidAttrNumber;
}

/*
 * open_catalog
 *		Open a catalog of Citus, or return NULL if there is none.
 *
 * In pg_catalog only who may modify it can put a table; but what is there may
 * be given to anybody, and its rows then be anybody's claim.
 */
static Relation
open_catalog(const char *name)
{
	Oid			oid = get_relname_relid(name, PG_CATALOG_NAMESPACE);
	Relation	catalog = NULL;

	if (OidIsValid(oid))
		catalog = try_relation_open(oid, AccessShareLock);
	if (catalog == NULL)
		return NULL;
	if (catalog->rd_rel->relkind == RELKIND_RELATION &&
		superuser_arg(catalog->rd_rel->relowner))
		return catalog;
	relation_close(catalog, AccessShareLock);
	return NULL;
}

/*
 * begin_scan
 *		Begin to read the rows of a catalog with this value in a column, in a
 *		snapshot or as of now (NULL).
 */
static SysScanDesc
begin_scan(Relation catalog, AttrNumber column, Oid type, Datum value,
		   Snapshot snapshot)
{
	Oid			index = find_index(catalog, column, type);
	ScanKeyData key;

	ScanKeyInit(&key, column, BTEqualStrategyNumber,
				type == OIDOID ? F_OIDEQ : F_INT8EQ, value);
	return systable_beginscan(catalog, index, OidIsValid(index), snapshot, 1,
							  &key);
}

/*
 * value_in
 *		What a row of a catalog has in the column of this name; false if that is
 *		null, or there is no such column.
 */
static bool
value_in(Relation catalog, HeapTuple row, const char *name, Oid type,
		 Datum *value)
{
	AttrNumber	attno = column_of(catalog, name, type);
	bool		isnull = true;

	if (attno != InvalidAttrNumber)
		*value = heap_getattr(row, attno, RelationGetDescr(catalog), &isnull);
	return !isnull;
}

/*
 * find_managed
 *		Does Citus manage the table, and how?
 */
static bool
find_managed(Oid relid, Managed *managed)
{
	Relation	catalog = open_catalog("pg_dist_partition");
	AttrNumber	column;
	bool		found = false;

	if (catalog == NULL)
		return false;
	column = column_of(catalog, "logicalrelid", REGCLASSOID);
	if (column != InvalidAttrNumber)
	{
		SysScanDesc scan = begin_scan(catalog, column, OIDOID,
									  ObjectIdGetDatum(relid), NULL);
		HeapTuple	row = systable_getnext(scan);
		Datum		value;

		found = HeapTupleIsValid(row);
		memset(managed, 0, sizeof(Managed));
		if (found && value_in(catalog, row, "partmethod", CHAROID, &value))
			managed->method = DatumGetChar(value);
		if (found && value_in(catalog, row, "repmodel", CHAROID, &value))
			managed->model = DatumGetChar(value);
		if (found && value_in(catalog, row, "colocationid", INT4OID, &value))
			managed->colocation = DatumGetInt32(value);
		systable_endscan(scan);
	}
	relation_close(catalog, AccessShareLock);
	return found;
}

/*
 * is_shell_table
 *		Does Citus manage the table, so that its rows are elsewhere?
 */
bool
is_shell_table(Oid relid)
{
	Managed		managed;

	return find_managed(relid, &managed);
}

/*
 * shard_number
 *		The number that a name ends with; false if it can't be a shard's.
 */
static bool
shard_number(const char *name, int64 *number)
{
	const char *digits = strrchr(name, '_');
	char	   *end;

	if (digits == NULL || digits == name || digits[1] < '1' || digits[1] > '9')
		return false;
	errno = 0;
	*number = strtoll(digits + 1, &end, 10);
	return *end == '\0' && errno == 0;
}

/*
 * shard_name
 *		The name of a table's shard: AppendShardIdToName of Citus.
 */
static char *
shard_name(const char *table, int64 number)
{
	char		ending[NAMEDATALEN];
	int			length = strlen(table);
	int			taken = snprintf(ending, sizeof(ending), "_" INT64_FORMAT,
								 number);

	if (length < NAMEDATALEN - taken)
		return psprintf("%s%s", table, ending);
	return psprintf("%.*s_%.8x%s",
					pg_mbcliplen(table, length, NAMEDATALEN - taken - 10),
					table,
					DatumGetUInt32(hash_any((const unsigned char *) table,
											length)),
					ending);
}

/*
 * has_hash_values
 *		Does the catalog of shards say of what hash values each is?  Without that,
 *		all would look like the only one of their table.
 */
static bool
has_hash_values(Relation catalog)
{
	return column_of(catalog, "shardminvalue", TEXTOID) != InvalidAttrNumber;
}

/*
 * read_shard
 *		What the catalog of shards says of a number, in a snapshot or as of now
 *		(NULL); false if nothing.
 */
static bool
read_shard(Relation catalog, int64 number, Snapshot snapshot, Shard *shard)
{
	AttrNumber	column = column_of(catalog, "shardid", INT8OID);
	SysScanDesc scan;
	HeapTuple	row;
	Datum		value;
	bool		found = false;

	if (column == InvalidAttrNumber || !has_hash_values(catalog))
		return false;
	scan = begin_scan(catalog, column, INT8OID, Int64GetDatum(number), snapshot);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row) &&
		value_in(catalog, row, "logicalrelid", REGCLASSOID, &value))
	{
		shard->table = DatumGetObjectId(value);
		shard->minvalue = value_in(catalog, row, "shardminvalue", TEXTOID,
								   &value) ? TextDatumGetCString(value) : NULL;
		found = true;
	}
	systable_endscan(scan);
	return found;
}

/*
 * await_shard
 *		Wait for a transaction that is about to tell of a shard of this number;
 *		false if there is none.
 *
 * A split commits on one node after another, and whoever knows of the new shard
 * already may send a row to a node that doesn't yet.
 */
static bool
await_shard(Relation catalog, int64 number)
{
	SnapshotData dirty;
	Shard		shard;

	InitDirtySnapshot(dirty);
	if (!read_shard(catalog, number, &dirty, &shard) ||
		!TransactionIdIsValid(dirty.xmin))
		return false;
	XactLockTableWait(dirty.xmin, NULL, NULL, XLTW_None);
	return true;
}

/*
 * find_shard
 *		Is the table a shard, and of which table?
 */
static bool
find_shard(Oid relid, Shard *shard)
{
	char	   *name = get_rel_name(relid);
	char	   *table;
	int64		number;
	Relation	catalog;
	bool		found;

	if (name == NULL || !shard_number(name, &number))
		return false;
	catalog = open_catalog("pg_dist_shard");
	if (catalog == NULL)
		return false;
	do
		found = read_shard(catalog, number, NULL, shard);
	while (!found && await_shard(catalog, number));
	relation_close(catalog, AccessShareLock);

	table = found ? get_rel_name(shard->table) : NULL;
	return table != NULL &&
		get_rel_namespace(shard->table) == get_rel_namespace(relid) &&
		strcmp(shard_name(table, number), name) == 0 &&
		find_managed(shard->table, &shard->managed);
}

/*
 * is_beside
 *		Are all shards of a table beside one of this table's each, or its only one
 *		beside each?
 */
static bool
is_beside(const Managed *mine, const Managed *other)
{
	if (other->method == DISTRIBUTE_BY_NONE)
		return other->model == REPLICATE_TO_ALL ||
			other->colocation == mine->colocation;
	return mine->method == DISTRIBUTE_BY_HASH && other->method == mine->method &&
		mine->colocation != 0 && other->colocation == mine->colocation;
}

/*
 * shard_with
 *		The shard of a table with this lowest hash value, or without any; if it
 *		isn't on this node, InvalidOid.
 */
static Oid
shard_with(Oid table, const char *minvalue)
{
	Relation	catalog = open_catalog("pg_dist_shard");
	AttrNumber	column;
	char	   *name = get_rel_name(table);
	int64		number = 0;
	int			found = 0;

	if (catalog == NULL)
		return InvalidOid;
	column = column_of(catalog, "logicalrelid", REGCLASSOID);
	if (column != InvalidAttrNumber && has_hash_values(catalog) && name != NULL)
	{
		SysScanDesc scan = begin_scan(catalog, column, OIDOID,
									  ObjectIdGetDatum(table), NULL);
		HeapTuple	row;
		Datum		value;

		while (HeapTupleIsValid(row = systable_getnext(scan)))
		{
			bool		has_min = value_in(catalog, row, "shardminvalue", TEXTOID,
										   &value);

			if (has_min != (minvalue != NULL) ||
				(has_min && strcmp(TextDatumGetCString(value), minvalue) != 0))
				continue;
			found++;
			if (value_in(catalog, row, "shardid", INT8OID, &value))
				number = DatumGetInt64(value);
		}
		systable_endscan(scan);
	}
	relation_close(catalog, AccessShareLock);
	return number == 0 || found != 1 ? InvalidOid :
		get_relname_relid(shard_name(name, number), get_rel_namespace(table));
}

/*
 * table_beside
 *		What the name of a table means for another one, by whose trigger it is
 *		named: if that is a shard, and Citus manages the table, its shard that is
 *		beside that, if there is one.  Else the table itself.
 */
Oid
table_beside(Oid relid, Oid named)
{
	Managed		managed;
	Shard		shard;
	Oid			beside;

	if (!find_managed(named, &managed) || !find_shard(relid, &shard) ||
		!is_beside(&shard.managed, &managed))
		return named;
	beside = shard_with(named, managed.method == DISTRIBUTE_BY_NONE ? NULL :
						shard.minvalue);
	return OidIsValid(beside) ? beside : named;
}

/*
 * is_distributed
 *		Does Citus keep the table's rows in shards on its nodes, so that what is
 *		sent to the table by SQL goes there?  *by_column is set if each row's
 *		shard is that of a column, unless NULL.
 *
 * Of a table that Citus has merely taken note of, or keeps on each node, this
 * is not so; nor of a partitioned one, of which it distributes each partition.
 */
bool
is_distributed(Oid relid, bool *by_column)
{
	Managed		managed;

	if (!find_managed(relid, &managed) ||
		get_rel_relkind(relid) != RELKIND_RELATION ||
		get_rel_relispartition(relid))
		return false;
	if (by_column != NULL)
		*by_column = managed.method == DISTRIBUTE_BY_HASH;
	return managed.method == DISTRIBUTE_BY_HASH ||
		(managed.method == DISTRIBUTE_BY_NONE && managed.colocation != 0 &&
		 managed.model != REPLICATE_TO_ALL);
}

/*
 * shell_of
 *		The table that this one is a shard of; or it itself.
 */
Oid
shell_of(Oid relid)
{
	Shard		shard;

	return find_shard(relid, &shard) ? shard.table : relid;
}

/*
 * shell_by_name
 *		The table in one of whose shards this is the name of what the table knows
 *		by another one, as of an index; or of the shard itself, if what is NULL.
 *		InvalidOid if it is no such name.  The shard may be on another node.
 */
Oid
shell_by_name(const char *name, const char *what)
{
	Relation	catalog;
	Shard		shard;
	int64		number;
	bool		found;

	if (!shard_number(name, &number))
		return InvalidOid;
	catalog = open_catalog("pg_dist_shard");
	if (catalog == NULL)
		return InvalidOid;
	found = read_shard(catalog, number, NULL, &shard);
	relation_close(catalog, AccessShareLock);

	if (found && what == NULL)
		what = get_rel_name(shard.table);
	return found && what != NULL && strcmp(shard_name(what, number), name) == 0 ?
		shard.table : InvalidOid;
}

/*
 * is_managed
 *		Is it a table that Citus manages, or a shard of one?
 */
bool
is_managed(Oid relid)
{
	Shard		shard;

	return is_shell_table(relid) || find_shard(relid, &shard);
}

/*
 * is_shard_name
 *		Is it a name such as Citus, if it is there, gives to a shard: the
 *		table's with a number?
 */
bool
is_shard_name(const char *name)
{
	const char *number = strrchr(name, '_');

	return number != NULL && number[1] != '\0' &&
		strspn(number + 1, "0123456789") == strlen(number + 1) &&
		OidIsValid(get_relname_relid("pg_dist_partition",
									 PG_CATALOG_NAMESPACE));
}

/*
 * report_distributed
 *		The error of what is not done in a distributed log: the reason, and what
 *		works.
 */
void
report_distributed(Oid event, const char *reason, const char *way)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("log \"%s\" is distributed by Citus", get_rel_name(event)),
			 errdetail_internal("%s", reason),
			 errhint("%s", way)));
}

/*
 * report_shell
 *		The error of a table that is a shell.
 */
static void
report_shell(Oid event, Oid relid, bool for_shard)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *name = get_rel_name(relid);

	if (schema == NULL || name == NULL)
		return;					/* dropped; maybe the row is stale */
	if (for_shard)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is managed by Citus", name),
				 errdetail("It has no shard beside table \"%s\", which is one itself.",
						   get_rel_name(event)),
				 errhint("Distribute it by the same column as the log, colocated with it, or make it a reference table.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is managed by Citus", name),
			 errdetail("Its rows are in shards, and log \"%s\" would read or write its shell instead.",
					   get_rel_name(event)),
			 errhint("Make it a local table again: SELECT undistribute_table(%s); or, of a distributed schema: SELECT citus_schema_undistribute(%s);",
					 quote_literal_cstr(quote_qualified_identifier(schema, name)),
					 quote_literal_cstr(quote_identifier(schema)))));
}

/*
 * check_no_shell
 *		Check that a table that a log uses, maybe the event table itself, has
 *		its own rows; and if that is a shard, that it is one beside it.
 *
 * Of a log that is a reference table, each node would have counts of its own.
 *
 * Errors: Citus manages it, or not, otherwise (55000).
 */
void
check_no_shell(Oid event, Oid relid)
{
	Shard		shard;
	Shard		other;
	bool		is_shard = find_shard(event, &shard);

	if (is_shell_table(relid))
		report_shell(event, relid, is_shard);
	if (!is_shard)
		return;
	if (shard.managed.model == REPLICATE_TO_ALL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("log \"%s\" is a reference table",
						get_rel_name(shard.table)),
				 errdetail("Citus keeps it on each node, and each would count for itself."),
				 errhint("Make it a local table again, by undistribute_table, and distribute it by playevent.distribute_log.")));
	if (get_rel_relispartition(event) ||
		get_rel_relkind(event) == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is managed by Citus",
						get_rel_name(shard.table)),
				 errdetail("A log that is partitioned can't be distributed."),
				 errhint("Let playevent.distribute_log distribute a log that isn't.")));
	if (relid == event || shard.managed.colocation == 0)
		return;
	if (!find_shard(relid, &other))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not distributed as log \"%s\" is",
						get_rel_name(relid), get_rel_name(shard.table)),
				 errdetail("It is a table of this node alone."),
				 errhint("Let playevent.distribute_log distribute logs.")));
	if (table_beside(event, other.table) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not the shard beside table \"%s\"",
						get_rel_name(relid), get_rel_name(event)),
				 errhint("Name table \"%s\" in the log's triggers.",
						 get_rel_name(other.table))));
}

/*
 * playevent.check_no_shell(event regclass, rel regclass) returns void
 *
 * See check_no_shell.  For create_log and attach_log, which ask before they put
 * triggers on: Citus passes such commands on to other nodes, over connections
 * of its own, and might wait there for locks that this transaction holds.
 *
 * Errors: no such table (42P01), Citus manages it (55000).
 */
Datum
playevent_check_no_shell(PG_FUNCTION_ARGS)
{
	Oid			event = PG_GETARG_OID(0);

	if (get_rel_name(event) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"event\" is %u, which is no table", event)));
	check_no_shell(event, PG_GETARG_OID(1));
	PG_RETURN_VOID();
}

/*
 * playevent.is_managed(rel oid) returns boolean
 *
 * See is_managed.
 */
Datum
playevent_is_managed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_managed(PG_GETARG_OID(0)));
}

/*
 * playevent.is_distributed(event regclass) returns boolean
 *
 * See is_distributed.
 */
Datum
playevent_is_distributed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_distributed(PG_GETARG_OID(0), NULL));
}

/*
 * playevent.check_not_distributed(event regclass, reason text, way text)
 *		returns void
 *
 * For what is not done in a distributed log.
 *
 * Errors: it is one (55000).
 */
Datum
playevent_check_not_distributed(PG_FUNCTION_ARGS)
{
	if (is_distributed(PG_GETARG_OID(0), NULL))
		report_distributed(PG_GETARG_OID(0),
						   text_to_cstring(PG_GETARG_TEXT_PP(1)),
						   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_VOID();
}
