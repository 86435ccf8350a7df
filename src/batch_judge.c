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
 *		Look up releases as the log's triggers will, if they alone decide.
 *
 * A log has one such trigger, or one for rows with a track and one for those
 * with a release only.
 */
void
prepare_lookups(Batch *batch)
{
	TriggerDesc *triggers = batch->log.triggers;
	Snapshot	snapshot = GetActiveSnapshot();

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger_fires(trigger) ||
			role_of(trigger) != ROLE_RESOLVE)
			continue;
		if (resolves_releases(trigger))
			batch->releases = release_memo(batch->log.rel, trigger, snapshot);
		else
			batch->tracks = release_memo(batch->log.rel, trigger, snapshot);
	}
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

		if (*release_isnull)
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

	if (fault == FAULT_NONE)
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
