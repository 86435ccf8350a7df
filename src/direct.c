/*-------------------------------------------------------------------------
 *
 * direct.c
 *	  Inserts a batch into a log as INSERT ... SELECT would, at less cost.
 *
 * What the executor does row by row is done for all rows at once, as COPY
 * does: one WAL record a page, and no trigger is called.  COPY itself can't,
 * since it gives that up for a table with a BEFORE ROW trigger.  This code may,
 * because it knows what playevent's triggers do: the rows come with their
 * releases resolved, and are counted here.
 *
 * For ordinary heap tables alone, without anyone else's trigger, rule or policy
 * that would have a say: see direct_possible.  Everything else about the table
 * is honoured: defaults, generated columns, constraints, all its indexes.
 *
 * Entries of the index on event_id are made in that column's order: whoever
 * finds another's uncommitted entry waits for him, and in one order nobody waits
 * in a circle.  All else goes in the order of the ids, which keeps a btree's
 * pages full.
 *
 * Memory: the current context, until the caller is done with the batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteSupport.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"

#include "binding.h"
#include "counter.h"
#include "day.h"
#include "playevent.h"
#include "record.h"
#include "release.h"

/* A column whose value the table makes. */
typedef struct MadeColumn
{
	AttrNumber	attno;
	ExprState  *expression;
	bool		is_same;		/* for all rows of a statement */
	bool		is_known;		/* the value, below */
	Datum		value;
	bool		isnull;
} MadeColumn;

typedef struct DirectInsert
{
	RecordLog  *log;
	EState	   *estate;
	ResultRelInfo *rri;
	TupleDesc	desc;			/* a copy, that slots need not pin */
	TupleTableSlot **slots;
	int			ndefaults;
	MadeColumn *defaults;
	int			ngenerated;
	MadeColumn *generated;
	bool		has_day;
	DayColumns	day;
} DirectInsert;

/*
 * triggers_known
 *		Are all triggers that an INSERT fires ones that the code here stands in
 *		for?
 *
 * They are if they fire for every row; or, of those that resolve, one does for
 * rows with a track and one for those with a release only.
 */
static bool
triggers_known(TriggerDesc *triggers)
{
	int			resolve = 0;
	int			resolve_some = 0;
	int			resolve_releases = 0;
	int			day = 0;
	int			count = 0;
	int			flush = 0;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		int16		type = trigger->tgtype;
		bool		always = trigger->tgqual == NULL;

		if (!TRIGGER_FOR_INSERT(type) || !trigger_fires(trigger))
			continue;
		if (TRIGGER_FOR_ROW(type) && TRIGGER_FOR_BEFORE(type) &&
			trigger_calls(trigger, playevent_resolve))
		{
			if (resolves_releases(trigger))
				resolve_releases++;
			else if (always)
				resolve++;
			else
				resolve_some++;
		}
		else if (TRIGGER_FOR_ROW(type) && TRIGGER_FOR_BEFORE(type) && always &&
				 trigger_calls(trigger, playevent_day))
			day++;
		else if (TRIGGER_FOR_ROW(type) && TRIGGER_FOR_AFTER(type) && always &&
				 trigger_counts(trigger))
			count++;
		else if (!TRIGGER_FOR_ROW(type) && TRIGGER_FOR_AFTER(type) && always &&
				 trigger_calls(trigger, playevent_flush))
			flush++;
		else
			return false;
	}

	/* What is counted but not flushed is written at commit. */
	return (count == 0 || flush > 0) && day <= 1 &&
		((resolve <= 1 && resolve_some == 0 && resolve_releases == 0) ||
		 (resolve == 0 && resolve_some == 1 && resolve_releases == 1));
}

/*
 * keeps_event_ids_apart
 *		Is this a unique index of all event_ids, as ON CONFLICT would infer?
 */
static bool
keeps_event_ids_apart(RecordLog *log, Relation index)
{
	Form_pg_index form = index->rd_index;
	List	   *predicate = RelationGetIndexPredicate(index);
	NullTest   *test;

	if (!form->indisunique || !form->indisvalid || form->indnkeyatts != 1 ||
		form->indkey.values[0] != log->attnos[RECORD_EVENT_ID])
		return false;
	if (predicate == NIL)
		return true;
	test = linitial(predicate);
	return list_length(predicate) == 1 && IsA(test, NullTest) &&
		test->nulltesttype == IS_NOT_NULL && IsA(test->arg, Var) &&
		((Var *) test->arg)->varattno == log->attnos[RECORD_EVENT_ID];
}

