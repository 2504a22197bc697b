/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_FEEDBACK_H
#define LIBQUEUE_QUEUE_SCHED_FEEDBACK_H
/*
 * queue_sched_feedback - what comes back of mail that has left the queue; part of queue_sched.h, which
 * includes it
 *
 * Owner    the schedule.
 * Memory   blobs are borrowed for the call.
 * Thread   the schedule's.
 * Fails    nothing: without memory it is not counted.
 */
#include "queue_types.h"

struct queue_sched;

enum queue_feedback_kind {
	QUEUE_FEEDBACK_COMPLAINT,
	QUEUE_FEEDBACK_BAD_ADDRESS, /* a report: it had been delivered, and the address is bad after all */
};

/* One recipient. Whose mail it was, as far as it is known: what is empty is not counted for anybody. */
struct queue_feedback {
	enum queue_feedback_kind kind;
	struct queue_blob user, job;
	enum queue_class klass;
	struct queue_blob source, site, from_domain;
	int64_t sent_us; /* when its mail was delivered; 0: not known, counts as now */
};
/* Guards of the user, the stream and the source count it, and complaints the warm-ups of the source and of
 * the sender's domain. */
void queue_sched_feedback(struct queue_sched *q, const struct queue_feedback *f, int64_t now_us);
#endif
