/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses take mail that came back, and whose mail it is found to be about: what went out with it
 * speaks for a recipient, what anybody can write does not. */
#include "intake/returned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"
#include "feedback/prose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB(text) ((struct queue_blob){(text), sizeof(text) - 1})
#define OK(call)   assert_int_equal((call), QUEUE_OK)
#define NOW        INT64_C(0x65bfeda27c240) /* Mon, 21 Sep 2026 14:13:20 */
#define LATER      (NOW + INT64_C(3600000000))

enum { NONCE = 0x0a1b2c3d, MAIL_MAX = 4000 };

/* NOW and NONCE as prepare.c writes them. */
#define ID "65bfeda27c2400a1b2c3d"

static const char settings[] =
	HOST "token-secret-file = secrets/tokens  return-path-domain = Bounces.example.com\n"
	     "unsubscribe-mailto = unsub@bounces.example.com  cfbl-address = cfbl@fbl.example.com\n"
	     "report-addresses = { fbl@fbl.example.com, shop@example.com }\n";

struct world {
	char dir[64], why[200];
	const struct conf *conf;
	struct queue_store *store;
	struct returned_judge judge;
	struct classifier *classifier;
	struct report_rules *rules;
};

/* Three recipients of one message, and one of another. */
static void
issue(struct world *w)
{
	static const char *const rcpts[] = {"a@a.test", "b@a.test", "c@a.test"};
	struct event e = {.type = EVENT_RECEIVED,
		.queued_us = NOW,
		.job = BLOB("news"),
		.user = BLOB("shop"),
		.sender = BLOB("shop@example.com"),
		.message_id = BLOB("one@shop.test")};

	OK(queue_store_begin(w->store));
	for (uint16_t n = 0; n < 3; n++) {
		e.n = n;
		e.rcpt = (struct queue_blob){rcpts[n], 8};
		OK(feedback_issue(w->store, NONCE, &e));
	}
	e.n = 0;
	e.rcpt = BLOB("z@a.test");
	e.message_id = BLOB("two@shop.test");
	OK(feedback_issue(w->store, NONCE + 1, &e));
	OK(queue_store_commit(w->store));
}

