/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  Adding to counters without waiting for anyone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_SLOT_H
#define PLAYEVENT_SLOT_H

#include "slot_binding.h"

typedef struct SlotWriter SlotWriter;

extern SlotWriter *slot_writer_begin(SlotBinding *binding);
extern void slot_writer_add(SlotWriter *writer, uint32 hash,
							MinimalTuple key, Datum n);
extern void slot_writer_end(SlotWriter *writer);

#endif							/* PLAYEVENT_SLOT_H */
