/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_dsn: whole reports byte for byte, hostile replies and originals, and a report that is legal whatever
 * came in. */
#include "smtp_dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct smtp_slice original =
	SMTP_LIT("Received: by mta1.example.com; Fri, 16 Oct 2026 23:00:00 +0000\r\n"
		 "From: a@example.com\r\nSubject: one\r\n\ttwo\r\n\r\nHello\r\n.\r\n");

static const struct smtp_dsn_rcpt failed = {
	.action = SMTP_DSN_FAILED,
	.address = SMTP_LIT("b@dest.test"),
	.orcpt = SMTP_LIT("rfc822;b+x@dest.test"),
	.status = {5, 1, 1},
	.peer = SMTP_LIT("mx1.dest.test"),
	.code = 550,
	.text = SMTP_LIT("5.1.1 No such user\nsee https://dest.test/help"),
	.last_attempt = 1792463421,
};
static const struct smtp_dsn_rcpt delayed = {
	.action = SMTP_DSN_DELAYED,
	.address = SMTP_LIT("c@slow.test"),
	.text = SMTP_LIT("no mail server of slow.test could be reached: connection timed out"),
	.last_attempt = 1792463421,
	.will_retry_until = 1792805421,
};

static struct smtp_dsn
dsn_of(const struct smtp_dsn_rcpt *rcpts, size_t count)
{
	return (struct smtp_dsn){
		.host = SMTP_LIT("mta1.example.com"),
		.from = SMTP_LIT("MAILER-DAEMON@mta1.example.com"),
		.to = SMTP_LIT("bounce+1@example.com"),
		.unique = SMTP_LIT("8f3a1c.Zk29"),
		.envid = SMTP_LIT("job 7"),
		.arrival = 1792191600,
		.now = 1792463500,
		.pieces = &original,
		.piece_count = 1,
		.rcpts = rcpts,
		.rcpt_count = count,
	};
}

/* Written into a block of exactly the size promised, and into one a byte short of it. With a NUL behind. */
static char *
write_dsn(const struct smtp_dsn *d, size_t *out_len)
{
	size_t size = smtp_dsn_size(d);
	char *text = malloc(size + 1), *small = malloc(size);

	assert_non_null(text);
	assert_non_null(small);
	assert_int_equal(smtp_dsn_write(d, text, size), size);
	assert_int_equal(smtp_dsn_write(d, small, size - 1), SMTP_ENOSPACE);
	free(small);
	text[size] = '\0';
	*out_len = size;
	return text;
}

