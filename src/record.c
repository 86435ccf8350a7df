/*-------------------------------------------------------------------------
 *
 * record.c
 *	  Records a batch of rows, with a receipt for each: recorded, a duplicate
 *	  of a row that is there, or rejected, which costs the others nothing.
 *
 * Rows are judged first, as the table and its triggers would.  Those that pass
 * go in all at once, directly if nobody else has a say in it (direct.c), else
 * by an INSERT ... ON CONFLICT.  Both in a subtransaction: if the direct way
 * meets an event_id that is there already, the other one follows; if that
 * meets an error of one row, which nobody could foresee, the rows are halved
 * until those that cause one are alone.
 *
 * event_ids are inserted in their order, so that two batches with the same
 * ones don't wait for each other in a circle.
 *
 * Nothing here tells a row's values in a message: anon_id is nobody's business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/string.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "port/pg_bswap.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "binding.h"
#include "compat.h"
#include "playevent.h"
#include "record.h"
#include "release.h"

PG_FUNCTION_INFO_V1(playevent_record_batch);

/* The arguments of playevent.record_batch. */
enum RecordArg
{
	ARG_EVENT,
	ARG_KIND_COLUMN,
	ARG_TIME_COLUMN,
	ARG_FIRST_ARRAY,			/* in the order of RecordColumn */
	ARG_COUNT = ARG_FIRST_ARRAY + RECORD_NCOLUMNS
};

/* One of the arrays that a batch consists of. */
typedef struct BatchColumn
{
	const char *argument;
	Oid			array_type;
	Oid			element_type;
	int16		len;
	bool		byval;
	char		align;
	int			n;				/* -1 if the array is null */
	Datum	   *values;
	bool	   *isnull;
} BatchColumn;

typedef struct Batch
{
	RecordLog	log;
	MemoryContext context;
	BatchColumn columns[RECORD_NCOLUMNS];
	int			n;
	RecordRow  *rows;
	ReleaseMemo *tracks;		/* by key; NULL if not known beforehand */
	ReleaseMemo *releases;		/* by release, for rows without a key */
	bool		key_is_string;
	int			key_max_chars;	/* 0 if there is no limit */

	/* for INSERT ... ON CONFLICT */
	SPIPlanPtr	insert_plan;
	SPIPlanPtr	find_plan;
	EState	   *estate;
	ExprState  *next_id;
} Batch;

/*
 * read_array
 *		Take apart one of the arrays, and check that it fits its column.
 */
static void
read_array(FunctionCallInfo fcinfo, Batch *batch, RecordColumn c,
		   const char *argument)
{
	BatchColumn *column = &batch->columns[c];
	int			arg = ARG_FIRST_ARRAY + c;
	AttrNumber	attno = batch->log.attnos[c];
	ArrayType  *array;
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
	if (!IsBinaryCoercible(column->element_type, wanted))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument \"%s\" is an array of type %s, but the column has type %s",
						argument, format_type_be(column->element_type),
						format_type_be(wanted))));

	array = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("argument \"%s\" has more than one dimension",
						argument)));
	get_typlenbyvalalign(column->element_type, &column->len, &column->byval,
						 &column->align);
	deconstruct_array(array, column->element_type, column->len, column->byval,
					  column->align, &column->values, &column->isnull,
					  &column->n);
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
}

/*
 * find_column
 *		The number of a column of the event table.
 */
static AttrNumber
find_column(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						name, RelationGetRelationName(rel)),
				 errhint("Rename it back: the log's functions know it by this name."),
				 errtable(rel)));
	return attno;
}

/*
 * prepare_lookups
 *		Look up releases as the log's triggers will, if they alone decide.
 *
 * A log has one such trigger, or one for rows with a track and one for those
 * with a release only.
 */
