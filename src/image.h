/*-------------------------------------------------------------------------
 *
 * image.h
 *	  Hash and equality of keys by their images.
 *
 * Layer: Postgres.
 *
 * An image is the bytes of a detoasted value.  Equality by it needs no operator
 * of anybody's.  Keys that are only equal to their operator (1.0 and 1.00) are
 * told apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_IMAGE_H
#define PLAYEVENT_IMAGE_H

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "parser/parse_coerce.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

/* What a column's values look like. */
typedef struct ImageType
{
	bool		is_string;		/* of any length, and may be empty */
	bool		byval;
	int16		len;
} ImageType;

/*
 * column_is_string
 *		Does the column hold strings of any length, which may be empty?
 */
static inline bool
column_is_string(Form_pg_attribute att)
{
	return att->attlen == -1 &&
		TypeCategory(getBaseType(att->atttypid)) == TYPCATEGORY_STRING;
}

static inline void
image_type(Form_pg_attribute att, ImageType *type)
{
	type->is_string = column_is_string(att);
	type->byval = att->attbyval;
	type->len = att->attlen;
}

/*
 * datum_image_hash and datum_image_eq of a value, which has been detoasted if
 * it is a string; those would have to find that out first.
 */
static inline uint32
hash_value(const ImageType *type, Datum value)
{
	if (type->is_string)
		return hash_bytes((unsigned char *) VARDATA_ANY(DatumGetPointer(value)),
						  VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
	return datum_image_hash(value, type->byval, type->len);
}

static inline bool
same_value(const ImageType *type, Datum a, Datum b)
{
	if (type->is_string)
	{
		Size		size = VARSIZE_ANY_EXHDR(DatumGetPointer(a));

		return size == VARSIZE_ANY_EXHDR(DatumGetPointer(b)) &&
			memcmp(VARDATA_ANY(DatumGetPointer(a)),
				   VARDATA_ANY(DatumGetPointer(b)), size) == 0;
	}
	return datum_image_eq(a, b, type->byval, type->len);
}

/*
 * The image of a key of several columns is a tuple's: values are detoasted
 * before that is formed, and a fresh tuple's padding is zero.
 */
static inline char *
tuple_image(MinimalTuple key)
{
	return (char *) key + MINIMAL_TUPLE_DATA_OFFSET;
}

static inline int
tuple_image_size(MinimalTuple key)
{
	return key->t_len - MINIMAL_TUPLE_DATA_OFFSET;
}

static inline int
compare_tuples(MinimalTuple a, MinimalTuple b)
{
	int			size_a = tuple_image_size(a);
	int			size_b = tuple_image_size(b);
	int			result = memcmp(tuple_image(a), tuple_image(b),
								Min(size_a, size_b));

	return result != 0 ? result : size_a - size_b;
}

static inline uint32
hash_tuple(MinimalTuple key)
{
	return hash_bytes((unsigned char *) tuple_image(key),
					  tuple_image_size(key));
}

#endif							/* PLAYEVENT_IMAGE_H */
