/*-------------------------------------------------------------------------
 *
 * rename.c
 *	  Follows tables that are renamed or moved to another schema (P10).
 *
 * Layer: DDL.
 *
 * What the arguments of playevent's triggers refer to, they name, and all
 * begin with such a name: that of the track table, of a slot table, of the
 * table of event_ids, or of the log.  A name is resolved as the catalogs were before the command, and if it
 * means another table by now, or none, it is replaced by the table's new name.
 * So any command will do that renames anything.
 *
 * A log, its slots and its event_ids are one thing, whatever they are called.  But a track
 * table is known by its name alone: sites load a new one and let the two
 * change names, and a log that went on with the old one would be wrong without
 * a word.  Only if the log itself moves, or its schema is renamed, or its
 * track table joins it there, is the latter followed.
 *
 * Columns are not followed: the trigger that names one fails, until it is
 * called so again.  What is called so may be another column by then, and
 * counters are set right (restore.c).
 *
 * The catalog is written without a lock on the trigger's table.  As whoever
 * inserts locks the log first and then what it refers to, such a lock could be
 * a deadlock.  Those who have looked at the trigger before meet an error once,
 * as any query does that names a table which is renamed meanwhile.  Nor is
 * anybody waited for who is altering the trigger: it may be another's than
 * what is renamed (P8).  What then does not follow is a warning.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_description.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "as_owner.h"
#include "ddl.h"
#include "rename_bodies.h"
#include "restore.h"
#include "trigger_argument.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_follow_renames);

/* More than arm_counter's comments have, with three names in them. */
#define MAX_COMMENT 1024

/*
 * old_namespace
 *		The schema that a table was in, as the snapshot sees it.
 */
static Oid
old_namespace(Oid relid, Snapshot before)
{
	HeapTuple	tuple = tuple_before(RelationRelationId, ClassOidIndexId, relid,
									 before);

	return tuple == NULL ? InvalidOid :
		((Form_pg_class) GETSTRUCT(tuple))->relnamespace;
}

/*
 * schema_renamed
 *		Did the schema have another name?
 */
static bool
schema_renamed(Oid namespace, Snapshot before)
{
	HeapTuple	tuple = tuple_before(NamespaceRelationId, NamespaceOidIndexId,
									 namespace, before);
	const char *name = get_namespace_name(namespace);

	return tuple != NULL && name != NULL &&
		strcmp(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname),
			   name) != 0;
}

/*
 * old_schema
 *		The schema that was called so.
 */
static Oid
old_schema(const char *name, Snapshot before)
{
	Relation	pg_namespace = table_open(NamespaceRelationId, AccessShareLock);
	Oid			namespace = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_namespace_nspname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(pg_namespace, NamespaceNameIndexId, true, before,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		namespace = ((Form_pg_namespace) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	table_close(pg_namespace, AccessShareLock);
	return namespace;
}

/*
 * old_relation
 *		The table that a name meant: named_relation, as the snapshot sees it.
 */
static Oid
old_relation(const char *name, Oid default_namespace, Snapshot before)
{
	Relation	pg_class;
	List	   *parts;
	Oid			namespace = default_namespace;
	Oid			relid = InvalidOid;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!split_name(name, &parts))
		return InvalidOid;
	if (list_length(parts) == 2)
		namespace = old_schema(linitial(parts), before);
	if (!OidIsValid(namespace))
		return InvalidOid;

	pg_class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_class_relname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(llast(parts)));
	ScanKeyInit(&keys[1], Anum_pg_class_relnamespace, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(namespace));
	scan = systable_beginscan(pg_class, ClassNameNspIndexId, true, before, 2,
							  keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_class) GETSTRUCT(tuple))->oid;
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return relid;
}

/*
 * may_mean
 *		May a name have meant what the command renames, as far as can be told
 *		without looking into catalogs?  Anybody may have any number of triggers.
 */
static bool
may_mean(const char *name, Node *command)
{
	RenameStmt *rename = (RenameStmt *) command;
	List	   *parts;

	if (!split_name(name, &parts))
		return false;
	if (!IsA(command, RenameStmt))
		return true;
	if (rename->renameType == OBJECT_SCHEMA)
		return list_length(parts) == 2 &&
			strcmp(linitial(parts), rename->subname) == 0;
	return strcmp(llast(parts), rename->relation->relname) == 0;
}

/*
 * reference
 *		How a trigger of a table in that schema refers to a relation; NULL if it
 *		has been dropped meanwhile.
 */
static const char *
reference(Oid relid, Oid namespace)
{
	Oid			its_own = get_rel_namespace(relid);
	const char *schema = get_namespace_name(its_own);
	const char *name = get_rel_name(relid);

	if (schema == NULL || name == NULL)
		return NULL;
	return its_own == namespace ? quote_identifier(name) :
		quote_qualified_identifier(schema, name);
}

