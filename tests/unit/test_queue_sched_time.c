/* SPDX-License-Identifier: Apache-2.0 */
/* Age limits in every state, and clocks that jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_host.h"

/* --- age --- */

enum place { READY, WAITING, HELD, PAUSED, UNROUTED, DNS, LANE_WAITS, LEASED };

/* Brings the message into the state; nothing moves it from there but time. */
static struct queue_lease *
bring_to(struct host *h, enum place place)
{
	const struct queue_filter all = host_filter();
	struct queue_order o;
	struct queue_lease *l;

	switch (place) {
	case READY:
		h->policy.connections = 1;
		host_add(h, 2);
		h->site[2] = 2;
		open_ready(h, false, &l);
		host_add(h, 1);
		break;
	case WAITING:
		host_add(h, 1);
		open_ready(h, false, &l);
		host_settle(h, l, QUEUE_VERDICT_LATER);
		break;
	case HELD:
		host_add(h, 1);
		host_hold(h, &all, true);
		break;
	case PAUSED:
		host_add(h, 1);
		assert_int_equal(queue_sched_pause(h->q, QUEUE_PAUSE_ALL, name_of("", 0), 0, INT64_MAX,
					 name_of("", 0), h->now_us),
			QUEUE_OK);
		break;
	case UNROUTED:
		h->is_manual = true;
		host_add(h, 1);
		host_expect(h, QUEUE_ORDER_RESOLVE);
		break;
	case DNS:
		h->route[1] = QUEUE_ROUTE_WAIT;
		host_add(h, 1);
		break;
	case LANE_WAITS:
		host_add(h, 1);
		o = host_expect(h, QUEUE_ORDER_OPEN);
		host_settle(h, o.lease, QUEUE_VERDICT_RETURN);
		host_close(h, o.session, true, DAY);
		break;
	case LEASED:
		host_add(h, 1);
		open_ready(h, false, &l);
		host_expect(h, QUEUE_ORDER_NONE);
		return l;
	}
	return NULL;
}

static void
test_expiry_in_every_state(void **state)
{
	struct queue_settled out;
	struct queue_lease *l;
	struct queue_order o;
	enum place place;
	struct host h;

	for (place = READY; place <= LEASED; place++) {
		host_init(&h);
		h.policy.expire_us = 4 * MINUTE;
		h.policy.idle_us = DAY;
		h.retry_us[0] = 3 * MINUTE + 59 * SEC;
		l = bring_to(&h, place);
		while (host_next(&h).kind != QUEUE_ORDER_NONE)
			;
		h.now_us = START + 4 * MINUTE - 1;
		if (place != WAITING) { /* it came due a second ago */
			host_expect(&h, QUEUE_ORDER_NONE);
			if (place != LEASED)
				assert_int_equal(queue_sched_wake_us(h.q), START + 4 * MINUTE);
		}
		h.now_us += 1;
		if (place == LEASED) {
			host_expect(&h, QUEUE_ORDER_NONE);
			out = host_settle(&h, l, QUEUE_VERDICT_LATER);
			assert_int_equal(out.kind, QUEUE_VERDICT_EXPIRED);
			assert_true(out.is_last);
		} else {
			o = host_expect(&h, QUEUE_ORDER_EXPIRE);
			assert_int_equal(number_of(o.domain), 1);
			host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
		}
		host_expect(&h, QUEUE_ORDER_NONE);
		host_fini(&h);
	}
}

/* A leased message at the head of the domain's order of arrival does not hide the next, and expires on its
 * return. */
static void
test_expiry_behind_leased(void **state)
{
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.expire_us = HOUR / 2;
	h.policy.connections = 1;
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_add(&h, 1);
	h.now_us += HOUR / 2;
	o = host_expect(&h, QUEUE_ORDER_EXPIRE);
	assert_int_equal(queue_lease_message(o.lease), 2);
	host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
	host_expect(&h, QUEUE_ORDER_NONE);
	host_settle(&h, l, QUEUE_VERDICT_RETURN);
	o = host_expect(&h, QUEUE_ORDER_EXPIRE);
	assert_int_equal(queue_lease_message(o.lease), 1);
	host_fini(&h);
}

