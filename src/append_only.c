/*-------------------------------------------------------------------------
 *
 * append_only.c
 *	  Promise P1: what is in the log stays as it is.
 *
 * Layer: rows.
 *
 * Triggers are the one place where Postgres lets nobody past: they fire for
 * the owner and for superusers, for MERGE and ON CONFLICT DO UPDATE, for
 * cascades of foreign keys, and, enabled ALWAYS, under
 * session_replication_role = replica.  They hold no state, take no locks and
 * allocate nothing but the error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "replication/logicalworker.h"
#include "utils/rel.h"

#include "guard.h"
#include "guarded_write.h"
#include "trigger_argument.h"
#include "trigger_call.h"

PG_FUNCTION_INFO_V1(playevent_append_only);
PG_FUNCTION_INFO_V1(playevent_slot_guard);

/*
 * operation_name
 *		What SQL calls the operation a trigger fires for.
 */
static const char *
operation_name(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return "INSERT";
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "UPDATE";
	if (TRIGGER_FIRED_BY_DELETE(event))
		return "DELETE";
	return "TRUNCATE";
}

/*
 * playevent.append_only() returns trigger
 *
 * BEFORE UPDATE OR DELETE FOR EACH ROW, and BEFORE TRUNCATE FOR EACH
 * STATEMENT: refuses with restrict_violation (23001), naming the table (a
 * partition, where the row lives in one); but for playevent.forget_listener,
 * which empties one column and changes nothing else.
 */
Datum
playevent_append_only(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	Relation	rel;

	trigdata = check_trigger_call(fcinfo, "append_only",
								  "BEFORE UPDATE OR DELETE FOR EACH ROW or BEFORE TRUNCATE",
								  TRIGGER_EVENT_TIMINGMASK,
								  TRIGGER_EVENT_BEFORE);
	rel = trigdata->tg_relation;

	/* An INSERT is what a log is for; this trigger has no say in it. */
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		check_trigger_call(fcinfo, "append_only",
						   "BEFORE UPDATE OR DELETE FOR EACH ROW or BEFORE TRUNCATE",
						   TRIGGER_EVENT_OPMASK, TRIGGER_EVENT_UPDATE);

	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) && only_empties(trigdata))
		return PointerGetDatum(trigdata->tg_newtuple);
	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 errmsg("table \"%s\" is append-only", RelationGetRelationName(rel)),
			 errdetail("Trigger \"%s\" refuses %s: what has been played stays as it was recorded.",
					   trigdata->tg_trigger->tgname,
					   operation_name(trigdata->tg_event)),
			 errtable(rel)));
	PG_RETURN_NULL();			/* keep compiler quiet */
}

/*
 * is_replicated_verdict
 *		Does logical replication bring a verdict?  A trigger counts it.
 */
static bool
is_replicated_verdict(TriggerData *trigdata)
{
	Trigger    *guard = trigdata->tg_trigger;

	return IsLogicalWorker() && TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
		guard->tgnargs > GUARD_FUNCTION &&
		strcmp(guard->tgargs[GUARD_FUNCTION], "verdict") == 0;
}

/*
 * playevent.slot_guard() returns trigger
 *
 * BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE on a slot table, for each
 * statement, and for each row, which is all that logical replication fires:
 * refuses with restrict_violation (23001).  slot.c writes below the level at
 * which triggers fire.
 *
 * Of counters' slots, and of what else follows from the log, such as event_ids.
 * This is also what keeps a data-only dump from being restored while triggers
 * are enabled: they would count its rows, which its slots hold counted.
 */
Datum
playevent_slot_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	Relation	rel;
	bool		counts;

	trigdata = check_trigger_call(fcinfo, "slot_guard",
								  "BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE",
								  TRIGGER_EVENT_TIMINGMASK,
								  TRIGGER_EVENT_BEFORE);
	rel = trigdata->tg_relation;
	counts = guards_counts(trigdata->tg_trigger);

	if (is_written_by_us(RelationGetRelid(rel)) || is_replicated_verdict(trigdata))
		return PointerGetDatum(TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ?
							   NULL :
							   TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
							   trigdata->tg_newtuple : trigdata->tg_trigtuple);
	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 errmsg("table \"%s\" is written by playevent alone",
					RelationGetRelationName(rel)),
			 errdetail("Trigger \"%s\" refuses %s: %s follow from the log.",
					   trigdata->tg_trigger->tgname,
					   operation_name(trigdata->tg_event),
					   counts ? "the counts in it" : "its rows"),
			 TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
			 TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ?
			 errhint("To restore data alone, use --disable-triggers.%s",
					 counts ? "  To recompute the counts, use playevent.rebuild." : "") :
			 counts ? errhint("To recompute the counts, use playevent.rebuild.") : 0,
			 errtable(rel)));
	PG_RETURN_NULL();			/* keep compiler quiet */
}
