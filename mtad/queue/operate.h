/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_OPERATE_H
#define MTAD_QUEUE_OPERATE_H
/*
 * operate - what audits ask of the queue thread; the other requests of operators are in queue/dispatch.h
 *
 * Thread   the queue's.
 */
#include "queue/dispatch.h"

/* Nothing that the schedule has settled still waits for the spool. */
bool dispatch_is_recorded(const struct dispatch *d);
#endif