static void
open_world(struct world *w, const struct folder *folder)
{
	struct queue_store_conf sc = {
		.dir = w->dir, .allow_network_fs = true, .why = w->why, .why_max = sizeof(w->why)};

	put_secrets(folder, "");
	w->conf = must_load(folder, settings);
	snprintf(w->dir, sizeof(w->dir), "/tmp/mtad-returned-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	OK(queue_store_open(&sc, &w->store));
	w->classifier = classifier_create(w->conf);
	w->rules = report_rules_create(w->conf);
	w->judge = (struct returned_judge){
		w->conf, w->classifier, feedback_reader_create(prose_read, w->rules), w->store};
	assert_true(w->classifier != NULL && w->rules != NULL && w->judge.reader != NULL);
	issue(w);
}

static void
close_world(struct world *w)
{
	char command[128];

	feedback_reader_destroy(&w->judge.reader);
	report_rules_unref(w->rules);
	classifier_unref(w->classifier);
	queue_store_close(&w->store);
	conf_unref(w->conf);
	snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
}

static const char *
write_token(const struct world *w, enum token_kind kind, uint32_t nonce, uint16_t n, char buf[TOKEN_TEXT + 1])
{
	const struct token t = {kind, NOW, nonce, n};

	token_write(w->conf, &t, buf);
	buf[TOKEN_TEXT] = '\0';
	return buf;
}

/* --- addresses --- */

static void
test_addresses(void **state)
{
	/* %s is a token of the kind. */
	static const struct {
		const char *address;
		enum token_kind kind;
		int64_t age_us;
		enum returned_to to;
		enum token_verdict verdict;
	} cases[] = {
		{"bounce+%s@bounces.example.com", TOKEN_RETURN_PATH, 1, RETURNED_TO_TOKEN, TOKEN_GOOD},
		{"BOUNCE+%s@BOUNCES.Example.COM", TOKEN_RETURN_PATH, 1, RETURNED_TO_TOKEN, TOKEN_GOOD},
		{"unsub+%s@bounces.example.com", TOKEN_UNSUBSCRIBE, 1, RETURNED_TO_TOKEN, TOKEN_GOOD},
		{"cfbl+%s@fbl.example.com", TOKEN_COMPLAINT, 1, RETURNED_TO_TOKEN, TOKEN_GOOD},
		{"bounce+%s@bounces.example.com", TOKEN_RETURN_PATH, INT64_C(61) * 86400000000,
			RETURNED_TO_NOBODY, TOKEN_EXPIRED},
		/* One kind is not another. */
		{"bounce+%s@bounces.example.com", TOKEN_UNSUBSCRIBE, 1, RETURNED_TO_NOBODY, TOKEN_FORGED},
		{"unsub+%s@bounces.example.com", TOKEN_RETURN_PATH, 1, RETURNED_TO_NOBODY, TOKEN_FORGED},
		{"bounce+x%s@bounces.example.com", TOKEN_RETURN_PATH, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"bounce+%s@example.com", TOKEN_RETURN_PATH, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"bounce%s@bounces.example.com", TOKEN_RETURN_PATH, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"bounce@bounces.example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"bounce+@bounces.example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"unsub@bounces.example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"fbl@fbl.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"Fbl@FBL.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"fbl+yahoo@fbl.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"fblx@fbl.example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"fbl@example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"cfbl@fbl.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"shop@example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"postmaster@bounces.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"PostMaster@example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE},
		{"postmaster@mta1.example.com", 0, 1, RETURNED_TO_ADDRESS, TOKEN_NONE}, /* hostname */
		{"postmaster@other.test", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"@bounces.example.com", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
		{"fbl", 0, 1, RETURNED_TO_NOBODY, TOKEN_NONE},
	};
	char token[TOKEN_TEXT + 1], address[200];
	struct returned_address got;
	struct world w;

	open_world(&w, *state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *mark = strstr(cases[i].address, "%s");
		int len = mark == NULL ? snprintf(address, sizeof(address), "%s", cases[i].address)
				       : snprintf(address, sizeof(address), "%.*s%s%s",
						 (int)(mark - cases[i].address), cases[i].address,
						 write_token(&w, cases[i].kind, NONCE, 0, token), mark + 2);

		got = returned_address(
			w.conf, (struct smtp_slice){address, (size_t)len}, NOW + cases[i].age_us);
		if (got.to != cases[i].to || got.verdict != cases[i].verdict)
			fail_msg("%s: %d, %s", address, got.to, token_verdict_text(got.verdict));
	}
	close_world(&w);
}

/* --- whose mail it is --- */

/* What came back: of a bounce of one recipient, or of a complaint. */
struct story {
	const char *name;
	const char *header; /* of the message that came back; %s: a token for unsubscribing of n 1 */
	const char *rcpt;   /* who the report names; "": nobody */
	int token_n;        /* sent to the return path of this recipient; -1: to a report address */
	bool is_vouched;
	const char *want;     /* who is found, "-": nobody */
	const char *want_job; /* NULL: that of the message */
};

static const struct story stories[] = {
	{"the return path", "Subject: x\n", "b@a.test", 1, false, "b@a.test", NULL},
	{"and forwarded", "Subject: x\n", "other@b.test", 1, false, "b@a.test", NULL},
	{"and nobody named", "Subject: x\n", "", 1, false, "b@a.test", NULL},
	{"a link", "List-Unsubscribe: <https://x.test/%s>\n", "", -1, false, "b@a.test", NULL},
	{"a folded one", "List-Unsubscribe: <https://x.test/>,\n\t<mailto:u+%s@x.test>\n", "", -1, false,
		"b@a.test", NULL},
	{"an identifier", "Feedback-ID: a:b\nCFBL-Feedback-ID: %s\n", "", -1, false, "b@a.test", NULL},
	{"our trace", "Received: by mta1.example.com with ESMTP id " ID ";\n\tMon\n", "c@a.test", -1, false,
		"c@a.test", NULL},
	{"folded", "Received: from x ([192.0.2.1])\n\tby MTA1.example.com with ESMTPSA id " ID ";\n\tMon\n",
		"c@a.test", -1, false, "c@a.test", NULL},
	{"below others",
		"Received: by b.test with ESMTP id 77;\n\tMon\nReceived: by mta1.example.com with ESMTP "
		"id " ID " PRIORITY 3;\n\tMon\n",
		"c@a.test", -1, false, "c@a.test", NULL},
	{"our trace, and who of three?", "Received: by mta1.example.com with ESMTP id " ID ";\n\tMon\n", "",
		-1, false, "-", NULL},
	{"our trace, another recipient", "Received: by mta1.example.com with ESMTP id " ID ";\n\tMon\n",
		"d@a.test", -1, false, "-", ""},
	{"another's trace", "Received: by mta.other.test with ESMTP id " ID ";\n\tMon\n", "c@a.test", -1,
		false, "-", ""},
	{"our name elsewhere", "Received: from mta1.example.com by x.test with ESMTP id " ID ";\n\tMon\n",
		"c@a.test", -1, false, "-", ""},
	{"a short id", "Received: by mta1.example.com with ESMTP id 0a1b2c3d;\n\tMon\n", "c@a.test", -1,
		false, "-", ""},
	{"a long one", "Received: by mta1.example.com with ESMTP id 0000000000000" ID ";\n\tMon\n",
		"c@a.test", -1, false, "-", ""},
	{"our trace and another's id",
		"Received: by mta1.example.com with ESMTP id " ID ";\n\tMon\nMessage-ID: <two@shop.test>\n",
		"c@a.test", -1, false, "-", ""},
	{"Message-ID and Date", "Message-ID: <two@shop.test>\nDate: Mon, 21 Sep 2026 14:13:00 +0000\n", "",
		-1, false, "z@a.test", NULL},
	{"of three", "Message-ID: <one@shop.test>\nDate: Mon, 21 Sep 2026 16:10:00 +0200\n", "b@a.test", -1,
		false, "b@a.test", NULL},
	{"Message-ID alone", "Message-ID: <two@shop.test>\n", "z@a.test", -1, false, "-", ""},
	{"of another day", "Message-ID: <two@shop.test>\nDate: Mon, 14 Sep 2026 14:13:00 +0000\n", "z@a.test",
		-1, false, "-", ""},
	{"an address alone", "Subject: x\nFeedback-ID: spring:shop:news:x\n", "a@a.test", -1, false, "-",
		"spring"},
	{"nothing at all", "Subject: x\n", "", -1, false, "-", NULL},
	{"somebody vouches", "Subject: x\n", "a@a.test", -1, true, "a@a.test", ""},
	{"for what is taken as a digest", "Subject: x\n", "0123456789abcdef0123456789abcdef", -1, true, "-",
		NULL},
};

static size_t
put_lines(char *to, size_t max, const char *text)
{
	size_t len = 0;

	for (; *text != '\0' && len + 2 < max; text++) {
		if (*text == '\n')
			to[len++] = '\r';
		to[len++] = *text;
	}
	return len;
}

static struct smtp_slice
write_report(const struct world *w, const struct story *s, bool is_bounce, char buf[MAIL_MAX])
{
	char text[MAIL_MAX], header[1000], token[TOKEN_TEXT + 1];
	const char *mark = strstr(s->header, "%s");

	if (mark != NULL)
		snprintf(header, sizeof(header), "%.*s%s%s", (int)(mark - s->header), s->header,
			write_token(w, TOKEN_UNSUBSCRIBE, NONCE, 1, token), mark + 2);
	else
		snprintf(header, sizeof(header), "%s", s->header);
	snprintf(text, sizeof(text),
		"From: x@a.test\nMIME-Version: 1.0\n"
		"Content-Type: multipart/report; report-type=%s; boundary=b\n\n--b\n"
		"Content-Type: message/%s\n\n%s%s%s%s\n--b\nContent-Type: text/rfc822-headers\n\n%s\n--b--\n",
		is_bounce ? "delivery-status" : "feedback-report",
		is_bounce ? "delivery-status" : "feedback-report",
		is_bounce ? "Reporting-MTA: dns; mx.a.test\n\nAction: failed\nStatus: 5.1.1\n"
			  : "Feedback-Type: abuse\nUser-Agent: a/1\nVersion: 1\n",
		s->rcpt[0] == '\0' ? ""
		: is_bounce        ? "Final-Recipient: rfc822; "
				   : "Original-Rcpt-To: ",
		s->rcpt, s->rcpt[0] != '\0' ? "\n" : "", header);
	return (struct smtp_slice){buf, put_lines(buf, MAIL_MAX, text)};
}

static void
check_item(const struct story *s, const struct returned_outcome *out)
{
	const struct feedback_item *item = &out->items[0];
	char got[100];

	snprintf(got, sizeof(got), "%.*s", (int)item->event.rcpt.len, (const char *)item->event.rcpt.ptr);
	if (out->count != 1 || strcmp(got, s->want) != 0)
		fail_msg("%s: %u of %s", s->name, out->count, got);
	snprintf(got, sizeof(got), "%.*s", (int)item->event.job.len, (const char *)item->event.job.ptr);
	if (strcmp(got, s->want_job != NULL ? s->want_job : "news") != 0)
		fail_msg("%s: job %s", s->name, got);
	assert_true(item->event.logged_us == LATER);
}

static void
judge_story(const struct world *w, const struct story *s, bool is_bounce)
{
	struct returned_mail mail = {.sender = SMTP_LIT(""),
		.to = {RETURNED_TO_ADDRESS, TOKEN_NONE, {0}},
		.now_us = LATER,
		.client_ip = SMTP_LIT("192.0.2.9"),
		.local_ip = SMTP_LIT("192.0.2.25"),
		.auth = SMTP_LIT("dkim=none spf=none"),
		.is_vouched = s->is_vouched};
	struct returned_outcome out;
	char buf[MAIL_MAX];

	if (s->token_n >= 0)
		mail.to = (struct returned_address){
			RETURNED_TO_TOKEN, TOKEN_GOOD, {TOKEN_RETURN_PATH, NOW, NONCE, (uint16_t)s->token_n}};
	mail.bytes = write_report(w, s, is_bounce, buf);
	OK(returned_judge(&w->judge, &mail, &out));
	assert_int_equal(out.kind, is_bounce ? FINDING_BOUNCE : FINDING_COMPLAINT);
	if (strcmp(s->want, "-") == 0) {
		if (out.result != RETURNED_UNREAD || out.count != 0 || out.why[0] == '\0')
			fail_msg("%s: %d, %u", s->name, out.result, out.count);
	} else {
		if (out.result != RETURNED_RECORD)
			fail_msg("%s: %d", s->name, out.result);
		check_item(s, &out);
		assert_int_equal(out.items[0].event.type, is_bounce ? EVENT_REMOTE : EVENT_COMPLAINT);
		assert_memory_equal(out.items[0].event.of_report.format.ptr, is_bounce ? "dsn" : "arf", 3);
		assert_memory_equal(out.items[0].event.of_report.auth.ptr, "dkim=none", 9);
		assert_memory_equal(out.items[0].event.peer_ip.ptr, "192.0.2.9", 9);
		assert_memory_equal(out.items[0].event.local_ip.ptr, "192.0.2.25", 10);
	}
	free(out.items);
}

static void
test_complaints(void **state)
{
	struct world w;

	open_world(&w, *state);
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++)
		judge_story(&w, &stories[i], false);
	close_world(&w);
}

/* They lead to the same recipients, but nobody vouches for a bounce, and it always names somebody. */
static void
test_bounces(void **state)
{
	struct world w;

	open_world(&w, *state);
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++)
		if (!stories[i].is_vouched && (stories[i].rcpt[0] != '\0' || stories[i].want[0] != '-'))
			judge_story(&w, &stories[i], true);
	close_world(&w);
}

