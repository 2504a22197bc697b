/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_header: what is a field, what is refused and where, limits, unfolding, and whose domain a From names.
 */
#include "smtp_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

enum { FIELDS_MAX = SMTP_HEADER_FIELDS_MAX };

static struct smtp_field fields[FIELDS_MAX];

static int
scan(struct smtp_header *h, struct smtp_slice text, size_t *out_at)
{
	*h = (struct smtp_header){.fields = fields, .fields_max = FIELDS_MAX};
	*out_at = 0;
	return smtp_header_scan(h, text, out_at);
}

static const struct {
	const char *name;
	struct smtp_slice text;
	uint32_t count, hops;
	size_t header_bytes;
	bool is_8bit, is_closed;
} good[] = {
	{"nothing", SMTP_LIT(""), 0, 0, 0, false, false},
	{"empty header", SMTP_LIT("\r\nbody\r\n"), 0, 0, 2, false, true},
	{"one field, no end", SMTP_LIT("a:b\r\n"), 1, 0, 5, false, false},
	{"one field and end", SMTP_LIT("a:b\r\n\r\n"), 1, 0, 7, false, true},
	{"body is not looked at", SMTP_LIT("a:b\r\n\r\n\nno\rheader \xff"), 1, 0, 7, false, true},
	{"empty value", SMTP_LIT("a:\r\n\r\n"), 1, 0, 6, false, true},
	{"fold with blank and tab", SMTP_LIT("a: b\r\n c\r\n\td\r\nE:f\r\n\r\n"), 2, 0, 21, false, true},
	{"value on the second line", SMTP_LIT("a:\r\n b\r\n\r\n"), 1, 0, 10, false, true},
	{"line of blanks is a fold", SMTP_LIT("a: b\r\n \r\n c\r\n\r\n"), 1, 0, 15, false, true},
	{"colon in the value", SMTP_LIT("a: b: c\r\n\r\n"), 1, 0, 11, false, true},
	{"odd but legal name", SMTP_LIT("!#$%&'*+-/=?^_`{|}~.()<>@,;\"[]\\: x\r\n\r\n"), 1, 0, 38, false,
		true},
	{"hops", SMTP_LIT("Received: a\r\nRECEIVED: b\r\nX-Received: c\r\nreceived:\r\n\r\n"), 4, 3, 54,
		false, true},
	{"8 bit in a value", SMTP_LIT("Subject: sch\xc3\xb6n\r\n\r\n"), 1, 0, 19, true, true},
	{"8 bit at the very end", SMTP_LIT("a:\xff\r\n"), 1, 0, 5, true, false},
	{"8 bit in the body only", SMTP_LIT("a:b\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 1, 0, 7,
		false, true},
	{"ours above theirs", SMTP_LIT("DKIM-Signature: v=1;\r\n b=x\r\nARC-Seal: i=1\r\nFrom: a@b\r\n\r\n"),
		3, 0, 56, false, true},
};

/* The fields lie one behind the other, and name, value and whole agree. */
static void
check_fields(const struct smtp_header *h, struct smtp_slice text)
{
	const char *at = text.ptr;

	for (uint32_t i = 0; i < h->count; i++) {
		const struct smtp_field *f = &h->fields[i];

		assert_ptr_equal(f->whole.ptr, at);
		assert_ptr_equal(f->name.ptr, at);
		assert_true(f->name.len > 0);
		assert_int_equal(at[f->name.len], ':');
		assert_ptr_equal(f->value.ptr, at + f->name.len + 1);
		at += f->whole.len;
		assert_ptr_equal(f->value.ptr + f->value.len + 2, at);
		assert_memory_equal(at - 2, "\r\n", 2);
	}
	assert_int_equal(h->header_bytes, (size_t)(at - text.ptr) + (h->is_closed ? 2 : 0));
}

/* A copy of exactly these bytes, so that the sanitizer sees a read behind them. */
static struct smtp_slice
exact(const char *ptr, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, ptr, len);
	return (struct smtp_slice){copy, len};
}

/* Cut at `len`: inside the header only a cut behind a CRLF leaves a header. */
static void
check_cut(struct smtp_slice text, size_t header_bytes, size_t len)
{
	struct smtp_slice cut = exact(text.ptr, len);
	struct smtp_header h;
	size_t at;
	int err = scan(&h, cut, &at);

	if (len == 0 || (len >= 2 && memcmp(text.ptr + len - 2, "\r\n", 2) == 0) || len >= header_bytes) {
		assert_int_equal(err, SMTP_OK);
		check_fields(&h, cut);
	} else {
		assert_int_equal(err, SMTP_ESYNTAX);
		assert_true(at <= len);
	}
	free((char *)cut.ptr);
}

