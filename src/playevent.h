/*-------------------------------------------------------------------------
 *
 * playevent.h
 *	  The trigger functions, for _PG_init to tell trigger_role.c of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_H
#define PLAYEVENT_H

#include "fmgr.h"

extern Datum playevent_append_only(PG_FUNCTION_ARGS);
extern Datum playevent_slot_guard(PG_FUNCTION_ARGS);
extern Datum playevent_resolve(PG_FUNCTION_ARGS);
extern Datum playevent_day(PG_FUNCTION_ARGS);
extern Datum playevent_count(PG_FUNCTION_ARGS);
extern Datum playevent_sum(PG_FUNCTION_ARGS);
extern Datum playevent_sketch(PG_FUNCTION_ARGS);
extern Datum playevent_flush(PG_FUNCTION_ARGS);
extern Datum playevent_partition(PG_FUNCTION_ARGS);
extern Datum playevent_sealed(PG_FUNCTION_ARGS);
extern Datum playevent_judge(PG_FUNCTION_ARGS);
extern Datum playevent_dedupe(PG_FUNCTION_ARGS);

#endif							/* PLAYEVENT_H */
