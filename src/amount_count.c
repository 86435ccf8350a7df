/*-------------------------------------------------------------------------
 *
 * amount_count.c
 *	  Counts: how many rows there are of a key.
 *
 * Layer: storage.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/int.h"

#include "amount.h"

/*
 * append_bigint_query
 *		The query for keys whose bigints differ from what the log has.
 */
void
append_bigint_query(StringInfo query, const Comparison *of,
					const char *logged)
{
	appendStringInfo(query,
					 "SELECT %ssum(counted)::bigint, sum(logged)::bigint"
					 " FROM (SELECT %s%s, 0::bigint FROM ONLY %s"
					 " UNION ALL SELECT %s0::bigint, %s FROM %s WHERE %s"
					 " GROUP BY %s)"
					 " AS side(%scounted, logged)"
					 " GROUP BY %s HAVING sum(counted) <> sum(logged)",
					 of->aliases,
					 of->keys, of->amount, of->slot_table,
					 of->keys, logged, of->log, of->condition, of->numbers,
					 of->aliases,
					 of->numbers);
}

/*
 * bigint_difference
 *		What is to be added, which may be less than nothing.
 */
void
bigint_difference(const Datum *values, const bool *isnull pg_attribute_unused(),
				  Difference *difference)
{
	int64		missing;

	if (pg_sub_s64_overflow(DatumGetInt64(values[1]),
							DatumGetInt64(values[0]), &missing))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("what a counter lacks is out of range")));
	difference->adds = true;
	difference->lacks = missing > 0;
	difference->has_surplus = false;
	difference->amount = Int64GetDatum(missing);
}

static void
append_count_query(StringInfo query, const Comparison *of)
{
	append_bigint_query(query, of, "count(*)");
}

static void
append_counts(StringInfo query, const Comparison *of)
{
	appendStringInfo(query, "SELECT %scount(*) FROM %s GROUP BY %s", of->keys,
					 of->log, of->numbers);
}

/*
 * append_bigint_sum
 *		The sum of two amounts that are bigints.
 */
void
append_bigint_sum(StringInfo query, const Comparison *of pg_attribute_unused(),
				  const char *a, const char *b)
{
	appendStringInfo(query, "%s OPERATOR(pg_catalog.+) %s", a, b);
}

const AmountKind amount_count = {
	.noun = "count",
	.column_type = "bigint",
	.is_bigint = true,
	.prune_below = BLCKSZ / 8,
	.append_logged = append_counts,
	.append_sum = append_bigint_sum,
	.append_query = append_count_query,
	.difference = bigint_difference,
};
