/*-------------------------------------------------------------------------
 *
 * counter_binding.c
 *	  What the arguments of a trigger that counts stand for (P8, P10).
 *
 * See binding.c for lifetimes, locks and rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "binding_lookup.h"
#include "compat.h"
#include "playevent.h"

/*
 * find_slot_index
 *		Find the index by which a key's slots are found: a btree that starts
 *		with key columns, the first one among them; best the one that covers
 *		most of the key.
 *
 * No index of a slot table may be unique, or inserting a slot could have to
 * wait; nor have expressions or a predicate, which would run code of the
 * table's owner in the middle of everyone's insert.
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
		Form_pg_index form = index->rd_index;
		int			nkeys = 0;
		int			which[COUNTER_MAX_KEYS];
		bool		has_first = false;

		if (form->indisunique || form->indisexclusion ||
			RelationGetIndexExpressions(index) != NIL ||
			RelationGetIndexPredicate(index) != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("index \"%s\" is not allowed on slot table \"%s\"",
							RelationGetRelationName(index),
							RelationGetRelationName(rel)),
					 errdetail("Trigger \"%s\" on table \"%s\" writes to tables only whose indexes are plain: not unique, on columns, of all rows.",
							   trigger->tgname, RelationGetRelationName(event)),
					 errhint("Drop it: DROP INDEX %s;",
							 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(index)),
														RelationGetRelationName(index))),
					 errtable(rel)));

		if (form->indisvalid && index->rd_rel->relam == BTREE_AM_OID)
		{
			for (int i = 0; i < Min(form->indnkeyatts, slot->nkeys); i++)
			{
				int			k = 0;

				while (k < slot->nkeys &&
					   slot->key_attnos[k] != form->indkey.values[i])
					k++;
				if (k == slot->nkeys)
					break;
				has_first |= k == 0;
				which[nkeys++] = k;
			}
		}

		if (has_first && nkeys > slot->index_nkeys)
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
							  CacheMemoryContext);
			}
		}
		index_close(index, AccessShareLock);
	}

	if (slot->index_nkeys == 0)
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
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													RelationGetRelationName(rel)),
						 columns.data),
				 errtable(rel)));
	}
}

/*
 * forget_other_names
 *		If the slot table was bound with other columns, make the triggers that
 *		did look again.
 *
 * That is so after a column was renamed, its triggers with it; and where
 * somebody's triggers disagree, who then get what the later one says.
 */
static void
forget_other_names(SlotBinding *slot, Trigger *trigger, int first_key)
{
	HASH_SEQ_STATUS scan;
	CounterBinding *counter;
	bool		same = slot->nkeys == trigger->tgnargs - first_key;

	for (int i = 0; same && i < slot->nkeys; i++)
		same = namestrcmp(&slot->key_names[i],
						  trigger->tgargs[first_key + i]) == 0;
	if (same && namestrcmp(&slot->count_name,
						   trigger->tgargs[COUNTER_COUNT_COLUMN]) == 0)
		return;

	hash_seq_init(&scan, counter_bindings);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (counter->slot == slot)
			counter->valid = false;
	}
}

/*
 * build_slot_binding
 *		Check a slot table's shape and look up its columns and index.
 */
static void
build_slot_binding(SlotBinding *slot, Relation rel, Relation event,
				   Trigger *trigger, int first_key)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Form_pg_attribute att;
	bool		has_sketches = first_key == SKETCH_FIRST_KEY;
	int			live = 0;

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
						 RelationGetRelationName(event)),
				 errtable(rel)));

	forget_other_names(slot, trigger, first_key);
	slot->nkeys = trigger->tgnargs - first_key;
	slot->count_attno = find_column(event, trigger, COUNTER_COUNT_COLUMN, rel);
	namestrcpy(&slot->count_name, trigger->tgargs[COUNTER_COUNT_COLUMN]);
	att = TupleDescAttr(desc, slot->count_attno - 1);
	if (slot->sketch != NULL)
	{
		sketch_type_free(slot->sketch);
		slot->sketch = NULL;
	}
	if (has_sketches)
		slot->sketch = sketch_type(att->atttypid, att->atttypmod,
								   CacheMemoryContext);
	if (!att->attnotnull ||
		(has_sketches ? slot->sketch == NULL : att->atttypid != INT8OID))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 has_sketches ?
				 errmsg("column \"%s\" of slot table \"%s\" is not hll, with parameters, and not null",
						NameStr(att->attname), RelationGetRelationName(rel)) :
				 errmsg("column \"%s\" of slot table \"%s\" is not bigint and not null",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" counts in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 RelationGetRelationName(event)),
				 errtablecol(rel, slot->count_attno)));

	slot->count_is_last = slot->count_attno == desc->natts && !has_sketches;
	slot->key_is_first = true;
	for (int i = 0; i < slot->nkeys; i++)
	{
		int			arg = first_key + i;

		slot->key_attnos[i] = find_column(event, trigger, arg, rel);
		slot->key_is_first &= slot->key_attnos[i] == i + 1;
		slot->key_types[i] = TupleDescAttr(desc, slot->key_attnos[i] - 1)->atttypid;
		namestrcpy(&slot->key_names[i], trigger->tgargs[arg]);
	}

	/* With each column named once, and as many as there are, all have a part. */
	for (int i = 0; i < slot->nkeys; i++)
	{
		bool		again = slot->key_attnos[i] == slot->count_attno;

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

	find_slot_index(slot, rel, event, trigger);

	/* Entries outlive transactions, and so must the descriptor. */
	if (slot->key_desc != NULL)
	{
		FreeTupleDesc(slot->key_desc);
		slot->key_desc = NULL;
	}
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(CacheMemoryContext);
		TupleDesc	key_desc = CreateTemplateTupleDesc(slot->nkeys);

		for (int i = 0; i < slot->nkeys; i++)
			TupleDescCopyEntry(key_desc, i + 1, desc, slot->key_attnos[i]);
		slot->key_desc = key_desc;
		MemoryContextSwitchTo(oldcontext);
	}
}

