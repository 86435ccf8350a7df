/*-------------------------------------------------------------------------
 *
 * leaving.c
 *	  Promise P11: a partition with rows leaves a log by playevent.retire alone.
 *
 * Layer: DDL.
 *
 * Were it detached or dropped by hand, counters would go on with its rows, and
 * no longer agree with the log.  So that is refused, unless the partition is
 * empty, in one of three places; of a sealed one in any case, for where it is no
 * row may come any more:
 *
 * - DETACH PARTITION when it is done.  It has locked the partition, and those
 *   within it whose triggers it took away, in ACCESS EXCLUSIVE; so nobody else
 *   has rows in them that are still to be committed, and a look at the table
 *   tells whether there are any.
 * - DETACH PARTITION CONCURRENTLY before it begins, rows or not: it commits in
 *   the middle, and others insert until then.
 * - Whatever drops a table when it is done.  The table is gone from the
 *   catalogs by then, so these are read as they were before; its file is there
 *   until the transaction ends, and tells by its size.
 *
 * A log is what has a trigger that counts at its root, whatever that says: its
 * owner made it (trigger_owner.c).  What was dropped had inherited it.  Nothing of
 * anybody's runs for these looks.
 *
 * What goes because a stranger to the log drops what is his, such as a type in the
 * partition's key, goes with a warning: the log must not hinder him.
 *
 * Nor does what was retired come back, for it would be counted again.
 *
 * While retire takes a partition out, that one is let through: in the twin that
 * says so for a log of its owner's, and nowhere else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "as_owner.h"
#include "compat.h"
#include "ddl.h"
#include "guarded_write.h"
#include "leaving.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_check_none_leaves);
PG_FUNCTION_INFO_V1(playevent_watch_moves);
PG_FUNCTION_INFO_V1(playevent_watch_drops);
PG_FUNCTION_INFO_V1(playevent_let_go);

/* The partition that retire takes out just now, and who said so. */
static Oid	retired = InvalidOid;
static SubTransactionId retired_by = InvalidSubTransactionId;

static void
at_transaction_end(XactEvent event, void *arg pg_attribute_unused())
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE ||
		event == XACT_EVENT_ABORT)
		partition_retired(InvalidOid);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId my_subid,
					  SubTransactionId parent_subid pg_attribute_unused(),
					  void *arg pg_attribute_unused())
{
	if ((event == SUBXACT_EVENT_COMMIT_SUB ||
		 event == SUBXACT_EVENT_ABORT_SUB) && my_subid == retired_by)
		partition_retired(InvalidOid);
}

/*
 * leaving_init
 *		Once per backend, when the library is loaded.
 */
void
leaving_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/*
 * partition_retired
 *		In a twin: let this partition, and those within it, leave their log with
 *		their rows, until the twin or the current subtransaction ends, or it is
 *		said otherwise (InvalidOid).
 *
 * The log must be its owner's (42501): a partition's owner may have a twin run
 * what he likes, because of a log of his own.
 */
void
partition_retired(Oid part)
{
	if (OidIsValid(part))
		check_twin(root_of(part));
	retired = part;
	retired_by = OidIsValid(part) ? GetCurrentSubTransactionId() :
		InvalidSubTransactionId;
}

/* Is it the partition that retire takes out? */
static bool
is_retired(Oid relid)
{
	return relid == retired && in_twin();
}

/*
 * hint_of
 *		How what is in a partition may leave its log.
 */
static char *
hint_of(Oid log)
{
	if (has_trigger(log, ROLE_PARTITION))
		return psprintf("Use playevent.retire for table \"%s\", which keeps its counts.",
						get_rel_name(log));
	return psprintf("Counts outlive their rows only where a log is partitioned by time.  To give these up, drop the triggers of table \"%s\" that count, and call playevent.attach_log afterwards, which makes them anew.",
					get_rel_name(log));
}

/*
 * refuse
 *		Say why the partition has to stay, and how it may go.
 */
