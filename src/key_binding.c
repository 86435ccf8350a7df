/*-------------------------------------------------------------------------
 *
 * key_binding.c
 *	  What the arguments of a trigger that keeps event_ids apart stand for: the
 *	  key table, its columns and its indexes (P6, P8, P10).
 *
 * Layer: storage.
 *
 * See binding.c for lifetimes and locks, trigger_argument.c for rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "as_owner.h"
#include "binding.h"
#include "guard.h"
#include "key_binding.h"
#include "shard.h"
#include "trigger_argument.h"
#include "trigger_role.h"

/* Takes the key table's name and the log's. */
#define HINT_REKEY \
	"Undo the change that led here, or drop table \"%s\" with CASCADE and call playevent.attach_log for table \"%s\" again, which makes it anew."

static BindingCache *key_bindings;	/* KeyBinding, by its trigger */

static bool
key_depends_on(const void *binding, Oid relid)
{
	const KeyBinding *keys = binding;

	return keys->event_relid == relid || keys->log_relid == relid ||
		keys->relid == relid;
}

/*
 * key_binding_init
 *		Create the cache; once per backend, when the library is loaded.
 */
void
key_binding_init(void)
{
	key_bindings = binding_cache("playevent key bindings",
								 sizeof(KeyBinding), key_depends_on);
}

/*
 * report_unfit
 *		The key table is not what the trigger can write to.
 */
static void
report_unfit(KeyBinding *keys, Relation rel, Trigger *trigger,
			 const char *detail)
{
	const char *log = get_rel_name(keys->log_relid);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" can't keep the event_ids of table \"%s\"",
					RelationGetRelationName(rel), log),
			 errdetail("Trigger \"%s\" writes to it: %s.", trigger->tgname,
					   detail),
			 errhint(HINT_REKEY, RelationGetRelationName(rel), log),
			 errtable(rel)));
}

/*
 * check_table
 *		Check that what is written to the key table stays, and is as we write it.
 *
 * It is written below the executor, so no trigger, rule or policy runs; a
 * CHECK would not be asked.
 */
static void
check_table(KeyBinding *keys, Relation rel, Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			live = 0;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		report_unfit(keys, rel, trigger,
					 "it must be an ordinary, logged heap table");
	if (desc->constr != NULL && desc->constr->num_check > 0)
		report_unfit(keys, rel, trigger,
					 psprintf("it must have no CHECK constraint as \"%s\" is one",
							  desc->constr->check[0].ccname));
	for (int i = 0; i < desc->natts; i++)
		live += TupleDescAttr(desc, i)->attisdropped ? 0 : 1;
	if (live != KEY_NCOLUMNS)
		report_unfit(keys, rel, trigger, "it must have three columns");
}

/*
 * check_column
 *		Check that a column of the key table takes what is in the log's.
 *
 * Null is no event_id, but may be an id or a time, until the log refuses it.
 */
static void
check_column(KeyBinding *keys, Relation rel, KeyColumn c, Oid wanted,
			 Trigger *trigger)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
										  keys->attnos[c] - 1);

	if (att->atttypid != wanted || att->attgenerated != '\0')
		report_unfit(keys, rel, trigger,
					 psprintf("column \"%s\" must be of type %s",
							  NameStr(att->attname), format_type_be(wanted)));
	if (att->attnotnull && c != KEY_EVENT_ID)
		report_unfit(keys, rel, trigger,
					 psprintf("column \"%s\" must not be declared NOT NULL",
							  NameStr(att->attname)));
}

/*
 * bind_columns
 *		Look up the columns, in the table that the trigger is on and in the key
 *		table, and check that they go together.
 */
static void
bind_columns(KeyBinding *keys, Relation rel, Relation event, Trigger *trigger)
{
	Oid			types[KEY_NCOLUMNS];
	bool		fits;

	for (int c = 0; c < KEY_NCOLUMNS; c++)
	{
		int			arg = DEDUPE_EVENT_ID_COLUMN + c;

		keys->event_attnos[c] = find_column(event, trigger, arg, event);
		check_not_generated(event, trigger, keys->event_attnos[c], true);
		types[c] = getBaseType(TupleDescAttr(RelationGetDescr(event),
											 keys->event_attnos[c] - 1)->atttypid);
		fits = c == KEY_EVENT_ID ? types[c] == UUIDOID :
			c == KEY_ID ? types[c] == INT8OID || types[c] == INT4OID ||
			types[c] == INT2OID :
			types[c] == TIMESTAMPTZOID || types[c] == TIMESTAMPOID;
		if (!fits)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" has type %s",
							trigger->tgargs[arg],
							RelationGetRelationName(event),
							format_type_be(types[c])),
					 errdetail("Trigger \"%s\" takes %s.", trigger->tgname,
							   c == KEY_EVENT_ID ? "a uuid" :
							   c == KEY_ID ? "an integer" : "a timestamp"),
					 errhint(HINT_REATTACH, get_rel_name(keys->log_relid)),
					 errtablecol(event, keys->event_attnos[c])));
		keys->attnos[c] = find_column(event, trigger, arg, rel);
	}
	keys->id_type = types[KEY_ID];
	keys->created_type = types[KEY_CREATED];
	types[KEY_ID] = INT8OID;
	for (int c = 0; c < KEY_NCOLUMNS; c++)
	{
		check_column(keys, rel, c, types[c], trigger);
		for (int other = 0; other < c; other++)
		{
			if (keys->attnos[other] == keys->attnos[c])
				report_unfit(keys, rel, trigger,
							 "each column must be named once");
		}
	}
}

