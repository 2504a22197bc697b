/* SPDX-License-Identifier: Apache-2.0 */
/* log: one fact is one line, whatever the peer wrote, at whatever length. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT(s) (s), sizeof(s) - 1

static const struct {
	const char *name, *in;
	size_t len;
	const char *want;
} escapes[] = {
	{"plain", TEXT("550 no such user"), "550 no such user"},
	{"nothing", TEXT(""), ""},
	{"quotes and backslashes", TEXT("a \"b\" \\c"), "a \\\"b\\\" \\\\c"},
	{"lines become blanks", TEXT("one\r\ntwo\nthree"), "one two three"},
	{"one blank is enough", TEXT("one \n\n two"), "one  two"},
	{"line ends first", TEXT("\r\nx"), "x"},
	{"NUL", TEXT("a\0b"), "a\\x00b"},
	{"terminal escapes", TEXT("\x1b[2J\x07"), "\\x1b[2J\\x07"},
	{"tab and DEL", TEXT("\t\x7f"), "\\x09\\x7f"},
	{"8 bit", TEXT("n\xc3\xb6\xff"), "n\\xc3\\xb6\\xff"},
};

static void
test_escape(void **state)
{
	char buf[200];

	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		const char *have = log_escape(buf, sizeof(buf), escapes[i].in, escapes[i].len);

		assert_ptr_equal(have, buf);
		assert_string_equal(have, escapes[i].want);
	}
}

/* Every size of room: terminated, inside, and no escape cut in half. */
static void
test_escape_in_any_room(void **state)
{
	static const char in[] = "ab\"\x01\xff\\ \n\x80zz\"\"\x02";

	for (size_t max = 1; max < 60; max++) {
		char *buf = malloc(max);
		const char *p = log_escape(buf, max, in, sizeof(in) - 1);
		size_t len = strnlen(p, max);

		assert_true(len < max);
		for (size_t i = 0; i < len; i++)
			if (p[i] == '\\') {
				assert_true(i + 1 < len);
				i += p[i + 1] == 'x' ? 3 : 1;
				assert_true(i < len);
			}
		free(buf);
	}
}

struct fixture {
	int fds[2];
	struct log *log;
	char line[8192];
};

static void
begin(struct fixture *f, enum conf_log_target target, enum conf_log_level level)
{
	assert_int_equal(pipe(f->fds), 0);
	assert_int_equal(fcntl(f->fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_non_null(f->log = log_create(target, level, f->fds[1]));
}

static const char *
line_of(struct fixture *f)
{
	ssize_t n = read(f->fds[0], f->line, sizeof(f->line) - 1);

	f->line[n > 0 ? n : 0] = '\0';
	return f->line;
}

static void
finish(struct fixture *f)
{
	log_destroy(&f->log);
	assert_null(f->log);
	close(f->fds[0]);
	close(f->fds[1]);
}

static void
test_lines(void **state)
{
	struct fixture f;
	const char *line;

	begin(&f, CONF_LOG_STDERR, CONF_LOG_INFO);
	log_event(f.log, LOG_EVENT_delivered, "msg=%x rcpt=%s", 0x1f, "a@b.test");
	line = line_of(&f);
	/* 2026-11-01T12:00:00.123456Z info delivered ... */
	assert_int_equal(line[10], 'T');
	assert_int_equal(line[26], 'Z');
	assert_string_equal(line + 27, " info delivered msg=1f rcpt=a@b.test\n");
	finish(&f);

	begin(&f, CONF_LOG_JOURNAL, CONF_LOG_INFO);
	log_event(f.log, LOG_EVENT_spool_failed, "why=x");
	assert_string_equal(line_of(&f), "<3>spool_failed why=x\n");
	finish(&f);
}

static const struct {
	enum conf_log_level level;
	bool error, warn, info, debug;
} levels[] = {
	{CONF_LOG_ERROR, true, false, false, false},
	{CONF_LOG_WARN, true, true, false, false},
	{CONF_LOG_INFO, true, true, true, false},
	{CONF_LOG_DEBUG, true, true, true, true},
};

static void
test_levels(void **state)
{
	struct fixture f;

	begin(&f, CONF_LOG_JOURNAL, CONF_LOG_ERROR);
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		log_set_level(f.log, levels[i].level);
		assert_int_equal(log_wants(f.log, LOG_EVENT_spool_failed), levels[i].error);
		assert_int_equal(log_wants(f.log, LOG_EVENT_login_failed), levels[i].warn);
		assert_int_equal(log_wants(f.log, LOG_EVENT_delivered), levels[i].info);
		assert_int_equal(log_wants(f.log, LOG_EVENT_session_down), levels[i].debug);
		log_event(f.log, LOG_EVENT_session_down, "x=1");
		assert_int_equal(line_of(&f)[0] != '\0', levels[i].debug);
	}
	finish(&f);
	assert_false(log_wants(NULL, LOG_EVENT_spool_failed));
	log_event(NULL, LOG_EVENT_spool_failed, "swallowed");
}

static void
test_long_lines_are_cut_and_end(void **state)
{
	static char text[5000];
	struct fixture f;

	memset(text, 'x', sizeof(text) - 1);
	begin(&f, CONF_LOG_STDERR, CONF_LOG_INFO);
	for (int len = 1900; len < 2100; len++) {
		const char *line;
		size_t n;

		log_event(f.log, LOG_EVENT_delivered, "text=%.*s", len, text);
		line = line_of(&f);
		n = strlen(line);
		assert_true(n <= 2048);
		assert_ptr_equal(strchr(line, '\n'), line + n - 1);
		assert_int_equal(line[n - 2], 'x');
	}
	finish(&f);
}

/* Reads until there is nothing; how many lines, and the last one in f->line. */
static int
drain(struct fixture *f)
{
	char c;
	int lines = 0;
	size_t n = 0;

	while (read(f->fds[0], &c, 1) == 1) {
		f->line[n++] = c;
		if (c != '\n')
			continue;
		f->line[n] = '\0';
		n = 0;
		lines++;
	}
	assert_int_equal(n, 0); /* no line was cut */
	return lines;
}

/* A reader that sleeps costs lines, not mail; nobody else's descriptor changes for it. */
static void
test_full_pipe_does_not_stall(void **state)
{
	struct fixture f;
	char want[64];
	int taken;

	begin(&f, CONF_LOG_STDERR, CONF_LOG_INFO);
	for (int i = 0; i < 2000; i++)
		log_event(f.log, LOG_EVENT_delivered, "msg=%d and words to fill the pipe with", i);
	assert_int_equal(fcntl(f.fds[1], F_GETFL) & O_NONBLOCK, 0);
	taken = drain(&f);
	assert_in_range(taken, 100, 1999);
	log_event(f.log, LOG_EVENT_delivered, "msg=again");
	assert_int_equal(drain(&f), 2);
	snprintf(want, sizeof(want), " warn log_lost lines=%d\n", 2000 - taken);
	assert_string_equal(f.line + 27, want);
	finish(&f);
}

/* --- syslog: /dev/log is the test's --- */

static struct sockaddr_un devlog;

int
connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t);

	*(void **)&real = dlsym(RTLD_NEXT, "connect");
	assert_string_equal(((const struct sockaddr_un *)to)->sun_path, "/dev/log");
	return real(fd, (const struct sockaddr *)&devlog, sizeof(devlog));
}

