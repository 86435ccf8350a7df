/*-------------------------------------------------------------------------
 *
 * track_binding.c
 *	  What the arguments of a trigger that resolves stand for (P8, P10).
 *
 * Layer: triggers' words.
 *
 * See binding.c for lifetimes and locks, trigger_argument.c for rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "as_owner.h"
#include "binding.h"
#include "compat.h"
#include "image.h"
#include "shard.h"
#include "track_binding.h"
#include "trigger_argument.h"
#include "trigger_role.h"

static BindingCache *track_bindings;	/* TrackBinding, by its trigger */

static bool
depends_on(const void *binding, Oid relid)
{
	const TrackBinding *track = binding;

	return track->event_relid == relid || track->log_relid == relid ||
		track->track_relid == relid;
}

/*
 * track_binding_init
 *		Create the cache; once per backend, when the library is loaded.
 */
void
track_binding_init(void)
{
	track_bindings = binding_cache("playevent track bindings",
								   sizeof(TrackBinding), depends_on);
}

/*
 * check_track_rights
 *		P8: the log's owner must be allowed to read the track table, all of
 *		its rows.
 */
static void
check_track_rights(Relation event, Trigger *trigger, Oid log, Relation track)
{
	Oid			owner = owner_of(log);
	Oid			relid = RelationGetRelid(track);
	List	   *columns = NIL;

	for (int arg = RESOLVE_TRACK_KEY; arg <= RESOLVE_TRACK_DELETED; arg++)
	{
		if (trigger->tgargs[arg][0] != '\0')
			columns = lappend(columns, trigger->tgargs[arg]);
	}
	if (!may_read(relid, owner, columns))
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
 * bind_track_index
 *		Let tracks be found by the index, if it has an operator for keys of the
 *		event's type; false if not.
 *
 * Operators of enums, ranges, arrays and composites take any two of their kind,
 * and count on it that both are of one type: with others they fail, or find
 * another track.
 */
static bool
bind_track_index(TrackBinding *binding, Relation index, Oid key_type, Oid track_type)
{
	Oid			opfamily = index->rd_opfamily[0];
	Oid			opcintype = index->rd_opcintype[0];
	Oid			subtype = key_type;
	Oid			operator;

	if ((IsPolymorphicType(opcintype) || opcintype == RECORDOID) &&
		key_type != track_type)
		return false;

	operator = get_opfamily_member(opfamily, opcintype, subtype,
								   BTEqualStrategyNumber);
	if (!OidIsValid(operator) && IsBinaryCoercible(key_type, opcintype))
	{
		subtype = opcintype;
		operator = get_opfamily_member(opfamily, opcintype, subtype,
									   BTEqualStrategyNumber);
	}
	if (!OidIsValid(operator))
		return false;

	binding->index_oid = RelationGetRelid(index);
	binding->index_xmin = index->rd_index->indcheckxmin ?
		HeapTupleHeaderGetXmin(index->rd_indextuple->t_data) :
		InvalidTransactionId;
	binding->key_subtype = subtype;
	binding->key_collation = index->rd_indcollation[0];
	fmgr_info_cxt(get_opcode(operator), &binding->key_equal,
				  binding->head.context);
	return true;
}

/*
 * tells_tracks_apart
 *		Is it a unique index on the track key alone that holds every row and
 *		knows no duplicates at any time: neither partial nor deferrable?
 */
static bool
tells_tracks_apart(TrackBinding *binding, Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisunique && form->indimmediate && form->indisvalid &&
		form->indnkeyatts == 1 &&
		form->indkey.values[0] == binding->track_key &&
		index->rd_rel->relam == BTREE_AM_OID && holds_all_rows(index);
}

/*
 * find_track_index
 *		Find a unique index on the track key alone, and the operator by which
 *		it finds a key of the event's type.
 *
 * Whose operator class it has doesn't matter: only superusers make them.
 */
static void
find_track_index(TrackBinding *binding, Relation event, Trigger *trigger,
				 Relation track)
{
	Form_pg_attribute key = TupleDescAttr(RelationGetDescr(event),
										  binding->event_key - 1);
	Form_pg_attribute track_key = TupleDescAttr(RelationGetDescr(track),
												binding->track_key - 1);
	bool		other_type = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(track))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		fits = tells_tracks_apart(binding, index);
		bool		taken = fits && bind_track_index(binding, index,
													 getBaseType(key->atttypid),
													 getBaseType(track_key->atttypid));

		index_close(index, AccessShareLock);
		if (taken)
			return;
		other_type |= fits;
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
					 qualified_name(RelationGetRelid(track)),
					 quote_identifier(trigger->tgargs[RESOLVE_TRACK_KEY])),
			 errtable(track)));
}

