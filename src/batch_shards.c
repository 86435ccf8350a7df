/*-------------------------------------------------------------------------
 *
 * batch_shards.c
 *	  Inserts rows of a batch into a log that Citus distributes (shard.c), and
 *	  finds out what became of each (P13).
 *
 * Layer: recording.
 *
 * They are sent to the log by an INSERT of several rows, of which Citus makes one
 * for each shard, on whatever nodes these are; there the triggers look up
 * releases and count.  Nothing of the log or the track table is read or written
 * on this node but through Citus.  Citus takes VALUES alone: of a SELECT it would
 * return no receipts that SPI believes.  Ids are made here, by the sequence that
 * it gives each node a range of, and tell which rows have come back, in any order.
 *
 * The caller's subtransaction is one on all nodes that it has written to.
 *
 * Citus inserts into one shard after another, by their numbers, and into each in
 * the order in which rows are sent.  So rows are sent in the order of shards, and
 * in that of event_ids: then two batches with the same ones don't wait for each
 * other in a circle, even where they are halved.  An event_id is unique for each
 * track, or in the log if that has one shard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "batch.h"
#include "record_log.h"
#include "trigger_argument.h"

/* How many rows an INSERT has at most; a query has at most 65,535 parameters. */
#define ROWS_PER_INSERT 500

typedef RecordRow *RecordRowPointer;

static inline int
compare_ids(const RecordRow *a, const RecordRow *b)
{
	return a->id != b->id ? (a->id < b->id ? -1 : 1) : 0;
}

#define ST_SORT sort_by_id
#define ST_ELEMENT_TYPE RecordRowPointer
#define ST_COMPARE(a, b) compare_ids(*(a), *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * find_shards
 *		Ask Citus which shards rows go to.
 *
 * This decides their order and no more: Citus looks again when it inserts.
 */
void
find_shards(Batch *batch, RecordRow **rows, int n)
{
	BatchColumn *key = &batch->columns[RECORD_KEY];
	Oid			relid = RelationGetRelid(batch->log.rel);
	Oid			types[] = {REGCLASSOID, key->array_type};
	Datum		values[2];
	Datum	   *keys = palloc(n * sizeof(Datum));
	TableQuery *query;

	for (int i = 0; i < n; i++)
		keys[i] = rows[i]->values[RECORD_KEY];
	values[0] = ObjectIdGetDatum(relid);
	values[1] = PointerGetDatum(construct_array(keys, n, key->element_type,
												key->len, key->byval,
												key->align));
	SPI_connect();
	query = prepare_table_query("SELECT pg_catalog.get_shard_id_for_distribution_column($1, k)"
								" FROM pg_catalog.unnest($2) AS k",
								0, relid, InvalidOid, lengthof(types), types);
	run_table_query(query, values, NULL, false);
	for (uint64 r = 0; r < SPI_processed && r < (uint64) n; r++)
	{
		bool		isnull;

		rows[r]->shard = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[r],
													 SPI_tuptable->tupdesc, 1,
													 &isnull));
	}
	SPI_finish();
}

/*
 * check_domains
 *		Check the values of rows as their columns' domains do.
 *
 * Else a node would, and not say in its error that it is a domain's.
 */
static void
check_domains(Batch *batch, RecordRow **rows, int n)
{
	TupleDesc	desc = RelationGetDescr(batch->log.rel);

	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		Oid			type;
		void	   *extra = NULL;

		if (batch->columns[c].n < 0)
			continue;
		type = TupleDescAttr(desc, batch->log.attnos[c] - 1)->atttypid;
		if (get_typtype(type) != TYPTYPE_DOMAIN)
			continue;
		for (int i = 0; i < n; i++)
			domain_check(rows[i]->values[c], rows[i]->isnull[c], type, &extra,
						 CurrentMemoryContext);
	}
}

/*
 * prepare_insert
 *		Plan an INSERT of so many rows.
 */
static TableQuery *
prepare_insert(Batch *batch, int n)
{
	RecordLog  *log = &batch->log;
	const char *id = quote_identifier(NameStr(log->names[NAME_OF_ID]));
	const char *event_id = NameStr(log->names[NAME_OF(RECORD_EVENT_ID)]);
	Oid		   *types = palloc(n * (RECORD_NCOLUMNS + 1) * sizeof(Oid));
	int			ntypes = 0;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "INSERT INTO %s (%s",
					 qualified_name(RelationGetRelid(log->rel)), id);
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (batch->columns[c].n >= 0)
			appendStringInfo(&query, ", %s",
							 quote_identifier(NameStr(log->names[NAME_OF(c)])));
	}
	appendStringInfoString(&query, ") OVERRIDING SYSTEM VALUE VALUES ");
	for (int i = 0; i < n; i++)
	{
		types[ntypes++] = INT8OID;
		appendStringInfo(&query, "%s($%d", i > 0 ? ", " : "", ntypes);
		for (int c = 0; c < RECORD_NCOLUMNS; c++)
		{
			if (batch->columns[c].n < 0)
				continue;
			types[ntypes++] = batch->columns[c].element_type;
			appendStringInfo(&query, ", $%d", ntypes);
		}
		appendStringInfoChar(&query, ')');
	}
	if (event_id[0] != '\0')
	{
		event_id = quote_identifier(event_id);
		appendStringInfo(&query, " ON CONFLICT (");
		if (log->by_track)
			appendStringInfo(&query, "%s, ",
							 quote_identifier(NameStr(log->names[NAME_OF(RECORD_KEY)])));
		appendStringInfo(&query, "%s) WHERE %s IS NOT NULL DO NOTHING",
						 event_id, event_id);
	}
	appendStringInfo(&query, " RETURNING %s::pg_catalog.int8", id);
	return prepare_table_query(query.data, 0, RelationGetRelid(log->rel),
							   InvalidOid, ntypes, types);
}

