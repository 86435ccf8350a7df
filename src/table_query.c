/*-------------------------------------------------------------------------
 *
 * table_query.c
 *	  Promise P8: a query that runs with the rights of a log's owner runs on the
 *	  tables that were meant, whatever their names mean by then.
 *
 * Layer: Postgres.
 *
 * SQL knows a table by its name alone.  Where its schema is somebody else's,
 * he can rename that at any moment, while a query waits for a lock say, and put
 * a view in the table's place, of which each function would run as the log's
 * owner.  So a query here brings the OIDs along that its names stand for.
 *
 * The parser is what turns names into OIDs, once when a query is prepared and
 * again whenever its plan was invalidated (RevalidateCachedQuery).  It calls
 * back for each column and parameter that is named, when the tables of that
 * (sub)query are known; what PL/pgSQL finds its variables by.  That is where
 * they are checked: before the planner, which would already run functions that
 * are called immutable.  From there on it is OIDs all the way.
 *
 * Hence a rule: each (sub)query names a column of each table that it reads, or
 * a column or parameter beside it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_node.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "as_owner.h"
#include "compat.h"
#include "table_query.h"

PG_FUNCTION_INFO_V1(playevent_read_table);
PG_FUNCTION_INFO_V1(playevent_read_own);

/* How many rows a cursor fetches at a time. */
#define FETCH_ROWS 1000

struct TableQuery
{
	SPIPlanPtr	plan;
	Oid			tables[QUERY_MAX_TABLES];	/* InvalidOid behind the last */
	int			nargs;
	Oid			types[FLEXIBLE_ARRAY_MEMBER];
};

/* The owner's query that is being prepared, and as whom; or none. */
typedef struct Lifting
{
	TableQuery *query;
	Oid			user;
	int			sec_context;
} Lifting;

static Lifting lifting;
static post_parse_analyze_hook_type outer_analyze_hook;

/*
 * A query may run code of a table's owner, in a domain, an index or a policy,
 * whoever's twin this is; that code is none.
 *
 * Where it stands, what is assigned inside and read behind it is volatile, and a
 * function with other variables that live across it is noinline, for the setjmp may
 * clobber those of whoever it is inlined into.
 */
#define OUTSIDE_TWIN(call) \
	do { \
		Oid			twin_ = leave_twin(); \
\
		PG_TRY(); \
		{ \
			call; \
		} \
		PG_FINALLY(); \
		{ \
			return_to_twin(twin_); \
		} \
		PG_END_TRY(); \
	} while (0)

/* Is it one of the query's tables? */
static bool
is_meant(TableQuery *query, Oid relid)
{
	for (int i = 0; i < QUERY_MAX_TABLES; i++)
	{
		if (query->tables[i] == relid)
			return true;
	}
	return false;
}

/*
 * check_tables
 *		Check that the tables that the parser has found are those of the query.
 */
static void
check_tables(ParseState *pstate)
{
	TableQuery *query = pstate->p_ref_hook_state;

	for (; pstate != NULL; pstate = pstate->parentParseState)
	{
		ListCell   *lc;

		foreach(lc, pstate->p_rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (rte->rtekind == RTE_RELATION && !is_meant(query, rte->relid))
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("\"%s\" has become the name of something else meanwhile",
								get_rel_name(rte->relid)),
						 errdetail("The table or its schema was renamed while a query on it began."),
						 errhint("Try again.")));
		}
	}
}

static Node *
column_ref(ParseState *pstate, ColumnRef *ref pg_attribute_unused())
{
	check_tables(pstate);
	return NULL;				/* as without a hook */
}

/* As parse_param.c's for fixed parameters */
static Node *
param_ref(ParseState *pstate, ParamRef *ref)
{
	TableQuery *query = pstate->p_ref_hook_state;
	Param	   *param;

	check_tables(pstate);
	if (ref->number < 1 || ref->number > query->nargs)
		return NULL;			/* an error */
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = query->types[ref->number - 1];
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = ref->location;
	return (Node *) param;
}

