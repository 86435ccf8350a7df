/*-------------------------------------------------------------------------
 *
 * table_query.h
 *	  Queries on tables that are known by OID.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_TABLE_QUERY_H
#define PLAYEVENT_TABLE_QUERY_H

#include "executor/spi.h"

/* How many tables a query can be on. */
#define QUERY_MAX_TABLES 4

typedef struct TableQuery TableQuery;

/* Called for a row; what it allocates is freed after it. */
typedef void (*RowTaker) (void *arg, HeapTuple row, TupleDesc desc);

extern TableQuery *prepare_table_query(const char *text, int cursor_options,
									   Oid table, Oid other_table, int nargs,
									   const Oid *types);
extern TableQuery *prepare_owner_query(const char *text, int cursor_options,
									   const Oid *tables, int ntables,
									   int nargs, const Oid *types);
extern void keep_table_query(TableQuery *query);
extern void run_table_query(TableQuery *query, const Datum *values,
							const char *nulls, bool read_only);
extern Portal open_table_query(TableQuery *query);
extern void check_columns(Portal portal, int ntypes, const Oid *types,
						  bool are_all);
extern int64 take_rows(Portal portal, RowTaker take, void *arg);
extern void table_query_init(void);

#endif							/* PLAYEVENT_TABLE_QUERY_H */