/*
 * replace_reference
 *		Put a name in place of a trigger's first argument, unless somebody else
 *		is altering the trigger.
 */
static void
replace_reference(Relation pg_trigger, HeapTuple trigger, bytea *tgargs,
				  const char *name)
{
	Size		old_size = strlen(VARDATA_ANY(tgargs)) + 1;
	Size		new_size = strlen(name) + 1;
	Size		rest = VARSIZE_ANY_EXHDR(tgargs) - old_size;
	bytea	   *replaced = palloc(VARHDRSZ + new_size + rest);
	int			column = Anum_pg_trigger_tgargs;
	Datum		value = PointerGetDatum(replaced);
	bool		isnull = false;

	if (!lock_row(pg_trigger, trigger))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(trigger);

		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("trigger \"%s\" on table \"%s\" does not follow what has been renamed",
						NameStr(form->tgname), get_rel_name(form->tgrelid)),
				 errdetail("Another transaction is altering it."),
				 errhint("Once that has ended, rename it back and then again; or call playevent.attach_log for the log.")));
		return;
	}
	SET_VARSIZE(replaced, VARHDRSZ + new_size + rest);
	memcpy(VARDATA(replaced), name, new_size);
	memcpy(VARDATA(replaced) + new_size, VARDATA_ANY(tgargs) + old_size, rest);
	trigger = heap_modify_tuple_by_cols(trigger, RelationGetDescr(pg_trigger),
										1, &column, &value, &isnull);
	CatalogTupleUpdate(pg_trigger, &trigger->t_self, trigger);
	CacheInvalidateRelcacheByRelid(((Form_pg_trigger) GETSTRUCT(trigger))->tgrelid);
}

/*
 * have_same_owner
 *		Does one role own both?  Not if one of them has been dropped meanwhile.
 */
static bool
have_same_owner(Oid one, Oid other)
{
	HeapTuple	a = SearchSysCache1(RELOID, ObjectIdGetDatum(one));
	HeapTuple	b = SearchSysCache1(RELOID, ObjectIdGetDatum(other));
	bool		result = false;

	if (HeapTupleIsValid(a) && HeapTupleIsValid(b))
		result = ((Form_pg_class) GETSTRUCT(a))->relowner ==
			((Form_pg_class) GETSTRUCT(b))->relowner;
	if (HeapTupleIsValid(a))
		ReleaseSysCache(a);
	if (HeapTupleIsValid(b))
		ReleaseSysCache(b);
	return result;
}

/*
 * follow_comment
 *		Put a log's new name into the comment of a slot table, if the old one is
 *		there: should the extension be dropped, nothing else tells whose slots they
 *		are (declared_counters).  Not if somebody else is changing the comment.
 */
static void
follow_comment(Oid slot, const char *old_name, Oid log)
{
	const char *new_name = get_rel_name(log);
	Relation	pg_description;
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *old_part;
	bool		changed = false;

	if (new_name == NULL || strcmp(old_name, new_name) == 0 ||
		!have_same_owner(slot, log))
		return;
	old_part = psprintf(" of %s in parts, ", quote_identifier(old_name));
	pg_description = table_open(DescriptionRelationId, RowExclusiveLock);
	ScanKeyInit(&keys[0], Anum_pg_description_objoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(slot));
	ScanKeyInit(&keys[1], Anum_pg_description_classoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[2], Anum_pg_description_objsubid, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum(0));
	scan = systable_beginscan(pg_description, DescriptionObjIndexId, true, NULL,
							  3, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		int			column = Anum_pg_description_description;
		bool		isnull;
		Datum		value = heap_getattr(tuple, column,
										 RelationGetDescr(pg_description),
										 &isnull);
		char	   *comment;
		char	   *found = NULL;

		/* Its owner's may be as long as he likes. */
		if (toast_raw_datum_size(value) < MAX_COMMENT)
		{
			comment = TextDatumGetCString(value);
			found = strstr(comment, old_part);
		}
		if (found != NULL && lock_row(pg_description, tuple))
		{
			value = CStringGetTextDatum(psprintf("%.*s of %s in parts, %s",
												 (int) (found - comment), comment,
												 quote_identifier(new_name),
												 found + strlen(old_part)));
			tuple = heap_modify_tuple_by_cols(tuple,
											  RelationGetDescr(pg_description),
											  1, &column, &value, &isnull);
			CatalogTupleUpdate(pg_description, &tuple->t_self, tuple);
			changed = true;
		}
	}
	systable_endscan(scan);
	table_close(pg_description, RowExclusiveLock);

	/* It has two guards, of which the next is to see that this is done. */
	if (changed)
		CommandCounterIncrement();
}