/*
 * is_exact
 *		Does the column take values of its type as they are?  If it has a
 *		modifier, an INSERT cuts or rounds them, or refuses.
 *
 * A key that is too long has been rejected, and releases are those of tracks.
 */
static bool
is_exact(RecordLog *log, RecordColumn c)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(log->rel),
										  log->attnos[c] - 1);

	return att->atttypmod < 0 || c == RECORD_RELEASE ||
		(c == RECORD_KEY && att->atttypid == VARCHAROID);
}

/*
 * direct_possible
 *		Would an INSERT by the current user do nothing but what is done here?
 */
bool
direct_possible(RecordLog *log)
{
	Relation	rel = log->rel;
	AclMode		rights = ACL_INSERT | ACL_SELECT;
	bool		apart = false;
	ListCell   *lc;

	/* An owner may have revoked his own rights. */
	if (pg_class_aclmask(RelationGetRelid(rel), GetUserId(), rights,
						 ACLMASK_ALL) != rights)
		return false;
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (!is_exact(log, c))
			return false;
	}
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relispartition ||
		rel->rd_rules != NULL ||
		SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ||
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED ||
		!triggers_known(log->triggers))
		return false;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		immediate = index->rd_index->indimmediate &&
		!index->rd_index->indisexclusion;

		apart |= keeps_event_ids_apart(log, index);
		index_close(index, NoLock);
		if (!immediate)
			return false;
	}
	/* Without, let the INSERT complain. */
	return apart;
}

/*
 * is_brought
 *		Do the rows have a value, maybe null, for this column?
 *
 * One whose array was left out gets its default; but the triggers set releases.
 */
static bool
is_brought(RecordLog *log, RecordColumn c)
{
	return log->sent[c] || (c == RECORD_RELEASE && log->resolved);
}

/*
 * null_of_domain
 *		An expression that is null, or an error if the domain takes none: what
 *		the planner puts into a column that an INSERT leaves out.
 */
static Node *
null_of_domain(Form_pg_attribute att)
{
	Node	   *null = (Node *) makeConst(att->atttypid, -1, att->attcollation,
										  att->attlen, (Datum) 0, true,
										  att->attbyval);

	return coerce_to_domain(null, InvalidOid, -1, att->atttypid,
							COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1,
							false);
}

/*
 * prepare_columns
 *		Look up how the columns that the batch does not bring get their values.
 */