static void
test_good(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct smtp_header h;
		size_t at;

		if (scan(&h, good[i].text, &at) != SMTP_OK)
			fail_msg("%s: refused at %zu", good[i].name, at);
		if (h.count != good[i].count || h.hops != good[i].hops ||
			h.header_bytes != good[i].header_bytes || h.is_8bit != good[i].is_8bit ||
			h.is_closed != good[i].is_closed)
			fail_msg("%s: %u fields, %u hops, %zu bytes, 8 bit %d, closed %d", good[i].name,
				h.count, h.hops, h.header_bytes, h.is_8bit, h.is_closed);
		check_fields(&h, good[i].text);
		for (size_t len = 0; len <= good[i].text.len; len++)
			check_cut(good[i].text, good[i].header_bytes, len);
	}
}

/* faults.md B1, B24 */
static const struct {
	const char *name;
	struct smtp_slice text;
	size_t at;
} bad[] = {
	{"no header at all", SMTP_LIT("Hello,\r\n\r\nhow are you\r\n"), 0},
	{"mbox line first", SMTP_LIT("From a@b Mon Nov 23\r\nTo: c\r\n\r\n"), 0},
	{"second line no field", SMTP_LIT("a: b\r\nhello\r\n\r\n"), 6},
	{"blank before the colon", SMTP_LIT("From : a@b\r\n\r\n"), 0},
	{"tab before the colon", SMTP_LIT("a:b\r\nFrom\t: a@b\r\n\r\n"), 5},
	{"blank inside the name", SMTP_LIT("My Name: x\r\n\r\n"), 0},
	{"no name", SMTP_LIT(": x\r\n\r\n"), 0},
	{"first line starts with a blank", SMTP_LIT(" a: b\r\n\r\n"), 0},
	{"first line starts with a tab", SMTP_LIT("\ta: b\r\n\r\n"), 0},
	{"first line of blanks", SMTP_LIT(" \r\na: b\r\n\r\n"), 0},
	{"8 bit in the name", SMTP_LIT("N\xc3\xa4me: x\r\n\r\n"), 0},
	{"control byte in the name", SMTP_LIT("Na\x01me: x\r\n\r\n"), 0},
	{"DEL in the name", SMTP_LIT("Na\x7fme: x\r\n\r\n"), 0},
	{"bare LF", SMTP_LIT("a: b\nc: d\r\n\r\n"), 4},
	{"bare LF ends the header", SMTP_LIT("a: b\r\n\nbody\r\n"), 6},
	{"bare CR", SMTP_LIT("a: b\rc: d\r\n\r\n"), 4},
	{"CR CR LF", SMTP_LIT("a: b\r\r\n\r\n"), 4},
	{"NUL", SMTP_LIT("a: b\0c\r\n\r\n"), 4},
	{"no CRLF at the end", SMTP_LIT("a: b\r\nc: d"), 10},
	{"CR at the end", SMTP_LIT("a: b\r"), 5},
	{"first half of the empty line", SMTP_LIT("a: b\r\n\r"), 7},
};

static void
test_bad(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct smtp_header h;
		size_t at;

		if (scan(&h, bad[i].text, &at) != SMTP_ESYNTAX || at != bad[i].at)
			fail_msg("%s: not refused at %zu but %zu", bad[i].name, bad[i].at, at);
		for (size_t len = 0; len <= bad[i].text.len; len++) {
			struct smtp_slice cut = exact(bad[i].text.ptr, len);

			if (scan(&h, cut, &at) == SMTP_OK)
				check_fields(&h, cut);
			free((char *)cut.ptr);
		}
	}
}

/* "x: aaa...CRLF" of `len` bytes without CRLF, `count` times, and the empty line. */
static struct smtp_slice
repeat(const char *start, size_t len, size_t count)
{
	size_t start_len = strnlen(start, len), bytes = count * (len + 2) + 2;
	char *text = malloc(bytes), *p = text;

	assert_non_null(text);
	for (size_t i = 0; i < count; i++, p += len + 2) {
		memset(p, 'a', len);
		memcpy(p, start, start_len);
		memcpy(p + len, "\r\n", 2);
	}
	memcpy(p, "\r\n", 2);
	return (struct smtp_slice){text, bytes};
}

