/* SPDX-License-Identifier: Apache-2.0 */
/* How many sessions the schedule has opened, for whom, and what it does when one ends, fails or has had its
 * messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

static int
count_opens(struct host *h, struct queue_order *orders)
{
	int n = 0;

	for (;;) {
		orders[n] = host_next(h);
		if (orders[n].kind != QUEUE_ORDER_OPEN)
			return n;
		n++;
	}
}

/* Its connection is gone while a lease is under way: it gets no other one. */
static void
test_session_ends(void **state)
{
	struct queue_session *s;
	struct queue_lease *l[2];
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.connections = 1;
	host_add(&h, 1);
	s = open_ready(&h, true, &l[0]);
	host_add(&h, 1);
	l[1] = host_expect(&h, QUEUE_ORDER_GIVE).lease;
	queue_sched_session_ends(h.q, s);
	host_settle(&h, l[0], QUEUE_VERDICT_DELIVERED);
	host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, l[1], QUEUE_VERDICT_RETURN);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_close(&h, s, false, 0);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_message(o.lease), 2);
	host_fini(&h);
}

static void
test_ramp(void **state)
{
	static const struct {
		int messages, cap, total, opens;
	} cases[] = {
		{1, 20, 100, 1},
		{2, 20, 100, 1},
		{3, 20, 100, 1}, /* it carries one; two remain, and it is half of those */
		{4, 20, 100, 2},
		{10, 20, 100, 4},
		{30, 20, 100, 10},
		{300, 20, 100, 20},
		{300, 5, 100, 5},
		{300, 20, 7, 7},
	};
	struct queue_order orders[128];
	struct host h;
	size_t i;
	int k;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host_init(&h);
		h.policy.connections = (uint32_t)cases[i].cap;
		h.conf.connections_total = (uint32_t)cases[i].total;
		queue_sched_reconfigured(h.q, &h.conf, h.now_us);
		for (k = 0; k < cases[i].messages; k++)
			host_add(&h, 1);
		assert_int_equal(count_opens(&h, orders), cases[i].opens);
		host_fini(&h);
	}
}

/* As long as all sessions are busy and mail waits, the lane grows. */
static void
test_ramp_goes_on(void **state)
{
	struct queue_order orders[128], o;
	struct host h;
	int k, n;

	host_init(&h);
	for (k = 0; k < 5; k++)
		host_add(&h, 1);
	n = count_opens(&h, orders);
	assert_int_equal(n, 2);
	for (k = 0; k < n; k++)
		queue_sched_session_ready(h.q, orders[k].session, false);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, orders[0].lease, QUEUE_VERDICT_DELIVERED);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_GIVE).session, orders[0].session);
	queue_sched_session_ready(h.q, o.session, false);
	host_expect(&h, QUEUE_ORDER_OPEN);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

/* Messages of two sites, added in turns. Connections are opened in turns too; what goes out over those that
 * are there goes in runs, as many of the one as of the other. */
static void
test_sites_take_turns(void **state)
{
	static const char opens[] = "abab", gives[] = "aaaabbbbaaaabbbb";
	struct queue_order o, opened[4];
	struct host h;
	int k;

	host_init(&h);
	h.policy.connections = 2;
	for (k = 0; k < 20; k++)
		host_add(&h, k % 2 == 0 ? 1 : 2);
	for (k = 0; opens[k] != '\0'; k++) {
		opened[k] = host_expect(&h, QUEUE_ORDER_OPEN);
		assert_int_equal(queue_lease_message(opened[k].lease) % 2, opens[k] == 'a' ? 1 : 0);
	}
	host_expect(&h, QUEUE_ORDER_NONE);
	for (k = 0; k < 4; k++) {
		queue_sched_session_ready(h.q, opened[k].session, false);
		host_settle(&h, opened[k].lease, QUEUE_VERDICT_DELIVERED);
	}
	for (k = 0; gives[k] != '\0'; k++) {
		o = host_expect(&h, QUEUE_ORDER_GIVE);
		assert_int_equal(queue_lease_message(o.lease) % 2, gives[k] == 'a' ? 1 : 0);
		host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	}
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

static void
test_messages_per_connection(void **state)
{
	struct queue_lease *l;
	struct queue_session *s;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	h.policy.connections = 1;
	h.policy.messages_per_connection = 3;
	for (i = 0; i < 4; i++)
		host_add(&h, 1);
	s = open_ready(&h, true, &l);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	l = host_expect(&h, QUEUE_ORDER_GIVE).lease;
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, s);
	host_expect(&h, QUEUE_ORDER_NONE); /* it counts until it is gone */
	host_close(&h, s, false, 0);
	host_expect(&h, QUEUE_ORDER_OPEN);
	host_fini(&h);
}

