/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  A batch of rows while it is recorded.
 *
 * Layer: recording.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_BATCH_H
#define PLAYEVENT_BATCH_H

#include "play_fault.h"
#include "record_log.h"
#include "release.h"
#include "table_query.h"

/* One of the arrays that a batch consists of. */
typedef struct BatchColumn
{
	const char *argument;
	Oid			array_type;
	Oid			element_type;
	int16		len;
	bool		byval;
	char		align;
	int			n;				/* -1 if the array is null */
	Datum	   *values;
	bool	   *isnull;
} BatchColumn;

typedef struct Batch
{
	RecordLog	log;
	MemoryContext context;
	BatchColumn columns[RECORD_NCOLUMNS];
	int			n;
	RecordRow  *rows;
	ReleaseMemo *tracks;		/* by key; NULL if not known beforehand */
	ReleaseMemo *releases;		/* by release, for rows without a key */
	KeyRule		key_rule;
	KindRule	kind_rule;
	const PlayFault *heard_faults;	/* if kinds are told by what was heard: of
									 * each row, what is wrong with that */
	TimestampTz now;			/* by the clock */
	TimestampTz recorded;		/* what the rows' times must not be after */

	/* for INSERT ... ON CONFLICT */
	TableQuery *insert;
	TableQuery *find;
	EState	   *estate;
	ExprState  *next_id;
	bool		defaults_work;	/* as far as was found out */
} Batch;

extern bool prepare_lookups(Batch *batch);
extern void judge_rows(Batch *batch);
extern void record_accepted(Batch *batch, bool bulk);
extern void find_shards(Batch *batch, RecordRow **rows, int n);
extern void insert_in_shards(Batch *batch, RecordRow **rows, int n);

#endif							/* PLAYEVENT_BATCH_H */
