/*-------------------------------------------------------------------------
 *
 * key_table.h
 *	  Writing event_ids to a log's key table, and taking them out.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_KEY_TABLE_H
#define PLAYEVENT_KEY_TABLE_H

#include "key_binding.h"

extern bool key_table_add(KeyBinding *keys, const Datum *values,
						  const bool *isnull);
extern bool key_table_find(KeyBinding *keys, Datum event_id, int64 *id);
extern int64 key_table_forget(KeyBinding *keys, const Datum *before,
							  int64 limit);

#endif							/* PLAYEVENT_KEY_TABLE_H */
