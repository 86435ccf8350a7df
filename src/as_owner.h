/*-------------------------------------------------------------------------
 *
 * as_owner.h
 *	  Running something with the rights of a table's owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_AS_OWNER_H
#define PLAYEVENT_AS_OWNER_H

#include "nodes/pg_list.h"
#include "utils/array.h"

/* What owner_leave restores. */
typedef struct OwnerScope
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
} OwnerScope;

extern void report_dropped(Oid relid);
extern Oid	owner_of(Oid relid);
extern void check_own_table(Oid relid);
extern void set_option(const char *name, const char *value);
extern void owner_enter(Oid owner, OwnerScope *outer);
extern void owner_leave(OwnerScope *outer);
extern bool may_read(Oid relid, Oid role, List *columns);
extern void check_usage(Oid namespace, Oid role);
extern void check_readable(Oid relid, Oid role, List *columns);
extern void check_caller(Oid relid, ArrayType *columns);
extern bool in_twin(void);
extern Oid	leave_twin(void);
extern void return_to_twin(Oid was);
extern void check_twin(Oid relid);
extern Oid	check_writer(Oid relid);
extern void run_as_twin(Oid owner, const char *query, int nargs, Oid *types,
						Datum *values);

#endif							/* PLAYEVENT_AS_OWNER_H */
