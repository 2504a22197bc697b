/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_canon: the examples of RFC 6376, bodies cut anywhere, the choice of fields, and the field as written.
 */
#include "smtp_canon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bytes {
	char buf[8192];
	size_t len;
};

static void
collect(void *arg, struct smtp_slice in)
{
	struct bytes *b = arg;

	assert_true(in.len <= sizeof(b->buf) - b->len);
	memcpy(b->buf + b->len, in.ptr, in.len);
	b->len += in.len;
}

static void
assert_bytes(const char *name, const struct bytes *got, struct smtp_slice want)
{
	if (!smtp_slice_is((struct smtp_slice){got->buf, got->len}, want))
		fail_msg("%s: '%.*s' and not '%.*s'", name, (int)got->len, got->buf, (int)want.len, want.ptr);
}

/* faults.md B18 */
static const struct {
	const char *name;
	struct smtp_slice in, simple, relaxed;
} bodies[] = {
	{"RFC 6376 3.4.5", SMTP_LIT(" C \r\nD \t E\r\n\r\n\r\n"), SMTP_LIT(" C \r\nD \t E\r\n"),
		SMTP_LIT(" C\r\nD E\r\n")},
	{"empty", SMTP_LIT(""), SMTP_LIT("\r\n"), SMTP_LIT("")},
	{"one empty line", SMTP_LIT("\r\n"), SMTP_LIT("\r\n"), SMTP_LIT("")},
	{"many empty lines", SMTP_LIT("\r\n\r\n\r\n"), SMTP_LIT("\r\n"), SMTP_LIT("")},
	{"blanks only", SMTP_LIT(" \t \r\n"), SMTP_LIT(" \t \r\n"), SMTP_LIT("")},
	{"blanks only, no CRLF", SMTP_LIT("  "), SMTP_LIT("  \r\n"), SMTP_LIT("")},
	{"no CRLF at the end", SMTP_LIT("a"), SMTP_LIT("a\r\n"), SMTP_LIT("a\r\n")},
	{"blank line of blanks at the end", SMTP_LIT("a\r\n \r\n\t\r\n"), SMTP_LIT("a\r\n \r\n\t\r\n"),
		SMTP_LIT("a\r\n")},
	{"empty lines first and inside", SMTP_LIT("\r\n\r\na\r\n \r\nb\r\n"),
		SMTP_LIT("\r\n\r\na\r\n \r\nb\r\n"), SMTP_LIT("\r\n\r\na\r\n\r\nb\r\n")},
	{"lone dot", SMTP_LIT(".\r\n..\r\n"), SMTP_LIT(".\r\n..\r\n"), SMTP_LIT(".\r\n..\r\n")},
	{"tab alone", SMTP_LIT("a\tb\r\n"), SMTP_LIT("a\tb\r\n"), SMTP_LIT("a b\r\n")},
	{"tab in a long run", SMTP_LIT("0123456789abcdef\t0123456789abcdef \tx\r\n"),
		SMTP_LIT("0123456789abcdef\t0123456789abcdef \tx\r\n"),
		SMTP_LIT("0123456789abcdef 0123456789abcdef x\r\n")},
	{"two blanks at each offset of a word",
		SMTP_LIT("a  b2  b34  b456  b5678  b67890  b789012  b8901234  b  \r\n"),
		SMTP_LIT("a  b2  b34  b456  b5678  b67890  b789012  b8901234  b  \r\n"),
		SMTP_LIT("a b2 b34 b456 b5678 b67890 b789012 b8901234 b\r\n")},
	{"single blanks stay", SMTP_LIT("the quick brown fox jumps over the lazy dog again\r\n"),
		SMTP_LIT("the quick brown fox jumps over the lazy dog again\r\n"),
		SMTP_LIT("the quick brown fox jumps over the lazy dog again\r\n")},
	{"8 bit next to blanks",
		SMTP_LIT("\xa0\xa0 \xff  \x80\t\xc3\xa4 \x89\x89\x89\x89\x89\x89\x89\x89\r\n"),
		SMTP_LIT("\xa0\xa0 \xff  \x80\t\xc3\xa4 \x89\x89\x89\x89\x89\x89\x89\x89\r\n"),
		SMTP_LIT("\xa0\xa0 \xff \x80 \xc3\xa4 \x89\x89\x89\x89\x89\x89\x89\x89\r\n")},
	{"other controls are text", SMTP_LIT("a \x01 \x0b\x0c\x1f \0 b\r\n"),
		SMTP_LIT("a \x01 \x0b\x0c\x1f \0 b\r\n"), SMTP_LIT("a \x01 \x0b\x0c\x1f \0 b\r\n")},
	/* Intake lets neither pass; the forms are total all the same. */
	{"bare CR", SMTP_LIT("a\rb\r\r\nc\r"), SMTP_LIT("a\rb\r\r\nc\r\r\n"), SMTP_LIT("a\rb\r\r\nc\r\r\n")},
	{"bare LF", SMTP_LIT("a\nb\n\n"), SMTP_LIT("a\nb\n\n\r\n"), SMTP_LIT("a\nb\n\n\r\n")},
	{"CR after blanks", SMTP_LIT("a \r b\r\n"), SMTP_LIT("a \r b\r\n"), SMTP_LIT("a \r b\r\n")},
};

