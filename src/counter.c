/*-------------------------------------------------------------------------
 *
 * counter.c
 *	  Promises P3 and P5: gathers what a transaction counts, and sees that it
 *	  is written with the rows it counts, or not at all.
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
 * subtransaction in a child of it.  Each level keeps at most MAX_PENDING keys,
 * of all counters and partitions, and then writes them ahead of time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "binding.h"
#include "compat.h"
#include "counter.h"
#include "playevent.h"
#include "slot.h"

PG_FUNCTION_INFO_V1(playevent_count);
PG_FUNCTION_INFO_V1(playevent_sketch);
PG_FUNCTION_INFO_V1(playevent_flush);

/* At some 150 bytes a key, ten megabytes; sketches count by their size. */
#define MAX_PENDING 65536
#define PENDING_SIZE 150

/*
 * Listeners to gather in a small sketch before that is merged into a larger
 * one: adding to a large one takes as long as to merge.
 */
#define SKETCH_BATCH 64

/* The listeners of a key; a sketch is 0 if there is nobody in it. */
typedef struct PendingSketch
{
	Datum		merged;
	Datum		fresh;
	int			nfresh;			/* listeners added to fresh */
} PendingSketch;

/*
 * The key itself, a tuple of the slot binding's key_desc, lies behind: one
 * allocation, for a look at it to cost one cache miss.
 */
typedef struct PendingKey
{
	union
	{
		int64		count;
		PendingSketch *sketch;
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

/*
 * Equal keys have equal images: values are detoasted before the tuple is
 * formed, and a fresh tuple's padding is zero.  Keys that are only equal to
 * their operator are counted apart; the views add them up.
 */
static inline char *
key_image(MinimalTuple key)
{
	return (char *) key + MINIMAL_TUPLE_DATA_OFFSET;
}

static inline int
key_image_size(MinimalTuple key)
{
	return key->t_len - MINIMAL_TUPLE_DATA_OFFSET;
}

static inline int
compare_images(MinimalTuple a, MinimalTuple b)
{
	int			size_a = key_image_size(a);
	int			size_b = key_image_size(b);
	int			result = memcmp(key_image(a), key_image(b),
								Min(size_a, size_b));

	return result != 0 ? result : size_a - size_b;
}

static inline uint32
hash_image(MinimalTuple key)
{
	return hash_bytes((unsigned char *) key_image(key), key_image_size(key));
}

#define SH_PREFIX		pending
#define SH_ELEMENT_TYPE	PendingCell
#define SH_KEY_TYPE		MinimalTuple
#define SH_KEY			tuple
#define SH_HASH_KEY(tb, key) hash_image(key)
#define SH_EQUAL(tb, a, b) (compare_images(a, b) == 0)
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
	CounterBinding *binding;
	SlotBinding *slot;
	int			nkeys;
	Oid			key_types[COUNTER_MAX_KEYS];	/* what the keys are made of */
	bool		has_sketches;
	int			members;		/* how many keys are pending */
	int			sketch_sizes;	/* of their sketches, in keys' sizes */
	PendingKey *keys;			/* a list of them */
	pending_hash *index;		/* by which they are found, if several */
	struct PendingCounter *next;
} PendingCounter;

typedef struct PendingLevel
{
	int			nest_level;		/* of the (sub)transaction */
	int			members;		/* how many keys are pending, of all counters,
								 * and what their sketches take instead */
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

static PendingCounter *
find_counter(PendingLevel *level, CounterBinding *binding)
{
	PendingCounter *counter = level->counters;

	while (counter != NULL && counter->binding != binding)
		counter = counter->next;
	if (counter == NULL)
	{
		counter = MemoryContextAllocZero(level->context,
										 sizeof(PendingCounter));
		counter->binding = binding;
		counter->next = level->counters;
		level->counters = counter;
	}
	if (counter->members == 0)
	{
		counter->slot = binding->slot;
		counter->nkeys = binding->nkeys;
		memcpy(counter->key_types, binding->slot->key_types,
			   binding->nkeys * sizeof(Oid));
		counter->has_sketches = binding->slot->sketch != NULL;
	}
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
	uint32		hash = hash_image(key);
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
			compare_images(key_tuple(entry), key) == 0)
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
	level->members++;
	return entry;
}

/*
 * check_unaltered
 *		Check that keys gathered for a slot table still fit it.
 *
 * A table that a transaction has pending counts for can be altered by that
 * transaction alone.  What else there is to a slot table than its key, its
 * count column and index, is as the binding says.
 */
static void
check_unaltered(PendingCounter *counter, SlotBinding *slot)
{
	if (counter->members == 0)
		return;
	if (counter->slot != slot || counter->nkeys != slot->nkeys ||
		counter->has_sketches != (slot->sketch != NULL) ||
		memcmp(counter->key_types, slot->key_types,
			   counter->nkeys * sizeof(Oid)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("slot table \"%s\" was altered in the transaction that counts for it",
						get_rel_name(slot->relid)),
				 errhint("Insert and alter in separate transactions.")));
}

typedef PendingKey *PendingKeyPointer;

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE PendingKeyPointer
#define ST_COMPARE(a, b) compare_images(key_tuple(*(a)), key_tuple(*(b)))
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

		found = trigger_counts(trigger) &&
			counter_binding(event, trigger)->slot == counter->slot;
	}
	relation_close(event, NoLock);
	return found;
}

