/*-------------------------------------------------------------------------
 *
 * slot_compact.h
 *	  Removing slots that are to spare.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SLOT_COMPACT_H
#define PLAYEVENT_SLOT_COMPACT_H

#include "utils/date.h"

#include "slot.h"

extern int64 slot_writer_compact(SlotWriter *writer, int64 limit);
extern int64 slot_writer_compact_before(SlotWriter *writer, DateADT day);
extern int64 slot_writer_compact_all(SlotWriter *writer);
extern int64 remove_slots(Oid relid);

#endif							/* PLAYEVENT_SLOT_COMPACT_H */
