/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are what a later version, and a damaged disk, hand back to us. So: little-endian numbers of fixed
 * width (queue_bytes.h), then texts with their length in front, under a header of kind, version and checksum.
 * A record must be used up exactly: left-over bytes mean that writer and reader disagree.
 *
 *   0 kind   1 version   2 zero   4 checksum of key, bytes 0..3 and bytes 8..end   8 fields
 */
#include "queue_record.h"

#include "queue_bytes.h"
#include "queue_crc.h"

#include <assert.h>
#include <string.h>

enum {
	VERSION = 1, /* of every kind but two */
	VERSION_MESSAGE = 4,
	VERSION_RCPT = 2,
	MESSAGE_FIXED = 8 * 5 + 4 * 4 + 4,
	RCPT_FIXED = 2 * 2 + 2 + 8 * 3,
	STATE_NUMBERS = 4 + 1 + QUEUE_END_COUNT + 3,
	MESSAGE_TEXTS = 8,
	RCPT_TEXTS = 5,
	LENGTH = 2,
};
_Static_assert(QUEUE_RECORD_HEADER + MESSAGE_FIXED + MESSAGE_TEXTS * LENGTH + QUEUE_ADDRESS_MAX +
			       3 * QUEUE_NAME_MAX + QUEUE_RECORD_TEXT_MAX + QUEUE_RECORD_HOST_MAX +
			       QUEUE_MESSAGE_ID_MAX + QUEUE_HEADERS_MAX <=
		       QUEUE_RECORD_MESSAGE_MAX,
	"the largest message record fits");
_Static_assert(QUEUE_RECORD_HEADER + RCPT_FIXED + RCPT_TEXTS * LENGTH + QUEUE_ADDRESS_MAX +
			       QUEUE_RECORD_TEXT_MAX + QUEUE_REPLY_MAX + 2 * QUEUE_RECORD_HOST_MAX <=
		       QUEUE_RECORD_RCPT_MAX,
	"the largest recipient record fits");

/* --- texts --- */

static uint8_t *
write_text(uint8_t *p, struct queue_blob text, size_t max)
{
	size_t len = text.len < max ? text.len : max;

	assert(len <= UINT16_MAX);
	p = queue_bytes_write(p, len, LENGTH);
	if (len > 0)
		memcpy(p, text.ptr, len);
	return p + len;
}

static struct queue_blob
read_text(struct queue_bytes *r, size_t max)
{
	size_t len = queue_bytes_read(r, LENGTH);
	const uint8_t *p;

	if (len > max)
		r->is_bad = true;
	p = queue_bytes_take(r, len);
	return (struct queue_blob){.ptr = p, .len = p == NULL ? 0 : len};
}

/* --- the header --- */

static uint32_t
record_crc(struct queue_blob key, const uint8_t *record, size_t len)
{
	uint32_t crc = queue_crc(0, key.ptr, key.len);

	crc = queue_crc(crc, record, 4);
	return queue_crc(crc, record + QUEUE_RECORD_HEADER, len - QUEUE_RECORD_HEADER);
}

static uint64_t
version_of(enum queue_record_kind kind)
{
	return kind == QUEUE_RECORD_MESSAGE ? VERSION_MESSAGE
	       : kind == QUEUE_RECORD_RCPT  ? VERSION_RCPT
					    : VERSION;
}

/* The fields are in place: puts the header before them. */
static void
seal(enum queue_record_kind kind, struct queue_blob key, uint8_t *record, size_t len)
{
	assert(len >= QUEUE_RECORD_HEADER);
	record[0] = (uint8_t)kind;
	record[1] = (uint8_t)version_of(kind);
	record[2] = record[3] = 0;
	queue_bytes_write(record + 4, record_crc(key, record, len), 4);
}

/* Checks the header; *out then reads the fields. */
static int
unseal(enum queue_record_kind kind, struct queue_blob key, struct queue_blob bytes, size_t max,
	struct queue_bytes *out)
{
	struct queue_bytes head = {.p = bytes.ptr, .left = bytes.len};
	uint64_t found, version, zero, crc;