static void
prepare_lookups(Batch *batch)
{
	TriggerDesc *triggers = batch->log.triggers;
	Snapshot	snapshot = GetActiveSnapshot();

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger_fires(trigger) ||
			!trigger_calls(trigger, playevent_resolve))
			continue;
		if (resolves_releases(trigger))
			batch->releases = release_memo(batch->log.rel, trigger, snapshot);
		else
			batch->tracks = release_memo(batch->log.rel, trigger, snapshot);
	}
}

/*
 * judge_key
 *		Why a row's track can't be recorded, or NULL; sets the release.
 */
static const char *
judge_key(Batch *batch, RecordRow *row)
{
	Datum	   *key = &row->values[RECORD_KEY];
	Datum	   *release = &row->values[RECORD_RELEASE];
	bool	   *release_isnull = &row->isnull[RECORD_RELEASE];

	if (row->isnull[RECORD_KEY])
	{
		Datum		sent = *release;

		if (*release_isnull)
			return "no key";
		if (batch->releases != NULL &&
			!release_of(batch->releases, &sent, release, release_isnull))
			return "unknown release";
		return NULL;
	}
	if (batch->key_is_string)
	{
		struct varlena *string = PG_DETOAST_DATUM_PACKED(*key);
		int			size = VARSIZE_ANY_EXHDR(string);

		if (size == 0)
			return "empty key";
		if (batch->key_max_chars > 0 && size > batch->key_max_chars &&
			pg_mbstrlen_with_len(VARDATA_ANY(string), size) > batch->key_max_chars)
			return "key too long";
	}
	if (batch->tracks != NULL &&
		!release_of(batch->tracks, key, release, release_isnull))
		return "unknown track";
	return NULL;
}

/*
 * judge_row
 *		Why a row can't be recorded, or NULL.
 */
static const char *
judge_row(Batch *batch, RecordRow *row)
{
	const char *reason = judge_key(batch, row);

	if (reason == NULL && row->isnull[RECORD_KIND])
		reason = "no kind";
	if (reason == NULL && !row->isnull[RECORD_TIME])
	{
		TimestampTz time = DatumGetTimestampTz(row->values[RECORD_TIME]);

		if (TIMESTAMP_NOT_FINITE(time))
			reason = "time not finite";
		else if (time > GetCurrentTransactionStartTimestamp())
			reason = "time in the future";
	}
	return reason;
}

/*
 * compare_event_ids
 *		Rows without one come last; among equals the first one sent is first.
 */
static inline int
compare_event_ids(const RecordRow *a, const RecordRow *b)
{
	int			result;

	if (a->event_id_head != b->event_id_head)
		return a->event_id_head < b->event_id_head ? -1 : 1;
	if (a->isnull[RECORD_EVENT_ID] || b->isnull[RECORD_EVENT_ID])
		result = a->isnull[RECORD_EVENT_ID] - b->isnull[RECORD_EVENT_ID];
	else
		result = memcmp(DatumGetUUIDP(a->values[RECORD_EVENT_ID])->data,
						DatumGetUUIDP(b->values[RECORD_EVENT_ID])->data,
						UUID_LEN);
	return result != 0 ? result : a->ord - b->ord;
}

/*
 * event_id_head
 *		What compare_event_ids looks at first.
 */
static uint64
event_id_head(RecordRow *row)
{
	uint64		head;

	if (row->isnull[RECORD_EVENT_ID])
		return PG_UINT64_MAX;
	memcpy(&head, DatumGetUUIDP(row->values[RECORD_EVENT_ID])->data,
		   sizeof(head));
	return pg_ntoh64(head);
}

typedef RecordRow *RecordRowPointer;

#define ST_SORT sort_by_event_id
#define ST_ELEMENT_TYPE RecordRowPointer
#define ST_COMPARE(a, b) compare_event_ids(*(a), *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static bool
same_event_id(RecordRow *a, RecordRow *b)
{
	return !a->isnull[RECORD_EVENT_ID] && !b->isnull[RECORD_EVENT_ID] &&
		memcmp(DatumGetUUIDP(a->values[RECORD_EVENT_ID])->data,
			   DatumGetUUIDP(b->values[RECORD_EVENT_ID])->data, UUID_LEN) == 0;
}

