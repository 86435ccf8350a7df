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

extern int64 rebuild_counter(Relation event, CounterBinding *binding,
							 int64 *lacking);
extern int64 add_amounts_of(CounterBinding *binding, const char *query,
							Oid rows, const Verdicts *verdicts,
							bool negative);
extern void check_all_counted(Relation event);

#endif							/* PLAYEVENT_MAINTENANCE_H */
