/*-------------------------------------------------------------------------
 *
 * ddl.h
 *	  What playevent's event triggers are told of a command.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_DDL_H
#define PLAYEVENT_DDL_H

#include "access/htup.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

extern EventTriggerData *check_event_trigger_call(FunctionCallInfo fcinfo,
												  const char *function);
extern List *collected_commands(void);
extern List *dropped_tables(List **named);
extern Snapshot register_snapshot_before(void);
extern HeapTuple tuple_before(Oid catalog, Oid index, Oid oid,
							  Snapshot before);
extern bool lock_row(Relation catalog, HeapTuple tuple);

#endif							/* PLAYEVENT_DDL_H */
