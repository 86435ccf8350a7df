/*-------------------------------------------------------------------------
 *
 * top.c
 *	  The keys of a counter by day that were counted most in a period.
 *
 * Three quarters of such a chart's time went into adding up: the executor's
 * HashAggregate calls a hash function and an equality operator for each row, by
 * way of expressions, and allocates for each key.  So here Postgres plans and
 * runs the query that reads the slots, with the caller's rights, policies and
 * snapshot, and this file adds up what comes out of it: it is the query's
 * DestReceiver (tcop/dest.h), which is called for each row and may stop it.
 *
 * Keys are told apart by their images, their bytes.  That is equality where the
 * type's default btree operator class says so by its support function equalimage
 * (as nbtree's deduplication asks it, _bt_allequalimage): text, varchar, uuid,
 * integers, enums, and domains over them; but not for nondeterministic
 * collations, numeric or floats.  Those are added up by SQL.  So is character,
 * whose keys are equal whatever their blanks: not all minor releases' class owns
 * up to that.
 *
 * Memory: the table of keys may take what a HashAggregate may, work_mem times
 * hash_mem_multiplier, and at most 1 GB.  Beyond that all of it is thrown away,
 * and SQL adds up, which spills to disk.  An image is what detoasting leaves of
 * a value (PG_DETOAST_DATUM_PACKED), less its header.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"
#include "utils/tuplestore.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "playevent.h"

PG_FUNCTION_INFO_V1(playevent_top_keys);

/* Arguments of playevent.top_keys */
enum TopArgument
{
	TOP_SLOT,
	TOP_KEY_COLUMN,
	TOP_COUNT_COLUMN,
	TOP_DAY_COLUMN,
	TOP_SINCE,
	TOP_UNTIL,
	TOP_LIMIT
};

/* The query for the result, from what has been added up: (key, plays). */
#define RESULT_QUERY \
	"SELECT rank() OVER (ORDER BY plays DESC), key::text, plays" \
	" FROM %s ORDER BY 1, 2"

/* What top_by_image calls what it has added up, in that query. */
#define COUNTED_MOST "counted_most"

/* How to find the bytes of a key: as in pg_type. */
typedef struct KeyImage
{
	int16		len;
	bool		byval;
} KeyImage;

typedef struct KeyCount
{
	Datum		key;
	int64		count;
	uint32		hash;
	char		status;			/* simplehash's */
} KeyCount;

static inline uint32 hash_image(KeyImage *image, Datum key);
static inline bool equal_images(KeyImage *image, Datum a, Datum b);

#define SH_PREFIX counts
#define SH_ELEMENT_TYPE KeyCount
#define SH_KEY_TYPE Datum
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_image((tb)->private_data, key)
#define SH_EQUAL(tb, a, b) equal_images((tb)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, entry) ((entry)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define FIRST_KEYS 4096			/* that there is room for at first */
#define KEY_BLOCK (64 * 1024)	/* how much is allocated for keys at once */

/* How many rows to wait for before adding them, and the room for their keys. */
#define BATCH_ROWS 32
#define BATCH_ROOM 2048

/* A row that waits to be added. */
typedef struct PendingRow
{
	Datum		key;
	uint32		hash;
	int64		count;
} PendingRow;

/*
 * Adds up the rows of a query for (key, count).
 *
 * With a hundred thousand keys and more, most of that is waiting for memory:
 * for the key's place in the table, and for the key that is there.  So rows are
 * added by the batch, when the processor has been told which places it will
 * need.
 */
typedef struct TopReceiver
{
	DestReceiver pub;
	Oid			key_type;		/* what the key has to be */
	Oid			key_collation;
	TupleDesc	desc;			/* of the query's rows */
	KeyImage	image;
	counts_hash *counts;
	MemoryContext context;		/* holds all this */
	char	   *room;			/* for keys, in the newest block */
	Size		room_left;
	Size		key_memory;		/* in all blocks */
	Size		memory_limit;
	bool		has_given_up;	/* there are too many keys */
	int			npending;
	Size		pending_size;	/* of their keys */
	PendingRow	pending[BATCH_ROWS];
	Datum		pending_keys[BATCH_ROOM / sizeof(Datum)];
} TopReceiver;

/*
 * prefetch
 *		Tell the processor that the memory will be needed.
 */
