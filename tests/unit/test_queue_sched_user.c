/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of users: what is held and for how long, what the host is told, what lets the mail go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"
#include "queue_sched_user.h"

enum { NOTES = 8, NOTE_BYTES = 4096 };

/* A pace, and a quota: as of a sandbox. */
static const struct queue_rate rates[] = {{1, SEC}, {5, DAY}};
static const struct queue_limits sandbox = {.units = {[QUEUE_UNIT_RECIPIENTS] = {rates, 2}}};
static const struct queue_rate lower[] = {{3, DAY}};
static const struct queue_limits lowered = {.units = {[QUEUE_UNIT_RECIPIENTS] = {lower, 1}}};

struct metered {
	struct host h;
	const struct queue_limits *limits; /* of user u1; u2 has none */
	int sent, told;
	int64_t until_us; /* as told last */
	struct queue_rate rate;
	enum queue_verdict_kind answer;
	char keys[NOTES][200], values[NOTES][NOTE_BYTES];
	size_t key_len[NOTES], value_len[NOTES];
};

static struct metered *of_host;

static void
stream_of(void *arg, struct queue_blob user, struct queue_blob job, enum queue_class klass,
	struct queue_stream_policy *out)
{
	*out = (struct queue_stream_policy){.weight = 1, .user_weight = 1};
	if (user.len == 2 && memcmp(user.ptr, "u1", 2) == 0)
		out->user_limits = of_host->limits;
}

static void
on_quota(void *arg, struct queue_blob user, const struct queue_rate *rate, int64_t until_us)
{
	assert_true(user.len == 2 && memcmp(user.ptr, "u1", 2) == 0);
	of_host->told++;
	of_host->until_us = until_us;
	of_host->rate = *rate;
}

static void
metered_init(struct metered *m, const struct queue_limits *limits)
{
	memset(m, 0, sizeof(*m));
	of_host = m;
	host_init(&m->h);
	m->limits = limits;
	m->answer = QUEUE_VERDICT_DELIVERED;
	m->h.conf.stream = stream_of;
	m->h.conf.on_quota = on_quota;
	queue_sched_reconfigured(m->h.q, &m->h.conf, m->h.now_us);
}

static void
keep_note(struct metered *m, const struct queue_order *o)
{
	int i = 0;

	while (i < NOTES - 1 && m->key_len[i] > 0 &&
		(m->key_len[i] != o->note.len || memcmp(m->keys[i], o->note.ptr, o->note.len) != 0))
		i++;
	memcpy(m->keys[i], o->note.ptr, m->key_len[i] = o->note.len);
	memcpy(m->values[i], o->value.ptr, m->value_len[i] = o->value.len);
	queue_sched_noted(m->h.q, o->noting, false, m->h.now_us);
}

/* What there is to do now; returns how many recipients were sent. */
static int
turn(struct metered *m)
{
	int sent = 0;

	for (;;) {
		struct queue_order o = host_next(&m->h);

		if (o.kind == QUEUE_ORDER_NONE)
			return sent;
		if (o.kind == QUEUE_ORDER_NOTE)
			keep_note(m, &o);
		else if (o.kind == QUEUE_ORDER_CLOSE)
			host_close(&m->h, o.session, false, 0);
		else {
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(m->h.q, o.session, false);
			sent += (int)queue_lease_rcpt_count(o.lease);
			(void)host_settle(&m->h, o.lease, m->answer);
		}
	}
}

/* A second after the other. */
static int
run(struct metered *m, int seconds, int *out_most)
{
	int sent = 0, now;

	*out_most = 0;
	while (seconds-- > 0) {
		now = turn(m);
		*out_most = now > *out_most ? now : *out_most;
		sent += now;
		m->h.now_us += SEC;
	}
	return sent;
}

static void
add(struct metered *m, int count, const char *user)
{
	while (count-- > 0)
		assert_int_equal(host_add_job(&m->h, 1, 1, user, "j"), QUEUE_OK);
}

static int64_t
midnight(int64_t now_us)
{
	return now_us - now_us % DAY + DAY;
}

