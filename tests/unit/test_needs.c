/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needs: an expression that is found in a text never needs what the text does not have; one whose words are
 * missing is not tried.
 */
#include "feedback/needs.h"

#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct {
	const char *expression, *text;
	bool is_met;
} cases[] = {
	{"mailbox full", "the MAILBOX FULL is", true},
	{"mailbox full", "the mailbox is full", false},
	{"(user|mailbox) unknown", "user unknown", true},
	{"(user|mailbox) unknown", "alias unknown", false},
	{"(user|mailbox)? ?unknown", "alias unknown", true},
	{"(user|) unknown", "x unknown", true},
	{"mailbox(es)? (is )?full", "mailboxes full", true},
	{"mailbox(es)? (is )?full", "mailbox empty", false},
	{"over ?quota", "overquota", true},
	{"over ?quota", "over the limit", false},
	{"ab+cdef", "abbbcdef", true},
	{"ab+cdef", "abcdxef", false},
	{"no{1,3}such", "nosuch", true},
	{"user[ -]unknown", "user-unknown", true},
	{"user[ -]unknown", "user-known", false},
	{"[]abc]xyz", "]xyz", true},
	{"a\\.b\\.c", "a.b.c", true},
	{"a\\.b\\.c", "a-b-c", false},
	{"\\bspam\\b", "no spam here", true},
	{"\\d\\d\\d", "550", true},
	{"(?:outer(inner|other))", "outerother", true},
	{"(?:outer(inner|other))", "outer", false},
	/* What is looked for around is no part of it. */
	{"abc(?!def|ghi)", "xyz", false},
	{"abc(?!def|ghi)", "abc", true},
	{"(?<!not )allowed", "allowed", true},
	{"(?<!not )allowed", "denied", false},
	{"abc(?=.*def)", "abc", true},
	{"(?!.*(spam|list))policy|rule", "a rule", true},
	{"(?!.*(spam|list))policy|rule", "a list", false},
	/* What is not read needs nothing: it is tried. */
	{"(?-i)ABC", "xyz", true},
	{"(?<name>abc)", "xyz", true},
	{"\\Qabc\\E", "xyz", true},
	{"[[:alpha:]]bcd", "xyz", true},
	{"", "xyz", true},
};

static void
test_cases(void **state)
{
	struct pattern_block *block = pattern_block_create();

	assert_non_null(block);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *expression = cases[i].expression, *text = cases[i].text;
		struct needs *n = needs_create(expression, strlen(expression));
		struct pattern *p;
		struct needs_set set;
		size_t offset;
		char why[200];

		assert_non_null(n);
		needs_of_text(&set, text, strlen(text));
		if (needs_are_met(n, &set) != cases[i].is_met)
			fail_msg("%s in \"%s\"", expression, text);
		assert_non_null(p = pattern_create(expression, &offset, why, sizeof(why)));
		if (pattern_match(p, block, text, strlen(text)) == PATTERN_YES && !cases[i].is_met)
			fail_msg("%s is found in \"%s\"", expression, text);
		pattern_destroy(&p);
		needs_destroy(&n);
		assert_null(n);
	}
	pattern_block_destroy(&block);
}

/* Longer or deeper than there is room for: tried. */
static void
test_bounds(void **state)
{
	char text[PATTERN_BYTES_MAX];
	struct needs_set set;
	struct needs *n;

	needs_of_text(&set, "none of it", 10);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	n = needs_create(text, sizeof(text));
	assert_true(needs_are_met(n, &set));
	needs_destroy(&n);
	n = needs_create(text, 100);
	assert_false(needs_are_met(n, &set));
	needs_destroy(&n);
	memset(text, '(', 30);
	memcpy(text + 30, "word", 4);
	memset(text + 34, ')', 30);
	n = needs_create(text, 64);
	assert_true(needs_are_met(n, &set));
	needs_destroy(&n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_bounds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
