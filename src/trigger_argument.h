/*-------------------------------------------------------------------------
 *
 * trigger_argument.h
 *	  What the arguments of playevent's triggers name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TRIGGER_ARGUMENT_H
#define PLAYEVENT_TRIGGER_ARGUMENT_H

#include "utils/rel.h"
#include "utils/reltrigger.h"

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
	COUNTER_AMOUNT_COLUMN,
	COUNTER_FIRST_KEY,			/* and as many more as there are */
	COUNTER_SOURCE = COUNTER_FIRST_KEY	/* or, if amounts have one, this */
};

enum DedupeArg
{
	DEDUPE_KEY_TABLE,
	DEDUPE_EVENT_ID_COLUMN,
	DEDUPE_ID_COLUMN,
	DEDUPE_CREATED_COLUMN,
	DEDUPE_KEEP,
	DEDUPE_NARGS
};

/* A table's guard: behind these come those of the trigger, less the table. */
enum GuardArg
{
	GUARD_LOG,
	GUARD_FUNCTION,
	GUARD_FIRST
};

/* Takes the log's name; attach_log mends logs that don't work. */
#define HINT_REATTACH \
	"Undo the change that led here, or call playevent.attach_log for table \"%s\" again."

/* Takes the slot table's name and the log's. */
#define HINT_RECOUNT \
	"Undo the change that led here, or drop table \"%s\" with CASCADE and call playevent.attach_log for table \"%s\" again, which counts anew."

/* A schema and a table, both quoted, with each quote doubled. */
#define QUALIFIED_NAME_SIZE (2 * (2 * NAMEDATALEN + 2))

extern bool arguments_fit(Datum tgargs);
extern bool split_name(const char *name, List **parts);
extern Oid	named_relation(const char *name, Oid default_namespace,
						   Oid *namespace);
extern Oid	table_named_by(Oid table, const char *name, Oid *namespace);
extern const char *spoken_name(const char *name);
extern char *qualified_name(Oid relid);
extern Relation open_named_relation(const char *name, Oid log,
									LOCKMODE lockmode, Oid *namespace);
extern const char *log_name(Relation event);
extern void check_nargs(Relation event, Trigger *trigger, int least,
						int most);
extern void check_up_to_date(Relation event, Trigger *trigger);
extern AttrNumber find_column(Relation event, Trigger *trigger, int arg,
							  Relation rel);
extern void check_not_generated(Relation event, Trigger *trigger,
								AttrNumber attno, bool before);
extern void check_same_type(Relation event, AttrNumber event_attno,
							Relation rel, AttrNumber attno, Trigger *trigger,
							bool is_slot_table);

#endif							/* PLAYEVENT_TRIGGER_ARGUMENT_H */
