/*-------------------------------------------------------------------------
 *
 * bulk_insert.c
 *	  Inserts a batch into a log as INSERT ... SELECT would, at less cost.
 *
 * Layer: recording.
 *
 * What the executor does row by row is done for all rows at once, as COPY
 * does: one WAL record a page, and no trigger is called.  COPY itself can't,
 * since it gives that up for a table with a BEFORE ROW trigger.  This code may,
 * because it knows what playevent's triggers do: the rows come with their
 * releases resolved, and are counted here.
 *
 * For ordinary heap tables alone, without anyone else's trigger, rule or
 * policy that would have a say: see bulk_insert_possible.  Everything else
 * about the table is honoured: defaults, generated columns, constraints, all
 * its indexes.
 *
 * Entries of the index on event_id are made in that column's order: whoever
 * finds another's uncommitted entry waits for him, and in one order nobody
 * waits in a circle.  All else goes in the order of the ids, which keeps a
 * btree's pages full.
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

#include "bulk_insert.h"
#include "counter_binding.h"
#include "day.h"
#include "heard.h"
#include "pending.h"
#include "record_log.h"
#include "trigger_role.h"

/* A column whose value the table makes. */
typedef struct MadeColumn
{
	AttrNumber	attno;
	ExprState  *expression;
	int16		len;
	bool		is_same;		/* for all rows of a statement */
	bool		is_known;		/* the value, below */
	Datum		value;
	bool		isnull;
} MadeColumn;

typedef struct BulkInsert
{
	RecordLog  *log;
	EState	   *estate;
	ResultRelInfo *rri;
	TupleDesc	desc;			/* a copy, that rows need not pin */
	TupleTableSlot **rows;
	int			ndefaults;
	MadeColumn *defaults;
	int			ngenerated;
	MadeColumn *generated;
} BulkInsert;

/*
 * triggers_known
 *		Are all triggers that an INSERT fires ones that the code here stands in
 *		for?
 *
 * They are if they fire for every row; or, of those that resolve, one does for
 * rows with a track and one for those with a release only.
 */
static bool
triggers_known(RecordLog *log)
{
	TriggerDesc *triggers = log->triggers;
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
		TriggerRole role;

		if (!TRIGGER_FOR_INSERT(type) || !trigger_fires(trigger))
			continue;
		role = role_of(trigger);
		if (makes_new_rows(trigger) && role == ROLE_RESOLVE)
		{
			if (resolves_releases(trigger))
				resolve_releases++;
			else if (always)
				resolve++;
			else
				resolve_some++;
		}
		else if (makes_new_rows(trigger) && always && role == ROLE_DAY)
			day++;
		else if (TRIGGER_FOR_ROW(type) && TRIGGER_FOR_AFTER(type) && always &&
				 role == ROLE_COUNT)
			count++;
		else if (!TRIGGER_FOR_ROW(type) && TRIGGER_FOR_AFTER(type) && always &&
				 role == ROLE_FLUSH)
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
 *
 * The predicate is simplified, as an INSERT would have it done, which may run
 * code of the table's owner: as the owner, whom record_batch acts as by now
 * (P8).
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
 *		Does the column take values of its type as they are?  If it is generated,
 *		an INSERT refuses them; if it has a modifier, it cuts or rounds them, or
 *		refuses; and a domain may refuse even the null that it puts where nothing
 *		is sent.
 *
 * A key that is too long has been rejected, and what the triggers put into a
 * release they put there as it is.
 */
static bool
is_exact(RecordLog *log, RecordColumn c)
{
	Form_pg_attribute att;

	if (log->attnos[c] == InvalidAttrNumber ||
		(c == RECORD_HEARD && !log->sent[c]))
		return true;
	att = TupleDescAttr(RelationGetDescr(log->rel), log->attnos[c] - 1);
	if (log->sent[c] && att->attgenerated != '\0')
		return false;
	if (c == RECORD_HEARD)
		return att->atttypid == heard_type(log->rel, log->attnos[c]);
	if (get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
		return false;
	return att->atttypmod < 0 || (c == RECORD_RELEASE && log->resolved) ||
		(c == RECORD_KEY && att->atttypid == VARCHAROID);
}

/*
 * bulk_insert_possible
 *		Would an INSERT by the current user do nothing but what is done here?
 *
 * A module may want a word about rights on tables, to refuse or to audit: then
 * it is to see an INSERT.  Those that hook into the executor elsewhere watch
 * statements, of which the call of the record function is one.
 */
bool
bulk_insert_possible(RecordLog *log)
{
	Relation	rel = log->rel;
	AclMode		rights = ACL_INSERT | ACL_SELECT;
	bool		apart = log->attnos[RECORD_EVENT_ID] == InvalidAttrNumber;
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
		ExecutorCheckPerms_hook != NULL ||
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED ||
		!triggers_known(log))
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
 * default_of
 *		The expression by which an INSERT that leaves a column out, or the table
 *		itself, makes its value; NULL if that is just null.
 */
static Node *
default_of(Relation rel, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	Node	   *value = build_column_default(rel, attno);

	if (value == NULL && get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
		value = null_of_domain(att);
	return value;
}

/*
 * bulk_insert_check_defaults
 *		Make the defaults of one row and throw them away: if that fails, then it
 *		is no fault of a row's.
 *
 * Errors: those of the defaults.  The caller's subtransaction must end with
 * success too, for defaults may write.
 */
void
bulk_insert_check_defaults(RecordLog *log)
{
	TupleDesc	desc = RelationGetDescr(log->rel);
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		sent = att->attisdropped || att->attgenerated != '\0';
		Node	   *value;
		bool		isnull;

		for (int c = 0; c < RECORD_NCOLUMNS; c++)
			sent |= log->sent[c] && log->attnos[c] == i + 1;
		value = sent ? NULL : default_of(log->rel, i + 1);
		if (value != NULL)
			(void) ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) value,
															 estate),
											 econtext, &isnull);
	}
	FreeExecutorState(estate);
}

