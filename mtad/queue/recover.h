/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_RECOVER_H
#define MTAD_QUEUE_RECOVER_H
/*
 * recover - reads the index of what is queued from the spool at start, while submissions are served already
 *
 * A thread of its own, so that a cold disk stalls nobody. It posts batches to the queue thread and waits for
 * each to be taken, so memory stays bounded. Messages accepted meanwhile have greater ids and come by
 * LETTER_FRESH.
 *
 * Owner    main.
 */
#include "base/log.h"
#include "base/worker.h"
#include "queue_sched.h"
#include "queue_store.h"

#include <semaphore.h>

struct recover;

/* One batch, valid until the receiver posts `taken`. count 0: that was all. */
struct recovered {
	struct letter letter;
	struct recover *recover;
	const struct recovered_message *messages;
	size_t count;
};
struct recovered_message {
	struct queue_message meta; /* blobs point into the batch */
	struct queue_sched_rcpt *rcpts;
	const char **sources; /* of rcpts[i]: last source, "" when it need not be used again */
	const char **hosts;   /* likewise the last host */
	uint32_t rcpt_count;
	bool is_damaged; /* no rcpts: to be quarantined */
};

struct recover *recover_create(
	struct queue_store *store, struct worker *queue, struct log *log, const struct clock *clock);
bool recover_start(struct recover *r);
/* The receiver is done with the batch. Any thread. */
void recover_taken(struct recovered *batch);
/* Stops early when still running, joins, frees. The queue thread must still answer batches. */
void recover_destroy(struct recover **rp);
#endif
