/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines taken apart, and the paths in them. */
#include "smtp_cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	struct smtp_slice line;
	int want;
	enum smtp_verb verb;
	const char *arg;
} lines[] = {
	{SMTP_LIT("QUIT"), 0, SMTP_VERB_QUIT, ""},
	{SMTP_LIT("noop  a b \t"), 0, SMTP_VERB_NOOP, "a b"},
	{SMTP_LIT("starttls"), 0, SMTP_VERB_STARTTLS, ""},
	{SMTP_LIT("VRFY \xc3\xa4\tx"), 0, SMTP_VERB_VRFY, "\xc3\xa4\tx"},
	{SMTP_LIT("QUITE"), 0, SMTP_VERB_UNKNOWN, ""},
	{SMTP_LIT("GET / HTTP/1.1"), 0, SMTP_VERB_FOREIGN, "/ HTTP/1.1"},
	{SMTP_LIT("ssh-2.0-x"), 0, SMTP_VERB_FOREIGN, ""},
	{SMTP_LIT("GETX"), 0, SMTP_VERB_UNKNOWN, ""},
	{SMTP_LIT("SSH"), 0, SMTP_VERB_UNKNOWN, ""},

	{SMTP_LIT(""), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("  \t"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT(" QUIT"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("NOOP\0"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("NOOP\rQUIT"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("NOOP \x7f"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("NOOP \x1b[0m"), SMTP_ESYNTAX, 0, NULL},
	{SMTP_LIT("NOOP \xff"), SMTP_EUTF8, 0, NULL},
	{SMTP_LIT("NOOP \xc2\x9b"), SMTP_EUTF8, 0, NULL},
};

static const struct {
	struct smtp_slice arg;
	int want;
	const char *path, *rest;
} paths[] = {
	{SMTP_LIT("FROM:<>"), 0, "", ""},
	{SMTP_LIT("from:<a@b>"), 0, "a@b", ""},
	{SMTP_LIT("FROM: \t<a@b>  X Y"), 0, "a@b", "X Y"},
	{SMTP_LIT("FROM:<\"a>b\\\">\"@c> X"), 0, "\"a>b\\\">\"@c", "X"},

	{SMTP_LIT(""), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("TO:<a@b>"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM :<a@b>"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:a@b"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<a@b"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<a@b>X"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<a@b>>"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<\"a@b>"), SMTP_ESYNTAX, NULL, NULL},
	{SMTP_LIT("FROM:<\"\\"), SMTP_ESYNTAX, NULL, NULL},
};

static void
test_lines(void **state)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct smtp_cmd cmd = {.verb = SMTP_VERB_COUNT};
		int got = smtp_cmd_parse(lines[i].line, &cmd);

		if (got != lines[i].want)
			fail_msg("%s: %d", lines[i].line.ptr, got);
		assert_int_equal(cmd.verb, got < 0 ? SMTP_VERB_COUNT : lines[i].verb);
		if (got < 0)
			continue;
		assert_int_equal(cmd.arg.len, strnlen(lines[i].arg, 64));
		assert_memory_equal(cmd.arg.ptr, lines[i].arg, cmd.arg.len);
	}
}

static void
test_paths(void **state)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct smtp_slice arg = paths[i].arg, path = {NULL, 99};
		int got = smtp_cmd_path(&arg, SMTP_LIT("FROM:"), &path);

		if (got != paths[i].want)
			fail_msg("%s: %d", paths[i].arg.ptr, got);
		if (got < 0) {
			assert_ptr_equal(arg.ptr, paths[i].arg.ptr);
			assert_int_equal(path.len, 99);
			continue;
		}
		assert_int_equal(path.len, strnlen(paths[i].path, 64));
		assert_memory_equal(path.ptr, paths[i].path, path.len);
		assert_int_equal(arg.len, strnlen(paths[i].rest, 64));
		assert_memory_equal(arg.ptr, paths[i].rest, arg.len);
	}
}

static void
test_rules(void **state)
{
	assert_true(smtp_cmd_rule(SMTP_VERB_DATA)->ends_turn);
	assert_false(smtp_cmd_rule(SMTP_VERB_RCPT)->ends_turn);
	assert_true(smtp_slice_is(smtp_cmd_rule(SMTP_VERB_AUTH)->name, SMTP_LIT("AUTH")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
