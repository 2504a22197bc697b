/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens that went out. They are the one kind of record that outlives its message, so there are more of them
 * than of all others together: one write for each recipient, at the end of the table, and none more until its
 * token comes back.
 *
 * Invariant: a bit that is set stays set as long as the entry is there.
 */
#include "queue_issued.h"

#include "queue_key.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <string.h>

enum { USED_BYTES = 1, PAYLOAD_MAX = USED_BYTES + QUEUE_EVENT_MAX };

static bool
is_key(struct queue_blob key)
{
	return key.len > 0 && key.len <= QUEUE_ISSUED_KEY_MAX;
}

static int
compare(struct queue_blob a, struct queue_blob b)
{
	int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Messages are put in nearly the order of their arrival: only where that is so pages can be filled up. */
static int
room_for(struct queue_store *s, struct queue_blob key, size_t len, void **out_room)
{
	struct queue_blob last;
	int err = queue_lmdb_last(&s->tx, QUEUE_TABLE_ISSUED, &last);

	if (err < 0 && err != QUEUE_ENOTFOUND)
		return err;
	if (err == QUEUE_ENOTFOUND || compare(last, key) < 0)
		return queue_lmdb_append(&s->tx, QUEUE_TABLE_ISSUED, key, len, out_room);
	return queue_lmdb_put(&s->tx, QUEUE_TABLE_ISSUED, key, len, out_room);
}

static int
write_entry(struct queue_store *s, struct queue_blob key, uint8_t used, struct queue_blob value)
{
	struct queue_blob payload = {.len = USED_BYTES + value.len};
	uint8_t bytes[PAYLOAD_MAX];
	void *room;
	int err;

	assert(payload.len <= sizeof bytes);
	/* Copied first: `value` may stand in the page that room is made in. */
	bytes[0] = used;
	memcpy(bytes + USED_BYTES, value.ptr, value.len);
	payload.ptr = bytes;
	s->tx_is_dirty = true;
	if ((err = room_for(s, key, QUEUE_RECORD_HEADER + payload.len, &room)) < 0)
		return queue_store_note_error(s, err);
	queue_record_encode_blob(QUEUE_RECORD_ISSUED, payload, key, room);
	return 0;
}

static int
decode_entry(struct queue_blob key, struct queue_blob bytes, uint8_t *out_used, struct queue_blob *out_value)
{
	struct queue_blob payload;
	int err;

	if ((err = queue_record_decode_blob(QUEUE_RECORD_ISSUED, bytes, key, &payload)) < 0)
		return err;
	if (payload.len < USED_BYTES || payload.len > PAYLOAD_MAX)
		return QUEUE_EDAMAGED;
	*out_used = *(const uint8_t *)payload.ptr;
	*out_value = (struct queue_blob){(const uint8_t *)payload.ptr + USED_BYTES, payload.len - USED_BYTES};
	return 0;
}

static int
read_entry(struct queue_lmdb_tx *tx, struct queue_blob key, uint8_t *out_used, struct queue_blob *out_value)
{
	struct queue_blob bytes;
	int err = queue_lmdb_get(tx, QUEUE_TABLE_ISSUED, key, &bytes);

	return err < 0 ? err : decode_entry(key, bytes, out_used, out_value);
}

/* The same for a writer, to whom only these are no trouble with the disk. */
static int
read_own_entry(struct queue_store *s, struct queue_blob key, uint8_t *out_used, struct queue_blob *out_value)
{
	int err = is_key(key) ? read_entry(&s->tx, key, out_used, out_value) : QUEUE_ENOTFOUND;

	return err == 0 || err == QUEUE_ENOTFOUND || err == QUEUE_EDAMAGED || err == QUEUE_EVERSION
		       ? err
		       : queue_store_note_error(s, err);
}

int
queue_issued_put(struct queue_store *s, struct queue_blob key, struct queue_blob value)
{
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (!is_key(key) || value.len == 0 || value.len > QUEUE_EVENT_MAX)
		return QUEUE_EINVAL;
	return write_entry(s, key, 0, value);
}

int
queue_issued_change(struct queue_store *s, struct queue_blob key, struct queue_blob value)
{
	struct queue_blob before;
	uint8_t used = 0;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (value.len == 0 || value.len > QUEUE_EVENT_MAX)
		return QUEUE_EINVAL;
	return (err = read_own_entry(s, key, &used, &before)) < 0 ? err : write_entry(s, key, used, value);
}

int
queue_issued_use(struct queue_store *s, struct queue_blob key, uint8_t bits, uint8_t *out_before)
{
	struct queue_blob value = {"", 0};
	uint8_t used = 0;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if ((err = read_own_entry(s, key, &used, &value)) < 0)
		return err;
	if ((used & bits) != bits && (err = write_entry(s, key, used | bits, value)) < 0)
		return err;
	*out_before = used;
	return 0;
}

int
queue_issued_sweep(struct queue_store *s, struct queue_blob before)
{
	struct queue_blob key, value, first = QUEUE_KEY_WORD("\0");
	struct queue_lmdb_cursor c;
	int swept = 0;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&s->tx, QUEUE_TABLE_ISSUED, &c)) < 0)
		return queue_store_note_error(s, err);
	for (; swept < QUEUE_ISSUED_SWEEP_MAX; swept++) {
		if ((err = queue_lmdb_seek(&c, first, &key, &value)) < 0 || compare(key, before) >= 0)
			break;
		s->tx_is_dirty = true;
		if ((err = queue_lmdb_cursor_delete(&c)) < 0)
			break;
	}
	queue_lmdb_cursor_close(&c);
	return err < 0 && err != QUEUE_ENOTFOUND ? queue_store_note_error(s, err) : swept;
}

int
queue_issued_get(struct queue_store *s, struct queue_blob key, uint8_t *out_used, void *buf, size_t buf_max)
{
	struct queue_blob value;
	struct queue_lmdb_tx tx;
	uint8_t used;
	int err;

	if (!is_key(key))
		return QUEUE_ENOTFOUND;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = read_entry(&tx, key, &used, &value)) == 0) {
		memcpy(buf, value.ptr, value.len < buf_max ? value.len : buf_max);
		*out_used = used;
		err = (int)value.len;
	}
	queue_store_read_end(s, &tx);
	return err;
}

int
queue_issued_walk(struct queue_store *s, struct queue_blob from, struct queue_blob before, uint32_t max,
	queue_issued_visit *visit, void *arg)
{
	struct queue_blob key, bytes, value;
	struct queue_lmdb_cursor c;
	struct queue_lmdb_tx tx;
	bool is_over = false;
	int visited = 0, err;
	uint8_t used;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&tx, QUEUE_TABLE_ISSUED, &c)) == 0) {
		for (err = queue_lmdb_seek(&c, from, &key, &bytes);
			err == 0 && compare(key, before) < 0 && (uint32_t)visited < max && !is_over;
			err = queue_lmdb_next(&c, &key, &bytes))
			if (decode_entry(key, bytes, &used, &value) == 0) {
				is_over = !visit(arg, key, used, value);
				visited++;
			}
		queue_lmdb_cursor_close(&c);
	}
	queue_store_read_end(s, &tx);
	return err < 0 && err != QUEUE_ENOTFOUND ? err : visited;
}

int
queue_issued_count(struct queue_store *s, uint64_t *out)
{
	struct queue_lmdb_tx tx;
	uint64_t bytes;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = queue_lmdb_stat(&tx, QUEUE_TABLE_ISSUED, out, &bytes);
	queue_store_read_end(s, &tx);
	return err;
}
