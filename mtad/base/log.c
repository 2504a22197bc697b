/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are formatted on the stack and written with one call, so threads need no lock and a line is never
 * torn (pipes and files keep writes below PIPE_BUF whole). Nothing here waits: a reader that sleeps costs
 * lines, which are counted, and not mail. That is why syslog(3), which does wait, is not used.
 */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

struct log {
	enum conf_log_target target;
	_Atomic int level;
	int fd;
	bool is_own_fd, is_socket;
	_Atomic unsigned lost; /* lines nobody took since the last that was */
};

static const struct {
	const char *name;
	enum conf_log_level level;
} events[LOG_EVENT_COUNT] = {
#define LOG(name, level, doc) {#name, CONF_LOG_##level},
#include "base/log.def"
#undef LOG
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

/* --- where lines go --- */

/* Again and again while the daemon runs: syslog may be started after us, or anew. */
static void
connect_syslog(const struct log *l)
{
	static const struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

	(void)connect(l->fd, (const struct sockaddr *)&where, sizeof(where));
}

/* A pipe is opened anew, so that it is ours alone that does not wait and not whoever else writes to it. */
static void
take_descriptor(struct log *l, int fd)
{
	char path[40];
	struct stat st;
	int own;

	l->fd = fd;
	if (fstat(fd, &st) != 0)
		return;
	l->is_socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if ((own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		return;
	l->fd = own;
	l->is_own_fd = true;
}

struct log *
log_create(enum conf_log_target target, enum conf_log_level level, int fd)
{
	struct log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->target = target;
	atomic_init(&l->level, level);
	if (target != CONF_LOG_SYSLOG) {
		take_descriptor(l, fd);
		return l;
	}
	l->is_socket = l->is_own_fd = true;
	if ((l->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0) {
		free(l);
		return NULL;
	}
	connect_syslog(l);
	return l;
}

void
log_destroy(struct log **lp)
{
	struct log *l = *lp;

	*lp = NULL;
	if (l != NULL && l->is_own_fd)
		close(l->fd);
	free(l);
}

static bool
put(const struct log *l, const char *line, size_t len)
{
	ssize_t n =
		l->is_socket ? send(l->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(l->fd, line, len);

	if (n < 0 && l->target == CONF_LOG_SYSLOG && errno != EAGAIN) {
		connect_syslog(l);
		n = send(l->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return n == (ssize_t)len;
}

/* --- lines --- */

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

/* "2026-11-01T12:00:00.123456Z info ", "<6>" (sd-daemon(3)) or "<22>Nov  1 12:00:00 mtad[99]: " (RFC 3164);
 * returns its length. */
static int
prefix(const struct log *l, enum conf_log_level level, char *buf, size_t max)
{
	int64_t now_us = clock_now(clock_real());
	time_t seconds = now_us / 1000000;
	char date[40];
	struct tm tm;

	switch (l->target) {
	case CONF_LOG_JOURNAL:
		return snprintf(buf, max, "<%d>", syslog_levels[level]);
	case CONF_LOG_SYSLOG:
		(void)strftime(date, sizeof(date), "%b %e %H:%M:%S", localtime_r(&seconds, &tm));
		return snprintf(
			buf, max, "<%d>%s mtad[%d]: ", LOG_MAIL | syslog_levels[level], date, (int)getpid());
	case CONF_LOG_STDERR:
		break;
	}
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	return snprintf(buf, max, "%s.%06dZ %s ", date, (int)(now_us % 1000000), level_names[level]);
}

static bool __attribute__((format(printf, 3, 0)))
put_event(struct log *l, enum log_event event, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int n = prefix(l, events[event].level, line, sizeof(line)), text;

	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s ", events[event].name);
	text = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
	if (text > 0)
		n += text;
	if (n > LINE_MAX_BYTES - 2)
		n = LINE_MAX_BYTES - 2;
	if (l->target != CONF_LOG_SYSLOG) /* there a datagram is a line */
		line[n++] = '\n';
	return put(l, line, (size_t)n);
}

static void __attribute__((format(printf, 2, 3))) put_lost(struct log *l, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)put_event(l, LOG_EVENT_log_lost, format, ap);
	va_end(ap);
}

void
log_event(struct log *l, enum log_event event, const char *format, ...)
{
	unsigned lost;
	va_list ap;
	bool ok;

	if (!log_wants(l, event))
		return;
	va_start(ap, format);
	ok = put_event(l, event, format, ap);
	va_end(ap);
	if (!ok)
		atomic_fetch_add_explicit(&l->lost, 1, memory_order_relaxed);
	else if (atomic_load_explicit(&l->lost, memory_order_relaxed) > 0 &&
		 (lost = atomic_exchange_explicit(&l->lost, 0, memory_order_relaxed)) > 0)
		put_lost(l, "lines=%u", lost);
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
