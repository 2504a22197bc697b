/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies as they arrive. Every case runs whole, byte by byte, and cut at each position: same body, same
 * fault. */
#include "smtp_data_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { STRICT, LAX, SHORT, CHUNK }; /* how the parser is set up */

static const struct {
	const char *name;
	int mode;
	struct smtp_slice in;
	const char *body;
	enum smtp_data_fault fault;
	size_t rest; /* bytes behind the end of the data; -1: no end */
} cases[] = {
	{"empty", STRICT, SMTP_LIT(".\r\n"), "", 0, 0},
	{"empty line", STRICT, SMTP_LIT("\r\n.\r\n"), "\r\n", 0, 0},
	{"commands behind it", STRICT, SMTP_LIT("a\r\n.\r\nMAIL"), "a\r\n", 0, 4},
	{"dots", STRICT, SMTP_LIT("..\r\n...\r\n.a\r\na.\r\n.\r\n"), ".\r\n..\r\na\r\na.\r\n", 0, 0},
	{"no line end before the dot", STRICT, SMTP_LIT("a.\r\n"), "a.\r\n", 0, -1},
	{"dot, then nothing", STRICT, SMTP_LIT("a\r\n.\r"), "a\r\n", 0, -1},

	{"LF.LF", STRICT, SMTP_LIT("a\n.\n"), "", SMTP_DATA_BARE_LF, -1},
	{"LF.CRLF", STRICT, SMTP_LIT("a\n.\r\n"), "", SMTP_DATA_BARE_LF, -1},
	{"CRLF.LF", STRICT, SMTP_LIT("a\r\n.\n"), "", SMTP_DATA_BARE_LF, -1},
	{"CR.CR", STRICT, SMTP_LIT("a\r.\r"), "", SMTP_DATA_BARE_CR, -1},
	{"CR.CRLF", STRICT, SMTP_LIT("a\r.\r\n"), "", SMTP_DATA_BARE_CR, -1},
	{"CR.LF", STRICT, SMTP_LIT("a\r.\n"), "", SMTP_DATA_BARE_CR, -1},
	{"LF.CR", STRICT, SMTP_LIT("a\n.\r"), "", SMTP_DATA_BARE_LF, -1},
	{"CRLF.CR", STRICT, SMTP_LIT("a\r\n.\rx"), "", SMTP_DATA_BARE_CR, -1},
	{"CRLF.CRCRLF", STRICT, SMTP_LIT("a\r\n.\r\r\n"), "", SMTP_DATA_BARE_CR, -1},
	{"CRLF NUL.CRLF", STRICT, SMTP_LIT("a\r\n\0.\r\n"), "", SMTP_DATA_NUL, -1},
	{"CRLF.NUL CRLF", STRICT, SMTP_LIT("a\r\n.\0\r\n"), "", SMTP_DATA_NUL, -1},
	{"the true end behind a fault", STRICT, SMTP_LIT("a\n.\r\n.\r\nx"), "", SMTP_DATA_BARE_LF, 1},
	{"CRCRLF.CRLF", STRICT, SMTP_LIT("a\r\r\n.\r\n"), "", SMTP_DATA_BARE_CR, 0},
	{"LF at once", STRICT, SMTP_LIT("\n.\r\n"), "", SMTP_DATA_BARE_LF, -1},
	{"the first fault counts", STRICT, SMTP_LIT("a\rb\n\r\n.\r\n"), "", SMTP_DATA_BARE_CR, 0},

	{"bare LF made CRLF", LAX, SMTP_LIT("a\n\nb\r\n.\r\n"), "a\r\n\r\nb\r\n", 0, 0},
	{"LF.LF is no end", LAX, SMTP_LIT("a\n.\nb\r\n.\r\n"), "a\r\n\r\nb\r\n", 0, 0},
	{"LF.CRLF is no end", LAX, SMTP_LIT("a\n.\r\nb\r\n.\r\n"), "a\r\n\r\nb\r\n", 0, 0},
	{"CRLF.LF is no end", LAX, SMTP_LIT("a\r\n.\nb\r\n.\r\n"), "a\r\n\r\nb\r\n", 0, 0},
	{"dots behind LF", LAX, SMTP_LIT("a\n..b\n.c\r\n.\r\n"), "a\r\n.b\r\nc\r\n", 0, 0},
	{"bare CR still", LAX, SMTP_LIT("a\n\rb\r\n.\r\n"), "", SMTP_DATA_BARE_CR, 0},

	{"longest line", SHORT, SMTP_LIT("12345\r\n.12345\r\n12345\r\n.\r\n"), "12345\r\n12345\r\n12345\r\n",
		0, 0},
	{"line too long", SHORT, SMTP_LIT("1\r\n123456\r\n.\r\n"), "", SMTP_DATA_LONG_LINE, 0},
	{"line without end too long", SHORT, SMTP_LIT("123456"), "", SMTP_DATA_LONG_LINE, -1},

	{"dots mean nothing", CHUNK, SMTP_LIT(".\r\n..\r\n.\r\n"), ".\r\n..\r\n.\r\n", 0, -1},
	{"last line without end", CHUNK, SMTP_LIT("a\r\nb"), "a\r\nb\r\n", 0, -1},
	{"CR at the end", CHUNK, SMTP_LIT("a\r"), "", SMTP_DATA_BARE_CR, -1},
	{"LF", CHUNK, SMTP_LIT("a\nb"), "", SMTP_DATA_BARE_LF, -1},
};

