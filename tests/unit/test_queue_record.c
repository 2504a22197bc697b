/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: what goes in comes out, and nothing else ever does: every cut, every longer copy, every flipped
 * bit and every foreign key is refused.
 */
#include "queue_crc.h"
#include "queue_key.h"
#include "queue_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOB(text) ((struct queue_blob){.ptr = (text), .len = sizeof(text) - 1})

static char long_text[1000];

static struct queue_blob
text_of(size_t len)
{
	memset(long_text, 'x', sizeof long_text);
	assert_true(len <= sizeof long_text);
	return (struct queue_blob){.ptr = long_text, .len = len};
}

static void
assert_blob(struct queue_blob got, struct queue_blob want)
{
	assert_int_equal(got.len, want.len);
	if (want.len > 0)
		assert_memory_equal(got.ptr, want.ptr, want.len);
}

/* --- checksums --- */

static void
test_crc(void **state)
{
	/* RFC 3720 B.4, and the usual check value. */
	static const struct {
		const char *name;
		char byte;
		int count;
		uint32_t want;
	} cases[] = {
		{"32 zeros", 0, 32, 0x8a9136aa},
		{"32 ones", (char)0xff, 32, 0x62a8ab43},
		{"nothing", 0, 0, 0},
	};
	char buf[4096];
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		memset(buf, cases[i].byte, sizeof buf);
		assert_int_equal(queue_crc(0, buf, (size_t)cases[i].count), cases[i].want);
		assert_int_equal(queue_crc_portable(0, buf, (size_t)cases[i].count), cases[i].want);
	}
	assert_int_equal(queue_crc(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
	/* Any start, any length, any place to cut in two. */
	for (size_t from = 0; from < 9; from++) {
		for (size_t len = 0; len < 80; len++) {
			uint32_t whole = queue_crc(7, buf + from, len);
			size_t half = len / 3;

			assert_int_equal(whole, queue_crc_portable(7, buf + from, len));
			assert_int_equal(whole,
				queue_crc(queue_crc(7, buf + from, half), buf + from + half, len - half));
		}
	}
}

/* --- keys --- */

static void
test_keys(void **state)
{
	static const struct {
		queue_id id;
		uint16_t n;
		uint32_t chunk;
	} cases[] = {
		{0, 0, 0}, {1, 2, 3}, {77, 65535, (1 << 20) - 1}, {QUEUE_KEY_ID_MAX, 65535, (1 << 20) - 1}};
	char buf[QUEUE_KEY_QUARANTINE_MAX];
	struct queue_blob q;
	uint64_t back;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t rcpt = queue_key_rcpt(cases[i].id, cases[i].n);
		uint64_t body = queue_key_body(cases[i].id, cases[i].chunk);

		assert_int_equal(queue_key_rcpt_id(rcpt), cases[i].id);
		assert_int_equal(queue_key_rcpt_n(rcpt), cases[i].n);
		assert_int_equal(queue_key_body_id(body), cases[i].id);
		assert_int_equal(queue_key_body_chunk(body), cases[i].chunk);
		assert_true(queue_key_read_number(queue_key_number(&rcpt), &back));
		assert_int_equal(back, rcpt);
	}
	/* The last recipient and chunk of one message stand before the first of the next. */
	assert_true(queue_key_rcpt(5, 65535) < queue_key_rcpt(6, 0));
	assert_true(queue_key_body(5, (1 << 20) - 1) < queue_key_body(6, 0));
	assert_false(queue_key_read_number(BLOB("1234567"), &back));
	assert_false(queue_key_read_number(BLOB("123456789"), &back));
	q = queue_key_quarantine(buf, 0x0102, 'n', BLOB("name"));
	assert_blob(q, BLOB("\0\0\0\0\0\0\1\2nname"));
}

/* --- one record of each kind, and every way to damage it --- */

enum { KEY = 4711 };

struct sample {
	char bytes[4096];
	size_t len;
	int (*decode)(struct queue_blob bytes, uint64_t key);
};

static int
decode_message(struct queue_blob bytes, uint64_t key)
{
	struct queue_message m;
	uint32_t crc;

	return queue_record_decode_message(bytes, queue_key_number(&key), &m, &crc);
}

