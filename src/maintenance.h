/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *	  Setting a log's counters right.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_MAINTENANCE_H
#define PLAYEVENT_MAINTENANCE_H

#include "counted_log.h"
#include "counter_binding.h"

/* What rebuild_counter has come to, in keys. */
typedef struct Rebuilt
{
	int64		changed;
	int64		lacking;		/* of those, had too little */
	int64		surplus;		/* have more, which can't be taken out */
} Rebuilt;

extern void flush_counter(Relation event, SlotBinding *slot);
extern Rebuilt rebuild_counter(Relation event, CounterBinding *binding);
extern void tell_surplus(Relation event, CounterBinding *binding,
						 Rebuilt rebuilt);
extern int64 add_amounts_of(CounterBinding *binding, const char *query,
							Oid rows, const Verdicts *verdicts,
							bool negative);
extern void check_all_counted(Relation event);

#endif							/* PLAYEVENT_MAINTENANCE_H */
