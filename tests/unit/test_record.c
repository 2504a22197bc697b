/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record: what format.c writes is read again field by field; what others write is read by its head line.
 */
#include "report/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bounce_class.h"
#include "report/columns.h"
#include "report/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BLOB(s)  ((struct queue_blob){s, sizeof(s) - 1})

/* Parses a copy that ends where the line does, so that one byte too far is seen. */
struct parsed {
	char *line;
	enum record_line kind;
	struct record record;
};

static struct parsed
parse(struct record_columns *c, const char *line, size_t len)
{
	struct parsed p = {.line = malloc(len > 0 ? len : 1)};

	assert_non_null(p.line);
	memcpy(p.line, line, len);
	p.kind = record_parse(c, p.line, len, &p.record);
	return p;
}

static void
assert_field(const struct record *r, enum record_field field, const char *want)
{
	char have[600];

	snprintf(have, sizeof(have), "%.*s", (int)r->field[field].len,
		r->field[field].len > 0 ? (const char *)r->field[field].ptr : "");
	assert_string_equal(have, want);
}

static const struct event full = {.type = EVENT_BOUNCED,
	.code = 550,
	.attempts = 3,
	.n = 7,
	.id = 0x1a,
	.logged_us = INT64_C(1793534400250000), /* 2026-11-01 12:00:00.25 */
	.queued_us = INT64_C(1793534399000000),
	.message_bytes = 1234,
	.sender = BLOB("s@x.test"),
	.rcpt = BLOB("\"a,\\\"b\"@B.test"),
	.user = BLOB("shop"),
	.job = BLOB("spring sale"),
	.pool = BLOB("news"),
	.source = BLOB("ip-a"),
	.site = BLOB("b.test"),
	.esc = BLOB("5.1.1"),
	.reply = BLOB("550 5.1.1 no \"such\" user\x01\xc3\xa9"),
	.category = BLOB("bad-mailbox"),
	.bounce_class = BOUNCE_CLASS_BAD_MAILBOX,
	.host = BLOB("mx.b.test"),
	.peer_ip = BLOB("192.0.2.1"),
	.message_id = BLOB("1@x.test"),
	.seq = 7,
	.spool_id = 0xab};

static const struct conf_columns simple = {.user_string = ""};

static void
test_what_we_write_as_csv(void **state)
{
	struct columns *columns = columns_create(&simple);
	struct record_columns c = {0};
	char line[FORMAT_LINE_MAX];
	size_t n = columns_write(columns, &full, line, sizeof(line));
	struct parsed p = parse(&c, line, n - 1);

	assert_int_equal(p.kind, RECORD_READ);
	assert_int_equal(p.record.type, RECORD_BOUNCED);
	assert_int_equal(p.record.logged_us, INT64_C(1793534400000000));
	assert_int_equal(p.record.queued_us, full.queued_us);
	assert_field(&p.record, RECORD_RCPT, "\"a,\\\"b\"@B.test");
	assert_field(&p.record, RECORD_JOB, "spring sale");
	assert_field(&p.record, RECORD_REPLY, "smtp;550 5.1.1 no \"such\" user \xc3\xa9");
	assert_field(&p.record, RECORD_HOST, "mx.b.test (192.0.2.1)");
	assert_field(&p.record, RECORD_SITE, "");
	assert_field(&p.record, RECORD_POOL, "news");
	assert_int_equal(record_domain(&p.record).len, 6);
	free(p.line);
	columns_destroy(&columns);
}

static void
test_what_we_write_as_json(void **state)
{
	struct record_columns c = {0};
	char line[FORMAT_LINE_MAX];
	size_t n = format_json(&full, line, sizeof(line));
	struct parsed p = parse(&c, line, n - 1);

	assert_int_equal(p.kind, RECORD_READ);
	assert_int_equal(p.record.type, RECORD_BOUNCED);
	assert_int_equal(p.record.logged_us, full.logged_us);
	assert_field(&p.record, RECORD_EVENT, "bounced");
	assert_field(&p.record, RECORD_RCPT, "\"a,\\\"b\"@B.test");
	assert_field(&p.record, RECORD_REPLY, "550 5.1.1 no \"such\" user\x01\xc3\xa9");
	assert_field(&p.record, RECORD_MESSAGE, "1a");
	assert_field(&p.record, RECORD_NUMBER, "7");
	assert_field(&p.record, RECORD_ATTEMPTS, "3");
	assert_field(&p.record, RECORD_SITE, "b.test");
	assert_field(&p.record, RECORD_NEXT, "");
	assert_field(&p.record, RECORD_ID, "00000000000000ab-7");
	assert_field(&p.record, RECORD_CLASS, "bad-mailbox");
	assert_field(&p.record, RECORD_MESSAGE_ID, "1@x.test");
	free(p.line);
}

