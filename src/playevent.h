/*-------------------------------------------------------------------------
 *
 * playevent.h
 *	  What the modules of playevent share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_H
#define PLAYEVENT_H

#include "commands/trigger.h"
#include "fmgr.h"

/* playevent.c */
extern TriggerData *check_trigger_call(FunctionCallInfo fcinfo,
									   const char *function,
									   const char *usage,
									   TriggerEvent mask,
									   TriggerEvent expected);
extern HeapTuple replace_column(TriggerData *trigdata, AttrNumber attno,
								Datum value, bool isnull);

/* The whole of a trigger's event: operation, level and timing. */
#define TRIGGER_EVENT_WHOLE \
	(TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)

/* The trigger functions; binding.c tells a trigger's part by its function. */
extern Datum playevent_append_only(PG_FUNCTION_ARGS);
extern Datum playevent_slot_guard(PG_FUNCTION_ARGS);
extern Datum playevent_resolve(PG_FUNCTION_ARGS);
extern Datum playevent_day(PG_FUNCTION_ARGS);
extern Datum playevent_count(PG_FUNCTION_ARGS);
extern Datum playevent_sketch(PG_FUNCTION_ARGS);
extern Datum playevent_flush(PG_FUNCTION_ARGS);

#endif							/* PLAYEVENT_H */
