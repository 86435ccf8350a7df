/*-------------------------------------------------------------------------
 *
 * guarded_write.c
 *	  Promises P8 and P11: what playevent itself writes to guarded tables by SQL.
 *
 * Layer: Postgres.
 *
 * Slots are written below the level at which triggers fire (slot.c), for that
 * must be fast.  Manifests and retired counts are written seldom, and by SQL:
 * their guards let through what comes from here.  Only functions that act as a
 * log's owner get here (check_twin), and only to tables of his.  He could as well
 * drop the guards; nobody else can reach them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "as_owner.h"
#include "guarded_write.h"
#include "table_query.h"

PG_FUNCTION_INFO_V1(playevent_write_guarded);

/* The table that is being written, or InvalidOid. */
static Oid	written = InvalidOid;

/*
 * is_written_by_us
 *		Is the table's guard to let this statement through?
 */
bool
is_written_by_us(Oid relid)
{
	return OidIsValid(relid) && relid == written;
}

/*
 * playevent.write_guarded(rel regclass, other regclass, query text)
 *		returns bigint
 *
 * In a twin: runs a query that writes to rel, and reads no other table than
 * these two.  Returns how many rows it wrote.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501), the name
 * of a table stands for something else by now (40001), what the query reports.
 */
Datum
playevent_write_guarded(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			outer = written;
	TableQuery *query;
	int64		rows;

	check_twin(relid);
	SPI_connect();
	query = prepare_owner_query(text_to_cstring(PG_GETARG_TEXT_PP(2)), 0, relid,
								PG_GETARG_OID(1), InvalidOid);
	PG_TRY();
	{
		written = relid;
		run_table_query(query, NULL, NULL, false);
	}
	PG_FINALLY();
	{
		written = outer;
	}
	PG_END_TRY();
	rows = SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(rows);
}
