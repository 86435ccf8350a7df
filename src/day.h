/*-------------------------------------------------------------------------
 *
 * day.h
 *	  The day that a row counts for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_DAY_H
#define PLAYEVENT_DAY_H

#include "commands/trigger.h"

typedef struct DayColumns
{
	AttrNumber	day;
	AttrNumber	happened;		/* null if it was when it was recorded */
	AttrNumber	recorded;
} DayColumns;

extern void day_columns(Relation event, Trigger *trigger, DayColumns *columns);
extern Datum day_of(Relation event, DayColumns *columns, TupleTableSlot *slot,
					bool *isnull);

#endif							/* PLAYEVENT_DAY_H */
