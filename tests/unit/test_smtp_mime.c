/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_mime: the parts of whole and of broken mails, the limits, fields and parameters. */
#include "smtp_mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

static struct smtp_mime mime;

/* A copy of exactly these bytes, so that the sanitizer sees a read behind them. */
static char *
exact(struct smtp_slice s)
{
	char *copy = malloc(s.len + (s.len == 0));

	assert_non_null(copy);
	memcpy(copy, s.ptr, s.len);
	return copy;
}

/* "parent:type/subtype{body}" of each part; the body of those without children only, line ends as '|'. */
static void
draw(char *out, size_t max)
{
	size_t len = 0;

	for (int i = 0; i < mime.count; i++) {
		const struct smtp_mime_part *p = &mime.parts[i];
		bool is_leaf = i + 1 == mime.count || mime.parts[i + 1].parent != i;

		len += (size_t)snprintf(out + len, max - len, "%s%d:%.*s/%.*s%s%s", i > 0 ? " " : "",
			p->parent, (int)p->type.len, p->type.ptr, (int)p->subtype.len, p->subtype.ptr,
			p->encoding == SMTP_MIME_BASE64             ? "+b64"
			: p->encoding == SMTP_MIME_QUOTED_PRINTABLE ? "+qp"
								    : "",
			p->is_cut ? "!" : "");
		if (is_leaf)
			len += (size_t)snprintf(
				out + len, max - len, "{%.*s}", (int)p->body.len, p->body.ptr);
		assert_true(len < max);
	}
	for (size_t i = 0; i < len; i++)
		if (out[i] == '\r' || out[i] == '\n')
			out[i] = out[i] == '\r' ? '<' : '|';
}

#define MULTI "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

static const struct {
	const char *name;
	struct smtp_slice mail;
	const char *want;
} mails[] = {
	{"nothing", SMTP_LIT(""), "-1:text/plain{}"},
	{"a body only", SMTP_LIT("hello\r\n"), "-1:text/plain{hello<|}"},
	{"a header only", SMTP_LIT("A: b"), "-1:text/plain{}"},
	{"header and body", SMTP_LIT("A: b\r\n\r\nhello\r\n"), "-1:text/plain{hello<|}"},
	{"empty lines first", SMTP_LIT("\r\n\r\nContent-Type: a/b\r\n\r\nx"), "-1:a/b{x}"},
	{"an mbox line first", SMTP_LIT("From a@b.test Tue\r\nContent-Type: a/b\r\n\r\nx"), "-1:a/b{x}"},
	{"no empty line below the header", SMTP_LIT("Content-Type: a/b\r\nIt failed.\r\nReally\r\n"),
		"-1:a/b{It failed.<|Really<|}"},
	{"a fold without blanks", SMTP_LIT("Subject: x\r\nand more\r\nContent-Type: a/b\r\n\r\ny"),
		"-1:a/b{y}"},
	{"8 bit in the header", SMTP_LIT("X: \xe4\xff\r\nContent-Type: a/b\r\n\r\ny"), "-1:a/b{y}"},
	{"a URL is no field", SMTP_LIT("A: b\r\nsee\r\nhttp://x.test/\r\n"),
		"-1:text/plain{see<|http://x.test/<|}"},
	{"two parts",
		SMTP_LIT(MULTI
			"pre\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: a/b\r\n\r\ntwo\r\n--b--\r\npost"),
		"-1:multipart/mixed 0:text/plain{one} 0:a/b{two}"},
	{"LF only", SMTP_LIT("Content-Type: multipart/mixed;\n boundary=\"b\"\n\n--b\n\none\n\n--b--\n"),
		"-1:multipart/mixed 0:text/plain{one|}"},
	{"CR only", SMTP_LIT("Content-Type: multipart/mixed; boundary=b\r\r--b\r\rone\rmore\r--b--\r"),
		"-1:multipart/mixed 0:text/plain{one<more}"},
	{"CR CR LF",
		SMTP_LIT("A: b\r\r\nContent-Type: multipart/x; "
			 "boundary=b\r\r\n\r\r\n--b\r\r\n\r\r\no\r\r\n--b--"),
		"-1:multipart/x 0:text/plain{o}"},
	{"no end boundary", SMTP_LIT(MULTI "--b\r\n\r\none\r\n"), "-1:multipart/mixed! 0:text/plain{one<|}"},
	{"a part of nothing", SMTP_LIT(MULTI "--b\r\n--b--\r\n"), "-1:multipart/mixed 0:text/plain{}"},
	{"a part without an empty line", SMTP_LIT(MULTI "--b\r\nContent-Type: a/b\r\n--b--\r\n"),
		"-1:multipart/mixed 0:a/b{}"},
	{"blanks behind a boundary", SMTP_LIT(MULTI "--b \t\r\n\r\none\r\n--b-- \r\n"),
		"-1:multipart/mixed 0:text/plain{one}"},
	{"longer than the boundary", SMTP_LIT(MULTI "--b\r\n\r\none\r\n--bc\r\n--b--\r\n"),
		"-1:multipart/mixed 0:text/plain{one<|--bc}"},
	{"shorter than the boundary", SMTP_LIT("Content-Type: multipart/mixed; boundary=bcdef\r\n\r\n--bc"),
		"-1:multipart/mixed!{--bc}"},
	{"a message without a body, and words behind the end",
		SMTP_LIT(MULTI "--b\r\nContent-Type: message/rfc822\r\n--b--\r\nContent-Type: "
			       "a/b\r\n\r\n--b\r\n\r\nx"),
		"-1:multipart/mixed 0:message/rfc822 1:text/plain{} 0:text/plain{x}"},
	{"no boundary named",
		SMTP_LIT("Content-Type: multipart/mixed\r\n\r\n-- \r\n--x\r\n\r\none\r\n--x--\r\n"),
		"-1:multipart/mixed 0:text/plain{one}"},
	{"an outer boundary ends the inner multipart",
		SMTP_LIT(MULTI "--b\r\nContent-Type: multipart/y; "
			       "boundary=c\r\n\r\n--c\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--"),
		"-1:multipart/mixed 0:multipart/y! 1:text/plain{one} 0:text/plain{two}"},
	{"a message inside",
		SMTP_LIT(MULTI
			"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: a/b\r\n\r\nx\r\n--b--\r\n"),
		"-1:multipart/mixed 0:message/rfc822 1:a/b{x}"},
	{"a message's header inside",
		SMTP_LIT(MULTI
			"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nContent-Type: a/b\r\n--b--\r\n"),
		"-1:multipart/mixed 0:text/rfc822-headers 1:a/b{}"},
	{"an encoded message is not opened",
		SMTP_LIT("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: Base64\r\n\r\nQTogYg=="),
		"-1:message/rfc822+b64{QTogYg==}"},
	{"a message that is none", SMTP_LIT("Content-Type: message/rfc822\r\n\r\njust\r\nwords\r\n"),
		"-1:message/rfc822 0:text/plain{just<|words<|}"},
	{"words below the header of a message", SMTP_LIT("Content-Type: message/rfc822\r\njust\r\nwords\r\n"),
		"-1:message/rfc822 0:text/plain{just<|words<|}"},
	{"comments and case", SMTP_LIT("content-type : (a (b)) Text / HTML ;\r\n charset=x\r\n\r\ny"),
		"-1:Text/HTML{y}"},
	{"a type that is none",
		SMTP_LIT("Content-Type: text\r\nContent-Transfer-Encoding: (x) quoted-printable\r\n\r\ny"),
		"-1:text/plain+qp{y}"},
};