/*
 * prepare_statements
 *		Plan the INSERT, and the search for what was there before it.
 */
static void
prepare_statements(Batch *batch)
{
	Relation	rel = batch->log.rel;
	const char *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												   RelationGetRelationName(rel));
	Node	   *next_id = build_column_default(rel, batch->log.id);
	Oid			types[RECORD_NCOLUMNS + 1];
	StringInfoData columns;
	StringInfoData parameters;
	StringInfoData query;
	int			n = 0;

	if (next_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"id\" of table \"%s\" has no default",
						RelationGetRelationName(rel)),
				 errhint("Make it an identity column again."),
				 errtablecol(rel, batch->log.id)));
	batch->estate = CreateExecutorState();
	batch->next_id = ExecPrepareExpr((Expr *) next_id, batch->estate);

	initStringInfo(&columns);
	initStringInfo(&parameters);
	appendStringInfoString(&columns, "id");
	appendStringInfoString(&parameters, "pg_catalog.unnest($1)");
	types[n++] = INT8ARRAYOID;
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (batch->columns[c].n < 0)
			continue;
		types[n++] = batch->columns[c].array_type;
		appendStringInfo(&columns, ", %s",
						 quote_identifier(get_attname(RelationGetRelid(rel),
													  batch->log.attnos[c], false)));
		appendStringInfo(&parameters, ", pg_catalog.unnest($%d)", n);
	}

	initStringInfo(&query);
	appendStringInfo(&query,
					 "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE"
					 " SELECT * FROM ROWS FROM (%s) AS sent"
					 " ON CONFLICT (event_id) WHERE event_id IS NOT NULL"
					 " DO NOTHING RETURNING id",
					 table, columns.data, parameters.data);
	batch->insert_plan = SPI_prepare(query.data, n, types);
	if (batch->insert_plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));

	resetStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT event_id, id FROM %s"
					 " WHERE event_id OPERATOR(pg_catalog.=) ANY ($1)", table);
	types[0] = UUIDARRAYOID;
	batch->find_plan = SPI_prepare(query.data, 1, types);
	if (batch->find_plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
}

static Datum
make_array(BatchColumn *column, RecordRow **rows, RecordColumn c, int n)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *isnull = palloc(n * sizeof(bool));
	int			lower = 1;

	for (int i = 0; i < n; i++)
	{
		values[i] = rows[i]->values[c];
		isnull[i] = rows[i]->isnull[c];
	}
	return PointerGetDatum(construct_md_array(values, isnull, 1, &n, &lower,
											  column->element_type, column->len,
											  column->byval, column->align));
}

/*
 * find_event_id
 *		The row of this event_id among rows in its order, of which each has
 *		another; or NULL.
 */
