/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  Which triggers a table has, what they are enabled for, and who may make
 *	  them (P1, P7, P8).
 *
 * What is found here is true at this moment, for catalogs are read here as
 * Postgres reads them.  A query on pg_trigger in a transaction with a snapshot of its own
 * would tell of triggers as they once were: whoever kept an old snapshot could
 * get past the check, or leave a partition without its guard.
 *
 * A log's triggers are made to fire ALWAYS, or for rows of this server's own.  But
 * of a partitioned table, triggers that INSERT fires for rows are there to be
 * inherited, and never fire themselves.  They are not enabled, and the copies that
 * partitions with rows have are: for pg_dump restores the triggers of a
 * partitioned table, which has no rows to wait for, maybe before its partitions'
 * rows; but what a partition's triggers are enabled for after those rows, if it is
 * not what its parent's are.  So the rows that pg_restore brings do not count
 * again, however many workers it has.  Levels of partitioned tables take turns
 * with "disabled" and "replica only": a level that is like its parent pg_dump would
 * pass over, and then not know that what is below must wait for what is above.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/reltrigger.h"

#include "binding.h"
#include "compat.h"
#include "playevent.h"
#include "triggers.h"

PG_FUNCTION_INFO_V1(playevent_enabled_as_made);
PG_FUNCTION_INFO_V1(playevent_triggers);
PG_FUNCTION_INFO_V1(playevent_check_trigger_owner);

/*
 * playevent.triggers(rel regclass)
 *		returns table(name name, function regproc, enabled "char",
 *					  tgargs bytea)
 *
 * What pg_trigger says of a table.  Takes no lock on the table.
 */
Datum
playevent_triggers(PG_FUNCTION_ARGS)
{
	static const int columns[] = {
		Anum_pg_trigger_tgname, Anum_pg_trigger_tgfoid,
		Anum_pg_trigger_tgenabled, Anum_pg_trigger_tgargs
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
 * copy_trigger
 *		The trigger's row in pg_trigger, or NULL.
 */
static HeapTuple
copy_trigger(Relation pg_trigger, Oid trigger)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

static inline Form_pg_trigger
form_of(HeapTuple trigger)
{
	return (Form_pg_trigger) GETSTRUCT(trigger);
}

/*
 * copy_triggers
 *		The table's rows in pg_trigger of triggers that call a function in the
 *		extension's schema.
 */
static List *
copy_triggers(Relation pg_trigger, Oid relid)
{
	Oid			ours = get_namespace_oid("playevent", true);
	List	   *triggers = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (get_func_namespace(form_of(tuple)->tgfoid) == ours)
			triggers = lappend(triggers, heap_copytuple(tuple));
	}
	systable_endscan(scan);
	return triggers;
}

/*
 * made_on
 *		The table that a trigger was made on, if this one is a partition's copy;
 *		InvalidOid if the trigger is gone.
 */
static Oid
made_on(Relation pg_trigger, HeapTuple trigger)
{
	while (trigger != NULL && OidIsValid(form_of(trigger)->tgparentid))
		trigger = copy_trigger(pg_trigger, form_of(trigger)->tgparentid);
	return trigger != NULL ? form_of(trigger)->tgrelid : InvalidOid;
}

/*
 * counts_replicated
 *		Does the log count what logical replication brings?
 *
 * That it does not is an argument of the flush trigger, for what a trigger is
 * enabled for is lost when it is disabled.
 */
static bool
counts_replicated(Relation pg_trigger, Oid log)
{
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, log))
	{
		HeapTuple	trigger = lfirst(lc);
		bool		isnull;
		Datum		args = heap_getattr(trigger, Anum_pg_trigger_tgargs,
										RelationGetDescr(pg_trigger), &isnull);

		if (function_is(form_of(trigger)->tgfoid, playevent_flush) &&
			form_of(trigger)->tgnargs == 1 &&
			strcmp(VARDATA_ANY(DatumGetByteaPP(args)), "origin") == 0)
			return false;
	}
	return true;
}

/* Is it fired for rows that are inserted? */
static inline bool
is_for_new_rows(HeapTuple trigger)
{
	return TRIGGER_FOR_ROW(form_of(trigger)->tgtype) &&
		TRIGGER_FOR_INSERT(form_of(trigger)->tgtype);
}

/*
 * enabled_as_made
 *		What a trigger of playevent's is enabled for when all is well; 0 if it
 *		is none, or one that is there to be inherited.
 */
static char
enabled_as_made(Relation pg_trigger, HeapTuple trigger)
{
	Oid			function = form_of(trigger)->tgfoid;

	if (is_for_new_rows(trigger) &&
		get_rel_relkind(form_of(trigger)->tgrelid) == RELKIND_PARTITIONED_TABLE)
		return 0;
	if (function_is(function, playevent_append_only) ||
		function_is(function, playevent_slot_guard))
		return TRIGGER_FIRES_ALWAYS;
	if (function_is(function, playevent_resolve))
		return TRIGGER_FIRES_ON_ORIGIN;
	if (function_is(function, playevent_day) ||
		function_is(function, playevent_count) ||
		function_is(function, playevent_sketch) ||
		function_is(function, playevent_flush))
		return counts_replicated(pg_trigger, made_on(pg_trigger, trigger)) ?
			TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN;
	return 0;
}