static void
prepare_columns(DirectInsert *insert)
{
	TupleDesc	desc = RelationGetDescr(insert->log->rel);

	for (int i = 0; i < insert->log->triggers->numtriggers; i++)
	{
		Trigger    *trigger = &insert->log->triggers->triggers[i];

		if (trigger_calls(trigger, playevent_day) && trigger_fires(trigger))
		{
			day_columns(insert->log->rel, trigger, &insert->day);
			insert->has_day = true;
		}
	}

	insert->defaults = palloc0(desc->natts * sizeof(MadeColumn));
	insert->generated = palloc0(desc->natts * sizeof(MadeColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		MadeColumn *column;
		Node	   *value;
		bool		brought = insert->has_day && insert->day.day == i + 1;

		for (int c = 0; c < RECORD_NCOLUMNS; c++)
			brought |= is_brought(insert->log, c) &&
				insert->log->attnos[c] == i + 1;
		if (brought || att->attisdropped)
			continue;
		if (att->attgenerated != '\0' &&
			att->attgenerated != ATTRIBUTE_GENERATED_STORED)
			continue;
		value = build_column_default(insert->log->rel, i + 1);
		if (value == NULL && get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
			value = null_of_domain(att);
		if (value == NULL)
			continue;

		column = att->attgenerated == '\0' ?
			&insert->defaults[insert->ndefaults++] :
			&insert->generated[insert->ngenerated++];
		column->attno = i + 1;
		column->expression = ExecPrepareExpr((Expr *) value, insert->estate);
		column->is_same = att->attgenerated == '\0' &&
			!contain_volatile_functions(value);
	}
}

/* Results go to the current memory context, for the row is needed later. */
static void
make_values(MadeColumn *columns, int n, ExprContext *econtext,
			TupleTableSlot *slot)
{
	for (int i = 0; i < n; i++)
	{
		MadeColumn *column = &columns[i];

		if (!column->is_known)
			column->value = ExecEvalExpr(column->expression, econtext,
										 &column->isnull);
		column->is_known = column->is_same;
		slot->tts_values[column->attno - 1] = column->value;
		slot->tts_isnull[column->attno - 1] = column->isnull;
	}
}

/*
 * form_row
 *		Put a row into its slot, with all columns, and check its constraints.
 */
static TupleTableSlot *
form_row(DirectInsert *insert, RecordRow *row)
{
	RecordLog  *log = insert->log;
	ExprContext *econtext = GetPerTupleExprContext(insert->estate);
	TupleDesc	desc = RelationGetDescr(log->rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(insert->desc,
													&TTSOpsVirtual);

	slot->tts_tableOid = RelationGetRelid(log->rel);
	memset(slot->tts_isnull, true, desc->natts * sizeof(bool));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (!is_brought(log, c))
			continue;
		slot->tts_values[log->attnos[c] - 1] = row->values[c];
		slot->tts_isnull[log->attnos[c] - 1] = row->isnull[c];
	}
	econtext->ecxt_scantuple = slot;
	make_values(insert->defaults, insert->ndefaults, econtext, slot);
	ExecStoreVirtualTuple(slot);
	if (insert->has_day)
		slot->tts_values[insert->day.day - 1] =
			day_of(log->rel, &insert->day, slot,
				   &slot->tts_isnull[insert->day.day - 1]);
	make_values(insert->generated, insert->ngenerated, econtext, slot);

	row->id_isnull = slot->tts_isnull[log->id - 1];
	row->id = row->id_isnull ? 0 : DatumGetInt64(slot->tts_values[log->id - 1]);

	if (desc->constr != NULL)
		ExecConstraints(insert->rri, slot, insert->estate);
	ResetPerTupleExprContext(insert->estate);
	return slot;
}

/*
 * fill_index
 *		Make the entries of one index, as ExecInsertIndexTuples would.
 */
static void
fill_index(DirectInsert *insert, Relation index, IndexInfo *info,
		   TupleTableSlot **slots, int n)
{
	Relation	rel = insert->log->rel;
	ExprContext *econtext = GetPerTupleExprContext(insert->estate);
	bool		by_block = index->rd_rel->relam == BRIN_AM_OID &&
	info->ii_Expressions == NIL;
	BlockNumber last_block = InvalidBlockNumber;
	Datum		last[INDEX_MAX_KEYS];
	bool		last_isnull[INDEX_MAX_KEYS];
	ExprState  *predicate = NULL;

	if (info->ii_Predicate != NIL)
		predicate = ExecPrepareQual(info->ii_Predicate, insert->estate);

	for (int i = 0; i < n; i++)
	{
		TupleTableSlot *slot = slots[i];
		BlockNumber block = ItemPointerGetBlockNumber(&slot->tts_tid);
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		econtext->ecxt_scantuple = slot;
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(info, slot, insert->estate, values, isnull);

		/* A block's range takes in no value twice. */
		if (by_block)
		{
			bool		same = block == last_block;

			for (int k = 0; same && k < info->ii_NumIndexAttrs; k++)
			{
				Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
													  info->ii_IndexAttrNumbers[k] - 1);

				same = isnull[k] == last_isnull[k] &&
					(isnull[k] || datum_image_eq(values[k], last[k],
												 att->attbyval, att->attlen));
			}
			if (same)
				continue;
			last_block = block;
			memcpy(last, values, sizeof(last));
			memcpy(last_isnull, isnull, sizeof(last_isnull));
		}

		index_insert(index, values, isnull, &slot->tts_tid, rel,
					 index->rd_index->indisunique ?
					 UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
		ResetPerTupleExprContext(insert->estate);
	}
}

static void
fill_indexes(DirectInsert *insert, RecordRow **rows, RecordRow **by_event_id,
			 int n)
{
	ResultRelInfo *rri = insert->rri;
	TupleTableSlot **sorted = insert->slots;

	if (by_event_id != rows)
	{
		sorted = palloc(n * sizeof(TupleTableSlot *));
		for (int i = 0; i < n; i++)
			sorted[i] = insert->slots[by_event_id[i]->position];
	}

	ExecOpenIndices(rri, false);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		IndexInfo  *info = rri->ri_IndexRelationInfo[i];
		bool		on_event_id = info->ii_IndexAttrNumbers[0] ==
		insert->log->attnos[RECORD_EVENT_ID];

		if (info->ii_ReadyForInserts)
			fill_index(insert, rri->ri_IndexRelationDescs[i], info,
					   on_event_id ? sorted : insert->slots, n);
	}
	ExecCloseIndices(rri);
}

/*
 * Rows that a counter counts by one key.  Those whose values are in one place
 * are enough: keys and releases mostly are (release_of), and groups of equal
 * keys are added up where they are counted.
 */
typedef struct RowGroup
{
	TupleTableSlot *row;		/* one of them */
	int64		n;
	uint32		hash;
	char		status;			/* for simplehash */
} RowGroup;

static inline Datum
group_value(CounterBinding *binding, TupleTableSlot *row, int key)
{
	int			column = binding->event_attnos[key] - 1;

	return row->tts_isnull[column] ? (Datum) 0 : row->tts_values[column];
}

static inline uint32
hash_group(CounterBinding *binding, TupleTableSlot *row)
{
	uint32		hash = 0;

	for (int k = 0; k < binding->nkeys; k++)
	{
		uint64		value = group_value(binding, row, k);

		hash = hash_combine(hash, (uint32) (value ^ (value >> 32)));
	}
	return murmurhash32(hash);
}

static inline bool
same_group(CounterBinding *binding, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int k = 0; k < binding->nkeys; k++)
	{
		int			column = binding->event_attnos[k] - 1;

		if (a->tts_isnull[column] != b->tts_isnull[column] ||
			group_value(binding, a, k) != group_value(binding, b, k))
			return false;
	}
	return true;
}