	if (bytes.len < QUEUE_RECORD_HEADER || bytes.len > max)
		return QUEUE_EDAMAGED;
	found = queue_bytes_read(&head, 1);
	version = queue_bytes_read(&head, 1);
	zero = queue_bytes_read(&head, 2);
	crc = queue_bytes_read(&head, 4);
	if (found != (uint64_t)kind || crc != record_crc(key, bytes.ptr, bytes.len))
		return QUEUE_EDAMAGED;
	if (version > version_of(kind) || zero != 0)
		return QUEUE_EVERSION;
	if (version < 1)
		return QUEUE_EDAMAGED;
	*out = head;
	return 0;
}

static int
finish(const struct queue_bytes *r)
{
	return r->is_bad || r->left != 0 ? QUEUE_EDAMAGED : 0;
}

static size_t
cut(struct queue_blob text, size_t max)
{
	return text.len < max ? text.len : max;
}

/* --- message --- */

int
queue_record_message_size(const struct queue_message *m)
{
	if (m->sender.len > QUEUE_ADDRESS_MAX || m->user.len > QUEUE_NAME_MAX ||
		m->job.len > QUEUE_NAME_MAX || m->pool.len > QUEUE_NAME_MAX ||
		m->envid.len > QUEUE_RECORD_TEXT_MAX || m->from_domain.len > QUEUE_RECORD_HOST_MAX ||
		m->message_id.len > QUEUE_MESSAGE_ID_MAX || m->headers.len > QUEUE_HEADERS_MAX)
		return QUEUE_EINVAL;
	return (int)(QUEUE_RECORD_HEADER + MESSAGE_FIXED + MESSAGE_TEXTS * LENGTH + m->sender.len +
		     m->user.len + m->job.len + m->pool.len + m->envid.len + m->from_domain.len +
		     m->message_id.len + m->headers.len);
}

void
queue_record_encode_message(
	const struct queue_message *m, uint32_t body_crc, struct queue_blob key, void *out)
{
	uint8_t *start = out, *p = start + QUEUE_RECORD_HEADER;

	p = queue_bytes_write(p, (uint64_t)m->arrived_us, 8);
	p = queue_bytes_write(p, (uint64_t)m->release_us, 8);
	p = queue_bytes_write(p, (uint64_t)m->expire_us, 8);
	p = queue_bytes_write(p, (uint64_t)m->notice_us, 8);
	p = queue_bytes_write(p, m->hold_s, 4);
	p = queue_bytes_write(p, (uint8_t)m->priority, 1);
	p = queue_bytes_write(p, m->body_bytes, 8);
	p = queue_bytes_write(p, body_crc, 4);
	p = queue_bytes_write(p, m->rcpt_count, 4);
	p = queue_bytes_write(p, m->ret, 1);
	p = queue_bytes_write(p, (uint64_t)m->klass, 1);
	p = queue_bytes_write(p, m->flags, 1);
	p = queue_bytes_write(p, m->nonce, 4);
	p = write_text(p, m->sender, QUEUE_ADDRESS_MAX);
	p = write_text(p, m->user, QUEUE_NAME_MAX);
	p = write_text(p, m->job, QUEUE_NAME_MAX);
	p = write_text(p, m->pool, QUEUE_NAME_MAX);
	p = write_text(p, m->envid, QUEUE_RECORD_TEXT_MAX);
	p = write_text(p, m->from_domain, QUEUE_RECORD_HOST_MAX);
	p = write_text(p, m->message_id, QUEUE_MESSAGE_ID_MAX);
	p = write_text(p, m->headers, QUEUE_HEADERS_MAX);
	assert(p - start == queue_record_message_size(m));
	seal(QUEUE_RECORD_MESSAGE, key, start, (size_t)(p - start));
}

int
queue_record_decode_message(
	struct queue_blob bytes, struct queue_blob key, struct queue_message *out, uint32_t *out_body_crc)
{
	struct queue_message m = {0};
	struct queue_bytes r;
	uint64_t version, klass;
	uint32_t body_crc;
	int err;

