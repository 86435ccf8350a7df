/*-------------------------------------------------------------------------
 *
 * amount.h
 *	  What a counter adds up.
 *
 * Layer: storage.
 *
 * A slot keeps an amount: a count, a sum, or a sketch of listeners.  Each kind of amount
 * is a table of what differs.  Kinds whose amounts are bigints leave most of it
 * out: those are added right where they are (pending.c, slot.c), for that is
 * what every insert waits for.
 *
 * README.md says how to add a kind.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_AMOUNT_H
#define PLAYEVENT_AMOUNT_H

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

/* The column of a log that amounts come from, of kinds that have one. */
typedef struct AmountSource
{
	AttrNumber	attno;
	Oid			type;			/* without its domains */
	Oid			output;			/* to text, where that is needed */
} AmountSource;

/*
 * What is pending for a key.  The kind's own structure begins with this, and is in
 * the memory context that is current when it is made.
 */
typedef struct Gathered
{
	Size		size;			/* of all it holds */
} Gathered;

/* What a query compares: the slots of a counter with its log.  All quoted. */
typedef struct Comparison
{
	void	   *column;			/* what bind_column found */
	const char *keys;			/* the key's columns, each with a comma behind */
	const char *aliases;		/* k1, k2, ... for them, likewise */
	const char *numbers;		/* 1, 2, ... for them */
	const char *slot_table;
	const char *amount;			/* its column of amounts */
	const char *retired;		/* the table of what was retired, or NULL */
	const char *log;
	const char *source;			/* the log's column, or NULL */
	const char *condition;		/* that is true of each of its rows */
} Comparison;

/* What a row of such a query says of its key. */
typedef struct Difference
{
	bool		adds;			/* there is an amount to be added */
	bool		lacks;			/* the slots have too little */
	bool		has_surplus;	/* too much, that can't be taken out */
	Datum		amount;
} Difference;

typedef struct AmountKind
{
	const char *noun;			/* what an amount is called */
	const char *column_type;	/* of a slot table's column, for messages */
	bool		is_bigint;		/* and added; else all functions are there */
	bool		has_source;		/* an argument of the trigger names it */
	bool		takes_memory;	/* to aggregate, more than the planner knows */

	/*
	 * Free space under which a slot's page is pruned.  Enough for some more
	 * versions, as pruning has to wait for a moment when nobody else has the
	 * page pinned.
	 */
	Size		prune_below;

	/*
	 * Of a slot table's column: what the functions below need to know of it,
	 * in that memory context; NULL if it can't hold such amounts.
	 */
	void	   *(*bind_column) (Form_pg_attribute att, MemoryContext context);

	/* The sum of two amounts */
	Datum		(*add) (void *column, Datum a, Datum b);

	/*
	 * Is the sum what is known already?  Else it is put into *sum, which
	 * holds what is known before.  Only of kinds that nothing is ever taken
	 * out of; NULL of others.
	 */
	bool		(*covers) (void *column, Datum known, Datum amount,
						   Datum *sum);

	/* Add a row's value, or an amount, to what is pending */
	void		(*gather_row) (void *column, Gathered **gathered, Datum value);
	void		(*gather) (void *column, Gathered **gathered, Datum amount);
	Datum		(*gathered_amount) (void *column, Gathered *gathered);
	void		(*free_gathered) (Gathered *gathered);

	/*
	 * With a source, of bigints too: check the column, whose number is filled
	 * in; and take a row's value, a bigint or what gather_row takes, which
	 * may be none.
	 */
	void		(*bind_source) (AmountSource *source, Relation event,
								Trigger *trigger);
	bool		(*read_source) (const AmountSource *source,
								TupleTableSlot *row, Datum *value);

	/*
	 * Of all kinds: the query for the keys of the log, each with its amount;
	 * and the sum of two columns of amounts.
	 */
	void		(*append_logged) (StringInfo query, const Comparison *of);
	void		(*append_sum) (StringInfo query, const Comparison *of,
							   const char *a, const char *b);

	/*
	 * Of all kinds: the query for the keys whose amounts are not what the log
	 * says.  Its columns are the key's; for people, a number that is counted
	 * and one that is logged; and what else difference needs, which gets
	 * those behind the key.
	 */
	void		(*append_query) (StringInfo query, const Comparison *of);
	void		(*difference) (const Datum *values, const bool *isnull,
							   Difference *difference);
} AmountKind;

/* amount_count.c; for kinds of bigints: logged adds them up in the log */
extern const AmountKind amount_count;
extern void append_bigint_query(StringInfo query, const Comparison *of,
								const char *logged);
extern void append_bigint_sum(StringInfo query, const Comparison *of,
							  const char *a, const char *b);
extern void bigint_difference(const Datum *values, const bool *isnull,
							  Difference *difference);

/* amount_sum.c */
extern const AmountKind amount_sum;

/* amount_sketch.c */
extern const AmountKind amount_sketch;

#endif							/* PLAYEVENT_AMOUNT_H */
