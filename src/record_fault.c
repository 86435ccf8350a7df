/*-------------------------------------------------------------------------
 *
 * record_fault.c
 *	  Whose fault is it that a row can't be recorded: its own, or the server's?
 *
 * Layer: recording.
 *
 * A receipt that says "rejected" makes a consumer drop the row for good.  So
 * it speaks only of what would fail again if the row were sent again: of its
 * own values, and of what the app's constraints and triggers say to them.  A
 * sequence at its end or behind its table, a column that nobody gives a value,
 * a partition that is missing, transaction ids that have run out: the batch
 * fails with that error, and may be sent again when somebody has mended it.
 * In doubt, it is the server's.
 *
 * An error tells the constraint that it is about, and that tells its columns:
 * some are sent, or made of those alone; others are made anew for each row.
 * Expressions are read off the catalog as they are, and none is evaluated.
 *
 * In a distributed log (shard.c), an error is of a shard, where tables, indexes
 * and constraints have other names; and from another node, Citus brings SQLSTATE
 * and message alone.  Those names are in the message, in quotes, if it is in
 * English.  Where it names nothing of the log, it is in doubt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "record_fault.h"
#include "record_log.h"
#include "shard.h"

/* Where the values of some columns come from. */
typedef struct Origin
{
	bool		sent;			/* at least one is sent, or made of what is */
	bool		made;			/* at least one may be another next time */
} Origin;

static void add_expression(RecordLog *log, Oid relid, Node *expression,
						   Origin *origin);

/*
 * is_sent
 *		Does a batch bring this column, or do the triggers make it of what it
 *		brings?
 */
static bool
is_sent(RecordLog *log, AttrNumber attno)
{
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
	{
		if (log->attnos[c] == attno)
			return log->sent[c] || (c == RECORD_RELEASE && log->resolved);
	}
	return log->has_day && log->day.day == attno && log->sent[RECORD_TIME];
}

/*
 * add_column
 *		Add a column of the log, or of a partition, which may have it elsewhere.
 *
 * The day of a play that does not come late is the same for all of a day, as a
 * constant default is for ever: a row that fails by it does so again.
 */
static void
add_column(RecordLog *log, Oid relid, AttrNumber attno, Origin *origin)
{
	Relation	rel = log->rel;
	char		generated;
	Node	   *value;

	if (attno > 0 && relid != RelationGetRelid(rel))
	{
		char	   *name = get_attname(relid, attno, true);

		attno = name == NULL ? InvalidAttrNumber :
			get_attnum(RelationGetRelid(rel), name);
	}
	if (attno == InvalidAttrNumber)
	{
		/* the whole row */
		origin->sent = origin->made = true;
		return;
	}
	if (attno < 0)
		return;
	if (is_sent(log, attno))
	{
		origin->sent = true;
		return;
	}
	if (log->has_day && log->day.day == attno)
		return;

	value = build_column_default(rel, attno);
	if (value == NULL)
		return;
	generated = TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated;
	if (generated != '\0')
		add_expression(log, RelationGetRelid(rel), value, origin);
	else
		origin->made |= contain_mutable_functions(value);
}

static void
add_expression(RecordLog *log, Oid relid, Node *expression, Origin *origin)
{
	Bitmapset  *attnos = NULL;
	int			member = -1;

	pull_varattnos(expression, 1, &attnos);
	while ((member = bms_next_member(attnos, member)) >= 0)
		add_column(log, relid,
				   (AttrNumber) (member + FirstLowInvalidHeapAttributeNumber),
				   origin);
}

/* An expression or a predicate in an index's tuple */
static void
add_index_expression(RecordLog *log, Oid relid, HeapTuple tuple,
					 AttrNumber attribute, Origin *origin)
{
	bool		isnull;
	Datum		nodes = SysCacheGetAttr(INDEXRELID, tuple, attribute, &isnull);

	if (!isnull)
		add_expression(log, relid, stringToNode(TextDatumGetCString(nodes)),
					   origin);
}

/*
 * index_refuses_row
 *		Is it the row's values that a unique index, or an exclusion
 *		constraint's, has already, and not some that were made for it?
 */
