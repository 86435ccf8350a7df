/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Compares a log's counters with the log.
 *
 * Layer: commands.
 *
 * One query runs over log and slots in one snapshot.  As transactions add to
 * both alike, the difference in any snapshot is the error, no matter what is
 * under way.
 *
 * It is run as the log's owner (as_owner.c), once the caller's own right to ask
 * for it has been checked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "as_owner.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "shard.h"
#include "table_query.h"
#include "trigger_argument.h"
#include "trigger_role.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_verify);
PG_FUNCTION_INFO_V1(playevent_tell_progress);

/* How far the last query has come that tells its progress. */
static struct
{
	NameData	table;
	NameData	counter;
	int64		rows;
}			progress;

/* Columns of verify's result; the first ones are the key of a log's counter. */
enum VerifyColumn
{
	VERIFY_COUNTED = 3,
	VERIFY_LOGGED,
	VERIFY_COUNTER,
	VERIFY_FURTHER_KEY,
	VERIFY_NCOLUMNS
};

/* What the names of slot tables end with. */
#define SLOT_ENDING "_slot"

/*
 * counter_name
 *		The name of a counter: that of its slot table, and of the view on it,
 *		less the ending.
 */
char *
counter_name(CounterBinding *binding)
{
	char	   *name = get_rel_name(shell_of(binding->slot->relid));
	size_t		length = name == NULL ? 0 : strlen(name);

	if (length > strlen(SLOT_ENDING) &&
		strcmp(name + length - strlen(SLOT_ENDING), SLOT_ENDING) == 0)
		name[length - strlen(SLOT_ENDING)] = '\0';
	return name;
}

/*
 * source_name
 *		The column of the log that a counter's amounts come from, or NULL.
 */
static const char *
source_name(Relation event, CounterBinding *binding)
{
	if (!binding->slot->kind->has_source)
		return NULL;
	return NameStr(TupleDescAttr(RelationGetDescr(event),
								 binding->source.attno - 1)->attname);
}

/*
 * last_entry
 *		The manifest's last entry in the active snapshot.
 */
static int64
last_entry(TableQuery *query)
{
	bool		isnull;

	run_table_query(query, NULL, NULL, true);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * check_none_retired
 *		Check that no partition was retired since the active snapshot was taken:
 *		its rows could not be read any more, and the slots would be as they were
 *		then.  The log is locked, so none will be.
 */
static void
check_none_retired(Relation event)
{
	Oid			manifest;
	TableQuery *query;
	int64		seen;
	int64		last;

	if (event->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	manifest = find_own_table(event, "manifest", RelationGetRelid(event));
	if (!OidIsValid(manifest))
		return;
	query = prepare_owner_query(psprintf("SELECT coalesce(max(entry), 0)"
										 " FROM ONLY %s WHERE action = 'retire'",
										 qualified_name(manifest)), 0,
								&manifest, 1, 0, NULL);
	seen = last_entry(query);
	PushActiveSnapshot(GetLatestSnapshot());
	last = last_entry(query);
	PopActiveSnapshot();
	if (seen != last)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("partitions of table \"%s\" were retired since this transaction's snapshot was taken",
						RelationGetRelationName(event)),
				 errdetail("Their rows are not in the log any more."),
				 errhint("Try again in a new transaction.")));
}

/*
 * describe_comparison
 *		What a query needs to know that compares a counter with rows of the log
 *		or of a partition, for a FROM clause; see valid_rows.
 */
void
describe_comparison(Relation event, CounterBinding *binding, const char *rows,
					Comparison *of)
{
	SlotBinding *slot = binding->slot;
	const char *source = source_name(event, binding);
	StringInfoData keys;
	StringInfoData aliases;
	StringInfoData numbers;

	initStringInfo(&keys);
	initStringInfo(&aliases);
	initStringInfo(&numbers);
	for (int i = 0; i < slot->nkeys; i++)
	{
		appendStringInfo(&keys, "%s, ",
						 quote_identifier(NameStr(slot->key_names[i])));
		appendStringInfo(&aliases, "k%d, ", i + 1);
		appendStringInfo(&numbers, "%s%d", i > 0 ? ", " : "", i + 1);
	}
	of->column = slot->column;
	of->keys = keys.data;
	of->aliases = aliases.data;
	of->numbers = numbers.data;
	of->slot_table = qualified_name(slot->relid);
	of->amount = quote_identifier(NameStr(slot->amount_name));
	of->retired = NULL;
	of->log = rows;
	of->source = source == NULL ? NULL : quote_identifier(source);
	of->condition = "true";
}

