/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict, transfer, hosts: what the conversation means for each recipient. Invariant under test: nothing is
 * lost for good but by a 5xx reply or our own permanent refusal; whatever nobody thought of is temporary.
 */
#include "deliver/verdict.h"

#include "deliver/hosts.h"
#include "deliver/transfer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	struct verdict_input in;
	enum queue_verdict_kind kind;
	enum bounce_class bounce_class;
	const char *esc;
} cases[] = {
	{"delivered", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 250, {2, 0, 0}, 0}, QUEUE_VERDICT_DELIVERED,
		BOUNCE_CLASS_NONE, "2.0.0"},
	{"delivered, bare code", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 250, {0}, 0}, QUEUE_VERDICT_DELIVERED,
		BOUNCE_CLASS_NONE, "2.0.0"},
	{"greylisted", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 451, {4, 7, 1}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_POLICY_RELATED, "4.7.1"},
	{"no such user", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 550, {5, 1, 1}, 0}, QUEUE_VERDICT_FAILED,
		BOUNCE_CLASS_BAD_MAILBOX, "5.1.1"},
	{"bare 550", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 550, {0}, 0}, QUEUE_VERDICT_FAILED,
		BOUNCE_CLASS_OTHER, "5.0.0"},
	{"bare 421", {SMTP_OUTCOME_REPLY, SMTP_PHASE_MAIL, 421, {0}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_SYSTEM_ERROR, "4.0.0"},
	{"250 where no mail ends", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DATA, 250, {0}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_OTHER, "4.0.0"},
	{"554 as greeting is not about the mail",
		{SMTP_OUTCOME_REPLY, SMTP_PHASE_GREETING, 554, {5, 7, 1}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_POLICY_RELATED, "5.7.1"},
	{"a login refused", {SMTP_OUTCOME_REPLY, SMTP_PHASE_AUTH, 535, {5, 7, 8}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_RELAYING_ISSUES, "5.7.8"},
	/* The basic code decides, the enhanced one is kept as it came. */
	{"4xx that says 5.x", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 450, {5, 7, 1}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_POLICY_RELATED, "5.7.1"},
	{"5xx that says 4.x", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 550, {4, 7, 1}, 0}, QUEUE_VERDICT_FAILED,
		BOUNCE_CLASS_POLICY_RELATED, "4.7.1"},
	{"354 where an end belongs", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 354, {0}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_OTHER, "4.0.0"},
	{"600", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 600, {0}, 0}, QUEUE_VERDICT_LATER, BOUNCE_CLASS_OTHER,
		"4.0.0"},
	/* Too many recipients. */
	{"452 after some", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 452, {0}, 1}, QUEUE_VERDICT_RETURN,
		BOUNCE_CLASS_RATE_LIMITED, "4.5.3"},
	{"452 4.5.3 after some", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 452, {4, 5, 3}, 9},
		QUEUE_VERDICT_RETURN, BOUNCE_CLASS_RATE_LIMITED, "4.5.3"},
	{"452 4.2.2 is a full mailbox", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 452, {4, 2, 2}, 9},
		QUEUE_VERDICT_LATER, BOUNCE_CLASS_QUOTA_ISSUES, "4.2.2"},
	{"452 for the first waits, or it would spin",
		{SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 452, {4, 5, 3}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_RATE_LIMITED, "4.5.3"},
	{"452 at the end is storage", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 452, {0}, 5}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_SYSTEM_ERROR, "4.0.0"},
	{"D21 552 after some", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 552, {0}, 1}, QUEUE_VERDICT_RETURN,
		BOUNCE_CLASS_RATE_LIMITED, "4.5.3"},
	{"D21 552 5.5.3 after some", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 552, {5, 5, 3}, 1},
		QUEUE_VERDICT_RETURN, BOUNCE_CLASS_RATE_LIMITED, "5.5.3"},
	{"D21 552 5.2.2 is a full mailbox", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 552, {5, 2, 2}, 1},
		QUEUE_VERDICT_FAILED, BOUNCE_CLASS_QUOTA_ISSUES, "5.2.2"},
	{"D21 552 for the first", {SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, 552, {0}, 0}, QUEUE_VERDICT_FAILED,
		BOUNCE_CLASS_MESSAGE_TOO_LARGE, "5.0.0"},
	{"D21 552 at the end is size", {SMTP_OUTCOME_REPLY, SMTP_PHASE_DOT, 552, {5, 3, 4}, 3},
		QUEUE_VERDICT_FAILED, BOUNCE_CLASS_MESSAGE_TOO_LARGE, "5.3.4"},
	/* Without a reply. */
	{"lost", {SMTP_OUTCOME_LOST, SMTP_PHASE_RCPT, 0, {0}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_BAD_CONNECTION, "4.4.2"},
	{"uncertain", {SMTP_OUTCOME_UNCERTAIN, SMTP_PHASE_DOT, 0, {0}, 2}, QUEUE_VERDICT_UNCERTAIN,
		BOUNCE_CLASS_BAD_CONNECTION, "4.4.2"},
	{"untried", {SMTP_OUTCOME_UNTRIED, SMTP_PHASE_MAIL, 0, {0}, 0}, QUEUE_VERDICT_RETURN,
		BOUNCE_CLASS_BAD_CONNECTION, "4.4.2"},
	{"refused by us for good", {SMTP_OUTCOME_REFUSED, SMTP_PHASE_MAIL, 552, {5, 3, 4}, 0},
		QUEUE_VERDICT_FAILED, BOUNCE_CLASS_MESSAGE_TOO_LARGE, "5.3.4"},
	{"refused by us for now", {SMTP_OUTCOME_REFUSED, SMTP_PHASE_AUTH, 451, {4, 7, 0}, 0},
		QUEUE_VERDICT_LATER, BOUNCE_CLASS_PROTOCOL_ERRORS, "4.7.0"},
	{"no TLS", {SMTP_OUTCOME_REFUSED, SMTP_PHASE_STARTTLS, 451, {4, 7, 4}, 0}, QUEUE_VERDICT_LATER,
		BOUNCE_CLASS_PROTOCOL_ERRORS, "4.7.4"},
	{"an outcome nobody thought of", {(enum smtp_client_outcome)77, SMTP_PHASE_DOT, 550, {5, 0, 0}, 0},
		QUEUE_VERDICT_LATER, BOUNCE_CLASS_BAD_CONNECTION, "5.0.0"},
};