/*
 * follow_trigger
 *		See to the name that a trigger's arguments begin with.
 *
 * Neither its table nor what it names is locked, for anybody may have such a
 * trigger.  So either may be dropped at any moment, which shows in NULL where a
 * name is asked for.
 */
static void
follow_trigger(Relation pg_trigger, HeapTuple trigger, bool by_name,
			   Node *command, Snapshot before)
{
	Datum		value;
	bool		isnull;
	bytea	   *tgargs;
	const char *name;
	const char *new_name;
	Oid			base;
	Oid			home;
	Oid			old_home;
	Oid			meant;
	Oid			namespace;
	List	   *parts;

	if (((Form_pg_trigger) GETSTRUCT(trigger))->tgnargs <= 0)
		return;
	value = heap_getattr(trigger, Anum_pg_trigger_tgargs,
						 RelationGetDescr(pg_trigger), &isnull);
	if (!arguments_fit(value))
		return;
	tgargs = DatumGetByteaPP(value);
	name = VARDATA_ANY(tgargs);
	if (!may_mean(name, command))
		return;

	/* Names without a schema are those of the table it was made on. */
	base = made_on(((Form_pg_trigger) GETSTRUCT(trigger))->oid, true);
	if (!OidIsValid(base))
		return;
	old_home = old_namespace(base, before);
	home = get_rel_namespace(base);
	meant = old_relation(name, old_home, before);
	if (!OidIsValid(meant) || get_rel_name(meant) == NULL ||
		(home == old_home && named_relation(name, home, &namespace) == meant))
		return;

	/*
	 * A stranger's claim; who follows it waits for the stranger's
	 * transaction.
	 */
	if (home == old_home && !have_same_owner(base, meant))
		return;
	if (by_name && home == old_home && !schema_renamed(home, before) &&
		(get_rel_namespace(meant) != home ||
		 old_namespace(meant, before) == home))
	{
		if (!OidIsValid(((Form_pg_trigger) GETSTRUCT(trigger))->tgparentid))
			ereport(NOTICE,
					(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
					 errmsg("table \"%s\" looks up tracks or releases in a table \"%s\", which is now another one, or none",
							get_rel_name(base), spoken_name(name)),
					 errhint("If no table of that name is to follow, name its new name in playevent.attach_log.")));
		return;
	}
	new_name = reference(meant, home);
	if (new_name != NULL && strcmp(name, new_name) != 0)
	{
		replace_reference(pg_trigger, trigger, tgargs, new_name);
		if (split_name(name, &parts))
			follow_comment(base, llast(parts), meant);
	}
}

/*
 * dependent_triggers
 *		The OIDs of the triggers that depend on a function, each once: those
 *		that call it in their conditions do, too.
 */
static List *
dependent_triggers(Oid function)
{
	Relation	pg_depend = table_open(DependRelationId, AccessShareLock);
	List	   *triggers = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(pg_depend, DependReferenceIndexId, true, NULL, 2,
							  keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);

		if (depend->classid == TriggerRelationId)
			triggers = lappend_oid(triggers, depend->objid);
	}
	systable_endscan(scan);
	table_close(pg_depend, AccessShareLock);
	list_sort(triggers, list_oid_cmp);
	list_deduplicate_oid(triggers);
	return triggers;
}

/*
 * follow_triggers
 *		See to all triggers that execute the function of that name; returns the
 *		tables they were made on, partitions not apart.
 */
static List *
follow_triggers(Relation pg_trigger, const char *function, Oid namespace,
				bool by_name, Node *command, Snapshot before)
{
	List	   *tables = NIL;
	MemoryContext context;
	ListCell   *lc;
	Oid			oid;

	oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						  CStringGetDatum(function),
						  PointerGetDatum(buildoidvector(NULL, 0)),
						  ObjectIdGetDatum(namespace));
	if (!OidIsValid(oid))
		return NIL;

	context = AllocSetContextCreate(CurrentMemoryContext, "playevent renamed",
									ALLOCSET_DEFAULT_SIZES);
	foreach(lc, dependent_triggers(oid))
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(context);
		HeapTuple	trigger = copy_trigger(pg_trigger, lfirst_oid(lc));
		Oid			made = InvalidOid;

		/* Everybody's: there may be many, with long arguments. */
		CHECK_FOR_INTERRUPTS();
		if (trigger != NULL)
		{
			Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(trigger);

			if (form->tgfoid == oid)
			{
				follow_trigger(pg_trigger, trigger, by_name, command, before);
				if (!OidIsValid(form->tgparentid))
					made = form->tgrelid;
			}
		}
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
		if (OidIsValid(made))
			tables = lappend_oid(tables, made);
	}
	MemoryContextDelete(context);
	return tables;
}

