/* SPDX-License-Identifier: Apache-2.0 */
/* The reply parser and enhanced codes: every case whole, byte by byte, and cut at each position; the same
 * answer. */
#include "smtp_esc.h"
#include "smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `want` is the last thing found in all of `in`; code, esc and text are of the last whole reply. */
static const struct {
	const char *name;
	struct smtp_slice in;
	int want;
	int replies;
	uint16_t code;
	struct smtp_esc esc;
	struct smtp_slice text;
} cases[] = {
	{"one line", SMTP_LIT("250 ok\r\n"), 0, 1, 250, {0}, SMTP_LIT("ok")},
	{"no text", SMTP_LIT("250 \r\n"), 0, 1, 250, {0}, SMTP_LIT("")},
	{"code alone", SMTP_LIT("250\r\n"), 0, 1, 250, {0}, SMTP_LIT("")},
	{"last line ends it, not first", SMTP_LIT("250-a\r\n250 b\r\n"), 0, 1, 250, {0}, SMTP_LIT("a\nb")},
	{"last line is a code alone", SMTP_LIT("250-a\r\n250\r\n"), 0, 1, 250, {0}, SMTP_LIT("a\n")},
	{"empty lines", SMTP_LIT("550-\r\n550-\r\n550 x\r\n"), 0, 1, 550, {0}, SMTP_LIT("\n\nx")},
	{"two replies", SMTP_LIT("250 a\r\n354 b\r\n"), 0, 2, 354, {0}, SMTP_LIT("b")},
	{"enhanced code", SMTP_LIT("550 5.1.1 who\r\n"), 0, 1, 550, {5, 1, 1}, SMTP_LIT("5.1.1 who")},
	{"enhanced code of the first line", SMTP_LIT("550-5.7.509 a\r\n550 5.1.1 b\r\n"), 0, 1, 550,
		{5, 7, 509}, SMTP_LIT("5.7.509 a\n5.1.1 b")},
	{"enhanced code contradicts", SMTP_LIT("550 4.2.2 full\r\n"), 0, 1, 550, {4, 2, 2},
		SMTP_LIT("4.2.2 full")},
	{"enhanced code is not of the reply before", SMTP_LIT("550 5.1.1 x\r\n250 y\r\n"), 0, 2, 250, {0},
		SMTP_LIT("y")},
	{"8-bit and control characters", SMTP_LIT("250 \xc3\xa9\x1b[0m\t\r\n"), 0, 1, 250, {0},
		SMTP_LIT("\xc3\xa9\x1b[0m\t")},
	{"smallest and largest code", SMTP_LIT("200 a\r\n599 b\r\n"), 0, 2, 599, {0}, SMTP_LIT("b")},
	{"codes that disagree", SMTP_LIT("250-a\r\n550 b\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"letters where a code belongs", SMTP_LIT("ok then\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"two digits", SMTP_LIT("25\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"letter in the code", SMTP_LIT("2x0 a\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"four digits", SMTP_LIT("2500 a\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"no blank behind the code", SMTP_LIT("250ok\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"below the range", SMTP_LIT("199 a\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"above the range", SMTP_LIT("600 a\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"999", SMTP_LIT("999 a\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"bare LF", SMTP_LIT("250 a\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"bare LF between lines", SMTP_LIT("250-a\n250 b\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"bare CR", SMTP_LIT("250 a\rb\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"two CR", SMTP_LIT("250 a\r\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"NUL in the text", SMTP_LIT("250 a\0b\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"empty line", SMTP_LIT("\r\n"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"TLS alert, without a line end", SMTP_LIT("\x15\x03\x01"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"HTTP, without a line end", SMTP_LIT("HTTP/1.1"), SMTP_ESYNTAX, 0, 0, {0}, {NULL, 0}},
	{"good, then bad", SMTP_LIT("250 a\r\nwhat\r\n"), SMTP_ESYNTAX, 1, 250, {0}, SMTP_LIT("a")},
	{"not ended", SMTP_LIT("250 a\r"), 0, 0, 0, {0}, {NULL, 0}},
	{"last line missing", SMTP_LIT("250-a\r\n"), 0, 0, 0, {0}, {NULL, 0}},
};

struct seen {
	int end, replies;
	struct smtp_reply last;
	char text[SMTP_REPLY_TEXT_MAX];
};

/* Feeds a copy on the heap, so that a read past its end is seen. */
static void
feed(struct smtp_reply_parser *p, const char *bytes, size_t len, struct seen *seen)
{
	char *copy = malloc(len + 1);
	struct smtp_slice in = {copy, len};

	memcpy(copy, bytes, len);
	while (in.len > 0 && seen->end >= 0) {
		struct smtp_reply r;
		int found = smtp_reply_feed(p, &in, &r);

		if (found < 0)
			seen->end = found;
		if (found != SMTP_REPLY_WHOLE)
			continue;
		seen->replies++;
		seen->last = r;
		memcpy(seen->text, r.text.ptr, r.text.len);
		seen->last.text.ptr = seen->text;
	}
	free(copy);
}

static void
check(size_t i, const struct seen *seen)
{
	if (seen->end != cases[i].want || seen->replies != cases[i].replies)
		fail_msg("%s: end %d, %d replies", cases[i].name, seen->end, seen->replies);
	if (seen->replies == 0)
		return;
	assert_int_equal(seen->last.code, cases[i].code);
	assert_int_equal(seen->last.esc.class_digit, cases[i].esc.class_digit);
	assert_int_equal(seen->last.esc.subject, cases[i].esc.subject);
	assert_int_equal(seen->last.esc.detail, cases[i].esc.detail);
	assert_true(smtp_slice_is(seen->last.text, cases[i].text));
	assert_false(seen->last.text_cut);
}

static void
test_reply(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_slice in = cases[i].in;

		for (size_t cut = 0; cut <= in.len; cut++) {
			struct smtp_reply_parser p;
			struct seen seen = {0};

			smtp_reply_init(&p);
			feed(&p, in.ptr, cut, &seen);
			feed(&p, in.ptr + cut, in.len - cut, &seen);
			check(i, &seen);
		}
		struct smtp_reply_parser p;
		struct seen seen = {0};

		smtp_reply_init(&p);
		for (size_t at = 0; at < in.len; at++)
			feed(&p, in.ptr + at, 1, &seen);
		check(i, &seen);
	}
}

static void
test_long_text_is_cut(void **state)
{
	struct smtp_reply_parser p;
	struct seen seen = {0};

	smtp_reply_init(&p);
	for (int i = 0; i < 100; i++)
		feed(&p, "250-0123456789012345678901234567890123456789\r\n", 46, &seen);
	feed(&p, "250 end\r\n", 9, &seen);
	assert_int_equal(seen.replies, 1);
	assert_true(seen.last.text_cut);
	assert_int_equal(seen.last.text.len, SMTP_REPLY_TEXT_MAX);
	/* The next reply starts afresh. */
	feed(&p, "250 short\r\n", 11, &seen);
	assert_int_equal(seen.replies, 2);
	assert_false(seen.last.text_cut);
	assert_int_equal(seen.last.text.len, 5);
}

static void
test_endless(void **state)
{
	static const struct smtp_slice junk[] = {SMTP_LIT("250-x\r\n"), SMTP_LIT("250 no line end at all ")};

	for (size_t i = 0; i < 2; i++) {
		struct smtp_reply_parser p;
		struct seen seen = {0};
		size_t fed = 0;

		smtp_reply_init(&p);
		if (i == 1)
			feed(&p, "250 ", 4, &seen);
		for (; seen.end == 0 && fed < 1000000; fed += junk[i].len)
			feed(&p, junk[i].ptr, junk[i].len, &seen);
		assert_int_equal(seen.end, SMTP_ETOOLONG);
		assert_in_range(fed, SMTP_REPLY_BYTES_MAX - 100, SMTP_REPLY_BYTES_MAX + 100);
		feed(&p, "250 ok\r\n", 8, &seen);
		assert_int_equal(seen.replies, 0);
	}
}

static void
test_lines_can_be_forgotten(void **state)
{
	struct smtp_reply_parser p;
	struct smtp_slice in = SMTP_LIT("250-first\r\n250-second\r\n250 third\r\n");
	struct smtp_reply r;

	smtp_reply_init(&p);
	assert_int_equal(smtp_reply_feed(&p, &in, &r), SMTP_REPLY_LINE);
	assert_true(smtp_slice_is(r.text, SMTP_LIT("first")));
	smtp_reply_forget_text(&p);
	assert_int_equal(smtp_reply_feed(&p, &in, &r), SMTP_REPLY_LINE);
	assert_true(smtp_slice_is(r.text, SMTP_LIT("second")));
	smtp_reply_forget_text(&p);
	assert_int_equal(smtp_reply_feed(&p, &in, &r), SMTP_REPLY_WHOLE);
	assert_true(smtp_slice_is(r.text, SMTP_LIT("third")));
}

static const struct {
	struct smtp_slice text;
	int want; /* length, or enum smtp_err */
	struct smtp_esc esc;
} codes[] = {
	{SMTP_LIT("2.0.0"), 5, {2, 0, 0}},
	{SMTP_LIT("4.7.500 text"), 7, {4, 7, 500}},
	{SMTP_LIT("5.999.999\n"), 9, {5, 999, 999}},
	{SMTP_LIT(""), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5."), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.7"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.7 GB left"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.7."), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.1.1x"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.1.1.2"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("5.1000.1"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT("3.1.1"), SMTP_ESYNTAX, {0}},
	{SMTP_LIT(" 5.1.1"), SMTP_ESYNTAX, {0}},
};

static void
test_enhanced_codes(void **state)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct smtp_esc esc = {0};
		char buf[SMTP_ESC_TEXT_MAX];

		assert_int_equal(smtp_esc_parse(codes[i].text, &esc), codes[i].want);
		assert_int_equal(esc.class_digit, codes[i].esc.class_digit);
		assert_int_equal(esc.subject, codes[i].esc.subject);
		assert_int_equal(esc.detail, codes[i].esc.detail);
		if (codes[i].want < 0)
			continue;
		assert_int_equal(smtp_esc_write(esc, buf, sizeof(buf)), codes[i].want);
		assert_memory_equal(buf, codes[i].text.ptr, (size_t)codes[i].want);
		assert_int_equal(smtp_esc_write(esc, buf, (size_t)codes[i].want - 1), SMTP_ENOSPACE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_long_text_is_cut),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_lines_can_be_forgotten),
		cmocka_unit_test(test_enhanced_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