static void
refuse(const char *part, Oid log, bool sealed, char *hint)
{
	if (sealed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" of log \"%s\" is sealed",
						part, get_rel_name(log)),
				 errdetail("Without it, there could be rows again where there are to be none."),
				 errhint("%s", hint),
				 err_generic_string(PG_DIAG_TABLE_NAME, part)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("partition \"%s\" of log \"%s\" has rows that are counted",
					part, get_rel_name(log)),
			 errdetail("If they left the log like this, its counters would no longer agree with it."),
			 errhint("%s", hint),
			 err_generic_string(PG_DIAG_TABLE_NAME, part)));
}

/*
 * has_rows
 *		Has the table a row that anybody may see?
 *
 * That is one that VACUUM would leave: whoever still sees one that was deleted,
 * sees it counted.
 */
static bool
has_rows(Oid relid)
{
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *row;
	SnapshotData not_dead;
	bool		found;

	if (get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	rel = table_open(relid, AccessExclusiveLock);
	InitNonVacuumableSnapshot(not_dead, GlobalVisTestFor(rel));
	scan = begin_table_scan(rel, &not_dead, 0, NULL);
	row = table_slot_create(rel, NULL);
	found = table_scan_getnextslot(scan, ForwardScanDirection, row);
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
	table_close(rel, NoLock);
	return found;
}

/*
 * check_detached
 *		Refuse it if what a table has just lost of its partitions are some of a
 *		log's, and have rows or are sealed (55000).
 *
 * By halves, that is what should not have begun: somebody has kept our event
 * triggers from firing.  Queries on the log don't see the partition any more,
 * so it can't be retired.
 */
void
check_detached(Oid parent, List *parts, bool by_halves)
{
	Oid			log = root_of(parent);
	ListCell   *part;
	ListCell   *lc;

	if (!has_trigger(log, ROLE_COUNT))
		return;
	foreach(part, parts)
	{
		if (is_retired(lfirst_oid(part)))
			continue;
		foreach(lc, find_all_inheritors(lfirst_oid(part), NoLock, NULL))
		{
			Oid			relid = lfirst_oid(lc);
			bool		sealed = has_trigger(relid, ROLE_SEAL);

			if (sealed || has_rows(relid))
				refuse(get_rel_name(relid), log, sealed, by_halves ?
					   psprintf("Disable event trigger \"playevent_watch_partitions\", as was done to begin with this, and finalize it.  Then attach it to table \"%s\" again.",
								get_rel_name(log)) :
					   hint_of(log));
		}
	}
}

/*
 * check_none_leaves
 *		Refuse a table that is to be a log, or a part of one, while DETACH
 *		PARTITION CONCURRENTLY waits for its second half (55000).
 */
void
check_none_leaves(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		bool		pending = false;
		TransactionId xmin = InvalidTransactionId;

		(void) find_inheritance_children_extended(lfirst_oid(lc), true, NoLock,
												  &pending, &xmin);
		if (pending)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" has a partition whose DETACH CONCURRENTLY is not finished",
							get_rel_name(lfirst_oid(lc))),
					 errdetail("Some would see its rows, and others would not."),
					 errhint("Use ALTER TABLE ... DETACH PARTITION ... FINALIZE first."),
					 err_generic_string(PG_DIAG_TABLE_NAME,
										get_rel_name(lfirst_oid(lc)))));
	}
}

/*
 * playevent.check_none_leaves(event regclass) returns void
 *
 * In C, for a query in an old snapshot might not tell.
 */
Datum
playevent_check_none_leaves(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	if (get_rel_relkind(relid) == '\0')
		report_dropped(relid);
	check_none_leaves(relid);
	PG_RETURN_VOID();
}

/*
 * refuse_concurrently
 *		Refuse DETACH PARTITION CONCURRENTLY of a log's partition (0A000).
 *
 * Locks the table that is to lose it, as the command will, and by the same
 * right.  So it can't become a log, or a part of one, before the command has
 * committed its first half; and after that it isn't let.
 */
static void
refuse_concurrently(RangeVar *name)
{
	Oid			parent = RangeVarGetRelidExtended(name, ShareUpdateExclusiveLock,
												  RVR_MISSING_OK,
												  RangeVarCallbackOwnsRelation,
												  NULL);
	Oid			log = OidIsValid(parent) ? root_of(parent) : InvalidOid;

	if (OidIsValid(log) && has_trigger(log, ROLE_COUNT))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partitions of log \"%s\" cannot be detached concurrently",
						get_rel_name(log)),
				 errdetail("Others could insert rows meanwhile, which would be counted and leave the log with their partition."),
				 errhint("If the partition is empty, detach it without CONCURRENTLY.  %s",
						 hint_of(log)),
				 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(log))));
}