static const char golden[] =
	"From: Mail Delivery System <MAILER-DAEMON@mta1.example.com>\r\n"
	"To: <bounce+1@example.com>\r\n"
	"Subject: Your message could not be delivered\r\n"
	"Date: Tue, 20 Oct 2026 02:31:40 +0000\r\n"
	"Message-ID: <8f3a1c.Zk29@mta1.example.com>\r\n"
	"Auto-Submitted: auto-replied\r\n"
	"MIME-Version: 1.0\r\n"
	"Content-Type: multipart/report; report-type=delivery-status;\r\n"
	"\tboundary=\"=_8f3a1c.Zk29\"\r\n"
	"\r\n"
	"This is a delivery report in MIME format.\r\n"
	"\r\n--=_8f3a1c.Zk29\r\n"
	"Content-Type: text/plain; charset=us-ascii\r\n"
	"Content-Description: Notification\r\n"
	"\r\n"
	"This is the mail system at mta1.example.com.\r\n"
	"\r\n"
	"This is about the message you sent on\r\n"
	"Fri, 16 Oct 2026 23:00:00 +0000.\r\n"
	"\r\n"
	"It could not be delivered to the following, and will not be tried again:\r\n"
	"\r\n"
	"  b@dest.test\r\n"
	"    The mail server mx1.dest.test answered:\r\n"
	"      550 5.1.1 No such user\r\n"
	"      see https://dest.test/help\r\n"
	"\r\n"
	"It has not been delivered to the following yet. You need not do anything;\r\n"
	"delivery is tried further:\r\n"
	"\r\n"
	"  c@slow.test\r\n"
	"    no mail server of slow.test could be reached: connection timed out\r\n"
	"    It is given up if this has not changed by Sat, 24 Oct 2026 01:30:21 +0000.\r\n"
	"\r\n"
	"\r\n--=_8f3a1c.Zk29\r\n"
	"Content-Type: message/delivery-status\r\n"
	"Content-Description: Delivery report\r\n"
	"\r\n"
	"Original-Envelope-Id: job 7\r\n"
	"Reporting-MTA: dns; mta1.example.com\r\n"
	"Arrival-Date: Fri, 16 Oct 2026 23:00:00 +0000\r\n"
	"\r\n"
	"Original-Recipient: rfc822;b+x@dest.test\r\n"
	"Final-Recipient: rfc822;b@dest.test\r\n"
	"Action: failed\r\n"
	"Status: 5.1.1\r\n"
	"Remote-MTA: dns; mx1.dest.test\r\n"
	"Diagnostic-Code: smtp; 550 5.1.1 No such user see https://dest.test/help\r\n"
	"Last-Attempt-Date: Tue, 20 Oct 2026 02:30:21 +0000\r\n"
	"\r\n"
	"Final-Recipient: rfc822;c@slow.test\r\n"
	"Action: delayed\r\n"
	"Status: 4.0.0\r\n"
	"Diagnostic-Code: x-mtad; no mail server of slow.test could be reached: connection\r\n"
	" timed out\r\n"
	"Last-Attempt-Date: Tue, 20 Oct 2026 02:30:21 +0000\r\n"
	"Will-Retry-Until: Sat, 24 Oct 2026 01:30:21 +0000\r\n"
	"\r\n--=_8f3a1c.Zk29\r\n"
	"Content-Type: text/rfc822-headers\r\n"
	"Content-Description: Header of the message\r\n"
	"\r\n"
	"Received: by mta1.example.com; Fri, 16 Oct 2026 23:00:00 +0000\r\n"
	"From: a@example.com\r\n"
	"Subject: one\r\n"
	"\ttwo\r\n"
	"\r\n--=_8f3a1c.Zk29--\r\n";

static void
test_golden(void **state)
{
	struct smtp_dsn_rcpt rcpts[] = {failed, delayed};
	struct smtp_dsn d = dsn_of(rcpts, 2);
	size_t len;
	char *text = write_dsn(&d, &len);

	assert_string_equal(text, golden);
	free(text);
}

/* What must be in the report, and what must not. */
static void
expect(const char *name, const struct smtp_dsn *d, const char *present, const char *absent)
{
	size_t len;
	char *text = write_dsn(d, &len);

	if (strstr(text, present) == NULL)
		fail_msg("%s: no '%s' in\n%s", name, present, text);
	if (absent != NULL && strstr(text, absent) != NULL)
		fail_msg("%s: '%s' in\n%s", name, absent, text);
	free(text);
}

/* 7-bit, no controls, CRLF only, no line over 998; the boundary three times and at the end. */
static void
check_legal(const char *name, const struct smtp_dsn *d)
{
	size_t len, column = 0, delimiters = 0;
	char *text = write_dsn(d, &len);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n' && (i == 0 || text[i - 1] != '\r'))
			fail_msg("%s: bare LF at %zu", name, i);
		if (c == '\r' && text[i + 1] != '\n')
			fail_msg("%s: bare CR at %zu", name, i);
		if (c > 126 || (c < 32 && c != '\r' && c != '\n' && c != '\t'))
			fail_msg("%s: byte %d at %zu", name, c, i);
		column = c == '\n' ? 0 : column + 1;
		if (column > 999)
			fail_msg("%s: long line at %zu", name, i);
		if (len - i > 15 && memcmp(text + i, "\r\n--=_8f3a1c.Zk29", 17) == 0)
			delimiters++;
	}
	assert_int_equal(delimiters, 4);
	assert_memory_equal(text + len - 4, "--\r\n", 4);
	free(text);
}

