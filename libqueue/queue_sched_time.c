/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: what the clock handed in does, and everything that happens because time passes.
 *
 * Expiry is exact in every state and nearly free: a domain keeps its recipients in the order of arrival, and
 * only the first can be the next to expire. What does not fit into that order (a limit of its own, mail read
 * at start between fresh mail) is "timed": it has its own entry among the due times. Leased recipients are
 * judged when they are settled.
 *
 * Invariants: a domain's or lane's timer is never later than what has to happen next, but may be earlier; it
 * is made exact when it goes off. A waiting recipient's timer is its due time. No limit up to doubtful_us
 * takes effect before expiry_from_us; who stands behind such a one in the order of arrival may wait for it.
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>

enum {
	TIMERS_A_TURN =
		64, /* recipients made ready in one go, so that a call stays short when a million come due */
	EXPIRE_LEASE_MAX = 1000,
	TIMED_SCAN = 100,
	EXPIRE_SCAN = 4096, /* recipients of one message looked at for the same lease */
};
/* The process was stopped: give retries a chance before mail is thrown out. */
#define JUMP_US  (INT64_C(3600) * 1000000)
#define GRACE_US (INT64_C(600) * 1000000)
/* Set back by less than this: a slew, not worth walking the queue. */
#define BACK_US INT64_C(2000000)
/* An idle session that is over its time was kept for mail that had its turn. */
#define IDLE_AGAIN_US INT64_C(1000000)

/* --- when --- */

/* It waits for its message's release, not for another attempt. */
bool
sched_rcpt_is_scheduled(struct sched_rcpt *r)
{
	const struct sched_message *m = sched_message_of(r);

	return m->release_us != 0 && r->attempts == 0 && r->due_us == m->release_us;
}

int64_t
sched_rcpt_expires_us(const struct queue_sched *q, struct sched_rcpt *r)
{
	const struct sched_message *m = sched_message_of(r);
	int64_t at_us = queue_retry_add(m->release_us > m->arrived_us ? m->release_us : m->arrived_us,
		r->cell->domain->policy->expire_us);

	return m->expire_us != 0 && m->expire_us < at_us ? m->expire_us : at_us;
}

/* It ends by its message's own limit, not by that of its domain. */
bool
sched_rcpt_has_own_limit(const struct queue_sched *q, struct sched_rcpt *r)
{
	int64_t own_us = sched_message_of(r)->expire_us;

	return own_us != 0 && own_us == sched_rcpt_expires_us(q, r);
}

/* When an order must be given for it. */
static int64_t
expiry_due_us(const struct queue_sched *q, struct sched_rcpt *r)
{
	int64_t at_us = sched_rcpt_expires_us(q, r);

	return at_us <= q->doubtful_us && at_us < q->expiry_from_us ? q->expiry_from_us : at_us;
}

/* Over its limit, but only by a clock that is in doubt. */
bool
sched_is_expiry_held(const struct queue_sched *q, int64_t expires_us)
{
	return expires_us <= q->doubtful_us && q->now_us < q->expiry_from_us;
}

void
sched_rcpt_arm(struct queue_sched *q, struct sched_rcpt *r)
{
	int64_t at_us = INT64_MAX;

	if (r->is_timed && r->state != SCHED_LEASED)
		at_us = expiry_due_us(q, r);
	if (r->state == SCHED_WAITING && r->due_us < at_us)
		at_us = r->due_us;
	queue_heap_set(&q->rcpt_timers, &r->timer, at_us);
}

static int64_t
arrived_us(struct queue_link *age)
{
	return sched_message_of(QUEUE_OF(age, struct sched_rcpt, age))->arrived_us;
}

/* Behind those that came before it, for who asks for the oldest: nearly always at the end of one of the two.
 * Of the others one may stand a little too far back: their order decides nothing. */
void
sched_start_timed(struct sched_rcpt *r)
{
	struct sched_domain *d = r->cell->domain;
	struct queue_link *list = &d->timed_ages[0], *at;
	int i;

	assert(!r->is_timed);
	r->is_timed = 1;
	for (i = 0; i < 2; i++)
		if (queue_link_is_alone(&d->timed_ages[i]) ||
			arrived_us(d->timed_ages[i].prev) <= sched_message_of(r)->arrived_us) {
			queue_link_back(&d->timed_ages[i], &r->age);
			return;
		}
	at = list->next;
	for (i = 0; i < TIMED_SCAN && at != list && arrived_us(at) <= sched_message_of(r)->arrived_us; i++)
		at = at->next;
	queue_link_back(at, &r->age);
}

