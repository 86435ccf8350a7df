/*-------------------------------------------------------------------------
 *
 * record_one.c
 *	  Records one row, and tells its id.
 *
 * Layer: recording.
 *
 * The row is judged as a batch's is, but what is wrong with it is an error.  It
 * goes in by an INSERT ... ON CONFLICT, without a subtransaction; or, where a
 * trigger keeps event_ids apart (dedupe.c), by an INSERT.
 *
 * Lifetime: the plans are kept for the session, by table and types.  They are
 * made from names, and hold for this table alone (table_query.c).  So after any
 * invalidation that may have to do with these they are looked at again, under
 * the table's lock.  A plan that a rename has made useless stays, for a call
 * further up the stack may be using it.
 *
 * In a distributed log (shard.c), Citus takes both to the shard of the row's track,
 * on whatever node.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "binding.h"
#include "heard.h"
#include "key_binding.h"
#include "key_table.h"
#include "play_fault.h"
#include "record_log.h"
#include "shard.h"
#include "table_query.h"
#include "trigger_argument.h"

PG_FUNCTION_INFO_V1(playevent_record_one);
PG_FUNCTION_INFO_V1(playevent_record_heard);

/* The arguments of playevent.record_one, and of record_heard. */
enum RecordOneArg
{
	ONE_EVENT,
	ONE_COLUMNS,
	ONE_KINDS,
	ONE_FIRST_VALUE,			/* in the order of RecordValue */
};

enum RecordHeardArg
{
	HEARD_EVENT,
	HEARD_THRESHOLDS,
	HEARD_KINDS,
	HEARD_COLUMNS,
	HEARD_KEY,
	HEARD_HEARD,
	HEARD_EVENT_ID,
	HEARD_ANON_ID
};

/* What a row brings. */
typedef enum RecordValue
{
	VALUE_KEY,
	VALUE_KIND,
	VALUE_EVENT_ID,
	VALUE_ANON_ID,
	VALUE_RELEASE,
	VALUE_HEARD,
	VALUE_COUNT
} RecordValue;

/* Where a value's column is named. */
static const int value_names[VALUE_COUNT] = {
	[VALUE_KEY] = NAME_OF(RECORD_KEY),
	[VALUE_KIND] = NAME_OF(RECORD_KIND),
	[VALUE_EVENT_ID] = NAME_OF(RECORD_EVENT_ID),
	[VALUE_ANON_ID] = NAME_OF(RECORD_ANON_ID),
	[VALUE_RELEASE] = NAME_OF(RECORD_RELEASE),
	[VALUE_HEARD] = NAME_OF(RECORD_HEARD),
};

/* A row to record; a type is InvalidOid if the value is not sent. */
typedef struct OneRow
{
	const NameData *names;		/* of the log's columns */
	Oid			types[VALUE_COUNT];
	Datum		values[VALUE_COUNT];
	char		nulls[VALUE_COUNT];
} OneRow;

/* What plans are kept by; no padding. */
typedef struct PlansKey
{
	Oid			relid;
	Oid			types[VALUE_COUNT];
	NameData	names[RECORD_NNAMES];
} PlansKey;

typedef struct Plans
{
	PlansKey	key;
	uint64		seen;			/* invalidations, when it was looked at */
	char		table[QUALIFIED_NAME_SIZE]; /* its name in the plans */
	AttrNumber	key_attno;
	AttrNumber	kind_attno;
	KeyRule		key_rule;
	bool		has_keys;		/* of event_ids, in a table of their own */
	bool		by_track;		/* event_ids are unique for each track */
	TableQuery *insert;			/* NULL if there is none for these names yet */
	TableQuery *find;
} Plans;

static HTAB *all_plans = NULL;

/*
 * take_value
 *		Take over a value of the row from an argument.  What the log has no
 *		column for is not sent, and neither is a bare NULL.
 */
static void
take_value(OneRow *row, RecordValue v, FunctionCallInfo fcinfo, int arg)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, arg);
	bool		isnull = PG_ARGISNULL(arg);

	row->values[v] = PG_GETARG_DATUM(arg);
	row->nulls[v] = isnull ? 'n' : ' ';
	row->types[v] = InvalidOid;
	if (NameStr(row->names[value_names[v]])[0] != '\0')
	{
		if (type != UNKNOWNOID || !isnull || v <= VALUE_KIND)
			row->types[v] = type;
	}
	else if (!isnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("argument %d is for a column that the log's function does not name",
						arg + 1)));
}

/*
 * find_plans
 *		The entry for this table and these types; a new one is all zeroes.
 */
