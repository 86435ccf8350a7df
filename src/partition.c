/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  Notices partitions that come to a log or leave it, and triggers that
 *	  are enabled in another way than they were made.
 *
 * Layer: DDL.
 *
 * Row triggers are inherited by partitions and dropped from them, the trigger
 * against TRUNCATE is not; rows that come with a table that is attached have
 * not been counted; and what partitions' triggers are enabled for is not what
 * their parents' are (see settle.c).  Restoring data with --disable-triggers
 * leaves triggers enabled, but not ALWAYS.  Here the commands are recognised,
 * and partitions refused that can't keep what a log promises.  Everything else
 * that is done to tables passes at the cost of a glance at its parse tree.
 *
 * Functions of the install script do what is to be done for a log's partition,
 * each as the owner of the table it is about (P8).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/bufmgr.h"
#include "tcop/deparse_utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "as_owner.h"
#include "compat.h"
#include "ddl.h"
#include "leaving.h"
#include "restore.h"
#include "settle.h"
#include "shard.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_watch_partitions);

/*
 * call_as_owner
 *		Call a function of the install script with a table, as its owner.
 */
static void
call_as_owner(const char *query, Oid table)
{
	Oid			argtype = REGCLASSOID;
	Datum		arg = ObjectIdGetDatum(table);
	OwnerScope	outer;

	owner_enter(owner_of(table), &outer);
	SPI_connect();
	if (SPI_execute_with_args(query, 1, &argtype, &arg, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", query);
	SPI_finish();
	owner_leave(&outer);
}

/*
 * check_fit
 *		Refuse a partition whose rows may change or vanish.
 */
static void
check_fit(Oid part, Oid log)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(part, NoLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);
		bool		is_foreign = get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE;

		if (is_foreign ||
			get_rel_persistence(relid) != RELPERSISTENCE_PERMANENT)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s table \"%s\" cannot be a partition of log \"%s\"",
							is_foreign ? "foreign" : "unlogged",
							get_rel_name(relid), get_rel_name(log)),
					 is_foreign ?
					 errdetail("Its rows could be changed where they are.") :
					 errdetail("Its rows would be lost in a crash, and stay counted.")));
	}
}

/*
 * check_parents
 *		Refuse a table that is a child of a log in another way than as a
 *		partition, which has the log's triggers; or of a slot table.
 */
static void
check_parents(Oid child)
{
	Relation	pg_inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(child));
	scan = systable_beginscan(pg_inherits, InheritsRelidSeqnoIndexId, true,
							  NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;

		if (is_append_only(parent))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" cannot inherit from a log",
							get_rel_name(child)),
					 errdetail("Its rows would be in the log without being counted, and could be changed."),
					 errhint("To spread a log over several tables, partition it.")));
		if (is_slot_table(parent))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("table \"%s\" cannot inherit from slot table \"%s\"",
							get_rel_name(child), get_rel_name(parent)),
					 errdetail("Views would show its rows as if they had been counted.")));
	}
	systable_endscan(scan);
	table_close(pg_inherits, AccessShareLock);
}

/*
 * is_filled
 *		Has the table a block?  Not a query: its snapshot may be older than the
 *		rows.  The command has locked it.
 */
static bool
is_filled(Oid relid)
{
	Relation	rel;
	bool		filled;

	if (get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	rel = table_open(relid, NoLock);
	filled = RelationGetNumberOfBlocks(rel) > 0;
	table_close(rel, NoLock);
	return filled;
}

/*
 * take_in
 *		Make a log's new partition refuse TRUNCATE, and count the rows it
 *		brings.
 */
static void
take_in(Oid part, Oid log)
{
	bool		filled = false;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(part, NoLock, NULL))
	{
		if (is_append_only(log))
			call_as_owner("SELECT playevent.refuse_truncate($1)",
						  lfirst_oid(lc));
		filled |= is_filled(lfirst_oid(lc));
	}
	if (!filled)
		return;

	/* To count them is to lock the slots until the transaction ends (P8). */
	if (!relation_ownercheck(log, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" has rows and cannot become a part of table \"%s\"",
						get_rel_name(part), get_rel_name(log)),
				 errdetail("They would have to be counted, which is for the owner of table \"%s\".",
						   get_rel_name(log)),
				 errhint("Attach it empty, or let that owner attach it.")));
	call_as_owner("SELECT playevent.rebuild($1)", log);
}

/* Indexes have partitions too; and it may have been dropped since. */
static bool
is_table(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	return relkind == RELKIND_RELATION ||
		relkind == RELKIND_PARTITIONED_TABLE ||
		relkind == RELKIND_FOREIGN_TABLE;
}

