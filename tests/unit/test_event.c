/* SPDX-License-Identifier: Apache-2.0 */
/* event: what is encoded comes back, and no bytes of the outbox lead the decoder astray. */
#include "report/event.h"

#include "base/bounce_class.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB(text) ((struct queue_blob){(text), sizeof(text) - 1})

static const struct event full = {
	.type = EVENT_TRANSIENT,
	.is_uncertain = true,
	.code = 451,
	.attempts = 7,
	.n = 65535,
	.id = UINT64_C(0x123456789abcdef0),
	.logged_us = INT64_C(1790000000123456),
	.queued_us = INT64_C(1780000000654321),
	.next_us = INT64_C(1790000900000000),
	.message_bytes = UINT64_C(5000000000),
	.sender = BLOB("s@x.test"),
	.rcpt = BLOB("r@y.test"),
	.orcpt = BLOB("rfc822;o@z.test"),
	.envid = BLOB("QQ314159"),
	.user = BLOB("shop"),
	.job = BLOB("job-1"),
	.pool = BLOB("marketing"),
	.source = BLOB("ip-a"),
	.esc = BLOB("4.7.1"),
	.reply = BLOB("451 4.7.1 try later"),
	.category = BLOB("other"),
	.bounce_class = BOUNCE_CLASS_GREYLISTED,
	.host = BLOB("mx.y.test"),
	.peer_ip = BLOB("203.0.113.9"),
	.local_ip = BLOB("192.0.2.10"),
	.tls = BLOB("TLSv1.3"),
	.caps = BLOB("PIPELINING,SIZE"),
	.from_domain = BLOB("shop.test"),
	.site = BLOB("y"),
	.message_id = BLOB("1@x.test"),
	.headers = BLOB("X-Campaign:spring\n"),
	.feedback = BLOB("abuse"),
	.klass = QUEUE_CLASS_BULK,
	.first_us = INT64_C(1780000001000000),
};

static const size_t texts[] = {
	offsetof(struct event, sender),
	offsetof(struct event, rcpt),
	offsetof(struct event, orcpt),
	offsetof(struct event, envid),
	offsetof(struct event, user),
	offsetof(struct event, job),
	offsetof(struct event, pool),
	offsetof(struct event, source),
	offsetof(struct event, esc),
	offsetof(struct event, reply),
	offsetof(struct event, category),
	offsetof(struct event, host),
	offsetof(struct event, peer_ip),
	offsetof(struct event, local_ip),
	offsetof(struct event, tls),
	offsetof(struct event, caps),
	offsetof(struct event, site),
	offsetof(struct event, message_id),
	offsetof(struct event, headers),
	offsetof(struct event, feedback),
	offsetof(struct event, from_domain),
	offsetof(struct event, of_report.format),
	offsetof(struct event, of_report.user_agent),
	offsetof(struct event, of_report.domain),
	offsetof(struct event, of_report.source_ip),
	offsetof(struct event, of_report.arrival_date),
	offsetof(struct event, of_report.auth),
};
enum { TEXT_COUNT = sizeof(texts) / sizeof(texts[0]), OF_REPORT = 6 };

/* With what a report adds, of an event that may have it. */
static struct event
full_report(enum event_type type)
{
	struct event e = full;

	e.type = type;
	e.of_report = (struct event_report){BLOB("arf"), BLOB("Yahoo!-Mail-Feedback/2.0"), BLOB("x.test"),
		BLOB("192.0.2.10"), BLOB("Wed, 1 Apr 2026 12:00:00 +0000"),
		BLOB("dkim=pass d=yahoo.com spf=pass")};
	return e;
}

static struct queue_blob *
text_of(const struct event *e, size_t i)
{
	return (struct queue_blob *)(uintptr_t)((const char *)e + texts[i]);
}

static void
assert_same(const struct event *a, const struct event *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->is_uncertain, b->is_uncertain);
	assert_int_equal(a->bounce_class, b->bounce_class);
	assert_int_equal(a->code, b->code);
	assert_int_equal(a->attempts, b->attempts);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->bounce_class, b->bounce_class);
	assert_true(a->id == b->id);
	assert_true(a->logged_us == b->logged_us && a->queued_us == b->queued_us);
	assert_true(a->next_us == b->next_us && a->message_bytes == b->message_bytes);
	assert_true(a->first_us == b->first_us && a->klass == b->klass);
	for (size_t i = 0; i < TEXT_COUNT; i++) {
		assert_int_equal(text_of(a, i)->len, text_of(b, i)->len);
		if (text_of(a, i)->len > 0)
			assert_memory_equal(text_of(a, i)->ptr, text_of(b, i)->ptr, text_of(a, i)->len);
	}
}

