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
#include "catalog/partition.h"
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
#include "pending.h"
#include "slot_compact.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_counted_rows);
PG_FUNCTION_INFO_V1(playevent_take_off);

/*
 * playevent.counted_rows(event regclass, slot regclass, rows regclass,
 *						  filter text, OUT query text, OUT sum text)
 *		returns record
 *
 * In a twin: the query for the keys of the log's or a partition's rows that count,
 * each with its amount as a log's counter would have it, less those that a
 * condition on "l" is not true of, if there is one; and what adds two such amounts
 * up, of a row "counted" and a row "excluded".
 */
Datum
playevent_counted_rows(PG_FUNCTION_ARGS)
{
	Relation	event;
	CounterBinding *binding;
	const AmountKind *kind;
	Verdicts	verdicts;
	Comparison	of;
	StringInfoData query;
	StringInfoData sum;
	TupleDesc	desc;
	Datum		values[2];
	bool		isnull[2] = {false, false};

	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);
	kind = binding->slot->kind;
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	SPI_connect();
	find_verdicts(event, &verdicts);
	SPI_finish();
	describe_comparison(event, binding,
						valid_rows(PG_GETARG_OID(2), &verdicts,
								   PG_ARGISNULL(3) ? NULL :
								   text_to_cstring(PG_GETARG_TEXT_PP(3))),
						&of);
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
 * playevent.take_off(event regclass, slot regclass, part regclass, day date)
 *		returns bigint
 *
 * In a twin: takes the rows of a partition, which ends before or on that day, off
 * the counter with this slot table, and returns of how many keys.  Slots that are
 * empty then go.  Of sketches it takes nothing off, for nothing can be.
 *
 * Errors: not called by a twin (0A000), not a partition of the log (42809).
 * Locks: the slot table in ShareUpdateExclusiveLock, for rebuild not to take them
 * for too few.
 */
Datum
playevent_take_off(PG_FUNCTION_ARGS)
{
	SlotWriter *writer;
	Relation	event;
	CounterBinding *binding;
	Oid			part = PG_GETARG_OID(2);
	Verdicts	verdicts;
	Comparison	of;
	StringInfoData query;
	int64		keys;

	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);
	if (!get_rel_relispartition(part) ||
		!list_member_oid(get_partition_ancestors(part),
						 RelationGetRelid(event)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table with OID %u is not a partition of table \"%s\"",
						part, RelationGetRelationName(event))));
	if (!binding->slot->kind->is_bigint)
	{
		relation_close(event, NoLock);
		PG_RETURN_INT64(0);
	}
	check_all_counted(event);
	pending_flush(RelationGetRelid(event));
	LockRelationOid(binding->slot->relid, ShareUpdateExclusiveLock);

	SPI_connect();
	find_verdicts(event, &verdicts);
	describe_comparison(event, binding, valid_rows(part, &verdicts, NULL), &of);
	initStringInfo(&query);
	binding->slot->kind->append_logged(&query, &of);
	keys = add_amounts_of(binding, query.data, part, &verdicts, true);
	SPI_finish();
	pending_flush(RelationGetRelid(event));

	/* The owner's code may have done anything to the slot table. */
	relation_close(event, NoLock);
	event = open_own_counter(PG_GETARG_OID(0), PG_GETARG_OID(1), &binding);

	/* What was taken off one slot of a key may have been in another. */
	writer = slot_writer_begin(binding->slot);
	(void) slot_writer_compact_before(writer, PG_GETARG_DATEADT(3));
	slot_writer_end(writer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(keys);
}
