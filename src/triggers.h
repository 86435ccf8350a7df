/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  What playevent's triggers are enabled for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TRIGGERS_H
#define PLAYEVENT_TRIGGERS_H

extern Oid	log_of_partition(Oid relid, bool *is_log);
extern bool settle_triggers(Oid altered, bool recurse, bool as_made);

#endif							/* PLAYEVENT_TRIGGERS_H */
