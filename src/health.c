/*-------------------------------------------------------------------------
 *
 * health.c
 *	  What the view playevent.health reads of tables (P8): how large they are,
 *	  which keys have most slots, and what was appended last.
 *
 * Layer: commands.
 *
 * A monitor asks for all logs at once, mostly with many rights, and each log is
 * somebody's.  So nothing of anybody's runs in here: there is no query, and no
 * operator is called; pages are read as they are, and values of keys are written
 * out by their types' output functions, which are C's, if they are scalars: a
 * value of few bytes may be of a composite type that takes gigabytes to write
 * out.  Nobody is waited for, either: what is locked is passed over, and a lock is
 * given back at once, for whoever asks need have no right to the table.  What is
 * told is no error, but null.
 *
 * Rows are read with SnapshotSelf, so that SERIALIZABLE takes no predicate locks
 * that an insert could fail for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/sampling.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "as_owner.h"
#include "binding.h"
#include "compat.h"
#include "heap_fetch.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_is_free);
PG_FUNCTION_INFO_V1(playevent_file_bytes);
PG_FUNCTION_INFO_V1(playevent_slots_of_keys);
PG_FUNCTION_INFO_V1(playevent_newest);

/* How many keys are told of */
#define WORST_KEYS 10

/* How many slots are looked at, where pages are drawn */
#define MAX_VISITS 5000

/* Over how many pages a key is followed */
#define MAX_HOPS 64

/* How much is told of a value of a key */
#define MAX_VALUE 200

/* How large a value may be to be written out for that */
#define MAX_WRITTEN 2000

/*
 * open_if_free
 *		Open a relation, if nobody has it locked against readers; NULL if
 *		somebody has, or if it is gone.  close_at_once closes it.
 */
static Relation
open_if_free(Oid relid)
{
	Relation	rel;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

static void
close_at_once(Relation rel)
{
	relation_close(rel, AccessShareLock);
}

/*
 * open_table_if_free
 *		The same, of a heap table whose file is there, on a standby too.
 */
static Relation
open_table_if_free(Oid relid)
{
	Relation	rel = open_if_free(relid);

	if (rel != NULL &&
		(rel->rd_rel->relkind != RELKIND_RELATION ||
		 rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		 rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT))
	{
		close_at_once(rel);
		return NULL;
	}
	return rel;
}

/* May the caller read all of the table? */
static bool
may_read_all(Oid relid)
{
	return may_read(relid, GetUserId(), NIL) &&
		check_enable_rls(relid, GetUserId(), true) != RLS_ENABLED;
}

/*
 * may_know
 *		May the caller know how many rows there are of what, and since when?  Of
 *		what playevent guards, whoever reads all statistics may, as pg_monitor does.
 */
static bool
may_know(Relation rel)
{
	return (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) &&
			is_slot_table(RelationGetRelid(rel))) ||
		may_read_all(RelationGetRelid(rel));
}

/*
 * open_index_if_free
 *		Open a btree of the table, of all its rows and on columns, that ascends
 *		and begins with these columns in any order; NULL if there is none that is
 *		free.
 */
static Relation
open_index_if_free(Relation rel, int ncolumns, const AttrNumber *columns)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = open_if_free(lfirst_oid(lc));
		bool		fits;

		if (index == NULL)
			continue;
		fits = index->rd_rel->relam == BTREE_AM_OID &&
			index->rd_index->indisvalid && is_on_columns(index) &&
			holds_all_rows(index) && index->rd_index->indnkeyatts >= ncolumns &&
			(index->rd_indoption[0] & INDOPTION_DESC) == 0;
		for (int i = 0; fits && i < ncolumns; i++)
		{
			int			k = 0;

			while (k < ncolumns &&
				   index->rd_index->indkey.values[k] != columns[i])
				k++;
			fits = k < ncolumns;
		}
		if (fits)
			return index;
		close_at_once(index);
	}
	return NULL;
}

/*
 * playevent.is_free(rel oid) returns boolean
 *
 * Can a table be opened for reading without a wait?
 */