/*
 * refuse_return
 *		Refuse to attach a table that was retired (0A000).
 *
 * Its triggers would be refused too (partition.c), but most have the names of
 * those that it would get, which Postgres says first.
 */
static void
refuse_return(RangeVar *name, RangeVar *parent)
{
	Oid			part;

	/* With IF EXISTS, nobody asks then what the other one is. */
	if (!OidIsValid(RangeVarGetRelid(parent, NoLock, true)))
		return;
	part = RangeVarGetRelid(name, NoLock, true);
	if (OidIsValid(part) && has_trigger(part, ROLE_SEAL) && !get_rel_relispartition(part))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has been retired from a log, and cannot be a part of another table",
						get_rel_name(part)),
				 errdetail("What it counted is kept, and would be counted again."),
				 errhint("To look at its plays, query the table itself."),
				 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(part))));
}

/*
 * playevent.watch_moves() returns event_trigger
 *
 * ON ddl_command_start: refuses DETACH PARTITION CONCURRENTLY of a log's
 * partition, and ATTACH PARTITION of one that was retired (0A000).
 */
Datum
playevent_watch_moves(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = check_event_trigger_call(fcinfo,
														  "watch_moves");
	AlterTableStmt *command = (AlterTableStmt *) trigdata->parsetree;
	ListCell   *lc;

	if (!IsA(command, AlterTableStmt) || command->objtype != OBJECT_TABLE)
		PG_RETURN_NULL();
	foreach(lc, command->cmds)
	{
		AlterTableCmd *change = lfirst_node(AlterTableCmd, lc);

		if (change->subtype == AT_AttachPartition)
			refuse_return(castNode(PartitionCmd, change->def)->name,
						  command->relation);
		else if (change->subtype == AT_DetachPartition &&
				 castNode(PartitionCmd, change->def)->concurrent)
			refuse_concurrently(command->relation);
	}
	PG_RETURN_NULL();
}

/*
 * parent_before
 *		The table that this one was a partition of, as the snapshot has it.
 */
static Oid
parent_before(Relation pg_inherits, Oid relid, Snapshot before)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			parent = InvalidOid;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_inherits, InheritsRelidSeqnoIndexId, true,
							  before, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;
	systable_endscan(scan);
	return parent;
}

/*
 * has_part_in
 *		Does the current user own a table that is gone, or has he dropped it by
 *		name, or its schema?
 */
static bool
has_part_in(Oid relid, List *named, Snapshot before)
{
	HeapTuple	tuple = tuple_before(RelationRelationId, ClassOidIndexId, relid,
									 before);
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	return list_member_oid(named, relid) ||
		has_privs_of_role(GetUserId(), class->relowner) ||
		!SearchSysCacheExists1(NAMESPACEOID,
							   ObjectIdGetDatum(class->relnamespace));
}

/*
 * log_before
 *		The log that a partition was in before the command, if it is still there
 *		and the partition has not been retired; else InvalidOid.
 *
 * *by_stranger is set if the current user has no part in any of the tables from
 * the partition up to the log.  Then it went along with something of his that a
 * partition key needed, such as a type, which anybody may use in a log.
 */
static Oid
log_before(Oid part, List *named, Snapshot before, bool *by_stranger)
{
	Relation	pg_inherits = table_open(InheritsRelationId, AccessShareLock);
	Oid			root = InvalidOid;
	Oid			relid = part;

	*by_stranger = true;
	while (OidIsValid(relid) && !is_retired(relid))
	{
		root = relid;
		*by_stranger &= !has_part_in(root, named, before);
		relid = parent_before(pg_inherits, root, before);
	}
	table_close(pg_inherits, AccessShareLock);
	return !OidIsValid(relid) && get_rel_relkind(root) != '\0' ? root : InvalidOid;
}

/*
 * was_sealed
 *		Had the table a trigger that let no row in?
 */
