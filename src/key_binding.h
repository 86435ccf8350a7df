/*-------------------------------------------------------------------------
 *
 * key_binding.h
 *	  What the arguments of a trigger that keeps event_ids apart stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_KEY_BINDING_H
#define PLAYEVENT_KEY_BINDING_H

#include "commands/trigger.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "binding.h"

/* What the key table has of a row, in the order of the trigger's arguments. */
typedef enum KeyColumn
{
	KEY_EVENT_ID,
	KEY_ID,
	KEY_CREATED,
	KEY_NCOLUMNS
} KeyColumn;

/* An index of the key table. */
typedef struct KeyIndex
{
	Oid			oid;
	bool		is_unique;
	IndexInfo  *info;
} KeyIndex;

typedef struct KeyBinding
{
	BindingHead head;			/* its key is the trigger */
	Oid			event_relid;
	Oid			log_relid;		/* the log's root, if that is a partition */
	Oid			relid;			/* the key table; InvalidOid while it is
								 * looked up */
	Oid			owner;
	AttrNumber	event_attnos[KEY_NCOLUMNS];
	AttrNumber	attnos[KEY_NCOLUMNS];
	Oid			id_type;		/* the log's; the key table's is bigint */
	Oid			created_type;	/* of both */
	const char *keep;			/* an interval */
	int			nindexes;
	KeyIndex   *indexes;		/* those that want entries */
	Oid			search;			/* the one by which an event_id is found */
	FmgrInfo	equal;
	Oid			collation;
} KeyBinding;

extern void key_binding_init(void);
extern KeyBinding *key_binding(Relation event, Trigger *trigger);
extern KeyBinding *keys_of_log(Relation log, AttrNumber event_id);

#endif							/* PLAYEVENT_KEY_BINDING_H */
