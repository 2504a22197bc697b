/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-sched: what a decision of the schedule costs, with few sites and with many, busy and idle
 *
 * bench-sched              all of it
 * bench-sched KIND SITES   the orders of one world, for a profiler; KIND is busy or paced
 *
 * Busy: every site has ready mail, and all its lanes and sessions are there; each order is carried out at
 * once, 100,000 a second by the schedule's clock. Limits are there at every level and do not bind, but what
 * is counted by the hour has its notes written. Paced: each site and lane is at its rate, so that each order
 * is also a wait, a timer and a wake-up. Idle: every site has a deferred recipient that is tried again each
 * five minutes.
 *
 * The worlds of a kind take turns, so that what else the machine does falls on all of them, and the fastest
 * turn of each counts: the one that was disturbed least. A turn is a round over all sites at least, for a
 * paced world gives, then waits; and it begins with orders that are not timed, for the caches to be those of
 * its world.
 */
#include "queue_sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SOURCES = 4,
	FIRST_ORDERS = 2 * SOURCES, /* of a site: they find its route, make its lanes and open sessions */
	TURNS = 11,
	WARM_ORDERS = 12000, /* three rounds over the lanes of the smallest world */
	TIMED_ORDERS = 16000,
	WORLDS = 3,
	BODY_BYTES = 30000,
	FREE_RATE = 1000000, /* a second, of anything: does not bind at ORDER_US */
	PACED_RATE = 10,     /* of a lane and of a site */
	ORDER_US = 10
};
#define SEC   INT64_C(1000000)
#define HOUR  (3600 * SEC)
#define START (INT64_C(1700000000) * SEC)

struct bench {
	struct queue_sched *q;
	struct queue_sched_conf conf;
	struct queue_policy policy;
	struct queue_source sources[SOURCES];
	struct queue_pool_member members[SOURCES];
	struct queue_pool pool;
	struct queue_limits lane, all;
	struct queue_rate per_second, per_hour;
	int64_t retry_us, now_us, order_us; /* of an order, by the clock */
	uint32_t random, sites;
	queue_id last_id;
	uint64_t orders;
};

static const struct queue_policy *
on_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	return &((struct bench *)arg)->policy;
}

static uint32_t
on_random(void *arg)
{
	struct bench *b = arg;

	b->random = b->random * 1664525 + 1013904223;
	return b->random;
}

static void
on_body_unref(void *arg, void *body)
{
}

static void
on_stream(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	struct bench *b = arg;

	*out = (struct queue_stream_policy){
		.weight = 1, .user_weight = 1, .limits = &b->all, .user_limits = &b->all};
}

static void
limit(struct queue_limits *l, const struct queue_rate *second, const struct queue_rate *hour)
{
	l->units[QUEUE_UNIT_MESSAGES].rates = second;
	l->units[QUEUE_UNIT_MESSAGES].count = 1;
	l->units[QUEUE_UNIT_RECIPIENTS].rates = hour;
	l->units[QUEUE_UNIT_RECIPIENTS].count = 1;
}

