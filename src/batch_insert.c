/*-------------------------------------------------------------------------
 *
 * batch_insert.c
 *	  Inserts the rows of a batch that were not rejected, and finds out what
 *	  became of each.
 *
 * Layer: recording.
 *
 * They go in all at once, in bulk if nobody else has a say in it
 * (bulk_insert.c), else by an INSERT ... ON CONFLICT.  Both in a
 * subtransaction: if the bulk insert meets an event_id that is there already,
 * the other one follows; if that meets an error of one row, which nobody could
 * foresee, the rows are halved until those that cause one are alone.
 *
 * event_ids are inserted in their order, so that two batches with the same
 * ones don't wait for each other in a circle.  A partitioned log has no index of
 * its own that keeps them apart, but a trigger and a table (dedupe.c): then the
 * INSERT goes without ON CONFLICT.
 * In a distributed log they go by another INSERT (batch_shards.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "batch.h"
#include "bulk_insert.h"
#include "key_table.h"
#include "record_fault.h"
#include "record_log.h"
#include "trigger_argument.h"

/* What is tried in a subtransaction. */
typedef enum Attempt
{
	ATTEMPT_BULK,
	ATTEMPT_STATEMENT,
	ATTEMPT_DEFAULTS			/* whether they can be made, and no more */
} Attempt;

/*
 * compare_event_ids
 *		Rows without one come last in their shard; among equals the first one
 *		sent is first.
 */
static inline int
compare_event_ids(const RecordRow *a, const RecordRow *b)
{
	int			result;

	if (a->shard != b->shard)
		return a->shard < b->shard ? -1 : 1;
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
 * prepare_ids
 *		Make ready for giving rows their ids.
 */
static void
prepare_ids(Batch *batch)
{
	Relation	rel = batch->log.rel;
	Node	   *next_id = build_column_default(rel, batch->log.id);

	if (next_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" has no default",
						NameStr(batch->log.names[NAME_OF_ID]),
						RelationGetRelationName(rel)),
				 errhint("Make it an identity column again."),
				 errtablecol(rel, batch->log.id)));
	batch->estate = CreateExecutorState();
	batch->next_id = ExecPrepareExpr((Expr *) next_id, batch->estate);
}

/*
 * prepare_statements
 *		Plan the INSERT, and the search for what was there before it.
 */
static void
prepare_statements(Batch *batch)
{
	Relation	rel = batch->log.rel;
	const char *table = qualified_name(RelationGetRelid(rel));
	const char *id = NameStr(batch->log.names[NAME_OF_ID]);
	const char *event_id = NameStr(batch->log.names[NAME_OF(RECORD_EVENT_ID)]);
	bool		has_keys = event_id[0] != '\0' &&
	record_keys(rel, batch->log.attnos[RECORD_EVENT_ID]) != NULL;
	Oid			types[RECORD_NCOLUMNS + 1];
	StringInfoData columns;
	StringInfoData parameters;
	StringInfoData query;
	int			n = 0;

	initStringInfo(&columns);
	initStringInfo(&parameters);
	id = quote_identifier(id);
	appendStringInfoString(&columns, id);
	appendStringInfoString(&parameters, "pg_catalog.unnest($1)");
	types[n++] = INT8ARRAYOID;
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (batch->columns[c].n < 0)
			continue;
		types[n++] = batch->columns[c].array_type;
		appendStringInfo(&columns, ", %s",
						 quote_identifier(NameStr(batch->log.names[NAME_OF(c)])));
		appendStringInfo(&parameters, ", pg_catalog.unnest($%d)", n);
	}

	initStringInfo(&query);
	appendStringInfo(&query,
					 "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE"
					 " SELECT * FROM ROWS FROM (%s) AS sent",
					 table, columns.data, parameters.data);
	if (event_id[0] != '\0' && !has_keys)
		appendStringInfo(&query,
						 " ON CONFLICT (%1$s) WHERE %1$s IS NOT NULL DO NOTHING",
						 quote_identifier(event_id));
	appendStringInfo(&query, " RETURNING %s::pg_catalog.int8", id);
	batch->insert = prepare_table_query(query.data, 0, RelationGetRelid(rel),
										InvalidOid, n, types);

	if (event_id[0] == '\0' || has_keys)
		return;
	resetStringInfo(&query);
	appendStringInfo(&query,
					 "SELECT %1$s, %2$s::pg_catalog.int8 FROM %3$s"
					 " WHERE %1$s OPERATOR(pg_catalog.=) ANY ($1)",
					 quote_identifier(event_id), id, table);
	types[0] = UUIDARRAYOID;
	batch->find = prepare_table_query(query.data, 0, RelationGetRelid(rel),
									  InvalidOid, 1, types);
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
 * find_in_keys
 *		find_first_ids, of a log that has its event_ids in a table of their own.
 */
