/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_dsn_read: groups with and without what separates them, and what each field says. */
#include "smtp_dsn_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, strlen(text)};
}

/* "original|final|action|status" of each group, addresses without type. */
static void
draw(struct smtp_dsn_reader *r, char *out, size_t max)
{
	struct smtp_dsn_group g;
	size_t len = 0;

	*out = '\0';
	while (smtp_dsn_read_group(r, &g)) {
		char original[50], final[50];
		bool is_cut = false;
		int original_len =
			(int)smtp_dsn_read_address(g.original_recipient, original, sizeof(original), &is_cut);
		int final_len = (int)smtp_dsn_read_address(g.final_recipient, final, sizeof(final), &is_cut);
		struct smtp_slice word = smtp_dsn_action_word(smtp_dsn_read_action(g.action));
		struct smtp_esc esc = smtp_dsn_read_status(g.status);

		len += (size_t)snprintf(out + len, max - len, "%s%.*s|%.*s|%.*s|%u.%u.%u", len > 0 ? " " : "",
			original_len, original, final_len, final, (int)word.len, word.ptr, esc.class_digit,
			esc.subject, esc.detail);
		assert_true(len < max && !is_cut);
	}
}

#define FINAL(a)  "Final-Recipient: rfc822; " a "\r\n"
#define FAILED(s) "Action: failed\r\nStatus: " s "\r\n"

static const struct {
	const char *name, *body, *want;
} bodies[] = {
	{"nothing", "", ""},
	{"words", "Something failed.\r\n\r\nSorry\r\n", ""},
	{"about the message only", "Reporting-MTA: dns; mx.test\r\n\r\n", ""},
	{"one", "Reporting-MTA: dns; mx.test\r\n\r\n" FINAL("a@b.test") FAILED("5.1.1"),
		"|a@b.test|failed|5.1.1"},
	{"two",
		FINAL("a@b.test")
			FAILED("5.1.1") "\r\n" FINAL("c@b.test") "Action: delayed\r\nStatus: 4.2.2\r\n",
		"|a@b.test|failed|5.1.1 |c@b.test|delayed|4.2.2"},
	{"both recipients", "Original-Recipient: rfc822;o@b.test\r\n" FINAL("a@b.test") FAILED("5.0.0"),
		"o@b.test|a@b.test|failed|5.0.0"},
	{"no empty line between", FINAL("a@b.test") FAILED("5.1.1") FINAL("c@b.test") FAILED("5.1.2"),
		"|a@b.test|failed|5.1.1 |c@b.test|failed|5.1.2"},
	{"no empty line, original first",
		"Original-Recipient: o@b.test\n" FINAL("a@b.test")
			FAILED("5.1.1") "Original-Recipient: p@b.test\n" FINAL("c@b.test") FAILED("5.1.2"),
		"o@b.test|a@b.test|failed|5.1.1 p@b.test|c@b.test|failed|5.1.2"},
	{"empty lines inside", FINAL("a@b.test") "\r\n\r\n" FAILED("5.1.1") "\r\n\r\n",
		"|a@b.test|failed|5.1.1"},
	{"no empty line above", "Reporting-MTA: dns; mx.test\n" FINAL("a@b.test") FAILED("5.1.1"),
		"|a@b.test|failed|5.1.1"},
	{"no action", FINAL("a@b.test") "Status: 5.1.1\r\n\r\n" FINAL("c@b.test") "Status: 5.1.2\r\n",
		"|a@b.test||5.1.1 |c@b.test||5.1.2"},
	{"no status", FINAL("a@b.test") "Action: FAILED (really)\r\n", "|a@b.test|failed|0.0.0"},
	{"no recipient", FAILED("5.1.1"), "||failed|5.1.1"},
	{"the first of two counts", FINAL("a@b.test") FAILED("5.1.1") "Status: 5.9.9\r\n",
		"|a@b.test|failed|5.1.1"},
	{"a status with words", FINAL("a@b.test") FAILED("5.2.1 (mailbox disabled)"),
		"|a@b.test|failed|5.2.1"},
	{"folded", "final-recipient:\r\n\trfc822;\r\n a@b.test\r\nACTION:\r\n delivered\r\n",
		"|a@b.test|delivered|0.0.0"},
	{"junk between", FINAL("a@b.test") "???\r\n" FAILED("5.1.1"), "|a@b.test|failed|5.1.1"},
};

static void
test_groups(void **state)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct smtp_dsn_reader r;
		char got[500];

		smtp_dsn_read_begin(&r, slice(bodies[i].body));
		draw(&r, got, sizeof(got));
		if (strcmp(got, bodies[i].want) != 0)
			fail_msg("%s: got %s", bodies[i].name, got);
	}
}

static void
test_message_fields(void **state)
{
	struct smtp_dsn_reader r;
	struct smtp_dsn_group g;

	smtp_dsn_read_begin(&r, SMTP_LIT("Reporting-MTA: m\nOriginal-Envelope-Id: e\nArrival-Date: d\n\n"
					 "Final-Recipient: f\nAction: a\nDiagnostic-Code: c\nRemote-MTA: r\n"
					 "Last-Attempt-Date: l\nWill-Retry-Until: w\nReporting-MTA: n\n"));
	assert_true(smtp_dsn_read_group(&r, &g));
	assert_true(smtp_slice_is(r.reporting_mta, SMTP_LIT(" m")));
	assert_true(smtp_slice_is(r.envid, SMTP_LIT(" e")));
	assert_true(smtp_slice_is(r.arrival_date, SMTP_LIT(" d")));
	assert_true(smtp_slice_is(g.diagnostic, SMTP_LIT(" c")));
	assert_true(smtp_slice_is(g.remote_mta, SMTP_LIT(" r")));
	assert_true(smtp_slice_is(g.last_attempt, SMTP_LIT(" l")));
	assert_true(smtp_slice_is(g.will_retry_until, SMTP_LIT(" w")));
	assert_false(smtp_dsn_read_group(&r, &g));
}

