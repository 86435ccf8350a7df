/*-------------------------------------------------------------------------
 *
 * ids.c
 *	  Takes many numbers of a sequence at once.
 *
 * nextval takes them one by one, 2,000 instructions each.  It would take more
 * for a sequence with CACHE, and keep them for the session; but then the ids
 * of one session's later plays come before those of others' earlier ones.
 *
 * What is done here is what nextval_internal does, with the number of rows in
 * place of CACHE: under an exclusive lock on the sequence's only page, whose
 * tuple is changed in place, and logged as it is then.  nextval logs 32 numbers
 * ahead, and counts in log_cnt how many of these are left; here it is none, so
 * whoever comes next logs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "ids.h"

/*
 * is_plain
 *		Is this a sequence that has nothing for the session to keep?  Sets the
 *		parameters.
 */
static bool
is_plain(Relation rel, FormData_pg_sequence *parameters)
{
	HeapTuple	tuple;

	/* Unlogged ones, and new ones where wal_level is minimal, are rare. */
	if (!SEQUENCE_LOG_IS_KNOWN || !RelationNeedsWAL(rel))
		return false;
	tuple = SearchSysCache1(SEQRELID,
							ObjectIdGetDatum(RelationGetRelid(rel)));
	if (!HeapTupleIsValid(tuple))
		return false;
	*parameters = *(Form_pg_sequence) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);
	return parameters->seqcache == 1;
}

/*
 * last_of_run
 *		The last of n numbers of the sequence; false if it has not as many
 *		left.  What it does then, nextval knows.
 */
static bool
last_of_run(FormData_pg_sequence *parameters, Form_pg_sequence_data state,
			int n, int64 *last)
{
	int64		steps = state->is_called ? n : n - 1;
	int64		distance;

	return !pg_mul_s64_overflow(steps, parameters->seqincrement, &distance) &&
		!pg_add_s64_overflow(state->last_value, distance, last) &&
		*last >= parameters->seqmin && *last <= parameters->seqmax;
}

/*
 * take_ids
 *		Take n numbers of a sequence that follow one another.  Returns false if
 *		they are to be had from nextval only; the caller has the rights to it.
 *
 * Sets the first one and what is between each and the next.  Locks the
 * sequence as nextval does.  currval does not know of it.
 */
bool
take_ids(Oid sequence, int n, int64 *first, int64 *increment)
{
	Relation	rel = relation_open(sequence, RowExclusiveLock);
	FormData_pg_sequence parameters;
	Form_pg_sequence_data state;
	HeapTupleData tuple;
	Buffer		buffer;
	Page		page;
	ItemId		lp;
	int64		last;
	bool		taken = false;

	if (is_plain(rel, &parameters))
	{
		/* For the commit to wait until the log is written. */
		GetTopTransactionId();

		buffer = ReadBuffer(rel, 0);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		lp = PageGetItemId(page, FirstOffsetNumber);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, lp);
		tuple.t_len = ItemIdGetLength(lp);
		state = (Form_pg_sequence_data) GETSTRUCT(&tuple);

		taken = last_of_run(&parameters, state, n, &last);
		if (taken)
		{
			*increment = parameters.seqincrement;
			*first = last - (n - 1) * *increment;

			START_CRIT_SECTION();
			MarkBufferDirty(buffer);
			state->last_value = last;
			state->is_called = true;
			state->log_cnt = 0;
			PageSetLSN(page, log_sequence(rel, buffer, &tuple));
			END_CRIT_SECTION();
		}
		UnlockReleaseBuffer(buffer);
	}
	relation_close(rel, NoLock);
	return taken;
}