static void
test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct verdict_output out;

		memset(&out, 0xa5, sizeof(out));
		verdict_decide(&cases[i].in, &out);
		if (out.verdict.kind != cases[i].kind || out.bounce_class != cases[i].bounce_class)
			fail_msg("%s: kind %d class %d", cases[i].name, out.verdict.kind, out.bounce_class);
		assert_string_equal(out.esc, cases[i].esc);
		assert_int_equal(
			out.verdict.code, cases[i].in.outcome == SMTP_OUTCOME_REFUSED ? 0 : cases[i].in.code);
		assert_int_equal(out.verdict.wait_us, 0);
		assert_int_equal(out.verdict.set_flags, 0);
	}
}

/* What the class changes: whom it blames, and two verdicts. */
static const struct {
	const char *name;
	uint16_t code;
	struct smtp_esc esc;
	bool has_been_patient;
	enum queue_verdict_kind kind;
	enum queue_blame blame;
} blamed[] = {
	{"no such user", 550, {5, 1, 1}, false, QUEUE_VERDICT_FAILED, QUEUE_BLAME_RECIPIENT},
	{"we are not wanted", 550, {5, 7, 1}, false, QUEUE_VERDICT_FAILED, QUEUE_BLAME_US},
	{"for now neither", 450, {4, 7, 1}, true, QUEUE_VERDICT_LATER, QUEUE_BLAME_US},
	{"a full mailbox", 552, {5, 2, 2}, false, QUEUE_VERDICT_FAILED, QUEUE_BLAME_NOBODY},
	{"too large", 552, {5, 3, 4}, false, QUEUE_VERDICT_FAILED, QUEUE_BLAME_NOBODY},
	{"no reason", 550, {0}, false, QUEUE_VERDICT_FAILED, QUEUE_BLAME_NOBODY},
	{"too fast, for good", 550, {5, 7, 28}, false, QUEUE_VERDICT_LATER, QUEUE_BLAME_NOBODY},
	{"no such user, maybe", 450, {4, 1, 1}, false, QUEUE_VERDICT_LATER, QUEUE_BLAME_RECIPIENT},
	{"no such user, again", 450, {4, 1, 1}, true, QUEUE_VERDICT_FAILED, QUEUE_BLAME_RECIPIENT},
	{"a full mailbox, again", 452, {4, 2, 2}, true, QUEUE_VERDICT_LATER, QUEUE_BLAME_NOBODY},
};

