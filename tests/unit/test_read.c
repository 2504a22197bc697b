/* SPDX-License-Identifier: Apache-2.0 */
/* read: whole mails of the standard forms, well made and not; who is asked about the rest. */
#include "feedback/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

static struct feedback_reader *reader;

/* "kind: address/original status code text; ... | message-id from" */
static void
draw(const struct finding *f, char *out, size_t max)
{
	size_t len = (size_t)snprintf(out, max, "%s:", finding_kind_name(f->kind));

	for (uint16_t i = 0; i < f->rcpt_count; i++) {
		const struct finding_rcpt *r = &f->rcpts[i];

		len += (size_t)snprintf(out + len, max - len, "%s %s%s%s%s %u.%u.%u %u %s", i > 0 ? ";" : "",
			r->kind != f->kind ? finding_kind_name(r->kind) : "", r->kind != f->kind ? " " : "",
			r->address, r->is_redacted ? "(redacted)" : "", r->status.class_digit,
			r->status.subject, r->status.detail, r->code, r->text);
		assert_true(len < max);
	}
	len += (size_t)snprintf(out + len, max - len, " | %s %s", f->original.message_id, f->original.from);
	assert_true(len < max);
}

#define REPORT(type)                                                                                         \
	"Content-Type: multipart/report; report-type=" type "; "                                             \
	"boundary=b\r\n\r\n--b\r\n\r\nWords.\r\n--b\r\n"
#define STATUS "Content-Type: message/delivery-status\r\n"
#define ONE                                                                                                  \
	"Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; a@b.test\r\nAction: failed\r\n"         \
	"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 who?\r\n"
#define HEADERS                                                                                              \
	"\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <i@x.test>\r\nFrom: X "             \
	"<s@x.test>\r\n--b--\r\n"
#define ARF "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: "

