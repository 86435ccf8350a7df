/*-------------------------------------------------------------------------
 *
 * binding.c
 *	  Turns the arguments of playevent's triggers into relations, columns,
 *	  operators and indexes, and checks the rights to use them (P8, P10).
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
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "binding.h"
#include "compat.h"
#include "day.h"
#include "playevent.h"

/* What every trigger's arguments are, in order. */
enum ResolveArg
{
	RESOLVE_TRACK,
	RESOLVE_TRACK_KEY,
	RESOLVE_TRACK_RELEASE,
	RESOLVE_TRACK_DELETED,
	RESOLVE_UNKNOWN_TRACK,
	RESOLVE_KEY_COLUMN,
	RESOLVE_RELEASE_COLUMN,
	RESOLVE_NARGS
};

enum CounterArg
{
	COUNTER_SLOT_TABLE,
	COUNTER_COUNT_COLUMN,
	COUNTER_FIRST_KEY,			/* and as many more as there are */
	SKETCH_LISTENER = COUNTER_FIRST_KEY,	/* or, of playevent_sketch, this */
	SKETCH_FIRST_KEY
};

/* Counts invalidations, to notice one during a lookup. */
static uint64 invalidations;

static HTAB *track_bindings;	/* TrackBinding, by trigger_oid */
static HTAB *counter_bindings;	/* CounterBinding, by trigger_oid */
static HTAB *slot_bindings;		/* SlotBinding, by relid */

/* Takes the log's name; attach_log mends logs that don't work. */
#define HINT_REATTACH \
	"Undo the change that led here, or call playevent.attach_log for table \"%s\" again."

/* Takes the slot table's name and the log's. */
#define HINT_RECOUNT \
	"Undo the change that led here, or drop table \"%s\" with CASCADE and call playevent.attach_log for table \"%s\" again, which counts anew."

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

	invalidations++;

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
static void *
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
 * trigger_calls
 *		Does the trigger call this function of ours?  Names don't tell: anyone
 *		may call a trigger of his own playevent_count.
 */
bool
trigger_calls(Trigger *trigger, PGFunction function)
{
	FmgrInfo	finfo;

	fmgr_info(trigger->tgfoid, &finfo);
	return finfo.fn_addr == function;
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
static Oid
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
static Oid
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
static Relation
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
static void
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
static AttrNumber
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
 * check_not_generated
 *		Check that a column has a value of its own when triggers look at it:
 *		stored generated ones have not before the row is, virtual ones never.
 */
static void
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
static void
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
 * check_track_rights
 *		P8: the log's owner must be allowed to read the track table, all of
 *		its rows.
 */
static void
check_track_rights(Relation event, Trigger *trigger, Oid log, Relation track,
				   Oid namespace)
{
	Oid			owner = owner_of(log);
	Oid			relid = RelationGetRelid(track);
	bool		may_read;

	may_read = namespace_aclcheck(namespace, owner, ACL_USAGE) == ACLCHECK_OK;
	if (may_read &&
		pg_class_aclcheck(relid, owner, ACL_SELECT) != ACLCHECK_OK)
	{
		/* then on each column that is read */
		for (int arg = RESOLVE_TRACK_KEY; arg <= RESOLVE_TRACK_DELETED; arg++)
		{
			const char *column = trigger->tgargs[arg];
			AttrNumber	attno;

			if (column[0] == '\0')
				continue;
			attno = get_attnum(relid, column);
			if (attno <= 0 ||
				pg_attribute_aclcheck(relid, attno, owner,
									  ACL_SELECT) != ACLCHECK_OK)
				may_read = false;
		}
	}

	if (!may_read)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s",
						RelationGetRelationName(track)),
				 errdetail("Trigger \"%s\" reads it with the rights of role \"%s\", the owner of table \"%s\".",
						   trigger->tgname, GetUserNameFromId(owner, false),
						   get_rel_name(log)),
				 errhint("Grant SELECT on the table, and USAGE on its schema, to that role.")));

	if (check_enable_rls(relid, owner, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("row-level security of table \"%s\" applies to role \"%s\", the owner of table \"%s\"",
						RelationGetRelationName(track),
						GetUserNameFromId(owner, false), get_rel_name(log)),
				 errdetail("Trigger \"%s\" on table \"%s\" must be able to see every track, and does not get round policies.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Let the owner of the track table own the log, or a role with BYPASSRLS.")));
}