static void
feed(struct smtp_canon_body *c, const char *ptr, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, ptr, len);
	smtp_canon_body_feed(c, (struct smtp_slice){copy, len});
	free(copy);
}

/* In pieces of `step` bytes, the first one `first` long. */
static void
check_body(size_t i, enum smtp_canon_kind kind, size_t first, size_t step)
{
	struct smtp_slice in = bodies[i].in;
	struct bytes got = {.len = 0};
	struct smtp_canon_body c;
	size_t at = first;

	smtp_canon_body_init(&c, kind, (struct smtp_canon_sink){collect, &got});
	feed(&c, in.ptr, first);
	while (at < in.len) {
		size_t n = in.len - at < step ? in.len - at : step;

		feed(&c, in.ptr + at, n);
		at += n;
	}
	smtp_canon_body_end(&c);
	assert_bytes(bodies[i].name, &got, kind == SMTP_CANON_SIMPLE ? bodies[i].simple : bodies[i].relaxed);
}

static void
test_bodies(void **state)
{
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		for (int kind = SMTP_CANON_SIMPLE; kind <= SMTP_CANON_RELAXED; kind++) {
			check_body(i, (enum smtp_canon_kind)kind, 0, 1);
			for (size_t first = 0; first <= bodies[i].in.len; first++)
				check_body(i, (enum smtp_canon_kind)kind, first, bodies[i].in.len + 1);
		}
}

static const struct {
	struct smtp_slice in, relaxed;
} headers[] = {
	/* RFC 6376 3.4.5 */
	{SMTP_LIT("A: X\r\n"), SMTP_LIT("a:X\r\n")},
	{SMTP_LIT("B : Y\t\r\n\tZ  \r\n"),
		SMTP_LIT("")}, /* a blank before the colon is refused by the scan */
	{SMTP_LIT("B: Y\t\r\n\tZ  \r\n"), SMTP_LIT("b:Y Z\r\n")},
	{SMTP_LIT("SUBJect: AbC\r\n"), SMTP_LIT("subject:AbC\r\n")},
	{SMTP_LIT("X:\r\n"), SMTP_LIT("x:\r\n")},
	{SMTP_LIT("X: \t\r\n \r\n"), SMTP_LIT("x:\r\n")},
	{SMTP_LIT("X:\r\n a\r\n"), SMTP_LIT("x:a\r\n")},
	{SMTP_LIT("X:a\r\n b\r\n\tc\r\n"), SMTP_LIT("x:a b c\r\n")},
	{SMTP_LIT("X: a  b\t\tc \t d\r\n"), SMTP_LIT("x:a b c d\r\n")},
	{SMTP_LIT("X:a:b : c\r\n"), SMTP_LIT("x:a:b : c\r\n")},
	{SMTP_LIT("X-Long-Name-Of-More-Than-Sixty-Four-Bytes-To-See-That-The-Buffer-Is-Used-Twice: a\r\n"),
		SMTP_LIT("x-long-name-of-more-than-sixty-four-bytes-to-see-that-the-buffer-is-used-twice:"
			 "a\r\n")},
};

static void
test_headers(void **state)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct smtp_field field;
		struct smtp_header h = {.fields = &field, .fields_max = 1};
		struct bytes relaxed = {.len = 0}, simple = {.len = 0};
		size_t at;

		if (headers[i].relaxed.len == 0) {
			assert_int_equal(smtp_header_scan(&h, headers[i].in, &at), SMTP_ESYNTAX);
			continue;
		}
		assert_int_equal(smtp_header_scan(&h, headers[i].in, &at), SMTP_OK);
		smtp_canon_field(SMTP_CANON_RELAXED, &field, (struct smtp_canon_sink){collect, &relaxed});
		assert_bytes("relaxed", &relaxed, headers[i].relaxed);
		smtp_canon_field(SMTP_CANON_SIMPLE, &field, (struct smtp_canon_sink){collect, &simple});
		assert_bytes("simple", &simple, headers[i].in);
	}
}