static int
decode_rcpt(struct queue_blob bytes, uint64_t key)
{
	struct queue_rcpt r;

	return queue_record_decode_rcpt(bytes, queue_key_number(&key), &r);
}

static int
decode_event(struct queue_blob bytes, uint64_t key)
{
	struct queue_blob payload;

	return queue_record_decode_blob(QUEUE_RECORD_EVENT, bytes, queue_key_number(&key), &payload);
}

static int
decode_state(struct queue_blob bytes, uint64_t key)
{
	struct queue_state st;

	return queue_record_decode_state(bytes, queue_key_number(&key), &st);
}

static const struct queue_message sample_message = {
	.arrived_us = 1790000000123456,
	.release_us = 1790000000654321,
	.expire_us = -5,
	.notice_us = 1790000000222222,
	.hold_s = 999999999,
	.priority = -9,
	.body_bytes = 123456789012,
	.sender = {"news@example.com", 16},
	.user = {"shop", 4},
	.job = {"autumn-26", 9},
	.pool = {"marketing", 9},
	.envid = {"QQ314159", 8},
	.from_domain = {"shop.example", 12},
	.message_id = {"1@shop.example", 14},
	.headers = {"X-A:b\n", 6},
	.ret = 2,
	.klass = QUEUE_CLASS_BULK,
	.flags = QUEUE_MESSAGE_8BIT | QUEUE_MESSAGE_DSN,
	.rcpt_count = 65536,
	.nonce = 0x89abcdef,
};
static const struct queue_rcpt sample_rcpt = {
	.n = 65535,
	.attempts = 12,
	.flags = QUEUE_RCPT_UNCERTAIN,
	.notify = 7,
	.due_us = INT64_MAX,
	.last_us = 1790000000999999,
	.first_us = 1780000000888888,
	.address = {"a@example.net", 13},
	.orcpt = {"rfc822;a@example.net", 20},
	.reply = {"451 4.7.1 later", 15},
	.source = {"ip-a", 4},
	.host = {"mx1.example.net", 15},
};
static const struct queue_state sample_state = {
	.next_id = 10,
	.next_event = 20,
	.reported = 5,
	.commits = 99,
	.totals = {.accepted = 7,
		.ended = {1, 2, 3, 4},
		.quarantined = 5,
		.messages_accepted = 6,
		.messages_queued = 8},
};

static size_t
make_samples(struct sample out[4])
{
	uint64_t number = KEY;
	struct queue_blob key = queue_key_number(&number);

	out[0].len = (size_t)queue_record_message_size(&sample_message);
	out[0].decode = decode_message;
	queue_record_encode_message(&sample_message, 0xdeadbeef, key, out[0].bytes);
	out[1].len = (size_t)queue_record_rcpt_size(&sample_rcpt);
	out[1].decode = decode_rcpt;
	queue_record_encode_rcpt(&sample_rcpt, key, out[1].bytes);
	out[2].len = QUEUE_RECORD_HEADER + 5;
	out[2].decode = decode_event;
	queue_record_encode_blob(QUEUE_RECORD_EVENT, BLOB("event"), key, out[2].bytes);
	out[3].len = queue_record_state_size();
	out[3].decode = decode_state;
	queue_record_encode_state(&sample_state, key, out[3].bytes);
	return 4;
}

/* In a block of its own exact size, so that a sanitizer sees one byte too far. */
static int
decode_exact(const struct sample *s, size_t len, uint64_t key)
{
	char *exact = malloc(len + 1);
	int err;

	assert_non_null(exact);
	memcpy(exact + 1, s->bytes, len);
	err = s->decode((struct queue_blob){.ptr = exact + 1, .len = len}, key);
	free(exact);
	return err;
}

