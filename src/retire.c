/*-------------------------------------------------------------------------
 *
 * retire.c
 *	  Promise P11: takes what a partition counts for off a log's counters.
 *
 * Layer: commands.
 *
 * Counts of a partition that is retired move, in one transaction, from the slots to
 * a table that no insert touches, and views add both up.  So no snapshot sees
 * another total.  They are taken off the slots by the wait-free way of all counts.
 * The order of things is in playevent.retire's twin; here is what SQL can't do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "as_owner.h"
#include "counted_log.h"
#include "maintenance.h"
#include "partition.h"
#include "pending.h"
#include "slot_compact.h"
#include "table_query.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_counted_rows);
PG_FUNCTION_INFO_V1(playevent_take_off);
PG_FUNCTION_INFO_V1(playevent_let_go);

/*
 * counter_of
 *		The log's counter that has this slot table.
 */
static CounterBinding *
counter_of(Relation event, TriggerDesc *triggers, Oid slot)
{
	CounterBinding *binding;
	int			position = 0;

	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		if (binding->slot->relid == slot)
			return binding;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" has no counter with slot table \"%s\"",
					RelationGetRelationName(event), get_rel_name(slot))));
	return NULL;				/* keep compiler quiet */
}

/*
 * playevent.counted_rows(event regclass, slot regclass, part regclass,
 *						  OUT query text, OUT sum text)
 *		returns record
 *
 * In a twin: the query for the keys of a partition's rows, each with its amount
 * as a log's counter would have it; and what adds two such amounts up, of a row
 * "counted" and a row "excluded".
 */
Datum
playevent_counted_rows(PG_FUNCTION_ARGS)
{
	TriggerDesc *triggers;
	Relation	event = open_counted_log(PG_GETARG_OID(0), &triggers);
	CounterBinding *binding = counter_of(event, triggers, PG_GETARG_OID(1));
	const AmountKind *kind = binding->slot->kind;
	Comparison	of;
	StringInfoData query;
	StringInfoData sum;
	TupleDesc	desc;
	Datum		values[2];
	bool		isnull[2] = {false, false};

	check_twin(RelationGetRelid(event));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	describe_comparison(event, binding, PG_GETARG_OID(2), &of);
	initStringInfo(&query);
	kind->append_logged(&query, &of);
	initStringInfo(&sum);
	kind->append_sum(&sum, &of, psprintf("counted.%s", of.amount),
					 psprintf("excluded.%s", of.amount));
	relation_close(event, NoLock);

	values[0] = CStringGetTextDatum(query.data);
	values[1] = CStringGetTextDatum(sum.data);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, isnull)));
}

/*
 * take_off_rows
 *		Take the amounts that a query returns, behind their keys, off a counter.
 */
static int64
take_off_rows(CounterBinding *binding, TableQuery *query)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent retire",
												  ALLOCSET_DEFAULT_SIZES);
	Portal		portal = open_table_query(query);
	int64		keys = 0;

	for (;;)
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		oldcontext = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			Datum		values[COUNTER_MAX_KEYS + 1];
			bool		isnull[COUNTER_MAX_KEYS + 1];
			int64		amount;

			heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
							  values, isnull);
			amount = DatumGetInt64(values[binding->nkeys]);
			pending_add(binding, values, isnull, Int64GetDatum(-amount));
		}
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
		keys += SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
	return keys;
}

/*
 * playevent.take_off(event regclass, slot regclass, part regclass, day date)
 *		returns bigint
 *
 * In a twin: takes the rows of a partition, which ends before or on that day, off
 * the counter with this slot table, and returns of how many keys.  Slots that are
 * empty then go.  Of sketches it takes nothing off, for nothing can be.
 *
 * Locks: the slot table in ShareUpdateExclusiveLock, for rebuild not to take them
 * for too few.
 */
Datum
playevent_take_off(PG_FUNCTION_ARGS)
{
	SlotWriter *writer;
	TriggerDesc *triggers;
	Relation	event = open_counted_log(PG_GETARG_OID(0), &triggers);
	CounterBinding *binding = counter_of(event, triggers, PG_GETARG_OID(1));
	Oid			part = PG_GETARG_OID(2);
	Comparison	of;
	StringInfoData query;
	int64		keys;

	check_twin(RelationGetRelid(event));
	if (!binding->slot->kind->is_bigint)
	{
		relation_close(event, NoLock);
		PG_RETURN_INT64(0);
	}
	check_all_counted(event);
	pending_flush(RelationGetRelid(event));
	LockRelationOid(binding->slot->relid, ShareUpdateExclusiveLock);

	describe_comparison(event, binding, part, &of);
	initStringInfo(&query);
	binding->slot->kind->append_logged(&query, &of);
	SPI_connect();
	keys = take_off_rows(binding,
						 prepare_owner_query(query.data, 0, part, InvalidOid,
											 InvalidOid));
	SPI_finish();
	pending_flush(RelationGetRelid(event));

	/* What was taken off one slot of a key may have been in another. */
	writer = slot_writer_begin(binding->slot);
	(void) slot_writer_compact_before(writer, PG_GETARG_DATEADT(3));
	slot_writer_end(writer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(keys);
}

/*
 * playevent.let_go(part regclass) returns void
 *
 * In a twin: lets a partition leave its log, in this transaction, whose counts
 * have moved.
 */
Datum
playevent_let_go(PG_FUNCTION_ARGS)
{
	check_twin(PG_GETARG_OID(0));
	partition_retired(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}
