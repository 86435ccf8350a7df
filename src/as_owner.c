/*-------------------------------------------------------------------------
 *
 * as_owner.c
 *	  Promise P8: what playevent runs because of a log, it runs with the rights
 *	  of that log's owner and no others.
 *
 * Layer: Postgres.
 *
 * A query on a log can run its owner's code: planning one folds the predicates
 * of the table's indexes, reading one applies its policies.  A superuser who
 * compares all counters with their logs must not run that as himself.  So every
 * such query, and all DDL that follows from a log, goes between owner_enter and
 * owner_leave, as VACUUM and REINDEX do it (vacuum_rel): the owner's rights, in
 * a security-restricted operation, which keeps his code from leaving anything
 * in the session, with a search_path in which nobody else can put anything.
 *
 * Policies never run: row_security is off, so that one that applies is an
 * error.  Those that are forced on a log are not meant for what is read of it
 * here (prepare_owner_query in table_query.c).  Whether the caller may ask for
 * what is about to be done is to be checked before.
 *
 * On an error the user and settings are restored by the abort of the
 * (sub)transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "as_owner.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(playevent_call_as_owner);
PG_FUNCTION_INFO_V1(playevent_call_for_reader);
PG_FUNCTION_INFO_V1(playevent_pin_schema);
PG_FUNCTION_INFO_V1(playevent_pin_table);

/* What the name of the function that is called ends with. */
#define TWIN_ENDING "_as_owner"

/*
 * Who has called the function whose twin runs; InvalidOid if none does, or if
 * what runs is a query of the twin's on a table.
 */
static Oid	caller = InvalidOid;

/*
 * report_dropped
 *		The error of a relation that was dropped between one look at it and the
 *		next: it is not locked, or its owner's code has run.
 */
void
report_dropped(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("table with OID %u does not exist", relid)));
}

/*
 * owner_of
 *		The owner of a relation.
 */
