/* SPDX-License-Identifier: Apache-2.0 */
/* A failing seed of the two simulations is printed with what failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_guard.h"
#include "queue_names.h"

#include <string.h>

#define PART (DAY / QUEUE_GUARD_BUCKETS)

static const struct queue_guard_conf conf = {.window_us = DAY,
	.volume_min = 100,
	.limit_ppm = {[QUEUE_GUARD_BOUNCE] = {0, 50000, 70000, 100000},
		[QUEUE_GUARD_COMPLAINT] = {0, 1000, 2000, 3000}}};

static uint32_t
rnd(uint64_t *random, uint32_t n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 20) % n;
}

static bool
feed_sent(struct queue_guard *g, enum queue_guard_outcome outcome, uint32_t count, int64_t sent_us,
	int64_t now_us)
{
	struct queue_guard_change change = {0};
	enum queue_guard_level was = queue_guard_level(g);
	bool has_changed = queue_guard_feed(
		g, &conf, &(struct queue_guard_fact){outcome, count, sent_us}, now_us, &change);

	assert_int_equal(has_changed, queue_guard_level(g) != was);
	if (has_changed) {
		assert_int_equal(change.from, was);
		assert_int_equal(change.to, queue_guard_level(g));
	}
	return has_changed;
}

static bool
feed(struct queue_guard *g, enum queue_guard_outcome outcome, uint32_t count, int64_t now_us)
{
	return feed_sent(g, outcome, count, 0, now_us);
}

/* Levels after so many outcomes at once: what chance may do, and what it may not. */
static const struct {
	const char *name;
	uint32_t delivered, bounced, complained;
	enum queue_guard_level want;
} levels[] = {
	{"nothing", 0, 0, 0, QUEUE_GUARD_OK},
	{"one bounce of ten stops nobody", 9, 1, 0, QUEUE_GUARD_OK},
	{"nor do ten of ten", 0, 10, 0, QUEUE_GUARD_OK},
	{"nor 99 of 99", 0, 99, 0, QUEUE_GUARD_OK},
	{"100 of 100 do", 0, 100, 0, QUEUE_GUARD_STOP},
	{"exactly 5 %", 9500, 500, 0, QUEUE_GUARD_OK},
	{"a little more", 9499, 501, 0, QUEUE_GUARD_WARN},
	{"7 % and by chance more", 9249, 751, 0, QUEUE_GUARD_WARN},
	{"7 % and 2 deviations", 9248, 752, 0, QUEUE_GUARD_SLOW},
	{"10 % of 100, short of 3 deviations", 81, 19, 0, QUEUE_GUARD_SLOW},
	{"10 % of 100", 80, 20, 0, QUEUE_GUARD_STOP},
	{"10 % of 1000, short", 872, 128, 0, QUEUE_GUARD_SLOW},
	{"10 % of 1000", 871, 129, 0, QUEUE_GUARD_STOP},
	{"10 % of 10000, short", 8910, 1090, 0, QUEUE_GUARD_SLOW},
	{"10 % of 10000", 8909, 1091, 0, QUEUE_GUARD_STOP},
	{"four complaints are too few", 100, 0, 4, QUEUE_GUARD_OK},
	{"five of 100", 100, 0, 5, QUEUE_GUARD_STOP},
	{"five of 99", 99, 0, 5, QUEUE_GUARD_OK},
	{"exactly 0.1 %", 10000, 0, 10, QUEUE_GUARD_OK},
	{"0.11 %", 10000, 0, 11, QUEUE_GUARD_WARN},
	{"0.2 % and 2 deviations", 10000, 0, 29, QUEUE_GUARD_SLOW},
	{"0.3 % of 1000, short", 1000, 0, 8, QUEUE_GUARD_SLOW},
	{"0.3 % of 1000", 1000, 0, 9, QUEUE_GUARD_STOP},
	{"0.3 % of 10000, short", 10000, 0, 46, QUEUE_GUARD_SLOW},
	{"0.3 % of 10000", 10000, 0, 47, QUEUE_GUARD_STOP},
	{"bounces are not delivered to", 50, 45, 5, QUEUE_GUARD_OK},
	{"the worse of the two", 9400, 600, 100, QUEUE_GUARD_STOP},
	{"as many as can be counted", UINT32_MAX, UINT32_MAX, UINT32_MAX, QUEUE_GUARD_STOP},
};

