/* SPDX-License-Identifier: Apache-2.0 */
/* report_rules: which block is taken, whose words are whose, and replies in a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "feedback/report_rules.h"
#include "smtp_esc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct smtp_slice
slice(const char *text)
{
	return (struct smtp_slice){text, text_len(text)};
}

/* "form kind: address code status [text]; ...", as `want` of a case has it. */
static void
say(const struct conf *c, const struct report *r, char *buf, size_t max)
{
	static const char *const kinds[] = {
		"bounce", "delay", "delivered", "auto-reply", "challenge", "address-changed"};
	size_t n = (size_t)snprintf(buf, max, "%s %s", c->report_forms[r->form].name, kinds[r->kind]);

	for (uint32_t i = 0; i < r->rcpt_count; i++) {
		const struct report_rcpt *rcpt = &r->rcpts[i];
		char esc[SMTP_ESC_TEXT_MAX + 1] = "-";
		int len = rcpt->status.class_digit != 0 ? smtp_esc_write(rcpt->status, esc, sizeof(esc) - 1)
							: 1;

		assert_true(len > 0);
		n += (size_t)snprintf(buf + n, max - n, "; %s %u %.*s [%s]", rcpt->address, rcpt->code, len,
			esc, rcpt->text);
	}
}

static void
check(struct folder *f, const char *name, const char *blocks, const struct report_mail *mail,
	const char *want)
{
	char text[4096], got[2000] = "nothing";
	const struct conf *c;
	struct report_rules *r;
	struct report *report = calloc(1, sizeof(*report));

	snprintf(text, sizeof(text), HOST "%s\n", blocks);
	c = must_load(f, text);
	r = report_rules_create(c);
	assert_non_null(r);
	assert_non_null(report);
	if (report_rules_read(r, mail, report))
		say(c, report, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_msg("%s: got\n%s\nnot\n%s", name, got, want);
	report_rules_unref(r);
	conf_unref(c);
	free(report);
}

#define LINES "report a { begin = '^not sent:'  recipient = '^<(?<rcpt>[^>]+)>'  end = '^--' }"
#define SAID  "report a { begin = '^not sent:'  recipient = '^<(?<rcpt>[^>]+)> (?<text>.*)' }"
#define WHY                                                                                                  \
	"report a { begin = '^not sent:'  recipient = '^<(?<rcpt>[^>]+)>'  diagnostic = { '^why: "           \
	"(?<text>.*)', "                                                                                     \
	"'^also: (?<text>.*)' } }"

static const struct {
	const char *name, *blocks, *header, *text, *want;
} mails[] = {
	{"lines below are the recipient's", LINES, "", "x\nnot sent:\n<a@b.example>\n550 no\nsuch user\n",
		"a bounce; a@b.example 550 - [550 no such user]"},
	{"of each its own", LINES, "", "not sent:\n<a@b.example>\none\n\n<c@b.example>\ntwo (#5.1.1)\n",
		"a bounce; a@b.example 0 - [one]; c@b.example 0 5.1.1 [two (#5.1.1)]"},
	{"what stands above is for who has none", LINES, "",
		"not sent: full\n<a@b.example>\n<c@b.example>\nb\n",
		"a bounce; a@b.example 0 - [not sent: full]; c@b.example 0 - [b]"},
	{"nothing before its begin", LINES, "", "<a@b.example>\nnot sent:\n", "nothing"},
	{"nothing behind its end", LINES, "", "not sent:\n<a@b.example>\nx\n--\n<c@b.example>\ny\n",
		"a bounce; a@b.example 0 - [x]"},
	{"an end before its begin is none", LINES, "", "--\nnot sent:\n<a@b.example>\nx\n",
		"a bounce; a@b.example 0 - [x]"},
	{"no begin", LINES, "", "sent:\n<a@b.example>\nx\n", "nothing"},
	{"CRLF and blanks", LINES, "", "not sent:\r\n<a@b.example>  \r\n  x \t y  \r\n",
		"a bounce; a@b.example 0 - [x y]"},
	{"forwarded", LINES, "", "> not sent:\n> <a@b.example>\n>\n> x\n", "a bounce; a@b.example 0 - [x]"},
	{"what is no address names nobody", LINES, "", "not sent:\n<a b>\n<@>\n", "nothing"},
	{"brackets and mailto", "report a { begin = '^to'  recipient = '^to (?<rcpt>\\S+)' }", "",
		"to <a@b.example>.\nto mailto:c@b.example\nto \"d@b.example\":\n",
		"a bounce; a@b.example 0 - []; c@b.example 0 - []; d@b.example 0 - []"},
	{"several on a line", "report a { begin = .  recipient = '(?<rcpt>[^ ,]+@[^ ,]+)' }", "",
		"a@b.example, c@b.example\nx\n", "a bounce; a@b.example 0 - []; c@b.example 0 - [x]"},

	{"words on its line", SAID, "", "not sent:\n<a@b.example> 550 no\nmore\n",
		"a bounce; a@b.example 550 - [550 no]"},
	{"and indented ones below", SAID, "", "not sent:\n<a@b.example> 550 no\n  such\n\tuser\nmore\n  x\n",
		"a bounce; a@b.example 550 - [550 no such user]"},
	{"no words on its line", SAID, "", "not sent:\n<a@b.example> \nbelow\n", "nothing"},
	{"twice: first words count", SAID, "",
		"not sent:\n<a@b.example> one\n<c@b.example> two\n<A@B.example> three\n  four\n",
		"a bounce; a@b.example 0 - [one]; c@b.example 0 - [two]"},
	{"words on the line of a name before those around",
		"report a { begin = .  recipient = { '^(?<rcpt>\\S+): (?<text>.*)', '^to "
		"(?<rcpt>\\S+)' } }",
		"", "to a@b.example\non Monday\na@b.example: 550 no\nx\n",
		"a bounce; a@b.example 550 - [550 no]"},

	{"only the lines that say why", WHY, "",
		"not sent:\n<a@b.example>\nhello\nwhy: full\n  up\nbye\n  x\n",
		"a bounce; a@b.example 0 - [full up]"},
	{"two of them", WHY, "", "not sent:\n<a@b.example>\nwhy: full\nhello\nalso: old\n",
		"a bounce; a@b.example 0 - [full old]"},
	{"why, above", WHY, "", "not sent:\nwhy: full\n<a@b.example>\nhello\n",
		"a bounce; a@b.example 0 - [full]"},
	{"no line says why", WHY, "", "not sent:\n<a@b.example>\nhello\n",
		"a bounce; a@b.example 0 - [hello]"},

	{"of one a line says why, of another none", WHY, "",
		"not sent:\n<a@b.example>\nhello\nwhy: full\n<c@b.example>\nbye\n",
		"a bounce; a@b.example 0 - [full]; c@b.example 0 - [bye]"},
	{"named again before anybody said why", WHY, "",
		"not sent:\n<a@b.example>\nhello\n<a@b.example>\nwhy: full\n<a@b.example>\nwhy: old\n",
		"a bounce; a@b.example 0 - [full]"},

	{"every header", "report a { header = { '^from: x', '^subject: y' }  recipient = '(?<rcpt>.+@.+)' }",
		"From: x\nSubject: yes\n", "a@b.example\n", "a bounce; a@b.example 0 - []"},
	{"one of two headers",
		"report a { header = { '^from: x', '^subject: y' }  recipient = '(?<rcpt>.+@.+)' }",
		"From: x\nSubject: no\n", "a@b.example\n", "nothing"},
	{"the first that holds",
		"report z { header = '^from: x'  kind = auto-reply }\n" LINES "\nreport b { header = x }",
		"From: y\n", "not sent:\n<a@b.example>\n", "a bounce; a@b.example 0 - [not sent:]"},
	{"and finds somebody", "report z { begin = not  recipient = '\\[(?<rcpt>.*)\\]' }\n" LINES, "",
		"not sent:\n<a@b.example>\nx\n", "a bounce; a@b.example 0 - [x]"},
	{"of no recipients", "report z { header = '^from: x'  kind = auto-reply }", "From: x\n", "x\n",
		"z auto-reply"},
	{"the block's status", "report a { begin = .  recipient = '^(?<rcpt>.*@.*)'  status = 5.2.1 }", "",
		"a@b.example\n550 no\nc@b.example\n5.1.1\n",
		"a bounce; a@b.example 550 5.2.1 [550 no]; c@b.example 0 5.1.1 [5.1.1]"},
	{"a delay", "report a { kind = delay  begin = .  recipient = '^(?<rcpt>.*@.*)' }", "",
		"a@b.example\n", "a delay; a@b.example 0 - []"},

	{"X-Failed-Recipients", "report a { begin = '^sorry' }",
		"X-Failed-Recipients: a@b.example,\t<c@b.example>\n", "sorry\n550 no\n",
		"a bounce; a@b.example 550 - [sorry 550 no]; c@b.example 550 - [sorry 550 no]"},
	{"Final-Recipient", "report a { begin = '^sorry' }", "",
		"sorry\nFinal-Recipient: rfc822; a@b.example\n",
		"a bounce; a@b.example 0 - [sorry Final-Recipient: rfc822; a@b.example]"},
	{"the only one it was for", "report a { begin = '^sorry'  end = '^--' }", "",
		"sorry\n--\nFrom: me@b.example\nTo: A <a@b.example>\n", "a bounce; a@b.example 0 - [sorry]"},
	{"not one of two", "report a { begin = '^sorry'  end = '^--' }", "",
		"sorry\n--\nTo: a@b.example, c@b.example\n", "nothing"},
	{"a block that names recipients asks last",
		"report a { begin = '^sorry'  recipient = '<(?<rcpt>.*)>' }\n"
		"report b { begin = '^sorry'  recipient = '\\[(?<rcpt>.*)\\]' }",
		"X-Failed-Recipients: c@b.example\n", "sorry [a@b.example]\n",
		"b bounce; a@b.example 0 - []"},
	{"but it asks", "report a { begin = '^sorry'  recipient = '<(?<rcpt>.*)>' }",
		"X-Failed-Recipients: c@b.example\n", "sorry\n", "a bounce; c@b.example 0 - [sorry]"},
};

static void
test_read(void **state)
{
	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++)
		check(*state, mails[i].name, mails[i].blocks,
			&(struct report_mail){slice(mails[i].header), slice(mails[i].text), {NULL, 0}},
			mails[i].want);
	check(*state, "a part that came back", "report a { begin = '^sorry' }",
		&(struct report_mail){{NULL, 0}, slice("sorry\n"),
			slice("From: me@b.example\r\nTo: \"A\" <a@b.example>\r\nSubject: x\r\n")},
		"a bounce; a@b.example 0 - [sorry]");
}

