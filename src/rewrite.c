/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *	  Promise P1: no ALTER TABLE says something else in rows that are recorded.
 *
 * Layer: DDL.
 *
 * ALTER COLUMN TYPE … USING writes a new file, and no row trigger fires for
 * what is in it.  So the command is refused where UPDATE is: on tables with a
 * guard that fires.  It may do what leaves every value as it is: integers that
 * are widened, or narrowed, which fails where one is too big; domains; and
 * what Postgres itself does without writing anything.  A table without rows
 * has nothing to keep.  Columns that are added, tables that are moved, and
 * changes of how they are stored don't matter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/indexing.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_type.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "ddl.h"
#include "trigger_role.h"

PG_FUNCTION_INFO_V1(playevent_watch_rewrites);

/*
 * column_before
 *		The column as it was before the command, as a Var; NULL if there was no
 *		column of that name.
 *
 * The catalog has its new type already.
 */
static Var *
column_before(Oid relid, const char *name)
{
	Relation	pg_attribute = table_open(AttributeRelationId, AccessShareLock);
	Snapshot	snapshot = register_snapshot_before();
	Var		   *column = NULL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_attribute_attname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(pg_attribute, AttributeRelidNameIndexId, true,
							  snapshot, lengthof(keys), keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);

		column = makeVar(1, att->attnum, att->atttypid, att->atttypmod,
						 att->attcollation, 0);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(pg_attribute, AccessShareLock);
	return column;
}

/* Is it a function that casts one integer type to another? */
static bool
casts_integer(Oid function)
{
	switch (function)
	{
		case F_INT2_INT4:
		case F_INT2_INT8:
		case F_INT4_INT2:
		case F_INT4_INT8:
		case F_INT8_INT2:
		case F_INT8_INT4:
			return true;
		default:
			return false;
	}
}

/*
 * keeps_value
 *		Is what the expression gives the value of the column that it is about?
 *
 * Like ATColumnChangeRequiresRewrite, but that checks may be made of values,
 * and integers may be stored in another width.
 */
static bool
keeps_value(Node *expr)
{
	for (;;)
	{
		if (IsA(expr, Var))
			return true;
		else if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceToDomain))
			expr = (Node *) ((CoerceToDomain *) expr)->arg;
		else if (IsA(expr, FuncExpr) &&
				 casts_integer(((FuncExpr *) expr)->funcid))
			expr = linitial(((FuncExpr *) expr)->args);
		else
			return false;
	}
}

/*
 * casts_alone
 *		Does the expression after USING do no more than to cast the column to
 *		its new type?  Migrations that tools make say so where it is not needed.
 */
static bool
casts_alone(Node *expr, const char *name, Oid type, int32 typmod)
{
	ColumnRef  *ref;

	if (IsA(expr, TypeCast))
	{
		Oid			cast_type;
		int32		cast_typmod;

		typenameTypeIdAndMod(NULL, ((TypeCast *) expr)->typeName, &cast_type,
							 &cast_typmod);
		if (cast_type != type || cast_typmod != typmod)
			return false;
		expr = ((TypeCast *) expr)->arg;
	}
	if (!IsA(expr, ColumnRef))
		return false;
	ref = (ColumnRef *) expr;
	return list_length(ref->fields) == 1 &&
		IsA(linitial(ref->fields), String) &&
		strcmp(strVal(linitial(ref->fields)), name) == 0;
}

/*
 * keeps_values
 *		Does ALTER COLUMN TYPE leave the column's values as they are?
 */
static bool
keeps_values(Oid relid, AlterTableCmd *change)
{
	Node	   *using = castNode(ColumnDef, change->def)->raw_default;
	CoercionContext context = using != NULL ? COERCION_EXPLICIT :
	COERCION_ASSIGNMENT;
	Var		   *column = column_before(relid, change->name);
	ParseState *pstate = make_parsestate(NULL);
	Oid			type;
	int32		typmod;
	Oid			collation;
	Node	   *expr;

	if (column == NULL)
		return false;
	get_atttypetypmodcoll(relid, column->varattno, &type, &typmod, &collation);
	if (using != NULL && !casts_alone(using, change->name, type, typmod))
		return false;
	expr = coerce_to_target_type(pstate, (Node *) column, column->vartype, type,
								 typmod, context, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		return false;
	assign_expr_collations(pstate, expr);
	return keeps_value((Node *) expression_planner((Expr *) expr));
}

/*
 * changed_column
 *		The column whose values the command changes; NULL if it changes none.
 */
static const char *
changed_column(Oid relid, AlterTableStmt *command, int reason,
			   const char **how)
{
	ListCell   *lc;

	foreach(lc, command->cmds)
	{
		AlterTableCmd *change = lfirst_node(AlterTableCmd, lc);

		/* An attribute's, if the table is made of a composite type. */
		*how = command->objtype == OBJECT_TYPE ?
			"ALTER ATTRIBUTE TYPE" : "ALTER COLUMN TYPE";
		if (change->subtype == AT_AlterColumnType &&
			(reason & AT_REWRITE_COLUMN_REWRITE) != 0 &&
			!keeps_values(relid, change))
			return change->name;
		*how = "SET EXPRESSION";
		if (sets_expression(change))
			return change->name;
	}
	return NULL;
}

static bool
is_empty(Oid relid)
{
	/* The command has locked it. */
	Relation	rel = relation_open(relid, NoLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	relation_close(rel, NoLock);
	return nblocks == 0;
}

/*
 * playevent.watch_rewrites() returns event_trigger
 *
 * ON table_rewrite: refuses to change values in a log, or in a slot table
 * (23001).
 */
Datum
playevent_watch_rewrites(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = check_event_trigger_call(fcinfo,
														  "watch_rewrites");
	Datum		table = OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_OID);
	Datum		why = OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_REASON);
	Oid			relid = DatumGetObjectId(table);
	int			reason = DatumGetInt32(why);
	NameData	guard;
	bool		is_slots;
	const char *column;
	const char *how;

	if ((reason & (AT_REWRITE_COLUMN_REWRITE | AT_REWRITE_DEFAULT_VAL)) == 0 ||
		!find_guard(relid, &guard, &is_slots) || is_empty(relid))
		PG_RETURN_NULL();
	column = changed_column(relid,
							castNode(AlterTableStmt, trigdata->parsetree),
							reason, &how);
	if (column == NULL)
		PG_RETURN_NULL();

	if (is_slots)
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("table \"%s\" is written by playevent alone",
						get_rel_name(relid)),
				 errdetail("%s would rewrite column \"%s\": the counts in it follow from the log.",
						   how, column),
				 errhint("To have counts by columns of other types, drop the table, and let playevent.attach_log make it again."),
				 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(relid))));
	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 errmsg("table \"%s\" is append-only", get_rel_name(relid)),
			 errdetail("%s would rewrite column \"%s\": what has been played stays as it was recorded.",
					   how, column),
			 errhint("Add another column.  To rewrite this one all the same, disable trigger \"%s\" first.",
					 NameStr(guard)),
			 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(relid))));
	PG_RETURN_NULL();			/* keep compiler quiet */
}
