/*-------------------------------------------------------------------------
 *
 * track_binding.h
 *	  What the arguments of a trigger that resolves stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TRACK_BINDING_H
#define PLAYEVENT_TRACK_BINDING_H

#include "commands/trigger.h"
#include "utils/rel.h"

#include "binding.h"
#include "image.h"

/* The arguments of a playevent_resolve trigger. */
typedef struct TrackBinding
{
	BindingHead head;			/* its key is the trigger */
	Oid			event_relid;
	Oid			log_relid;		/* the log's root, if that is a partition */
	Oid			track_relid;
	bool		track_is_heap;
	TransactionId altered_by;	/* who wrote its row of pg_class */
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
	ImageType	key_type;
	int16		release_len;
	bool		release_byval;
	bool		release_not_null;	/* says its domain */
	int32		release_typmod; /* that is to be applied, or -1 */
	FmgrInfo	release_length; /* what applies it */
} TrackBinding;

extern void track_binding_init(void);
extern TrackBinding *track_binding(Relation event, Trigger *trigger);
extern Datum fit_release(TrackBinding *binding, Datum release);

#endif							/* PLAYEVENT_TRACK_BINDING_H */
