/*-------------------------------------------------------------------------
 *
 * rename_bodies.c
 *	  Lets the functions of a log follow when the log, or a value of its enum,
 *	  is renamed (P10).
 *
 * Layer: DDL.
 *
 * Such a function's body begins with a call of playevent's, as the install
 * script's make_record_functions and make_kind_function write it, up to the
 * literal that names what it is about, as quote_literal spells that.  Those that
 * record by how much was heard name a log and its kinds.
 *
 * Bodies that begin otherwise are left alone.  For whoever names a log's schema
 * may be another than who owns the function (P8): in a comment, or in a string
 * within another, his name for it could end that, and be code.  After such a
 * beginning, a literal is one.  Functions that belong to another than the owner
 * of what was renamed are left alone too, whoever renames.
 *
 * What is not followed, or not because the event trigger was off, fails with a
 * hint (record_log.c, record_one.c).
 *
 * PL/pgSQL compiles a function anew when its row in pg_proc is another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "as_owner.h"
#include "ddl.h"
#include "rename_bodies.h"
#include "shard.h"
#include "trigger_role.h"

/* Bytes that a body may have; those that the install script writes have less. */
#define BODY_SIZE 65536

/* A label that is renamed: whose functions know it. */
typedef struct LabelOf
{
	Oid			type;			/* such as return it */
	List	   *logs;			/* such as record in one of these, literals */
} LabelOf;

/* A literal that is to be replaced, in functions of an owner. */
typedef struct Change
{
	Oid			owner;
	const char *old_literal;
	const char *new_literal;
} Change;

/* What bodies that record begin with, in front of the log's name */
static const char *const records[] = {
	"\nBEGIN\n    RETURN playevent.record_one(",
	("\nBEGIN\n    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason\n"
	 "      FROM playevent.record_batch("),
	"\nBEGIN\n    RETURN playevent.record_heard(",
	("\nBEGIN\n    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason\n"
	 "      FROM playevent.record_batch_heard(")
};

/* From which on they have labels too */
#define RECORDS_HEARD 2

/* In front of the thresholds, and between them and the labels */
static const char *const classifies =
"\nBEGIN\n    $2 := playevent.kind_of($1, ";
static const char *const labels = ", ARRAY[";

/*
 * behind
 *		What comes behind such a beginning; NULL if it begins otherwise.
 */
static const char *
behind(const char *body, const char *beginning)
{
	Size		size = strlen(beginning);

	return strncmp(body, beginning, size) == 0 ? body + size : NULL;
}

/*
 * literal_end
 *		Where the literal ends that begins here; NULL if none does, as
 *		quote_literal spells them.
 */
static const char *
literal_end(const char *literal)
{
	bool		escapes = *literal == 'E';

	if (escapes)
		literal++;
	if (*literal++ != '\'')
		return NULL;
	for (; *literal != '\0'; literal++)
	{
		if (*literal == '\'' && literal[1] != '\'')
			return literal + 1;
		if (*literal == '\\' && !escapes)
			return NULL;
		if ((*literal == '\'' || *literal == '\\') && literal[1] != '\0')
			literal++;
	}
	return NULL;
}

/*
 * compare_changes
 *		Sorts changes by owner, and of one by literal.
 */
static int
compare_changes(const ListCell *one, const ListCell *other)
{
	const Change *a = lfirst(one);
	const Change *b = lfirst(other);

	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return strcmp(a->old_literal, b->old_literal);
}

/*
 * first_change
 *		The index of an owner's first change, in the order of compare_changes,
 *		whose literal is not before this one.  Strangers' may be many.
 */