static void
set_up_parser(ParseState *pstate, void *query)
{
	/* the text's next statement */
	if (lifting.query == query)
		SetUserIdAndSecContext(lifting.user, lifting.sec_context);
	pstate->p_pre_columnref_hook = column_ref;
	pstate->p_paramref_hook = param_ref;
	pstate->p_ref_hook_state = query;
}

static TableQuery *
make_query(const Oid *tables, int ntables, int nargs, const Oid *types)
{
	TableQuery *query = palloc0(offsetof(TableQuery, types) +
								nargs * sizeof(Oid));

	Assert(ntables <= QUERY_MAX_TABLES);
	memcpy(query->tables, tables, ntables * sizeof(Oid));
	query->nargs = nargs;
	if (nargs > 0)
		memcpy(query->types, types, nargs * sizeof(Oid));
	return query;
}

static void
prepare(TableQuery *query, const char *text, int cursor_options)
{
	OUTSIDE_TWIN(query->plan = SPI_prepare_params(text, set_up_parser, query,
												  cursor_options));
	if (query->plan == NULL)
		elog(ERROR, "SPI_prepare_params failed: %s",
			 SPI_result_code_string(SPI_result));
}

/*
 * prepare_table_query
 *		SPI_prepare_cursor, of a query on this table, or on this and another.
 *
 * Memory: the current context, for as long as SPI's plan.
 */
TableQuery *
prepare_table_query(const char *text, int cursor_options, Oid table,
					Oid other_table, int nargs, const Oid *types)
{
	Oid			tables[] = {table, other_table};
	TableQuery *query = make_query(tables, lengthof(tables), nargs, types);

	prepare(query, text, cursor_options);
	return query;
}

/*
 * names_others
 *		Does the query, or one within it, name a table that it is not on?
 */
static bool
names_others(Node *node, TableQuery *query)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, names_others, query);
	foreach(lc, castNode(Query, node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && !is_meant(query, rte->relid))
			return true;
	}
	return query_tree_walker((Query *) node, names_others, query, 0);
}

/*
 * are_own_tables
 *		Are all of the query's tables the current user's own, and will be read as
 *		they are, and not by a view or a rule of anybody's?
 */
static bool
are_own_tables(TableQuery *query)
{
	for (int i = 0; i < QUERY_MAX_TABLES; i++)
	{
		HeapTuple	tuple;
		Form_pg_class class;
		bool		own;

		if (!OidIsValid(query->tables[i]))
			continue;
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(query->tables[i]));
		if (!HeapTupleIsValid(tuple))
			return false;
		class = (Form_pg_class) GETSTRUCT(tuple);
		own = class->relowner == GetUserId() && !class->relhasrules &&
			(class->relkind == RELKIND_RELATION ||
			 class->relkind == RELKIND_PARTITIONED_TABLE);
		ReleaseSysCache(tuple);
		if (!own)
			return false;
	}
	return true;
}

/*
 * lift_policies
 *		Hook: this query has been parsed, and is to be rewritten.
 */
static void
lift_policies(ParseState *pstate, Query *query, QueryJumble jumble)
{
	if (outer_analyze_hook != NULL)
		outer_analyze_hook(pstate, query, jumble);
	if (lifting.query != NULL && pstate->p_ref_hook_state == lifting.query &&
		!names_others((Node *) query, lifting.query) &&
		are_own_tables(lifting.query))
		SetUserIdAndSecContext(lifting.user,
							   lifting.sec_context | SECURITY_NOFORCE_RLS);
}