Oid
owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		report_dropped(relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * check_own_table
 *		Check that the table is the current user's.
 */
void
check_own_table(Oid relid)
{
	if (!relation_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

/*
 * set_option
 *		Set an option for the current level of settings.
 */
void
set_option(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * owner_enter
 *		From here on, act as this role.  *outer is for owner_leave.
 */
void
owner_enter(Oid owner, OwnerScope *outer)
{
	GetUserIdAndSecContext(&outer->userid, &outer->sec_context);
	SetUserIdAndSecContext(owner, outer->sec_context |
						   SECURITY_RESTRICTED_OPERATION);
	outer->guc_level = NewGUCNestLevel();
	set_option("search_path", "pg_catalog, pg_temp");
	set_option("row_security", "off");
	set_option("standard_conforming_strings", "on");
	set_option("quote_all_identifiers", "off");
}

/*
 * owner_leave
 *		Act again as before owner_enter.
 */
void
owner_leave(OwnerScope *outer)
{
	AtEOXact_GUC(false, outer->guc_level);
	SetUserIdAndSecContext(outer->userid, outer->sec_context);
}

/*
 * may_select
 *		May the role read the columns, or all of the table?
 */
static bool
may_select(Oid relid, Oid role, List *columns)
{
	ListCell   *lc;

	if (pg_class_aclcheck(relid, role, ACL_SELECT) == ACLCHECK_OK)
		return true;
	foreach(lc, columns)
	{
		AttrNumber	attno = get_attnum(relid, lfirst(lc));

		if (attno <= 0 ||
			pg_attribute_aclcheck(relid, attno, role,
								  ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return columns != NIL;
}

/*
 * may_read
 *		May the role read these columns of a table, a list of names, or all of it,
 *		as far as its schema's and its own rights go?  Policies are not asked.
 */
bool
may_read(Oid relid, Oid role, List *columns)
{
	return namespace_aclcheck(get_rel_namespace(relid), role,
							  ACL_USAGE) == ACLCHECK_OK &&
		may_select(relid, role, columns);
}

/*
 * check_usage
 *		Check that the role may look for things in the schema.
 */
void
check_usage(Oid namespace, Oid role)
{
	if (namespace_aclcheck(namespace, role, ACL_USAGE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA,
					   get_namespace_name(namespace));
}

/*
 * check_no_policy
 *		Check that no policy of the table's applies to the role: what is done for
 *		it as the owner would pass it by.
 */
static void
check_no_policy(Oid relid, Oid role)
{
	if (check_enable_rls(relid, role, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("query would be affected by row-level security policy for table \"%s\"",
						get_rel_name(relid))));
}

/*
 * check_readable
 *		Check that the role may read these columns of a table, a list of names,
 *		in all of its rows.
 */
void
check_readable(Oid relid, Oid role, List *columns)
{
	char	   *name = get_rel_name(relid);
	Oid			namespace = get_rel_namespace(relid);

	if (name == NULL)
		report_dropped(relid);
	check_usage(namespace, role);
	if (!may_select(relid, role, columns))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	check_no_policy(relid, role);
}

/*
 * twin_of
 *		The function that this one is the door to: of the same schema and
 *		arguments, its name with the ending.
 */
static Oid
twin_of(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	Oid			twin;
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	name = psprintf("%s%s", NameStr(form->proname), TWIN_ENDING);
	twin = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum(name),
						   PointerGetDatum(&form->proargtypes),
						   ObjectIdGetDatum(form->pronamespace));
	if (!OidIsValid(twin) || form->prorettype != get_func_rettype(twin))
		elog(ERROR, "function \"%s\" has no twin", NameStr(form->proname));
	ReleaseSysCache(tuple);
	return twin;
}

/*
 * call_twin
 *		Call a function's twin as this role, with the arguments of the call.
 */
static Datum
call_twin(FunctionCallInfo fcinfo, Oid owner)
{
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	FmgrInfo	twin;
	OwnerScope	outer;
	Oid			outer_caller = caller;
	Datum		result;

	fmgr_info(twin_of(fcinfo->flinfo->fn_oid), &twin);
	InitFunctionCallInfoData(*call, &twin, PG_NARGS(), fcinfo->fncollation,
							 NULL, fcinfo->resultinfo);
	memcpy(call->args, fcinfo->args, PG_NARGS() * sizeof(NullableDatum));

	owner_enter(owner, &outer);
	PG_TRY();
	{
		caller = outer.userid;
		result = FunctionCallInvoke(call);
	}
	PG_FINALLY();
	{
		caller = outer_caller;
	}
	PG_END_TRY();
	owner_leave(&outer);

	fcinfo->isnull = call->isnull;
	return result;
}

/*
 * event_of
 *		The table that is the first argument.
 */
static Oid
event_of(FunctionCallInfo fcinfo)
{
	Oid			relid;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"event\" must not be null")));
	relid = PG_GETARG_OID(0);
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("argument \"event\" is %u, which is no table", relid)));
	return relid;
}

/*
 * is_being_renamed
 *		Does somebody else's transaction, which is under way, change a key of this
 *		row, or delete it?  It may have changed other things first: a GRANT, which
 *		whoever has any right may try, makes a version too, if it grants nothing.
 */
static bool
is_being_renamed(Relation rel, ItemPointerData tid)
{
	TransactionId made_by = InvalidTransactionId;

	for (;;)
	{
		HeapTupleData version = {.t_self = tid};
		Buffer		buffer;
		TransactionId updater = InvalidTransactionId;
		bool		changes_key = false;

		/* There may be as many versions as anybody likes. */
		CHECK_FOR_INTERRUPTS();
		if (!heap_fetch(rel, SnapshotAny, &version, &buffer, false))
			return false;
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if ((!TransactionIdIsValid(made_by) ||
			 TransactionIdEquals(HeapTupleHeaderGetXmin(version.t_data), made_by)) &&
			!(version.t_data->t_infomask & HEAP_XMAX_INVALID) &&
			!HEAP_XMAX_IS_LOCKED_ONLY(version.t_data->t_infomask))
		{
			updater = HeapTupleHeaderGetUpdateXid(version.t_data);
			changes_key = (version.t_data->t_infomask2 & HEAP_KEYS_UPDATED) != 0;
			tid = version.t_data->t_ctid;
		}
		UnlockReleaseBuffer(buffer);
		if (!TransactionIdIsValid(updater) ||
			TransactionIdIsCurrentTransactionId(updater) ||
			!TransactionIdIsInProgress(updater))
			return false;
		if (changes_key)
			return true;
		made_by = updater;
	}
}

/*
 * pin_schema
 *		Until the transaction ends, no other schema gets this one's name.
 *
 * What a twin does is mostly DDL, which knows things by name alone, and looks a
 * name up again after it has waited for a lock.  Whose schema it is could rename
 * it meanwhile and put another in its place.  That changes a key of its row in
 * pg_namespace, so it waits for whoever holds the lock of a foreign key on that.
 * (The schema's own lock, which CREATE TABLE takes, keeps nobody from renaming it
 * in 18 and 19.)  What else changes there later, rights and the owner, doesn't
 * mind.
 *
 * Errors: it is gone (3F000), or is being renamed or dropped (55P03), which is not
 * waited for: that would be for as long as its owner likes.  Versions that others
 * are making by GRANT are locked along (follow_updates), or the same transaction
 * could rename it after that; heap_lock_tuple would wait for one that is renamed in
 * between, whatever it is told, but only the schema's owner can be so quick.
 */
static void
pin_schema(Oid namespace)
{
	Relation	rel = table_open(NamespaceRelationId, RowShareLock);
	TM_Result	result;

	do
	{
		HeapTuple	known;
		HeapTupleData locked;
		Buffer		buffer;
		TM_FailureData failure;

		CHECK_FOR_INTERRUPTS();
		AcceptInvalidationMessages();
		known = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
		if (!HeapTupleIsValid(known))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_SCHEMA),
					 errmsg("schema with OID %u does not exist", namespace)));
		locked.t_self = known->t_self;
		ReleaseSysCache(known);
		if (is_being_renamed(rel, locked.t_self))
			result = TM_WouldBlock;
		else
		{
			result = heap_lock_tuple(rel, &locked, GetCurrentCommandId(true),
									 LockTupleKeyShare, LockWaitSkip, true,
									 &buffer, &failure);
			ReleaseBuffer(buffer);
		}
		if (result == TM_WouldBlock)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("schema \"%s\" is being renamed or dropped",
							get_namespace_name(namespace)),
					 errhint("Try again.")));
		/* What one's own transaction has changed, others can't. */
	} while (result != TM_Ok && result != TM_SelfModified &&
			 result != TM_Invisible);
	table_close(rel, RowShareLock);
}

