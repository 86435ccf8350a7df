/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Promises P3 and P5: gathers what a transaction counts, and sees that it
 *	  is written with the rows it counts, or not at all.
 *
 * Layer: storage.
 *
 * The row trigger adds to pending counts in memory; the statement trigger
 * writes them.  Rows may come without a statement trigger (straight into a
 * partition, by logical replication): what is still pending then is written
 * just before the (sub)transaction commits or is prepared.
 *
 * Pending counts belong to the (sub)transaction that inserted the rows, and an
 * abort drops them.  A flush writes those of the current level only: were a
 * subtransaction to write its parent's, its rollback would lose them.
 *
 * Memory: that of the transaction itself in TopTransactionContext, that of a
 * subtransaction in a child of it.  Each level keeps at most MAX_PENDING bytes, of
 * all counters and partitions, and then writes them ahead of time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "common/int.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "amount.h"
#include "compat.h"
#include "counter_binding.h"
#include "image.h"
#include "pending.h"
#include "slot.h"
#include "trigger_role.h"

/* In bytes; a key takes so many beside itself, and what it has gathered. */
#define MAX_PENDING (10 * 1024 * 1024)
#define KEY_OVERHEAD 100

/*
 * The key itself, a tuple of the slot binding's key_desc, lies behind: one
 * allocation, for a look at it to cost one cache miss.
 */
typedef struct PendingKey
{
	union
	{
		int64		count;		/* of kinds that are bigints */
		Gathered   *gathered;	/* of others; NULL if there is nothing */
	};
	struct PendingKey *next;
	uint32		hash;
} PendingKey;

#define PENDING_KEY_SIZE MAXALIGN(sizeof(PendingKey))

typedef struct PendingCell
{
	MinimalTuple tuple;			/* a PendingKey's */
	uint32		hash;
	char		status;			/* for simplehash */
} PendingCell;

static inline MinimalTuple
key_tuple(PendingKey *key)
{
	return (MinimalTuple) ((char *) key + PENDING_KEY_SIZE);
}

#define SH_PREFIX		pending
#define SH_ELEMENT_TYPE	PendingCell
#define SH_KEY_TYPE		MinimalTuple
#define SH_KEY			tuple
#define SH_HASH_KEY(tb, key) hash_tuple(key)
#define SH_EQUAL(tb, a, b) (compare_tuples(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * What one trigger has counted at one level.  Most statements insert one row,
 * so the first key needs no hash table.
 */
typedef struct PendingCounter
{
	CounterBinding *binding;	/* the newest that was counted by */
	SlotBinding *slot;			/* the newest of the slot table */
	int			members;		/* how many keys are pending */
	Size		size;			/* of them all */
	PendingKey *keys;			/* a list of them */
	pending_hash *index;		/* by which they are found, if several */
	struct PendingCounter *next;
} PendingCounter;

typedef struct PendingLevel
{
	int			nest_level;		/* of the (sub)transaction */
	Size		size;			/* of all keys that are pending */
	MemoryContext context;
	PendingCounter *counters;
	struct PendingLevel *parent;
} PendingLevel;

static PendingLevel *pending;	/* innermost level that has any */

/*
 * current_level
 *		The pending counts of the current (sub)transaction.
 */
static PendingLevel *
current_level(void)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (pending == NULL || pending->nest_level < nest_level)
	{
		MemoryContext context = TopTransactionContext;
		PendingLevel *level;

		if (nest_level > 1)
			context = AllocSetContextCreate(TopTransactionContext,
											"playevent pending counts",
											ALLOCSET_DEFAULT_SIZES);
		level = MemoryContextAllocZero(context, sizeof(PendingLevel));
		level->nest_level = nest_level;
		level->context = context;
		level->parent = pending;
		pending = level;
	}
	Assert(pending->nest_level == nest_level);
	return pending;
}

/*
 * use_slot
 *		From now on the counter's slot table is what this binding says of it.
 *		Keys that were gathered must fit it still.
 *
 * A table that a transaction has pending counts for can be altered by that
 * transaction alone.
 */
static void
use_slot(PendingCounter *counter, SlotBinding *slot)
{
	SlotBinding *before = counter->slot;

	if (counter->members > 0 && before != slot &&
		(before->relid != slot->relid || before->nkeys != slot->nkeys ||
		 before->kind != slot->kind ||
		 memcmp(before->key_attnos, slot->key_attnos,
				slot->nkeys * sizeof(AttrNumber)) != 0 ||
		 memcmp(before->key_types, slot->key_types,
				slot->nkeys * sizeof(Oid)) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slot table \"%s\" was altered in the transaction that counts for it",
						get_rel_name(slot->relid)),
				 errhint("Insert and alter in separate transactions.")));
	counter->slot = slot;
}