/* Its expiry is from now on its own affair and not its domain's. */
void
sched_make_timed(struct queue_sched *q, struct sched_rcpt *r)
{
	queue_link_remove(&r->age);
	sched_start_timed(r);
	sched_rcpt_arm(q, r);
}

static int64_t
domain_next_us(const struct queue_sched *q, const struct sched_domain *d)
{
	int64_t at_us = INT64_MAX, first_us;
	int i;

	for (i = 0; i < 2; i++)
		if (!queue_link_is_alone(&d->ages[i])) {
			first_us = expiry_due_us(q, QUEUE_OF(d->ages[i].next, struct sched_rcpt, age));
			if (first_us < at_us)
				at_us = first_us;
		}
	if (d->route == SCHED_ROUTE_WAIT && d->until_us > q->now_us && d->until_us < at_us &&
		!queue_link_is_alone(&d->runnable))
		at_us = d->until_us;
	if (queue_link_is_alone(&d->cells) && !d->is_resolving && d->linger_us < at_us)
		at_us = d->linger_us;
	return at_us;
}

void
sched_domain_arm(struct queue_sched *q, struct sched_domain *d)
{
	int64_t at_us = domain_next_us(q, d);

	if (at_us < queue_heap_at(&q->domain_timers, &d->timer))
		queue_heap_set(&q->domain_timers, &d->timer, at_us);
}

static int64_t
lane_next_us(const struct queue_sched *q, const struct queue_lane *lane)
{
	int64_t at_us = INT64_MAX, idle_us;

	if (lane->wait_until_us > q->now_us)
		at_us = lane->wait_until_us;
	if (lane->is_quiet && lane->site->quiet_until_us > q->now_us && lane->site->quiet_until_us < at_us)
		at_us = lane->site->quiet_until_us;
	if (sched_lane_health_us(lane) < at_us)
		at_us = sched_lane_health_us(lane);
	if (!queue_link_is_alone(&lane->idle)) {
		idle_us =
			queue_retry_add(QUEUE_OF(lane->idle.prev, struct queue_session, place)->idle_since_us,
				lane->policy->idle_us);
		if (idle_us < at_us)
			at_us = idle_us;
	}
	return at_us;
}

void
sched_lane_arm(struct queue_sched *q, struct queue_lane *lane)
{
	int64_t at_us = lane_next_us(q, lane);

	if (at_us < queue_heap_at(&q->lane_timers, &lane->timer))
		queue_heap_set(&q->lane_timers, &lane->timer, at_us);
}

/* --- the clock --- */

/* Ahead: a wait keeps its length, but no more than the schedule has. What was read at start may have been
 * written by a clock that was ahead of this one by less than a site may ask for: it would wait for the step
 * too. A release is no wait: it is a date, and comes when the clock says so.
 */
static int64_t
due_shift(const struct queue_sched *q, struct sched_rcpt *r, int64_t step_us)
{
	const struct queue_policy *p = r->cell->domain->policy;
	int64_t due_us = queue_retry_move(r->due_us, step_us), wait_us = queue_retry_wait(p, r->attempts);

	if (wait_us < p->uncertain_retry_us)
		wait_us = p->uncertain_retry_us;
	wait_us = queue_retry_jitter(wait_us, q->conf.jitter_percent, UINT32_MAX);
	if (sched_rcpt_is_scheduled(r))
		return r->due_us;
	if (step_us > 0 && due_us > queue_retry_add(q->now_us, wait_us))
		return queue_retry_add(q->now_us, wait_us);
	return due_us;
}

/* Ahead: the age keeps its length. Back: the time of arrival may have been right all along and the clock
 * wrong only since, so it stays where it can; no age is negative. A message lives longer rather than shorter.
 */
static void
message_shift(struct queue_sched *q, struct sched_message *m, int64_t step_us)
{
	int64_t arrived_us = step_us > 0 ? queue_retry_move(m->arrived_us, step_us) : m->arrived_us;
	uint32_t i;

	if (arrived_us > q->now_us)
		arrived_us =
			q->now_us; /* The order of arrival in a domain stays: only its end becomes equal. */
	if (step_us > 0) {
		m->expire_us = queue_retry_move(m->expire_us, step_us);
		m->notice_us = queue_retry_move(m->notice_us, step_us);
	}
	m->arrived_us = arrived_us;
	for (i = 0; i < m->rcpt_count; i++) {
		struct sched_rcpt *r = &m->rcpts[i];

		if (r->state == SCHED_ENDED)
			continue;
		r->due_us = due_shift(q, r, step_us);
		r->cell->next_due_us = 0;
		sched_rcpt_arm(q, r);
	}
}

