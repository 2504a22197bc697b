/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables of the same shape. The count that lets everybody else pass without a look is published with the
 * commit that made it true, so nobody who was told of an entry can be told there are none.
 */
#include "queue_suppress.h"

#include "queue_bytes.h"
#include "queue_store_internal.h"

#include <assert.h>
#include <string.h>

enum { EXPIRES = 8, PAYLOAD_MAX = EXPIRES + QUEUE_SUPPRESS_VALUE_MAX, OVERHEAD = 40 };

static enum queue_table
table_of(enum queue_suppress_list list)
{
	static const enum queue_table tables[QUEUE_SUPPRESS_LISTS] = {
		[QUEUE_SUPPRESS_LIST] = QUEUE_TABLE_SUPPRESS, [QUEUE_SUPPRESS_STRIKES] = QUEUE_TABLE_STRIKE};

	assert(list < QUEUE_SUPPRESS_LISTS);
	return tables[list];
}

static bool
is_key(struct queue_blob key)
{
	return key.len > 0 && key.len <= QUEUE_SUPPRESS_KEY_MAX;
}

static int
decode(struct queue_blob bytes, struct queue_blob key, struct queue_suppress_entry *out)
{
	struct queue_blob payload;
	struct queue_bytes r;
	int err;

	*out = (struct queue_suppress_entry){0};
	if ((err = queue_record_decode_blob(QUEUE_RECORD_LIST, bytes, key, &payload)) < 0)
		return err;
	r = (struct queue_bytes){.p = payload.ptr, .left = payload.len};
	out->expires_us = (int64_t)queue_bytes_read(&r, EXPIRES);
	if (r.is_bad || r.left == 0)
		return QUEUE_EDAMAGED;
	out->value = (struct queue_blob){r.p, r.left};
	return 0;
}

/* --- writing --- */

/* INTERNALS step 15: an entry of a list. */
int
queue_suppress_put(struct queue_store *s, enum queue_suppress_list list, struct queue_blob key,
	const struct queue_suppress_entry *e, bool is_new)
{
	size_t len = QUEUE_RECORD_HEADER + EXPIRES + e->value.len;
	uint8_t payload[PAYLOAD_MAX];
	void *room;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (!is_key(key) || e->value.len == 0 || e->value.len > QUEUE_SUPPRESS_VALUE_MAX)
		return QUEUE_EINVAL;
	if (is_new && queue_space_refuse(s, len + key.len + OVERHEAD, true) != NULL)
		return QUEUE_ENOSPACE;
	memcpy(queue_bytes_write(payload, (uint64_t)e->expires_us, EXPIRES), e->value.ptr, e->value.len);
	s->tx_is_dirty = s->tx_has_lists = true;
	if ((err = queue_lmdb_put(&s->tx, table_of(list), key, len, &room)) < 0)
		return queue_store_note_error(s, err);
	queue_record_encode_blob(
		QUEUE_RECORD_LIST, (struct queue_blob){payload, EXPIRES + e->value.len}, key, room);
	return 0;
}

/* INTERNALS step 15, the other way. */
int
queue_suppress_delete(struct queue_store *s, enum queue_suppress_list list, struct queue_blob key)
{
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (!is_key(key))
		return QUEUE_ENOTFOUND;
	if ((err = queue_lmdb_delete(&s->tx, table_of(list), key)) < 0)
		return queue_store_note_error(s, err);
	s->tx_is_dirty = s->tx_has_lists = true;
	return 0;
}

int
queue_suppress_get(struct queue_store *s, enum queue_suppress_list list, struct queue_blob key,
	struct queue_suppress_entry *out)
{
	struct queue_blob value;
	int err;

	if ((err = queue_store_enter(s)) < 0)
		return err;
	if (!is_key(key))
		return QUEUE_ENOTFOUND;
	if ((err = queue_lmdb_get(&s->tx, table_of(list), key, &value)) < 0)
		return queue_store_note_error(s, err);
	return decode(value, key, out);
}