static void
test_damage(void **state)
{
	struct sample samples[4] = {0};
	size_t count = make_samples(samples);

	for (size_t i = 0; i < count; i++) {
		struct sample *s = &samples[i];

		assert_int_equal(decode_exact(s, s->len, KEY), 0);
		assert_int_equal(decode_exact(s, s->len, KEY + 1), QUEUE_EDAMAGED);
		for (size_t len = 0; len < s->len; len++)
			assert_int_equal(decode_exact(s, len, KEY), QUEUE_EDAMAGED);
		s->bytes[s->len] = 0;
		assert_int_equal(decode_exact(s, s->len + 1, KEY), QUEUE_EDAMAGED);
		assert_int_equal(decode_exact(s, sizeof s->bytes, KEY), QUEUE_EDAMAGED);
		for (size_t bit = 0; bit < 8 * s->len; bit++) {
			s->bytes[bit / 8] ^= (char)(1 << bit % 8);
			assert_int_equal(decode_exact(s, s->len, KEY), QUEUE_EDAMAGED);
			s->bytes[bit / 8] ^= (char)(1 << bit % 8);
		}
		assert_int_equal(decode_exact(s, s->len, KEY), 0);
	}
	/* One kind is not another, whatever the checksum says. */
	for (size_t i = 0; i < count; i++) {
		struct sample foreign = samples[i];

		foreign.decode = samples[(i + 1) % count].decode;
		assert_int_equal(decode_exact(&foreign, foreign.len, KEY), QUEUE_EDAMAGED);
	}
}

/* Writes a right checksum over changed bytes: what a later version, or a bug, would leave. */
static void
reseal(struct sample *s)
{
	uint64_t number = KEY;
	uint32_t crc = queue_crc(0, &number, sizeof number);

	crc = queue_crc(crc, s->bytes, 4);
	crc = queue_crc(crc, s->bytes + 8, s->len - 8);
	for (int i = 0; i < 4; i++)
		s->bytes[4 + i] = (char)(crc >> (8 * i));
}

static void
test_versions(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		char more; /* added to the byte there */
		int want;
	} cases[] = {
		{"as written", 1, 0, 0},
		{"the next version", 1, 1, QUEUE_EVERSION},
		{"a far version", 1, 100, QUEUE_EVERSION},
		{"a flag of a later version", 2, 1, QUEUE_EVERSION},
	};
	struct sample samples[4];
	size_t count = make_samples(samples);

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
			struct sample s = samples[i];

			s.bytes[cases[k].at] += cases[k].more;
			reseal(&s);
			assert_int_equal(decode_exact(&s, s.len, KEY), cases[k].want);
		}
		samples[i].bytes[1] = 0; /* there never was such a version */
		reseal(&samples[i]);
		assert_int_equal(decode_exact(&samples[i], samples[i].len, KEY), QUEUE_EDAMAGED);
	}
	make_samples(samples);
	/* Sound checksum, senseless lengths: every length field of the recipient (they start at byte 30). */
	for (size_t at = 30; at + 1 < samples[1].len; at++) {
		struct sample s = samples[1];

		s.bytes[at + 1] = (char)0xff;
		reseal(&s);
		assert_in_range(-decode_exact(&s, s.len, KEY), 0, -QUEUE_EDAMAGED);
	}
	samples[3].bytes[8] = 0; /* next_id = 0 */
	reseal(&samples[3]);
	assert_int_equal(decode_exact(&samples[3], samples[3].len, KEY), QUEUE_EDAMAGED);
}

enum {
	RELEASE_AT = 16,
	NOTICE_AT = 32,
	PRIORITY_AT = 44,
	CLASS_AT = 62,
	NONCE_AT = 64
}; /* in a message record */

/* Takes the bytes from..to out of it. */
static void
cut_out(struct sample *s, size_t from, size_t to)
{
	memmove(s->bytes + from, s->bytes + to, s->len - to);
	s->len -= to - from;
}

