/* SPDX-License-Identifier: Apache-2.0 */
/* What lanes learn in the schedule: rules that pause, slow and lay on a profile, sites that fail, recovery in
 * steps. The arithmetic itself: test_queue_recovery.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

struct sick {
	struct host h;
	struct queue_profile profiles[2];
	struct queue_limits limits;
	struct queue_rate rate;
	struct queue_lane_change last;
	int changes, opened;
	struct {
		char value[4096];
		size_t len;
		bool is_there;
	} disk;
};

static struct sick *told;

static void
on_lane(void *arg, const struct queue_lane_change *change)
{
	told->changes++;
	told->last = *change;
}

static void
sick_init(struct sick *k)
{
	memset(k, 0, sizeof(*k));
	told = k;
	host_init(&k->h);
	k->h.policy.messages_per_connection = 0;
	k->rate = (struct queue_rate){1, 10 * SEC};
	k->limits.units[QUEUE_UNIT_MESSAGES].rates = &k->rate;
	k->limits.units[QUEUE_UNIT_MESSAGES].count = 1;
	k->profiles[0] = (struct queue_profile){.name = {"slow", 4}, .connections = 1, .limits = &k->limits};
	k->profiles[1] = (struct queue_profile){.name = {"short", 5}, .messages_per_connection = 2};
	k->h.conf.profiles = k->profiles;
	k->h.conf.profile_count = 2;
	k->h.conf.on_lane = on_lane;
	queue_sched_reconfigured(k->h.q, &k->h.conf, k->h.now_us);
}

/* The next order that is no note; the last note is on disk. */
static struct queue_order
next(struct sick *k)
{
	struct queue_order o;

	while ((o = host_next(&k->h)).kind == QUEUE_ORDER_NOTE) {
		k->disk.is_there = o.value.len > 0;
		k->disk.len = o.value.len;
		memcpy(k->disk.value, o.value.ptr, o.value.len);
		queue_sched_noted(k->h.q, o.noting, false, k->h.now_us);
	}
	return o;
}

static void
add(struct sick *k, int count)
{
	while (count-- > 0)
		host_add(&k->h, 1);
}

/* The site takes whatever comes until `until_us`; how many messages that were, and most connections at once.
 */
static int
deliver_until(struct sick *k, int64_t until_us, int *out_connections)
{
	int delivered = 0, open = (int)host_stats(&k->h).sessions, most = open;

	while (k->h.now_us < until_us) {
		struct queue_order o = next(k);
		int64_t wake_us;

		if (o.kind == QUEUE_ORDER_OPEN) {
			queue_sched_session_ready(k->h.q, o.session, true);
			most = ++open > most ? open : most;
			k->opened++;
		}
		if (o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE) {
			host_settle(&k->h, o.lease, QUEUE_VERDICT_DELIVERED);
			delivered++;
		} else if (o.kind == QUEUE_ORDER_CLOSE) {
			host_close(&k->h, o.session, false, 0);
			open--;
		} else {
			assert_int_equal(o.kind, QUEUE_ORDER_NONE);
			wake_us = queue_sched_wake_us(k->h.q);
			assert_true(wake_us > k->h.now_us);
			k->h.now_us = wake_us < until_us ? wake_us : until_us;
		}
	}
	if (out_connections != NULL)
		*out_connections = most;
	return delivered;
}

/* Who delivered one. */
static struct queue_session *
open_one(struct sick *k)
{
	struct queue_order o = next(k);

	assert_true(o.kind == QUEUE_ORDER_OPEN || o.kind == QUEUE_ORDER_GIVE);
	if (o.kind == QUEUE_ORDER_OPEN)
		queue_sched_session_ready(k->h.q, o.session, true);
	host_settle(&k->h, o.lease, QUEUE_VERDICT_DELIVERED);
	return o.session;
}

static void
react(struct sick *k, struct queue_session *s, struct queue_reaction r)
{
	r.begun_us = k->h.now_us;
	r.why = blob_of("rule tss04");
	assert_true(queue_sched_react(k->h.q, s, &r, k->h.now_us));
}

