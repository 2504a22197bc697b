/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of events for the rules, one by one; then a model site that knows nothing of them and refuses what is
 * above its capacity.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_names.h"
#include "queue_recovery.h"

#include <string.h>

/* A lane with its clock. */
struct lane {
	struct queue_recovery r;
	struct queue_recovery_policy p;
	int64_t now_us;
};

static struct lane
lane_of(uint32_t connections)
{
	struct lane l = {.p = queue_recovery_defaults, .now_us = START};

	l.p.connections = connections;
	return l;
}

static struct queue_recovery_view
view(const struct lane *l)
{
	return queue_recovery_view(&l->r, &l->p);
}

static bool
is_same(const struct queue_recovery_view *a, const struct queue_recovery_view *b)
{
	return a->step == b->step && a->reason == b->reason && a->connections == b->connections &&
	       a->factor == b->factor && a->until_us == b->until_us &&
	       a->is_one_at_a_time == b->is_one_at_a_time;
}

/* Begun just now; what the lane must be whatever comes is asserted here. */
static bool
feed(struct lane *l, enum queue_recovery_kind kind, int64_t pause_us)
{
	struct queue_recovery_change change;
	const struct queue_recovery_view was = view(l);
	struct queue_recovery_view is;
	bool has_changed = queue_recovery_feed(&l->r, &l->p,
		&(struct queue_recovery_fact){.kind = kind, .begun_us = l->now_us, .pause_us = pause_us},
		l->now_us, &change);

	is = view(l);
	if (has_changed) {
		assert_true(is_same(&change.from, &was));
		assert_true(is_same(&change.to, &is));
	}
	if (was.step != is.step || was.factor != is.factor || was.until_us != is.until_us)
		assert_true(has_changed);
	if (is.step == QUEUE_RECOVERY_PAUSED) {
		assert_int_equal(is.connections, 0);
		assert_true(is.until_us > l->now_us && queue_recovery_next_us(&l->r) == is.until_us);
	} else {
		assert_in_range(is.connections, 1, l->p.connections);
		assert_in_range(is.factor, 1, 1000);
		assert_int_equal(queue_recovery_next_us(&l->r), INT64_MAX);
	}
	return has_changed;
}

/* `n` messages, a second each. */
static void
good(struct lane *l, int n)
{
	for (; n > 0; n--) {
		l->now_us += SEC;
		feed(l, QUEUE_RECOVERY_GOOD, 0);
	}
}

static void
wait_for(struct lane *l, int64_t us)
{
	struct queue_recovery_change change;

	l->now_us += us;
	queue_recovery_look(&l->r, &l->p, l->now_us, &change);
}

static void
test_slow_start(void **state)
{
	struct lane l = lane_of(10);

	assert_int_equal(view(&l).connections, 4);
	assert_int_equal(view(&l).factor, 1000);
	good(&l, 1);
	assert_int_equal(view(&l).connections, 5);
	good(&l, 20);
	assert_int_equal(view(&l).connections, 10);
	/* Half at a failure, then one more only when each of them has taken a message. */
	l.now_us += SEC;
	feed(&l, QUEUE_RECOVERY_FAILED, 0);
	assert_int_equal(view(&l).connections, 5);
	good(&l, 4);
	assert_int_equal(view(&l).connections, 5);
	good(&l, 1);
	assert_int_equal(view(&l).connections, 6);
	good(&l, 6);
	assert_int_equal(view(&l).connections, 7);
	assert_int_equal(view(&l).reason, QUEUE_RECOVERY_NOTHING);
	/* A lower limit holds at once. */
	l.p.connections = 3;
	assert_int_equal(view(&l).connections, 3);
	feed(&l, QUEUE_RECOVERY_FAILED, 0);
	assert_int_equal(view(&l).connections, 1);
}