static RecordRow *
find_event_id(RecordRow **rows, int n, RecordRow *wanted)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (compare_event_ids(rows[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && same_event_id(rows[low], wanted) ? rows[low] : NULL;
}

/*
 * find_first_ids
 *		Fill in the ids of rows that were there before those that are pending.
 */
static void
find_first_ids(Batch *batch, RecordRow **rows, int n)
{
	RecordRow **sought = palloc(n * sizeof(RecordRow *));
	int			nsought = 0;
	Datum		value;

	for (int i = 0; i < n; i++)
	{
		if (rows[i]->status == RECORD_PENDING &&
			!rows[i]->isnull[RECORD_EVENT_ID])
			sought[nsought++] = rows[i];
	}
	if (nsought == 0)
		return;

	value = make_array(&batch->columns[RECORD_EVENT_ID], sought,
					   RECORD_EVENT_ID, nsought);
	SPI_execute_plan(batch->find_plan, &value, NULL, false, 0);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[r];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		RecordRow	found = {.ord = -1};	/* before any that was sent */
		RecordRow  *match;
		bool		isnull;

		found.values[RECORD_EVENT_ID] = SPI_getbinval(tuple, desc, 1, &isnull);
		found.event_id_head = event_id_head(&found);
		match = find_event_id(sought, nsought, &found);
		if (match != NULL)
		{
			match->status = RECORD_DUPLICATE;
			match->id = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * insert_by_statement
 *		INSERT ... ON CONFLICT DO NOTHING of rows in the order of event_id.
 */
static void
insert_by_statement(Batch *batch, RecordRow **rows, int n)
{
	Datum		values[RECORD_NCOLUMNS + 1];
	Datum	   *ids = palloc(n * sizeof(Datum));
	ExprContext *econtext;
	int			nvalues = 0;
	int			at = 0;

	econtext = GetPerTupleExprContext(batch->estate);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		ids[i] = ExecEvalExprSwitchContext(batch->next_id, econtext, &isnull);
		rows[i]->id = DatumGetInt64(ids[i]);
		rows[i]->status = RECORD_PENDING;
	}
	values[nvalues++] = PointerGetDatum(construct_array(ids, n, INT8OID, 8,
														FLOAT8PASSBYVAL,
														TYPALIGN_DOUBLE));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (batch->columns[c].n >= 0)
			values[nvalues++] = make_array(&batch->columns[c], rows, c, n);
	}
	SPI_execute_plan(batch->insert_plan, values, NULL, false, 0);

	/* They come back in the order in which they went. */
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[r],
													 SPI_tuptable->tupdesc, 1,
													 &isnull));

		while (at < n && rows[at]->id != id)
			at++;
		if (at == n)
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("a trigger on table \"%s\" changes column \"id\"",
							RelationGetRelationName(batch->log.rel)),
					 errdetail("Receipts tell rows by it.")));
		rows[at++]->status = RECORD_RECORDED;
	}
	SPI_freetuptable(SPI_tuptable);

	find_first_ids(batch, rows, n);
	for (int i = 0; i < n; i++)
	{
		if (rows[i]->status == RECORD_PENDING)
		{
			rows[i]->status = RECORD_REJECTED;
			rows[i]->reason = "left out by a trigger";
		}
	}
}

/*
 * is_of_row
 *		Is this an error that a row's values may have caused?
 */
