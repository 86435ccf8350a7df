/*-------------------------------------------------------------------------
 *
 * guarded_write.h
 *	  Writing to guarded tables by SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_GUARDED_WRITE_H
#define PLAYEVENT_GUARDED_WRITE_H

#include "commands/trigger.h"

extern bool is_written_by_us(Oid relid);
extern bool only_empties(TriggerData *trigdata);
extern Oid	root_of(Oid relid);
extern void wait_for_writers(Oid relid);

#endif							/* PLAYEVENT_GUARDED_WRITE_H */