/*
 * check_index
 *		Check that an index runs nobody's code, as expressions, predicates and
 *		most access methods do, and that it can't refuse what the search has not
 *		found: unique is one on event_id alone.
 *
 * There are two of those while REINDEX CONCURRENTLY makes another.
 */
static void
check_index(KeyBinding *keys, Relation index, Relation rel, Trigger *trigger)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || form->indisexclusion ||
		!is_on_columns(index) || !holds_all_rows(index))
		report_unfit(keys, rel, trigger,
					 psprintf("index \"%s\" must be a btree on columns, of all rows",
							  RelationGetRelationName(index)));
	if (form->indisunique &&
		(form->indnkeyatts != 1 || !form->indimmediate ||
		 form->indkey.values[0] != keys->attnos[KEY_EVENT_ID]))
		report_unfit(keys, rel, trigger,
					 psprintf("index \"%s\" must not be unique, or be so at once, on column \"%s\" alone",
							  RelationGetRelationName(index),
							  trigger->tgargs[DEDUPE_EVENT_ID_COLUMN]));
}

/*
 * bind_indexes
 *		Look up the indexes, and the one by which an event_id is found.
 */
static void
bind_indexes(KeyBinding *keys, Relation rel, Trigger *trigger)
{
	List	   *oids = RelationGetIndexList(rel);
	MemoryContext oldcontext;
	ListCell   *lc;

	keys->indexes = MemoryContextAllocZero(keys->head.context,
										   list_length(oids) * sizeof(KeyIndex));
	foreach(lc, oids)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		KeyIndex   *bound = &keys->indexes[keys->nindexes];

		check_index(keys, index, rel, trigger);
		if (form->indisready)
		{
			bound->oid = RelationGetRelid(index);
			bound->is_unique = form->indisunique;
			oldcontext = MemoryContextSwitchTo(keys->head.context);
			bound->info = BuildIndexInfo(index);
			MemoryContextSwitchTo(oldcontext);
			keys->nindexes++;
		}
		if (form->indisunique && form->indisvalid && form->indisready)
		{
			Oid			operator;

			operator = get_opfamily_member(index->rd_opfamily[0], UUIDOID,
										   UUIDOID, BTEqualStrategyNumber);
			if (!OidIsValid(operator))
				elog(ERROR, "missing equality operator for opfamily %u",
					 index->rd_opfamily[0]);
			fmgr_info_cxt(get_opcode(operator), &keys->equal,
						  keys->head.context);
			keys->collation = index->rd_indcollation[0];
			keys->search = RelationGetRelid(index);
		}
		index_close(index, AccessShareLock);
	}
	if (!OidIsValid(keys->search))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no unique index on column \"%s\"",
						RelationGetRelationName(rel),
						trigger->tgargs[DEDUPE_EVENT_ID_COLUMN]),
				 errdetail("Trigger \"%s\" tells by it which plays are there already.",
						   trigger->tgname),
				 errhint("Create one: CREATE UNIQUE INDEX ON %s (%s);",
						 qualified_name(RelationGetRelid(rel)),
						 quote_identifier(trigger->tgargs[DEDUPE_EVENT_ID_COLUMN])),
				 errtable(rel)));
}

/*
 * lock_indexes
 *		Lock the key table's indexes, until the transaction ends: whoever would
 *		make them anew waits for the lock on the table anyway.
 */
static void
lock_indexes(KeyBinding *keys)
{
	for (int i = 0; i < keys->nindexes; i++)
		lock_until_end(keys->indexes[i].oid, RowExclusiveLock);
}

/*
 * build_key_binding
 *		Look up all that the trigger's arguments stand for.  Returns with the key
 *		table locked.
 */