static void
judge_text(const struct world *w, const struct returned_address *to, const char *sender, const char *text,
	struct returned_outcome *out)
{
	char buf[MAIL_MAX];
	const struct returned_mail mail = {.bytes = {buf, put_lines(buf, MAIL_MAX, text)},
		.sender = {sender, strnlen(sender, 100)},
		.to = *to,
		.now_us = LATER,
		.auth = SMTP_LIT("")};

	OK(returned_judge(&w->judge, &mail, out));
}

static const char several[] =
	"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
	"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.a.test\n\n"
	"Final-Recipient: rfc822; late@a.test\nAction: delayed\nStatus: 4.4.1\n\n"
	"Final-Recipient: rfc822; a@a.test\nAction: failed\nStatus: 5.2.2\n"
	"Diagnostic-Code: smtp; 552 5.2.2 mailbox full\n\n"
	"Original-Recipient: rfc822; B@A.test\nFinal-Recipient: rfc822; b@forwarded.test\nAction: failed\n"
	"Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown user\n\n"
	"Final-Recipient: rfc822; nobody@a.test\nAction: failed\nStatus: 5.1.1\n"
	"--b\nContent-Type: text/rfc822-headers\n\n"
	"Received: by mta1.example.com with ESMTP id " ID ";\n\tMon\n--b--\n";

