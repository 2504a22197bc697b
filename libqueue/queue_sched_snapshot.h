/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_SNAPSHOT_H
#define LIBQUEUE_QUEUE_SCHED_SNAPSHOT_H
/*
 * queue_sched_snapshot - what is queued, in numbers, and what is known: enough for another schedule to be
 * asked what it would do with it
 *
 * Nothing here changes the schedule. A portion costs the same however many recipients there are: of a cell
 * some are looked at and stand for all, and `looked_at` says how many.
 *
 * Owner    the schedule. Memory: views are valid during the visit.
 * Thread   the schedule's. A visitor may not call back.
 */
#include "queue_sched.h"

/* How far away the attempts of those are that wait: up to the end of each bucket, and behind the last. */
enum { QUEUE_DUE_BUCKETS = 12 };
extern const int64_t queue_due_ends_us[QUEUE_DUE_BUCKETS - 1];

struct queue_due_view {
	uint64_t rcpts;
	int64_t first_us, last_us; /* of those looked at */
};
/* Recipients of one domain, stream and pool: one cell. */
struct queue_cell_view {
	struct queue_blob domain, site;      /* site: empty when not routed */
	struct queue_blob user, job, sender; /* sender: the domain of the envelope sender */
	struct queue_blob from_domain;       /* that warms up; the sender's where From was not known */
	struct queue_blob pool;              /* it was asked to go by; empty: none */
	struct queue_blob source;            /* it has to go from; empty: any of its pool */
	enum queue_class klass;
	bool is_strict;   /* from that source and no other, see QUEUE_RCPT_UNCERTAIN */
	bool is_rejected; /* the domain's route is FAIL */
	uint64_t ready, leased, held;
	struct queue_due_view due[QUEUE_DUE_BUCKETS]; /* of the waiting */
	uint32_t looked_at, messages;                 /* recipients, and how many messages they are of */
	uint64_t bytes;                               /* of those messages */
};
/* Returning false ends the walk. */
typedef bool queue_sched_visit_cell(void *arg, const struct queue_cell_view *v);
void queue_sched_walk_cells(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_cell *visit, void *arg);

/* All that queue_sched_restore() takes, as it stands at this moment: what long limits have used, and not what
 * the disk was asked for ahead; warm-ups, guards, what lanes have learned. */
typedef void queue_sched_visit_record(void *arg, struct queue_blob value);
void queue_sched_walk_records(
	struct queue_sched *q, struct queue_walk *walk, queue_sched_visit_record *visit, void *arg);
#endif