static void
test_blame(void **state)
{
	for (size_t i = 0; i < sizeof(blamed) / sizeof(blamed[0]); i++) {
		struct verdict_input in = {
			SMTP_OUTCOME_REPLY, SMTP_PHASE_RCPT, blamed[i].code, blamed[i].esc};
		struct verdict_output out;

		in.has_been_patient = blamed[i].has_been_patient;
		verdict_decide(&in, &out);
		if (out.verdict.kind != blamed[i].kind || out.verdict.blame != blamed[i].blame)
			fail_msg("%s: kind %d blame %d", blamed[i].name, out.verdict.kind, out.verdict.blame);
		in.phase = SMTP_PHASE_EHLO; /* never the end of the mail */
		verdict_decide(&in, &out);
		assert_int_equal(out.verdict.kind, QUEUE_VERDICT_LATER);
	}
}

/* Every outcome, phase and code: what may be lost, what may be called delivered, what may cost nothing. */
static void
test_everything(void **state)
{
	for (int outcome = 0; outcome <= SMTP_OUTCOME_REFUSED + 1; outcome++)
		for (int phase = 0; phase < SMTP_PHASE_COUNT; phase++)
			for (int code = 0; code < 700; code++)
				for (uint32_t accepted = 0; accepted < 2; accepted++) {
					struct verdict_input in = {(enum smtp_client_outcome)outcome,
						(enum smtp_client_phase)phase, (uint16_t)code, {0}, accepted};
					struct verdict_output out;
					bool is_5xx = code >= 500 && code < 600;

					verdict_decide(&in, &out);
					switch (out.verdict.kind) {
					case QUEUE_VERDICT_DELIVERED:
						assert_int_equal(outcome, SMTP_OUTCOME_REPLY);
						assert_true(
							code >= 200 && code < 300 && phase == SMTP_PHASE_DOT);
						break;
					case QUEUE_VERDICT_FAILED:
						assert_true((outcome == SMTP_OUTCOME_REPLY && is_5xx &&
								    phase >= SMTP_PHASE_MAIL) ||
							    (outcome == SMTP_OUTCOME_REFUSED && code >= 500));
						break;
					case QUEUE_VERDICT_RETURN:
						assert_true(outcome == SMTP_OUTCOME_UNTRIED ||
							    (accepted > 0 && phase == SMTP_PHASE_RCPT &&
								    (code == 452 || code == 552)));
						break;
					case QUEUE_VERDICT_UNCERTAIN:
						assert_int_equal(outcome, SMTP_OUTCOME_UNCERTAIN);
						break;
					default:
						assert_int_equal(out.verdict.kind, QUEUE_VERDICT_LATER);
					}
					assert_true(out.bounce_class < BOUNCE_CLASS_COUNT);
					assert_int_equal(out.bounce_class == BOUNCE_CLASS_NONE,
						out.verdict.kind == QUEUE_VERDICT_DELIVERED);
					assert_true(out.esc[0] != '\0');
				}
}

/* --- transfer: results of one transaction --- */

static struct job *
job_of(uint32_t rcpts)
{
	struct job *job = calloc(1, sizeof(*job) + rcpts * sizeof(job->rcpts[0]));
	char address[40];

	assert_non_null(job);
	assert_non_null(job->message = message_create(NULL));
	job->message->meta.sender = message_keep(job->message, "s@x.test", 8);
	job->rcpt_count = rcpts;
	for (uint32_t i = 0; i < rcpts; i++) {
		int n = snprintf(address, sizeof(address), "r%u@y.test", i);
		struct queue_rcpt r = {.address = {address, (size_t)n}, .notify = (uint8_t)i};

		job->rcpts[i].n = (uint16_t)i;
		assert_true(message_add_rcpt(job->message, &r, (struct queue_blob){"y.test", 6}));
	}
	return job;
}

static void
result(struct transfer *t, uint32_t rcpt, enum smtp_client_phase phase, uint16_t code, const char *text)
{
	struct smtp_client_fact fact = {.rcpt_index = rcpt,
		.outcome = code != 0 ? SMTP_OUTCOME_REPLY : SMTP_OUTCOME_LOST,
		.phase = phase,
		.reply = {.code = code, .text = {text, strlen(text)}}};

	transfer_result(t, &fact);
}

static void
assert_reply(const struct job *job, uint32_t i, enum queue_verdict_kind kind, const char *reply)
{
	struct queue_blob b = job_reply(job, i);

	assert_int_equal(job->rcpts[i].verdict.kind, kind);
	assert_int_equal(b.len, strlen(reply));
	assert_memory_equal(b.ptr, reply, b.len);
}