/*
 * check_stored
 *		Check that a column of the track table is in its rows: a virtual one is
 *		made only for who reads the table by a query.
 */
static void
check_stored(Relation event, Trigger *trigger, Relation track, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(track), attno - 1);

	if (att->attgenerated == '\0' ||
		att->attgenerated == ATTRIBUTE_GENERATED_STORED)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_DEFINITION),
			 errmsg("column \"%s\" of table \"%s\" is a virtual generated column",
					NameStr(att->attname), RelationGetRelationName(track)),
			 errdetail("Trigger \"%s\" on table \"%s\" reads what is stored.",
					   trigger->tgname, RelationGetRelationName(event)),
			 errhint("Make it an ordinary column, or a stored one: GENERATED ALWAYS AS (...) STORED."),
			 errtablecol(track, attno)));
}

/*
 * altered_by
 *		The transaction that wrote the table's row of pg_class: whoever gives it
 *		a new file does.
 */
static TransactionId
altered_by(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	TransactionId xmin;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	ReleaseSysCache(tuple);
	return xmin;
}

/*
 * check_no_children
 *		Check that no table inherits from the track table: tracks in it would be
 *		the track table's for queries, and no index of that has them.
 *
 * relhassubclass stays when the last one has gone.  Whoever makes one
 * invalidates the track table.
 */
static void
check_no_children(Relation event, Trigger *trigger, Relation track)
{
	List	   *children;

	if (!track->rd_rel->relhassubclass)
		return;
	children = find_inheritance_children(RelationGetRelid(track), NoLock);
	if (children == NIL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("track table \"%s\" has child tables",
					RelationGetRelationName(track)),
			 errdetail("Trigger \"%s\" on table \"%s\" would not find tracks that are in table \"%s\".",
					   trigger->tgname, RelationGetRelationName(event),
					   get_rel_name(linitial_oid(children))),
			 errhint("Put all tracks into one table, and part the others from it by ALTER TABLE ... NO INHERIT.")));
}

/*
 * open_track
 *		Open and lock the track table, and check that it can be read: by the
 *		log's owner, and as an ordinary table.
 */