static Plans *
find_plans(OneRow *row, Oid relid)
{
	PlansKey	key;
	Plans	   *plans;
	bool		found;

	if (all_plans == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(PlansKey);
		ctl.entrysize = sizeof(Plans);
		all_plans = hash_create("playevent record plans", 16, &ctl,
								HASH_ELEM | HASH_BLOBS);
	}

	key.relid = relid;
	memcpy(key.types, row->types, sizeof(key.types));
	for (int i = 0; i < RECORD_NNAMES; i++)
		namestrcpy(&key.names[i], NameStr(row->names[i]));

	plans = hash_search(all_plans, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) plans + sizeof(key), 0, sizeof(Plans) - sizeof(key));
	return plans;
}

/*
 * check_type
 *		Check that an argument fits its column, or what its domain is over:
 *		the INSERT asks the domain.
 */
static void
check_type(Relation rel, Oid type, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	if (!IsBinaryCoercible(type, getBaseType(att->atttypid)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but what is to be recorded has type %s",
						NameStr(att->attname), RelationGetRelationName(rel),
						format_type_be(att->atttypid), format_type_be(type)),
				 errhint("Give the column its former type, or make the log's function anew for the one it has."),
				 errtablecol(rel, attno)));
}

/*
 * take_name
 *		Keep the name of the log, as SQL takes it.  If it is another one than
 *		before, there are no plans any more.
 */
static void
take_name(Plans *plans, Relation rel)
{
	const char *now = qualified_name(RelationGetRelid(rel));

	if (strcmp(plans->table, now) == 0)
		return;
	plans->insert = plans->find = NULL;
	strlcpy(plans->table, now, QUALIFIED_NAME_SIZE);
}

/*
 * look_at_log
 *		See that the plans are for the tables as they are by now.
 *
 * Locks may be waited for, so an error may come at any point of it; then the next
 * call looks again.
 */
static void
look_at_log(Plans *plans, Relation rel)
{
	RecordLog	log = {.rel = rel};
	uint64		seen = catalog_invalidations;
	Oid		   *types = plans->key.types;
	bool		has_keys;
	bool		by_track = false;

	/* Citus takes an INSERT to where its row goes; a shell's triggers refuse. */
	if (!is_distributed(RelationGetRelid(rel), &by_track))
		check_no_shell(RelationGetRelid(rel), RelationGetRelid(rel));
	find_record_columns(&log, plans->key.names);
	check_type(rel, types[VALUE_KEY], log.attnos[RECORD_KEY]);
	check_type(rel, types[VALUE_KIND], log.attnos[RECORD_KIND]);
	if (OidIsValid(types[VALUE_ANON_ID]))
		check_type(rel, types[VALUE_ANON_ID], log.attnos[RECORD_ANON_ID]);
	if (OidIsValid(types[VALUE_RELEASE]))
		check_type(rel, types[VALUE_RELEASE], log.attnos[RECORD_RELEASE]);

	plans->key_attno = log.attnos[RECORD_KEY];
	plans->kind_attno = log.attnos[RECORD_KIND];
	key_rule(TupleDescAttr(RelationGetDescr(rel), plans->key_attno - 1),
			 &plans->key_rule);
	has_keys = OidIsValid(types[VALUE_EVENT_ID]) &&
		record_keys(rel, log.attnos[RECORD_EVENT_ID]) != NULL;
	if (has_keys)
		check_no_shell(RelationGetRelid(rel), RelationGetRelid(rel));
	take_name(plans, rel);
	if (has_keys != plans->has_keys || by_track != plans->by_track)
		plans->insert = plans->find = NULL;
	plans->has_keys = has_keys;
	plans->by_track = by_track;
	plans->seen = seen;
}

/* A plan that fits all values: they are too alike for plans of their own. */
static TableQuery *
make_plan(const char *text, Oid table, int nargs, const Oid *types)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	TableQuery *query = prepare_table_query(text, CURSOR_OPT_GENERIC_PLAN,
											table, InvalidOid, nargs, types);

	keep_table_query(query);
	MemoryContextSwitchTo(oldcontext);
	return query;
}

/*
 * make_plans
 *		Plan the INSERT, and the search for what was there before it.
 *
 * A value that is not sent has a parameter all the same, which nothing uses.
 */
