/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Does a table that playevent writes to say too that it is a trigger's?
 *	  (P8, P10)
 *
 * Layer: triggers' words.
 *
 * A trigger's arguments are a claim, and so are those of a guard.  What both
 * say is true, if both tables have one owner, which is to be asked elsewhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guard.h"
#include "trigger_argument.h"
#include "trigger_role.h"

/* A table has two; whose has many more is up to no good. */
#define MAX_GUARDS 16

/*
 * guards_counts
 *		Is it the guard of a counter's slots?  It is until it says that it is
 *		another function's.
 */
bool
guards_counts(Trigger *guard)
{
	const TriggerFunction *function = guard->tgnargs <= GUARD_FUNCTION ? NULL :
	trigger_function_named(guard->tgargs[GUARD_FUNCTION]);

	return function == NULL || function->kind != NULL;
}

/*
 * guard_agrees
 *		Does a guard of the table say that the table is this trigger's?
 *
 * Its arguments are the log, the name of the trigger's function, and what that
 * is called with behind the table, which is the first.
 */
static bool
guard_agrees(Trigger *guard, Relation rel, Oid log, Trigger *trigger,
			 const char *function)
{
	Oid			namespace;

	if (guard->tgnargs != trigger->tgnargs + 1 ||
		strcmp(guard->tgargs[GUARD_FUNCTION], function) != 0 ||
		table_named_by(RelationGetRelid(rel), guard->tgargs[GUARD_LOG],
					   &namespace) != log)
		return false;
	for (int i = 1; i < trigger->tgnargs; i++)
	{
		if (strcmp(guard->tgargs[i + 1], trigger->tgargs[i]) != 0)
			return false;
	}
	return true;
}

/*
 * guards_agree
 *		Do all guards of the table say so, and is there one?  Each is looked at
 *		for each trigger of the log, hence a limit (the view playevent.counter
 *		says the same).
 */
bool
guards_agree(Relation rel, Oid log, Trigger *trigger)
{
	const TriggerFunction *function = find_trigger_function(trigger->tgfoid);
	TriggerDesc *triggers;
	int			guards = 0;
	bool		agree = false;

	if (function == NULL)
		return false;
	triggers = CopyTriggerDesc(rel->trigdesc);
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *guard = &triggers->triggers[i];

		if (role_of(guard) != ROLE_SLOT_GUARD)
			continue;
		agree = ++guards <= MAX_GUARDS &&
			guard_agrees(guard, rel, log, trigger, function->name);
		if (!agree)
			break;
	}
	FreeTriggerDesc(triggers);
	return agree;
}
