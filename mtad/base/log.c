/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are formatted on the stack and written with one write(2), so threads need no lock and a line is never
 * torn (pipes and files keep writes below PIPE_BUF whole). A full pipe drops the line rather than stall mail.
 */
#include "base/log.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

struct log {
	enum conf_log_target target;
	_Atomic int level;
	int fd;
};

static const struct {
	const char *name;
	enum conf_log_level level;
	const char *doc;
} events[LOG_EVENT_COUNT] = {
#define LOG(name, level, doc) {#name, CONF_LOG_##level, doc},
#include "base/log.def"
#undef LOG
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

struct log *
log_create(enum conf_log_target target, enum conf_log_level level, int fd)
{
	struct log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->target = target;
	l->fd = fd;
	atomic_init(&l->level, level);
	if (target == CONF_LOG_SYSLOG)
		openlog("mtad", LOG_PID | LOG_NDELAY, LOG_MAIL);
	return l;
}

void
log_destroy(struct log **lp)
{
	struct log *l = *lp;

	*lp = NULL;
	if (l != NULL && l->target == CONF_LOG_SYSLOG)
		closelog();
	free(l);
}

void
log_set_level(struct log *l, enum conf_log_level level)
{
	atomic_store_explicit(&l->level, level, memory_order_relaxed);
}

bool
log_wants(const struct log *l, enum log_event event)
{
	return l != NULL && (int)events[event].level <= atomic_load_explicit(&l->level, memory_order_relaxed);
}

/* "2026-11-01T12:00:00.123456Z info " or "<6>"; returns its length. */
static int
prefix(const struct log *l, enum conf_log_level level, char *buf, size_t max)
{
	int64_t now_us;
	time_t seconds;
	struct tm tm;
	int n;

	if (l->target == CONF_LOG_JOURNAL)
		return snprintf(buf, max, "<%d>", syslog_levels[level]);
	now_us = clock_now(clock_real());
	seconds = now_us / 1000000;
	gmtime_r(&seconds, &tm);
	n = (int)strftime(buf, max, "%Y-%m-%dT%H:%M:%S", &tm);
	return n +
	       snprintf(buf + n, max - (size_t)n, ".%06dZ %s ", (int)(now_us % 1000000), level_names[level]);
}

void
log_event(struct log *l, enum log_event event, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int n, text;
	va_list ap;

	if (!log_wants(l, event))
		return;
	n = l->target == CONF_LOG_SYSLOG ? 0 : prefix(l, events[event].level, line, sizeof(line));
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s ", events[event].name);
	va_start(ap, format);
	text = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	va_end(ap);
	if (text > 0)
		n += text;
	if (n > LINE_MAX_BYTES - 2)
		n = LINE_MAX_BYTES - 2;
	if (l->target == CONF_LOG_SYSLOG) {
		syslog(syslog_levels[events[event].level], "%s", line);
		return;
	}
	line[n++] = '\n';
	/* A log that cannot be written must not stop mail; there is nowhere to say so. */
	if (write(l->fd, line, (size_t)n) < 0)
		return;
}

const char *
log_escape(char *buf, size_t max, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t have = 0, i;

	for (i = 0; i < len && have + 5 < max; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n' || c == '\r') {
			if (have > 0 && buf[have - 1] != ' ')
				buf[have++] = ' ';
		} else if (c == '"' || c == '\\') {
			buf[have++] = '\\';
			buf[have++] = (char)c;
		} else if (c >= 32 && c < 127)
			buf[have++] = (char)c;
		else {
			buf[have++] = '\\';
			buf[have++] = 'x';
			buf[have++] = hex[c >> 4];
			buf[have++] = hex[c & 15];
		}
	}
	buf[have] = '\0';
	return buf;
}

const char *
log_event_name(enum log_event event)
{
	return events[event].name;
}

const char *
log_event_doc(enum log_event event)
{
	return events[event].doc;
}