/*
 * find_counter
 *		What is pending at this level for a counter; from now on, if nothing was.
 *
 * What was last counted in is in front, for one row after another goes into a
 * partition, and there may be many.
 */
static PendingCounter *
find_counter(PendingLevel *level, CounterBinding *binding)
{
	PendingCounter **link = &level->counters;
	PendingCounter *counter;

	while (*link != NULL && (*link)->binding->head.key != binding->head.key)
		link = &(*link)->next;
	counter = *link;
	if (counter == NULL)
		counter = MemoryContextAllocZero(level->context,
										 sizeof(PendingCounter));
	else
		*link = counter->next;
	counter->next = level->counters;
	level->counters = counter;
	counter->binding = binding;
	use_slot(counter, binding->slot);
	return counter;
}

/*
 * find_key
 *		The pending count of a key; a new one is zero.
 *
 * For the current level only: an error may leave the index unusable (up to 15,
 * simplehash takes itself to have grown before it has the memory), which goes
 * when this level aborts.
 */
static PendingKey *
find_key(PendingLevel *level, PendingCounter *counter, MinimalTuple key)
{
	uint32		hash = hash_tuple(key);
	PendingKey *entry = counter->keys;
	bool		found;

	if (counter->index != NULL)
	{
		PendingCell *cell = pending_lookup_hash(counter->index, key, hash);

		if (cell != NULL)
			return (PendingKey *) ((char *) cell->tuple - PENDING_KEY_SIZE);
	}
	else if (entry != NULL)
	{
		if (entry->hash == hash &&
			compare_tuples(key_tuple(entry), key) == 0)
			return entry;
		counter->index = pending_create(level->context, 64, NULL);
		pending_insert_hash(counter->index, key_tuple(entry), entry->hash,
							&found);
	}

	entry = MemoryContextAlloc(level->context, PENDING_KEY_SIZE + key->t_len);
	entry->count = 0;
	entry->hash = hash;
	memcpy(key_tuple(entry), key, key->t_len);
	if (counter->index != NULL)
		pending_insert_hash(counter->index, key_tuple(entry), hash, &found);

	entry->next = counter->keys;
	counter->keys = entry;
	counter->members++;
	counter->size += KEY_OVERHEAD + key->t_len;
	level->size += KEY_OVERHEAD + key->t_len;
	return entry;
}

typedef PendingKey *PendingKeyPointer;

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE PendingKeyPointer
#define ST_COMPARE(a, b) compare_tuples(key_tuple(*(a)), key_tuple(*(b)))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * rebind
 *		Look again where one trigger's pending counts go, for the slot table or
 *		the trigger may have been altered, by this very transaction, since it
 *		counted.
 *
 * Returns false if the counts go nowhere any more: the rows are gone with the
 * table, or have left the log with the partition, or the log is none any more,
 * or counts in another slot table, which attach_log has filled.
 *
 * The trigger may have been made anew, so the slot table decides which it is.
 */
static bool
rebind(PendingCounter *counter)
{
	Relation	event = try_relation_open(counter->binding->event_relid,
										  AccessShareLock);
	TriggerDesc *triggers;
	bool		found = false;

	if (event == NULL)
		return false;
	triggers = CopyTriggerDesc(event->trigdesc);
	for (int i = 0; !found && triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (role_of(trigger) == ROLE_COUNT)
		{
			CounterBinding *binding = counter_binding(event, trigger);

			found = binding->slot->relid == counter->slot->relid;
			if (found)
			{
				counter->binding = binding;
				use_slot(counter, binding->slot);
			}
		}
	}
	relation_close(event, NoLock);
	return found;
}

/*
 * pending_amount
 *		What is to be added for a key, which may be made in the current memory
 *		context.
 */
static inline Datum
pending_amount(PendingCounter *counter, PendingKey *key)
{
	if (counter->slot->kind->is_bigint)
		return Int64GetDatum(key->count);
	return counter->slot->kind->gathered_amount(counter->slot->column,
												key->gathered);
}

/*
 * free_key
 *		Free a key that has been written, with its listeners.
 */
static void
free_key(PendingCounter *counter, PendingKey *key)
{
	if (!counter->slot->kind->is_bigint && key->gathered != NULL)
		counter->slot->kind->free_gathered(key->gathered);
	pfree(key);
}

/*
 * write_keys
 *		Write these keys, in their order.
 *
 * As the slot table's owner (P8): it may be the end of a transaction of somebody
 * else's, whose rights nothing of the table is to have.  The abort restores the
 * user after an error.
 */