/*
 * check_amounts
 *		Check that the rows of a cursor are a counter's keys with that many
 *		amounts, as bigints, behind them; and nothing more, if that is all.
 */
void
check_amounts(Portal portal, SlotBinding *slot, int namounts, bool are_all)
{
	Oid			types[COUNTER_MAX_KEYS + 2];

	Assert(namounts <= 2);
	memcpy(types, slot->key_types, slot->nkeys * sizeof(Oid));
	for (int i = 0; i < namounts; i++)
		types[slot->nkeys + i] = INT8OID;
	check_columns(portal, slot->nkeys + namounts, types, are_all);
}

/*
 * retired_of
 *		The table of what was retired of a counter, or InvalidOid.
 */
static Oid
retired_of(Relation event, SlotBinding *slot)
{
	if (slot->kind->covers == NULL ||
		event->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return InvalidOid;
	return find_own_table(event, "retired_table", slot->relid);
}

/*
 * lock_compared
 *		Lock what open_differences reads beside slots and the log's partitions, as
 *		it will.  In SPI.
 */
void
lock_compared(Relation event, CounterBinding *binding)
{
	Oid			retired = retired_of(event, binding->slot);
	Verdicts	verdicts;

	find_verdicts(event, &verdicts);
	if (OidIsValid(verdicts.relid))
		LockRelationOid(verdicts.relid, AccessShareLock);
	if (OidIsValid(retired))
		LockRelationOid(retired, AccessShareLock);
}

/*
 * open_differences
 *		Open a cursor on the keys whose amounts are not what the log says (see
 *		append_query of AmountKind), in the active snapshot; which says, if it is
 *		to, how far it has come with the log.
 *
 * By day if there is one, so that slots that rebuild makes lie together by day,
 * as they do when they are made day by day.
 *
 * What takes more memory to aggregate than the planner knows is aggregated one at
 * a time, instead of hashing.
 */
Portal
open_differences(Relation event, CounterBinding *binding, bool tells_progress)
{
	SlotBinding *slot = binding->slot;
	Oid			retired = retired_of(event, slot);
	Oid			tables[4];
	Verdicts	verdicts;
	Comparison	of;
	StringInfoData text;
	TableQuery *query;
	Portal		portal;
	int			nest_level;

	find_verdicts(event, &verdicts);
	describe_comparison(event, binding,
						valid_rows(RelationGetRelid(event), &verdicts, NULL),
						&of);
	if (tells_progress)
		of.condition = "playevent.tell_progress()";
	if (OidIsValid(retired))
		of.retired = qualified_name(retired);

	initStringInfo(&text);
	slot->kind->append_query(&text, &of);
	for (int i = 0; i < slot->nkeys; i++)
	{
		if (slot->key_types[i] == DATEOID)
		{
			appendStringInfo(&text, " ORDER BY %d", i + 1);
			break;
		}
	}
	tables[0] = RelationGetRelid(event);
	tables[1] = slot->relid;
	tables[2] = retired;
	tables[3] = verdicts.relid;
	query = prepare_owner_query(text.data, 0, tables, lengthof(tables), 0,
								NULL);

	nest_level = NewGUCNestLevel();
	if (slot->kind->takes_memory)
		set_option("enable_hashagg", "off");
	if (tells_progress)
	{
		namestrcpy(&progress.table, RelationGetRelationName(event));
		namestrcpy(&progress.counter, counter_name(binding));
		progress.rows = 0;
	}
	portal = open_table_query(query);
	AtEOXact_GUC(true, nest_level);
	check_amounts(portal, slot, 2, false);
	return portal;
}

/*
 * playevent.tell_progress() returns boolean
 *
 * True of each row of a log that such a query reads, and says so now and then.
 */
Datum
playevent_tell_progress(FunctionCallInfo fcinfo pg_attribute_unused())
{
	if (++progress.rows % PROGRESS_ROWS == 0)
		ereport(NOTICE,
				(errcode(ERRCODE_SUCCESSFUL_COMPLETION),
				 errmsg("read " INT64_FORMAT " rows of table \"%s\" for counter \"%s\"",
						progress.rows, NameStr(progress.table),
						NameStr(progress.counter))));
	PG_RETURN_BOOL(true);
}

/*
 * check_compared
 *		Check that the role may read what open_differences compares: the slot
 *		table, and the columns that the counter's trigger names.
 */
static void
check_compared(Relation event, Trigger *trigger, Oid slot, Oid role)
{
	const AmountKind *kind = amount_kind_of(trigger);
	List	   *counted = list_make1(trigger->tgargs[COUNTER_AMOUNT_COLUMN]);
	List	   *logged = NIL;

	for (int i = first_key_of(kind); i < trigger->tgnargs; i++)
	{
		counted = lappend(counted, trigger->tgargs[i]);
		logged = lappend(logged, trigger->tgargs[i]);
	}
	if (kind->has_source)
		logged = lappend(logged, trigger->tgargs[COUNTER_SOURCE]);
	check_readable(slot, role, counted);
	check_readable(RelationGetRelid(event), role, logged);
}

/*
 * check_all_compared
 *		Check that of all of the log's counters.
 *
 * Their slot tables are locked to the end of the transaction, for which rights
 * are asked of what is called so first: whoever may not read one, is to lock
 * none.  Of a distributed log, the shells are asked, which are no slot tables.
 */
static void
check_all_compared(Relation event, TriggerDesc *triggers, Oid role,
				   bool distributed)
{
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		Oid			namespace;
		Oid			slot;

		if (role_of(trigger) != ROLE_COUNT ||
			trigger->tgnargs <= first_key_of(amount_kind_of(trigger)))
			continue;
		slot = table_named_by(RelationGetRelid(event),
							  trigger->tgargs[COUNTER_SLOT_TABLE], &namespace);
		if (OidIsValid(slot))
			check_compared(event, trigger, slot, role);
	}
	for (int i = 0; !distributed && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (role_of(trigger) == ROLE_COUNT)
			check_compared(event, trigger,
						   counter_binding(event, trigger)->slot->relid, role);
	}
}

