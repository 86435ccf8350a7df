/*-------------------------------------------------------------------------
 *
 * hll.h
 *	  Sketches of distinct listeners, by the extension hll.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_HLL_H
#define PLAYEVENT_HLL_H

#include "fmgr.h"

/* How the sketches of one column are worked with. */
typedef struct SketchType
{
	FmgrInfo	hash;			/* of a listener, a text */
	FmgrInfo	add;
	FmgrInfo	merge;
	Datum		empty;			/* the sketch of nobody */
	char	   *parameters;		/* as in the column's type */
} SketchType;

extern SketchType *sketch_type(Oid type, int32 typmod, MemoryContext context);
extern Datum sketch_add(SketchType *type, Datum sketch, Datum listener);
extern Datum sketch_union(SketchType *type, Datum a, Datum b);
extern bool sketch_equal(Datum a, Datum b);
extern bool sketch_contains(Datum set, Datum listeners);
extern const char *sketch_schema(SketchType *type);

#endif							/* PLAYEVENT_HLL_H */
