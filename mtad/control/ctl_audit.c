/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The books against what is there: the counters against the number of records (one transaction, so exact at
 * any time), the records counted one by one, and the schedule in memory.
 *
 * Counting takes a while and the schedule is a moment ahead of the disk, so under traffic these two are held
 * against what the totals say came and went meanwhile. The schedule is called wrong only when it differs each
 * time in a row that nothing was under way.
 */
#include "control/ctl_request.h"
#include "queue/operate.h"
#include "queue/spool.h"
#include "queue_store.h"

#include <stdlib.h>
#include <unistd.h>

enum { LOOKS_MAX = 20, QUIET_WANTED = 3, LOOK_WAIT_US = 50000 };

struct audit {
	struct queue_totals before, now;
	uint64_t queued, counted, scheduled;
	bool is_balanced, is_counted_right;
	bool is_recovering, is_recorded;
	unsigned looks, differed; /* differed: in a row, while nothing moved */
	bool is_schedule_right;
};

static uint64_t
ended(const struct queue_totals *t)
{
	uint64_t sum = t->quarantined;
	size_t i;

	for (i = 0; i < QUEUE_END_COUNT; i++)
		sum += t->ended[i];
	return sum;
}

static bool
answer(struct ctl_request *r, const struct audit *a)
{
	bool is_wrong = a->differed >= QUIET_WANTED;
	bool ok = a->is_balanced && a->is_counted_right && !is_wrong;
	const struct queue_totals *t = &a->before;

	r->exit_code = ok ? 0 : 1;
	ctl_summary(
		r, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:b,s:b,s:b}", "accepted",
			   ctl_number(t->accepted), "delivered", ctl_number(t->ended[QUEUE_END_DELIVERED]),
			   "bounced", ctl_number(t->ended[QUEUE_END_BOUNCED]), "expired",
			   ctl_number(t->ended[QUEUE_END_EXPIRED]), "dropped",
			   ctl_number(t->ended[QUEUE_END_DROPPED]), "queued", ctl_number(a->queued),
			   "quarantined", ctl_number(t->quarantined), "counted", ctl_number(a->counted),
			   "scheduled", ctl_number(a->scheduled), "schedule",
			   is_wrong               ? "wrong"
			   : a->is_schedule_right ? "right"
			   : a->is_recovering     ? "being read"
						  : "moving",
			   "counters_balance", (int)a->is_balanced, "records_counted",
			   (int)a->is_counted_right, "balanced", (int)ok));
	return true;
}

static bool look_at_schedule(struct ctl_request *r);

/* In the control side's thread: was it quiet while the schedule was looked at? */
static bool
compare_schedule(struct ctl_request *r)
{
	struct audit *a = r->state;
	struct queue_totals then = a->now;
	uint64_t queued;
	bool is_quiet;
	int err = queue_store_audit(r->app->store, &a->now, &queued);

	if (err != QUEUE_OK)
		return ctl_error(r, "the spool cannot be read: %s", queue_err_text(err));
	is_quiet = a->is_recorded && then.accepted == a->now.accepted && ended(&then) == ended(&a->now) &&
		   spool_pending(r->app->spool) == 0;
	a->is_schedule_right = a->scheduled == queued;
	a->differed = is_quiet && !a->is_schedule_right ? a->differed + 1 : 0;
	if (a->is_schedule_right || a->is_recovering || a->differed == QUIET_WANTED ||
		++a->looks == LOOKS_MAX)
		return answer(r, a);
	usleep(LOOK_WAIT_US);
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), look_at_schedule);
}

static bool
look_at_schedule(struct ctl_request *r)
{
	struct audit *a = r->state;
	struct queue_sched_stats st;

	queue_sched_stats(dispatch_sched(r->app->dispatch), &st);
	a->scheduled = st.rcpts;
	a->is_recovering = dispatch_is_recovering(r->app->dispatch);
	a->is_recorded = dispatch_is_recorded(r->app->dispatch);
	return ctl_go_on(r, r->slow, compare_schedule);
}

bool
ctl_audit(struct ctl_request *r)
{
	struct audit *a = r->state = calloc(1, sizeof(*a));
	uint64_t queued_after, came, went;
	int err;

	if (a == NULL)
		return ctl_error(r, "out of memory");
	if ((err = queue_store_audit(r->app->store, &a->before, &a->queued)) != QUEUE_OK ||
		(err = queue_store_count_rcpts(r->app->store, &a->counted)) != QUEUE_OK ||
		(err = queue_store_audit(r->app->store, &a->now, &queued_after)) != QUEUE_OK)
		return ctl_error(r, "the spool cannot be read: %s", queue_err_text(err));
	came = a->now.accepted - a->before.accepted;
	went = ended(&a->now) - ended(&a->before);
	a->is_balanced = a->before.accepted == ended(&a->before) + a->queued;
	a->is_counted_right = a->counted + went >= a->queued && a->counted <= a->queued + came;
	return ctl_go_on(r, dispatch_worker(r->app->dispatch), look_at_schedule);
}
