/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  Sets a log's counters right, and merges slots.
 *
 * Layer: commands.
 *
 * rebuild adds what verify.c finds a counter to lack in one snapshot, by the
 * wait-free way of all counts, and needs to stop nobody.
 *
 * All of it is done as the log's owner (as_owner.c), once the caller's own
 * right to ask for it has been checked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "as_owner.h"
#include "compat.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "maintenance.h"
#include "pending.h"
#include "shard.h"
#include "slot.h"
#include "slot_compact.h"
#include "table_query.h"
#include "trigger_role.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_rebuild);
PG_FUNCTION_INFO_V1(playevent_compact);
PG_FUNCTION_INFO_V1(playevent_compact_counter);

/* Slots that one call of compact removes, of each counter. */
#define COMPACT_LIMIT 10000

/*
 * check_all_counted
 *		Check that no row of the log waits for its AFTER ROW trigger, as is so
 *		while this transaction's statement that inserted it runs: such rows
 *		are in the log already, and would be counted twice.  Rows that wait for
 *		somebody's deferred trigger can't be told from them.
 *
 * Partitions are locked as the query will, but before any slot table, since
 * whoever attaches one has locked partitions when it comes to count.
 */
void
check_all_counted(Relation event)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(RelationGetRelid(event), AccessShareLock,
									NULL))
	{
		if (AfterTriggerPendingOnRel(lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("cannot rebuild the counters of table \"%s\" in the middle of a statement that inserts into it",
							RelationGetRelationName(event)),
					 errhint("If no statement is running, deferred triggers are waiting: SET CONSTRAINTS ALL IMMEDIATE.")));
	}
}

/* What rebuild_counter is at. */
typedef struct Rebuild
{
	CounterBinding *binding;
	int64		seen;			/* keys with a difference of any kind */
	Rebuilt		result;
} Rebuild;

/*
 * add_difference
 *		RowTaker: add to a counter what a row of its difference_query says it
 *		lacks, which may be less than nothing.
 */
static void
add_difference(void *arg, HeapTuple row, TupleDesc desc)
{
	Rebuild    *rebuild = arg;
	CounterBinding *binding = rebuild->binding;
	int			nkeys = binding->nkeys;
	Datum		values[MaxTupleAttributeNumber];
	bool		isnull[MaxTupleAttributeNumber];
	Difference	difference;

	heap_deform_tuple(row, desc, values, isnull);
	binding->slot->kind->difference(&values[nkeys], &isnull[nkeys],
									&difference);
	if (difference.adds)
		pending_add(binding, values, isnull, difference.amount);
	rebuild->result.changed += difference.adds;
	rebuild->result.lacking += difference.lacks;
	rebuild->result.surplus += difference.has_surplus;
	if (++rebuild->seen % PROGRESS_ROWS == 0)
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("set right " INT64_FORMAT " keys of counter \"%s\"",
						rebuild->seen, counter_name(binding))));
}

/*
 * flush_counter
 *		Write what is pending of a counter; an error, if some is that a transaction
 *		around this one will write.
 */
void
flush_counter(Relation event, SlotBinding *slot)
{
	pending_flush(RelationGetRelid(event));
	if (pending_outside(slot))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change the counters of table \"%s\" in this subtransaction",
						RelationGetRelationName(event)),
				 errdetail("The transaction around it has inserted straight into a partition, and counts that at its end."),
				 errhint("Commit first.")));
}

/*
 * rebuild_counter
 *		Add to one counter what it lacks; returns how many keys were wrong.
 */
Rebuilt
rebuild_counter(Relation event, CounterBinding *binding)
{
	SlotBinding *slot = binding->slot;
	Rebuild		rebuild = {.binding = binding};

	/* One's own pending counts would be taken for missing ones. */
	flush_counter(event, slot);

	/*
	 * Two rebuilds at once would add the same difference twice.  The lock
	 * makes them take turns, and the snapshot must be later than the lock,
	 * even in REPEATABLE READ.  Writers don't mind this lock.
	 *
	 * It must be later than those on all that is compared, too: to a snapshot
	 * before, a table that ALTER TABLE has written anew is empty.
	 */
	lock_compared(event, binding);
	LockRelationOid(slot->relid, ShareUpdateExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());

	(void) take_rows(open_differences(event, binding, true), add_difference,
					 &rebuild);
	PopActiveSnapshot();
	pending_flush(RelationGetRelid(event));
	return rebuild.result;
}