/* What older versions wrote is read by this one. */
static void
test_message_of_older_versions(void **state)
{
	for (int version = 1; version < 4; version++) {
		struct sample samples[4], old;
		uint64_t number = KEY;
		struct queue_message m;
		uint32_t crc;

		make_samples(samples);
		old = samples[0];
		cut_out(&old, NONCE_AT, NONCE_AT + 4);
		old.len -= 2 + sample_message.message_id.len + 2 + sample_message.headers.len; /* the last */
		if (version < 3) {
			old.len -= 2 + sample_message.from_domain.len; /* the last before */
			cut_out(&old, NOTICE_AT + 8, PRIORITY_AT + 1);
		}
		if (version == 1) {
			cut_out(&old, NOTICE_AT, NOTICE_AT + 8);
			cut_out(&old, RELEASE_AT, RELEASE_AT + 8);
		}
		old.bytes[1] = (char)version;
		reseal(&old);
		assert_int_equal(queue_record_decode_message((struct queue_blob){old.bytes, old.len},
					 queue_key_number(&number), &m, &crc),
			0);
		assert_int_equal(m.release_us, version == 1 ? 0 : sample_message.release_us);
		assert_int_equal(m.notice_us, version == 1 ? 0 : sample_message.notice_us);
		assert_int_equal(m.hold_s, version < 3 ? 0 : sample_message.hold_s);
		assert_int_equal(m.priority, version < 3 ? 0 : sample_message.priority);
		assert_int_equal(m.from_domain.len, version < 3 ? 0 : sample_message.from_domain.len);
		assert_int_equal(m.nonce, 0);
		assert_int_equal(m.message_id.len + m.headers.len, 0);
		assert_int_equal(m.arrived_us, sample_message.arrived_us);
		assert_int_equal(m.expire_us, sample_message.expire_us);
		assert_int_equal(m.klass, sample_message.klass);
		assert_blob(m.envid, sample_message.envid);
		for (size_t len = 0; len < old.len; len++)
			assert_int_equal(decode_exact(&old, len, KEY), QUEUE_EDAMAGED);
	}
}

static void
test_rcpt_of_version_1(void **state)
{
	enum { FIRST_AT = QUEUE_RECORD_HEADER + 2 + 2 + 1 + 1 + 8 + 8 };
	struct sample samples[4];
	uint64_t number = KEY;
	struct queue_rcpt r;

	make_samples(samples);
	cut_out(&samples[1], FIRST_AT, FIRST_AT + 8);
	samples[1].bytes[1] = 1;
	reseal(&samples[1]);
	assert_int_equal(queue_record_decode_rcpt((struct queue_blob){samples[1].bytes, samples[1].len},
				 queue_key_number(&number), &r),
		0);
	assert_int_equal(r.first_us, 0);
	assert_int_equal(r.last_us, sample_rcpt.last_us);
	assert_blob(r.address, sample_rcpt.address);
	assert_blob(r.host, sample_rcpt.host);
	for (size_t len = 0; len < samples[1].len; len++)
		assert_int_equal(decode_exact(&samples[1], len, KEY), QUEUE_EDAMAGED);
}

static void
test_priority_out_of_range(void **state)
{
	struct sample samples[4];

	make_samples(samples);
	assert_int_equal((signed char)samples[0].bytes[PRIORITY_AT], -9);
	for (int bad = -10; bad <= 10; bad += 20) {
		samples[0].bytes[PRIORITY_AT] = (char)bad;
		reseal(&samples[0]);
		assert_int_equal(decode_exact(&samples[0], samples[0].len, KEY), QUEUE_EDAMAGED);
	}
}

static void
test_unknown_class(void **state)
{
	struct sample samples[4];

	make_samples(samples);
	assert_int_equal(samples[0].bytes[CLASS_AT], QUEUE_CLASS_BULK);
	samples[0].bytes[CLASS_AT] = QUEUE_CLASS_COUNT;
	reseal(&samples[0]);
	assert_int_equal(decode_exact(&samples[0], samples[0].len, KEY), QUEUE_EDAMAGED);
}

