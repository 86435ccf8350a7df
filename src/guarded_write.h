/*-------------------------------------------------------------------------
 *
 * guarded_write.h
 *	  Writing to guarded tables by SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_GUARDED_WRITE_H
#define PLAYEVENT_GUARDED_WRITE_H

extern bool is_written_by_us(Oid relid);

#endif							/* PLAYEVENT_GUARDED_WRITE_H */