static void
test_actions(void **state)
{
	struct smtp_dsn_rcpt relayed = {.action = SMTP_DSN_RELAYED,
		.address = SMTP_LIT("d@x.test"),
		.code = 250,
		.text = SMTP_LIT("queued")};
	struct smtp_dsn_rcpt expired = {.action = SMTP_DSN_FAILED,
		.address = SMTP_LIT("d@x.test"),
		.status = {4, 4, 7},
		.will_retry_until = 5};
	struct smtp_dsn d = dsn_of(&delayed, 1);

	expect("delay alone", &d, "Subject: Your message is delayed\r\n", "will not be tried");
	expect("delay alone", &d, "Action: delayed\r\nStatus: 4.0.0\r\n", "Remote-MTA");
	d = dsn_of(&relayed, 1);
	expect("relayed", &d, "Subject: Your message was handed over\r\n", NULL);
	expect("relayed", &d, "Action: relayed\r\nStatus: 2.0.0\r\nDiagnostic-Code: smtp; 250 queued\r\n",
		NULL);
	d = dsn_of(&expired, 1);
	expect("expired", &d, "Action: failed\r\nStatus: 4.4.7\r\n\r\n--", "Will-Retry-Until");
	d.envid = (struct smtp_slice){NULL, 0};
	expect("no envelope id", &d, "\r\n\r\nReporting-MTA:", "Original-Envelope-Id");
}

/* faults.md D38, B25 */
static const struct {
	const char *name;
	struct smtp_slice text;
	const char *present, *absent;
} replies[] = {
	{"line ends", SMTP_LIT("a\r\n\r\nAction: delivered\r\n"),
		"Diagnostic-Code: smtp; 550 a  Action: delivered \r\nLast", "\r\nAction: delivered"},
	{"the boundary", SMTP_LIT("x\n--=_8f3a1c.Zk29--\ny"), "      --=_8f3a1c.Zk29--\r\n      y\r\n",
		"\r\n--=_8f3a1c.Zk29--\r\n      y"},
	{"UTF-8", SMTP_LIT("Benutzer unbekannt: M\xc3\xbcller"), "M\\xC3\\xBCller", NULL},
	{"controls", SMTP_LIT("a\x1b[2Jb\0c\x7f"), "a\\x1B[2Jb\\x00c\\x7F", NULL},
	{"tab", SMTP_LIT("a\tb"), "550 a b\r\n", NULL},
	{"nothing", SMTP_LIT(""), "Diagnostic-Code: smtp; 550 \r\n", NULL},
	{"blanks where a line is folded", SMTP_LIT("short                                             "),
		"550 short    ", "\r\n \r\n"},
	{"markup", SMTP_LIT("<script>alert(1)</script>"), "550 <script>alert(1)</script>\r\n", NULL},
};

static void
test_D38_B25_replies(void **state)
{
	static char words[2048], wall[2048];
	struct smtp_dsn_rcpt rcpt = failed;
	struct smtp_dsn d = dsn_of(&rcpt, 1);
	const char *at;
	size_t len, kept = 0;
	char *text;

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		rcpt.text = replies[i].text;
		expect(replies[i].name, &d, replies[i].present, replies[i].absent);
		check_legal(replies[i].name, &d);
	}
	/* As long as they get: complete, in words or without a blank. */
	memset(wall, 'w', sizeof(wall));
	for (size_t i = 0; i < sizeof(words); i++)
		words[i] = i % 9 == 8 ? ' ' : 'u';
	rcpt.text = (struct smtp_slice){words, sizeof(words)};
	check_legal("long text", &d);
	rcpt.text = (struct smtp_slice){wall, sizeof(wall)};
	check_legal("one long word", &d);
	text = write_dsn(&d, &len);
	at = strstr(text, "Diagnostic-Code: smtp; 550 ");
	for (at += 27; *at == 'w' || (at[0] == '\r' && at[2] == ' ') || *at == '\n' || *at == ' '; at++)
		kept += *at == 'w';
	assert_int_equal(kept, sizeof(wall));
	free(text);
}