/*
 * set_sketch
 *		Replace a sketch of the current level, which remembers its size.
 */
static void
set_sketch(PendingLevel *level, PendingCounter *counter, Datum *place,
		   Datum sketch)
{
	int			growth = 0;

	if (*place != (Datum) 0)
	{
		growth -= VARSIZE_ANY(DatumGetPointer(*place)) / PENDING_SIZE;
		pfree(DatumGetPointer(*place));
	}
	if (sketch != (Datum) 0)
		growth += VARSIZE_ANY(DatumGetPointer(sketch)) / PENDING_SIZE;
	*place = sketch;
	counter->sketch_sizes += growth;
	level->members += growth;
}

/*
 * merge_sketch
 *		Add the listeners of a sketch to a key's.
 */
static void
merge_sketch(PendingLevel *level, PendingCounter *counter,
			 PendingSketch *pending_sketch, Datum sketch)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(level->context);
	Datum		merged = pending_sketch->merged;

	if (merged == (Datum) 0)
		merged = datumCopy(sketch, false, -1);
	else
		merged = sketch_union(counter->slot->sketch, merged, sketch);
	MemoryContextSwitchTo(oldcontext);
	set_sketch(level, counter, &pending_sketch->merged, merged);
}

/*
 * add_to_sketch
 *		Add a listener to a key's.
 */
static void
add_to_sketch(PendingLevel *level, PendingCounter *counter,
			  PendingSketch *pending_sketch, Datum listener)
{
	SketchType *type = counter->slot->sketch;
	MemoryContext oldcontext = MemoryContextSwitchTo(level->context);
	Datum		fresh = pending_sketch->fresh;

	fresh = sketch_add(type, fresh == (Datum) 0 ? type->empty : fresh,
					   listener);
	MemoryContextSwitchTo(oldcontext);
	set_sketch(level, counter, &pending_sketch->fresh, fresh);
	if (++pending_sketch->nfresh >= SKETCH_BATCH)
	{
		merge_sketch(level, counter, pending_sketch, fresh);
		set_sketch(level, counter, &pending_sketch->fresh, (Datum) 0);
		pending_sketch->nfresh = 0;
	}
}

/*
 * pending_amount
 *		What is to be added for a key.  A sketch may be made in the current
 *		memory context.
 */
static inline Datum
pending_amount(PendingCounter *counter, PendingKey *key)
{
	PendingSketch *sketch = key->sketch;

	if (!counter->has_sketches)
		return Int64GetDatum(key->count);
	if (sketch->merged == (Datum) 0)
		return sketch->fresh;
	if (sketch->fresh == (Datum) 0)
		return sketch->merged;
	return sketch_union(counter->slot->sketch, sketch->merged, sketch->fresh);
}

static void
free_key(PendingCounter *counter, PendingKey *key)
{
	if (counter->has_sketches && key->sketch != NULL)
	{
		if (key->sketch->merged != (Datum) 0)
			pfree(DatumGetPointer(key->sketch->merged));
		if (key->sketch->fresh != (Datum) 0)
			pfree(DatumGetPointer(key->sketch->fresh));
		pfree(key->sketch);
	}
	pfree(key);
}

/*
 * write_counter
 *		Write one trigger's pending counts of the current level, and forget
 *		them.
 *
 * The trigger that counted has locked the slot table, in this (sub)transaction,
 * so nobody else has altered it since.
 */