/* Twenty that fail together are one failure; nor does a message from before speak for the lane as it is. */
static void
test_what_was_begun_before(void **state)
{
	struct lane l = lane_of(20);
	struct queue_recovery_fact f = {.kind = QUEUE_RECOVERY_FAILED, .begun_us = START};
	struct queue_recovery_change change;

	good(&l, 30);
	f.begun_us = l.now_us;
	l.now_us += MINUTE;
	for (int i = 0; i < 20; i++)
		queue_recovery_feed(&l.r, &l.p, &f, l.now_us + i, &change);
	assert_int_equal(view(&l).connections, 10);
	assert_int_equal(view(&l).step, QUEUE_RECOVERY_FULL);
	f.kind = QUEUE_RECOVERY_SLOWER;
	assert_false(queue_recovery_feed(&l.r, &l.p, &f, l.now_us + 30, &change));
	f.kind = QUEUE_RECOVERY_GOOD;
	for (int i = 0; i < 100; i++)
		queue_recovery_feed(&l.r, &l.p, &f, l.now_us + 40, &change);
	assert_int_equal(view(&l).connections, 10);
	/* A pause is as long as the rule says, not as the last reply of those on their way. */
	f.kind = QUEUE_RECOVERY_PAUSE;
	f.pause_us = HOUR;
	f.begun_us = l.now_us;
	l.now_us += MINUTE;
	assert_true(queue_recovery_feed(&l.r, &l.p, &f, l.now_us, &change));
	for (int i = 1; i < 20; i++)
		assert_false(queue_recovery_feed(&l.r, &l.p, &f, l.now_us + i, &change));
	assert_int_equal(view(&l).until_us, l.now_us + HOUR);
	f.pause_us = 2 * HOUR;
	assert_true(queue_recovery_feed(&l.r, &l.p, &f, l.now_us + MINUTE, &change));
	assert_int_equal(view(&l).until_us, l.now_us + 2 * HOUR);
}

static void
test_dead_site(void **state)
{
	static const int minutes[] = {1, 2, 4, 8, 16, 32, 60, 60};
	struct lane l = lane_of(20);

	for (int i = 0; i < 4; i++) {
		l.now_us += SEC;
		feed(&l, QUEUE_RECOVERY_FAILED, 0);
	}
	/* One answer of any kind between, and it is not dead. */
	feed(&l, QUEUE_RECOVERY_ANSWERED, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(view(&l).step, QUEUE_RECOVERY_FULL);
		l.now_us += SEC;
		feed(&l, QUEUE_RECOVERY_FAILED, 0);
	}
	for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]); i++) {
		assert_int_equal(view(&l).step, QUEUE_RECOVERY_PAUSED);
		assert_int_equal(view(&l).reason, QUEUE_RECOVERY_DEAD);
		assert_int_equal(view(&l).until_us - l.now_us, minutes[i] * MINUTE);
		wait_for(&l, minutes[i] * MINUTE - 1);
		assert_int_equal(view(&l).step, QUEUE_RECOVERY_PAUSED);
		wait_for(&l, 1);
		assert_int_equal(view(&l).step, QUEUE_RECOVERY_PROBE);
		assert_int_equal(view(&l).connections, 1);
		assert_true(view(&l).is_one_at_a_time);
		feed(&l, QUEUE_RECOVERY_FAILED, 0);
	}
	wait_for(&l, HOUR);
	feed(&l, QUEUE_RECOVERY_ANSWERED, 0);
	assert_int_equal(view(&l).step, QUEUE_RECOVERY_FULL);
	assert_int_equal(view(&l).reason, QUEUE_RECOVERY_NOTHING);
	assert_int_equal(view(&l).connections, 1);
	good(&l, 3);
	assert_int_equal(view(&l).connections, 4);
	/* And from one minute again. */
	for (int i = 0; i < 5; i++) {
		l.now_us += SEC;
		feed(&l, QUEUE_RECOVERY_FAILED, 0);
	}
	assert_int_equal(view(&l).until_us - l.now_us, MINUTE);
}