static struct bench *
bench_create(uint32_t sites, int64_t lane_rate)
{
	static const char names[SOURCES][2] = {"a", "b", "c", "d"};
	static struct queue_rate much_second = {FREE_RATE, SEC}, much_hour = {INT64_C(1000000000000), HOUR};
	struct bench *b = calloc(1, sizeof(*b));
	int i;

	if (b == NULL)
		abort();
	b->sites = sites;
	b->now_us = START;
	b->order_us = lane_rate == FREE_RATE ? ORDER_US : 0;
	b->retry_us = 300 * SEC;
	b->per_second = (struct queue_rate){lane_rate, SEC};
	b->per_hour = (struct queue_rate){1000000, HOUR};
	limit(&b->lane, &b->per_second, &b->per_hour);
	limit(&b->all, &much_second, &much_hour);
	b->policy = (struct queue_policy){.retry_us = &b->retry_us,
		.retry_count = 1,
		.expire_us = 100 * HOUR,
		.uncertain_retry_us = HOUR,
		.connections = 10,
		.rcpts_per_transaction = 10,
		.idle_us = 30 * SEC,
		.lane = &b->lane,
		.site = &b->lane};
	for (i = 0; i < SOURCES; i++) {
		b->sources[i] = (struct queue_source){{names[i], 1}, &b->all};
		b->members[i] = (struct queue_pool_member){(uint32_t)i, 1};
	}
	b->pool = (struct queue_pool){{"pool", 4}, b->members, SOURCES, &b->all};
	b->conf = (struct queue_sched_conf){.policy = on_policy,
		.random = on_random,
		.body_unref = on_body_unref,
		.arg = b,
		.connections_total = UINT32_MAX / 2,
		.jitter_percent = 20,
		.sources = b->sources,
		.pools = &b->pool,
		.source_count = SOURCES,
		.pool_count = 1,
		.stream = on_stream,
		.limits = &b->all};
	if (queue_sched_create(&b->conf, &b->q) < 0)
		abort();
	return b;
}

static void
bench_destroy(struct bench *b)
{
	queue_sched_destroy(&b->q);
	free(b);
}

static void
add(struct bench *b, uint32_t site, int64_t due_us)
{
	char name[24], job[8];
	struct queue_sched_rcpt r = {.due_us = due_us};
	struct queue_message m = {.id = ++b->last_id, .arrived_us = b->now_us, .body_bytes = BODY_BYTES};

	r.domain = (struct queue_blob){name, (size_t)snprintf(name, sizeof(name), "d%u", (unsigned)site)};
	m.job = (struct queue_blob){
		job, (size_t)snprintf(job, sizeof(job), "j%u", (unsigned)(b->last_id % 3))};
	if (queue_sched_add(b->q, &m, &r, 1, NULL, b->now_us) < 0)
		abort();
}

static void
answer_route(struct bench *b, struct queue_blob domain)
{
	char name[24];
	struct queue_route r = {.kind = QUEUE_ROUTE_SITE, .site = domain, .until_us = b->now_us + 200 * HOUR};

	if (domain.len > sizeof(name))
		abort();
	memcpy(name, domain.ptr, domain.len);
	r.site.ptr = name;
	if (queue_sched_routed(b->q, (struct queue_blob){name, domain.len}, &r, b->now_us) < 0)
		abort();
}

static void
settle(struct bench *b, struct queue_lease *l, enum queue_verdict_kind kind)
{
	const struct queue_verdict v = {.kind = kind};
	struct queue_settled out;
	uint32_t i;

	for (i = 0; i < queue_lease_rcpt_count(l); i++)
		queue_sched_settle(b->q, l, i, &v, b->now_us, &out);
	queue_sched_lease_done(b->q, l, b->now_us);
}

/* One order, carried out at once; false: there is none. */
static bool
carry_out(struct bench *b, enum queue_verdict_kind kind)
{
	struct queue_order o;

	queue_sched_next(b->q, b->now_us, &o);
	switch (o.kind) {
	case QUEUE_ORDER_NONE:
		return false;
	case QUEUE_ORDER_RESOLVE:
		answer_route(b, o.domain);
		return true;
	case QUEUE_ORDER_OPEN:
		queue_sched_session_ready(b->q, o.session, true);
		settle(b, o.lease, kind);
		break;
	case QUEUE_ORDER_GIVE:
		settle(b, o.lease, kind);
		break;
	case QUEUE_ORDER_CLOSE:
		queue_sched_session_closed(
			b->q, o.session, QUEUE_SESSION_OVER, 0, (struct queue_blob){"", 0}, b->now_us);
		return true;
	case QUEUE_ORDER_NOTE:
		queue_sched_noted(b->q, o.noting, false, b->now_us);
		return true;
	case QUEUE_ORDER_REJECT:
	case QUEUE_ORDER_EXPIRE:
		abort();
	}
	b->orders++;
	b->now_us += b->order_us;
	return true;
}

