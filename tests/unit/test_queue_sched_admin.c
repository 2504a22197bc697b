/* SPDX-License-Identifier: Apache-2.0 */
/* What operators do: filters, hold, retry, take, pauses, reloads, tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

/* Twelve messages: domains d0..d2, users u0 and u1, jobs j0 and j1; d0 and d1 are of site0. */
static void
fill(struct host *h)
{
	static const char *const users[] = {"u0", "u1"}, *const jobs[] = {"j0", "j1"};
	int d, u, j;

	h->site[1] = 1;
	for (d = 0; d < 3; d++)
		for (u = 0; u < 2; u++)
			for (j = 0; j < 2; j++)
				assert_int_equal(host_add_job(h, d, 1, users[u], jobs[j]), QUEUE_OK);
}

/* Routes known, nothing under way: connections are refused for a day. */
static void
route_all(struct host *h)
{
	struct queue_order o;

	while ((o = host_next(h)).kind != QUEUE_ORDER_NONE) {
		assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
		host_settle(h, o.lease, QUEUE_VERDICT_RETURN);
		host_close(h, o.session, true, DAY);
	}
}

static bool
count_one(void *arg, const struct queue_view *v)
{
	++*(uint64_t *)arg;
	return true;
}

static bool
stop_at_once(void *arg, const struct queue_view *v)
{
	++*(uint64_t *)arg;
	return false;
}

static void
test_filters(void **state)
{
	const struct {
		struct queue_filter f;
		uint64_t want;
	} cases[] = {
		{{.n = -1}, 12},
		{{.n = 0}, 12}, /* without an id there is no recipient number */
		{{.id = 3, .n = -1}, 1},
		{{.id = 3, .n = 0}, 1},
		{{.id = 3, .n = 1}, 0},
		{{.id = 13, .n = -1}, 0},
		{{.domain = {"d1", 2}}, 4},
		{{.domain = {"d9", 2}}, 0},
		{{.domain = {"d", 1}}, 0},
		{{.site = {"site0", 5}}, 8},
		{{.site = {"site1", 5}}, 0},
		{{.site = {"site2", 5}}, 4},
		{{.user = {"u0", 2}}, 6},
		{{.user = {"u2", 2}}, 0},
		{{.job = {"j1", 2}}, 6},
		{{.user = {"u0", 2}, .job = {"j1", 2}}, 3},
		{{.user = {"j1", 2}, .job = {"u0", 2}}, 0},
		{{.user = {"u0", 2}, .job = {"j1", 2}, .site = {"site0", 5}}, 2},
		{{.user = {"u0", 2}, .domain = {"d2", 2}}, 2},
		{{.id = 3, .n = -1, .domain = {"d0", 2}}, 1},
		{{.id = 3, .n = -1, .domain = {"d1", 2}}, 0},
		{{.site = {"site0", 5}, .domain = {"d2", 2}}, 0},
		{{.held_only = true}, 1},
		{{.held_only = true, .domain = {"d0", 2}}, 0},
		{{.waiting_only = true}, 0},
		{{.waiting_only = true, .held_only = true}, 0},
	};
	struct queue_filter one = {.id = 12, .n = -1};
	uint64_t seen;
	struct host h;
	size_t i;

	host_init(&h);
	fill(&h);
	route_all(&h);
	assert_int_equal(host_hold(&h, &one, true), 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		seen = 0;
		assert_int_equal(queue_sched_count(h.q, &cases[i].f), cases[i].want);
		queue_sched_each(h.q, &cases[i].f, 0, count_one, &seen);
		assert_int_equal(seen, cases[i].want);
		seen = 0;
		queue_sched_each(h.q, &cases[i].f, 2, count_one, &seen);
		assert_int_equal(seen, cases[i].want < 2 ? cases[i].want : 2);
		seen = 0;
		queue_sched_each(h.q, &cases[i].f, 0, stop_at_once, &seen);
		assert_int_equal(seen, cases[i].want < 1 ? 0 : 1);
	}
	host_fini(&h);
}

