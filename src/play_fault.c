/*-------------------------------------------------------------------------
 *
 * play_fault.c
 *	  Promise P9: what is wrong with a row is one thing, whichever way the row
 *	  came: an SQLSTATE and a message where it is an error, of a trigger or of a
 *	  single record, and a reason where a batch's receipt rejects it.
 *
 * Layer: rows.
 *
 * Nothing here tells a row's values: what may be told of them is in the detail
 * that a caller gives.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "image.h"
#include "play_fault.h"

/* A message takes the table's name, then the column's. */
typedef struct FaultTexts
{
	int			sqlstate;
	const char *reason;
	const char *message;
	const char *detail;			/* unless the caller has one */
} FaultTexts;

static const FaultTexts faults[] = {
	[FAULT_NO_KEY] = {
		ERRCODE_NOT_NULL_VIOLATION, "no key",
		"null value in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_NO_KEY_NOR_RELEASE] = {
		ERRCODE_CHECK_VIOLATION, "no key",
		"row for table \"%1$s\" has neither \"%2$s\" nor \"release_id\"", NULL
	},
	[FAULT_EMPTY_KEY] = {
		ERRCODE_CHECK_VIOLATION, "empty key",
		"empty value in column \"%2$s\" of table \"%1$s\"",
		"A play is of some track."
	},
	[FAULT_KEY_TOO_LONG] = {
		ERRCODE_STRING_DATA_RIGHT_TRUNCATION, "key too long",
		"value too long for column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_UNKNOWN_TRACK] = {
		ERRCODE_FOREIGN_KEY_VIOLATION, "unknown track",
		"unknown track in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_UNKNOWN_RELEASE] = {
		ERRCODE_FOREIGN_KEY_VIOLATION, "unknown release",
		"unknown release in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_NO_KIND] = {
		ERRCODE_NOT_NULL_VIOLATION, "no kind",
		"null value in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_UNKNOWN_KIND] = {
		ERRCODE_CHECK_VIOLATION, "unknown kind",
		"unknown kind in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_TIME_NOT_FINITE] = {
		ERRCODE_CHECK_VIOLATION, "time not finite",
		"value in column \"%2$s\" of table \"%1$s\" is out of range", NULL
	},
	[FAULT_TIME_AHEAD] = {
		ERRCODE_CHECK_VIOLATION, "time in the future",
		"value in column \"%2$s\" of table \"%1$s\" is out of range", NULL
	},
	[FAULT_NOT_HEARD] = {
		ERRCODE_NOT_NULL_VIOLATION, "not said how much was heard",
		"null value in column \"%2$s\" of table \"%1$s\"", NULL
	},
	[FAULT_HEARD_OUT_OF_RANGE] = {
		ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, "heard is not from 0 to 1",
		"value in column \"%2$s\" of table \"%1$s\" is out of range", NULL
	},
	[FAULT_HEARD_TOO_LITTLE] = {
		ERRCODE_CHECK_VIOLATION, "heard too little",
		"value in column \"%2$s\" of table \"%1$s\" is out of range", NULL
	},
};

/*
 * key_rule
 *		Read off what the column of keys asks of one.
 */
void
key_rule(Form_pg_attribute att, KeyRule *rule)
{
	rule->is_string = column_is_string(att);
	rule->max_chars = att->atttypid == VARCHAROID && att->atttypmod >= VARHDRSZ ?
		att->atttypmod - VARHDRSZ : 0;
}

/*
 * key_fault
 *		What is wrong with a key, which is not null.
 */
PlayFault
key_fault(const KeyRule *rule, Datum key)
{
	struct varlena *string;
	int			size;

	if (!rule->is_string)
		return FAULT_NONE;
	string = PG_DETOAST_DATUM_PACKED(key);
	if (is_empty_key(string))
		return FAULT_EMPTY_KEY;

	/* So many bytes may be as many characters, and no more. */
	size = VARSIZE_ANY_EXHDR(string);
	if (rule->max_chars > 0 && size > rule->max_chars &&
		pg_mbstrlen_with_len(VARDATA_ANY(string), size) > rule->max_chars)
		return FAULT_KEY_TOO_LONG;
	return FAULT_NONE;
}

/*
 * kind_rule
 *		Which kinds there are, of that type; all of it if kinds is NULL.
 */
void
kind_rule(Oid type, ArrayType *kinds, KindRule *rule)
{
	bool	   *isnull;

	rule->type = type;
	rule->n = -1;
	if (kinds != NULL && array_contains_nulls(kinds))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("kinds must not be null")));
	if (kinds != NULL)
		deconstruct_array(kinds, TEXTOID, -1, false, TYPALIGN_INT,
						  &rule->kinds, &isnull, &rule->n);
}

/*
 * kind_fault
 *		What is wrong with a kind, which is not null.
 *
 * Kinds are told apart where they are strings or integers; an enum knows its
 * own.
 */
PlayFault
kind_fault(const KindRule *rule, Datum kind)
{
	char		digits[MAXINT8LEN + 1];
	const char *text = digits;
	int			size;

	if (rule->n < 0)
		return FAULT_NONE;
	switch (rule->type)
	{
		case INT2OID:
			size = pg_itoa(DatumGetInt16(kind), digits);
			break;
		case INT4OID:
			size = pg_ltoa(DatumGetInt32(kind), digits);
			break;
		case INT8OID:
			size = pg_lltoa(DatumGetInt64(kind), digits);
			break;
		case TEXTOID:
		case VARCHAROID:
			{
				struct varlena *string = PG_DETOAST_DATUM_PACKED(kind);

				text = VARDATA_ANY(string);

				size = VARSIZE_ANY_EXHDR(string);
				break;
			}
		default:
			return FAULT_NONE;
	}
	for (int i = 0; i < rule->n; i++)
	{
		struct varlena *known = PG_DETOAST_DATUM_PACKED(rule->kinds[i]);

		if ((int) VARSIZE_ANY_EXHDR(known) == size &&
			memcmp(VARDATA_ANY(known), text, size) == 0)
			return FAULT_NONE;
	}
	return FAULT_UNKNOWN_KIND;
}

/*
 * fault_reason
 *		What a receipt says of it; NULL if nothing is wrong.
 */
const char *
fault_reason(PlayFault fault)
{
	return faults[fault].reason;
}

/*
 * report_fault
 *		Raise it as an error of the table's column; detail may be NULL.
 */
void
report_fault(PlayFault fault, Relation rel, AttrNumber attno,
			 const char *detail)
{
	const char *column = NameStr(TupleDescAttr(RelationGetDescr(rel),
											   attno - 1)->attname);

	if (detail == NULL)
		detail = faults[fault].detail;
	ereport(ERROR,
			(errcode(faults[fault].sqlstate),
			 errmsg(faults[fault].message, RelationGetRelationName(rel),
					column),
			 detail != NULL ? errdetail_internal("%s", detail) : 0,
			 errtablecol(rel, attno)));
}