static void
test_parts(void **state)
{
	char got[1000];

	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
		char *mail = exact(mails[i].mail);

		smtp_mime_read(&mime, (struct smtp_slice){mail, mails[i].mail.len});
		draw(got, sizeof(got));
		if (strcmp(got, mails[i].want) != 0)
			fail_msg("%s: got %s", mails[i].name, got);
		assert_false(mime.is_truncated);
		free(mail);
	}
}

static void
test_find(void **state)
{
	smtp_mime_read(
		&mime, SMTP_LIT(MULTI "--b\r\n\r\n1\r\n--b\r\nContent-Type: TEXT/html\r\n\r\n2\r\n--b--"));
	assert_int_equal(smtp_mime_find(&mime, SMTP_LIT("text"), SMTP_LIT(""), 0), 1);
	assert_int_equal(smtp_mime_find(&mime, SMTP_LIT("text"), SMTP_LIT("html"), 0), 2);
	assert_int_equal(smtp_mime_find(&mime, SMTP_LIT("text"), SMTP_LIT("plain"), 2), -1);
}

/* The first message that the mail holds, and what belongs to it. */
static void
test_message(void **state)
{
	smtp_mime_read(&mime, SMTP_LIT(MULTI "--b\r\n\r\n1\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
					     "Content-Type: multipart/x; boundary=c\r\n\r\n--c\r\n\r\n2\r\n"
					     "--b\r\nContent-Type: text/rfc822-header\r\n\r\nA: b\r\n--b--"));
	assert_int_equal(mime.count, 7);
	assert_int_equal(smtp_mime_message(&mime), 3);
	for (int i = 0; i < mime.count; i++)
		assert_int_equal(smtp_mime_is_inside(&mime, i), i == 3 || i == 4 || i == 6);
	smtp_mime_read(&mime, SMTP_LIT("A: b\r\n\r\nx"));
	assert_int_equal(smtp_mime_message(&mime), -1);
}

