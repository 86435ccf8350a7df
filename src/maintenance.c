/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  Compares a log's counters with the log, sets them right, merges slots.
 *
 * verify and rebuild run one query over log and slots in one snapshot.  As
 * transactions add to both alike, the difference in any snapshot is the
 * error, no matter what is under way: so rebuild adds just that difference,
 * by the wait-free way of all counts, and needs to stop nobody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "binding.h"
#include "compat.h"
#include "counter.h"
#include "playevent.h"
#include "slot.h"

PG_FUNCTION_INFO_V1(playevent_verify);
PG_FUNCTION_INFO_V1(playevent_rebuild);
PG_FUNCTION_INFO_V1(playevent_compact);
PG_FUNCTION_INFO_V1(playevent_check_log);
PG_FUNCTION_INFO_V1(playevent_trigger_arguments);
PG_FUNCTION_INFO_V1(playevent_named_table);

#define FETCH_ROWS 1000			/* at a time */

/* Columns of verify's result; the first ones are the key of a log's counter. */
enum VerifyColumn
{
	VERIFY_COUNTED = 3,
	VERIFY_LOGGED,
	VERIFY_COUNTER,
	VERIFY_FURTHER_KEY,
	VERIFY_NCOLUMNS
};

/* Slots that one call of compact removes, of each counter. */
#define COMPACT_LIMIT 10000

/* What the names of slot tables end with. */
#define SLOT_ENDING "_slot"

/*
 * open_log
 *		Open a log's event table, which must have a counter.  *triggers is set
 *		to a copy of its triggers that no invalidation can free.
 */
static Relation
open_log(Oid relid, TriggerDesc **triggers)
{
	Relation	event = try_relation_open(relid, AccessShareLock);

	if (event == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"event\" is %u, which is no table", relid)));

	*triggers = CopyTriggerDesc(event->trigdesc);
	for (int i = 0; *triggers != NULL && i < (*triggers)->numtriggers; i++)
	{
		if (trigger_calls(&(*triggers)->triggers[i], playevent_count) &&
			!event->rd_rel->relispartition)
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

static void
check_owner(Relation event)
{
	if (!relation_ownercheck(RelationGetRelid(event), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(event));
}

/*
 * next_counter
 *		The log's next counter at or after trigger *position, or NULL.
 */
static CounterBinding *
next_counter(Relation event, TriggerDesc *triggers, int *position)
{
	while (*position < triggers->numtriggers)
	{
		Trigger    *trigger = &triggers->triggers[(*position)++];

		if (trigger_counts(trigger))
			return counter_binding(event, trigger);
	}
	return NULL;
}

/*
 * counter_name
 *		The name of a counter: that of its slot table, and of the view on it,
 *		less the ending.
 */
static char *
counter_name(CounterBinding *binding)
{
	char	   *name = get_rel_name(binding->slot->relid);
	size_t		length = strlen(name);

	if (length > strlen(SLOT_ENDING) &&
		strcmp(name + length - strlen(SLOT_ENDING), SLOT_ENDING) == 0)
		name[length - strlen(SLOT_ENDING)] = '\0';
	return name;
}

/*
 * difference_query
 *		The query for the keys whose count is not their number of rows: the
 *		key's columns, what is counted and what is logged.
 *
 * Of sketches, how many listeners there are about, for these two; then the
 * sketch of those in the log if one of them is missing, and whether there are
 * any that the log has not.
 *
 * By day if there is one, so that slots that rebuild makes lie together by day,
 * as they do when they are made day by day.
 */
static char *
difference_query(Relation event, CounterBinding *binding)
{
	SlotBinding *slot = binding->slot;
	StringInfoData query;
	StringInfoData columns;
	StringInfoData aliases;
	StringInfoData numbers;
	const char *slot_table;
	const char *log_table;
	const char *amount;
	int			day = 0;

	initStringInfo(&columns);
	initStringInfo(&aliases);
	initStringInfo(&numbers);
	for (int i = 0; i < slot->nkeys; i++)
	{
		appendStringInfo(&columns, "%s, ",
						 quote_identifier(NameStr(slot->key_names[i])));
		appendStringInfo(&aliases, "k%d, ", i + 1);
		appendStringInfo(&numbers, "%s%d", i > 0 ? ", " : "", i + 1);
		if (slot->key_types[i] == DATEOID)
			day = i + 1;
	}

	slot_table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(slot->relid)),
											get_rel_name(slot->relid));
	log_table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(event)),
										   RelationGetRelationName(event));
	amount = quote_identifier(NameStr(slot->count_name));
	initStringInfo(&query);
	if (slot->sketch == NULL)
		appendStringInfo(&query,
						 "SELECT %ssum(counted)::bigint, sum(logged)::bigint"
						 " FROM (SELECT %s%s, 0::bigint FROM ONLY %s"
						 " UNION ALL SELECT %s0::bigint, count(*) FROM %s GROUP BY %s)"
						 " AS side(%scounted, logged)"
						 " GROUP BY %s HAVING sum(counted) <> sum(logged)",
						 aliases.data,
						 columns.data, amount, slot_table,
						 columns.data, log_table, numbers.data,
						 aliases.data,
						 numbers.data);
	else
	{
		const char *hll = sketch_schema(slot->sketch);
		Form_pg_attribute listener = TupleDescAttr(RelationGetDescr(event),
												   binding->listener_attno - 1);
		const char *column = quote_identifier(NameStr(listener->attname));

		appendStringInfo(&query,
						 "SELECT %s"
						 "coalesce(round(%s.hll_cardinality(counted))::bigint, 0),"
						 " coalesce(round(%s.hll_cardinality(logged))::bigint, 0),",
						 aliases.data, hll, hll);
		appendStringInfo(&query,
						 " CASE WHEN counted IS NULL OR"
						 " %s.hll_ne(%s.hll_union(counted, logged), counted)"
						 " THEN logged END,"
						 " counted IS NOT NULL AND"
						 " %s.hll_ne(%s.hll_union(counted, logged), logged) IS NOT FALSE",
						 hll, hll, hll, hll);
		appendStringInfo(&query,
						 " FROM (SELECT %s%s.hll_union_agg(counted),"
						 " %s.hll_union_agg(logged)"
						 " FROM (SELECT %s%s, NULL::%s.hll FROM ONLY %s",
						 aliases.data, hll,
						 hll,
						 columns.data, amount, hll, slot_table);
		appendStringInfo(&query,
						 " UNION ALL SELECT %sNULL::%s.hll,"
						 " %s.hll_add_agg(%s.hll_hash_text(%s::text), %s)"
						 " FROM %s WHERE %s IS NOT NULL GROUP BY %s)",
						 columns.data, hll,
						 hll, hll, column, slot->sketch->parameters,
						 log_table, column, numbers.data);
		appendStringInfo(&query,
						 " AS side(%scounted, logged) GROUP BY %s)"
						 " AS key(%scounted, logged)"
						 " WHERE %s.hll_ne(counted, logged) IS NOT FALSE",
						 aliases.data, numbers.data,
						 aliases.data,
						 hll);
	}
	if (day > 0)
		appendStringInfo(&query, " ORDER BY %d", day);
	return query.data;
}

