/*-------------------------------------------------------------------------
 *
 * binding.c
 *	  Keeps what the arguments of playevent's triggers stand for, until
 *	  something invalidates it.
 *
 * Layer: triggers' words.
 *
 * Lifetime and locks: a binding is cached per backend, by trigger, and
 * returned with its other relation locked until the end of the transaction
 * (the track table in AccessShareLock, the slot table in RowExclusiveLock), as
 * if the statement had named it, but by the transaction itself, whichever
 * subtransaction is the current one (lock_until_end).  Whatever changes what a
 * binding says invalidates a relation's cache entry, or the roles, memberships
 * or schemas caches; the callbacks here then only mark bindings stale, because
 * they may run at any table_open.  Invalidations are read when a lock is
 * granted, so an entry is trusted only after that.  What is looked up under
 * these locks stays true while they are held, but for rights: GRANT locks no
 * table.  If a binding turns stale while it is looked up, it serves the caller
 * still, as if the change had come a moment later, and the next one looks again.
 *
 * Entries are never freed, since code further up the stack may hold one;
 * there are as many as this backend has met triggers and slot tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "binding.h"
#include "compat.h"

/* More than there are kinds of bindings */
#define MAX_CACHES 4

typedef struct BindingCache
{
	HTAB	   *entries;
	BindingDepends depends;
} BindingCache;

uint64		binding_invalidations;

static BindingCache caches[MAX_CACHES];
static int	ncaches;

/*
 * invalidate_relation
 *		Relcache callback: what was read off this relation is stale (off any
 *		relation, for InvalidOid).
 */
static void
invalidate_relation(Datum arg pg_attribute_unused(), Oid relid)
{
	binding_invalidations++;
	for (int i = 0; i < ncaches; i++)
	{
		HASH_SEQ_STATUS scan;
		BindingHead *binding;

		hash_seq_init(&scan, caches[i].entries);
		while ((binding = hash_seq_search(&scan)) != NULL)
		{
			if (!OidIsValid(relid) || caches[i].depends(binding, relid))
				binding->valid = false;
		}
	}
}

/*
 * invalidate_rights
 *		Syscache callback: a role, a membership or a schema changed.
 */
static void
invalidate_rights(Datum arg, int cacheid pg_attribute_unused(),
				  uint32 hashvalue pg_attribute_unused())
{
	invalidate_relation(arg, InvalidOid);
}

/*
 * binding_cache
 *		Create a cache of bindings, for as long as the backend lives.
 */
HTAB *
binding_cache(const char *name, Size entrysize, BindingDepends depends)
{
	BindingCache *cache = &caches[ncaches];
	HASHCTL		ctl;

	Assert(ncaches < MAX_CACHES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = entrysize;
	ctl.hcxt = CacheMemoryContext;
	cache->entries = hash_create(name, 16, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache->depends = depends;
	ncaches++;
	return cache->entries;
}

/*
 * binding_init
 *		Register the callbacks; once per backend, when the library is loaded.
 */
void
binding_init(void)
{
	if (CacheMemoryContext == NULL)
		CreateCacheMemoryContext();

	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_rights, (Datum) 0);
}

/*
 * find_binding
 *		The entry of this key; a new one is all zeroes, so not valid.
 */
void *
find_binding(HTAB *cache, Oid key, Size entrysize)
{
	bool		found;
	void	   *entry = hash_search(cache, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset(entry, 0, entrysize);
		*(Oid *) entry = key;
	}
	return entry;
}

/*
 * lock_until_end
 *		Lock a relation until the end of the transaction, even if the current
 *		subtransaction is rolled back.
 *
 * Postgres keeps a list of the (sub)transactions that hold a lock, and looks
 * through all of it for each new one and when one commits.  A transaction of n
 * nested subtransactions, of which each took the lock, would take n * n steps;
 * the transaction itself is found at once.  An error need not restore the owner,
 * for the abort does.
 */
void
lock_until_end(Oid relid, LOCKMODE mode)
{
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	LockRelationOid(relid, mode);
	CurrentResourceOwner = owner;
}
