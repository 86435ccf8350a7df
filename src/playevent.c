/*-------------------------------------------------------------------------
 *
 * playevent.c
 *	  Module entry of playevent: an append-only play log with exact counters.
 *
 * The parts: append_only.c refuses changes to the log, release.c fills in a
 * play's release, day.c its day, counter.c gathers what a transaction counts,
 * sketch.c whom, slot.c writes that without waiting, record.c records batches,
 * direct.c inserts them, binding.c and its like turn trigger arguments into
 * relations, maintenance.c compares counters with their log and merges slots,
 * top.c adds up charts, partition.c notices partitions that come and go,
 * triggers.c what triggers are enabled for and who makes them, sticky.c
 * remembers where rows were found, fetch.c fetches them.
 *
 * Nothing lives in shared memory and nothing needs preloading: the library
 * comes in with the first trigger a backend fires, and registers its
 * callbacks then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "binding.h"
#include "counter.h"
#include "playevent.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	binding_init();
	counter_init();
}

/*
 * check_trigger_call
 *		Check that a trigger function was called as it is meant to be.
 *
 * function and usage are for the message.  Of the event, only the bits in
 * mask are compared with expected.
 */
TriggerData *
check_trigger_call(FunctionCallInfo fcinfo, const char *function,
				   const char *usage, TriggerEvent mask, TriggerEvent expected)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"playevent.%s\" was not called by trigger manager",
						function)));

	if ((trigdata->tg_event & mask) != expected)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" on table \"%s\" fires function \"playevent.%s\" at the wrong event",
						trigdata->tg_trigger->tgname,
						RelationGetRelationName(trigdata->tg_relation),
						function),
				 errhint("It must be created %s.", usage)));

	return trigdata;
}

/*
 * replace_column
 *		The row of a BEFORE ROW trigger with another value in a column, or as it
 *		is if it has that.
 *
 * Like heap_modify_tuple, but that the row's values are in the trigger's table
 * slot, or will be as soon as somebody asks.
 */
HeapTuple
replace_column(TriggerData *trigdata, AttrNumber attno, Datum value,
			   bool isnull)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Form_pg_attribute att = TupleDescAttr(desc, attno - 1);
	TupleTableSlot *slot = trigdata->tg_trigslot;
	int			column = attno - 1;
	HeapTuple	tuple;
	Datum		sent;
	bool		sent_isnull;

	slot_getallattrs(slot);
	sent = slot->tts_values[column];
	sent_isnull = slot->tts_isnull[column];
	if (sent_isnull ? isnull :
		!isnull && datum_image_eq(sent, value, att->attbyval, att->attlen))
		return trigdata->tg_trigtuple;

	slot->tts_values[column] = value;
	slot->tts_isnull[column] = isnull;
	tuple = heap_form_tuple(desc, slot->tts_values, slot->tts_isnull);
	slot->tts_values[column] = sent;
	slot->tts_isnull[column] = sent_isnull;
	return tuple;
}