static bool
keep_view(void *arg, const struct queue_view *v)
{
	*(struct queue_view *)arg = *v;
	return false;
}

static void
expect_state(struct host *h, queue_id id, const char *want)
{
	const struct queue_filter f = {.id = id, .n = -1};
	struct queue_view v = {.state = "none"};

	queue_sched_each(h->q, &f, 0, keep_view, &v);
	assert_string_equal(v.state, want);
}

static void
test_states_by_name(void **state)
{
	const struct queue_filter d2 = {.domain = {"d2", 2}}, d3 = {.domain = {"d3", 2}};
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.policy.connections = 1;
	host_add(&h, 1);
	expect_state(&h, 1, "unrouted");
	open_ready(&h, false, &l);
	expect_state(&h, 1, "leased");
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	expect_state(&h, 2, "ready");
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	expect_state(&h, 1, "waiting");
	host_add(&h, 2);
	host_hold(&h, &d2, true);
	expect_state(&h, 3, "held");
	assert_int_equal(
		queue_sched_pause(h.q, QUEUE_PAUSE_DOMAIN, d3.domain, 0, INT64_MAX, blob_of(""), h.now_us),
		0);
	host_add(&h, 3);
	expect_state(&h, 4, "paused");
	assert_int_equal(
		queue_sched_pause(h.q, QUEUE_PAUSE_ALL, d3.domain, 0, INT64_MAX, blob_of(""), h.now_us), 0);
	expect_state(&h, 2, "paused");
	expect_state(&h, 1, "waiting");
	expect_state(&h, 3, "held");
	host_fini(&h);
}

/* --- hold --- */

static void
test_hold_and_release(void **state)
{
	const struct queue_filter all = host_filter();
	struct queue_filter one = {.id = 1, .n = -1};
	struct queue_settled out;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_int_equal(host_hold(&h, &one, true), 1);
	assert_int_equal(host_hold(&h, &one, true), 0); /* it is */
	h.now_us += HOUR / 2;
	host_expect(&h, QUEUE_ORDER_CLOSE);
	host_expect(&h, QUEUE_ORDER_NONE); /* its due time passes */
	assert_int_equal(host_hold(&h, &all, false), 1);
	assert_int_equal(host_hold(&h, &all, false), 0);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	/* A leased one is held when it comes back, and due when it was due. */
	assert_int_equal(host_hold(&h, &one, true), 1);
	expect_state(&h, 1, "leased");
	one.held_only = true;
	assert_int_equal(queue_sched_count(h.q, &one), 1);
	out = host_settle(&h, o.lease, QUEUE_VERDICT_LATER);
	host_close(&h, o.session, false, 0);
	assert_int_equal(out.flags, QUEUE_RCPT_HELD);
	assert_int_equal(out.kind, QUEUE_VERDICT_LATER);
	expect_state(&h, 1, "held");
	assert_int_equal(host_hold(&h, &one, false), 1);
	expect_state(&h, 1, "waiting");
	/* Released while it is leased: as if nothing had been. */
	h.now_us += HOUR / 2;
	l = host_expect(&h, QUEUE_ORDER_OPEN).lease;
	one.held_only = false;
	assert_int_equal(host_hold(&h, &one, true), 1);
	assert_int_equal(host_hold(&h, &one, false), 1);
	assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_RETURN).flags, 0);
	expect_state(&h, 1, "ready");
	host_fini(&h);
}

/* --- retry --- */