/*
 * mark_recorded
 *		Mark the rows whose ids have come back, among those in the order of id.
 */
static void
mark_recorded(Batch *batch, RecordRow **by_id, int n)
{
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[r],
													 SPI_tuptable->tupdesc, 1,
													 &isnull));
		int			low = 0;
		int			high = n;

		while (low < high)
		{
			int			middle = low + (high - low) / 2;

			if (by_id[middle]->id < id)
				low = middle + 1;
			else
				high = middle;
		}
		if (low == n || by_id[low]->id != id)
			report_other_id(&batch->log);
		by_id[low]->status = RECORD_RECORDED;
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * insert_some
 *		Insert so many rows at once.
 */
static void
insert_some(Batch *batch, TableQuery *query, RecordRow **rows, int n)
{
	Datum	   *values = palloc(n * (RECORD_NCOLUMNS + 1) * sizeof(Datum));
	char	   *nulls = palloc(n * (RECORD_NCOLUMNS + 1));
	RecordRow **by_id = palloc(n * sizeof(RecordRow *));
	int			nvalues = 0;

	for (int i = 0; i < n; i++)
	{
		values[nvalues] = Int64GetDatum(rows[i]->id);
		nulls[nvalues++] = ' ';
		for (int c = 0; c < RECORD_NCOLUMNS; c++)
		{
			if (batch->columns[c].n < 0)
				continue;
			values[nvalues] = rows[i]->values[c];
			nulls[nvalues++] = rows[i]->isnull[c] ? 'n' : ' ';
		}
	}
	run_table_query(query, values, nulls, false);
	memcpy(by_id, rows, n * sizeof(RecordRow *));
	sort_by_id(by_id, n);
	mark_recorded(batch, by_id, n);
}

/*
 * find_firsts
 *		Fill in the ids of rows that were there before those that are pending.
 *
 * One by one, by a query that goes to its one shard: what looks into several goes
 * there by further connections, which would not see what this transaction does.
 */
static void
find_firsts(Batch *batch, RecordRow **rows, int n)
{
	RecordLog  *log = &batch->log;
	Oid			types[] = {UUIDOID, batch->columns[RECORD_KEY].element_type};
	TableQuery *query = NULL;

	for (int i = 0; i < n; i++)
	{
		Datum		values[2];
		bool		isnull;

		if (rows[i]->status != RECORD_PENDING ||
			rows[i]->isnull[RECORD_EVENT_ID])
			continue;
		if (query == NULL)
			query = prepare_table_query(psprintf("SELECT %s::pg_catalog.int8 FROM %s"
												 " WHERE %s OPERATOR(pg_catalog.=) $1%s",
												 quote_identifier(NameStr(log->names[NAME_OF_ID])),
												 qualified_name(RelationGetRelid(log->rel)),
												 quote_identifier(NameStr(log->names[NAME_OF(RECORD_EVENT_ID)])),
												 !log->by_track ? "" :
												 psprintf(" AND %s OPERATOR(pg_catalog.=) $2",
														  quote_identifier(NameStr(log->names[NAME_OF(RECORD_KEY)])))),
										CURSOR_OPT_GENERIC_PLAN,
										RelationGetRelid(log->rel), InvalidOid,
										lengthof(types), types);
		values[0] = rows[i]->values[RECORD_EVENT_ID];
		values[1] = rows[i]->values[RECORD_KEY];
		run_table_query(query, values, NULL, false);
		if (SPI_processed > 0)
		{
			rows[i]->id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
													  SPI_tuptable->tupdesc, 1,
													  &isnull));
			rows[i]->status = RECORD_DUPLICATE;
		}
		SPI_freetuptable(SPI_tuptable);
	}
}

/*
 * insert_in_shards
 *		Insert rows in their order, which have their ids, and mark those that
 *		were recorded, and those whose event_id was there before.
 *
 * Plans are for so many rows, and go at the end, or with the subtransaction.
 */
void
insert_in_shards(Batch *batch, RecordRow **rows, int n)
{
	TableQuery *query = NULL;
	int			prepared = 0;

	check_domains(batch, rows, n);
	SPI_connect();
	for (int i = 0; i < n; i += ROWS_PER_INSERT)
	{
		int			some = Min(n - i, ROWS_PER_INSERT);

		if (some != prepared)
			query = prepare_insert(batch, some);
		prepared = some;
		insert_some(batch, query, rows + i, some);
	}
	find_firsts(batch, rows, n);
	SPI_finish();
}