static const struct {
	const char *name;
	struct smtp_slice address;
	const char *present;
} addresses[] = {
	{"plain", SMTP_LIT("b@dest.test"), "Final-Recipient: rfc822;b@dest.test\r\n"},
	{"UTF-8", SMTP_LIT("j\xc3\xb6rg@b\xc3\xbc.test"),
		"Final-Recipient: utf-8;j\\x{F6}rg@b\\x{FC}.test\r\n"},
	{"wide", SMTP_LIT("\xe2\x82\xac\xf0\x9f\x98\x80+@x.test"),
		"Final-Recipient: utf-8;\\x{20AC}\\x{1F600}\\x{2B}@x.test\r\n"},
	{"not UTF-8", SMTP_LIT("j\xf6@x.test"), "Final-Recipient: rfc822;j\\xF6@x.test\r\n"},
	{"quoted", SMTP_LIT("\"a b\"@x.test"), "Final-Recipient: rfc822;\"a b\"@x.test\r\n"},
};

static void
test_addresses(void **state)
{
	struct smtp_dsn_rcpt rcpt = failed;
	struct smtp_dsn d = dsn_of(&rcpt, 1);
	char widest[SMTP_ADDRESS_MAX];

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		rcpt.address = addresses[i].address;
		rcpt.orcpt = addresses[i].address;
		d.envid = addresses[i].address;
		expect(addresses[i].name, &d, addresses[i].present, NULL);
		check_legal(addresses[i].name, &d);
	}
	/* Seven bytes of the report for one or two of the address. */
	memset(widest, '+', SMTP_LOCAL_MAX);
	widest[SMTP_LOCAL_MAX] = '@';
	for (size_t i = SMTP_LOCAL_MAX + 1; i < sizeof(widest); i++)
		widest[i] = i % 2 == 1 ? '\xc7' : '\xbc';
	rcpt.address = (struct smtp_slice){widest, sizeof(widest) - 1};
	expect("widest", &d, "Final-Recipient: utf-8;\\x{2B}", NULL);
	check_legal("widest", &d);
}

enum returned { HEADER, ALL };

static const struct {
	const char *name;
	struct smtp_slice pieces[3];
	enum returned want;
	const char *present;
} originals[] = {
	{"legal", {SMTP_LIT("From: a\r\n\r\nbody\r\n")}, ALL, "\r\n\r\nFrom: a\r\n\r\nbody\r\n\r\n--"},
	{"in pieces", {SMTP_LIT("Received: x\r\n"), SMTP_LIT("From: a\r\n\r\n"), SMTP_LIT("body\r\n")}, ALL,
		"\r\n\r\nReceived: x\r\nFrom: a\r\n\r\nbody\r\n\r\n--"},
	{"8 bit in the body", {SMTP_LIT("From: a\r\n"), SMTP_LIT("\r\nb\xc3\xb6\r\n")}, HEADER,
		"\r\n\r\nFrom: a\r\n\r\n--"},
	{"8 bit in the header", {SMTP_LIT("Subject: b\xc3\xb6 \xff\r\n\r\nbody\r\n")}, HEADER,
		"\r\n\r\nSubject: b?? ?\r\n\r\n--"},
	{"NUL", {SMTP_LIT("From: a\r\n\r\nbo\0dy\r\n")}, HEADER, "\r\n\r\nFrom: a\r\n\r\n--"},
	{"bare LF", {SMTP_LIT("From: a\r\n\r\nbo\ndy\r\n")}, HEADER, "\r\n\r\nFrom: a\r\n\r\n--"},
	{"bare CR", {SMTP_LIT("From: a\r\n\r\nbo\rdy\r\n")}, HEADER, "\r\n\r\nFrom: a\r\n\r\n--"},
	{"bare CR in the header", {SMTP_LIT("From: a\rb\r\n\r\n")}, HEADER, "\r\n\r\nFrom: a?b\r\n\r\n--"},
	{"bare LF in the header", {SMTP_LIT("From: a\nTo: b\n\nbody\n")}, HEADER,
		"\r\n\r\nFrom: a\r\nTo: b\r\n\r\n--"},
	{"no end", {SMTP_LIT("From: a\r\n\r\nbody")}, HEADER, "\r\n\r\nFrom: a\r\n\r\n--"},
	{"no header end", {SMTP_LIT("From: a")}, HEADER, "\r\n\r\nFrom: a\r\n\r\n--"},
	{"no header", {SMTP_LIT("\r\nbody\r\n")}, ALL, "\r\n\r\n\r\nbody\r\n\r\n--"},
	{"nothing", {SMTP_LIT("")}, ALL, "\r\n\r\n\r\n--"},
};