static void
build_key_binding(KeyBinding *keys, Relation event, Trigger *trigger)
{
	Relation	rel;
	Oid			namespace;

	check_nargs(event, trigger, DEDUPE_NARGS, DEDUPE_NARGS);
	keys->event_relid = RelationGetRelid(event);
	keys->log_relid = made_on(trigger->tgoid, false);
	check_no_shell(keys->event_relid, keys->event_relid);
	check_no_shell(keys->event_relid, keys->log_relid);
	keys->owner = owner_of(keys->log_relid);
	keys->keep = MemoryContextStrdup(keys->head.context,
									 trigger->tgargs[DEDUPE_KEEP]);

	rel = open_named_relation(trigger->tgargs[DEDUPE_KEY_TABLE],
							  keys->log_relid, RowExclusiveLock, &namespace);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" does not exist",
						spoken_name(trigger->tgargs[DEDUPE_KEY_TABLE])),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps event_ids there.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(keys->log_relid))));
	depend_on_schema(keys, namespace);
	depend_on_schema(keys, get_rel_namespace(keys->log_relid));

	/* As of a slot table: not a role's whose rights he has. */
	if (keys->owner != rel->rd_rel->relowner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" writes to it with the rights of role \"%s\", the owner of table \"%s\".",
						   trigger->tgname,
						   GetUserNameFromId(keys->owner, false),
						   get_rel_name(keys->log_relid)),
				 errhint("Give both tables the same owner: ALTER TABLE %s OWNER TO %s;",
						 qualified_name(RelationGetRelid(rel)),
						 quote_identifier(GetUserNameFromId(keys->owner, false)))));
	check_no_shell(keys->event_relid, RelationGetRelid(rel));

	/*
	 * So no table that is something else is written to because of what a
	 * trigger says.
	 */
	if (!guards_agree(rel, keys->log_relid, trigger))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" does not say that it keeps the event_ids of table \"%s\"",
						RelationGetRelationName(rel),
						get_rel_name(keys->log_relid)),
				 errdetail("Trigger \"%s\" would write to it, but the arguments of its triggers that call playevent.slot_guard are not this trigger's.",
						   trigger->tgname),
				 errhint(HINT_REATTACH, get_rel_name(keys->log_relid)),
				 errtable(rel)));
	check_table(keys, rel, trigger);
	bind_columns(keys, rel, event, trigger);
	bind_indexes(keys, rel, trigger);
	lock_indexes(keys);
	keys->relid = RelationGetRelid(rel);
	table_close(rel, NoLock);
}

/*
 * key_binding
 *		What a trigger that keeps event_ids apart stands for, with the key table
 *		and its indexes locked in RowExclusiveLock.
 *
 * Errors: the key table, a column or the index is missing (42P01, 42703,
 * 42704), a column has another type (42804), the key table is not as it was
 * made (55000), or belongs to someone else (42501); it or the log is managed by
 * Citus (55000).
 */
KeyBinding *
key_binding(Relation event, Trigger *trigger)
{
	KeyBinding *keys = find_binding(key_bindings, trigger->tgoid);

	if (keys != NULL && keys->head.valid)
		lock_until_end(keys->relid, RowExclusiveLock);
	if (keys != NULL && keys->head.valid)
		lock_indexes(keys);
	if (keys == NULL || !keys->head.valid)
	{
		uint64		seen = catalog_invalidations;

		check_up_to_date(event, trigger);
		keys = new_binding(key_bindings, trigger->tgoid);
		build_key_binding(keys, event, trigger);
		lock_until_end(keys->relid, RowExclusiveLock);
		end_building(keys, seen);
	}
	return keys;
}

/*
 * keys_of_log
 *		What is bound to the log's own trigger that keeps the event_ids in this
 *		column apart, InvalidAttrNumber being any; NULL if it has none.
 *
 * Whether that fires is not asked: on a partitioned table it is there to be
 * inherited.
 */
KeyBinding *
keys_of_log(Relation log, AttrNumber event_id)
{
	TriggerDesc *triggers = CopyTriggerDesc(log->trigdesc);
	KeyBinding *keys = NULL;

	for (int i = 0; triggers != NULL && keys == NULL && i < triggers->numtriggers; i++)
	{
		if (role_of(&triggers->triggers[i]) != ROLE_DEDUPE)
			continue;
		keys = key_binding(log, &triggers->triggers[i]);
		if (event_id != InvalidAttrNumber &&
			keys->event_attnos[KEY_EVENT_ID] != event_id)
			keys = NULL;
	}
	FreeTriggerDesc(triggers);
	return keys;
}