static void
test_retry_ends_every_wait(void **state)
{
	const struct queue_filter all = host_filter(), d1 = {.domain = {"d1", 2}};
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.idle_us = 0;
	h.route[2] = QUEUE_ROUTE_WAIT;
	host_add(&h, 1); /* deferred */
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	host_close(&h, host_expect(&h, QUEUE_ORDER_CLOSE).session, false, 0);
	host_add(&h, 2); /* DNS trouble */
	host_add(&h, 3); /* refused */
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
	host_close(&h, o.session, true, HOUR);
	host_add(&h, 4);
	host_hold(&h, &(struct queue_filter){.id = 4, .n = -1}, true); /* held is not waiting */
	host_expect(&h, QUEUE_ORDER_NONE);
	h.route[2] = QUEUE_ROUTE_SITE;
	assert_int_equal(queue_sched_retry(h.q, &d1, h.now_us), 1);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_message(o.lease), 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_retry(h.q, &all, h.now_us), 2);
	assert_int_equal(queue_lease_message(host_expect(&h, QUEUE_ORDER_OPEN).lease), 3);
	assert_int_equal(queue_lease_message(host_expect(&h, QUEUE_ORDER_OPEN).lease), 2);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_retry(h.q, &all, h.now_us), 0);
	host_fini(&h);
}

/* --- take --- */

static void
test_take(void **state)
{
	struct queue_walk walk = {.limit = UINT32_MAX};
	const struct queue_filter job = {.job = {"j1", 2}};
	struct queue_filter taken = {.job = {"j7", 2}, .walk = &walk};
	struct queue_lease *busy, *l;
	struct queue_settled out;
	uint64_t busy_count = 99, marked = 0;
	struct host h;
	int i;

	host_init(&h);
	fill(&h);
	h.policy.connections = 1;
	assert_null(queue_sched_take(h.q, &taken, &busy_count));
	assert_int_equal(busy_count, 0);
	assert_true(walk.is_end);
	busy = NULL; /* the first of d0 that is of job j1 is under way */
	host_hold(&h, &(struct queue_filter){.id = 1, .n = -1}, true);
	for (i = 0; i < 3; i++) {
		struct queue_order o = host_next(&h);

		if (o.kind == QUEUE_ORDER_OPEN && queue_lease_message(o.lease) % 2 == 0 && busy == NULL)
			busy = o.lease;
	}
	assert_non_null(busy);
	host_hold(&h, &(struct queue_filter){.id = 12, .n = -1}, true);
	walk = (struct queue_walk){.limit = UINT32_MAX};
	taken.job = job.job;
	for (i = 0; (l = queue_sched_take(h.q, &taken, &busy_count)) != NULL; i++) {
		marked += busy_count;
		assert_int_equal(queue_lease_message(l) % 2, 0);
		assert_true(host_settle(&h, l, QUEUE_VERDICT_DROPPED).is_last);
	}
	assert_true(walk.is_end);
	marked += busy_count;
	assert_int_equal(marked + (uint64_t)i, 6);
	assert_true(marked > 0);
	assert_int_equal(queue_sched_count(h.q, &job), marked);
	out = host_settle(&h, busy, QUEUE_VERDICT_LATER);
	assert_int_equal(out.kind, QUEUE_VERDICT_DROPPED);
	assert_true(out.is_last);
	assert_int_equal(queue_sched_count(h.q, &job), marked - 1);
	host_fini(&h);
}

static void
test_taken_in_flight(void **state)
{
	static const struct {
		enum queue_verdict_kind kind, want;
	} cases[] = {
		{QUEUE_VERDICT_DELIVERED, QUEUE_VERDICT_DELIVERED},
		{QUEUE_VERDICT_FAILED, QUEUE_VERDICT_FAILED},
		{QUEUE_VERDICT_LATER, QUEUE_VERDICT_DROPPED},
		{QUEUE_VERDICT_UNCERTAIN, QUEUE_VERDICT_DROPPED},
		{QUEUE_VERDICT_RETURN, QUEUE_VERDICT_DROPPED},
	};
	struct queue_walk walk;
	const struct queue_filter all = {.n = -1, .walk = &walk};
	struct queue_settled out;
	struct queue_lease *l;
	uint64_t busy;
	struct host h;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host_init(&h);
		host_add(&h, 1);
		open_ready(&h, false, &l);
		walk = (struct queue_walk){.limit = UINT32_MAX};
		assert_null(queue_sched_take(h.q, &all, &busy));
		assert_int_equal(busy, 1);
		out = host_settle(&h, l, cases[i].kind);
		assert_int_equal(out.kind, cases[i].want);
		assert_true(out.is_last);
		assert_int_equal(host_stats(&h).rcpts, 0);
		host_fini(&h);
	}
}