/*
 * playevent_pin_schema(schema name) returns void
 *
 * Whoever may create in the schema: until the transaction ends, no other gets its
 * name.
 *
 * Errors: no such schema (3F000), no right to create in it (42501), in a
 * read-only transaction (25006), what pin_schema reports.
 */
Datum
playevent_pin_schema(PG_FUNCTION_ARGS)
{
	char	   *name = NameStr(*PG_GETARG_NAME(0));
	Oid			namespace;

	PreventCommandIfReadOnly("playevent.pin_schema()");
	do
	{
		namespace = get_namespace_oid(name, false);
		if (namespace_aclcheck(namespace, GetUserId(),
							   ACL_CREATE) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, name);
		pin_schema(namespace);
		AcceptInvalidationMessages();
	} while (get_namespace_oid(name, true) != namespace);
	PG_RETURN_VOID();
}

/*
 * check_may_refer
 *		Check that the current user may read a table, or refer to it.
 */
static void
check_may_refer(Oid relid)
{
	char	   *name = get_rel_name(relid);
	AclMode		mode = ACL_SELECT | ACL_REFERENCES;

	if (name == NULL)
		report_dropped(relid);
	check_usage(get_rel_namespace(relid), GetUserId());
	if (pg_class_aclcheck(relid, GetUserId(), mode) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), mode,
								  ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
}

/*
 * playevent_pin_table(rel regclass) returns void
 *
 * Whoever may read a table or refer to it: until the transaction ends, its name
 * means this one.
 *
 * Errors: no right to (42501), it is gone (42P01), in a read-only transaction
 * (25006), what pin_schema reports.  Locks: the table in AccessShareLock.
 */