static void
test_own_limit_and_old_mail(void **state)
{
	static const struct {
		int64_t arrived_us, expire_us, want_us;
	} cases[] = {
		{0, 0, 10 * MINUTE}, {0, 3 * MINUTE, 3 * MINUTE}, /* its own limit is the shorter */
		{0, 20 * MINUTE, 10 * MINUTE},                    /* the longer does not count */
		{-4 * MINUTE, 0, 6 * MINUTE},                     /* read at start, after fresh mail */
		{-2 * MINUTE, 0, 8 * MINUTE}, {-3 * MINUTE, 0, 7 * MINUTE}, /* and out of order */
		{5 * MINUTE, 0, 10 * MINUTE}, /* from the future: it is not younger than now */
	};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}, .flags = QUEUE_RCPT_HELD};
	int64_t seen_us[8] = {0};
	struct queue_domain_view v;
	struct queue_order o;
	struct host h;
	size_t i;

	host_init(&h);
	h.policy.expire_us = 10 * MINUTE;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_message m = {.id = i + 1, .arrived_us = START + cases[i].arrived_us};

		m.expire_us = cases[i].expire_us > 0 ? START + cases[i].expire_us : 0;
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	}
	assert_true(queue_sched_domain_find(h.q, r.domain, &v));
	assert_int_equal(v.oldest_us, START - 4 * MINUTE);
	while (host_stats(&h).rcpts > 0) {
		o = host_next(&h);
		if (o.kind == QUEUE_ORDER_EXPIRE) {
			seen_us[queue_lease_message(o.lease)] = h.now_us - START;
			host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
			continue;
		}
		assert_int_equal(o.kind, QUEUE_ORDER_NONE);
		h.now_us = queue_sched_wake_us(h.q);
	}
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(seen_us[i + 1], cases[i].want_us);
	host_fini(&h);
}

static void
test_later_past_the_limit(void **state)
{
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.policy.expire_us = 6 * MINUTE;
	host_add(&h, 1);
	open_ready(&h, false, &l);
	h.now_us += MINUTE + SEC;
	assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_EXPIRED);
	host_fini(&h);
}

/* What its sender wants to hear of at a time is tried once more at that time, unless the site has named one.
 */
static void
test_retry_at_the_notice(void **state)
{
	static const struct {
		const char *name;
		enum queue_verdict_kind kind;
		int64_t notice_us, wait_us, want_us; /* from the first attempt */
	} cases[] = {
		{"none", QUEUE_VERDICT_LATER, 0, 0, 5 * MINUTE},
		{"before the retry", QUEUE_VERDICT_LATER, 2 * MINUTE, 0, 2 * MINUTE},
		{"after it", QUEUE_VERDICT_LATER, 6 * MINUTE, 0, 5 * MINUTE},
		{"past", QUEUE_VERDICT_LATER, -MINUTE, 0, 5 * MINUTE},
		{"the site has said when", QUEUE_VERDICT_LATER, 2 * MINUTE, 3 * MINUTE, 3 * MINUTE},
		{"uncertain", QUEUE_VERDICT_UNCERTAIN, 2 * MINUTE, 0, 2 * HOUR},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_message m = {.id = 1, .arrived_us = START - HOUR};
		struct queue_sched_rcpt r = {.domain = {"d1", 2}};
		struct queue_settled out;
		struct queue_lease *l;
		struct host h;

		host_init(&h);
		h.conf.jitter_percent = 0;
		queue_sched_reconfigured(h.q, &h.conf, h.now_us);
		m.notice_us = cases[i].notice_us != 0 ? START + cases[i].notice_us : 0;
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
		open_ready(&h, false, &l);
		queue_sched_settle(h.q, l, 0,
			&(struct queue_verdict){
				.kind = cases[i].kind, .wait_us = cases[i].wait_us, .code = 451},
			START, &out);
		queue_sched_lease_done(h.q, l, START);
		if (out.due_us != START + cases[i].want_us)
			fail_msg("%s: %lld", cases[i].name, (long long)(out.due_us - START));
		host_fini(&h);
	}
}

