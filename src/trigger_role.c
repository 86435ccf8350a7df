/*-------------------------------------------------------------------------
 *
 * trigger_role.c
 *	  Which of playevent's triggers a trigger is, which log it is of, what it
 *	  fires for and is enabled for (P1, P7).
 *
 * Layer: triggers' words.
 *
 * A trigger's role is told by its function, never by its name: anyone may call
 * a trigger of his own playevent_count.  Which functions there are,
 * playevent.c tells, for they are in files above.
 *
 * What is found here is true at this moment, for catalogs are read here as
 * Postgres reads them.  A query on pg_trigger in a transaction with a snapshot
 * of its own would tell of triggers as they once were: whoever kept an old
 * snapshot could get past the check, or leave a partition without its guard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "shard.h"
#include "trigger_argument.h"
#include "trigger_role.h"

/* What the names of our functions in C begin with. */
#define SYMBOL_PREFIX "playevent_"

/* What the triggers of a role are made to be. */
typedef struct RoleRule
{
	int16		for_rows;		/* what they fire for; 0 is never */
	int16		for_statements;
	char		enabled;		/* 0 is as the log counts (counts_replicated) */
} RoleRule;

static const RoleRule rules[] = {
	[ROLE_APPEND_ONLY] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_UPDATE |
		TRIGGER_TYPE_DELETE,
		TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_TRUNCATE,
		TRIGGER_FIRES_ALWAYS
	},
	[ROLE_SLOT_GUARD] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT |
		TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE,
		TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE |
		TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE,
		TRIGGER_FIRES_ALWAYS
	},
	[ROLE_RESOLVE] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT, 0,
		TRIGGER_FIRES_ON_ORIGIN
	},
	[ROLE_DAY] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT, 0, 0
	},
	[ROLE_COUNT] = {TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT, 0, 0},
	[ROLE_FLUSH] = {0, TRIGGER_TYPE_INSERT, 0},
	[ROLE_PARTITION] = {
		0, TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT, TRIGGER_FIRES_ALWAYS
	},
	[ROLE_SEAL] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT, 0,
		TRIGGER_FIRES_ALWAYS
	},
	[ROLE_JUDGE] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT, 0, TRIGGER_FIRES_ALWAYS
	},
	[ROLE_DEDUPE] = {
		TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT, 0,
		TRIGGER_FIRES_ALWAYS
	},
};

/* Our trigger functions, once the library has told. */
static const TriggerFunction *functions;
static int	nfunctions;

/*
 * trigger_role_init
 *		Take note of the trigger functions; once per backend, when the library
 *		is loaded.
 */
void
trigger_role_init(const TriggerFunction *ours, int n)
{
	functions = ours;
	nfunctions = n;
}

/*
 * find_trigger_function
 *		The function of ours that this is, or NULL.
 *
 * Where the names of C functions don't begin as ours do, the function's address
 * is not asked for, since that loads its library, which may be gone.
 */
const TriggerFunction *
find_trigger_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	FmgrInfo	finfo;
	bool		may_be = false;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId)
	{
		bool		isnull;
		Datum		symbol = SysCacheGetAttr(PROCOID, tuple,
											 Anum_pg_proc_prosrc, &isnull);

		may_be = !isnull && strncmp(TextDatumGetCString(symbol), SYMBOL_PREFIX,
									strlen(SYMBOL_PREFIX)) == 0;
	}
	ReleaseSysCache(tuple);
	if (!may_be)
		return NULL;

	fmgr_info(function, &finfo);
	for (int i = 0; i < nfunctions; i++)
	{
		if (functions[i].address == finfo.fn_addr)
			return &functions[i];
	}
	return NULL;
}

/*
 * trigger_functions
 *		All of them, in an array.
 */
const TriggerFunction *
trigger_functions(int *n)
{
	*n = nfunctions;
	return functions;
}

/*
 * trigger_function_named
 *		The function of ours of this name, or NULL.
 */
const TriggerFunction *
trigger_function_named(const char *name)
{
	for (int i = 0; i < nfunctions; i++)
	{
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	}
	return NULL;
}

/*
 * trigger_fires
 *		Does the trigger fire in this session?  As TriggerEnabled has it.
 */