static void
domain_shift(struct queue_sched *q, struct sched_domain *d, int64_t step_us)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (step_us > 0)
			d->last_us[i] = queue_retry_move(d->last_us[i], step_us);
		d->last_us[i] = d->last_us[i] < q->now_us ? d->last_us[i] : q->now_us;
	}
	d->until_us = queue_retry_move(d->until_us, step_us);
	d->linger_us = queue_retry_move(d->linger_us, step_us);
	sched_domain_arm(q, d);
}

/* The clock was set: waits keep their length. Rare, so it may walk everything. */
static void
shift(struct queue_sched *q, int64_t step_us)
{
	struct queue_map_node *n;
	struct queue_link *l;

	q->now_us += step_us;
	q->expiry_from_us = queue_retry_move(q->expiry_from_us, step_us);
	q->doubtful_us = queue_retry_move(q->doubtful_us, step_us);
	q->stalled_until_us = queue_retry_move(q->stalled_until_us, step_us);
	for (n = queue_map_each(&q->messages, NULL); n != NULL; n = queue_map_each(&q->messages, n))
		message_shift(q, QUEUE_OF(n, struct sched_message, node), step_us);
	for (l = q->sessions.next; l != &q->sessions; l = l->next) {
		struct queue_session *s = QUEUE_OF(l, struct queue_session, all);

		s->idle_since_us = queue_retry_move(s->idle_since_us, step_us);
	}
	for (l = q->leases.next; l != &q->leases; l = l->next) {
		struct queue_lease *lease = QUEUE_OF(l, struct queue_lease, all);

		lease->taken_us = queue_retry_move(lease->taken_us, step_us);
	}
	for (n = queue_map_each(&q->domains, NULL); n != NULL; n = queue_map_each(&q->domains, n))
		domain_shift(q, QUEUE_OF(n, struct sched_domain, node), step_us);
	for (n = queue_map_each(&q->sites, NULL); n != NULL; n = queue_map_each(&q->sites, n))
		QUEUE_OF(n, struct sched_site, node)->quiet_until_us = 0;
	for (n = queue_map_each(&q->lanes, NULL); n != NULL; n = queue_map_each(&q->lanes, n)) {
		struct queue_lane *lane = QUEUE_OF(n, struct queue_lane, node);

		if (lane->is_quiet) /* by the clock as it was */
			sched_lane_able(q, lane, false);
		lane->wait_until_us = queue_retry_move(lane->wait_until_us, step_us);
		lane->profile_until_us = queue_retry_move(lane->profile_until_us, step_us);
		queue_recovery_shift(&lane->recovery, step_us);
		sched_lane_arm(q, lane);
	}
	q->urgent_until_us = queue_retry_move(q->urgent_until_us, step_us);
	sched_gates_shift(q, step_us);
	sched_pauses_shift(q, step_us);
	sched_guards_shift(q, step_us);
	sched_users_look(q);
}

void
queue_sched_clock_ahead(struct queue_sched *q, int64_t step_us)
{
	assert(step_us >= 0);
	if (q->has_clock)
		shift(q, step_us);
}

void
queue_sched_doubt_ages(struct queue_sched *q, int64_t now_us)
{
	sched_clock(q, now_us);
	q->doubtful_us = q->now_us;
	q->expiry_from_us = queue_retry_add(q->now_us, GRACE_US);
}

/* Every fact and order that comes with a time goes through here first. */
void
sched_clock(struct queue_sched *q, int64_t now_us)
{
	if (!q->has_clock)
		q->has_clock = true;
	else if (now_us - q->now_us > JUMP_US) {
		q->doubtful_us = INT64_MAX;
		q->expiry_from_us = queue_retry_add(now_us, GRACE_US);
	} else if (q->now_us - now_us > BACK_US)
		shift(q, now_us - q->now_us);
	q->now_us = now_us;
}

/* --- what happens --- */

/* The expired recipients of r's message, r first. */
static bool
order_expire(struct queue_sched *q, struct sched_rcpt *r, struct queue_order *out)
{
	struct sched_message *m = sched_message_of(r);
	uint32_t room = m->live < EXPIRE_LEASE_MAX ? m->live : EXPIRE_LEASE_MAX;
	struct queue_lease *l = sched_lease_create(q, m, room);
	uint32_t i;

	if (l == NULL)
		return false;
	sched_lease_add(q, l, r);
	for (i = 1; i < m->rcpt_count && i < EXPIRE_SCAN && l->count < l->room; i++) {
		struct sched_rcpt *other = &m->rcpts[(r->index + i) % m->rcpt_count];

		if (other->state < SCHED_STATES && other->state != SCHED_LEASED &&
			expiry_due_us(q, other) <= q->now_us)
			sched_lease_add(q, l, other);
	}
	out->kind = QUEUE_ORDER_EXPIRE;
	out->lease = l;
	out->domain = (struct queue_blob){r->cell->domain->name, r->cell->domain->name_len};
	return true;
}

