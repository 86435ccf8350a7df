/*-------------------------------------------------------------------------
 *
 * count.c
 *	  Promises P3 and P5: the trigger functions of counters.
 *
 * Layer: rows.
 *
 * Those for rows add to what is pending, and that for the statement has it
 * written (pending.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/rel.h"

#include "counter_binding.h"
#include "pending.h"
#include "trigger_call.h"

PG_FUNCTION_INFO_V1(playevent_count);
PG_FUNCTION_INFO_V1(playevent_sum);
PG_FUNCTION_INFO_V1(playevent_sketch);
PG_FUNCTION_INFO_V1(playevent_flush);

/*
 * count_row
 *		What the trigger functions for rows do: add the row to what is pending.
 *
 * The first row of a statement takes the lock that all others rely on.
 */
static inline Datum
count_row(FunctionCallInfo fcinfo, const char *function)
{
	CounterBinding *binding = fcinfo->flinfo->fn_extra;
	TriggerData *trigdata;

	trigdata = check_trigger_call(fcinfo, function,
								  "AFTER INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_AFTER);
	if (binding == NULL || !binding->head.valid)
	{
		binding = counter_binding(trigdata->tg_relation, trigdata->tg_trigger);
		fcinfo->flinfo->fn_extra = binding;
	}
	pending_add_rows(binding, trigdata->tg_trigslot, 1);
	return PointerGetDatum(NULL);
}

/*
 * playevent.count(slot table, count column, key column, ...) returns trigger
 *
 * AFTER INSERT FOR EACH ROW: adds the row to the pending counts.
 *
 * Errors: what counter_binding reports.
 */
Datum
playevent_count(PG_FUNCTION_ARGS)
{
	return count_row(fcinfo, "count");
}

/*
 * playevent.sum(slot table, sum column, summed column, key column, ...)
 *		returns trigger
 *
 * AFTER INSERT FOR EACH ROW: adds the row's integer, if it has one, to the pending
 * sums.
 *
 * Errors: what counter_binding reports; a sum is out of range (22003).
 */
Datum
playevent_sum(PG_FUNCTION_ARGS)
{
	return count_row(fcinfo, "sum");
}

/*
 * playevent.sketch(slot table, sketch column, listener column,
 *					key column, ...) returns trigger
 *
 * AFTER INSERT FOR EACH ROW: adds the row's listener, if it has one, to the
 * pending sketches.
 *
 * Errors: what counter_binding reports; none tells of a listener.
 */
Datum
playevent_sketch(PG_FUNCTION_ARGS)
{
	return count_row(fcinfo, "sketch");
}

/*
 * playevent.flush() returns trigger
 *
 * AFTER INSERT FOR EACH STATEMENT: writes the pending counts.  Where to, the
 * row trigger has found out.
 *
 * Errors: what slot_writer_add reports; and what counter_binding does, if the
 * slot table was altered in this transaction.
 */
Datum
playevent_flush(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;

	trigdata = check_trigger_call(fcinfo, "flush",
								  "AFTER INSERT FOR EACH STATEMENT",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_AFTER);
	pending_flush(RelationGetRelid(trigdata->tg_relation));

	return PointerGetDatum(NULL);
}
