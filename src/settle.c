/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  What a table's triggers are enabled for (P7).
 *
 * Layer: DDL.
 *
 * A log's triggers are made to fire ALWAYS, or for rows of this server's own.
 * But of a partitioned table, triggers that INSERT fires for rows are there to
 * be inherited, and never fire themselves.  They are not enabled, and the
 * copies that partitions with rows have are: for pg_dump restores the triggers
 * of a partitioned table, which has no rows to wait for, maybe before its
 * partitions' rows; but what a partition's triggers are enabled for after
 * those rows, if it is not what its parent's are.  So the rows that pg_restore
 * brings do not count again, however many workers it has.  Levels of
 * partitioned tables take turns with "disabled" and "replica only": a level
 * that is like its parent pg_dump would pass over, and then not know that what
 * is below must wait for what is above.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "as_owner.h"
#include "compat.h"
#include "settle.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_settle);

/*
 * settled
 *		What a trigger is to be enabled for; see settle_triggers.
 */
static char
settled(HeapTuple trigger, Oid altered, bool as_made)
{
	Form_pg_trigger form = form_of(trigger);
	char		enabled;

	if (is_for_new_rows(trigger))
	{
		if (get_rel_relkind(form->tgrelid) == RELKIND_PARTITIONED_TABLE)
			return list_length(get_partition_ancestors(form->tgrelid)) % 2 == 0 ?
				TRIGGER_DISABLED : TRIGGER_FIRES_ON_REPLICA;

		/* Meant for a level above, as a dump does, and passed down. */
		if (!as_made && form->tgrelid != altered &&
			form->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			return TRIGGER_DISABLED;
	}
	enabled = as_made ? enabled_as_made(trigger) : 0;
	return enabled != 0 ? enabled : form->tgenabled;
}

/*
 * settle_table
 *		settle_triggers for one table; if not really, only find out.
 */
static bool
settle_table(Relation pg_trigger, Oid relid, Oid altered, bool as_made,
			 bool really)
{
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, relid))
	{
		HeapTuple	trigger = lfirst(lc);
		char		enabled = settled(trigger, altered, as_made);

		if (enabled == form_of(trigger)->tgenabled)
			continue;
		changed = true;
		if (really)
		{
			form_of(trigger)->tgenabled = enabled;
			CatalogTupleUpdate(pg_trigger, &trigger->t_self, trigger);
			InvokeObjectPostAlterHook(TriggerRelationId,
									  form_of(trigger)->oid, 0);
		}
	}
	if (changed && really)
		CacheInvalidateRelcacheByRelid(relid);
	return changed;
}

/*
 * settle_triggers
 *		See to what a table's triggers of playevent's are enabled for, and those
 *		of its partitions (recurse), after a command that has changed that:
 *		those that are there to be inherited are not enabled; as_made, all
 *		others are as they were made.  Returns whether that was not so.
 *
 * The same as ALTER TABLE, whose lock this takes on tables whose triggers it
 * changes; but it is not up to whoever owns the log or a partition, which may
 * be different roles.
 */
bool
settle_triggers(Oid altered, bool recurse, bool as_made)
{
	Relation	pg_trigger = table_open(TriggerRelationId, RowExclusiveLock);
	bool		changed = false;
	ListCell   *lc;

	/* Most tables are no logs. */
	if (copy_triggers(pg_trigger, altered) != NIL)
	{
		foreach(lc, recurse ? find_all_inheritors(altered, NoLock, NULL) :
				list_make1_oid(altered))
		{
			Oid			relid = lfirst_oid(lc);

			/* A table with nothing to change may be in use. */
			if (!settle_table(pg_trigger, relid, altered, as_made, false))
				continue;
			LockRelationOid(relid, ShareRowExclusiveLock);
			changed |= settle_table(pg_trigger, relid, altered, as_made, true);
		}
	}
	table_close(pg_trigger, RowExclusiveLock);
	if (changed)
		CommandCounterIncrement();
	return changed;
}

/*
 * triggers_settled
 *		Are a table's triggers of playevent's, and those of its partitions
 *		(recurse), enabled as they were made?
 */
bool
triggers_settled(Oid relid, bool recurse)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		settled = true;
	ListCell   *lc;

	foreach(lc, recurse ? find_all_inheritors(relid, NoLock, NULL) :
			list_make1_oid(relid))
		settled &= !settle_table(pg_trigger, lfirst_oid(lc), relid, true,
								 false);
	table_close(pg_trigger, AccessShareLock);
	return settled;
}

/*
 * partitions_count
 *		Are the triggers that count enabled in all of a log's partitions?  True
 *		of a log without partitions.
 *
 * When a whole database is restored, they are not before the partition's rows
 * are there.
 */
bool
partitions_count(Oid log)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	List	   *parts = find_all_inheritors(log, NoLock, NULL);
	bool		count = true;

	/* The last one is likely to be the last to be restored. */
	for (int i = list_length(parts) - 1; count && i > 0; i--)
	{
		ListCell   *lc;

		foreach(lc, copy_triggers(pg_trigger, list_nth_oid(parts, i)))
		{
			HeapTuple	trigger = lfirst(lc);

			if (role_of_row(trigger) == ROLE_COUNT)
				count &= settled(trigger, log, true) ==
					form_of(trigger)->tgenabled;
		}
	}
	table_close(pg_trigger, AccessShareLock);
	return count;
}

/*
 * playevent.settle(rel regclass) returns void
 *
 * Enables all of playevent's triggers of a table, and of its partitions, as
 * they are to be.
 *
 * Errors: not the table's owner (42501).  Locks: in ShareRowExclusiveLock,
 * tables whose triggers are enabled otherwise.
 */
Datum
playevent_settle(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	check_own_table(relid);
	(void) settle_triggers(relid, true, true);
	PG_RETURN_VOID();
}
