/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Promise P11: the digest of what a query returns.
 *
 * Layer: commands.
 *
 * Where rows have an order, it is the SHA-256 of what COPY would write in CSV, without
 * a header: so whoever has exported a table can check it by sha256sum alone, with no
 * extension and no Postgres.  CopyAttributeOutCSV (copyto.c) has the rules.
 *
 * Where they have none, it is the sum of the SHA-256 of each line, modulo 2^256: no
 * sort, which would be by collations that may change.  (Bellare and Micciancio, "A
 * new paradigm for collision-free hashing", 1997, have it as AdHash.  Who can choose
 * very many rows could find others of the same sum; these follow from the log.)
 *
 * The text of values depends on settings; callers pin them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "as_owner.h"
#include "compat.h"
#include "table_query.h"

PG_FUNCTION_INFO_V1(playevent_digest);

#define FETCH_ROWS 1000

/*
 * append_field
 *		A field as COPY writes it in CSV; NULL is nothing.
 */
static void
append_field(StringInfo line, const char *value, bool is_only)
{
	if (value == NULL)
		return;
	if (value[0] != '\0' && strpbrk(value, ",\"\n\r") == NULL &&
		!(is_only && strcmp(value, "\\.") == 0))
	{
		appendStringInfoString(line, value);
		return;
	}
	appendStringInfoChar(line, '"');
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '"')
			appendStringInfoChar(line, '"');
		appendStringInfoChar(line, *c);
	}
	appendStringInfoChar(line, '"');
}

/* What is being digested. */
typedef struct Digest
{
	pg_cryptohash_ctx *hash;
	bool		in_order;
	int64		n;				/* rows so far */
	uint8		sum[PG_SHA256_DIGEST_LENGTH];	/* big-endian, if in no order */
} Digest;

static void
begin_hash(Digest *digest)
{
	if (pg_cryptohash_init(digest->hash) < 0)
		elog(ERROR, "could not begin a hash");
}

static void
end_hash(Digest *digest, uint8 *result)
{
	if (pg_cryptohash_final(digest->hash, result,
							PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not end a hash");
}

/*
 * add_line
 *		Add a line, in UTF-8.
 */
static void
add_line(Digest *digest, StringInfo line)
{
	char	   *encoded = pg_server_to_any(line->data, line->len, PG_UTF8);
	size_t		length = encoded == line->data ? (size_t) line->len : strlen(encoded);
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	int			carry = 0;

	if (!digest->in_order)
		begin_hash(digest);
	if (pg_cryptohash_update(digest->hash, (uint8 *) encoded, length) < 0)
		elog(ERROR, "could not update a hash");
	digest->n++;
	if (digest->in_order)
		return;

	end_hash(digest, hash);
	for (int i = PG_SHA256_DIGEST_LENGTH - 1; i >= 0; i--)
	{
		carry += digest->sum[i] + hash[i];
		digest->sum[i] = (uint8) carry;
		carry >>= 8;
	}
}

static void
add_row(Digest *digest, HeapTuple tuple, TupleDesc desc)
{
	StringInfoData line;

	initStringInfo(&line);
	for (int i = 1; i <= desc->natts; i++)
	{
		if (i > 1)
			appendStringInfoChar(&line, ',');
		append_field(&line, SPI_getvalue(tuple, desc, i), desc->natts == 1);
	}
	appendStringInfoChar(&line, '\n');
	add_line(digest, &line);
}

/*
 * add_rows
 *		Add all that a query returns.
 */
static void
add_rows(Digest *digest, TableQuery *query)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent digest",
												  ALLOCSET_DEFAULT_SIZES);
	Portal		portal = open_table_query(query);

	for (;;)
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		oldcontext = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			CHECK_FOR_INTERRUPTS();
			add_row(digest, SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
			MemoryContextReset(context);
		}
		MemoryContextSwitchTo(oldcontext);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
}

/*
 * playevent.digest(rel regclass, query text, in_order boolean,
 *					OUT n bigint, OUT digest bytea)
 *		returns record
 *
 * In a twin: how many rows a query on this table of the owner's returns, and
 * their digest.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501), the name
 * stands for something else by now (40001), what the query reports.
 */
Datum
playevent_digest(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bytea	   *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	Digest		digest = {.in_order = PG_GETARG_BOOL(2)};
	TupleDesc	desc;
	Datum		values[2];
	bool		isnull[2] = {false, false};
	TableQuery *query;

	check_twin(relid);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	query = prepare_owner_query(text_to_cstring(PG_GETARG_TEXT_PP(1)), 0, relid,
								InvalidOid, InvalidOid);
	digest.hash = pg_cryptohash_create(PG_SHA256);
	if (digest.hash == NULL)
		elog(ERROR, "could not make a hash");
	PG_TRY();
	{
		if (digest.in_order)
			begin_hash(&digest);
		add_rows(&digest, query);
		if (digest.in_order)
			end_hash(&digest, digest.sum);
	}
	PG_FINALLY();
	{
		/* It may be OpenSSL's, which no memory context knows of. */
		pg_cryptohash_free(digest.hash);
	}
	PG_END_TRY();
	SPI_finish();

	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	memcpy(VARDATA(result), digest.sum, PG_SHA256_DIGEST_LENGTH);
	values[0] = Int64GetDatum(digest.n);
	values[1] = PointerGetDatum(result);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, isnull)));
}
