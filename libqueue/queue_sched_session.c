/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes that can take mail, and their sessions from OPEN to the end.
 *
 * Invariants: a session is in lane->idle (and queue_sched.idle) when it is open without a lease, in
 * lane->half when it can take a second one, in queue_sched.closing until its CLOSE is ordered; else in none.
 * Caps count a session from OPEN to queue_sched_session_closed().
 */
#include "queue_retry.h"
#include "queue_sched_int.h"

#include <assert.h>

enum {
	LEASES_A_SESSION = 2,
	/* What the only session of a lane may send before it makes room for a lane without. */
	SHARE_MESSAGES = 20,
};

/* --- lanes --- */

bool
sched_lane_is_paused(const struct queue_lane *lane)
{
	return lane->is_source_paused || lane->site->is_paused;
}

static struct sched_option *
option_at(struct queue_link *of_lane)
{
	return QUEUE_OF(of_lane, struct sched_option, of_lane);
}

/* Some way of it has something to send. */
bool
sched_lane_has_mail(const struct queue_lane *lane)
{
	struct queue_link *l;

	for (l = lane->options.next; l != &lane->options; l = l->next)
		if (option_at(l)->way->turn_count > 0)
			return true;
	return false;
}

void
sched_lane_unstarve(struct queue_sched *q, struct queue_lane *lane)
{
	q->starved_none_count -= lane->starved_state == SCHED_STARVED_NONE;
	queue_link_remove(&lane->starved);
	lane->starved_state = SCHED_FED;
}

void
sched_lane_starve(struct queue_sched *q, struct queue_lane *lane)
{
	assert(lane->starved_state == SCHED_FED);
	lane->starved_state = lane->sessions == 0 ? SCHED_STARVED_NONE : SCHED_STARVED_MORE;
	queue_link_back(lane->sessions == 0 ? &q->starved_none : &q->starved_more, &lane->starved);
	q->starved_none_count += lane->sessions == 0;
}

static bool
has_urgent(const struct sched_way *way)
{
	return !queue_link_is_alone(&way->turns[QUEUE_CLASS_URGENT]);
}

/* It can take nothing until an event says otherwise; unless it was asked for other mail, and urgent mail may
 * find it able. */
static void
lane_unable(struct queue_lane *lane, bool is_urgent)
{
	struct queue_link *l;

	lane->is_able = false;
	lane->is_able_for_urgent = !is_urgent;
	for (l = lane->options.next; l != &lane->options; l = l->next)
		if (is_urgent || !has_urgent(option_at(l)->way))
			queue_link_remove(&option_at(l)->able);
}

bool
sched_lane_is_able(const struct queue_lane *lane, bool is_urgent)
{
	return lane->is_able || (is_urgent && lane->is_able_for_urgent);
}

void
sched_lane_able(struct queue_sched *q, struct queue_lane *lane, bool at_front)
{
	struct queue_link *l;

	sched_lane_unstarve(q, lane);
	sched_gate_leave(q, &lane->waiter);
	lane->is_able = true;
	lane->is_quiet = false;
	for (l = lane->options.next; l != &lane->options; l = l->next) {
		struct sched_option *o = option_at(l);

		if (at_front) {
			queue_link_remove(&o->able);
			queue_link_front(&o->way->able, &o->able);
		} else if (queue_link_is_alone(&o->able)) {
			queue_link_back(&o->way->able, &o->able);
		}
		/* A way that waits for a connection of its pool may not need one any more. */
		if (o->way->waiter.gate != NULL && o->way->waiter.want == SCHED_WANT_CONNECTION)
			sched_gate_leave(q, &o->way->waiter);
		sched_way_kick(q, o->way, at_front);
	}
}

/* One of its ways has nothing to send any more; if that was the last, it need not wait for anything. */
void
sched_lane_rests(struct queue_sched *q, struct queue_lane *lane)
{
	if (sched_lane_has_mail(lane))
		return;
	if (lane->waiter.gate != NULL || lane->starved_state != SCHED_FED)
		sched_lane_able(q, lane, false);
	sched_lane_arm(q, lane); /* its idle sessions have nothing to wait for but their time */
}

/* Urgent mail has come: what the way and its lanes wait for may not hold for it. The lanes keep their places.
 */
void
sched_way_try_lanes(struct queue_sched *q, struct sched_way *way)
{
	uint32_t i;

	sched_gate_leave(q, &way->waiter);
	for (i = 0; i < way->option_count; i++) {
		struct sched_option *o = &way->options[i];

		if (o->lane != NULL && sched_lane_is_able(o->lane, true) && queue_link_is_alone(&o->able))
			queue_link_back(&way->able, &o->able);
	}
}

/* One of its sessions can take a lease. Who waits for something else keeps its place. */
static void
lane_has_session(struct queue_sched *q, struct queue_lane *lane)
{
	bool waits_for_mail = lane->waiter.gate != NULL && lane->waiter.want == SCHED_WANT_MAIL;

	if (!waits_for_mail)
		sched_lane_able(q, lane, false);
}

void
sched_lane_waits(struct queue_sched *q, struct queue_lane *lane, struct sched_gate *g, enum sched_want want,
	bool is_urgent)
{
	sched_lane_unstarve(q, lane);
	sched_gate_leave(q, &lane->waiter);
	lane_unable(lane, is_urgent);
	if (g != NULL)
		sched_gate_wait(q, g, &lane->waiter, want, is_urgent);
}

