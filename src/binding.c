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
 * binding says invalidates the cache entry of a relation, or of a role, membership
 * or schema.  Of the latter a binding notes those that it depends on: anybody can
 * alter his own at any time, and no others need look again for that.  The
 * callbacks here only mark bindings stale, because they may run at any table_open.
 * Invalidations are read when a lock is granted, so an entry is trusted only after
 * that.  What is looked up under these locks stays true while they are held, but
 * for rights: GRANT locks no table.  If a binding turns stale while it is looked
 * up, it serves the caller still, as if the change had come a moment later, and
 * the next one looks again.
 *
 * A binding never changes, but for being valid: to look again is to make a new
 * one.  For code further up the stack may hold the old one, while a function of
 * the table's owner, in a default or an index, alters what it says and has the
 * next one made.  So what has been replaced stays until the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
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

struct BindingCache
{
	HTAB	   *entries;		/* BindingEntry, by key */
	Size		size;			/* of a binding */
	BindingDepends depends;
};

typedef struct BindingEntry
{
	Oid			key;
	BindingHead *binding;		/* the newest */
} BindingEntry;

/* What is zeroed has looked at nothing yet. */
uint64		catalog_invalidations = 1;

static BindingCache caches[MAX_CACHES];
static int	ncaches;
static MemoryContext replaced;	/* parent of those of bindings that were */

/*
 * invalidate_relation
 *		Relcache callback: what was read off this relation is stale (off any
 *		relation, for InvalidOid).
 */
static void
invalidate_relation(Datum arg pg_attribute_unused(), Oid relid)
{
	catalog_invalidations++;
	for (int i = 0; i < ncaches; i++)
	{
		HASH_SEQ_STATUS scan;
		BindingEntry *entry;

		hash_seq_init(&scan, caches[i].entries);
		while ((entry = hash_seq_search(&scan)) != NULL)
		{
			if (entry->binding != NULL &&
				(!OidIsValid(relid) || caches[i].depends(entry->binding, relid)))
				entry->binding->valid = false;
		}
	}
}

/*
 * has_right
 *		Does the binding depend on a role, membership or schema of this hash value?
 */
static bool
has_right(BindingHead *binding, uint32 hashvalue)
{
	for (int i = 0; i < binding->nrights; i++)
	{
		if (binding->rights[i] == hashvalue)
			return true;
	}
	return false;
}

/*
 * invalidate_rights
 *		Syscache callback: a role, a membership, a schema or a database changed
 *		(any, for 0).
 */
static void
invalidate_rights(Datum arg pg_attribute_unused(),
				  int cacheid pg_attribute_unused(), uint32 hashvalue)
{
	catalog_invalidations++;
	for (int i = 0; i < ncaches; i++)
	{
		HASH_SEQ_STATUS scan;
		BindingEntry *entry;

		hash_seq_init(&scan, caches[i].entries);
		while ((entry = hash_seq_search(&scan)) != NULL)
		{
			if (entry->binding != NULL &&
				(hashvalue == 0 || has_right(entry->binding, hashvalue)))
				entry->binding->valid = false;
		}
	}
}

/*
 * forget_replaced
 *		Transaction callback: nobody holds what was replaced any more.
 */
static void
forget_replaced(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			MemoryContextDeleteChildren(replaced);
			break;
		default:
			break;
	}
}

/*
 * binding_cache
 *		Create a cache of bindings, for as long as the backend lives.
 */
BindingCache *
binding_cache(const char *name, Size size, BindingDepends depends)
{
	BindingCache *cache = &caches[ncaches];
	HASHCTL		ctl;

	Assert(ncaches < MAX_CACHES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(BindingEntry);
	ctl.hcxt = CacheMemoryContext;
	cache->entries = hash_create(name, 16, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache->size = size;
	cache->depends = depends;
	ncaches++;
	return cache;
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
	replaced = AllocSetContextCreate(CacheMemoryContext,
									 "playevent replaced bindings",
									 ALLOCSET_SMALL_SIZES);

	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_rights, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, invalidate_rights, (Datum) 0);
	RegisterXactCallback(forget_replaced, NULL);
}

/*
 * find_binding
 *		The newest binding of this key, valid or not, or NULL.
 */
void *
find_binding(BindingCache *cache, Oid key)
{
	BindingEntry *entry = hash_search(cache->entries, &key, HASH_FIND, NULL);

	return entry == NULL ? NULL : entry->binding;
}

/*
 * find_entry
 *		The cache's entry of this key, which is made if there is none.
 */
static BindingEntry *
find_entry(BindingCache *cache, Oid key)
{
	bool		found;
	BindingEntry *entry = hash_search(cache->entries, &key, HASH_ENTER, &found);

	if (!found)
		entry->binding = NULL;
	return entry;
}

/*
 * new_binding
 *		A binding of this key, all zeroes, in place of the one before.
 *
 * One whose building has failed was never returned, so it can go at once; else a
 * transaction might have any number of them.
 */
void *
new_binding(BindingCache *cache, Oid key)
{
	BindingEntry *entry = find_entry(cache, key);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent binding",
												  ALLOCSET_SMALL_SIZES);
	BindingHead *binding = MemoryContextAllocZero(context, cache->size);

	MemoryContextSetParent(context, CacheMemoryContext);
	binding->key = key;
	binding->context = context;
	if (entry->binding != NULL)
	{
		entry->binding->valid = false;
		if (entry->binding->built)
		{
			MemoryContextSetIdentifier(entry->binding->context, "replaced");
			MemoryContextSetParent(entry->binding->context, replaced);
		}
		else
			MemoryContextDelete(entry->binding->context);
	}
	entry->binding = binding;
	return binding;
}