/* Each step up needs messages and time; and a refusal goes one back. */
static void
test_steps(void **state)
{
	static const struct {
		enum queue_recovery_step step;
		uint32_t factor, connections; /* the factor left `keep` when it was paused */
	} steps[] = {{QUEUE_RECOVERY_PROBE, 87, 1}, {QUEUE_RECOVERY_QUARTER, 218, 5},
		{QUEUE_RECOVERY_HALF, 437, 9}, {QUEUE_RECOVERY_FULL, 875, 18}};
	struct lane l = lane_of(20);

	good(&l, 30);
	feed(&l, QUEUE_RECOVERY_PAUSE, 2 * HOUR);
	assert_int_equal(view(&l).reason, QUEUE_RECOVERY_RULE);
	wait_for(&l, 2 * HOUR);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(view(&l).step, steps[i].step);
		assert_int_equal(view(&l).factor, steps[i].factor);
		assert_in_range(view(&l).connections, 1, steps[i].connections);
		/* Sixty messages in a minute, or ten in an hour; neither is enough without the other. */
		if (i == 1)
			wait_for(&l, HOUR);
		good(&l, i == 1 ? 9 : 59);
		assert_in_range(view(&l).connections, 1, steps[i].connections);
		assert_int_equal(view(&l).step, steps[i].step);
		good(&l, 1);
		assert_int_equal(view(&l).step, steps[i + 1].step);
	}
	good(&l, 59);
	assert_in_range(view(&l).connections, steps[2].connections, steps[3].connections);
	l.now_us += MINUTE;
	feed(&l, QUEUE_RECOVERY_SLOWER, 0);
	assert_int_equal(view(&l).step, QUEUE_RECOVERY_FULL);
	for (int i = QUEUE_RECOVERY_HALF; i <= QUEUE_RECOVERY_PAUSED; i++) {
		l.now_us += 2 * SEC;
		feed(&l, QUEUE_RECOVERY_SLOWER, 0);
		assert_int_equal(view(&l).step, i);
	}
	assert_string_equal(queue_recovery_step_text(view(&l).step), "paused");
	assert_string_equal(queue_recovery_reason_text(view(&l).reason), "the site asked for less");
}

/* Stretches from a refusal at full to being without caps again. */
static int
stretches_to_free(struct lane *l)
{
	int n = 0;

	good(l, 60);
	l->now_us += SEC;
	feed(l, QUEUE_RECOVERY_SLOWER, 0);
	assert_int_equal(view(l).step, QUEUE_RECOVERY_FULL);
	assert_int_equal(view(l).factor, 875);
	for (; view(l).reason != QUEUE_RECOVERY_NOTHING; n++)
		good(l, 60);
	return n;
}

/* The oftener a site has refused, the later it is asked for as much again; forgotten after good times. */
static void
test_patience(void **state)
{
	static const int want[] = {13, 25, 49, 97, 97};
	struct lane l = lane_of(1);

	good(&l, 60);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(stretches_to_free(&l), want[i]);
	good(&l, 33 * 60);
	assert_int_equal(stretches_to_free(&l), want[4]);
	good(&l, 70 * 60);
	assert_int_equal(stretches_to_free(&l), want[0]);
}

/* Too many connections costs connections, and no more; whatever the words, a rate keeps its own. */
static void
test_crowded(void **state)
{
	struct lane l = lane_of(20);

	good(&l, 60);
	feed(&l, QUEUE_RECOVERY_CROWDED, 0);
	assert_int_equal(view(&l).factor, 1000);
	assert_int_equal(view(&l).connections, 17);
	good(&l, 90);
	l.now_us += SEC;
	/* Approached by half of the way: 18; half as much as was used, by a rule of that strength. */
	assert_int_equal(view(&l).connections, 18);
	queue_recovery_feed(&l.r, &l.p,
		&(struct queue_recovery_fact){
			.kind = QUEUE_RECOVERY_CROWDED, .begun_us = l.now_us, .keep = 500},
		l.now_us, &(struct queue_recovery_change){0});
	assert_int_equal(view(&l).connections, 9);
}