/* However long the mail, its lines, its words or the list of its recipients. */
static void
test_bounds(void **state)
{
	enum { LONG = REPORT_BYTES_MAX * 2 };
	const struct conf *c =
		must_load(*state, HOST "report a { begin = '^x'  recipient = '<(?<rcpt>[^>]+)>' }\n"
				       "report b { begin = '^(y|yy)+$' }\n");
	struct report_rules *r = report_rules_create(c);
	struct report *report = calloc(1, sizeof(*report));
	char *text = malloc(LONG);
	size_t n = 0;

	assert_true(r != NULL && report != NULL && text != NULL);
	n += (size_t)snprintf(text, LONG, "x");
	for (int i = 0; i < REPORT_RCPTS_MAX + 10; i++)
		n += (size_t)snprintf(text + n, LONG - n, "<a%d@b.example>\n", i);
	memset(text + n, 'z', LONG - n);
	assert_true(report_rules_read(r, &(struct report_mail){.text = {text, LONG}}, report));
	assert_int_equal(report->rcpt_count, REPORT_RCPTS_MAX);
	assert_int_equal(text_len(report->rcpts[REPORT_RCPTS_MAX - 1].text), REPORT_TEXT_MAX);
	assert_int_equal(text_len(report->rcpts[0].text), 0);

	/* Behind the lines, and behind the bytes of a line, that are looked at. */
	memset(text, '\n', LONG);
	memcpy(text, "x", 1);
	memcpy(text + REPORT_LINES_MAX + 1, "<a@b.example>", 13);
	assert_false(report_rules_read(r, &(struct report_mail){.text = {text, LONG}}, report));
	memcpy(text + REPORT_LINES_MAX, "<a@b.example>\n", 14);
	assert_true(report_rules_read(r, &(struct report_mail){.text = {text, LONG}}, report));
	memset(text, ' ', LONG);
	memcpy(text, "x", 1);
	memcpy(text + REPORT_LINE_MAX - 5, "<a@b.example>\n", 14);
	assert_false(report_rules_read(r, &(struct report_mail){.text = {text, LONG}}, report));

	/* An expression without end ends. */
	memset(text, 'y', LONG);
	for (int i = 1; i < LONG; i += 100)
		memcpy(text + i, "!\n", 2);
	assert_false(report_rules_read(r, &(struct report_mail){.text = {text, LONG}}, report));
	report_rules_unref(r);
	conf_unref(c);
	free(report);
	free(text);
}

