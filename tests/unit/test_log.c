/* SPDX-License-Identifier: Apache-2.0 */
/* log: one fact is one line, whatever the peer wrote, at whatever length. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	assert_int_equal(pipe2(f->fds, O_NONBLOCK), 0);
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

/* A reader that has gone or sleeps costs lines, not mail. */
static void
test_full_pipe_does_not_stall(void **state)
{
	struct fixture f;

	begin(&f, CONF_LOG_STDERR, CONF_LOG_INFO);
	for (int i = 0; i < 2000; i++)
		log_event(f.log, LOG_EVENT_delivered, "msg=%d and words to fill the pipe with", i);
	finish(&f);
}

static void
test_names_and_words(void **state)
{
	for (int i = 0; i < LOG_EVENT_COUNT; i++) {
		assert_true(log_event_name((enum log_event)i)[0] != '\0');
		assert_true(log_event_doc((enum log_event)i)[0] != '\0');
	}
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
		cmocka_unit_test(test_names_and_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
