/* SPDX-License-Identifier: Apache-2.0 */
/* The way of the mail through the schedule: orders, leases, verdicts, routes. How many sessions there are is
 * in test_queue_sched_connections.c, time in test_queue_sched_time.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

static void
test_one_message(void **state)
{
	struct queue_lease *l;
	struct queue_session *s;
	struct queue_order o;
	struct host h;

	host_init(&h);
	assert_int_equal(queue_sched_wake_us(h.q), INT64_MAX);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_add(&h, 1);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(number_of(o.domain), 1);
	assert_memory_equal(o.site.ptr, "site1", 5);
	assert_int_equal(o.source, 7);
	assert_int_equal(queue_lease_message(o.lease), 1);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 1);
	assert_null(queue_lease_body(o.lease));
	host_expect(&h, QUEUE_ORDER_NONE);
	s = o.session;
	queue_sched_session_ready(h.q, s, false);
	assert_true(host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED).is_last);
	host_expect(&h, QUEUE_ORDER_NONE);
	/* The session is used again, and goes after its idle time. */
	host_add(&h, 1);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_ptr_equal(o.session, s);
	l = o.lease;
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_wake_us(h.q), h.now_us + 30 * SEC);
	h.now_us += 30 * SEC - 1;
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us += 1;
	o = host_expect(&h, QUEUE_ORDER_CLOSE);
	assert_ptr_equal(o.session, s);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_close(&h, s, false, 0);
	assert_int_equal(host_stats(&h).sessions, 0);
	/* The domain is forgotten some minutes later: its route held for a day. */
	assert_int_equal(host_stats(&h).domains, 1);
	h.now_us += 10 * MINUTE;
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(host_stats(&h).domains, 0);
	assert_int_equal(host_stats(&h).sites, 0);
	assert_int_equal(queue_sched_wake_us(h.q), INT64_MAX);
	host_fini(&h);
}

static void
test_add_refused(void **state)
{
	static char huge[70000];
	struct queue_message m = {.id = 1, .arrived_us = START};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}};
	struct host h;

	host_init(&h);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 0, NULL, START), QUEUE_EINVAL);
	r.domain = (struct queue_blob){huge, sizeof(huge)};
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_EINVAL);
	r.domain = (struct queue_blob){"d1", 2};
	r.sticky_source = UINT32_MAX;
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_EINVAL);
	r.sticky_source = 0;
	m.user = (struct queue_blob){huge, sizeof(huge)};
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_EINVAL);
	m.user.len = 0;
	assert_int_equal(host_stats(&h).rcpts, 0);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_EINVAL);
	assert_int_equal(host_stats(&h).rcpts, 1);
	host_fini(&h);
}

/* --- leases --- */

static void
test_batch_over_domains_of_a_site(void **state)
{
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.connections = 1;
	h.site[2] = h.site[3] = h.site[1] = 10; /* d1, d2 and d3 are one site, d4 is not */
	assert_int_equal(host_add_job(&h, 1, 4, "", ""), QUEUE_OK);
	assert_int_equal(host_add_job(&h, 1, 1, "", ""), QUEUE_OK);
	o = host_next(&h);
	assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
	/* All routes were answered before the first order: they are asked for first. */
	assert_int_equal(queue_lease_message(o.lease), 1);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 3);
	assert_int_equal(queue_lease_rcpt(o.lease, 0), 0);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_memory_equal(o.site.ptr, "site4", 5);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

static void
test_batch_limit(void **state)
{
	struct queue_lease *l;
	struct queue_session *s;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	h.policy.rcpts_per_transaction = 3;
	h.policy.connections = 1;
	for (i = 0; i < 10; i++)
		h.site[i] = 1;
	assert_int_equal(host_add_job(&h, 0, 8, "", ""), QUEUE_OK);
	s = open_ready(&h, false, &l);
	assert_int_equal(queue_lease_rcpt_count(l), 3);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 3);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 2);
	assert_ptr_equal(o.session, s);
	host_fini(&h);
}

/* With a return path of its own each recipient goes alone, whatever its site takes. */
static void
test_verp_goes_one_by_one(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START, .flags = QUEUE_MESSAGE_VERP};
	struct queue_sched_rcpt rcpts[] = {
		{.domain = {"d1", 2}}, {.n = 1, .domain = {"d1", 2}}, {.n = 2, .domain = {"d2", 2}}};
	struct queue_session *s;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.connections = 1;
	h.site[1] = h.site[2] = 1;
	assert_int_equal(queue_sched_add(h.q, &m, rcpts, 3, NULL, START), QUEUE_OK);
	s = open_ready(&h, false, &l);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(queue_lease_rcpt_count(l), 1);
		host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
		o = host_expect(&h, QUEUE_ORDER_GIVE);
		assert_ptr_equal(o.session, s);
		l = o.lease;
	}
	assert_int_equal(queue_lease_rcpt_count(l), 1);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_fini(&h);
}

