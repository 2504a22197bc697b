/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepare: what is added to a submission, what is taken out, what is refused, and that nothing else of it
 * changes by a byte.
 */
#include "intake/prepare.h"

#include "conf/conf_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As fake_clock makes them. */
#define RECEIVED                                                                                             \
	"Received: by mta.x.test with ESMTP id 65f35c4cdf000abcd1234;\r\n\tSun, 01 Nov 2026 12:00:00 "       \
	"+0000\r\n"
#define DATE "Date: Sun, 01 Nov 2026 12:00:00 +0000\r\n"
#define ID   "Message-ID: <65f35c4cdf000abcd1234@mta.x.test>\r\n"
#define FULL "Date: d\r\nMessage-ID: <m>\r\n"

static int64_t
fake_us(void *arg)
{
	return INT64_C(0x65f35c4cdf000);
}
static uint32_t
fake_random(void *arg)
{
	return 0xabcd1234;
}
static const struct clock fake_clock = {fake_us, fake_us, fake_random, NULL};

static const char conf_text[] = "hostname = mta.x.test\n"
				"listen l { address = { \"127.0.0.1:2525\" } }\n"
				"source s { }\n"
				"pool default-pool { sources = { s } }\n"
				"pool marketing { sources = { s } }\n";

struct fixture {
	const struct conf *conf;
	struct conf_listen listen;
	struct conf_user user;
	struct prepare_input in;
	struct prepare_reply reply;
	struct queue_message meta; /* what MAIL asked for */
	struct message *m;
	char *all; /* the pieces, one after the other */
	size_t all_len;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->conf = conf_load_bytes("/nonexistent/mtad.conf", conf_text, sizeof(conf_text) - 1, stderr);
	assert_non_null(f->conf);
	f->listen = (struct conf_listen){.name = "l", .pool = ""};
	f->user = (struct conf_user){.name = "shop", .pool = "", .bounces = true};
	f->in = (struct prepare_input){.conf = f->conf,
		.listen = &f->listen,
		.clock = &fake_clock,
		.is_trusted = true,
		.is_esmtp = true,
		.helo = SMTP_LIT("client.test"),
		.client_ip = "192.0.2.7"};
	*state = f;
	return 0;
}

static void
drop(struct fixture *f)
{
	message_unref(f->m);
	f->m = NULL;
	free(f->all);
	f->all = NULL;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	drop(f);
	conf_unref(f->conf);
	free(f);
	return 0;
}

/* Returns the reply's code; at 0 f->all is what would be stored. */
static int
prepare_bytes(struct fixture *f, const char *bytes, size_t len)
{
	size_t at = 0;

	drop(f);
	assert_non_null(f->m = message_create(NULL));
	f->m->meta = f->meta;
	assert_true(message_append(f->m, bytes, len));
	prepare_message(f->m, &f->in, &f->reply);
	if (f->reply.code != 0) {
		assert_true(f->reply.text[0] != '\0' && f->reply.esc != NULL);
		return f->reply.code;
	}
	f->all_len = f->m->body[0].len + f->m->body[1].len + f->m->body[2].len;
	assert_int_equal(f->all_len, f->m->meta.body_bytes);
	assert_int_equal(f->m->meta.arrived_us, fake_us(NULL));
	assert_non_null(f->all = malloc(f->all_len + 1));
	for (int i = 0; i < QUEUE_BODY_PIECES; i++) {
		const struct queue_blob *b = &f->m->body[i];

		if (b->len > 0)
			memcpy(f->all + at, b->ptr, b->len);
		at += b->len;
		/* A piece ends at a line end, unless it is the end of everything. */
		assert_true(at == 0 || at == f->all_len || f->all[at - 1] == '\n');
	}
	f->all[at] = '\0';
	return 0;
}

static int
prepare(struct fixture *f, const char *text)
{
	return prepare_bytes(f, text, strlen(text));
}

/* --- what is stored --- */

