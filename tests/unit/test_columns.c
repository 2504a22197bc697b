/* SPDX-License-Identifier: Apache-2.0 */
/*
 * columns: whatever a site replies, a CSV record stays one line whose fields read back, by the names PowerMTA
 * gives them, in the order a file asks for.
 */
#include "report/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "report/format.h"

#include "base/bounce_class.h"
#include "event_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIELDS = 23,
	READ_MAX = 40,
	FIELD_MAX = 4096,
	RCPT = 4,
	DIAG = 8,
	MTA = 9,
	CATEGORY = 10,
	VMTA = 18,
	QUEUE = 21
};

/* One RFC 4180 record back into fields; returns how many. Fails when quotes do not balance. */
static int
read_record(const char *line, size_t len, char (*out)[FIELD_MAX])
{
	size_t i = 0, n;
	int count = 0;

	assert_true(len > 0 && line[len - 1] == '\n');
	len--;
	while (i <= len) {
		bool quoted = i < len && line[i] == '"';

		assert_true(count < READ_MAX);
		n = 0;
		i += quoted;
		for (;; i++) {
			if (quoted && i < len && line[i] == '"') {
				if (i + 1 < len && line[i + 1] == '"')
					i++;
				else
					break;
			} else if (i == len || (!quoted && line[i] == ','))
				break;
			assert_true(quoted || line[i] != '"');
			assert_true((unsigned char)line[i] >= ' ');
			out[count][n++] = line[i];
		}
		assert_true(!quoted || i < len);
		i += quoted;
		assert_true(i == len || line[i] == ',');
		out[count++][n] = '\0';
		i++;
	}
	return count;
}

static int
csv(const struct event *e, char (*out)[FIELD_MAX])
{
	static char line[FORMAT_LINE_MAX];
	struct columns *c = columns_create(&(struct conf_columns){.user_string = ""});
	size_t n;

	assert_non_null(c);
	n = columns_write(c, e, line, sizeof(line));
	columns_destroy(&c);
	assert_true(n < sizeof(line) && memchr(line, '\n', n) == line + n - 1);
	return read_record(line, n, out);
}

static void
test_head_has_a_name_for_each_field(void **state)
{
	static char fields[READ_MAX][FIELD_MAX];
	struct columns *c = columns_create(&(struct conf_columns){.user_string = ""});
	const char *head;

	assert_non_null(c);
	head = columns_head(c);
	assert_int_equal(read_record(head, strlen(head), fields), FIELDS);
	columns_destroy(&c);
	assert_string_equal(fields[0], "type");
	assert_string_equal(fields[RCPT], "rcpt");
	assert_string_equal(fields[DIAG], "dsnDiag");
	assert_string_equal(fields[VMTA], "vmta");
	assert_string_equal(fields[FIELDS - 1], "vmtaPool");
}

static const struct {
	enum event_type type;
	const char *record, *action;
} types[] = {
	{EVENT_DELIVERED, "d", "relayed"},
	{EVENT_BOUNCED, "b", "failed"},
	{EVENT_EXPIRED, "b", "failed"},
	{EVENT_DROPPED, "b", "failed"},
	{EVENT_TRANSIENT, "t", "delayed"},
	{EVENT_RECEIVED, "r", ""},
	{EVENT_REMOTE, "rb", "failed"},
	{EVENT_COMPLAINT, "f", ""},
	{EVENT_UNSUBSCRIBE, "u", ""},
};

static void
test_record_types(void **state)
{
	static char fields[READ_MAX][FIELD_MAX];

	assert_int_equal(sizeof(types) / sizeof(types[0]), EVENT_TYPE_COUNT);
	for (size_t i = 0; i < EVENT_TYPE_COUNT; i++) {
		struct event e = event_plain(types[i].type);

		assert_int_equal(csv(&e, fields), FIELDS);
		assert_string_equal(fields[0], types[i].record);
		assert_string_equal(format_record_type(types[i].type), types[i].record);
		assert_string_equal(fields[1], "2026-11-01 12:00:00+0000");
		assert_string_equal(fields[6], types[i].action);
		assert_string_equal(fields[MTA], "mx.y.test (203.0.113.9)");
		assert_string_equal(fields[QUEUE], "y.test/ip-a");
	}
}

/* `want` NULL: as it went in. */
static const struct {
	const char *name;
	struct queue_blob in;
	const char *want;
} replies[] = {
	{"plain", BLOB("550 no"), NULL},
	{"comma", BLOB("550 no, never"), NULL},
	{"quotes", BLOB("550 \"no\" said \"\"he\"\""), NULL},
	{"quote first", BLOB("\"550"), NULL},
	{"a record of its own", BLOB("550 x\r\nd,2026-11-01,forged"), "550 x  d,2026-11-01,forged"},
	{"only line ends", BLOB("\n\n\r"), "   "},
	{"tabs and escapes", BLOB("550\t\x1b[31mred\x07"), "550  [31mred "},
	{"DEL", BLOB("5\x7f"), "5 "},
	{"8 bit", BLOB("550 n\xc3\xb6 \xff"), NULL},
	{"PHP's escape", BLOB("550 \\\",b,x\\\\"), "550 /\",b,x\\/"},
	{"formula", BLOB("=cmd|' /C calc'!A0"), NULL},
};

