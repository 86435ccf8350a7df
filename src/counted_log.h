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

/* The table of a log's verdicts (verdict.c). */
typedef struct Verdicts
{
	Oid			relid;			/* InvalidOid if there is none */
	NameData	id_column;		/* of the log */
} Verdicts;

extern Relation open_counted_log(Oid relid, TriggerDesc **triggers);
extern Relation open_distributed_log(Oid relid, TriggerDesc **triggers);
extern void check_log_owner(Relation event);
extern CounterBinding *next_counter(Relation event, TriggerDesc *triggers,
									int *position);
extern Relation open_own_counter(Oid relid, Oid slot,
								 CounterBinding **binding);
extern Oid	find_own_table(Relation event, const char *function, Oid relid);
extern void find_verdicts(Relation event, Verdicts *verdicts);
extern const char *valid_rows(Oid rows, const Verdicts *verdicts,
							  const char *filter);

#endif							/* PLAYEVENT_COUNTED_LOG_H */