/* --- sessions --- */

bool
sched_session_is_spent(const struct queue_session *s)
{
	uint32_t max = sched_lane_messages_max(s->lane);

	return max > 0 && s->given >= max;
}

bool
sched_session_should_yield(struct queue_sched *q, const struct queue_session *s)
{
	struct sched_gate *gates[SCHED_GATES];
	bool is_wanted = q->starved_none_count > q->closing_count;
	int i;

	if (q->session_count - q->closing_count > q->conf.connections_total || s->lane->surplus > 0)
		return true;
	sched_gates_of(q, s->lane, s->pool, NULL, gates);
	for (i = 0; i < SCHED_GATES_CONNECTED; i++) {
		if (sched_gate_is_over(gates[i]))
			return true;
		is_wanted = is_wanted || sched_gate_is_wanted(gates[i]);
	}
	return is_wanted && (s->lane->sessions > 1 || s->given >= SHARE_MESSAGES);
}

void
sched_session_order_close(struct queue_sched *q, struct queue_session *s)
{
	assert(s->state == SCHED_OPEN && s->leases == 0);
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	s->state = SCHED_CLOSING;
	s->lane->surplus -= s->lane->surplus > 0;
	q->closing_count++;
	queue_link_back(&q->closing, &s->place);
}

bool
sched_lane_is_halted(const struct queue_lane *lane)
{
	return sched_lane_is_paused(lane) || sched_lane_is_stopped(lane);
}

void
sched_session_place(struct queue_sched *q, struct queue_session *s)
{
	struct queue_lane *lane = s->lane;

	if (s->state != SCHED_OPEN)
		return;
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	if (s->leases == 0 && (sched_session_is_spent(s) || sched_lane_is_halted(lane) ||
				      sched_session_should_yield(q, s))) {
		sched_session_order_close(q, s);
		return;
	}
	if (sched_session_is_spent(s) ||
		(s->leases > 0 && (!s->can_overlap || sched_lane_is_careful(lane))) ||
		s->leases >= LEASES_A_SESSION)
		return;
	if (s->leases > 0) {
		queue_link_back(&lane->half, &s->place);
	} else {
		s->idle_since_us = q->now_us;
		queue_link_front(&lane->idle, &s->place);
		queue_link_back(&q->idle, &s->idle);
		sched_lane_arm(q, lane);
	}
	lane_has_session(q, lane);
}

/* It is being opened for nobody any more. */
static void
session_leaves_way(struct queue_sched *q, struct queue_session *s)
{
	struct sched_way *way = s->way;

	s->way = NULL;
	if (way == NULL)
		return;
	assert(way->opening > 0);
	way->opening--;
	sched_way_kick(q, way, false); /* it may open one more */
	sched_way_release(q, way);
}

void
queue_sched_session_ready(struct queue_sched *q, struct queue_session *s, bool can_overlap)
{
	struct queue_lane *lane = s->lane;

	assert(s->state == SCHED_OPENING && lane->opening > 0);
	s->state = SCHED_OPEN;
	s->can_overlap = can_overlap;
	sched_session_timed(q, s, NULL);
	lane->opening--;
	session_leaves_way(q, s);
	/* Only a connection begun after the failure tells that the site is back. */
	if (s->is_probe) {
		lane->is_probing = false;
		lane->wait_until_us = 0;
		sched_text_free(q, &lane->site->why);
	}
	sched_session_place(q, s);
	sched_lane_able(q, lane, false);
}

void
queue_sched_session_ends(struct queue_sched *q, struct queue_session *s)
{
	if (s->state != SCHED_OPEN)
		return;
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	s->state = SCHED_CLOSING;
	q->closing_count++;
}

void
queue_sched_session_closed(struct queue_sched *q, struct queue_session *s, enum queue_session_end end,
	int64_t retry_after_us, struct queue_blob why, int64_t now_us)
{
	struct queue_lane *lane = s->lane;

	sched_clock(q, now_us);
	assert(s->leases == 0 && lane->sessions > 0);
	if (s->state == SCHED_OPENING)
		lane->opening--;
	if (s->state == SCHED_CLOSING)
		q->closing_count--;
	if (end != QUEUE_SESSION_OVER) {
		int64_t until_us = queue_retry_add(q->now_us, retry_after_us > 0 ? retry_after_us : 0);

		lane->is_probing = true;
		if (until_us > lane->wait_until_us)
			lane->wait_until_us = until_us;
		sched_text_set(q, &lane->site->why, why);
	}
	if (end == QUEUE_SESSION_FAILED)
		sched_lane_fact(q, lane,
			&(struct queue_recovery_fact){
				.kind = QUEUE_RECOVERY_FAILED, .begun_us = s->opened_us});
	queue_link_remove(&s->place);
	queue_link_remove(&s->idle);
	queue_link_remove(&s->all);
	session_leaves_way(q, s);
	sched_limits_connected(q, lane, s->pool, -1);
	sched_free(q, s, sizeof(*s));
	/* Among the starved it keeps its place, unless it has no session any more. */
	if (lane->starved_state == SCHED_FED && lane->waiter.gate == NULL) {
		sched_lane_able(q, lane, false);
	} else if (lane->starved_state == SCHED_STARVED_MORE && lane->sessions == 0) {
		sched_lane_unstarve(q, lane);
		sched_lane_starve(q, lane);
	}
	sched_lane_arm(q, lane);
	sched_lane_release(q, lane);
}
