/*-------------------------------------------------------------------------
 *
 * counter_binding.c
 *	  What the arguments of a trigger that counts stand for (P8, P10).
 *
 * Layer: storage.
 *
 * See binding.c for lifetimes and locks, trigger_argument.c for rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "as_owner.h"
#include "binding.h"
#include "counter_binding.h"
#include "guard.h"
#include "shard.h"
#include "slot_binding.h"
#include "trigger_argument.h"
#include "trigger_role.h"

static BindingCache *counter_bindings;	/* CounterBinding, by its trigger */

static bool
counter_depends_on(const void *binding, Oid relid)
{
	const CounterBinding *counter = binding;

	return counter->event_relid == relid || counter->log_relid == relid ||
		(counter->slot != NULL && counter->slot->relid == relid);
}

/*
 * counter_binding_init
 *		Create the cache; once per backend, when the library is loaded.
 */
void
counter_binding_init(void)
{
	counter_bindings = binding_cache("playevent counter bindings",
									 sizeof(CounterBinding),
									 counter_depends_on);
}

/*
 * counter_is_agreed
 *		Is there a slot table for a trigger of a log that counts, and does it
 *		say that it is?
 *
 * A table of somebody else's is not even locked.
 */
bool
counter_is_agreed(Relation event, Trigger *trigger)
{
	const char *name = trigger->tgargs[COUNTER_SLOT_TABLE];
	Oid			namespace;
	Oid			relid;
	Relation	rel;
	bool		agreed;

	relid = table_named_by(RelationGetRelid(event), name, &namespace);
	if (!OidIsValid(relid) || owner_of(relid) != event->rd_rel->relowner)
		return false;
	rel = open_named_relation(name, RelationGetRelid(event), AccessShareLock,
							  &namespace);
	if (rel == NULL)
		return false;
	agreed = guards_agree(rel, RelationGetRelid(event), trigger);
	table_close(rel, NoLock);
	return agreed;
}

/*
 * check_guards
 *		Check that the slot table says too that it is this trigger's.
 *
 * So no table that is something else is written to because of what a trigger
 * says, and no two logs count in one slot table.
 */
static void
check_guards(Relation rel, Oid log, Trigger *trigger)
{
	if (!guards_agree(rel, log, trigger))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not say that it keeps these counts of table \"%s\"",
						RelationGetRelationName(rel), get_rel_name(log)),
				 errdetail("Trigger \"%s\" would count in it, but the arguments of its triggers that call playevent.slot_guard are not this trigger's.",
						   trigger->tgname),
				 errhint(HINT_REATTACH, get_rel_name(log)),
				 errtable(rel)));
}

/*
 * check_counts_once
 *		Check that no other trigger of the event table counts in the same slots,
 *		as one would that was renamed and made again.
 */
static void
check_counts_once(Relation rel, Relation event, Oid log, Trigger *trigger)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *other = &triggers->triggers[i];
		Oid			namespace;

		/* At another event it would fail by itself. */
		if (other->tgoid == trigger->tgoid || other->tgnargs <= 0 ||
			!TRIGGER_FOR_ROW(other->tgtype) ||
			!TRIGGER_FOR_INSERT(other->tgtype) ||
			!TRIGGER_FOR_AFTER(other->tgtype) || role_of(other) != ROLE_COUNT ||
			table_named_by(log, other->tgargs[COUNTER_SLOT_TABLE],
						   &namespace) != RelationGetRelid(rel))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("triggers \"%s\" and \"%s\" of table \"%s\" both count in table \"%s\"",
						trigger->tgname, other->tgname,
						RelationGetRelationName(event),
						RelationGetRelationName(rel)),
				 errhint("Drop one of them."),
				 errtable(event)));
	}
	FreeTriggerDesc(triggers);
}

/*
 * leaves_log
 *		Does DETACH PARTITION CONCURRENTLY wait for its second half, for this
 *		partition or one that it is a part of?
 *
 * Queries on the log that begin now don't see its rows any more, though it
 * still has the log's triggers.  Whether those of an older snapshot do is not
 * looked at.
 */
static bool
leaves_log(Oid relid, Oid log)
{
	while (relid != log)
	{
		if (PartitionHasPendingDetach(relid))
			return true;
		relid = get_partition_parent(relid, true);
	}
	return false;
}

