/*-------------------------------------------------------------------------
 *
 * slot_binding.h
 *	  A slot table as a counter's trigger describes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SLOT_BINDING_H
#define PLAYEVENT_SLOT_BINDING_H

#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "amount.h"
#include "trigger_argument.h"

/* Columns a counter can group by */
#define COUNTER_MAX_KEYS 8

/*
 * A slot table: where a counter's amounts are stored.  A part of the counter's
 * binding.
 */
typedef struct SlotBinding
{
	Oid			relid;
	Oid			owner;
	MemoryContext context;		/* of all it points to */
	int			nkeys;
	NameData	key_names[COUNTER_MAX_KEYS];
	NameData	amount_name;
	AttrNumber	key_attnos[COUNTER_MAX_KEYS];
	Oid			key_types[COUNTER_MAX_KEYS];
	AttrNumber	amount_attno;
	bool		amount_is_last; /* of all columns, and a bigint */
	bool		key_is_first;	/* and in order: rows begin as keys do */
	const AmountKind *kind;
	void	   *column;			/* what the kind knows of its column */
	TupleDesc	key_desc;		/* the key columns alone, in order */
	Oid			index_oid;
	int			index_nkeys;	/* how many of its leading columns are keys */
	int			index_key[COUNTER_MAX_KEYS];	/* which key column each is */
	Oid			index_collation[COUNTER_MAX_KEYS];
	FmgrInfo	index_equal[COUNTER_MAX_KEYS];
} SlotBinding;

extern void report_out_of_range(SlotBinding *slot);
extern SlotBinding *slot_binding(Relation rel, Relation event,
								 Trigger *trigger, const AmountKind *kind,
								 MemoryContext context);

/*
 * first_key_of
 *		Where in a trigger's arguments the columns that are counted by begin.
 */
static inline int
first_key_of(const AmountKind *kind)
{
	return kind->has_source ? COUNTER_SOURCE + 1 : COUNTER_FIRST_KEY;
}

#endif							/* PLAYEVENT_SLOT_BINDING_H */