static inline void
prefetch(const void *memory pg_attribute_unused())
{
#ifdef __GNUC__
	__builtin_prefetch(memory);
#endif
}

/*
 * hash_image
 *		The hash of a key's bytes.
 */
static inline uint32
hash_image(KeyImage *image, Datum key)
{
	if (image->byval)
		return hash_bytes((unsigned char *) &key, sizeof(Datum));
	if (image->len > 0)
		return hash_bytes((unsigned char *) DatumGetPointer(key), image->len);
	return hash_bytes((unsigned char *) VARDATA_ANY(DatumGetPointer(key)),
					  VARSIZE_ANY_EXHDR(DatumGetPointer(key)));
}

/*
 * equal_images
 *		Have the keys the same bytes?  datum_image_eq, for what is detoasted.
 */
static inline bool
equal_images(KeyImage *image, Datum a, Datum b)
{
	char	   *x = DatumGetPointer(a);
	char	   *y = DatumGetPointer(b);

	if (image->byval)
		return a == b;
	if (image->len > 0)
		return memcmp(x, y, image->len) == 0;
	return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
		memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

/*
 * key_size
 *		How many bytes a key takes, beside its Datum.
 */
static inline Size
key_size(KeyImage *image, Datum key)
{
	if (image->byval)
		return 0;
	if (image->len > 0)
		return image->len;
	return VARSIZE_ANY(DatumGetPointer(key));
}

/*
 * keep_key
 *		A copy of the key that stays.
 *
 * Keys are put side by side: palloc would take several times their size.  Those
 * with a short header need no alignment.
 */
static Datum
keep_key(TopReceiver *receiver, Datum key)
{
	KeyImage   *image = &receiver->image;
	Size		size = key_size(image, key);
	char	   *copy;

	if (image->byval)
		return key;
	if (image->len > 0 || !VARATT_IS_SHORT(DatumGetPointer(key)))
	{
		Size		gap = (char *) MAXALIGN(receiver->room) - receiver->room;

		gap = Min(gap, receiver->room_left);
		receiver->room += gap;
		receiver->room_left -= gap;
	}
	if (size > receiver->room_left)
	{
		receiver->room_left = Max(size, KEY_BLOCK);
		receiver->room = MemoryContextAlloc(receiver->context,
											receiver->room_left);
		receiver->key_memory += receiver->room_left;
	}
	copy = receiver->room;
	memcpy(copy, DatumGetPointer(key), size);
	receiver->room += size;
	receiver->room_left -= size;
	return PointerGetDatum(copy);
}

/*
 * is_full
 *		Might another key take more memory than there may be?  A table that
 *		grows is there twice meanwhile, once in double size.
 */
static inline bool
is_full(TopReceiver *receiver)
{
	counts_hash *counts = receiver->counts;
	Size		size = counts->size * sizeof(KeyCount);

	if (counts->members >= counts->grow_threshold)
		size *= 3;
	return receiver->key_memory + size > receiver->memory_limit;
}

/*
 * add_row
 *		Add a row's count to that of its key, unless there are too many keys.
 */
static inline void
add_row(TopReceiver *receiver, PendingRow *row)
{
	KeyCount   *entry;
	bool		found;

	if (is_full(receiver))
	{
		receiver->has_given_up = true;
		return;
	}
	entry = counts_insert_hash(receiver->counts, row->key, row->hash, &found);
	if (!found)
	{
		entry->key = keep_key(receiver, row->key);
		entry->count = 0;
	}
	if (pg_add_s64_overflow(entry->count, row->count, &entry->count))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bigint out of range")));
}

/*
 * key_place
 *		The place in the table where the search for the row's key begins.
 */
static inline KeyCount *
key_place(counts_hash *counts, PendingRow *row)
{
	return &counts->data[row->hash & counts->sizemask];
}

/*
 * add_pending
 *		Add the rows that wait for it.
 */
static void
add_pending(TopReceiver *receiver)
{
	if (!receiver->image.byval)
	{
		for (int i = 0; i < receiver->npending; i++)
		{
			PendingRow *row = &receiver->pending[i];
			KeyCount   *entry = key_place(receiver->counts, row);

			if (entry->status == counts_SH_IN_USE && entry->hash == row->hash)
				prefetch(DatumGetPointer(entry->key));
		}
	}
	for (int i = 0; i < receiver->npending && !receiver->has_given_up; i++)
		add_row(receiver, &receiver->pending[i]);
	receiver->npending = 0;
	receiver->pending_size = 0;
}

/*
 * receive_row
 *		Called for each row of the query, whose values the next one may take
 *		away.  False, which ends the query, if there are too many keys.
 */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	TopReceiver *receiver = (TopReceiver *) self;
	PendingRow *row;
	Datum		key;
	Size		size;

	slot_getallattrs(slot);
	if (slot->tts_isnull[0] || slot->tts_isnull[1])
		return true;
	key = slot->tts_values[0];
	if (receiver->image.len == -1)
		key = PointerGetDatum(PG_DETOAST_DATUM_PACKED(key));
	size = key_size(&receiver->image, key);

	if (receiver->npending == BATCH_ROWS ||
		receiver->pending_size + size > BATCH_ROOM)
		add_pending(receiver);
	row = &receiver->pending[receiver->npending];
	row->key = key;
	row->hash = hash_image(&receiver->image, key);
	row->count = DatumGetInt64(slot->tts_values[1]);
	if (size > BATCH_ROOM)
		add_row(receiver, row);
	else
	{
		prefetch(key_place(receiver->counts, row));
		if (size > 0)
		{
			char	   *copy = (char *) receiver->pending_keys;

			copy += receiver->pending_size;
			memcpy(copy, DatumGetPointer(key), size);
			row->key = PointerGetDatum(copy);
			receiver->pending_size += MAXALIGN(size);
		}
		receiver->npending++;
	}

	if (key != slot->tts_values[0])
		pfree(DatumGetPointer(key));
	return !receiver->has_given_up;
}