/* --- release --- */

static const struct queue_sched_rcpt to_d1 = {.domain = {"d1", 2}};

static void
add_scheduled(struct host *h, int64_t release_us, const struct queue_sched_rcpt *r, void *body)
{
	struct queue_message m = {.id = ++h->last_id, .arrived_us = h->now_us, .release_us = release_us};

	assert_int_equal(queue_sched_add(h->q, &m, r, 1, body, h->now_us), QUEUE_OK);
}

static bool
copy_view(void *arg, const struct queue_view *v)
{
	*(struct queue_view *)arg = *v;
	return false;
}

static struct queue_view
view_of(struct host *h, queue_id id)
{
	const struct queue_filter f = {.id = id, .n = -1};
	struct queue_view v = {.state = "none"};

	queue_sched_each(h->q, &f, 0, copy_view, &v);
	return v;
}

/* A date further away than any retry is kept to the microsecond, held or not, and nobody keeps the bytes. */
static void
test_release(void **state)
{
	static const int64_t waits_us[] = {1, 10 * SEC, 30 * DAY};
	const struct queue_filter all = host_filter();
	struct host h;
	size_t i;
	int is_held;

	for (i = 0; i < sizeof(waits_us) / sizeof(waits_us[0]); i++)
		for (is_held = 0; is_held < 2; is_held++) {
			host_init(&h);
			add_scheduled(&h, START + waits_us[i], &to_d1, &h);
			assert_int_equal(h.bodies, 1);
			assert_string_equal(view_of(&h, 1).state, "scheduled");
			assert_int_equal(view_of(&h, 1).due_us, START + waits_us[i]);
			if (is_held)
				assert_int_equal(host_hold(&h, &all, true), 1);
			for (; START + waits_us[i] - h.now_us > HOUR / 2; h.now_us += HOUR / 2)
				host_expect(&h, QUEUE_ORDER_NONE);
			if (is_held)
				assert_int_equal(host_hold(&h, &all, false), 1);
			h.now_us = START + waits_us[i] - 1;
			host_expect(&h, QUEUE_ORDER_NONE);
			assert_int_equal(queue_sched_wake_us(h.q), START + waits_us[i]);
			h.now_us++;
			host_settle(&h, host_expect(&h, QUEUE_ORDER_OPEN).lease, QUEUE_VERDICT_DELIVERED);
			host_fini(&h);
		}
}

/* What was released goes on like other mail: also at a start before its date, for an operator let it go. */
static void
test_release_is_over(void **state)
{
	static const struct {
		const char *name;
		int64_t release_us, due_us, want_us;
		uint16_t attempts;
	} cases[] = {
		{"none", 0, 0, 0, 0},
		{"past", -HOUR, 0, 0, 0},
		{"tried, and released since", -HOUR, 5 * MINUTE, 5 * MINUTE, 1},
		{"tried before it was released", 20 * DAY, 5 * MINUTE, 5 * MINUTE, 1},
		{"not tried: whatever was stored", 20 * DAY, 5 * MINUTE, 20 * DAY, 0},
	};
	struct queue_sched_rcpt r = to_d1;
	struct host h;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_message m = {.id = 1, .arrived_us = START - DAY};

		host_init(&h);
		m.release_us = cases[i].release_us != 0 ? START + cases[i].release_us : 0;
		r.due_us = cases[i].due_us != 0 ? START + cases[i].due_us : 0;
		r.attempts = cases[i].attempts;
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
		if (view_of(&h, 1).due_us != (cases[i].want_us != 0 ? START + cases[i].want_us : 0))
			fail_msg("%s", cases[i].name);
		assert_string_equal(view_of(&h, 1).state, cases[i].want_us == 0          ? "unrouted"
							  : cases[i].want_us == 20 * DAY ? "scheduled"
											 : "waiting");
		host_fini(&h);
	}
}