static bool
is_of_row(ErrorData *edata)
{
	int			category = ERRCODE_TO_CATEGORY(edata->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		edata->sqlerrcode == ERRCODE_RAISE_EXCEPTION;
}

/*
 * try_insert
 *		Insert rows, in a subtransaction; returns the error, if it may be one
 *		row's.
 */
static ErrorData *
try_insert(Batch *batch, RecordRow **rows, RecordRow **by_event_id, int n,
		   bool direct)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	MemoryContext context = AllocSetContextCreate(batch->context,
												  "playevent batch",
												  ALLOCSET_DEFAULT_SIZES);
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (direct)
			direct_insert(&batch->log, rows, by_event_id, n);
		else
			insert_by_statement(batch, by_event_id, n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(batch->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	MemoryContextDelete(context);

	if (error != NULL && !is_of_row(error))
		ReThrowError(error);
	return error;
}

/*
 * reason_of
 *		What to tell of a row that met an error.  The triggers' own reasons are
 *		those of judge_key; the message of any other is its owner's.
 */
static const char *
reason_of(Batch *batch, ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION &&
		error->constraint_name == NULL && error->column_name != NULL)
	{
		AttrNumber	attno = get_attnum(RelationGetRelid(batch->log.rel),
									   error->column_name);

		if (attno == batch->log.attnos[RECORD_KEY])
			return "unknown track";
		if (attno == batch->log.attnos[RECORD_RELEASE])
			return "unknown release";
	}
	return error->message;
}

/*
 * insert_rows
 *		Insert rows in the order of event_id, so that each gets a status.
 */
static void
insert_rows(Batch *batch, RecordRow **rows, int n)
{
	ErrorData  *error;

	/* Before the subtransaction, so as to outlive it */
	if (batch->insert_plan == NULL)
		prepare_statements(batch);
	error = try_insert(batch, NULL, rows, n, false);
	if (error == NULL)
		return;
	if (n == 1)
	{
		rows[0]->status = RECORD_REJECTED;
		rows[0]->reason = reason_of(batch, error);
		return;
	}
	insert_rows(batch, rows, n / 2);
	insert_rows(batch, rows + n / 2, n - n / 2);
}

/*
 * record_accepted
 *		Record the rows that were not rejected, once each.
 */
static void
record_accepted(Batch *batch, bool direct)
{
	RecordRow **rows = palloc(batch->n * sizeof(RecordRow *));
	RecordRow **sorted = rows;
	int			n = 0;
	int			unique = 0;

	for (int i = 0; i < batch->n; i++)
	{
		if (batch->rows[i].status == RECORD_PENDING)
			rows[n++] = &batch->rows[i];
	}

	if (batch->columns[RECORD_EVENT_ID].n >= 0)
	{
		sorted = palloc(batch->n * sizeof(RecordRow *));
		memcpy(sorted, rows, n * sizeof(RecordRow *));
		sort_by_event_id(sorted, n);
		for (int i = 0; i < n; i++)
		{
			if (unique > 0 && same_event_id(sorted[unique - 1], sorted[i]))
			{
				sorted[i]->first = sorted[unique - 1];
				sorted[i]->status = RECORD_DUPLICATE;
			}
			else
				sorted[unique++] = sorted[i];
		}
		n = 0;
		for (int i = 0; i < batch->n; i++)
		{
			if (batch->rows[i].status == RECORD_PENDING)
				rows[n++] = &batch->rows[i];
		}
		Assert(n == unique);
	}
	if (n == 0)
		return;

	if (direct && try_insert(batch, rows, sorted, n, true) == NULL)
	{
		for (int i = 0; i < n; i++)
			rows[i]->status = RECORD_RECORDED;
	}
	else
		insert_rows(batch, sorted, n);

	/* In place of a first one that met an error, the next may do. */
	for (int i = 0; i < batch->n; i++)
	{
		RecordRow  *row = &batch->rows[i];

		if (row->first == NULL)
			continue;
		if (row->first->status == RECORD_REJECTED)
			insert_rows(batch, &row, 1);
		else
			row->id = row->first->id;
	}
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
 * playevent.record_batch(event regclass, kind_column name, time_column name,
 *						  keys, kinds, event_ids, anon_ids, times, releases)
 *		returns table(ord int, status text, id bigint, reason text)
 *
 * Records a batch in a log of create_log's shape, and returns a receipt for
 * each row.  Whoever calls it must own the log: the log's own functions let
 * others do so.
 *
 * Locks: as an INSERT.  Waits for transactions that insert the same event_ids,
 * as a unique index does.
 *
 * Errors: arrays that differ in length (2202E) or are missing (22004) or of
 * another type (42804); not the owner (42501); what the triggers report of a
 * log that doesn't work.  In REPEATABLE READ and SERIALIZABLE, an event_id that
 * another transaction has recorded meanwhile (40001).
 */
Datum
playevent_record_batch(PG_FUNCTION_ARGS)
{
	/* as the log's own functions call them */
	const char *names[] = {
		[RECORD_KEY] = "track_entry_keys",
		[RECORD_EVENT_ID] = "event_ids",
		[RECORD_ANON_ID] = "anon_ids",
		[RECORD_RELEASE] = "release_ids",
	};
	const char *kind_column;
	Batch		batch = {0};
	RecordLog  *log = &batch.log;
	Relation	rel;
	Form_pg_attribute key;
	bool		direct;

	for (int arg = ARG_EVENT; arg < ARG_FIRST_ARRAY; arg++)
	{
		if (PG_ARGISNULL(arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d of playevent.record_batch must not be null",
							arg + 1)));
	}
	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	InitMaterializedSRF(fcinfo, 0);

	batch.context = CurrentMemoryContext;
	log->rel = rel = table_open(PG_GETARG_OID(ARG_EVENT), RowExclusiveLock);
	if (!relation_ownercheck(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(rel));
	log->triggers = rel->trigdesc != NULL ? CopyTriggerDesc(rel->trigdesc) :
		palloc0(sizeof(TriggerDesc));
	log->id = find_column(rel, "id");
	if (TupleDescAttr(RelationGetDescr(rel), log->id - 1)->atttypid != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"id\" of table \"%s\" has type %s, not bigint",
						RelationGetRelationName(rel),
						format_type_be(TupleDescAttr(RelationGetDescr(rel), log->id - 1)->atttypid)),
				 errdetail("Receipts tell it."),
				 errtablecol(rel, log->id)));
	log->attnos[RECORD_KEY] = find_column(rel, "track_entry_key");
	kind_column = NameStr(*PG_GETARG_NAME(ARG_KIND_COLUMN));
	log->attnos[RECORD_KIND] = find_column(rel, kind_column);
	names[RECORD_KIND] = psprintf("%s%s", kind_column,
								  pg_str_endswith(kind_column, "s") ?
								  "es" : "s");
	log->attnos[RECORD_EVENT_ID] = find_column(rel, "event_id");
	log->attnos[RECORD_ANON_ID] = find_column(rel, "anon_id");
	names[RECORD_TIME] = NameStr(*PG_GETARG_NAME(ARG_TIME_COLUMN));
	log->attnos[RECORD_TIME] = find_column(rel, names[RECORD_TIME]);
	log->attnos[RECORD_RELEASE] = find_column(rel, "release_id");

	for (int c = 0; c < RECORD_NCOLUMNS; c++)
		read_array(fcinfo, &batch, c, names[c]);
	check_lengths(&batch);
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
		log->sent[c] = batch.columns[c].n >= 0;

	key = TupleDescAttr(RelationGetDescr(rel), log->attnos[RECORD_KEY] - 1);
	batch.key_is_string = column_is_string(key);
	if (key->atttypid == VARCHAROID && key->atttypmod >= VARHDRSZ)
		batch.key_max_chars = key->atttypmod - VARHDRSZ;

	direct = direct_possible(log);
	if (direct)
		prepare_lookups(&batch);
	log->resolved = batch.tracks != NULL || batch.releases != NULL;

	if ((Size) batch.n > MaxAllocSize / sizeof(RecordRow))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("batch has %d rows, which is too many", batch.n),
				 errhint("Send them in several batches; more than some thousand rows gain nothing.")));
	batch.rows = palloc0(batch.n * sizeof(RecordRow));
	for (int i = 0; i < batch.n; i++)
	{
		RecordRow  *row = &batch.rows[i];

		row->ord = i + 1;
		for (int c = 0; c < RECORD_NCOLUMNS; c++)
		{
			BatchColumn *column = &batch.columns[c];

			row->isnull[c] = column->n < 0 || column->isnull[i];
			if (!row->isnull[c])
				row->values[c] = column->values[i];
		}
		row->event_id_head = event_id_head(row);
		row->reason = judge_row(&batch, row);
		if (row->reason != NULL)
			row->status = RECORD_REJECTED;
	}

	SPI_connect();
	MemoryContextSwitchTo(batch.context);
	record_accepted(&batch, direct);
	SPI_finish();
	MemoryContextSwitchTo(batch.context);

	return_receipts((ReturnSetInfo *) fcinfo->resultinfo, &batch);
	if (batch.estate != NULL)
		FreeExecutorState(batch.estate);
	table_close(rel, NoLock);
	return (Datum) 0;
}
