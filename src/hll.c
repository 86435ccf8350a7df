/*-------------------------------------------------------------------------
 *
 * hll.c
 *	  Sketches of distinct listeners: what HyperLogLog, by the extension hll,
 *	  keeps of a set to estimate its size.
 *
 * Layer: Postgres.
 *
 * playevent needs hll only where there is such a sketch, so its functions are
 * found by the type of the column that holds them: they are in the type's
 * schema and members of the same extension.  Nobody else's are called, as these
 * run in the middle of everyone's insert.  They are looked up without
 * permission checks on the current user, who need not know them.
 *
 * A sketch says the same whatever the order in which listeners came and in
 * which parts were merged; so two of the same listeners have equal images, if
 * one session has packed both.
 *
 * Memory: sketches are made in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "hll.h"

#define HLL "hll"				/* the extension, and its type */

/* How sketches begin: version and kind, parameters. */
#define HLL_HEADER		3
#define HLL_VERSION		1
#define HLL_EXPLICIT	2
#define HLL_SPARSE		3
#define HLL_FULL		4

static void
report_missing(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("extension \"%s\" does not have its function \"%s\"",
					HLL, name),
			 errhint("Update it: ALTER EXTENSION %s UPDATE;", HLL)));
}

/*
 * find_function
 *		Look up a function of extension hll.
 */
static Oid
find_function(const char *name, Oid namespace, Oid extension, int nargs,
			  const Oid *argtypes)
{
	Oid			oid;

	oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						  CStringGetDatum(name),
						  PointerGetDatum(buildoidvector(argtypes, nargs)),
						  ObjectIdGetDatum(namespace));
	if (!OidIsValid(oid) ||
		getExtensionOfObject(ProcedureRelationId, oid) != extension)
		report_missing(name);
	return oid;
}

/*
 * check_query_functions
 *		Check that the functions that amount_sketch.c names in queries are the
 *		extension's: with these types, no other can be meant.
 */
static void
check_query_functions(Oid type, Oid hash_type, Oid namespace, Oid extension)
{
	Oid			sketches[] = {type, type};
	Oid			add_args[] = {hash_type, INT4OID, INT4OID, INT8OID, INT4OID};

	(void) find_function("hll_add_agg", namespace, extension,
						 lengthof(add_args), add_args);
	(void) find_function("hll_union_agg", namespace, extension, 1, sketches);
	(void) find_function("hll_cardinality", namespace, extension, 1, sketches);
	(void) find_function("hll_ne", namespace, extension, 2, sketches);
}

/*
 * sketch_type
 *		How sketches of a type are worked with, in the context given; NULL if it
 *		is not hll, or without the parameters that all must share to be merged.
 */
SketchType *
sketch_type(Oid type, int32 typmod, MemoryContext context)
{
	SketchType	result;
	SketchType *copy;
	MemoryContext oldcontext;
	Oid			extension = getExtensionOfObject(TypeRelationId, type);
	Oid			namespace;
	HeapTuple	tuple;
	Form_pg_type form;
	FmgrInfo	empty;
	Oid			hash_args[] = {TEXTOID, INT4OID};
	Oid			add_args[] = {type, InvalidOid};
	Oid			merge_args[] = {type, type};
	Oid			empty_args[] = {INT4OID, INT4OID, INT8OID, INT4OID};
	bool		fits;
	char	   *parameters;
	int			log2m;
	int			regwidth;
	int64		expthresh;
	int			sparseon;

	if (!OidIsValid(extension) || typmod < 0 ||
		strcmp(get_extension_name(extension), HLL) != 0)
		return NULL;

	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	namespace = form->typnamespace;
	fits = strcmp(NameStr(form->typname), HLL) == 0;
	parameters = fits ?
		DatumGetCString(OidFunctionCall1(form->typmodout,
										 Int32GetDatum(typmod))) : "";
	ReleaseSysCache(tuple);
	if (sscanf(parameters, "(%d,%d," INT64_FORMAT ",%d)",
			   &log2m, &regwidth, &expthresh, &sparseon) != 4)
		return NULL;

	fmgr_info_cxt(find_function("hll_hash_text", namespace, extension,
								lengthof(hash_args), hash_args),
				  &result.hash, context);
	add_args[1] = get_func_rettype(result.hash.fn_oid);
	fmgr_info_cxt(find_function("hll_add", namespace, extension,
								lengthof(add_args), add_args),
				  &result.add, context);
	fmgr_info_cxt(find_function("hll_union", namespace, extension,
								lengthof(merge_args), merge_args),
				  &result.merge, context);
	fmgr_info(find_function("hll_empty", namespace, extension,
							lengthof(empty_args), empty_args), &empty);
	check_query_functions(type, add_args[1], namespace, extension);
	result.empty = FunctionCall4(&empty, Int32GetDatum(log2m),
								 Int32GetDatum(regwidth),
								 Int64GetDatum(expthresh),
								 Int32GetDatum(sparseon));

	oldcontext = MemoryContextSwitchTo(context);
	copy = palloc(sizeof(SketchType));
	*copy = result;
	copy->empty = datumCopy(result.empty, false, -1);
	copy->parameters = psprintf("%d, %d, " INT64_FORMAT "::int8, %d",
								log2m, regwidth, expthresh, sparseon);
	MemoryContextSwitchTo(oldcontext);
	return copy;
}