static void
test_transfer(void **state)
{
	struct transfer t = {0};
	struct job *job = job_of(4);

	assert_true(transfer_begin(&t, job, NULL, NULL, NULL, 0));
	assert_int_equal(t.mail.rcpt_count, 4);
	assert_memory_equal(t.mail.rcpts[3].address.ptr, "r3@y.test", 9);
	assert_int_equal(t.mail.rcpts[3].notify, 3);
	assert_ptr_equal(t.mail.user, &t);
	result(&t, 1, SMTP_PHASE_RCPT, 550, "5.1.1 no such user");
	result(&t, 0, SMTP_PHASE_DOT, 250, "ok");
	result(&t, 2, SMTP_PHASE_DOT, 250, "ok");
	result(&t, 3, SMTP_PHASE_DOT, 250, "");
	assert_ptr_equal(transfer_end(&t), job);
	assert_null(t.job);
	assert_reply(job, 0, QUEUE_VERDICT_DELIVERED, "250 ok");
	assert_reply(job, 1, QUEUE_VERDICT_FAILED, "550 5.1.1 no such user");
	assert_reply(job, 3, QUEUE_VERDICT_DELIVERED, "250 ");
	job_free(job);
}

#define SECOND INT64_C(1000000)
#define NOW    (1000 * SECOND)

/* RFC 2852 4.1.4: what is left of the time at now. Whole seconds, and with R never none. */
static void
test_time_left(void **state)
{
	static const struct {
		const char *name;
		int64_t expire_us, notice_us, started_us;
		bool has_begun;
		enum smtp_by by;
		int32_t by_s;
	} times[] = {
		{"none", 0, 0, NOW, true, SMTP_BY_NONE, 0},
		{"R", NOW + 98 * SECOND, 0, NOW, true, SMTP_BY_RETURN, 98},
		{"R, a moment", NOW + 1, 0, NOW, true, SMTP_BY_RETURN, 1},
		{"R, ran out on the way", NOW, 0, NOW - 1, false, SMTP_BY_NONE, 0},
		{"R, over before by a clock in doubt", NOW, 0, NOW, true, SMTP_BY_NONE, 0},
		{"R, very long", INT64_MAX, 0, NOW, true, SMTP_BY_RETURN, SMTP_BY_MAX_S},
		{"N", 0, NOW + 98 * SECOND - 1, NOW, true, SMTP_BY_NOTIFY, 98},
		{"N, now", 0, NOW, NOW, true, SMTP_BY_NOTIFY, 0},
		{"N, over", 0, NOW - 98 * SECOND, NOW, true, SMTP_BY_NOTIFY, -98},
		{"N, long over", 0, 1, NOW, true, SMTP_BY_NOTIFY, -999},
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct transfer t = {0};
		struct job *job = job_of(2);
		struct queue_message *m = &job->message->meta;

		m->expire_us = times[i].expire_us;
		m->notice_us = times[i].notice_us;
		m->flags |= QUEUE_MESSAGE_TRACE;
		m->priority = 9;
		job->started_us = times[i].started_us;
		if (transfer_begin(&t, job, NULL, NULL, NULL, NOW) != times[i].has_begun)
			fail_msg("%s", times[i].name);
		if (times[i].has_begun) {
			if (t.mail.by != times[i].by || t.mail.by_s != times[i].by_s)
				fail_msg("%s: %d", times[i].name, t.mail.by_s);
			assert_int_equal(t.mail.by_trace, times[i].by != SMTP_BY_NONE);
			assert_int_equal(t.mail.priority, 9);
			(void)transfer_end(&t);
		} else {
			assert_null(t.job);
			assert_int_equal(job->rcpts[1].verdict.kind, QUEUE_VERDICT_LATER);
			assert_true(job->rcpts[1].verdict.wait_us > 0);
		}
		job_free(job);
	}
}

