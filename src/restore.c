/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  Sets counters right when a restore is done with a table, or a column has
 *	  got another's name (P7, P10).
 *
 * Layer: DDL.
 *
 * Restoring data alone, pg_restore disables a table's triggers, brings its
 * rows, and enables the triggers again; and that for log, partitions and slot
 * tables in the order of their names, or several at once.  Some of it fails:
 * who is no superuser can't disable the triggers of foreign keys, nor, with
 * them, a log's, so that its rows are counted, while the slots come counted
 * too.  What comes twice, or not at all, nobody knows beforehand.  So whenever
 * triggers are enabled that were not, the table's counters are set right, as
 * rebuild does it.  What then comes uncounted sets them right again when it is
 * done.
 *
 * In the course of a restore that is nothing to speak of: slots that come
 * before their rows have too much, rows that come before their slots are not
 * counted, and those that come before their verdicts are counted that should
 * not be.  Only what that doesn't explain is a warning.
 *
 * As long as other triggers of the log or the slot table are not enabled as
 * they were made, nothing is done, for whoever enables or makes them will.  Of
 * two who do so at once, neither must leave it to the other, whose triggers he
 * doesn't see yet: so they take turns by a lock on the slot table, and look at
 * the triggers then.
 *
 * A restore that makes the triggers after it has brought the data may have left
 * out that of the log, or that of the slots (--exclude-table-data).  To compare
 * them would cost each restore of a database a look at all rows; but once both
 * sides have their triggers, and slots an index, in whichever order they are
 * made, and there are rows on one side only, they are set right too.  For
 * pg_restore shows nobody a warning.
 *
 * Columns are known by their names.  A log whose columns two renames have
 * swapped would go on with counts by others; so when a column gets a name that
 * a counter knows, the counters are set right, or the command fails.
 *
 * Of a log that Citus distributes, all this is done for the shards.
 *
 * All this is done as the log's owner, but not for the owner of a partition if
 * that is another (P8): he has no say over the slots, which stay locked until
 * his transaction ends.  That is a warning, and so is what else goes wrong:
 * the command that was given is another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "as_owner.h"
#include "compat.h"
#include "counter_binding.h"
#include "guard.h"
#include "guarded_write.h"
#include "maintenance.h"
#include "pending.h"
#include "restore.h"
#include "settle.h"
#include "shard.h"
#include "slot_compact.h"
#include "table_query.h"
#include "trigger_argument.h"
#include "trigger_role.h"

/* What is looked at, and why. */
typedef struct Look
{
	Oid			altered;		/* a log, a partition, a slot table, or one of
								 * verdicts */
	bool		enabled;		/* its triggers were; else one was made */
	bool		indexed;		/* or an index of it was */
	Relation	event;			/* the log */
	Oid			slot;			/* this counter's; InvalidOid for all */
	bool		judged;			/* what is altered has the log's verdicts */
	const char *named;			/* neither of these: this column was */
	bool		bound;			/* the counters to be set right do work */
} Look;

/*
 * has_row
 *		Has the table a row for which this is true?
 */
static bool
has_row(Oid table, const char *only, const char *condition)
{
	char	   *query = psprintf("SELECT tableoid FROM %s %s WHERE %s LIMIT 1",
								 only, qualified_name(table), condition);

	run_table_query(prepare_owner_query(query, 0, &table, 1, 0, NULL), NULL,
					NULL, true);
	return SPI_processed > 0;
}

/*
 * is_logged
 *		Has the log a row that this trigger's counter counts?
 */
static bool
is_logged(Relation event, Trigger *trigger, const AmountKind *kind)
{
	const char *condition = "true";

	if (kind->has_source)
		condition = psprintf("%s IS NOT NULL",
							 quote_identifier(trigger->tgargs[COUNTER_SOURCE]));
	return has_row(RelationGetRelid(event), "", condition);
}

/*
 * is_counted
 *		Has this trigger's counter counted anything?
 */