/*
 * added
 *		A table became a partition, or another kind of child.
 */
static void
added(Oid part)
{
	bool		is_log;
	Oid			log;

	if (!is_table(part))
		return;
	log = log_of_partition(part, &is_log);
	if (is_log)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is a log, or has one among its partitions, and cannot be a part of another table",
						get_rel_name(part)),
				 errhint("Attach the other table as a log, once the triggers whose names start with \"playevent_\" are dropped from this one.")));
	if (OidIsValid(log))
	{
		check_fit(part, log);
		check_none_leaves(part);
		(void) settle_triggers(part, true, true);
		take_in(part, log);
	}
	else
		check_parents(part);
}

/*
 * removed
 *		A table is no partition any more.
 */
static void
removed(Oid part)
{
	ListCell   *lc;

	if (!is_table(part))
		return;
	foreach(lc, find_all_inheritors(part, NoLock, NULL))
	{
		if (is_append_only(lfirst_oid(lc)))
			call_as_owner("SELECT playevent.allow_truncate($1)",
						  lfirst_oid(lc));
	}
}

/*
 * children
 *		The table's own partitions, in order, as a snapshot has it.
 */
static List *
children(Oid parent, Snapshot snapshot)
{
	Relation	pg_inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *oids = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(parent));
	scan = systable_beginscan(pg_inherits, InheritsParentIndexId, true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		oids = lappend_oid(oids,
						   ((Form_pg_inherits) GETSTRUCT(tuple))->inhrelid);
	systable_endscan(scan);
	table_close(pg_inherits, AccessShareLock);
	list_sort(oids, list_oid_cmp);
	return oids;
}

/*
 * only_in
 *		What is in the first list and not in the second; both are in order.
 */
static List *
only_in(List *first, List *second)
{
	List	   *rest = NIL;
	ListCell   *lc = list_head(second);
	ListCell   *candidate;

	foreach(candidate, first)
	{
		while (lc != NULL && lfirst_oid(lc) < lfirst_oid(candidate))
			lc = lnext(second, lc);
		if (lc == NULL || lfirst_oid(lc) != lfirst_oid(candidate))
			rest = lappend_oid(rest, lfirst_oid(candidate));
	}
	return rest;
}

/*
 * moved
 *		The partitions that a command has attached to a table, or detached.
 *
 * Postgres tells which, from 17 on.  Before, they are those that are there and
 * were not, or the other way round.
 */
static List *
moved(Oid parent, ObjectAddress *part, bool attached)
{
	Snapshot	before;
	List	   *old;
	List	   *new;

	if (OidIsValid(part->objectId))
		return list_make1_oid(part->objectId);
	if (!is_table(parent))
		return NIL;
	before = register_snapshot_before();
	old = children(parent, before);
	new = children(parent, NULL);
	UnregisterSnapshot(before);
	return attached ? only_in(new, old) : only_in(old, new);
}

/*
 * What an ALTER TABLE does that matters.  Of a partitioned table, it is
 * collected for each partition that it is passed on to.
 */
typedef enum Change
{
	NO_CHANGE,
	ATTACHES,
	INHERITS,
	DETACHES,
	ENABLES_ALL,
	ENABLES_ONE,
	ADDS_COLUMN
} Change;

static Change
change_by(Node *subcommand)
{
	AlterTableType type = castNode(AlterTableCmd, subcommand)->subtype;

	if (adds_column(type))
		return ADDS_COLUMN;
	switch (type)
	{
		case AT_AttachPartition:
			return ATTACHES;
		case AT_AddInherit:
			return INHERITS;
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
			return DETACHES;
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			return ENABLES_ALL;
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
			return ENABLES_ONE;
		default:
			return NO_CHANGE;
	}
}

static const char *
added_column(Node *subcommand)
{
	return castNode(ColumnDef,
					castNode(AlterTableCmd, subcommand)->def)->colname;
}

/*
 * may_count
 *		May a table that a command gives a column have counters that know it?
 *
 * That is the table that is altered, and not its partitions.  ALTER TYPE ...
 * CASCADE passes on to tables of that type.
 */
static bool
may_count(Oid altered, Oid table)
{
	return table == altered ||
		(get_rel_relkind(altered) == RELKIND_COMPOSITE_TYPE &&
		 OidIsValid(table) && !get_rel_relispartition(table));
}

static void
each(List *parts, void (*see_to) (Oid))
{
	ListCell   *lc;

	foreach(lc, parts)
	{
		see_to(lfirst_oid(lc));
	}
}

/*
 * detached_from
 *		A table has lost a partition, if it was one to lose; one with rows, a log
 *		may not lose (leaving.c).
 */