static void
test_is_report(void **state)
{
	assert_true(smtp_dsn_is_report(SMTP_LIT("Reporting-MTA: x\n\nFinal-Recipient: a@b.test\n")));
	assert_false(smtp_dsn_is_report(SMTP_LIT("Final-Recipient: a@b.test\n")));
	assert_false(smtp_dsn_is_report(SMTP_LIT("Action: needed\nSubject: x\n")));
}

static const struct {
	const char *value;
	enum smtp_dsn_action want;
} actions[] = {
	{" Failed ", SMTP_DSN_FAILED},
	{"failure", SMTP_DSN_FAILED},
	{"delayed; x", SMTP_DSN_DELAYED},
	{"relayed", SMTP_DSN_RELAYED},
	{"expanded", SMTP_DSN_EXPANDED},
	{"deliverable", SMTP_DSN_DELIVERED},
	{"required", SMTP_DSN_NO_ACTION},
	{"", SMTP_DSN_NO_ACTION},
};

static void
test_actions(void **state)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		assert_int_equal(smtp_dsn_read_action(slice(actions[i].value)), actions[i].want);
}

static const struct {
	const char *text, *status;
	uint16_t code;
} codes[] = {
	{"550 5.1.1 no such user", "5.1.1", 550},
	{"host mx.test[192.0.2.5] said: 452-4.2.2 full", "4.2.2", 452},
	{"#5.1.1 smtp;550 unknown", "5.1.1", 550},
	{"(5.7.26)", "5.7.26", 0},
	{"failed: 5.2.2.", "5.2.2", 0},
	{"at 192.0.2.1 or 5.5.5.5, id 550123, a550, 550.1", "0.0.0", 0},
	{"5.1 GB left", "0.0.0", 0},
	{"size 4500, 2.0.0 ok 250", "2.0.0", 250},
	{"599 is none, 571 neither; 554", "0.0.0", 554},
	{"smtp:550, x", "0.0.0", 550},
	{"12:450 at 10.450", "0.0.0", 0},
	{"", "0.0.0", 0},
};

static void
test_codes(void **state)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct smtp_esc esc = smtp_dsn_read_status(slice(codes[i].text));
		char got[20];

		snprintf(got, sizeof(got), "%u.%u.%u", esc.class_digit, esc.subject, esc.detail);
		if (strcmp(got, codes[i].status) != 0)
			fail_msg("%s: status %s", codes[i].text, got);
		if (smtp_dsn_read_code(slice(codes[i].text)) != codes[i].code)
			fail_msg("%s: code %u", codes[i].text, smtp_dsn_read_code(slice(codes[i].text)));
	}
}

static const struct {
	const char *value, *want;
} addresses[] = {
	{" rfc822; a@b.test", "a@b.test"},
	{"RFC822;<a@b.test>", "a@b.test"},
	{"rfc822;a@b.test (expanded from c)", "a@b.test"},
	{"a@b.test", "a@b.test"},
	{"<a@b.test", "a@b.test"},
	{"rfc822;", ""},
	{"", ""},
	{"rfc822; \"a b\"@b.test x", "\"a b\"@b.test"},
	{"rfc822; SMTP:a@b.test", "a@b.test"},
	{"rfc822;a+2Bx+3Dy@b.test", "a+x=y@b.test"},
	{"rfc822;a+40b.test", "a@b.test"},
	{"rfc822;a+41@b.test", "a+41@b.test"},
	{"rfc822;a+2Bx+tag@b.test", "a+2Bx+tag@b.test"},
	{"rfc822; =?utf-8?Q?a=40b.test?=", "a@b.test"},
	{"utf-8; a\\x{E4}\\x{20ac}\\x{1F600}\\x{5C}@b.test",
		"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\\@b.test"},
	{"utf-8; a\\x{}\\x{110000}\\x{G}\\x{1", "a\\x{}\\x{110000}\\x{G}\\x{1"},
	{"utf-8; a\xc3\xa4@b.test", "a\xc3\xa4@b.test"},
};

static void
test_addresses(void **state)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		char buf[100];
		bool is_cut = false;
		size_t len = smtp_dsn_read_address(slice(addresses[i].value), buf, sizeof(buf), &is_cut);

		if (!smtp_slice_is((struct smtp_slice){buf, len}, slice(addresses[i].want)))
			fail_msg("%s: got %.*s", addresses[i].value, (int)len, buf);
		assert_false(is_cut);
		assert_int_equal(smtp_dsn_read_address(slice(addresses[i].value), buf, 0, &is_cut), 0);
	}
}

static void
test_text(void **state)
{
	char buf[100];
	bool is_cut = false;
	size_t len =
		smtp_dsn_read_text(SMTP_LIT(" smtp; 550 no\r\n  such\t user"), buf, sizeof(buf), &is_cut);

	assert_true(smtp_slice_is((struct smtp_slice){buf, len}, SMTP_LIT("550 no such user")));
	len = smtp_dsn_read_text(SMTP_LIT("no such user; sorry"), buf, sizeof(buf), &is_cut);
	assert_true(smtp_slice_is((struct smtp_slice){buf, len}, SMTP_LIT("no such user; sorry")));
	assert_false(is_cut);
	assert_int_equal(smtp_dsn_read_text(SMTP_LIT("x-a; 12345"), buf, 4, &is_cut), 4);
	assert_true(is_cut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_message_fields),
		cmocka_unit_test(test_is_report),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