/*
 * open_differences
 *		Open a cursor on difference_query, in the active snapshot.
 *
 * A sketch that is being aggregated takes 128 kB, which the planner does not
 * know: one at a time, then, instead of hashing.
 */
static Portal
open_differences(Relation event, CounterBinding *binding)
{
	SPIPlanPtr	plan = SPI_prepare(difference_query(event, binding), 0, NULL);
	Portal		portal;
	int			nest_level = NewGUCNestLevel();

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	if (binding->slot->sketch != NULL)
		(void) set_config_option("enable_hashagg", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	AtEOXact_GUC(true, nest_level);
	return portal;
}

/*
 * verify_column
 *		Which column of verify's result shows a key column: that of the log's
 *		first counter with this name, or VERIFY_FURTHER_KEY.
 */
static int
verify_column(CounterBinding *first, const char *key_name)
{
	for (int i = 0; i < Min(first->nkeys, VERIFY_COUNTED); i++)
	{
		if (namestrcmp(&first->slot->key_names[i], key_name) == 0)
			return i;
	}
	return VERIFY_FURTHER_KEY;
}

/*
 * put_difference
 *		Put a row of difference_query into verify's result.
 */
static void
put_difference(ReturnSetInfo *rsinfo, CounterBinding *first,
			   CounterBinding *binding, const char *counter, HeapTuple tuple,
			   TupleDesc desc)
{
	Datum		values[VERIFY_NCOLUMNS] = {0};
	bool		isnull[VERIFY_NCOLUMNS];
	int			nkeys = binding->nkeys;
	StringInfoData further;

	memset(isnull, true, sizeof(isnull));
	initStringInfo(&further);
	for (int i = 0; i < nkeys; i++)
	{
		const char *name = NameStr(binding->slot->key_names[i]);
		char	   *value = SPI_getvalue(tuple, desc, i + 1);
		int			column = verify_column(first, name);

		if (column == VERIFY_FURTHER_KEY)
			appendStringInfo(&further, "%s%s = %s",
							 further.len > 0 ? ", " : "", name,
							 value != NULL ? value : "null");
		else if (value != NULL)
		{
			values[column] = CStringGetTextDatum(value);
			isnull[column] = false;
		}
	}
	if (further.len > 0)
	{
		values[VERIFY_FURTHER_KEY] = CStringGetTextDatum(further.data);
		isnull[VERIFY_FURTHER_KEY] = false;
	}
	values[VERIFY_COUNTED] = SPI_getbinval(tuple, desc, nkeys + 1,
										   &isnull[VERIFY_COUNTED]);
	values[VERIFY_LOGGED] = SPI_getbinval(tuple, desc, nkeys + 2,
										  &isnull[VERIFY_LOGGED]);
	values[VERIFY_COUNTER] = CStringGetTextDatum(counter);
	isnull[VERIFY_COUNTER] = false;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
}

/*
 * playevent.verify(event regclass)
 *		returns table(track_entry_key text, release_id text, kind text,
 *					  counted bigint, logged bigint,
 *					  counter text, further_key text)
 *
 * The keys whose counters differ from the log in the calling statement's
 * snapshot; no row means exact.  The columns are named as in a log made by
 * create_log, whatever the log's own are called; what else a counter counts by
 * is in further_key.
 *
 * Errors: not a log (55000), no right to read it or its slots (42501), a
 * policy hides rows from the caller (42501).
 */
Datum
playevent_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TriggerDesc *triggers;
	Relation	event = open_log(PG_GETARG_OID(0), &triggers);
	CounterBinding *binding;
	CounterBinding *first = NULL;
	MemoryContext context;
	int			position = 0;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	context = AllocSetContextCreate(CurrentMemoryContext, "playevent verify",
									ALLOCSET_DEFAULT_SIZES);

	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		Portal		portal = open_differences(event, binding);
		char	   *counter = counter_name(binding);

		if (first == NULL)
			first = binding;
		for (;;)
		{
			MemoryContext oldcontext;

			SPI_cursor_fetch(portal, true, FETCH_ROWS);
			if (SPI_processed == 0)
				break;
			oldcontext = MemoryContextSwitchTo(context);
			for (uint64 row = 0; row < SPI_processed; row++)
				put_difference(rsinfo, first, binding, counter,
							   SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
			MemoryContextSwitchTo(oldcontext);
			MemoryContextReset(context);
			SPI_freetuptable(SPI_tuptable);
		}
		SPI_cursor_close(portal);
	}

	SPI_finish();
	relation_close(event, NoLock);
	return (Datum) 0;
}

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
static void
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