static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* So many orders; ns of CPU time each. */
static double
carry_out_some(struct bench *b, uint64_t count)
{
	uint64_t from = b->orders;
	int64_t ns = cpu_ns();

	while (b->orders < from + count)
		if (!carry_out(b, QUEUE_VERDICT_DELIVERED))
			b->now_us = queue_sched_wake_us(b->q);
	return (double)(cpu_ns() - ns) / (double)count;
}

/* Of a turn. */
static uint64_t
timed_orders(uint32_t sites)
{
	return sites > TIMED_ORDERS ? sites : TIMED_ORDERS;
}

/* All lanes and sessions are there, and mail for all turns. */
static struct bench *
bench_ready(uint32_t sites, int64_t lane_rate)
{
	struct bench *b = bench_create(sites, lane_rate);
	uint64_t orders = TURNS * (WARM_ORDERS + timed_orders(sites));
	uint32_t per_site = (uint32_t)(orders / sites) + FIRST_ORDERS + 4, i;

	for (i = 0; i < sites * per_site; i++)
		add(b, i % sites, 0);
	(void)carry_out_some(b, (uint64_t)sites * FIRST_ORDERS);
	return b;
}

static double
turn_ns(struct bench *b)
{
	(void)carry_out_some(b, WARM_ORDERS);
	return carry_out_some(b, timed_orders(b->sites));
}

static void
busy(const char *what, int64_t lane_rate, const uint32_t sites[WORLDS])
{
	double least[WORLDS], ns;
	struct bench *b[WORLDS];
	int w, t;

	for (w = 0; w < WORLDS; w++)
		b[w] = bench_ready(sites[w], lane_rate);
	for (t = 0; t < TURNS; t++)
		for (w = 0; w < WORLDS; w++) {
			ns = turn_ns(b[w]);
			if (t == 0 || ns < least[w])
				least[w] = ns;
		}
	for (w = 0; w < WORLDS; w++) {
		printf("%-6s %7u sites %8.0f ns an order, %.2f times that of %u sites\n", what,
			(unsigned)sites[w], least[w], least[w] / least[0], (unsigned)sites[0]);
		bench_destroy(b[w]);
	}
}

static void
idle(uint32_t sites)
{
	struct bench *b = bench_create(sites, 100);
	int64_t ns, calls = 0, end_us;
	uint32_t i;

	for (i = 0; i < sites; i++)
		add(b, i, 0);
	while (carry_out(b, QUEUE_VERDICT_LATER))
		;
	b->orders = 0;
	end_us = b->now_us + HOUR / 2;
	ns = cpu_ns();
	for (; b->now_us < end_us; b->now_us = queue_sched_wake_us(b->q), calls++)
		while (carry_out(b, QUEUE_VERDICT_LATER))
			;
	ns = cpu_ns() - ns;
	printf("idle   %7u sites %8.3f %% of a core, %lld wake-ups and %llu attempts in half an hour\n",
		(unsigned)sites, (double)ns / 1000 / (double)(HOUR / 2) * 100, (long long)calls,
		(unsigned long long)b->orders);
	bench_destroy(b);
}

static int
one(const char *kind, uint32_t sites)
{
	struct bench *b;

	if (sites == 0 || (strcmp(kind, "busy") != 0 && strcmp(kind, "paced") != 0)) {
		fprintf(stderr, "usage: bench-sched [busy|paced SITES]\n");
		return 2;
	}
	b = bench_ready(sites, strcmp(kind, "busy") == 0 ? FREE_RATE : PACED_RATE);
	printf("%-6s %7u sites %8.0f ns an order\n", kind, (unsigned)sites,
		carry_out_some(b, TURNS * timed_orders(sites)));
	bench_destroy(b);
	return 0;
}

int
main(int argc, char **argv)
{
	static const uint32_t sites[WORLDS] = {1000, 10000, 100000};
	size_t i;

	if (argc > 1)
		return one(argv[1], argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0);
	busy("busy", FREE_RATE, sites);
	busy("paced", PACED_RATE, sites);
	for (i = 0; i < WORLDS; i++)
		idle(sites[i]);
	return 0;
}