/*
 * check_may_ask
 *		Check that the role may read anything of the log, before more is looked at.
 */
static void
check_may_ask(Relation event, Oid role)
{
	Oid			relid = RelationGetRelid(event);

	check_usage(RelationGetNamespace(event), role);
	if (pg_class_aclcheck(relid, role, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, role, ACL_SELECT,
								  ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
					   RelationGetRelationName(event));
}

/*
 * verify_column
 *		Which column of verify's result shows a key column: that of the log's
 *		first counter with this name, or VERIFY_FURTHER_KEY.
 */
static int
verify_column(CounterBinding *first, const char *key_name)
{
	for (int i = 0; i < Min(first->nkeys, VERIFY_COUNTED); i++)
	{
		if (namestrcmp(&first->slot->key_names[i], key_name) == 0)
			return i;
	}
	return VERIFY_FURTHER_KEY;
}

/* Where verify puts the differences of a counter. */
typedef struct Report
{
	ReturnSetInfo *rsinfo;
	CounterBinding *first;		/* of the log */
	CounterBinding *binding;
	const char *counter;		/* its name */
} Report;

/*
 * put_difference
 *		RowTaker: put a row of difference_query into verify's result.
 */
static void
put_difference(void *arg, HeapTuple tuple, TupleDesc desc)
{
	Report	   *report = arg;
	CounterBinding *binding = report->binding;
	Datum		values[VERIFY_NCOLUMNS] = {0};
	bool		isnull[VERIFY_NCOLUMNS];
	int			nkeys = binding->nkeys;
	StringInfoData further;

	memset(isnull, true, sizeof(isnull));
	initStringInfo(&further);
	for (int i = 0; i < nkeys; i++)
	{
		const char *name = NameStr(binding->slot->key_names[i]);
		char	   *value = SPI_getvalue(tuple, desc, i + 1);
		int			column = verify_column(report->first, name);

		if (column == VERIFY_FURTHER_KEY)
			appendStringInfo(&further, "%s%s = %s",
							 further.len > 0 ? ", " : "", name,
							 value != NULL ? value : "null");
		else if (value != NULL)
		{
			values[column] = CStringGetTextDatum(value);
			isnull[column] = false;
		}
	}
	if (further.len > 0)
	{
		values[VERIFY_FURTHER_KEY] = CStringGetTextDatum(further.data);
		isnull[VERIFY_FURTHER_KEY] = false;
	}
	values[VERIFY_COUNTED] = SPI_getbinval(tuple, desc, nkeys + 1,
										   &isnull[VERIFY_COUNTED]);
	values[VERIFY_LOGGED] = SPI_getbinval(tuple, desc, nkeys + 2,
										  &isnull[VERIFY_LOGGED]);
	values[VERIFY_COUNTER] = CStringGetTextDatum(report->counter);
	isnull[VERIFY_COUNTER] = false;

	tuplestore_putvalues(report->rsinfo->setResult, report->rsinfo->setDesc,
						 values, isnull);
}

/*
 * verify_shards
 *		Put what verify says of each shard into verify's result.
 *
 * A shard is a log of its own, and compared in a snapshot of its own: its keys
 * are no other's.  It sees what is committed, and not what this transaction has
 * inserted.
 */
static void
verify_shards(ReturnSetInfo *rsinfo, Oid relid)
{
	Oid			type = REGCLASSOID;
	Datum		value = ObjectIdGetDatum(relid);

	if (SPI_execute_with_args("SELECT * FROM playevent.verify_shards($1)", 1,
							  &type, &value, NULL, false, 0) < 0)
		elog(ERROR, "could not ask the shards of table %u", relid);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
}

/*
 * playevent.verify(event regclass)
 *		returns table(track_entry_key text, release_id text, kind text,
 *					  counted bigint, logged bigint,
 *					  counter text, further_key text)
 *
 * The keys whose counters differ from the log in the calling statement's
 * snapshot; no row means exact.  The columns are named as in a log made by
 * create_log, whatever the log's own are called; what else a counter counts by
 * is in further_key.
 *
 * Errors: not a log (55000), no right of the caller to read it or its slots
 * (42501), a policy hides rows from the caller (42501), a partition was retired
 * after the snapshot was taken (40001), what counter_binding reports.
 */
Datum
playevent_verify(PG_FUNCTION_ARGS)
{
	Report		report = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	TriggerDesc *triggers;
	Oid			relid = PG_GETARG_OID(0);
	bool		distributed = is_distributed(relid, NULL);
	Relation	event = distributed ? open_distributed_log(relid, &triggers) :
	open_counted_log(relid, &triggers);
	OwnerScope	outer;
	int			position = 0;

	check_may_ask(event, GetUserId());
	InitMaterializedSRF(fcinfo, 0);
	owner_enter(event->rd_rel->relowner, &outer);
	SPI_connect();

	/* Nothing is run for whoever may not ask for all of it. */
	check_all_compared(event, triggers, outer.userid, distributed);
	if (distributed)
		verify_shards(report.rsinfo, relid);
	else
		check_none_retired(event);
	while (!distributed &&
		   (report.binding = next_counter(event, triggers, &position)) != NULL)
	{
		report.counter = counter_name(report.binding);
		if (report.first == NULL)
			report.first = report.binding;
		(void) take_rows(open_differences(event, report.binding, false),
						 put_difference, &report);
	}

	SPI_finish();
	owner_leave(&outer);
	relation_close(event, NoLock);
	return (Datum) 0;
}
