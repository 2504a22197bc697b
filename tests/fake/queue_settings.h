/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_SETTINGS_H
#define FAKE_QUEUE_SETTINGS_H
/*
 * queue_settings - settings of the schedule at random: limits at every level, pools, policies
 *
 * Owner    the test: free(). Everything points into the one allocation, so what is used after it was replaced
 * shows.
 */
#include "queue_observer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SET_DOMAINS = 12,
	SET_RATES = 3, /* of one unit */
	SET_RCPTS = 5,
	/* Whose limits: those of the lanes of a site, of a site, source ... */
	OF_LANES = 0,
	OF_SITE = OF_LANES + OBS_SITES,
	OF_SOURCE = OF_SITE + OBS_SITES,
	OF_POOL = OF_SOURCE + OBS_SOURCES,
	OF_STREAM = OF_POOL + OBS_POOLS,
	OF_USER = OF_STREAM + OBS_STREAMS,
	OF_ALL = OF_USER + OBS_USERS,
	SET_OWNERS = OF_ALL + 1,
};
#define SET_IDLE_MAX (30 * SEC)

struct set_limits {
	struct queue_limits limits;
	struct queue_rate rates[QUEUE_UNIT_COUNT][SET_RATES];
};
struct settings {
	struct set_limits of[SET_OWNERS];
	struct queue_policy policies[SET_DOMAINS + 1][OBS_SITES + 1]; /* the last: none */
	struct queue_source sources[OBS_SOURCES];
	struct queue_pool pools[OBS_POOLS];
	struct queue_pool_member members[OBS_POOLS][OBS_SOURCES];
	uint32_t weights[OBS_STREAMS];
	char names[OBS_SOURCES + OBS_POOLS][12];
	struct queue_sched_conf conf; /* but for its functions */
};
struct settings_wanted {
	uint32_t sources, pools, connections_total;
	uint32_t percent; /* of all that may have limits, has */
	const int64_t *retry_us;
	uint32_t retry_count;
	bool is_lifted; /* no limits at all */
};

static inline uint32_t
chance(uint64_t *random, uint32_t n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 20) % n;
}

static inline const struct queue_limits *
limits_of(const struct settings *s, int owner)
{
	return &s->of[owner].limits;
}

/* Of streams and users no connections are counted, only transactions at once. */
static inline void
set_choose_limits(uint64_t *random, struct set_limits *to, uint32_t percent, bool has_connections)
{
	int u, i;

	memset(to, 0, sizeof(*to));
	if (chance(random, 100) >= percent)
		return;
	to->limits.connections = chance(random, 3) == 0 ? 1 + chance(random, 3) : 0;
	for (u = has_connections ? 0 : QUEUE_UNIT_MESSAGES; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < OBS_WINDOWS && to->limits.units[u].count < SET_RATES; i++) {
			struct queue_rate *r = &to->rates[u][to->limits.units[u].count];

			if (chance(random, 10) > 0)
				continue;
			r->per_us = obs_windows[i];
			r->count = 1 + chance(random, chance(random, 4) == 0 ? 2000 : 6);
			if (u == QUEUE_UNIT_BYTES)
				r->count = 1000 + chance(random, 4 * OBS_BODY_MAX);
			to->limits.units[u].count++;
		}
}

static inline void
set_change_limits(uint64_t *random, struct set_limits *to, const struct set_limits *from)
{
	uint32_t i;
	int u;

	*to = *from;
	if (to->limits.connections > 0 && chance(random, 3) == 0)
		to->limits.connections = 1 + chance(random, 3);
	for (u = 0; u < QUEUE_UNIT_COUNT; u++)
		for (i = 0; i < to->limits.units[u].count; i++)
			if (chance(random, 2) == 0)
				to->rates[u][i].count = chance(random, 2) == 0
								? to->rates[u][i].count * 2
								: (to->rates[u][i].count + 1) / 2;
}