static void
test_levels(void **state)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct queue_guard g = {0};

		feed(&g, QUEUE_GUARD_DELIVERED, levels[i].delivered, START);
		/* One by one would judge on the way; all at once is the row. */
		feed(&g, QUEUE_GUARD_COMPLAINED, levels[i].complained, START);
		feed(&g, QUEUE_GUARD_BOUNCED, levels[i].bounced, START);
		if (queue_guard_level(&g) != levels[i].want)
			fail_msg("%s: %s", levels[i].name, queue_guard_level_text(queue_guard_level(&g)));
	}
}

/* Who was delivered to and bounced after all is one recipient, at the time of his mail. */
static void
test_bounced_later(void **state)
{
	struct queue_guard g = {0};
	struct queue_guard_change change;
	struct queue_guard_fact fact = {QUEUE_GUARD_BOUNCED, 200, START, true};

	feed(&g, QUEUE_GUARD_DELIVERED, 1000, START);
	feed(&g, QUEUE_GUARD_DELIVERED, 50, START + 2 * PART);
	assert_true(queue_guard_feed(&g, &conf, &fact, START + 2 * PART, &change));
	assert_int_equal(change.numbers.events, 200);
	assert_int_equal(change.numbers.recipients, 1050);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients, 850);
	/* More than are known to have been delivered then: of others none is taken. */
	fact = (struct queue_guard_fact){QUEUE_GUARD_BOUNCED, 60, START + 2 * PART, true};
	(void)queue_guard_feed(&g, &conf, &fact, START + 2 * PART, &change);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).events, 260);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).recipients, 1060);
	/* Just before the part in which they were counted. */
	feed(&g, QUEUE_GUARD_DELIVERED, 7, START + 4 * PART);
	fact = (struct queue_guard_fact){QUEUE_GUARD_BOUNCED, 7, START + 4 * PART - 1, true};
	(void)queue_guard_feed(&g, &conf, &fact, START + 4 * PART, &change);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).recipients, 1067);
	/* They leave with their part. */
	(void)queue_guard_look(&g, &conf, START + DAY + PART, &change);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).events, 67);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).recipients, 67);
	/* Mail from before a release is forgotten, and so is what becomes of it. */
	(void)queue_guard_release(&g, START + DAY + PART, &change);
	feed(&g, QUEUE_GUARD_DELIVERED, 10, START + DAY + PART);
	(void)queue_guard_feed(&g, &conf, &fact, START + DAY + PART, &change);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).events, 0);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).recipients, 10);
}

static void
test_change(void **state)
{
	struct queue_guard g = {0};
	struct queue_guard_change change;

	feed(&g, QUEUE_GUARD_DELIVERED, 920, START);
	assert_true(queue_guard_feed(
		&g, &conf, &(struct queue_guard_fact){QUEUE_GUARD_BOUNCED, 80, 0}, START, &change));
	assert_int_equal(change.from, QUEUE_GUARD_OK);
	assert_int_equal(change.to, QUEUE_GUARD_WARN);
	assert_string_equal(queue_guard_rate_text(change.rate), "bounce");
	assert_int_equal(change.limit_ppm, 50000);
	assert_int_equal(change.numbers.ppm, 80000);
	assert_int_equal(change.numbers.events, 80);
	assert_int_equal(change.numbers.recipients, 1000);
	assert_true(queue_guard_feed(
		&g, &conf, &(struct queue_guard_fact){QUEUE_GUARD_COMPLAINED, 9, 0}, START, &change));
	assert_int_equal(change.from, QUEUE_GUARD_WARN);
	assert_int_equal(change.to, QUEUE_GUARD_STOP);
	assert_string_equal(queue_guard_rate_text(change.rate), "complaint");
	assert_int_equal(change.limit_ppm, 3000);
	assert_int_equal(change.numbers.recipients, 920);
	assert_int_equal(change.numbers.ppm, 9782);
}