/* What is taken and comes back stands where it stood. */
static void
test_take_and_return(void **state)
{
	struct queue_walk walk = {.limit = 1};
	const struct queue_filter one = {.id = 1, .n = -1}, taken = {.id = 1, .n = -1, .walk = &walk};
	struct queue_lease *l;
	uint64_t busy;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	l = queue_sched_take(h.q, &taken, &busy);
	assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_RETURN).kind, QUEUE_VERDICT_RETURN);
	expect_state(&h, 1, "waiting");
	host_hold(&h, &one, true);
	l = queue_sched_take(h.q, &taken, &busy);
	host_settle(&h, l, QUEUE_VERDICT_RETURN);
	expect_state(&h, 1, "held");
	host_fini(&h);
}

/* --- pauses --- */

struct kind_case {
	enum queue_pause_kind kind;
	const char *name, *other;
	uint32_t source, other_source;
};
static const struct kind_case kinds[] = {
	{QUEUE_PAUSE_ALL, "", NULL, 0, 0},
	{QUEUE_PAUSE_DOMAIN, "d1", "d2", 0, 0},
	{QUEUE_PAUSE_SITE, "site1", "site2", 0, 0},
	{QUEUE_PAUSE_SOURCE, "", "", 7, 8},
	{QUEUE_PAUSE_JOB, "news", "shop", 0, 0},
	{QUEUE_PAUSE_USER, "shop", "news", 0, 0},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int
pause_it(struct host *h, const struct kind_case *c, int64_t until_us)
{
	return queue_sched_pause(
		h->q, c->kind, blob_of(c->name), c->source, until_us, blob_of("tests"), h->now_us);
}

static bool
resume_it(struct host *h, const struct kind_case *c)
{
	return queue_sched_resume(h->q, c->kind, blob_of(c->name), c->source, h->now_us);
}

static void
test_pause_before_mail(void **state)
{
	const struct kind_case *c;
	struct host h;

	for (c = kinds; c < kinds + KINDS; c++) {
		host_init(&h);
		assert_int_equal(pause_it(&h, c, INT64_MAX), QUEUE_OK);
		assert_int_equal(host_add_job(&h, 1, 1, "shop", "news"), QUEUE_OK);
		host_expect(&h, QUEUE_ORDER_NONE);
		expect_state(&h, 1, "paused");
		if (c->other != NULL)
			assert_false(queue_sched_resume(
				h.q, c->kind, blob_of(c->other), c->other_source, h.now_us));
		host_expect(&h, QUEUE_ORDER_NONE);
		assert_true(resume_it(&h, c));
		assert_false(resume_it(&h, c));
		host_expect(&h, QUEUE_ORDER_OPEN);
		host_fini(&h);
	}
}

/* What waits is stopped, what is under way is not, an idle session of a paused lane goes; the pause ends by
 * itself. */
static void
test_pause_with_mail(void **state)
{
	const struct kind_case *c;
	struct queue_order o;
	struct queue_lease *l;
	struct host h;
	bool closes;

	for (c = kinds; c < kinds + KINDS; c++) {
		closes = c->kind == QUEUE_PAUSE_SITE || c->kind == QUEUE_PAUSE_SOURCE;
		host_init(&h);
		h.policy.connections = 1;
		assert_int_equal(host_add_job(&h, 1, 1, "shop", "news"), QUEUE_OK);
		assert_int_equal(host_add_job(&h, 1, 1, "shop", "news"), QUEUE_OK);
		open_ready(&h, false, &l);
		assert_int_equal(pause_it(&h, c, h.now_us + MINUTE / 2), QUEUE_OK);
		assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_DELIVERED).kind, QUEUE_VERDICT_DELIVERED);
		o = host_next(&h);
		assert_int_equal(o.kind, closes ? QUEUE_ORDER_CLOSE : QUEUE_ORDER_NONE);
		if (closes)
			host_close(&h, o.session, false, 0);
		host_expect(&h, QUEUE_ORDER_NONE);
		expect_state(&h, 2, "paused");
		assert_int_equal(queue_sched_wake_us(h.q), h.now_us + MINUTE / 2);
		h.now_us += MINUTE / 2;
		/* Mail comes before the idle time that ends now. */
		o = host_next(&h);
		assert_int_equal(o.kind, closes ? QUEUE_ORDER_OPEN : QUEUE_ORDER_GIVE);
		host_fini(&h);
	}
}

