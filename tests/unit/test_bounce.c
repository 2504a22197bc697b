/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounce: who is told what. For each outcome, NOTIFY, sender and switch: the recipients named in the
 * notification, and no notification where nobody is to be named.
 */
#include "queue/bounce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp_types.h"
#include "starve.h"
#include "store_fixture.h"

enum {
	LARGE = 1000000, /* what there is no memory for */

	NEVER = SMTP_NOTIFY_NEVER,
	SUCCESS = SMTP_NOTIFY_SUCCESS,
	FAILURE = SMTP_NOTIFY_FAILURE,
	DELAY = SMTP_NOTIFY_DELAY
};

static int64_t
fake_us(void *arg)
{
	return INT64_C(1793534400000000);
}
static uint32_t
fake_random(void *arg)
{
	return 0xabcd1234;
}
static const struct clock fake_clock = {fake_us, fake_us, fake_random, NULL};
static const struct conf conf = {.hostname = "mta.x.test", .bounce_from = "MAILER-DAEMON@mta.x.test"};
static const struct bounce_conf bounce = {.conf = &conf, .clock = &fake_clock};

static struct job *
job_of(uint32_t rcpts, const char *sender)
{
	static const char body[] = "From: s@x.test\r\nSubject: secret\r\n\r\nthe text\r\n";
	struct job *job = calloc(1, sizeof(*job) + rcpts * sizeof(job->rcpts[0]));
	char address[40];

	assert_non_null(job);
	assert_non_null(job->message = message_create(NULL));
	assert_true(message_append(job->message, body, sizeof(body) - 1));
	job->message->body[0] = (struct queue_blob){job->message->buffer, job->message->buffer_len};
	job->message->meta.sender = message_keep(job->message, sender, strlen(sender));
	job->message->meta.user = message_keep(job->message, "shop", 4);
	job->message->meta.job = message_keep(job->message, "j1", 2);
	job->rcpt_count = rcpts;
	for (uint32_t i = 0; i < rcpts; i++) {
		int n = snprintf(address, sizeof(address), "r%u@y.test", i);
		struct queue_rcpt r = {.address = {address, (size_t)n}};

		job->rcpts[i].n = (uint16_t)i;
		assert_true(message_add_rcpt(job->message, &r, (struct queue_blob){"y.test", 6}));
	}
	return job;
}

static void
settle(struct job *job, uint32_t i, enum queue_verdict_kind kind, unsigned notify, const char *reply)
{
	struct queue_verdict v = {.kind = kind, .code = reply[0] == '5' ? 550 : 0};

	job_answer(job, i, &v, BOUNCE_CLASS_BAD_MAILBOX, reply[0] == '5' ? "5.1.1" : "",
		(struct queue_blob){reply, strlen(reply)});
	job->rcpts[i].settled.kind = kind;
	job->message->rcpts[i].notify = (uint8_t)notify;
}

static bool
dsn_has(const struct job *job, const char *words)
{
	const struct queue_blob *b = &job->dsn->body[0];

	return memmem(b->ptr, b->len, words, strlen(words)) != NULL;
}

