/*-------------------------------------------------------------------------
 *
 * late.c
 *	  A module for p3_late.pl, in the place of some other extension that
 *	  writes rows when a (sub)transaction is about to commit.
 *
 * Runs the SQL of the settings late.at_release and late.at_commit in callbacks
 * that come after playevent's, if it was loaded before playevent: the last one
 * to register is the first to be called.  Each is run once, for a session
 * that sets it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *at_release;
static char *at_commit;

/* Forgets the statement first, lest what it does runs it again. */
static void
run(const char *setting, const char *value)
{
	char	   *statement;

	if (value == NULL || value[0] == '\0')
		return;
	statement = pstrdup(value);
	SetConfigOption(setting, "", PGC_USERSET, PGC_S_SESSION);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute(statement, false, 0) < 0)
		elog(ERROR, "SPI_execute failed");
	SPI_finish();
	PopActiveSnapshot();
}

static void
at_transaction_event(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		run("late.at_commit", at_commit);
}

static void
at_subtransaction_event(SubXactEvent event,
						SubTransactionId subid pg_attribute_unused(),
						SubTransactionId parent_subid pg_attribute_unused(),
						void *arg pg_attribute_unused())
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		run("late.at_release", at_release);
}

void
_PG_init(void)
{
	DefineCustomStringVariable("late.at_release",
							   "SQL to run before a subtransaction commits.",
							   NULL, &at_release, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("late.at_commit",
							   "SQL to run before a transaction commits or is prepared.",
							   NULL, &at_commit, "", PGC_USERSET, 0,
							   NULL, NULL, NULL);
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