Datum
playevent_pin_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	PreventCommandIfReadOnly("playevent.pin_table()");
	check_may_refer(relid);
	LockRelationOid(relid, AccessShareLock);
	check_may_refer(relid);
	pin_schema(get_rel_namespace(relid));
	PG_RETURN_VOID();
}

/*
 * playevent_call_as_owner(event regclass, ...)
 *
 * Behind several SQL functions: calls the one of the same name and arguments
 * with the ending _as_owner, as the owner of the table that is the first
 * argument.  Nothing is locked but the name of its schema: should the table be
 * given away meanwhile, the twin fails for want of rights.
 *
 * Errors: no table (22004, 42P01), not its owner (42501), and what the twin
 * reports.
 */
Datum
playevent_call_as_owner(PG_FUNCTION_ARGS)
{
	Oid			relid = event_of(fcinfo);

	check_own_table(relid);
	/* Where it can't, there is no DDL either. */
	if (!XactReadOnly)
	{
		pin_schema(get_rel_namespace(relid));
		/* It may have been given away. */
		check_own_table(event_of(fcinfo));
	}
	return call_twin(fcinfo, owner_of(relid));
}

/*
 * playevent_call_for_reader(event regclass, ...)
 *
 * The same for functions that read slots for whoever may: their twins read by
 * playevent.read_table, which asks that.
 *
 * Errors: no table (22004, 42P01), and what the twin reports.
 */
Datum
playevent_call_for_reader(PG_FUNCTION_ARGS)
{
	return call_twin(fcinfo, owner_of(event_of(fcinfo)));
}

/* Check that this is in a twin. */
static void
check_has_caller(void)
{
	if (!OidIsValid(caller))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this function is for functions of playevent's that act as a log's owner")));
}

/*
 * in_twin
 *		Is this in a twin?
 */
bool
in_twin(void)
{
	return OidIsValid(caller);
}

/*
 * leave_twin, return_to_twin
 *		What is run in between is not in a twin, though it is called by one.
 */
Oid
leave_twin(void)
{
	Oid			was = caller;

	caller = InvalidOid;
	return was;
}

void
return_to_twin(Oid was)
{
	caller = was;
}

/*
 * check_twin
 *		Check that this is in a twin, and the table its owner's.
 */
void
check_twin(Oid relid)
{
	check_has_caller();
	check_own_table(relid);
}

/*
 * check_writer
 *		In a twin: whoever called the function, who must have the right to
 *		insert into a table, whatever the row.
 */
Oid
check_writer(Oid relid)
{
	char	   *name = get_rel_name(relid);

	check_has_caller();
	if (name == NULL)
		report_dropped(relid);
	check_usage(get_rel_namespace(relid), caller);
	if (pg_class_aclcheck(relid, caller, ACL_INSERT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	check_no_policy(relid, caller);
	return caller;
}

/*
 * run_as_twin
 *		Run a query as a twin of a function would that this user has called.
 */
void
run_as_twin(Oid owner, const char *query, int nargs, Oid *types, Datum *values)
{
	Oid			outer_caller = caller;
	OwnerScope	outer;

	owner_enter(owner, &outer);
	PG_TRY();
	{
		caller = outer.userid;
		SPI_connect();
		if (SPI_execute_with_args(query, nargs, types, values, NULL, false,
								  0) < 0)
			elog(ERROR, "SPI_execute_with_args failed: %s", query);
		SPI_finish();
	}
	PG_FINALLY();
	{
		caller = outer_caller;
	}
	PG_END_TRY();
	owner_leave(&outer);
}

/*
 * check_caller
 *		In a twin: check that whoever called the function may read these columns
 *		of a table, an array of names, of which those that are null don't matter.
 *
 * Errors: he may not (42501), or not all of its rows (42501); not in a twin
 * (0A000).
 */
void
check_caller(Oid relid, ArrayType *columns)
{
	List	   *readable = NIL;
	Datum	   *names;
	bool	   *isnull;
	int			n;

	check_has_caller();
	deconstruct_array(columns, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &names, &isnull, &n);
	for (int i = 0; i < n; i++)
	{
		if (!isnull[i])
			readable = lappend(readable, NameStr(*DatumGetName(names[i])));
	}
	check_readable(relid, caller, readable);
}
