/*-------------------------------------------------------------------------
 *
 * next.c
 *	  Functions under another name: the example of an update (next.sh).
 *
 * Layer: module.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

extern Datum playevent_count(PG_FUNCTION_ARGS);
extern Datum playevent_kind_of(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(playevent_count_@SUFFIX@);
PG_FUNCTION_INFO_V1(playevent_kind_of_@SUFFIX@);

Datum
playevent_count_@SUFFIX@(PG_FUNCTION_ARGS)
{
	return playevent_count(fcinfo);
}

Datum
playevent_kind_of_@SUFFIX@(PG_FUNCTION_ARGS)
{
	return playevent_kind_of(fcinfo);
}