static bool
index_refuses_row(RecordLog *log, Oid relid, const char *name)
{
	Oid			oid = get_relname_relid(name, get_rel_namespace(relid));
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid));
	Form_pg_index form;
	Origin		keys = {0};
	Origin		predicate = {0};

	/* Then somebody raised this error by hand. */
	if (!HeapTupleIsValid(tuple))
		return true;
	form = (Form_pg_index) GETSTRUCT(tuple);
	if (form->indrelid != relid)
	{
		ReleaseSysCache(tuple);
		return true;
	}
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] != InvalidAttrNumber)
			add_column(log, relid, form->indkey.values[i], &keys);
	}
	add_index_expression(log, relid, tuple, Anum_pg_index_indexprs, &keys);
	add_index_expression(log, relid, tuple, Anum_pg_index_indpred, &predicate);
	ReleaseSysCache(tuple);
	return keys.sent && !keys.made && !predicate.made;
}

/*
 * constraint_refuses_row
 *		Is a CHECK or foreign key one that looks at what was sent?
 */
static bool
constraint_refuses_row(RecordLog *log, Oid relid, const char *name)
{
	Oid			oid = get_relation_constraint_oid(relid, name, true);
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
	Origin		origin = {0};
	Datum		key;
	bool		isnull;

	/* by hand, again */
	if (!HeapTupleIsValid(tuple))
		return true;
	key = SysCacheGetAttr(CONSTROID, tuple, Anum_pg_constraint_conkey, &isnull);
	if (!isnull)
	{
		ArrayType  *array = DatumGetArrayTypeP(key);
		int16	   *attnos = (int16 *) ARR_DATA_PTR(array);

		for (int i = 0; i < ARR_DIMS(array)[0]; i++)
			add_column(log, relid, attnos[i], &origin);
	}
	ReleaseSysCache(tuple);
	return origin.sent;
}

/*
 * table_of
 *		The table that an error names, or InvalidOid.
 */
static Oid
table_of(ErrorData *error)
{
	return get_relname_relid(error->table_name,
							 get_namespace_oid(error->schema_name, true));
}

/*
 * is_of_log
 *		Is a table the log, or one of its partitions?
 */
static bool
is_of_log(RecordLog *log, Oid relid)
{
	return relid == RelationGetRelid(log->rel) ||
		(OidIsValid(relid) && get_rel_relispartition(relid) &&
		 list_member_oid(get_partition_ancestors(relid),
						 RelationGetRelid(log->rel)));
}

/*
 * constraint_of_row
 *		Is the violation of a constraint the row's?
 *
 * What another table refuses, that a trigger writes to, may be for any reason:
 * a trigger that is to turn a row away should raise an error of its own.
 */
static bool
constraint_of_row(RecordLog *log, ErrorData *error)
{
	Oid			relid;

	/* It is about rows that are there, which no INSERT touches. */
	if (error->sqlerrcode == ERRCODE_RESTRICT_VIOLATION)
		return false;
	/* Raised by hand; or by a domain, and not that of a default. */
	if (error->table_name == NULL || error->schema_name == NULL)
		return true;

	relid = table_of(error);
	if (!is_of_log(log, relid))
		return false;

	if (error->constraint_name != NULL)
	{
		if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
			error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION)
			return index_refuses_row(log, relid, error->constraint_name);
		return constraint_refuses_row(log, relid, error->constraint_name);
	}
	if (error->column_name != NULL)
	{
		AttrNumber	attno = get_attnum(relid, error->column_name);
		Origin		origin = {0};

		if (attno > 0)
			add_column(log, relid, attno, &origin);
		return origin.sent;
	}
	/* There is no partition for it. */
	return false;
}

/*
 * limit_of_row
 *		Is a limit of Postgres's one of a row's size?
 *
 * The same SQLSTATE says that there are no transaction ids left.  Only btree
 * names its index; the others are told by their messages, before translation, or
 * as another node says them.
 */
static bool
limit_of_row(ErrorData *error)
{
	const char *sizes[] = {"index row ", "row is too big", "string is too long"};
	const char *message = error->message_id;

	if (error->constraint_name != NULL)
		return true;
	if (message != NULL && strcmp(message, "%s") == 0)
		message = error->message;
	for (int i = 0; message != NULL && i < (int) lengthof(sizes); i++)
	{
		if (strncmp(message, sizes[i], strlen(sizes[i])) == 0)
			return true;
	}
	return false;
}

/* A name in a shard of the log, of what the log knows by another one? */
static bool
is_in_shard(RecordLog *log, const char *name, const char *what)
{
	return shell_by_name(name, what) == RelationGetRelid(log->rel);
}

/*
 * constraint_named
 *		What the log calls its index or constraint that a shard calls so; NULL if
 *		there is none.  A CHECK may have its own name in a shard, which another
 *		table's may have, too.
 */