/*
 * find_track_index
 *		Find a unique index on the track key alone, and the operator by which
 *		it finds a key of the event's type.
 *
 * The index must hold every row and know no duplicates at any time: so
 * neither partial nor deferrable.
 */
static void
find_track_index(TrackBinding *binding, Relation event, Trigger *trigger,
				 Relation track)
{
	Form_pg_attribute key = TupleDescAttr(RelationGetDescr(event),
										  binding->event_key - 1);
	Oid			key_type = getBaseType(key->atttypid);
	bool		other_type = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(track))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indimmediate && form->indisvalid &&
			form->indnkeyatts == 1 &&
			form->indkey.values[0] == binding->track_key &&
			index->rd_rel->relam == BTREE_AM_OID &&
			RelationGetIndexPredicate(index) == NIL)
		{
			Oid			opfamily = index->rd_opfamily[0];
			Oid			opcintype = index->rd_opcintype[0];
			Oid			subtype = key_type;
			Oid			operator;

			operator = get_opfamily_member(opfamily, opcintype, subtype,
										   BTEqualStrategyNumber);
			if (!OidIsValid(operator) && IsBinaryCoercible(key_type, opcintype))
			{
				subtype = opcintype;
				operator = get_opfamily_member(opfamily, opcintype, subtype,
											   BTEqualStrategyNumber);
			}
			other_type |= !OidIsValid(operator);

			if (OidIsValid(operator))
			{
				binding->index_oid = RelationGetRelid(index);
				binding->index_xmin = form->indcheckxmin ?
					HeapTupleHeaderGetXmin(index->rd_indextuple->t_data) :
					InvalidTransactionId;
				binding->key_subtype = subtype;
				binding->key_collation = index->rd_indcollation[0];
				fmgr_info_cxt(get_opcode(operator), &binding->key_equal,
							  CacheMemoryContext);
				index_close(index, AccessShareLock);
				return;
			}
		}
		index_close(index, AccessShareLock);
	}

	if (other_type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, which can't be looked up in column \"%s\" of table \"%s\"",
						NameStr(key->attname), RelationGetRelationName(event),
						format_type_be(key->atttypid),
						trigger->tgargs[RESOLVE_TRACK_KEY],
						RelationGetRelationName(track)),
				 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks by it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Give both columns the same type."),
				 errtablecol(event, binding->event_key)));

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("table \"%s\" has no usable unique index on column \"%s\"",
					RelationGetRelationName(track),
					trigger->tgargs[RESOLVE_TRACK_KEY]),
			 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks by a btree index on this column alone that is neither partial nor deferrable.",
					   trigger->tgname, RelationGetRelationName(event)),
			 errhint("Create one: CREATE UNIQUE INDEX ON %s (%s);",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(track)),
												RelationGetRelationName(track)),
					 quote_identifier(trigger->tgargs[RESOLVE_TRACK_KEY])),
			 errtable(track)));
}

/*
 * build_track_binding
 *		Look up all that a playevent_resolve trigger's arguments stand for.
 *		Returns with the track table locked.
 */
