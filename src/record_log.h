/*-------------------------------------------------------------------------
 *
 * record_log.h
 *	  Rows to record, and the log that they go into.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RECORD_LOG_H
#define PLAYEVENT_RECORD_LOG_H

#include "executor/executor.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "day.h"
#include "key_binding.h"

/*
 * The columns that a batch brings.  The log's functions name its columns in
 * this order, id in front, which comes back; one that the log has not is empty.
 */
typedef enum RecordColumn
{
	RECORD_KEY,
	RECORD_KIND,
	RECORD_EVENT_ID,
	RECORD_ANON_ID,
	RECORD_TIME,
	RECORD_RELEASE,
	RECORD_HEARD,
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
	int64		shard;			/* if by_track, and event_ids are sent */
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

/* How many columns a log's functions name. */
#define RECORD_NNAMES (RECORD_NCOLUMNS + 1)

/* Where among them. */
#define NAME_OF_ID 0
#define NAME_OF(column) ((column) + 1)

/* The event table of a batch. */
typedef struct RecordLog
{
	Relation	rel;			/* locked in RowExclusiveLock */
	TriggerDesc *triggers;		/* a copy */
	const NameData *names;		/* RECORD_NNAMES of them */
	AttrNumber	id;
	Oid			id_type;
	AttrNumber	attnos[RECORD_NCOLUMNS];	/* InvalidAttrNumber if not there */
	bool		sent[RECORD_NCOLUMNS];	/* false if left to the default */
	bool		resolved;		/* releases are the triggers' */
	bool		distributed;	/* rows go to shards of Citus */
	bool		by_track;		/* each to its track's, and event_ids are
								 * unique for each track */
	bool		has_day;		/* a trigger sets the day */
	DayColumns	day;
} RecordLog;

/*
 * event_id_head
 *		What the order of event_ids goes by first.
 */
static inline uint64
event_id_head(RecordRow *row)
{
	uint64		head;

	if (row->isnull[RECORD_EVENT_ID])
		return PG_UINT64_MAX;
	memcpy(&head, DatumGetUUIDP(row->values[RECORD_EVENT_ID])->data,
		   sizeof(head));
	return pg_ntoh64(head);
}

extern void check_not_null(FunctionCallInfo fcinfo, const char *function,
						   int narguments);
extern Relation open_log(text *name);
extern const NameData *record_names(ArrayType *names);
extern AttrNumber record_column(Relation rel, const NameData *name,
								bool needed);
extern void find_record_columns(RecordLog *log, const NameData *names);
extern KeyBinding *record_keys(Relation rel, AttrNumber event_id);
extern void report_other_id(RecordLog *log);
extern int64 record_id(RecordLog *log, Datum id);

#endif							/* PLAYEVENT_RECORD_LOG_H */