/* What one transaction deferred comes back as one transaction. */
static void
test_deferred_together(void **state)
{
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	for (i = 0; i < 10; i++)
		h.site[i] = 1;
	assert_int_equal(host_add_job(&h, 0, 5, "", ""), QUEUE_OK);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	h.random = 99; /* a new number would part them */
	h.now_us += 5 * MINUTE;
	o = host_expect(&h, QUEUE_ORDER_CLOSE); /* idle meanwhile */
	host_close(&h, o.session, false, 0);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_rcpt_count(o.lease), 5);
	assert_int_equal(queue_lease_attempts(o.lease, 4), 1);
	host_fini(&h);
}

static void
test_overlap(void **state)
{
	struct queue_lease *a, *b;
	struct queue_session *s;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.connections = 1;
	host_add(&h, 1);
	host_add(&h, 1);
	host_add(&h, 1);
	s = open_ready(&h, true, &a);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_ptr_equal(o.session, s);
	b = o.lease;
	host_expect(&h, QUEUE_ORDER_NONE); /* not a third */
	host_settle(&h, a, QUEUE_VERDICT_DELIVERED);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	host_settle(&h, b, QUEUE_VERDICT_DELIVERED);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	/* A session that cannot overlap gets one at a time. */
	host_close(&h, s, false, 0);
	host_add(&h, 1);
	host_add(&h, 1);
	open_ready(&h, false, &a);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

/* --- fairness --- */

/* The small job's mail is not behind the large one's; nor one domain's behind another's of the same site. */
static void
test_cells_take_turns(void **state)
{
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int i, small = 0, other = 0;

	host_init(&h);
	h.policy.connections = 1;
	h.site[2] = 2; /* d2 is of site1 too */
	for (i = 0; i < 50; i++)
		host_add_job(&h, 1, 1, "shop", "large");
	for (i = 0; i < 3; i++)
		host_add_job(&h, 1, 1, "shop", "small");
	for (i = 0; i < 3; i++)
		host_add_job(&h, 2, 1, "shop", "large");
	open_ready(&h, false, &l);
	for (i = 0; i < 9; i++) {
		small += queue_lease_message(l) > 50 && queue_lease_message(l) <= 53;
		other += queue_lease_message(l) > 53;
		host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
		o = host_expect(&h, QUEUE_ORDER_GIVE);
		l = o.lease;
	}
	assert_int_equal(small, 3);
	assert_int_equal(other, 3);
	host_fini(&h);
}

/* --- verdicts --- */

static void
test_retry_schedule(void **state)
{
	static const int64_t waits[] = {5 * MINUTE, 15 * MINUTE, HOUR, HOUR, HOUR};
	struct queue_settled out;
	struct queue_order o;
	struct host h;
	size_t i;

	host_init(&h);
	h.policy.idle_us = 0;
	host_add(&h, 1);
	for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		o = host_expect(&h, QUEUE_ORDER_OPEN);
		queue_sched_session_ready(h.q, o.session, false);
		out = host_settle(&h, o.lease, QUEUE_VERDICT_LATER);
		assert_int_equal(out.kind, QUEUE_VERDICT_LATER);
		assert_int_equal(out.attempts, i + 1);
		/* Half of UINT32_MAX is not quite the middle. */
		assert_in_range(out.due_us - h.now_us, waits[i] - 1, waits[i]);
		assert_false(out.is_last);
		host_close(&h, host_expect(&h, QUEUE_ORDER_CLOSE).session, false, 0);
		h.now_us = out.due_us - 1;
		host_expect(&h, QUEUE_ORDER_NONE);
		assert_int_equal(queue_sched_wake_us(h.q), i < 2 ? out.due_us : h.now_us + 1);
		h.now_us += 1;
	}
	host_fini(&h);
}

