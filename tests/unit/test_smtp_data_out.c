/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way out: what is clean, and that any portions and any cut between pieces give the same
 * bytes. */
#include "smtp_data_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *name;
	struct smtp_slice pieces[SMTP_DATA_PIECES];
	struct smtp_slice out; /* ptr NULL: not clean */
	bool ends_line;
} cases[] = {
	{"nothing", {{NULL, 0}}, SMTP_LIT(""), true},
	{"a line", {SMTP_LIT("a\r\n")}, SMTP_LIT("a\r\n"), true},
	{"pieces", {SMTP_LIT("a\r\n"), SMTP_LIT("b\r\n"), SMTP_LIT("c\r\n")}, SMTP_LIT("a\r\nb\r\nc\r\n"),
		true},
	{"empty pieces", {{NULL, 0}, SMTP_LIT("b\r\n"), {"x", 0}}, SMTP_LIT("b\r\n"), true},
	{"last line open", {SMTP_LIT("a\r\n"), SMTP_LIT("b")}, SMTP_LIT("a\r\nb"), false},
	{"dots", {SMTP_LIT(".a\r\n..\r\n.\r\na.\r\n")}, SMTP_LIT("..a\r\n...\r\n..\r\na.\r\n"), true},
	{"dots at the fronts of pieces", {SMTP_LIT(".\r\n"), SMTP_LIT("."), {NULL, 0}}, SMTP_LIT("..\r\n.."),
		false},
	{"dot in the third piece", {SMTP_LIT("a\r\n"), {NULL, 0}, SMTP_LIT(".\r\n")}, SMTP_LIT("a\r\n..\r\n"),
		true},
	{"long lines",
		{SMTP_LIT("0123456789abcdef0123456789abcdef0123456789abcdef\r\n.\r\n0123456789abcdef\r\n")},
		SMTP_LIT("0123456789abcdef0123456789abcdef0123456789abcdef\r\n..\r\n0123456789abcdef\r\n"),
		true},
	{"bare LF", {SMTP_LIT("a\nb\r\n")}, {NULL, 0}, true},
	{"bare LF first", {SMTP_LIT("\na\r\n")}, {NULL, 0}, true},
	{"bare LF and dot", {SMTP_LIT("a\r\n\n.\r\n")}, {NULL, 0}, true},
	{"bare CR", {SMTP_LIT("a\rb\r\n")}, {NULL, 0}, true},
	{"two CR", {SMTP_LIT("a\r\r\n")}, {NULL, 0}, true},
	{"CR last", {SMTP_LIT("a\r\nb\r")}, {NULL, 0}, false},
	{"NUL", {SMTP_LIT("a\0\r\n")}, {NULL, 0}, true},
	{"NUL first", {SMTP_LIT("\0a\r\n")}, {NULL, 0}, true},
	{"line end between pieces", {SMTP_LIT("a\r"), SMTP_LIT("\nb\r\n")}, {NULL, 0}, true},
	{"a piece ends within a line", {SMTP_LIT("a"), SMTP_LIT("b\r\n")}, {NULL, 0}, true},
};

static size_t
write_out(struct smtp_data_out *o, size_t portion, int iov_max, char *out, size_t out_max)
{
	size_t len = 0;

	while (!smtp_data_out_is_done(o)) {
		struct iovec iov[4];
		bool reaches_end;
		int count = smtp_data_out_iov(o, iov, iov_max, &reaches_end);
		size_t left = portion, taken = 0;

		assert_in_range(count, 1, iov_max);
		for (int i = 0; i < count; i++) {
			size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;

			assert_true(len + part <= out_max);
			memcpy(out + len, iov[i].iov_base, part);
			len += part;
			taken += part;
			left -= part;
		}
		assert_int_equal(smtp_data_out_drained(o, taken), 0);
	}
	assert_int_equal(smtp_data_out_drained(o, 3), 3);
	return len;
}

static void
test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_data_look look = smtp_data_look(cases[i].pieces);

		if (look.is_clean != (cases[i].out.ptr != NULL) || look.ends_line != cases[i].ends_line)
			fail_msg("%s: is_clean %d, ends_line %d", cases[i].name, look.is_clean,
				look.ends_line);
		if (!look.is_clean)
			continue;
		assert_int_equal(look.has_dots, look.byte_count != cases[i].out.len);
		for (size_t portion = 1; portion < 100; portion++) {
			for (int iov_max = 1; iov_max <= 4; iov_max++) {
				struct smtp_data_out o;
				char out[256];

				smtp_data_out_init(&o, cases[i].pieces, look.has_dots);
				assert_int_equal(
					write_out(&o, portion, iov_max, out, sizeof(out)), cases[i].out.len);
				assert_memory_equal(out, cases[i].out.ptr, cases[i].out.len);
			}
		}
	}
}

/* One bad byte at every place of a message longer than several steps of the scan. */
static void
test_every_position(void **state)
{
	enum { LEN = 100 };
	char good[LEN];

	memset(good, 'a', LEN);
	for (size_t at = 8; at + 2 < LEN; at += 10)
		memcpy(good + at, "\r\n", 2);
	memcpy(good + LEN - 2, "\r\n", 2);
	for (size_t at = 0; at < LEN; at++) {
		for (size_t k = 0; k < 3; k++) {
			struct smtp_slice pieces[SMTP_DATA_PIECES] = {{NULL, 0}};
			char *copy = malloc(LEN);

			memcpy(copy, good, LEN);
			pieces[1] = (struct smtp_slice){copy, LEN};
			assert_true(smtp_data_look(pieces).is_clean);
			copy[at] = "\r\n"[k];
			if (copy[at] != good[at])
				assert_false(smtp_data_look(pieces).is_clean);
			free(copy);
		}
	}
}

static void
test_large(void **state)
{
	enum { LINES = 20000, LINE = 64 };
	struct smtp_slice pieces[SMTP_DATA_PIECES] = {{NULL, 0}};
	char *message = malloc(LINES * LINE), *out = malloc(LINES * (LINE + 1));
	struct smtp_data_look look;
	struct smtp_data_out o;
	size_t len, dots = 0;

	memset(message, 'x', LINES * LINE);
	for (size_t i = 0; i < LINES; i++) {
		memcpy(message + i * LINE + LINE - 2, "\r\n", 2);
		if (i % 1000 == 7) {
			message[i * LINE] = '.';
			dots++;
		}
	}
	pieces[2] = (struct smtp_slice){message, LINES * LINE};
	look = smtp_data_look(pieces);
	assert_true(look.is_clean && look.has_dots);
	smtp_data_out_init(&o, pieces, look.has_dots);
	len = write_out(&o, 4000, 4, out, LINES * (LINE + 1));
	assert_int_equal(len, LINES * LINE + dots);
	for (size_t i = 0, at = 0; i < LINES; i++) {
		at += i % 1000 == 7;
		assert_memory_equal(out + at, message + i * LINE, LINE);
		at += LINE;
	}
	free(message);
	free(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_every_position),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