/* `action` NULL: nobody is told. */
static const struct {
	const char *name;
	enum queue_verdict_kind kind;
	unsigned notify;
	bool delay_due, peer_has_dsn;
	const char *action;
} cases[] = {
	{"failed", QUEUE_VERDICT_FAILED, 0, false, false, "failed"},
	{"failed, NOTIFY=FAILURE", QUEUE_VERDICT_FAILED, FAILURE, false, false, "failed"},
	{"failed, NOTIFY=NEVER", QUEUE_VERDICT_FAILED, NEVER, false, false, NULL},
	{"failed, NOTIFY=SUCCESS", QUEUE_VERDICT_FAILED, SUCCESS, false, false, NULL},
	{"failed, NOTIFY=DELAY", QUEUE_VERDICT_FAILED, DELAY, false, false, NULL},
	{"failed, all", QUEUE_VERDICT_FAILED, SUCCESS | FAILURE | DELAY, false, false, "failed"},
	{"failed where the site knows DSN", QUEUE_VERDICT_FAILED, 0, false, true, "failed"},
	{"expired", QUEUE_VERDICT_EXPIRED, 0, false, false, "failed"},
	{"expired, NOTIFY=NEVER", QUEUE_VERDICT_EXPIRED, NEVER, false, false, NULL},
	{"expired, NOTIFY=DELAY", QUEUE_VERDICT_EXPIRED, DELAY, false, false, NULL},
	{"delivered", QUEUE_VERDICT_DELIVERED, 0, false, false, NULL},
	{"delivered, NOTIFY=SUCCESS", QUEUE_VERDICT_DELIVERED, SUCCESS, false, false, "relayed"},
	{"delivered, the site tells itself", QUEUE_VERDICT_DELIVERED, SUCCESS, false, true, NULL},
	{"delivered, NOTIFY=FAILURE", QUEUE_VERDICT_DELIVERED, FAILURE, false, false, NULL},
	{"waits", QUEUE_VERDICT_LATER, 0, false, false, NULL},
	{"waits too long", QUEUE_VERDICT_LATER, 0, true, false, "delayed"},
	{"waits too long, NOTIFY=DELAY", QUEUE_VERDICT_LATER, DELAY, true, false, "delayed"},
	{"waits too long, NOTIFY=FAILURE", QUEUE_VERDICT_LATER, FAILURE, true, false, NULL},
	{"waits too long, NOTIFY=NEVER", QUEUE_VERDICT_LATER, NEVER, true, false, NULL},
	{"uncertain", QUEUE_VERDICT_UNCERTAIN, 0, false, false, NULL},
	{"goes back", QUEUE_VERDICT_RETURN, 0, false, false, NULL},
	{"dropped by an operator", QUEUE_VERDICT_DROPPED, 0, false, false, NULL},
	{"dropped, NOTIFY=FAILURE", QUEUE_VERDICT_DROPPED, FAILURE, false, false, NULL},
};

static void
test_who_is_told(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct job *job = job_of(1, "s@x.test");
		char words[60];

		settle(job, 0, cases[i].kind, cases[i].notify, "550 5.1.1 no");
		if (cases[i].delay_due)
			job->rcpts[0].verdict.set_flags = QUEUE_RCPT_DELAY_SENT;
		if (cases[i].peer_has_dsn)
			snprintf(job->caps, sizeof(job->caps), "PIPELINING,DSN,SIZE");
		if (bounce_is_wanted(job) != (cases[i].action != NULL))
			fail_msg("%s", cases[i].name);
		if (cases[i].action != NULL) {
			assert_true(bounce_write(job, &bounce));
			snprintf(words, sizeof(words), "\r\nAction: %s\r\n", cases[i].action);
			if (!dsn_has(job, words))
				fail_msg("%s: no %s", cases[i].name, words);
		}
		job_free(job);
	}
}

/* RFC 2852: the time of BY= in reports, of a job handed out at fake_us(). */
static const struct {
	const char *name;
	enum queue_verdict_kind kind;
	int64_t expire_s, notice_s; /* from then, 0: none */
	const char *caps;
	unsigned notify;
	bool is_traced;
	const char *words; /* NULL: nobody is told */
} timed[] = {
	{"4.1.1: R, in time", QUEUE_VERDICT_DELIVERED, 60, 0, "", 0, false, NULL},
	{"4.1.3: R, over", QUEUE_VERDICT_EXPIRED, -1, 0, "", 0, false,
		"\r\nAction: failed\r\nStatus: 5.4.7\r\n"},
	{"4.1.3: R, over, NOTIFY=DELAY", QUEUE_VERDICT_EXPIRED, -1, 0, "", DELAY, false, NULL},
	{"4.1.3: N, over", QUEUE_VERDICT_LATER, 0, -1, "", 0, false,
		"\r\nAction: delayed\r\nStatus: 4.4.7\r\n"},
	{"4.1.3: N, over, NOTIFY=FAILURE", QUEUE_VERDICT_LATER, 0, -1, "", FAILURE, false, NULL},
	{"4.1.4: T", QUEUE_VERDICT_DELIVERED, 60, 0, "DSN,DELIVERBY", 0, true, "\r\nAction: relayed\r\n"},
	{"4.1.4: T, NOTIFY=FAILURE", QUEUE_VERDICT_DELIVERED, 60, 0, "DSN,DELIVERBY", FAILURE, true,
		"\r\nAction: relayed\r\n"},
	{"4.1.4: T, NOTIFY=NEVER", QUEUE_VERDICT_DELIVERED, 60, 0, "", NEVER, true, NULL},
	{"4.1.4.2: N, a site that keeps it", QUEUE_VERDICT_DELIVERED, 0, 60, "DELIVERBY", 0, false, NULL},
	{"4.1.4.2: N, a site that does not", QUEUE_VERDICT_DELIVERED, 0, 60, "PIPELINING,DSN", 0, false,
		"\r\nAction: relayed\r\n"},
	{"4.1.4.2: N, NOTIFY=FAILURE", QUEUE_VERDICT_DELIVERED, 0, 60, "", FAILURE, false,
		"\r\nAction: relayed\r\n"},
	{"4.1.4.2: N, NOTIFY=NEVER", QUEUE_VERDICT_DELIVERED, 0, 60, "", NEVER, false, NULL},
	{"4.1.4.2: N, after that time", QUEUE_VERDICT_DELIVERED, 0, -1, "", 0, false, NULL},
};