static int
syslog_start(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	unlink(devlog.sun_path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&devlog, sizeof(devlog)), 0);
	return fd;
}

/* "<22>Nov  1 12:00:00 mtad[99]: words": the pri and the words. */
static void
expect_syslog(int fd, const char *pri, const char *words)
{
	char line[4096], tail[4096];
	ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

	assert_true(n > 0);
	line[n] = '\0';
	assert_memory_equal(line, pri, strlen(pri));
	snprintf(tail, sizeof(tail), " mtad[%d]: %s", (int)getpid(), words);
	assert_string_equal(line + strlen(pri) + strlen("Nov  1 12:00:00"), tail);
}

static void
test_syslog(void **state)
{
	struct log *l;
	char line[100];
	int fd, lost = 0;

	devlog.sun_family = AF_UNIX;
	snprintf(devlog.sun_path, sizeof(devlog.sun_path), "/tmp/test_log.%d", (int)getpid());
	assert_non_null(l = log_create(CONF_LOG_SYSLOG, CONF_LOG_DEBUG, 2));
	log_event(l, LOG_EVENT_started, "too=early");
	fd = syslog_start();
	log_event(l, LOG_EVENT_delivered, "msg=1 text=\"%s\"", "a b");
	expect_syslog(fd, "<22>", "delivered msg=1 text=\"a b\"");
	expect_syslog(fd, "<20>", "log_lost lines=1");
	log_event(l, LOG_EVENT_spool_failed, "why=x");
	expect_syslog(fd, "<19>", "spool_failed why=x");
	log_event(l, LOG_EVENT_session_down, "why=x");
	expect_syslog(fd, "<23>", "session_down why=x");

	/* It is started anew: nothing is lost and nobody waits. */
	close(fd);
	fd = syslog_start();
	log_event(l, LOG_EVENT_delivered, "msg=2");
	expect_syslog(fd, "<22>", "delivered msg=2");

	/* It sleeps. */
	for (int i = 0; i < 3000; i++)
		log_event(l, LOG_EVENT_delivered, "msg=3");
	for (lost = 3000; recv(fd, line, sizeof(line), 0) > 0; lost--)
		;
	assert_in_range(lost, 1, 2999);
	log_event(l, LOG_EVENT_delivered, "msg=4");
	expect_syslog(fd, "<22>", "delivered msg=4");
	snprintf(line, sizeof(line), "log_lost lines=%d", lost);
	expect_syslog(fd, "<20>", line);
	close(fd);
	unlink(devlog.sun_path);
	log_destroy(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_in_any_room),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long_lines_are_cut_and_end),
		cmocka_unit_test(test_full_pipe_does_not_stall),
		cmocka_unit_test(test_syslog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
