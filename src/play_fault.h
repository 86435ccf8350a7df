/*-------------------------------------------------------------------------
 *
 * play_fault.h
 *	  What can be wrong with a row that is to be recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_PLAY_FAULT_H
#define PLAYEVENT_PLAY_FAULT_H

#include "catalog/pg_attribute.h"
#include "utils/array.h"
#include "utils/rel.h"

typedef enum PlayFault
{
	FAULT_NONE,
	FAULT_NO_KEY,
	FAULT_NO_KEY_NOR_RELEASE,
	FAULT_EMPTY_KEY,
	FAULT_KEY_TOO_LONG,
	FAULT_UNKNOWN_TRACK,
	FAULT_UNKNOWN_RELEASE,
	FAULT_NO_KIND,
	FAULT_UNKNOWN_KIND,
	FAULT_TIME_NOT_FINITE,
	FAULT_TIME_AHEAD,
	FAULT_NOT_HEARD,
	FAULT_HEARD_OUT_OF_RANGE,
	FAULT_HEARD_TOO_LITTLE
} PlayFault;

/* What a log's column asks of a key. */
typedef struct KeyRule
{
	bool		is_string;		/* which must not be empty */
	int			max_chars;		/* 0 if there is no limit */
} KeyRule;

/* Which kinds a log's column takes. */
typedef struct KindRule
{
	Oid			type;
	int			n;				/* -1 if the type alone decides */
	Datum	   *kinds;			/* as text */
} KindRule;

static inline bool
is_empty_key(struct varlena *string)
{
	return VARSIZE_ANY_EXHDR(string) == 0;
}

extern void key_rule(Form_pg_attribute att, KeyRule *rule);
extern PlayFault key_fault(const KeyRule *rule, Datum key);
extern void kind_rule(Oid type, ArrayType *kinds, KindRule *rule);
extern PlayFault kind_fault(const KindRule *rule, Datum kind);
extern const char *fault_reason(PlayFault fault);
extern void report_fault(PlayFault fault, Relation rel, AttrNumber attno,
						 const char *detail);

#endif							/* PLAYEVENT_PLAY_FAULT_H */
