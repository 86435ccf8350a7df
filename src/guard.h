/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  What the guards of a table say of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_GUARD_H
#define PLAYEVENT_GUARD_H

#include "utils/rel.h"
#include "utils/reltrigger.h"

extern bool guards_counts(Trigger *guard);
extern bool guards_agree(Relation rel, Oid log, Trigger *trigger);

#endif							/* PLAYEVENT_GUARD_H */