static void
build_track_binding(TrackBinding *binding, Relation event, Trigger *trigger)
{
	Relation	track;
	Oid			namespace;
	Form_pg_attribute att;
	char	   *unknown;

	check_nargs(event, trigger, RESOLVE_NARGS, RESOLVE_NARGS);
	binding->event_relid = RelationGetRelid(event);
	binding->log_relid = log_of(event, trigger);

	track = open_named_relation(trigger->tgargs[RESOLVE_TRACK],
								binding->log_relid, AccessShareLock,
								&namespace);
	if (track == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("track table \"%s\" does not exist",
						trigger->tgargs[RESOLVE_TRACK]),
				 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, RelationGetRelationName(event))));
	binding->track_relid = RelationGetRelid(track);
	binding->track_is_heap = track->rd_rel->relam == HEAP_TABLE_AM_OID;

	check_track_rights(event, trigger, binding->log_relid, track, namespace);

	if (track->rd_rel->relkind != RELKIND_RELATION ||
		track->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("track table \"%s\" is not an ordinary, permanent table",
						RelationGetRelationName(track)),
				 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, RelationGetRelationName(event))));

	binding->event_key = find_column(event, trigger, RESOLVE_KEY_COLUMN, event);
	binding->event_release = find_column(event, trigger,
										 RESOLVE_RELEASE_COLUMN, event);
	binding->track_key = find_column(event, trigger, RESOLVE_TRACK_KEY, track);
	binding->track_release = find_column(event, trigger, RESOLVE_TRACK_RELEASE,
										 track);
	check_not_generated(event, trigger, binding->event_key, true);
	check_not_generated(event, trigger, binding->event_release, true);
	check_same_type(event, binding->event_release, track,
					binding->track_release, trigger, false);

	binding->track_deleted = InvalidAttrNumber;
	if (trigger->tgargs[RESOLVE_TRACK_DELETED][0] != '\0')
	{
		Oid			deleted_type;

		binding->track_deleted = find_column(event, trigger,
											 RESOLVE_TRACK_DELETED, track);
		att = TupleDescAttr(RelationGetDescr(track), binding->track_deleted - 1);
		deleted_type = getBaseType(att->atttypid);
		if (deleted_type != BOOLOID && deleted_type != TIMESTAMPTZOID &&
			deleted_type != TIMESTAMPOID && deleted_type != DATEOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" has type %s, and can't tell whether a track is deleted",
							NameStr(att->attname),
							RelationGetRelationName(track),
							format_type_be(att->atttypid)),
					 errdetail("Trigger \"%s\" on table \"%s\" takes a boolean, true for deleted tracks, or a timestamp, null for all others.",
							   trigger->tgname, RelationGetRelationName(event)),
					 errhint("Name such a column as argument track_deleted, or none."),
					 errtablecol(track, binding->track_deleted)));
		binding->deleted_is_flag = deleted_type == BOOLOID;
	}

	unknown = trigger->tgargs[RESOLVE_UNKNOWN_TRACK];
	binding->reject_unknown = strcmp(unknown, "reject") == 0;
	if (!binding->reject_unknown && strcmp(unknown, "record") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized way to treat unknown tracks: \"%s\"",
						unknown),
				 errdetail("It is argument %d of trigger \"%s\" on table \"%s\".",
						   RESOLVE_UNKNOWN_TRACK + 1, trigger->tgname,
						   RelationGetRelationName(event)),
				 errhint("Say \"record\" or \"reject\".")));

	att = TupleDescAttr(RelationGetDescr(event), binding->event_key - 1);
	binding->key_len = att->attlen;
	binding->key_byval = att->attbyval;
	binding->key_is_string = TypeCategory(getBaseType(att->atttypid)) == TYPCATEGORY_STRING &&
		att->attlen == -1;
	att = TupleDescAttr(RelationGetDescr(event), binding->event_release - 1);
	binding->release_len = att->attlen;
	binding->release_byval = att->attbyval;

	find_track_index(binding, event, trigger, track);

	table_close(track, NoLock);
}

/*
 * track_binding
 *		What a playevent_resolve trigger stands for, with the track table
 *		locked in AccessShareLock.
 *
 * Errors: the track table or a column is missing (42P01, 42703), has the
 * wrong kind or type (42809, 42804), no usable unique index (42704), the
 * log's owner may not read it (42501), or not all of it (0A000).
 */
TrackBinding *
track_binding(Relation event, Trigger *trigger)
{
	TrackBinding *binding = find_binding(track_bindings, trigger->tgoid,
										 sizeof(TrackBinding));

	if (binding->valid)
		LockRelationOid(binding->track_relid, AccessShareLock);
	if (!binding->valid)
	{
		uint64		seen = invalidations;

		build_track_binding(binding, event, trigger);
		binding->valid = seen == invalidations;
	}
	return binding;
}

