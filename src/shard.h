/*-------------------------------------------------------------------------
 *
 * shard.h
 *	  Refuses tables of a log that Citus keeps in shards (P13).
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SHARD_H
#define PLAYEVENT_SHARD_H

extern bool is_shard_name(const char *name);
extern bool is_shell_table(Oid relid);
extern void check_no_shell(Oid event, Oid relid);

#endif							/* PLAYEVENT_SHARD_H */
