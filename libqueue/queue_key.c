/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys are built here and nowhere else, so the order of every table is decided in one place. The asserts
 * guard the packing: an id or number too wide would silently land among the records of another message.
 */
#include "queue_key.h"

#include <assert.h>
#include <string.h>

uint64_t
queue_key_rcpt(queue_id id, uint16_t n)
{
	assert(id >> (64 - QUEUE_KEY_RCPT_BITS) == 0);
	return id << QUEUE_KEY_RCPT_BITS | n;
}

uint64_t
queue_key_body(queue_id id, uint32_t chunk)
{
	assert(id <= QUEUE_KEY_ID_MAX);
	assert(chunk >> QUEUE_KEY_CHUNK_BITS == 0);
	return id << QUEUE_KEY_CHUNK_BITS | chunk;
}

queue_id
queue_key_rcpt_id(uint64_t key)
{
	return key >> QUEUE_KEY_RCPT_BITS;
}

uint16_t
queue_key_rcpt_n(uint64_t key)
{
	return (uint16_t)key;
}

queue_id
queue_key_body_id(uint64_t key)
{
	return key >> QUEUE_KEY_CHUNK_BITS;
}

uint32_t
queue_key_body_chunk(uint64_t key)
{
	return key & ((1u << QUEUE_KEY_CHUNK_BITS) - 1);
}

struct queue_blob
queue_key_number(const uint64_t *key)
{
	return (struct queue_blob){.ptr = key, .len = sizeof *key};
}

bool
queue_key_read_number(struct queue_blob bytes, uint64_t *out_key)
{
	if (bytes.len != sizeof *out_key)
		return false;
	memcpy(out_key, bytes.ptr, sizeof *out_key);
	return true;
}

struct queue_blob
queue_key_quarantine(char buf[QUEUE_KEY_QUARANTINE_MAX], queue_id id, char kind, struct queue_blob rest)
{
	assert(rest.len <= QUEUE_KEY_NAME_MAX);
	for (int i = 0; i < 8; i++)
		buf[i] = (char)(id >> (56 - 8 * i));
	buf[8] = kind;
	if (rest.len > 0)
		memcpy(buf + 9, rest.ptr, rest.len);
	return (struct queue_blob){.ptr = buf, .len = 9 + rest.len};
}