/* The h= list with '=' behind entries that name a field, and its value. */
static void
list_entries(struct smtp_slice text, struct bytes *out)
{
	struct smtp_field fields[32];
	struct smtp_header h = {.fields = fields, .fields_max = 32};
	struct smtp_sign_entry entries[SMTP_SIGN_ENTRIES_MAX];
	uint32_t count;
	size_t at;

	assert_int_equal(smtp_header_scan(&h, text, &at), SMTP_OK);
	count = smtp_sign_choose(&h, entries);
	out->len = 0;
	for (uint32_t i = 0; i < count; i++) {
		collect(out, entries[i].name);
		if (entries[i].field != NULL) {
			collect(out, SMTP_LIT("="));
			collect(out, entries[i].field->value);
		}
		collect(out, SMTP_LIT(" "));
	}
}

static const struct {
	const char *name;
	struct smtp_slice header, want;
} choices[] = {
	{"no From: nothing", SMTP_LIT("To:1\r\nSubject:2\r\n"), SMTP_LIT("")},
	{"From alone is shut, and so is what a reader sees", SMTP_LIT("from:1\r\n"),
		SMTP_LIT("From=1 From Reply-To To Cc Subject Date Message-ID MIME-Version Content-Type "
			 "Content-Transfer-Encoding ")},
	{"last one first", SMTP_LIT("From:1\r\nX:9\r\nFROM:2\r\nfrom:3\r\n"),
		SMTP_LIT("From=3 From=2 From=1 From Reply-To To Cc Subject Date Message-ID MIME-Version "
			 "Content-Type Content-Transfer-Encoding ")},
	{"no more than four of one name", SMTP_LIT("From:1\r\nFrom:2\r\nFrom:3\r\nFrom:4\r\nFrom:5\r\n"),
		SMTP_LIT("From=5 From=4 From=3 From=2 Reply-To To Cc Subject Date Message-ID MIME-Version "
			 "Content-Type Content-Transfer-Encoding ")},
	{"unsubscribe covered and shut when there; trace and unknown fields left",
		SMTP_LIT("Received:0\r\nDKIM-Signature:0\r\nReturn-Path:0\r\nX-Y:0\r\nList-Unsubscribe:1\r\n"
			 "List-Unsubscribe-Post:2\r\nFrom:3\r\nPrecedence:4\r\nFeedback-ID:5\r\n"),
		SMTP_LIT("From=3 From Reply-To To Cc Subject Date Message-ID MIME-Version Content-Type "
			 "Content-Transfer-Encoding List-Unsubscribe=1 List-Unsubscribe "
			 "List-Unsubscribe-Post=2 "
			 "List-Unsubscribe-Post Feedback-ID=5 Feedback-ID Precedence=4 ")},
};

static void
test_choice(void **state)
{
	struct bytes got;

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		list_entries(choices[i].header, &got);
		assert_bytes(choices[i].name, &got, choices[i].want);
	}
}

