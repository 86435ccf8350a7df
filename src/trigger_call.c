/*-------------------------------------------------------------------------
 *
 * trigger_call.c
 *	  How a trigger function is called, and what it gives back.
 *
 * Layer: triggers' words.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "trigger_call.h"

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
 * Like heap_modify_tuple, but that the row's values are at hand in the trigger's
 * TupleTableSlot, or will be as soon as somebody asks.
 */
HeapTuple
replace_column(TriggerData *trigdata, AttrNumber attno, Datum value,
			   bool isnull)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Form_pg_attribute att = TupleDescAttr(desc, attno - 1);
	TupleTableSlot *row = trigdata->tg_trigslot;
	int			column = attno - 1;
	HeapTuple	tuple;
	Datum		sent;
	bool		sent_isnull;

	slot_getallattrs(row);
	sent = row->tts_values[column];
	sent_isnull = row->tts_isnull[column];
	if (sent_isnull ? isnull :
		!isnull && datum_image_eq(sent, value, att->attbyval, att->attlen))
		return trigdata->tg_trigtuple;

	row->tts_values[column] = value;
	row->tts_isnull[column] = isnull;
	tuple = heap_form_tuple(desc, row->tts_values, row->tts_isnull);
	row->tts_values[column] = sent;
	row->tts_isnull[column] = sent_isnull;
	return tuple;
}