static void
test_total_steals_idle(void **state)
{
	struct queue_session *s;
	struct queue_site_view v;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.conf.connections_total = 1;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	host_add(&h, 1);
	s = open_ready(&h, false, &l);
	host_add(&h, 2);
	host_expect(&h, QUEUE_ORDER_NONE); /* busy, and not yet at its share */
	assert_true(queue_sched_site_find(h.q, name_of("site", 2), &v) && v.is_starved);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, s);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_close(&h, s, false, 0);
	assert_memory_equal(host_expect(&h, QUEUE_ORDER_OPEN).site.ptr, "site2", 5);
	host_fini(&h);
}

/* Every OPEN there is now becomes a ready session that keeps its lease; how many. */
static int
open_slow(struct host *h)
{
	struct queue_order o;
	int opened = 0;

	while ((o = host_next(h)).kind == QUEUE_ORDER_OPEN) {
		queue_sched_session_ready(h->q, o.session, false);
		opened++;
	}
	assert_int_equal(o.kind, QUEUE_ORDER_NONE);
	return opened;
}

/* Sites that are slow without end, with mail for ever more connections: the next sites get their first at
 * once, and a connection that ends goes to a site without any. */
static void
test_D40_slow_sites_leave_room(void **state)
{
	struct queue_site_view v;
	struct queue_order o;
	struct host h;
	int d, n;

	host_init(&h);
	for (d = 1; d <= 8; d++)
		for (n = 0; n < 40; n++)
			host_add(&h, d);
	assert_int_equal(open_slow(&h), 88); /* of 100 */
	for (d = 20; d < 32; d++)
		host_add(&h, d);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_memory_equal(o.site.ptr, "site20", 6);
	assert_int_equal(open_slow(&h), 11);
	host_add(&h, 32);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_true(queue_sched_site_find(h.q, name_of("site", 32), &v) && v.is_starved);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	queue_sched_session_ready(h.q, o.session, false);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, o.session);
	host_close(&h, o.session, false, 0);
	assert_memory_equal(host_expect(&h, QUEUE_ORDER_OPEN).site.ptr, "site32", 6);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

/* A site that never runs out of mail gives way to one without a connection. */
static void
test_total_shares_busy(void **state)
{
	struct queue_session *s;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	h.conf.connections_total = 1;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	for (i = 0; i < 100; i++)
		host_add(&h, 1);
	s = open_ready(&h, true, &l);
	host_add(&h, 2);
	for (i = 0; i < 100; i++) {
		o = host_next(&h);
		if (o.kind != QUEUE_ORDER_GIVE)
			break;
		host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
		l = o.lease;
	}
	assert_in_range(i, 15, 30);
	assert_int_equal(o.kind, QUEUE_ORDER_NONE);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, s);
	host_close(&h, s, false, 0);
	assert_memory_equal(host_expect(&h, QUEUE_ORDER_OPEN).site.ptr, "site2", 5);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