/* Pauses after a refused probe: doubled, bounded, a rule's longer one kept, short again after good times. */
static void
test_pauses(void **state)
{
	static const struct {
		int64_t rule_us, want_us[4];
	} cases[] = {
		{2 * HOUR, {4 * HOUR, 4 * HOUR, 4 * HOUR, 4 * HOUR}},
		{8 * HOUR, {8 * HOUR, 8 * HOUR, 8 * HOUR, 8 * HOUR}},
		{MINUTE, {5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE}},
		{30 * MINUTE, {HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lane l = lane_of(5);

		feed(&l, QUEUE_RECOVERY_PAUSE, cases[i].rule_us);
		wait_for(&l, cases[i].rule_us);
		/* A probe that finds no connection waits a minute, and says nothing about the speed. */
		feed(&l, QUEUE_RECOVERY_FAILED, 0);
		assert_int_equal(view(&l).until_us - l.now_us, MINUTE);
		assert_int_equal(view(&l).reason, QUEUE_RECOVERY_RULE);
		wait_for(&l, MINUTE);
		for (int n = 0; n < 4; n++) {
			feed(&l, QUEUE_RECOVERY_SLOWER, 0);
			assert_int_equal(view(&l).until_us - l.now_us, cases[i].want_us[n]);
			wait_for(&l, cases[i].want_us[n]);
		}
		good(&l, 3000);
		assert_int_equal(view(&l).step, QUEUE_RECOVERY_FULL);
		assert_int_equal(l.r.pause_us, 0);
	}
}

/* What Google writes about 4.7.28. */
static void
test_google(void **state)
{
	struct lane l = lane_of(20);

	l.p.pause_first_us = l.p.pause_max_us = 10 * MINUTE;
	good(&l, 100);
	assert_int_equal(view(&l).connections, 20);
	for (int i = 0; i < 5; i++) {
		feed(&l, QUEUE_RECOVERY_PAUSE, 10 * MINUTE);
		assert_int_equal(view(&l).connections, 0);
		wait_for(&l, 10 * MINUTE);
		assert_int_equal(view(&l).connections, 1);
	}
	for (uint32_t was = 1, is; was < 10; was = is) {
		good(&l, 1);
		is = view(&l).connections;
		assert_in_range(is, was, was + 1);
	}
}

static void
test_operator(void **state)
{
	struct lane l = lane_of(20);
	struct queue_recovery_change change;

	feed(&l, QUEUE_RECOVERY_PAUSE, HOUR);
	assert_true(queue_recovery_clear(&l.r, &l.p, &change));
	assert_int_equal(change.from.step, QUEUE_RECOVERY_PAUSED);
	assert_int_equal(change.to.step, QUEUE_RECOVERY_FULL);
	assert_int_equal(view(&l).connections, 4);
	assert_false(queue_recovery_clear(&l.r, &l.p, &change));
}

/* J7: a pause is never longer than it was meant; a clock far ahead ends it in a probe. */
static void
test_J7_clock(void **state)
{
	struct lane back = lane_of(5), ahead = lane_of(5), told = lane_of(5);

	feed(&back, QUEUE_RECOVERY_PAUSE, HOUR);
	wait_for(&back, -365 * DAY);
	assert_int_equal(view(&back).until_us - back.now_us, HOUR);
	feed(&ahead, QUEUE_RECOVERY_PAUSE, HOUR);
	wait_for(&ahead, 365 * DAY);
	assert_int_equal(view(&ahead).step, QUEUE_RECOVERY_PROBE);
	assert_int_equal(view(&ahead).connections, 1);
	feed(&told, QUEUE_RECOVERY_PAUSE, HOUR);
	queue_recovery_shift(&told.r, DAY);
	wait_for(&told, DAY + MINUTE);
	assert_int_equal(view(&told).until_us - told.now_us, 59 * MINUTE);
	/* What came before a step back does not hide what comes after it. */
	good(&told, 1);
	wait_for(&told, 2 * HOUR);
	wait_for(&told, -DAY);
	feed(&told, QUEUE_RECOVERY_SLOWER, 0);
	assert_int_equal(view(&told).step, QUEUE_RECOVERY_PAUSED);
}

/* --- a model site --- */

enum { TICKS = 5, SLOTS = 40, HOURS = 4, MEASURED_FROM = 2 };

struct site {
	double rate, burst, tokens; /* messages a second, and those it takes at once */
	int connections;
	bool has_words; /* tells too many connections from too many messages */
};
struct world {
	struct lane l;
	struct site site;
	double lane_rate, lane_tokens;
	int64_t latency_us, begun_us[SLOTS], done_us[SLOTS]; /* done_us 0: free */
	int open;
	uint64_t random, taken, refused, moves;
};

static uint32_t
rnd(struct world *w, uint32_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 20) % n;
}

static void
world_init(struct world *w, uint64_t seed)
{
	*w = (struct world){.random = seed * 7919};
	w->l = lane_of(1 + rnd(w, SLOTS));
	w->lane_rate = 1 + rnd(w, 100);
	w->latency_us = SEC / TICKS * (1 + rnd(w, 10));
	w->site.rate = rnd(w, 4) == 0 ? 1e9 : w->lane_rate * (5 + rnd(w, 100)) / 100;
	w->site.burst = w->site.tokens = 1 + w->site.rate * (1 + rnd(w, 30));
	w->site.connections = rnd(w, 3) == 0 ? SLOTS : (int)(1 + rnd(w, w->l.p.connections));
	w->site.has_words = rnd(w, 2) == 0;
}

/* Messages a second that nobody could get more of. */
static double
capacity(const struct world *w)
{
	int limit = (int)w->l.p.connections;
	double connections = w->site.connections < limit ? w->site.connections : limit;
	double most = connections * SEC / (double)w->latency_us;

	most = most < w->lane_rate ? most : w->lane_rate;
	return most < w->site.rate ? most : w->site.rate;
}

static void
world_answer(struct world *w, int slot)
{
	bool is_crowded = w->open > w->site.connections, is_taken = !is_crowded && w->site.tokens >= 1;
	struct queue_recovery_fact f = {.kind = is_taken                          ? QUEUE_RECOVERY_GOOD
						: is_crowded && w->site.has_words ? QUEUE_RECOVERY_CROWDED
										  : QUEUE_RECOVERY_SLOWER,
		.begun_us = w->begun_us[slot]};
	struct queue_recovery_change change;

	w->done_us[slot] = 0;
	w->open--;
	w->taken += is_taken;
	w->refused += !is_taken;
	w->site.tokens -= is_taken;
	if (queue_recovery_feed(&w->l.r, &w->l.p, &f, w->l.now_us, &change))
		w->moves += change.from.step != change.to.step;
}

static void
world_tick(struct world *w)
{
	struct queue_recovery_view v;
	double most;

	wait_for(&w->l, SEC / TICKS);
	w->site.tokens += w->site.rate / TICKS;
	w->site.tokens = w->site.tokens < w->site.burst ? w->site.tokens : w->site.burst;
	most = w->lane_rate * view(&w->l).factor / 1000;
	w->lane_tokens += most / TICKS;
	w->lane_tokens = w->lane_tokens < most + 1 ? w->lane_tokens : most + 1;
	for (int i = 0; i < (int)w->l.p.connections; i++) {
		if (w->done_us[i] != 0 && w->done_us[i] <= w->l.now_us)
			world_answer(w, i);
		if (w->done_us[i] != 0 || w->lane_tokens < 1)
			continue;
		v = view(&w->l);
		if (w->open >= (int)v.connections)
			continue;
		w->begun_us[i] = w->l.now_us;
		w->done_us[i] = w->l.now_us + w->latency_us;
		w->lane_tokens--;
		w->open++;
	}
}

/* It finds what the site takes, keeps nine tenths of it or nearly so, asks for more a few times an hour, and
 * stands still between. */
static void
test_converges(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct world w;
		double share;
		int hours = HOURS - MEASURED_FROM;

		world_init(&w, seed);
		for (int64_t i = 0; i < MEASURED_FROM * 3600 * TICKS; i++)
			world_tick(&w);
		w.taken = w.refused = w.moves = 0;
		for (int64_t i = 0; i < (int64_t)hours * 3600 * TICKS; i++)
			world_tick(&w);
		share = (double)w.taken / (capacity(&w) * hours * 3600);
		if (share < 0.8 || w.refused > 30u * (uint64_t)hours || w.moves > (uint64_t)hours)
			fail_msg("seed %d: %d %% of capacity, %d refused and %d moves in %d h", (int)seed,
				(int)(share * 100), (int)w.refused, (int)w.moves, hours);
	}
}