/* A connection that is idle when its site is paused is closed at once. */
static void
test_pause_closes_idle(void **state)
{
	struct queue_session *s;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	s = open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(pause_it(&h, &kinds[2], INT64_MAX), QUEUE_OK);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, s);
	host_fini(&h);
}

static bool
on_pause(void *arg, const struct queue_pause_view *v)
{
	assert_memory_equal(v->reason.ptr, "tests", 5);
	*(unsigned *)arg |= 1u << v->kind;
	return true;
}

static void
test_pauses_are_listed(void **state)
{
	unsigned seen = 0;
	struct host h;
	int i;

	host_init(&h);
	for (i = 0; i < KINDS; i++)
		assert_int_equal(pause_it(&h, &kinds[i], INT64_MAX), QUEUE_OK);
	for (i = 0; i < KINDS; i++) /* again: not twice */
		assert_int_equal(pause_it(&h, &kinds[i], INT64_MAX), QUEUE_OK);
	queue_sched_each_pause(h.q, on_pause, &seen);
	assert_int_equal(seen, (1 << KINDS) - 1);
	for (i = 0; i < KINDS; i++)
		assert_true(resume_it(&h, &kinds[i]));
	seen = 0;
	queue_sched_each_pause(h.q, on_pause, &seen);
	assert_int_equal(seen, 0);
	host_fini(&h);
}

static void
test_pause_refused(void **state)
{
	static const enum queue_pause_kind named[] = {QUEUE_PAUSE_DOMAIN, QUEUE_PAUSE_SITE, QUEUE_PAUSE_JOB,
		QUEUE_PAUSE_USER, (enum queue_pause_kind)17};
	struct host h;
	size_t i;

	host_init(&h);
	for (i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		assert_int_equal(
			queue_sched_pause(h.q, named[i], blob_of(""), 0, INT64_MAX, blob_of(""), h.now_us),
			QUEUE_EINVAL);
		assert_false(queue_sched_resume(h.q, named[i], blob_of(""), 0, h.now_us));
	}
	host_fini(&h);
}

/* --- settings --- */

static void
test_reload_of_limits(void **state)
{
	struct queue_order orders[8];
	struct host h;
	int i;

	host_init(&h);
	h.policy.connections = 4;
	for (i = 0; i < 60; i++)
		host_add(&h, 1);
	for (i = 0; i < 4; i++) {
		orders[i] = host_expect(&h, QUEUE_ORDER_OPEN);
		queue_sched_session_ready(h.q, orders[i].session, false);
	}
	host_expect(&h, QUEUE_ORDER_NONE);
	h.policy.connections = 2;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	host_expect(&h, QUEUE_ORDER_NONE);
	for (i = 0; i < 2; i++) { /* two too many go when they are free, the others go on */
		host_settle(&h, orders[i].lease, QUEUE_VERDICT_DELIVERED);
		assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, orders[i].session);
		host_close(&h, orders[i].session, false, 0);
		host_expect(&h, QUEUE_ORDER_NONE);
	}
	host_settle(&h, orders[2].lease, QUEUE_VERDICT_DELIVERED);
	orders[2] = host_expect(&h, QUEUE_ORDER_GIVE);
	h.conf.connections_total = 1;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	host_settle(&h, orders[2].lease, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_CLOSE);
	host_close(&h, orders[2].session, false, 0);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, orders[3].lease, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_GIVE);
	host_fini(&h);
}

