/*-------------------------------------------------------------------------
 *
 * partition.h
 *	  Partitions that leave a log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_PARTITION_H
#define PLAYEVENT_PARTITION_H

extern void partition_retired(Oid part);

#endif							/* PLAYEVENT_PARTITION_H */