static void
test_age_counts_from_release(void **state)
{
	struct queue_settled out;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.expire_us = HOUR / 4;
	h.policy.idle_us = DAY;
	add_scheduled(&h, START + HOUR / 2, &to_d1, NULL);
	host_add(&h, 1); /* younger by its limit, not by its arrival */
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_int_equal(view_of(&h, 1).expire_us, START + HOUR / 2 + HOUR / 4);
	h.now_us = START + HOUR / 2;
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	assert_int_equal(host_settle(&h, o.lease, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_LATER);
	h.now_us += 5 * MINUTE;
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	/* Its next attempt would be in 15 minutes. */
	out = host_settle(&h, o.lease, QUEUE_VERDICT_LATER);
	assert_int_equal(out.kind, QUEUE_VERDICT_EXPIRED);
	assert_false(out.is_own_limit);
	host_fini(&h);
}

/* By whose limit it ended, the sender is told. */
static void
test_own_limit_is_told(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START, .expire_us = START + 6 * MINUTE};
	struct queue_settled out;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int own, by_timer;

	for (own = 0; own < 2; own++)
		for (by_timer = 0; by_timer < 2; by_timer++) {
			host_init(&h);
			h.policy.expire_us = 6 * MINUTE;
			m.expire_us = own ? START + 6 * MINUTE : 0;
			assert_int_equal(queue_sched_add(h.q, &m, &to_d1, 1, NULL, START), QUEUE_OK);
			open_ready(&h, false, &l);
			h.now_us += by_timer ? MINUTE - SEC : 2 * MINUTE;
			out = host_settle(&h, l, QUEUE_VERDICT_LATER);
			if (by_timer) {
				assert_int_equal(out.kind, QUEUE_VERDICT_LATER);
				assert_false(out.is_own_limit);
				h.now_us = START + 6 * MINUTE;
				while ((o = host_next(&h)).kind != QUEUE_ORDER_EXPIRE)
					if (o.kind == QUEUE_ORDER_CLOSE)
						host_close(&h, o.session, false, 0);
					else
						host_settle(&h, o.lease, QUEUE_VERDICT_RETURN);
				out = host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
			}
			assert_int_equal(out.kind, QUEUE_VERDICT_EXPIRED);
			assert_int_equal(out.is_own_limit, own);
			host_fini(&h);
		}
}

static void
test_retry_and_release(void **state)
{
	struct queue_filter f = host_filter();
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.policy.idle_us = DAY;
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	add_scheduled(&h, START + DAY, &to_d1, NULL);
	f.domain = name_of("d", 1);
	assert_int_equal(queue_sched_retry(h.q, &f, h.now_us), 1);
	l = host_expect(&h, QUEUE_ORDER_GIVE).lease;
	assert_int_equal(queue_lease_message(l), 1);
	host_settle(&h, l, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	f = host_filter();
	f.id = 2;
	assert_int_equal(queue_sched_retry(h.q, &f, h.now_us), 1);
	l = host_expect(&h, QUEUE_ORDER_GIVE).lease;
	/* From now on it waits for the site. */
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_string_equal(view_of(&h, 2).state, "waiting");
	assert_in_range(view_of(&h, 2).due_us, START + 5 * MINUTE - 1, START + 5 * MINUTE);
	host_fini(&h);
}

/* J1, J2: a date is a date. */
static void
test_J1_J2_release_when_the_clock_is_set(void **state)
{
	static const struct {
		int64_t step_us, left_us;
	} cases[] = {{DAY, DAY}, {2 * DAY, 0}, {3 * DAY, -DAY}, {-DAY, 3 * DAY}};
	struct host h;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host_init(&h);
		add_scheduled(&h, START + 2 * DAY, &to_d1, NULL);
		host_expect(&h, QUEUE_ORDER_NONE);
		if (cases[i].step_us > 0)
			queue_sched_clock_ahead(h.q, cases[i].step_us);
		h.now_us += cases[i].step_us;
		if (cases[i].left_us > 0) {
			host_expect(&h, QUEUE_ORDER_NONE);
			assert_string_equal(view_of(&h, 1).state, "scheduled");
			assert_int_equal(view_of(&h, 1).due_us, h.now_us + cases[i].left_us);
		} else
			host_settle(&h, host_expect(&h, QUEUE_ORDER_OPEN).lease, QUEUE_VERDICT_RETURN);
		host_fini(&h);
	}
}