struct result {
	char body[256];
	size_t body_len, rest;
	enum smtp_data_fault fault;
	int fault_count;
};

static void
take(struct result *r, enum smtp_data_in_result got, struct smtp_slice piece)
{
	if (got == SMTP_DATA_IN_FAULT)
		r->fault_count++;
	if (got != SMTP_DATA_IN_PIECE)
		return;
	assert_true(piece.len > 0 && r->fault_count == 0);
	assert_true(r->body_len + piece.len <= sizeof(r->body));
	memcpy(r->body + r->body_len, piece.ptr, piece.len);
	r->body_len += piece.len;
}

/* True: the end was found. */
static bool
feed(struct smtp_data_in *d, struct smtp_slice *in, struct result *r)
{
	for (;;) {
		struct smtp_slice piece = {NULL, 0};
		enum smtp_data_in_result got = smtp_data_in_next(d, in, &piece);

		take(r, got, piece);
		if (got == SMTP_DATA_IN_END)
			return true;
		if (got == SMTP_DATA_IN_MORE) {
			assert_int_equal(in->len, 0);
			return false;
		}
	}
}

static void
run(size_t i, size_t cut, struct result *r)
{
	struct smtp_slice in = cases[i].in, piece = {NULL, 0};
	struct smtp_data_in d;
	size_t step = cut > 0 && cut < in.len ? cut : in.len;
	bool is_over = false;

	memset(r, 0, sizeof(*r));
	r->rest = (size_t)-1;
	smtp_data_in_init(&d, cases[i].mode != CHUNK, cases[i].mode == LAX, cases[i].mode == SHORT ? 5 : 0);
	for (size_t at = 0; at < in.len && !is_over; at += step) {
		struct smtp_slice part;

		if (at > 0)
			step = in.len - at;
		if (cut == 0)
			step = 1;
		part = (struct smtp_slice){in.ptr + at, step};
		is_over = feed(&d, &part, r);
		if (is_over)
			r->rest = in.len - at - step + part.len;
	}
	if (cases[i].mode == CHUNK) {
		enum smtp_data_in_result got = smtp_data_in_finish(&d, &piece);

		take(r, got, piece);
		if (got == SMTP_DATA_IN_PIECE)
			assert_int_equal(smtp_data_in_finish(&d, &piece), SMTP_DATA_IN_END);
	}
	r->fault = d.fault;
}

static void
test_bodies(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t cut = 0; cut <= cases[i].in.len; cut++) {
			struct result r;

			run(i, cut, &r);
			if (r.fault != cases[i].fault || r.fault_count != (r.fault != 0))
				fail_msg("%s, cut %zu: fault %d", cases[i].name, cut, r.fault);
			if (r.rest != cases[i].rest)
				fail_msg("%s, cut %zu: rest %zu", cases[i].name, cut, r.rest);
			/* What came out before a fault depends on the cut; it is thrown away. */
			if (r.fault != SMTP_DATA_NO_FAULT)
				continue;
			if (r.body_len != strnlen(cases[i].body, 256) ||
				memcmp(r.body, cases[i].body, r.body_len) != 0)
				fail_msg("%s, cut %zu: body %.*s", cases[i].name, cut, (int)r.body_len,
					r.body);
		}
	}
}

/* Speed rests on this: a message without leading dots is one piece, and it is the input itself. */
static void
test_no_copy(void **state)
{
	struct smtp_slice in = SMTP_LIT("one\r\ntwo\r\n\r\nthree.\r\n.\r\n"), piece;
	const char *begin = in.ptr;
	struct smtp_data_in d;

	smtp_data_in_init(&d, true, false, SMTP_TEXT_LINE_MAX);
	assert_int_equal(smtp_data_in_next(&d, &in, &piece), SMTP_DATA_IN_PIECE);
	assert_ptr_equal(piece.ptr, begin);
	assert_int_equal(piece.len, 20);
	assert_int_equal(smtp_data_in_next(&d, &in, &piece), SMTP_DATA_IN_END);
	assert_int_equal(in.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_no_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
