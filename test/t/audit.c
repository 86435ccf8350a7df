/*-------------------------------------------------------------------------
 *
 * audit.c
 *	  A module for p8_audit.pl, in the place of some other extension that has a
 *	  word about rights on tables.
 *
 * Says so whenever it is asked; the message's context tells about which
 * statement.  What it is asked with has changed between majors, and it does not
 * look at it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static bool
audit(void)
{
	ereport(NOTICE, (errmsg("audited")));
	return true;
}

void
_PG_init(void)
{
	ExecutorCheckPerms_hook = (ExecutorCheckPerms_hook_type) (void *) audit;
}