/*
 * add_difference
 *		Add to a counter what a row of difference_query says it lacks; false if
 *		nothing.  *has_surplus is set if a sketch has listeners that the log has
 *		not, which nothing takes out again.
 */
static bool
add_difference(CounterBinding *binding, HeapTuple tuple, TupleDesc desc,
			   bool *has_surplus)
{
	Datum		values[COUNTER_MAX_KEYS + 4];
	bool		isnull[COUNTER_MAX_KEYS + 4];
	int			nkeys = binding->nkeys;

	heap_deform_tuple(tuple, desc, values, isnull);
	if (binding->slot->sketch == NULL)
	{
		*has_surplus = false;
		counter_add(binding, values, isnull,
					DatumGetInt64(values[nkeys + 1]) -
					DatumGetInt64(values[nkeys]));
		return true;
	}
	*has_surplus = DatumGetBool(values[nkeys + 3]);
	if (isnull[nkeys + 2])
		return false;
	counter_add_listeners(binding, values, isnull,
						  PointerGetDatum(PG_DETOAST_DATUM(values[nkeys + 2])),
						  true);
	return true;
}

/*
 * rebuild_counter
 *		Add to one counter what it lacks; returns how many keys were wrong.
 */
static int64
rebuild_counter(Relation event, CounterBinding *binding)
{
	SlotBinding *slot = binding->slot;
	MemoryContext context;
	Portal		portal;
	int64		changed = 0;
	int64		surplus = 0;

	/* One's own pending counts would be taken for missing ones. */
	counter_flush(RelationGetRelid(event));
	if (counter_pending_outside(slot))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot rebuild the counters of table \"%s\" in this subtransaction",
						RelationGetRelationName(event)),
				 errdetail("The transaction around it has inserted straight into a partition, and counts that at its end."),
				 errhint("Commit first.")));

	/*
	 * Two rebuilds at once would add the same difference twice.  The lock
	 * makes them take turns, and the snapshot must be later than the lock,
	 * even in REPEATABLE READ.  Writers don't mind this lock.
	 */
	LockRelationOid(slot->relid, ShareUpdateExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());

	context = AllocSetContextCreate(CurrentMemoryContext, "playevent rebuild",
									ALLOCSET_DEFAULT_SIZES);
	portal = open_differences(event, binding);
	for (;;)
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		oldcontext = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool		has_surplus;

			if (add_difference(binding, SPI_tuptable->vals[row],
							   SPI_tuptable->tupdesc, &has_surplus))
				changed++;
			if (has_surplus)
				surplus++;
		}
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	PopActiveSnapshot();
	counter_flush(RelationGetRelid(event));
	MemoryContextDelete(context);

	if (surplus > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("sketches in table \"%s\" have listeners that table \"%s\" has not, for " INT64_FORMAT " keys",
						get_rel_name(slot->relid),
						RelationGetRelationName(event), surplus),
				 errdetail("A listener can't be taken out of a sketch."),
				 errhint("To make them anew, call playevent.drop_counter and playevent.add_listener_sketch.")));
	return changed;
}