/*
 * find_slot_index
 *		Find the index by which a key's slots are found: a btree that starts
 *		with key columns, the first one among them; best the one that covers
 *		most of the key.
 *
 * No index of a slot table may be unique, or inserting a slot could have to
 * wait; nor have expressions or a predicate, which would run code of the
 * table's owner in the middle of everyone's insert.
 */
static void
find_slot_index(SlotBinding *slot, Relation rel, Relation event,
				Trigger *trigger)
{
	ListCell   *lc;

	slot->index_nkeys = 0;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		int			nkeys = 0;
		int			which[COUNTER_MAX_KEYS];
		bool		has_first = false;

		if (form->indisunique || form->indisexclusion ||
			RelationGetIndexExpressions(index) != NIL ||
			RelationGetIndexPredicate(index) != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("index \"%s\" is not allowed on slot table \"%s\"",
							RelationGetRelationName(index),
							RelationGetRelationName(rel)),
					 errdetail("Trigger \"%s\" on table \"%s\" writes to tables only whose indexes are plain: not unique, on columns, of all rows.",
							   trigger->tgname, RelationGetRelationName(event)),
					 errhint("Drop it: DROP INDEX %s;",
							 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(index)),
														RelationGetRelationName(index))),
					 errtable(rel)));

		if (form->indisvalid && index->rd_rel->relam == BTREE_AM_OID)
		{
			for (int i = 0; i < Min(form->indnkeyatts, slot->nkeys); i++)
			{
				int			k = 0;

				while (k < slot->nkeys &&
					   slot->key_attnos[k] != form->indkey.values[i])
					k++;
				if (k == slot->nkeys)
					break;
				has_first |= k == 0;
				which[nkeys++] = k;
			}
		}

		if (has_first && nkeys > slot->index_nkeys)
		{
			slot->index_oid = RelationGetRelid(index);
			slot->index_nkeys = nkeys;
			for (int i = 0; i < nkeys; i++)
			{
				Oid			operator;

				operator = get_opfamily_member(index->rd_opfamily[i],
											   index->rd_opcintype[i],
											   index->rd_opcintype[i],
											   BTEqualStrategyNumber);
				if (!OidIsValid(operator))
					elog(ERROR, "missing equality operator for opfamily %u",
						 index->rd_opfamily[i]);
				slot->index_key[i] = which[i];
				slot->index_collation[i] = index->rd_indcollation[i];
				fmgr_info_cxt(get_opcode(operator), &slot->index_equal[i],
							  CacheMemoryContext);
			}
		}
		index_close(index, AccessShareLock);
	}

	if (slot->index_nkeys == 0)
	{
		StringInfoData columns;

		initStringInfo(&columns);
		for (int i = 0; i < slot->nkeys; i++)
			appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "",
							 quote_identifier(NameStr(slot->key_names[i])));
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("slot table \"%s\" has no usable index on its key",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" finds the counts to raise by it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Create one: CREATE INDEX ON %s (%s);",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													RelationGetRelationName(rel)),
						 columns.data),
				 errtable(rel)));
	}
}

/*
 * forget_other_names
 *		If the slot table was bound with other columns, make the triggers that
 *		did look again.
 *
 * That is so after a column was renamed, its triggers with it; and where
 * somebody's triggers disagree, who then get what the later one says.
 */
static void
forget_other_names(SlotBinding *slot, Trigger *trigger, int first_key)
{
	HASH_SEQ_STATUS scan;
	CounterBinding *counter;
	bool		same = slot->nkeys == trigger->tgnargs - first_key;

	for (int i = 0; same && i < slot->nkeys; i++)
		same = namestrcmp(&slot->key_names[i],
						  trigger->tgargs[first_key + i]) == 0;
	if (same && namestrcmp(&slot->count_name,
						   trigger->tgargs[COUNTER_COUNT_COLUMN]) == 0)
		return;

	hash_seq_init(&scan, counter_bindings);
	while ((counter = hash_seq_search(&scan)) != NULL)
	{
		if (counter->slot == slot)
			counter->valid = false;
	}
}

/*
 * build_slot_binding
 *		Check a slot table's shape and look up its columns and index.
 */