static const struct {
	const char *name, *in, *want;
} shapes[] = {
	{"all is there", "From: a@b.test\r\n" FULL "\r\nbody\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nbody\r\n"},
	{"Date is missing", "From: a@b.test\r\nmessage-id: <m>\r\n\r\nbody\r\n",
		RECEIVED DATE "From: a@b.test\r\nmessage-id: <m>\r\n\r\nbody\r\n"},
	{"Message-ID is missing", "From: a@b.test\r\nDATE: d\r\n\r\nbody\r\n",
		RECEIVED ID "From: a@b.test\r\nDATE: d\r\n\r\nbody\r\n"},
	{"empty ones are missing", "date:\r\nFrom: a@b.test\r\nMessage-ID: \r\n \r\n\r\nbody\r\n",
		RECEIVED DATE ID "From: a@b.test\r\n\r\nbody\r\n"},
	{"empty beside filled", "Date:\r\nFrom: a@b.test\r\n" FULL "\r\nbody\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nbody\r\n"},
	{"both", "From: a@b.test\r\n\r\n", RECEIVED DATE ID "From: a@b.test\r\n\r\n"},
	{"header only", "From: a@b.test\r\n" FULL, RECEIVED "From: a@b.test\r\n" FULL},
	{"header only, something removed", "Bcc: x@y.test\r\nFrom: a@b.test\r\n" FULL,
		RECEIVED "From: a@b.test\r\n" FULL},
	{"Bcc goes, folded and in any case",
		"From: a@b.test\r\nbcc: x@y.test,\r\n\tz@y.test\r\n" FULL "\r\nBcc: b\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nBcc: b\r\n"},
	{"each of them goes",
		"Return-Path: <r>\r\nContent-Length: 5\r\nFrom: a@b.test\r\nBcc: 1\r\nBcc: 2\r\n" FULL "\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\n"},
	{"the last one goes", "From: a@b.test\r\n" FULL "X-Job: j\r\n\r\nx",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nx"},
	{"B5 a line of a mailbox file goes",
		"From a@b.test Mon Jan  1 00:00:00 2024\r\nFrom: a@b.test\r\n" FULL "\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\n"},
	{"B5 a quoted one too, and other fields with it",
		">From - Mon Jan  1 00:00:00 2024\r\nFrom: a@b.test\r\nBcc: x\r\n" FULL "\r\nFrom body\r\n",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nFrom body\r\n"},
	{"names that only begin so stay", "From: a@b.test\r\nBcc2: x\r\nX-Jobs: y\r\n" FULL "\r\n",
		RECEIVED "From: a@b.test\r\nBcc2: x\r\nX-Jobs: y\r\n" FULL "\r\n"},
	{"odd but legal is untouched",
		"from : \r\n a@b.test\r\nFrom: a@b.test\r\n" FULL "X:\r\n\r\n\r\n.\r\n..\r\n", NULL},
	{"body without line end", "From: a@b.test\r\n" FULL "\r\nno end",
		RECEIVED "From: a@b.test\r\n" FULL "\r\nno end"},
};

static void
test_shapes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		int code = prepare(f, shapes[i].in);

		if (shapes[i].want == NULL) {
			assert_int_equal(code, 550);
			continue;
		}
		if (code != 0)
			fail_msg("%s: %d %s", shapes[i].name, code, f->reply.text);
		if (strcmp(f->all, shapes[i].want) != 0)
			fail_msg("%s:\n%s", shapes[i].name, f->all);
	}
}

