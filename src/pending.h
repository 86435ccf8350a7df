/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  A transaction's pending counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_PENDING_H
#define PLAYEVENT_PENDING_H

#include "executor/tuptable.h"

#include "counter_binding.h"

extern void pending_init(void);
extern void pending_add(CounterBinding *binding, Datum *values, bool *isnull,
						Datum amount);
extern void pending_add_rows(CounterBinding *binding, TupleTableSlot *row,
							 int64 n);
extern void pending_flush(Oid log_relid);
extern bool pending_outside(SlotBinding *slot);

#endif							/* PLAYEVENT_PENDING_H */