static void
write_counter(PendingCounter *counter)
{
	SlotWriter *writer;
	PendingKey **keys;
	PendingKey *entry;
	MemoryContext key_context;
	MemoryContext oldcontext;
	int			n = 0;

	if (counter->members == 0)
		return;
	if ((!counter->binding->valid || !counter->slot->valid) &&
		!rebind(counter))
		return;
	check_unaltered(counter, counter->slot);

	/* In a fixed order: neighbours in the index share pages. */
	keys = palloc(counter->members * sizeof(PendingKey *));
	for (entry = counter->keys; entry != NULL; entry = entry->next)
		keys[n++] = entry;
	Assert(n == counter->members);
	if (n > 1)
		sort_keys(keys, n);

	writer = slot_writer_begin(counter->slot);
	key_context = AllocSetContextCreate(CurrentMemoryContext,
										"playevent slot",
										ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(key_context);
	for (int i = 0; i < n; i++)
	{
		if (keys[i]->count != 0)
		{
			slot_writer_add(writer, keys[i]->hash, key_tuple(keys[i]),
							pending_amount(counter, keys[i]));
			MemoryContextReset(key_context);
		}
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(key_context);
	slot_writer_end(writer);

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
	pending->members -= n + counter->sketch_sizes;
	counter->sketch_sizes = 0;
}

/*
 * write_all
 *		Write all that is pending at the current level.
 */
static void
write_all(void)
{
	for (PendingCounter *counter = pending->counters; counter != NULL;
		 counter = counter->next)
	{
		/* Dropping the table drops its trigger without a word. */
		if (counter->members > 0 && rebind(counter))
			write_counter(counter);
	}
}

/*
 * pending_key
 *		What is pending at the current level for a key, values of the counter's
 *		key columns.
 */
static inline PendingKey *
pending_key(PendingLevel *level, PendingCounter *counter, SlotBinding *slot,
			Datum *values, bool *isnull)
{
	MinimalTuple key;
	PendingKey *entry;

	check_unaltered(counter, slot);
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
 * counter_add
 *		Count n more rows of a key, values of the counter's key columns.
 *
 * Something may be written right away, if very many keys are pending.
 */
void
counter_add(CounterBinding *binding, Datum *values, bool *isnull, int64 n)
{
	PendingLevel *level = current_level();
	PendingCounter *counter = find_counter(level, binding);

	pending_key(level, counter, binding->slot, values, isnull)->count += n;
	if (level->members >= MAX_PENDING)
		write_all();
}

/*
 * counter_add_listeners
 *		Add to the sketch of a key one listener, or all those of a sketch.
 *
 * Something may be written right away, if very much is pending.
 */
void
counter_add_listeners(CounterBinding *binding, Datum *values, bool *isnull,
					  Datum listeners, bool is_sketch)
{
	PendingLevel *level = current_level();
	PendingCounter *counter = find_counter(level, binding);
	PendingKey *entry = pending_key(level, counter, binding->slot, values,
									isnull);

	if (entry->sketch == NULL)
		entry->sketch = MemoryContextAllocZero(level->context,
											   sizeof(PendingSketch));
	if (is_sketch)
		merge_sketch(level, counter, entry->sketch, listeners);
	else
		add_to_sketch(level, counter, entry->sketch, listeners);
	if (level->members >= MAX_PENDING)
		write_all();
}

static inline void
get_key(CounterBinding *binding, TupleTableSlot *row, Datum *values,
		bool *isnull)
{
	for (int i = 0; i < binding->nkeys; i++)
		values[i] = slot_getattr(row, binding->event_attnos[i], &isnull[i]);
}

/*
 * counter_add_plays
 *		Count n rows like this one, as the counter's trigger would each of them.
 */
void
counter_add_plays(CounterBinding *binding, TupleTableSlot *row, int64 n)
{
	/* Only scan-build reads more of them than the keys that there are. */
	Datum		values[COUNTER_MAX_KEYS] = {0};
	bool		isnull[COUNTER_MAX_KEYS] = {0};

	get_key(binding, row, values, isnull);
	counter_add(binding, values, isnull, n);
}

/*
 * counter_add_listener
 *		Add a row's listener, if it has one, as the sketch's trigger would.
 */
void
counter_add_listener(CounterBinding *binding, TupleTableSlot *row)
{
	Datum		values[COUNTER_MAX_KEYS] = {0};
	bool		isnull[COUNTER_MAX_KEYS] = {0};
	bool		is_nobody;
	Datum		listener = slot_getattr(row, binding->listener_attno,
										&is_nobody);

	if (is_nobody)
		return;
	if (OidIsValid(binding->listener_output))
		listener = CStringGetTextDatum(OidOutputFunctionCall(binding->listener_output,
															 listener));
	get_key(binding, row, values, isnull);
	counter_add_listeners(binding, values, isnull, listener, false);
}

/*
 * counter_flush
 *		Write what the current (sub)transaction has pending for a log.
 */
void
counter_flush(Oid log_relid)
{
	if (pending == NULL ||
		pending->nest_level != GetCurrentTransactionNestLevel())
		return;

	for (PendingCounter *counter = pending->counters; counter != NULL;
		 counter = counter->next)
	{
		if (counter->binding->log_relid == log_relid)
			write_counter(counter);
	}
}

/*
 * counter_pending_outside
 *		Does an outer level have counts pending for this slot table?
 */
bool
counter_pending_outside(SlotBinding *slot)
{
	for (PendingLevel *level = pending; level != NULL; level = level->parent)
	{
		if (level->nest_level == GetCurrentTransactionNestLevel())
			continue;
		for (PendingCounter *counter = level->counters; counter != NULL;
			 counter = counter->next)
		{
			if (counter->slot == slot && counter->members > 0)
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
	if (pending->members == 0)
		return;

	context = AllocSetContextCreate(CurTransactionContext,
									"playevent flush at commit",
									ALLOCSET_DEFAULT_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	write_all();
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
	if (pending->members > 0)
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
 * counter_init
 *		Register the callbacks; once per backend, when the library is loaded.
 */
void
counter_init(void)
{
	RegisterXactCallback(at_transaction_event, NULL);
	RegisterSubXactCallback(at_subtransaction_event, NULL);
}

/*
 * bound_counter
 *		What the trigger that fires stands for.  The first row of a statement
 *		takes the lock that all others rely on.
 */
static inline CounterBinding *
bound_counter(FunctionCallInfo fcinfo, TriggerData *trigdata)
{
	CounterBinding *binding = fcinfo->flinfo->fn_extra;

	if (binding == NULL || !binding->valid || !binding->slot->valid)
	{
		binding = counter_binding(trigdata->tg_relation, trigdata->tg_trigger);
		fcinfo->flinfo->fn_extra = binding;
	}
	return binding;
}

/*
 * playevent.count(slot table, count column, key column, ...) returns trigger
 *
 * AFTER INSERT FOR EACH ROW: adds the row to the pending counts.
 *
 * Errors: what counter_binding reports.
 */
Datum
playevent_count(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;

	trigdata = check_trigger_call(fcinfo, "count",
								  "AFTER INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_AFTER);
	counter_add_plays(bound_counter(fcinfo, trigdata), trigdata->tg_trigslot, 1);

	return PointerGetDatum(NULL);
}

/*
 * playevent.sketch(slot table, sketch column, listener column,
 *					key column, ...) returns trigger
 *
 * AFTER INSERT FOR EACH ROW: adds the row's listener, if it has one, to the
 * pending sketches.
 *
 * Errors: what counter_binding reports; none tells of a listener.
 */
Datum
playevent_sketch(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;

	trigdata = check_trigger_call(fcinfo, "sketch",
								  "AFTER INSERT FOR EACH ROW",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW |
								  TRIGGER_EVENT_AFTER);
	counter_add_listener(bound_counter(fcinfo, trigdata), trigdata->tg_trigslot);

	return PointerGetDatum(NULL);
}

/*
 * playevent.flush() returns trigger
 *
 * AFTER INSERT FOR EACH STATEMENT: writes the pending counts.  Where to, the
 * row trigger has found out.
 *
 * Errors: what slot_writer_add reports; and what counter_binding does, if the
 * slot table was altered in this transaction.
 */
Datum
playevent_flush(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata;

	trigdata = check_trigger_call(fcinfo, "flush",
								  "AFTER INSERT FOR EACH STATEMENT",
								  TRIGGER_EVENT_WHOLE,
								  TRIGGER_EVENT_INSERT | TRIGGER_EVENT_AFTER);
	counter_flush(RelationGetRelid(trigdata->tg_relation));

	return PointerGetDatum(NULL);
}
