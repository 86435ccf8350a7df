/*-------------------------------------------------------------------------
 *
 * key_row.h
 *	  Whether the row is in its log that an event_id was written for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_KEY_ROW_H
#define PLAYEVENT_KEY_ROW_H

#include "key_binding.h"

extern bool key_row_exists(KeyBinding *keys, Datum event_id, int64 *id,
						   Timestamp created, bool thorough);

#endif							/* PLAYEVENT_KEY_ROW_H */