static void
detached_from(Oid parent, CollectedATSubcmd *subcommand)
{
	List	   *parts = moved(parent, &subcommand->address, false);
	AlterTableCmd *change = castNode(AlterTableCmd, subcommand->parsetree);

	check_detached(parent, parts,
				   change->subtype == AT_DetachPartitionFinalize ||
				   castNode(PartitionCmd, change->def)->concurrent);
	each(parts, removed);
}

static void
altered_by(CollectedCommand *command)
{
	Oid			altered = command->d.alterTable.objectId;
	bool		enables_all = false;
	bool		enables_one = false;
	ListCell   *lc;

	foreach(lc, command->d.alterTable.subcmds)
	{
		CollectedATSubcmd *subcommand = lfirst(lc);

		switch (change_by(subcommand->parsetree))
		{
			case ATTACHES:
				each(moved(altered, &subcommand->address, true), added);
				break;
			case INHERITS:
				added(altered);
				break;
			case DETACHES:
				detached_from(altered, subcommand);
				break;
			case ENABLES_ALL:
				enables_all = true;
				break;
			case ENABLES_ONE:
				enables_one = true;
				break;
			case ADDS_COLUMN:
				if (may_count(altered, subcommand->address.objectId))
					look_at_column(subcommand->address.objectId,
								   added_column(subcommand->parsetree), false,
								   owner_of(altered));
				break;
			case NO_CHANGE:
				break;
		}
	}
	if (enables_all || enables_one)
	{
		RangeVar   *table = castNode(AlterTableStmt, command->parsetree)->relation;
		bool		changed = settle_triggers(altered, table->inh, enables_all);

		/* A shard's are to fire as they do now, whatever they did before. */
		if (enables_all && (changed || shell_of(altered) != altered))
			look_at_enabled(altered);
	}
	foreach(lc, command->d.alterTable.subcmds)
	{
		CollectedATSubcmd *subcommand = lfirst(lc);

		if (change_by(subcommand->parsetree) == ENABLES_ONE)
			enabled_one(altered,
						castNode(AlterTableCmd, subcommand->parsetree)->name);
	}
}

/*
 * makes_child
 *		Does the command make a table that is a child of another?
 */
static bool
makes_child(Node *command)
{
	/* CREATE FOREIGN TABLE starts with a CREATE TABLE. */
	return (IsA(command, CreateStmt) ||
			IsA(command, CreateForeignTableStmt)) &&
		((CreateStmt *) command)->inhRelations != NIL;
}

/*
 * may_matter
 *		Can the command be about a log?  A glance at its parse tree, for every
 *		CREATE TABLE and ALTER TABLE there is.
 */
static bool
may_matter(Node *command)
{
	ListCell   *lc;

	if (IsA(command, CreateSchemaStmt))
	{
		foreach(lc, ((CreateSchemaStmt *) command)->schemaElts)
		{
			if (makes_child(lfirst(lc)))
				return true;
		}
	}
	else if (IsA(command, IndexStmt))
		return !((IndexStmt *) command)->concurrent;
	else if (IsA(command, AlterTableStmt))
	{
		foreach(lc, ((AlterTableStmt *) command)->cmds)
		{
			if (change_by(lfirst(lc)) != NO_CHANGE)
				return true;
		}
	}
	return makes_child(command);
}

/*
 * playevent.watch_partitions() returns event_trigger
 *
 * ON ddl_command_end: sees to a table that became a partition, by CREATE TABLE
 * … PARTITION OF or ATTACH PARTITION, or another child; to one that no longer
 * is; to triggers that were enabled; and to slot tables that have got an index.
 *
 * Errors: a log as a part of another table, or a child of a log that is no
 * partition, or a foreign or unlogged one (0A000); a partition that has rows,
 * and has left its log by hand, or that is still leaving another table (55000).
 */
Datum
playevent_watch_partitions(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = check_event_trigger_call(fcinfo,
														  "watch_partitions");
	ListCell   *lc;

	if (!may_matter(trigdata->parsetree))
		PG_RETURN_NULL();

	/* A table or index that IF NOT EXISTS found there is not among them. */
	foreach(lc, collected_commands())
	{
		CollectedCommand *command = lfirst(lc);

		if (command->type == SCT_AlterTable)
			altered_by(command);
		else if (command->type == SCT_Simple &&
				 makes_child(command->parsetree))
			added(command->d.simple.address.objectId);
		else if (command->type == SCT_Simple &&
				 IsA(command->parsetree, IndexStmt))
			look_at_indexed(IndexGetRelation(command->d.simple.address.objectId,
											 true));
	}

	PG_RETURN_NULL();
}