static void
make_plans(Plans *plans)
{
	const char *id = quote_identifier(NameStr(plans->key.names[NAME_OF_ID]));
	const char *event_id = NULL;
	const char *key = quote_identifier(NameStr(plans->key.names[value_names[VALUE_KEY]]));
	StringInfoData columns;
	StringInfoData parameters;
	Oid			found_by[] = {UUIDOID, plans->key.types[VALUE_KEY]};

	initStringInfo(&columns);
	initStringInfo(&parameters);
	for (int v = 0; v < VALUE_COUNT; v++)
	{
		const char *name = quote_identifier(NameStr(plans->key.names[value_names[v]]));

		if (!OidIsValid(plans->key.types[v]))
			continue;
		appendStringInfo(&columns, "%s%s", v > 0 ? ", " : "", name);
		appendStringInfo(&parameters, "%s$%d", v > 0 ? ", " : "", v + 1);
		if (v == VALUE_EVENT_ID)
			event_id = name;
	}

	if (plans->find == NULL && event_id != NULL && !plans->has_keys)
		plans->find = make_plan(psprintf("SELECT %s::pg_catalog.int8 FROM %s"
										 " WHERE %s OPERATOR(pg_catalog.=) $1%s",
										 id, plans->table, event_id,
										 !plans->by_track ? "" :
										 psprintf(" AND %s OPERATOR(pg_catalog.=) $2",
												  key)),
								plans->key.relid, lengthof(found_by), found_by);
	plans->insert = make_plan(psprintf("INSERT INTO %s (%s) VALUES (%s)%s"
									   " RETURNING %s::pg_catalog.int8",
									   plans->table, columns.data,
									   parameters.data,
									   event_id == NULL || plans->has_keys ? "" :
									   psprintf(" ON CONFLICT (%s%s%s) WHERE %s IS NOT NULL DO NOTHING",
												plans->by_track ? key : "",
												plans->by_track ? ", " : "",
												event_id, event_id),
									   id),
							  plans->key.relid, VALUE_COUNT, plans->key.types);
}

/*
 * judge
 *		Check the row's own values.  A constraint's error would show the whole
 *		row, with anon_id.
 */
static void
judge(OneRow *row, ArrayType *kinds, Plans *plans, Relation rel)
{
	bool		by_release = OidIsValid(row->types[VALUE_RELEASE]);
	PlayFault	fault = FAULT_NONE;
	const char *detail = NULL;
	KindRule	rule;

	if (row->nulls[VALUE_KEY] == ' ')
		fault = key_fault(&plans->key_rule, row->values[VALUE_KEY]);
	else if (!by_release)
		fault = FAULT_NO_KEY;
	else if (row->nulls[VALUE_RELEASE] != ' ')
		fault = FAULT_NO_KEY_NOR_RELEASE;
	if (fault == FAULT_KEY_TOO_LONG)
		detail = psprintf("A key has at most %d characters.",
						  plans->key_rule.max_chars);
	if (fault != FAULT_NONE)
		report_fault(fault, rel, plans->key_attno, detail);

	kind_rule(row->types[VALUE_KIND], kinds, &rule);
	fault = row->nulls[VALUE_KIND] != ' ' ? FAULT_NO_KIND :
		kind_fault(&rule, row->values[VALUE_KIND]);
	if (fault != FAULT_NONE)
		report_fault(fault, rel, plans->kind_attno, NULL);
}

/*
 * run
 *		Execute a plan that returns at most one id; is there one?
 */
static bool
run(TableQuery *query, Datum *values, const char *nulls, int64 *id)
{
	bool		isnull = true;

	run_table_query(query, values, nulls, false);
	if (SPI_processed > 0 && SPI_tuptable != NULL)
		*id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
										  SPI_tuptable->tupdesc, 1, &isnull));
	return !isnull;
}

/*
 * find_first
 *		The id of the row that has the event_id of one that was left out; false
 *		if none has it.  Without a query, event_ids are in a table of their own.
 */
static bool
find_first(Oid relid, TableQuery *find, OneRow *row, int64 *id)
{
	Datum		found_by[2];
	Relation	rel;
	KeyBinding *keys;
	bool		found;

	/* in a snapshot of its own, which has whatever was in the way */
	if (find != NULL)
	{
		found_by[0] = row->values[VALUE_EVENT_ID];
		found_by[1] = row->values[VALUE_KEY];
		return run(find, found_by, NULL, id);
	}

	/* What the owner's code has done meanwhile may be anything. */
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		return false;
	keys = record_keys(rel, get_attnum(relid,
									   NameStr(row->names[value_names[VALUE_EVENT_ID]])));
	found = keys != NULL &&
		key_table_find(keys, row->values[VALUE_EVENT_ID], id);
	table_close(rel, NoLock);
	return found;
}

/*
 * record
 *		Record a row in an open log, which is closed; its id in *id, if there
 *		is one.
 */
static bool
record(Relation rel, OneRow *row, ArrayType *kinds, int64 *id)
{
	Plans	   *plans = find_plans(row, RelationGetRelid(rel));
	TableQuery *find;
	Oid			owner = rel->rd_rel->relowner;
	Oid			caller;
	int			security;
	bool		found;

	if (plans->seen != catalog_invalidations)
		look_at_log(plans, rel);
	judge(row, kinds, plans, rel);
	table_close(rel, NoLock);

