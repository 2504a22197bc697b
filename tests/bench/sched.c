/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-sched: what a decision of the schedule costs, with few sites and with many, busy and idle
 *
 * Busy: every site has ready mail, and all its lanes and sessions are there; each order is carried out at
 * once. Limits are there at every level and do not bind, or (paced) each lane is at its rate and waits for
 * it. Idle: every site has a deferred recipient that is tried again each five minutes.
 */
#include "queue_sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	SOURCES = 4,
	FIRST_ORDERS = 2 * SOURCES, /* of a site: they find its route, make its lanes and open sessions */
	ORDERS = 400000,
	BODY_BYTES = 30000
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
	int64_t retry_us, now_us;
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
	static struct queue_rate much_second = {100000000, SEC}, much_hour = {INT64_C(1000000000000), HOUR};
	struct bench *b = calloc(1, sizeof(*b));
	int i;

	if (b == NULL)
		abort();
	b->sites = sites;
	b->now_us = START;
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
	return true;
}

static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void
busy(uint32_t sites, int64_t lane_rate, const char *what)
{
	struct bench *b = bench_create(sites, lane_rate);
	uint32_t per_site = ORDERS / sites + FIRST_ORDERS + 4, i;
	uint64_t from;
	int64_t ns;

	for (i = 0; i < sites * per_site; i++)
		add(b, i % sites, 0);
	while (b->orders < (uint64_t)sites * FIRST_ORDERS)
		if (!carry_out(b, QUEUE_VERDICT_DELIVERED))
			b->now_us = queue_sched_wake_us(b->q);
	from = b->orders;
	ns = cpu_ns();
	while (b->orders < from + ORDERS)
		if (!carry_out(b, QUEUE_VERDICT_DELIVERED))
			b->now_us = queue_sched_wake_us(b->q);
	ns = cpu_ns() - ns;
	printf("%-6s %7u sites %8.0f ns an order\n", what, (unsigned)sites,
		(double)ns / (double)(b->orders - from));
	bench_destroy(b);
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

int
main(void)
{
	static const uint32_t sites[] = {1000, 10000, 100000};
	size_t i;

	for (i = 0; i < 3; i++)
		busy(sites[i], 100000000, "busy");
	for (i = 0; i < 3; i++)
		busy(sites[i], 10, "paced");
	for (i = 0; i < 3; i++)
		idle(sites[i]);
	return 0;
}
