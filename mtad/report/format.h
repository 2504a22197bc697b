/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_FORMAT_H
#define MTAD_REPORT_FORMAT_H
/*
 * format - an event as a line: JSON, or our log; CSV is in columns.h
 *
 * Thread   any. Fails: as said; FORMAT_LINE_MAX always suffices.
 */
#include "base/log.h"
#include "conf/conf_consumer.h"
#include "report/event.h"

/* Every byte of an event of QUEUE_EVENT_MAX may become six (\u001b), and names and numbers come on top. */
enum { FORMAT_LINE_MAX = 32768 };

/* PowerMTA's: "d", "b", "t", "r", "rb", "f"; and "u". */
const char *format_record_type(enum event_type type);
/* A consumer of these records takes the event. */
bool format_fits(const struct conf_records *which, const struct event *e);
/* Length, line end included. 0: no memory, or fewer than FORMAT_LINE_MAX were given and it does not fit. */
size_t format_json(const struct event *e, char *buf, size_t max);
void format_log(const struct event *e, struct log *log);
#endif