/*
 * prepare_owner_query
 *		prepare_table_query on several tables by their owner, whom policies that are
 *		forced on his own tables don't concern.
 *
 * That holds while the query is rewritten, which runs nobody's code, if it is on
 * his own tables and nothing else:
 *
 *	parsed				as he is (set_up_parser)
 *	rewritten			with SECURITY_NOFORCE_RLS (lift_policies)
 *	next statement		as he is (set_up_parser)
 *	prepared			as he is (below)
 *
 * Were it to hold for all that is done as the owner, or for parsing, which runs
 * the checks of domains in composites, then his code could call functions of
 * others' whose own forced policies it would lift.
 */
TableQuery *
prepare_owner_query(const char *text, int cursor_options, const Oid *tables,
					int ntables, int nargs, const Oid *types)
{
	Lifting		outer = lifting;
	TableQuery *query = make_query(tables, ntables, nargs, types);

	PG_TRY();
	{
		lifting.query = query;
		GetUserIdAndSecContext(&lifting.user, &lifting.sec_context);
		prepare(query, text, cursor_options);
		SetUserIdAndSecContext(lifting.user, lifting.sec_context);
	}
	PG_FINALLY();
	{
		lifting = outer;
	}
	PG_END_TRY();
	return query;
}

/*
 * table_query_init
 *		Set the hook; once per backend, when the library is loaded.
 */
void
table_query_init(void)
{
	outer_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = lift_policies;
}

/*
 * keep_table_query
 *		Keep a query beyond SPI_finish; it must lie in a context that stays.
 */
void
keep_table_query(TableQuery *query)
{
	if (SPI_keepplan(query->plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
}

/*
 * make_params
 *		The parameters of a query; NULL without any, for the executor of Citus
 *		falls over an empty list.  Apart, as fetch_rows.
 */
static pg_noinline ParamListInfo
make_params(TableQuery *query, const Datum *values, const char *nulls)
{
	ParamListInfo params;

	if (query->nargs == 0)
		return NULL;
	params = makeParamList(query->nargs);
	for (int i = 0; i < query->nargs; i++)
	{
		ParamExternData *param = &params->params[i];

		param->value = values[i];
		param->isnull = nulls != NULL && nulls[i] == 'n';
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = query->types[i];
	}
	return params;
}

/*
 * run_table_query
 *		SPI_execute_plan.
 */
void
run_table_query(TableQuery *query, const Datum *values, const char *nulls,
				bool read_only)
{
	ParamListInfo params = make_params(query, values, nulls);
	volatile int result;

	OUTSIDE_TWIN(result = SPI_execute_plan_with_paramlist(query->plan, params,
														  read_only, 0));
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_with_paramlist failed: %s",
			 SPI_result_code_string(result));
}

/*
 * open_table_query
 *		SPI_cursor_open, of a query that reads and has no parameters.
 */
Portal
open_table_query(TableQuery *query)
{
	Portal volatile portal;

	Assert(query->nargs == 0);
	OUTSIDE_TWIN(portal = SPI_cursor_open(NULL, query->plan, NULL, NULL, true));
	return portal;
}

/*
 * check_columns
 *		Check that the rows of a cursor begin with columns of these types, of
 *		which there may be no more if they are all.
 *
 * What takes rows relies on it, and a query's text does not tell: whoever owns a
 * table may change the types of its columns.
 */
void
check_columns(Portal portal, int ntypes, const Oid *types, bool are_all)
{
	TupleDesc	desc = portal->tupDesc;

	if (desc->natts < ntypes || (are_all && desc->natts > ntypes))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a query returns %d columns, not %d",
						desc->natts, ntypes)));
	for (int i = 0; i < ntypes; i++)
	{
		Oid			type = TupleDescAttr(desc, i)->atttypid;

		if (!IsBinaryCoercible(type, getBaseType(types[i])))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column %d of a query has type %s, not %s",
							i + 1, format_type_be(type),
							format_type_be(types[i])),
					 errdetail("The columns of a counter's tables have the types of its log's."),
					 errhint("Undo the change of a column's type.")));
	}
}