static void
test_verdicts(void **state)
{
	static const struct {
		enum queue_verdict_kind kind;
		int64_t wait_us;
		enum queue_verdict_kind want;
		int64_t due_us;
		uint16_t attempts;
		uint8_t flags;
		bool is_last;
	} cases[] = {
		{QUEUE_VERDICT_DELIVERED, 0, QUEUE_VERDICT_DELIVERED, 0, 1, 0, true},
		{QUEUE_VERDICT_FAILED, 0, QUEUE_VERDICT_FAILED, 0, 1, 0, true},
		{QUEUE_VERDICT_DROPPED, 0, QUEUE_VERDICT_DROPPED, 0, 0, 0, true},
		{QUEUE_VERDICT_EXPIRED, 0, QUEUE_VERDICT_EXPIRED, 0, 0, 0, true},
		{QUEUE_VERDICT_RETURN, 0, QUEUE_VERDICT_RETURN, 0, 0, 0, false},
		{QUEUE_VERDICT_LATER, 7 * SEC, QUEUE_VERDICT_LATER, 7 * SEC, 1, 0, false},
		{QUEUE_VERDICT_LATER, 9 * DAY, QUEUE_VERDICT_LATER, 28 * HOUR + 48 * MINUTE, 1, 0, false},
		{QUEUE_VERDICT_UNCERTAIN, 0, QUEUE_VERDICT_UNCERTAIN, 2 * HOUR - 1, 1, QUEUE_RCPT_UNCERTAIN,
			false},
	};
	struct queue_settled out;
	struct queue_verdict v;
	struct queue_lease *l;
	struct host h;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host_init(&h);
		host_add(&h, 1);
		open_ready(&h, false, &l);
		v = (struct queue_verdict){.kind = cases[i].kind, .wait_us = cases[i].wait_us};
		queue_sched_settle(h.q, l, 0, &v, h.now_us, &out);
		queue_sched_lease_done(h.q, l, h.now_us);
		assert_int_equal(out.kind, cases[i].want);
		assert_int_equal(out.attempts, cases[i].attempts);
		assert_int_equal(out.flags, cases[i].flags);
		assert_int_equal(out.is_last, cases[i].is_last);
		assert_int_equal(out.due_us, cases[i].due_us > 0 ? h.now_us + cases[i].due_us : 0);
		assert_int_equal(host_stats(&h).rcpts, cases[i].is_last ? 0 : 1);
		host_fini(&h);
	}
}

/* After an uncertain end only the same source will do, whatever the settings say by then. */
static void
test_uncertain_is_sticky(void **state)
{
	struct queue_lease *l;
	struct queue_session *s;
	struct queue_order o;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	s = open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_UNCERTAIN);
	host_close(&h, s, false, 0);
	fake_sources_default(&h.fake, 3, &h.conf);
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	host_add(&h, 1);
	assert_int_equal(host_expect(&h, QUEUE_ORDER_OPEN).source, 3);
	h.now_us += 2 * HOUR;
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(o.source, 7);
	assert_int_equal(queue_lease_message(o.lease), 1);
	/* An answer, whatever it is, ends the uncertainty. */
	assert_int_equal(host_settle(&h, o.lease, QUEUE_VERDICT_LATER).flags, 0);
	host_fini(&h);
}

static void
test_reply_is_kept(void **state)
{
	struct queue_domain_view v;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_true(queue_sched_domain_find(h.q, name_of("d", 1), &v));
	assert_memory_equal(v.last_reply.ptr, "451 busy", 8);
	assert_int_equal(v.last_code, 451);
	assert_int_equal(v.waiting, 1);
	assert_in_range(v.next_us, h.now_us + 5 * MINUTE - 1, h.now_us + 5 * MINUTE);
	assert_int_equal(v.oldest_us, START);
	assert_false(queue_sched_domain_find(h.q, name_of("d", 2), &v));
	host_fini(&h);
}

/* As long as one recipient is to be tried at once. */
static void
test_body_stays_for_those_who_are_ready(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START};
	struct queue_sched_rcpt rcpts[] = {{.domain = {"d1", 2}}, {.n = 1, .domain = {"d2", 2}}};
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	assert_int_equal(queue_sched_add(h.q, &m, rcpts, 2, &h, START), QUEUE_OK);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_RETURN);
	assert_int_equal(h.bodies, 0);
	l = host_expect(&h, QUEUE_ORDER_OPEN).lease;
	assert_ptr_equal(queue_lease_body(l), &h);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_int_equal(h.bodies, 0);
	host_fini(&h);
	assert_int_equal(h.bodies, 1);
}

static void
test_body_is_let_go_once(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}};
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	for (; m.id <= 4; m.id++)
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, &h, START), QUEUE_OK);
	open_ready(&h, false, &l);
	assert_ptr_equal(queue_lease_body(l), &h);
	assert_int_equal(queue_sched_evict(h.q, 2), 2); /* the oldest is leased: two others */
	assert_int_equal(h.bodies, 2);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_int_equal(h.bodies, 3); /* all of it waits: nobody asks for it soon */
	assert_int_equal(queue_sched_evict(h.q, 10), 1);
	assert_int_equal(h.bodies, 4);
	assert_int_equal(queue_sched_evict(h.q, 10), 0);
	l = host_expect(&h, QUEUE_ORDER_GIVE).lease;
	assert_null(queue_lease_body(l));
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	r.domain = (struct queue_blob){"d2", 2};
	m.id = 9;
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, &h, START), QUEUE_OK);
	host_fini(&h);
	assert_int_equal(h.bodies, 5);
}

