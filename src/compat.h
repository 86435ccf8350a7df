/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  The differences between PostgreSQL majors 15 to 19, under one name each.
 *
 * Layer: Postgres.
 *
 * Nothing outside this file may ask for PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_COMPAT_H
#define PLAYEVENT_COMPAT_H

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "replication/logicalworker.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "storage/smgr.h"
#include "utils/acl.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#if PG_VERSION_NUM < 150000
#error "playevent needs PostgreSQL 15 or later"
#endif

/*
 * MODULE_MAGIC: that this is a module for Postgres, and from 18 on which one, for
 * pg_get_loaded_modules().
 */
#ifdef PG_MODULE_MAGIC_EXT
#define MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = (name_), .version = (version_))
#else
#define MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC
#endif

/*
 * begin_index_scan: index_beginscan without order-by keys.  18 added a
 * parameter for instrumentation, which a trigger has none to fill, and 19 one
 * for hints.
 */
static inline IndexScanDesc
begin_index_scan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

/*
 * heap_update, with or without waiting for whoever has the tuple; and which
 * indexes want an entry after it.  16 told "all" from "only the
 * summarizing ones" (BRIN); before, there was no more than a yes or no.
 */
typedef struct IndexDemand
{
	bool		any;
	bool		only_summarizing;
} IndexDemand;

static inline TM_Result
update_heap_tuple(Relation rel, ItemPointer tid, HeapTuple tuple,
				  CommandId cid, bool wait, IndexDemand *demand)
{
	TM_FailureData tmfd;
	LockTupleMode lockmode;
	TM_Result	result;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes;

#if PG_VERSION_NUM >= 190000
	result = heap_update(rel, tid, tuple, cid, 0, InvalidSnapshot, wait, &tmfd,
						 &lockmode, &indexes);
#else
	result = heap_update(rel, tid, tuple, cid, InvalidSnapshot, wait, &tmfd,
						 &lockmode, &indexes);
#endif
	demand->any = indexes != TU_None;
	demand->only_summarizing = indexes == TU_Summarizing;
#else
	result = heap_update(rel, tid, tuple, cid, InvalidSnapshot, wait, &tmfd,
						 &lockmode);
	demand->any = !HeapTupleIsHeapOnly(tuple);
	demand->only_summarizing = false;
#endif
	return result;
}

/* 19 gathered flags of tables' functions in one parameter. */
static inline TM_Result
delete_heap_tuple(Relation rel, ItemPointer tid, CommandId cid)
{
	TM_FailureData tmfd;

#if PG_VERSION_NUM >= 190000
	return heap_delete(rel, tid, cid, 0, InvalidSnapshot, true, &tmfd);
#else
	return heap_delete(rel, tid, cid, InvalidSnapshot, true, &tmfd, false);
#endif
}

static inline TableScanDesc
begin_table_scan(Relation rel, Snapshot snapshot, int nkeys, ScanKey keys)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, nkeys, keys, 0);
#else
	return table_beginscan(rel, snapshot, nkeys, keys);
#endif
}

/* 19 hands back a pin on a page of the visibility map, if it needed one. */
static inline void
prune_heap_page(Relation rel, Buffer buffer)
{
#if PG_VERSION_NUM >= 190000
	Buffer		vmbuffer = InvalidBuffer;

	heap_page_prune_opt(rel, buffer, &vmbuffer, false);
	if (BufferIsValid(vmbuffer))
		ReleaseBuffer(vmbuffer);
#else
	heap_page_prune_opt(rel, buffer);
#endif
}

static inline void
insert_index_entries(ResultRelInfo *rri, TupleTableSlot *row, EState *estate,
					 bool update,
					 bool only_summarizing pg_attribute_unused())
{
#if PG_VERSION_NUM >= 190000
	uint32		flags = 0;

	if (update)
		flags |= EIIT_IS_UPDATE;
	if (only_summarizing)
		flags |= EIIT_ONLY_SUMMARIZING;
	(void) ExecInsertIndexTuples(rri, estate, flags, row, NIL, NULL);
#elif PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(rri, row, estate, update, false, NULL, NIL,
								 only_summarizing);
#else
	Assert(!only_summarizing);
	(void) ExecInsertIndexTuples(rri, row, estate, update, false, NULL, NIL);
#endif
}

/*
 * Pin the buffer if it still holds this block of the relation, as ReadBuffer
 * would but for the search.  16 renamed what tells relations' files apart.
 */
