/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: outside of on_turn() the timer is pending exactly while the line is not empty. */
#include "base/turn.h"

#include "base/clock.h"

#include <event2/event.h>
#include <event2/event_struct.h>

TAILQ_HEAD(turn_line, turn);

/* Rule zero: thread-local, for a thread has one loop, and each of its turns has so much time for all. */
static _Thread_local struct turn_line line;
static _Thread_local struct event timer;
static _Thread_local bool is_stepping;

static const struct timeval at_once = {0, 0};

static void
leave_line(struct turn *t)
{
	TAILQ_REMOVE(&line, t, link);
	t->is_waiting = false;
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	const struct clock *clock = clock_real();
	int64_t end_us = clock_mono(clock) + TURN_US;
	struct turn *t;

	is_stepping = true;
	while ((t = TAILQ_FIRST(&line)) != NULL) {
		leave_line(t);
		t->step(t->arg);
		if (clock_mono(clock) >= end_us)
			break;
	}
	is_stepping = false;
	if (!TAILQ_EMPTY(&line))
		event_add(&timer, &at_once);
}

void
turn_wait(struct turn *t, struct event_base *base, void (*step)(void *arg), void *arg)
{
	if (t->is_waiting)
		return;
	if (TAILQ_EMPTY(&line)) {
		TAILQ_INIT(&line);
		if (!is_stepping)
			event_assign(&timer, base, -1, 0, on_turn, NULL);
	}
	/* Not only for the first: without memory it could not be added then. */
	if (!is_stepping && !event_pending(&timer, EV_TIMEOUT, NULL))
		event_add(&timer, &at_once);
	t->is_waiting = true;
	t->step = step;
	t->arg = arg;
	TAILQ_INSERT_TAIL(&line, t, link);
}

void
turn_cancel(struct turn *t)
{
	if (!t->is_waiting)
		return;
	leave_line(t);
	if (TAILQ_EMPTY(&line) && !is_stepping)
		event_del(&timer);
}