static inline void
set_choose_policies(uint64_t *random, struct settings *s, const struct settings_wanted *want)
{
	uint32_t d, i;

	for (d = 0; d <= SET_DOMAINS; d++) {
		uint32_t pool = chance(random, want->pools);

		for (i = 0; i <= OBS_SITES; i++)
			s->policies[d][i] = (struct queue_policy){
				.retry_us = want->retry_us,
				.retry_count = want->retry_count,
				.expire_us = 400 * DAY,
				.uncertain_retry_us = MINUTE,
				.connections = 1 + chance(random, 4),
				.messages_per_connection = chance(random, 4),
				.rcpts_per_transaction = 1 + chance(random, SET_RCPTS),
				.idle_us = chance(random, 4) * SET_IDLE_MAX / 3,
				.pool = pool,
				.urgent_percent = chance(random, 2) * chance(random, 50),
				.lane = i < OBS_SITES ? limits_of(s, OF_LANES + (int)i) : NULL,
				.site = i < OBS_SITES ? limits_of(s, OF_SITE + (int)i) : NULL,
			};
	}
}

static inline void
set_choose_pools(uint64_t *random, struct settings *s, const struct settings_wanted *want)
{
	uint32_t i, k, first, count;

	for (i = 0; i < OBS_SOURCES + OBS_POOLS; i++)
		(void)snprintf(s->names[i], sizeof(s->names[i]), "name%u", (unsigned)i);
	for (i = 0; i < want->sources; i++)
		s->sources[i] = (struct queue_source){{s->names[i], 5}, limits_of(s, OF_SOURCE + (int)i)};
	for (i = 0; i < want->pools; i++) {
		first = chance(random, want->sources);
		count = 1 + chance(random, want->sources);
		for (k = 0; k < count; k++)
			s->members[i][k] = (struct queue_pool_member){
				(first + k) % want->sources, 1 + chance(random, 3)};
		s->pools[i] = (struct queue_pool){
			{s->names[OBS_SOURCES + i], 5}, s->members[i], count, limits_of(s, OF_POOL + (int)i)};
	}
	for (i = 0; i < OBS_STREAMS; i++)
		s->weights[i] = 1 + chance(random, 5);
}

/* Those that follow on `from`; NULL: the first. */
static inline struct settings *
settings_create(uint64_t *random, const struct settings_wanted *want, const struct settings *from)
{
	struct settings *s = calloc(1, sizeof(*s));
	int i, u;

	for (i = 0; s != NULL && i < SET_OWNERS && !want->is_lifted; i++) {
		if (from == NULL || chance(random, 3) == 0)
			set_choose_limits(random, &s->of[i], want->percent, i < OF_STREAM || i == OF_ALL);
		else
			set_change_limits(random, &s->of[i], &from->of[i]);
		for (u = 0; u < QUEUE_UNIT_COUNT; u++)
			s->of[i].limits.units[u].rates = s->of[i].rates[u];
	}
	if (s == NULL)
		return NULL;
	set_choose_policies(random, s, want);
	set_choose_pools(random, s, want);
	s->conf = (struct queue_sched_conf){
		.connections_total = want->connections_total,
		.jitter_percent = 20,
		.sources = s->sources,
		.pools = s->pools,
		.source_count = want->sources,
		.pool_count = want->pools,
		.limits = chance(random, 2) == 0 ? limits_of(s, OF_ALL) : NULL,
		.urgent_percent = chance(random, 2) * chance(random, 50),
		.counts_deliveries = chance(random, 2) == 0,
	};
	return s;
}

static inline void
settings_observe(const struct settings *s, struct observer *o)
{
	int i, k;

	for (i = 0; i < OBS_SITES; i++) {
		uint32_t percent = s->policies[SET_DOMAINS][i].urgent_percent;

		for (k = 0; k < OBS_SOURCES; k++)
			obs_set_limits(o, i * OBS_SOURCES + k, limits_of(s, OF_LANES + i), percent);
		obs_set_limits(o, OBS_SITE + i, limits_of(s, OF_SITE + i), percent);
	}
	for (i = 0; i < OBS_SOURCES; i++)
		obs_set_limits(o, OBS_SOURCE + i, limits_of(s, OF_SOURCE + i), s->conf.urgent_percent);
	for (i = 0; i < OBS_POOLS; i++)
		obs_set_limits(o, OBS_POOL + i, limits_of(s, OF_POOL + i), s->conf.urgent_percent);
	for (i = 0; i < OBS_STREAMS; i++)
		obs_set_limits(o, OBS_STREAM + i, limits_of(s, OF_STREAM + i), 0);
	for (i = 0; i < OBS_USERS; i++)
		obs_set_limits(o, OBS_USER + i, limits_of(s, OF_USER + i), 0);
	obs_set_limits(o, OBS_ALL, s->conf.limits, s->conf.urgent_percent);
}
#endif
