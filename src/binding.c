/*-------------------------------------------------------------------------
 *
 * binding.c
 *	  Turns the arguments of playevent's triggers into relations, columns,
 *	  operators and indexes, and checks the rights to use them (P8, P10): the
 *	  caches, and what track_binding.c and counter_binding.c have in common.
 *
 * The triggers are the only catalog playevent has.  Their arguments are names,
 * so that a dump, a copy of the schema or a shard carries them along; a name
 * without a schema means the schema of the log.  search_path has no say.
 *
 * Lifetime and locks: a binding is cached per backend, by trigger, and
 * returned with its other relation locked until the end of the transaction
 * (the track table in AccessShareLock, the slot table in RowExclusiveLock),
 * as if the statement had named it.  Whatever changes what a binding says
 * invalidates a relation's cache entry, or the roles, memberships or schemas
 * caches; the callbacks here then only mark bindings stale, because
 * they may run at any table_open.  Invalidations are read when a lock is
 * granted, so an entry is trusted only after that.  What is looked up under
 * these locks stays true while they are held, but for rights: GRANT locks no
 * table.  If a binding turns stale while it is looked up, it serves the caller
 * still, as if the change had come a moment later, and the next one looks again.
 *
 * Entries are never freed, since code further up the stack may hold one;
 * there are as many as this backend has met triggers and slot tables.
 *
 * Names are looked up without permission checks on the current user, who need
 * not know these tables.  It is the log's owner whose rights count: to read the
 * track table, and to own the slot table.  Otherwise a trigger on a table
 * of one's own would be a way to read or to falsify someone else's.  For the
 * same reason only a table's owner may put these triggers on it, for which the
 * right TRIGGER would do: an event trigger sees to that (check_trigger_owner).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "binding_lookup.h"
#include "compat.h"
#include "day.h"
#include "playevent.h"

uint64		binding_invalidations;

HTAB	   *track_bindings;
HTAB	   *counter_bindings;
HTAB	   *slot_bindings;

/*
 * invalidate_relation
 *		Relcache callback: what was read off this relation is stale (off any
 *		relation, for InvalidOid).
 */
static void
invalidate_relation(Datum arg pg_attribute_unused(), Oid relid)
{
	HASH_SEQ_STATUS scan;
	TrackBinding *track;
	CounterBinding *counter;
	SlotBinding *slot;
	bool		all = !OidIsValid(relid);

	binding_invalidations++;

	hash_seq_init(&scan, track_bindings);
	while ((track = hash_seq_search(&scan)) != NULL)
	{
		if (all || track->event_relid == relid ||
			track->log_relid == relid || track->track_relid == relid)
			track->valid = false;
	}

	hash_seq_init(&scan, counter_bindings);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (all || counter->event_relid == relid ||
			counter->log_relid == relid)
			counter->valid = false;
	}

	hash_seq_init(&scan, slot_bindings);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (all || slot->relid == relid)
			slot->valid = false;
	}
}

/*
 * invalidate_rights
 *		Syscache callback: a role, a membership or a schema changed.
 */
static void
invalidate_rights(Datum arg, int cacheid pg_attribute_unused(),
				  uint32 hashvalue pg_attribute_unused())
{
	invalidate_relation(arg, InvalidOid);
}

static HTAB *
create_cache(const char *name, Size entrysize)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = entrysize;
	ctl.hcxt = CacheMemoryContext;
	return hash_create(name, 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * binding_init
 *		Create the caches; once per backend, when the library is loaded.
 */
void
binding_init(void)
{
	if (CacheMemoryContext == NULL)
		CreateCacheMemoryContext();

	track_bindings = create_cache("playevent track bindings",
								  sizeof(TrackBinding));
	counter_bindings = create_cache("playevent counter bindings",
									sizeof(CounterBinding));
	slot_bindings = create_cache("playevent slot bindings",
								 sizeof(SlotBinding));

	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_rights, (Datum) 0);
}

/*
 * find_binding
 *		The entry of this key; a new one is all zeroes, so not valid.
 */
