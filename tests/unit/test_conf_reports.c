/* SPDX-License-Identifier: Apache-2.0 */
/* conf: report blocks, what they come to and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#include <stdlib.h>
#include <string.h>

static const char file[] = HOST "report full {\n"
				"	kind = delay\n"
				"	header = { '^From: .*@a\\.example', '^Subject: late' }\n"
				"	begin = '^Late:'  end = '^--'\n"
				"	recipient = '^ <(?<rcpt>[^>]+)>'\n"
				"	diagnostic = { '^Why: (?<text>.*)' }\n"
				"	status = 4.0.0\n"
				"}\n"
				"report least { begin = x }\n";

static void
test_values(void **state)
{
	const struct conf *c = must_load(*state, file);
	const struct conf_report_form *f = &c->report_forms[0];

	assert_int_equal(c->report_form_count, 2);
	assert_string_equal(f->name, "full");
	assert_int_equal(f->kind, CONF_REPORT_DELAY);
	assert_int_equal(f->header.count, 2);
	assert_string_equal(f->header.items[0], "^From: .*@a\\.example");
	assert_string_equal(f->begin, "^Late:");
	assert_string_equal(f->end, "^--");
	assert_int_equal(f->recipient.count, 1);
	assert_int_equal(f->diagnostic.count, 1);
	assert_string_equal(f->status, "4.0.0");
	f = &c->report_forms[1];
	assert_int_equal(f->kind, CONF_REPORT_BOUNCE);
	assert_int_equal(f->recipient.count, 0);
	assert_string_equal(f->end, "");
	conf_unref(c);
}

/* What comes first is a setting. */
static void
test_order(void **state)
{
	const struct conf *a = must_load(*state, HOST "report a { begin = x }\nreport b { begin = y }\n");
	const struct conf *b = must_load(*state, HOST "report b { begin = y }\nreport a { begin = x }\n");
	char *said = NULL;
	FILE *out = open_memstream(&said, &(size_t){0});

	assert_int_equal(conf_diff(a, b, out), 0);
	fclose(out);
	assert_string_not_equal(said, "");
	free(said);
	conf_unref(a);
	conf_unref(b);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *name, *text, *said;
	} cases[] = {
		{"every mail", "report r { recipient = '(?<rcpt>x)' }",
			"mtad.conf:2: report \"r\" would hold for every mail: give it header or begin\n"},
		{"header", "report r {\n header = {\n x,\n '(' } }",
			"mtad.conf:4: \"(\" is no regular expression: missing closing parenthesis, at byte "
			"1\n"},
		{"begin", "report r { begin = '[' }", "\"[\" is no regular expression"},
		{"end", "report r { begin = x  end = '[' }", "\"[\" is no regular expression"},
		{"recipient without a name", "report r { begin = x  recipient = '<(.*)>' }",
			"mtad.conf:2: \"<(.*)>\" does not say what is looked for: write (?<rcpt>...) around "
			"it, once\n"},
		{"diagnostic without a name", "report r { begin = x  diagnostic = '(?<rcpt>.)' }",
			"write (?<text>...) around it, once"},
		{"status", "report r { begin = x  status = 550 }",
			"mtad.conf:2: \"550\" is no enhanced code; write 5.1.1 or 4.2.2\n"},
		{"status with more behind it", "report r { begin = x  status = \"5.1.1 x\" }",
			"\"5.1.1 x\" is no enhanced code"},
		{"kind", "report r { begin = x  kind = vacation }",
			"kind: \"vacation\": write one of bounce/delay/delivered/auto-reply/challenge/"
			"address-changed\n"},
		{"recipients of an auto-reply", "report r { begin = x  kind = auto-reply  status = 5.1.1 }",
			"mtad.conf:2: report \"r\" is none of recipients: leave out recipient, diagnostic "
			"and status, or make its kind bounce, delay or delivered\n"},
		{"name twice", "report r { begin = x }\nreport r { begin = y }",
			"mtad.conf:3: report \"r\" is there already, at mtad.conf:2\n"},
		{"typo", "report r { begni = x }", "did you mean \"begin\"?"},
	};
	char text[600], *said;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int len = snprintf(text, sizeof(text), HOST "%s", cases[i].text);
		const struct conf *c = load_bytes(*state, text, (size_t)len, &said);

		if (c != NULL)
			fail_msg("%s: accepted", cases[i].name);
		if (strstr(said, cases[i].said) == NULL)
			fail_msg("%s: said\n%s, not\n%s", cases[i].name, said, cases[i].said);
		free(said);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_values), WITH_FOLDER(test_order), WITH_FOLDER(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