static void
test_several_recipients(void **state)
{
	const struct returned_address to = {RETURNED_TO_ADDRESS, TOKEN_NONE, {0}},
				      token = {RETURNED_TO_TOKEN, TOKEN_GOOD,
					      {TOKEN_RETURN_PATH, NOW, NONCE, 1}};
	struct returned_outcome out;
	struct world w;

	open_world(&w, *state);
	judge_text(&w, &to, "", several, &out);
	assert_int_equal(out.count, 2);
	assert_memory_equal(out.items[0].event.rcpt.ptr, "a@a.test", 8);
	assert_int_equal(out.items[0].event.bounce_class, BOUNCE_CLASS_QUOTA_ISSUES);
	assert_memory_equal(out.items[1].event.rcpt.ptr, "b@a.test", 8);
	assert_int_equal(out.items[1].event.code, 550);
	assert_memory_equal(out.items[1].event.esc.ptr, "5.1.1", 5);
	assert_true(out.items[1].has_token);
	free(out.items);
	/* To a token it is about one, and says of that one what it says. */
	judge_text(&w, &token, "", several, &out);
	assert_int_equal(out.count, 1);
	assert_memory_equal(out.items[0].event.rcpt.ptr, "b@a.test", 8);
	assert_int_equal(out.items[0].event.bounce_class, BOUNCE_CLASS_BAD_MAILBOX);
	free(out.items);
	close_world(&w);
}

