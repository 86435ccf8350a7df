/*-------------------------------------------------------------------------
 *
 * record_batch.c
 *	  Records a batch of rows, with a receipt for each: recorded, a duplicate
 *	  of a row that is there, or rejected, which costs the others nothing.
 *
 * Layer: recording.
 *
 * The SQL functions: they read the arrays, let the rows be judged
 * (batch_judge.c) and those that pass be inserted (batch_insert.c), and make
 * the receipts.
 *
 * Nothing here tells a row's values in a message: anon_id is nobody's business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "batch.h"
#include "bulk_insert.h"
#include "heard.h"
#include "record_log.h"
#include "shard.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_record_batch);
PG_FUNCTION_INFO_V1(playevent_record_batch_heard);

/* The arguments of playevent.record_batch. */
enum RecordArg
{
	ARG_EVENT,
	ARG_COLUMNS,
	ARG_KINDS,
	ARG_FIRST_ARRAY				/* in the order of RecordColumn, to releases */
};

/* Those of playevent.record_batch_heard. */
enum RecordHeardArg
{
	HEARD_EVENT,
	HEARD_THRESHOLDS,
	HEARD_KINDS,
	HEARD_COLUMNS,
	HEARD_KEYS,
	HEARD_HEARDS,
	HEARD_EVENT_IDS,
	HEARD_ANON_IDS
};

/*
 * take_apart
 *		Take apart an array of a column's elements.
 */
static void
take_apart(BatchColumn *column, ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"%s\" has more than one dimension",
						column->argument)));
	get_typlenbyvalalign(column->element_type, &column->len, &column->byval,
						 &column->align);
	deconstruct_array(array, column->element_type, column->len, column->byval,
					  column->align, &column->values, &column->isnull,
					  &column->n);
}

/*
 * read_array
 *		Take apart one of the arrays, and check that it fits its column.
 */
static void
read_array(FunctionCallInfo fcinfo, int arg, Batch *batch, RecordColumn c,
		   const char *argument)
{
	BatchColumn *column = &batch->columns[c];
	AttrNumber	attno = batch->log.attnos[c];
	Oid			wanted;

	column->argument = argument;
	column->n = -1;
	if (PG_ARGISNULL(arg))
		return;

	column->array_type = get_fn_expr_argtype(fcinfo->flinfo, arg);
	column->element_type = get_element_type(getBaseType(column->array_type));
	if (attno == InvalidAttrNumber || !OidIsValid(column->element_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 attno == InvalidAttrNumber ?
				 errmsg("table \"%s\" has no column for argument \"%s\"",
						RelationGetRelationName(batch->log.rel), argument) :
				 errmsg("argument \"%s\" is no array", argument)));
	wanted = TupleDescAttr(RelationGetDescr(batch->log.rel), attno - 1)->atttypid;
	if (!IsBinaryCoercible(column->element_type, getBaseType(wanted)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument \"%s\" is an array of type %s, but the column has type %s",
						argument, format_type_be(column->element_type),
						format_type_be(wanted))));
	if (c == RECORD_TIME && !is_moment(getBaseType(wanted)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument \"%s\" is for a column of type %s, not %s",
						argument, format_type_be(TIMESTAMPTZOID),
						format_type_be(wanted))));

	take_apart(column, PG_GETARG_ARRAYTYPE_P(arg));
}

/*
 * check_lengths
 *		Check that all arrays that were given have one length.
 */
static void
check_lengths(Batch *batch)
{
	BatchColumn *key = &batch->columns[RECORD_KEY];
	BatchColumn *kind = &batch->columns[RECORD_KIND];

	if (key->n < 0 || kind->n < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null",
						key->n < 0 ? key->argument : kind->argument)));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		BatchColumn *column = &batch->columns[c];

		if (column->n >= 0 && column->n != key->n)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("arguments \"%s\" and \"%s\" differ in length",
							key->argument, column->argument),
					 errdetail("They have %d and %d elements.",
							   key->n, column->n),
					 errhint("Give each row an element in every array, or leave an array out.")));
	}
	batch->n = key->n;
	if ((Size) batch->n > MaxAllocSize / sizeof(RecordRow))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("batch has %d rows, which is too many", batch->n),
				 errhint("Send them in several batches; more than some thousand rows gain nothing.")));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
		batch->log.sent[c] = batch->columns[c].n >= 0;
}

