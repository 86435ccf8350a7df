/*-------------------------------------------------------------------------
 *
 * playevent.c
 *	  Module entry of playevent: an append-only play log with exact counters.
 *
 * Layer: module.
 *
 * Which file does what, README.md beside this one says.
 *
 * Nothing needs preloading: the library comes in with the first trigger a
 * backend fires, and registers its callbacks then.  What may be preloaded, to
 * share them, is hints (row_hint.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "amount.h"
#include "binding.h"
#include "compat.h"
#include "counter_binding.h"
#include "key_binding.h"
#include "leaving.h"
#include "pending.h"
#include "playevent.h"
#include "row_hint.h"
#include "table_query.h"
#include "track_binding.h"
#include "trigger_role.h"

/* The release, as META.json has it; the Makefile tells. */
#ifndef PLAYEVENT_RELEASE
#define PLAYEVENT_RELEASE "unknown"
#endif

MODULE_MAGIC("playevent", PLAYEVENT_RELEASE);

PG_FUNCTION_INFO_V1(playevent_library_version);

void		_PG_init(void);

static const TriggerFunction ours[] = {
	{playevent_append_only, "append_only", ROLE_APPEND_ONLY, NULL},
	{playevent_slot_guard, "slot_guard", ROLE_SLOT_GUARD, NULL},
	{playevent_resolve, "resolve", ROLE_RESOLVE, NULL},
	{playevent_day, "day", ROLE_DAY, NULL},
	{playevent_count, "count", ROLE_COUNT, &amount_count},
	{playevent_sum, "sum", ROLE_COUNT, &amount_sum},
	{playevent_sketch, "sketch", ROLE_COUNT, &amount_sketch},
	{playevent_flush, "flush", ROLE_FLUSH, NULL},
	{playevent_partition, "partition", ROLE_PARTITION, NULL},
	{playevent_sealed, "sealed", ROLE_SEAL, NULL},
	{playevent_judge, "judge", ROLE_JUDGE, NULL},
	{playevent_dedupe, "dedupe", ROLE_DEDUPE, NULL},
};

void
_PG_init(void)
{
	trigger_role_init(ours, lengthof(ours));
	row_hint_init();
	binding_init();
	track_binding_init();
	counter_binding_init();
	key_binding_init();
	pending_init();
	leaving_init();
	table_query_init();
}

/*
 * playevent_library_version
 *		SQL: playevent.library_version() returns text.
 *
 * A backend keeps the library that it has loaded, whatever has been installed
 * since.  Scripts that update the extension ask here whether that is theirs.
 */
Datum
playevent_library_version(FunctionCallInfo fcinfo pg_attribute_unused())
{
	PG_RETURN_TEXT_P(cstring_to_text(PLAYEVENT_RELEASE));
}
