/*-------------------------------------------------------------------------
 *
 * verdict.c
 *	  Promise P12: rows of a log that are there and don't count.
 *
 * Layer: commands.
 *
 * A verdict says of a row of the log that it counts, or that it doesn't; the latest
 * one holds.  Verdicts are appended to a table of the log's, with what they do to
 * the counters, in one transaction; so in each snapshot counters are what the rows
 * that count add up to.  Verdicts take turns by a lock on their table, which
 * inserts know nothing of.
 *
 * Those that logical replication brings count where they arrive, as rows of the log
 * do: by a trigger, row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "as_owner.h"
#include "counted_log.h"
#include "guarded_write.h"
#include "maintenance.h"
#include "pending.h"
#include "trigger_argument.h"
#include "trigger_call.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_judge);
PG_FUNCTION_INFO_V1(playevent_count_judged);
PG_FUNCTION_INFO_V1(playevent_add_counted);
PG_FUNCTION_INFO_V1(playevent_flush_counter);
PG_FUNCTION_INFO_V1(playevent_may_write);

/* Columns of a table of verdicts */
#define VERDICT_ID 1
#define VERDICT_EVENT 2

/*
 * playevent.count_judged(event regclass, slot regclass, verdicts text,
 *						  counts boolean)
 *		returns void
 *
 * In a twin: counts the rows that some verdicts are about, which are there by now, in
 * the counter with this slot table; or takes them off it.  Which verdicts, is a
 * condition on "v".
 */
Datum
playevent_count_judged(PG_FUNCTION_ARGS)
{
	Relation	event;
	CounterBinding *binding;
	Verdicts	verdicts;
	Comparison	of;
	StringInfoData query;

	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);
	check_all_counted(event);
	SPI_connect();
	find_verdicts(event, &verdicts);
	describe_comparison(event, binding,
						psprintf("(SELECT l.* FROM %s AS l WHERE l.%s IN"
								 " (SELECT v.event FROM ONLY %s AS v"
								 " WHERE %s)) AS judged",
								 qualified_name(RelationGetRelid(event)),
								 quote_identifier(NameStr(verdicts.id_column)),
								 qualified_name(verdicts.relid),
								 text_to_cstring(PG_GETARG_TEXT_PP(2))),
						&of);
	initStringInfo(&query);
	binding->slot->kind->append_logged(&query, &of);
	(void) add_amounts_of(binding, query.data, RelationGetRelid(event),
						  &verdicts, !PG_GETARG_BOOL(3));
	SPI_finish();
	pending_flush(RelationGetRelid(event));
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}

/*
 * playevent.add_counted(event regclass, slot regclass, rows text,
 *						 counts boolean)
 *		returns void
 *
 * In a twin: adds what a query of counted_rows on the log returns to the counter with
 * this slot table, or takes it off it.
 */
Datum
playevent_add_counted(PG_FUNCTION_ARGS)
{
	Relation	event;
	CounterBinding *binding;
	Verdicts	verdicts;

	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);
	check_all_counted(event);
	SPI_connect();
	find_verdicts(event, &verdicts);
	(void) add_amounts_of(binding, text_to_cstring(PG_GETARG_TEXT_PP(2)),
						  RelationGetRelid(event), &verdicts,
						  !PG_GETARG_BOOL(3));
	SPI_finish();
	pending_flush(RelationGetRelid(event));
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}

/*
 * playevent.flush_counter(event regclass, slot regclass) returns void
 *
 * In a twin: writes what the transaction has counted so far in the counter with this
 * slot table, before that is made anew.
 *
 * Errors: amid a statement that inserts into the log (55006); a transaction around
 * this one has counts pending (55000).
 */
Datum
playevent_flush_counter(PG_FUNCTION_ARGS)
{
	CounterBinding *binding;
	Relation	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1),
										 &binding);

	check_all_counted(event);
	flush_counter(event, binding->slot);
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}

/*
 * playevent.may_write(rel regclass) returns name
 *
 * In a twin: the name of whoever called it, who must have the right INSERT on a
 * table.
 *
 * Errors: he has not (42501); not called by a twin (0A000).
 */
Datum
playevent_may_write(PG_FUNCTION_ARGS)
{
	Oid			role = check_writer(PG_GETARG_OID(0));
	Name		name = palloc(NAMEDATALEN);

	namestrcpy(name, GetUserNameFromId(role, false));
	PG_RETURN_NAME(name);
}

/* Anybody may put the trigger on a table of his that is none of verdicts. */
static bool
has_bigint(Relation rel, AttrNumber attno)
{
	TupleDesc	desc = RelationGetDescr(rel);

	return desc->natts >= attno &&
		TupleDescAttr(desc, attno - 1)->atttypid == INT8OID;
}

/*
 * playevent.judge() returns trigger
 *
 * AFTER INSERT FOR EACH ROW of a table of verdicts: counts the row of the log that
 * the verdict is about, or takes it off the counters, if that is news.  What
 * playevent.void appends, it counts by itself.
 *
 * Errors: the table is not a log's, or not of verdicts (55000); what the counters
 * report.
 */
Datum
playevent_judge(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	Relation	rel;
	TupleTableSlot *row;
	Oid			types[] = {REGCLASSOID, INT8OID, INT8OID};
	Datum		values[3];
	bool		isnull;

	trigdata = check_trigger_call(fcinfo, "judge", "AFTER INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_AFTER);
	rel = trigdata->tg_relation;
	if (is_written_by_us(RelationGetRelid(rel)))
		return PointerGetDatum(NULL);

	row = trigdata->tg_trigslot;
	if (!has_bigint(rel, VERDICT_ID) || !has_bigint(rel, VERDICT_EVENT) ||
		slot_attisnull(row, VERDICT_ID) || slot_attisnull(row, VERDICT_EVENT))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" can't have verdicts",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" takes two columns of type bigint in front, which are not null: the verdict's id and the row's.",
						   trigdata->tg_trigger->tgname),
				 errtable(rel)));
	values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
	values[1] = slot_getattr(row, VERDICT_ID, &isnull);
	values[2] = slot_getattr(row, VERDICT_EVENT, &isnull);
	run_as_twin(rel->rd_rel->relowner,
				"SELECT playevent.judge_replicated($1, $2, $3)", 3, types,
				values);
	return PointerGetDatum(NULL);
}
