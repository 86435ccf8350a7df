/*-------------------------------------------------------------------------
 *
 * record_fault.h
 *	  Whether an error is a row's fault.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PLAYEVENT_RECORD_FAULT_H
#define PLAYEVENT_RECORD_FAULT_H

#include "record_log.h"

extern void tell_of_log(RecordLog *log, ErrorData *error);
extern bool may_be_of_row(ErrorData *error);
extern bool is_of_row(RecordLog *log, ErrorData *error);

#endif							/* PLAYEVENT_RECORD_FAULT_H */