static const struct {
	const char *name, *in;
	int code;
	const char *esc, *words;
} refusals[] = {
	{"nothing", "", 550, "5.6.0", "no From"},
	{"no From", "Subject: x\r\n\r\nFrom: in@body.test\r\n", 550, "5.6.0", "no From"},
	{"empty From", "From: \r\n\t\r\nSubject: x\r\n\r\n", 550, "5.6.0", "empty From"},
	{"two From", "From: a@b.test\r\nFROM: c@d.test\r\n\r\n", 550, "5.6.0", "several From"},
	{"body first", "hello world\r\n", 550, "5.6.0", "Byte 0 of"},
	{"text in the header", "From: a@b.test\r\nhello\r\n\r\n", 550, "5.6.0", "Byte 16 of"},
	{"B5 two lines of a mailbox file", "From a\r\n>From b\r\nFrom: a@b.test\r\n\r\n", 550, "5.6.0",
		"Byte 8 of"},
	{"B5 a line of a mailbox file further down", "Subject: x\r\nFrom a\r\n\r\n", 550, "5.6.0",
		"Byte 12 of"},
	{"B5 nothing but it", "From a\r\n", 550, "5.6.0", "no From"},
	{"a field with a blank behind its name", "From : a@b.test\r\n\r\n", 550, "5.6.0", "Byte 0 of"},
	{"fold first", " From: a@b.test\r\n\r\n", 550, "5.6.0", "Byte 0 of"},
	{"bare LF", "From: a@b.test\nX: y\r\n\r\n", 550, "5.6.0", "Byte 14 of"},
};

static void
test_refusals(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (prepare(f, refusals[i].in) != refusals[i].code)
			fail_msg("%s: %d %s", refusals[i].name, f->reply.code, f->reply.text);
		assert_string_equal(f->reply.esc, refusals[i].esc);
		if (strstr(f->reply.text, refusals[i].words) == NULL)
			fail_msg("%s: %s", refusals[i].name, f->reply.text);
	}
}

static const struct {
	const char *from;
	int code;
} owners[] = {
	{"a@own.test", 0},
	{"Some One <A@OWN.test>", 0},
	{"boss@x.test (Boss), \"ceo@other.test\" <a@own.test>", 0},
	{"a@other.test", 553},
	{"a@own.test, b@other.test", 553},
	{"<a@own.test> <b@other.test>", 553},
	{"Team: a@own.test;", 553},
	{"(nobody)", 553},
};

static void
test_from_of_a_user(void **state)
{
	struct fixture *f = *state;
	const char *rules[] = {"@own.test", "boss@x.test"};
	char text[200];

	f->user.senders = (struct conf_list){rules, 2};
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		snprintf(text, sizeof(text), "From: %s\r\n\r\nbody\r\n", owners[i].from);
		f->in.user = &f->user;
		if (prepare(f, text) != owners[i].code)
			fail_msg("%s: %d %s", owners[i].from, f->reply.code, f->reply.text);
		if (owners[i].code != 0)
			assert_string_equal(f->reply.esc, "5.7.1");
		f->in.user = NULL;
		assert_int_equal(prepare(f, text), 0);
	}
}