static void
test_D38_hostile_replies_in_csv(void **state)
{
	static char fields[READ_MAX][FIELD_MAX];
	char want[700];

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		for (int code = 0; code <= 550; code += 550) {
			struct event e = event_plain(EVENT_BOUNCED);

			e.reply = replies[i].in;
			e.code = (uint16_t)code;
			if (csv(&e, fields) != FIELDS)
				fail_msg("%s", replies[i].name);
			snprintf(want, sizeof(want), "%s;%s", code != 0 ? "smtp" : "x-mtad",
				replies[i].want != NULL ? replies[i].want : (const char *)replies[i].in.ptr);
			assert_string_equal(fields[DIAG], want);
			assert_string_equal(fields[CATEGORY], "bad-mailbox");
		}
}

/* Hostile addresses are as good at it as replies. */
static void
test_hostile_addresses_in_csv(void **state)
{
	static char fields[READ_MAX][FIELD_MAX];
	struct event e = event_plain(EVENT_DELIVERED);

	e.rcpt = BLOB("\"a,b\\\"c d\"@y.test");
	assert_int_equal(csv(&e, fields), FIELDS);
	assert_string_equal(fields[RCPT], "\"a,b\\\"c d\"@y.test");
	e.rcpt = BLOB("no-at-sign");
	assert_int_equal(csv(&e, fields), FIELDS);
	assert_string_equal(fields[QUEUE], "/ip-a");
	e.rcpt = e.source = e.host = e.peer_ip = e.reply = BLOB("");
	assert_int_equal(csv(&e, fields), FIELDS);
	assert_string_equal(fields[QUEUE], "");
	assert_string_equal(fields[MTA], "");
	assert_string_equal(fields[DIAG], "");
}

/* The largest event whose every byte has to be escaped. */
static void
test_the_worst_event_fits(void **state)
{
	static const char worst[] = {'"', '\x1b', (char)0xff, '\\', ','};
	static char fields[READ_MAX][FIELD_MAX];
	char text[QUEUE_REPLY_MAX];

	for (size_t i = 0; i < sizeof(worst); i++) {
		struct event e = event_plain(EVENT_TRANSIENT);
		struct queue_blob b = {text, sizeof(text)};

		memset(text, worst[i], sizeof(text));
		e.reply = e.sender = e.rcpt = e.orcpt = e.envid = e.host = e.site = b;
		e.caps = (struct queue_blob){text, 300}; /* 3,884 in all */
		assert_int_equal(csv(&e, fields), FIELDS);
	}
}

static const struct {
	const char *column, *want;
} chosen[] = {
	{"header_X-Campaign", "spring, \"24\""},
	{"header_x-campaign", "spring, \"24\""},
	{"header_X-Absent", ""},
	{"header_Empty", ""},
	{"dlvTlsProtocol", "TLSv1.3"},
	{"dlvTlsCipher", "TLS_AES_256_GCM_SHA384"},
	{"dlvSize", "1234"},
	{"rcvSmtpUser", "shop"},
	{"srcMta", "shop"},
	{"totalSecondsQueued", "400"},
	{"eventId", "00000000000000ab-7"},
	{"message", "1f"},
	{"messageId", "a@x.test"},
	{"bounceClass", "bad-mailbox"},
	{"bounceCat", "bad-mailbox"},
	{"attempts", "2"},
	{"nextAttempt", ""},
	{"feedbackType", "abuse"},
	{"recipientNumber", "3"},
	{"type", "b"},
	{"timeFirstAttempt", "2026-11-01 11:53:21+0000"},
	{"userString", "node, 7"},
	{"dlvSourceIp", "192.0.2.10"},
	{"repSourceIp", ""},
	{"dsnReportingMta", ""},
	{"reportingMta", ""},
};
enum { CHOSEN = sizeof(chosen) / sizeof(chosen[0]) };