static bool
is_counted(Oid slot, Trigger *trigger, const AmountKind *kind)
{
	const char *condition = "true";

	if (kind->is_bigint)
		condition = psprintf("%s <> 0",
							 quote_identifier(trigger->tgargs[COUNTER_AMOUNT_COLUMN]));
	return has_row(slot, "ONLY", condition);
}

/*
 * tell
 *		Say what was wrong with a counter, and that it isn't any more.
 */
static void
tell(Look *look, Oid slot, bool is_expected, int64 corrected)
{
	ereport(is_expected ? NOTICE : WARNING,
			(errcode(is_expected ? ERRCODE_SUCCESSFUL_COMPLETION : ERRCODE_WARNING),
			 errmsg("counts in table \"%s\" were not those of the rows in table \"%s\"",
					get_rel_name(slot), RelationGetRelationName(look->event)),
			 errdetail("They have been corrected for " INT64_FORMAT " keys.",
					   corrected)));
}

/*
 * rebuild_restored
 *		Set a counter right after a restore.
 *
 * That brings verdicts last, or beside rows.  So sketches may have the listeners of
 * rows that don't count, which can't be taken out: they are made anew.  Whoever has
 * inserted meanwhile may rely on what was removed (slot.c), so he is waited for
 * before the log is read; and what he was adding to is not removed before he is gone.
 */
static Rebuilt
rebuild_restored(Look *look, CounterBinding *binding)
{
	Rebuilt		rebuilt = rebuild_counter(look->event, binding);

	for (int i = 0; i < 2 && rebuilt.surplus > 0; i++)
	{
		PushActiveSnapshot(GetLatestSnapshot());
		(void) remove_slots(binding->slot->relid);
		PopActiveSnapshot();
		wait_for_writers(binding->slot->relid);
		rebuilt.changed = Max(rebuilt.changed, rebuilt.surplus);
		rebuilt.surplus = rebuild_counter(look->event, binding).surplus;
	}
	return rebuilt;
}

/*
 * set_right
 *		Set a counter right.
 */
static void
set_right(Look *look, Trigger *trigger)
{
	CounterBinding *binding = counter_binding(look->event, trigger);
	Rebuilt		rebuilt = look->enabled ? rebuild_restored(look, binding) :
	rebuild_counter(look->event, binding);
	bool		is_expected = false;

	tell_surplus(look->event, binding, rebuilt);
	if (rebuilt.changed == 0)
		return;
	if (look->judged)
		is_expected = true;
	else if (look->enabled && OidIsValid(look->slot))
		is_expected = rebuilt.lacking == 0;
	else if (look->enabled)
		is_expected = rebuilt.lacking == rebuilt.changed ||
			look->event->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	tell(look, binding->slot->relid, is_expected, rebuilt.changed);
}

/*
 * set_to_nothing
 *		Set a counter right whose log has no rows, for all its slots are wrong:
 *		from sketches nothing can be taken.
 */
static void
set_to_nothing(Look *look, Oid slot)
{
	bool		is_expected = look->enabled && OidIsValid(look->slot);

	(void) remove_slots(slot);
	ereport(is_expected ? NOTICE : WARNING,
			(errcode(is_expected ? ERRCODE_SUCCESSFUL_COMPLETION : ERRCODE_WARNING),
			 errmsg("counts in table \"%s\" have been removed, for table \"%s\" has no such rows",
					get_rel_name(slot), RelationGetRelationName(look->event))));
}

/*
 * is_alone_to_look
 *		Is nobody else looking at this slot table because it has got an index?
 *
 * Several indexes may be made at once, by commands whose locks go together, but
 * not with what it takes to look.  So one looks, and waits for the others to end.
 */