void *
find_binding(HTAB *cache, Oid key, Size entrysize)
{
	bool		found;
	void	   *entry = hash_search(cache, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset(entry, 0, entrysize);
		*(Oid *) entry = key;
	}
	return entry;
}

/*
 * function_is
 *		Is it this function of ours?
 */
bool
function_is(Oid function, PGFunction ours)
{
	FmgrInfo	finfo;

	fmgr_info(function, &finfo);
	return finfo.fn_addr == ours;
}

/*
 * trigger_calls
 *		Does the trigger call this function of ours?  Names don't tell: anyone
 *		may call a trigger of his own playevent_count.
 */
bool
trigger_calls(Trigger *trigger, PGFunction function)
{
	return function_is(trigger->tgfoid, function);
}

/*
 * trigger_counts
 *		Is it the trigger of a counter, of plays or of listeners?
 */
bool
trigger_counts(Trigger *trigger)
{
	return trigger_calls(trigger, playevent_count) ||
		trigger_calls(trigger, playevent_sketch);
}

/*
 * trigger_fires
 *		Does the trigger fire in this session?  As TriggerEnabled has it.
 */
bool
trigger_fires(Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
		trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/*
 * resolves_releases
 *		Is this resolve trigger one that finds a release by itself, for rows
 *		without a track?
 */
bool
resolves_releases(Trigger *trigger)
{
	return trigger->tgnargs == RESOLVE_NARGS &&
		strcmp(trigger->tgargs[RESOLVE_KEY_COLUMN],
			   trigger->tgargs[RESOLVE_RELEASE_COLUMN]) == 0;
}

/*
 * log_of
 *		The table that the trigger was made on: the log.
 *
 * A partition has a copy of it.  The schema of unqualified names, and the
 * owner with whose rights the trigger acts, are the log's: a partition may be
 * in another schema, and belong to someone who never saw the trigger.
 */
Oid
log_of(Relation event, Trigger *trigger)
{
	Relation	pg_trigger;
	Oid			relid = RelationGetRelid(event);
	Oid			oid = trigger->tgoid;

	if (!trigger->tgisclone)
		return relid;

	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	while (OidIsValid(oid))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;
		Form_pg_trigger form;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber,
					F_OIDEQ, ObjectIdGetDatum(oid));
		scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL,
								  1, &key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find tuple for trigger %u", oid);
		form = (Form_pg_trigger) GETSTRUCT(tuple);
		relid = form->tgrelid;
		oid = form->tgparentid;
		systable_endscan(scan);
	}
	table_close(pg_trigger, AccessShareLock);

	return relid;
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
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * named_relation
 *		The relation of that name, which may have a schema in front, both
 *		quoted as SQL has it; InvalidOid if there is none, or if it isn't a
 *		name.  *namespace is set to the schema, or InvalidOid.
 */
Oid
named_relation(const char *name, Oid default_namespace, Oid *namespace)
{
	List	   *parts;

	*namespace = InvalidOid;
	if (!SplitIdentifierString(pstrdup(name), '.', &parts) ||
		list_length(parts) < 1 || list_length(parts) > 2)
		return InvalidOid;
	*namespace = list_length(parts) == 2 ?
		get_namespace_oid(linitial(parts), true) : default_namespace;
	return OidIsValid(*namespace) ?
		get_relname_relid(llast(parts), *namespace) : InvalidOid;
}

/*
 * open_named_relation
 *		Open and lock the relation that a trigger argument names, or return
 *		NULL if there is none.  *namespace is set to its schema.
 *
 * The same dance as RangeVarGetRelidExtended, which would check the current
 * user's rights on the schema: look up, lock, and if anything was
 * invalidated until the lock was granted, look up again.
 */
Relation
open_named_relation(const char *name, Oid log, LOCKMODE lockmode,
					Oid *namespace)
{
	Oid			relid;
	Oid			locked = InvalidOid;
	uint64		seen;

	do
	{
		seen = SharedInvalidMessageCounter;
		relid = named_relation(name, get_rel_namespace(log), namespace);
		if (relid == locked)
			break;
		if (OidIsValid(locked))
			UnlockRelationOid(locked, lockmode);
		if (OidIsValid(relid))
			LockRelationOid(relid, lockmode);
		locked = relid;
	} while (seen != SharedInvalidMessageCounter);

	return OidIsValid(relid) ? table_open(relid, NoLock) : NULL;
}