static void
test_deliver_by(void **state)
{
	for (size_t i = 0; i < sizeof(timed) / sizeof(timed[0]); i++) {
		struct job *job = job_of(1, "s@x.test");
		struct queue_message *m = &job->message->meta;

		job->started_us = fake_us(NULL);
		m->arrived_us = job->started_us - INT64_C(3600000000);
		m->expire_us = timed[i].expire_s != 0 ? job->started_us + timed[i].expire_s * 1000000 : 0;
		m->notice_us = timed[i].notice_s != 0 ? job->started_us + timed[i].notice_s * 1000000 : 0;
		m->flags = timed[i].is_traced ? QUEUE_MESSAGE_TRACE : 0;
		settle(job, 0, timed[i].kind, timed[i].notify, "451 4.7.1 later");
		snprintf(job->rcpts[0].esc, sizeof(job->rcpts[0].esc), "%s",
			timed[i].kind == QUEUE_VERDICT_EXPIRED ? "5.4.7" : "4.7.1");
		if (timed[i].kind == QUEUE_VERDICT_LATER)
			job->rcpts[0].verdict.set_flags = QUEUE_RCPT_DELAY_SENT;
		snprintf(job->caps, sizeof(job->caps), "%s", timed[i].caps);
		if (bounce_is_wanted(job) != (timed[i].words != NULL))
			fail_msg("%s", timed[i].name);
		if (timed[i].words != NULL) {
			assert_true(bounce_write(job, &bounce));
			if (!dsn_has(job, timed[i].words) ||
				!dsn_has(job, "\r\nArrival-Date: Sun, 01 Nov 2026 11:00:00 +0000\r\n"
					      "Deliver-By-Date: Sun, 01 Nov 2026 1"))
				fail_msg("%s: %.*s", timed[i].name, (int)job->dsn->body[0].len,
					(const char *)job->dsn->body[0].ptr);
		}
		job_free(job);
	}
}

/* RFC 6710 4.6: a report is as urgent as what it is about; RFC 4865 5.1.2: and tells when that was to go. */
static void
test_report_is_like_its_message(void **state)
{
	struct job *job = job_of(1, "s@x.test");
	struct queue_message *m = &job->message->meta;

	m->priority = -4;
	m->klass = QUEUE_CLASS_BULK;
	m->release_us = fake_us(NULL);
	m->hold_s = 60;
	settle(job, 0, QUEUE_VERDICT_FAILED, 0, "550 5.1.1 no");
	assert_true(bounce_write(job, &bounce));
	assert_int_equal(job->dsn->meta.priority, -4);
	assert_int_equal(job->dsn->meta.klass, QUEUE_CLASS_BULK);
	assert_int_equal(job->dsn->meta.release_us, 0);
	assert_true(dsn_has(job, "\r\nFuture-Release-Request: for;60\r\n"));
	m->hold_s = 0;
	message_unref(job->dsn);
	assert_true(bounce_write(job, &bounce));
	assert_true(dsn_has(job, "\r\nFuture-Release-Request: until;2026-11-01T12:00:00Z\r\n"));
	job_free(job);
}

