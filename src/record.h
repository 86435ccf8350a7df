/*-------------------------------------------------------------------------
 *
 * record.h
 *	  Batches of rows to record, and the direct way into a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RECORD_H
#define PLAYEVENT_RECORD_H

#include "utils/rel.h"

/* The columns that a batch brings; id comes back. */
typedef enum RecordColumn
{
	RECORD_KEY,
	RECORD_KIND,
	RECORD_EVENT_ID,
	RECORD_ANON_ID,
	RECORD_TIME,
	RECORD_RELEASE,
	RECORD_NCOLUMNS
} RecordColumn;

typedef enum RecordStatus
{
	RECORD_PENDING,
	RECORD_RECORDED,
	RECORD_DUPLICATE,
	RECORD_REJECTED
} RecordStatus;

typedef struct RecordRow
{
	RecordStatus status;
	uint64		event_id_head;	/* its first bytes, which mostly tell */
	int			ord;
	int			position;		/* among those inserted together */
	const char *reason;			/* if rejected */
	struct RecordRow *first;	/* of a duplicate within the batch */
	bool		id_isnull;
	int64		id;
	Datum		values[RECORD_NCOLUMNS];
	bool		isnull[RECORD_NCOLUMNS];
} RecordRow;

/* The event table of a batch. */
typedef struct RecordLog
{
	Relation	rel;			/* locked in RowExclusiveLock */
	TriggerDesc *triggers;		/* a copy */
	AttrNumber	id;
	AttrNumber	attnos[RECORD_NCOLUMNS];
	bool		sent[RECORD_NCOLUMNS];	/* false if left to the default */
	bool		resolved;		/* releases are the triggers' */
} RecordLog;

extern bool direct_possible(RecordLog *log);
extern void direct_insert(RecordLog *log, RecordRow **rows,
						  RecordRow **by_event_id, int n);

#endif							/* PLAYEVENT_RECORD_H */
