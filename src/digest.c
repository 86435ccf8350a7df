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
 * Of counts, rows have no order, for it would be by collations, which may change.  Of
 * them it is the sum of the SHA-256 of each key, times its amount, modulo 2^256.  So
 * the digest of what all partitions together count is the sum of their digests: what
 * has been retired over the years can be checked without it being digested anew each
 * time that a partition adds to it.  (Bellare and Micciancio, "A new paradigm for
 * collision-free hashing", 1997, have sums of hashes as AdHash.  With a million keys,
 * other counts of the same sum can be searched for; it is against mistakes, and
 * against forgers who don't know this page.  Archives are what stands against others.)
 *
 * The text of values depends on settings; callers pin them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "as_owner.h"
#include "compat.h"
#include "table_query.h"

PG_FUNCTION_INFO_V1(playevent_digest);
PG_FUNCTION_INFO_V1(playevent_add_digests);

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

#define DIGEST_WORDS (PG_SHA256_DIGEST_LENGTH / sizeof(uint32))

/* What is being digested. */
typedef struct Digest
{
	pg_cryptohash_ctx *hash;
	bool		in_order;
	bool		is_weighted;	/* in no order; the last column is the amount */
	int64		n;				/* rows so far */
	uint32		sum[DIGEST_WORDS];	/* if in no order; the lowest first */
} Digest;

/*
 * add_product
 *		sum += hash * factor, modulo 2^256; shifted by so many words.
 */
static void
add_product(uint32 *sum, const uint32 *hash, uint32 factor, int shift)
{
	uint64		carry = 0;

	for (int i = shift; i < (int) DIGEST_WORDS; i++)
	{
		carry += (uint64) hash[i - shift] * factor + sum[i];
		sum[i] = (uint32) carry;
		carry >>= 32;
	}
}

/* Between numbers and bytes, which have the highest first */
static void
read_number(const uint8 *bytes, uint32 *words)
{
	for (int i = 0; i < (int) DIGEST_WORDS; i++)
	{
		memcpy(&words[i], bytes + PG_SHA256_DIGEST_LENGTH -
			   (i + 1) * sizeof(uint32), sizeof(uint32));
		words[i] = pg_ntoh32(words[i]);
	}
}

static bytea *
number_bytes(const uint32 *words)
{
	bytea	   *result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	for (int i = 0; i < (int) DIGEST_WORDS; i++)
	{
		uint32		word = pg_hton32(words[i]);

		memcpy(VARDATA(result) + PG_SHA256_DIGEST_LENGTH -
			   (i + 1) * sizeof(uint32), &word, sizeof(word));
	}
	return result;
}

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
 * add_multiple
 *		sum += hash * times, modulo 2^256, which may be less than nothing.
 */
static void
add_multiple(uint32 *sum, const uint32 *hash, int64 times)
{
	add_product(sum, hash, (uint32) times, 0);
	add_product(sum, hash, (uint32) ((uint64) times >> 32), 1);
	for (int i = 2; times < 0 && i < (int) DIGEST_WORDS; i++)
		add_product(sum, hash, PG_UINT32_MAX, i);
}

/*
 * to_utf8
 *		A line in UTF-8; as it is if it can't be, for SQL_ASCII takes any bytes,
 *		and other encodings have some that stand for nothing.
 */
static void
to_utf8(StringInfo line)
{
	int			encoding = GetDatabaseEncoding();
	Oid			convert;
	StringInfoData utf8;

	if (encoding == PG_UTF8)
		return;
	convert = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(convert))
		return;

	/* Where less than this is free, not all is converted. */
	initStringInfo(&utf8);
	enlargeStringInfo(&utf8, (line->len + 2) * MAX_CONVERSION_GROWTH);
	if (pg_do_encoding_conversion_buf(convert, encoding, PG_UTF8,
									  (unsigned char *) line->data, line->len,
									  (unsigned char *) utf8.data,
									  utf8.maxlen, true) < line->len)
		return;
	utf8.len = strlen(utf8.data);
	*line = utf8;
}

/*
 * add_line
 *		Add a line so many times.
 */