static void
test_reload_of_age_limit(void **state)
{
	struct queue_message m = {.id = 50, .arrived_us = START, .expire_us = START + 3 * HOUR / 2};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}};
	struct queue_order o;
	struct host h;

	host_init(&h);
	assert_int_equal(pause_it(&h, &kinds[0], INT64_MAX), QUEUE_OK);
	host_add(&h, 1);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us += HOUR;
	host_expect(&h, QUEUE_ORDER_NONE);
	h.policy.expire_us = 2 * HOUR;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	h.now_us += HOUR / 2;
	o = host_expect(&h, QUEUE_ORDER_EXPIRE); /* a limit of its own does not grow with the settings */
	assert_int_equal(queue_lease_message(o.lease), 50);
	assert_true(host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED).is_own_limit);
	m.id = 51;
	m.arrived_us = h.now_us;
	m.expire_us = h.now_us + 3 * HOUR;
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, h.now_us), QUEUE_OK);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.policy.expire_us = 3 * HOUR / 2;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	o = host_expect(&h, QUEUE_ORDER_EXPIRE);
	assert_int_equal(queue_lease_message(o.lease), 1);
	host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
	h.now_us += HOUR;
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us += HOUR / 2 - 1;
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us++; /* but never is longer than they are */
	o = host_expect(&h, QUEUE_ORDER_EXPIRE);
	assert_false(host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED).is_own_limit);
	host_fini(&h);
}

static void
test_site_table(void **state)
{
	struct queue_site_view v;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.site[1] = h.site[2] = 6;
	host_add(&h, 1);
	host_add(&h, 2);
	open_ready(&h, false, &l);
	host_expect(&h, QUEUE_ORDER_OPEN);
	assert_true(queue_sched_site_find(h.q, blob_of("site5"), &v));
	assert_int_equal(v.domains, 2);
	assert_int_equal(v.sessions, 2);
	assert_int_equal(v.sessions_ready, 1);
	assert_int_equal(v.ready, 0);
	assert_false(v.is_paused || v.is_starved);
	assert_false(queue_sched_site_find(h.q, blob_of("site6"), &v));
	host_fini(&h);
}

/* The table says of a domain what queue_view.state says of its recipients. */
static void
test_domain_table_states(void **state)
{
	struct queue_domain_view v;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &v));
	assert_true(v.ready == 1 && v.unrouted == 1 && v.paused == 0);
	route_all(&h);
	assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &v));
	assert_true(v.ready == 1 && v.unrouted == 0 && v.paused == 0);
	assert_int_equal(pause_it(&h, &kinds[0], INT64_MAX), QUEUE_OK);
	assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &v));
	assert_true(v.ready == 1 && v.unrouted == 0 && v.paused == 1);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_states_by_name),
		cmocka_unit_test(test_hold_and_release),
		cmocka_unit_test(test_retry_ends_every_wait),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_taken_in_flight),
		cmocka_unit_test(test_take_and_return),
		cmocka_unit_test(test_pause_before_mail),
		cmocka_unit_test(test_pause_with_mail),
		cmocka_unit_test(test_pause_closes_idle),
		cmocka_unit_test(test_pauses_are_listed),
		cmocka_unit_test(test_pause_refused),
		cmocka_unit_test(test_reload_of_limits),
		cmocka_unit_test(test_reload_of_age_limit),
		cmocka_unit_test(test_site_table),
		cmocka_unit_test(test_domain_table_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
