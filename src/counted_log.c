/*-------------------------------------------------------------------------
 *
 * counted_log.c
 *	  A log and its counters, for functions that are called with the former.
 *
 * Layer: commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "compat.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "shard.h"
#include "trigger_role.h"

/*
 * open_counted_log
 *		Open a log's event table, which must have a counter, and its rows
 *		here.  *triggers is set to a copy of its triggers that no invalidation
 *		can free.
 *
 * Somebody's view or temporary table is no log, whatever triggers it has.
 */
Relation
open_counted_log(Oid relid, TriggerDesc **triggers)
{
	Relation	event = try_relation_open(relid, AccessShareLock);
	bool		may_be;

	if (event == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"event\" is %u, which is no table", relid)));
	check_no_shell(relid, relid);

	may_be = (event->rd_rel->relkind == RELKIND_RELATION ||
			  event->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		event->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
		!event->rd_rel->relispartition;
	*triggers = CopyTriggerDesc(event->trigdesc);
	for (int i = 0; may_be && *triggers != NULL && i < (*triggers)->numtriggers; i++)
	{
		if (amount_kind_of(&(*triggers)->triggers[i]) == &amount_count)
			return event;
	}

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not a log",
					RelationGetRelationName(event)),
			 event->rd_rel->relispartition ?
			 errhint("Name the partitioned table it belongs to.") :
			 errhint("The view playevent.log lists all logs; playevent.attach_log makes a table one.")));
	return NULL;				/* keep compiler quiet */
}

void
check_log_owner(Relation event)
{
	if (!relation_ownercheck(RelationGetRelid(event), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(event));
}

/*
 * next_counter
 *		The log's next counter at or after trigger *position, or NULL.
 */
CounterBinding *
next_counter(Relation event, TriggerDesc *triggers, int *position)
{
	while (*position < triggers->numtriggers)
	{
		Trigger    *trigger = &triggers->triggers[(*position)++];

		if (role_of(trigger) == ROLE_COUNT)
			return counter_binding(event, trigger);
	}
	return NULL;
}
