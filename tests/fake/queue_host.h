/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_QUEUE_HOST_H
#define FAKE_QUEUE_HOST_H
/*
 * queue_host - a host for the schedule that answers routes by itself and counts what it must
 *
 * Domain "d7" goes to site "site7", unless host.site[7] says another or host.route[7] says WAIT or FAIL.
 *
 * Owner    the test: host_init, host_fini. Thread: one.
 */
#include "queue_names.h"
#include "queue_sched.h"
#include "queue_sources.h"

#include <stdlib.h>
#include <string.h>

enum { HOST_DOMAINS = 64 };

struct host {
	struct queue_sched *q;
	struct queue_sched_conf conf;
	struct fake_sources fake; /* source 7 is the default */
	struct queue_policy policy;
	int64_t retry_us[3];
	int64_t now_us, route_us; /* how long routes hold */
	uint32_t random;          /* what every random number is */
	int bodies;               /* let go of */
	int resolves;             /* orders answered */
	bool is_manual;           /* RESOLVE is for the test to answer */
	int site[HOST_DOMAINS];   /* number + 1 of another site; 0: its own */
	enum queue_route_kind route[HOST_DOMAINS];
	queue_id last_id;
};

static inline const struct queue_policy *
host_policy(void *arg, struct queue_blob domain, struct queue_blob site)
{
	struct host *h = arg;

	return &h->policy;
}
static inline uint32_t
host_random(void *arg)
{
	struct host *h = arg;

	return h->random;
}
static inline void
host_body_unref(void *arg, void *body)
{
	struct host *h = arg;

	assert_ptr_equal(body, h);
	h->bodies++;
}

static inline void
host_init(struct host *h)
{
	memset(h, 0, sizeof(*h));
	h->now_us = START;
	h->route_us = DAY;
	h->random = UINT32_MAX / 2; /* no jitter */
	h->retry_us[0] = 5 * MINUTE;
	h->retry_us[1] = 15 * MINUTE;
	h->retry_us[2] = HOUR;
	h->policy = (struct queue_policy){h->retry_us, 3, 4 * DAY, 2 * HOUR, 20, 100, 10, 30 * SEC};
	h->conf = (struct queue_sched_conf){host_policy, host_random, host_body_unref, h, 100, 20};
	fake_sources_default(&h->fake, 7, &h->conf);
	assert_int_equal(queue_sched_create(&h->conf, &h->q), QUEUE_OK);
}
static inline void
host_fini(struct host *h)
{
	queue_sched_destroy(&h->q);
	assert_null(h->q);
}

/* One message with `count` recipients, the first to domain d<first>, the next to the domain after ... */
static inline int
host_add_job(struct host *h, int first, uint32_t count, const char *user, const char *job)
{
	struct queue_sched_rcpt rcpts[16];
	char names[16][8];
	uint32_t i;
	struct queue_message m = {.id = ++h->last_id, .arrived_us = h->now_us};

	m.user = blob_of(user);
	m.job = blob_of(job);
	for (i = 0; i < count; i++)
		rcpts[i] = (struct queue_sched_rcpt){.n = (uint16_t)i,
			.domain = {names[i], (size_t)snprintf(names[i], 8, "d%d", first + (int)i)}};
	return queue_sched_add(h->q, &m, rcpts, count, NULL, h->now_us);
}
static inline void
host_add(struct host *h, int domain)
{
	assert_int_equal(host_add_job(h, domain, 1, "", ""), QUEUE_OK);
}

static inline void
host_answer(struct host *h, struct queue_blob domain)
{
	int d = number_of(domain);
	struct queue_route r = {.kind = h->route[d], .until_us = h->now_us + h->route_us};
	char name[16];
	size_t len = (size_t)snprintf(name, sizeof(name), "d%d", d);

	if (r.kind == QUEUE_ROUTE_SITE)
		r.site = name_of("site", h->site[d] > 0 ? h->site[d] - 1 : d);
	else
		r.why = name_of("trouble ", d);
	assert_int_equal(queue_sched_routed(h->q, (struct queue_blob){name, len}, &r, h->now_us), QUEUE_OK);
}

/* The next order that is not a RESOLVE answered here. */
static inline struct queue_order
host_next(struct host *h)
{
	struct queue_order o;

	for (;;) {
		queue_sched_next(h->q, h->now_us, &o);
		if (o.kind != QUEUE_ORDER_RESOLVE || h->is_manual)
			return o;
		h->resolves++;
		host_answer(h, o.domain);
	}
}
static inline struct queue_order
host_expect(struct host *h, enum queue_order_kind kind)
{
	struct queue_order o = host_next(h);

	assert_int_equal(o.kind, kind);
	return o;
}

/* Every recipient the same way; what became of the first. */
static inline struct queue_settled
host_settle(struct host *h, struct queue_lease *l, enum queue_verdict_kind kind)
{
	struct queue_verdict v = {.kind = kind, .reply = {"451 busy", 8}, .code = 451};
	uint32_t count = queue_lease_rcpt_count(l), i;
	struct queue_settled first = {0}, out;

	for (i = 0; i < count; i++) {
		queue_sched_settle(h->q, l, i, &v, h->now_us, &out);
		if (i == 0)
			first = out;
	}
	queue_sched_lease_done(h->q, l, h->now_us);
	return first;
}
/* Expects OPEN and makes the session ready. */
static inline struct queue_session *
open_ready(struct host *h, bool can_overlap, struct queue_lease **out_lease)
{
	struct queue_order o = host_expect(h, QUEUE_ORDER_OPEN);

	queue_sched_session_ready(h->q, o.session, can_overlap);
	*out_lease = o.lease;
	return o.session;
}
static inline void
host_close(struct host *h, struct queue_session *s, bool failed, int64_t wait_us)
{
	queue_sched_session_closed(h->q, s, failed ? QUEUE_SESSION_FAILED : QUEUE_SESSION_OVER, wait_us,
		(struct queue_blob){"refused", 7}, h->now_us);
}
static inline struct queue_filter
host_filter(void)
{
	return (struct queue_filter){.n = -1};
}
static inline bool
host_visit_nothing(void *arg, const struct queue_view *v)
{
	return true;
}
static inline uint64_t
host_hold(struct host *h, const struct queue_filter *f, bool hold)
{
	return queue_sched_hold(h->q, f, hold, h->now_us, host_visit_nothing, NULL);
}
static inline struct queue_sched_stats
host_stats(struct host *h)
{
	struct queue_sched_stats st;

	queue_sched_stats(h->q, &st);
	return st;
}
#endif
