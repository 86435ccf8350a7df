/*-------------------------------------------------------------------------
 *
 * counted_log.h
 *	  A log and its counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_COUNTED_LOG_H
#define PLAYEVENT_COUNTED_LOG_H

#include "counter_binding.h"

extern Relation open_counted_log(Oid relid, TriggerDesc **triggers);
extern void check_log_owner(Relation event);
extern CounterBinding *next_counter(Relation event, TriggerDesc *triggers,
									int *position);

#endif							/* PLAYEVENT_COUNTED_LOG_H */
