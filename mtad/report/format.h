/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_REPORT_FORMAT_H
#define MTAD_REPORT_FORMAT_H
/*
 * format - an event as a line: CSV with PowerMTA's record types and column names, JSON, or our log
 *
 * Thread   any. Fails: a line that does not fit is cut at a field, never inside one; FORMAT_LINE_MAX always
 * suffices. Spec     RFC 4180; PowerMTA User's Guide, accounting file.
 */
#include "base/log.h"
#include "report/event.h"

/* Every byte of an event of QUEUE_EVENT_MAX may become six (\u001b), and names and numbers come on top. */
enum { FORMAT_LINE_MAX = 32768 };

/* The column line that stands first in each CSV file, with its line end. */
const char *format_csv_head(void);
/* "d", "b", "t", "r", "rb". */
const char *format_record_type(enum event_type type);
/* Lengths, line end included. */
size_t format_csv(const struct event *e, char *buf, size_t max);
/* 0: no memory, or fewer than FORMAT_LINE_MAX were given and it does not fit. */
size_t format_json(const struct event *e, char *buf, size_t max);
void format_log(const struct event *e, struct log *log);
#endif
