/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_OBSERVER_H
#define FAKE_QUEUE_OBSERVER_H
/*
 * queue_observer - what receivers see of the schedule, counted at every level beside its limits
 *
 * It knows the limits and what went out when, and nothing of how the schedule decides. A short window is any
 * stretch of its length; a long one begins at a multiple of its length, and keeps its length when the clock
 * is set. What a limit has not been there for does not count for it.
 *
 * Time     `real_us` is of a clock nobody sets; the wall clock is that and offset_us.
 * Owner    the test, which zeroes it. Thread: one. Fails: cmocka, by the test's own check.
 */
#include "queue_tallies.h"

/* --- what goes out --- */

static inline int64_t
obs_sum(const struct observer *o, const struct obs_tally *t, int gate, int unit, int64_t per_us)
{
	int64_t sum = 0;
	size_t i;
	int g;

	for (i = o->taken; i > t->since && o->takings[i - 1].at_us > o->real_us - per_us; i--)
		for (g = 0; g < (unit == QUEUE_UNIT_CONNECTIONS ? OBS_OF_SESSION : OBS_OF_LEASE); g++)
			if (o->takings[i - 1].gates[g] == gate)
				sum += o->takings[i - 1].n[unit];
	return sum;
}

/* A message is sent whole: its bytes may go over the limit, and a crash may lose that once more. */
static inline void
obs_check_long(struct observer *o, int gate, int unit, int window, int64_t n, bool is_urgent)
{
	struct obs_gate *g = &o->gates[gate];
	struct obs_tally *t = &g->tallies[unit][window];
	int64_t per_us = obs_windows[window];

	obs_roll(o, t, window);
	if (unit == QUEUE_UNIT_BYTES && !o->is_doubtful && t->used >= t->count + OBS_BODY_MAX * t->wasted)
		obs_wrong(o, "bytes in a long window", gate, unit, window);
	t->used += n;
	t->total += n;
	if (unit == QUEUE_UNIT_BYTES)
		return;
	if (o->is_doubtful) {
		if (t->total > t->most * ((o->real_us - o->start_us) / per_us + 2 + o->jumps))
			obs_wrong(o, "all that elapsed", gate, unit, window);
	} else if (t->used > t->count) {
		obs_wrong(o, "long window", gate, unit, window);
	} else if (t->used > t->count - obs_reserve(o, g, t->count, is_urgent)) {
		obs_wrong(o, "the share of urgent mail", gate, unit, window);
	}
}

static inline void
obs_check(struct observer *o, int gate, int unit, int64_t n, bool is_urgent)
{
	int i;

	for (i = 0; i < OBS_WINDOWS; i++) {
		struct obs_tally *t = &o->gates[gate].tallies[unit][i];
		int64_t per_us = obs_windows[i], but = unit == QUEUE_UNIT_BYTES ? n : 0;

		if (t->count == 0)
			continue;
		if (obs_is_long(i)) {
			obs_check_long(o, gate, unit, i, n, is_urgent);
			continue;
		}
		if (obs_sum(o, t, gate, unit, per_us) - but > t->count)
			obs_wrong(o, "short window", gate, unit, i);
		t->ready_us = o->real_us + n * per_us * 11 / 10 / t->count + per_us / 10;
	}
}

/* Returns the number of the taking. */
static inline size_t
obs_take(struct observer *o, const struct obs_taking *taking, bool is_urgent)
{
	int u, i;

	o->takings[o->taken++] = *taking;
	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < (u == QUEUE_UNIT_CONNECTIONS ? OBS_OF_SESSION : OBS_OF_LEASE); i++)
			if (taking->n[u] > 0 && taking->gates[i] >= 0 &&
				o->gates[taking->gates[i]].is_limited)
				obs_check(o, taking->gates[i], u, taking->n[u], is_urgent);
	return o->taken - 1;
}

static inline void
obs_give_back(struct observer *o, size_t taking, int unit, int64_t n)
{
	struct obs_taking *t = &o->takings[taking];
	int i, w;

	t->n[unit] -= n;
	for (i = 0; i < OBS_OF_LEASE; i++)
		for (w = 0; w < OBS_WINDOWS && t->gates[i] >= 0; w++) {
			struct obs_tally *tally = &o->gates[t->gates[i]].tallies[unit][w];

			if (tally->count == 0 || taking < tally->since)
				continue;
			tally->total -= n;
			if (t->at_us >= tally->begin_us)
				tally->used -= n;
		}
}

/* Connections of `gates` come (1) or go (-1). */
static inline void
obs_connected(struct observer *o, const int *gates, int count, int by)
{
	int i;

	for (i = 0; i < count; i++) {
		struct obs_gate *g = gates[i] >= 0 ? &o->gates[gates[i]] : NULL;

		if (g == NULL)
			continue;
		g->connections += (uint32_t)by;
		if (by > 0 && g->connections_max > 0 && g->connections > g->connections_max)
			obs_wrong(o, "connections", gates[i], 0, 0);
	}
}

/* The process is gone: short windows and connections with it; long ones may have lost what was asked for. */
static inline void
obs_crashed(struct observer *o)
{
	int g, u, w;

	for (g = 0; g < OBS_GATES; g++) {
		o->gates[g].connections = 0;
		for (u = 0; u < QUEUE_UNIT_COUNT; u++)
			for (w = 0; w < OBS_WINDOWS; w++) {
				struct obs_tally *t = &o->gates[g].tallies[u][w];

				if (obs_is_long(w)) {
					obs_roll(o, t, w);
					t->wasted++;
				} else {
					t->since = o->taken;
				}
			}
	}
}
#endif