static void
test_reply(void **state)
{
	static const struct {
		const char *text;
		uint16_t code;
		const char *esc;
	} cases[] = {
		{"550 5.1.1 no such user", 550, "5.1.1"},
		{"host mx said: 550-5.7.26 no 550 5.7.27 x", 550, "5.7.26"},
		{"552 over quota (#5.2.2)", 552, "5.2.2"},
		{"Sorry, no mailbox here (#5.1.1)", 0, "5.1.1"},
		{"#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##", 550, "5.1.1"},
		{"ERROR_CODE :550, ERROR_CODE :5.1.1 x", 550, "5.1.1"},
		{"550: 5.2.2 full", 550, "5.2.2"},
		{"responded as follows: [550 5.1.1 x]", 550, "5.1.1"},
		{"<421 4.4.2 timed out>", 421, "4.4.2"},
		{"554 4.4.7 expired <421 4.4.2 timed out>", 554, "4.4.7"},
		{"5.0.0 550 5.1.1 x", 550, "5.1.1"},
		{"421 x 5.1.1", 421, "-"},
		{"250 2.1.0 ok 451 4.3.0 x", 250, "2.1.0"},
		{"250 ok, then 451 4.3.0 x", 451, "4.3.0"},
		{"version 2.4.1", 0, "-"},
		{"[192.0.2.153] 4.72.5.1 v5.1.1 5.1.1a", 0, "-"},
		{"1550 550x 5501 5.1 5.1.1000 a550", 0, "-"},
		{"see 5.1.1.", 0, "5.1.1"},
		{"550", 550, "-"},
		{"", 0, "-"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char esc[SMTP_ESC_TEXT_MAX + 1] = "-";
		struct smtp_esc status;
		uint16_t code;

		report_reply_find(slice(cases[i].text), &code, &status);
		if (status.class_digit != 0)
			esc[smtp_esc_write(status, esc, sizeof(esc) - 1)] = '\0';
		if (code != cases[i].code || strcmp(esc, cases[i].esc) != 0)
			fail_msg("%s: got %u %s", cases[i].text, code, esc);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_read), WITH_FOLDER(test_bounds), cmocka_unit_test(test_reply)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
