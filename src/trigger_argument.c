/*-------------------------------------------------------------------------
 *
 * trigger_argument.c
 *	  What the arguments of playevent's triggers name: tables and columns
 *	  (P8, P10).
 *
 * Layer: triggers' words.
 *
 * The triggers are the only catalog playevent has.  Their arguments are names,
 * so that a dump, a copy of the schema or a shard carries them along; a name
 * without a schema means the schema of the log.  search_path has no say.
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

#include "access/detoast.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "as_owner.h"
#include "guarded_write.h"
#include "shard.h"
#include "trigger_argument.h"

/* Names of two tables and of as many columns as an index has take less. */
#define ARGUMENTS_SIZE 8192
#define ARGUMENTS_MAX (INDEX_MAX_KEYS + 8)

/*
 * arguments_fit
 *		May a trigger's arguments, as pg_trigger has them, be ours?
 *
 * Anybody can make a trigger whose arguments take no room there, being
 * compressed, and all memory when they are looked at; or thousands of empty ones,
 * which are long to take apart.
 */
bool
arguments_fit(Datum tgargs)
{
	bytea	   *arguments;
	const char *next;
	const char *end;
	int			n = 0;

	if (toast_raw_datum_size(tgargs) > ARGUMENTS_SIZE)
		return false;
	arguments = DatumGetByteaPP(tgargs);
	next = VARDATA_ANY(arguments);
	end = next + VARSIZE_ANY_EXHDR(arguments);
	while (n <= ARGUMENTS_MAX &&
		   (next = memchr(next, '\0', end - next)) != NULL)
	{
		next++;
		n++;
	}
	return n <= ARGUMENTS_MAX;
}

/*
 * split_name
 *		The parts of a name, which may have a schema in front, both quoted as
 *		SQL has it; false if it isn't one.
 *
 * To take a very long one apart would take the square of its length, without
 * an end in sight for whoever cancels that.
 */
bool
split_name(const char *name, List **parts)
{
	return strnlen(name, QUALIFIED_NAME_SIZE) < QUALIFIED_NAME_SIZE &&
		SplitIdentifierString(pstrdup(name), '.', parts) &&
		(list_length(*parts) == 1 || list_length(*parts) == 2);
}

/*
 * named_relation
 *		The relation of that name, which may have a schema in front; InvalidOid
 *		if there is none, or if it isn't a name.  *namespace is set to the
 *		schema, or InvalidOid.
 */
Oid
named_relation(const char *name, Oid default_namespace, Oid *namespace)
{
	List	   *parts;

	*namespace = InvalidOid;
	if (!split_name(name, &parts))
		return InvalidOid;
	*namespace = list_length(parts) == 2 ?
		get_namespace_oid(linitial(parts), true) : default_namespace;
	return OidIsValid(*namespace) ?
		get_relname_relid(llast(parts), *namespace) : InvalidOid;
}

/*
 * table_named_by
 *		The relation that an argument of a trigger of this table names: without a
 *		schema in front, one of the table's own; for a shard, that one's shard
 *		beside it (shard.c).
 */
Oid
table_named_by(Oid table, const char *name, Oid *namespace)
{
	Oid			named = named_relation(name, get_rel_namespace(table), namespace);

	return OidIsValid(named) ? table_beside(table, named) : InvalidOid;
}

/*
 * spoken_name
 *		A name as an argument has it, without SQL's quotes: messages have some
 *		of their own.
 */
const char *
spoken_name(const char *name)
{
	List	   *parts;

	if (!split_name(name, &parts))
		return name;
	return list_length(parts) == 1 ? linitial(parts) :
		psprintf("%s.%s", (char *) linitial(parts), (char *) lsecond(parts));
}

/*
 * qualified_name
 *		The name of a relation with its schema, as SQL takes it.
 *
 * The owner's code may have dropped it just now (42P01).
 */
char *
qualified_name(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	if (name == NULL || schema == NULL)
		report_dropped(relid);
	return quote_qualified_identifier(schema, name);
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
		relid = table_named_by(log, name, namespace);
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
 * is_up_to_date
 *		Are the trigger's function and arguments those that its table's trigger
 *		has by now?
 */
static bool
is_up_to_date(Relation event, Trigger *trigger)
{
	TriggerDesc *triggers = CopyTriggerDesc(event->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *now = &triggers->triggers[i];
		bool		same = now->tgnargs == trigger->tgnargs &&
		now->tgfoid == trigger->tgfoid;

		if (now->tgoid != trigger->tgoid)
			continue;
		for (int arg = 0; same && arg < now->tgnargs; arg++)
			same = strcmp(now->tgargs[arg], trigger->tgargs[arg]) == 0;
		return same;
	}
	return false;
}

/*
 * check_up_to_date
 *		Check that a trigger is as it was when the statement began, which keeps
 *		a copy of it: code of the table's owner, in a default, may have replaced
 *		it since.
 */
void
check_up_to_date(Relation event, Trigger *trigger)
{
	if (!is_up_to_date(event, trigger))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("trigger \"%s\" of table \"%s\" was altered in the middle of a statement",
						trigger->tgname, RelationGetRelationName(event)),
				 errhint("Alter it between statements.")));
}

/*
 * log_name
 *		The name of the log that the table is, or is a partition of: hints name it,
 *		for attach_log takes no partition.
 */
const char *
log_name(Relation event)
{
	return get_rel_name(root_of(RelationGetRelid(event)));
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
				 errhint(HINT_REATTACH, log_name(event)),
				 errtable(rel)));
	return attno;
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
 *
 * A release may come from a column of a domain over the event's type: such
 * values are of that type, and what else the domain asks is its owner's
 * business.  Not the reverse, for nothing would ask it of what is put into the
 * event's.
 */
void
check_same_type(Relation event, AttrNumber event_attno, Relation rel,
				AttrNumber attno, Trigger *trigger, bool is_slot_table)
{
	Form_pg_attribute mine = TupleDescAttr(RelationGetDescr(event),
										   event_attno - 1);
	Form_pg_attribute other = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	if (mine->atttypid != other->atttypid &&
		(is_slot_table || mine->atttypid != getBaseType(other->atttypid)))
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
						 log_name(event)) :
				 errhint("Give both columns the same type."),
				 errtablecol(event, event_attno)));
}
