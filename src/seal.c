/*-------------------------------------------------------------------------
 *
 * seal.c
 *	  Promise P11: which partitions of a log take rows.
 *
 * Layer: rows.
 *
 * A log that is partitioned by time carries its policy in the arguments of a
 * trigger, as it does all else: how long a partition is, and for how long plays
 * are kept.  The trigger is fired once a statement, before Postgres looks for
 * partitions, so it can tell what to do where there is none.
 *
 * A sealed partition has a trigger of its own that refuses each row, by whatever
 * way it comes: through the log, straight into the partition, by COPY, or by
 * logical replication.  It stays with the table that the partition becomes when
 * it is retired.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "trigger_argument.h"
#include "trigger_call.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_partition);
PG_FUNCTION_INFO_V1(playevent_sealed);

/*
 * is_by_time
 *		Is the table partitioned by ranges of one column, a moment?
 */
static bool
is_by_time(PartitionKey key)
{
	return key != NULL && key->strategy == PARTITION_STRATEGY_RANGE &&
		key->partnatts == 1 &&
		(key->parttypid[0] == TIMESTAMPTZOID ||
		 key->parttypid[0] == TIMESTAMPOID);
}

/*
 * takes
 *		Has the table a partition for this moment?  As get_partition_for_tuple
 *		has it.
 *
 * A timestamp without time zone has the same bits, and is in UTC.
 */
static bool
takes(Relation rel, PartitionKey key, TimestampTz moment)
{
	PartitionBoundInfo bounds = RelationGetPartitionDesc(rel, false)->boundinfo;
	Datum		value = TimestampTzGetDatum(moment);
	bool		is_equal;
	int			offset;

	if (bounds == NULL)
		return false;
	offset = partition_range_datum_bsearch(key->partsupfunc,
										   key->partcollation, bounds, 1,
										   &value, &is_equal);
	return bounds->indexes[offset + 1] >= 0 ||
		partition_bound_has_default(bounds);
}

/*
 * playevent.partition(created column, step, retain, id column,
 *					   listener column) returns trigger
 *
 * BEFORE INSERT FOR EACH STATEMENT, of a table that is partitioned by its
 * created column.  step is one of day, week, month and year, or empty if
 * playevent makes no partitions; retain an interval, or empty if nothing is to
 * be retired; the last two are what manifests need to know, and may be empty.
 *
 * Errors: no partition for this transaction's moment (23514); the table is
 * partitioned in another way, or not (55000).
 */
Datum
playevent_partition(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	Relation	rel;
	PartitionKey key;
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	trigdata = check_trigger_call(fcinfo, "partition",
								  "BEFORE INSERT FOR EACH STATEMENT",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_BEFORE);
	rel = trigdata->tg_relation;
	key = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		RelationGetPartitionKey(rel) : NULL;
	if (!is_by_time(key))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not partitioned by ranges of time",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" says that it is.",
						   trigdata->tg_trigger->tgname),
				 errhint("Drop the trigger."),
				 errtable(rel)));
	if (!takes(rel, key, now))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("table \"%s\" has no partition for %s",
						RelationGetRelationName(rel),
						timestamptz_to_str(now)),
				 errhint("Make those to come: SELECT playevent.extend(%s);  And let a timer call playevent.maintain, which does so.",
						 quote_literal_cstr(qualified_name(RelationGetRelid(rel)))),
				 errtable(rel)));
	return PointerGetDatum(NULL);
}

/*
 * playevent.sealed() returns trigger
 *
 * BEFORE INSERT FOR EACH ROW, of a partition or what was one: refuses (55000).
 * An argument is the hash of the manifest's entry.
 */
Datum
playevent_sealed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	Relation	rel;

	trigdata = check_trigger_call(fcinfo, "sealed", "BEFORE INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_BEFORE);
	rel = trigdata->tg_relation;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is sealed", RelationGetRelationName(rel)),
			 errdetail("It takes no rows any more: its manifest tells what is in it."),
			 errhint("A play that comes late is recorded now, and says in a column of its own when it was.  To restore data alone, use --disable-triggers."),
			 errtable(rel)));
	PG_RETURN_NULL();			/* keep compiler quiet */
}
