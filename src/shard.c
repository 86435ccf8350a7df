/*-------------------------------------------------------------------------
 *
 * shard.c
 *	  Refuses tables of a log that Citus keeps in shards (P13).
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
 * workers that have its metadata (on others their names are unknown).  Shards
 * are not listed.  A trigger on a shard therefore works if all it names is
 * local, and is refused if Citus manages that.
 *
 * The catalog is read as Postgres reads its own, as of now, without a query,
 * and without anything of Citus: where there is no Citus, that is one look into
 * the system cache.  Bindings ask once, so they must hear of changes: Citus
 * invalidates the relation's cache entry whenever it adds or takes out a row,
 * by its functions or by SQL (its trigger on pg_dist_partition), here and, as
 * metadata are synced, on the workers.
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
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "shard.h"

PG_FUNCTION_INFO_V1(playevent_check_no_shell);

/*
 * find_relid_index
 *		The index that finds a row by its column relid, or InvalidOid.
 */
static Oid
find_relid_index(Relation catalog, AttrNumber relid)
{
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(catalog))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		/* One that starts with another opclass doesn't know F_OIDEQ. */
		if (form->indisvalid && form->indkey.values[0] == relid &&
			index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_opcintype[0] == OIDOID &&
			heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
			found = RelationGetRelid(index);
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	return found;
}

/*
 * open_dist_partition
 *		Open the catalog of Citus, or return NULL if there is none.  *relid is
 *		set to the column that says which table a row is about.
 *
 * In pg_catalog only who may modify it can put a table; but what is there may
 * be given to anybody, and its rows then be anybody's claim.
 */
static Relation
open_dist_partition(AttrNumber *relid)
{
	Oid			oid = get_relname_relid("pg_dist_partition",
										PG_CATALOG_NAMESPACE);
	Relation	catalog = NULL;

	if (OidIsValid(oid))
		catalog = try_relation_open(oid, AccessShareLock);
	if (catalog == NULL)
		return NULL;
	*relid = get_attnum(oid, "logicalrelid");
	if (catalog->rd_rel->relkind == RELKIND_RELATION &&
		superuser_arg(catalog->rd_rel->relowner) && *relid > 0 &&
		TupleDescAttr(RelationGetDescr(catalog),
					  *relid - 1)->atttypid == REGCLASSOID)
		return catalog;
	relation_close(catalog, AccessShareLock);
	return NULL;
}

/*
 * is_shell_table
 *		Does Citus manage the table, so that its rows are elsewhere?
 */
bool
is_shell_table(Oid relid)
{
	AttrNumber	attno;
	Relation	catalog = open_dist_partition(&attno);
	Oid			index;
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	if (catalog == NULL)
		return false;
	index = find_relid_index(catalog, attno);
	ScanKeyInit(&key, attno, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, index, OidIsValid(index), NULL, 1,
							  &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	relation_close(catalog, AccessShareLock);
	return found;
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
 * check_no_shell
 *		Check that a table that a log uses, maybe the event table itself, has
 *		its own rows.
 *
 * Errors: Citus manages it (55000).
 */
void
check_no_shell(Oid event, Oid relid)
{
	char	   *schema;
	char	   *name;

	if (!is_shell_table(relid))
		return;
	schema = get_namespace_name(get_rel_namespace(relid));
	name = get_rel_name(relid);
	if (schema == NULL || name == NULL)
		return;					/* dropped; maybe the row is stale */
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