/* Paused, then probed with one connection, then in steps to what it was. */
static void
test_pause_and_climb(void **state)
{
	struct queue_session *s;
	struct sick k;
	int most, i;

	sick_init(&k);
	add(&k, 3000);
	s = open_one(&k);
	react(&k, s, (struct queue_reaction){.pause_us = 2 * HOUR});
	assert_int_equal(k.changes, 1);
	assert_int_equal(k.last.to.step, QUEUE_RECOVERY_PAUSED);
	assert_memory_equal(k.last.why.ptr, "rule tss04", 10);
	assert_memory_equal(k.last.site.ptr, "site1", 5);
	assert_int_equal(deliver_until(&k, START + 2 * HOUR - 1, &most), 0);
	assert_int_equal(host_stats(&k.h).sessions, 0); /* it does not keep connections either */
	assert_true(k.disk.is_there);
	assert_true(deliver_until(&k, START + 2 * HOUR + 1, &most) > 0);
	assert_int_equal(most, 1);
	for (i = 0; i < 30; i++) { /* each step takes some messages and some time */
		add(&k, 100);
		assert_true(deliver_until(&k, k.h.now_us + MINUTE, &most) > 0);
	}
	assert_int_equal(k.last.to.step, QUEUE_RECOVERY_FULL);
	assert_true(k.changes >= 4);
	host_fini(&k.h);
}

/* A probe has one message under way and no more. */
static void
test_probe_is_careful(void **state)
{
	struct queue_order o;
	struct sick k;

	sick_init(&k);
	add(&k, 10);
	react(&k, open_one(&k), (struct queue_reaction){.pause_us = 10 * MINUTE});
	(void)deliver_until(&k, START + 10 * MINUTE, NULL);
	o = next(&k);
	assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
	queue_sched_session_ready(k.h.q, o.session, true);
	assert_int_equal(next(&k).kind, QUEUE_ORDER_NONE);
	/* Refused again: the pause begins anew, and is longer. */
	host_settle(&k.h, o.lease, QUEUE_VERDICT_LATER);
	react(&k, o.session, (struct queue_reaction){.keep = 500});
	assert_int_equal(k.last.to.step, QUEUE_RECOVERY_PAUSED);
	assert_true(k.last.to.until_us > k.h.now_us + 10 * MINUTE);
	host_fini(&k.h);
}

static void
test_slower(void **state)
{
	struct queue_session *s;
	struct sick k;
	int most;

	sick_init(&k);
	k.rate = (struct queue_rate){2, SEC};
	k.h.policy.lane = &k.limits;
	k.h.policy.connections = 8;
	queue_sched_reconfigured(k.h.q, &k.h.conf, k.h.now_us);
	add(&k, 1000);
	s = open_one(&k);
	react(&k, s, (struct queue_reaction){.keep = 500});
	most = deliver_until(&k, START + 20 * SEC, NULL);
	assert_in_range(most, 18, 21); /* one a second */
	host_fini(&k.h);
}

static void
test_profile(void **state)
{
	struct queue_reaction r = {.profile = {"slow", 4}, .profile_us = MINUTE};
	struct queue_session *s;
	struct sick k;
	int most;

	sick_init(&k);
	add(&k, 100);
	s = open_one(&k);
	react(&k, s, r);
	assert_int_equal(deliver_until(&k, START + MINUTE - SEC, &most), 6); /* one in ten seconds */
	assert_int_equal(most, 1);
	(void)deliver_until(&k, START + MINUTE + SEC, &most);
	assert_int_equal(k.h.last_id, 100);
	assert_int_equal(host_stats(&k.h).rcpts, 0); /* all the rest at once when it ended */
	/* A profile nobody knows. */
	add(&k, 1);
	s = open_one(&k);
	r.profile = blob_of("none");
	assert_false(queue_sched_react(k.h.q, s, &r, k.h.now_us));
	/* The messages of a connection. */
	react(&k, s, (struct queue_reaction){.profile = {"short", 5}, .profile_us = HOUR});
	add(&k, 10);
	k.opened = 0;
	assert_int_equal(deliver_until(&k, k.h.now_us + SEC, NULL), 10);
	assert_in_range(k.opened, 4, 5);
	host_fini(&k.h);
}

/* Five failures, and it is asked no more than once a minute; the first answer brings it back. */
static void
test_dead_site(void **state)
{
	struct queue_order o;
	struct sick k;
	int i;

	sick_init(&k);
	add(&k, 20);
	for (i = 0; i < 5; i++) {
		o = next(&k);
		assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
		host_settle(&k.h, o.lease, QUEUE_VERDICT_RETURN);
		host_close(&k.h, o.session, true, 0);
		k.h.now_us += SEC;
	}
	assert_int_equal(k.last.to.reason, QUEUE_RECOVERY_DEAD);
	assert_int_equal(next(&k).kind, QUEUE_ORDER_NONE);
	k.h.now_us += 58 * SEC;
	assert_int_equal(next(&k).kind, QUEUE_ORDER_NONE);
	k.h.now_us += 2 * SEC;
	(void)open_one(&k);
	assert_int_equal(k.last.to.step, QUEUE_RECOVERY_FULL);
	host_fini(&k.h);
}