Datum
playevent_is_free(PG_FUNCTION_ARGS)
{
	Relation	rel = open_if_free(PG_GETARG_OID(0));

	if (rel == NULL)
		PG_RETURN_BOOL(false);
	close_at_once(rel);
	PG_RETURN_BOOL(true);
}

/*
 * playevent.file_bytes(rel oid) returns bigint
 *
 * How long the file of a table or an index is; null if it has none.  Takes no
 * lock: pg_relation_size would wait for a REINDEX.
 */
Datum
playevent_file_bytes(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, PG_GETARG_DATUM(0));
	Form_pg_class form;
	int64		bytes = -1;

	if (!HeapTupleIsValid(tuple))
		PG_RETURN_NULL();
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relpersistence != RELPERSISTENCE_TEMP &&
		OidIsValid(form->relfilenode))
		bytes = (int64) BLCKSZ * blocks_of_file(form->reltablespace,
												form->relfilenode);
	ReleaseSysCache(tuple);
	if (bytes < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(bytes);
}

/* A key, as the index has it, and how many slots it has. */
typedef struct KeySlots
{
	IndexTuple	key;
	int64		slots;
} KeySlots;

/* What looking for the keys with most slots has come to. */
typedef struct Survey
{
	Relation	rel;
	Relation	index;
	BlockNumber heap_blocks;
	int64		visits;			/* that may still be made; none, below 0 */
	KeySlots	worst[WORST_KEYS];	/* the worst first */
	int			nworst;
	/* The key that the walk is at, and where its slots are */
	IndexTuple	key;
	ItemPointer tids;
	int			ntids;
	int			room;
} Survey;

/* The bytes of an index entry that are the key: all, but for places behind. */
static Size
key_size(IndexTuple entry)
{
	return BTreeTupleIsPosting(entry) ?
		BTreeTupleGetPostingOffset(entry) : IndexTupleSize(entry);
}

/*
 * is_same_key
 *		Are two entries of one key?  Keys are one if their images are.
 */
static bool
is_same_key(IndexTuple a, IndexTuple b)
{
	Size		size = key_size(a);

	return size == key_size(b) &&
		((a->t_info ^ b->t_info) & (INDEX_NULL_MASK | INDEX_VAR_MASK)) == 0 &&
		memcmp((char *) a + sizeof(IndexTupleData),
			   (char *) b + sizeof(IndexTupleData),
			   size - sizeof(IndexTupleData)) == 0;
}

/*
 * copy_leaf
 *		Copy a page of the index, if it is one with entries.  What VACUUM would
 *		complain of is passed over.
 */
static bool
copy_leaf(Survey *survey, BlockNumber block, Page copy)
{
	Buffer		buffer = ReadBuffer(survey->index, block);
	Page		page = BufferGetPage(buffer);
	bool		is_leaf;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	is_leaf = !PageIsNew(page) &&
		PageGetSpecialSize(page) == MAXALIGN(sizeof(BTPageOpaqueData)) &&
		P_ISLEAF(BTPageGetOpaque(page)) && !P_IGNORE(BTPageGetOpaque(page));
	if (is_leaf)
		memcpy(copy, page, BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return is_leaf;
}

/*
 * count_slots
 *		How many of the places that the index tells of have a slot?  Others
 *		are of versions that are dead.
 */
static int64
count_slots(Survey *survey)
{
	int64		slots = 0;

	for (int i = 0; i < survey->ntids && survey->visits != 0; i++)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&survey->tids[i]);
		HeapTupleData tuple;
		Buffer		buffer;

		survey->visits--;
		if (block >= survey->heap_blocks)
			continue;
		buffer = ReadBuffer(survey->rel, block);
		slots += fetch_by_root(survey->rel, buffer, &survey->tids[i],
							   SnapshotSelf, 0, &tuple, NULL) ? 1 : 0;
		ReleaseBuffer(buffer);
	}
	return slots;
}

/*
 * rank_key
 *		Be done with the key that the walk is at: keep it if it is one of the
 *		worst.  Most have no more entries than the tenth has slots, and need no
 *		look at these.
 */