static void
add_right(BindingHead *binding, uint32 hashvalue)
{
	uint32	   *rights = MemoryContextAlloc(binding->context,
											(binding->nrights + 1) * sizeof(uint32));

	if (binding->nrights > 0)
	{
		memcpy(rights, binding->rights, binding->nrights * sizeof(uint32));
		pfree(binding->rights);
	}
	rights[binding->nrights] = hashvalue;
	binding->rights = rights;
	binding->nrights++;
}

/*
 * depend_on_schema
 *		The binding, which is being built, is stale once the schema has another
 *		name, or others have rights on it.
 */
void
depend_on_schema(void *binding, Oid namespace)
{
	if (OidIsValid(namespace))
		add_right(binding, GetSysCacheHashValue1(NAMESPACEOID,
												 ObjectIdGetDatum(namespace)));
}

/*
 * depend_on_role
 *		The binding, which is being built, is stale once the role may do something
 *		else: by itself, or by what it is a member of.  Memberships to come take no
 *		right away.
 */
void
depend_on_role(void *binding, Oid role)
{
	List	   *roles = list_make1_oid(role);

	/* whose owner is a member of pg_database_owner */
	add_right(binding, GetSysCacheHashValue1(DATABASEOID,
											 ObjectIdGetDatum(MyDatabaseId)));
	for (int i = 0; i < list_length(roles); i++)
	{
		Oid			member = list_nth_oid(roles, i);
		CatCList   *granted;

		add_right(binding, GetSysCacheHashValue1(AUTHOID,
												 ObjectIdGetDatum(member)));
		granted = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(member));
		for (int j = 0; j < granted->n_members; j++)
		{
			Form_pg_auth_members form = (Form_pg_auth_members)
			GETSTRUCT(&granted->members[j]->tuple);

			add_right(binding, hash_of_membership(form));
			roles = list_append_unique_oid(roles, form->roleid);
		}
		ReleaseSysCacheList(granted);
	}
	list_free(roles);
}

/*
 * end_building
 *		The binding says all it has to, and is valid unless something was
 *		invalidated since seen was read off catalog_invalidations.
 */
void
end_building(void *binding, uint64 seen)
{
	BindingHead *head = binding;

	head->built = true;
	head->valid = seen == catalog_invalidations;
}

/*
 * lock_until_end
 *		Lock a relation until the end of the transaction, even if the current
 *		subtransaction is rolled back.
 *
 * Postgres keeps a list of the (sub)transactions that hold a lock, and looks
 * through all of it for each new one and when one commits.  A transaction of n
 * nested subtransactions, of which each took the lock, would take n * n steps;
 * the transaction itself is found at once.  Nor does a cursor let go of it that
 * fails in a later subtransaction.  An error need not restore the owner, for the
 * abort does.
 *
 * Not LockRelationOid, which reads invalidations, too: a relation that is rebuilt
 * then, and can't be, would leave its pins to the transaction, and not to the
 * subtransaction that the error ends.
 */
void
lock_until_end(Oid relid, LOCKMODE mode)
{
	ResourceOwner owner = CurrentResourceOwner;
	LockAcquireResult result;
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, IsSharedRelation(relid) ? InvalidOid : MyDatabaseId,
						 relid);
	CurrentResourceOwner = TopTransactionResourceOwner;
	result = LockAcquire(&tag, mode, false, false);
	CurrentResourceOwner = owner;
	if (result != LOCKACQUIRE_ALREADY_CLEAR)
		AcceptInvalidationMessages();
}
