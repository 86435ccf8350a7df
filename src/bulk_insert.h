/*-------------------------------------------------------------------------
 *
 * bulk_insert.h
 *	  Inserting a batch into a log at once, without triggers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_BULK_INSERT_H
#define PLAYEVENT_BULK_INSERT_H

#include "record_log.h"

extern bool bulk_insert_possible(RecordLog *log);
extern void bulk_insert(RecordLog *log, RecordRow **sent,
						RecordRow **by_event_id, int n);
extern void bulk_insert_check_defaults(RecordLog *log);

#endif							/* PLAYEVENT_BULK_INSERT_H */