static const struct {
	const char *name, *sender;
	uint8_t flags;
	bool wanted;
} senders[] = {
	{"somebody", "s@x.test", 0, true},
	{"null sender", "", 0, false},
	{"a notification itself", "s@x.test", QUEUE_MESSAGE_DSN, false},
	{"user with bounces = no", "s@x.test", QUEUE_MESSAGE_NO_BOUNCE, false},
	{"8 bit does not matter", "s@x.test", QUEUE_MESSAGE_8BIT, true},
};

static void
test_to_whom(void **state)
{
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		struct job *job = job_of(1, senders[i].sender);

		job->message->meta.flags = senders[i].flags;
		settle(job, 0, QUEUE_VERDICT_FAILED, FAILURE, "550 5.1.1 no");
		if (bounce_is_wanted(job) != senders[i].wanted)
			fail_msg("%s", senders[i].name);
		job_free(job);
	}
}

/* One notification for a job names those who want it and nobody else. */
static void
test_some_of_a_job(void **state)
{
	struct job *job = job_of(5, "s@x.test");
	const struct message *d;

	settle(job, 0, QUEUE_VERDICT_DELIVERED, 0, "250 ok");
	settle(job, 1, QUEUE_VERDICT_FAILED, 0, "550 5.1.1 no such user");
	settle(job, 2, QUEUE_VERDICT_FAILED, NEVER, "550 5.1.1 nor this one");
	settle(job, 3, QUEUE_VERDICT_LATER, 0, "451 later");
	settle(job, 4, QUEUE_VERDICT_EXPIRED, 0, "too old");
	snprintf(job->host, sizeof(job->host), "mx.y.test");
	assert_true(bounce_is_wanted(job));
	assert_true(bounce_write(job, &bounce));
	assert_true(dsn_has(job, "\r\nFinal-Recipient: rfc822; r1@y.test\r\n") ||
		    dsn_has(job, "\r\nFinal-Recipient: rfc822;r1@y.test\r\n"));
	assert_true(dsn_has(job, "r4@y.test"));
	assert_false(dsn_has(job, "r0@y.test"));
	assert_false(dsn_has(job, "r2@y.test"));
	assert_false(dsn_has(job, "r3@y.test"));
	assert_true(dsn_has(job, "550 5.1.1 no such user"));
	assert_false(dsn_has(job, "550 550"));
	d = job->dsn;
	assert_int_equal(d->meta.sender.len, 0);
	assert_non_null(d->meta.sender.ptr);
	assert_int_equal(d->meta.flags, QUEUE_MESSAGE_DSN);
	assert_int_equal(d->rcpt_count, 1);
	assert_memory_equal(d->rcpts[0].address.ptr, "s@x.test", 8);
	assert_memory_equal(d->domains[0].ptr, "x.test", 6);
	assert_memory_equal(d->meta.job.ptr, "j1", 2);
	assert_int_equal(d->meta.body_bytes, d->body[0].len);
	assert_int_equal(d->meta.arrived_us, fake_us(NULL));
	job_free(job);
}

