/* SPDX-License-Identifier: Apache-2.0 */
/* The address grammar: what is a mailbox, what is not, and why not. */
#include "smtp_addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define L10 "abcdefghij"
#define L60 L10 L10 L10 L10 L10 L10
#define D64 L60 "abc." /* one label of 63 and its dot */

static const struct {
	const char *name;
	struct smtp_slice text;
	int want;
	const char *local, *domain;
} cases[] = {
	{"plain", SMTP_LIT("a@b"), 0, "a", "b"},
	{"everything an atom may hold", SMTP_LIT("!#$%&'*+-/=?^_`{|}~9@b.c"), 0, "!#$%&'*+-/=?^_`{|}~9",
		"b.c"},
	{"dots", SMTP_LIT("a.b.c@d-e.f_g.h"), 0, "a.b.c", "d-e.f_g.h"},
	{"percent hack is an ordinary local part", SMTP_LIT("a%b@c"), 0, "a%b", "c"},
	{"quoted", SMTP_LIT("\"a b@c\\\"<>;|$`\"@d"), 0, "\"a b@c\\\"<>;|$`\"", "d"},
	{"quoted nothing", SMTP_LIT("\"\"@d"), 0, "\"\"", "d"},
	{"IPv4", SMTP_LIT("a@[192.0.2.1]"), 0, "a", "[192.0.2.1]"},
	{"IPv6", SMTP_LIT("a@[IPv6:2001:db8::1]"), 0, "a", "[IPv6:2001:db8::1]"},
	{"source route", SMTP_LIT("@x.y,@z:a@b"), 0, "a", "b"},
	{"UTF-8", SMTP_LIT("\xc3\xa4@\xe4\xbe\x8b.test"), 0, "\xc3\xa4", "\xe4\xbe\x8b.test"},
	{"longest local part", SMTP_LIT(L60 "abcd@b"), 0, L60 "abcd", "b"},
	{"longest label", SMTP_LIT("a@" L60 "abc"), 0, "a", L60 "abc"},
	{"longest path", SMTP_LIT("a@" D64 D64 D64 L60), 0, "a", D64 D64 D64 L60},

	{"nothing", SMTP_LIT(""), SMTP_ESYNTAX, NULL, NULL},
	{"no @", SMTP_LIT("a"), SMTP_ESYNTAX, NULL, NULL},
	{"only @", SMTP_LIT("@"), SMTP_ESYNTAX, NULL, NULL},
	{"no domain", SMTP_LIT("a@"), SMTP_ESYNTAX, NULL, NULL},
	{"no local part", SMTP_LIT("@b"), SMTP_ESYNTAX, NULL, NULL},
	{"two @", SMTP_LIT("a@b@c"), SMTP_ESYNTAX, NULL, NULL},
	{"two dots", SMTP_LIT("a..b@c"), SMTP_ESYNTAX, NULL, NULL},
	{"leading dot", SMTP_LIT(".a@c"), SMTP_ESYNTAX, NULL, NULL},
	{"dot before @", SMTP_LIT("a.@c"), SMTP_ESYNTAX, NULL, NULL},
	{"trailing dot", SMTP_LIT("a@c."), SMTP_ESYNTAX, NULL, NULL},
	{"two dots in the domain", SMTP_LIT("a@b..c"), SMTP_ESYNTAX, NULL, NULL},
	{"blank", SMTP_LIT("a b@c"), SMTP_ESYNTAX, NULL, NULL},
	{"blank in the domain", SMTP_LIT("a@b c"), SMTP_ESYNTAX, NULL, NULL},
	{"comment", SMTP_LIT("a(x)@b"), SMTP_ESYNTAX, NULL, NULL},
	{"brackets", SMTP_LIT("<a@b>"), SMTP_ESYNTAX, NULL, NULL},
	{"hyphen at the edge", SMTP_LIT("a@-b"), SMTP_ESYNTAX, NULL, NULL},
	{"hyphen at the other edge", SMTP_LIT("a@b-.c"), SMTP_ESYNTAX, NULL, NULL},
	{"underscore at the edge", SMTP_LIT("a@_b"), SMTP_ESYNTAX, NULL, NULL},
	{"open quote", SMTP_LIT("\"a@b"), SMTP_ESYNTAX, NULL, NULL},
	{"open escape", SMTP_LIT("\"a\\"), SMTP_ESYNTAX, NULL, NULL},
	{"text behind the quote", SMTP_LIT("\"a\"b@c"), SMTP_ESYNTAX, NULL, NULL},
	{"control in quotes", SMTP_LIT("\"a\tb\"@c"), SMTP_ESYNTAX, NULL, NULL},
	{"escaped line end", SMTP_LIT("\"a\\\n\"@c"), SMTP_ESYNTAX, NULL, NULL},
	{"NUL", SMTP_LIT("a\0@c"), SMTP_ESYNTAX, NULL, NULL},
	{"NUL in the domain", SMTP_LIT("a@c\0"), SMTP_ESYNTAX, NULL, NULL},
	{"NUL in a literal", SMTP_LIT("a@[1.2.3.4\0]"), SMTP_ESYNTAX, NULL, NULL},
	{"IPv4 too short", SMTP_LIT("a@[1.2.3]"), SMTP_ESYNTAX, NULL, NULL},
	{"IPv4 too large", SMTP_LIT("a@[1.2.3.256]"), SMTP_ESYNTAX, NULL, NULL},
	{"IPv6 without its tag", SMTP_LIT("a@[::1]"), SMTP_ESYNTAX, NULL, NULL},
	{"other tag", SMTP_LIT("a@[x:y]"), SMTP_ESYNTAX, NULL, NULL},
	{"empty literal", SMTP_LIT("a@[]"), SMTP_ESYNTAX, NULL, NULL},
	{"open literal", SMTP_LIT("a@["), SMTP_ESYNTAX, NULL, NULL},
	{"long literal", SMTP_LIT("a@[" L60 "]"), SMTP_ESYNTAX, NULL, NULL},
	{"route without @", SMTP_LIT("x:a@b"), SMTP_ESYNTAX, NULL, NULL},
	{"route without end", SMTP_LIT("@x,@y"), SMTP_ESYNTAX, NULL, NULL},
	{"route with a bad name", SMTP_LIT("@x y:a@b"), SMTP_ESYNTAX, NULL, NULL},
	{"local part of 65", SMTP_LIT(L60 "abcde@b"), SMTP_ETOOLONG, NULL, NULL},
	{"label of 64", SMTP_LIT("a@" L60 "abcd"), SMTP_ESYNTAX, NULL, NULL},
	{"path of 257", SMTP_LIT("a@" D64 D64 D64 L60 "a"), SMTP_ETOOLONG, NULL, NULL},
	{"broken UTF-8", SMTP_LIT("\xc3@b"), SMTP_EUTF8, NULL, NULL},
	{"broken UTF-8 in the domain", SMTP_LIT("a@\xff"), SMTP_EUTF8, NULL, NULL},
	{"broken UTF-8 in quotes", SMTP_LIT("\"\x80\"@b"), SMTP_EUTF8, NULL, NULL},
};