static bool
was_sealed(Oid relid, Snapshot before)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		sealed = false;
	ListCell   *lc;

	foreach(lc, copy_triggers_as(pg_trigger, relid, before))
		sealed |= role_of_row(lfirst(lc)) == ROLE_SEAL;
	table_close(pg_trigger, AccessShareLock);
	return sealed;
}

/*
 * was_counted
 *		Had the partition a trigger that counts, from the log?  Who owns a
 *		partition may have one of his own, which makes the root no log.
 *
 * The log is not asked: it may have any number of triggers, and partitions.
 */
static bool
was_counted(Oid part, Oid log, Snapshot before)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	bool		counted = false;
	ListCell   *lc;

	foreach(lc, copy_triggers_as(pg_trigger, part, before))
	{
		HeapTuple	trigger = lfirst(lc);

		if (role_of_row(trigger) != ROLE_COUNT)
			continue;
		while (HeapTupleIsValid(trigger) && OidIsValid(form_of(trigger)->tgparentid))
			trigger = tuple_before(TriggerRelationId, TriggerOidIndexId,
								   form_of(trigger)->tgparentid, before);
		counted |= HeapTupleIsValid(trigger) && form_of(trigger)->tgrelid == log;
	}
	table_close(pg_trigger, AccessShareLock);
	return counted;
}

/*
 * check_dropped
 *		Refuse it if a table that is gone was a log's partition with rows, or
 *		sealed (55000).  Strangers must not be hindered: these are warned.
 */
static void
check_dropped(Oid relid, List *named, Snapshot before)
{
	HeapTuple	tuple = tuple_before(RelationRelationId, ClassOidIndexId, relid,
									 before);
	Form_pg_class class;
	Oid			log;
	bool		by_stranger;
	bool		sealed;

	if (!HeapTupleIsValid(tuple))
		return;
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (!class->relispartition ||
		class->relpersistence == RELPERSISTENCE_TEMP)
		return;
	sealed = was_sealed(relid, before);
	if (!sealed &&
		(class->relkind != RELKIND_RELATION ||
		 blocks_of_file(class->reltablespace, class->relfilenode) == 0))
		return;
	log = log_before(relid, named, before, &by_stranger);
	if (!OidIsValid(log) || !was_counted(relid, log, before))
		return;

	if (by_stranger)
		ereport(WARNING,
				(errmsg("partition \"%s\" of log \"%s\" was dropped, with rows that are counted",
						NameStr(class->relname), get_rel_name(log)),
				 errdetail("Its partition key needed what is dropped."),
				 errhint("The owner of log \"%s\" may call playevent.rebuild for it, which counts what is left.",
						 get_rel_name(log))));
	else if (sealed)
		refuse(NameStr(class->relname), log, true, hint_of(log));
	else
		refuse(NameStr(class->relname), log, false,
			   psprintf("%s  A partition that is empty all the same is detached before it is dropped.",
						hint_of(log)));
}

/*
 * playevent.watch_drops() returns event_trigger
 *
 * ON sql_drop: refuses to drop a log's partition with rows, or one that is
 * sealed, unless the log goes too (55000), or who drops it is a stranger to the log.
 */
Datum
playevent_watch_drops(PG_FUNCTION_ARGS)
{
	List	   *tables;
	List	   *named;
	Snapshot	before;
	MemoryContext context;
	MemoryContext oldcontext;
	ListCell   *lc;

	(void) check_event_trigger_call(fcinfo, "watch_drops");
	tables = dropped_tables(&named);
	if (tables == NIL)
		PG_RETURN_NULL();
	before = register_snapshot_before();

	/* There may be many, with many triggers, that are not his who drops. */
	context = AllocSetContextCreate(CurrentMemoryContext, "playevent dropped",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	foreach(lc, tables)
	{
		CHECK_FOR_INTERRUPTS();
		check_dropped(lfirst_oid(lc), named, before);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	UnregisterSnapshot(before);
	PG_RETURN_NULL();
}

/*
 * playevent.let_go(part regclass) returns void
 *
 * In a twin: lets a partition leave its log, in this transaction, whose counts
 * have moved.
 */
Datum
playevent_let_go(PG_FUNCTION_ARGS)
{
	check_twin(PG_GETARG_OID(0));
	partition_retired(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}
