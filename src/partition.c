/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  Notices partitions that come to a log or leave it, and triggers that
 *	  are enabled in another way than they were made.
 *
 * Row triggers are inherited by partitions and dropped from them, the trigger
 * against TRUNCATE is not; and rows that come with a table that is attached
 * have not been counted.  Restoring data with --disable-triggers leaves triggers
 * enabled, but not ALWAYS; and a partitioned log's own triggers for rows are to
 * be disabled, those of its partitions enabled.  What is to be done about that is
 * in the install script; here the commands are recognised.  Everything else that is done to
 * tables passes at the cost of a glance at its parse tree.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"

PG_FUNCTION_INFO_V1(playevent_watch_partitions);

/*
 * tell
 *		Call a function of the install script with the table's OID.
 *
 * The table is named as in the command, so the search_path that is in force
 * finds the same one; the command has locked it.
 */
static void
tell(const char *call, RangeVar *name)
{
	Oid			argtype = REGCLASSOID;
	Datum		relid;

	relid = ObjectIdGetDatum(RangeVarGetRelid(name, NoLock, true));
	if (!OidIsValid(DatumGetObjectId(relid)))
		return;
	if (SPI_execute_with_args(call, 1, &argtype, &relid, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", call);
}

static void
tell_added(RangeVar *name)
{
	tell("SELECT playevent.partition_added($1, false)", name);
}

/*
 * IF NOT EXISTS may have found the partition there, with plays coming in.
 */
static void
tell_created(CreateStmt *command, RangeVar *name)
{
	if (command->if_not_exists)
		tell("SELECT playevent.partition_added($1, true)", name);
	else
		tell_added(name);
}

static void
tell_removed(RangeVar *name)
{
	tell("SELECT playevent.partition_removed($1)", name);
}

static void
tell_enabled(RangeVar *name, bool all)
{
	if (all)
		tell("SELECT playevent.enable_triggers($1)", name);
	tell("SELECT playevent.leave_to_partitions($1)", name);
}

/*
 * playevent.watch_partitions() returns event_trigger
 *
 * ON ddl_command_end: calls playevent.partition_added for CREATE TABLE …
 * PARTITION OF, ATTACH PARTITION and other inheritance,
 * playevent.partition_removed for DETACH PARTITION,
 * playevent.enable_triggers for ENABLE TRIGGER ALL or USER, and
 * playevent.leave_to_partitions for ENABLE TRIGGER of whatever kind.
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
	if (IsA(command, CreateStmt))
	{
		if (((CreateStmt *) command)->inhRelations != NIL)
			tell_created((CreateStmt *) command,
						 ((CreateStmt *) command)->relation);
	}
	else if (IsA(command, CreateSchemaStmt))
	{
		CreateSchemaStmt *schema = (CreateSchemaStmt *) command;

		foreach(lc, schema->schemaElts)
		{
			RangeVar   *name;

			if (!IsA(lfirst(lc), CreateStmt) ||
				((CreateStmt *) lfirst(lc))->inhRelations == NIL)
				continue;
			name = copyObject(((CreateStmt *) lfirst(lc))->relation);
			name->schemaname = schema->schemaname != NULL ?
				schema->schemaname : get_rolespec_name(schema->authrole);
			tell_created(lfirst(lc), name);
		}
	}
	else if (IsA(command, AlterTableStmt))
	{
		foreach(lc, ((AlterTableStmt *) command)->cmds)
		{
			AlterTableCmd *change = lfirst_node(AlterTableCmd, lc);

			if (change->subtype == AT_AttachPartition)
				tell_added(((PartitionCmd *) change->def)->name);
			else if (change->subtype == AT_AddInherit)
				tell_added(((AlterTableStmt *) command)->relation);
			else if (change->subtype == AT_DetachPartition ||
					 change->subtype == AT_DetachPartitionFinalize)
				tell_removed(((PartitionCmd *) change->def)->name);
			else if (change->subtype == AT_EnableTrigAll ||
					 change->subtype == AT_EnableTrigUser)
				tell_enabled(((AlterTableStmt *) command)->relation, true);
			else if (change->subtype == AT_EnableTrig ||
					 change->subtype == AT_EnableAlwaysTrig ||
					 change->subtype == AT_EnableReplicaTrig)
				tell_enabled(((AlterTableStmt *) command)->relation, false);
		}
	}
	SPI_finish();

	PG_RETURN_NULL();
}