static void
test_columns_of_a_choice(void **state)
{
	static char fields[READ_MAX][FIELD_MAX], line[FORMAT_LINE_MAX];
	const char *names[CHOSEN];
	const struct conf_columns conf = {.fields = {names, CHOSEN}, .user_string = "node, 7"};
	struct event e = event_plain(EVENT_BOUNCED);
	struct columns *c;

	e.user = BLOB("shop");
	e.n = 3;
	e.first_us = e.queued_us + 1000000;
	e.local_ip = BLOB("192.0.2.10");
	e.seq = 7;
	e.spool_id = 0xab;
	e.bounce_class = BOUNCE_CLASS_BAD_MAILBOX;
	e.tls = BLOB("TLSv1.3 TLS_AES_256_GCM_SHA384");
	e.message_id = BLOB("a@x.test");
	e.feedback = BLOB("abuse");
	e.headers = BLOB("Empty:\nX-Campaign:spring, \"24\"\n");
	for (size_t i = 0; i < CHOSEN; i++)
		names[i] = chosen[i].column;
	assert_non_null(c = columns_create(&conf));
	assert_int_equal(read_record(columns_head(c), strlen(columns_head(c)), fields), CHOSEN);
	for (size_t i = 0; i < CHOSEN; i++)
		assert_string_equal(fields[i], chosen[i].column);
	assert_int_equal(read_record(line, columns_write(c, &e, line, sizeof(line)), fields), CHOSEN);
	for (size_t i = 0; i < CHOSEN; i++)
		if (strcmp(fields[i], chosen[i].want) != 0)
			fail_msg("%s: %s", chosen[i].column, fields[i]);
	columns_destroy(&c);
}

/* Reports by the columns PowerMTA has for them: `f`, and what `rb` has of its own. */
static const struct {
	const char *column, *complaint, *remote;
} of_reports[] = {
	{"type", "f", "rb"},
	{"feedbackType", "abuse", "abuse"},
	{"format", "arf", "arf"},
	{"userAgent", "Feedback/2.0, beta", "Feedback/2.0, beta"},
	{"reportingMta", "mx.y.test", ""},
	{"dsnReportingMta", "", "mx.y.test"},
	{"reportedDomain", "x.test", "x.test"},
	{"repSourceIp", "192.0.2.25", "192.0.2.25"},
	{"dlvSourceIp", "192.0.2.10", "192.0.2.10"},
	{"arf_Source-IP", "192.0.2.10", "192.0.2.10"},
	{"arf_Arrival-Date", "Wed, 1 Apr 2026 12:00:00 +0000", "Wed, 1 Apr 2026 12:00:00 +0000"},
	{"reportAuth", "dkim=pass d=y.test spf=none", "dkim=pass d=y.test spf=none"},
	{"timeFirstAttempt", "", ""},
	{"userString", "", ""},
};
enum { OF_REPORTS = sizeof(of_reports) / sizeof(of_reports[0]) };

static void
test_columns_of_reports(void **state)
{
	static char fields[READ_MAX][FIELD_MAX], line[FORMAT_LINE_MAX];
	const char *names[OF_REPORTS];
	const struct conf_columns conf = {.fields = {names, OF_REPORTS}, .user_string = ""};
	struct columns *c;

	for (size_t i = 0; i < OF_REPORTS; i++)
		names[i] = of_reports[i].column;
	assert_non_null(c = columns_create(&conf));
	for (int remote = 0; remote < 2; remote++) {
		struct event e = event_plain(remote ? EVENT_REMOTE : EVENT_COMPLAINT);

		e.feedback = BLOB("abuse");
		e.local_ip = BLOB("192.0.2.25");
		e.of_report = (struct event_report){BLOB("arf"), BLOB("Feedback/2.0, beta"), BLOB("x.test"),
			BLOB("192.0.2.10"), BLOB("Wed, 1 Apr 2026 12:00:00 +0000"),
			BLOB("dkim=pass d=y.test spf=none")};
		assert_int_equal(
			read_record(line, columns_write(c, &e, line, sizeof(line)), fields), OF_REPORTS);
		for (size_t i = 0; i < OF_REPORTS; i++)
			if (strcmp(fields[i], remote ? of_reports[i].remote : of_reports[i].complaint) != 0)
				fail_msg("%s of %s: %s", of_reports[i].column, fields[0], fields[i]);
	}
	columns_destroy(&c);
}

static void
test_unix_times(void **state)
{
	static char fields[READ_MAX][FIELD_MAX], line[FORMAT_LINE_MAX];
	static const char *const names[] = {"timeLogged", "nextAttempt", "timeQueued"};
	const struct conf_columns conf = {{names, 3}, CONF_ACCOUNTING_UNIX, ""};
	struct columns *c = columns_create(&conf);
	struct event e = event_plain(EVENT_BOUNCED);

	assert_non_null(c);
	assert_int_equal(read_record(line, columns_write(c, &e, line, sizeof(line)), fields), 3);
	assert_string_equal(fields[0], "1793534400");
	assert_string_equal(fields[1], "");
	assert_string_equal(fields[2], "1793534000");
	columns_destroy(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_has_a_name_for_each_field),
		cmocka_unit_test(test_record_types),
		cmocka_unit_test(test_D38_hostile_replies_in_csv),
		cmocka_unit_test(test_hostile_addresses_in_csv),
		cmocka_unit_test(test_the_worst_event_fits),
		cmocka_unit_test(test_columns_of_a_choice),
		cmocka_unit_test(test_columns_of_reports),
		cmocka_unit_test(test_unix_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