static void
test_field(void **state)
{
	struct smtp_sign_entry entries[] = {{SMTP_LIT("From")}, {SMTP_LIT("From")}, {SMTP_LIT("Subject")},
		{SMTP_LIT("Content-Transfer-Encoding")}, {SMTP_LIT("List-Unsubscribe-Post")}};
	struct smtp_dkim_tags tags = {SMTP_LIT("rsa-sha256"), SMTP_LIT("example.com"), SMTP_LIT("s2026"),
		SMTP_CANON_RELAXED, SMTP_CANON_SIMPLE, 1792463421,
		SMTP_LIT("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), entries, 5};
	static const struct smtp_slice start =
		SMTP_LIT("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=s2026;\r\n"
			 "\tt=1792463421; h=From:From:Subject:Content-Transfer-Encoding:\r\n"
			 "\tList-Unsubscribe-Post; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n"
			 "\tb=");
	static const struct smtp_slice canon =
		SMTP_LIT("dkim-signature:v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=s2026; "
			 "t=1792463421; h=From:From:Subject:Content-Transfer-Encoding: "
			 "List-Unsubscribe-Post; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=");
	char buf[1024], signature[173];
	struct bytes got = {.len = 0};
	int len = smtp_dkim_write(&tags, buf, sizeof(buf)), whole;

	assert_int_equal(len, start.len);
	assert_memory_equal(buf, start.ptr, start.len);
	assert_int_equal(smtp_dkim_write(&tags, buf, start.len), start.len);
	assert_int_equal(smtp_dkim_write(&tags, buf, start.len - 1), SMTP_ENOSPACE);
	smtp_dkim_canon(SMTP_CANON_RELAXED, (struct smtp_slice){buf, start.len},
		(struct smtp_canon_sink){collect, &got});
	assert_bytes("relaxed", &got, canon);
	got.len = 0;
	smtp_dkim_canon(SMTP_CANON_SIMPLE, (struct smtp_slice){buf, start.len},
		(struct smtp_canon_sink){collect, &got});
	assert_bytes("simple", &got, start);
	/* 73 characters fit behind "\tb=", 75 on each line after it. */
	memset(signature, 'A', sizeof(signature));
	whole = smtp_dkim_finish(buf, start.len, sizeof(buf), (struct smtp_slice){signature, 73});
	assert_int_equal(whole, start.len + 73 + 2);
	whole = smtp_dkim_finish(buf, start.len, sizeof(buf), (struct smtp_slice){signature, 74});
	assert_int_equal(whole, start.len + 74 + 3 + 2);
	whole = smtp_dkim_finish(
		buf, start.len, sizeof(buf), (struct smtp_slice){signature, sizeof(signature)});
	assert_int_equal(whole, start.len + sizeof(signature) + 2 * 3 + 2);
	assert_memory_equal(buf + start.len + 73, "\r\n\tAAAA", 7);
	assert_memory_equal(buf + whole - 4, "AA\r\n", 4);
	assert_int_equal(
		smtp_dkim_finish(buf, start.len, (size_t)whole - 1, (struct smtp_slice){signature, 173}),
		SMTP_ENOSPACE);
}

/* faults.md B19: names as long as they get, as many as there can be; one legal field that fits its maximum.
 */
static void
test_widest_field(void **state)
{
	static const char *const every[] = {"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date",
		"Message-ID", "In-Reply-To", "References", "MIME-Version", "Content-Type",
		"Content-Transfer-Encoding", "Content-Disposition", "Content-Language", "List-Unsubscribe",
		"List-Unsubscribe-Post", "List-Id", "List-Help", "List-Post", "List-Subscribe", "List-Owner",
		"List-Archive", "Feedback-ID", "CFBL-Address", "CFBL-Feedback-ID", "Auto-Submitted",
		"Precedence", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Date",
		"Resent-Message-ID"};
	enum { NAMES = sizeof(every) / sizeof(every[0]), EACH = 6 };
	static struct smtp_field fields[NAMES * EACH];
	struct smtp_header h = {.fields = fields, .fields_max = NAMES * EACH};
	static char text[16384], field[SMTP_DKIM_FIELD_MAX], name[255], signature[684];
	struct smtp_sign_entry entries[SMTP_SIGN_ENTRIES_MAX];
	struct smtp_dkim_tags tags = {SMTP_LIT("ed25519-sha256"), {name, 255}, {name, 255},
		SMTP_CANON_RELAXED, SMTP_CANON_RELAXED, INT64_MAX,
		SMTP_LIT("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), entries};
	size_t len = 0, at;
	int written;

	for (size_t i = 0; i < NAMES * EACH; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s: x\r\n", every[i % NAMES]);
	memset(name, 'n', sizeof(name));
	memset(signature, 'S', sizeof(signature));
	assert_int_equal(smtp_header_scan(&h, (struct smtp_slice){text, len}, &at), SMTP_OK);
	tags.entry_count = smtp_sign_choose(&h, entries);
	assert_int_equal(tags.entry_count, NAMES * SMTP_SIGN_INSTANCES_MAX);
	written = smtp_dkim_write(&tags, field, sizeof(field));
	assert_true(written > 0);
	written = smtp_dkim_finish(
		field, (size_t)written, sizeof(field), (struct smtp_slice){signature, sizeof(signature)});
	assert_true(written > 0);
	assert_int_equal(smtp_header_scan(&h, (struct smtp_slice){field, (size_t)written}, &at), SMTP_OK);
	assert_int_equal(h.count, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_widest_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
