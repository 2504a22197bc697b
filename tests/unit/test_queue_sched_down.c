/* SPDX-License-Identifier: Apache-2.0 */
/* Sources that are down, alone and together with pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

/* A source that is down takes no mail until it is up again and nobody has paused it, in whatever order. */
static void
test_down(void **state)
{
	static const struct {
		const char *name;
		bool is_down, is_paused, expected;
	} steps[] = {{"down", true, false, false}, {"and paused", true, true, false},
		{"up, but paused", false, true, false}, {"resumed", false, false, true},
		{"paused", false, true, false}, {"and down", true, true, false},
		{"resumed, but down", true, false, false}, {"up", false, false, true}};
	struct queue_order o;
	struct host h;
	size_t i;

	host_init(&h);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (i % 2 == 0)
			host_add(&h, 1 + (int)i); /* also lanes that come to be meanwhile */
		queue_sched_source_down(h.q, 7, steps[i].is_down, h.now_us);
		if (!steps[i].is_paused)
			(void)queue_sched_resume(h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 7, h.now_us);
		else
			assert_int_equal(queue_sched_pause(h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 7, INT64_MAX,
						 blob_of(""), h.now_us),
				QUEUE_OK);
		o = host_next(&h);
		if ((o.kind == QUEUE_ORDER_OPEN) != steps[i].expected)
			fail_msg("%s: order %d", steps[i].name, (int)o.kind);
		if (o.kind == QUEUE_ORDER_OPEN) {
			host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
			host_close(&h, o.session, false, 0);
		}
	}
	host_fini(&h);
}

/* Its open sessions are closed; a reload changes nothing about it. */
static void
test_with_sessions(void **state)
{
	struct queue_session *s;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	s = open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	queue_sched_source_down(h.q, 7, true, h.now_us);
	assert_ptr_equal(host_expect(&h, QUEUE_ORDER_CLOSE).session, s);
	host_close(&h, s, false, 0);
	host_add(&h, 1);
	queue_sched_reconfigured(h.q, &h.conf, h.now_us);
	(void)host_expect(&h, QUEUE_ORDER_NONE);
	queue_sched_source_down(h.q, 7, false, h.now_us);
	(void)host_expect(&h, QUEUE_ORDER_OPEN);
	host_fini(&h);
}

/* A pool of the sources 1 and 2, and a message that source 1 has tried. */
static void
begin_sticky(struct host *h, enum queue_verdict_kind kind)
{
	static const struct queue_pool_member members[] = {{1, 1}, {2, 1}};
	struct queue_order o;

	host_init(h);
	h->fake.pool.members = members;
	h->fake.pool.member_count = 2;
	queue_sched_reconfigured(h->q, &h->conf, h->now_us);
	host_add(h, 1);
	o = host_expect(h, QUEUE_ORDER_OPEN);
	assert_int_equal(o.source, 1);
	queue_sched_session_ready(h->q, o.session, false);
	host_settle(h, o.lease, kind);
	host_close(h, o.session, false, 0);
}

/* Mail that was greylisted takes another source meanwhile and its own again afterwards; what ended
 * uncertainly waits for its own, until it is too old. */
static void
test_sticky_mail(void **state)
{
	static const struct {
		enum queue_verdict_kind kind;
		bool takes_other;
	} kinds[] = {{QUEUE_VERDICT_LATER, true}, {QUEUE_VERDICT_UNCERTAIN, false}};
	struct queue_order o;
	struct host h;
	size_t i;

	for (i = 0; i < 2; i++) {
		begin_sticky(&h, kinds[i].kind);
		queue_sched_source_down(h.q, 1, true, h.now_us);
		h.now_us += 6 * MINUTE;
		o = host_next(&h);
		if (kinds[i].takes_other) {
			assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
			assert_int_equal(o.source, 2);
			host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
			host_close(&h, o.session, false, 0);
			queue_sched_source_down(h.q, 1, false, h.now_us);
			assert_int_equal(host_expect(&h, QUEUE_ORDER_OPEN).source, 1);
		} else {
			assert_int_equal(o.kind, QUEUE_ORDER_NONE);
			while (h.now_us < START + 4 * DAY) {
				h.now_us += 20 * MINUTE;
				if ((o = host_next(&h)).kind != QUEUE_ORDER_NONE)
					break;
			}
			assert_int_equal(o.kind, QUEUE_ORDER_EXPIRE);
			assert_true(h.now_us >= START + 4 * DAY);
		}
		host_fini(&h);
	}
}

/* A pause that ends by its time gives mail its own source back, as one that is lifted does. */
static void
test_pause_ends(void **state)
{
	struct host h;
	int lifted;

	for (lifted = 0; lifted < 2; lifted++) {
		begin_sticky(&h, QUEUE_VERDICT_LATER);
		assert_int_equal(queue_sched_pause(h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 1, h.now_us + MINUTE,
					 blob_of(""), h.now_us),
			QUEUE_OK);
		if (lifted == 1)
			assert_true(queue_sched_resume(
				h.q, QUEUE_PAUSE_SOURCE, blob_of(""), 1, h.now_us + MINUTE));
		h.now_us += 6 * MINUTE;
		assert_int_equal(host_expect(&h, QUEUE_ORDER_OPEN).source, 1);
		host_fini(&h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_with_sessions),
		cmocka_unit_test(test_sticky_mail),
		cmocka_unit_test(test_pause_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