/* --- the clock --- */

static void
test_clock_jumps_ahead(void **state)
{
	struct queue_settled out;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;
	int i;

	host_init(&h);
	h.policy.idle_us = INT64_MAX;
	for (i = 0; i < 2; i++) {
		host_add(&h, 1 + i);
		open_ready(&h, false, &l);
		host_settle(&h, l, QUEUE_VERDICT_LATER);
	}
	host_add(&h, 3);
	open_ready(&h, false, &l);
	h.now_us += 365 * DAY;
	/* All are over their limit now, and all are tried: what is out is settled as usual. */
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	out = host_settle(&h, o.lease, QUEUE_VERDICT_LATER);
	assert_int_equal(out.kind, QUEUE_VERDICT_LATER);
	o = host_expect(&h, QUEUE_ORDER_GIVE);
	host_settle(&h, o.lease, QUEUE_VERDICT_DELIVERED);
	host_expect(&h, QUEUE_ORDER_NONE);
	out = host_settle(&h, l, QUEUE_VERDICT_LATER);
	assert_int_equal(out.kind, QUEUE_VERDICT_LATER);
	/* Ten minutes later it is the truth. */
	h.now_us += 10 * MINUTE - 1;
	while ((o = host_next(&h)).kind == QUEUE_ORDER_GIVE)
		host_settle(&h, o.lease, QUEUE_VERDICT_RETURN), h.now_us += 0,
			host_close(&h, o.session, false, 0);
	h.now_us += 1;
	for (i = 0; (o = host_next(&h)).kind == QUEUE_ORDER_EXPIRE; i++)
		host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
	assert_true(i > 0);
	host_fini(&h);
}

static void
test_clock_is_set_back(void **state)
{
	struct queue_domain_view v;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us -= DAY;
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_true(queue_sched_domain_find(h.q, name_of("d", 1), &v));
	assert_int_equal(v.oldest_us, h.now_us);
	assert_in_range(v.next_us, h.now_us + 5 * MINUTE - 1, h.now_us + 5 * MINUTE);
	h.now_us += 5 * MINUTE;
	host_close(&h, host_expect(&h, QUEUE_ORDER_CLOSE).session, false, 0);
	host_expect(&h, QUEUE_ORDER_OPEN);
	host_fini(&h);
}