/* --- reading --- */

static bool
begins_with(struct queue_blob key, struct queue_blob prefix)
{
	return key.len >= prefix.len && memcmp(key.ptr, prefix.ptr, prefix.len) == 0;
}

int
queue_suppress_find(struct queue_store *s, enum queue_suppress_list list, const struct queue_blob *prefixes,
	uint32_t count, queue_suppress_found *found, void *arg)
{
	struct queue_lmdb_cursor c = {0};
	struct queue_blob key, value;
	struct queue_suppress_entry e;
	struct queue_lmdb_tx tx;
	int visited = 0;
	bool more = true;
	int err;

	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	err = queue_lmdb_cursor_open(&tx, table_of(list), &c);
	for (uint32_t i = 0; err == 0 && more && i < count; i++) {
		if (!is_key(prefixes[i])) /* no key is as long */
			continue;
		err = queue_lmdb_seek(&c, prefixes[i], &key, &value);
		while (err == 0 && more && begins_with(key, prefixes[i])) {
			visited++;
			(void)decode(value, key, &e);
			more = found(arg, i, key, &e);
			err = queue_lmdb_next(&c, &key, &value);
		}
		if (err == QUEUE_ENOTFOUND)
			err = 0;
	}
	queue_lmdb_cursor_close(&c);
	queue_store_read_end(s, &tx);
	return err < 0 ? err : visited;
}

int
queue_suppress_scan(struct queue_store *s, enum queue_suppress_list list, struct queue_blob after,
	uint32_t limit, queue_suppress_visit *visit, void *arg)
{
	/* LMDB looks for no empty key; none is less than one zero byte. */
	struct queue_blob from = after.len > 0 ? after : (struct queue_blob){.ptr = "", .len = 1};
	struct queue_lmdb_cursor c = {0};
	struct queue_blob key, value;
	struct queue_suppress_entry e;
	struct queue_lmdb_tx tx;
	uint32_t visited = 0;
	int err;

	if (after.len > QUEUE_SUPPRESS_KEY_MAX)
		return QUEUE_EINVAL;
	if ((err = queue_store_read_begin(s, &tx)) < 0)
		return err;
	if ((err = queue_lmdb_cursor_open(&tx, table_of(list), &c)) == 0)
		err = queue_lmdb_seek(&c, from, &key, &value);
	if (err == 0 && key.len == after.len && begins_with(key, after))
		err = queue_lmdb_next(&c, &key, &value);
	while (err == 0 && visited < limit) {
		visited++;
		(void)decode(value, key, &e);
		if (!visit(arg, key, &e))
			break;
		err = queue_lmdb_next(&c, &key, &value);
	}
	queue_lmdb_cursor_close(&c);
	queue_store_read_end(s, &tx);
	return err < 0 && err != QUEUE_ENOTFOUND ? err : (int)visited;
}

/* --- how many --- */

int
queue_store_count_lists(struct queue_lmdb_tx *tx, uint64_t out[QUEUE_STORE_LISTS])
{
	uint64_t bytes;
	int err = 0;

	_Static_assert((int)QUEUE_STORE_LISTS == (int)QUEUE_SUPPRESS_LISTS, "one counter for each list");
	for (int i = 0; err == 0 && i < QUEUE_SUPPRESS_LISTS; i++)
		err = queue_lmdb_stat(tx, table_of((enum queue_suppress_list)i), &out[i], &bytes);
	return err;
}

void
queue_store_publish_lists(struct queue_store *s, const uint64_t counts[QUEUE_STORE_LISTS])
{
	for (int i = 0; i < QUEUE_SUPPRESS_LISTS; i++)
		atomic_store_explicit(&s->list_counts[i], counts[i], memory_order_release);
}

uint64_t
queue_suppress_count(const struct queue_store *s, enum queue_suppress_list list)
{
	assert(list < QUEUE_SUPPRESS_LISTS);
	return atomic_load_explicit(&s->list_counts[list], memory_order_acquire);
}
