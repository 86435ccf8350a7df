/*-------------------------------------------------------------------------
 *
 * event_keys.c
 *	  Fills in the event_ids of a log that is there, and forgets those that have
 *	  been kept long enough.
 *
 * Layer: commands.
 *
 * All of it is done as the log's owner (as_owner.c), once the caller's own
 * right to ask for it has been checked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "as_owner.h"
#include "compat.h"
#include "key_binding.h"
#include "key_table.h"
#include "table_query.h"
#include "trigger_argument.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(playevent_fill_event_keys);
PG_FUNCTION_INFO_V1(playevent_forget_event_keys);

/*
 * open_own_log
 *		Open a table of the caller's; *keys is NULL if no trigger keeps its
 *		event_ids apart.
 */
static Relation
open_own_log(Oid relid, LOCKMODE lockmode, KeyBinding **keys)
{
	Relation	event;

	check_own_table(relid);
	event = try_relation_open(relid, lockmode);
	if (event == NULL)
		report_dropped(relid);
	check_own_table(relid);
	*keys = keys_of_log(event, InvalidAttrNumber);
	return event;
}

/*
 * oldest_kept
 *		From when on event_ids are kept.
 *
 * Reckoned in UTC, whatever the session's time zone is.  A time without a zone
 * may be of any, so a day more is kept.
 */
static Datum
oldest_kept(KeyBinding *keys)
{
	Datum		keep = DirectFunctionCall3(interval_in,
										   CStringGetDatum(keys->keep),
										   ObjectIdGetDatum(InvalidOid),
										   Int32GetDatum(-1));
	Timestamp	now = GetCurrentTransactionStartTimestamp();

	if (keys->created_type == TIMESTAMPOID)
		now -= USECS_PER_DAY;
	return DirectFunctionCall2(timestamp_mi_interval, TimestampGetDatum(now),
							   keep);
}

/*
 * kept_query
 *		The event_ids of the log that are to be kept, with id and time; the first
 *		one recorded comes first, and so in the order in which new ones will
 *		follow.
 */
static char *
kept_query(Relation event, KeyBinding *keys)
{
	const char *names[KEY_NCOLUMNS];
	const char *type = format_type_be_qualified(keys->created_type);
	Datum		since = oldest_kept(keys);

	for (int c = 0; c < KEY_NCOLUMNS; c++)
		names[c] = quote_identifier(get_attname(RelationGetRelid(event),
												keys->event_attnos[c], false));
	return psprintf("SELECT e.%1$s::pg_catalog.uuid, e.%2$s::pg_catalog.int8,"
					" e.%3$s::%5$s FROM %4$s AS e"
					" WHERE e.%1$s IS NOT NULL"
					" AND e.%3$s OPERATOR(pg_catalog.>=) %6$s::%5$s"
					" ORDER BY e.%2$s::pg_catalog.int8",
					names[KEY_EVENT_ID], names[KEY_ID], names[KEY_CREATED],
					qualified_name(RelationGetRelid(event)), type,
					quote_literal_cstr(DatumGetCString(DirectFunctionCall1(keys->created_type == TIMESTAMPOID ?
																		   timestamp_out : timestamptz_out,
																		   since))));
}

/* What fill has come to. */
typedef struct Filling
{
	Relation	event;
	KeyBinding *keys;
	int64		added;
} Filling;

/* Check that a trigger of the log keeps its event_ids apart. */
static void
check_has_keys(Relation event, KeyBinding *keys)
{
	if (keys == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no trigger that keeps event_ids apart",
						RelationGetRelationName(event)),
				 errhint("Partitioned logs with a column for event_ids have one.")));
}

/*
 * add_key
 *		RowTaker: a row of kept_query.
 *
 * To plan that may run code of the log's owner, which may alter the key table.
 */
static void
add_key(void *arg, HeapTuple row, TupleDesc desc)
{
	Filling    *filling = arg;
	Datum		values[KEY_NCOLUMNS];
	bool		isnull[KEY_NCOLUMNS];

	if (!filling->keys->head.valid)
	{
		filling->keys = keys_of_log(filling->event, InvalidAttrNumber);
		check_has_keys(filling->event, filling->keys);
	}
	heap_deform_tuple(row, desc, values, isnull);
	filling->added += key_table_add(filling->keys, values, isnull);
}

/*
 * fill
 *		Write the event_ids of the log that are not there; returns how many.
 */
static int64
fill(Relation event, KeyBinding *keys)
{
	Filling		filling = {.event = event,.keys = keys};
	TableQuery *query;
	int			nest_level = NewGUCNestLevel();

	/* Whatever was there when the log was locked, even in REPEATABLE READ. */
	PushActiveSnapshot(GetLatestSnapshot());
	/* The query has a time in it. */
	set_option("DateStyle", "ISO, YMD");
	set_option("TimeZone", "UTC");
	query = prepare_owner_query(kept_query(event, keys), 0,
								&RelationGetRelid(event), 1, 0, NULL);
	AtEOXact_GUC(true, nest_level);
	(void) take_rows(open_table_query(query), add_key, &filling);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return filling.added;
}

/*
 * playevent.fill_event_keys(event regclass, anew boolean) returns bigint
 *
 * Writes the event_ids that are in the log and are to be kept, as far as they
 * are not there, and says how many.  If anew, all that are there go first.
 *
 * Errors: not the log's owner (42501), no such trigger (55000), what key_binding
 * and key_table_add report.  Locks: the log in ShareRowExclusiveLock, which
 * attach_log has.
 */
Datum
playevent_fill_event_keys(PG_FUNCTION_ARGS)
{
	KeyBinding *keys;
	Relation	event;
	OwnerScope	outer;
	int64		added;

	PreventCommandIfReadOnly("playevent.fill_event_keys()");
	event = open_own_log(PG_GETARG_OID(0), ShareRowExclusiveLock, &keys);
	check_has_keys(event, keys);
	owner_enter(event->rd_rel->relowner, &outer);
	if (PG_GETARG_BOOL(1))
		(void) key_table_forget(keys, NULL, PG_INT64_MAX);
	SPI_connect();
	added = fill(event, keys);
	SPI_finish();
	owner_leave(&outer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(added);
}

/*
 * playevent.forget_event_keys(event regclass, lim bigint) returns bigint
 *
 * Forgets event_ids that have been kept as long as the log's trigger says, at
 * most lim of them, and says how many; null if no trigger keeps them apart.
 * Waits for nobody.  Who sends one of them again meanwhile waits until the
 * transaction ends.
 *
 * Errors: not the log's owner (42501), what key_binding reports, the trigger
 * doesn't name an interval (22007).
 */
Datum
playevent_forget_event_keys(PG_FUNCTION_ARGS)
{
	KeyBinding *keys;
	Relation	event;
	OwnerScope	outer;
	Datum		since;
	int64		forgotten;

	PreventCommandIfReadOnly("playevent.forget_event_keys()");
	event = open_own_log(PG_GETARG_OID(0), AccessShareLock, &keys);
	if (keys == NULL)
	{
		relation_close(event, NoLock);
		PG_RETURN_NULL();
	}
	owner_enter(event->rd_rel->relowner, &outer);
	since = oldest_kept(keys);
	forgotten = key_table_forget(keys, &since, PG_GETARG_INT64(1));
	owner_leave(&outer);
	relation_close(event, NoLock);
	PG_RETURN_INT64(forgotten);
}
