/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a message's life, numbered as in INTERNALS.md. Each leaves the tables and the books in
 * agreement, so any sequence of them can be one transaction.
 *
 * A step looks before it writes: what is refused (QUEUE_EINVAL, QUEUE_ENOTFOUND, a guard's QUEUE_ENOSPACE)
 * has changed nothing, and the transaction goes on. Errors of the database go through queue_store_note_error
 * and end it.
 */
#include "queue_crc.h"
#include "queue_key.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_REPORT QUEUE_KEY_WORD("report")

/* A page entry beside the record itself: node header, key, pointers up the tree. */
enum { RECORD_OVERHEAD = 40 };

/* --- accept --- */

/* Bytes the message will take, near enough; or QUEUE_EINVAL. */
static int64_t
check_put(const struct queue_store *s, const struct queue_message *m, const struct queue_rcpt *rcpts,
	uint32_t rcpt_count)
{
	int size = queue_record_message_size(m);
	uint64_t need = m->body_bytes + RECORD_OVERHEAD;

	need += m->body_bytes / queue_lmdb_page_bytes(s->lmdb) * RECORD_OVERHEAD + 2ull * RECORD_OVERHEAD;
	if (size < 0 || rcpt_count == 0 || rcpt_count > QUEUE_RCPTS_MAX ||
		m->body_bytes > QUEUE_STORE_TX_BYTES_MAX)
		return QUEUE_EINVAL;
	need += (uint64_t)size;
	for (uint32_t i = 0; i < rcpt_count; i++) {
		size = queue_record_rcpt_size(&rcpts[i]);
		if (size < 0 || (i > 0 && rcpts[i].n <= rcpts[i - 1].n))
			return QUEUE_EINVAL;
		need += (uint64_t)size + RECORD_OVERHEAD;
	}
	return need > QUEUE_STORE_TX_BYTES_MAX ? QUEUE_EINVAL : (int64_t)need;
}

/* The pieces as one stream of bytes. */
struct pieces {
	const struct queue_blob *piece;
	uint32_t left;
	size_t done; /* of *piece */
};

static void
copy_pieces(struct pieces *p, uint8_t *out, size_t len)
{
	while (len > 0) {
		size_t n;

		assert(p->left > 0);
		n = p->piece->len - p->done;
		if (n > len)
			n = len;
		if (n > 0)
			memcpy(out, (const uint8_t *)p->piece->ptr + p->done, n);
		out += n;
		len -= n;
		p->done += n;
		if (p->done == p->piece->len) {
			p->piece++;
			p->left--;
			p->done = 0;
		}
	}
}

/* A chunk fills a page exactly, so every page is allocated alone and no free one is ever too small. */
static int
put_body(struct queue_store *s, queue_id id, uint64_t bytes, const struct queue_blob *body, uint32_t *out_crc)
{
	struct pieces pieces = {.piece = body, .left = QUEUE_BODY_PIECES};
	size_t chunk_max = queue_lmdb_page_bytes(s->lmdb) - 16;
	uint32_t crc = 0;
	int err;

	for (uint32_t chunk = 0; bytes > 0; chunk++) {
		uint64_t key = queue_key_body(id, chunk);
		size_t len = bytes < chunk_max ? bytes : chunk_max;
		void *room;

		err = queue_lmdb_append(&s->tx, QUEUE_TABLE_BODY, queue_key_number(&key), len, &room);
		if (err < 0)
			return err;
		copy_pieces(&pieces, room, len);
		crc = queue_crc(crc, room, len);
		bytes -= len;
	}
	*out_crc = crc;
	return 0;
}

static int
put_rcpts(struct queue_store *s, queue_id id, const struct queue_rcpt *rcpts, uint32_t rcpt_count)
{
	for (uint32_t i = 0; i < rcpt_count; i++) {
		uint64_t number = queue_key_rcpt(id, rcpts[i].n);
		struct queue_blob key = queue_key_number(&number);
		int size = queue_record_rcpt_size(&rcpts[i]);
		void *room;
		int err;

		assert(size > 0);
		if ((err = queue_lmdb_append(&s->tx, QUEUE_TABLE_RCPT, key, (size_t)size, &room)) < 0)
			return err;
		queue_record_encode_rcpt(&rcpts[i], key, room);
	}
	return 0;
}

static int
put_message(struct queue_store *s, const struct queue_message *m, uint32_t body_crc)
{
	struct queue_blob key = queue_key_number(&m->id);
	int size = queue_record_message_size(m);
	void *room;
	int err;

	assert(size > 0);
	if ((err = queue_lmdb_append(&s->tx, QUEUE_TABLE_MESSAGE, key, (size_t)size, &room)) == 0)
		queue_record_encode_message(m, body_crc, key, room);
	return err;
}

/* INTERNALS step 1: it exists, whole, once the transaction is committed. */
int
queue_store_put(struct queue_store *s, struct queue_message *m, const struct queue_rcpt *rcpts,
	uint32_t rcpt_count, const struct queue_blob body[QUEUE_BODY_PIECES])
{
	struct queue_message stored = *m;
	uint32_t crc = 0;
	const char *why;
	int64_t need;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	stored.id = s->state.next_id;
	stored.rcpt_count = rcpt_count;
	stored.body_bytes = 0;
	for (int i = 0; i < QUEUE_BODY_PIECES; i++)
		stored.body_bytes += body[i].len;
	if ((need = check_put(s, &stored, rcpts, rcpt_count)) < 0)
		return (int)need;
	why = queue_space_refuse(s, (uint64_t)need, (m->flags & QUEUE_MESSAGE_DSN) == 0);
	if (why != NULL) {
		snprintf(s->error.text, sizeof s->error.text, "%s", why);
		return QUEUE_ENOSPACE;
	}
	s->tx_is_dirty = true;
	if ((err = put_body(s, stored.id, stored.body_bytes, body, &crc)) < 0 ||
		(err = put_rcpts(s, stored.id, rcpts, rcpt_count)) < 0 ||
		(err = put_message(s, &stored, crc)) < 0)
		return queue_store_note_error(s, err);
	s->tx_put_bytes += (uint64_t)need;
	s->state.next_id++;
	s->state.totals.accepted += rcpt_count;
	s->state.totals.messages_accepted++;
	s->state.totals.messages_queued++;
	*m = stored;
	return 0;
}

/* --- wait, end, remove --- */

static int
replace_rcpt(struct queue_store *s, struct queue_blob key, const struct queue_rcpt *r)
{
	int size = queue_record_rcpt_size(r);
	void *room;
	int err;

	assert(size > 0);
	s->tx_is_dirty = true;
	err = queue_lmdb_put(&s->tx, QUEUE_TABLE_RCPT, key, (size_t)size, &room);
	if (err == 0)
		queue_record_encode_rcpt(r, key, room);
	return queue_store_note_error(s, err);
}

/* INTERNALS step 2: a recipient waits. Whether it is held is step 11's alone: the caller decided what it
 * writes before holds and releases that are on disk by now. */
int
queue_store_update(struct queue_store *s, queue_id id, const struct queue_rcpt *r)
{
	int size = queue_record_rcpt_size(r);
	struct queue_rcpt fresh = *r, old;
	struct queue_blob key, value;
	uint64_t number;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (size < 0)
		return size;
	if (id > QUEUE_KEY_ID_MAX)
		return QUEUE_ENOTFOUND;
	number = queue_key_rcpt(id, r->n);
	key = queue_key_number(&number);
	if ((err = queue_lmdb_get(&s->tx, QUEUE_TABLE_RCPT, key, &value)) < 0)
		return queue_store_note_error(s, err);
	/* A damaged one is put right by what the caller knows. */
	if (queue_record_decode_rcpt(value, key, &old) == 0) {
		fresh.flags = (uint8_t)((r->flags & ~QUEUE_RCPT_HELD) | (old.flags & QUEUE_RCPT_HELD));
		fresh.first_us = old.first_us != 0 ? old.first_us : r->first_us;
	}
	return replace_rcpt(s, key, &fresh);
}

/* INTERNALS step 11: a recipient is held, or released. */
int
queue_store_hold(struct queue_store *s, queue_id id, uint16_t n, bool hold)
{
	uint8_t copy[QUEUE_RECORD_RCPT_MAX];
	struct queue_blob key, value;
	struct queue_rcpt r;
	uint64_t number;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (id > QUEUE_KEY_ID_MAX)
		return QUEUE_ENOTFOUND;
	number = queue_key_rcpt(id, n);
	key = queue_key_number(&number);
	if ((err = queue_lmdb_get(&s->tx, QUEUE_TABLE_RCPT, key, &value)) < 0)
		return queue_store_note_error(s, err);
	if (value.len > sizeof copy)
		return QUEUE_EDAMAGED;
	/* Copied before it is written: a write may move the page that it is on. */
	memcpy(copy, value.ptr, value.len);
	value.ptr = copy;
	if ((err = queue_record_decode_rcpt(value, key, &r)) < 0)
		return err;
	if (((r.flags & QUEUE_RCPT_HELD) != 0) == hold)
		return 0;
	r.flags ^= QUEUE_RCPT_HELD;
	return replace_rcpt(s, key, &r);
}

/* INTERNALS step 3: a recipient has ended. */
int
queue_store_end(struct queue_store *s, queue_id id, uint16_t n, enum queue_end end)
{
	uint64_t number;
	int err;

	assert(end < QUEUE_END_COUNT);
	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (id > QUEUE_KEY_ID_MAX)
		return QUEUE_ENOTFOUND;
	number = queue_key_rcpt(id, n);
	if ((err = queue_lmdb_delete(&s->tx, QUEUE_TABLE_RCPT, queue_key_number(&number))) < 0)
		return queue_store_note_error(s, err);
	s->tx_is_dirty = true;
	s->state.totals.ended[end]++;
	return 0;
}

/* Is the record at or after `key` still one of this message? `shift` is what its table packs below the id. */
static int
first_of(struct queue_lmdb_cursor *c, uint64_t from, int shift, uint64_t *out_key,
	struct queue_blob *out_value)
{
	struct queue_blob key;
	int err;

	if ((err = queue_lmdb_seek(c, queue_key_number(&from), &key, out_value)) < 0)
		return err;
	if (!queue_key_read_number(key, out_key) || *out_key >> shift != from >> shift)
		return QUEUE_ENOTFOUND;
	return 0;
}

static int
has_rcpts(struct queue_store *s, queue_id id, bool *out)
{
	struct queue_lmdb_cursor c;
	struct queue_blob value;
	uint64_t key;
	int err;

	if ((err = queue_lmdb_cursor_open(&s->tx, QUEUE_TABLE_RCPT, &c)) < 0)
		return err;
	err = first_of(&c, queue_key_rcpt(id, 0), QUEUE_KEY_RCPT_BITS, &key, &value);
	queue_lmdb_cursor_close(&c);
	*out = err == 0;
	return err == QUEUE_ENOTFOUND ? 0 : err;
}

/* Moves what it is given on the way out, or lets it go. */
typedef int on_record(struct queue_store *s, uint64_t key, struct queue_blob value);

/* Deletes the records of a message from one table. `keep`, unless NULL, sees each before. */
static int
delete_all(struct queue_store *s, enum queue_table table, uint64_t from, int shift, on_record *keep,
	uint32_t *out_count)
{
	struct queue_lmdb_cursor c;
	struct queue_blob value;
	uint32_t count = 0;
	uint64_t key;
	int err;

	if ((err = queue_lmdb_cursor_open(&s->tx, table, &c)) < 0)
		return err;
	while ((err = first_of(&c, from, shift, &key, &value)) == 0) {
		if (keep != NULL && (err = keep(s, key, value)) < 0)
			break;
		s->tx_is_dirty = true;
		if ((err = queue_lmdb_cursor_delete(&c)) < 0)
			break;
		count++;
		if (key == UINT64_MAX)
			break;
		from = key + 1;
		if (from >> shift != key >> shift)
			break;
	}
	queue_lmdb_cursor_close(&c);
	*out_count = count;
	return err == QUEUE_ENOTFOUND ? 0 : err;
}

/* INTERNALS step 4: nobody waits for it any more. */
int
queue_store_remove(struct queue_store *s, queue_id id)
{
	uint32_t chunks;
	bool is_wanted;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (id > QUEUE_KEY_ID_MAX)
		return QUEUE_ENOTFOUND;
	if ((err = has_rcpts(s, id, &is_wanted)) < 0)
		return queue_store_note_error(s, err);
	if (is_wanted)
		return QUEUE_EINVAL;
	if ((err = queue_lmdb_delete(&s->tx, QUEUE_TABLE_MESSAGE, queue_key_number(&id))) < 0)
		return queue_store_note_error(s, err);
	s->tx_is_dirty = true;
	err = delete_all(s, QUEUE_TABLE_BODY, queue_key_body(id, 0), QUEUE_KEY_CHUNK_BITS, NULL, &chunks);
	if (err < 0)
		return queue_store_note_error(s, err);
	s->state.totals.messages_queued--;
	return 0;
}

/* --- quarantine --- */

/* Nothing in a record is trusted here: it is moved as it is, under a key that tells where it stood. */
static int
quarantine_record(
	struct queue_store *s, queue_id id, char kind, struct queue_blob rest, struct queue_blob value)
{
	size_t len = value.len < QUEUE_RECORD_BLOB_MAX ? value.len : QUEUE_RECORD_BLOB_MAX;
	char key_buf[QUEUE_KEY_QUARANTINE_MAX];
	struct queue_blob key = queue_key_quarantine(key_buf, id, kind, rest);
	uint8_t *copy = malloc(len + 1);
	void *room;
	int err;

	/* Copied before the table is written to: a write may move the page that the value is on. */
	if (copy == NULL)
		return QUEUE_ENOMEM;
	if (len > 0)
		memcpy(copy, value.ptr, len);
	s->tx_is_dirty = true;
	if ((err = queue_lmdb_put(&s->tx, QUEUE_TABLE_QUARANTINE, key, len, &room)) == 0 && len > 0)
		memcpy(room, copy, len);
	free(copy);
	return err;
}

static int
quarantine_numbered(struct queue_store *s, queue_id id, char kind, uint32_t n, struct queue_blob value)
{
	const uint8_t number[4] = {n >> 24, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff};

	return quarantine_record(
		s, id, kind, (struct queue_blob){.ptr = number, .len = sizeof number}, value);
}

static int
keep_rcpt(struct queue_store *s, uint64_t key, struct queue_blob value)
{
	return quarantine_numbered(s, queue_key_rcpt_id(key), 'r', queue_key_rcpt_n(key), value);
}

static int
keep_chunk(struct queue_store *s, uint64_t key, struct queue_blob value)
{
	return quarantine_numbered(s, queue_key_body_id(key), 'b', queue_key_body_chunk(key), value);
}

/* *out_found: there was a message record. */
static int
quarantine_message(struct queue_store *s, queue_id id, bool *out_found)
{
	struct queue_blob value;
	int err = queue_lmdb_get(&s->tx, QUEUE_TABLE_MESSAGE, queue_key_number(&id), &value);

	*out_found = err == 0;
	if (err < 0)
		return err == QUEUE_ENOTFOUND ? 0 : err;
	if ((err = quarantine_record(s, id, 'm', (struct queue_blob){0}, value)) < 0)
		return err;
	return queue_lmdb_delete(&s->tx, QUEUE_TABLE_MESSAGE, queue_key_number(&id));
}

/* INTERNALS step 5: set aside, not deleted. */
int
queue_store_quarantine(struct queue_store *s, queue_id id, uint32_t *out_rcpts)
{
	uint32_t rcpts = 0, chunks = 0;
	bool found = false;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	err = quarantine_message(s, id, &found);
	/* The id may itself be the damage: a key too great has no recipients or no body by construction. */
	if (err == 0 && id >> (64 - QUEUE_KEY_RCPT_BITS) == 0)
		err = delete_all(
			s, QUEUE_TABLE_RCPT, queue_key_rcpt(id, 0), QUEUE_KEY_RCPT_BITS, keep_rcpt, &rcpts);
	if (err == 0 && id <= QUEUE_KEY_ID_MAX)
		err = delete_all(s, QUEUE_TABLE_BODY, queue_key_body(id, 0), QUEUE_KEY_CHUNK_BITS, keep_chunk,
			&chunks);
	if (err < 0)
		return queue_store_note_error(s, err);
	if (!found && rcpts == 0 && chunks == 0)
		return QUEUE_ENOTFOUND;
	s->state.totals.quarantined += rcpts;
	if (found)
		s->state.totals.messages_queued--;
	*out_rcpts = rcpts;
	return 0;
}

/* --- the outbox --- */

static int
put_blob(struct queue_store *s, enum queue_table table, enum queue_record_kind kind, struct queue_blob key,
	struct queue_blob payload)
{
	void *room;
	int err;

	s->tx_is_dirty = true;
	if ((err = queue_lmdb_put(&s->tx, table, key, QUEUE_RECORD_HEADER + payload.len, &room)) < 0)
		return queue_store_note_error(s, err);
	queue_record_encode_blob(kind, payload, key, room);
	return 0;
}

/* INTERNALS step 6: what happened, in the transaction that made it so. */
int
queue_store_event(struct queue_store *s, struct queue_blob event, uint64_t *out_seq)
{
	uint64_t seq = s->state.next_event;
	struct queue_blob key = queue_key_number(&seq);
	void *room;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (event.len > QUEUE_EVENT_MAX)
		return QUEUE_EINVAL;
	s->tx_is_dirty = true;
	if ((err = queue_lmdb_append(
		     &s->tx, QUEUE_TABLE_EVENT, key, QUEUE_RECORD_HEADER + event.len, &room)) < 0)
		return queue_store_note_error(s, err);
	queue_record_encode_blob(QUEUE_RECORD_EVENT, event, key, room);
	s->state.next_event++;
	s->state.totals.events_pending++;
	*out_seq = seq;
	return 0;
}

/* Deletes the oldest events up to `seq`; damaged ones, which no report can have shown, are kept in
 * quarantine. */
static int
delete_events(struct queue_store *s, uint64_t seq)
{
	struct queue_lmdb_cursor c;
	struct queue_blob key, value, event;
	uint64_t number = 0;
	int err;

	if ((err = queue_lmdb_cursor_open(&s->tx, QUEUE_TABLE_EVENT, &c)) < 0)
		return err;
	for (int i = 0; i < QUEUE_STORE_EVENTS_DELETE; i++) {
		if ((err = queue_lmdb_seek(&c, queue_key_number(&number), &key, &value)) < 0)
			break;
		if (!queue_key_read_number(key, &number) || number > seq)
			break;
		if (queue_record_decode_blob(QUEUE_RECORD_EVENT, value, key, &event) < 0 &&
			(err = quarantine_record(s, number, 'e', (struct queue_blob){0}, value)) < 0)
			break;
		if ((err = queue_lmdb_cursor_delete(&c)) < 0)
			break;
	}
	queue_lmdb_cursor_close(&c);
	return err == QUEUE_ENOTFOUND ? 0 : err;
}

/* INTERNALS step 7: the accounting files hold it. */
int
queue_store_reported(struct queue_store *s, uint64_t seq, struct queue_blob state)
{
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (seq < s->state.reported || seq >= s->state.next_event || state.len > QUEUE_STORE_REPORT_MAX)
		return QUEUE_EINVAL;
	if ((err = put_blob(s, QUEUE_TABLE_CTL, QUEUE_RECORD_REPORT, KEY_REPORT, state)) < 0)
		return err;
	if ((err = delete_events(s, seq)) < 0)
		return queue_store_note_error(s, err);
	s->state.reported = seq;
	s->state.totals.events_pending = s->state.next_event - 1 - seq;
	return 0;
}

/* --- notes --- */

/* INTERNALS step 8: small state. */
int
queue_store_note(struct queue_store *s, struct queue_blob name, struct queue_blob value)
{
	struct queue_blob old, payload;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (name.len == 0 || name.len > QUEUE_KEY_NAME_MAX || value.len > QUEUE_RECORD_BLOB_MAX)
		return QUEUE_EINVAL;
	err = queue_lmdb_get(&s->tx, QUEUE_TABLE_NOTE, name, &old);
	if (err < 0 && err != QUEUE_ENOTFOUND)
		return queue_store_note_error(s, err);
	if (err == QUEUE_ENOTFOUND && value.len == 0)
		return 0;
	if (err == 0 && queue_record_decode_blob(QUEUE_RECORD_NOTE, old, name, &payload) < 0 &&
		(err = quarantine_record(s, 0, 'n', name, old)) < 0)
		return queue_store_note_error(s, err);
	if (value.len > 0)
		return put_blob(s, QUEUE_TABLE_NOTE, QUEUE_RECORD_NOTE, name, value);
	s->tx_is_dirty = true;
	return queue_store_note_error(s, queue_lmdb_delete(&s->tx, QUEUE_TABLE_NOTE, name));
}