static int
first_change(List *changes, Oid owner, const char *literal, Size size)
{
	int			low = 0;
	int			high = list_length(changes);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		Change	   *change = list_nth(changes, middle);

		if (change->owner < owner ||
			(change->owner == owner &&
			 strncmp(change->old_literal, literal, size) < 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * replacement
 *		What is to be in the place of a literal, or NULL if it is to stay.
 */
static const char *
replacement(List *changes, Oid owner, const char *literal, const char *end)
{
	Size		size = end - literal;
	int			i = first_change(changes, owner, literal, size);
	Change	   *change;

	/*
	 * Of those that begin with it, the shortest is first: a literal ends
	 * where it does.
	 */
	if (i == list_length(changes))
		return NULL;
	change = list_nth(changes, i);
	return change->owner == owner && strlen(change->old_literal) == size &&
		strncmp(literal, change->old_literal, size) == 0 ?
		change->new_literal : NULL;
}

/*
 * change_literals
 *		The body with the literals replaced that begin here, one or all that
 *		follow with commas in between; NULL if there is nothing to replace.
 */
static char *
change_literals(const char *body, const char *at, bool all, List *changes,
				Oid owner)
{
	const char *copied = body;
	const char *end;
	StringInfoData changed;

	initStringInfo(&changed);
	while (at != NULL && (end = literal_end(at)) != NULL)
	{
		const char *literal = replacement(changes, owner, at, end);

		if (literal != NULL)
		{
			appendBinaryStringInfo(&changed, copied, at - copied);
			appendStringInfoString(&changed, literal);
			copied = end;
		}
		at = all ? behind(end, ", ") : NULL;
	}
	if (copied == body)
		return NULL;
	appendStringInfoString(&changed, copied);
	return changed.data;
}

/*
 * find_labels
 *		Where the labels are in a body that knows those of the type; NULL if it
 *		doesn't.
 */
static const char *
find_labels(const char *body, LabelOf *of, Form_pg_proc form)
{
	const char *at = form->prorettype == of->type ?
	behind(body, classifies) : NULL;
	const char *log = NULL;
	ListCell   *lc;

	for (int i = RECORDS_HEARD; log == NULL && i < (int) lengthof(records); i++)
		log = behind(body, records[i]);
	foreach(lc, of->logs)
	{
		const char *end = log != NULL ? behind(log, lfirst(lc)) : NULL;

		if (end != NULL)
			at = behind(end, ", ");
	}
	if (at != NULL)
		at = literal_end(at);
	return at != NULL ? behind(at, labels) : NULL;
}

/*
 * change_body
 *		The same for a body: of labels, or of a log's name.
 */
static char *
change_body(const char *body, LabelOf *of_label, List *changes,
			Form_pg_proc form)
{
	const char *at = NULL;

	if (of_label != NULL)
		at = find_labels(body, of_label, form);
	for (int i = 0; of_label == NULL && at == NULL && i < (int) lengthof(records); i++)
		at = behind(body, records[i]);
	return change_literals(body, at, of_label != NULL, changes,
						   form->proowner);
}

/*
 * replace_body
 *		Give a function another body, unless somebody else is altering it.
 */
static void
replace_body(Relation pg_proc, HeapTuple function, char *body)
{
	int			column = Anum_pg_proc_prosrc;
	Datum		value = CStringGetTextDatum(body);
	bool		isnull = false;

	if (!lock_row(pg_proc, function))
	{
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("function %s does not follow what has been renamed",
						format_procedure(((Form_pg_proc) GETSTRUCT(function))->oid)),
				 errdetail("Another transaction is altering it."),
				 errhint("Once that has ended, rename it back and then again; or put the new name into the function.")));
		return;
	}
	function = heap_modify_tuple_by_cols(function, RelationGetDescr(pg_proc), 1,
										 &column, &value, &isnull);
	CatalogTupleUpdate(pg_proc, &function->t_self, function);
}

/*
 * concerns
 *		May functions of this role change?
 */
static bool
concerns(List *changes, Oid owner)
{
	int			i = first_change(changes, owner, "", 0);

	return i < list_length(changes) &&
		((Change *) list_nth(changes, i))->owner == owner;
}

/*
 * change_functions
 *		Make the changes in all functions; those of a label in such as know it.
 *
 * Nobody else's bodies are read, nor such as are longer than those of ours: they
 * may be as long as he likes, and what is renamed is locked meanwhile.  It may be
 * somebody else's schema that his log is in.
 */
static void
change_functions(List *changes, LabelOf *of_label)
{
	Oid			language = get_language_oid("plpgsql", true);
	Relation	pg_proc = table_open(ProcedureRelationId, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(pg_proc, InvalidOid, false, NULL, 0,
										  NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent body",
												  ALLOCSET_DEFAULT_SIZES);
	HeapTuple	tuple;

	list_sort(changes, compare_changes);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
		MemoryContext oldcontext;
		bool		isnull;
		Datum		source;
		char	   *changed;

		if (form->prolang != language || !concerns(changes, form->proowner))
			continue;
		source = heap_getattr(tuple, Anum_pg_proc_prosrc,
							  RelationGetDescr(pg_proc), &isnull);
		if (toast_raw_datum_size(source) > BODY_SIZE)
			continue;
		oldcontext = MemoryContextSwitchTo(context);
		changed = change_body(TextDatumGetCString(source), of_label, changes,
							  form);
		if (changed != NULL)
			replace_body(pg_proc, tuple, changed);
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
	}
	systable_endscan(scan);
	table_close(pg_proc, RowExclusiveLock);
	MemoryContextDelete(context);
}

/* As a log's functions name it */
static const char *
log_literal(const char *schema, const char *table)
{
	return quote_literal_cstr(quote_qualified_identifier(schema, table));
}

/*
 * log_change
 *		What is to change where a log is named; NULL if its name is what the
 *		snapshot sees.
 *
 * When Citus takes a table over, it calls it by the name of a shard, and gives
 * its own name to the shell: record functions are to meet that, and refuse.
 */
static Change *
log_change(Oid relid, Snapshot before)
{
	HeapTuple	rel = tuple_before(RelationRelationId, ClassOidIndexId, relid,
								   before);
	const char *table = get_rel_name(relid);
	const char *schema = get_namespace_name(get_rel_namespace(relid));
	const char *old_table;
	const char *old_schema;
	HeapTuple	namespace;
	Change	   *change;

	if (rel == NULL || table == NULL || schema == NULL)
		return NULL;
	namespace = tuple_before(NamespaceRelationId, NamespaceOidIndexId,
							 ((Form_pg_class) GETSTRUCT(rel))->relnamespace,
							 before);
	if (namespace == NULL)
		return NULL;
	old_table = NameStr(((Form_pg_class) GETSTRUCT(rel))->relname);
	old_schema = NameStr(((Form_pg_namespace) GETSTRUCT(namespace))->nspname);
	if (strcmp(old_table, table) == 0 ? strcmp(old_schema, schema) == 0 :
		is_shard_name(table))
		return NULL;

	change = palloc(sizeof(Change));
	change->owner = ((Form_pg_class) GETSTRUCT(rel))->relowner;
	change->old_literal = log_literal(old_schema, old_table);
	change->new_literal = log_literal(schema, table);
	return change;
}

/*
 * follow_log_names
 *		Let functions name those of the logs, a list of OIDs, as they are called
 *		now.
 */
void
follow_log_names(List *logs, Snapshot before)
{
	List	   *changes = NIL;
	ListCell   *lc;

	foreach(lc, logs)
	{
		Change	   *change = log_change(lfirst_oid(lc), before);

		if (change != NULL)
			changes = lappend(changes, change);
	}
	if (changes != NIL)
		change_functions(changes, NULL);
}

/*
 * tables_of_type
 *		The tables that have a column of this type, as a log's functions name
 *		them.
 */
static List *
tables_of_type(Oid type)
{
	Relation	pg_depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *tables = NIL;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan(pg_depend, DependReferenceIndexId, true, NULL,
							  2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		const char *table = NULL;
		const char *schema = NULL;

		/* Nobody keeps it from being dropped. */
		if (form->classid == RelationRelationId)
		{
			table = get_rel_name(form->objid);
			schema = get_namespace_name(get_rel_namespace(form->objid));
		}
		if (table != NULL && schema != NULL)
			tables = lappend(tables,
							 unconstify(char *, log_literal(schema, table)));
	}
	systable_endscan(scan);
	table_close(pg_depend, AccessShareLock);
	return tables;
}

/*
 * follow_label
 *		Let functions that find a value of an enum by its label know it by the
 *		new one.
 */
void
follow_label(Oid type, const char *old_label, const char *new_label)
{
	Change		change = {
		.old_literal = quote_literal_cstr(old_label),
		.new_literal = quote_literal_cstr(new_label)
	};
	LabelOf		of_label = {.type = type};
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

	if (!HeapTupleIsValid(tuple))
		return;
	change.owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	of_label.logs = tables_of_type(type);
	change_functions(list_make1(&change), &of_label);
}
