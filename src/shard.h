/*-------------------------------------------------------------------------
 *
 * shard.h
 *	  Finds a log's tables beside one of its shards (P13).
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SHARD_H
#define PLAYEVENT_SHARD_H

extern bool is_shard_name(const char *name);
extern bool is_shell_table(Oid relid);
extern bool is_distributed(Oid relid, bool *by_column);
extern bool is_managed(Oid relid);
extern Oid	shell_of(Oid relid);
extern Oid	shell_by_name(const char *name, const char *what);
extern Oid	table_beside(Oid relid, Oid named);
extern void report_distributed(Oid event, const char *reason,
							   const char *way);
extern void check_no_shell(Oid event, Oid relid);

#endif							/* PLAYEVENT_SHARD_H */
