/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_BASE_LOG_H
#define MTAD_BASE_LOG_H
/*
 * log - one line for one fact, each kind declared once in log.def
 *
 * A line is "event key=value ...", peer text last, in quotes, escaped and bounded. To stderr with a time
 * stamp (UTC), to syslog's /dev/log (facility mail), or to the journal through stderr's "<6>" prefixes. Lines
 * are written whole with one call, from any thread, and never waited for: what nobody takes is counted and
 * told (log_lost) with the next line that somebody does.
 *
 * Owner    main; everybody borrows it.
 * Thread   any; the level may be changed by main at any time.
 */
#include "conf/conf.h"

#include <stdarg.h>
#include <stdbool.h>

enum log_event {
#define LOG(name, level, doc) LOG_EVENT_##name,
#include "base/log.def"
#undef LOG
	LOG_EVENT_COUNT
};

struct log;

/* NULL: no memory. */
struct log *log_create(enum conf_log_target target, enum conf_log_level level, int fd);
void log_destroy(struct log **lp);
void log_set_level(struct log *l, enum conf_log_level level);
bool log_wants(const struct log *l, enum log_event event);
/* `format` makes the "key=value ..." part. A NULL log swallows (tests). */
void log_event(struct log *l, enum log_event event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Quotes peer text for the end of a line: control and 8-bit bytes as \xNN, at most max-1 bytes. Returns buf.
 */
const char *log_escape(char *buf, size_t max, const char *text, size_t len);
#endif