/*
 * bind_listener
 *		Look up the column that tells listeners apart, and how to make a text of
 *		it: of a type whose output no setting changes.
 */
static void
bind_listener(CounterBinding *binding, Relation event, Trigger *trigger)
{
	Form_pg_attribute att;
	bool		is_varlena;

	binding->listener_attno = find_column(event, trigger, SKETCH_LISTENER,
										  event);
	check_not_generated(event, trigger, binding->listener_attno, false);
	att = TupleDescAttr(RelationGetDescr(event), binding->listener_attno - 1);
	binding->listener_output = InvalidOid;
	switch (getBaseType(att->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
			break;
		case UUIDOID:
		case INT4OID:
		case INT8OID:
			getTypeOutputInfo(att->atttypid, &binding->listener_output,
							  &is_varlena);
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" has type %s, and can't tell listeners apart",
							NameStr(att->attname),
							RelationGetRelationName(event),
							format_type_be(att->atttypid)),
					 errdetail("Trigger \"%s\" takes text, uuid or integers.",
							   trigger->tgname),
					 errtablecol(event, binding->listener_attno)));
	}
}

/*
 * build_counter_binding
 *		Look up all that a counter's trigger's arguments stand for.  Returns
 *		with the slot table locked.
 */
static void
build_counter_binding(CounterBinding *binding, Relation event,
					  Trigger *trigger)
{
	Relation	rel;
	Oid			namespace;
	Oid			owner;
	SlotBinding *slot;
	bool		has_sketches = trigger_calls(trigger, playevent_sketch);
	int			first_key = has_sketches ? SKETCH_FIRST_KEY : COUNTER_FIRST_KEY;

	check_nargs(event, trigger, first_key + 1, first_key + COUNTER_MAX_KEYS);
	binding->event_relid = RelationGetRelid(event);
	binding->log_relid = log_of(event, trigger);
	owner = owner_of(binding->log_relid);
	binding->nkeys = trigger->tgnargs - first_key;

	rel = open_named_relation(trigger->tgargs[COUNTER_SLOT_TABLE],
							  binding->log_relid, RowExclusiveLock,
							  &namespace);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("slot table \"%s\" does not exist",
						trigger->tgargs[COUNTER_SLOT_TABLE]),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps its counts there.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(binding->log_relid))));

	if (!has_privs_of_role(owner, rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" writes to it with the rights of role \"%s\", the owner of table \"%s\".",
						   trigger->tgname, GetUserNameFromId(owner, false),
						   get_rel_name(binding->log_relid)),
				 errhint("Give both tables, and the views on them, the same owner: ALTER TABLE %s OWNER TO %s;",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													RelationGetRelationName(rel)),
						 quote_identifier(GetUserNameFromId(owner, false)))));

	slot = find_binding(slot_bindings, RelationGetRelid(rel),
						sizeof(SlotBinding));
	slot->valid = false;
	build_slot_binding(slot, rel, event, trigger, first_key);
	binding->slot = slot;

	for (int i = 0; i < binding->nkeys; i++)
	{
		binding->event_attnos[i] = find_column(event, trigger, first_key + i,
											   event);
		check_not_generated(event, trigger, binding->event_attnos[i], false);
		check_same_type(event, binding->event_attnos[i], rel,
						slot->key_attnos[i], trigger, true);
	}
	if (has_sketches)
		bind_listener(binding, event, trigger);

	table_close(rel, NoLock);
}

/*
 * counter_binding
 *		What a counter's trigger stands for, with the slot table locked in
 *		RowExclusiveLock.
 *
 * Errors: the slot table or a column is missing (42P01, 42703), has the
 * wrong kind, type or index (42809, 42804, 42704, 55000), or belongs to
 * someone else (42501).
 */
CounterBinding *
counter_binding(Relation event, Trigger *trigger)
{
	CounterBinding *binding = find_binding(counter_bindings, trigger->tgoid,
										   sizeof(CounterBinding));

	if (binding->valid)
		LockRelationOid(binding->slot->relid, RowExclusiveLock);
	if (!binding->valid || !binding->slot->valid)
	{
		uint64		seen = binding_invalidations;

		binding->valid = false;
		build_counter_binding(binding, event, trigger);
		binding->valid = binding->slot->valid = seen == binding_invalidations;
	}
	return binding;
}