static void
add_line(Digest *digest, StringInfo line, int64 times)
{
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
	uint32		hash[DIGEST_WORDS];

	to_utf8(line);
	if (!digest->in_order)
		begin_hash(digest);
	if (pg_cryptohash_update(digest->hash, (uint8 *) line->data,
							 line->len) < 0)
		elog(ERROR, "could not update a hash");
	digest->n++;
	if (digest->in_order)
		return;

	end_hash(digest, bytes);
	read_number(bytes, hash);
	add_multiple(digest->sum, hash, times);
}

/* RowTaker */
static void
add_row(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Digest	   *digest = arg;
	int			ncolumns = desc->natts - (digest->is_weighted ? 1 : 0);
	int64		times = 1;
	StringInfoData line;

	initStringInfo(&line);
	for (int i = 1; i <= ncolumns; i++)
	{
		if (i > 1)
			appendStringInfoChar(&line, ',');
		append_field(&line, SPI_getvalue(tuple, desc, i), ncolumns == 1);
	}
	appendStringInfoChar(&line, '\n');
	if (digest->is_weighted)
	{
		bool		isnull;

		times = DatumGetInt64(SPI_getbinval(tuple, desc, desc->natts,
											&isnull));
	}
	add_line(digest, &line, times);
}

/*
 * add_rows
 *		Add all that a query returns.
 */
static void
add_rows(Digest *digest, TableQuery *query)
{
	Portal		portal = open_table_query(query);
	TupleDesc	desc = portal->tupDesc;

	digest->is_weighted = !digest->in_order && desc->natts > 0 &&
		TupleDescAttr(desc, desc->natts - 1)->atttypid == INT8OID;
	(void) take_rows(portal, add_row, digest);
}

/*
 * playevent.digest(rel regclass, other regclass, query text, in_order boolean,
 *					OUT n bigint, OUT digest bytea)
 *		returns record
 *
 * In a twin: how many rows a query on one or two tables of the owner's returns, and
 * their digest; if in no order, the last column is a bigint, how often a row
 * counts, or else each counts once.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501), the name
 * stands for something else by now (40001), what the query reports.
 */
Datum
playevent_digest(PG_FUNCTION_ARGS)
{
	Oid			tables[] = {PG_GETARG_OID(0), PG_GETARG_OID(1)};
	Digest		digest = {.in_order = PG_GETARG_BOOL(3)};
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
	TupleDesc	desc;
	Datum		values[2];
	bool		isnull[2] = {false, false};
	TableQuery *query;

	check_twin(tables[0]);
	check_twin(tables[1]);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	query = prepare_owner_query(text_to_cstring(PG_GETARG_TEXT_PP(2)), 0,
								tables, lengthof(tables), 0, NULL);
	digest.hash = pg_cryptohash_create(PG_SHA256);
	if (digest.hash == NULL)
		elog(ERROR, "could not make a hash");
	PG_TRY();
	{
		if (digest.in_order)
			begin_hash(&digest);
		add_rows(&digest, query);
		if (digest.in_order)
		{
			end_hash(&digest, bytes);
			read_number(bytes, digest.sum);
		}
	}
	PG_FINALLY();
	{
		/* It may be OpenSSL's, which no memory context knows of. */
		pg_cryptohash_free(digest.hash);
	}
	PG_END_TRY();
	SPI_finish();

	values[0] = Int64GetDatum(digest.n);
	values[1] = PointerGetDatum(number_bytes(digest.sum));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, isnull)));
}

/*
 * playevent.add_digests(a bytea, b bytea) returns bytea
 *
 * The sum of two digests, modulo 2^256.
 *
 * Errors: not 32 bytes (22023).
 */
Datum
playevent_add_digests(PG_FUNCTION_ARGS)
{
	bytea	   *a = PG_GETARG_BYTEA_PP(0);
	bytea	   *b = PG_GETARG_BYTEA_PP(1);
	uint32		sum[DIGEST_WORDS];
	uint32		other[DIGEST_WORDS];

	if (VARSIZE_ANY_EXHDR(a) != PG_SHA256_DIGEST_LENGTH ||
		VARSIZE_ANY_EXHDR(b) != PG_SHA256_DIGEST_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a digest must have %d bytes",
						PG_SHA256_DIGEST_LENGTH)));
	read_number((uint8 *) VARDATA_ANY(a), sum);
	read_number((uint8 *) VARDATA_ANY(b), other);
	add_product(sum, other, 1, 0);
	PG_RETURN_BYTEA_P(number_bytes(sum));
}
