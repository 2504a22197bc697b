/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_TALLIES_H
#define FAKE_QUEUE_TALLIES_H
/*
 * queue_tallies - the limits of every level, and what was used of each; part of queue_observer.h, which
 * includes it
 */
#include "queue_names.h"
#include "queue_sched.h"

enum {
	OBS_SITES = 5,
	OBS_SOURCES = 4,
	OBS_POOLS = 3,
	OBS_STREAMS = 6,
	OBS_USERS = 3,
	OBS_LANES = OBS_SITES * OBS_SOURCES,
	OBS_SITE = OBS_LANES, /* the first gate of each level */
	OBS_SOURCE = OBS_SITE + OBS_SITES,
	OBS_POOL = OBS_SOURCE + OBS_SOURCES,
	OBS_STREAM = OBS_POOL + OBS_POOLS,
	OBS_USER = OBS_STREAM + OBS_STREAMS,
	OBS_ALL = OBS_USER + OBS_USERS,
	OBS_GATES = OBS_ALL + 1,
	OBS_OF_SESSION = 5, /* gates of a connection; those of a transaction are two more */
	OBS_OF_LEASE = 7,
	OBS_WINDOWS = 6,
	OBS_TAKINGS = 4000,
	OBS_BODY_MAX = 20000,
};
static const int64_t obs_windows[OBS_WINDOWS] = {SEC, 10 * SEC, 59 * SEC, MINUTE, HOUR, DAY};

struct obs_tally {
	int64_t count, most; /* count 0: no limit; most: it ever was */
	size_t since;        /* the first taking that counts */
	int64_t begin_us, used, wasted, total;
	int64_t ready_us; /* there is room again by then */
};
struct obs_gate {
	uint32_t connections, connections_max, urgent_percent;
	bool is_limited;
	struct obs_tally tallies[QUEUE_UNIT_COUNT][OBS_WINDOWS];
};
struct obs_taking {
	int64_t at_us, n[QUEUE_UNIT_COUNT];
	int gates[OBS_OF_LEASE]; /* -1: none */
};
struct observer {
	int64_t real_us, offset_us, start_us, urgent_until_us;
	int64_t jumps;
	bool is_doubtful; /* crashes and jumps: a window on disk does not know of the jump */
	struct obs_gate gates[OBS_GATES];
	struct obs_taking *takings; /* OBS_TAKINGS */
	size_t taken;
	const char *wrong; /* the first thing that may not be */
	int wrong_gate, wrong_unit, wrong_window;
};

static inline bool
obs_is_long(int window)
{
	return obs_windows[window] >= QUEUE_RATE_LONG_US;
}

static inline void
obs_wrong(struct observer *o, const char *what, int gate, int unit, int window)
{
	if (o->wrong != NULL)
		return;
	o->wrong = what;
	o->wrong_gate = gate;
	o->wrong_unit = unit;
	o->wrong_window = window;
}

static inline int64_t
obs_later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The part that only urgent mail may use. */
static inline int64_t
obs_reserve(const struct observer *o, const struct obs_gate *g, int64_t count, bool is_urgent)
{
	int64_t part = count * g->urgent_percent / 100;

	if (is_urgent || o->real_us >= o->urgent_until_us || g->urgent_percent == 0 || count < 2)
		return 0;
	return part > 0 ? part : 1;
}

/* --- limits --- */

static inline int64_t
obs_count_in(const struct queue_limits *l, int unit, int window)
{
	uint32_t i;

	for (i = 0; l != NULL && i < l->units[unit].count; i++)
		if (l->units[unit].rates[i].per_us == obs_windows[window])
			return l->units[unit].rates[i].count;
	return 0;
}

static inline void
obs_limit(struct observer *o, struct obs_tally *t, int64_t count, int window)
{
	int64_t per_us = obs_windows[window];

	if (t->count == 0 && count > 0) {
		t->since = o->taken;
		t->most = t->begin_us = t->used = t->wasted = t->total = 0;
	}
	/* What is lowered has to wait until what went before is out of the window; what is lifted may be
	 * remembered. */
	if (count < t->count)
		t->ready_us =
			obs_later(t->ready_us, obs_is_long(window) && count > 0 ? 0 : o->real_us + per_us);
	t->count = count;
	t->most = obs_later(t->most, count);
}

static inline void
obs_set_limits(struct observer *o, int gate, const struct queue_limits *l, uint32_t urgent_percent)
{
	struct obs_gate *g = &o->gates[gate];
	int u, i;

	g->urgent_percent = urgent_percent;
	g->connections_max = l != NULL ? l->connections : 0;
	g->is_limited = false;
	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < OBS_WINDOWS; i++) {
			obs_limit(o, &g->tallies[u][i], obs_count_in(l, u, i), i);
			g->is_limited = g->is_limited || g->tallies[u][i].count > 0;
		}
}

/* A window that is over is followed by the one of the wall clock. */
static inline void
obs_roll(struct observer *o, struct obs_tally *t, int window)
{
	int64_t per_us = obs_windows[window], wall_us = o->real_us + o->offset_us;

	if (o->real_us < t->begin_us + per_us)
		return;
	t->begin_us = wall_us - wall_us % per_us - o->offset_us;
	t->used = t->wasted = 0;
}

/* When one more may go at the latest, if nothing else goes. */
static inline int64_t
obs_ready_us(const struct observer *o, int gate, int unit, bool is_urgent)
{
	const struct obs_gate *g = &o->gates[gate];
	int64_t at_us = 0;
	int w;

	for (w = 0; w < OBS_WINDOWS && g->is_limited; w++) {
		const struct obs_tally *t = &g->tallies[unit][w];
		/* A crash wastes what was asked for, and what was given back while the disk was slow. */
		int64_t step = 2 * (t->most / QUEUE_METER_STEPS) +
			       (unit == QUEUE_UNIT_BYTES ? 2 * OBS_BODY_MAX : 10);

		if (t->count == 0)
			continue;
		at_us = obs_later(at_us, t->ready_us);
		if (!obs_is_long(w))
			continue;
		if (o->is_doubtful)
			at_us = obs_later(at_us, o->real_us + obs_windows[w]);
		else if (t->used + step * t->wasted >= t->count - obs_reserve(o, g, t->count, is_urgent))
			at_us = obs_later(at_us, t->begin_us + obs_windows[w]);
	}
	return at_us;
}
#endif
