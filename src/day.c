/*-------------------------------------------------------------------------
 *
 * day.c
 *	  The day that a row counts for.
 *
 * Layer: rows.
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
#include "utils/datetime.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "day.h"
#include "play_fault.h"
#include "trigger_argument.h"
#include "trigger_call.h"

PG_FUNCTION_INFO_V1(playevent_day);

/*
 * day_column
 *		The number of the column that a trigger argument names, which must be of
 *		the type; any of moments will do for timestamptz.
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
	if (TupleDescAttr(desc, attno - 1)->atttypid != type &&
		!(is_moment(type) &&
		  is_moment(TupleDescAttr(desc, attno - 1)->atttypid)))
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
 * has the wrong type (42804) or is generated (42611), no such time zone
 * (22023).
 */
void
day_columns(Relation event, Trigger *trigger, DayColumns *columns)
{
	check_nargs(event, trigger, 3, 4);
	columns->day = day_column(event, trigger, 0, DATEOID);
	columns->happened = trigger->tgargs[1][0] == '\0' ? InvalidAttrNumber :
		day_column(event, trigger, 1, TIMESTAMPTZOID);
	columns->recorded = day_column(event, trigger, 2, TIMESTAMPTZOID);
	check_not_generated(event, trigger, columns->recorded, true);
	if (columns->happened != InvalidAttrNumber)
		check_not_generated(event, trigger, columns->happened, true);
	columns->zone = NULL;
	if (trigger->tgnargs > 3)
	{
		columns->zone = pg_tzset(trigger->tgargs[3]);
		if (columns->zone == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("time zone \"%s\" not recognized",
							trigger->tgargs[3]),
					 errdetail("Trigger \"%s\" on table \"%s\" tells days by it.",
							   trigger->tgname, RelationGetRelationName(event)),
					 errhint("The view pg_timezone_names has the names of time zones that this server knows.")));
	}
}

static DateADT
day_in_zone(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	DateADT		day;

	if (timestamp2tm(at, &offset, &tm, &fsec, NULL, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;

	/* West of UTC, time begins the day before dates do. */
	if (!IS_VALID_DATE(day))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("date out of range")));
	return day;
}

/*
 * day_of
 *		The day of the row, in the log's time zone; null if it has no time at
 *		all.
 *
 * Errors: it says to be later than it was recorded, or before all time (23514); its
 * day there is before all dates (22008).
 */
Datum
day_of(Relation event, DayColumns *columns, TupleTableSlot *row, bool *isnull)
{
	bool		recorded_isnull;
	bool		happened_isnull = true;
	TimestampTz at = DatumGetTimestampTz(slot_getattr(row, columns->recorded,
													  &recorded_isnull));
	TimestampTz happened = 0;
	int64		day;

	if (columns->happened != InvalidAttrNumber)
		happened = DatumGetTimestampTz(slot_getattr(row, columns->happened,
													&happened_isnull));

	*isnull = recorded_isnull && happened_isnull;
	if (!happened_isnull)
	{
		bool		not_finite = TIMESTAMP_NOT_FINITE(happened);

		if (not_finite || (!recorded_isnull && happened > at))
			report_fault(not_finite ? FAULT_TIME_NOT_FINITE : FAULT_TIME_AHEAD,
						 event, columns->happened,
						 psprintf("It must be finite, and not later than column \"%s\".",
								  NameStr(TupleDescAttr(RelationGetDescr(event), columns->recorded - 1)->attname)));
		at = happened;
	}

	if (TIMESTAMP_IS_NOBEGIN(at))
		return DateADTGetDatum(DATEVAL_NOBEGIN);
	if (TIMESTAMP_IS_NOEND(at))
		return DateADTGetDatum(DATEVAL_NOEND);

	if (columns->zone != NULL)
		return DateADTGetDatum(day_in_zone(at, columns->zone));

	/* Both count from the same midnight, timestamps in UTC. */
	day = at / USECS_PER_DAY;
	if (at % USECS_PER_DAY < 0)
		day--;
	return DateADTGetDatum((DateADT) day);
}

/*
 * playevent.day(day column, time column, recorded column [, time zone])
 *		returns trigger
 *
 * BEFORE INSERT FOR EACH ROW: sets the day column to the day of the time
 * column, or of the recorded one if that is null or the former's name empty,
 * whatever the client put there; in UTC, or in the time zone.
 *
 * Errors: what day_columns and day_of report.
 */
Datum
playevent_day(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;
	DayColumns *columns = fcinfo->flinfo->fn_extra;
	TupleTableSlot *row;
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

	row = trigdata->tg_trigslot;
	day = day_of(trigdata->tg_relation, columns, row, &isnull);
	return PointerGetDatum(replace_column(trigdata, columns->day, day, isnull));
}