static void
find_in_keys(Batch *batch, RecordRow **sought, int n)
{
	KeyBinding *keys = record_keys(batch->log.rel,
								   batch->log.attnos[RECORD_EVENT_ID]);

	for (int i = 0; keys != NULL && i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (key_table_find(keys, sought[i]->values[RECORD_EVENT_ID],
						   &sought[i]->id))
			sought[i]->status = RECORD_DUPLICATE;
	}
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
	if (batch->find == NULL)
	{
		find_in_keys(batch, sought, nsought);
		return;
	}

	value = make_array(&batch->columns[RECORD_EVENT_ID], sought,
					   RECORD_EVENT_ID, nsought);
	run_table_query(batch->find, &value, NULL, false);
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
			int64		id = DatumGetInt64(SPI_getbinval(tuple, desc, 2,
														 &isnull));

			match->status = RECORD_DUPLICATE;
			match->id = id;
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * insert_in_table
 *		INSERT ... ON CONFLICT DO NOTHING of rows in the order of event_id.
 */
static void
insert_in_table(Batch *batch, RecordRow **rows, int n)
{
	Datum		values[RECORD_NCOLUMNS + 1];
	Datum	   *ids = palloc(n * sizeof(Datum));
	int			nvalues = 0;
	int			at = 0;

	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(rows[i]->id);
	values[nvalues++] = PointerGetDatum(construct_array(ids, n, INT8OID, 8,
														FLOAT8PASSBYVAL,
														TYPALIGN_DOUBLE));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (batch->columns[c].n >= 0)
			values[nvalues++] = make_array(&batch->columns[c], rows, c, n);
	}
	run_table_query(batch->insert, values, NULL, false);

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
			report_other_id(&batch->log);
		rows[at++]->status = RECORD_RECORDED;
	}
	SPI_freetuptable(SPI_tuptable);
	find_first_ids(batch, rows, n);
}

/*
 * insert_by_statement
 *		Give rows in the order of event_id their ids, insert them, and find out
 *		what became of each.
 */
static void
insert_by_statement(Batch *batch, RecordRow **rows, int n)
{
	ExprContext *econtext = GetPerTupleExprContext(batch->estate);

	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		rows[i]->id = record_id(&batch->log,
								ExecEvalExprSwitchContext(batch->next_id,
														  econtext, &isnull));
		rows[i]->status = RECORD_PENDING;
	}
	if (batch->log.distributed)
		insert_in_shards(batch, rows, n);
	else
		insert_in_table(batch, rows, n);
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
 * attempt
 *		Do something with rows in a subtransaction; returns the error, if it may
 *		be one row's, and else throws it.
 *
 * The bulk insert may meet what the other one does not mind, such as a known
 * event_id.  So what may be a row's is left to that one to judge.
 */
static ErrorData *
attempt(Batch *batch, Attempt what, RecordRow **rows,
		RecordRow **by_event_id, int n)
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
		switch (what)
		{
			case ATTEMPT_BULK:
				bulk_insert(&batch->log, rows, by_event_id, n);
				ReleaseCurrentSubTransaction();
				break;
			case ATTEMPT_STATEMENT:
				insert_by_statement(batch, by_event_id, n);
				ReleaseCurrentSubTransaction();
				break;
			case ATTEMPT_DEFAULTS:
				bulk_insert_check_defaults(&batch->log);
				RollbackAndReleaseCurrentSubTransaction();
				break;
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(batch->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	CurrentResourceOwner = oldowner;
	if (error != NULL && what == ATTEMPT_STATEMENT && batch->log.distributed)
	{
		MemoryContextSwitchTo(batch->context);
		tell_of_log(&batch->log, error);
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);

	if (error != NULL &&
		(what == ATTEMPT_DEFAULTS || !may_be_of_row(error) ||
		 (what == ATTEMPT_STATEMENT && !is_of_row(&batch->log, error))))
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
			return fault_reason(FAULT_UNKNOWN_TRACK);
		if (attno == batch->log.attnos[RECORD_RELEASE])
			return fault_reason(FAULT_UNKNOWN_RELEASE);
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
	if (batch->estate == NULL)
	{
		prepare_ids(batch);
		if (!batch->log.distributed)
			prepare_statements(batch);
	}
	error = attempt(batch, ATTEMPT_STATEMENT, NULL, rows, n);
	if (error == NULL)
		return;
	if (!batch->defaults_work)
		(void) attempt(batch, ATTEMPT_DEFAULTS, NULL, NULL, 0);
	batch->defaults_work = true;
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
void
record_accepted(Batch *batch, bool bulk)
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
		if (batch->log.by_track)
			find_shards(batch, rows, n);
		sort_by_event_id(sorted, n);
		for (int i = 0; i < n; i++)
		{
			/* Whether they are of one track, too, the shard's index tells. */
			if (!batch->log.by_track && unique > 0 &&
				same_event_id(sorted[unique - 1], sorted[i]))
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

	if (bulk && attempt(batch, ATTEMPT_BULK, rows, sorted, n) == NULL)
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
