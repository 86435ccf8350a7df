/*-------------------------------------------------------------------------
 *
 * heard.c
 *	  The kind of a play by how much of it was heard.
 *
 * Layer: recording.
 *
 * How much was heard is the furthest point that was, as a fraction of the track.
 * A log's functions name thresholds, and the kind that begins at each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "heard.h"
#include "record_log.h"

PG_FUNCTION_INFO_V1(playevent_kind_of);

/*
 * check_kinds
 *		Check that kind_of's arrays belong together; their length.
 */
static int
check_kinds(ArrayType *thresholds, ArrayType *kinds)
{
	int			n = ARR_NDIM(thresholds) == 1 ? ARR_DIMS(thresholds)[0] : 0;

	if (n == 0 || ARR_NDIM(kinds) != 1 || ARR_DIMS(kinds)[0] != n ||
		array_contains_nulls(thresholds) || array_contains_nulls(kinds))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arguments \"thresholds\" and \"kinds\" do not match"),
				 errhint("Give each kind the fraction of a track it starts at.")));
	return n;
}

/*
 * label_value
 *		The value of an enum of this label.
 */
static Datum
label_value(Oid type, char *label)
{
	if (strlen(label) >= NAMEDATALEN ||
		!SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
							   CStringGetDatum(label)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("type %s has no value \"%s\"", format_type_be(type),
						label),
				 errdetail("The function that finds kinds knows it by this name."),
				 errhint("Rename the value back, or put its new name into the function.")));
	return DirectFunctionCall2(enum_in, CStringGetDatum(label),
							   ObjectIdGetDatum(type));
}

/*
 * kind_value
 *		The kind of this name, as a value of the type: an enum's by its label,
 *		since places of values shift when one is added.
 */
Datum
kind_value(Oid type, char *kind)
{
	Oid			input;
	Oid			parameter;

	if (get_typtype(type) == TYPTYPE_ENUM)
		return label_value(type, kind);
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case TEXTOID:
		case VARCHAROID:
			getTypeInputInfo(type, &input, &parameter);
			return OidInputFunctionCall(input, kind, parameter, -1);
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("kinds of type %s can't be told from how much was heard",
							format_type_be(type)),
					 errdetail("They must be of an enum, integers or text.")));
	}
}

/*
 * heard_rule
 *		From where on each kind begins.
 *
 * Errors: arrays that don't match (2202E).
 */
void
heard_rule(ArrayType *thresholds, ArrayType *kinds, HeardRule *rule)
{
	bool	   *isnull;

	rule->n = check_kinds(thresholds, kinds);
	rule->thresholds = (float8 *) ARR_DATA_PTR(thresholds);
	deconstruct_array(kinds, TEXTOID, -1, false, TYPALIGN_INT, &rule->kinds,
					  &isnull, &rule->n);
}

/*
 * heard_fault
 *		Why a play that was heard so far is none; else *kind is the number of the
 *		kind with the highest threshold that was reached.
 */
PlayFault
heard_fault(const HeardRule *rule, float8 heard, int *kind)
{
	int			best = -1;

	/* NaN is neither. */
	if (!(heard >= 0 && heard <= 1))
		return FAULT_HEARD_OUT_OF_RANGE;
	for (int i = 0; i < rule->n; i++)
	{
		if (heard >= rule->thresholds[i] &&
			(best < 0 || rule->thresholds[i] > rule->thresholds[best]))
			best = i;
	}
	*kind = best;
	return best < 0 ? FAULT_HEARD_TOO_LITTLE : FAULT_NONE;
}

/*
 * classify
 *		The name of the kind that has the highest threshold which was reached;
 *		NULL if none was.
 *
 * Errors: not from 0 to 1 (22003), arrays that don't match (2202E).
 */
char *
classify(float8 heard, const char *argument, ArrayType *thresholds,
		 ArrayType *kinds)
{
	HeardRule	rule;
	int			kind;

	heard_rule(thresholds, kinds, &rule);
	switch (heard_fault(&rule, heard, &kind))
	{
		case FAULT_NONE:
			return TextDatumGetCString(rule.kinds[kind]);
		case FAULT_HEARD_TOO_LITTLE:
			return NULL;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("argument \"%s\" is %s", argument,
							float8out_internal(heard)),
					 errdetail("It is the furthest point that was heard, as a fraction of the track: from 0 to 1.")));
	}
}

/*
 * kind_type
 *		The type of a log's column of kinds, without its domains.
 */
Oid
kind_type(Relation rel, const NameData *column)
{
	AttrNumber	attno = record_column(rel, column, true);

	return getBaseType(TupleDescAttr(RelationGetDescr(rel),
									 attno - 1)->atttypid);
}

/*
 * heard_type
 *		As what a column is sent how much was heard: real if it is that, for
 *		to make one of what is next to nothing would be an error.
 */
Oid
heard_type(Relation rel, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	return getBaseType(att->atttypid) == FLOAT4OID ? FLOAT4OID : FLOAT8OID;
}

Datum
heard_value(Oid type, float8 heard)
{
	return type == FLOAT4OID ? Float4GetDatum((float4) heard) :
		Float8GetDatum(heard);
}

/*
 * playevent.kind_of(high_water double precision, thresholds double precision[],
 *					 kinds text[], kind anyelement) returns anyelement
 *
 * The kind, a value of the last argument's type, that has the highest threshold
 * which was reached; null if none was.
 *
 * Errors: those of classify; no value of that label (22P02).
 */
Datum
playevent_kind_of(PG_FUNCTION_ARGS)
{
	char	   *kind;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	kind = classify(PG_GETARG_FLOAT8(0), "high_water",
					PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_ARRAYTYPE_P(2));
	if (kind == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(kind_value(get_fn_expr_argtype(fcinfo->flinfo, 3), kind));
}