/*
 * check_nargs
 *		Check that a trigger has the arguments its function wants.
 */
void
check_nargs(Relation event, Trigger *trigger, int least, int most)
{
	if (trigger->tgnargs < least || trigger->tgnargs > most)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("wrong number of arguments for trigger \"%s\" on table \"%s\"",
						trigger->tgname, RelationGetRelationName(event)),
				 least == most ?
				 errdetail("It has %d, and needs %d.", trigger->tgnargs, least) :
				 errdetail("It has %d, and needs %d to %d.",
						   trigger->tgnargs, least, most),
				 errhint("Let playevent.create_log or playevent.attach_log make the triggers.")));
}

/*
 * find_column
 *		The number of the column that a trigger argument names, in rel.
 */
AttrNumber
find_column(Relation event, Trigger *trigger, int arg, Relation rel)
{
	AttrNumber	attno;

	attno = get_attnum(RelationGetRelid(rel), trigger->tgargs[arg]);
	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						trigger->tgargs[arg], RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" needs it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, RelationGetRelationName(event)),
				 errtable(rel)));
	return attno;
}

/*
 * column_is_string
 *		Does the column hold strings of any length, which may be empty?
 */
bool
column_is_string(Form_pg_attribute att)
{
	return att->attlen == -1 &&
		TypeCategory(getBaseType(att->atttypid)) == TYPCATEGORY_STRING;
}

/*
 * check_not_generated
 *		Check that a column has a value of its own when triggers look at it:
 *		stored generated ones have not before the row is, virtual ones never.
 */
void
check_not_generated(Relation event, Trigger *trigger, AttrNumber attno,
					bool before)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(event), attno - 1);

	if (att->attgenerated == '\0' ||
		(att->attgenerated == ATTRIBUTE_GENERATED_STORED && !before))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
			 errmsg("column \"%s\" of table \"%s\" is generated",
					NameStr(att->attname), RelationGetRelationName(event)),
			 errdetail("Trigger \"%s\" needs its value when there is none yet.",
					   trigger->tgname),
			 errhint("Make it an ordinary column."),
			 errtablecol(event, attno)));
}

/*
 * check_same_type
 *		Check that the columns of event and rel have one type.
 */
void
check_same_type(Relation event, AttrNumber event_attno, Relation rel,
				AttrNumber attno, Trigger *trigger, bool is_slot_table)
{
	Form_pg_attribute mine = TupleDescAttr(RelationGetDescr(event),
										   event_attno - 1);
	Form_pg_attribute other = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	if (mine->atttypid != other->atttypid)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but column \"%s\" of table \"%s\" has type %s",
						NameStr(mine->attname), RelationGetRelationName(event),
						format_type_be(mine->atttypid),
						NameStr(other->attname), RelationGetRelationName(rel),
						format_type_be(other->atttypid)),
				 errdetail("Trigger \"%s\" on table \"%s\" copies values from one to the other.",
						   trigger->tgname, RelationGetRelationName(event)),
				 is_slot_table ?
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 RelationGetRelationName(event)) :
				 errhint("Give both columns the same type."),
				 errtablecol(event, event_attno)));
}

/*
 * binding_check
 *		Look up what all of a log's triggers stand for, so that whoever makes
 *		a log hears of a mistake at once.
 *
 * An invalidation may free what event->trigdesc points to, hence the copy.
 */
void
binding_check(Relation event)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger_calls(trigger, playevent_resolve))
			(void) track_binding(event, trigger);
		else if (trigger_calls(trigger, playevent_day))
		{
			DayColumns	columns;

			day_columns(event, trigger, &columns);
		}
		else if (trigger_counts(trigger))
			(void) counter_binding(event, trigger);
	}
}
