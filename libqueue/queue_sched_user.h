/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBQUEUE_QUEUE_SCHED_USER_H
#define LIBQUEUE_QUEUE_SCHED_USER_H
/*
 * queue_sched_user - the recipients a user may still send to, and how it stands with its guard
 *
 * A quota is a limit of a user's recipients in a window of a minute and more: it is counted on disk, and what
 * it does not let through waits for the next window. Shorter ones are a pace, and are no quotas.
 *
 * Owner    the schedule. Memory: none that is kept.
 * Thread   the schedule's.
 */
#include "queue_guard.h"
#include "queue_limits.h"

struct queue_sched;

enum { QUEUE_QUOTAS_MAX = 16 };

struct queue_quota {
	struct queue_rate rate;
	int64_t used;   /* in the present window */
	int64_t end_us; /* of it; 0: it has not begun */
};
/* Also of a user that has no mail now. */
struct queue_user_view {
	struct queue_quota quotas[QUEUE_QUOTAS_MAX]; /* the shortest window first */
	uint32_t quota_count;
	int64_t full_until_us; /* one of them is used up till then; 0: none is */
	struct queue_rate full;
	enum queue_guard_level guard;
	struct queue_guard_numbers numbers[QUEUE_GUARD_RATES];
};
void queue_sched_user_view(
	struct queue_sched *q, struct queue_blob user, int64_t now_us, struct queue_user_view *out);
/* What queue_sched_conf.stream says of this user has changed: it takes effect at once. */
void queue_sched_user_changed(struct queue_sched *q, struct queue_blob user, int64_t now_us);
#endif
