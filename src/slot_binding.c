/*-------------------------------------------------------------------------
 *
 * slot_binding.c
 *	  A slot table as a counter's trigger describes it: its columns and index
 *	  (P4, P6, P8, P10).
 *
 * Layer: storage.
 *
 * See binding.c for lifetimes and locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "binding.h"
#include "slot_binding.h"
#include "trigger_argument.h"

/*
 * report_out_of_range
 *		Say that an amount is more than the slot table, which is locked, can keep.
 */
void
report_out_of_range(SlotBinding *slot)
{
	Relation	rel = relation_open(slot->relid, NoLock);

	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s in table \"%s\" out of range", slot->kind->noun,
					RelationGetRelationName(rel)),
			 errtablecol(rel, slot->amount_attno)));
}

/*
 * check_plain
 *		Check that an index of a slot table is a plain one.
 *
 * No index of a slot table may be unique, or inserting a slot could have to
 * wait; nor have expressions or a predicate, which would run code of the
 * table's owner in the middle of everyone's insert.  So may another access
 * method: GiST asks a range type for its subtype_diff.
 */
static void
check_plain(Relation index, Relation rel, Relation event, Trigger *trigger)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID ||
		form->indisunique || form->indisexclusion ||
		!is_on_columns(index) || !holds_all_rows(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not allowed on slot table \"%s\"",
						RelationGetRelationName(index),
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" writes to tables only whose indexes are plain: btrees, not unique, on columns, of all rows.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Drop it: DROP INDEX %s;",
						 qualified_name(RelationGetRelid(index))),
				 errtable(rel)));
}

/*
 * leading_keys
 *		How many of the index's leading columns are key columns, and which each
 *		is; 0 if the first key column is not among them, or it is not valid yet.
 */
static int
leading_keys(SlotBinding *slot, Relation index, int *which)
{
	Form_pg_index form = index->rd_index;
	int			nkeys = 0;
	int			seen = 0;		/* a bit for each key column */

	if (!form->indisvalid)
		return 0;
	for (int i = 0; i < Min(form->indnkeyatts, slot->nkeys); i++)
	{
		int			k = 0;

		while (k < slot->nkeys &&
			   slot->key_attnos[k] != form->indkey.values[i])
			k++;
		if (k == slot->nkeys || (seen & (1 << k)) != 0)
			break;
		seen |= 1 << k;
		which[nkeys++] = k;
	}
	return (seen & 1) != 0 ? nkeys : 0;
}

/*
 * bind_slot_index
 *		Let a key's slots be found by this index.
 */
static void
bind_slot_index(SlotBinding *slot, Relation index, int nkeys, const int *which)
{
	slot->index_oid = RelationGetRelid(index);
	slot->index_nkeys = nkeys;
	for (int i = 0; i < nkeys; i++)
	{
		Oid			operator;

		operator = get_opfamily_member(index->rd_opfamily[i],
									   index->rd_opcintype[i],
									   index->rd_opcintype[i],
									   BTEqualStrategyNumber);
		if (!OidIsValid(operator))
			elog(ERROR, "missing equality operator for opfamily %u",
				 index->rd_opfamily[i]);
		slot->index_key[i] = which[i];
		slot->index_collation[i] = index->rd_indcollation[i];
		fmgr_info_cxt(get_opcode(operator), &slot->index_equal[i],
					  slot->context);
	}
}

static void
report_no_index(SlotBinding *slot, Relation rel, Relation event,
				Trigger *trigger)
{
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < slot->nkeys; i++)
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(slot->key_names[i])));
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("slot table \"%s\" has no usable index on its key",
					RelationGetRelationName(rel)),
			 errdetail("Trigger \"%s\" on table \"%s\" finds the counts to raise by it.",
					   trigger->tgname, RelationGetRelationName(event)),
			 errhint("Create one: CREATE INDEX ON %s (%s);",
					 qualified_name(RelationGetRelid(rel)), columns.data),
			 errtable(rel)));
}

/*
 * find_slot_index
 *		Find the index by which a key's slots are found: a btree that starts
 *		with key columns, the first one among them; best the one that covers
 *		most of the key.
 */
static void
find_slot_index(SlotBinding *slot, Relation rel, Relation event,
				Trigger *trigger)
{
	ListCell   *lc;

	slot->index_nkeys = 0;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			which[COUNTER_MAX_KEYS];
		int			nkeys;

		check_plain(index, rel, event, trigger);
		nkeys = leading_keys(slot, index, which);
		if (nkeys > slot->index_nkeys)
			bind_slot_index(slot, index, nkeys, which);
		index_close(index, AccessShareLock);
	}
	if (slot->index_nkeys == 0)
		report_no_index(slot, rel, event, trigger);
}

/*
 * check_kept
 *		Check that what is written to a slot table stays, and is as we write it
 *		(P6).
 */
static void
check_kept(Relation rel, Relation event, Trigger *trigger)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("slot table \"%s\" is not an ordinary, logged heap table",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps counts in it that must survive a crash.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 log_name(event)),
				 errtable(rel)));
}

/*
 * bind_amount
 *		Look up the column of a slot's amount.
 */