static const struct {
	const char *name, *mail, *want;
} mails[] = {
	{"nothing", "", "unknown: |  "},
	{"no report", "Subject: hello\r\n\r\nFinal-Recipient: a@b.test\r\n", "unknown: |  "},
	{"a bounce", REPORT("delivery-status") STATUS "\r\n" ONE HEADERS,
		"bounce: a@b.test 5.1.1 550 550 5.1.1 who? | i@x.test s@x.test"},
	{"in base64",
		REPORT("delivery-status") STATUS
		"Content-Transfer-Encoding: base64\r\n\r\n"
		"RmluYWwtUmVjaXBpZW50OiBhQGIudGVzdApBY3Rpb246IGZhaWxlZAo=\r\n" HEADERS,
		"bounce: a@b.test 0.0.0 0  | i@x.test s@x.test"},
	{"beyond ASCII",
		REPORT("delivery-status") "Content-Type: message/global-delivery-status\r\n\r\n"
					  "Final-Recipient: utf-8; \\x{e4}@b.test\r\nAction: "
					  "failed\r\nStatus: 5.1.1\r\n",
		"bounce: \xc3\xa4@b.test 5.1.1 0  |  "},
	{"by another name", REPORT("delivery-status") "Content-Type: text/plain\r\n\r\n" ONE HEADERS,
		"bounce: a@b.test 5.1.1 550 550 5.1.1 who? | i@x.test s@x.test"},
	{"status in the diagnostic only",
		REPORT("delivery-status") STATUS "\r\nFinal-Recipient: a@b.test\r\nAction: failed\r\n"
						 "Diagnostic-Code: smtp;\r\n 452-4.2.2 full\r\n",
		"bounce: a@b.test 4.2.2 452 452-4.2.2 full |  "},
	{"one failed, one delayed, one arrived, one twice",
		REPORT("delivery-status") STATUS
		"\r\nFinal-Recipient: c@b.test\r\nAction: relayed\r\nStatus: 2.0.0\r\n\r\n"
		"Final-Recipient: d@b.test\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n" ONE "\r\n" ONE,
		"bounce: delivered c@b.test 2.0.0 0 ; delay d@b.test 4.4.1 0 ; a@b.test 5.1.1 550 550 5.1.1 "
		"who? |  "},
	{"without action",
		REPORT("delivery-status") STATUS "\r\nFinal-Recipient: a@b.test\r\nStatus: 4.4.1\r\n\r\n"
						 "Final-Recipient: c@b.test\r\nStatus: 2.1.5\r\n",
		"delay: a@b.test 4.4.1 0 ; delivered c@b.test 2.1.5 0  |  "},
	{"a bounce that bounced is not read",
		"Content-Type: multipart/report; report-type=delivery-status; boundary=c\r\n\r\n--c\r\n"
		"Content-Type: message/rfc822\r\n\r\n" REPORT("delivery-status") STATUS "\r\n" ONE HEADERS,
		"unknown: |  "},
	{"not even when it is encoded",
		"Content-Type: multipart/report; report-type=delivery-status; boundary=c\r\n\r\n--c\r\n"
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" ONE
		"\r\n--c--\r\n",
		"unknown: |  "},
	{"a report that was forwarded",
		"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n"
		"Content-Type: message/rfc822\r\n\r\n" REPORT("delivery-status") STATUS "\r\n" ONE HEADERS,
		"bounce: a@b.test 5.1.1 550 550 5.1.1 who? | i@x.test s@x.test"},
	{"a returned message in base64",
		REPORT("delivery-status") STATUS
		"\r\n" ONE "\r\n--b\r\nContent-Type: message/rfc822\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n"
		"TWVzc2FnZS1JRDogPGlAeC50ZXN0PgoKRnJvbTogYm9keQo=\r\n--b--\r\n",
		"bounce: a@b.test 5.1.1 550 550 5.1.1 who? | i@x.test "},
	{"a complaint",
		REPORT("feedback-report") ARF "abuse\r\nUser-Agent: x\r\nOriginal-Rcpt-To: <a@b.test>\r\n"
					      "Removal-Recipient: a@b.test\r\n" HEADERS,
		"complaint: a@b.test 0.0.0 0  | i@x.test s@x.test"},
	{"nobody knows who", REPORT("feedback-report") ARF "fraud\r\nMessage-ID: <j@x.test>\r\n",
		"complaint: | j@x.test "},
	{"redacted", REPORT("feedback-report") ARF "abuse\r\nOriginal-Rcpt-To: [redacted]@b.test\r\n",
		"complaint: [redacted]@b.test(redacted) 0.0.0 0  |  "},
	{"authentication", REPORT("feedback-report") ARF "auth-failure\r\n", "auth-failure: |  "},
	{"no spam", REPORT("feedback-report") ARF "not-spam\r\n", "not-spam: |  "},
	{"opt-out", REPORT("feedback-report") ARF "opt-out\r\nRemoval-Recipient: a@b.test\r\n",
		"unsubscribe: a@b.test 0.0.0 0  |  "},
	{"a complaint by another name",
		REPORT("feedback-report") "\r\nFeedback-Type: abuse\r\nVersion: 1\r\n" HEADERS,
		"complaint: | i@x.test s@x.test"},
	{"Hotmail",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
		"X-HmXmrOriginalRecipient: a@b.test\r\nFrom: s@x.test\r\nMessage-ID: "
		"<i@x.test>\r\n\r\nx\r\n--b--\r\n",
		"complaint: a@b.test 0.0.0 0  | i@x.test s@x.test"},
};

static void
test_mails(void **state)
{
	char got[500];

	for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
		struct smtp_slice mail = {mails[i].mail, strlen(mails[i].mail)};

		draw(feedback_read(reader, mail), got, sizeof(got));
		if (strcmp(got, mails[i].want) != 0)
			fail_msg("%s: got \"%s\"", mails[i].name, got);
	}
}

