/*-------------------------------------------------------------------------
 *
 * trigger_owner.c
 *	  Promise P8: who may make playevent's triggers.
 *
 * Layer: DDL.
 *
 * Whoever has the right TRIGGER on a table could put one on it that acts with
 * the rights of the table's owner, or take away one that guards its rows.  An
 * event trigger leaves both to the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/deparse_utility.h"

#include "compat.h"
#include "ddl.h"
#include "restore.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_check_trigger_owner);

/* Does the trigger act with the rights of the table's owner? */
static bool
acts_as_owner(HeapTuple trigger)
{
	TriggerRole role = role_of_row(trigger);

	return role == ROLE_RESOLVE || role == ROLE_FLUSH || role == ROLE_COUNT ||
		role == ROLE_DEDUPE || role == ROLE_JUDGE;
}

static bool
is_guard(HeapTuple trigger)
{
	TriggerRole role = role_of_row(trigger);

	return role == ROLE_APPEND_ONLY || role == ROLE_SLOT_GUARD ||
		role == ROLE_PARTITION || role == ROLE_SEAL;
}

/*
 * check_made
 *		Check that whoever made this trigger may have done so.  If it is one of
 *		ours, look whether it comes with a restore.
 *
 * Which trigger it replaced, if any, is not to be known any more.  But each
 * table of a log has several, so the others tell.
 */
static void
check_made(Relation pg_trigger, Oid trigger_oid, bool may_replace)
{
	HeapTuple	made = copy_trigger(pg_trigger, trigger_oid);
	Oid			relid;
	Relation	rel;
	ListCell   *lc;

	if (made == NULL)
		elog(ERROR, "could not find tuple for trigger %u", trigger_oid);
	relid = form_of(made)->tgrelid;
	if (relation_ownercheck(relid, GetUserId()))
	{
		look_at_made(relid, made);
		return;
	}

	/* The command has locked it. */
	rel = relation_open(relid, NoLock);
	foreach(lc, copy_triggers(pg_trigger, relid))
	{
		HeapTuple	trigger = lfirst(lc);
		bool		is_made = form_of(trigger)->oid == trigger_oid;

		if (is_made && (acts_as_owner(trigger) || is_guard(trigger)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s",
							RelationGetRelationName(rel)),
					 is_guard(trigger) ?
					 errdetail("Trigger \"%s\" says what the table is for.",
							   NameStr(form_of(trigger)->tgname)) :
					 errdetail("Trigger \"%s\" acts with its owner's rights.",
							   NameStr(form_of(trigger)->tgname)),
					 errtable(rel)));
		if (may_replace && !is_made &&
			(acts_as_owner(trigger) || is_guard(trigger)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of table %s",
							RelationGetRelationName(rel)),
					 errdetail("CREATE OR REPLACE TRIGGER could replace a trigger of playevent's, as \"%s\" is one.",
							   NameStr(form_of(trigger)->tgname)),
					 errhint("Say CREATE TRIGGER."),
					 errtable(rel)));
	}
	relation_close(rel, NoLock);
}

/* Does the command make a trigger?  A glance at its parse tree. */
static bool
makes_trigger(Node *command)
{
	ListCell   *lc;

	if (IsA(command, CreateSchemaStmt))
	{
		foreach(lc, ((CreateSchemaStmt *) command)->schemaElts)
		{
			if (IsA(lfirst(lc), CreateTrigStmt))
				return true;
		}
	}
	return IsA(command, CreateTrigStmt);
}

/*
 * playevent.check_trigger_owner() returns event_trigger
 *
 * ON ddl_command_end: refuses triggers that call playevent's functions, and
 * CREATE OR REPLACE TRIGGER where there are some, to anyone but the table's
 * owner (42501).
 */
Datum
playevent_check_trigger_owner(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = check_event_trigger_call(fcinfo,
														  "check_trigger_owner");
	Relation	pg_trigger;
	ListCell   *lc;

	if (!makes_trigger(trigdata->parsetree))
		PG_RETURN_NULL();

	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	foreach(lc, collected_commands())
	{
		CollectedCommand *command = lfirst(lc);

		if (command->type == SCT_Simple &&
			IsA(command->parsetree, CreateTrigStmt))
			check_made(pg_trigger, command->d.simple.address.objectId,
					   ((CreateTrigStmt *) command->parsetree)->replace);
	}
	table_close(pg_trigger, AccessShareLock);

	PG_RETURN_NULL();
}
