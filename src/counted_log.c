/*-------------------------------------------------------------------------
 *
 * counted_log.c
 *	  A log and its counters, for functions that are called with the former.
 *
 * Layer: commands.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "as_owner.h"
#include "compat.h"
#include "counted_log.h"
#include "counter_binding.h"
#include "shard.h"
#include "trigger_argument.h"
#include "trigger_role.h"

/*
 * open_distributed_log
 *		Open a log's event table, which must have a counter; its rows may be
 *		elsewhere.  *triggers is set to a copy of its triggers that no
 *		invalidation can free.
 *
 * Somebody's view or temporary table is no log, whatever triggers it has.
 */
Relation
open_distributed_log(Oid relid, TriggerDesc **triggers)
{
	Relation	event = try_relation_open(relid, AccessShareLock);
	bool		may_be;

	if (event == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"event\" is %u, which is no table", relid)));

	may_be = (event->rd_rel->relkind == RELKIND_RELATION ||
			  event->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
		event->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
		!event->rd_rel->relispartition;
	*triggers = CopyTriggerDesc(event->trigdesc);
	for (int i = 0; may_be && *triggers != NULL && i < (*triggers)->numtriggers; i++)
	{
		if (amount_kind_of(&(*triggers)->triggers[i]) == &amount_count)
			return event;
	}

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not a log",
					RelationGetRelationName(event)),
			 event->rd_rel->relispartition ?
			 errhint("Name the partitioned table it belongs to.") :
			 errhint("The view playevent.log lists all logs; playevent.attach_log makes a table one.")));
	return NULL;				/* keep compiler quiet */
}

/*
 * open_counted_log
 *		open_distributed_log, of a log whose rows are here.
 */
Relation
open_counted_log(Oid relid, TriggerDesc **triggers)
{
	bool		distributed = is_distributed(relid, NULL);
	Relation	event;

	if (!distributed && get_rel_name(relid) != NULL)
		check_no_shell(relid, relid);
	event = open_distributed_log(relid, triggers);
	if (distributed)
		report_distributed(relid,
						   "Its rows and counts are in shards, and this is not done for them.",
						   "playevent.verify, rebuild and compact see to the shards of a distributed log.");
	return event;
}

void
check_log_owner(Relation event)
{
	if (!relation_ownercheck(RelationGetRelid(event), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(event));
}

/*
 * next_counter
 *		The log's next counter at or after trigger *position, or NULL.
 */
CounterBinding *
next_counter(Relation event, TriggerDesc *triggers, int *position)
{
	while (*position < triggers->numtriggers)
	{
		Trigger    *trigger = &triggers->triggers[(*position)++];

		if (role_of(trigger) == ROLE_COUNT)
			return counter_binding(event, trigger);
	}
	return NULL;
}

/*
 * counter_of
 *		The log's counter that has this slot table.
 */
static CounterBinding *
counter_of(Relation event, TriggerDesc *triggers, Oid slot)
{
	CounterBinding *binding;
	int			position = 0;

	while ((binding = next_counter(event, triggers, &position)) != NULL)
	{
		if (binding->slot->relid == slot)
			return binding;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" has no counter with slot table \"%s\"",
					RelationGetRelationName(event), get_rel_name(slot))));
	return NULL;				/* keep compiler quiet */
}

/*
 * open_own_counter
 *		In a twin: open the log, and find its counter that has this slot table.
 *
 * Whose the log is, is asked first: to look up a counter takes locks that stay
 * until the transaction ends, even where a subtransaction is rolled back, and
 * whoever may call a function of the install script could hold them.
 */
Relation
open_own_counter(Oid relid, Oid slot, CounterBinding **binding)
{
	TriggerDesc *triggers;
	Relation	event;

	check_twin(relid);
	event = open_counted_log(relid, &triggers);
	*binding = counter_of(event, triggers, slot);
	return event;
}

/*
 * our_schema
 *		The schema of the functions that the log's triggers call: it may have
 *		been renamed.  What looks a function up may free the relation's triggers.
 */
