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

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/twophase.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "as_owner.h"
#include "compat.h"
#include "guarded_write.h"
#include "table_query.h"

PG_FUNCTION_INFO_V1(playevent_write_guarded);
PG_FUNCTION_INFO_V1(playevent_empty_column);
PG_FUNCTION_INFO_V1(playevent_lock_table);
PG_FUNCTION_INFO_V1(playevent_take_turn);
PG_FUNCTION_INFO_V1(playevent_wait_for_writers);
PG_FUNCTION_INFO_V1(playevent_check_none_prepared);

/* The table that is being written, or InvalidOid. */
static Oid	written = InvalidOid;

/* The log of which a column is being emptied, or InvalidOid. */
static Oid	emptied = InvalidOid;
static NameData emptied_column;
static int	emptied_depth;

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
 * trigger_depth
 *		How many triggers are running, one within the other.
 */
static int
trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/*
 * is_last_word
 *		Is the trigger the last of its table that may change the row of an UPDATE?
 */
static bool
is_last_word(TriggerData *trigdata)
{
	TriggerDesc *desc = CopyTriggerDesc(trigdata->tg_relation->trigdesc);
	bool		is_after = false;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (trigger->tgoid == trigdata->tg_trigger->tgoid)
			is_after = true;
		else if (is_after && trigger->tgenabled != TRIGGER_DISABLED &&
				 TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW,
									  TRIGGER_TYPE_BEFORE,
									  TRIGGER_TYPE_UPDATE))
			return false;
	}
	return true;
}

/*
 * root_of
 *		The table at the top of the partitioned tables that the table is in.
 *
 * A partition whose DETACH CONCURRENTLY is not finished says that it is one, and is
 * in none.
 */
Oid
root_of(Oid relid)
{
	List	   *ancestors = get_partition_ancestors(relid);

	return ancestors == NIL ? relid : llast_oid(ancestors);
}

/*
 * only_empties
 *		Does an UPDATE of a log's row, or a partition's, empty the column that is
 *		being emptied, and change nothing else?
 *
 * It must be the very statement, and not one of a trigger's that it fires; and no
 * trigger may come after this one.
 */
bool
only_empties(TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		empties = false;

	if (!OidIsValid(emptied) || trigger_depth() != emptied_depth + 1 ||
		!is_last_word(trigdata) || root_of(RelationGetRelid(rel)) != emptied)
		return false;
	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i - 1);
		bool		was_null;
		bool		is_null;
		Datum		was = heap_getattr(trigdata->tg_trigtuple, i, desc,
									   &was_null);
		Datum		is = heap_getattr(trigdata->tg_newtuple, i, desc,
									  &is_null);

		if (att->attisdropped)
			continue;
		if (strcmp(NameStr(att->attname), NameStr(emptied_column)) == 0)
			empties = is_null;
		else if (was_null != is_null ||
				 (!is_null && !datum_image_eq(was, is, att->attbyval,
											  att->attlen)))
			return false;
	}
	return empties;
}

/*
 * playevent.write_guarded(rel regclass, others regclass[], query text)
 *		returns bigint
 *
 * In a twin: runs a query that writes to rel, and reads no other tables than
 * these.  Returns how many rows it wrote.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501), the name
 * of a table stands for something else by now (40001), what the query reports.
 */
Datum
playevent_write_guarded(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			outer = written;
	Oid			tables[QUERY_MAX_TABLES] = {relid};
	Datum	   *others;
	int			n;
	TableQuery *query;
	int64		rows;

	check_twin(relid);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &others, NULL, &n);
	for (int i = 0; i < n && i + 1 < QUERY_MAX_TABLES; i++)
		tables[i + 1] = DatumGetObjectId(others[i]);

	SPI_connect();
	query = prepare_owner_query(text_to_cstring(PG_GETARG_TEXT_PP(2)), 0,
								tables, lengthof(tables), 0, NULL);
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

/*
 * playevent.empty_column(event regclass, col name, query text, argument text)
 *		returns bigint
 *
 * In a twin: runs an UPDATE of a log that empties a column, and changes nothing
 * else, for append_only would refuse that; the argument is $1 in it.  Returns of
 * how many rows.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501), it is
 * another table by now (40001), what the query reports.
 */
Datum
playevent_empty_column(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			type = TEXTOID;
	Datum		argument = PG_GETARG_DATUM(3);
	TableQuery *query;
	int64		rows;

	check_twin(relid);
	SPI_connect();
	query = prepare_owner_query(text_to_cstring(PG_GETARG_TEXT_PP(2)), 0,
								&relid, 1, 1, &type);
	PG_TRY();
	{
		emptied = relid;
		emptied_depth = trigger_depth();
		namestrcpy(&emptied_column, NameStr(*PG_GETARG_NAME(1)));
		run_table_query(query, &argument, NULL, false);
	}
	PG_FINALLY();
	{
		emptied = InvalidOid;
	}
	PG_END_TRY();
	rows = SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(rows);
}

/* As ALTER TABLE asks: a statement that has begun knows no trigger that is new. */
static void
check_not_in_use(List *relids)
{
	ListCell   *lc;

	foreach(lc, relids)
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		CheckTableNotInUse(rel, "LOCK TABLE");
		relation_close(rel, NoLock);
	}
}

