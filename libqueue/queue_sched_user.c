/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas of users: which are used up, and who is told.
 *
 * The host is told when one is used up and till when, not when that time comes: it has a clock. It is told
 * again when there is room before that, by what was given back or by other limits.
 *
 * Invariant: quota_until_us of a user that has mail is what the host was told last, or over.
 */
#include "queue_sched_user.h"

#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>

static const struct queue_blob nothing = {"", 0};

static bool
is_quota(const struct queue_meter *m)
{
	return m->unit == QUEUE_UNIT_RECIPIENTS && queue_rate_is_long(&m->rate);
}

/* Till when a quota of the user is used up, 0: none is. */
static int64_t
full_until_us(const struct queue_sched *q, const struct sched_gate *g, struct queue_rate *out)
{
	int64_t until_us = 0, end_us;
	uint32_t i;

	for (i = 0; g != NULL && i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (!is_quota(m) || queue_meter_room_unwritten(m, q->now_us, 0) > 0)
			continue;
		end_us = queue_meter_over_us(m);
		if (end_us > until_us) {
			until_us = end_us;
			*out = m->rate;
		}
	}
	return until_us;
}

void
sched_user_look(struct queue_sched *q, struct sched_user *u)
{
	struct queue_rate rate = {.count = 0};
	int64_t until_us;
	bool was_full = u->quota_until_us > q->now_us;

	if (q->conf.on_quota == NULL || u->name_len == 0)
		return;
	until_us = full_until_us(q, u->gate, &rate);
	if (until_us == u->quota_until_us || (until_us == 0 && !was_full))
		return;
	u->quota_until_us = until_us;
	q->conf.on_quota(q->conf.arg, (struct queue_blob){u->name, u->name_len}, &rate, until_us);
}

void
sched_users_look(struct queue_sched *q)
{
	struct queue_map_node *n;

	for (n = queue_map_each(&q->users, NULL); n != NULL; n = queue_map_each(&q->users, n))
		sched_user_look(q, QUEUE_OF(n, struct sched_user, node));
}

static bool
is_used_up(const struct queue_sched *q, const struct sched_gate *g, bool is_urgent)
{
	uint32_t i;

	for (i = 0; g != NULL && i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (m->unit != QUEUE_UNIT_CONNECTIONS && queue_rate_is_long(&m->rate) &&
			queue_meter_room_unwritten(
				m, q->now_us, sched_gate_reserve(q, g, m->rate.count, is_urgent)) == 0)
			return true;
	}
	return false;
}

bool
sched_stream_is_used_up(const struct queue_sched *q, const struct sched_stream *s)
{
	bool is_urgent = s->klass == QUEUE_CLASS_URGENT;

	return is_used_up(q, s->gate, is_urgent) || is_used_up(q, s->user->gate, is_urgent);
}

/* --- for the host --- */

/* What was used stands in the meter of the same window, whatever its rate was. */
static void
set_used(const struct queue_sched *q, const struct sched_gate *g, struct queue_quota *quota)
{
	uint32_t i;

	for (i = 0; g != NULL && i < g->meter_count; i++) {
		const struct queue_meter *m = &g->meters[i];

		if (!is_quota(m) || m->rate.per_us != quota->rate.per_us ||
			queue_meter_over_us(m) <= q->now_us)
			continue;
		quota->used = m->used;
		quota->end_us = queue_meter_over_us(m);
		return;
	}
}

static void
add_quota(const struct queue_sched *q, const struct sched_gate *g, const struct queue_rate *rate,
	struct queue_user_view *out)
{
	struct queue_quota *quota = &out->quotas[out->quota_count];

	if (!queue_rate_is_long(rate) || out->quota_count == QUEUE_QUOTAS_MAX)
		return;
	*quota = (struct queue_quota){.rate = *rate};
	set_used(q, g, quota);
	if (quota->used >= rate->count && quota->end_us > out->full_until_us) {
		out->full_until_us = quota->end_us;
		out->full = *rate;
	}
	out->quota_count++;
}

void
queue_sched_user_view(
	struct queue_sched *q, struct queue_blob user, int64_t now_us, struct queue_user_view *out)
{
	struct queue_stream_policy p = {.weight = 1};
	const struct sched_guard *guard;
	const struct sched_gate *g;
	uint32_t i;

	sched_clock(q, now_us);
	*out = (struct queue_user_view){.guard = QUEUE_GUARD_OK};
	if (q->conf.stream != NULL)
		q->conf.stream(q->conf.arg, user, nothing, QUEUE_CLASS_NORMAL, &p);
	g = sched_gate_find(q, QUEUE_LEVEL_USER, user, nothing);
	for (i = 0; p.user_limits != NULL && i < p.user_limits->units[QUEUE_UNIT_RECIPIENTS].count; i++)
		add_quota(q, g, &p.user_limits->units[QUEUE_UNIT_RECIPIENTS].rates[i], out);
	if ((guard = sched_guard_of_user(q, user)) == NULL)
		return;
	out->guard = queue_guard_level(&guard->guard);
	for (i = 0; i < QUEUE_GUARD_RATES; i++)
		out->numbers[i] = queue_guard_numbers(&guard->guard, (enum queue_guard_rate)i);
}

void
queue_sched_user_changed(struct queue_sched *q, struct queue_blob user, int64_t now_us)
{
	struct queue_link *l;
	bool ok = true;

	sched_clock(q, now_us);
	for (l = q->all_streams.next; l != &q->all_streams; l = l->next) {
		struct sched_stream *s = QUEUE_OF(l, struct sched_stream, all);

		if (sched_name_is(s->names, s->user_len, user))
			ok = sched_stream_set_limits(q, s) && ok;
	}
	/* Without memory nothing goes out until there is some: the limits are set then. */
	if (!ok)
		q->lacks_limits = true;
}
