/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  What playevent's event triggers are told of a command.
 *
 * Layer: Postgres.
 *
 * A parse tree names tables as they were when the command began, maybe none
 * that exist (IF EXISTS), and by a search_path; another event trigger may have
 * renamed them since, or made others of those names.  So a parse tree says
 * only whether a command can matter.  Which tables and triggers it was about,
 * Postgres tells: it collects the commands that were executed, with OIDs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "ddl.h"

/* The column of pg_event_trigger_ddl_commands() that is a CollectedCommand. */
#define COMMAND_COLUMN 9

/* Columns of pg_event_trigger_dropped_objects() */
#define DROPPED_CLASS 1
#define DROPPED_OBJECT 2
#define DROPPED_ORIGINAL 4
#define DROPPED_TYPE 7

/*
 * check_event_trigger_call
 *		Check that a function was called as an event trigger; its data.
 */
EventTriggerData *
check_event_trigger_call(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"playevent.%s\" was not called by event trigger manager",
						function)));
	return (EventTriggerData *) fcinfo->context;
}

/*
 * told
 *		The rows of a function that tells an event trigger what has happened.
 *
 * Called directly, for a query would ask for rights, and cost more than most
 * commands.
 */
static TupleTableSlot *
told(Oid function, ReturnSetInfo *rsinfo)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	finfo;

	rsinfo->type = T_ReturnSetInfo;
	rsinfo->econtext = CreateStandaloneExprContext();
	rsinfo->allowedModes = SFRM_Materialize;
	fmgr_info(function, &finfo);
	InitFunctionCallInfoData(*fcinfo, &finfo, 0, InvalidOid, NULL,
							 (Node *) rsinfo);
	(void) FunctionCallInvoke(fcinfo);
	return MakeSingleTupleTableSlot(rsinfo->setDesc, &TTSOpsMinimalTuple);
}

static void
end_told(TupleTableSlot *row, ReturnSetInfo *rsinfo)
{
	ExecDropSingleTupleTableSlot(row);
	tuplestore_end(rsinfo->setResult);
	FreeExprContext(rsinfo->econtext, true);
}

/*
 * collected_commands
 *		What ON ddl_command_end has been executed: a list of CollectedCommand,
 *		without those whose object is gone.  They last as long as the command.
 */
List *
collected_commands(void)
{
	ReturnSetInfo rsinfo = {0};
	TupleTableSlot *row = told(F_PG_EVENT_TRIGGER_DDL_COMMANDS, &rsinfo);
	List	   *commands = NIL;

	while (tuplestore_gettupleslot(rsinfo.setResult, true, false, row))
	{
		bool		isnull;

		commands = lappend(commands,
						   DatumGetPointer(slot_getattr(row, COMMAND_COLUMN,
														&isnull)));
	}
	end_told(row, &rsinfo);
	return commands;
}

/*
 * dropped_tables
 *		The tables that ON sql_drop have been dropped, and were no foreign ones;
 *		*named are those of them that the command was about.
 */
List *
dropped_tables(List **named)
{
	ReturnSetInfo rsinfo = {0};
	TupleTableSlot *row = told(F_PG_EVENT_TRIGGER_DROPPED_OBJECTS, &rsinfo);
	List	   *tables = NIL;

	*named = NIL;
	while (tuplestore_gettupleslot(rsinfo.setResult, true, false, row))
	{
		bool		isnull;
		Datum		class = slot_getattr(row, DROPPED_CLASS, &isnull);
		Datum		object = slot_getattr(row, DROPPED_OBJECT, &isnull);

		/* Neither a table's column nor its index is called so. */
		if (DatumGetObjectId(class) != RelationRelationId ||
			strcmp(TextDatumGetCString(slot_getattr(row, DROPPED_TYPE, &isnull)),
				   "table") != 0)
			continue;
		tables = lappend_oid(tables, DatumGetObjectId(object));
		if (DatumGetBool(slot_getattr(row, DROPPED_ORIGINAL, &isnull)))
			*named = lappend_oid(*named, DatumGetObjectId(object));
	}
	end_told(row, &rsinfo);
	return tables;
}

/*
 * register_snapshot_before
 *		What catalogs said just before the command that the event trigger fires
 *		for, of what the command has locked.  To be unregistered.
 *
 * That is a snapshot as new as can be, since one that the transaction keeps may
 * be of long ago, but without what the command itself has done.
 */
Snapshot
register_snapshot_before(void)
{
	Snapshot	snapshot;

	/* So that the latest is not the transaction's own, and is copied. */
	(void) GetTransactionSnapshot();
	snapshot = RegisterSnapshot(GetLatestSnapshot());

	/*
	 * The active snapshot was taken when the command began; it is gone where
	 * the transaction was too, as DETACH CONCURRENTLY has it.
	 */
	snapshot->curcid = ActiveSnapshotSet() ?
		GetActiveSnapshot()->curcid : FirstCommandId;
	return snapshot;
}

/*
 * tuple_before
 *		A copy of a catalog's row of this OID, the first column, as the snapshot
 *		sees it; or NULL.
 */
HeapTuple
tuple_before(Oid catalog, Oid index, Oid oid, Snapshot before)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, index, true, before, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

/*
 * lock_row
 *		Lock a row of a catalog so that it can be updated; false if somebody
 *		else is changing it, or has since it was read.
 *
 * An update would wait for his transaction, and then fail.
 */
bool
lock_row(Relation catalog, HeapTuple tuple)
{
	HeapTupleData locked = {.t_self = tuple->t_self};
	Buffer		buffer;
	TM_FailureData failure;
	TM_Result	result;

	result = heap_lock_tuple(catalog, &locked, GetCurrentCommandId(true),
							 LockTupleNoKeyExclusive, LockWaitSkip, false,
							 &buffer, &failure);
	ReleaseBuffer(buffer);
	return result == TM_Ok;
}