/* faults.md B3 */
static const struct {
	const char *name, *start;
	size_t len, count;
	int want;
	size_t at;
} limits[] = {
	{"line of 998", "x:", 998, 1, SMTP_OK, 0},
	{"line of 999", "x:", 999, 1, SMTP_ETOOLONG, 1000},
	{"no line end in sight", "x:", 100000, 1, SMTP_ETOOLONG, 1000},
	{"1,000 fields", "x:", 10, 1000, SMTP_OK, 0},
	{"1,001 fields", "x:", 10, 1001, SMTP_ETOOLONG, 12000},
	{"10,000 fields", "x:", 10, 10000, SMTP_ETOOLONG, 12000},
	{"block of 256 KB less a line", "x:", 1022 - 60, 271, SMTP_OK, 0},
	{"block over 256 KB", "x:", 1022 - 60, 272, SMTP_ETOOLONG, 271 * 964},
	{"block of 2 MB", "x:", 962, 2200, SMTP_ETOOLONG, 271 * 964},
};

static void
test_limits(void **state)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct smtp_slice text = repeat(limits[i].start, limits[i].len, limits[i].count);
		struct smtp_header h;
		size_t at;
		int err = scan(&h, text, &at);

		if (err != limits[i].want || at != limits[i].at)
			fail_msg("%s: %d at %zu", limits[i].name, err, at);
		if (err == SMTP_OK)
			check_fields(&h, text);
		free((char *)text.ptr);
	}
}

/* 5,000 folds are one field. */
static void
test_folds(void **state)
{
	struct smtp_slice text = repeat(" x", 20, 5000);
	struct smtp_header h;
	size_t at;

	memcpy((char *)text.ptr, "To", 2);
	((char *)text.ptr)[2] = ':';
	assert_int_equal(scan(&h, text, &at), SMTP_OK);
	assert_int_equal(h.count, 1);
	check_fields(&h, text);
	free((char *)text.ptr);
}

static void
test_find(void **state)
{
	struct smtp_header h;
	size_t at;

	assert_int_equal(scan(&h, SMTP_LIT("From: a\r\nTo: b\r\nfrom: c\r\n\r\n"), &at), SMTP_OK);
	assert_int_equal(smtp_header_find(&h, SMTP_LIT("FROM"), 0), 0);
	assert_int_equal(smtp_header_find(&h, SMTP_LIT("FROM"), 1), 2);
	assert_int_equal(smtp_header_find(&h, SMTP_LIT("From"), 3), -1);
	assert_int_equal(smtp_header_find(&h, SMTP_LIT("Fro"), 0), -1);
	assert_int_equal(smtp_header_find(&h, SMTP_LIT("Subject"), 0), -1);
}

static const struct {
	struct smtp_slice value, want;
} unfolds[] = {
	{SMTP_LIT(" plain"), SMTP_LIT("plain")},
	{SMTP_LIT(" \t a b \t"), SMTP_LIT("a b")},
	{SMTP_LIT(" a\r\n b\r\n\tc "), SMTP_LIT("a b\tc")},
	{SMTP_LIT("\r\n a"), SMTP_LIT("a")},
	{SMTP_LIT("a\r\n "), SMTP_LIT("a")},
	{SMTP_LIT(" \r\n \r\n "), SMTP_LIT("")},
	{SMTP_LIT(""), SMTP_LIT("")},
};

static void
test_unfold(void **state)
{
	for (size_t i = 0; i < sizeof(unfolds) / sizeof(unfolds[0]); i++) {
		struct smtp_slice want = unfolds[i].want;
		char buf[32];

		assert_int_equal(smtp_header_unfold(unfolds[i].value, buf, want.len), want.len);
		assert_memory_equal(buf, want.ptr, want.len);
		if (want.len > 0)
			assert_int_equal(
				smtp_header_unfold(unfolds[i].value, buf, want.len - 1), SMTP_ENOSPACE);
	}
	assert_int_equal(smtp_header_unfold((struct smtp_slice){NULL, 0}, NULL, 0), 0);
}