static void
test_hops(void **state)
{
	struct fixture *f = *state;
	char text[4000];
	size_t n = 0;

	for (int i = 0; i < SMTP_HOPS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Received: by hop%d.test\r\n", i);
	snprintf(text + n, sizeof(text) - n, "From: a@b.test\r\n\r\n");
	assert_int_equal(prepare(f, text), 0);
	snprintf(text + n, sizeof(text) - n, "received: one more\r\nFrom: a@b.test\r\n\r\n");
	assert_int_equal(prepare(f, text), 554);
	assert_string_equal(f->reply.esc, "5.4.6");
}

static void
test_too_long(void **state)
{
	struct fixture *f = *state;
	size_t len = SMTP_HEADER_BLOCK_MAX + 100, n = 16;
	char *text = malloc(len);

	memcpy(text, "From: a@b.test\r\n", 16);
	while (n + 60 < len)
		n += (size_t)snprintf(text + n, len - n, "X-%08zu: %040d\r\n", n, 0);
	assert_int_equal(prepare_bytes(f, text, n), 552);
	assert_string_equal(f->reply.esc, "5.3.4");
	free(text);
}

/* --- job and pool --- */

static const struct {
	const char *name, *fields;
	bool is_trusted;
	int code;
	const char *job, *pool;
} controls[] = {
	{"none", "", true, 0, "", "default-pool"},
	{"trusted", "X-Job: spring\r\nX-Virtual-MTA: marketing\r\n", true, 0, "spring", "marketing"},
	{"not trusted: taken out all the same", "X-Job: spring\r\nX-Virtual-MTA: marketing\r\n", false, 0, "",
		"default-pool"},
	{"not trusted: never a reason to refuse", "X-Job: a b\r\nX-Virtual-MTA: unknown\r\n", false, 0, "",
		"default-pool"},
	{"the other name", "x-mtad-job: spring\r\n", true, 0, "spring", "default-pool"},
	{"the first counts", "X-Job: one\r\nX-Mtad-Job: two\r\nX-Job: three\r\n", true, 0, "one",
		"default-pool"},
	{"an empty one does not", "X-Job:\r\nX-Job: two\r\n", true, 0, "two", "default-pool"},
	{"blanks and folds around it", "X-Job: \r\n\t spring \r\n", true, 0, "spring", "default-pool"},
	{"blank inside", "X-Job: a b\r\n", true, 550, NULL, NULL},
	{"comma", "X-Job: a,b\r\n", true, 550, NULL, NULL},
	{"quote", "X-Job: \"a\"\r\n", true, 550, NULL, NULL},
	{"8 bit", "X-Job: n\xc3\xb6\r\n", true, 550, NULL, NULL},
	{"unknown pool", "X-Virtual-MTA: unknown\r\n", true, 550, NULL, NULL},
	{"pool by prefix", "X-Virtual-MTA: market\r\n", true, 550, NULL, NULL},
};

static void
test_controls(void **state)
{
	struct fixture *f = *state;
	char text[300];

	f->listen.pool = "default-pool";
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
		snprintf(text, sizeof(text), "%sFrom: a@b.test\r\n" FULL "\r\nbody\r\n", controls[i].fields);
		f->in.is_trusted = controls[i].is_trusted;
		if (prepare(f, text) != controls[i].code)
			fail_msg("%s: %d %s", controls[i].name, f->reply.code, f->reply.text);
		if (controls[i].code != 0)
			continue;
		assert_string_equal(f->all, RECEIVED "From: a@b.test\r\n" FULL "\r\nbody\r\n");
		assert_int_equal(f->m->meta.job.len, strlen(controls[i].job));
		assert_memory_equal(f->m->meta.job.ptr != NULL ? f->m->meta.job.ptr : "", controls[i].job,
			f->m->meta.job.len);
		assert_int_equal(f->m->meta.pool.len, strlen(controls[i].pool));
		assert_memory_equal(f->m->meta.pool.ptr, controls[i].pool, f->m->meta.pool.len);
	}
}

/* --- when it goes, and its class --- */

#define SECOND INT64_C(1000000)

