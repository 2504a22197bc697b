/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
test_match(void **state)
{
	static const struct {
		const char *name, *pattern, *text;
		enum pattern_result want;
	} cases[] = {
		{"a part of the text", "per day", "limit per day reached", PATTERN_YES},
		{"not in it", "per day", "limit per hour reached", PATTERN_NO},
		{"capital and small letters", "TSS04", "[tss04]", PATTERN_YES},
		{"unless said otherwise", "(?-i)TSS04", "[tss04]", PATTERN_NO},
		{"anchors", "^421 .*later$", "421 try later", PATTERN_YES},
		{"anchors elsewhere", "^421", "a 421", PATTERN_NO},
		{"a number", "\\bfrom \\d+\\.\\d+\\.\\d+\\.\\d+ ", "from 192.0.2.1 deferred", PATTERN_YES},
		{"no such number", "\\bfrom \\d+\\.\\d+\\.\\d+\\.\\d+ ", "from mta1.example deferred",
			PATTERN_NO},
		{"look behind", "(?<!recipient )rate limit", "recipient rate limit", PATTERN_NO},
		{"groups", "(a)(b)(c)", "abc", PATTERN_YES},
		{"bytes that are no UTF-8", "caf. ferm\xe9", "caf\xe9 ferm\xe9", PATTERN_YES},
		{"a byte is a letter of its own", "^.$", "\xc3\xa9", PATTERN_NO},
		{"an empty text", "a", "", PATTERN_NO},
		{"steps without end", "^(a|aa)+$",
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", PATTERN_GAVE_UP},
		{"as many steps as an honest one", "a.*b.*c.*d", "abcabcabcabcabcabcabcabcabcabcabcabcabc!",
			PATTERN_NO},
	};
	struct pattern_block *b = pattern_block_create();

	assert_non_null(b);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t offset;
		char why[200];
		struct pattern *p = pattern_create(cases[i].pattern, &offset, why, sizeof(why));

		if (p == NULL)
			fail_msg("%s: %s", cases[i].name, why);
		/* Without a NUL behind it: the length is all that ends a text. */
		size_t len = strnlen(cases[i].text, 4096);
		char *text = malloc(len + 1);

		assert_non_null(text);
		memcpy(text, cases[i].text, len);
		text[len] = 'a';
		if (pattern_match(p, b, text, len) != cases[i].want)
			fail_msg("%s: got another result", cases[i].name);
		free(text);
		pattern_destroy(&p);
		assert_null(p);
	}
	pattern_block_destroy(&b);
	assert_null(b);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *pattern, *why;
		size_t offset;
	} cases[] = {
		{"a(b", "missing closing parenthesis", 3},
		{"rate [a-z", "missing terminating ] for character class", 9},
		{"(?<n>x", "missing closing parenthesis", 6},
		{"*", "quantifier does not follow a repeatable item", 0},
		{"(*UTF)a", "using UTF is disabled by the application", 6},
		{"a\\", "\\ at end of pattern", 2},
		{"\\C", "using \\C is disabled by the application", 2},
	};
	char why[200], *long_one;
	size_t offset;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(pattern_create(cases[i].pattern, &offset, why, sizeof(why)));
		assert_string_equal(why, cases[i].why);
		assert_int_equal(offset, cases[i].offset);
	}
	long_one = calloc(1, PATTERN_BYTES_MAX + 2);
	assert_non_null(long_one);
	memset(long_one, 'a', PATTERN_BYTES_MAX + 1);
	assert_null(pattern_create(long_one, &offset, why, sizeof(why)));
	assert_string_equal(why, "longer than 2000 bytes");
	free(long_one);
}

static void
test_groups(void **state)
{
	static const char text[] = "to <a@b.example>, <c@d.example>";
	size_t offset, start, len;
	char why[200];
	struct pattern *p = pattern_create("<(?<rcpt>[^>]+)>(?<text>!)?", &offset, why, sizeof(why));
	struct pattern *twice = pattern_create("(?|a(?<x>b)|c(?<x>d))", &offset, why, sizeof(why));
	struct pattern_block *b = pattern_block_create();
	int rcpt;

	assert_non_null(p);
	assert_non_null(twice);
	assert_non_null(b);
	rcpt = pattern_group(p, "rcpt");
	assert_int_equal(rcpt, 1);
	assert_int_equal(pattern_group(p, "name"), -1);
	assert_int_equal(pattern_group(twice, "x"), 1);
	assert_int_equal(pattern_find(p, b, text, sizeof(text) - 1, 0), PATTERN_YES);
	assert_true(pattern_captured(b, rcpt, &start, &len));
	assert_int_equal(start, 4);
	assert_int_equal(len, 11);
	assert_true(pattern_captured(b, 0, &start, &len));
	assert_int_equal(start + len, 16);
	/* A group that took no part, one there is not, one of no pattern. */
	assert_false(pattern_captured(b, pattern_group(p, "text"), &start, &len));
	assert_false(pattern_captured(b, 3, &start, &len));
	assert_false(pattern_captured(b, -1, &start, &len));
	assert_int_equal(pattern_find(p, b, text, sizeof(text) - 1, 16), PATTERN_YES);
	assert_true(pattern_captured(b, rcpt, &start, &len));
	assert_int_equal(start, 19);
	assert_int_equal(pattern_find(p, b, text, sizeof(text) - 1, 20), PATTERN_NO);
	assert_false(pattern_captured(b, 0, &start, &len));
	assert_int_equal(pattern_find(p, b, text, sizeof(text) - 1, sizeof(text) - 1), PATTERN_NO);
	pattern_destroy(&p);
	pattern_destroy(&twice);
	pattern_block_destroy(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match), cmocka_unit_test(test_groups), cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
