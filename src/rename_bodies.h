/*-------------------------------------------------------------------------
 *
 * rename_bodies.h
 *	  Functions of logs that follow when what they name is renamed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RENAME_BODIES_H
#define PLAYEVENT_RENAME_BODIES_H

#include "nodes/pg_list.h"
#include "utils/snapshot.h"

extern void follow_log_names(List *logs, Snapshot before);
extern void follow_label(Oid type, const char *old_label,
						 const char *new_label);

#endif							/* PLAYEVENT_RENAME_BODIES_H */
