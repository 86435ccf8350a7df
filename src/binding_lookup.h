/*-------------------------------------------------------------------------
 *
 * binding_lookup.h
 *	  What track_binding.c and counter_binding.c look things up with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_BINDING_LOOKUP_H
#define PLAYEVENT_BINDING_LOOKUP_H

#include "utils/hsearch.h"

#include "binding.h"

/* What every trigger's arguments are, in order. */
enum ResolveArg
{
	RESOLVE_TRACK,
	RESOLVE_TRACK_KEY,
	RESOLVE_TRACK_RELEASE,
	RESOLVE_TRACK_DELETED,
	RESOLVE_UNKNOWN_TRACK,
	RESOLVE_KEY_COLUMN,
	RESOLVE_RELEASE_COLUMN,
	RESOLVE_NARGS
};

enum CounterArg
{
	COUNTER_SLOT_TABLE,
	COUNTER_COUNT_COLUMN,
	COUNTER_FIRST_KEY,			/* and as many more as there are */
	SKETCH_LISTENER = COUNTER_FIRST_KEY,	/* or, of playevent_sketch, this */
	SKETCH_FIRST_KEY
};

/* Counts invalidations, to notice one during a lookup. */
extern uint64 binding_invalidations;

extern HTAB *track_bindings;	/* TrackBinding, by trigger_oid */
extern HTAB *counter_bindings;	/* CounterBinding, by trigger_oid */
extern HTAB *slot_bindings;		/* SlotBinding, by relid */

/* Takes the log's name; attach_log mends logs that don't work. */
#define HINT_REATTACH \
	"Undo the change that led here, or call playevent.attach_log for table \"%s\" again."

/* Takes the slot table's name and the log's. */
#define HINT_RECOUNT \
	"Undo the change that led here, or drop table \"%s\" with CASCADE and call playevent.attach_log for table \"%s\" again, which counts anew."

extern void *find_binding(HTAB *cache, Oid key, Size entrysize);
extern Oid	log_of(Relation event, Trigger *trigger);
extern Oid	owner_of(Oid relid);
extern Relation open_named_relation(const char *name, Oid log,
									LOCKMODE lockmode, Oid *namespace);
extern void check_nargs(Relation event, Trigger *trigger, int least,
						int most);
extern AttrNumber find_column(Relation event, Trigger *trigger, int arg,
							  Relation rel);
extern void check_not_generated(Relation event, Trigger *trigger,
								AttrNumber attno, bool before);
extern void check_same_type(Relation event, AttrNumber event_attno,
							Relation rel, AttrNumber attno, Trigger *trigger,
							bool is_slot_table);

#endif							/* PLAYEVENT_BINDING_LOOKUP_H */
