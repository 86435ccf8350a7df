/*-------------------------------------------------------------------------
 *
 * heard.h
 *	  The kind of a play by how much of it was heard.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_HEARD_H
#define PLAYEVENT_HEARD_H

#include "utils/array.h"
#include "utils/rel.h"

#include "play_fault.h"

/* From where on each kind begins. */
typedef struct HeardRule
{
	int			n;
	const float8 *thresholds;
	Datum	   *kinds;			/* as text */
} HeardRule;

extern void heard_rule(ArrayType *thresholds, ArrayType *kinds,
					   HeardRule *rule);
extern PlayFault heard_fault(const HeardRule *rule, float8 heard, int *kind);
extern char *classify(float8 heard, const char *argument,
					  ArrayType *thresholds, ArrayType *kinds);
extern Oid	kind_type(Relation rel, const NameData *column);
extern Datum kind_value(Oid type, char *kind);
extern Oid	heard_type(Relation rel, AttrNumber attno);
extern Datum heard_value(Oid type, float8 heard);

#endif							/* PLAYEVENT_HEARD_H */
