/*-------------------------------------------------------------------------
 *
 * restore.h
 *	  When a restore is done with a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RESTORE_H
#define PLAYEVENT_RESTORE_H

#include "access/htup.h"

extern void look_at_enabled(Oid relid);
extern void enabled_one(Oid relid, const char *name);
extern void look_at_indexed(Oid relid);
extern void look_at_made(Oid relid, HeapTuple trigger);
extern void look_at_column(Oid relid, const char *column, bool renamed,
						   Oid owner);

#endif							/* PLAYEVENT_RESTORE_H */