static void
rank_key(Survey *survey)
{
	int64		least = 0;
	int64		slots = survey->ntids;
	int			place = 0;

	if (survey->nworst == WORST_KEYS)
		least = survey->worst[WORST_KEYS - 1].slots;
	if (slots <= least)
		return;
	slots = count_slots(survey);
	if (slots <= least)
		return;

	/* A key may go on over several pages, and be met on each. */
	while (place < survey->nworst &&
		   !is_same_key(survey->worst[place].key, survey->key))
		place++;
	if (place == survey->nworst)
	{
		if (survey->nworst < WORST_KEYS)
			survey->nworst++;
		else
			place--;
		survey->worst[place].key = CopyIndexTuple(survey->key);
	}
	else if (slots <= survey->worst[place].slots)
		return;
	survey->worst[place].slots = slots;
	for (; place > 0 && survey->worst[place - 1].slots < slots; place--)
	{
		KeySlots	better = survey->worst[place - 1];

		survey->worst[place - 1] = survey->worst[place];
		survey->worst[place] = better;
	}
}

/*
 * take_entry
 *		Add the places that an entry tells of to those of the key.
 */
static void
take_entry(Survey *survey, IndexTuple entry)
{
	bool		is_posting = BTreeTupleIsPosting(entry);
	int			n = is_posting ? BTreeTupleGetNPosting(entry) : 1;

	if (survey->ntids + n > survey->room)
	{
		survey->room = Max(2 * survey->room, survey->ntids + n);
		survey->tids = repalloc(survey->tids,
								survey->room * sizeof(ItemPointerData));
	}
	memcpy(&survey->tids[survey->ntids],
		   is_posting ? BTreeTupleGetPosting(entry) : &entry->t_tid,
		   n * sizeof(ItemPointerData));
	survey->ntids += n;
}

/*
 * walk_page
 *		Go through the entries of a page, where a key's are neighbours; as a
 *		continuation, only through those of the key that the walk is at.
 *		Returns whether the page ends with this key's.
 */
static bool
walk_page(Survey *survey, Page page, bool is_continuation)
{
	OffsetNumber last = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = P_FIRSTDATAKEY(BTPageGetOpaque(page));
		 offset <= last; offset = OffsetNumberNext(offset))
	{
		ItemId		id = PageGetItemId(page, offset);
		IndexTuple	entry = (IndexTuple) PageGetItem(page, id);

		if (ItemIdIsDead(id) || BTreeTupleIsPivot(entry))
			continue;
		if (survey->key == NULL || !is_same_key(survey->key, entry))
		{
			if (is_continuation)
				return false;
			if (survey->key != NULL)
			{
				rank_key(survey);
				pfree(survey->key);
			}
			survey->key = CopyIndexTuple(entry);
			survey->ntids = 0;
		}
		take_entry(survey, entry);
	}
	return true;
}

/*
 * survey_page
 *		Rank the keys of a page, of the last one with what comes on the next.
 */
static void
survey_page(Survey *survey, BlockNumber block)
{
	PGAlignedBlock copy;
	bool		goes_on = true;

	if (!copy_leaf(survey, block, copy.data))
		return;
	survey->key = NULL;
	(void) walk_page(survey, copy.data, false);
	for (int hop = 0; survey->key != NULL && goes_on && hop < MAX_HOPS; hop++)
	{
		BlockNumber next = BTPageGetOpaque(copy.data)->btpo_next;

		CHECK_FOR_INTERRUPTS();
		goes_on = next != P_NONE && copy_leaf(survey, next, copy.data) &&
			walk_page(survey, copy.data, true);
	}
	if (survey->key != NULL)
	{
		rank_key(survey);
		pfree(survey->key);
	}
}

/*
 * survey_index
 *		Rank the keys of so many pages, drawn at random; of all, if pages is 0.
 *		Returns the share of the index that was looked at.
 */