static const char *
our_schema(Relation event)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (role_of(&triggers->triggers[i]) != ROLE_NONE)
			return get_namespace_name(get_func_namespace(triggers->triggers[i].tgfoid));
	}
	return "playevent";
}

/*
 * ask
 *		What a function of the install script says of a table, in one row.  In
 *		SPI.
 */
static void
ask(Relation event, const char *function, Oid relid)
{
	Oid			type = REGCLASSOID;
	Datum		value = ObjectIdGetDatum(relid);
	char	   *query = psprintf("SELECT * FROM %s($1)",
								 quote_qualified_identifier(our_schema(event),
															function));

	if (SPI_execute_with_args(query, 1, &type, &value, NULL, true, 0) < 0 ||
		SPI_processed != 1)
		elog(ERROR, "could not ask function \"%s\"", function);
}

/*
 * find_own_table
 *		A table that belongs to the log or another of its tables, as a function of
 *		the install script finds it; InvalidOid if there is none.  In SPI.
 */
Oid
find_own_table(Relation event, const char *function, Oid relid)
{
	bool		isnull;
	Datum		found;

	ask(event, function, relid);
	found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	SPI_freetuptable(SPI_tuptable);
	return isnull ? InvalidOid : DatumGetObjectId(found);
}

/*
 * has_block
 *		Has anything ever been written to the table?
 */
static bool
has_block(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	bool		written;

	if (rel == NULL)
		return false;
	written = RelationGetNumberOfBlocks(rel) > 0;
	relation_close(rel, NoLock);
	return written;
}

/*
 * find_verdicts
 *		The table of a log's verdicts, as it says itself; none, if it has never
 *		had any.  In SPI.
 *
 * Errors: the log has no column of that name by now (42703).
 */
void
find_verdicts(Relation event, Verdicts *verdicts)
{
	bool		isnull;
	Datum		found;
	char	   *id;

	verdicts->relid = InvalidOid;
	ask(event, "verdicts", RelationGetRelid(event));
	found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	if (!isnull && id != NULL && has_block(DatumGetObjectId(found)))
	{
		verdicts->relid = DatumGetObjectId(found);
		namestrcpy(&verdicts->id_column, id);
		if (get_attnum(RelationGetRelid(event), id) == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\"",
							RelationGetRelationName(event), id),
					 errdetail("Verdicts in table \"%s\" tell rows by it.",
							   get_rel_name(verdicts->relid)),
					 errhint("Call playevent.attach_log again if the column has another name."),
					 errtable(event)));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * valid_rows
 *		What to read of a log or a partition for those rows that count, in a FROM
 *		clause; of these, those that a condition on "l" is true of, if it is not
 *		NULL.  The latest verdict about a row holds.
 */
const char *
valid_rows(Oid rows, const Verdicts *verdicts, const char *filter)
{
	StringInfoData query;

	if (!OidIsValid(verdicts->relid) && filter == NULL)
		return qualified_name(rows);
	initStringInfo(&query);
	appendStringInfo(&query, "(SELECT l.* FROM %s AS l WHERE %s",
					 qualified_name(rows), filter == NULL ? "true" : filter);
	if (OidIsValid(verdicts->relid))
	{
		const char *table = qualified_name(verdicts->relid);

		appendStringInfo(&query,
						 " AND NOT EXISTS (SELECT FROM ONLY %s AS v"
						 " WHERE v.event OPERATOR(pg_catalog.=) l.%s"
						 " AND NOT v.counts AND NOT EXISTS"
						 " (SELECT FROM ONLY %s AS later"
						 " WHERE later.event OPERATOR(pg_catalog.=) v.event"
						 " AND later.id OPERATOR(pg_catalog.>) v.id))",
						 table,
						 quote_identifier(NameStr(verdicts->id_column)),
						 table);
	}
	appendStringInfoString(&query, ") AS valid");
	return query.data;
}
