/*-------------------------------------------------------------------------
 *
 * batch_judge.c
 *	  Judges a batch's rows, as the table and its triggers would, before any is
 *	  inserted: one that is rejected here costs the others nothing (P3, P9).
 *
 * Layer: recording.
 *
 * Releases are looked up meanwhile, if playevent's triggers alone decide them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch.h"
#include "record_log.h"
#include "trigger_role.h"

/* How far a client's clock may be ahead: five minutes. */
#define CLOCK_TOLERANCE_MS (5 * 60 * 1000)

/*
 * prepare_lookups
 *		Look up releases as the log's triggers will; false if they don't do so
 *		for the columns that the batch brings.
 *
 * A log has one such trigger, or one for rows with a track and one for those
 * with a release only.  Who calls record_batch says by himself what his table's
 * columns are.
 */
bool
prepare_lookups(Batch *batch)
{
	RecordLog  *log = &batch->log;
	Snapshot	snapshot = GetActiveSnapshot();

	for (int i = 0; i < log->triggers->numtriggers; i++)
	{
		Trigger    *trigger = &log->triggers->triggers[i];
		bool		of_release = resolves_releases(trigger);
		ReleaseMemo *memo;
		AttrNumber	key;
		AttrNumber	release;

		if (role_of(trigger) != ROLE_RESOLVE || !makes_new_rows(trigger) ||
			!trigger_fires(trigger))
			continue;
		memo = release_memo(log->rel, trigger, snapshot);
		release_columns(memo, &key, &release);
		if (release != log->attnos[RECORD_RELEASE] ||
			key != log->attnos[of_release ? RECORD_RELEASE : RECORD_KEY])
		{
			batch->tracks = batch->releases = NULL;
			return false;
		}
		if (of_release)
			batch->releases = memo;
		else
			batch->tracks = memo;
	}
	return true;
}

/*
 * judge_key
 *		Why a row's track can't be recorded; sets the release.
 */
static PlayFault
judge_key(Batch *batch, RecordRow *row)
{
	Datum	   *key = &row->values[RECORD_KEY];
	Datum	   *release = &row->values[RECORD_RELEASE];
	bool	   *release_isnull = &row->isnull[RECORD_RELEASE];
	PlayFault	fault;

	if (row->isnull[RECORD_KEY])
	{
		Datum		sent = *release;

		/* A shard is a track's. */
		if (*release_isnull || batch->log.by_track)
			return FAULT_NO_KEY;
		if (batch->releases != NULL &&
			!release_of(batch->releases, &sent, release, release_isnull))
			return FAULT_UNKNOWN_RELEASE;
		return FAULT_NONE;
	}
	fault = key_fault(&batch->key_rule, *key);
	if (fault == FAULT_NONE && batch->tracks != NULL &&
		!release_of(batch->tracks, key, release, release_isnull))
		fault = FAULT_UNKNOWN_TRACK;
	return fault;
}

/*
 * prepare_times
 *		Look at the clock; and at when the rows will be said to be recorded,
 *		after which the trigger that sets the day lets no row have been.
 *
 * That is a default, mostly the transaction's start, which may be long past.
 * If it is the clock's time, then what it tells later is later.
 */
static void
prepare_times(Batch *batch)
{
	RecordLog  *log = &batch->log;
	Node	   *value = NULL;

	batch->now = batch->recorded = GetCurrentTimestamp();
	if (log->has_day && log->sent[RECORD_TIME])
		value = build_column_default(log->rel, log->day.recorded);
	if (value != NULL)
	{
		EState	   *estate = CreateExecutorState();
		bool		isnull;
		Datum		recorded;

		recorded = ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) value,
															 estate),
											 GetPerTupleExprContext(estate),
											 &isnull);
		if (!isnull)
			batch->recorded = DatumGetTimestampTz(recorded);
		FreeExecutorState(estate);
	}
}

/*
 * judge_time
 *		Why a row can't have been at this time.  Clients' clocks differ: what is
 *		ahead of ours by no more than the tolerance is now.
 */
static PlayFault
judge_time(Batch *batch, Datum *value)
{
	TimestampTz time = DatumGetTimestampTz(*value);

	if (TIMESTAMP_NOT_FINITE(time))
		return FAULT_TIME_NOT_FINITE;
	if (time > TimestampTzPlusMilliseconds(batch->now, CLOCK_TOLERANCE_MS))
		return FAULT_TIME_AHEAD;
	if (time > batch->recorded)
		*value = TimestampTzGetDatum(batch->recorded);
	return FAULT_NONE;
}

/*
 * judge_row
 *		Why a row can't be recorded.
 */
static PlayFault
judge_row(Batch *batch, RecordRow *row)
{
	PlayFault	fault = judge_key(batch, row);

	if (fault == FAULT_NONE && batch->heard_faults != NULL)
		fault = batch->heard_faults[row->ord - 1];
	else if (fault == FAULT_NONE)
		fault = row->isnull[RECORD_KIND] ? FAULT_NO_KIND :
			kind_fault(&batch->kind_rule, row->values[RECORD_KIND]);
	if (fault == FAULT_NONE && !row->isnull[RECORD_TIME])
		fault = judge_time(batch, &row->values[RECORD_TIME]);
	return fault;
}

/*
 * judge_rows
 *		Make the rows of the arrays; those that can't be recorded are rejected.
 */
void
judge_rows(Batch *batch)
{
	RecordLog  *log = &batch->log;

	key_rule(TupleDescAttr(RelationGetDescr(log->rel),
						   log->attnos[RECORD_KEY] - 1), &batch->key_rule);
	prepare_times(batch);

	batch->rows = palloc0(batch->n * sizeof(RecordRow));
	for (int i = 0; i < batch->n; i++)
	{
		RecordRow  *row = &batch->rows[i];

		CHECK_FOR_INTERRUPTS();
		row->ord = i + 1;
		for (int c = 0; c < RECORD_NCOLUMNS; c++)
		{
			BatchColumn *column = &batch->columns[c];

			row->isnull[c] = column->n < 0 || column->isnull[i];
			if (!row->isnull[c])
				row->values[c] = column->values[i];
		}
		row->event_id_head = event_id_head(row);
		row->reason = fault_reason(judge_row(batch, row));
		if (row->reason != NULL)
			row->status = RECORD_REJECTED;
	}
}