static void
test_round_trip(void **state)
{
	char buf[QUEUE_EVENT_MAX];
	struct event out;
	int n;

	assert_true((n = event_encode(&full, buf, sizeof(buf))) > 0);
	assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
	assert_same(&full, &out);
	/* Of one written before there were classes it is 0; one of a newer mtad is not guessed at. */
	buf[3] = BOUNCE_CLASS_COUNT;
	assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_EDAMAGED);
	buf[3] = 0;
	assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
	assert_int_equal(out.bounce_class, BOUNCE_CLASS_NONE);
	for (int type = 0; type < EVENT_TYPE_COUNT; type++) {
		struct event want = full_report((enum event_type)type);

		assert_true((n = event_encode(&want, buf, sizeof(buf))) > 0);
		assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
		if (type != EVENT_REMOTE && type != EVENT_COMPLAINT && type != EVENT_UNSUBSCRIBE)
			want.of_report = (struct event_report){0};
		assert_same(&want, &out);
		assert_int_equal(event_is_of_report((enum event_type)type), want.of_report.format.len > 0);
	}
	for (int type = 0; type < EVENT_TYPE_COUNT; type++) {
		struct event empty = {.type = (enum event_type)type};

		assert_true((n = event_encode(&empty, buf, sizeof(buf))) > 0);
		assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
		assert_same(&empty, &out);
	}
}

/* Every text in its own place: one at a time, nothing moves to a neighbour. */
static void
test_each_text_alone(void **state)
{
	char buf[QUEUE_EVENT_MAX];

	for (size_t i = 0; i < TEXT_COUNT; i++) {
		struct event e = {.type = EVENT_COMPLAINT}, out;
		int n;

		*text_of(&e, i) = BLOB("here and nowhere else");
		n = event_encode(&e, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
		assert_same(&e, &out);
	}
}

static void
test_long_texts_are_cut(void **state)
{
	char buf[QUEUE_EVENT_MAX], reply[70000];
	struct event e = full, out;
	int n;

	memset(reply, 'r', sizeof(reply));
	e.reply = (struct queue_blob){reply, sizeof(reply)};
	assert_true((n = event_encode(&e, buf, sizeof(buf))) > 0);
	assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
	assert_int_equal(out.reply.len, 512);
	assert_memory_equal(out.reply.ptr, reply, 512);
	e.reply = out.reply = (struct queue_blob){"", 0};
	assert_same(&e, &out);
}

/* A reader of the files need not cope with half a character; what is no UTF-8 is cut where it is. */
static void
test_no_character_is_cut(void **state)
{
	static const struct {
		const char *tail; /* begins at byte 510 */
		size_t want;
	} cases[] = {
		{"ab\xc3\xa9", 512},
		{"a\xc3\xa9", 511},
		{"\xc3\xa9\xc3\xa9", 512},
		{"\xe2\x82\xac", 510},
		{"\xf0\x9f\x98\x80", 510},
		{"\x80\x80\x80\x80", 512},
	};
	char buf[QUEUE_EVENT_MAX], reply[520];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event e = {.type = EVENT_BOUNCED, .reply = {reply, 0}}, out;
		int n;

		memset(reply, i < 5 ? 'r' : '\x80', sizeof(reply));
		e.reply.len = 510 + (size_t)snprintf(reply + 510, 10, "%s", cases[i].tail);
		assert_true((n = event_encode(&e, buf, sizeof(buf))) > 0);
		assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
		if (out.reply.len != cases[i].want)
			fail_msg("%zu: %zu", i, out.reply.len);
	}
}

/* The longest of everything that the other parts let through. */
static void
test_the_largest_event_fits(void **state)
{
	char buf[QUEUE_EVENT_MAX], text[600];
	struct event e = {.type = EVENT_COMPLAINT};

	memset(text, 'x', sizeof(text));
	e.sender = e.rcpt = (struct queue_blob){text, QUEUE_ADDRESS_MAX};
	e.orcpt = (struct queue_blob){text, 500};
	e.envid = (struct queue_blob){text, 100};
	e.user = e.job = e.pool = e.source = (struct queue_blob){text, QUEUE_NAME_MAX};
	e.esc = e.category = (struct queue_blob){text, 20};
	e.reply = (struct queue_blob){text, QUEUE_REPLY_MAX};
	e.host = e.site = (struct queue_blob){text, 255};
	e.peer_ip = e.local_ip = e.tls = (struct queue_blob){text, 48};
	e.caps = (struct queue_blob){text, 96};
	e.message_id = e.headers = (struct queue_blob){text, 512};
	e.feedback = (struct queue_blob){text, 32};
	for (size_t i = TEXT_COUNT - OF_REPORT; i < TEXT_COUNT; i++)
		*text_of(&e, i) = (struct queue_blob){text, sizeof(text)};
	assert_true(event_encode(&e, buf, sizeof(buf)) > 0);
}