/*
 * build_counter_binding
 *		Look up all that a counter's trigger's arguments stand for.  Returns
 *		with the slot table locked.
 */
static void
build_counter_binding(CounterBinding *binding, Relation event,
					  Trigger *trigger)
{
	Relation	rel;
	Oid			namespace;
	Oid			owner;
	SlotBinding *slot;
	const AmountKind *kind = amount_kind_of(trigger);
	int			first_key;

	if (kind == NULL)
		elog(ERROR, "trigger %u does not count", trigger->tgoid);
	first_key = first_key_of(kind);
	check_nargs(event, trigger, first_key + 1, first_key + COUNTER_MAX_KEYS);
	binding->event_relid = RelationGetRelid(event);
	binding->log_relid = made_on(trigger->tgoid, false);
	check_no_shell(binding->event_relid, binding->event_relid);
	check_no_shell(binding->event_relid, binding->log_relid);
	binding->leaves = leaves_log(binding->event_relid, binding->log_relid);
	owner = owner_of(binding->log_relid);
	binding->nkeys = trigger->tgnargs - first_key;

	rel = open_named_relation(trigger->tgargs[COUNTER_SLOT_TABLE],
							  binding->log_relid, RowExclusiveLock,
							  &namespace);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("slot table \"%s\" does not exist",
						spoken_name(trigger->tgargs[COUNTER_SLOT_TABLE])),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps its counts there.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(binding->log_relid))));
	depend_on_schema(binding, namespace);
	depend_on_schema(binding, get_rel_namespace(binding->log_relid));

	/*
	 * His own, not that of a role whose rights he has: a superuser has those
	 * of whoever can put a table in his slot table's place.
	 */
	if (owner != rel->rd_rel->relowner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" writes to it with the rights of role \"%s\", the owner of table \"%s\".",
						   trigger->tgname, GetUserNameFromId(owner, false),
						   get_rel_name(binding->log_relid)),
				 errhint("Give both tables, and the views on them, the same owner: ALTER TABLE %s OWNER TO %s;",
						 qualified_name(RelationGetRelid(rel)),
						 quote_identifier(GetUserNameFromId(owner, false)))));

	check_no_shell(binding->event_relid, RelationGetRelid(rel));
	slot = slot_binding(rel, event, trigger, kind, binding->head.context);
	check_guards(rel, binding->log_relid, trigger);
	check_counts_once(rel, event, binding->log_relid, trigger);
	binding->slot = slot;

	for (int i = 0; i < binding->nkeys; i++)
	{
		binding->event_attnos[i] = find_column(event, trigger, first_key + i,
											   event);
		check_not_generated(event, trigger, binding->event_attnos[i], false);
		check_same_type(event, binding->event_attnos[i], rel,
						slot->key_attnos[i], trigger, true);
	}
	if (kind->has_source)
	{
		binding->source.attno = find_column(event, trigger, COUNTER_SOURCE,
											event);
		check_not_generated(event, trigger, binding->source.attno, false);
		kind->bind_source(&binding->source, event, trigger);
	}

	table_close(rel, NoLock);
}

/*
 * counter_binding
 *		What a counter's trigger stands for, with the slot table locked in
 *		RowExclusiveLock.
 *
 * Errors: the slot table or a column is missing (42P01, 42703), has the
 * wrong kind, type or index (42809, 42804, 42704, 55000), or belongs to
 * someone else (42501); it or the log is managed by Citus (55000).
 */
CounterBinding *
counter_binding(Relation event, Trigger *trigger)
{
	CounterBinding *binding = find_binding(counter_bindings, trigger->tgoid);

	if (binding != NULL && binding->head.valid)
		lock_until_end(binding->slot->relid, RowExclusiveLock);
	if (binding == NULL || !binding->head.valid)
	{
		uint64		seen = catalog_invalidations;

		check_up_to_date(event, trigger);
		binding = new_binding(counter_bindings, trigger->tgoid);
		build_counter_binding(binding, event, trigger);
		lock_until_end(binding->slot->relid, RowExclusiveLock);
		end_building(binding, seen);
	}
	return binding;
}