static double
survey_index(Survey *survey, int pages)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(survey->index);
	BlockSamplerData sampler;
	BlockNumber seen = 0;

	if (blocks <= 1)
		return 1;
	blocks--;
	if (pages == 0)
		pages = (int) Min(blocks, PG_INT32_MAX);
	(void) BlockSampler_Init(&sampler, blocks, pages,
							 pg_prng_uint32(&pg_global_prng_state));
	while (survey->visits != 0 && BlockSampler_HasMore(&sampler))
	{
		CHECK_FOR_INTERRUPTS();
		/* The first block has no entries. */
		survey_page(survey, BlockSampler_Next(&sampler) + 1);
		seen++;
	}
	return (double) seen / blocks;
}

/*
 * is_scalar
 *		Is the type an ordinary one or an enum, or a domain over one, and no array?
 *		A jsonb is like one: each of its numbers may be of 130,000 digits.
 */
static bool
is_scalar(Oid type)
{
	Oid			base = getBaseType(type);
	char		typtype = get_typtype(base);

	return typtype == TYPTYPE_ENUM ||
		(typtype == TYPTYPE_BASE && base != JSONBOID && !type_is_array(base));
}

/* Is a value too large to be written out, if only to be cut off? */
static bool
is_large(Form_pg_attribute column, Datum value)
{
	return column->attlen == -1 && toast_raw_datum_size(value) > MAX_WRITTEN;
}

/*
 * key_text
 *		A key's values as text, in the order of these columns; null for those
 *		that are no scalars, and for whoever may not read them.
 */
static Datum
key_text(Survey *survey, IndexTuple key, int ncolumns,
		 const AttrNumber *columns, bool may_read_it)
{
	TupleDesc	desc = RelationGetDescr(survey->index);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	int			dims[1] = {ncolumns};
	int			lbs[1] = {1};

	for (int i = 0; i < ncolumns; i++)
	{
		int			k = 0;
		Oid			output;
		bool		is_varlena;
		Datum		value;
		char	   *shown;

		while (survey->index->rd_index->indkey.values[k] != columns[i])
			k++;
		value = index_getattr(key, k + 1, desc, &isnull[i]);
		isnull[i] = isnull[i] || !may_read_it ||
			!is_scalar(TupleDescAttr(desc, k)->atttypid) ||
			is_large(TupleDescAttr(desc, k), value);
		if (isnull[i])
			continue;
		getTypeOutputInfo(TupleDescAttr(desc, k)->atttypid, &output,
						  &is_varlena);
		shown = OidOutputFunctionCall(output, value);
		shown[pg_mbcliplen(shown, strlen(shown), MAX_VALUE)] = '\0';
		values[i] = CStringGetTextDatum(shown);
		pfree(shown);
	}
	return PointerGetDatum(construct_md_array(values, isnull, 1, dims, lbs,
											  TEXTOID, -1, false,
											  TYPALIGN_INT));
}

/*
 * columns_named
 *		The numbers of the table's columns with these names; how many there
 *		are, or 0 if one of them is not there.
 */
static int
columns_named(Relation rel, ArrayType *names, AttrNumber *columns)
{
	Datum	   *values;
	bool	   *isnull;
	int			n;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &isnull, &n);
	if (n > INDEX_MAX_KEYS)
		return 0;
	for (int i = 0; i < n; i++)
	{
		columns[i] = isnull[i] ? InvalidAttrNumber :
			get_attnum(RelationGetRelid(rel), TextDatumGetCString(values[i]));
		if (columns[i] <= 0)
			return 0;
	}
	return n;
}

/*
 * playevent.slots_of_keys(slot regclass, columns text[], pages int)
 *		returns table(key text[], slots bigint, share float8)
 *
 * The keys with most slots, ten at most, on so many pages of the slot table's
 * index, drawn at random; on all, if pages is 0 or there are no more.  A key's
 * entries are neighbours in the index, so what is seen of a key is all of it.
 * share is how much of the index was looked at.  No row if the table is locked,
 * has no plain index of the whole key, or is not for the caller to know of.
 *
 * While VACUUM is at work, what it has removed meanwhile may be counted.
 */