static const struct {
	const char *name, *fields;
	bool is_trusted;
	const char *why;        /* of a 554; NULL: granted */
	int64_t release_s;      /* from now */
	enum queue_class klass; /* MAIL made it bulk */
} wishes[] = {
	{"none", "", true, NULL, 0, QUEUE_CLASS_BULK},
	{"a time", "X-Schedule: after 2h\r\n", true, NULL, 7200, QUEUE_CLASS_BULK},
	{"a date, by the other name, folded", "x-mtad-schedule:\r\n Sun, 01 Nov 2026\r\n\t13:00:00 +0000\r\n",
		true, NULL, 3600, QUEUE_CLASS_BULK},
	{"the first counts", "X-Schedule: \r\nX-Mtad-Schedule: after 1h\r\nX-Schedule: after 2h\r\n", true,
		NULL, 3600, QUEUE_CLASS_BULK},
	{"a past one", "X-Schedule: 2026-11-01T11:59:59Z\r\n", true, NULL, 0, QUEUE_CLASS_BULK},
	{"a wrong one", "X-Schedule: tomorrow\r\n", true, "Field X-Schedule: write 2026-", 0, 0},
	{"a wrong one before a right one", "X-Schedule: soon\r\nX-Schedule: after 1h\r\n", true,
		"write 2026-", 0, 0},
	{"one too long",
		"X-Schedule: Sun, 01 Nov 2026 13:00:00 +0000 (0123456789 0123456789 0123456789 0123456789 "
		"0123456789 0123456789 0123456789 0123456789 0123456789)\r\n",
		true, "write 2026-", 0, 0},
	{"one too far away", "X-Mtad-Schedule: after 31d\r\n", true,
		"Field X-Mtad-Schedule: it goes up to 30 days", 0, 0},
	{"one that is not for this client", "X-Schedule: after 2h\r\n", false, NULL, 0, QUEUE_CLASS_BULK},
	{"a wrong one that is not", "X-Schedule: tomorrow\r\nX-Mtad-Class: high\r\nMT-Priority: x\r\n", false,
		NULL, 0, QUEUE_CLASS_BULK},
	{"a class", "X-Mtad-Class: Urgent\r\n", true, NULL, 0, QUEUE_CLASS_URGENT},
	{"a class that is not for this client", "X-Mtad-Class: urgent\r\nMT-Priority: 4\r\n", false, NULL, 0,
		QUEUE_CLASS_BULK},
	{"a wrong class", "X-Mtad-Class: high\r\n", true,
		"Field X-Mtad-Class: the classes are urgent, normal and bulk", 0, 0},
	{"a priority", "MT-Priority: 0\r\n", true, NULL, 0, QUEUE_CLASS_NORMAL},
	/* RFC 6758 3.1, 4a: "a single syntactically valid" one; 4: comments around it */
	{"a priority and a comment", "MT-Priority: (very)\r\n (\\) 4) 0 (ultra)\r\n", true, NULL, 0,
		QUEUE_CLASS_NORMAL},
	{"two priorities", "MT-Priority: 0\r\nMT-Priority: 0\r\n", true, NULL, 0, QUEUE_CLASS_BULK},
	{"two words", "MT-Priority: 0 0\r\n", true, "Field MT-Priority: a priority is", 0, 0},
	{"a comment alone", "MT-Priority: (0)\r\n", true, "Field MT-Priority: a priority is", 0, 0},
	{"a wrong priority", "MT-Priority: 10\r\n", true, "Field MT-Priority: a priority is", 0, 0},
	{"the class by name counts", "MT-Priority: 0\r\nX-Mtad-Class: urgent\r\n", true, NULL, 0,
		QUEUE_CLASS_URGENT},
};

static void
test_wishes(void **state)
{
	struct fixture *f = *state;
	char text[400];

	f->meta.klass = QUEUE_CLASS_BULK;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		snprintf(text, sizeof(text), "%sFrom: a@b.test\r\n" FULL "\r\nbody\r\n", wishes[i].fields);
		f->in.is_trusted = wishes[i].is_trusted;
		if (prepare(f, text) != (wishes[i].why != NULL ? 554 : 0))
			fail_msg("%s: %d %s", wishes[i].name, f->reply.code, f->reply.text);
		if (wishes[i].why != NULL) {
			assert_string_equal(f->reply.esc, "5.6.0");
			if (strstr(f->reply.text, wishes[i].why) == NULL)
				fail_msg("%s: %s", wishes[i].name, f->reply.text);
			continue;
		}
		assert_string_equal(f->all, RECEIVED "From: a@b.test\r\n" FULL "\r\nbody\r\n");
		if (f->m->meta.klass != wishes[i].klass)
			fail_msg("%s: class %d", wishes[i].name, f->m->meta.klass);
		assert_int_equal(f->m->meta.release_us,
			wishes[i].release_s != 0 ? fake_us(NULL) + wishes[i].release_s * SECOND : 0);
	}
}