/* J1, J5: what waits an hour waits an hour, and nobody is older than he is. */
static void
test_J1_J5_clock_is_set_ahead(void **state)
{
	const int64_t year = 365 * DAY;
	struct queue_domain_view v;
	struct queue_lease *l;
	struct queue_order o;
	struct host h;

	host_init(&h);
	h.policy.idle_us = 2 * HOUR;
	h.policy.expire_us = 20 * MINUTE;
	host_add(&h, 1);
	open_ready(&h, false, &l);
	host_settle(&h, l, QUEUE_VERDICT_LATER);
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us += MINUTE;
	queue_sched_clock_ahead(h.q, year);
	h.now_us += year;
	host_expect(&h, QUEUE_ORDER_NONE);
	assert_true(queue_sched_domain_find(h.q, name_of("d", 1), &v));
	assert_int_equal(v.oldest_us, START + year);
	assert_in_range(v.next_us, START + 5 * MINUTE + year - 1, START + 5 * MINUTE + year);
	h.now_us = START + 5 * MINUTE + year;
	host_settle(&h, host_expect(&h, QUEUE_ORDER_GIVE).lease, QUEUE_VERDICT_LATER);
	/* Its limit is as far away as ever, and so is that of the session. */
	h.now_us = START + 19 * MINUTE + year;
	host_expect(&h, QUEUE_ORDER_NONE);
	h.now_us += MINUTE;
	o = host_expect(&h, QUEUE_ORDER_EXPIRE);
	host_settle(&h, o.lease, QUEUE_VERDICT_EXPIRED);
	host_fini(&h);
}

/* J2: and a pause ends when it would have. */
static void
test_J1_J2_pause_keeps_its_length(void **state)
{
	static const int64_t steps_us[] = {365 * DAY, -DAY};
	struct host h;
	size_t i;

	for (i = 0; i < sizeof(steps_us) / sizeof(steps_us[0]); i++) {
		host_init(&h);
		assert_int_equal(queue_sched_pause(h.q, QUEUE_PAUSE_ALL, name_of("", 0), 0,
					 START + 5 * MINUTE, name_of("", 0), h.now_us),
			QUEUE_OK);
		host_add(&h, 1);
		if (steps_us[i] > 0)
			queue_sched_clock_ahead(h.q, steps_us[i]);
		h.now_us += steps_us[i];
		host_expect(&h, QUEUE_ORDER_NONE);
		h.now_us += 5 * MINUTE - 1;
		host_expect(&h, QUEUE_ORDER_NONE);
		h.now_us++;
		host_settle(&h, host_expect(&h, QUEUE_ORDER_OPEN).lease, QUEUE_VERDICT_RETURN);
		host_fini(&h);
	}
}

/* Every attempt fails for now; how many messages expired. */
static int
try_all(struct host *h)
{
	struct queue_order o;
	int expired = 0;

	for (o = host_next(h); o.kind != QUEUE_ORDER_NONE; o = host_next(h))
		if (o.kind == QUEUE_ORDER_CLOSE)
			host_close(h, o.session, false, 0);
		else if (o.kind == QUEUE_ORDER_EXPIRE) {
			host_settle(h, o.lease, QUEUE_VERDICT_EXPIRED);
			expired++;
		} else {
			if (o.kind == QUEUE_ORDER_OPEN)
				queue_sched_session_ready(h->q, o.session, false);
			host_settle(h, o.lease, QUEUE_VERDICT_LATER);
		}
	return expired;
}

/* J1, J4: a start with a wrong clock. */
static void
test_J1_J4_old_mail_is_tried_before_it_expires(void **state)
{
	struct queue_message m = {.id = 100, .arrived_us = START - 365 * DAY};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}};
	struct queue_sched_stats st;
	struct queue_lease *l;
	struct host h;

	host_init(&h);
	h.policy.idle_us = DAY;
	queue_sched_doubt_ages(h.q, START);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	st = host_stats(&h);
	assert_int_equal(st.doubted, 1);
	open_ready(&h, false, &l);
	assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_LATER);
	/* Fresh mail has its own, shorter limit meanwhile. */
	h.policy.expire_us = 4 * MINUTE;
	host_add(&h, 2);
	open_ready(&h, false, &l);
	assert_int_equal(host_settle(&h, l, QUEUE_VERDICT_LATER).kind, QUEUE_VERDICT_EXPIRED);
	/* The clock is put right: the mail is an hour old. */
	h.policy.expire_us = 4 * DAY;
	h.now_us -= 365 * DAY - HOUR;
	h.now_us += 10 * MINUTE;
	assert_int_equal(try_all(&h), 0);
	assert_int_equal(host_stats(&h).rcpts, 1);
	/* Nobody mends it. */
	h.now_us = START;
	queue_sched_doubt_ages(h.q, h.now_us);
	assert_int_equal(try_all(&h), 0);
	h.now_us += 10 * MINUTE - 1;
	assert_int_equal(try_all(&h), 0);
	h.now_us++;
	assert_int_equal(try_all(&h), 1);
	host_fini(&h);
}

