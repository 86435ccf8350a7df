/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  Notices partitions that come to a log or leave it, and triggers that
 *	  are enabled in another way than they were made.
 *
 * Row triggers are inherited by partitions and dropped from them, the trigger
 * against TRUNCATE is not; rows that come with a table that is attached have not
 * been counted; and what partitions' triggers are enabled for is not what their
 * parents' are (see triggers.c).  Restoring data with --disable-triggers leaves
 * triggers enabled, but not ALWAYS.  Here the commands are recognised, and
 * partitions refused that can't keep what a log promises.  Everything else that is
 * done to tables passes at the cost of a glance at its parse tree.
 *
 * The tables are named as in the command, so the search_path that is in force
 * finds the same ones; the command has locked them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "triggers.h"

PG_FUNCTION_INFO_V1(playevent_watch_partitions);

/*
 * named_table
 *		The table of that name.  Without a check of rights on the schema, of which
 *		the command needed fewer.
 */
static Oid
named_table(RangeVar *name, bool missing_ok)
{
	Oid			relid;

	if (name->schemaname != NULL)
		relid = get_relname_relid(name->relname,
								  LookupNamespaceNoError(name->schemaname));
	else
		relid = RangeVarGetRelid(name, NoLock, true);
	if (!OidIsValid(relid) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name->relname)));
	return relid;
}

/*
 * call
 *		Call a function of the install script with a table, or two.
 */
static void
call(const char *query, int nargs, Oid first, Oid second)
{
	Oid			argtypes[] = {REGCLASSOID, REGCLASSOID};
	Datum		args[] = {ObjectIdGetDatum(first), ObjectIdGetDatum(second)};
	char		nulls[] = {' ', OidIsValid(second) ? ' ' : 'n'};

	if (SPI_execute_with_args(query, nargs, argtypes, args, nulls, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", query);
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
 * added
 *		A table became a partition, or another kind of child.
 *
 * IF NOT EXISTS (may_be_old) may have found it there, with plays coming in.
 */
static void
added(Oid part, bool may_be_old)
{
	bool		is_log;
	Oid			log;
	bool		changed;

	/* Then it is not the child that the command would have made. */
	if (may_be_old && !has_superclass(part))
		return;

	log = log_of_partition(part, &is_log);
	if (is_log)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is a log, or has one among its partitions, and cannot be a part of another table",
						get_rel_name(part)),
				 errhint("Attach the other table as a log, once the triggers whose names start with \"playevent_\" are dropped from this one.")));
	if (OidIsValid(log))
		check_fit(part, log);
	changed = settle_triggers(part, true, true);
	if (changed || !may_be_old)
		call("SELECT playevent.partition_added($1, $2)", 2, part, log);
}

static void
added_by(CreateStmt *command, RangeVar *name)
{
	if (command->inhRelations != NIL)
		added(named_table(name, false), command->if_not_exists);
}

static void
inherited(AlterTableStmt *command)
{
	Oid			altered = named_table(command->relation, command->missing_ok);

	if (OidIsValid(altered))
		added(altered, false);
}

/*
 * settle
 *		See to triggers that ALTER TABLE enabled: all of them (as_made), or one.
 */
static void
settle(AlterTableStmt *command, bool as_made)
{
	Oid			altered = named_table(command->relation, command->missing_ok);

	if (OidIsValid(altered))
		(void) settle_triggers(altered, command->relation->inh, as_made);
}

static void
altered_by(AlterTableStmt *command)
{
	ListCell   *lc;

	foreach(lc, command->cmds)
	{
		AlterTableCmd *change = lfirst_node(AlterTableCmd, lc);

		switch (change->subtype)
		{
			case AT_AttachPartition:
				added(named_table(((PartitionCmd *) change->def)->name, false),
					  false);
				break;
			case AT_AddInherit:
				inherited(command);
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				call("SELECT playevent.partition_removed($1)", 1,
					 named_table(((PartitionCmd *) change->def)->name, false),
					 InvalidOid);
				break;
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
				settle(command, true);
				break;
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableReplicaTrig:
				settle(command, false);
				break;
			default:
				break;
		}
	}
}

/*
 * playevent.watch_partitions() returns event_trigger
 *
 * ON ddl_command_end: sees to a table that became a partition, by CREATE TABLE …
 * PARTITION OF or ATTACH PARTITION, or another child; to one that no longer is;
 * and to triggers that were enabled.
 *
 * Errors: a log as a part of another table, or a child of a log that is no
 * partition, or a foreign or unlogged one (0A000).
 */
Datum
playevent_watch_partitions(PG_FUNCTION_ARGS)
{
	Node	   *command;
	ListCell   *lc;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"playevent.watch_partitions\" was not called by event trigger manager")));
	command = ((EventTriggerData *) fcinfo->context)->parsetree;

	SPI_connect();
	if (IsA(command, CreateStmt) || IsA(command, CreateForeignTableStmt))
		/* The latter starts with the former. */
		added_by((CreateStmt *) command, ((CreateStmt *) command)->relation);
	else if (IsA(command, CreateSchemaStmt))
	{
		CreateSchemaStmt *schema = (CreateSchemaStmt *) command;

		foreach(lc, schema->schemaElts)
		{
			RangeVar   *name;

			if (!IsA(lfirst(lc), CreateStmt))
				continue;
			name = copyObject(((CreateStmt *) lfirst(lc))->relation);
			name->schemaname = schema->schemaname != NULL ?
				schema->schemaname : get_rolespec_name(schema->authrole);
			added_by(lfirst(lc), name);
		}
	}
	else if (IsA(command, AlterTableStmt))
		altered_by((AlterTableStmt *) command);
	SPI_finish();

	PG_RETURN_NULL();
}
