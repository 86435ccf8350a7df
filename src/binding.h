/*-------------------------------------------------------------------------
 *
 * binding.h
 *	  Caches of what the arguments of playevent's triggers stand for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_BINDING_H
#define PLAYEVENT_BINDING_H

#include "access/htup_details.h"
#include "catalog/pg_index.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

/* How each binding begins. */
typedef struct BindingHead
{
	Oid			key;			/* its trigger */
	bool		valid;			/* cleared by invalidation */
	bool		built;			/* to its end, so others may hold it */
	MemoryContext context;		/* that it is in, with all it points to */
	uint32	   *rights;			/* hash values of what rights it depends on */
	int			nrights;
} BindingHead;

typedef struct BindingCache BindingCache;

/* Is what the binding says read off this relation? */
typedef bool (*BindingDepends) (const void *binding, Oid relid);

/*
 * Counts invalidations of any relation, role, membership, schema or database, to
 * notice one during a lookup.
 */
extern uint64 catalog_invalidations;

extern void binding_init(void);
extern BindingCache *binding_cache(const char *name, Size size,
								   BindingDepends depends);
extern void *find_binding(BindingCache *cache, Oid key);
extern void *new_binding(BindingCache *cache, Oid key);
extern void depend_on_schema(void *binding, Oid namespace);
extern void depend_on_role(void *binding, Oid role);
extern void end_building(void *binding, uint64 seen);
extern void lock_until_end(Oid relid, LOCKMODE mode);

/*
 * Is the index without a predicate, or without expressions?  Read off the
 * catalog, for RelationGetIndexPredicate and RelationGetIndexExpressions
 * simplify what they return, which runs functions of the table's owner (and
 * takes what is always true for no predicate).
 */
static inline bool
holds_all_rows(Relation index)
{
	return heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

static inline bool
is_on_columns(Relation index)
{
	return heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL);
}

#endif							/* PLAYEVENT_BINDING_H */