static const struct {
	const char *name;
	struct smtp_slice value, want;
} domains[] = {
	{"bare", SMTP_LIT(" a@example.com"), SMTP_LIT("example.com")},
	{"as written", SMTP_LIT("a@Example.COM\r\n "), SMTP_LIT("Example.COM")},
	{"brackets", SMTP_LIT(" Joe <a@example.com>"), SMTP_LIT("example.com")},
	{"brackets alone", SMTP_LIT("<a@example.com>"), SMTP_LIT("example.com")},
	{"blanks in the brackets", SMTP_LIT("Joe < a @ example.com >"), SMTP_LIT("example.com")},
	{"folded", SMTP_LIT(" Joe\r\n\t<a@example.com>\r\n "), SMTP_LIT("example.com")},
	{"quoted name with an address", SMTP_LIT("\"b@evil.test\" <a@example.com>"), SMTP_LIT("example.com")},
	{"quoted name with brackets", SMTP_LIT("\"x <b@evil.test>\" <a@example.com>"),
		SMTP_LIT("example.com")},
	{"escaped quote", SMTP_LIT("\"x\\\" <b@evil.test>\" <a@example.com>"), SMTP_LIT("example.com")},
	{"comment with an address", SMTP_LIT("(b@evil.test) a@example.com"), SMTP_LIT("example.com")},
	{"nested comments", SMTP_LIT("(x (<b@evil.test>) \\) y) a@example.com (z)"), SMTP_LIT("example.com")},
	{"comment behind", SMTP_LIT("a@example.com (Joe)"), SMTP_LIT("example.com")},
	{"comments around the @", SMTP_LIT("a(x)@(y)example.com"), SMTP_LIT("example.com")},
	{"bare name with an @", SMTP_LIT("b@evil.test <a@example.com>"), SMTP_LIT("example.com")},
	{"quoted local part", SMTP_LIT("\"b@evil.test\"@example.com"), SMTP_LIT("example.com")},
	{"quoted local part in brackets", SMTP_LIT("<\"b@evil.test>\"@example.com>"),
		SMTP_LIT("example.com")},
	{"route", SMTP_LIT("<@evil.test,@b.test:a@example.com>"), SMTP_LIT("example.com")},
	{"first of two", SMTP_LIT("a@example.com, b@evil.test"), SMTP_LIT("example.com")},
	{"first of two in brackets", SMTP_LIT("A <a@example.com>, B <b@evil.test>"), SMTP_LIT("example.com")},
	{"empty elements", SMTP_LIT(" , ,a@example.com"), SMTP_LIT("example.com")},
	{"group", SMTP_LIT("Team: a@example.com, b@evil.test;"), SMTP_LIT("example.com")},
	{"empty group first", SMTP_LIT("Nobody:; , a@example.com"), SMTP_LIT("example.com")},
	{"UTF-8 name", SMTP_LIT("J\xc3\xb6rg <a@example.com>"), SMTP_LIT("example.com")},
	{"UTF-8 domain",
		SMTP_LIT("a@b\xc3\xbc"
			 "cher.example"),
		SMTP_LIT("b\xc3\xbc"
			 "cher.example")},
	{"encoded word is not decoded", SMTP_LIT("=?utf-8?q?b=40evil.test?= <a@example.com>"),
		SMTP_LIT("example.com")},
	/* None: nothing to choose a key by. */
	{"nothing", SMTP_LIT(""), SMTP_LIT("")},
	{"no address", SMTP_LIT("Joe"), SMTP_LIT("")},
	{"empty brackets", SMTP_LIT("Joe <>"), SMTP_LIT("")},
	{"no domain", SMTP_LIT("a@"), SMTP_LIT("")},
	{"no domain in brackets", SMTP_LIT("<a@>"), SMTP_LIT("")},
	{"literal", SMTP_LIT("a@[192.0.2.1]"), SMTP_LIT("")},
	{"empty group", SMTP_LIT("undisclosed:;"), SMTP_LIT("")},
	{"two addresses in one mailbox", SMTP_LIT("a@example.com b@evil.test"), SMTP_LIT("")},
	{"two pairs of brackets", SMTP_LIT("<a@example.com> <b@evil.test>"), SMTP_LIT("")},
	{"bracket not closed", SMTP_LIT("<a@example.com"), SMTP_LIT("")},
	{"quote not closed", SMTP_LIT("\"Joe <a@example.com>"), SMTP_LIT("")},
	{"comment not closed", SMTP_LIT("(Joe <a@example.com>"), SMTP_LIT("")},
	{"comment inside the domain", SMTP_LIT("a@example(x).com"), SMTP_LIT("")},
	{"blank inside the domain", SMTP_LIT("a@example .com"), SMTP_LIT("")},
	{"two @", SMTP_LIT("a@evil.test@example.com"), SMTP_LIT("")},
	{"dot at the end", SMTP_LIT("a@example.com."), SMTP_LIT("")},
	{"no domain name", SMTP_LIT("a@exa$mple..com"), SMTP_LIT("")},
	{"NUL inside", SMTP_LIT("a@exam\0ple.com"), SMTP_LIT("")},
};