/* Up at the threshold, down at four fifths of it. */
static void
test_hysteresis(void **state)
{
	static const struct {
		uint32_t delivered, bounced;
		enum queue_guard_level want;
	} steps[] = {
		{940, 60, QUEUE_GUARD_WARN}, /* 6 % */
		{400, 0, QUEUE_GUARD_WARN},  /* 4.3 % */
		{90, 0, QUEUE_GUARD_WARN},   /* 4.03 % */
		{20, 0, QUEUE_GUARD_OK},     /* 3.97 % */
		{0, 10, QUEUE_GUARD_OK},     /* 4.6 %: back up only above 5 % */
		{0, 10, QUEUE_GUARD_WARN},   /* 5.2 % */
		{0, 100, QUEUE_GUARD_SLOW},  /* 11 %, short of three deviations */
		{1500, 0, QUEUE_GUARD_SLOW}, /* 5.75 % is above 4/5 of 7 % */
		{100, 0, QUEUE_GUARD_WARN},  /* 5.57 % */
		{10000, 0, QUEUE_GUARD_OK},
	};
	struct queue_guard g = {0};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		feed(&g, QUEUE_GUARD_DELIVERED, steps[i].delivered, START);
		feed(&g, QUEUE_GUARD_BOUNCED, steps[i].bounced, START);
		if (queue_guard_level(&g) != steps[i].want)
			fail_msg("step %zu: %s, %u ppm", i, queue_guard_level_text(queue_guard_level(&g)),
				queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).ppm);
	}
}

/* What is left when the window has gone by: a warning goes, a stop stays. */
static void
test_fading(void **state)
{
	struct queue_guard g = {0}, stopped = {0};
	struct queue_guard_change change;
	int64_t now_us = START;

	assert_int_equal(queue_guard_next_us(&g), INT64_MAX);
	feed(&g, QUEUE_GUARD_DELIVERED, 94, now_us);
	feed(&g, QUEUE_GUARD_BOUNCED, 6, now_us);
	assert_int_equal(queue_guard_level(&g), QUEUE_GUARD_WARN);
	while (queue_guard_next_us(&g) != INT64_MAX) {
		assert_true(queue_guard_next_us(&g) > now_us);
		now_us = queue_guard_next_us(&g);
		if (now_us < START + DAY)
			assert_false(queue_guard_look(&g, &conf, now_us, &change));
		else if (queue_guard_look(&g, &conf, now_us, &change))
			assert_int_equal(change.to, QUEUE_GUARD_OK);
		assert_true(now_us <= START + DAY + PART);
	}
	assert_int_equal(queue_guard_level(&g), QUEUE_GUARD_OK);

	feed(&stopped, QUEUE_GUARD_BOUNCED, 100, START);
	assert_int_equal(queue_guard_level(&stopped), QUEUE_GUARD_STOP);
	assert_int_equal(queue_guard_next_us(&stopped), INT64_MAX);
	feed(&stopped, QUEUE_GUARD_DELIVERED, 1000000, START + HOUR);
	assert_false(queue_guard_look(&stopped, &conf, START + 30 * DAY, &change));
	assert_int_equal(queue_guard_level(&stopped), QUEUE_GUARD_STOP);
}

static void
test_release(void **state)
{
	struct queue_guard g = {0};
	struct queue_guard_change change;
	const int64_t later = START + HOUR;

	assert_false(queue_guard_release(&g, START, &change));
	feed(&g, QUEUE_GUARD_BOUNCED, 100, START);
	assert_true(queue_guard_release(&g, later, &change));
	assert_int_equal(change.from, QUEUE_GUARD_STOP);
	assert_int_equal(change.to, QUEUE_GUARD_OK);
	assert_int_equal(change.numbers.events, 100);
	/* What comes late about mail from before counts no more. */
	assert_false(feed_sent(&g, QUEUE_GUARD_BOUNCED, 5000, later - 1, later + HOUR));
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_BOUNCE).recipients, 0);
	/* And what comes now, only from a whole new volume on. */
	assert_false(feed(&g, QUEUE_GUARD_BOUNCED, 99, later));
	assert_true(feed(&g, QUEUE_GUARD_BOUNCED, 1, later));
	assert_int_equal(queue_guard_level(&g), QUEUE_GUARD_STOP);
}

/* A small mailing after a large one is not blamed for it. */
static void
test_late_complaints(void **state)
{
	struct queue_guard g = {0};
	const int64_t small = START + DAY - HOUR, late = START + DAY + 3 * PART;

	feed(&g, QUEUE_GUARD_DELIVERED, 1000000, START);
	feed(&g, QUEUE_GUARD_DELIVERED, 1000, small);
	assert_false(feed_sent(&g, QUEUE_GUARD_COMPLAINED, 200, START, small));
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).ppm, 199);
	assert_false(feed_sent(&g, QUEUE_GUARD_COMPLAINED, 50, START, late));
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).events, 0);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients, 1000);
	assert_true(feed_sent(&g, QUEUE_GUARD_COMPLAINED, 9, small, late));
	assert_int_equal(queue_guard_level(&g), QUEUE_GUARD_STOP);
}