/*
 * tell_surplus
 *		Say that sketches have listeners that the log has not.
 */
void
tell_surplus(Relation event, CounterBinding *binding, Rebuilt rebuilt)
{
	if (rebuilt.surplus > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("sketches in table \"%s\" have listeners that table \"%s\" has not, for " INT64_FORMAT " keys",
						get_rel_name(binding->slot->relid),
						RelationGetRelationName(event), rebuilt.surplus),
				 errdetail("A listener can't be taken out of a sketch."),
				 errhint("To make them anew, call playevent.drop_counter and playevent.add_listener_sketch.")));
}

/* A counter, and which way amounts go. */
typedef struct Addition
{
	CounterBinding *binding;
	bool		negative;
} Addition;

/* RowTaker: keys, and their amount */
static void
add_amount(void *arg, HeapTuple row, TupleDesc desc)
{
	Addition   *addition = arg;
	CounterBinding *binding = addition->binding;
	Datum		values[COUNTER_MAX_KEYS + 1];
	bool		isnull[COUNTER_MAX_KEYS + 1];
	int64		amount;

	heap_deform_tuple(row, desc, values, isnull);
	amount = DatumGetInt64(values[binding->nkeys]);
	if (addition->negative && pg_sub_s64_overflow(0, amount, &amount))
		report_out_of_range(binding->slot);
	pending_add(binding, values, isnull, Int64GetDatum(amount));
}

/*
 * add_amounts_of
 *		Add the amounts that a query returns of the log's or a partition's rows,
 *		bigints behind their keys, to a counter, or take them off it.  Returns
 *		how many keys there were.
 */
int64
add_amounts_of(CounterBinding *binding, const char *query, Oid rows,
			   const Verdicts *verdicts, bool negative)
{
	Oid			tables[] = {rows, verdicts->relid};
	TableQuery *prepared = prepare_owner_query(query, 0, tables,
											   lengthof(tables), 0, NULL);
	Portal		portal = open_table_query(prepared);
	Addition	addition;

	check_amounts(portal, binding->slot, 1, true);
	addition.binding = binding;
	addition.negative = negative;
	return take_rows(portal, add_amount, &addition);
}

/*
 * has_sketches
 *		Has the log a counter whose slots are made anew when rows are voided?
 */
static bool
has_sketches(Relation event)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const AmountKind *kind = amount_kind_of(&triggers->triggers[i]);

		if (kind != NULL && !kind->is_bigint)
			return true;
	}
	return false;
}

/*
 * take_turns
 *		Wait for whoever retires a partition of the log, or makes its sketches anew,
 *		and keep others from it.
 *
 * He holds slot tables when he comes to lock the log against all others, or to
 * wait for all who hold the slot tables.  To hold the one then, and wait for the
 * other, would be a deadlock.  So these take turns before they lock either: by
 * the manifest, which nobody else locks; or by the verdicts.
 */