static void
test_texts(void **state)
{
	const struct finding *f = feedback_read(reader,
		SMTP_LIT(REPORT("feedback-report") ARF
			"auth-failure\r\nUser-Agent: Agent/1\r\nOriginal-Mail-From: <r@x.test>\r\n"
			"Source-IP: 192.0.2.1 (mx.test)\r\nArrival-Date: today\r\nAuth-Failure: dmarc\r\n"
			"Delivery-Result: delivered\r\nReported-Domain: x.test\r\nReported-Domain: y.test\r\n"
			"Original-Envelope-Id: e\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
			"Return-Path: <q@x.test>\r\nTo: =?utf-8?Q?A?= <t@b.test>, u@b.test\r\n"
			"CFBL-Feedback-ID: 1:2\r\nList-ID: A list <l.x.test>\r\nX-Job: 7\r\n"
			"List-Unsubscribe: <https://x.test/u>\r\n\r\nbody\r\n--b--\r\n"));

	assert_string_equal(f->reporter, "Agent/1");
	assert_string_equal(f->feedback_type, "auth-failure");
	assert_string_equal(f->auth_failure, "dmarc");
	assert_string_equal(f->delivery_result, "delivered");
	assert_string_equal(f->reported_domain, "x.test y.test");
	assert_string_equal(f->original.return_path, "r@x.test");
	assert_string_equal(f->original.source_ip, "192.0.2.1");
	assert_string_equal(f->original.arrival_date, "today");
	assert_string_equal(f->original.envid, "e");
	assert_string_equal(f->original.to, "t@b.test");
	assert_string_equal(f->original.feedback_id, "1:2");
	assert_string_equal(f->original.list_id, "l.x.test");
	assert_string_equal(f->original.list_unsubscribe, "<https://x.test/u>");
	assert_true(smtp_slice_is(smtp_mime_header(f->original.header, SMTP_LIT("x-job")), SMTP_LIT(" 7")));
	assert_false(f->is_truncated);
	f = feedback_read(reader,
		SMTP_LIT(REPORT("delivery-status") STATUS
			"\r\nReporting-MTA: dns; mx.test\r\nArrival-Date: today\r\nOriginal-Envelope-Id: "
			"e\r\n\r\n"
			"Original-Recipient: rfc822; o@b.test\r\nFinal-Recipient: rfc822; a@b.test\r\n"
			"Remote-MTA: dns; mx2.test (192.0.2.1)\r\nStatus: 5.0.0\r\n\r\n--b\r\n"
			"Content-Type: message/rfc822\r\n\r\nReturn-Path: <q@x.test>\r\nFeedback-ID: "
			"f\r\n\r\n"));
	assert_string_equal(f->reporter, "mx.test");
	assert_string_equal(f->original.arrival_date, "today");
	assert_string_equal(f->original.envid, "e");
	assert_string_equal(f->original.return_path, "q@x.test");
	assert_string_equal(f->original.feedback_id, "f");
	assert_string_equal(f->rcpts[0].original, "o@b.test");
	assert_string_equal(f->rcpts[0].remote_mta, "mx2.test (192.0.2.1)");
	assert_int_equal(f->rcpts[0].action, SMTP_DSN_NO_ACTION);
}

/* What mtad itself writes is understood, whatever stands in it. */
static void
test_ours(void **state)
{
	static const struct smtp_slice piece =
		SMTP_LIT("Message-ID: <i@x.test>\r\nFrom: <s@x.test>\r\n\r\nbody\r\n");
	const struct smtp_dsn_rcpt rcpts[] = {
		{.action = SMTP_DSN_FAILED,
			.address = SMTP_LIT("a@b.test"),
			.status = {5, 1, 1},
			.code = 550,
			.peer = SMTP_LIT("mx.b.test"),
			.text = SMTP_LIT("5.1.1 no\r\n\r\n--=_u--\r\nStatus: 2.0.0"),
			.orcpt = SMTP_LIT("rfc822;o@b.test")},
		{.action = SMTP_DSN_DELAYED,
			.address = SMTP_LIT("\xc3\xa4+x@b.test"),
			.text = SMTP_LIT("no reply")},
		{.action = SMTP_DSN_RELAYED, .address = SMTP_LIT("c@b.test"), .status = {2, 1, 9}},
	};
	struct smtp_dsn d = {.host = SMTP_LIT("h.test"),
		.from = SMTP_LIT("m@h.test"),
		.to = SMTP_LIT("s@x.test"),
		.unique = SMTP_LIT("u"),
		.envid = SMTP_LIT("e"),
		.arrival = 1,
		.now = 2,
		.ret = SMTP_RET_FULL,
		.pieces = &piece,
		.piece_count = 1,
		.rcpts = rcpts,
		.rcpt_count = 3};
	char mail[5000];
	int len = smtp_dsn_write(&d, mail, sizeof(mail));
	const struct finding *f;

	assert_true(len > 0);
	f = feedback_read(reader, (struct smtp_slice){mail, (size_t)len});
	assert_int_equal(f->kind, FINDING_BOUNCE);
	assert_int_equal(f->rcpt_count, 3);
	assert_string_equal(f->reporter, "h.test");
	assert_string_equal(f->original.message_id, "i@x.test");
	assert_string_equal(f->original.envid, "e");
	assert_string_equal(f->rcpts[0].address, "a@b.test");
	assert_string_equal(f->rcpts[0].original, "o@b.test");
	assert_string_equal(f->rcpts[0].remote_mta, "mx.b.test");
	assert_int_equal(f->rcpts[0].status.class_digit, 5);
	assert_int_equal(f->rcpts[0].code, 550);
	assert_int_equal(f->rcpts[1].kind, FINDING_DELAY);
	assert_string_equal(f->rcpts[1].address, "\xc3\xa4+x@b.test");
	assert_int_equal(f->rcpts[1].status.class_digit, 4);
	assert_string_equal(f->rcpts[1].text, "no reply");
	assert_int_equal(f->rcpts[2].kind, FINDING_DELIVERED);
	assert_int_equal(f->rcpts[2].status.detail, 9);
}

