/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What SQL is told of a log's triggers, the only catalog that playevent has;
 *	  and whether all they name is there (P10).
 *
 * Layer: commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/tuplestore.h"

#include "as_owner.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "day.h"
#include "key_binding.h"
#include "track_binding.h"
#include "trigger_argument.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_check_log);
PG_FUNCTION_INFO_V1(playevent_triggers);
PG_FUNCTION_INFO_V1(playevent_trigger_arguments);
PG_FUNCTION_INFO_V1(playevent_named_table);
PG_FUNCTION_INFO_V1(playevent_named_by);
PG_FUNCTION_INFO_V1(playevent_enabled_as_made);
PG_FUNCTION_INFO_V1(playevent_as_made);

/*
 * binding_check
 *		Look up what all of a log's triggers stand for, so that whoever makes
 *		a log hears of a mistake at once.
 *
 * An invalidation may free what event->trigdesc points to, hence the copy.
 */
static void
binding_check(Relation event)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		TriggerRole role = role_of(trigger);

		if (role == ROLE_RESOLVE)
			(void) track_binding(event, trigger);
		else if (role == ROLE_DAY)
		{
			DayColumns	columns;

			day_columns(event, trigger, &columns);
		}
		else if (role == ROLE_COUNT)
			(void) counter_binding(event, trigger);
		else if (role == ROLE_DEDUPE)
			(void) key_binding(event, trigger);
	}
}

/*
 * playevent.check_log(event regclass) returns void
 *
 * Reports what would keep the log's triggers from working: see track_binding,
 * counter_binding and key_binding for the errors.
 */
Datum
playevent_check_log(PG_FUNCTION_ARGS)
{
	TriggerDesc *triggers;
	Relation	event = open_counted_log(PG_GETARG_OID(0), &triggers);
	OwnerScope	outer;

	check_log_owner(event);
	owner_enter(event->rd_rel->relowner, &outer);
	binding_check(event);
	owner_leave(&outer);
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}

/*
 * playevent.triggers(rel regclass)
 *		returns table(name name, function regproc, enabled "char",
 *					  tgargs bytea, type int2, plain boolean)
 *
 * What pg_trigger says of a table; plain is a trigger without a condition or
 * columns, and that can't wait.  Takes no lock on the table.
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
		Datum		values[lengthof(columns) + 1];
		bool		isnull[lengthof(columns) + 1] = {false};

		for (int i = 0; i < (int) lengthof(columns); i++)
			values[i] = heap_getattr(tuple, columns[i],
									 RelationGetDescr(pg_trigger), &isnull[i]);
		values[lengthof(columns)] = BoolGetDatum(is_plain(pg_trigger, tuple));
		isnull[lengthof(columns)] = false;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 isnull);
	}
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return (Datum) 0;
}

/*
 * playevent.trigger_arguments(tgargs bytea) returns text[]
 *
 * Takes pg_trigger.tgargs apart: strings in the database's encoding, each
 * with a zero byte behind it.  None, if they are more than ours can be.
 *
 * Errors: ill-encoded text (22021).
 */
Datum
playevent_trigger_arguments(PG_FUNCTION_ARGS)
{
	ArrayBuildState *result = initArrayResult(TEXTOID, CurrentMemoryContext,
											  false);
	bytea	   *tgargs;
	char	   *next;
	char	   *end;

	if (!arguments_fit(PG_GETARG_DATUM(0)))
		PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
	tgargs = PG_GETARG_BYTEA_PP(0);
	next = VARDATA_ANY(tgargs);
	end = next + VARSIZE_ANY_EXHDR(tgargs);
	while (next < end)
	{
		int			length = strnlen(next, end - next);

		pg_verifymbstr(next, length, false);
		result = accumArrayResult(result,
								  PointerGetDatum(cstring_to_text_with_len(next, length)),
								  false, TEXTOID, CurrentMemoryContext);
		next += length + 1;
	}
	PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
}

/*
 * playevent.named_table(name text, schema oid) returns regclass
 *
 * The table that a trigger's argument names, with the log's schema for names
 * without one; null if there is none, or if it isn't a name.  Asks for no
 * rights, since the names are there for all to see in pg_trigger.
 */
Datum
playevent_named_table(PG_FUNCTION_ARGS)
{
	Oid			namespace;
	Oid			relid = named_relation(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   PG_GETARG_OID(1), &namespace);

	if (!OidIsValid(relid))
		PG_RETURN_NULL();
	PG_RETURN_OID(relid);
}

/*
 * playevent.named_by(rel oid, name text) returns regclass
 *
 * The same for a trigger of that table: without a schema, one of the table's own;
 * for a shard, that one's shard beside it.
 */
Datum
playevent_named_by(PG_FUNCTION_ARGS)
{
	Oid			namespace;
	Oid			relid = table_named_by(PG_GETARG_OID(0),
									   text_to_cstring(PG_GETARG_TEXT_PP(1)),
									   &namespace);

	if (!OidIsValid(relid))
		PG_RETURN_NULL();
	PG_RETURN_OID(relid);
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
		enabled = enabled_as_made(trigger);
	table_close(pg_trigger, AccessShareLock);
	if (enabled == 0)
		PG_RETURN_NULL();
	PG_RETURN_CHAR(enabled);
}

/*
 * playevent.as_made(trigger oid) returns boolean
 *
 * Does a trigger of playevent's fire for all that it is made for, and is it
 * enabled as it was made?  Null for other triggers, and for those that are
 * there to be inherited.
 */
Datum
playevent_as_made(PG_FUNCTION_ARGS)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	trigger = copy_trigger(pg_trigger, PG_GETARG_OID(0));
	char		enabled = 0;
	bool		as_made = false;

	if (trigger != NULL)
		enabled = enabled_as_made(trigger);
	if (enabled != 0)
		as_made = form_of(trigger)->tgenabled == enabled &&
			fires_as_made(pg_trigger, trigger);
	table_close(pg_trigger, AccessShareLock);
	if (enabled == 0)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(as_made);
}
