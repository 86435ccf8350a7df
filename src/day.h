/*-------------------------------------------------------------------------
 *
 * day.h
 *	  The day that a row counts for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_DAY_H
#define PLAYEVENT_DAY_H

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "pgtime.h"

typedef struct DayColumns
{
	AttrNumber	day;
	AttrNumber	happened;		/* null if it was when it was recorded;
								 * InvalidAttrNumber if there is none */
	AttrNumber	recorded;
	pg_tz	   *zone;			/* NULL if it is UTC */
} DayColumns;

/*
 * Is it a type of moments?  A timestamp without time zone is taken as UTC's, of
 * which it has the form.
 */
static inline bool
is_moment(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID;
}

extern void day_columns(Relation event, Trigger *trigger, DayColumns *columns);
extern Datum day_of(Relation event, DayColumns *columns, TupleTableSlot *row,
					bool *isnull);

#endif							/* PLAYEVENT_DAY_H */