/* More parts, and deeper ones, than there is room for: what fits is listed, what follows is still found. */
static void
test_limits(void **state)
{
	static char mail[20000];
	int len = snprintf(mail, sizeof(mail), MULTI);

	for (int i = 0; i < 70; i++)
		len += snprintf(mail + len, sizeof(mail) - (size_t)len, "--b\r\n\r\n%d\r\n", i);
	smtp_mime_read(&mime, (struct smtp_slice){mail, (size_t)len});
	assert_int_equal(mime.count, SMTP_MIME_PARTS_MAX);
	assert_true(mime.is_truncated);
	assert_memory_equal(mime.parts[63].body.ptr, "62", 2);
	assert_int_equal(mime.parts[63].body.len, 2);
	len = 0;
	for (int i = 0; i < 15; i++)
		len += snprintf(
			mail + len, sizeof(mail) - (size_t)len, "Content-Type: message/rfc822\r\n\r\n");
	smtp_mime_read(&mime, (struct smtp_slice){mail, (size_t)len});
	assert_int_equal(mime.count, SMTP_MIME_DEPTH_MAX + 1);
	assert_int_equal(mime.parts[SMTP_MIME_DEPTH_MAX].depth, SMTP_MIME_DEPTH_MAX);
	assert_true(mime.is_truncated);
}

static const struct {
	const char *value, *name, *want;
} parameters[] = {
	{"multipart/report; report-type=delivery-status; boundary=\"a b\"", "boundary", "a b"},
	{"multipart/report; report-type=delivery-status; boundary=\"a b\"", "Report-Type", "delivery-status"},
	{"a/b; x=\"1\\\"2\"; y=3", "y", "3"},
	{"a/b; x=\"1\\\"2\"; y=3", "x", "1\\\"2"},
	{"a/b; boundary=----=_Part(1)", "boundary", "----=_Part(1)"},
	{"a/b;(c;x=1)x (d) = 2", "x", "2"},
	{"a/b x=1", "x", "1"},
	{"a/b; x", "x", ""},
	{"a/b; x=", "x", ""},
	{"a/b; x=\"open", "x", "open"},
	{"a/b; =; ;=x; y=1", "y", "1"},
	{"a/b;\r\n\tx=1", "x", "1"},
	{"", "x", ""},
};

static void
test_parameters(void **state)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		struct smtp_slice value = {parameters[i].value, strlen(parameters[i].value)};
		struct smtp_slice name = {parameters[i].name, strlen(parameters[i].name)};
		struct smtp_slice got = smtp_mime_parameter(value, name);

		if (!smtp_slice_is(got, (struct smtp_slice){parameters[i].want, strlen(parameters[i].want)}))
			fail_msg("%s: got %.*s", parameters[i].value, (int)got.len, got.ptr);
	}
}

static void
test_facts(void **state)
{
	const struct smtp_mime_part *p = &mime.parts[0];

	smtp_mime_read(&mime, SMTP_LIT("Content-Type: multipart/report; report-type=x; charset=c; name=n\r\n"
				       "Content-Disposition: attachment; filename=f\r\n\r\nbody"));
	assert_true(smtp_slice_is(p->report_type, SMTP_LIT("x")));
	assert_true(smtp_slice_is(p->charset, SMTP_LIT("c")));
	assert_true(smtp_slice_is(p->name, SMTP_LIT("n")));
	assert_true(smtp_slice_is(p->disposition, SMTP_LIT("attachment")));
	smtp_mime_read(&mime, SMTP_LIT("Content-Disposition: inline; filename=\"f g\"\r\n\r\nbody"));
	assert_true(smtp_slice_is(p->name, SMTP_LIT("f g")));
}

static void
test_fields(void **state)
{
	struct smtp_slice in = SMTP_LIT("junk\r\nA : b\r\n c\r\n\r\n\r\nd:\n\te\nf:g"), rest = in;
	struct smtp_field f;

	assert_true(smtp_mime_field(&rest, &f));
	assert_true(smtp_slice_is(f.name, SMTP_LIT("A")));
	assert_true(smtp_slice_is(f.value, SMTP_LIT(" b\r\n c")));
	assert_true(smtp_slice_is(f.whole, SMTP_LIT("A : b\r\n c\r\n")));
	assert_true(smtp_mime_field(&rest, &f));
	assert_true(smtp_slice_is(f.name, SMTP_LIT("d")));
	assert_true(smtp_slice_is(f.value, SMTP_LIT("\n\te")));
	assert_true(smtp_mime_field(&rest, &f));
	assert_true(smtp_slice_is(f.value, SMTP_LIT("g")));
	assert_false(smtp_mime_field(&rest, &f));
	assert_true(smtp_slice_is(smtp_mime_header(in, SMTP_LIT("F")), SMTP_LIT("g")));
	assert_int_equal(smtp_mime_header(in, SMTP_LIT("x")).len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
