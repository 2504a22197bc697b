/* SPDX-License-Identifier: Apache-2.0 */
/* Quiet hours in the schedule: who waits, until when, and who does not. The clock on the wall itself:
 * test_queue_hours.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_why.h"

#define MIDNIGHT (START - START % DAY + DAY)
#define EVENING  (MIDNIGHT - 2 * HOUR)
#define MORNING  (MIDNIGHT + 7 * HOUR)

static const struct queue_hours_zone utc = {NULL, 0};
static const struct queue_hours_window nights = {22 * 60, 7 * 60, QUEUE_HOURS_EVERY_DAY, &utc};
static const struct queue_hours hours = {&nights, 1};

static void
world_init(struct host *h, int64_t now_us)
{
	host_init(h);
	h->now_us = now_us;
	h->policy.hours = &hours;
	h->policy.idle_us = DAY;
	queue_sched_reconfigured(h->q, &h->conf, h->now_us);
}

/* For d1; sticky: the source it must go by, 0: any. */
static void
add(struct host *h, enum queue_class klass, uint32_t sticky)
{
	struct queue_message m = {
		.id = ++h->last_id, .arrived_us = h->now_us, .klass = klass, .user = {"", 0}, .job = {"", 0}};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}, .sticky_source = sticky > 0 ? sticky + 1 : 0};

	assert_int_equal(queue_sched_add(h->q, &m, &r, 1, NULL, h->now_us), QUEUE_OK);
}

/* As the host does: called again when asked to. When the first lease goes out; INT64_MAX: not before
 * until_us. */
static int64_t
goes_at(struct host *h, int64_t until_us)
{
	while (h->now_us < until_us) {
		struct queue_order o = host_next(h);

		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE) {
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(h->q, o.session, false);
			host_settle(h, o.lease, QUEUE_VERDICT_DELIVERED);
			return h->now_us;
		}
		assert_int_equal(o.kind, QUEUE_ORDER_NONE);
		h->now_us = queue_sched_wake_us(h->q);
	}
	return INT64_MAX;
}

static void
test_mail_waits(void **state)
{
	static const struct {
		const char *name;
		int64_t at_us, want_us;
		enum queue_class klass;
	} cases[] = {
		{"a moment before", EVENING - 1, EVENING - 1, QUEUE_CLASS_NORMAL},
		{"at its first moment", EVENING, MORNING, QUEUE_CLASS_NORMAL},
		{"bulk mail too", EVENING, MORNING, QUEUE_CLASS_BULK},
		{"in the night", MIDNIGHT, MORNING, QUEUE_CLASS_NORMAL},
		{"in the last moment", MORNING - 1, MORNING, QUEUE_CLASS_NORMAL},
		{"behind", MORNING, MORNING, QUEUE_CLASS_NORMAL},
		{"urgent mail goes all the same", MIDNIGHT, MIDNIGHT, QUEUE_CLASS_URGENT},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host h;
		int64_t us;

		world_init(&h, cases[i].at_us);
		add(&h, cases[i].klass, 0);
		if ((us = goes_at(&h, MORNING + DAY)) != cases[i].want_us)
			fail_msg("%s: goes %+lld s from midnight on", cases[i].name,
				(long long)((us - MIDNIGHT) / SEC));
		host_fini(&h);
	}
}

/* A session that is open, and as much urgent mail that the others' turn comes. */
static void
test_urgent_mail_takes_nobody_along(void **state)
{
	struct host h;
	int i;

	world_init(&h, MIDNIGHT);
	add(&h, QUEUE_CLASS_NORMAL, 0);
	host_expect(&h, QUEUE_ORDER_NONE);
	for (i = 0; i < 40; i++)
		add(&h, QUEUE_CLASS_URGENT, 0);
	for (i = 0; i < 40; i++)
		assert_true(goes_at(&h, MORNING) == MIDNIGHT);
	assert_int_equal(host_stats(&h).ready, 1);
	assert_true(goes_at(&h, DAY + MORNING) == MORNING);
	host_fini(&h);
}

/* The lane waits for the morning already when urgent mail comes that shares nothing with the other but it. */
static void
test_urgent_mail_of_another_way(void **state)
{
	struct host h;

	world_init(&h, MIDNIGHT);
	add(&h, QUEUE_CLASS_NORMAL, 0);
	host_expect(&h, QUEUE_ORDER_NONE);
	add(&h, QUEUE_CLASS_URGENT, 7);
	assert_true(goes_at(&h, MORNING) == MIDNIGHT);
	host_fini(&h);
}

static void
test_a_session_ends_its_work(void **state)
{
	struct queue_lease *lease;
	struct host h;

	world_init(&h, EVENING - MINUTE);
	add(&h, QUEUE_CLASS_NORMAL, 0);
	(void)open_ready(&h, true, &lease);
	h.now_us = EVENING;
	add(&h, QUEUE_CLASS_NORMAL, 0);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, lease, QUEUE_VERDICT_DELIVERED);
	assert_true(goes_at(&h, DAY + MORNING) == MORNING);
	host_fini(&h);
}

static void
test_a_reload_changes_it(void **state)
{
	struct host h;

	world_init(&h, MIDNIGHT);
	add(&h, QUEUE_CLASS_NORMAL, 0);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.policy.hours = NULL;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	assert_true(goes_at(&h, MORNING) == MIDNIGHT);
	h.policy.hours = &hours;
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	add(&h, QUEUE_CLASS_NORMAL, 0);
	assert_true(goes_at(&h, DAY + MORNING) == MORNING);
	host_fini(&h);
}

/* The morning is when the clock says so, whatever it said before. */
static void
test_the_clock_is_set(void **state)
{
	static const struct {
		const char *name;
		int64_t from_us, to_us, want_us;
	} cases[] = {
		{"ahead, over the morning", MIDNIGHT, MORNING + HOUR, MORNING + HOUR},
		{"ahead, in the night", MIDNIGHT, MIDNIGHT + HOUR, MORNING},
		{"back, in the night", MIDNIGHT, MIDNIGHT - HOUR, MORNING},
		{"back, before the evening", MIDNIGHT, EVENING - HOUR, EVENING - HOUR},
		{"back into the night", MORNING + HOUR, MIDNIGHT, MORNING},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host h;
		int64_t us;

		world_init(&h, cases[i].from_us);
		if (cases[i].from_us > MORNING) {
			add(&h, QUEUE_CLASS_NORMAL, 0);
			assert_true(goes_at(&h, DAY + MORNING) == cases[i].from_us);
		}
		add(&h, QUEUE_CLASS_NORMAL, 0);
		if (cases[i].from_us < MORNING)
			host_expect(&h, QUEUE_ORDER_NONE);
		if (cases[i].to_us > cases[i].from_us)
			queue_sched_clock_ahead(h.q, cases[i].to_us - cases[i].from_us);
		h.now_us = cases[i].to_us;
		if ((us = goes_at(&h, DAY + MORNING)) != cases[i].want_us)
			fail_msg("%s: goes %+lld s from midnight on", cases[i].name,
				(long long)((us - MIDNIGHT) / SEC));
		host_fini(&h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail_waits),
		cmocka_unit_test(test_urgent_mail_takes_nobody_along),
		cmocka_unit_test(test_urgent_mail_of_another_way),
		cmocka_unit_test(test_a_session_ends_its_work),
		cmocka_unit_test(test_a_reload_changes_it),
		cmocka_unit_test(test_the_clock_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