static bool
is_alone_to_look(Oid slot)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, slot, 0);
	return LockAcquire(&tag, AccessExclusiveLock, false, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

/*
 * has_index
 *		Has the slot table, which is locked, any index?
 */
static bool
has_index(Oid slot)
{
	Relation	rel = try_relation_open(slot, NoLock);
	bool		found;

	if (rel == NULL)
		return false;
	found = RelationGetIndexList(rel) != NIL;
	relation_close(rel, NoLock);
	return found;
}

/*
 * look_at_counter
 *		See what is to be done about the counter of one trigger.
 */
static void
look_at_counter(Look *look, Trigger *trigger, const AmountKind *kind,
				Oid slot)
{
	Oid			log = RelationGetRelid(look->event);
	bool		logged;
	bool		counted;

	/*
	 * See above.  Snapshots and catalogs are to be of after it; and so is
	 * what the slot table says, for its guard may be under way.
	 */
	if (look->indexed && !is_alone_to_look(slot))
		return;
	LockRelationOid(slot, ShareUpdateExclusiveLock);
	if (!counter_is_agreed(look->event, trigger) ||
		(!look->enabled && !has_index(slot)))
		return;
	if (look->enabled ?
		!triggers_settled(log, true) || !triggers_settled(slot, false) :
		!partitions_count(log))
		return;

	check_all_counted(look->event);
	PushActiveSnapshot(GetLatestSnapshot());
	logged = is_logged(look->event, trigger, kind);
	counted = is_counted(slot, trigger, kind);
	if (counted && !logged)
		set_to_nothing(look, slot);
	else if (logged && (look->enabled || !counted))
		set_right(look, trigger);
	PopActiveSnapshot();
}

/*
 * may_be_slots
 *		Can a table that a trigger of the log names be its slot table?  Nobody
 *		else's is, nor is it locked.
 */
static bool
may_be_slots(Relation event, Oid relid)
{
	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_RELATION &&
		owner_of(relid) == event->rd_rel->relowner;
}

/*
 * look_at_counters
 *		See to all counters, or to that of one slot table.
 */
static void
look_at_counters(Look *look)
{
	TriggerDesc *triggers = CopyTriggerDesc(look->event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		const AmountKind *kind = amount_kind_of(trigger);
		Oid			namespace;
		Oid			slot;

		if (kind == NULL || trigger->tgnargs < first_key_of(kind))
			continue;
		slot = table_named_by(RelationGetRelid(look->event),
							  trigger->tgargs[COUNTER_SLOT_TABLE], &namespace);
		if (OidIsValid(look->slot) && slot != look->slot)
			continue;
		if (may_be_slots(look->event, slot))
			look_at_counter(look, trigger, kind, slot);
	}
}

/*
 * names_column
 *		Does an argument of the trigger, from that one on, name the column?
 */
static bool
names_column(Trigger *trigger, int first, const char *column)
{
	for (int i = first; i < trigger->tgnargs; i++)
	{
		if (strcmp(trigger->tgargs[i], column) == 0)
			return true;
	}
	return false;
}

/*
 * is_concerned
 *		Does this trigger's counter know the column that was named?  Of a slot
 *		table, it does.
 *
 * Others may not work, for reasons of their own.
 */
static bool
is_concerned(Look *look, Trigger *trigger)
{
	Oid			namespace;

	if (role_of(trigger) != ROLE_COUNT || trigger->tgnargs <= COUNTER_SLOT_TABLE)
		return false;
	if (!OidIsValid(look->slot))
		return names_column(trigger, COUNTER_FIRST_KEY, look->named);
	return table_named_by(RelationGetRelid(look->event),
						  trigger->tgargs[COUNTER_SLOT_TABLE],
						  &namespace) == look->slot;
}

/*
 * set_named_right
 *		Correct the counters that know a column, once they work.
 */
static void
set_named_right(Look *look)
{
	TriggerDesc *triggers = CopyTriggerDesc(look->event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (is_concerned(look, &triggers->triggers[i]))
			(void) counter_binding(look->event, &triggers->triggers[i]);
	}
	look->bound = true;
	check_all_counted(look->event);
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (is_concerned(look, &triggers->triggers[i]))
			set_right(look, &triggers->triggers[i]);
	}
}

/*
 * log_of_slots
 *		The log that a slot table's guard names; InvalidOid if it is none.
 */
static Oid
log_of_slots(Relation rel)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		Oid			namespace;

		if (role_of(trigger) == ROLE_SLOT_GUARD &&
			trigger->tgnargs > GUARD_LOG)
			return table_named_by(RelationGetRelid(rel),
								  trigger->tgargs[GUARD_LOG], &namespace);
	}
	return InvalidOid;
}

