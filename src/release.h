/*-------------------------------------------------------------------------
 *
 * release.h
 *	  Looking up releases without a trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RELEASE_H
#define PLAYEVENT_RELEASE_H

#include "commands/trigger.h"
#include "utils/snapshot.h"

typedef struct ReleaseMemo ReleaseMemo;

extern ReleaseMemo *release_memo(Relation event, Trigger *trigger,
								 Snapshot snapshot);
extern void release_columns(ReleaseMemo *memo, AttrNumber *key,
							AttrNumber *release);
extern bool release_of(ReleaseMemo *memo, Datum *key, Datum *release,
					   bool *isnull);

#endif							/* PLAYEVENT_RELEASE_H */
