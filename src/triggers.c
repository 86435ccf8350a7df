/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  Which triggers a table has, and who may make them (P1, P8).
 *
 * What is found here is true at this moment, for catalogs are read here as
 * Postgres reads them.  A query on pg_trigger in a transaction with a snapshot of its own
 * would tell of triggers as they once were: whoever kept an old snapshot could
 * get past the check, or leave a partition without its guard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/reltrigger.h"

#include "binding.h"
#include "compat.h"
#include "playevent.h"

PG_FUNCTION_INFO_V1(playevent_triggers);
PG_FUNCTION_INFO_V1(playevent_check_trigger_owner);

/*
 * playevent.triggers(rel regclass)
 *		returns table(name name, function regproc, enabled "char",
 *					  tgargs bytea, tgtype smallint)
 *
 * What pg_trigger says of a table.  Takes no lock on the table.
 */
Datum
playevent_triggers(PG_FUNCTION_ARGS)
{
	static const int columns[] = {
		Anum_pg_trigger_tgname, Anum_pg_trigger_tgfoid,
		Anum_pg_trigger_tgenabled, Anum_pg_trigger_tgargs,
		Anum_pg_trigger_tgtype
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	pg_trigger;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	InitMaterializedSRF(fcinfo, 0);
	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(PG_GETARG_OID(0)));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[lengthof(columns)];
		bool		isnull[lengthof(columns)];

		for (int i = 0; i < (int) lengthof(columns); i++)
			values[i] = heap_getattr(tuple, columns[i],
									 RelationGetDescr(pg_trigger), &isnull[i]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 isnull);
	}
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return (Datum) 0;
}

/*
 * table_of
 *		The table that a trigger is on.
 */
static Oid
table_of(Oid trigger)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find tuple for trigger %u", trigger);
	relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);

	return relid;
}

/* Does the trigger act with the rights of the table's owner? */
static bool
acts_as_owner(Trigger *trigger)
{
	return trigger_calls(trigger, playevent_resolve) ||
		trigger_counts(trigger) ||
		trigger_calls(trigger, playevent_flush);
}

static bool
is_guard(Trigger *trigger)
{
	return trigger_calls(trigger, playevent_append_only) ||
		trigger_calls(trigger, playevent_slot_guard);
}

/*
 * check_made
 *		Check that whoever made this trigger may have done so.
 *
 * Which trigger it replaced, if any, is not to be known any more.  But each
 * table of a log has several, so the others tell.
 */
static void
check_made(Oid trigger_oid, bool may_replace)
{
	Oid			relid = table_of(trigger_oid);
	Relation	rel;
	TriggerDesc *triggers;

	if (relation_ownercheck(relid, GetUserId()))
		return;

	/* The command has locked it. */
	rel = relation_open(relid, NoLock);
	triggers = CopyTriggerDesc(rel->trigdesc);
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgoid == trigger_oid && acts_as_owner(trigger))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s",
							RelationGetRelationName(rel)),
					 errdetail("Trigger \"%s\" acts with its owner's rights.",
							   trigger->tgname),
					 errtable(rel)));
		if (may_replace && trigger->tgoid != trigger_oid &&
			(acts_as_owner(trigger) || is_guard(trigger)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s",
							RelationGetRelationName(rel)),
					 errdetail("CREATE OR REPLACE TRIGGER could replace a trigger of playevent's, as \"%s\" is one.",
							   trigger->tgname),
					 errhint("Say CREATE TRIGGER."),
					 errtable(rel)));
	}
	relation_close(rel, NoLock);
}

/*
 * playevent.check_trigger_owner() returns event_trigger
 *
 * ON ddl_command_end: refuses triggers that call playevent's functions, and
 * CREATE OR REPLACE TRIGGER where there are some, to anyone but the table's
 * owner (42501).
 */
Datum
playevent_check_trigger_owner(PG_FUNCTION_ARGS)
{
	Node	   *command;
	bool		may_replace;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"playevent.check_trigger_owner\" was not called by event trigger manager")));
	command = ((EventTriggerData *) fcinfo->context)->parsetree;
	may_replace = IsA(command, CreateTrigStmt) &&
		((CreateTrigStmt *) command)->replace;

	/* By name, it could be another table by now. */
	SPI_connect();
	if (SPI_execute("SELECT classid, objid FROM pg_catalog.pg_event_trigger_ddl_commands()",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		if (DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull)) == TriggerRelationId)
			check_made(DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull)),
					   may_replace);
	}
	SPI_finish();

	PG_RETURN_NULL();
}