bool
trigger_fires(Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
		trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/*
 * resolves_releases
 *		Is this resolve trigger one that finds a release by itself, for rows
 *		without a track?
 */
bool
resolves_releases(Trigger *trigger)
{
	return trigger->tgnargs == RESOLVE_NARGS &&
		strcmp(trigger->tgargs[RESOLVE_KEY_COLUMN],
			   trigger->tgargs[RESOLVE_RELEASE_COLUMN]) == 0;
}

static bool
is_conditional(Relation pg_trigger, HeapTuple trigger)
{
	return !heap_attisnull(trigger, Anum_pg_trigger_tgqual,
						   RelationGetDescr(pg_trigger));
}

/*
 * is_plain
 *		Does it fire for every row or statement, whatever columns it is about,
 *		as soon as can be?
 */
bool
is_plain(Relation pg_trigger, HeapTuple trigger)
{
	return !form_of(trigger)->tgdeferrable &&
		form_of(trigger)->tgattr.dim1 == 0 &&
		!is_conditional(pg_trigger, trigger);
}

/*
 * copy_trigger
 *		The trigger's row in pg_trigger, or NULL.
 */
HeapTuple
copy_trigger(Relation pg_trigger, Oid trigger)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

/*
 * copy_triggers_as
 *		The table's rows in pg_trigger of triggers that call a function in the
 *		extension's schema, as a snapshot has them; or as they are (NULL).
 */
List *
copy_triggers_as(Relation pg_trigger, Oid relid, Snapshot snapshot)
{
	Oid			ours = get_namespace_oid("playevent", true);
	List	   *triggers = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (get_func_namespace(form_of(tuple)->tgfoid) == ours)
			triggers = lappend(triggers, heap_copytuple(tuple));
	}
	systable_endscan(scan);
	return triggers;
}

List *
copy_triggers(Relation pg_trigger, Oid relid)
{
	return copy_triggers_as(pg_trigger, relid, NULL);
}

/*
 * made_on
 *		The table that the trigger was made on: the log; InvalidOid, if that may
 *		be, for a trigger that is gone.
 *
 * A partition has a copy of it.  The schema of unqualified names, and the
 * owner with whose rights the trigger acts, are the log's: a partition may be
 * in another schema, and belong to someone who never saw the trigger.
 */
Oid
made_on(Oid trigger, bool missing_ok)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	do
	{
		tuple = copy_trigger(pg_trigger, trigger);
		if (tuple == NULL && !missing_ok)
			elog(ERROR, "could not find tuple for trigger %u", trigger);
		relid = tuple == NULL ? InvalidOid : form_of(tuple)->tgrelid;
		trigger = tuple == NULL ? InvalidOid : form_of(tuple)->tgparentid;
	} while (OidIsValid(trigger));
	table_close(pg_trigger, AccessShareLock);
	return relid;
}

/*
 * log_of_partition
 *		The log that a partition belongs to, by the triggers that it has
 *		inherited; InvalidOid if it has none.  *is_log is set if it, or a
 *		partition of its own, is a log itself: has triggers for new rows that
 *		were made there.
 */
Oid
log_of_partition(Oid relid, bool *is_log)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	Oid			log = InvalidOid;
	ListCell   *table;
	ListCell   *lc;

	*is_log = false;
	foreach(table, find_all_inheritors(relid, NoLock, NULL))
	{
		foreach(lc, copy_triggers(pg_trigger, lfirst_oid(table)))
		{
			HeapTuple	trigger = lfirst(lc);

			if (!is_for_new_rows(trigger))
				continue;
			if (!OidIsValid(form_of(trigger)->tgparentid))
				*is_log = true;
			else if (lfirst_oid(table) == relid)
				log = made_on(form_of(trigger)->oid, true);
		}
	}
	table_close(pg_trigger, AccessShareLock);
	return log;
}

/*
 * counts_replicated
 *		Does the log count what logical replication brings?
 *
 * That it does not is an argument of the flush trigger, for what a trigger is
 * enabled for is lost when it is disabled.
 */
