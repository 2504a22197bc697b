/* SPDX-License-Identifier: Apache-2.0 */
/* report_text: which parts of a mail are read, in which character sets, and where it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feedback/report_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	struct smtp_mime mime;
	struct report_text text;
};

static void
read_bytes(struct reading *r, const char *mail, size_t len, bool has_fields)
{
	smtp_mime_read(&r->mime, (struct smtp_slice){mail, len});
	report_text_read(&r->mime, has_fields, &r->text);
}

static void
check(const char *name, const char *what, struct smtp_slice got, const char *want)
{
	char text[1000];

	/* Line ends around it are those of HTML, and of the parts. */
	while (got.len > 0 && got.ptr[0] == '\n')
		got = (struct smtp_slice){got.ptr + 1, got.len - 1};
	while (got.len > 0 && (got.ptr[got.len - 1] == '\n' || got.ptr[got.len - 1] == ' '))
		got.len--;
	snprintf(text, sizeof(text), "%.*s", (int)got.len, got.ptr);
	if (strcmp(text, want) != 0)
		fail_msg("%s: %s is\n%s\nnot\n%s", name, what, text, want);
}

#define PART   "--b\nContent-Type: "
#define MIXED  "Content-Type: multipart/mixed; boundary=b\n\n"
#define PLAIN  PART "text/plain\n\nplain\n"
#define HTML   PART "text/html\n\n<p>html</p>\n"
#define STATUS PART "message/delivery-status\n\nAction: failed\n"
#define BACK   PART "message/rfc822\n\nTo: a@b.example\n\nbody\n"

static void
test_parts(void **state)
{
	static const struct {
		const char *name, *mail, *text, *fields_text, *returned;
	} cases[] = {
		{"no MIME", "From: x\n\none\ntwo", "one\ntwo", NULL, ""},
		{"one part", MIXED PLAIN "--b--", "plain", NULL, ""},
		{"plain before HTML", MIXED PLAIN HTML "--b--", "plain", NULL, ""},
		{"HTML alone", MIXED HTML "--b--", "html", NULL, ""},
		{"HTML beside nothing", MIXED PART "text/plain\n\n \n" HTML "--b--", "html", NULL, ""},
		{"fields", MIXED PLAIN STATUS BACK "--b--", "plain", "plain\nAction: failed",
			"To: a@b.example"},
		{"what came back, and no further", MIXED PLAIN BACK PLAIN "--b--", "plain", NULL,
			"To: a@b.example"},
		{"headers that came back",
			MIXED PART "text/rfc822-headers\n\nTo: c@b.example\n" PLAIN "--b--", "", NULL,
			"To: c@b.example"},
		{"pictures are no text", MIXED PART "image/png\n\nx\n" PLAIN "--b--", "plain", NULL, ""},
		{"no part has the boundary", MIXED "all of it", "all of it", NULL, ""},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\na=3Db", "a=b", NULL, ""},
		{"ISO-2022-JP",
			"Content-Type: text/plain; charset=\"iso-2022-jp\"\n\n\x1b$B$\"\x1b(B "
			"<a@b.example>",
			"\xe3\x81\x82 <a@b.example>", NULL, ""},
		{"Shift_JIS, encoded",
			"Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: "
			"base64\n\ngqA=\n",
			"\xe3\x81\x82", NULL, ""},
		{"KOI8-R, in HTML", "Content-Type: text/html; charset=koi8-r\n\n<b>\xc1\xc2</b>\n",
			"\xd0\xb0\xd0\xb1", NULL, ""},
		{"no character there",
			"Content-Type: text/plain; charset=gb2312\n\na\xff"
			"b\n",
			"a?b", NULL, ""},
		{"cut in a character", "Content-Type: text/plain; charset=shift_jis\n\na\x82", "a?", NULL,
			""},
		{"a charset of nobody", "Content-Type: text/plain; charset=x-nobody\n\na\xff", "a\xff", NULL,
			""},
	};
	struct reading *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strnlen(cases[i].mail, 1000);

		read_bytes(r, cases[i].mail, len, false);
		check(cases[i].name, "text", r->text.mail.text, cases[i].text);
		check(cases[i].name, "what came back", r->text.mail.returned, cases[i].returned);
		read_bytes(r, cases[i].mail, len, true);
		check(cases[i].name, "text with fields", r->text.mail.text,
			cases[i].fields_text != NULL ? cases[i].fields_text : cases[i].text);
	}
	free(r);
}

static void
test_header(void **state)
{
	static const char mail[] = "From: a\n  b\nno field\nSubject: =?utf-8?q?x=C3=A4?=\nX:\n\ntext\n";
	struct reading *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	read_bytes(r, mail, sizeof(mail) - 1, false);
	check("fields", "header", r->text.mail.header, "From: a  b\nSubject: x\xc3\xa4\nX:");
	free(r);
}

/* More fields, more text than there is room for. */
static void
test_bounds(void **state)
{
	enum { LONG = 300000 };
	struct reading *r = calloc(1, sizeof(*r));
	char *mail = malloc(LONG);
	size_t n = 0;

	assert_true(r != NULL && mail != NULL);
	while (n < LONG / 2)
		n += (size_t)snprintf(mail + n, LONG - n, "X-Field: %0*d\n", (int)(n % 60), 1);
	n += (size_t)snprintf(mail + n, LONG - n, "Content-Type: text/plain; charset=iso-2022-jp\n\n");
	memset(mail + n, 'x', LONG - n);
	read_bytes(r, mail, LONG, false);
	assert_in_range(r->text.mail.header.len, REPORT_HEADER_MAX - 200, REPORT_HEADER_MAX);
	assert_in_range(r->text.mail.text.len, REPORT_BYTES_MAX - 10, REPORT_BYTES_MAX);
	free(mail);
	free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts), cmocka_unit_test(test_header), cmocka_unit_test(test_bounds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