static void
test_no_room(void **state)
{
	const struct event whole_event = full_report(EVENT_COMPLAINT);
	char *buf;
	char all[QUEUE_EVENT_MAX];
	int whole = event_encode(&whole_event, all, sizeof(all));

	for (int max = 0; max < whole; max++) {
		buf = malloc((size_t)max + 1); /* so that a byte too many is seen */
		assert_int_equal(event_encode(&whole_event, buf, (size_t)max), QUEUE_EINVAL);
		free(buf);
	}
	assert_int_equal(event_encode(&whole_event, all, (size_t)whole), whole);
}

static void
test_cut_anywhere(void **state)
{
	const struct event whole_event = full_report(EVENT_COMPLAINT);
	char all[QUEUE_EVENT_MAX];
	int whole = event_encode(&whole_event, all, sizeof(all));

	for (int n = 0; n < whole; n++) {
		char *copy = malloc((size_t)n + 1);
		struct event out = {.code = 99};

		memcpy(copy, all, (size_t)n);
		assert_int_equal(event_decode((struct queue_blob){copy, (size_t)n}, &out), QUEUE_EDAMAGED);
		free(copy);
	}
	/* And one byte more than there should be. */
	assert_int_equal(event_decode((struct queue_blob){all, (size_t)whole + 1}, &(struct event){0}),
		QUEUE_EDAMAGED);
}

/* Each byte changed to each of some values: an error, or an event whose texts lie inside the bytes. */
static void
test_every_byte_changed(void **state)
{
	const struct event whole_event = full_report(EVENT_COMPLAINT);
	static const unsigned char values[] = {0, 1, 2, 7, 16, 17, 18, 127, 128, 255};
	char all[QUEUE_EVENT_MAX];
	int whole = event_encode(&whole_event, all, sizeof(all));
	char *copy = malloc((size_t)whole);
	struct event out;

	for (int at = 0; at < whole; at++)
		for (size_t v = 0; v < sizeof(values); v++) {
			int err;

			memcpy(copy, all, (size_t)whole);
			copy[at] = (char)values[v];
			err = event_decode((struct queue_blob){copy, (size_t)whole}, &out);
			assert_true(err == QUEUE_OK || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION);
			if (err != QUEUE_OK)
				continue;
			assert_true(out.type < EVENT_TYPE_COUNT);
			for (size_t i = 0; i < TEXT_COUNT; i++) {
				const char *p = text_of(&out, i)->ptr;

				if (p == NULL) /* a text format 1 does not have */
					continue;
				assert_true(p >= copy && p + text_of(&out, i)->len <= copy + whole);
			}
		}
	copy[0] = 4;
	assert_int_equal(event_decode((struct queue_blob){copy, (size_t)whole}, &out), QUEUE_EVERSION);
	free(copy);
}

/*
 * What the versions before wrote: format 2 without first_us, klass, from_domain and of_report, format 1
 * without class, too, and with three texts fewer.
 */
static const struct {
	char version;
	int texts;
} olds[] = {
	{1, TEXT_COUNT - OF_REPORT - 4},
	{2, TEXT_COUNT - OF_REPORT - 1},
};

static void
test_older_formats(void **state)
{
	enum { FIXED = 56, NEWER = 16, COUNT_AT = 10, LENGTH = 2 };

	for (size_t i = 0; i < sizeof(olds) / sizeof(olds[0]); i++) {
		struct event e = full_report(EVENT_COMPLAINT), out;
		char buf[QUEUE_EVENT_MAX];
		uint16_t count = (uint16_t)olds[i].texts;
		int n;

		e.first_us = 0;
		e.klass = QUEUE_CLASS_NORMAL;
		if (olds[i].version == 1)
			e.bounce_class = 0;
		for (int t = olds[i].texts; t < TEXT_COUNT; t++)
			*text_of(&e, (size_t)t) = (struct queue_blob){"", 0};
		assert_true((n = event_encode(&e, buf, sizeof(buf))) > FIXED + NEWER);
		memmove(buf + FIXED, buf + FIXED + NEWER, (size_t)(n - FIXED - NEWER));
		n -= NEWER + (TEXT_COUNT - olds[i].texts) * LENGTH;
		buf[0] = olds[i].version;
		memcpy(buf + COUNT_AT, &count, sizeof(count));
		assert_int_equal(event_decode((struct queue_blob){buf, (size_t)n}, &out), QUEUE_OK);
		assert_same(&e, &out);
		assert_int_equal(
			event_decode((struct queue_blob){buf, (size_t)n + LENGTH}, &out), QUEUE_EDAMAGED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_older_formats),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_each_text_alone),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_no_character_is_cut),
		cmocka_unit_test(test_the_largest_event_fits),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_every_byte_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
