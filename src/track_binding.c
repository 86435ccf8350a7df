/*-------------------------------------------------------------------------
 *
 * track_binding.c
 *	  What the arguments of a trigger that resolves stand for (P8, P10).
 *
 * See binding.c for lifetimes, locks and rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"

#include "binding_lookup.h"
#include "compat.h"

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
	binding->key_is_string = column_is_string(att);
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
		uint64		seen = binding_invalidations;

		build_track_binding(binding, event, trigger);
		binding->valid = seen == binding_invalidations;
	}
	return binding;
}