	if ((err = unseal(QUEUE_RECORD_MESSAGE, key, bytes, QUEUE_RECORD_MESSAGE_MAX, &r)) < 0)
		return err;
	version = ((const uint8_t *)bytes.ptr)[1];
	m.arrived_us = (int64_t)queue_bytes_read(&r, 8);
	if (version > 1)
		m.release_us = (int64_t)queue_bytes_read(&r, 8);
	m.expire_us = (int64_t)queue_bytes_read(&r, 8);
	if (version > 1)
		m.notice_us = (int64_t)queue_bytes_read(&r, 8);
	if (version > 2) {
		m.hold_s = (uint32_t)queue_bytes_read(&r, 4);
		m.priority = (int8_t)queue_bytes_read(&r, 1);
	}
	m.body_bytes = queue_bytes_read(&r, 8);
	body_crc = (uint32_t)queue_bytes_read(&r, 4);
	m.rcpt_count = (uint32_t)queue_bytes_read(&r, 4);
	m.ret = (uint8_t)queue_bytes_read(&r, 1);
	klass = queue_bytes_read(&r, 1);
	m.flags = (uint8_t)queue_bytes_read(&r, 1);
	if (version > 3)
		m.nonce = (uint32_t)queue_bytes_read(&r, 4);
	m.sender = read_text(&r, QUEUE_ADDRESS_MAX);
	m.user = read_text(&r, QUEUE_NAME_MAX);
	m.job = read_text(&r, QUEUE_NAME_MAX);
	m.pool = read_text(&r, QUEUE_NAME_MAX);
	m.envid = read_text(&r, QUEUE_RECORD_TEXT_MAX);
	if (version > 2)
		m.from_domain = read_text(&r, QUEUE_RECORD_HOST_MAX);
	if (version > 3) {
		m.message_id = read_text(&r, QUEUE_MESSAGE_ID_MAX);
		m.headers = read_text(&r, QUEUE_HEADERS_MAX);
	}
	if ((err = finish(&r)) < 0)
		return err;
	if (klass >= QUEUE_CLASS_COUNT || m.priority < -QUEUE_PRIORITY_MAX || m.priority > QUEUE_PRIORITY_MAX)
		return QUEUE_EDAMAGED;
	m.klass = (enum queue_class)klass;
	*out = m;
	*out_body_crc = body_crc;
	return 0;
}

/* --- recipient --- */

int
queue_record_rcpt_size(const struct queue_rcpt *r)
{
	if (r->address.len == 0 || r->address.len > QUEUE_ADDRESS_MAX || r->orcpt.len > QUEUE_RECORD_TEXT_MAX)
		return QUEUE_EINVAL;
	return (int)(QUEUE_RECORD_HEADER + RCPT_FIXED + RCPT_TEXTS * LENGTH + r->address.len + r->orcpt.len +
		     cut(r->reply, QUEUE_REPLY_MAX) + cut(r->source, QUEUE_RECORD_HOST_MAX) +
		     cut(r->host, QUEUE_RECORD_HOST_MAX));
}

void
queue_record_encode_rcpt(const struct queue_rcpt *r, struct queue_blob key, void *out)
{
	uint8_t *start = out, *p = start + QUEUE_RECORD_HEADER;

	p = queue_bytes_write(p, r->n, 2);
	p = queue_bytes_write(p, r->attempts, 2);
	p = queue_bytes_write(p, r->flags, 1);
	p = queue_bytes_write(p, r->notify, 1);
	p = queue_bytes_write(p, (uint64_t)r->due_us, 8);
	p = queue_bytes_write(p, (uint64_t)r->last_us, 8);
	p = queue_bytes_write(p, (uint64_t)r->first_us, 8);
	p = write_text(p, r->address, QUEUE_ADDRESS_MAX);
	p = write_text(p, r->orcpt, QUEUE_RECORD_TEXT_MAX);
	p = write_text(p, r->reply, QUEUE_REPLY_MAX);
	p = write_text(p, r->source, QUEUE_RECORD_HOST_MAX);
	p = write_text(p, r->host, QUEUE_RECORD_HOST_MAX);
	assert(p - start == queue_record_rcpt_size(r));
	seal(QUEUE_RECORD_RCPT, key, start, (size_t)(p - start));
}