/* And it follows a site that takes less, and then more again. */
static void
test_follows(void **state)
{
	struct world w = {.random = 1, .l = lane_of(20), .lane_rate = 40, .latency_us = SEC * 2 / TICKS};
	uint64_t least;

	w.site = (struct site){.rate = 8, .burst = 20, .connections = SLOTS};
	for (int i = 0; i < 2 * 3600 * TICKS; i++)
		world_tick(&w);
	assert_true(view(&w.l).factor < 260);
	w.site.rate = w.site.burst = 1000;
	for (int i = 0; i < 8 * 3600 * TICKS; i++)
		world_tick(&w);
	assert_int_equal(view(&w.l).reason, QUEUE_RECOVERY_NOTHING);
	least = w.taken;
	for (int i = 0; i < 60 * TICKS; i++)
		world_tick(&w);
	assert_true(w.taken - least > 60 * 40 * 9 / 10);
}

/* --- the record --- */

static void
test_record(void **state)
{
	uint8_t bytes[QUEUE_RECOVERY_RECORD_BYTES], again[QUEUE_RECOVERY_RECORD_BYTES];
	struct world w = {.random = 11};
	struct lane l = lane_of(20), copy;

	for (int i = 0; i < 5000; i++) {
		enum queue_recovery_kind kind = rnd(&w, 12) == 0 ? rnd(&w, 6) : QUEUE_RECOVERY_GOOD;
		int64_t pause_us = (1 + rnd(&w, 100)) * MINUTE;

		queue_recovery_encode(&l.r, bytes);
		copy = l;
		memset(&copy.r, 0x55, sizeof(copy.r));
		assert_int_equal(
			queue_recovery_decode((struct queue_blob){bytes, sizeof(bytes)}, &copy.r), 0);
		wait_for(&l, rnd(&w, 10) * SEC);
		wait_for(&copy, l.now_us - copy.now_us);
		feed(&l, kind, pause_us);
		feed(&copy, kind, pause_us);
		queue_recovery_encode(&l.r, bytes);
		queue_recovery_encode(&copy.r, again);
		assert_memory_equal(bytes, again, sizeof(bytes));
		if (view(&l).step == QUEUE_RECOVERY_PAUSED && rnd(&w, 3) == 0)
			wait_for(&l, view(&l).until_us - l.now_us);
	}
}