/*
 * start_receiving
 *		Called before the first row.  The query was made from names, which may
 *		mean something else by now, so what it gives is checked.
 */
static void
start_receiving(DestReceiver *self, int operation pg_attribute_unused(),
				TupleDesc desc)
{
	TopReceiver *receiver = (TopReceiver *) self;
	Form_pg_attribute key = TupleDescAttr(desc, 0);
	Form_pg_attribute count = TupleDescAttr(desc, 1);
	MemoryContext oldcontext;

	if (key->atttypid != receiver->key_type ||
		key->attcollation != receiver->key_collation ||
		count->atttypid != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("slots have other types than they should")));
	oldcontext = MemoryContextSwitchTo(receiver->context);
	receiver->desc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(oldcontext);
}

/*
 * end_receiving
 *		Called after the last row.
 */
static void
end_receiving(DestReceiver *self)
{
	add_pending((TopReceiver *) self);
}

/*
 * destroy_receiver
 *		Called by nobody: top_by_image has all in a context that it deletes.
 */
static void
destroy_receiver(DestReceiver *self pg_attribute_unused())
{
}

/*
 * image_is_equality
 *		Are keys of the type equal if and only if their images are?
 */
static bool
image_is_equality(TypeCacheEntry *type, Oid collation)
{
	Oid			equalimage;

	if (!OidIsValid(type->btree_opf) || !OidIsValid(type->lt_opr) ||
		type->btree_opintype == BPCHAROID ||
		(!type->typbyval && type->typlen < -1))
		return false;
	equalimage = get_opfamily_proc(type->btree_opf, type->btree_opintype,
								   type->btree_opintype, BTEQUALIMAGE_PROC);
	return OidIsValid(equalimage) &&
		DatumGetBool(OidFunctionCall1Coll(equalimage, collation,
										  ObjectIdGetDatum(type->btree_opintype)));
}

/*
 * compare_worst
 *		The order of binaryheap, whose first is the greatest: by counts from the
 *		most to the least, of equal ones by keys.
 */
static int
compare_worst(Datum a, Datum b, void *key_order)
{
	KeyCount   *x = (KeyCount *) DatumGetPointer(a);
	KeyCount   *y = (KeyCount *) DatumGetPointer(b);

	CHECK_FOR_INTERRUPTS();
	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return ApplySortComparator(x->key, false, y->key, false, key_order);
}

/*
 * counted_most
 *		The keys that were counted most, up to limit, and their counts, in no
 *		order.
 */