/* A file of chosen columns says as much as JSON does. */
static void
test_what_we_write_in_columns_of_a_choice(void **state)
{
	static const char *const names[] = {"rcpt", "timeLogged", "timeQueued", "type", "eventId", "message",
		"recipientNumber", "messageId", "bounceClass", "nextAttempt", "feedbackType", "attempts",
		"site", "rcvSmtpUser"};
	static const struct conf_columns conf = {{names, COUNT(names)}, CONF_ACCOUNTING_UNIX, ""};
	struct columns *columns = columns_create(&conf);
	struct record_columns c = {0};
	struct event e = full;
	char line[FORMAT_LINE_MAX];
	struct parsed head = parse(&c, columns_head(columns), strlen(columns_head(columns)) - 1), p;

	assert_int_equal(head.kind, RECORD_HEAD);
	e.next_us = INT64_C(1793534500000000);
	e.feedback = BLOB("abuse");
	p = parse(&c, line, columns_write(columns, &e, line, sizeof(line)) - 1);
	assert_int_equal(p.kind, RECORD_READ);
	assert_int_equal(p.record.logged_us, INT64_C(1793534400000000));
	assert_int_equal(p.record.queued_us, full.queued_us);
	assert_field(&p.record, RECORD_ID, "00000000000000ab-7");
	assert_field(&p.record, RECORD_MESSAGE, "1a");
	assert_field(&p.record, RECORD_NUMBER, "7");
	assert_field(&p.record, RECORD_MESSAGE_ID, "1@x.test");
	assert_field(&p.record, RECORD_CLASS, "bad-mailbox");
	assert_field(&p.record, RECORD_NEXT, "1793534500");
	assert_field(&p.record, RECORD_FEEDBACK, "abuse");
	assert_field(&p.record, RECORD_ATTEMPTS, "3");
	assert_field(&p.record, RECORD_SITE, "b.test");
	assert_field(&p.record, RECORD_USER, "shop");
	free(head.line);
	free(p.line);
	columns_destroy(&columns);
}