static void
build_slot_binding(SlotBinding *slot, Relation rel, Relation event,
				   Trigger *trigger, int first_key)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Form_pg_attribute att;
	bool		has_sketches = first_key == SKETCH_FIRST_KEY;
	int			live = 0;

	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("slot table \"%s\" is not an ordinary, logged heap table",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps counts in it that must survive a crash.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 RelationGetRelationName(event)),
				 errtable(rel)));

	forget_other_names(slot, trigger, first_key);
	slot->nkeys = trigger->tgnargs - first_key;
	slot->count_attno = find_column(event, trigger, COUNTER_COUNT_COLUMN, rel);
	namestrcpy(&slot->count_name, trigger->tgargs[COUNTER_COUNT_COLUMN]);
	att = TupleDescAttr(desc, slot->count_attno - 1);
	if (slot->sketch != NULL)
	{
		sketch_type_free(slot->sketch);
		slot->sketch = NULL;
	}
	if (has_sketches)
		slot->sketch = sketch_type(att->atttypid, att->atttypmod,
								   CacheMemoryContext);
	if (!att->attnotnull ||
		(has_sketches ? slot->sketch == NULL : att->atttypid != INT8OID))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 has_sketches ?
				 errmsg("column \"%s\" of slot table \"%s\" is not hll, with parameters, and not null",
						NameStr(att->attname), RelationGetRelationName(rel)) :
				 errmsg("column \"%s\" of slot table \"%s\" is not bigint and not null",
						NameStr(att->attname), RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" on table \"%s\" counts in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_RECOUNT, RelationGetRelationName(rel),
						 RelationGetRelationName(event)),
				 errtablecol(rel, slot->count_attno)));

	for (int i = 0; i < slot->nkeys; i++)
	{
		int			arg = first_key + i;

		slot->key_attnos[i] = find_column(event, trigger, arg, rel);
		slot->key_types[i] = TupleDescAttr(desc, slot->key_attnos[i] - 1)->atttypid;
		namestrcpy(&slot->key_names[i], trigger->tgargs[arg]);
	}

	/* With each column named once, and as many as there are, all have a part. */
	for (int i = 0; i < slot->nkeys; i++)
	{
		bool		again = slot->key_attnos[i] == slot->count_attno;

		for (int j = 0; j < i; j++)
			again |= slot->key_attnos[i] == slot->key_attnos[j];
		if (again)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("trigger \"%s\" on table \"%s\" names column \"%s\" twice",
							trigger->tgname, RelationGetRelationName(event),
							NameStr(slot->key_names[i])),
					 errhint("Let playevent.create_log or playevent.attach_log make the triggers.")));
	}
	for (int i = 0; i < desc->natts; i++)
		live += TupleDescAttr(desc, i)->attisdropped ? 0 : 1;
	if (live != slot->nkeys + 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slot table \"%s\" has %d columns, not %d",
						RelationGetRelationName(rel), live, slot->nkeys + 1),
				 errdetail("Trigger \"%s\" on table \"%s\" would leave the others without a value.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Drop the columns that playevent did not make."),
				 errtable(rel)));

	find_slot_index(slot, rel, event, trigger);

	/* Entries outlive transactions, and so must the descriptor. */
	if (slot->key_desc != NULL)
	{
		FreeTupleDesc(slot->key_desc);
		slot->key_desc = NULL;
	}
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(CacheMemoryContext);
		TupleDesc	key_desc = CreateTemplateTupleDesc(slot->nkeys);

		for (int i = 0; i < slot->nkeys; i++)
			TupleDescCopyEntry(key_desc, i + 1, desc, slot->key_attnos[i]);
		slot->key_desc = key_desc;
		MemoryContextSwitchTo(oldcontext);
	}
}

/*
 * bind_listener
 *		Look up the column that tells listeners apart, and how to make a text of
 *		it: of a type whose output no setting changes.
 */
