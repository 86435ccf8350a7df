/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  What a table's triggers are enabled for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SETTLE_H
#define PLAYEVENT_SETTLE_H

extern bool triggers_settled(Oid relid, bool recurse);
extern bool partitions_count(Oid log);
extern bool settle_triggers(Oid altered, bool recurse, bool as_made);

#endif							/* PLAYEVENT_SETTLE_H */