/* The sum lies between what is younger than the window and what is younger than the window and a part. */
static void
test_window_is_as_exact_as_promised(void **state)
{
	enum { FACTS = 600 };
	static struct {
		int64_t sent_us;
		uint32_t count;
	} facts[FACTS];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		uint64_t random = seed * 7919;
		struct queue_guard g = {0};
		int64_t now_us = START;

		for (int i = 0; i < FACTS; i++) {
			uint64_t least = 0, most = 0, is;

			now_us += (int64_t)rnd(&random, 1000) * rnd(&random, 1000) * 3600;
			facts[i].count = rnd(&random, 100);
			facts[i].sent_us =
				now_us - (rnd(&random, 3) == 0 ? (int64_t)rnd(&random, 2000) * MINUTE : 0);
			feed_sent(&g, QUEUE_GUARD_DELIVERED, facts[i].count, facts[i].sent_us, now_us);
			for (int n = 0; n <= i; n++) {
				int64_t age_us = now_us - facts[n].sent_us;

				least += age_us < DAY ? facts[n].count : 0;
				most += age_us < DAY + PART ? facts[n].count : 0;
			}
			is = queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients;
			if (is < least || is > most)
				fail_msg("seed %d, fact %d: %d is not from %d to %d", (int)seed, i, (int)is,
					(int)least, (int)most);
		}
	}
}

/* J1, J7: steps of the clock, told and untold. */
static void
test_J7_clock(void **state)
{
	struct queue_guard g = {0}, back = {0};
	struct queue_guard_change change;

	feed(&g, QUEUE_GUARD_DELIVERED, 1000, START);
	queue_guard_shift(&g, 365 * DAY);
	assert_false(queue_guard_look(&g, &conf, START + 365 * DAY + HOUR, &change));
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients, 1000);

	/* Untold and back: nothing is cleared, what comes now counts, and all of it fades in a window. */
	feed(&back, QUEUE_GUARD_DELIVERED, 1000, START);
	assert_true(feed(&back, QUEUE_GUARD_COMPLAINED, 9, START - 365 * DAY));
	assert_int_equal(queue_guard_level(&back), QUEUE_GUARD_STOP);
	assert_int_equal(queue_guard_numbers(&back, QUEUE_GUARD_COMPLAINT).recipients, 1000);
	queue_guard_look(&back, &conf, START - 364 * DAY + PART, &change);
	assert_int_equal(queue_guard_numbers(&back, QUEUE_GUARD_COMPLAINT).recipients, 0);
	assert_int_equal(queue_guard_level(&back), QUEUE_GUARD_STOP);

	/* A release from a clock that was ahead does not blind the guard for as long. */
	queue_guard_release(&back, START, &change);
	feed(&back, QUEUE_GUARD_DELIVERED, 5, START);
	feed_sent(&back, QUEUE_GUARD_DELIVERED, 6, START - DAY, START - DAY);
	assert_int_equal(queue_guard_numbers(&back, QUEUE_GUARD_COMPLAINT).recipients, 11);
}

/* A reload changes the window: counts go to the parts of the new one. */
static void
test_other_window(void **state)
{
	struct queue_guard_conf other = conf;
	struct queue_guard g = {0};
	struct queue_guard_change change;
	int64_t now_us = START + 12 * HOUR;

	for (int hour = 0; hour < 12; hour++)
		feed(&g, QUEUE_GUARD_DELIVERED, 1u << hour, START + hour * HOUR);
	other.window_us = 7 * DAY;
	queue_guard_look(&g, &other, now_us, &change);
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients, 0xfff);
	other.window_us = 6 * HOUR;
	queue_guard_look(&g, &other, now_us, &change);
	/* The last six hours, and what shared a part of seven hours with them. */
	assert_int_equal(queue_guard_numbers(&g, QUEUE_GUARD_COMPLAINT).recipients, 0xfe0);
}