/* What expires is told with what it waited for: the last answer, not only "time expired". */
static void
test_expired(void **state)
{
	static const struct {
		const char *reply, *want, *not_want;
		enum queue_verdict_kind verdict; /* of the job that ends it */
	} expired[] = {
		{"451 4.7.1 come later", "\r\nDiagnostic-Code: smtp; 451 4.7.1 come later\r\n",
			"time expired", QUEUE_VERDICT_EXPIRED},
		{"Connection refused", "\r\nDiagnostic-Code: x-mtad; Connection refused\r\n", "time expired",
			QUEUE_VERDICT_EXPIRED},
		{"", "\r\nDiagnostic-Code: x-mtad; time expired\r\n", "Remote-MTA", QUEUE_VERDICT_EXPIRED},
		{"45", "\r\nDiagnostic-Code: x-mtad; 45\r\n", "smtp;", QUEUE_VERDICT_EXPIRED},
		{"450 the time before", "\r\nDiagnostic-Code: x-mtad; time expired\r\n", "450",
			QUEUE_VERDICT_LATER},
	};

	for (size_t i = 0; i < sizeof(expired) / sizeof(expired[0]); i++) {
		struct job *job = job_of(1, "s@x.test");
		struct queue_rcpt *r = &job->message->rcpts[0];

		r->reply = message_keep(job->message, expired[i].reply, strlen(expired[i].reply));
		r->host = message_keep(job->message, "mx.y.test", 9);
		settle(job, 0, QUEUE_VERDICT_EXPIRED, 0, "time expired");
		job->rcpts[0].verdict.kind = expired[i].verdict;
		snprintf(job->rcpts[0].esc, sizeof(job->rcpts[0].esc), "4.4.7");
		assert_true(bounce_write(job, &bounce));
		if (!dsn_has(job, expired[i].want) || dsn_has(job, expired[i].not_want))
			fail_msg("%s: %.*s", expired[i].reply, (int)job->dsn->body[0].len,
				(const char *)job->dsn->body[0].ptr);
		assert_true(dsn_has(job, "\r\nStatus: 4.4.7\r\n"));
		job_free(job);
	}
}

/* An address beyond ASCII cannot be told without SMTPUTF8. */
static void
test_sender_beyond_ascii(void **state)
{
	struct job *job = job_of(1, "j\xc3\xb6rg@x.test");

	settle(job, 0, QUEUE_VERDICT_FAILED, 0, "550 5.1.1 no");
	assert_true(bounce_write(job, &bounce));
	assert_int_equal(job->dsn->meta.flags, QUEUE_MESSAGE_DSN | QUEUE_MESSAGE_UTF8 | QUEUE_MESSAGE_8BIT);
	job_free(job);
}

/* A reply that is a code and nothing else. */
static void
test_bare_reply(void **state)
{
	struct job *job = job_of(1, "s@x.test");

	settle(job, 0, QUEUE_VERDICT_FAILED, 0, "550 ");
	assert_true(bounce_write(job, &bounce));
	assert_true(dsn_has(job, "550"));
	assert_false(dsn_has(job, "550 550"));
	job_free(job);
}

static const struct {
	const char *name;
	enum smtp_ret ret;
	enum queue_verdict_kind kind;
	bool full;
} rets[] = {
	{"not said", SMTP_RET_NONE, QUEUE_VERDICT_FAILED, false},
	{"RET=HDRS", SMTP_RET_HDRS, QUEUE_VERDICT_FAILED, false},
	{"RET=FULL", SMTP_RET_FULL, QUEUE_VERDICT_FAILED, true},
	{"RET=FULL of a success", SMTP_RET_FULL, QUEUE_VERDICT_DELIVERED, false},
};

static void
test_what_is_returned(void **state)
{
	for (size_t i = 0; i < sizeof(rets) / sizeof(rets[0]); i++) {
		struct job *job = job_of(1, "s@x.test");

		job->message->meta.ret = (uint8_t)rets[i].ret;
		job->message->meta.envid = message_keep(job->message, "QQ314", 5);
		settle(job, 0, rets[i].kind, SUCCESS | FAILURE, "550 5.1.1 no");
		assert_true(bounce_write(job, &bounce));
		assert_true(dsn_has(job, "Subject: secret"));
		assert_true(dsn_has(job, "\r\nOriginal-Envelope-Id: QQ314\r\n"));
		if (dsn_has(job, "the text") != rets[i].full)
			fail_msg("%s", rets[i].name);
		job_free(job);
	}
}

/* A sender nothing can be sent to: the recipients still end, without a mail. */
static void
test_unusable_senders(void **state)
{
	static const char *const bad[] = {"postmaster", "s@[192.0.2.1", "s@..", "s@"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct job *job = job_of(1, bad[i]);

		settle(job, 0, QUEUE_VERDICT_FAILED, 0, "550 no");
		assert_false(bounce_write(job, &bounce));
		assert_null(job->dsn);
		job_free(job);
	}
}