static void
test_domain(void **state)
{
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		struct smtp_slice value = domains[i].value;
		struct smtp_slice got = smtp_header_domain(value);

		if (!smtp_slice_is(got, domains[i].want))
			fail_msg("%s: '%.*s'", domains[i].name, (int)got.len, got.ptr);
		for (size_t len = 0; len <= value.len; len++) {
			struct smtp_slice cut = exact(value.ptr, len);

			got = smtp_header_domain(cut);
			assert_true(
				got.len == 0 || (got.ptr >= cut.ptr && got.ptr + got.len <= cut.ptr + len));
			free((char *)cut.ptr);
		}
	}
	assert_int_equal(smtp_header_domain((struct smtp_slice){NULL, 0}).len, 0);
}

static const struct {
	const char *name;
	struct smtp_slice value;
	const char *want; /* joined by blanks; "!": what follows is not clear */
} addresses[] = {
	{"none", SMTP_LIT(" \r\n "), ""},
	{"bare", SMTP_LIT(" a@example.com\r\n"), "a@example.com"},
	{"name and brackets", SMTP_LIT(" Joe <a@example.com>"), "a@example.com"},
	{"folded", SMTP_LIT(" \"Joe, \\\"b@evil.test\\\"\"\r\n\t<a@example.com> (Joe)"), "a@example.com"},
	{"comment behind", SMTP_LIT("a@example.com (b@evil.test)"), "a@example.com"},
	{"name with an @", SMTP_LIT("b@evil.test <a@example.com>"), "a@example.com"},
	{"several", SMTP_LIT("a@x.test, B <b@y.test>,,\r\n c@z.test ,"), "a@x.test b@y.test c@z.test"},
	{"quoted local part", SMTP_LIT("\"b@evil.test,\"@x.test, <\"a>\"@x.test>"),
		"\"b@evil.test,\"@x.test \"a>\"@x.test"},
	{"route", SMTP_LIT("<@evil.test:a@x.test>"), "a@x.test"},
	{"literal", SMTP_LIT("a@[192.0.2.1]"), "a@[192.0.2.1]"},
	{"UTF-8", SMTP_LIT("J\xc3\xb6rg <j\xc3\xb6rg@x.test>"), "j\xc3\xb6rg@x.test"},
	{"group", SMTP_LIT("Team: a@x.test;"), "!"},
	{"no address", SMTP_LIT("Joe"), "!"},
	{"empty brackets", SMTP_LIT("Joe <>"), "!"},
	{"two in one mailbox", SMTP_LIT("a@x.test b@evil.test"), "!"},
	{"two pairs of brackets", SMTP_LIT("<a@x.test> <b@evil.test>"), "!"},
	{"text behind brackets", SMTP_LIT("<a@x.test> b"), "!"},
	{"blank inside", SMTP_LIT("< a@x.test>"), "!"},
	{"comment inside", SMTP_LIT("a@x(y).test"), "!"},
	{"second one broken", SMTP_LIT("a@x.test, b@"), "a@x.test !"},
	{"bracket not closed", SMTP_LIT("a@x.test, <b@y.test"), "a@x.test !"},
	{"quote not closed", SMTP_LIT("\"Joe <a@x.test>"), "!"},
};

static void
test_address(void **state)
{
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		struct smtp_slice in = addresses[i].value, address;
		char got[200] = "";
		size_t n = 0;
		int result;

		while ((result = smtp_header_address(&in, &address)) > 0)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%.*s", n > 0 ? " " : "",
				(int)address.len, address.ptr);
		if (result < 0)
			snprintf(got + n, sizeof(got) - n, "%s!", n > 0 ? " " : "");
		if (strcmp(got, addresses[i].want) != 0)
			fail_msg("%s: %s", addresses[i].name, got);
		for (size_t len = 0; len <= addresses[i].value.len; len++) {
			struct smtp_slice cut = exact(addresses[i].value.ptr, len), rest = cut;

			while (smtp_header_address(&rest, &address) > 0)
				;
			free((char *)cut.ptr);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_folds),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_unfold),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
