/*-------------------------------------------------------------------------
 *
 * amount_sketch.c
 *	  Sketches: about how many distinct listeners there are of a key.
 *
 * Layer: storage.
 *
 * Sketches are united instead of added.  Nothing ever takes listeners out again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "amount.h"
#include "hll.h"

/*
 * Listeners to gather in a small sketch before that is merged into a larger
 * one: adding to a large one takes as long as to merge.
 */
#define SKETCH_BATCH 64

/* The listeners of a key; a sketch is 0 if there is nobody in it. */
typedef struct GatheredSketch
{
	Gathered	head;
	Datum		merged;
	Datum		fresh;
	int			nfresh;			/* listeners added to fresh */
} GatheredSketch;

static void *
bind_sketch_column(Form_pg_attribute att, MemoryContext context)
{
	return sketch_type(att->atttypid, att->atttypmod, context);
}

static Datum
add_sketches(void *column, Datum a, Datum b)
{
	return sketch_union(column, a, b);
}

static bool
covers_sketch(void *column, Datum known, Datum amount, Datum *sum)
{
	if (sketch_contains(known, amount))
		return true;
	*sum = sketch_union(column, known, amount);
	return sketch_equal(*sum, known);
}

/*
 * gathered_sketch
 *		What is pending, made if nothing is.
 */
static GatheredSketch *
gathered_sketch(Gathered **gathered)
{
	if (*gathered == NULL)
		*gathered = palloc0(sizeof(GatheredSketch));
	return (GatheredSketch *) *gathered;
}

/*
 * set_sketch
 *		Replace one of the two sketches.
 */
static void
set_sketch(GatheredSketch *gathered, Datum *place, Datum sketch)
{
	if (*place != (Datum) 0)
	{
		gathered->head.size -= VARSIZE_ANY(DatumGetPointer(*place));
		pfree(DatumGetPointer(*place));
	}
	if (sketch != (Datum) 0)
		gathered->head.size += VARSIZE_ANY(DatumGetPointer(sketch));
	*place = sketch;
}

static void
merge_sketch(SketchType *type, GatheredSketch *gathered, Datum sketch)
{
	set_sketch(gathered, &gathered->merged,
			   gathered->merged == (Datum) 0 ? datumCopy(sketch, false, -1) :
			   sketch_union(type, gathered->merged, sketch));
}

static void
gather_listener(void *column, Gathered **pending, Datum listener)
{
	SketchType *type = column;
	GatheredSketch *gathered = gathered_sketch(pending);

	set_sketch(gathered, &gathered->fresh,
			   sketch_add(type, gathered->fresh == (Datum) 0 ? type->empty :
						  gathered->fresh, listener));
	if (++gathered->nfresh >= SKETCH_BATCH)
	{
		merge_sketch(type, gathered, gathered->fresh);
		set_sketch(gathered, &gathered->fresh, (Datum) 0);
		gathered->nfresh = 0;
	}
}

static void
gather_sketch(void *column, Gathered **gathered, Datum sketch)
{
	merge_sketch(column, gathered_sketch(gathered), sketch);
}

static Datum
sketch_gathered(void *column, Gathered *pending)
{
	GatheredSketch *gathered = (GatheredSketch *) pending;

	if (gathered->merged == (Datum) 0)
		return gathered->fresh;
	if (gathered->fresh == (Datum) 0)
		return gathered->merged;
	return sketch_union(column, gathered->merged, gathered->fresh);
}

static void
free_gathered_sketch(Gathered *pending)
{
	GatheredSketch *gathered = (GatheredSketch *) pending;

	if (gathered->merged != (Datum) 0)
		pfree(DatumGetPointer(gathered->merged));
	if (gathered->fresh != (Datum) 0)
		pfree(DatumGetPointer(gathered->fresh));
	pfree(gathered);
}

/*
 * bind_listener
 *		Look up how to make a text of what tells listeners apart: of a type whose
 *		output no setting changes.
 */
static void
bind_listener(AmountSource *source, Relation event, Trigger *trigger)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(event),
										  source->attno - 1);
	bool		is_varlena;

	source->output = InvalidOid;
	source->type = getBaseType(att->atttypid);
	switch (source->type)
	{
		case TEXTOID:
		case VARCHAROID:
			break;
		case UUIDOID:
		case INT4OID:
		case INT8OID:
			getTypeOutputInfo(att->atttypid, &source->output, &is_varlena);
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
					 errhint("Name another column to playevent.add_listener_sketch; if there are sketches, call playevent.drop_counter first."),
					 errtablecol(event, source->attno)));
	}
}