static void
write_keys(PendingCounter *counter, PendingKey **keys, int n)
{
	SlotWriter *writer = slot_writer_begin(counter->slot);
	MemoryContext key_context = NULL;
	MemoryContext oldcontext = CurrentMemoryContext;
	Oid			user;
	int			sec_context;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(counter->slot->owner,
						   sec_context | SECURITY_RESTRICTED_OPERATION);

	/* What a single key leaves behind goes with the caller's context. */
	if (n > 1)
	{
		key_context = AllocSetContextCreate(CurrentMemoryContext,
											"playevent slot",
											ALLOCSET_SMALL_SIZES);
		MemoryContextSwitchTo(key_context);
	}
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();

		/* of gathered amounts, which are a pointer in its place, any at all */
		if (keys[i]->count != 0)
			slot_writer_add(writer, keys[i]->hash, key_tuple(keys[i]),
							pending_amount(counter, keys[i]));
		if (n > 1)
			MemoryContextReset(key_context);
	}
	if (n > 1)
	{
		MemoryContextSwitchTo(oldcontext);
		MemoryContextDelete(key_context);
	}
	SetUserIdAndSecContext(user, sec_context);
	slot_writer_end(writer);
}

/*
 * write_counter
 *		Write one trigger's pending counts of the current level, and forget
 *		them.
 *
 * The trigger that counted has locked the slot table, by the top transaction, so
 * nobody else has altered it since.
 */
static void
write_counter(PendingCounter *counter)
{
	PendingKey **keys;
	PendingKey *entry;
	int			n = 0;

	if (counter->members == 0)
		return;
	if (!counter->binding->head.valid && !rebind(counter))
		return;

	/* In a fixed order: neighbours in the index share pages. */
	keys = palloc(counter->members * sizeof(PendingKey *));
	for (entry = counter->keys; entry != NULL; entry = entry->next)
		keys[n++] = entry;
	Assert(n == counter->members);
	if (n > 1)
		sort_keys(keys, n);

	write_keys(counter, keys, n);
	for (int i = 0; i < n; i++)
		free_key(counter, keys[i]);
	pfree(keys);
	if (counter->index != NULL)
	{
		pending_destroy(counter->index);
		counter->index = NULL;
	}
	counter->keys = NULL;
	counter->members = 0;
	pending->size -= counter->size;
	counter->size = 0;
}

/*
 * pending_flush
 *		Write what the current (sub)transaction has pending for a log, or, with
 *		InvalidOid, for all.
 */
void
pending_flush(Oid log_relid)
{
	if (pending == NULL ||
		pending->nest_level != GetCurrentTransactionNestLevel())
		return;

	for (PendingCounter *counter = pending->counters; counter != NULL;
		 counter = counter->next)
	{
		if (!OidIsValid(log_relid) ||
			counter->binding->log_relid == log_relid)
			write_counter(counter);
	}
}

/*
 * pending_key
 *		What is pending at the current level for a key, values of the counter's
 *		key columns.
 */
static inline PendingKey *
pending_key(PendingLevel *level, PendingCounter *counter, Datum *values,
			bool *isnull)
{
	SlotBinding *slot = counter->slot;
	MinimalTuple key;
	PendingKey *entry;

	for (int i = 0; i < slot->nkeys; i++)
	{
		if (!isnull[i] && TupleDescAttr(slot->key_desc, i)->attlen == -1)
			values[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[i]));
	}
	key = form_minimal_tuple(slot->key_desc, values, isnull);
	entry = find_key(level, counter, key);
	heap_free_minimal_tuple(key);
	return entry;
}

/*
 * gather
 *		Add an amount that is no bigint, or a row's value, to what is pending for
 *		a key.
 */
static void
gather(PendingLevel *level, PendingCounter *counter, PendingKey *key,
	   Datum value, bool is_row)
{
	const AmountKind *kind = counter->slot->kind;
	void	   *column = counter->slot->column;
	Size		before = key->gathered == NULL ? 0 : key->gathered->size;
	MemoryContext oldcontext = MemoryContextSwitchTo(level->context);

	if (is_row)
		kind->gather_row(column, &key->gathered, value);
	else
		kind->gather(column, &key->gathered, value);
	MemoryContextSwitchTo(oldcontext);
	counter->size += key->gathered->size - before;
	level->size += key->gathered->size - before;
}

/*
 * add
 *		Add to what is pending for a key, values of the counter's key columns.
 */
