/*-------------------------------------------------------------------------
 *
 * integer.h
 *	  Integers of whichever type, as bigints.
 *
 * Layer: Postgres.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_INTEGER_H
#define PLAYEVENT_INTEGER_H

#include "catalog/pg_type.h"

static inline int64
integer_value(Oid type, Datum integer)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(integer);
		case INT4OID:
			return DatumGetInt32(integer);
		default:
			return DatumGetInt64(integer);
	}
}

static inline Datum
integer_datum(Oid type, int64 value)
{
	switch (type)
	{
		case INT2OID:
			return Int16GetDatum((int16) value);
		case INT4OID:
			return Int32GetDatum((int32) value);
		default:
			return Int64GetDatum(value);
	}
}

#endif							/* PLAYEVENT_INTEGER_H */