static bool
rcpt_timer(struct queue_sched *q, struct sched_rcpt *r, struct queue_order *out)
{
	if (r->is_timed && expiry_due_us(q, r) <= q->now_us)
		return order_expire(q, r, out);
	if (r->state == SCHED_WAITING && r->due_us <= q->now_us)
		sched_rcpt_move(q, r, SCHED_READY);
	else
		sched_rcpt_arm(q, r);
	return false;
}

static bool
domain_timer(struct queue_sched *q, struct sched_domain *d, struct queue_order *out)
{
	int i;

	if (queue_link_is_alone(&d->cells) && !d->is_resolving && d->linger_us <= q->now_us) {
		sched_domain_free(q, d);
		return false;
	}
	for (i = 0; i < 2; i++)
		while (!queue_link_is_alone(&d->ages[i])) {
			struct sched_rcpt *r = QUEUE_OF(d->ages[i].next, struct sched_rcpt, age);

			if (expiry_due_us(q, r) > q->now_us)
				break;
			if (r->state != SCHED_LEASED)
				return order_expire(q, r, out);
			sched_make_timed(q, r); /* it must not hide those behind it */
		}
	if (d->route == SCHED_ROUTE_WAIT && d->until_us <= q->now_us)
		sched_domain_want(q, d);
	queue_heap_set(&q->domain_timers, &d->timer, domain_next_us(q, d));
	return false;
}

/* Some way of it is about to have its turn. */
static bool
has_turn(const struct queue_sched *q, const struct queue_lane *lane)
{
	struct queue_link *l;

	if (!lane->is_able || sched_lane_is_paused(lane) || q->is_paused)
		return false;
	for (l = lane->options.next; l != &lane->options; l = l->next)
		if (!queue_link_is_alone(&QUEUE_OF(l, struct sched_option, of_lane)->way->turn))
			return true;
	return false;
}

static void
lane_timer(struct queue_sched *q, struct queue_lane *lane)
{
	bool keeps_idle;
	int64_t next_us;

	sched_lane_look(q, lane);
	/* They are for the mail that is about to go; mail that waits for a limit may wait for hours. */
	keeps_idle = has_turn(q, lane);
	while (!keeps_idle && !queue_link_is_alone(&lane->idle)) {
		struct queue_session *s = QUEUE_OF(lane->idle.prev, struct queue_session, place);

		if (queue_retry_add(s->idle_since_us, lane->policy->idle_us) > q->now_us)
			break;
		sched_session_order_close(q, s);
	}
	next_us = lane_next_us(q, lane);
	if (next_us <= q->now_us)
		next_us = queue_retry_add(q->now_us, IDLE_AGAIN_US);
	queue_heap_set(&q->lane_timers, &lane->timer, next_us);
	if (lane->wait_until_us != 0 && lane->wait_until_us <= q->now_us) {
		lane->wait_until_us = 0;
		sched_lane_able(q, lane, false);
	}
	if (lane->is_quiet && lane->site->quiet_until_us <= q->now_us)
		sched_lane_able(q, lane, false);
	sched_lane_release(q, lane);
}

bool
sched_timers(struct queue_sched *q, struct queue_order *out, bool *out_more)
{
	int i;

	sched_pause_timers(q);
	sched_gate_timers(q);
	sched_guard_timers(q);
	for (i = 0; i < TIMERS_A_TURN; i++) {
		if (q->stalled_until_us > q->now_us)
			return false;
		if (queue_heap_first_us(&q->lane_timers) <= q->now_us)
			lane_timer(q, QUEUE_OF(queue_heap_first(&q->lane_timers), struct queue_lane, timer));
		else if (queue_heap_first_us(&q->domain_timers) <= q->now_us) {
			if (domain_timer(q,
				    QUEUE_OF(queue_heap_first(&q->domain_timers), struct sched_domain, timer),
				    out))
				return true;
		} else if (queue_heap_first_us(&q->rcpt_timers) <= q->now_us) {
			if (rcpt_timer(q,
				    QUEUE_OF(queue_heap_first(&q->rcpt_timers), struct sched_rcpt, timer),
				    out))
				return true;
		} else
			return false;
	}
	*out_more = true;
	return false;
}