static void
check(size_t i)
{
	struct smtp_addr addr = {.whole = SMTP_LIT("untouched")};
	int got = smtp_addr_parse(cases[i].text, &addr);

	if (got != cases[i].want)
		fail_msg("%s: %s", cases[i].name, smtp_err_text(got));
	if (got < 0) {
		assert_int_equal(addr.whole.len, 9);
		return;
	}
	assert_int_equal(addr.whole.len, addr.local.len + 1 + addr.domain.len);
	assert_int_equal(addr.local.len, strnlen(cases[i].local, 256));
	assert_memory_equal(addr.local.ptr, cases[i].local, addr.local.len);
	assert_int_equal(addr.domain.len, strnlen(cases[i].domain, 256));
	assert_memory_equal(addr.domain.ptr, cases[i].domain, addr.domain.len);
	assert_int_equal(addr.is_literal, cases[i].domain[0] == '[');
	assert_int_equal(addr.is_utf8, cases[i].local[0] == '\xc3');
}

static void
test_addresses(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(i);
}

static void
test_domains(void **state)
{
	assert_true(smtp_domain_is_valid(SMTP_LIT("a")));
	assert_true(smtp_domain_is_valid(SMTP_LIT("xn--p1ai.example")));
	assert_false(smtp_domain_is_valid(SMTP_LIT("")));
	assert_false(smtp_domain_is_valid(SMTP_LIT(".")));
	assert_false(smtp_domain_is_valid(SMTP_LIT("[192.0.2.1]")));
	assert_false(smtp_domain_is_valid(SMTP_LIT("a,b")));
	assert_true(smtp_domain_is_valid(SMTP_LIT(D64 D64 D64 L60 "abc")));
	assert_false(smtp_domain_is_valid(SMTP_LIT(D64 D64 D64 L60 ".abc")));
}

static void
test_utf8(void **state)
{
	static const struct smtp_slice good[] = {SMTP_LIT(""), SMTP_LIT("a b"), SMTP_LIT("\xc2\xa0"),
		SMTP_LIT("\xed\x9f\xbf\xee\x80\x80"), SMTP_LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")};
	static const struct smtp_slice bad[] = {SMTP_LIT("\t"), SMTP_LIT("\x7f"), SMTP_LIT("\0"),
		SMTP_LIT("\xc2\x85"), SMTP_LIT("\xc0\xaf"), SMTP_LIT("\xe0\x80\xaf"),
		SMTP_LIT("\xed\xa0\x80"), SMTP_LIT("\xf4\x90\x80\x80"), SMTP_LIT("\xf8\x88\x80\x80\x80"),
		SMTP_LIT("\xe4\xbe"),
		SMTP_LIT("\xe4\xbe"
			 "a"),
		SMTP_LIT("\x80")};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(smtp_utf8_is_text(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(smtp_utf8_is_text(bad[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
