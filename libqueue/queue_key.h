/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_KEY_H
#define LIBQUEUE_QUEUE_KEY_H
/*
 * queue_key - the keys of the spool's tables
 *
 *   message     id                        rcpt   id << 16 | n             body  id << 20 | chunk
 *   event       seq                       ctl    a word                   note  its name
 *   quarantine  id (big endian) kind, then n or chunk (big endian) or the name
 *
 * Integers are in the machine's order (LMDB compares them as such), so a spool does not move between byte
 * orders. They only grow, so tables are appended to and pages stay full.
 *
 * Thread   any. Fails: false for a key that is none.
 */
#include "queue_types.h"

enum {
	QUEUE_KEY_RCPT_BITS = 16,
	QUEUE_KEY_CHUNK_BITS = 20,
	QUEUE_KEY_NAME_MAX = 200,
	QUEUE_KEY_QUARANTINE_MAX = 8 + 1 + QUEUE_KEY_NAME_MAX,
};
/* 2^44 messages: 5,000 a second for a century. */
#define QUEUE_KEY_ID_MAX ((UINT64_C(1) << (64 - QUEUE_KEY_CHUNK_BITS)) - 1)

uint64_t queue_key_rcpt(queue_id id, uint16_t n);
uint64_t queue_key_body(queue_id id, uint32_t chunk);
queue_id queue_key_rcpt_id(uint64_t key);
uint16_t queue_key_rcpt_n(uint64_t key);
queue_id queue_key_body_id(uint64_t key);
uint32_t queue_key_body_chunk(uint64_t key);

/* A number as key bytes; borrows *key. */
struct queue_blob queue_key_number(const uint64_t *key);
/* And back: false when the bytes are not a number. */
bool queue_key_read_number(struct queue_blob bytes, uint64_t *out_key);
/* A C string constant as key bytes. */
#define QUEUE_KEY_WORD(word) ((struct queue_blob){.ptr = (word), .len = sizeof(word) - 1})

/* What it was, where it was: `rest` is a number (4 bytes) or a name. Writes into buf. */
struct queue_blob queue_key_quarantine(
	char buf[QUEUE_KEY_QUARANTINE_MAX], queue_id id, char kind, struct queue_blob rest);
#endif