/* What MAIL asked for stays, unless a header says another time. */
static void
test_wishes_of_mail(void **state)
{
	static const struct {
		const char *fields;
		int64_t release_s, expire_s, want_release_s, want_expire_s;
		int code;
	} cases[] = {
		{"", 60, 0, 60, 0, 0},
		{"", 60, 120, 60, 120, 0},
		{"X-Schedule: after 30s\r\n", 60, 120, 30, 120, 0},
		{"X-Schedule: after 2m\r\n", 60, 120, 0, 0, 554},
		{"", 0, 4 * 86400 - 1, 0, 4 * 86400 - 1, 0},
		{"", 0, 5 * 86400, 0, 5 * 86400, 0},
		{"X-Schedule: after 1s\r\n", 0, 4 * 86400, 1, 4 * 86400, 0},
	};
	struct fixture *f = *state;
	char text[300];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%sFrom: a@b.test\r\n\r\n", cases[i].fields);
		f->meta.release_us =
			cases[i].release_s != 0 ? fake_us(NULL) + cases[i].release_s * SECOND : 0;
		f->meta.expire_us = cases[i].expire_s != 0 ? fake_us(NULL) + cases[i].expire_s * SECOND : 0;
		assert_int_equal(prepare(f, text), cases[i].code);
		if (cases[i].code != 0)
			continue;
		assert_int_equal(f->m->meta.release_us,
			cases[i].want_release_s != 0 ? fake_us(NULL) + cases[i].want_release_s * SECOND : 0);
		assert_int_equal(f->m->meta.expire_us,
			cases[i].want_expire_s != 0 ? fake_us(NULL) + cases[i].want_expire_s * SECOND : 0);
	}
}

/* RFC 6710 4.1, 2: a clause of the trace field, for what MAIL says (4), else the header (RFC 6758 3.1, 4a).
 */
static void
test_priority_is_traced(void **state)
{
	static const struct {
		const char *fields;
		bool in_mail, is_trusted;
		int8_t mail, want;
	} cases[] = {
		{"", true, true, -4, -4},
		{"MT-Priority: 7\r\n", true, true, -4, -4},
		{"MT-Priority: 7\r\n", true, true, 0, 0},
		{"MT-Priority: high\r\n", true, true, 5, 5},
		{"MT-Priority: 7\r\n", false, true, 0, 7},
		{"MT-Priority: 7\r\n", false, false, 0, 0},
	};
	struct fixture *f = *state;
	char text[200], want[80];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->in.has_priority = cases[i].in_mail;
		f->in.is_trusted = cases[i].is_trusted;
		f->meta.priority = cases[i].mail;
		snprintf(text, sizeof(text), "%sFrom: a@b.test\r\n" FULL "\r\n", cases[i].fields);
		assert_int_equal(prepare(f, text), 0);
		assert_int_equal(f->m->meta.priority, cases[i].want);
		snprintf(want, sizeof(want), " id 65f35c4cdf000abcd1234 PRIORITY %d;\r\n\tSun, 01 Nov",
			cases[i].want);
		assert_int_equal(strstr(f->all, want) != NULL, cases[i].want != 0);
		assert_null(strstr(f->all, "MT-Priority"));
	}
}

static void
test_longest_names(void **state)
{
	struct fixture *f = *state;
	char text[400];

	snprintf(text, sizeof(text), "X-Job: %0127d\r\nFrom: a@b.test\r\n\r\n", 7);
	assert_int_equal(prepare(f, text), 0);
	assert_int_equal(f->m->meta.job.len, 127);
	snprintf(text, sizeof(text), "X-Job: %0128d\r\nFrom: a@b.test\r\n\r\n", 7);
	assert_int_equal(prepare(f, text), 550);
	snprintf(text, sizeof(text), "X-Job: %0300d\r\nFrom: a@b.test\r\n\r\n", 7);
	assert_int_equal(prepare(f, text), 550);
}

static void
test_pool_of_the_user(void **state)
{
	struct fixture *f = *state;

	f->listen.pool = "default-pool";
	f->user.pool = "marketing";
	f->in.user = &f->user;
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_memory_equal(f->m->meta.pool.ptr, "marketing", f->m->meta.pool.len);
	assert_int_equal(f->m->meta.pool.len, 9);
	f->user.pool = "";
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_int_equal(f->m->meta.pool.len, 12);
}

/* --- flags --- */