static void
take_turns(Oid relid)
{
	Relation	event;
	Oid			manifest = InvalidOid;
	Oid			verdicts = InvalidOid;

	if (!relation_ownercheck(relid, GetUserId()) ||
		(event = try_relation_open(relid, AccessShareLock)) == NULL)
		return;
	SPI_connect();
	if (event->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		manifest = find_own_table(event, "manifest", relid);
	if (has_sketches(event))
		verdicts = find_own_table(event, "verdicts", relid);
	SPI_finish();
	relation_close(event, AccessShareLock);
	if (OidIsValid(manifest))
		LockRelationOid(manifest, ShareUpdateExclusiveLock);
	if (OidIsValid(verdicts))
		LockRelationOid(verdicts, ShareLock);
}

/*
 * sum_over_shards
 *		Call a function of the install script for each shard of a distributed
 *		log, and add up what they return.
 *
 * A shard is a log of its own.  Each call is a transaction of its own, that
 * commits whatever becomes of this one; none of them needs another.
 */
static int64
sum_over_shards(Oid relid, const char *function)
{
	TriggerDesc *triggers;
	Relation	event = open_distributed_log(relid, &triggers);
	Oid			types[] = {REGCLASSOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(relid),
		CStringGetTextDatum(psprintf("SELECT playevent.%s($pe$%%s$pe$)",
									 function))};
	OwnerScope	outer;
	bool		isnull;
	int64		sum;

	check_log_owner(event);
	owner_enter(event->rd_rel->relowner, &outer);
	SPI_connect();
	if (SPI_execute_with_args("SELECT coalesce(sum(result::bigint), 0)::bigint"
							  " FROM playevent.on_shards($1, $2) AS result", 2,
							  types, values, NULL, false, 0) < 0 ||
		SPI_processed != 1)
		elog(ERROR, "could not ask the shards of table %u", relid);
	sum = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									  SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	owner_leave(&outer);
	relation_close(event, NoLock);
	return sum;
}

/*
 * playevent.rebuild(event regclass) returns bigint
 *
 * Sets a log's counters right and says how many keys were wrong; of a distributed
 * log, shard by shard.  Plays go on being recorded meanwhile; other rebuilds of
 * the log, and VACUUM of its slot table, wait until the transaction ends.
 *
 * Errors: not a log, or what a shard reports (55000), not its owner (42501), in a
 * subtransaction of one that has counts pending (55000), within a statement that
 * inserts into the log (55006), in a read-only transaction (25006).  Locks: the
 * slot table, and the manifest, if there is one, in ShareUpdateExclusiveLock; with
 * sketches, the verdicts in ShareLock.
 */
Datum
playevent_rebuild(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TriggerDesc *triggers;
	Relation	event;
	CounterBinding *binding;
	OwnerScope	outer;
	int			position = 0;
	int64		changed = 0;

	PreventCommandIfReadOnly("playevent.rebuild()");
	if (is_distributed(relid, NULL))
		PG_RETURN_INT64(sum_over_shards(relid, "rebuild"));

	take_turns(relid);
	event = open_counted_log(relid, &triggers);
	check_log_owner(event);
	owner_enter(event->rd_rel->relowner, &outer);
	check_all_counted(event);

	SPI_connect();
	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		Rebuilt		rebuilt = rebuild_counter(event, binding);

		tell_surplus(event, binding, rebuilt);
		changed += rebuilt.changed;
	}
	SPI_finish();

	owner_leave(&outer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(changed);
}

/*
 * playevent.compact(event regclass) returns bigint
 *
 * Merges spare slots, of counters by day those of the last week, and says how
 * many it removed: at most some 10,000 of a counter, so that its transaction is
 * short, for until that ends writers pass the slots it has touched by.  Waits
 * for nobody, and nobody for it; slots in use are left for another time.  Of a
 * distributed log, it is called for each shard.
 *
 * Errors: not a log (55000), not its owner (42501), in a read-only transaction
 * (25006).  Locks: the slot table in RowExclusiveLock, and one of sketches, if
 * nobody holds it, in ShareUpdateExclusiveLock.
 */
Datum
playevent_compact(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	TriggerDesc *triggers;
	Relation	event;
	CounterBinding *binding;
	OwnerScope	outer;
	int			position = 0;
	int64		removed = 0;

	PreventCommandIfReadOnly("playevent.compact()");
	if (is_distributed(relid, NULL))
		PG_RETURN_INT64(sum_over_shards(relid, "compact"));
	event = open_counted_log(relid, &triggers);
	check_log_owner(event);
	owner_enter(event->rd_rel->relowner, &outer);

	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		SlotWriter *writer;

		/*
		 * Sketches that are being made anew are deleted first; to merge one
		 * into a slot that is not would leave it there.
		 */
		if (!binding->slot->kind->is_bigint &&
			!ConditionalLockRelationOid(binding->slot->relid,
										ShareUpdateExclusiveLock))
			continue;
		writer = slot_writer_begin(binding->slot);
		removed += slot_writer_compact(writer, COMPACT_LIMIT);
		slot_writer_end(writer);
	}

	owner_leave(&outer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(removed);
}

/*
 * playevent.compact_counter(event regclass, slot regclass) returns void
 *
 * In a twin: merges the spare slots of one of the log's counters, of every day, as far
 * as they are free.  What adds up to nothing is gone then, with whom it tells of.
 */
Datum
playevent_compact_counter(PG_FUNCTION_ARGS)
{
	CounterBinding *binding;
	Relation	event;
	SlotWriter *writer;

	/* forget_listener may have written nothing before */
	PreventCommandIfReadOnly("playevent.forget_listener()");
	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);
	writer = slot_writer_begin(binding->slot);
	(void) slot_writer_compact_all(writer);
	slot_writer_end(writer);
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}