struct states {
	uint64_t quota, ready;
};

static bool
count_state(void *arg, const struct queue_view *v)
{
	struct states *s = arg;

	s->quota += strcmp(v->state, "quota") == 0;
	s->ready += strcmp(v->state, "ready") == 0;
	return true;
}

/* The list and the table of domains agree. */
static struct states
states(struct metered *m)
{
	struct queue_filter f = host_filter();
	struct queue_domain_view v;
	struct states s = {0};

	queue_sched_each(m->h.q, &f, 0, count_state, &s);
	assert_true(queue_sched_domain_find(m->h.q, blob_of("d1"), &v));
	assert_int_equal(v.quota, s.quota);
	assert_int_equal(v.ready - v.quota, s.ready);
	return s;
}

/* One a second, five a day, and what is more waits for midnight; then it is let out. */
static void
test_two_days_in_a_sandbox(void **state)
{
	struct queue_user_view v;
	struct metered m;
	int64_t first_us;
	int most;

	metered_init(&m, &sandbox);
	first_us = midnight(m.h.now_us);
	add(&m, 30, "u1");
	assert_int_equal(run(&m, 60, &most), 5);
	assert_int_equal(most, 1);
	assert_int_equal(m.told, 1);
	assert_int_equal(m.until_us, first_us);
	assert_int_equal(m.rate.count, 5);
	assert_int_equal(states(&m).quota, 25);
	queue_sched_user_view(m.h.q, blob_of("u1"), m.h.now_us, &v);
	assert_int_equal(v.quota_count, 1);
	assert_int_equal(v.quotas[0].used, 5);
	assert_int_equal(v.quotas[0].end_us, first_us);
	assert_int_equal(v.full_until_us, first_us);
	m.h.now_us = first_us - SEC;
	assert_int_equal(turn(&m), 0);
	m.h.now_us = first_us;
	assert_int_equal(turn(&m), 1);
	assert_int_equal(states(&m).ready, 24);
	assert_int_equal(run(&m, 60, &most), 4);
	assert_int_equal(m.told, 2);
	assert_int_equal(m.until_us, first_us + DAY);
	/* Nobody lets go of mail of another user. */
	m.limits = NULL;
	queue_sched_user_changed(m.h.q, blob_of("u2"), m.h.now_us);
	assert_int_equal(turn(&m), 0);
	queue_sched_user_changed(m.h.q, blob_of("u1"), m.h.now_us);
	assert_int_equal(m.told, 3);
	assert_int_equal(m.until_us, 0);
	assert_int_equal(turn(&m), 20);
	queue_sched_user_view(m.h.q, blob_of("u1"), m.h.now_us, &v);
	assert_int_equal(v.quota_count, 0);
	assert_int_equal(v.full_until_us, 0);
	/* Put back on the same day: what was used then is not forgotten. */
	m.limits = &sandbox;
	add(&m, 2, "u1");
	assert_int_equal(turn(&m), 0);
	assert_int_equal(m.told, 4);
	assert_int_equal(m.until_us, first_us + DAY);
	m.h.now_us = first_us + DAY;
	assert_int_equal(run(&m, 60, &most), 2);
	host_fini(&m.h);
}

static void
test_others_go_on(void **state)
{
	struct metered m;
	int most;

	metered_init(&m, &sandbox);
	add(&m, 10, "u1");
	add(&m, 10, "u2");
	add(&m, 10, "");
	assert_int_equal(run(&m, 60, &most), 25);
	assert_int_equal(states(&m).quota, 5);
	host_fini(&m.h);
}