static void
bind_listener(CounterBinding *binding, Relation event, Trigger *trigger)
{
	Form_pg_attribute att;
	bool		is_varlena;

	binding->listener_attno = find_column(event, trigger, SKETCH_LISTENER,
										  event);
	check_not_generated(event, trigger, binding->listener_attno, false);
	att = TupleDescAttr(RelationGetDescr(event), binding->listener_attno - 1);
	binding->listener_output = InvalidOid;
	switch (getBaseType(att->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
			break;
		case UUIDOID:
		case INT4OID:
		case INT8OID:
			getTypeOutputInfo(att->atttypid, &binding->listener_output,
							  &is_varlena);
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" has type %s, and can't tell listeners apart",
							NameStr(att->attname),
							RelationGetRelationName(event),
							format_type_be(att->atttypid)),
					 errdetail("Trigger \"%s\" takes text, uuid or integers.",
							   trigger->tgname),
					 errtablecol(event, binding->listener_attno)));
	}
}

/*
 * build_counter_binding
 *		Look up all that a counter's trigger's arguments stand for.  Returns
 *		with the slot table locked.
 */
static void
build_counter_binding(CounterBinding *binding, Relation event,
					  Trigger *trigger)
{
	Relation	rel;
	Oid			namespace;
	Oid			owner;
	SlotBinding *slot;
	bool		has_sketches = trigger_calls(trigger, playevent_sketch);
	int			first_key = has_sketches ? SKETCH_FIRST_KEY : COUNTER_FIRST_KEY;

	check_nargs(event, trigger, first_key + 1, first_key + COUNTER_MAX_KEYS);
	binding->event_relid = RelationGetRelid(event);
	binding->log_relid = log_of(event, trigger);
	owner = owner_of(binding->log_relid);
	binding->nkeys = trigger->tgnargs - first_key;

	rel = open_named_relation(trigger->tgargs[COUNTER_SLOT_TABLE],
							  binding->log_relid, RowExclusiveLock,
							  &namespace);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("slot table \"%s\" does not exist",
						trigger->tgargs[COUNTER_SLOT_TABLE]),
				 errdetail("Trigger \"%s\" on table \"%s\" keeps its counts there.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(binding->log_relid))));

	if (!has_privs_of_role(owner, rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s",
						RelationGetRelationName(rel)),
				 errdetail("Trigger \"%s\" writes to it with the rights of role \"%s\", the owner of table \"%s\".",
						   trigger->tgname, GetUserNameFromId(owner, false),
						   get_rel_name(binding->log_relid)),
				 errhint("Give both tables, and the views on them, the same owner: ALTER TABLE %s OWNER TO %s;",
						 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													RelationGetRelationName(rel)),
						 quote_identifier(GetUserNameFromId(owner, false)))));

	slot = find_binding(slot_bindings, RelationGetRelid(rel),
						sizeof(SlotBinding));
	slot->valid = false;
	build_slot_binding(slot, rel, event, trigger, first_key);
	binding->slot = slot;

	for (int i = 0; i < binding->nkeys; i++)
	{
		binding->event_attnos[i] = find_column(event, trigger, first_key + i,
											   event);
		check_not_generated(event, trigger, binding->event_attnos[i], false);
		check_same_type(event, binding->event_attnos[i], rel,
						slot->key_attnos[i], trigger, true);
	}
	if (has_sketches)
		bind_listener(binding, event, trigger);

	table_close(rel, NoLock);
}

/*
 * counter_binding
 *		What a counter's trigger stands for, with the slot table locked in
 *		RowExclusiveLock.
 *
 * Errors: the slot table or a column is missing (42P01, 42703), has the
 * wrong kind, type or index (42809, 42804, 42704, 55000), or belongs to
 * someone else (42501).
 */
CounterBinding *
counter_binding(Relation event, Trigger *trigger)
{
	CounterBinding *binding = find_binding(counter_bindings, trigger->tgoid,
										   sizeof(CounterBinding));

	if (binding->valid)
		LockRelationOid(binding->slot->relid, RowExclusiveLock);
	if (!binding->valid || !binding->slot->valid)
	{
		uint64		seen = invalidations;

		binding->valid = false;
		build_counter_binding(binding, event, trigger);
		binding->valid = binding->slot->valid = seen == invalidations;
	}
	return binding;
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
