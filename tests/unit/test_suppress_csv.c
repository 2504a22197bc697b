/* SPDX-License-Identifier: Apache-2.0 */
/* suppress_csv: what a line of a list says; what is written is read again. */
#include "feedback/suppress_csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DAY_US (INT64_C(86400) * 1000000)

static const struct suppress_record defaults = {
	.scope = "global", .note = "none", .reason = SUPPRESS_IMPORT, .expires_us = 5};

static enum suppress_line
read_line(struct suppress_csv *csv, const char *text, struct suppress_record *out, char line[256],
	char why[100])
{
	int len = snprintf(line, 256, "%s", text);

	why[0] = '\0';
	return suppress_csv_read(csv, line, (size_t)len, &defaults, out, why);
}

static void
test_lines(void **state)
{
	static const struct {
		const char *head, *line; /* head: the line before, NULL: none */
		const char *address, *scope, *note;
		enum suppress_reason reason;
		int64_t added_us, expires_us;
	} cases[] = {
		{NULL, "a@x.test", "a@x.test", "global", "none", SUPPRESS_IMPORT, 0, 5},
		{NULL, " a@x.test , user shop ,manual,,never,", "a@x.test", "user shop", "none",
			SUPPRESS_MANUAL, 0, 0},
		{NULL, "a@x.test,,allow,1970-01-02,1970-01-03T01:00:00+01:00,\"x, \"\"y\"\"\"", "a@x.test",
			"global", "x, \"y\"", SUPPRESS_ALLOW, DAY_US, 2 * DAY_US},
		{"note,Email,other", "hello,a@x.test,whim", "a@x.test", "global", "hello", SUPPRESS_IMPORT, 0,
			5},
		{"note,email", "hello,a@x.test,more", "a@x.test", "global", "hello", SUPPRESS_IMPORT, 0, 5},
		{"address,scope", "a@x.test", "a@x.test", "global", "none", SUPPRESS_IMPORT, 0, 5},
		{"\xef\xbb\xbf"
		 "email",
			"a@x.test", "a@x.test", "global", "none", SUPPRESS_IMPORT, 0, 5},
		{"b@x.test,user shop", "a@x.test,user club", "a@x.test", "user club", "none", SUPPRESS_IMPORT,
			0, 5},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct suppress_csv csv = {.has_begun = false};
		struct suppress_record r;
		char line[256], why[100];

		if (cases[i].head != NULL)
			assert_int_not_equal(
				read_line(&csv, cases[i].head, &r, line, why), SUPPRESS_LINE_BAD);
		assert_int_equal(read_line(&csv, cases[i].line, &r, line, why), SUPPRESS_LINE_ENTRY);
		assert_string_equal(r.address, cases[i].address);
		assert_string_equal(r.scope, cases[i].scope);
		assert_string_equal(r.note, cases[i].note);
		assert_int_equal(r.reason, cases[i].reason);
		assert_int_equal(r.added_us, cases[i].added_us);
		assert_int_equal(r.expires_us, cases[i].expires_us);
	}
}

static void
test_no_entries(void **state)
{
	static const struct {
		const char *line;
		enum suppress_line want;
		const char *why;
	} cases[] = {
		{"", SUPPRESS_LINE_NONE, ""},
		{" \t", SUPPRESS_LINE_NONE, ""},
		{"# said by phone", SUPPRESS_LINE_NONE, ""},
		{"address,scope,reason,added,expires,note", SUPPRESS_LINE_NONE, ""},
		{",user shop", SUPPRESS_LINE_BAD, "no address"},
		{"\"a@x.test", SUPPRESS_LINE_BAD, "quotes"},
		{"a@x.test,shop", SUPPRESS_LINE_BAD, "no scope"},
		{"a@x.test,,damaged", SUPPRESS_LINE_BAD, "unknown reason"},
		{"a@x.test,,,never", SUPPRESS_LINE_BAD, "no time"},
		{"a@x.test,,,,2026-13-01", SUPPRESS_LINE_BAD, "no time"},
		{"a@x.test,,,,1969-01-01", SUPPRESS_LINE_BAD, "no time"},
		{",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,", SUPPRESS_LINE_BAD,
			"too many fields"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct suppress_csv csv = {.has_begun = false};
		struct suppress_record r;
		char line[256], why[100];

		assert_int_equal(read_line(&csv, cases[i].line, &r, line, why), cases[i].want);
		if (strstr(why, cases[i].why) == NULL)
			fail_msg("%s: %s", cases[i].line, why);
	}
}

static void
test_a_line_with_other_bytes(void **state)
{
	struct suppress_csv csv = {.has_begun = false};
	struct suppress_record r;
	char nul[] = "a@x\0.test", why[100];

	assert_int_equal(
		suppress_csv_read(&csv, nul, sizeof(nul) - 1, &defaults, &r, why), SUPPRESS_LINE_BAD);
}

static void
test_what_is_written_is_read(void **state)
{
	static const struct suppress_record records[] = {
		{"a@x.test", "global", "", SUPPRESS_HARD_BOUNCE, 3 * DAY_US, 0},
		{"\"a,b\"@x.test", "stream shop/a, \"b\"", "550 <a@x.test>: no, \"never\"",
			SUPPRESS_COMPLAINT, DAY_US, 9 * DAY_US},
		{"#a@x.test", "user shop", " blanks ", SUPPRESS_ALLOW, DAY_US, 0},
	};
	static const struct suppress_record empty = {.scope = "", .note = ""};
	struct suppress_csv csv = {.has_begun = false};
	char *text = NULL, *line, *next, why[100];
	size_t len = 0, n = 0;
	FILE *out = open_memstream(&text, &len);
	struct suppress_record r;

	suppress_csv_write_head(out);
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		suppress_csv_write(out, &records[i]);
	fclose(out);
	for (line = text; (next = strchr(line, '\n')) != NULL; line = next + 1) {
		*next = '\0';
		if (suppress_csv_read(&csv, line, (size_t)(next - line), &empty, &r, why) ==
			SUPPRESS_LINE_NONE)
			continue;
		assert_string_equal(r.address, records[n].address);
		assert_string_equal(r.scope, records[n].scope);
		assert_int_equal(r.reason, records[n].reason);
		assert_int_equal(r.added_us, records[n].added_us);
		assert_int_equal(r.expires_us, records[n].expires_us);
		n++;
	}
	assert_int_equal(n, sizeof(records) / sizeof(records[0]));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_no_entries),
		cmocka_unit_test(test_a_line_with_other_bytes),
		cmocka_unit_test(test_what_is_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