Datum
playevent_slots_of_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			pages = PG_GETARG_INT32(2);
	AttrNumber	columns[INDEX_MAX_KEYS];
	int			ncolumns = 0;
	Survey		survey = {0};

	InitMaterializedSRF(fcinfo, 0);
	survey.rel = open_table_if_free(PG_GETARG_OID(0));
	if (survey.rel == NULL)
		return (Datum) 0;
	if (may_know(survey.rel))
		ncolumns = columns_named(survey.rel, PG_GETARG_ARRAYTYPE_P(1), columns);
	if (ncolumns > 0)
		survey.index = open_index_if_free(survey.rel, ncolumns, columns);
	if (survey.index != NULL)
	{
		double		share;

		survey.heap_blocks = RelationGetNumberOfBlocks(survey.rel);
		survey.visits = pages > 0 ? MAX_VISITS : -1;
		survey.room = MaxIndexTuplesPerPage;
		survey.tids = palloc(survey.room * sizeof(ItemPointerData));
		share = survey_index(&survey, Max(pages, 0));
		for (int i = 0; i < survey.nworst; i++)
		{
			Datum		values[3];
			bool		isnull[3] = {false};

			values[0] = key_text(&survey, survey.worst[i].key, ncolumns,
								 columns, may_read_all(RelationGetRelid(survey.rel)));
			values[1] = Int64GetDatum(survey.worst[i].slots);
			values[2] = Float8GetDatum(share);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 isnull);
		}
		close_at_once(survey.index);
	}
	close_at_once(survey.rel);
	return (Datum) 0;
}

/*
 * playevent.newest(rel regclass, id_column name, time_column name,
 *					since timestamptz, lim int, OUT newest timestamptz,
 *					OUT n bigint)
 *
 * When the row with the highest id was made, and how many were made since a
 * moment, at most lim, if ids are in the order of time.  Nulls if the table is
 * locked, has no plain index that begins with the id, or is not for the caller
 * to know of; newest alone is null if there is no row.
 */
Datum
playevent_newest(PG_FUNCTION_ARGS)
{
	Relation	rel = open_table_if_free(PG_GETARG_OID(0));
	AttrNumber	id_column;
	AttrNumber	time_column;
	Relation	index = NULL;
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		isnull[2] = {true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (rel != NULL && may_know(rel))
	{
		id_column = get_attnum(RelationGetRelid(rel),
							   NameStr(*PG_GETARG_NAME(1)));
		time_column = get_attnum(RelationGetRelid(rel),
								 NameStr(*PG_GETARG_NAME(2)));
		if (id_column > 0 && time_column > 0 &&
			TupleDescAttr(RelationGetDescr(rel),
						  time_column - 1)->atttypid == TIMESTAMPTZOID)
			index = open_index_if_free(rel, 1, &id_column);
	}
	if (index != NULL)
	{
		IndexScanDesc scan = begin_index_scan(rel, index, SnapshotSelf, 0);
		int32		lim = PG_GETARG_INT32(4);
		int64		n = 0;
		ItemPointer tid;
		bool		is_since = true;

		/* Not by fetch_next, which marks what is dead: a standby may not. */
		index_rescan(scan, NULL, 0, NULL, 0);
		while (is_since && lim-- > 0 &&
			   (tid = index_getnext_tid(scan, BackwardScanDirection)) != NULL)
		{
			Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
			HeapTupleData tuple;

			CHECK_FOR_INTERRUPTS();
			if (fetch_by_root(rel, buffer, tid, SnapshotSelf, 0, &tuple, NULL))
			{
				bool		is_unknown;
				Datum		made = heap_getattr(&tuple, time_column,
												RelationGetDescr(rel),
												&is_unknown);

				is_since = !is_unknown &&
					DatumGetTimestampTz(made) >= PG_GETARG_TIMESTAMPTZ(3);
				if (!is_unknown && isnull[0])
				{
					values[0] = TimestampTzGetDatum(DatumGetTimestampTz(made));
					isnull[0] = false;
				}
				n += is_since ? 1 : 0;
			}
			ReleaseBuffer(buffer);
		}
		index_endscan(scan);
		values[1] = Int64GetDatum(n);
		isnull[1] = false;
		close_at_once(index);
	}
	if (rel != NULL)
		close_at_once(rel);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, isnull)));
}