static void
test_damaged_record(void **state)
{
	uint8_t bytes[QUEUE_RECOVERY_RECORD_BYTES + 1] = {0};
	struct world w = {.random = 13};
	struct lane l = lane_of(20);

	queue_recovery_encode(&l.r, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		if (len != QUEUE_RECOVERY_RECORD_BYTES)
			assert_int_equal(
				queue_recovery_decode((struct queue_blob){bytes, len}, &l.r), QUEUE_EDAMAGED);
	bytes[0] = 2;
	assert_int_equal(queue_recovery_decode((struct queue_blob){bytes, QUEUE_RECOVERY_RECORD_BYTES}, &l.r),
		QUEUE_EVERSION);
	/* Whatever is decoded can be used: feed() asserts what must hold. */
	for (int i = 0; i < 5000; i++) {
		l = lane_of(20);
		queue_recovery_encode(&l.r, bytes);
		for (uint32_t n = rnd(&w, 8); n > 0; n--)
			bytes[1 + rnd(&w, QUEUE_RECOVERY_RECORD_BYTES - 1)] =
				(uint8_t)rnd(&w, rnd(&w, 2) ? 5 : 256);
		if (queue_recovery_decode((struct queue_blob){bytes, QUEUE_RECOVERY_RECORD_BYTES}, &l.r) < 0)
			continue;
		wait_for(&l, SEC);
		for (int n = 0; n < 20; n++)
			feed(&l, rnd(&w, 6), (1 + rnd(&w, 100)) * MINUTE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_what_was_begun_before),
		cmocka_unit_test(test_dead_site),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_crowded),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_google),
		cmocka_unit_test(test_operator),
		cmocka_unit_test(test_J7_clock),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_damaged_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