/*
 * put_recorded
 *		The receipt of a row that was recorded, of which form is one.
 *
 * All such differ in ord, the first column, and id, the last one that is not
 * null, which ends the tuple.  To form each anew would take three times as
 * long.
 */
static void
put_recorded(ReturnSetInfo *rsinfo, HeapTuple form, RecordRow *row)
{
	int32		ord = row->ord;

	memcpy(GETSTRUCT(form), &ord, sizeof(ord));
	memcpy((char *) form->t_data + form->t_len - sizeof(row->id), &row->id,
		   sizeof(row->id));
	tuplestore_puttuple(rsinfo->setResult, form);
}

/*
 * return_receipts
 *		A row of the result for each of the batch, in its order.
 */
static void
return_receipts(ReturnSetInfo *rsinfo, Batch *batch)
{
	Datum		statuses[] = {
		[RECORD_RECORDED] = CStringGetTextDatum("recorded"),
		[RECORD_DUPLICATE] = CStringGetTextDatum("duplicate"),
		[RECORD_REJECTED] = CStringGetTextDatum("rejected"),
	};
	HeapTuple	recorded = NULL;

	for (int i = 0; i < batch->n; i++)
	{
		RecordRow  *row = &batch->rows[i];
		bool		rejected = row->status == RECORD_REJECTED;
		Datum		values[4] = {
			Int32GetDatum(row->ord), statuses[row->status],
			Int64GetDatum(row->id), (Datum) 0
		};
		bool		isnull[4] = {false, false, rejected, !rejected};

		CHECK_FOR_INTERRUPTS();
		Assert(row->status != RECORD_PENDING);
		if (row->status == RECORD_RECORDED)
		{
			if (recorded == NULL)
				recorded = heap_form_tuple(rsinfo->setDesc, values, isnull);
			put_recorded(rsinfo, recorded, row);
			continue;
		}
		if (rejected)
			values[3] = CStringGetTextDatum(row->reason);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
}

/*
 * read_arguments
 *		Find the columns, and take apart the arrays for them.
 */
static void
read_arguments(FunctionCallInfo fcinfo, Batch *batch)
{
	/* as the log's own functions call them */
	const char *names[] = {
		[RECORD_KEY] = "track_entry_keys",
		[RECORD_EVENT_ID] = "event_ids",
		[RECORD_ANON_ID] = "anon_ids",
		[RECORD_RELEASE] = "release_ids",
	};
	RecordLog  *log = &batch->log;
	const char *kind_column;

	find_record_columns(log, record_names(PG_GETARG_ARRAYTYPE_P(ARG_COLUMNS)));
	kind_column = NameStr(log->names[NAME_OF(RECORD_KIND)]);
	names[RECORD_KIND] = psprintf("%s%s", kind_column,
								  pg_str_endswith(kind_column, "s") ?
								  "es" : "s");
	names[RECORD_TIME] = NameStr(log->names[NAME_OF(RECORD_TIME)]);
	if (names[RECORD_TIME][0] == '\0')
		names[RECORD_TIME] = "times";

	batch->columns[RECORD_HEARD].n = -1;
	for (int c = 0; c <= RECORD_RELEASE; c++)
		read_array(fcinfo, ARG_FIRST_ARRAY + c, batch, c, names[c]);
	check_lengths(batch);
	kind_rule(batch->columns[RECORD_KIND].element_type,
			  PG_ARGISNULL(ARG_KINDS) ? NULL : PG_GETARG_ARRAYTYPE_P(ARG_KINDS),
			  &batch->kind_rule);
}

/*
 * fill_column
 *		A column whose values are made of another's.
 */
static void
fill_column(BatchColumn *column, const char *argument, Oid type, int n)
{
	column->argument = argument;
	column->element_type = type;
	column->array_type = get_array_type(type);
	get_typlenbyvalalign(type, &column->len, &column->byval, &column->align);
	column->n = n;
	column->values = palloc0(Max(n, 1) * sizeof(Datum));
	column->isnull = palloc0(Max(n, 1) * sizeof(bool));
}

/*
 * tell_kinds
 *		Make kinds, and what is kept, of how much was heard.
 */
static void
tell_kinds(Batch *batch, const HeardRule *rule, const BatchColumn *heard)
{
	RecordLog  *log = &batch->log;
	BatchColumn *kind = &batch->columns[RECORD_KIND];
	BatchColumn *kept = &batch->columns[RECORD_HEARD];
	Datum	   *kinds = palloc(rule->n * sizeof(Datum));
	PlayFault  *faults = palloc(Max(heard->n, 1) * sizeof(PlayFault));

	fill_column(kind, heard->argument,
				kind_type(log->rel, &log->names[NAME_OF(RECORD_KIND)]),
				heard->n);
	for (int i = 0; i < rule->n; i++)
		kinds[i] = kind_value(kind->element_type,
							  TextDatumGetCString(rule->kinds[i]));
	if (log->attnos[RECORD_HEARD] != InvalidAttrNumber)
		fill_column(kept, heard->argument,
					heard_type(log->rel, log->attnos[RECORD_HEARD]), heard->n);

	for (int i = 0; i < heard->n; i++)
	{
		float8		value = DatumGetFloat8(heard->values[i]);
		int			which;

		faults[i] = heard->isnull[i] ? FAULT_NOT_HEARD :
			heard_fault(rule, value, &which);
		if (faults[i] != FAULT_NONE)
			continue;
		kind->values[i] = kinds[which];
		if (kept->n >= 0)
			kept->values[i] = heard_value(kept->element_type, value);
	}
	batch->heard_faults = faults;
	kind_rule(kind->element_type, NULL, &batch->kind_rule);
}

/*
 * read_heard_arguments
 *		The same, of a batch that says how much was heard.
 */
static void
read_heard_arguments(FunctionCallInfo fcinfo, Batch *batch)
{
	BatchColumn heard = {.argument = "heards",.element_type = FLOAT8OID,.n = -1};
	HeardRule	rule;

	find_record_columns(&batch->log,
						record_names(PG_GETARG_ARRAYTYPE_P(HEARD_COLUMNS)));
	heard_rule(PG_GETARG_ARRAYTYPE_P(HEARD_THRESHOLDS),
			   PG_GETARG_ARRAYTYPE_P(HEARD_KINDS), &rule);
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
		batch->columns[c].n = -1;
	read_array(fcinfo, HEARD_KEYS, batch, RECORD_KEY, "track_entry_keys");
	read_array(fcinfo, HEARD_EVENT_IDS, batch, RECORD_EVENT_ID, "event_ids");
	read_array(fcinfo, HEARD_ANON_IDS, batch, RECORD_ANON_ID, "anon_ids");
	if (!PG_ARGISNULL(HEARD_HEARDS))
		take_apart(&heard, PG_GETARG_ARRAYTYPE_P(HEARD_HEARDS));
	batch->columns[RECORD_KIND].argument = heard.argument;
	if (heard.n >= 0)
		tell_kinds(batch, &rule, &heard);
	check_lengths(batch);
}

/*
 * read_triggers
 *		What the log's triggers will set: releases, the day.
 */
static void
read_triggers(RecordLog *log)
{
	log->triggers = CopyTriggerDesc(log->rel->trigdesc);
	if (log->triggers == NULL)
		log->triggers = palloc0(sizeof(TriggerDesc));
	for (int i = 0; i < log->triggers->numtriggers; i++)
	{
		Trigger    *trigger = &log->triggers->triggers[i];

		if (!trigger_fires(trigger) || !makes_new_rows(trigger))
			continue;
		if (role_of(trigger) == ROLE_RESOLVE)
			log->resolved = true;
		else if (role_of(trigger) == ROLE_DAY)
		{
			day_columns(log->rel, trigger, &log->day);
			log->has_day = true;
		}
	}
}

/*
 * record
 *		Record the batch that is read from the arguments, and return receipts.
 */
static Datum
record(FunctionCallInfo fcinfo, void (*read_batch) (FunctionCallInfo, Batch *))
{
	Batch		batch = {0};
	RecordLog  *log = &batch.log;
	Oid			caller;
	int			security;
	bool		bulk;

	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	InitMaterializedSRF(fcinfo, 0);

	batch.context = CurrentMemoryContext;
	log->rel = open_log(PG_GETARG_TEXT_PP(0));
	log->distributed = is_distributed(RelationGetRelid(log->rel),
									  &log->by_track);
	if (!log->distributed)
		check_no_shell(RelationGetRelid(log->rel), RelationGetRelid(log->rel));
	read_batch(fcinfo, &batch);

	/* An error undoes this with the (sub)transaction that it ends. */
	GetUserIdAndSecContext(&caller, &security);
	SetUserIdAndSecContext(log->rel->rd_rel->relowner,
						   security | SECURITY_LOCAL_USERID_CHANGE);
	read_triggers(log);
	/* Neither rows nor releases are in a shell. */
	bulk = !log->distributed && bulk_insert_possible(log) &&
		prepare_lookups(&batch);
	judge_rows(&batch);

	SPI_connect();
	MemoryContextSwitchTo(batch.context);
	record_accepted(&batch, bulk);
	SPI_finish();
	MemoryContextSwitchTo(batch.context);
	SetUserIdAndSecContext(caller, security);

	return_receipts((ReturnSetInfo *) fcinfo->resultinfo, &batch);
	if (batch.estate != NULL)
		FreeExecutorState(batch.estate);
	table_close(log->rel, NoLock);
	return (Datum) 0;
}

/*
 * playevent.record_batch(event text, columns name[], known_kinds text[],
 *						  keys, kinds, event_ids, anon_ids, times, releases)
 *		returns table(ord int, status text, id bigint, reason text)
 *
 * Records a batch in a log, whose columns are called so (record_log.h), and
 * returns a receipt for each row.  Kinds other than the known ones are
 * rejected, if these are not null.  Whoever calls it must own the log: the
 * log's own functions let others do so.
 *
 * Rights: what the table runs for its rows, defaults, constraints, expressions
 * of indexes, triggers, it runs as its owner, who wrote it: the caller may be
 * a superuser, or own functions of a table that changed hands.  But for what is
 * deferred to the transaction's end, which is the session's.  The user is
 * switched here and not by owner_enter (as_owner.c), for these are the app's own
 * rows: its forced policies apply to them, and its triggers may do what a
 * security-restricted operation refuses.
 *
 * Locks: as an INSERT.  Waits for transactions that insert the same event_ids,
 * as a unique index does.
 *
 * In a distributed log (shard.c), Citus takes rows to their tracks' shards
 * (batch_shards.c).
 *
 * Errors: arrays that differ in length (2202E) or are missing (22004) or of
 * another type (42804); no such table (42P01); not the owner (42501); a table
 * that Citus manages in another way (55000); what the triggers report of a log
 * that doesn't work; whatever is no row's fault (record_fault.c).  In REPEATABLE
 * READ and SERIALIZABLE, an event_id that another transaction has recorded
 * meanwhile (40001).
 */
Datum
playevent_record_batch(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, "record_batch", ARG_KINDS);
	return record(fcinfo, read_arguments);
}

/*
 * playevent.record_batch_heard(event text, thresholds double precision[],
 *								kinds text[], columns name[], keys,
 *								heards double precision[], event_ids, anon_ids)
 *		returns table(ord int, status text, id bigint, reason text)
 *
 * The same for rows of which it is known how much of the track was heard: of the
 * kind that kind_of would say, and with that itself, if the log has a column for
 * it.  One that is under the least threshold is rejected, and so is one that
 * doesn't say, or says what can't be.
 *
 * Errors: as above; thresholds and kinds that don't match (2202E), a kind that is
 * none (22P02).
 */
Datum
playevent_record_batch_heard(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, "record_batch_heard", HEARD_KEYS);
	return record(fcinfo, read_heard_arguments);
}