/*
 * sketch_add
 *		The sketch with one more listener.
 */
Datum
sketch_add(SketchType *type, Datum sketch, Datum listener)
{
	return FunctionCall2(&type->add, sketch,
						 FunctionCall2(&type->hash, listener,
									   Int32GetDatum(0)));
}

/*
 * sketch_union
 *		The sketch of the listeners of both.
 */
Datum
sketch_union(SketchType *type, Datum a, Datum b)
{
	return FunctionCall2(&type->merge, a, b);
}

/*
 * sketch_equal
 *		Do the two look the same?
 */
bool
sketch_equal(Datum a, Datum b)
{
	return datum_image_eq(a, b, false, -1);
}

/*
 * read_bits
 *		As many bits of a stream, most significant first; at most 32.
 */
static uint32
read_bits(const uint8 *data, Size size, Size start, int width)
{
	uint64		window = 0;

	for (Size i = start / 8; i < start / 8 + 5; i++)
		window = window << 8 | (i < size ? data[i] : 0);
	return window >> (40 - start % 8 - width) & ((UINT64CONST(1) << width) - 1);
}

static uint64
read_hash(const uint8 *data)
{
	uint64		hash;

	memcpy(&hash, data, sizeof(hash));
	return pg_ntoh64(hash);
}

/*
 * explicit_contains
 *		Is the hash one of those listed, in ascending order?
 */
static bool
explicit_contains(const uint8 *data, Size size, uint64 hash)
{
	Size		low = 0;
	Size		high = size / sizeof(uint64);

	while (low < high)
	{
		Size		middle = low + (high - low) / 2;
		uint64		found = read_hash(data + middle * sizeof(uint64));

		if (found == hash)
			return true;
		if ((int64) found < (int64) hash)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/*
 * find_register
 *		The value of a register: of all in their order or, if sparse, of pairs
 *		of number and value, in the order of numbers.
 */
static uint32
find_register(const uint8 *data, Size size, bool is_sparse, int log2m,
			  int width, uint32 number)
{
	int			pair = log2m + width;
	Size		low = 0;
	Size		high = size * 8 / pair;

	if (!is_sparse)
		return read_bits(data, size, (Size) number * width, width);
	while (low < high)
	{
		Size		middle = low + (high - low) / 2;
		uint32		found = read_bits(data, size, middle * pair, pair);

		if (found >> width == number)
			return found & ((1 << width) - 1);
		if (found >> width < number)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/*
 * sketch_contains
 *		Would the union of a sketch with one of a few listeners be no other?
 *		False if that takes more than a look.
 *
 * To unite with a large sketch takes a tenth of a millisecond, and most of the
 * listeners of a track that has many leave its sketch as it is.  So this reads
 * the images of sketches, of version 1 of hll's storage format.
 */
bool
sketch_contains(Datum set, Datum listeners)
{
	struct varlena *set_image = PG_DETOAST_DATUM_PACKED(set);
	struct varlena *listeners_image = PG_DETOAST_DATUM_PACKED(listeners);
	const uint8 *data = (uint8 *) VARDATA_ANY(set_image);
	const uint8 *few = (uint8 *) VARDATA_ANY(listeners_image);
	Size		size = VARSIZE_ANY_EXHDR(set_image);
	Size		few_size = VARSIZE_ANY_EXHDR(listeners_image);
	int			log2m;
	int			width;

	if (size < HLL_HEADER || few_size < HLL_HEADER ||
		data[0] >> 4 != HLL_VERSION ||
		few[0] != (HLL_VERSION << 4 | HLL_EXPLICIT) ||
		memcmp(data + 1, few + 1, HLL_HEADER - 1) != 0)
		return false;
	width = (data[1] >> 5) + 1;
	log2m = data[1] & 0x1f;

	for (Size i = HLL_HEADER; i + sizeof(uint64) <= few_size; i += sizeof(uint64))
	{
		uint64		hash = read_hash(few + i);
		uint64		rest = hash >> log2m;
		uint32		rank = rest == 0 ? 0 : pg_rightmost_one_pos64(rest) + 1;

		switch (data[0] & 0xf)
		{
			case HLL_EXPLICIT:
				if (!explicit_contains(data + HLL_HEADER, size - HLL_HEADER,
									   hash))
					return false;
				break;
			case HLL_SPARSE:
			case HLL_FULL:
				if (find_register(data + HLL_HEADER, size - HLL_HEADER,
								  (data[0] & 0xf) == HLL_SPARSE, log2m, width,
								  hash & ((1 << log2m) - 1)) <
					Min(rank, (1 << width) - 1))
					return false;
				break;
			default:
				return false;
		}
	}
	return true;
}

/*
 * sketch_schema
 *		The schema of hll's functions, quoted.  What is bound does not hear of it if
 *		these are dropped.
 */
const char *
sketch_schema(SketchType *type)
{
	char	   *schema = get_namespace_name(get_func_namespace(type->merge.fn_oid));

	if (schema == NULL)
		report_missing("hll_union");
	return quote_identifier(schema);
}