/*
 * playevent.lock_table(rel regclass, lock_mode text, recurse boolean)
 *		returns void
 *
 * LOCK TABLE, by its owner, of this very table: that would look its name up again
 * once it has waited, and it may be another's by then.  With what is within it, if
 * it is to recurse, for a change of what rows are to go through: so no query of this
 * session may be at it.
 *
 * Errors: not the table's owner (42501), it is gone (42P01), no such mode (22023),
 * in use (55006), on a standby (25006).
 */
Datum
playevent_lock_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *mode_name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	static const struct
	{
		const char *name;
		LOCKMODE	mode;
	}			modes[] = {
		{"ROW EXCLUSIVE", RowExclusiveLock},
		{"SHARE UPDATE EXCLUSIVE", ShareUpdateExclusiveLock},
		{"SHARE ROW EXCLUSIVE", ShareRowExclusiveLock},
		{"ACCESS EXCLUSIVE", AccessExclusiveLock},
	};
	LOCKMODE	mode = NoLock;

	for (size_t i = 0; i < lengthof(modes); i++)
	{
		if (strcmp(mode_name, modes[i].name) == 0)
			mode = modes[i].mode;
	}
	if (mode == NoLock)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lock mode \"%s\" is not one of those that are needed",
						mode_name)));

	PreventCommandDuringRecovery("LOCK TABLE");

	/* As LOCK TABLE asks before it locks, and looks again. */
	check_own_table(relid);
	LockRelationOid(relid, mode);
	if (get_rel_name(relid) == NULL)
		report_dropped(relid);
	check_own_table(relid);
	if (PG_GETARG_BOOL(2))
		check_not_in_use(find_all_inheritors(relid, mode, NULL));
	PG_RETURN_VOID();
}

/*
 * is_waited_for
 *		Has this transaction a lock on the table that may make whoever has the turn
 *		wait, other than as a reader does?
 */
static bool
is_waited_for(Oid relid)
{
	static const LOCKMODE modes[] = {
		RowExclusiveLock, ShareLock, ShareRowExclusiveLock, ExclusiveLock,
		AccessExclusiveLock
	};

	for (size_t i = 0; i < lengthof(modes); i++)
	{
		if (has_lock(relid, modes[i]))
			return true;
	}
	return false;
}

/*
 * playevent.take_turn(event regclass) returns void
 *
 * Until the transaction ends, no other takes its turn with this table, by a lock
 * that nothing of Postgres's own takes, nor whoever reads or writes the table.  It
 * comes before those on the table that whoever has the turn may wait for, other than
 * as a reader's; who has one goes without.
 *
 * Errors: not the table's owner (42501), on a standby (25006).
 */
Datum
playevent_take_turn(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	PreventCommandDuringRecovery("LOCK TABLE");
	check_own_table(relid);
	if (!is_waited_for(relid))
		LockDatabaseObject(RelationRelationId, relid, 0, AccessExclusiveLock);
	PG_RETURN_VOID();
}

/*
 * wait_for_writers
 *		Wait until all other transactions have ended that hold a lock on a table
 *		for writing to it.
 *
 * Those that come meanwhile are not held up, nor waited for.  Errors: a deadlock
 * (40P01).
 */
void
wait_for_writers(Oid relid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	WaitForLockers(tag, ShareLock, false);
}

/*
 * playevent.wait_for_writers(rel regclass) returns void
 *
 * In a twin: see wait_for_writers.
 *
 * Errors: not called by a twin (0A000), not the table's owner (42501); those of
 * wait_for_writers.
 */
Datum
playevent_wait_for_writers(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	check_twin(relid);
	wait_for_writers(relid);
	PG_RETURN_VOID();
}

/*
 * playevent.check_none_prepared(rel regclass) returns void
 *
 * In a twin: in the worker of a subscription, which applies what comes in the order
 * of commits, checks that no transaction has been prepared that has a lock on a table
 * for writing to it.  Its end may come behind what the worker is at, and nothing would
 * tell that the two wait for each other.
 *
 * Errors: one has (55000), not called by a twin (0A000), not the table's owner
 * (42501).
 */
Datum
playevent_check_none_prepared(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	LOCKTAG		tag;
	VirtualTransactionId *writers;
	int			n;

	check_twin(relid);
	if (!IsLogicalWorker())
		PG_RETURN_VOID();
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	writers = GetLockConflicts(&tag, ShareLock, &n);
	for (int i = 0; i < n; i++)
	{
		bool		has_more;

		if (TransactionIdIsValid(TwoPhaseGetXidByVirtualXID(writers[i], &has_more)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("sketches in table \"%s\" cannot be made anew while a prepared transaction has plays of them",
							get_rel_name(relid)),
					 errdetail("A subscription can't wait for what may be yet to come by it."),
					 errhint("If it came by another subscription, this one goes on once it has ended. If by this one, do not end it by hand: see \"When a subscription stops\" in OPERATIONS.md.")));
	}
	PG_RETURN_VOID();
}