/* What only this machine lacks (an address, a port, a route) says nothing about the site. */
static void
test_hindered(void **state)
{
	struct queue_order o;
	struct sick k;
	int i;

	sick_init(&k);
	add(&k, 20);
	for (i = 0; i < 20; i++) {
		o = next(&k);
		assert_int_equal(o.kind, QUEUE_ORDER_OPEN);
		host_settle(&k.h, o.lease, QUEUE_VERDICT_RETURN);
		queue_sched_session_closed(
			k.h.q, o.session, QUEUE_SESSION_HINDERED, SEC, blob_of("no port"), k.h.now_us);
		assert_int_equal(next(&k).kind, QUEUE_ORDER_NONE); /* but it waits */
		k.h.now_us += SEC;
	}
	assert_int_equal(k.changes, 0);
	(void)open_one(&k);
	host_fini(&k.h);
}

static void
test_slow_start(void **state)
{
	struct queue_order o[40];
	struct sick k;
	int n = 0, i;

	sick_init(&k);
	k.h.policy.connections_start = 2;
	queue_sched_reconfigured(k.h.q, &k.h.conf, k.h.now_us);
	add(&k, 100);
	while ((o[n] = next(&k)).kind == QUEUE_ORDER_OPEN)
		n++;
	assert_int_equal(n, 2);
	for (i = 0; i < 2; i++) {
		queue_sched_session_ready(k.h.q, o[i].session, false);
		host_settle(&k.h, o[i].lease, QUEUE_VERDICT_DELIVERED);
	}
	n = 0;
	while ((o[n] = next(&k)).kind != QUEUE_ORDER_NONE)
		n++;
	assert_int_equal(n, 4); /* two free, two more */
	host_fini(&k.h);
}

/* Known after a restart, until somebody clears it, and for a day without mail at most. */
static void
test_kept_and_cleared(void **state)
{
	struct queue_blob note;
	struct sick k, again;

	sick_init(&k);
	add(&k, 1);
	react(&k, open_one(&k), (struct queue_reaction){.pause_us = 4 * HOUR});
	(void)deliver_until(&k, START + MINUTE, NULL);
	assert_true(k.disk.is_there);
	note = (struct queue_blob){k.disk.value, k.disk.len};
	sick_init(&again);
	assert_int_equal(queue_sched_restore(again.h.q, note, again.h.now_us), QUEUE_OK);
	add(&again, 1);
	assert_int_equal(deliver_until(&again, START + 4 * HOUR - SEC, NULL), 0);
	assert_int_equal(queue_sched_clear(again.h.q, blob_of("site1"), 3, again.h.now_us), 0);
	assert_int_equal(queue_sched_clear(again.h.q, blob_of("site1"), UINT32_MAX, again.h.now_us), 1);
	assert_int_equal(deliver_until(&again, again.h.now_us + SEC, NULL), 1);
	assert_false(again.disk.is_there);
	host_fini(&again.h);
	/* Nobody writes there any more. */
	told = &k;
	(void)deliver_until(&k, START + 3 * DAY, NULL);
	assert_false(k.disk.is_there);
	assert_int_equal(host_stats(&k.h).sites, 0);
	host_fini(&k.h);
}

/* Of one that was read at start and never used. */
static void
test_forgotten_unused(void **state)
{
	struct sick k, again;

	sick_init(&k);
	add(&k, 1);
	react(&k, open_one(&k), (struct queue_reaction){.profile = {"slow", 4}, .profile_us = HOUR});
	(void)deliver_until(&k, START + SEC, NULL);
	sick_init(&again);
	assert_int_equal(
		queue_sched_restore(again.h.q, (struct queue_blob){k.disk.value, k.disk.len}, again.h.now_us),
		QUEUE_OK);
	assert_int_equal(host_stats(&again.h).sites, 1);
	(void)deliver_until(&again, START + 2 * HOUR, NULL);
	assert_int_equal(host_stats(&again.h).sites, 0);
	host_fini(&again.h);
	host_fini(&k.h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_and_climb),
		cmocka_unit_test(test_probe_is_careful),
		cmocka_unit_test(test_slower),
		cmocka_unit_test(test_profile),
		cmocka_unit_test(test_dead_site),
		cmocka_unit_test(test_hindered),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_kept_and_cleared),
		cmocka_unit_test(test_forgotten_unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