static void
bind_amount(SlotBinding *slot, Relation rel, Relation event, Trigger *trigger,
			const AmountKind *kind)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Form_pg_attribute att;

	slot->amount_attno = find_column(event, trigger, COUNTER_AMOUNT_COLUMN,
									 rel);
	namestrcpy(&slot->amount_name, trigger->tgargs[COUNTER_AMOUNT_COLUMN]);
	att = TupleDescAttr(desc, slot->amount_attno - 1);
	slot->kind = kind;
	if (!kind->is_bigint)
		slot->column = kind->bind_column(att, slot->context);
	if (!att->attnotnull ||
		(kind->is_bigint ? att->atttypid != INT8OID : slot->column == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of slot table \"%s\" is not %s and not null",
						NameStr(att->attname), RelationGetRelationName(rel),
						kind->column_type),
				 errdetail("Trigger \"%s\" on table \"%s\" counts in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 log_name(event)),
				 errtablecol(rel, slot->amount_attno)));
	slot->amount_is_last = kind->is_bigint &&
		slot->amount_attno == desc->natts;
}

/*
 * check_nullable
 *		Check that a column of a slot's key takes any key, for playevent writes
 *		below constraints; a null where Postgres relies on there being none is
 *		read as something else, or crashes the server.
 */
static void
check_nullable(Relation rel, AttrNumber attno, Relation event,
			   Trigger *trigger)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	if (att->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of slot table \"%s\" is not null",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" writes keys to it as they come.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Drop the constraint: ALTER TABLE %s ALTER %s DROP NOT NULL;",
						 qualified_name(RelationGetRelid(rel)),
						 quote_identifier(NameStr(att->attname))),
				 errtablecol(rel, attno)));
}

/*
 * bind_key
 *		Look up the columns of a slot's key.
 */
static void
bind_key(SlotBinding *slot, Relation rel, Relation event, Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			first_key = first_key_of(slot->kind);

	slot->nkeys = trigger->tgnargs - first_key;
	slot->key_is_first = true;
	for (int i = 0; i < slot->nkeys; i++)
	{
		int			arg = first_key + i;

		slot->key_attnos[i] = find_column(event, trigger, arg, rel);
		check_nullable(rel, slot->key_attnos[i], event, trigger);
		slot->key_is_first &= slot->key_attnos[i] == i + 1;
		slot->key_types[i] = TupleDescAttr(desc, slot->key_attnos[i] - 1)->atttypid;
		namestrcpy(&slot->key_names[i], trigger->tgargs[arg]);
	}
}

/*
 * check_slot_columns
 *		Check that each column of a slot table has one part: each is named once,
 *		and there are as many as are named.
 */
static void
check_slot_columns(SlotBinding *slot, Relation rel, Relation event,
				   Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			live = 0;

	if (desc->constr != NULL && desc->constr->num_check > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("constraint \"%s\" is not allowed on slot table \"%s\"",
						desc->constr->check[0].ccname,
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" writes keys to it as they come.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Drop it: ALTER TABLE %s DROP CONSTRAINT %s;",
						 qualified_name(RelationGetRelid(rel)),
						 quote_identifier(desc->constr->check[0].ccname)),
				 errtable(rel)));

	for (int i = 0; i < slot->nkeys; i++)
	{
		bool		again = slot->key_attnos[i] == slot->amount_attno;

		for (int j = 0; j < i; j++)
			again |= slot->key_attnos[i] == slot->key_attnos[j];
		if (again)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("trigger \"%s\" on table \"%s\" names column \"%s\" twice",
							trigger->tgname, RelationGetRelationName(event),
							NameStr(slot->key_names[i])),
					 errhint("Let playevent.create_log or playevent.attach_log make the triggers.")));
	}
	for (int i = 0; i < desc->natts; i++)
		live += TupleDescAttr(desc, i)->attisdropped ? 0 : 1;
	if (live != slot->nkeys + 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slot table \"%s\" has %d columns, not %d",
						RelationGetRelationName(rel), live, slot->nkeys + 1),
				 errdetail("Trigger \"%s\" on table \"%s\" would leave the others without a value.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Drop the columns that playevent did not make."),
				 errtable(rel)));
}

/*
 * make_key_desc
 *		Describe a key by itself.
 */
static void
make_key_desc(SlotBinding *slot, TupleDesc desc)
{
	MemoryContext oldcontext;

	oldcontext = MemoryContextSwitchTo(slot->context);
	slot->key_desc = CreateTemplateTupleDesc(slot->nkeys);
	for (int i = 0; i < slot->nkeys; i++)
		TupleDescCopyEntry(slot->key_desc, i + 1, desc, slot->key_attnos[i]);
	MemoryContextSwitchTo(oldcontext);
}

/*
 * slot_binding
 *		Check a slot table's shape, and look up its columns and index, as the
 *		trigger describes them; in a memory context that lives as long as what
 *		is made.
 */
SlotBinding *
slot_binding(Relation rel, Relation event, Trigger *trigger,
			 const AmountKind *kind, MemoryContext context)
{
	SlotBinding *slot = MemoryContextAllocZero(context, sizeof(SlotBinding));

	slot->relid = RelationGetRelid(rel);
	slot->owner = rel->rd_rel->relowner;
	slot->context = context;
	check_kept(rel, event, trigger);
	bind_amount(slot, rel, event, trigger, kind);
	bind_key(slot, rel, event, trigger);
	check_slot_columns(slot, rel, event, trigger);
	find_slot_index(slot, rel, event, trigger);
	make_key_desc(slot, RelationGetDescr(rel));
	return slot;
}