static bool
read_listener(const AmountSource *source, TupleTableSlot *row, Datum *listener)
{
	bool		is_nobody;

	*listener = slot_getattr(row, source->attno, &is_nobody);
	if (!is_nobody && OidIsValid(source->output))
		*listener = CStringGetTextDatum(OidOutputFunctionCall(source->output,
															  *listener));
	return !is_nobody;
}

/*
 * append_sketch_query
 *		The keys whose sketches are not of the log's listeners: how many listeners
 *		there are about, for people; then the sketch of those in the log if one of
 *		them is missing, and whether there are any that the log has not.
 *
 * With exactly the types of hll's own functions, for whoever may create in their
 * schema could add one that fits as well.
 */
static void
append_sketch_query(StringInfo query, const Comparison *of)
{
	SketchType *type = of->column;
	const char *hll = sketch_schema(type);

	appendStringInfo(query,
					 "SELECT %s"
					 "coalesce(round(%s.hll_cardinality(counted))::bigint, 0),"
					 " coalesce(round(%s.hll_cardinality(logged))::bigint, 0),",
					 of->aliases, hll, hll);
	appendStringInfo(query,
					 " CASE WHEN counted IS NULL OR"
					 " %s.hll_ne(%s.hll_union(counted, logged), counted)"
					 " THEN logged END,"
					 " counted IS NOT NULL AND"
					 " %s.hll_ne(%s.hll_union(counted, logged), logged) IS NOT FALSE",
					 hll, hll, hll, hll);
	appendStringInfo(query,
					 " FROM (SELECT %s%s.hll_union_agg(counted),"
					 " %s.hll_union_agg(logged)"
					 " FROM (SELECT %s%s, NULL::%s.hll FROM ONLY %s",
					 of->aliases, hll,
					 hll,
					 of->keys, of->amount, hll, of->slot_table);
	appendStringInfo(query,
					 " UNION ALL SELECT %sNULL::%s.hll,"
					 " %s.hll_add_agg(%s.hll_hash_text(%s::text, 0::int4), %s)"
					 " FROM %s WHERE %s IS NOT NULL AND %s GROUP BY %s",
					 of->keys, hll,
					 hll, hll, of->source, type->parameters,
					 of->log, of->source, of->condition, of->numbers);

	/* Nothing is taken out of a sketch, so slots have what was retired, too. */
	if (of->retired != NULL)
		appendStringInfo(query, " UNION ALL SELECT %s%s, %s FROM ONLY %s",
						 of->keys, of->amount, of->amount, of->retired);
	appendStringInfo(query,
					 ") AS side(%scounted, logged) GROUP BY %s)"
					 " AS key(%scounted, logged)"
					 " WHERE %s.hll_ne(counted, logged) IS NOT FALSE",
					 of->aliases, of->numbers,
					 of->aliases,
					 hll);
}

static void
append_sketches(StringInfo query, const Comparison *of)
{
	SketchType *type = of->column;
	const char *hll = sketch_schema(type);

	appendStringInfo(query,
					 "SELECT %s%s.hll_add_agg(%s.hll_hash_text(%s::text, 0::int4), %s)"
					 " FROM %s WHERE %s IS NOT NULL GROUP BY %s",
					 of->keys, hll, hll, of->source, type->parameters,
					 of->log, of->source, of->numbers);
}

static void
append_sketch_sum(StringInfo query, const Comparison *of, const char *a,
				  const char *b)
{
	appendStringInfo(query, "%s.hll_union(%s, %s)", sketch_schema(of->column),
					 a, b);
}

static void
sketch_difference(const Datum *values, const bool *isnull,
				  Difference *difference)
{
	difference->adds = difference->lacks = !isnull[2];
	difference->has_surplus = DatumGetBool(values[3]);
	if (difference->adds)
		difference->amount = PointerGetDatum(PG_DETOAST_DATUM(values[2]));
}

/*
 * A sketch may be two thirds of a page; one that is being aggregated takes
 * 128 kB.
 */
const AmountKind amount_sketch = {
	.noun = "sketch",
	.column_type = "hll, with parameters,",
	.has_source = true,
	.takes_memory = true,
	.prune_below = BLCKSZ / 2,
	.bind_column = bind_sketch_column,
	.add = add_sketches,
	.covers = covers_sketch,
	.gather_row = gather_listener,
	.gather = gather_sketch,
	.gathered_amount = sketch_gathered,
	.free_gathered = free_gathered_sketch,
	.bind_source = bind_listener,
	.read_source = read_listener,
	.append_logged = append_sketches,
	.append_sum = append_sketch_sum,
	.append_query = append_sketch_query,
	.difference = sketch_difference,
};