static inline bool
pin_recent_buffer(Relation rel, BlockNumber block, Buffer buffer)
{
#if PG_VERSION_NUM >= 160000
	if (!ReadRecentBuffer(rel->rd_locator, MAIN_FORKNUM, block, buffer))
		return false;
#else
	if (!ReadRecentBuffer(rel->rd_node, MAIN_FORKNUM, block, buffer))
		return false;
#endif
	pgstat_count_buffer_read(rel);
	pgstat_count_buffer_hit(rel);
	return true;
}

/*
 * How long is a table's file, of one that is no temporary table, nor mapped?
 * 16 renamed what tells relations' files apart, 17 what tells backends apart.
 */
static inline BlockNumber
blocks_of_file(Oid tablespace, Oid file)
{
	Oid			space = OidIsValid(tablespace) ? tablespace : MyDatabaseTableSpace;
	SMgrRelation storage;
#if PG_VERSION_NUM >= 160000
	RelFileLocator locator = {
		.spcOid = space,.dbOid = MyDatabaseId,.relNumber = file
	};
#else
	RelFileNode locator = {
		.spcNode = space,.dbNode = MyDatabaseId,.relNode = file
	};
#endif

#if PG_VERSION_NUM >= 170000
	storage = smgropen(locator, INVALID_PROC_NUMBER);
#else
	storage = smgropen(locator, InvalidBackendId);
#endif
	return smgrexists(storage, MAIN_FORKNUM) ?
		smgrnblocks(storage, MAIN_FORKNUM) : 0;
}

/* Has this transaction the lock?  17 lets a stronger one pass for it, if asked. */
static inline bool
has_lock(Oid relid, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(&tag, mode, false);
#else
	return LockHeldByMe(&tag, mode);
#endif
}

/* 18 lets the caller reserve space in front of a minimal tuple. */
static inline MinimalTuple
form_minimal_tuple(TupleDesc desc, Datum *values, bool *isnull)
{
#if PG_VERSION_NUM >= 180000
	return heap_form_minimal_tuple(desc, values, isnull, 0);
#else
	return heap_form_minimal_tuple(desc, values, isnull);
#endif
}

/* 16 replaced the checks per object class by general ones. */
static inline AclResult
namespace_aclcheck(Oid namespace_oid, Oid role, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, namespace_oid, role, mode);
#else
	return pg_namespace_aclcheck(namespace_oid, role, mode);
#endif
}

static inline bool
relation_ownercheck(Oid relid, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, role);
#else
	return pg_class_ownercheck(relid, role);
#endif
}

/* 17 lets a generated column have another expression. */
static inline bool
sets_expression(AlterTableCmd *change pg_attribute_unused())
{
#if PG_VERSION_NUM >= 170000
	return change->subtype == AT_SetExpression;
#else
	return false;
#endif
}

/* Before 16, an ADD COLUMN that partitions get too was another subcommand. */
static inline bool
adds_column(AlterTableType subcommand)
{
#if PG_VERSION_NUM < 160000
	return subcommand == AT_AddColumn || subcommand == AT_AddColumnRecurse;
#else
	return subcommand == AT_AddColumn;
#endif
}

/*
 * The hash value of a membership in cache AUTHMEMROLEMEM.  16 lets several roles
 * grant the same one.
 */
static inline uint32
hash_of_membership(Form_pg_auth_members form)
{
#if PG_VERSION_NUM >= 160000
	return GetSysCacheHashValue3(AUTHMEMROLEMEM,
								 ObjectIdGetDatum(form->roleid),
								 ObjectIdGetDatum(form->member),
								 ObjectIdGetDatum(form->grantor));
#else
	return GetSysCacheHashValue2(AUTHMEMROLEMEM,
								 ObjectIdGetDatum(form->roleid),
								 ObjectIdGetDatum(form->member));
#endif
}

/* 16 has workers that apply a transaction which is under way yet. */
static inline bool
is_parallel_apply_worker(void)
{
#if PG_VERSION_NUM >= 160000
	return IsLogicalParallelApplyWorker();
#else
	return false;
#endif
}

/* 19 keeps hooks from changing how a query was jumbled. */
#if PG_VERSION_NUM >= 190000
typedef const JumbleState *QueryJumble;
#else
typedef JumbleState *QueryJumble;
#endif

#endif							/* PLAYEVENT_COMPAT_H */