static const struct {
	const char *name, *in;
	bool smtputf8;
	const char *rcpt;
	uint8_t flags;
} flag_cases[] = {
	{"7 bit", "From: a@b.test\r\n\r\nplain\r\n", false, "r@y.test", 0},
	{"7 bit, SMTPUTF8 said for nothing", "From: a@b.test\r\n\r\nplain\r\n", true, "r@y.test", 0},
	{"8-bit body", "From: a@b.test\r\n\r\nn\xc3\xb6\r\n", false, "r@y.test", QUEUE_MESSAGE_8BIT},
	{"8-bit last byte", "From: a@b.test\r\n\r\nlonger than a word \xff", false, "r@y.test",
		QUEUE_MESSAGE_8BIT},
	{"8-bit body under SMTPUTF8", "From: a@b.test\r\n\r\n\xc3\xb6\r\n", true, "r@y.test",
		QUEUE_MESSAGE_8BIT},
	{"8-bit header", "From: a@b.test\r\nX: \xc3\xb6\r\n\r\n", false, "r@y.test", QUEUE_MESSAGE_8BIT},
	{"8-bit header under SMTPUTF8", "From: a@b.test\r\nX: \xc3\xb6\r\n\r\n", true, "r@y.test",
		QUEUE_MESSAGE_8BIT | QUEUE_MESSAGE_UTF8},
	{"8-bit recipient", "From: a@b.test\r\n\r\n", true, "\xc3\xb6@y.test", QUEUE_MESSAGE_UTF8},
};

static void
test_flags(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(flag_cases) / sizeof(flag_cases[0]); i++) {
		struct queue_rcpt r = {.address = {flag_cases[i].rcpt, strlen(flag_cases[i].rcpt)}};

		drop(f);
		f->m = message_create(NULL);
		assert_true(message_append(f->m, flag_cases[i].in, strlen(flag_cases[i].in)));
		assert_true(message_add_rcpt(f->m, &r, (struct queue_blob){"y.test", 6}));
		f->in.is_smtputf8 = flag_cases[i].smtputf8;
		prepare_message(f->m, &f->in, &f->reply);
		assert_int_equal(f->reply.code, 0);
		if (f->m->meta.flags != flag_cases[i].flags)
			fail_msg("%s: %d", flag_cases[i].name, f->m->meta.flags);
	}
	f->in.user = &f->user;
	f->user.bounces = false;
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_int_equal(f->m->meta.flags, QUEUE_MESSAGE_NO_BOUNCE);
}

/* --- Received --- */

static const struct {
	bool is_esmtp, is_tls, has_user, is_utf8;
	const char *want;
} protocols[] = {
	{false, false, false, false, " with SMTP id "},
	{true, false, false, false, " with ESMTP id "},
	{true, true, false, false, " with ESMTPS id "},
	{true, false, true, false, " with ESMTPA id "},
	{true, true, true, false, " with ESMTPSA id "},
	{true, false, false, true, " with UTF8SMTP id "},
	{true, true, true, true, " with UTF8SMTPSA id "},
};

static void
test_received(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		f->in.is_esmtp = protocols[i].is_esmtp;
		f->in.is_tls = protocols[i].is_tls;
		f->in.user = protocols[i].has_user ? &f->user : NULL;
		f->in.is_smtputf8 = protocols[i].is_utf8;
		assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
		assert_non_null(strstr(f->all, protocols[i].want));
		assert_null(strstr(f->all, "192.0.2.7")); /* not shown unless asked for */
		assert_null(strstr(f->all, "client.test"));
	}
	f->listen.show_client = true;
	f->in.helo = SMTP_LIT("evil\r\nX: (y) <z>");
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_non_null(
		strstr(f->all, "Received: from evil??X:??y???z? ([192.0.2.7])\r\n\tby mta.x.test with "));
	f->in.client_ip = "2001:db8::7";
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_non_null(strstr(f->all, "z? ([IPv6:2001:db8::7])\r\n\tby mta.x.test with "));
	f->in.client_ip = "local";
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_non_null(strstr(f->all, "z?\r\n\tby mta.x.test with "));
}