static void
test_other_mail(void **state)
{
	static const char arf[] =
		"Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n"
		"Content-Type: message/feedback-report\n\nFeedback-Type: opt-out\nVersion: 1\n--b--\n";
	static const struct {
		const char *name, *sender, *text;
		enum token_kind kind; /* 0: to a report address */
		uint32_t nonce;
		enum returned_result want;
		int want_type; /* of its only item */
	} cases[] = {
		{"a wish", "a@a.test", "Subject: stop\n\n", TOKEN_UNSUBSCRIBE, NONCE, RETURNED_RECORD,
			EVENT_UNSUBSCRIBE},
		{"an empty one", "a@a.test", "", TOKEN_UNSUBSCRIBE, NONCE, RETURNED_RECORD,
			EVENT_UNSUBSCRIBE},
		{"it says no program wrote it", "a@a.test", "Auto-Submitted: No\n\n", TOKEN_UNSUBSCRIBE,
			NONCE, RETURNED_RECORD, EVENT_UNSUBSCRIBE},
		{"a program's", "", "Subject: stop\n\n", TOKEN_UNSUBSCRIBE, NONCE, RETURNED_UNREAD, -1},
		{"an answer", "a@a.test", "Auto-Submitted: auto-replied\n\n", TOKEN_UNSUBSCRIBE, NONCE,
			RETURNED_UNREAD, -1},
		{"not known any more", "a@a.test", "Subject: stop\n\n", TOKEN_UNSUBSCRIBE, NONCE + 9,
			RETURNED_UNREAD, -1},
		{"words to a return path", "a@a.test", "Subject: hello\n\n", TOKEN_RETURN_PATH, NONCE,
			RETURNED_UNREAD, -1},
		{"words to a report address", "a@a.test", "Subject: hello\n\n", 0, 0, RETURNED_UNREAD, -1},
		{"an opt-out by report", "", arf, TOKEN_COMPLAINT, NONCE, RETURNED_RECORD, EVENT_UNSUBSCRIBE},
		{"nothing", "", "", 0, 0, RETURNED_UNREAD, -1},
	};
	struct returned_outcome out;
	struct world w;

	open_world(&w, *state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct returned_address to = {RETURNED_TO_ADDRESS, TOKEN_NONE, {0}};

		if (cases[i].kind != 0)
			to = (struct returned_address){
				RETURNED_TO_TOKEN, TOKEN_GOOD, {cases[i].kind, NOW, cases[i].nonce, 0}};
		judge_text(&w, &to, cases[i].sender, cases[i].text, &out);
		if (out.result != cases[i].want || out.count != (cases[i].want_type >= 0) ||
			(out.count == 1 && (int)out.items[0].event.type != cases[i].want_type))
			fail_msg("%s: %d, %u", cases[i].name, out.result, out.count);
		free(out.items);
	}
	close_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_addresses),
		WITH_FOLDER(test_complaints),
		WITH_FOLDER(test_bounces),
		WITH_FOLDER(test_several_recipients),
		WITH_FOLDER(test_other_mail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
