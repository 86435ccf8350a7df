/*-------------------------------------------------------------------------
 *
 * dedupe.c
 *	  The trigger function dedupe: a play that is sent again is recorded once, in
 *	  a partitioned log too.
 *
 * Layer: rows.
 *
 * A unique index of a partitioned table must have the columns that it is
 * partitioned by, so two partitions may have one event_id.  Hence a table beside
 * the log, the key table (key_table.c), with the event_ids of the time that is
 * kept: longer ago a retry counts again.
 *
 * The event_id is written before the row.  If the row fails, so does the
 * (sub)transaction, and the event_id goes with it.  Where the row is left out
 * without an error, the event_id stays, and is told by that (key_row.c).  A BEFORE
 * ROW trigger of the app's that changes the event_id, the id or the time is to be
 * called by a name before "playevent_".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/rel.h"

#include "integer.h"
#include "key_binding.h"
#include "key_table.h"
#include "trigger_call.h"

PG_FUNCTION_INFO_V1(playevent_dedupe);

/*
 * playevent.dedupe(key table, event_id column, id column, created column,
 *					how long it is kept) returns trigger
 *
 * BEFORE INSERT FOR EACH ROW: leaves the row out if its event_id is in the key
 * table, and else writes it there.  Waits for a transaction that has written it
 * and has not ended, as a unique index does.
 *
 * Errors: what key_binding and key_table_add report.
 */
Datum
playevent_dedupe(PG_FUNCTION_ARGS)
{
	KeyBinding *keys = fcinfo->flinfo->fn_extra;
	TriggerData *trigdata;
	Datum		values[KEY_NCOLUMNS];
	bool		isnull[KEY_NCOLUMNS];

	trigdata = check_trigger_call(fcinfo, "dedupe",
								  "BEFORE INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_BEFORE);
	if (keys == NULL || !keys->head.valid)
	{
		keys = key_binding(trigdata->tg_relation, trigdata->tg_trigger);
		fcinfo->flinfo->fn_extra = keys;
	}

	for (int c = 0; c < KEY_NCOLUMNS; c++)
		values[c] = slot_getattr(trigdata->tg_trigslot, keys->event_attnos[c],
								 &isnull[c]);
	if (isnull[KEY_EVENT_ID])
		return PointerGetDatum(trigdata->tg_trigtuple);
	if (!isnull[KEY_ID])
		values[KEY_ID] = Int64GetDatum(integer_value(keys->id_type,
													 values[KEY_ID]));

	return key_table_add(keys, values, isnull) ?
		PointerGetDatum(trigdata->tg_trigtuple) : PointerGetDatum(NULL);
}