static Relation
open_track(TrackBinding *binding, Relation event, Trigger *trigger)
{
	Oid			namespace;
	Relation	track = open_named_relation(trigger->tgargs[RESOLVE_TRACK],
											binding->log_relid,
											AccessShareLock, &namespace);

	if (track == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("track table \"%s\" does not exist",
						spoken_name(trigger->tgargs[RESOLVE_TRACK])),
				 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(binding->log_relid))));
	depend_on_schema(binding, namespace);
	binding->track_relid = RelationGetRelid(track);
	binding->track_is_heap = track->rd_rel->relam == HEAP_TABLE_AM_OID;
	binding->altered_by = altered_by(binding->track_relid);

	depend_on_role(binding, owner_of(binding->log_relid));
	check_track_rights(event, trigger, binding->log_relid, track);
	check_no_shell(binding->event_relid, binding->track_relid);

	if (track->rd_rel->relkind != RELKIND_RELATION ||
		track->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("track table \"%s\" is not an ordinary, permanent table",
						RelationGetRelationName(track)),
				 errdetail("Trigger \"%s\" on table \"%s\" looks up tracks in it.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint(HINT_REATTACH, get_rel_name(binding->log_relid))));
	check_no_children(event, trigger, track);
	return track;
}

/*
 * bind_deleted
 *		Look up the column that says whether a track is deleted, if one is
 *		named.
 */
static void
bind_deleted(TrackBinding *binding, Relation event, Trigger *trigger,
			 Relation track)
{
	Form_pg_attribute att;
	Oid			type;

	binding->track_deleted = InvalidAttrNumber;
	if (trigger->tgargs[RESOLVE_TRACK_DELETED][0] == '\0')
		return;
	binding->track_deleted = find_column(event, trigger,
										 RESOLVE_TRACK_DELETED, track);
	check_stored(event, trigger, track, binding->track_deleted);
	att = TupleDescAttr(RelationGetDescr(track), binding->track_deleted - 1);
	type = getBaseType(att->atttypid);
	if (type != BOOLOID && type != TIMESTAMPTZOID && type != TIMESTAMPOID &&
		type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, and can't tell whether a track is deleted",
						NameStr(att->attname), RelationGetRelationName(track),
						format_type_be(att->atttypid)),
				 errdetail("Trigger \"%s\" on table \"%s\" takes a boolean, true for deleted tracks, or a timestamp, null for all others.",
						   trigger->tgname, RelationGetRelationName(event)),
				 errhint("Name such a column as argument track_deleted, or none."),
				 errtablecol(track, binding->track_deleted)));
	binding->deleted_is_flag = type == BOOLOID;
}

/*
 * bind_length
 *		Look up what gives a track's release the length or precision of the log's
 *		column, as an assignment would, if the track table's is another: it cuts,
 *		rounds or refuses.
 *
 * Whose function it is doesn't matter: only types that superusers make have such
 * modifiers.
 */
static void
bind_length(TrackBinding *binding, Relation event, Relation track)
{
	Form_pg_attribute mine = TupleDescAttr(RelationGetDescr(event),
										   binding->event_release - 1);
	Form_pg_attribute other = TupleDescAttr(RelationGetDescr(track),
											binding->track_release - 1);
	int32		typmod = other->atttypmod;
	Oid			function;

	binding->release_typmod = -1;
	(void) getBaseTypeAndTypmod(other->atttypid, &typmod);
	if (mine->atttypmod < 0 || mine->atttypmod == typmod)
		return;
	switch (find_typmod_coercion_function(mine->atttypid, &function))
	{
		case COERCION_PATH_FUNC:
			fmgr_info_cxt(function, &binding->release_length,
						  binding->head.context);
			binding->release_typmod = mine->atttypmod;
			break;
		case COERCION_PATH_NONE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" has another length than column \"%s\" of table \"%s\"",
							NameStr(mine->attname),
							RelationGetRelationName(event),
							NameStr(other->attname),
							RelationGetRelationName(track)),
					 errhint("Give both columns the same type."),
					 errtablecol(event, binding->event_release)));
	}
}

/*
 * takes_no_null
 *		Is the type a domain that is NOT NULL, or over one?
 */
static bool
takes_no_null(Oid type)
{
	bool		no_null = false;

	while (!no_null && get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type form;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		form = (Form_pg_type) GETSTRUCT(tuple);
		no_null = form->typnotnull;
		type = form->typbasetype;
		ReleaseSysCache(tuple);
	}
	return no_null;
}

/*
 * bind_unknown
 *		What is to become of rows whose track is unknown.
 */