/* Every record type that is written is known here. */
static void
test_every_type(void **state)
{
	struct columns *columns = columns_create(&simple);
	struct record_columns c = {0};
	char line[FORMAT_LINE_MAX];

	for (int type = 0; type < EVENT_TYPE_COUNT; type++) {
		struct event e = full;
		struct parsed p;

		e.type = (enum event_type)type;
		p = parse(&c, line, columns_write(columns, &e, line, sizeof(line)) - 1);
		assert_int_equal(p.kind, RECORD_READ);
		free(p.line);
		p = parse(&c, line, format_json(&e, line, sizeof(line)) - 1);
		assert_int_equal(p.kind, RECORD_READ);
		free(p.line);
	}
	columns_destroy(&columns);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *name, *line;
		enum record_line want;
		const char *rcpt; /* of a record */
	} cases[] = {
		{"columns in another order", "a@b.test,2026-11-01 12:00:00,d", RECORD_READ, "a@b.test"},
		{"CR LF", "a@b.test,2026-11-01 12:00:00,d\r", RECORD_READ, "a@b.test"},
		{"a quote in quotes", "\"\"\"a\"\"@b.test\",,d", RECORD_READ, "\"a\"@b.test"},
		{"nothing in quotes", "\"\",,d", RECORD_READ, ""},
		{"one cell too few", "a@b.test,2026-11-01 12:00:00", RECORD_FOREIGN, NULL},
		{"one cell too many", "a@b.test,2026-11-01 12:00:00,d,", RECORD_FOREIGN, NULL},
		{"no end of a quote", "a@b.test,,\"d", RECORD_FOREIGN, NULL},
		{"something behind a quote", "\"a@b.test\"x,,d", RECORD_FOREIGN, NULL},
		{"a type nobody knows", "a@b.test,,x", RECORD_FOREIGN, NULL},
		{"no type", "a@b.test,,", RECORD_FOREIGN, NULL},
		{"no time", "a@b.test,yesterday,d", RECORD_FOREIGN, NULL},
		{"nothing", "", RECORD_FOREIGN, NULL},
		{"a head line again", "TYPE,rcpt,unknown", RECORD_HEAD, NULL},
		{"words that are no head line", "type,of,thing", RECORD_FOREIGN, NULL},
		{"JSON", "{\"record\":\"d\",\"rcpt\":\"a@b.test\"}", RECORD_READ, "a@b.test"},
		{"blanks in JSON", "{ \"record\" : \"d\" , \"rcpt\" : \"a@b.test\" } ", RECORD_READ,
			"a@b.test"},
		{"nested JSON", "{\"x\":[{\"rcpt\":\"]\"},2],\"record\":\"d\",\"rcpt\":\"a\"}", RECORD_READ,
			"a"},
		{"escapes of JSON", "{\"record\":\"d\",\"rcpt\":\"\\\"\\u00e9\\u20ac\\ud83d\\ude00\\/\"}",
			RECORD_READ, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/"},
		{"half a pair", "{\"record\":\"d\",\"rcpt\":\"\\ud83dx\"}", RECORD_READ, "\xef\xbf\xbdx"},
		{"null and numbers", "{\"record\":\"d\",\"rcpt\":null,\"code\":-1.5e3,\"x\":true}",
			RECORD_READ, ""},
		{"JSON without a type", "{\"rcpt\":\"a@b.test\"}", RECORD_FOREIGN, NULL},
		{"half of JSON", "{\"record\":\"d\",\"rcpt\":\"a@b", RECORD_FOREIGN, NULL},
		{"something behind JSON", "{\"record\":\"d\"}{", RECORD_FOREIGN, NULL},
		{"no such escape", "{\"record\":\"d\",\"rcpt\":\"\\x\"}", RECORD_FOREIGN, NULL},
		{"an empty object", "{}", RECORD_FOREIGN, NULL},
		{"no end of an array", "{\"record\":\"d\",\"x\":[", RECORD_FOREIGN, NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct record_columns c = {0};
		struct parsed head = parse(&c, "rcpt,timeLogged,type", 20), p;

		assert_int_equal(head.kind, RECORD_HEAD);
		p = parse(&c, cases[i].line, strlen(cases[i].line));
		if (p.kind != cases[i].want)
			fail_msg("%s: %d", cases[i].name, p.kind);
		if (cases[i].rcpt != NULL)
			assert_field(&p.record, RECORD_RCPT, cases[i].rcpt);
		free(head.line);
		free(p.line);
	}
}

/* Every beginning of a line is read or refused, within its bytes. */
static void
test_cut_anywhere(void **state)
{
	struct columns *columns = columns_create(&simple);
	char line[FORMAT_LINE_MAX];
	size_t n = format_json(&full, line, sizeof(line)) - 1;
	struct record_columns c = {0};

	for (size_t len = 0; len < n; len++) {
		struct parsed p = parse(&c, line, len);

		assert_int_equal(p.kind, RECORD_FOREIGN);
		free(p.line);
	}
	n = columns_write(columns, &full, line, sizeof(line)) - 1;
	for (size_t len = 0; len < n; len++) {
		struct parsed p = parse(&c, line, len);

		/* The last cell may be shorter, and nobody can see that. */
		assert_true(p.kind == RECORD_FOREIGN || len >= n - full.pool.len);
		free(p.line);
	}
	columns_destroy(&columns);
}

static void
test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t want_us; /* -1: refused */
	} cases[] = {{"1970-01-01", 0}, {"2026-11-01", INT64_C(1793491200000000)},
		{"2024-02-29", INT64_C(1709164800000000)}, {"2023-02-29", -1}, {"2100-02-29", -1},
		{"2000-02-29", INT64_C(951782400000000)}, {"2026-11-31", -1}, {"2026-13-01", -1},
		{"2026-00-01", -1}, {"2026-11-01 12:00", INT64_C(1793534400000000)},
		{"1793534400", INT64_C(1793534400000000)}, {"179353440000", -1}, {"17935344", -1},
		{"179353440x", -1}, {"2026-11-01T12:00:01", INT64_C(1793534401000000)},
		{"2026-11-01 12:00:00+0000", INT64_C(1793534400000000)},
		{"2026-11-01 12:00:00+01:00", INT64_C(1793530800000000)},
		{"2026-11-01 12:00:00-0130", INT64_C(1793539800000000)},
		{"2026-11-01T12:00:00.25Z", INT64_C(1793534400250000)},
		{"2026-11-01T12:00:00.123456789Z", INT64_C(1793534400123456)},
		{"2026-11-01T12:00Z", INT64_C(1793534400000000)}, {"2026-11-01 12", -1},
		{"2026-11-01 24:00", -1}, {"2026-11-01 12:00:00 CET", -1}, {"2026-11-1", -1},
		{"26-11-01", -1}, {"", -1}, {"1969-12-31", -1}, {"9999-12-31", INT64_C(253402214400000000)}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t us = -1;
		bool ok = record_time(cases[i].text, strlen(cases[i].text), &us);

		if (ok != (cases[i].want_us >= 0) || us != cases[i].want_us)
			fail_msg("%s: %lld", cases[i].text, (long long)us);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_we_write_as_csv),
		cmocka_unit_test(test_what_we_write_as_json),
		cmocka_unit_test(test_what_we_write_in_columns_of_a_choice),
		cmocka_unit_test(test_every_type),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