static void
test_without_a_message(void **state)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(job->rcpts[0]));

	job->rcpt_count = 1;
	job->rcpts[0].settled.kind = QUEUE_VERDICT_FAILED;
	assert_false(bounce_is_wanted(job)); /* damaged: there is nobody to tell */
	job_free(job);
}

/* A message of `bytes` whose only recipient has expired; as the sign thread gets it, it has to be loaded. */
static struct job *
expired_in_spool(struct fixture *f, size_t bytes)
{
	static const char head[] = "From: s@x.test\r\nSubject: secret\r\n\r\n";
	struct job *job = calloc(1, sizeof(*job) + sizeof(job->rcpts[0]));
	struct queue_message m = {.sender = BLOB("s@x.test"), .ret = SMTP_RET_FULL};
	const struct queue_rcpt r = {.address = BLOB("r@y.test")};
	struct queue_blob body[QUEUE_BODY_PIECES] = {BLOB(head)};
	char *text = malloc(bytes);

	assert_true(job != NULL && text != NULL);
	for (size_t i = 0; i < bytes; i++)
		text[i] = "the text\r\n"[i % 10];
	body[1] = (struct queue_blob){text, bytes};
	OK(queue_store_begin(f->store));
	OK(queue_store_put(f->store, &m, &r, 1, body));
	OK(queue_store_commit(f->store));
	free(text);
	job->id = m.id;
	job->rcpt_count = 1;
	job->rcpts[0].verdict.kind = job->rcpts[0].settled.kind = QUEUE_VERDICT_EXPIRED;
	return job;
}

/* Waiting for memory would hold up the record of the recipient's end, and with it all deliveries. */
static void
test_I2_a_message_that_does_not_fit_into_memory(void **state)
{
	struct fixture *f = *state;
	struct bounce_conf c = bounce;
	struct job *job = expired_in_spool(f, 2 * LARGE);

	c.store = f->store;
	starve_larger(LARGE);
	assert_true(bounce_load(job, &c));
	assert_true(starve_end() > 0);
	assert_true(bounce_is_wanted(job));
	assert_true(bounce_write(job, &c));
	assert_true(dsn_has(job, "r@y.test"));
	assert_false(dsn_has(job, "the text"));
	assert_false(dsn_has(job, "message/rfc822"));
	job_free(job);
}

/* It can be read, but what quotes it cannot be made: its header tells the sender which one it was. */
static void
test_I2_a_notification_that_does_not_fit_into_memory(void **state)
{
	struct fixture *f = *state;
	struct bounce_conf c = bounce;
	struct job *job = expired_in_spool(f, 2 * LARGE);

	c.store = f->store;
	assert_true(bounce_load(job, &c));
	starve_larger(LARGE);
	assert_true(bounce_write(job, &c));
	assert_true(starve_end() > 0);
	assert_true(dsn_has(job, "Subject: secret"));
	assert_false(dsn_has(job, "the text"));
	job_free(job);
}

/* Without the addresses nothing can be recorded: it is loaded in a moment. */
static void
test_I3_no_memory_at_all(void **state)
{
	struct fixture *f = *state;
	struct bounce_conf c = bounce;
	struct job *job = expired_in_spool(f, 100);

	c.store = f->store;
	starve_begin(1, true);
	assert_false(bounce_load(job, &c));
	assert_true(starve_end() > 0);
	assert_false(job->is_damaged);
	assert_true(bounce_load(job, &c));
	assert_true(bounce_write(job, &c));
	assert_true(dsn_has(job, "the text"));
	job_free(job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_told),
		cmocka_unit_test(test_deliver_by),
		cmocka_unit_test(test_report_is_like_its_message),
		cmocka_unit_test(test_to_whom),
		cmocka_unit_test(test_some_of_a_job),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_sender_beyond_ascii),
		cmocka_unit_test(test_bare_reply),
		cmocka_unit_test(test_what_is_returned),
		cmocka_unit_test(test_unusable_senders),
		cmocka_unit_test(test_without_a_message),
		CASE(test_I2_a_message_that_does_not_fit_into_memory),
		CASE(test_I2_a_notification_that_does_not_fit_into_memory),
		CASE(test_I3_no_memory_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