static void
test_round_trip(void **state)
{
	struct sample s[4];
	uint64_t number = KEY;
	struct queue_blob key = queue_key_number(&number);
	struct queue_message m;
	struct queue_rcpt r;
	struct queue_state st;
	uint32_t crc;

	make_samples(s);
	assert_int_equal(
		queue_record_decode_message((struct queue_blob){s[0].bytes, s[0].len}, key, &m, &crc), 0);
	assert_int_equal(crc, 0xdeadbeef);
	assert_int_equal(m.arrived_us, sample_message.arrived_us);
	assert_int_equal(m.release_us, sample_message.release_us);
	assert_int_equal(m.expire_us, sample_message.expire_us);
	assert_int_equal(m.notice_us, sample_message.notice_us);
	assert_int_equal(m.hold_s, sample_message.hold_s);
	assert_int_equal(m.priority, sample_message.priority);
	assert_int_equal(m.body_bytes, sample_message.body_bytes);
	assert_int_equal(m.rcpt_count, sample_message.rcpt_count);
	assert_int_equal(m.ret, sample_message.ret);
	assert_int_equal(m.klass, sample_message.klass);
	assert_int_equal(m.flags, sample_message.flags);
	assert_int_equal(m.nonce, sample_message.nonce);
	assert_blob(m.sender, sample_message.sender);
	assert_blob(m.user, sample_message.user);
	assert_blob(m.job, sample_message.job);
	assert_blob(m.pool, sample_message.pool);
	assert_blob(m.envid, sample_message.envid);
	assert_blob(m.from_domain, sample_message.from_domain);
	assert_blob(m.message_id, sample_message.message_id);
	assert_blob(m.headers, sample_message.headers);
	assert_int_equal(queue_record_decode_rcpt((struct queue_blob){s[1].bytes, s[1].len}, key, &r), 0);
	assert_int_equal(r.n, sample_rcpt.n);
	assert_int_equal(r.attempts, sample_rcpt.attempts);
	assert_int_equal(r.flags, sample_rcpt.flags);
	assert_int_equal(r.notify, sample_rcpt.notify);
	assert_int_equal(r.due_us, sample_rcpt.due_us);
	assert_int_equal(r.last_us, sample_rcpt.last_us);
	assert_int_equal(r.first_us, sample_rcpt.first_us);
	assert_blob(r.address, sample_rcpt.address);
	assert_blob(r.orcpt, sample_rcpt.orcpt);
	assert_blob(r.reply, sample_rcpt.reply);
	assert_blob(r.source, sample_rcpt.source);
	assert_blob(r.host, sample_rcpt.host);
	assert_int_equal(queue_record_decode_state((struct queue_blob){s[3].bytes, s[3].len}, key, &st), 0);
	assert_int_equal(st.totals.events_pending, 14);
	st.totals.events_pending = 0;
	assert_memory_equal(&st, &sample_state, sizeof st);
}

static void
test_limits(void **state)
{
	struct queue_message m = {0};
	struct queue_rcpt r = {.address = BLOB("a@b")};
	uint64_t number = KEY;
	char room[QUEUE_RECORD_RCPT_MAX];
	struct queue_rcpt back;
	int size;

	assert_true(queue_record_message_size(&m) > 0);
	m.sender = text_of(QUEUE_ADDRESS_MAX);
	m.user = m.job = m.pool = text_of(QUEUE_NAME_MAX);
	m.envid = text_of(QUEUE_RECORD_TEXT_MAX);
	assert_in_range(queue_record_message_size(&m), 1, QUEUE_RECORD_MESSAGE_MAX);
	m.sender.len++;
	assert_int_equal(queue_record_message_size(&m), QUEUE_EINVAL);
	m.sender.len--;
	m.pool.len++;
	assert_int_equal(queue_record_message_size(&m), QUEUE_EINVAL);

	/* What only explains is cut, not refused: a long reply must not keep a result from being recorded. */
	r.reply = r.host = r.source = text_of(1000);
	size = queue_record_rcpt_size(&r);
	assert_in_range(size, 1, sizeof room);
	queue_record_encode_rcpt(&r, queue_key_number(&number), room);
	assert_int_equal(queue_record_decode_rcpt(
				 (struct queue_blob){room, (size_t)size}, queue_key_number(&number), &back),
		0);
	assert_int_equal(back.reply.len, QUEUE_REPLY_MAX);
	assert_int_equal(back.host.len, QUEUE_RECORD_HOST_MAX);
	r.address = text_of(QUEUE_ADDRESS_MAX + 1);
	assert_int_equal(queue_record_rcpt_size(&r), QUEUE_EINVAL);
	r.address.len = 0;
	assert_int_equal(queue_record_rcpt_size(&r), QUEUE_EINVAL);
}

static void
test_err_text(void **state)
{
	for (int err = QUEUE_EINVAL; err <= 0; err++) {
		assert_non_null(queue_err_text(err));
		assert_string_not_equal(queue_err_text(err), queue_err_text(-1000));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_message_of_older_versions),
		cmocka_unit_test(test_rcpt_of_version_1),
		cmocka_unit_test(test_priority_out_of_range),
		cmocka_unit_test(test_unknown_class),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_err_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