static void
test_from_domain(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(prepare(f, "Bcc: x\r\nFrom: \"A, B\" <a@Shop.EXAMPLE>\r\n\r\n"), 0);
	assert_int_equal(f->m->meta.from_domain.len, 12);
	assert_memory_equal(f->m->meta.from_domain.ptr, "shop.example", 12);
	assert_int_equal(prepare(f, "From: undisclosed\r\n\r\n"), 0);
	assert_int_equal(f->m->meta.from_domain.len, 0);
}

static const struct {
	const char *name, *header, *id, *kept;
} kept[] = {
	{"nothing", "From: a@b.test\r\nMessage-ID: <1@b.test>\r\n\r\n", "1@b.test", ""},
	{"in the order of the configuration",
		"x-b: 2\r\nX-A: 1\r\nFrom: a@b.test\r\nMessage-ID: <1@b.test>\r\n\r\n", "1@b.test",
		"X-A:1\nX-B:2\n"},
	{"the first of two", "X-A: 1\r\nX-A: 2\r\nFrom: a@b.test\r\nMessage-ID:<1@b.test>\r\n\r\n",
		"1@b.test", "X-A:1\n"},
	{"folded, with tabs, empty",
		"X-A: a\r\n\tb c \r\nX-B:\r\nFrom: a@b.test\r\nMessage-ID:\r\n <1@b.test>\r\n\r\n",
		"1@b.test", "X-A:a b c\nX-B:\n"},
	{"an id without brackets", "From: a@b.test\r\nMessage-ID: 1\r\n\r\n", "1", ""},
	{"a forged field", "X-A: 1\r\n X-B: 2\r\nFrom: a@b.test\r\nMessage-ID: <1@b.test>\r\n\r\n",
		"1@b.test", "X-A:1 X-B: 2\n"},
};

static void
test_kept(void **state)
{
	static const char *const names[] = {"X-A", "X-B", "X-None"};
	struct fixture *f = *state;
	struct conf *c = (struct conf *)(uintptr_t)f->in.conf;
	char long_value[900] = "X-A: ";

	c->consumers.kept_headers = (struct conf_list){names, 3};
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		assert_int_equal(prepare(f, kept[i].header), 0);
		if (f->m->meta.headers.len != strlen(kept[i].kept) ||
			memcmp(f->m->meta.headers.ptr, kept[i].kept, strlen(kept[i].kept)) != 0)
			fail_msg("%s: %.*s", kept[i].name, (int)f->m->meta.headers.len,
				(const char *)f->m->meta.headers.ptr);
		assert_int_equal(f->m->meta.message_id.len, strlen(kept[i].id));
		assert_memory_equal(f->m->meta.message_id.ptr, kept[i].id, strlen(kept[i].id));
	}
	/* Ours, where there was none. */
	assert_int_equal(prepare(f, "From: a@b.test\r\n\r\n"), 0);
	assert_true(f->m->meta.message_id.len > 12);
	assert_memory_equal(
		(const char *)f->m->meta.message_id.ptr + f->m->meta.message_id.len - 11, "@mta.x.test", 11);
	/* Cut, and whole all the same; the next has no room. */
	memset(long_value + 5, 'v', 700);
	snprintf(long_value + 705, sizeof(long_value) - 705, "\r\nX-B: 2\r\nFrom: a@b.test\r\n\r\n");
	assert_int_equal(prepare(f, long_value), 0);
	assert_int_equal(f->m->meta.headers.len, QUEUE_HEADERS_MAX);
	assert_int_equal(((const char *)f->m->meta.headers.ptr)[QUEUE_HEADERS_MAX - 1], '\n');
	c->consumers.kept_headers = (struct conf_list){NULL, 0};
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_shapes),
		CASE(test_refusals),
		CASE(test_from_of_a_user),
		CASE(test_hops),
		CASE(test_too_long),
		CASE(test_controls),
		CASE(test_wishes),
		CASE(test_wishes_of_mail),
		CASE(test_priority_is_traced),
		CASE(test_longest_names),
		CASE(test_pool_of_the_user),
		CASE(test_flags),
		CASE(test_received),
		CASE(test_from_domain),
		CASE(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