/* The site takes two, then says "too many": the rest goes at once, in the next transaction. */
static void
test_too_many_recipients(void **state)
{
	struct transfer t = {0};
	struct job *job = job_of(6);

	assert_true(transfer_begin(&t, job, NULL, NULL, NULL, 0));
	result(&t, 0, SMTP_PHASE_RCPT, 452, "4.5.3 too many"); /* none was taken: no reason to hurry */
	result(&t, 2, SMTP_PHASE_RCPT, 550, "no");
	result(&t, 3, SMTP_PHASE_RCPT, 452, "4.5.3 too many"); /* 1 was taken */
	result(&t, 5, SMTP_PHASE_RCPT, 552, "too many");
	result(&t, 1, SMTP_PHASE_DOT, 250, "ok");
	result(&t, 4, SMTP_PHASE_DOT, 250, "ok");
	(void)transfer_end(&t);
	assert_int_equal(job->rcpts[0].verdict.kind, QUEUE_VERDICT_LATER);
	assert_int_equal(job->rcpts[2].verdict.kind, QUEUE_VERDICT_FAILED);
	assert_int_equal(job->rcpts[3].verdict.kind, QUEUE_VERDICT_RETURN);
	assert_int_equal(job->rcpts[5].verdict.kind, QUEUE_VERDICT_RETURN);
	job_free(job);

	/* All refused: nothing was taken. */
	job = job_of(2);
	assert_true(transfer_begin(&t, job, NULL, NULL, NULL, 0));
	result(&t, 0, SMTP_PHASE_RCPT, 550, "no");
	result(&t, 1, SMTP_PHASE_RCPT, 452, "later");
	(void)transfer_end(&t);
	assert_int_equal(job->rcpts[1].verdict.kind, QUEUE_VERDICT_LATER);
	job_free(job);
}

static void
test_transfer_words_and_long_replies(void **state)
{
	struct smtp_client_fact fact = {
		.outcome = SMTP_OUTCOME_LOST, .phase = SMTP_PHASE_DATA, .text = SMTP_LIT("timeout in data")};
	struct transfer t = {0};
	struct job *job = job_of(2);
	static char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	assert_true(transfer_begin(&t, job, NULL, NULL, NULL, 0));
	transfer_result(&t, &fact);
	result(&t, 1, SMTP_PHASE_DOT, 554, text);
	(void)transfer_end(&t);
	assert_reply(job, 0, QUEUE_VERDICT_LATER, "timeout in data");
	assert_int_equal(job_reply(job, 1).len, QUEUE_REPLY_MAX);
	job_free(job);
}

/* The schedule names a recipient the message does not have. */
static void
test_transfer_of_unknown_recipient(void **state)
{
	struct transfer t = {0};
	struct job *job = job_of(2);

	job->rcpts[1].n = 77;
	assert_false(transfer_begin(&t, job, NULL, NULL, NULL, 0));
	assert_null(t.job);
	assert_true(job->is_damaged);
	assert_int_equal(job->rcpts[0].verdict.kind, QUEUE_VERDICT_DROPPED);
	job_free(job);
}

/* --- hosts --- */

static void
test_hosts(void **state)
{
	const int64_t hour_us = INT64_C(3600000000);
	struct hosts *h = hosts_create(64);
	char name[300];

	assert_non_null(h);
	assert_int_equal(hosts_faults(h, "mx.y.test", 1), 0);
	hosts_learn(h, "mx.y.test", HOSTS_TLS_BROKEN, 1000);
	hosts_learn(h, "mx.y.test", HOSTS_NO_OVERLAP, 2000);
	assert_int_equal(hosts_faults(h, "mx.y.test", 3000), HOSTS_TLS_BROKEN | HOSTS_NO_OVERLAP);
	assert_int_equal(hosts_faults(h, "mx.y.tes", 3000), 0);
	assert_int_equal(hosts_faults(h, "mx.y.test", 2000 + hour_us - 1), 3);
	assert_int_equal(hosts_faults(h, "mx.y.test", 2000 + hour_us), 0);
	/* A lesson after the old ones were forgotten does not bring them back. */
	hosts_learn(h, "mx.y.test", HOSTS_NO_OVERLAP, 3000 + hour_us);
	assert_int_equal(hosts_faults(h, "mx.y.test", 4000 + hour_us), HOSTS_NO_OVERLAP);
	/* Names too long to keep, and far more names than slots. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	hosts_learn(h, name, HOSTS_NO_OVERLAP, 1);
	assert_int_equal(hosts_faults(h, name, 2), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "mx%d.z.test", i);
		hosts_learn(h, name, HOSTS_NO_PIPELINING, 10);
		assert_int_equal(hosts_faults(h, name, 11), HOSTS_NO_PIPELINING);
	}
	hosts_destroy(&h);
	assert_null(h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_blame),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_too_many_recipients),
		cmocka_unit_test(test_transfer_words_and_long_replies),
		cmocka_unit_test(test_transfer_of_unknown_recipient),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