/*
 * leave_to_owner
 *		Say that it takes the table's owner to look at its counters, and why.
 */
static void
leave_to_owner(Oid table, const char *reason)
{
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("table \"%s\" has not been compared with its counters",
					get_rel_name(table)),
			 errdetail_internal("%s", reason),
			 errhint("Let its owner call playevent.rebuild.")));
}

/*
 * find_log
 *		Open the log that the table is one of, or a part of; NULL if there is
 *		none, or only its shell (shard.c).
 */
static Relation
find_log(Look *look)
{
	Relation	rel = relation_open(look->altered, AccessShareLock);
	Oid			log = log_of_slots(rel);
	Oid			owner = rel->rd_rel->relowner;
	bool		is_log;

	if (OidIsValid(log))
	{
		/* Nobody else's guard has a say about a log, nor locks it. */
		look->judged = has_trigger(look->altered, ROLE_JUDGE);
		if (!look->judged)
			look->slot = look->altered;
		if (owner_of(log) != owner)
			log = InvalidOid;
	}
	else if (rel->rd_rel->relispartition)
	{
		log = log_of_partition(look->altered, &is_log);
		if (OidIsValid(log) && !relation_ownercheck(log, GetUserId()))
		{
			leave_to_owner(log, psprintf("Triggers of its partition \"%s\" were enabled by someone who is not the owner of the log.",
										 RelationGetRelationName(rel)));
			log = InvalidOid;
		}
	}
	else
		log = look->altered;
	relation_close(rel, NoLock);
	return OidIsValid(log) && !is_shell_table(log) ?
		try_relation_open(log, AccessShareLock) : NULL;
}

/*
 * look_as_owner
 *		Find what there is to look at, and do so as the log's owner.
 */
static void
look_as_owner(Look *look)
{
	OwnerScope	outer;

	look->event = find_log(look);
	if (look->event == NULL)
		return;
	if (!look->event->rd_rel->relispartition &&
		(look->event->rd_rel->relkind == RELKIND_RELATION ||
		 look->event->rd_rel->relkind == RELKIND_PARTITIONED_TABLE))
	{
		owner_enter(look->event->rd_rel->relowner, &outer);
		SPI_connect();
		if (look->named != NULL)
			set_named_right(look);
		else
			look_at_counters(look);
		SPI_finish();
		owner_leave(&outer);
	}
	relation_close(look->event, NoLock);
}

/*
 * is_cancel
 *		Has somebody cancelled the command, or a statement timeout?  The SQLSTATE
 *		alone, the owner's code may have said; that it raised it elsewhere, it
 *		can't hide.
 */
static bool
is_cancel(ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_OPERATOR_INTERVENTION && error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * look_safely
 *		look_as_owner, of whose errors only those end the command that somebody
 *		has called for.
 */
static void
look_safely(Look *look)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		look_as_owner(look);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;

	if (error == NULL)
		return;

	/* Of a shard, they are enabled for its counters (count_in_shards). */
	if (is_cancel(error) || look->bound ||
		(look->enabled && shell_of(look->altered) != look->altered))
		ReThrowError(error);

	/*
	 * If a column was named, nobody can insert now, and whoever tries is told
	 * why.  But what mends that may be a command that nobody looks at.
	 */
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("could not compare table \"%s\" with its counters: %s",
					get_rel_name(look->altered), error->message),
			 errhint("Once that is mended, call playevent.rebuild.")));
}

/*
 * write_pending
 *		Write what is pending here, for it could not be told from a difference
 *		within the subtransaction that looks.
 */
static void
write_pending(void)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	pending_flush(InvalidOid);
	PopActiveSnapshot();
}

/*
 * look_at_enabled
 *		All triggers of a table of ours have been enabled, of which some were
 *		not.
 */
void
look_at_enabled(Oid relid)
{
	Look		look = {.altered = relid,.enabled = true};

	write_pending();
	look_safely(&look);
}