	/* An error undoes this with the (sub)transaction that it ends. */
	GetUserIdAndSecContext(&caller, &security);
	if (caller != owner)
		SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (plans->insert == NULL)
		make_plans(plans);

	/* A trigger that records, too, may look again, and have no plans then. */
	find = plans->find;
	found = run(plans->insert, row->values, row->nulls, id);
	if (!found && OidIsValid(row->types[VALUE_EVENT_ID]) &&
		row->nulls[VALUE_EVENT_ID] == ' ')
		found = find_first(plans->key.relid, find, row, id);
	SPI_finish();
	if (caller != owner)
		SetUserIdAndSecContext(caller, security);
	return found;
}

/* What an INSERT asks first; and arguments that must not be null */
static void
check_recording(FunctionCallInfo fcinfo, const char *function, int narguments)
{
	check_not_null(fcinfo, function, narguments);
	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
}

/*
 * playevent.record_one(event text, columns name[], kinds text[],
 *						track_entry_key, kind, event_id uuid, anon_id,
 *						release_id)
 *		returns bigint
 *
 * Records a row in a log, whose columns are called so (record_log.h), and
 * returns its id; for an event_id that is there already, the id of the first;
 * null if a trigger leaves the row out.  Kinds are the known ones, or null.
 * What is a bare NULL is not sent.  Rights and locks are those of
 * record_batch.
 *
 * Errors: what is wrong with the row (play_fault.c); no such table (42P01) or
 * column (42703), other types (42804), not the owner (42501); what the INSERT
 * reports.
 */
Datum
playevent_record_one(PG_FUNCTION_ARGS)
{
	OneRow		row = {0};
	int64		id;

	check_recording(fcinfo, "record_one", ONE_KINDS);
	row.names = record_names(PG_GETARG_ARRAYTYPE_P(ONE_COLUMNS));
	for (int v = 0; v < VALUE_HEARD; v++)
		take_value(&row, v, fcinfo, ONE_FIRST_VALUE + v);
	row.nulls[VALUE_HEARD] = 'n';

	if (!record(open_log(PG_GETARG_TEXT_PP(ONE_EVENT)), &row,
				PG_ARGISNULL(ONE_KINDS) ? NULL : PG_GETARG_ARRAYTYPE_P(ONE_KINDS),
				&id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

/*
 * playevent.record_heard(event text, thresholds double precision[],
 *						  kinds text[], columns name[], track_entry_key,
 *						  heard double precision, event_id uuid, anon_id)
 *		returns bigint
 *
 * Records a play by how much of the track was heard, as kind_of and record_one
 * would, and that itself, if the log has a column for it; null if it is under
 * the least threshold.
 *
 * Errors: those of both; how much was heard is null (22004).
 */
Datum
playevent_record_heard(PG_FUNCTION_ARGS)
{
	OneRow		row = {0};
	Relation	rel;
	AttrNumber	attno;
	float8		heard;
	char	   *kind;
	int64		id;

	check_recording(fcinfo, "record_heard", HEARD_KEY);
	if (PG_ARGISNULL(HEARD_HEARD))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"heard\" must not be null")));
	heard = PG_GETARG_FLOAT8(HEARD_HEARD);
	kind = classify(heard, "heard", PG_GETARG_ARRAYTYPE_P(HEARD_THRESHOLDS),
					PG_GETARG_ARRAYTYPE_P(HEARD_KINDS));
	if (kind == NULL)
		PG_RETURN_NULL();

	row.names = record_names(PG_GETARG_ARRAYTYPE_P(HEARD_COLUMNS));
	take_value(&row, VALUE_KEY, fcinfo, HEARD_KEY);
	take_value(&row, VALUE_EVENT_ID, fcinfo, HEARD_EVENT_ID);
	take_value(&row, VALUE_ANON_ID, fcinfo, HEARD_ANON_ID);
	row.nulls[VALUE_RELEASE] = 'n';

	rel = open_log(PG_GETARG_TEXT_PP(HEARD_EVENT));
	row.types[VALUE_KIND] = kind_type(rel, &row.names[value_names[VALUE_KIND]]);
	row.values[VALUE_KIND] = kind_value(row.types[VALUE_KIND], kind);
	row.nulls[VALUE_KIND] = ' ';
	attno = record_column(rel, &row.names[value_names[VALUE_HEARD]], false);
	if (attno != InvalidAttrNumber)
		row.types[VALUE_HEARD] = heard_type(rel, attno);
	row.values[VALUE_HEARD] = heard_value(row.types[VALUE_HEARD], heard);
	row.nulls[VALUE_HEARD] = ' ';

	if (!record(rel, &row, NULL, &id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}