static void
test_failed_connection(void **state)
{
	struct queue_site_view v;
	struct queue_order a, b = {0};
	struct host h;
	int i;

	host_init(&h);
	for (i = 0; i < 10; i++)
		host_add(&h, 1);
	for (i = 0; i < 4; i++) {
		a = host_expect(&h, QUEUE_ORDER_OPEN);
		if (i == 0)
			b = a;
	}
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, b.lease, QUEUE_VERDICT_RETURN);
	host_close(&h, b.session, true, MINUTE);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_true(queue_sched_site_find(h.q, name_of("site", 1), &v));
	assert_int_equal(v.wait_until_us, h.now_us + MINUTE);
	assert_memory_equal(v.why.ptr, "refused", 7);
	/* One that was on its way before does not lift the wait, but works. */
	queue_sched_session_ready(h.q, a.session, false);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, a.lease, QUEUE_VERDICT_DELIVERED);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_GIVE).session, a.session);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

static void
test_probe(void **state)
{
	struct queue_order o, orders[32];
	struct host h;
	int i;

	host_init(&h);
	host_add(&h, 1);
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
	host_close(&h, o.session, true, MINUTE);
	for (i = 0; i < 20; i++)
		host_add(&h, 1);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(queue_sched_wake_us(h.q), h.now_us + MINUTE);
	h.now_us += MINUTE;
	o = host_expect(&h, QUEUE_ORDER_OPEN);
	assert_int_equal(queue_lease_message(o.lease), 1); /* returned: at the front */
	host_expect(&h, QUEUE_ORDER_NONE);                 /* one probe */
	host_settle(&h, o.lease, QUEUE_VERDICT_LATER);
	host_close(&h, o.session, true, 0);
	o = host_expect(&h, QUEUE_ORDER_OPEN); /* no wait: again at once, still one */
	host_expect(&h, QUEUE_ORDER_NONE);
	queue_sched_session_ready(h.q, o.session, false);
	assert_true(count_opens(&h, orders) > 3);
	host_fini(&h);
}

/* Ten thousand sites that do not answer do not keep next() busy, nor stop one that does. */
static void
test_many_dead_sites(void **state)
{
	struct queue_message m = {.arrived_us = START};
	struct queue_sched_rcpt r = {0};
	struct queue_order o;
	struct host h;
	int i, orders = 0;

	host_init(&h);
	h.is_manual = true;
	h.conf.connections_total = 20000;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	for (i = 1; i <= 10000; i++) {
		m.id = (queue_id)i;
		r.domain = name_of("d", i);
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, h.now_us), QUEUE_OK);
	}
	while ((o = host_next(&h)).kind != QUEUE_ORDER_NONE) {
		struct queue_route route = {.site = name_of("s", number_of(o.domain)), .until_us = INT64_MAX};
		char name[16];

		orders++;
		if (o.kind == QUEUE_ORDER_OPEN) {
			host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
			host_close(&h, o.session, true, HOUR);
			continue;
		}
		memcpy(name, o.domain.ptr, o.domain.len);
		o.domain.ptr = name;
		assert_int_equal(queue_sched_routed(h.q, o.domain, &route, h.now_us), QUEUE_OK);
	}
	assert_int_equal(orders, 20000);
	assert_int_equal(host_stats(&h).ready, 10000);
	h.is_manual = false;
	host_add_job(&h, 1, 0, "", "");
	h.last_id = 20000;
	host_add(&h, 60); /* known and dead: stays */
	host_expect(&h, QUEUE_ORDER_NONE);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_ends),
		cmocka_unit_test(test_ramp),
		cmocka_unit_test(test_ramp_goes_on),
		cmocka_unit_test(test_sites_take_turns),
		cmocka_unit_test(test_messages_per_connection),
		cmocka_unit_test(test_total_steals_idle),
		cmocka_unit_test(test_D40_slow_sites_leave_room),
		cmocka_unit_test(test_total_shares_busy),
		cmocka_unit_test(test_failed_connection),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_many_dead_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
