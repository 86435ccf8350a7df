/*-------------------------------------------------------------------------
 *
 * binding.h
 *	  What the arguments of playevent's triggers stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_BINDING_H
#define PLAYEVENT_BINDING_H

#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "sketch.h"

/* Columns a counter can group by; three are in use, a day is to come. */
#define COUNTER_MAX_KEYS 8

/*
 * A slot table: where a counter's counts, or its sketches, are stored.  Belongs
 * to the cache; valid only while its relation is locked.
 */
typedef struct SlotBinding
{
	Oid			relid;			/* hash key */
	bool		valid;			/* cleared by invalidation */
	int			nkeys;
	NameData	key_names[COUNTER_MAX_KEYS];
	NameData	count_name;
	AttrNumber	key_attnos[COUNTER_MAX_KEYS];
	Oid			key_types[COUNTER_MAX_KEYS];
	AttrNumber	count_attno;
	bool		count_is_last;	/* of all columns, and no sketch */
	bool		key_is_first;	/* and in order: rows begin as keys do */
	SketchType *sketch;			/* if it has sketches, else NULL */
	TupleDesc	key_desc;		/* the key columns alone, in order */
	Oid			index_oid;
	int			index_nkeys;	/* how many of its leading columns are keys */
	int			index_key[COUNTER_MAX_KEYS];	/* which key column each is */
	Oid			index_collation[COUNTER_MAX_KEYS];
	FmgrInfo	index_equal[COUNTER_MAX_KEYS];
} SlotBinding;

/* The arguments of a playevent_count or playevent_sketch trigger. */
typedef struct CounterBinding
{
	Oid			trigger_oid;	/* hash key */
	bool		valid;			/* cleared by invalidation */
	Oid			event_relid;
	Oid			log_relid;		/* the log's root, if that is a partition */
	int			nkeys;
	AttrNumber	event_attnos[COUNTER_MAX_KEYS];
	AttrNumber	listener_attno; /* if the slots have sketches */
	Oid			listener_output;	/* to text, unless it is one */
	SlotBinding *slot;
} CounterBinding;

/* The arguments of a playevent_resolve trigger. */
typedef struct TrackBinding
{
	Oid			trigger_oid;	/* hash key */
	bool		valid;			/* cleared by invalidation */
	Oid			event_relid;
	Oid			log_relid;		/* the log's root, if that is a partition */
	Oid			track_relid;
	bool		track_is_heap;
	Oid			index_oid;		/* unique btree on the track key alone */
	TransactionId index_xmin;	/* if set, for snapshots that are newer only */
	FmgrInfo	key_equal;		/* its equality with the event's key type */
	Oid			key_subtype;
	Oid			key_collation;
	AttrNumber	track_key;
	AttrNumber	event_key;
	AttrNumber	event_release;
	AttrNumber	track_release;
	AttrNumber	track_deleted;	/* InvalidAttrNumber if tracks never go */
	bool		deleted_is_flag;	/* a boolean; else a timestamp */
	bool		reject_unknown;
	bool		key_is_string;
	int16		key_len;
	bool		key_byval;
	int16		release_len;
	bool		release_byval;
} TrackBinding;

extern void binding_init(void);
extern TrackBinding *track_binding(Relation event, Trigger *trigger);
extern CounterBinding *counter_binding(Relation event, Trigger *trigger);
extern void binding_check(Relation event);
extern bool trigger_fires(Trigger *trigger);
extern bool resolves_releases(Trigger *trigger);
extern bool function_is(Oid function, PGFunction ours);
extern bool trigger_calls(Trigger *trigger, PGFunction function);
extern bool trigger_counts(Trigger *trigger);
extern bool column_is_string(Form_pg_attribute att);
extern Oid	named_relation(const char *name, Oid default_namespace,
						   Oid *namespace);

#endif							/* PLAYEVENT_BINDING_H */
