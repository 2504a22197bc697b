/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_RECORD_H
#define LIBQUEUE_QUEUE_RECORD_H
/*
 * queue_record - structs to the bytes of a record and back; every record carries its version and a checksum
 *
 * Encoding is in two steps so that it can write straight into the database's page: ask for the size, then
 * encode into exactly that many bytes. The checksum covers the key as well: a record that turns up under a
 * foreign key is damaged.
 *
 * Owner    the caller. Memory: none; decoded blobs point into the bytes decoded.
 * Thread   any.
 * Fails    decode: QUEUE_EDAMAGED, or QUEUE_EVERSION for a sound record of a later version. Sizes:
 * QUEUE_EINVAL for a text that may not be stored. What explains rather than decides (reply, host, source) is
 * cut instead. Spec     INTERNALS.md, "Records".
 */
#include "queue_store.h"
#include "queue_types.h"

enum {
	QUEUE_RECORD_HEADER = 8,
	QUEUE_RECORD_TEXT_MAX = 512,     /* envid, orcpt */
	QUEUE_RECORD_HOST_MAX = 255,     /* host, source, from_domain */
	QUEUE_RECORD_MESSAGE_MAX = 2560, /* more than the largest of its kind; larger is damaged */
	QUEUE_RECORD_RCPT_MAX = 2560,
	QUEUE_RECORD_STATE_MAX = 256,
	QUEUE_RECORD_BLOB_MAX = 65536, /* event, note, report */
};

/* The letter that opens each record. */
enum queue_record_kind {
	QUEUE_RECORD_MESSAGE = 'm',
	QUEUE_RECORD_RCPT = 'r',
	QUEUE_RECORD_EVENT = 'e',
	QUEUE_RECORD_NOTE = 'n',
	QUEUE_RECORD_FORMAT = 'f',
	QUEUE_RECORD_STATE = 's',
	QUEUE_RECORD_REPORT = 'p',
	QUEUE_RECORD_ISSUED = 'i',
	QUEUE_RECORD_LIST = 'x',
};

QUEUE_MUST_USE int queue_record_message_size(const struct queue_message *m); /* bytes, or QUEUE_EINVAL */
void queue_record_encode_message(
	const struct queue_message *m, uint32_t body_crc, struct queue_blob key, void *out);
QUEUE_MUST_USE int queue_record_decode_message(
	struct queue_blob bytes, struct queue_blob key, struct queue_message *out, uint32_t *out_body_crc);

QUEUE_MUST_USE int queue_record_rcpt_size(const struct queue_rcpt *r);
void queue_record_encode_rcpt(const struct queue_rcpt *r, struct queue_blob key, void *out);
QUEUE_MUST_USE int queue_record_decode_rcpt(
	struct queue_blob bytes, struct queue_blob key, struct queue_rcpt *out);

/* Records whose contents are the caller's business. */
void queue_record_encode_blob(
	enum queue_record_kind kind, struct queue_blob payload, struct queue_blob key, void *out);
QUEUE_MUST_USE int queue_record_decode_blob(enum queue_record_kind kind, struct queue_blob bytes,
	struct queue_blob key, struct queue_blob *out_payload);

/* The books, and what comes next. One record, rewritten by every commit. */
struct queue_state {
	queue_id next_id;
	uint64_t next_event;
	uint64_t reported;          /* events up to this one are in the reports */
	uint64_t commits;           /* transactions since the spool was made: tells an older copy from the one
				       acknowledged */
	struct queue_totals totals; /* events_pending is derived and not stored */
};
size_t queue_record_state_size(void);
void queue_record_encode_state(const struct queue_state *st, struct queue_blob key, void *out);
QUEUE_MUST_USE int queue_record_decode_state(
	struct queue_blob bytes, struct queue_blob key, struct queue_state *out);
#endif