static Tuplestorestate *
counted_most(TopReceiver *receiver, SortSupport key_order, uint32 limit)
{
	Tuplestorestate *result = tuplestore_begin_heap(false, false, work_mem);
	counts_hash *counts = receiver->counts;
	uint32		space = Min(limit, counts->members);
	binaryheap *heap;
	counts_iterator scan;
	KeyCount   *entry;

	if (space == 0)
		return result;
	heap = binaryheap_allocate(space, compare_worst, key_order);
	counts_start_iterate(counts, &scan);
	while ((entry = counts_iterate(counts, &scan)) != NULL)
	{
		Datum		candidate = PointerGetDatum(entry);

		CHECK_FOR_INTERRUPTS();
		if (entry->count <= 0)
			continue;
		if (heap->bh_size < heap->bh_space)
			binaryheap_add(heap, candidate);
		else if (compare_worst(candidate, binaryheap_first(heap),
							   key_order) < 0)
			binaryheap_replace_first(heap, candidate);
	}
	for (int i = 0; i < heap->bh_size; i++)
	{
		Datum		values[2];
		bool		isnull[2] = {false, false};

		entry = (KeyCount *) DatumGetPointer(heap->bh_nodes[i]);
		values[0] = entry->key;
		values[1] = Int64GetDatum(entry->count);
		tuplestore_putvalues(result, receiver->desc, values, isnull);
	}
	binaryheap_free(heap);
	return result;
}

/*
 * execute
 *		Run a query in the active snapshot, its rows going to dest.
 */
static void
execute(const char *query, ParamListInfo params, DestReceiver *dest)
{
	SPIExecuteOptions options = {0};
	int			result;

	options.params = params;
	options.read_only = true;
	options.dest = dest;
	result = SPI_execute_extended(query, &options);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_extended failed: %s",
			 SPI_result_code_string(result));
}

/*
 * top_by_image
 *		Add up what the query gives by the keys' images, and make the result of
 *		it.  False if there are too many keys.
 *
 * The result is another query's, which sees what has been added up as a table,
 * as AFTER triggers see transition tables: so key::text, and the order of equal
 * ones, are what SQL makes of the key's type and collation, whose names the
 * caller may have no right to use.
 */
