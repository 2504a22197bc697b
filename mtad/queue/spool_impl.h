/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_QUEUE_SPOOL_IMPL_H
#define MTAD_QUEUE_SPOOL_IMPL_H
/*
 * spool_impl - what the two halves of the spool thread share: spool.c (what goes into a commit, and who hears
 * of it) and spool_write.c (its steps)
 *
 * Included by these two files only.
 */
#include "queue/spool.h"

#include "report/event.h"

struct event;

struct list {
	struct letter *head, *tail;
};

/* What goes into one commit. */
struct batch {
	struct list jobs, accepts, feedbacks, changes;
	size_t messages, bytes;
};

struct spool {
	struct worker *worker;
	struct worker *queue, *report;
	struct log *log;
	const struct conf *conf;
	struct queue_store *store;
	struct suppress *suppress;
	const struct clock *clock;
	struct event *retry_timer, *space_timer, *forget_timer, *sweep_timer;
	struct event *more; /* work is left for the next turn of the loop */
	struct list jobs, accepts, feedbacks;
	struct list changes;        /* holds and notes: kept like jobs until a commit has them */
	struct reported *reported;  /* the newest report not yet in the store */
	struct event_batch *events; /* of the open transaction */
	size_t events_max;
	bool record_received;
	unsigned sweeps;  /* turns of sweep_timer */
	bool is_sweeping; /* there may be issued tokens that are over */
	bool is_failed, is_full;
	_Atomic uint64_t pending_jobs, commits, accepted, settled, holds_written, failed_commits;
	_Atomic bool failed_view, full_view;
};

/* Everything between begin and commit. */
int spool_write_batch(struct spool *s, const struct batch *b);
/* What a put says of its message alone; the transaction is as good as before. */
bool spool_is_refusal(int err);
#endif