static void
bind_unknown(TrackBinding *binding, Relation event, Trigger *trigger)
{
	const char *unknown = trigger->tgargs[RESOLVE_UNKNOWN_TRACK];

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
	Form_pg_attribute att;

	check_nargs(event, trigger, RESOLVE_NARGS, RESOLVE_NARGS);
	binding->event_relid = RelationGetRelid(event);
	binding->log_relid = made_on(trigger->tgoid, false);
	track = open_track(binding, event, trigger);

	binding->event_key = find_column(event, trigger, RESOLVE_KEY_COLUMN, event);
	binding->event_release = find_column(event, trigger,
										 RESOLVE_RELEASE_COLUMN, event);
	binding->track_key = find_column(event, trigger, RESOLVE_TRACK_KEY, track);
	binding->track_release = find_column(event, trigger, RESOLVE_TRACK_RELEASE,
										 track);
	check_not_generated(event, trigger, binding->event_key, true);
	check_not_generated(event, trigger, binding->event_release, true);
	check_stored(event, trigger, track, binding->track_release);
	check_same_type(event, binding->event_release, track,
					binding->track_release, trigger, false);
	bind_deleted(binding, event, trigger, track);
	bind_unknown(binding, event, trigger);

	att = TupleDescAttr(RelationGetDescr(event), binding->event_key - 1);
	image_type(att, &binding->key_type);
	att = TupleDescAttr(RelationGetDescr(event), binding->event_release - 1);
	binding->release_len = att->attlen;
	binding->release_byval = att->attbyval;
	binding->release_not_null = takes_no_null(att->atttypid);
	bind_length(binding, event, track);

	find_track_index(binding, event, trigger, track);
	table_close(track, NoLock);
}

/*
 * track_binding
 *		What a playevent_resolve trigger stands for, with the track table
 *		locked in AccessShareLock.
 *
 * Errors: the track table or a column is missing (42P01, 42703), has the
 * wrong kind or type (42809, 42804), others inherit from it (42809), no usable unique index (42704), is
 * managed by Citus (55000), the log's owner may not read it (42501), or not all
 * of it (0A000).
 */
TrackBinding *
track_binding(Relation event, Trigger *trigger)
{
	TrackBinding *binding = find_binding(track_bindings, trigger->tgoid);

	if (binding != NULL && binding->head.valid)
		lock_until_end(binding->track_relid, AccessShareLock);
	if (binding == NULL || !binding->head.valid)
	{
		uint64		seen = catalog_invalidations;

		check_up_to_date(event, trigger);
		binding = new_binding(track_bindings, trigger->tgoid);
		build_track_binding(binding, event, trigger);
		lock_until_end(binding->track_relid, AccessShareLock);
		end_building(binding, seen);
	}
	return binding;
}

/*
 * tell_track
 *		Error context: that a release does not fit can be mended by the tables'
 *		owners, and is no row's fault (record_fault.c).
 */
static void
tell_track(void *arg)
{
	const char **names = arg;

	err_generic_string(PG_DIAG_SCHEMA_NAME, names[0]);
	err_generic_string(PG_DIAG_TABLE_NAME, names[1]);
	err_generic_string(PG_DIAG_COLUMN_NAME, names[2]);
	errdetail("Column \"%s\" of table \"%s\" has a release that column \"%s\" of table \"%s\" does not take.",
			  names[2], names[1], names[3], names[4]);
	errhint("Give both columns the same type.");
}

/*
 * fit_release
 *		The release as the log's column takes it, or an error (class 22).
 *
 * Functions of length take the type, the modifier, and, but for those that never
 * ask, whether it is a cast.
 */
Datum
fit_release(TrackBinding *binding, Datum release)
{
	FmgrInfo   *length = &binding->release_length;
	Datum		typmod = Int32GetDatum(binding->release_typmod);
	const char *names[] = {
		get_namespace_name(get_rel_namespace(binding->track_relid)),
		get_rel_name(binding->track_relid),
		get_attname(binding->track_relid, binding->track_release, false),
		get_attname(binding->event_relid, binding->event_release, false),
		get_rel_name(binding->event_relid)
	};
	ErrorContextCallback callback = {error_context_stack, tell_track, names};

	error_context_stack = &callback;
	release = length->fn_nargs == 2 ? FunctionCall2(length, release, typmod) :
		FunctionCall3(length, release, typmod, BoolGetDatum(false));
	error_context_stack = callback.previous;
	return release;
}