static bool
counts_replicated(Oid log)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		counts = true;
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, log))
	{
		HeapTuple	trigger = lfirst(lc);
		bool		isnull;
		Datum		args = heap_getattr(trigger, Anum_pg_trigger_tgargs,
										RelationGetDescr(pg_trigger), &isnull);

		if (role_of_row(trigger) == ROLE_FLUSH &&
			form_of(trigger)->tgnargs == 1 && arguments_fit(args) &&
			strcmp(VARDATA_ANY(DatumGetByteaPP(args)), "origin") == 0)
			counts = false;
	}
	table_close(pg_trigger, AccessShareLock);
	return counts;
}

/*
 * enabled_as_made
 *		What a trigger of playevent's is enabled for when all is well; 0 if it
 *		is none, or one that is there to be inherited.
 */
char
enabled_as_made(HeapTuple trigger)
{
	TriggerRole role = role_of_row(trigger);

	if (role == ROLE_NONE ||
		(is_for_new_rows(trigger) &&
		 get_rel_relkind(form_of(trigger)->tgrelid) == RELKIND_PARTITIONED_TABLE))
		return 0;
	/* A logical move of a shard brings slots as they are, and rows counted. */
	if (role != ROLE_APPEND_ONLY && is_managed(form_of(trigger)->tgrelid))
		return TRIGGER_FIRES_ON_ORIGIN;
	if (rules[role].enabled != 0)
		return rules[role].enabled;
	return counts_replicated(made_on(form_of(trigger)->oid, true)) ?
		TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN;
}

/*
 * fires_as_made
 *		Does a trigger of playevent's fire for all that it is made for?  One
 *		that resolves may have a condition, if another has the opposite one.
 */
bool
fires_as_made(Relation pg_trigger, HeapTuple trigger)
{
	Form_pg_trigger form = form_of(trigger);
	TriggerRole role = role_of_row(trigger);

	if (role == ROLE_NONE || form->tgdeferrable || form->tgattr.dim1 > 0 ||
		(is_conditional(pg_trigger, trigger) && role != ROLE_RESOLVE))
		return false;
	return form->tgtype == (TRIGGER_FOR_ROW(form->tgtype) ?
							rules[role].for_rows : rules[role].for_statements);
}

/*
 * guards_rows
 *		Does the trigger keep rows as they are, and fire in this session?
 */
static bool
guards_rows(HeapTuple tuple)
{
	Form_pg_trigger form = form_of(tuple);
	Trigger		trigger = {.tgenabled = form->tgenabled};

	return TRIGGER_FOR_ROW(form->tgtype) && TRIGGER_FOR_UPDATE(form->tgtype) &&
		trigger_fires(&trigger);
}

/*
 * find_guard
 *		The trigger that refuses UPDATE of the table's rows; false if it has
 *		none of playevent's that fires in this session.  *is_slots is set if it
 *		is a slot table's.
 */
bool
find_guard(Oid relid, NameData *guard, bool *is_slots)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, relid))
	{
		HeapTuple	trigger = lfirst(lc);
		TriggerRole role = role_of_row(trigger);

		*is_slots = role == ROLE_SLOT_GUARD;
		if (guards_rows(trigger) && (*is_slots || role == ROLE_APPEND_ONLY))
		{
			*guard = form_of(trigger)->tgname;
			found = true;
			break;
		}
	}
	table_close(pg_trigger, AccessShareLock);
	return found;
}

/*
 * has_trigger
 *		Has the table a trigger of this role, enabled or not?
 */
bool
has_trigger(Oid relid, TriggerRole role)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, copy_triggers(pg_trigger, relid))
		found |= role_of_row(lfirst(lc)) == role;
	table_close(pg_trigger, AccessShareLock);
	return found;
}

/*
 * is_append_only
 *		Has the table a trigger that keeps it append-only, for rows or against
 *		TRUNCATE, enabled or not?
 */
bool
is_append_only(Oid relid)
{
	return has_trigger(relid, ROLE_APPEND_ONLY);
}

/*
 * is_slot_table
 *		Has the table a slot table's guard, enabled or not?
 */
bool
is_slot_table(Oid relid)
{
	return has_trigger(relid, ROLE_SLOT_GUARD);
}