static void
test_originals(void **state)
{
	static char long_line[2200];
	struct smtp_slice piece = {long_line, sizeof(long_line)};
	struct smtp_dsn d = dsn_of(&failed, 1);

	d.ret = SMTP_RET_FULL;
	for (size_t i = 0; i < sizeof(originals) / sizeof(originals[0]); i++) {
		const char *full = "Content-Type: message/rfc822\r\n",
			   *head = "Content-Type: text/rfc822-headers\r\n";
		bool is_all = originals[i].want == ALL;

		d.pieces = originals[i].pieces;
		d.piece_count = 3;
		expect(originals[i].name, &d, is_all ? full : head, is_all ? head : full);
		expect(originals[i].name, &d, originals[i].present, NULL);
		check_legal(originals[i].name, &d);
	}
	memset(long_line, 'x', sizeof(long_line));
	memcpy(long_line, "From: ", 6);
	memcpy(long_line + sizeof(long_line) - 4, "\r\n\r\n", 4);
	d.pieces = &piece;
	d.piece_count = 1;
	expect("long line", &d, "text/rfc822-headers", "message/rfc822");
	check_legal("long line", &d);
	d.piece_count = 0;
	check_legal("no message", &d);
	/* RET=HDRS, no RET, and a report of a delay: the header. */
	d = dsn_of(&failed, 1);
	d.ret = SMTP_RET_HDRS;
	expect("RET=HDRS", &d, "text/rfc822-headers", "Hello");
	d.ret = SMTP_RET_NONE;
	expect("no RET", &d, "text/rfc822-headers", "Hello");
	d = dsn_of(&delayed, 1);
	d.ret = SMTP_RET_FULL;
	expect("delay", &d, "text/rfc822-headers", "Hello");
	d = dsn_of(&failed, 1);
	d.ret = SMTP_RET_FULL;
	expect("RET=FULL", &d, "Hello\r\n.\r\n", "text/rfc822-headers");
}

/* RFC 2852 5 and RFC 4865 5.1.2: what was asked for stands in the machine part, with the arrival before it.
 */
static void
test_what_was_asked_for(void **state)
{
	static const struct {
		int64_t deliver_by, hold_until;
		uint32_t hold_for_s;
		const char *fields;
	} cases[] = {
		{0, 0, 0, ""},
		{0, 0, 60, ""}, /* released at once: nothing was asked for */
		{1792191660, 0, 0, "Deliver-By-Date: Fri, 16 Oct 2026 23:01:00 +0000\r\n"},
		{0, 1792191660, 60, "Future-Release-Request: for;60\r\n"},
		{0, 1792191660, 0, "Future-Release-Request: until;2026-10-16T23:01:00Z\r\n"},
		{1792191720, 1792191660, 0,
			"Deliver-By-Date: Fri, 16 Oct 2026 23:02:00 +0000\r\n"
			"Future-Release-Request: until;2026-10-16T23:01:00Z\r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_dsn d = dsn_of(&failed, 1);
		char want[300], *text;
		size_t len;

		d.deliver_by = cases[i].deliver_by;
		d.hold_until = cases[i].hold_until;
		d.hold_for_s = cases[i].hold_for_s;
		text = write_dsn(&d, &len);
		snprintf(want, sizeof(want),
			"\r\nArrival-Date: Fri, 16 Oct 2026 23:00:00 +0000\r\n%s\r\nOriginal-Recipient: ",
			cases[i].fields);
		if (strstr(text, want) == NULL)
			fail_msg("%s: %s", cases[i].fields, text);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_D38_B25_replies),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_originals),
		cmocka_unit_test(test_what_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