/* SPI_cursor_fetch; apart, for setjmp may clobber a caller's variables. */
static pg_noinline void
fetch_rows(Portal portal)
{
	OUTSIDE_TWIN(SPI_cursor_fetch(portal, true, FETCH_ROWS));
}

/*
 * take_rows
 *		Pass on each row of a cursor that open_table_query has opened, and close
 *		it; returns how many there were.
 */
int64
take_rows(Portal portal, RowTaker take, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "playevent row",
												  ALLOCSET_DEFAULT_SIZES);
	int64		taken = 0;

	for (;;)
	{
		MemoryContext oldcontext;
		SPITupleTable *rows;

		fetch_rows(portal);
		if (SPI_processed == 0)
			break;
		/* The taker may call SPI itself. */
		rows = SPI_tuptable;
		oldcontext = MemoryContextSwitchTo(context);
		for (uint64 row = 0; row < rows->numvals; row++)
		{
			CHECK_FOR_INTERRUPTS();
			take(arg, rows->vals[row], rows->tupdesc);
			MemoryContextReset(context);
		}
		MemoryContextSwitchTo(oldcontext);
		taken += rows->numvals;
		SPI_freetuptable(rows);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
	return taken;
}

/*
 * return_rows
 *		Put what a query returns that reads into the result; its parameters are
 *		not null.
 */
static void
return_rows(FunctionCallInfo fcinfo, Oid relid, Oid other, text *query,
			int nargs, const Oid *types, const Datum *values)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SPIExecuteOptions options = {.read_only = true};
	Oid			tables[] = {relid, other};
	TableQuery *prepared;
	volatile int result;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	SPI_connect();
	prepared = prepare_owner_query(text_to_cstring(query),
								   CURSOR_OPT_PARALLEL_OK, tables,
								   lengthof(tables), nargs, types);
	options.params = make_params(prepared, values, NULL);
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, rsinfo->setResult,
									rsinfo->econtext->ecxt_per_query_memory,
									false, rsinfo->setDesc,
									"the query has other columns");
	OUTSIDE_TWIN(result = SPI_execute_plan_extended(prepared->plan, &options));
	if (result < 0)
		elog(ERROR, "SPI_execute_plan_extended failed: %s",
			 SPI_result_code_string(result));
	SPI_finish();
}

/*
 * playevent.read_table(rel regclass, other regclass, columns name[], query text)
 *		returns setof record
 *
 * In a twin: the rows of a query that reads these columns of these tables, which
 * may be one, and nothing else.  format() has put their names into it.
 *
 * Errors: what check_caller reports of whoever called the twin; the name of a
 * table stands for something else by now (40001); what the query reports.
 */
Datum
playevent_read_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			other = PG_GETARG_OID(1);

	check_caller(relid, PG_GETARG_ARRAYTYPE_P(2));
	if (other != relid)
		check_caller(other, PG_GETARG_ARRAYTYPE_P(2));
	return_rows(fcinfo, relid, other, PG_GETARG_TEXT_PP(3), 0, NULL, NULL);
	return (Datum) 0;
}

/*
 * playevent.read_own(rel regclass, other regclass, query text [, argument text])
 *		returns setof record
 *
 * What playevent.read_table returns, of tables of the owner whose twin it is, in
 * which nobody else has a say.  It sees what the statement has written by now.  The
 * argument is $1 in the query, for what is not to be read in the server's log.
 *
 * Errors: not called by a twin (0A000), not the tables' owner (42501); else as
 * read_table.
 */
Datum
playevent_read_own(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			other = PG_GETARG_OID(1);
	int			nargs = PG_NARGS() - 3;
	Oid			type = TEXTOID;
	Datum		argument = nargs > 0 ? PG_GETARG_DATUM(3) : (Datum) 0;

	check_twin(relid);
	check_twin(other);
	PushActiveSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	return_rows(fcinfo, relid, other, PG_GETARG_TEXT_PP(2), nargs, &type,
				&argument);
	PopActiveSnapshot();
	return (Datum) 0;
}
