/* SPDX-License-Identifier: Apache-2.0 */
#include "queue_sched_int.h"

void
queue_sched_feedback(struct queue_sched *q, const struct queue_feedback *f, int64_t now_us)
{
	sched_clock(q, now_us);
	sched_guards_fed_back(q, f);
	if (f->kind == QUEUE_FEEDBACK_COMPLAINT)
		sched_warm_complained(q, f);
}
