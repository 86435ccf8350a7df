/*-------------------------------------------------------------------------
 *
 * ids.h
 *	  Taking many numbers of a sequence at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_IDS_H
#define PLAYEVENT_IDS_H

extern bool take_ids(Oid sequence, int n, int64 *first, int64 *increment);

#endif							/* PLAYEVENT_IDS_H */
