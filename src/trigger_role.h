/*-------------------------------------------------------------------------
 *
 * trigger_role.h
 *	  Which of playevent's triggers a trigger is, and what it is enabled for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TRIGGER_ROLE_H
#define PLAYEVENT_TRIGGER_ROLE_H

#include "access/htup_details.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/* What a trigger of playevent's does. */
typedef enum TriggerRole
{
	ROLE_NONE,					/* it is not one of ours */
	ROLE_APPEND_ONLY,
	ROLE_SLOT_GUARD,
	ROLE_RESOLVE,
	ROLE_DAY,
	ROLE_COUNT,
	ROLE_FLUSH,
	ROLE_PARTITION,				/* the log is partitioned by time */
	ROLE_SEAL,					/* the partition takes no rows any more */
	ROLE_DEDUPE,				/* known event_ids are left out */
	ROLE_JUDGE					/* a table of verdicts */
} TriggerRole;

/* A function in C that triggers of a role call. */
typedef struct TriggerFunction
{
	PGFunction	address;
	const char *name;			/* in schema playevent */
	TriggerRole role;
	const struct AmountKind *kind;	/* of amounts, if it counts */
} TriggerFunction;

extern void trigger_role_init(const TriggerFunction *ours, int n);
extern const TriggerFunction *trigger_functions(int *n);
extern const TriggerFunction *find_trigger_function(Oid function);
extern const TriggerFunction *trigger_function_named(const char *name);
extern bool trigger_fires(Trigger *trigger);
extern bool resolves_releases(Trigger *trigger);

/* Of triggers as pg_trigger has them */
extern HeapTuple copy_trigger(Relation pg_trigger, Oid trigger);
extern List *copy_triggers(Relation pg_trigger, Oid relid);
extern List *copy_triggers_as(Relation pg_trigger, Oid relid,
							  Snapshot snapshot);
extern Oid	made_on(Oid trigger, bool missing_ok);
extern Oid	log_of_partition(Oid relid, bool *is_log);
extern bool is_plain(Relation pg_trigger, HeapTuple trigger);
extern char enabled_as_made(HeapTuple trigger);
extern bool fires_as_made(Relation pg_trigger, HeapTuple trigger);
extern bool find_guard(Oid relid, NameData *guard, bool *is_slots);
extern bool is_append_only(Oid relid);
extern bool is_slot_table(Oid relid);
extern bool has_trigger(Oid relid, TriggerRole role);

static inline Form_pg_trigger
form_of(HeapTuple trigger)
{
	return (Form_pg_trigger) GETSTRUCT(trigger);
}

static inline TriggerRole
role_of(Trigger *trigger)
{
	const TriggerFunction *function = find_trigger_function(trigger->tgfoid);

	return function == NULL ? ROLE_NONE : function->role;
}

/* Is it fired for each row that is to be inserted, and has a say in it? */
static inline bool
makes_new_rows(Trigger *trigger)
{
	return TRIGGER_FOR_INSERT(trigger->tgtype) &&
		TRIGGER_FOR_ROW(trigger->tgtype) &&
		TRIGGER_FOR_BEFORE(trigger->tgtype);
}

/* What it adds up, if it counts; else NULL. */
static inline const struct AmountKind *
amount_kind_of(Trigger *trigger)
{
	const TriggerFunction *function = find_trigger_function(trigger->tgfoid);

	return function == NULL ? NULL : function->kind;
}

static inline TriggerRole
role_of_row(HeapTuple trigger)
{
	const TriggerFunction *function = find_trigger_function(form_of(trigger)->tgfoid);

	return function == NULL ? ROLE_NONE : function->role;
}

/* Is it fired for rows that are inserted? */
static inline bool
is_for_new_rows(HeapTuple trigger)
{
	return TRIGGER_FOR_ROW(form_of(trigger)->tgtype) &&
		TRIGGER_FOR_INSERT(form_of(trigger)->tgtype);
}

#endif							/* PLAYEVENT_TRIGGER_ROLE_H */