static const char *
constraint_named(RecordLog *log, const char *name, bool is_of_log)
{
	TupleConstr *constr = RelationGetDescr(log->rel)->constr;
	List	   *keys;
	ListCell   *lc;

	/* The relcache's own, which a look into a catalog may throw away */
	keys = copyObject(RelationGetFKeyList(log->rel));
	foreach(lc, RelationGetIndexList(log->rel))
	{
		const char *index = get_rel_name(lfirst_oid(lc));

		if (index != NULL && is_in_shard(log, name, index))
			return index;
	}
	foreach(lc, keys)
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);
		const char *constraint = get_constraint_name(key->conoid);

		if (constraint != NULL && is_in_shard(log, name, constraint))
			return constraint;
	}
	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		const char *check = constr->check[i].ccname;

		if ((is_of_log && strcmp(name, check) == 0) ||
			is_in_shard(log, name, check))
			return pstrdup(check);
	}
	return NULL;
}

/*
 * tell_table
 *		Let an error be of this table.
 */
static void
tell_table(ErrorData *error, Oid relid)
{
	error->schema_name = get_namespace_name(get_rel_namespace(relid));
	error->table_name = get_rel_name(relid);
}

/* Is it known to be an error of the log? */
static bool
told_of_log(RecordLog *log, ErrorData *error)
{
	return error->table_name != NULL && error->schema_name != NULL &&
		is_of_log(log, table_of(error));
}

/*
 * tell_name
 *		Take in a name that an error's message has; returns what it is to have in
 *		its place.
 *
 * What another table has no room for, a slot table, our own message tells, and
 * no value could: one that is out of range is a number.
 */
static const char *
tell_name(RecordLog *log, ErrorData *error, const char *name)
{
	Oid			table = shell_by_name(name, NULL);
	const char *constraint;

	if (OidIsValid(table) &&
		(table == RelationGetRelid(log->rel) ||
		 error->sqlerrcode == ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE))
	{
		tell_table(error, table);
		return error->table_name;
	}
	constraint = constraint_named(log, name, told_of_log(log, error));
	if (constraint != NULL)
	{
		tell_table(error, RelationGetRelid(log->rel));
		error->constraint_name = pstrdup(constraint);
		return constraint;
	}
	if (get_attnum(RelationGetRelid(log->rel), name) > 0)
		error->column_name = pstrdup(name);
	return name;
}

/*
 * tell_of_log
 *		Turn the error of a shard into one of the log; what is new of it is in
 *		the current memory context.
 */
void
tell_of_log(RecordLog *log, ErrorData *error)
{
	const char *rest = error->message;
	StringInfoData message;

	/* The check of a domain was made here. */
	if (rest == NULL || error->datatype_name != NULL)
		return;
	if (error->table_name != NULL && error->schema_name != NULL &&
		shell_of(table_of(error)) == RelationGetRelid(log->rel))
	{
		/* of a shard on this node, whose error says so in any language */
		tell_table(error, RelationGetRelid(log->rel));
		if (error->constraint_name != NULL)
			(void) tell_name(log, error, error->constraint_name);
	}

	initStringInfo(&message);
	for (;;)
	{
		const char *from = strchr(rest, '"');
		const char *to = from == NULL ? NULL : strchr(from + 1, '"');

		if (to == NULL)
			break;
		appendBinaryStringInfo(&message, rest, from + 1 - rest);
		appendStringInfoString(&message,
							   tell_name(log, error,
										 pnstrdup(from + 1, to - from - 1)));
		appendStringInfoChar(&message, '"');
		rest = to + 1;
	}
	appendStringInfoString(&message, rest);
	error->message = message.data;

	/* In doubt, it is another table's. */
	if (error->table_name == NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		error->table_name = error->schema_name = pstrdup("");
}

/*
 * may_be_of_row
 *		Is it worth finding out which row an error of many is of?
 */
bool
may_be_of_row(ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		error->sqlerrcode == ERRCODE_RAISE_EXCEPTION;
}

/*
 * is_of_row
 *		Would the row that met this error, by an INSERT, meet it again?
 *
 * For errors of defaults, ask elsewhere: they have the SQLSTATEs of others.
 */
bool
is_of_row(RecordLog *log, ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
			/* A counter whose sum is full is mended by its owner. */
			return error->sqlerrcode != ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED &&
				(error->table_name == NULL || error->schema_name == NULL ||
				 is_of_log(log, table_of(error)));
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
			return constraint_of_row(log, error);
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return limit_of_row(error);
		default:
			/* The app's own trigger has refused it. */
			return error->sqlerrcode == ERRCODE_RAISE_EXCEPTION;
	}
}
