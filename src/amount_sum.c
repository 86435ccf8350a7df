/*-------------------------------------------------------------------------
 *
 * amount_sum.c
 *	  Sums: what a column of integers adds up to in the rows of a key.
 *
 * Layer: storage.
 *
 * A row whose value is null adds nothing, and so does one of zero: a key whose
 * values add up to zero is as good as none, in the slots as in the view.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "amount.h"
#include "integer.h"

/*
 * bind_summed
 *		Look up how wide the column's integers are.
 */
static void
bind_summed(AmountSource *source, Relation event, Trigger *trigger)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(event),
										  source->attno - 1);

	source->type = getBaseType(att->atttypid);
	if (source->type != INT8OID && source->type != INT4OID &&
		source->type != INT2OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, and can't be added up",
						NameStr(att->attname),
						RelationGetRelationName(event),
						format_type_be(att->atttypid)),
				 errdetail("Trigger \"%s\" takes bigint, integer or smallint.",
						   trigger->tgname),
				 errhint("Name another column to playevent.add_counter as \"amount\"; if there is such a counter, call playevent.drop_counter first."),
				 errtablecol(event, source->attno)));
}

static bool
read_summed(const AmountSource *source, TupleTableSlot *row, Datum *value)
{
	bool		isnull;
	Datum		integer = slot_getattr(row, source->attno, &isnull);

	if (isnull)
		return false;
	*value = Int64GetDatum(integer_value(source->type, integer));
	return true;
}

/*
 * Postgres adds up bigints as numeric: where some are negative, it is the sum that
 * must be in range, and not what was added up so far.
 */
static void
append_sum_query(StringInfo query, const Comparison *of)
{
	append_bigint_query(query, of,
						psprintf("coalesce(sum(%s), 0)", of->source));
}

static void
append_sums(StringInfo query, const Comparison *of)
{
	appendStringInfo(query,
					 "SELECT %scoalesce(sum(%s), 0)::bigint FROM %s GROUP BY %s",
					 of->keys, of->source, of->log, of->numbers);
}

const AmountKind amount_sum = {
	.noun = "sum",
	.column_type = "bigint",
	.is_bigint = true,
	.has_source = true,
	.prune_below = BLCKSZ / 8,
	.bind_source = bind_summed,
	.read_source = read_summed,
	.append_logged = append_sums,
	.append_sum = append_bigint_sum,
	.append_query = append_sum_query,
	.difference = bigint_difference,
};
