/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  Comparing a counter with its log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_VERIFY_H
#define PLAYEVENT_VERIFY_H

#include "amount.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "utils/portal.h"

/* How many rows there are between two notices of progress. */
#define PROGRESS_ROWS 1000000

extern char *counter_name(CounterBinding *binding);
extern void describe_comparison(Relation event, CounterBinding *binding,
								const char *rows, Comparison *of);
extern void check_amounts(Portal portal, SlotBinding *slot, int namounts,
						  bool are_all);
extern void lock_compared(Relation event, CounterBinding *binding);
extern Portal open_differences(Relation event, CounterBinding *binding,
							   bool tells_progress);

#endif							/* PLAYEVENT_VERIFY_H */
