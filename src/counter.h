/*-------------------------------------------------------------------------
 *
 * counter.h
 *	  A transaction's pending counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_COUNTER_H
#define PLAYEVENT_COUNTER_H

#include "executor/tuptable.h"

#include "binding.h"

extern void counter_init(void);
extern void counter_add(CounterBinding *binding, Datum *values, bool *isnull,
						int64 n);
extern void counter_add_listeners(CounterBinding *binding, Datum *values,
								  bool *isnull, Datum listeners,
								  bool is_sketch);
extern void counter_add_plays(CounterBinding *binding, TupleTableSlot *row,
							  int64 n);
extern void counter_add_listener(CounterBinding *binding, TupleTableSlot *row);
extern void counter_flush(Oid log_relid);
extern bool counter_pending_outside(SlotBinding *slot);

#endif							/* PLAYEVENT_COUNTER_H */
