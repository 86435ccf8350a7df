/*-------------------------------------------------------------------------
 *
 * leaving.h
 *	  Partitions that leave a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_LEAVING_H
#define PLAYEVENT_LEAVING_H

#include "nodes/pg_list.h"

extern void leaving_init(void);
extern void partition_retired(Oid part);
extern void check_detached(Oid parent, List *parts, bool by_halves);
extern void check_none_leaves(Oid relid);

#endif							/* PLAYEVENT_LEAVING_H */
