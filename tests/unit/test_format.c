/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format: whatever a site replies, a JSON record stays one line of valid JSON, and a log line one line.
 */
#include "report/format.h"

#include "event_plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The largest event whose every byte has to be escaped, in each of the ways. */
static void
test_the_worst_event_fits(void **state)
{
	static const char worst[] = {'"', '\x1b', (char)0xff, '\\', ','};
	static char line[FORMAT_LINE_MAX];
	char text[QUEUE_REPLY_MAX];

	for (size_t i = 0; i < sizeof(worst); i++) {
		struct event e = event_plain(EVENT_TRANSIENT);
		struct queue_blob b = {text, sizeof(text)};
		json_t *o;
		size_t n;

		memset(text, worst[i], sizeof(text));
		e.next_us = e.logged_us + 1;
		e.reply = e.sender = e.rcpt = e.orcpt = e.envid = e.host = e.site = b;
		e.caps = (struct queue_blob){text, 300}; /* 3,884 in all */
		n = format_json(&e, line, sizeof(line));
		assert_true(n > 0);
		o = json_loadb(line, n, 0, NULL);
		assert_non_null(o);
		assert_non_null(json_object_get(o, "reply"));
		json_decref(o);
	}
}

static const struct {
	const char *name;
	struct queue_blob in;
	const char *want;
} json_replies[] = {
	{"plain", BLOB("550 no"), "550 no"},
	{"quotes and backslashes", BLOB("\"a\\b\""), "\"a\\b\""},
	{"UTF-8", BLOB("550 n\xc3\xb6"), "550 n\xc3\xb6"},
	{"Latin-1", BLOB("550 n\xf6"), "550 n\\xf6"},
	{"cut in a character", BLOB("550 n\xc3"), "550 n\\xc3"},
	{"overlong", BLOB("\xc0\xaf"), "\\xc0\\xaf"},
	{"surrogate", BLOB("\xed\xa0\x80"), "\\xed\\xa0\\x80"},
	{"line ends stay escaped", BLOB("a\r\nb"), "a\r\nb"},
};

static void
test_json(void **state)
{
	static char line[FORMAT_LINE_MAX];

	for (size_t i = 0; i < sizeof(json_replies) / sizeof(json_replies[0]); i++) {
		struct event e = event_plain(EVENT_BOUNCED);
		json_t *o;
		size_t n;

		e.reply = json_replies[i].in;
		n = format_json(&e, line, sizeof(line));
		assert_true(n > 0 && memchr(line, '\n', n) == line + n - 1);
		if ((o = json_loadb(line, n, 0, NULL)) == NULL)
			fail_msg("%s", json_replies[i].name);
		assert_string_equal(json_string_value(json_object_get(o, "reply")), json_replies[i].want);
		assert_string_equal(json_string_value(json_object_get(o, "record")), "b");
		assert_string_equal(json_string_value(json_object_get(o, "message")), "1f");
		assert_string_equal(
			json_string_value(json_object_get(o, "time")), "2026-11-01T12:00:00.250000Z");
		assert_int_equal(json_integer_value(json_object_get(o, "code")), 550);
		assert_string_equal(json_string_value(json_object_get(o, "class")), "bad-mailbox");
		assert_null(json_object_get(o, "job"));
		assert_null(json_object_get(o, "id")); /* not of an outbox */
		assert_null(json_object_get(o, "headers"));
		assert_null(json_object_get(o, "uncertain"));
		json_decref(o);
	}
}

static void
test_json_of_the_outbox(void **state)
{
	static char line[FORMAT_LINE_MAX];
	struct event e = event_plain(EVENT_BOUNCED);
	json_t *o, *headers;
	size_t n;

	e.seq = 7;
	e.spool_id = UINT64_C(0xab00000000000000);
	e.headers = BLOB("X-Campaign:a:b\nX-Cut:hal");
	n = format_json(&e, line, sizeof(line));
	assert_non_null(o = json_loadb(line, n, 0, NULL));
	assert_string_equal(json_string_value(json_object_get(o, "id")), "ab00000000000000-7");
	assert_non_null(headers = json_object_get(o, "headers"));
	assert_string_equal(json_string_value(json_object_get(headers, "X-Campaign")), "a:b");
	assert_string_equal(json_string_value(json_object_get(headers, "X-Cut")), "hal");
	json_decref(o);
}

static void
test_json_of_a_report(void **state)
{
	static const char *const names[] = {
		"format", "user_agent", "domain", "source_ip", "arrival_date", "auth"};
	static char line[FORMAT_LINE_MAX];
	struct event e = event_plain(EVENT_COMPLAINT);
	json_t *o, *report;
	size_t n;

	e.first_us = e.queued_us + 1000000;
	e.feedback = BLOB("abuse");
	e.of_report = (struct event_report){BLOB("format"), BLOB("user_agent"), BLOB("domain"),
		BLOB("source_ip"), BLOB("arrival_date"), BLOB("auth")};
	n = format_json(&e, line, sizeof(line));
	assert_non_null(o = json_loadb(line, n, 0, NULL));
	assert_string_equal(
		json_string_value(json_object_get(o, "first_attempt")), "2026-11-01T11:53:21.000000Z");
	assert_string_equal(json_string_value(json_object_get(o, "feedback")), "abuse");
	assert_int_equal(json_object_size(report = json_object_get(o, "report")), 6);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(json_string_value(json_object_get(report, names[i])), names[i]);
	json_decref(o);
	e.of_report = (struct event_report){.auth = BLOB("spf=pass")};
	n = format_json(&e, line, sizeof(line));
	assert_non_null(o = json_loadb(line, n, 0, NULL));
	assert_int_equal(json_object_size(json_object_get(o, "report")), 1);
	json_decref(o);
	e.of_report = (struct event_report){0};
	e.first_us = 0;
	n = format_json(&e, line, sizeof(line));
	assert_non_null(o = json_loadb(line, n, 0, NULL));
	assert_null(json_object_get(o, "report"));
	assert_null(json_object_get(o, "first_attempt"));
	json_decref(o);
}

static void
test_json_that_does_not_fit_is_nothing(void **state)
{
	char line[64];
	struct event e = event_plain(EVENT_BOUNCED);

	assert_int_equal(format_json(&e, line, sizeof(line)), 0);
}

static void
test_log_line(void **state)
{
	struct event e = event_plain(EVENT_BOUNCED);
	char line[2048];
	struct log *log;
	ssize_t n;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_non_null(log = log_create(CONF_LOG_JOURNAL, CONF_LOG_INFO, fds[1]));
	e.reply = BLOB("550 \"no\"\r\nerror forged=yes");
	format_log(&e, log);
	n = read(fds[0], line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	assert_non_null(strstr(line, "<6>bounced msg=1f rcpt=\"r@y.test\" "));
	assert_non_null(strstr(line, " code=550 esc=5.1.1 "));
	assert_non_null(strstr(line, "text=\"550 \\\"no\\\" error forged=yes\"\n"));
	log_destroy(&log);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_worst_event_fits),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_of_the_outbox),
		cmocka_unit_test(test_json_of_a_report),
		cmocka_unit_test(test_json_that_does_not_fit_is_nothing),
		cmocka_unit_test(test_log_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