/*
 * prepare_columns
 *		Look up how the columns that the batch does not bring get their values.
 */
static void
prepare_columns(BulkInsert *insert)
{
	TupleDesc	desc = RelationGetDescr(insert->log->rel);

	insert->defaults = palloc0(desc->natts * sizeof(MadeColumn));
	insert->generated = palloc0(desc->natts * sizeof(MadeColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		MadeColumn *column;
		Node	   *value;
		bool		brought = insert->log->has_day && insert->log->day.day == i + 1;

		for (int c = 0; c < RECORD_NCOLUMNS; c++)
			brought |= is_brought(insert->log, c) &&
				insert->log->attnos[c] == i + 1;
		if (brought || att->attisdropped)
			continue;
		if (att->attgenerated != '\0' &&
			att->attgenerated != ATTRIBUTE_GENERATED_STORED)
			continue;
		value = default_of(insert->log->rel, i + 1);
		if (value == NULL)
			continue;

		column = att->attgenerated == '\0' ?
			&insert->defaults[insert->ndefaults++] :
			&insert->generated[insert->ngenerated++];
		column->attno = i + 1;
		column->len = att->attlen;
		column->expression = ExecPrepareExpr((Expr *) value, insert->estate);
		column->is_same = att->attgenerated == '\0' &&
			!contain_volatile_functions(value);
	}
}

/*
 * make_values
 *		Fill in the values that the table makes, in the current memory context,
 *		for the row is needed later.
 *
 * An expanded one is made flat.  The next expression to get it could take it
 * over, as PL/pgSQL does, and free it.
 */
static void
make_values(MadeColumn *columns, int n, ExprContext *econtext,
			TupleTableSlot *row)
{
	for (int i = 0; i < n; i++)
	{
		MadeColumn *column = &columns[i];

		if (!column->is_known)
		{
			column->value = ExecEvalExpr(column->expression, econtext,
										 &column->isnull);
			if (!column->isnull && column->len == -1 &&
				VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(column->value)))
				column->value = datumCopy(column->value, false, -1);
		}
		column->is_known = column->is_same;
		row->tts_values[column->attno - 1] = column->value;
		row->tts_isnull[column->attno - 1] = column->isnull;
	}
}

/*
 * form_row
 *		Make the row of what was sent, with all columns, and check its constraints.
 */
static TupleTableSlot *
form_row(BulkInsert *insert, RecordRow *sent)
{
	RecordLog  *log = insert->log;
	ExprContext *econtext = GetPerTupleExprContext(insert->estate);
	TupleDesc	desc = RelationGetDescr(log->rel);
	TupleTableSlot *row = MakeSingleTupleTableSlot(insert->desc,
												   &TTSOpsVirtual);

	row->tts_tableOid = RelationGetRelid(log->rel);
	memset(row->tts_isnull, true, desc->natts * sizeof(bool));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (!is_brought(log, c))
			continue;
		row->tts_values[log->attnos[c] - 1] = sent->values[c];
		row->tts_isnull[log->attnos[c] - 1] = sent->isnull[c];
	}
	econtext->ecxt_scantuple = row;
	make_values(insert->defaults, insert->ndefaults, econtext, row);
	ExecStoreVirtualTuple(row);
	if (insert->log->has_day)
		row->tts_values[insert->log->day.day - 1] =
			day_of(log->rel, &insert->log->day, row,
				   &row->tts_isnull[insert->log->day.day - 1]);
	make_values(insert->generated, insert->ngenerated, econtext, row);

	sent->id_isnull = row->tts_isnull[log->id - 1];
	sent->id = sent->id_isnull ? 0 :
		record_id(log, row->tts_values[log->id - 1]);

	if (desc->constr != NULL)
		ExecConstraints(insert->rri, row, insert->estate);
	ResetPerTupleExprContext(insert->estate);
	return row;
}

