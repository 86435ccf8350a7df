/*-------------------------------------------------------------------------
 *
 * trigger_call.h
 *	  How a trigger function is called, and what it gives back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TRIGGER_CALL_H
#define PLAYEVENT_TRIGGER_CALL_H

#include "commands/trigger.h"
#include "fmgr.h"

/* The whole of a trigger's event: operation, level and timing. */
#define TRIGGER_EVENT_WHOLE \
	(TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)

extern TriggerData *check_trigger_call(FunctionCallInfo fcinfo,
									   const char *function,
									   const char *usage,
									   TriggerEvent mask,
									   TriggerEvent expected);
extern HeapTuple replace_column(TriggerData *trigdata, AttrNumber attno,
								Datum value, bool isnull);

#endif							/* PLAYEVENT_TRIGGER_CALL_H */
