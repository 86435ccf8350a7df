/*-------------------------------------------------------------------------
 *
 * record_log.c
 *	  The table that functions of a log record in: what they have in common.
 *
 * Layer: recording.
 *
 * These are functions in users' databases, which call one of playevent's and
 * name their log to it.  They name it by a text, for a regclass that means no
 * table any more is an error that nobody could give a hint with.  When the log
 * is renamed, its functions follow (rename_bodies.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "as_owner.h"
#include "binding.h"
#include "compat.h"
#include "integer.h"
#include "key_binding.h"
#include "record_log.h"
#include "trigger_argument.h"

/*
 * What a name with a schema was found to mean, as long as nothing is
 * invalidated that may have to do with it.
 */
typedef struct LogName
{
	char		name[QUALIFIED_NAME_SIZE];	/* hash key */
	uint64		seen;			/* invalidations until then */
	Oid			relid;
	Oid			owner;
} LogName;

static HTAB *log_names = NULL;

/*
 * find_name
 *		What is known of a name, or what is to be from now on (HASH_ENTER);
 *		NULL if there is none.
 */
static LogName *
find_name(text *name, HASHACTION action)
{
	char		key[QUALIFIED_NAME_SIZE];

	if (VARSIZE_ANY_EXHDR(name) >= QUALIFIED_NAME_SIZE)
		return NULL;
	if (log_names == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = QUALIFIED_NAME_SIZE;
		ctl.entrysize = sizeof(LogName);
		log_names = hash_create("playevent log names", 16, &ctl,
								HASH_ELEM | HASH_STRINGS);
	}
	text_to_cstring_buffer(name, key, sizeof(key));
	return hash_search(log_names, key, action, NULL);
}

/* Before and after a lock: nobody but its owner may wait for the table's. */
static void
check_owner(const RangeVar *name pg_attribute_unused(), Oid relid,
			Oid locked pg_attribute_unused(),
			void *arg pg_attribute_unused())
{
	if (OidIsValid(relid))
		check_own_table(relid);
}

/*
 * check_not_null
 *		Check that so many arguments of a function are there.
 */
void
check_not_null(FunctionCallInfo fcinfo, const char *function, int narguments)
{
	for (int arg = 0; arg < narguments; arg++)
	{
		if (PG_ARGISNULL(arg))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument %d of playevent.%s must not be null",
							arg + 1, function)));
	}
}

/*
 * open_log
 *		Open the table of that name, which must be the caller's, and lock it as
 *		an INSERT would.
 */
Relation
open_log(text *name)
{
	LogName    *known = find_name(name, HASH_FIND);
	RangeVar   *table;
	Oid			relid;
	uint64		seen;
	Relation	rel;

	if (known != NULL && known->seen == catalog_invalidations &&
		known->owner == GetUserId())
	{
		relid = known->relid;
		LockRelationOid(relid, RowExclusiveLock);
		if (known->seen == catalog_invalidations)
			return table_open(relid, NoLock);
		UnlockRelationOid(relid, RowExclusiveLock);
	}

	table = makeRangeVarFromNameList(textToQualifiedNameList(name));
	relid = RangeVarGetRelidExtended(table, RowExclusiveLock, RVR_MISSING_OK,
									 check_owner, NULL);
	seen = catalog_invalidations;
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("log %s does not exist", text_to_cstring(name)),
				 errdetail("The function that records in it knows it by this name."),
				 errhint("If it has just been renamed, try again; else rename it back, or put its new name into the function.")));
	rel = table_open(relid, NoLock);
	known = table->schemaname != NULL ? find_name(name, HASH_ENTER) : NULL;
	if (known != NULL)
	{
		known->seen = seen;
		known->relid = relid;
		known->owner = rel->rd_rel->relowner;
	}
	return rel;
}

/*
 * record_names
 *		The names of columns that a log's function passes, RECORD_NNAMES of
 *		them.
 */
const NameData *
record_names(ArrayType *names)
{
	if (ARR_NDIM(names) != 1 || ARR_DIMS(names)[0] != RECORD_NNAMES ||
		ARR_HASNULL(names))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a log's function must name %d columns",
						RECORD_NNAMES),
				 errhint("Let playevent.create_log or playevent.attach_log make the function.")));
	return (const NameData *) ARR_DATA_PTR(names);
}

/*
 * record_column
 *		The number of a column of the log; InvalidAttrNumber for one that it
 *		has not, and need not have.
 */
AttrNumber
record_column(Relation rel, const NameData *name, bool needed)
{
	AttrNumber	attno;

	if (NameStr(*name)[0] == '\0' && !needed)
		return InvalidAttrNumber;
	attno = get_attnum(RelationGetRelid(rel), NameStr(*name));
	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						NameStr(*name), RelationGetRelationName(rel)),
				 errhint("Rename it back: the log's functions know it by this name."),
				 errtable(rel)));
	return attno;
}

/*
 * find_record_columns
 *		Find the columns that a log's function names; the names must outlive
 *		*log.
 */
void
find_record_columns(RecordLog *log, const NameData *names)
{
	Relation	rel = log->rel;

	log->names = names;
	log->id = record_column(rel, &names[NAME_OF_ID], true);
	log->id_type = TupleDescAttr(RelationGetDescr(rel), log->id - 1)->atttypid;
	if (log->id_type != INT8OID && log->id_type != INT4OID &&
		log->id_type != INT2OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, and is no integer",
						NameStr(names[NAME_OF_ID]),
						RelationGetRelationName(rel),
						format_type_be(log->id_type)),
				 errdetail("It is what recording returns."),
				 errtablecol(rel, log->id)));
	for (int c = 0; c < RECORD_NCOLUMNS; c++)
		log->attnos[c] = record_column(rel, &names[NAME_OF(c)],
									   c == RECORD_KEY || c == RECORD_KIND ||
									   c == RECORD_RELEASE);
}

/*
 * record_keys
 *		The key table that tells which event_ids are in the log, if a trigger
 *		writes one, and not an index of the log's; else NULL.
 */
KeyBinding *
record_keys(Relation rel, AttrNumber event_id)
{
	return rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		keys_of_log(rel, event_id) : NULL;
}

/*
 * record_id
 *		An id, of whichever integer type it is.
 */
int64
record_id(RecordLog *log, Datum id)
{
	return integer_value(log->id_type, id);
}

/*
 * report_other_id
 *		The error of a row that comes back with an id that none had.
 */
void
report_other_id(RecordLog *log)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("a trigger on table \"%s\" changes column \"%s\"",
					RelationGetRelationName(log->rel),
					NameStr(log->names[NAME_OF_ID])),
			 errdetail("Receipts tell rows by it.")));
}
