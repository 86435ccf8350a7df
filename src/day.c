/*-------------------------------------------------------------------------
 *
 * day.c
 *	  The day that a row counts for.
 *
 * A stored generated column would do, but for its price: Postgres parses and
 * plans the expressions of such columns and of CHECK constraints anew for each
 * statement, which together took 52,000 instructions of an insert, more than
 * all the counting (PostgreSQL 15, by callgrind).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "binding_lookup.h"
#include "day.h"
#include "playevent.h"

PG_FUNCTION_INFO_V1(playevent_day);

/*
 * day_column
 *		The number of the column that a trigger argument names, which must be of
 *		the type.
 */
static AttrNumber
day_column(Relation event, Trigger *trigger, int arg, Oid type)
{
	const char *name = trigger->tgargs[arg];
	TupleDesc	desc = RelationGetDescr(event);
	int			attno = SPI_fnumber(desc, name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						name, RelationGetRelationName(event)),
				 errdetail("Trigger \"%s\" on table \"%s\" needs it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Undo the change that led here, or drop the trigger.")));
	if (TupleDescAttr(desc, attno - 1)->atttypid != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, not %s",
						name, RelationGetRelationName(event),
						format_type_be(TupleDescAttr(desc, attno - 1)->atttypid),
						format_type_be(type)),
				 errdetail("Trigger \"%s\" on table \"%s\" needs it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Undo the change that led here, or drop the trigger."),
				 errtablecol(event, attno)));
	return attno;
}

/*
 * day_columns
 *		The columns that a playevent_day trigger's arguments name.
 *
 * Errors: wrong number of arguments (39P01), a column is missing (42703) or
 * has the wrong type (42804).
 */
void
day_columns(Relation event, Trigger *trigger, DayColumns *columns)
{
	check_nargs(event, trigger, 3, 3);
	columns->day = day_column(event, trigger, 0, DATEOID);
	columns->happened = day_column(event, trigger, 1, TIMESTAMPTZOID);
	columns->recorded = day_column(event, trigger, 2, TIMESTAMPTZOID);
}

/*
 * day_of
 *		The day of the row in the slot, in UTC; null if it has no time at all.
 *
 * Errors: it says to be later than it was recorded, or before all time (23514).
 */
Datum
day_of(Relation event, DayColumns *columns, TupleTableSlot *slot, bool *isnull)
{
	bool		recorded_isnull;
	bool		happened_isnull;
	TimestampTz at = DatumGetTimestampTz(slot_getattr(slot, columns->recorded,
													  &recorded_isnull));
	TimestampTz happened = DatumGetTimestampTz(slot_getattr(slot,
															columns->happened,
															&happened_isnull));
	int64		day;

	*isnull = recorded_isnull && happened_isnull;
	if (!happened_isnull)
	{
		if (TIMESTAMP_NOT_FINITE(happened) ||
			(!recorded_isnull && happened > at))
			ereport(ERROR,
					(errcode(ERRCODE_CHECK_VIOLATION),
					 errmsg("value in column \"%s\" of table \"%s\" is out of range",
							NameStr(TupleDescAttr(RelationGetDescr(event), columns->happened - 1)->attname),
							RelationGetRelationName(event)),
					 errdetail("It must be finite, and not later than column \"%s\".",
							   NameStr(TupleDescAttr(RelationGetDescr(event), columns->recorded - 1)->attname)),
					 errtablecol(event, columns->happened)));
		at = happened;
	}

	if (TIMESTAMP_IS_NOBEGIN(at))
		return DateADTGetDatum(DATEVAL_NOBEGIN);
	if (TIMESTAMP_IS_NOEND(at))
		return DateADTGetDatum(DATEVAL_NOEND);

	/* Both count from the same midnight, timestamps in UTC. */
	day = at / USECS_PER_DAY;
	if (at % USECS_PER_DAY < 0)
		day--;
	return DateADTGetDatum((DateADT) day);
}

/*
 * playevent.day(day column, time column, recorded column) returns trigger
 *
 * BEFORE INSERT FOR EACH ROW: sets the day column to the UTC day of the time
 * column, or of the recorded one if that is null, whatever the client put there.
 *
 * Errors: what day_columns and day_of report.
 */
Datum
playevent_day(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	DayColumns *columns = fcinfo->flinfo->fn_extra;
	TupleTableSlot *slot;
	Datum		day;
	bool		isnull;

	trigdata = check_trigger_call(fcinfo, "day", "BEFORE INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_BEFORE);

	/* For one statement and table, whose lock keeps the columns as they are. */
	if (columns == NULL)
	{
		DayColumns	found;

		day_columns(trigdata->tg_relation, trigdata->tg_trigger, &found);
		columns = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt,
									 sizeof(DayColumns));
		*columns = found;
		fcinfo->flinfo->fn_extra = columns;
	}

	slot = trigdata->tg_trigslot;
	day = day_of(trigdata->tg_relation, columns, slot, &isnull);
	return PointerGetDatum(replace_column(trigdata, columns->day, day, isnull));
}