#define SH_PREFIX		group
#define SH_ELEMENT_TYPE	RowGroup
#define SH_KEY_TYPE		TupleTableSlot *
#define SH_KEY			row
#define SH_HASH_KEY(tb, row) hash_group((CounterBinding *) (tb)->private_data, row)
#define SH_EQUAL(tb, a, b) same_group((CounterBinding *) (tb)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * count_groups
 *		Count all rows, those of one group at once.
 */
static void
count_groups(DirectInsert *insert, Trigger *trigger, CounterBinding *binding,
			 int n)
{
	group_hash *groups = group_create(CurrentMemoryContext, n, binding);
	group_iterator scan;
	RowGroup   *group;
	bool		found;

	for (int i = 0; i < n; i++)
	{
		group = group_insert(groups, insert->slots[i], &found);
		group->n = found ? group->n + 1 : 1;
	}
	group_start_iterate(groups, &scan);
	while ((group = group_iterate(groups, &scan)) != NULL)
	{
		if (!binding->valid || !binding->slot->valid)
			binding = counter_binding(insert->log->rel, trigger);
		counter_add_plays(binding, group->row, group->n);
	}
	group_destroy(groups);
}

/*
 * count_rows
 *		Do what the log's counting triggers would, before they are inserted:
 *		that copies each row's values apart.
 */
static void
count_rows(DirectInsert *insert, int n)
{
	RecordLog  *log = insert->log;

	for (int t = 0; t < log->triggers->numtriggers; t++)
	{
		Trigger    *trigger = &log->triggers->triggers[t];
		CounterBinding *binding;

		if (!TRIGGER_FOR_INSERT(trigger->tgtype) || !trigger_fires(trigger) ||
			!trigger_counts(trigger))
			continue;
		binding = counter_binding(log->rel, trigger);
		if (binding->slot->sketch == NULL)
		{
			count_groups(insert, trigger, binding, n);
			continue;
		}
		for (int i = 0; i < n; i++)
		{
			if (!binding->valid || !binding->slot->valid)
				binding = counter_binding(log->rel, trigger);
			counter_add_listener(binding, insert->slots[i]);
		}
	}
}

/*
 * direct_insert
 *		Insert the rows, given in the order of the ids they get, and by their
 *		event_id too; fill in the ids; count.
 *
 * Errors: what an INSERT would report.  The caller's subtransaction must end
 * with one.
 */
void
direct_insert(RecordLog *log, RecordRow **rows, RecordRow **by_event_id,
			  int n)
{
	DirectInsert insert = {.log = log};

	insert.estate = CreateExecutorState();
	insert.rri = makeNode(ResultRelInfo);
	/* Range table index 0: there is no query. */
	InitResultRelInfo(insert.rri, log->rel, 0, NULL, 0);
	insert.desc = CreateTupleDescCopy(RelationGetDescr(log->rel));
	prepare_columns(&insert);

	insert.slots = palloc(n * sizeof(TupleTableSlot *));
	for (int i = 0; i < n; i++)
	{
		rows[i]->position = i;
		insert.slots[i] = form_row(&insert, rows[i]);
	}
	count_rows(&insert, n);
	table_multi_insert(log->rel, insert.slots, n, GetCurrentCommandId(true),
					   0, NULL);
	fill_indexes(&insert, rows, by_event_id, n);
	CommandCounterIncrement();
	counter_flush(RelationGetRelid(log->rel));
	FreeExecutorState(insert.estate);
}