/*
 * playevent.enabled_as_made(trigger oid) returns "char"
 *
 * What pg_trigger.tgenabled is for a trigger of playevent's when all is well;
 * null for other triggers, and for those that are there to be inherited.
 */
Datum
playevent_enabled_as_made(PG_FUNCTION_ARGS)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	trigger = copy_trigger(pg_trigger, PG_GETARG_OID(0));
	char		enabled = 0;

	if (trigger != NULL)
		enabled = enabled_as_made(pg_trigger, trigger);
	table_close(pg_trigger, AccessShareLock);
	if (enabled == 0)
		PG_RETURN_NULL();
	PG_RETURN_CHAR(enabled);
}

/*
 * log_of_partition
 *		The log that a partition belongs to, by the triggers that it has
 *		inherited; InvalidOid if it has none.  *is_log is set if it, or a
 *		partition of its own, is a log itself: has triggers for new rows that
 *		were made there.
 */
Oid
log_of_partition(Oid relid, bool *is_log)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	Oid			log = InvalidOid;
	ListCell   *table;
	ListCell   *lc;

	*is_log = false;
	foreach(table, find_all_inheritors(relid, NoLock, NULL))
	{
		foreach(lc, copy_triggers(pg_trigger, lfirst_oid(table)))
		{
			HeapTuple	trigger = lfirst(lc);

			if (!is_for_new_rows(trigger))
				continue;
			if (!OidIsValid(form_of(trigger)->tgparentid))
				*is_log = true;
			else if (lfirst_oid(table) == relid)
				log = made_on(pg_trigger, trigger);
		}
	}
	table_close(pg_trigger, AccessShareLock);
	return log;
}

/*
 * settled
 *		What a trigger is to be enabled for; see settle_triggers.
 */
static char
settled(Relation pg_trigger, HeapTuple trigger, Oid altered, bool as_made)
{
	Form_pg_trigger form = form_of(trigger);
	char		enabled;

	if (is_for_new_rows(trigger))
	{
		if (get_rel_relkind(form->tgrelid) == RELKIND_PARTITIONED_TABLE)
			return list_length(get_partition_ancestors(form->tgrelid)) % 2 == 0 ?
				TRIGGER_DISABLED : TRIGGER_FIRES_ON_REPLICA;

		/* Meant for a level above, as a dump does, and passed down. */
		if (!as_made && form->tgrelid != altered &&
			form->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			return TRIGGER_DISABLED;
	}
	enabled = as_made ? enabled_as_made(pg_trigger, trigger) : 0;
	return enabled != 0 ? enabled : form->tgenabled;
}

/*
 * settle_table
 *		settle_triggers for one table; if not really, only find out.
 */
static bool
settle_table(Relation pg_trigger, Oid relid, Oid altered, bool as_made,
			 bool really)
{
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, relid))
	{
		HeapTuple	trigger = lfirst(lc);
		char		enabled = settled(pg_trigger, trigger, altered, as_made);

		if (enabled == form_of(trigger)->tgenabled)
			continue;
		changed = true;
		if (really)
		{
			form_of(trigger)->tgenabled = enabled;
			CatalogTupleUpdate(pg_trigger, &trigger->t_self, trigger);
			InvokeObjectPostAlterHook(TriggerRelationId,
									  form_of(trigger)->oid, 0);
		}
	}
	if (changed && really)
		CacheInvalidateRelcacheByRelid(relid);
	return changed;
}

/*
 * settle_triggers
 *		See to what a table's triggers of playevent's are enabled for, and those
 *		of its partitions (recurse), after a command that has changed that:
 *		those that are there to be inherited are not enabled; as_made, all
 *		others are as they were made.  Returns whether that was not so.
 *
 * The same as ALTER TABLE, whose lock this takes on tables whose triggers it
 * changes; but it is not up to whoever owns the log or a partition, which may
 * be different roles.
 */
bool
settle_triggers(Oid altered, bool recurse, bool as_made)
{
	Relation	pg_trigger = table_open(TriggerRelationId, RowExclusiveLock);
	bool		changed = false;
	ListCell   *lc;

	/* Most tables are no logs. */
	if (copy_triggers(pg_trigger, altered) != NIL)
	{
		foreach(lc, recurse ? find_all_inheritors(altered, NoLock, NULL) :
				list_make1_oid(altered))
		{
			Oid			relid = lfirst_oid(lc);

			/* A table with nothing to change may be in use. */
			if (!settle_table(pg_trigger, relid, altered, as_made, false))
				continue;
			LockRelationOid(relid, ShareRowExclusiveLock);
			changed |= settle_table(pg_trigger, relid, altered, as_made, true);
		}
	}
	table_close(pg_trigger, RowExclusiveLock);
	if (changed)
		CommandCounterIncrement();
	return changed;
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
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	made = copy_trigger(pg_trigger, trigger_oid);
	Oid			relid;
	Relation	rel;
	TriggerDesc *triggers;

	if (made == NULL)
		elog(ERROR, "could not find tuple for trigger %u", trigger_oid);
	relid = form_of(made)->tgrelid;
	table_close(pg_trigger, AccessShareLock);
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