/*
 * fill_index
 *		Make the entries of one index, as ExecInsertIndexTuples would.
 */
static void
fill_index(BulkInsert *insert, Relation index, IndexInfo *info,
		   TupleTableSlot **rows, int n)
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
		TupleTableSlot *row = rows[i];
		BlockNumber block = ItemPointerGetBlockNumber(&row->tts_tid);
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		CHECK_FOR_INTERRUPTS();
		econtext->ecxt_scantuple = row;
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(info, row, insert->estate, values, isnull);

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

		index_insert(index, values, isnull, &row->tts_tid, rel,
					 index->rd_index->indisunique ?
					 UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
					 false, info);
		ResetPerTupleExprContext(insert->estate);
	}
}

static void
fill_indexes(BulkInsert *insert, RecordRow **sent, RecordRow **by_event_id,
			 int n)
{
	ResultRelInfo *rri = insert->rri;
	TupleTableSlot **sorted = insert->rows;

	if (by_event_id != sent)
	{
		sorted = palloc(n * sizeof(TupleTableSlot *));
		for (int i = 0; i < n; i++)
			sorted[i] = insert->rows[by_event_id[i]->position];
	}

	ExecOpenIndices(rri, false);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		IndexInfo  *info = rri->ri_IndexRelationInfo[i];
		AttrNumber	event_id = insert->log->attnos[RECORD_EVENT_ID];
		bool		on_event_id = event_id != InvalidAttrNumber &&
		info->ii_IndexAttrNumbers[0] == event_id;

		if (info->ii_ReadyForInserts)
			fill_index(insert, rri->ri_IndexRelationDescs[i], info,
					   on_event_id ? sorted : insert->rows, n);
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
count_groups(BulkInsert *insert, Trigger *trigger, CounterBinding *binding,
			 int n)
{
	group_hash *groups = group_create(CurrentMemoryContext, n, binding);
	group_iterator scan;
	RowGroup   *group;
	bool		found;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		group = group_insert(groups, insert->rows[i], &found);
		group->n = found ? group->n + 1 : 1;
	}
	group_start_iterate(groups, &scan);
	while ((group = group_iterate(groups, &scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (!binding->head.valid)
			binding = counter_binding(insert->log->rel, trigger);
		pending_add_rows(binding, group->row, group->n);
	}
	group_destroy(groups);
}

/*
 * count_rows
 *		Do what the log's counting triggers would, before they are inserted:
 *		that copies each row's values apart.
 */
static void
count_rows(BulkInsert *insert, int n)
{
	RecordLog  *log = insert->log;

	for (int t = 0; t < log->triggers->numtriggers; t++)
	{
		Trigger    *trigger = &log->triggers->triggers[t];
		CounterBinding *binding;

		if (!TRIGGER_FOR_INSERT(trigger->tgtype) || !trigger_fires(trigger) ||
			role_of(trigger) != ROLE_COUNT)
			continue;
		binding = counter_binding(log->rel, trigger);
		if (!binding->slot->kind->has_source)
		{
			count_groups(insert, trigger, binding, n);
			continue;
		}
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!binding->head.valid)
				binding = counter_binding(log->rel, trigger);
			pending_add_rows(binding, insert->rows[i], 1);
		}
	}
}

/*
 * bulk_insert
 *		Insert the rows, given in the order of the ids they get, and by their
 *		event_id too; fill in the ids; count.
 *
 * Errors: what an INSERT would report.  The caller's subtransaction must end
 * with one.
 */
void
bulk_insert(RecordLog *log, RecordRow **sent, RecordRow **by_event_id,
			int n)
{
	BulkInsert	insert = {.log = log};

	insert.estate = CreateExecutorState();
	insert.rri = makeNode(ResultRelInfo);
	/* Range table index 0: there is no query. */
	InitResultRelInfo(insert.rri, log->rel, 0, NULL, 0);
	insert.desc = CreateTupleDescCopy(RelationGetDescr(log->rel));
	prepare_columns(&insert);

	insert.rows = palloc(n * sizeof(TupleTableSlot *));
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sent[i]->position = i;
		insert.rows[i] = form_row(&insert, sent[i]);
	}
	count_rows(&insert, n);
	table_multi_insert(log->rel, insert.rows, n, GetCurrentCommandId(true),
					   0, NULL);
	fill_indexes(&insert, sent, by_event_id, n);
	CommandCounterIncrement();
	pending_flush(RelationGetRelid(log->rel));
	FreeExecutorState(insert.estate);
}