/* --- routes --- */

static void
test_route_wait(void **state)
{
	struct queue_domain_view v;
	struct host h;

	host_init(&h);
	h.route[1] = QUEUE_ROUTE_WAIT;
	h.route_us = MINUTE;
	host_add(&h, 1);
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(h.resolves, 1);
	assert_true(queue_sched_domain_find(h.q, name_of("d", 1), &v));
	assert_memory_equal(v.why.ptr, "trouble 1", 9);
	assert_int_equal(queue_sched_wake_us(h.q), h.now_us + MINUTE);
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(h.resolves, 1);
	h.now_us += MINUTE;
	h.route[1] = QUEUE_ROUTE_SITE;
	host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(h.resolves, 2);
	host_fini(&h);
}

static void
test_route_fail(void **state)
{
	const struct queue_filter all = host_filter();
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	h.route[1] = QUEUE_ROUTE_FAIL;
	h.route_us = HOUR;
	for (i = 0; i < 3; i++)
		host_add(&h, 1);
	for (i = 0; i < 3; i++) {
		o = host_expect(&h, QUEUE_ORDER_REJECT);
		assert_memory_equal(o.why.ptr, "trouble 1", 9);
		assert_int_equal(number_of(o.domain), 1);
		assert_true(host_settle(&h, o.lease, QUEUE_VERDICT_FAILED).is_last);
	}
	host_expect(&h, QUEUE_ORDER_NONE);
	host_add(&h, 1); /* while it is known */
	l = host_expect(&h, QUEUE_ORDER_REJECT).lease;
	assert_int_equal(h.resolves, 1);
	/* Without memory for the bounce it comes back, and is rejected again. */
	host_settle(&h, l, QUEUE_VERDICT_RETURN);
	host_settle(&h, host_expect(&h, QUEUE_ORDER_REJECT).lease, QUEUE_VERDICT_FAILED);
	host_add(&h, 1);
	host_hold(&h, &all, true);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

/* One question at a time; after the route's time the next lease asks again, and goes the old way meanwhile.
 */
static void
test_route_again(void **state)
{
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.is_manual = true;
	h.policy.connections = 1;
	host_add(&h, 1);
	host_add(&h, 1);
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_RESOLVE);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.route_us = MINUTE;
	host_answer(&h, name_of("d", 1));
	open_ready(&h, false, &l);
	h.now_us += MINUTE;
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	h.site[1] = 10;
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_memory_equal(o.site.ptr, "site1", 5);
	host_expect(&h, QUEUE_ORDER_RESOLVE);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
	host_answer(&h, name_of("d", 1));
	assert_memory_equal(host_expect(&h, QUEUE_ORDER_OPEN).site.ptr, "site9", 5);
	host_fini(&h);
}

static void
test_route_not_taken(void **state)
{
	struct queue_route none = {.kind = QUEUE_ROUTE_SITE, .until_us = INT64_MAX};
	struct host h;

	host_init(&h);
	h.is_manual = true;
	assert_int_equal(queue_sched_routed(h.q, name_of("d", 1), &none, h.now_us), QUEUE_ENOTFOUND);
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_RESOLVE);
	assert_int_equal(queue_sched_routed(h.q, name_of("d", 1), &none, h.now_us), QUEUE_EINVAL);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_wake_us(h.q), h.now_us + MINUTE);
	h.now_us += MINUTE;
	host_expect(&h, QUEUE_ORDER_RESOLVE);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_add_refused),
		cmocka_unit_test(test_batch_over_domains_of_a_site),
		cmocka_unit_test(test_batch_limit),
		cmocka_unit_test(test_verp_goes_one_by_one),
		cmocka_unit_test(test_deferred_together),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_cells_take_turns),
		cmocka_unit_test(test_retry_schedule),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_uncertain_is_sticky),
		cmocka_unit_test(test_reply_is_kept),
		cmocka_unit_test(test_body_stays_for_those_who_are_ready),
		cmocka_unit_test(test_body_is_let_go_once),
		cmocka_unit_test(test_route_wait),
		cmocka_unit_test(test_route_fail),
		cmocka_unit_test(test_route_again),
		cmocka_unit_test(test_route_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
