/*-------------------------------------------------------------------------
 *
 * counter_binding.h
 *	  What the arguments of a trigger that counts stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_COUNTER_BINDING_H
#define PLAYEVENT_COUNTER_BINDING_H

#include "commands/trigger.h"
#include "utils/rel.h"

#include "binding.h"
#include "slot_binding.h"

/* The arguments of a trigger that counts. */
typedef struct CounterBinding
{
	BindingHead head;			/* its key is the trigger */
	Oid			event_relid;
	Oid			log_relid;		/* the log's root, if that is a partition */
	bool		leaves;			/* a partition that is about to leave it */
	int			nkeys;
	AttrNumber	event_attnos[COUNTER_MAX_KEYS];
	AmountSource source;		/* if the kind of amounts has one */
	SlotBinding *slot;			/* NULL while it is looked up */
} CounterBinding;

extern void counter_binding_init(void);
extern CounterBinding *counter_binding(Relation event, Trigger *trigger);
extern bool counter_is_agreed(Relation event, Trigger *trigger);

#endif							/* PLAYEVENT_COUNTER_BINDING_H */