/* J4: a due time from a wrong clock, read at start: the wait begins again. */
static void
test_J4_due_in_the_far_future(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}, .due_us = START + 365 * DAY, .attempts = 2};
	struct queue_domain_view v;
	struct host h;

	host_init(&h);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	assert_true(queue_sched_domain_find(h.q, r.domain, &v));
	assert_int_equal(v.next_us, START + 15 * MINUTE); /* before the third attempt */
	host_fini(&h);
}

/* J1, J4: written by the right clock, read by one that is half a day behind and then set right: not a day
 * late. */
static void
test_J1_J4_start_with_a_clock_behind(void **state)
{
	struct queue_message m = {.id = 1, .arrived_us = START};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}, .due_us = START + DAY / 2, .attempts = 2};
	struct queue_domain_view v;
	struct host h;

	host_init(&h);
	assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	queue_sched_clock_ahead(h.q, DAY / 2);
	assert_true(queue_sched_domain_find(h.q, r.domain, &v));
	assert_in_range(v.next_us, START + DAY / 2 + 15 * MINUTE, START + DAY / 2 + 3 * HOUR);
	host_fini(&h);
}

/* More wait than are looked at: what came first and what came last is found. */
static void
test_next_of_very_many(void **state)
{
	struct queue_filter first = {.id = 1, .n = -1};
	struct queue_sched_rcpt r = {.domain = {"d1", 2}};
	struct queue_domain_view v;
	struct host h;

	host_init(&h);
	for (int i = 1; i <= 10000; i++) {
		struct queue_message m = {
			.id = (queue_id)i, .arrived_us = START, .release_us = START + 9 * HOUR};

		m.release_us -= i == 1 ? 8 * HOUR : i == 2 ? 6 * HOUR : i == 10000 ? 7 * HOUR : 0;
		assert_int_equal(queue_sched_add(h.q, &m, &r, 1, NULL, START), QUEUE_OK);
	}
	for (int i = 0; i < 3; i++) {
		static const queue_id ids[] = {1, 10000, 2};

		assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &v));
		assert_int_equal(v.next_us, START + (i + 1) * HOUR);
		first.id = ids[i];
		assert_int_equal(queue_sched_retry(h.q, &first, START), 1);
	}
	assert_true(queue_sched_domain_find(h.q, blob_of("d1"), &v));
	assert_int_equal(v.next_us, START + 9 * HOUR);
	host_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expiry_in_every_state),
		cmocka_unit_test(test_expiry_behind_leased),
		cmocka_unit_test(test_own_limit_and_old_mail),
		cmocka_unit_test(test_later_past_the_limit),
		cmocka_unit_test(test_retry_at_the_notice),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_release_is_over),
		cmocka_unit_test(test_age_counts_from_release),
		cmocka_unit_test(test_own_limit_is_told),
		cmocka_unit_test(test_retry_and_release),
		cmocka_unit_test(test_J1_J2_release_when_the_clock_is_set),
		cmocka_unit_test(test_clock_jumps_ahead),
		cmocka_unit_test(test_clock_is_set_back),
		cmocka_unit_test(test_J1_J5_clock_is_set_ahead),
		cmocka_unit_test(test_J1_J2_pause_keeps_its_length),
		cmocka_unit_test(test_J1_J4_old_mail_is_tried_before_it_expires),
		cmocka_unit_test(test_J4_due_in_the_far_future),
		cmocka_unit_test(test_J1_J4_start_with_a_clock_behind),
		cmocka_unit_test(test_next_of_very_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
