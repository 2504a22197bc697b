/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_mime_text: encodings whole and broken, header words, HTML as text, and what is cut where. */
#include "smtp_mime_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
expect(const char *name, const char *got, size_t len, const char *want)
{
	if (len != strlen(want) || memcmp(got, want, len) != 0)
		fail_msg("%s: got \"%.*s\", want \"%s\"", name, (int)len, got, want);
}

static const struct {
	enum smtp_mime_encoding encoding;
	const char *in, *want;
} bodies[] = {
	{SMTP_MIME_IDENTITY, "a=20\r\n", "a=20\r\n"},
	{SMTP_MIME_QUOTED_PRINTABLE, "a=20b=3D=\r\nc= \t\r\nd=\ne", "a b=cde"},
	{SMTP_MIME_QUOTED_PRINTABLE, "=c3=a4_=G0=4", "\xc3\xa4_=G0=4"},
	{SMTP_MIME_QUOTED_PRINTABLE, "end=", "end="},
	{SMTP_MIME_QUOTED_PRINTABLE, "a=\rb= c", "ab= c"},
	{SMTP_MIME_BASE64, "aGVs\r\nbG8=\r\n", "hello"},
	{SMTP_MIME_BASE64, "aGVsbG8", "hello"},
	{SMTP_MIME_BASE64, "aGVsbG8=aGVsbG8=", "hellohello"},
	{SMTP_MIME_BASE64, "a!G-V s*bG8====", "hello"},
	{SMTP_MIME_BASE64, "a", ""},
	{SMTP_MIME_BASE64, "", ""},
};

static void
test_decode(void **state)
{
	char buf[100];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct smtp_slice in = {bodies[i].in, strlen(bodies[i].in)};
		bool is_cut = false;
		size_t len = smtp_mime_decode(in, bodies[i].encoding, buf, sizeof(buf), &is_cut);

		expect(bodies[i].in, buf, len, bodies[i].want);
		assert_false(is_cut);
		if (len == 0)
			continue;
		assert_int_equal(smtp_mime_decode(in, bodies[i].encoding, buf, len - 1, &is_cut), len - 1);
		assert_true(is_cut);
	}
}

static const struct {
	const char *in, *want;
} values[] = {
	{" a\r\n b \r\n", "a b"},
	{"=?utf-8?Q?sch=C3=B6n_da?=", "sch\xc3\xb6n da"},
	{"=?ISO-8859-1?q?sch=F6n?=", "sch\xc3\xb6n"},
	{"=?windows-1252?Q?=93x=94?=", "?x?"},
	{"=?utf-8?B?aGVsbG8=?= there", "hello there"},
	{"=?utf-8?B?aGVs?=\r\n =?utf-8*en?Q?lo?= you", "hello you"},
	{"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"},
	{"=?iso-2022-jp?B?GyRC?=", "=?iso-2022-jp?B?GyRC?="},
	{"=?utf-8?X?a?= =?utf-8?Q?open", "=?utf-8?X?a?= =?utf-8?Q?open"},
	{"=?", "=?"},
	{"=??Q?a?=", "=??Q?a?="},
	{"", ""},
};

static void
test_value(void **state)
{
	char buf[100];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct smtp_slice in = {values[i].in, strlen(values[i].in)};
		bool is_cut = false;

		expect(in.ptr, buf, smtp_mime_value(in, buf, sizeof(buf), &is_cut), values[i].want);
		assert_false(is_cut);
	}
}

/* A character that does not fit goes as a whole, and one that fits stays. */
static void
test_cut(void **state)
{
	static const struct smtp_slice in = SMTP_LIT("a\xe2\x82\xac\xc3\xa4z");
	static const size_t kept[] = {0, 1, 1, 1, 4, 4, 6, 7};
	char buf[8];

	for (size_t max = 0; max < sizeof(kept) / sizeof(kept[0]); max++) {
		bool is_cut = false;

		assert_int_equal(smtp_mime_value(in, buf, max, &is_cut), kept[max]);
		assert_int_equal(is_cut, max < in.len);
	}
}

static const struct {
	const char *in, *want;
} pages[] = {
	{"<p>Hello,<br>your  mail\r\nto <b>a@b.test</b></p>", "\nHello,\nyour mail to a@b.test\n"},
	{"a<script>if (a<b) c</script>b<STYLE x=y>p{}</style >c", "abc"},
	{"a<!-- <p> -- > -->b<!DOCTYPE x><?xml?>c", "abc"},
	{"&lt;a@b.test&gt; &amp;lt; &quot;&#39;&#x20AC;&nbsp;&euro;&",
		"<a@b.test> &lt; \"'\xe2\x82\xac &euro;&"},
	{"to <a@b.test>: 1 < 2 <3", "to <a@b.test>: 1 < 2 <3"},
	{"<a href=\"mailto:x@y.test\">me</a>", "me"},
	{"<pre>a  b\nc</pre>", "\na  b\nc\n"},
	{"<tr><td>a</td><td>b</td></tr>", "\na b\n"},
	{"open <b", "open <b"},
	{"<script>never closed", ""},
	{"<!-- never closed", ""},
	{"&#99999999;&#xFFFFFFFFF;&#;&;", "&#99999999;&#xFFFFFFFFF;&#;&;"},
	{"", ""},
};

static void
test_html(void **state)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		size_t len = strlen(pages[i].in);
		char *copy = malloc(len + (len == 0));

		assert_non_null(copy);
		memcpy(copy, pages[i].in, len);
		expect(pages[i].in, copy, smtp_mime_html(copy, len), pages[i].want);
		free(copy);
	}
}

static void
test_text(void **state)
{
	static struct smtp_mime m;
	char buf[100];
	bool is_cut = false;

	smtp_mime_read(&m, SMTP_LIT("Content-Type: text/html; charset=Latin1\r\n"
				    "Content-Transfer-Encoding: quoted-printable\r\n\r\n<i>=E4</i>&lt;"));
	expect("html", buf, smtp_mime_text(&m.parts[0], buf, sizeof(buf), &is_cut), "\xc3\xa4<");
	smtp_mime_read(&m, SMTP_LIT("Content-Type: text/plain; charset=koi8-r\r\n\r\n<i>\xe4"));
	expect("plain", buf, smtp_mime_text(&m.parts[0], buf, sizeof(buf), &is_cut), "<i>\xe4");
	assert_false(is_cut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_html),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