/*
 * look_at_made
 *		A trigger of ours was made, or a single one enabled: if that completes a
 *		counter, look at it.
 *
 * Functions do so too, such as attach_log, which then counts by itself.
 */
void
look_at_made(Oid relid, HeapTuple trigger)
{
	TriggerRole role = role_of_row(trigger);
	Look		look = {.altered = relid};

	if (ActivePortal == NULL ||
		(ActivePortal->commandTag != CMDTAG_CREATE_TRIGGER &&
		 ActivePortal->commandTag != CMDTAG_ALTER_TABLE))
		return;
	if (role == ROLE_COUNT || role == ROLE_SLOT_GUARD)
	{
		write_pending();
		look_safely(&look);
	}
}

/*
 * look_at_indexed
 *		A slot table has got an index: without one, it could not be looked at.
 */
void
look_at_indexed(Oid relid)
{
	Look		look = {.altered = relid,.indexed = true};

	if (!OidIsValid(relid) || ActivePortal == NULL ||
		ActivePortal->commandTag != CMDTAG_CREATE_INDEX ||
		!is_slot_table(relid))
		return;
	write_pending();
	look_safely(&look);
}

/*
 * check_order
 *		Check that a slot table's columns are where its views expect them, which
 *		show them under the names that they once had: in the order in which
 *		they are named, the count being the last.
 */
static void
check_order(Relation rel, Trigger *guard, const char *column)
{
	const TriggerFunction *function = guard->tgnargs <= GUARD_FUNCTION ? NULL :
	trigger_function_named(guard->tgargs[GUARD_FUNCTION]);
	int			first = GUARD_FIRST + 1;
	AttrNumber	last = InvalidAttrNumber;

	if (function != NULL && function->kind != NULL &&
		function->kind->has_source)
		first++;
	for (int i = first; i <= guard->tgnargs; i++)
	{
		const char *name = guard->tgargs[i < guard->tgnargs ? i : GUARD_FIRST];
		AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

		if (attno == InvalidAttrNumber)
			continue;
		if (attno < last)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" of slot table \"%s\" cannot get that name",
							column, RelationGetRelationName(rel)),
					 errdetail("Another column had it, and views show that one by it."),
					 errtable(rel)));
		last = attno;
	}
}

/*
 * look_at_column
 *		A table has a column of that name, which it may not have had, or another
 *		one.  If counters know it by that name, see to them.
 *
 * The command may be one on a type, and the table somebody else's than its
 * owner, who is given: a stranger is not to keep him from it.
 */
void
look_at_column(Oid relid, const char *column, bool renamed, Oid owner)
{
	Relation	rel = relation_open(relid, NoLock);
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	bool		is_others = rel->rd_rel->relowner != owner;
	bool		matters = false;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (role_of(trigger) == ROLE_SLOT_GUARD && guards_counts(trigger) &&
			names_column(trigger, GUARD_FIRST, column))
		{
			if (renamed && !is_others)
				check_order(rel, trigger, column);
			matters = true;
		}
		else if (role_of(trigger) == ROLE_COUNT)
			matters |= names_column(trigger, COUNTER_FIRST_KEY, column);
	}
	relation_close(rel, NoLock);
	if (matters && is_others)
		leave_to_owner(relid, "A column was given its name by a command on the table's type, which someone else owns.");
	else if (matters)
	{
		Look		look = {0};

		/*
		 * What is pending isn't written before: of two renames that swap
		 * columns, the first leaves counters that don't work.  Where there is
		 * any, the second fails, and its hint says to commit first.
		 */
		look.altered = relid;
		look.named = column;
		look_safely(&look);
	}
}

/*
 * enabled_one
 *		A trigger has been enabled.  If it is the last thing that a restore does
 *		for a log, its counters are to be looked at.
 */
void
enabled_one(Oid relid, const char *name)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, relid))
	{
		if (strcmp(NameStr(form_of(lfirst(lc))->tgname), name) == 0)
			look_at_made(relid, lfirst(lc));
	}
	table_close(pg_trigger, AccessShareLock);
}