/* What counts when it is delivered comes back when it is not: then the host is told that there is room. */
static void
test_room_that_comes_back(void **state)
{
	struct metered m;
	struct queue_order o;

	metered_init(&m, &lowered);
	m.h.conf.counts_deliveries = true;
	m.h.policy.rcpts_per_transaction = 1;
	queue_sched_reconfigured(m.h.q, &m.h.conf, m.h.now_us);
	m.answer = QUEUE_VERDICT_DELIVERED;
	add(&m, 2, "u1");
	assert_int_equal(turn(&m), 2);
	assert_int_equal(m.told, 0);
	add(&m, 1, "u1");
	while ((o = host_next(&m.h)).kind == QUEUE_ORDER_NOTE)
		keep_note(&m, &o);
	assert_int_equal(o.kind, QUEUE_ORDER_GIVE);
	assert_int_equal(m.told, 1);
	assert_int_equal(m.until_us, midnight(m.h.now_us));
	(void)host_settle(&m.h, o.lease, QUEUE_VERDICT_LATER);
	assert_int_equal(m.told, 2);
	assert_int_equal(m.until_us, 0);
	host_fini(&m.h);
}

/* Lower, and as much is used already; higher, and there is room. */
static void
test_other_limits(void **state)
{
	static const struct queue_rate higher_rates[] = {{8, DAY}};
	static const struct queue_limits higher = {.units = {[QUEUE_UNIT_RECIPIENTS] = {higher_rates, 1}}};
	struct metered m;
	int most;

	metered_init(&m, &higher);
	add(&m, 4, "u1");
	assert_int_equal(run(&m, 10, &most), 4);
	add(&m, 10, "u1");
	m.limits = &lowered;
	queue_sched_user_changed(m.h.q, blob_of("u1"), m.h.now_us);
	assert_int_equal(m.until_us, midnight(m.h.now_us));
	assert_int_equal(turn(&m), 0);
	m.limits = &higher;
	queue_sched_user_changed(m.h.q, blob_of("u1"), m.h.now_us);
	assert_int_equal(m.until_us, 0);
	assert_int_equal(run(&m, 10, &most), 4);
	host_fini(&m.h);
}

/* What was used is known after a restart, before there is mail of the user, by the limits of then. */
static void
test_over_a_restart(void **state)
{
	struct queue_user_view v;
	struct metered m, after;
	int most;

	metered_init(&m, &sandbox);
	add(&m, 5, "u1");
	assert_int_equal(run(&m, 60, &most), 5);
	metered_init(&after, &sandbox);
	after.h.now_us = m.h.now_us;
	for (int i = 0; i < NOTES && m.key_len[i] > 0; i++)
		assert_int_equal(queue_sched_restore(after.h.q,
					 (struct queue_blob){m.values[i], m.value_len[i]}, after.h.now_us),
			QUEUE_OK);
	queue_sched_user_view(after.h.q, blob_of("u1"), after.h.now_us, &v);
	assert_int_equal(v.quotas[0].used, 5);
	assert_int_equal(v.quotas[0].rate.count, 5);
	assert_int_equal(v.full_until_us, midnight(after.h.now_us));
	assert_int_equal(after.told, 0);
	add(&after, 3, "u1");
	assert_int_equal(after.told, 1);
	assert_int_equal(turn(&after), 0);
	assert_int_equal(states(&after).quota, 3);
	queue_sched_user_view(after.h.q, blob_of("u2"), after.h.now_us, &v);
	assert_int_equal(v.quota_count, 0);
	host_fini(&m.h);
	host_fini(&after.h);
}

/* A window keeps its length when the clock is set ahead, and the host learns its new end. */
static void
test_the_clock_is_set(void **state)
{
	struct metered m;
	int64_t was_us;
	int most;

	metered_init(&m, &sandbox);
	add(&m, 10, "u1");
	assert_int_equal(run(&m, 60, &most), 5);
	was_us = m.until_us;
	queue_sched_clock_ahead(m.h.q, 40 * DAY);
	m.h.now_us += 40 * DAY;
	assert_int_equal(m.until_us, was_us + 40 * DAY);
	assert_int_equal(turn(&m), 0);
	host_fini(&m.h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_days_in_a_sandbox),
		cmocka_unit_test(test_others_go_on),
		cmocka_unit_test(test_room_that_comes_back),
		cmocka_unit_test(test_other_limits),
		cmocka_unit_test(test_over_a_restart),
		cmocka_unit_test(test_the_clock_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