/* Senders at rates of their own, a bounce or none for each recipient. */
static uint32_t
stopped_of(int senders, uint32_t bounce_ppm, uint32_t recipients, uint32_t *out_at_most)
{
	uint32_t stopped = 0;

	*out_at_most = 0;
	for (int i = 0; i < senders; i++) {
		uint64_t random = (uint64_t)(i + 1) * 104729;
		struct queue_guard g = {0};
		uint32_t n = 0;

		while (n < recipients && queue_guard_level(&g) != QUEUE_GUARD_STOP) {
			bool is_bounced = rnd(&random, QUEUE_GUARD_PPM) < bounce_ppm;

			feed(&g, is_bounced ? QUEUE_GUARD_BOUNCED : QUEUE_GUARD_DELIVERED, 1,
				START + n * SEC);
			n++;
		}
		stopped += queue_guard_level(&g) == QUEUE_GUARD_STOP;
		*out_at_most = n > *out_at_most ? n : *out_at_most;
	}
	return stopped;
}

/* Judged after each of 10,000 recipients: a good sender is never stopped by chance, a bad one soon. */
static void
test_chance(void **state)
{
	uint32_t n;

	assert_int_equal(stopped_of(100, 20000, 10000, &n), 0);
	assert_in_range(stopped_of(100, 70000, 10000, &n), 0, 2);
	assert_int_equal(stopped_of(100, 150000, 10000, &n), 100);
	assert_in_range(n, 100, 2000);
	assert_int_equal(stopped_of(100, 400000, 10000, &n), 100);
	assert_int_equal(n, 100);
}

static void
test_record(void **state)
{
	uint8_t bytes[QUEUE_GUARD_RECORD_BYTES], again[QUEUE_GUARD_RECORD_BYTES];
	uint64_t random = 3;
	struct queue_guard g = {0}, copy;
	int64_t now_us = START;

	for (int i = 0; i < 300; i++) {
		enum queue_guard_outcome outcome = rnd(&random, QUEUE_GUARD_OUTCOMES);
		uint32_t count = rnd(&random, outcome == QUEUE_GUARD_DELIVERED ? 1000 : 10);

		now_us += (int64_t)rnd(&random, 5000) * SEC;
		queue_guard_encode(&g, bytes);
		assert_int_equal(queue_guard_decode((struct queue_blob){bytes, sizeof(bytes)}, &copy), 0);
		feed(&g, outcome, count, now_us);
		feed(&copy, outcome, count, now_us);
		queue_guard_encode(&g, bytes);
		queue_guard_encode(&copy, again);
		assert_memory_equal(bytes, again, sizeof(bytes));
		assert_int_equal(queue_guard_level(&g), queue_guard_level(&copy));
	}
}

static void
test_damaged_record(void **state)
{
	uint8_t bytes[QUEUE_GUARD_RECORD_BYTES + 1];
	struct queue_guard g = {0}, copy = {.part_us = 77};
	struct queue_guard_change change;
	uint64_t random = 5;

	feed(&g, QUEUE_GUARD_DELIVERED, 10, START);
	queue_guard_encode(&g, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		if (len != QUEUE_GUARD_RECORD_BYTES)
			assert_int_equal(
				queue_guard_decode((struct queue_blob){bytes, len}, &copy), QUEUE_EDAMAGED);
	bytes[0] = 2;
	assert_int_equal(queue_guard_decode((struct queue_blob){bytes, QUEUE_GUARD_RECORD_BYTES}, &copy),
		QUEUE_EVERSION);
	assert_int_equal(copy.part_us, 77);
	/* Whatever is decoded can be used. */
	for (int i = 0; i < 2000; i++) {
		queue_guard_encode(&g, bytes);
		for (uint32_t n = rnd(&random, 8); n > 0; n--)
			bytes[1 + rnd(&random, QUEUE_GUARD_RECORD_BYTES - 1)] = (uint8_t)rnd(&random, 256);
		if (queue_guard_decode((struct queue_blob){bytes, QUEUE_GUARD_RECORD_BYTES}, &copy) == 0) {
			feed(&copy, QUEUE_GUARD_BOUNCED, 100, START + rnd(&random, 100) * HOUR);
			queue_guard_look(&copy, &conf, START, &change);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_bounced_later),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_fading),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_late_complaints),
		cmocka_unit_test(test_window_is_as_exact_as_promised),
		cmocka_unit_test(test_J7_clock),
		cmocka_unit_test(test_other_window),
		cmocka_unit_test(test_chance),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_damaged_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