/* More recipients than are listed: those that fit are, and it is said. */
static void
test_many(void **state)
{
	static char mail[60000];
	size_t len = (size_t)snprintf(mail, sizeof(mail), "%s", REPORT("delivery-status") STATUS "\r\n");
	const struct finding *f;

	for (int i = 0; i <= FINDING_RCPTS_MAX; i++)
		len += (size_t)snprintf(mail + len, sizeof(mail) - len,
			"Final-Recipient: x; %d@b.test\nStatus: 5.1.1\n\n", i);
	assert_true(len < sizeof(mail));
	f = feedback_read(reader, (struct smtp_slice){mail, len});
	assert_int_equal(f->rcpt_count, FINDING_RCPTS_MAX);
	assert_string_equal(f->rcpts[FINDING_RCPTS_MAX - 1].address, "255@b.test");
	assert_true(f->is_truncated);
}

static void
on_other(void *arg, struct smtp_slice mail, const struct smtp_mime *m, struct finding *f)
{
	++*(int *)arg;
	assert_ptr_equal(m->parts[0].header.ptr, mail.ptr);
	if (f->kind == FINDING_UNKNOWN)
		finding_put(
			finding_add(f, FINDING_BOUNCE)->address, FINDING_ADDRESS_MAX, SMTP_LIT("z@b.test"));
}

/* Others are asked when the standard forms leave something open, and only then. */
static void
test_other(void **state)
{
	int asked = 0;
	struct feedback_reader *r = feedback_reader_create(on_other, &asked);

	assert_non_null(r);
	feedback_read(r, SMTP_LIT(REPORT("delivery-status") STATUS "\r\n" ONE));
	feedback_read(r, SMTP_LIT(REPORT("feedback-report") ARF "abuse\r\n"));
	assert_int_equal(asked, 0);
	feedback_read(r, SMTP_LIT(REPORT("delivery-status") STATUS
				 "\r\nFinal-Recipient: a@b.test\r\nAction: failed\r\n"));
	assert_int_equal(asked, 1);
	feedback_read(
		r, SMTP_LIT(REPORT("delivery-status") STATUS "\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
	assert_int_equal(asked, 2);
	assert_string_equal(
		feedback_read(r, SMTP_LIT("Subject: x\r\n\r\nIt failed.\r\n"))->rcpts[0].address, "z@b.test");
	assert_int_equal(asked, 3);
	/* A report inside that says nothing: the mail itself is what is left to read. */
	feedback_read(r, SMTP_LIT("Content-Type: message/rfc822\r\n\r\n" REPORT("delivery-status")));
	assert_int_equal(asked, 4);
	feedback_reader_destroy(&r);
	assert_null(r);
}

static int
set_up(void **state)
{
	reader = feedback_reader_create(NULL, NULL);
	return reader != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	feedback_reader_destroy(&reader);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mails),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_other),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