/*
 * renames
 *		Does the command give a table another name, or another schema?
 */
static bool
renames(Node *command)
{
	if (IsA(command, RenameStmt))
	{
		ObjectType	type = ((RenameStmt *) command)->renameType;

		/* ALTER INDEX renames a table too. */
		return type == OBJECT_TABLE || type == OBJECT_INDEX ||
			type == OBJECT_SCHEMA;
	}
	return IsA(command, AlterObjectSchemaStmt) &&
		((AlterObjectSchemaStmt *) command)->objectType != OBJECT_TYPE;
}

/*
 * follow_tables
 *		See to what names tables that have another name by now.
 */
static void
follow_tables(Oid namespace, Node *command)
{
	Relation	pg_trigger = table_open(TriggerRelationId, RowExclusiveLock);
	Snapshot	before = register_snapshot_before();
	List	   *logs = NIL;
	const TriggerFunction *functions;
	int			n;

	functions = trigger_functions(&n);
	for (int i = 0; i < n; i++)
	{
		TriggerRole role = functions[i].role;
		List	   *followed;

		if (role != ROLE_COUNT && role != ROLE_RESOLVE &&
			role != ROLE_DEDUPE && role != ROLE_SLOT_GUARD)
			continue;
		followed = follow_triggers(pg_trigger, functions[i].name, namespace,
								   role == ROLE_RESOLVE, command, before);
		if (role != ROLE_SLOT_GUARD)
			logs = list_concat(logs, followed);
	}
	list_sort(logs, list_oid_cmp);
	list_deduplicate_oid(logs);
	follow_log_names(logs, before);
	UnregisterSnapshot(before);
	table_close(pg_trigger, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * follow_enum
 *		See to what names a value of an enum, if the command renamed one.
 */
static void
follow_enum(AlterEnumStmt *command)
{
	ListCell   *lc;

	if (command->oldVal == NULL)
		return;
	foreach(lc, collected_commands())
	{
		CollectedCommand *collected = lfirst(lc);

		if (collected->type == SCT_Simple)
			follow_label(collected->d.simple.address.objectId, command->oldVal,
						 command->newVal);
	}
	CommandCounterIncrement();
}

/*
 * tables_of_type
 *		The tables that CREATE TABLE ... OF made of a composite type, which has
 *		a relation of its own; partitions apart.
 */
static List *
tables_of_type(Oid relation)
{
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	List	   *tables = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* No index has it; Postgres looks for them so, too. */
	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(get_rel_type_id(relation)));
	scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (!form->relispartition)
			tables = lappend_oid(tables, form->oid);
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return tables;
}

/*
 * column_renamed
 *		A column has another name, or an attribute of a type that tables are of:
 *		should that be one that counters know, see to them.
 */
static void
column_renamed(RenameStmt *command)
{
	ListCell   *lc;

	foreach(lc, collected_commands())
	{
		CollectedCommand *collected = lfirst(lc);
		Oid			relid = collected->d.simple.address.objectId;
		List	   *tables = NIL;
		ListCell   *table;

		if (collected->type != SCT_Simple ||
			collected->d.simple.address.classId != RelationRelationId)
			continue;
		if (get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
			tables = list_make1_oid(relid);
		else if (command->behavior == DROP_CASCADE)
			tables = tables_of_type(relid);
		foreach(table, tables)
		{
			look_at_column(lfirst_oid(table), command->newname, true,
						   owner_of(relid));
		}
	}
}

/*
 * playevent.follow_renames() returns event_trigger
 *
 * ON ddl_command_end: lets the triggers of logs and slot tables name the
 * tables that they named before a command that renames one, or moves it to
 * another schema; but track tables only if the log is moved.  And the
 * functions of logs, which name those, and values of an enum.  Sees to the
 * counters if a column gets a name that they know.
 *
 * Errors: a slot table's columns swapped (55000), and what a rebuild reports.
 */
Datum
playevent_follow_renames(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = check_event_trigger_call(fcinfo,
														  "follow_renames");
	Node	   *command = trigdata->parsetree;

	if (IsA(command, RenameStmt) &&
		(((RenameStmt *) command)->renameType == OBJECT_COLUMN ||
		 ((RenameStmt *) command)->renameType == OBJECT_ATTRIBUTE))
		column_renamed((RenameStmt *) command);
	else if (IsA(command, AlterEnumStmt))
		follow_enum((AlterEnumStmt *) command);
	else if (renames(command))
		follow_tables(get_func_namespace(fcinfo->flinfo->fn_oid), command);
	PG_RETURN_NULL();
}