static inline void
add(CounterBinding *binding, Datum *values, bool *isnull, Datum value,
	bool is_row)
{
	PendingLevel *level = current_level();
	PendingCounter *counter = find_counter(level, binding);
	PendingKey *key = pending_key(level, counter, values, isnull);

	if (counter->slot->kind->is_bigint)
	{
		if (unlikely(pg_add_s64_overflow(key->count, DatumGetInt64(value),
										 &key->count)))
			report_out_of_range(counter->slot);
	}
	else
		gather(level, counter, key, value, is_row);
	if (level->size >= MAX_PENDING)
		pending_flush(InvalidOid);
}

/*
 * pending_add
 *		Add an amount for a key, values of the counter's key columns.
 *
 * Something may be written right away, if very much is pending.
 */
void
pending_add(CounterBinding *binding, Datum *values, bool *isnull,
			Datum amount)
{
	add(binding, values, isnull, amount, false);
}

/*
 * pending_add_rows
 *		Add n rows like this one, as the counter's trigger would each of them.
 *		They are alike in their keys, which does where amounts have no source;
 *		else there is but one.
 */
void
pending_add_rows(CounterBinding *binding, TupleTableSlot *row, int64 n)
{
	const AmountKind *kind = binding->slot->kind;
	Datum		value = Int64GetDatum(n);

	/* Only scan-build reads more of them than the keys that there are. */
	Datum		values[COUNTER_MAX_KEYS] = {0};
	bool		isnull[COUNTER_MAX_KEYS] = {0};

	Assert(n == 1 || !kind->has_source);
	if (binding->leaves ||
		(kind->has_source && !kind->read_source(&binding->source, row, &value)))
		return;
	for (int i = 0; i < binding->nkeys; i++)
		values[i] = slot_getattr(row, binding->event_attnos[i], &isnull[i]);
	add(binding, values, isnull, value, true);

	/*
	 * Such a worker begins a savepoint for each of the publisher's, and
	 * releases none before the end: a sketch that is made anew in one could
	 * not have written what another around it has pending.
	 */
	if (unlikely(!kind->is_bigint && is_parallel_apply_worker()))
		pending_flush(binding->log_relid);
}

/*
 * pending_outside
 *		Does an outer level have counts pending for this slot table?
 */
bool
pending_outside(SlotBinding *slot)
{
	for (PendingLevel *level = pending; level != NULL; level = level->parent)
	{
		if (level->nest_level == GetCurrentTransactionNestLevel())
			continue;
		for (PendingCounter *counter = level->counters; counter != NULL;
			 counter = counter->next)
		{
			if (counter->members > 0 && counter->slot->relid == slot->relid)
				return true;
		}
	}
	return false;
}

/*
 * flush_before_commit
 *		Write all that is still pending, at the end of the (sub)transaction.
 */
static void
flush_before_commit(void)
{
	MemoryContext context;
	MemoryContext oldcontext;

	Assert(pending->nest_level == GetCurrentTransactionNestLevel());
	if (pending->size == 0)
		return;

	context = AllocSetContextCreate(CurTransactionContext,
									"playevent flush at commit",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	pending_flush(InvalidOid);
	PopActiveSnapshot();
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}

/*
 * warn_uncounted
 *		Once it is too late to write them, tell of plays that were recorded
 *		after flush_before_commit.
 */
static void
warn_uncounted(void)
{
	if (pending->size > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("plays recorded by a pre-commit callback were not counted"),
				 errhint("Another extension records them too late: playevent.verify shows them, playevent.rebuild counts them.")));
}

static void
at_transaction_event(XactEvent event, void *arg pg_attribute_unused())
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (pending != NULL)
				flush_before_commit();
			pending = NULL;
			break;
		case XACT_EVENT_ABORT:
			pending = NULL;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			if (pending != NULL)
				warn_uncounted();
			pending = NULL;
			break;
		default:
			break;
	}
}

/*
 * drop_level
 *		Forget what the current subtransaction has pending.
 */
static void
drop_level(void)
{
	PendingLevel *level = pending;

	pending = level->parent;
	MemoryContextDelete(level->context);
}

/*
 * Called while the subtransaction is still the current one.
 *
 * Its counts could be handed to its parent instead of being written.  But then
 * a transaction of many subtransactions would have any number of them pending,
 * and making room for them at the parent's level might fail.
 */
static void
at_subtransaction_event(SubXactEvent event,
						SubTransactionId subid pg_attribute_unused(),
						SubTransactionId parent_subid pg_attribute_unused(),
						void *arg pg_attribute_unused())
{
	if (pending == NULL ||
		pending->nest_level < GetCurrentTransactionNestLevel())
		return;

	switch (event)
	{
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			flush_before_commit();
			drop_level();
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			warn_uncounted();
			drop_level();
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			drop_level();
			break;
		default:
			break;
	}
}

/*
 * pending_init
 *		Register the callbacks; once per backend, when the library is loaded.
 */
void
pending_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}