static bool
top_by_image(const char *query, ParamListInfo params, TypeCacheEntry *type,
			 Oid collation, uint32 limit, DestReceiver *result)
{
	TopReceiver receiver = {0};
	SortSupportData key_order = {0};
	EphemeralNamedRelationData table = {0};
	MemoryContext context;
	MemoryContext oldcontext;

	context = AllocSetContextCreate(CurrentMemoryContext, "playevent top",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	receiver.pub.receiveSlot = receive_row;
	receiver.pub.rStartup = start_receiving;
	receiver.pub.rShutdown = end_receiving;
	receiver.pub.rDestroy = destroy_receiver;
	receiver.pub.mydest = DestTuplestore;	/* no receiver has a name of ours */
	receiver.key_type = type->type_id;
	receiver.key_collation = collation;
	receiver.image.len = type->typlen;
	receiver.image.byval = type->typbyval;
	receiver.counts = counts_create(context, FIRST_KEYS, &receiver.image);
	receiver.context = context;
	receiver.memory_limit = Min(get_hash_memory_limit(), MaxAllocSize);
	execute(query, params, &receiver.pub);

	if (!receiver.has_given_up)
	{
		key_order.ssup_cxt = context;
		key_order.ssup_collation = collation;
		PrepareSortSupportFromOrderingOp(type->lt_opr, &key_order);
		table.md.name = COUNTED_MOST;
		table.md.tupdesc = receiver.desc;
		table.md.enrtype = ENR_NAMED_TUPLESTORE;
		table.md.enrtuples = Min(limit, receiver.counts->members);
		table.reldata = counted_most(&receiver, &key_order, limit);
		counts_destroy(receiver.counts);
		if (SPI_register_relation(&table) != SPI_OK_REL_REGISTER)
			elog(ERROR, "could not register relation \"%s\"", COUNTED_MOST);
		execute(psprintf(RESULT_QUERY, COUNTED_MOST), NULL, result);
		SPI_unregister_relation(COUNTED_MOST);
		tuplestore_end(table.reldata);
	}

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return !receiver.has_given_up;
}

/*
 * top_by_operator
 *		Add up by the keys' operators, spilling to disk what is too much for
 *		memory, and make the result of it.
 *
 * Sums of float8 are quicker than those of bigint, which are numeric, and as
 * exact below 2^53.
 */
static void
top_by_operator(const char **columns, const char *source,
				ParamListInfo params, DestReceiver *result)
{
	const char *key = columns[TOP_KEY_COLUMN];
	const char *most;

	most = psprintf("(SELECT key, total::bigint AS plays"
					" FROM (SELECT %s AS key, sum(%s::float8) AS total"
					" %s AND %s IS NOT NULL"
					" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $3) AS added_up"
					" WHERE total > 0) AS " COUNTED_MOST,
					key, columns[TOP_COUNT_COLUMN], source, key);
	execute(psprintf(RESULT_QUERY, most), params, result);
}

/*
 * playevent.top_keys(slot regclass, key_column text, count_column text,
 *					  day_column text, since date, until date, lim int)
 *		returns table(rank bigint, key text, plays bigint)
 *
 * The keys, of one column of a slot table, that were counted most from one day
 * to another, both included: up to lim, or all if that is null, those counted
 * most first.  Equal counts share a rank; of them, the first by key are taken,
 * and come in the order of key as text.  Counts that are not above 0, and null
 * keys, are left out.
 *
 * Errors: another argument is null (22004), lim is negative (2201W), no such
 * table or column (42P01, 42703), no right to read them (42501), columns of
 * other types (42804 and others), a sum out of range (22003).
 *
 * Locks the slot table in AccessShareLock, as the query does that it runs.
 */
Datum
playevent_top_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	slot;
	const char *columns[TOP_DAY_COLUMN + 1];
	const char *source;
	ParamListInfo params;
	uint32		limit = PG_UINT32_MAX;
	int			attno;
	DestReceiver *result;
	bool		done = false;

	for (int i = 0; i < TOP_LIMIT; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d must not be null", i + 1)));
	}
	if (!PG_ARGISNULL(TOP_LIMIT))
	{
		if (PG_GETARG_INT32(TOP_LIMIT) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
					 errmsg("LIMIT must not be negative")));
		limit = PG_GETARG_INT32(TOP_LIMIT);
	}
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();

	slot = try_relation_open(PG_GETARG_OID(TOP_SLOT), AccessShareLock);
	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"slot\" is %u, which is no table",
						PG_GETARG_OID(TOP_SLOT))));
	for (int i = TOP_KEY_COLUMN; i <= TOP_DAY_COLUMN; i++)
		columns[i] = quote_identifier(text_to_cstring(PG_GETARG_TEXT_PP(i)));
	source = psprintf("FROM %s WHERE %s BETWEEN $1 AND $2",
					  quote_qualified_identifier(get_namespace_name(RelationGetNamespace(slot)),
												 RelationGetRelationName(slot)),
					  columns[TOP_DAY_COLUMN]);

	params = makeParamList(3);
	for (int i = 0; i < params->numParams; i++)
	{
		params->params[i].value = PG_GETARG_DATUM(TOP_SINCE + i);
		params->params[i].isnull = PG_ARGISNULL(TOP_SINCE + i);
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = TOP_SINCE + i == TOP_LIMIT ? INT4OID : DATEOID;
	}

	result = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(result, rsinfo->setResult,
									rsinfo->econtext->ecxt_per_query_memory,
									false, NULL, NULL);

	/* If there is no such column, the query for it will say so. */
	attno = SPI_fnumber(RelationGetDescr(slot),
						text_to_cstring(PG_GETARG_TEXT_PP(TOP_KEY_COLUMN)));
	if (attno > 0)
	{
		Form_pg_attribute key = TupleDescAttr(RelationGetDescr(slot), attno - 1);
		TypeCacheEntry *type;

		type = lookup_type_cache(key->atttypid, TYPECACHE_BTREE_OPFAMILY |
								 TYPECACHE_LT_OPR);
		if (image_is_equality(type, key->attcollation))
			done = top_by_image(psprintf("SELECT %s AS key, %s AS plays %s",
										 columns[TOP_KEY_COLUMN],
										 columns[TOP_COUNT_COLUMN], source),
								params, type, key->attcollation, limit, result);
	}

	if (!done)
		top_by_operator(columns, source, params, result);

	relation_close(slot, NoLock);
	SPI_finish();
	return (Datum) 0;
}