int
queue_record_decode_rcpt(struct queue_blob bytes, struct queue_blob key, struct queue_rcpt *out)
{
	struct queue_rcpt rcpt = {0};
	struct queue_bytes r;
	int err;

	if ((err = unseal(QUEUE_RECORD_RCPT, key, bytes, QUEUE_RECORD_RCPT_MAX, &r)) < 0)
		return err;
	rcpt.n = (uint16_t)queue_bytes_read(&r, 2);
	rcpt.attempts = (uint16_t)queue_bytes_read(&r, 2);
	rcpt.flags = (uint8_t)queue_bytes_read(&r, 1);
	rcpt.notify = (uint8_t)queue_bytes_read(&r, 1);
	rcpt.due_us = (int64_t)queue_bytes_read(&r, 8);
	rcpt.last_us = (int64_t)queue_bytes_read(&r, 8);
	if (((const uint8_t *)bytes.ptr)[1] > 1)
		rcpt.first_us = (int64_t)queue_bytes_read(&r, 8);
	rcpt.address = read_text(&r, QUEUE_ADDRESS_MAX);
	rcpt.orcpt = read_text(&r, QUEUE_RECORD_TEXT_MAX);
	rcpt.reply = read_text(&r, QUEUE_REPLY_MAX);
	rcpt.source = read_text(&r, QUEUE_RECORD_HOST_MAX);
	rcpt.host = read_text(&r, QUEUE_RECORD_HOST_MAX);
	if ((err = finish(&r)) < 0)
		return err;
	if (rcpt.address.len == 0)
		return QUEUE_EDAMAGED;
	*out = rcpt;
	return 0;
}

/* --- the rest --- */

void
queue_record_encode_blob(
	enum queue_record_kind kind, struct queue_blob payload, struct queue_blob key, void *out)
{
	uint8_t *start = out;

	assert(payload.len <= QUEUE_RECORD_BLOB_MAX);
	if (payload.len > 0)
		memcpy(start + QUEUE_RECORD_HEADER, payload.ptr, payload.len);
	seal(kind, key, start, QUEUE_RECORD_HEADER + payload.len);
}

int
queue_record_decode_blob(enum queue_record_kind kind, struct queue_blob bytes, struct queue_blob key,
	struct queue_blob *out_payload)
{
	struct queue_bytes r;
	int err;

	if ((err = unseal(kind, key, bytes, QUEUE_RECORD_HEADER + QUEUE_RECORD_BLOB_MAX, &r)) < 0)
		return err;
	*out_payload = (struct queue_blob){.ptr = r.p, .len = r.left};
	return 0;
}

size_t
queue_record_state_size(void)
{
	return QUEUE_RECORD_HEADER + 8 * STATE_NUMBERS;
}

void
queue_record_encode_state(const struct queue_state *st, struct queue_blob key, void *out)
{
	const struct queue_totals *t = &st->totals;
	uint8_t *start = out, *p = start + QUEUE_RECORD_HEADER;

	p = queue_bytes_write(p, st->next_id, 8);
	p = queue_bytes_write(p, st->next_event, 8);
	p = queue_bytes_write(p, st->reported, 8);
	p = queue_bytes_write(p, st->commits, 8);
	p = queue_bytes_write(p, t->accepted, 8);
	for (int i = 0; i < QUEUE_END_COUNT; i++)
		p = queue_bytes_write(p, t->ended[i], 8);
	p = queue_bytes_write(p, t->quarantined, 8);
	p = queue_bytes_write(p, t->messages_accepted, 8);
	p = queue_bytes_write(p, t->messages_queued, 8);
	assert((size_t)(p - start) == queue_record_state_size());
	seal(QUEUE_RECORD_STATE, key, start, (size_t)(p - start));
}

int
queue_record_decode_state(struct queue_blob bytes, struct queue_blob key, struct queue_state *out)
{
	struct queue_state st = {0};
	struct queue_totals *t = &st.totals;
	struct queue_bytes r;
	int err;

	if ((err = unseal(QUEUE_RECORD_STATE, key, bytes, QUEUE_RECORD_STATE_MAX, &r)) < 0)
		return err;
	st.next_id = queue_bytes_read(&r, 8);
	st.next_event = queue_bytes_read(&r, 8);
	st.reported = queue_bytes_read(&r, 8);
	st.commits = queue_bytes_read(&r, 8);
	t->accepted = queue_bytes_read(&r, 8);
	for (int i = 0; i < QUEUE_END_COUNT; i++)
		t->ended[i] = queue_bytes_read(&r, 8);
	t->quarantined = queue_bytes_read(&r, 8);
	t->messages_accepted = queue_bytes_read(&r, 8);
	t->messages_queued = queue_bytes_read(&r, 8);
	if ((err = finish(&r)) < 0)
		return err;
	if (st.next_id == 0 || st.next_event == 0 || st.reported >= st.next_event)
		return QUEUE_EDAMAGED;
	t->events_pending = st.next_event - 1 - st.reported;
	*out = st;
	return 0;
}