/*
 * playevent.rebuild(event regclass) returns bigint
 *
 * Sets a log's counters right and says how many keys were wrong.  Plays go on
 * being recorded meanwhile; other rebuilds of the log, and VACUUM of its slot
 * table, wait until the transaction ends.
 *
 * Errors: not a log (55000), not its owner (42501), a policy hides rows from
 * the caller (42501), in a subtransaction of one that has counts pending
 * (55000), within a statement that inserts into the log (55006), in a read-only
 * transaction (25006).  Locks: the slot table in ShareUpdateExclusiveLock.
 */
Datum
playevent_rebuild(PG_FUNCTION_ARGS)
{
	TriggerDesc *triggers;
	Relation	event = open_log(PG_GETARG_OID(0), &triggers);
	CounterBinding *binding;
	int			position = 0;
	int64		changed = 0;

	PreventCommandIfReadOnly("playevent.rebuild()");
	check_owner(event);
	check_all_counted(event);

	SPI_connect();
	while ((binding = next_counter(event, triggers, &position)) != NULL)
		changed += rebuild_counter(event, binding);
	SPI_finish();

	relation_close(event, NoLock);
	PG_RETURN_INT64(changed);
}

/*
 * playevent.compact(event regclass) returns bigint
 *
 * Merges spare slots, of counters by day those of the last week, and says how
 * many it removed: at most some 10,000 of a counter, so that its transaction is
 * short, for until that ends writers pass the slots it has touched by.  Waits
 * for nobody, and nobody for it; slots in use are left for another time.
 *
 * Errors: not a log (55000), not its owner (42501), in a read-only transaction
 * (25006).  Locks: the slot table in RowExclusiveLock.
 */
Datum
playevent_compact(PG_FUNCTION_ARGS)
{
	TriggerDesc *triggers;
	Relation	event = open_log(PG_GETARG_OID(0), &triggers);
	CounterBinding *binding;
	int			position = 0;
	int64		removed = 0;

	PreventCommandIfReadOnly("playevent.compact()");
	check_owner(event);

	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		SlotWriter *writer = slot_writer_begin(binding->slot);

		removed += slot_writer_compact(writer, COMPACT_LIMIT);
		slot_writer_end(writer);
	}

	relation_close(event, NoLock);
	PG_RETURN_INT64(removed);
}

/*
 * playevent.check_log(event regclass) returns void
 *
 * Reports what would keep the log's triggers from working: see track_binding
 * and counter_binding for the errors.
 */
Datum
playevent_check_log(PG_FUNCTION_ARGS)
{
	TriggerDesc *triggers;
	Relation	event = open_log(PG_GETARG_OID(0), &triggers);

	check_owner(event);
	binding_check(event);
	relation_close(event, NoLock);
	PG_RETURN_VOID();
}

/*
 * playevent.trigger_arguments(tgargs bytea) returns text[]
 *
 * Takes pg_trigger.tgargs apart: strings in the database's encoding, each
 * with a zero byte behind it.
 *
 * Errors: ill-encoded text (22021).
 */
Datum
playevent_trigger_arguments(PG_FUNCTION_ARGS)
{
	bytea	   *tgargs = PG_GETARG_BYTEA_PP(0);
	char	   *next = VARDATA_ANY(tgargs);
	char	   *end = next + VARSIZE_ANY_EXHDR(tgargs);
	ArrayBuildState *result = initArrayResult(TEXTOID, CurrentMemoryContext,
											  false);

	while (next < end)
	{
		int			length = strnlen(next, end - next);

		pg_verifymbstr(next, length, false);
		result = accumArrayResult(result,
								  PointerGetDatum(cstring_to_text_with_len(next, length)),
								  false, TEXTOID, CurrentMemoryContext);
		next += length + 1;
	}
	PG_RETURN_DATUM(makeArrayResult(result, CurrentMemoryContext));
}

/*
 * playevent.named_table(name text, schema oid) returns regclass
 *
 * The table that a trigger's argument names, with the log's schema for names
 * without one; null if there is none, or if it isn't a name.  Asks for no
 * rights, since the names are there for all to see in pg_trigger.
 */
Datum
playevent_named_table(PG_FUNCTION_ARGS)
{
	Oid			namespace;
	Oid			relid = named_relation(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   PG_GETARG_OID(1), &namespace);

	if (!OidIsValid(relid))
		PG_RETURN_NULL();
	PG_RETURN_OID(relid);
}
