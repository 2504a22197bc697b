/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_ISSUED_H
#define LIBQUEUE_QUEUE_ISSUED_H
/*
 * queue_issued - whose the tokens are that went out with mail, for as long as somebody may come back with one
 *
 * An entry is a key, the caller's words about a recipient, and a set of bits: what its token was used for. A
 * token that comes twice is known by its bit. Keys begin with a time, oldest first by their bytes, so that
 * the table is appended to, and what is over goes from its front.
 *
 * Owner    writing: the spool thread, inside a transaction of queue_store. Reading: any thread.
 * Memory   none.
 * Fails    as queue_store.h says.
 */
#include "queue_store.h"

enum {
	QUEUE_ISSUED_KEY_MAX = 32,
	QUEUE_ISSUED_SWEEP_MAX = 4096, /* entries of one call */
};

/* Step 12, an entry, in the transaction of the step 1 of its message; one of the same key is replaced.
 * QUEUE_EINVAL: a key or a value is empty or too long (QUEUE_EVENT_MAX). */
QUEUE_MUST_USE int queue_issued_put(struct queue_store *s, struct queue_blob key, struct queue_blob value);
/* Step 12 again: other words for an entry; what it was used for stays. QUEUE_ENOTFOUND: it was not issued, or
 * is over; QUEUE_EINVAL, QUEUE_EDAMAGED, QUEUE_EVERSION. */
QUEUE_MUST_USE int queue_issued_change(struct queue_store *s, struct queue_blob key, struct queue_blob value);
/* Step 13, its token is used for these bits. *out_before: for what it had been used, in this transaction too.
 * QUEUE_ENOTFOUND: it was not issued, or is over; QUEUE_EDAMAGED, QUEUE_EVERSION: it cannot be read. */
QUEUE_MUST_USE int queue_issued_use(
	struct queue_store *s, struct queue_blob key, uint8_t bits, uint8_t *out_before);
/* Step 14, entries with a key less than `before` go, the oldest first, QUEUE_ISSUED_SWEEP_MAX of them at
 * most. How many, or an error. */
QUEUE_MUST_USE int queue_issued_sweep(struct queue_store *s, struct queue_blob before);

/* One short read transaction. Copies at most buf_max bytes of the value, returns its length. */
QUEUE_MUST_USE int queue_issued_get(
	struct queue_store *s, struct queue_blob key, uint8_t *out_used, void *buf, size_t buf_max);
/* An entry, borrowed until the call returns. False: enough seen. */
typedef bool queue_issued_visit(void *arg, struct queue_blob key, uint8_t used, struct queue_blob value);
/* One read transaction over the entries from `from` on that are less than `before`, at most `max`; what
 * cannot be read is passed over. How many were visited, or an error. */
QUEUE_MUST_USE int queue_issued_walk(struct queue_store *s, struct queue_blob from, struct queue_blob before,
	uint32_t max, queue_issued_visit *visit, void *arg);
/* How many there are. */
QUEUE_MUST_USE int queue_issued_count(struct queue_store *s, uint64_t *out);
#endif
