/* SPDX-License-Identifier: Apache-2.0 */
/* Rates: exact in every window, whatever comes when; long ones over crashes too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "queue_names.h"
#include "queue_rate.h"

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* --- short windows --- */

struct taken {
	int64_t at_us, n;
};

/* Windows that begin at each taking: no other can hold more. Half open, as long as the rate's. */
static int64_t
fullest_window(const struct taken *t, size_t count, int64_t per_us)
{
	int64_t sum = 0, most = 0;
	size_t first = 0, i;

	for (i = 0; i < count; i++) {
		sum += t[i].n;
		while (t[i].at_us - t[first].at_us >= per_us)
			sum -= t[first++].n;
		most = sum > most ? sum : most;
	}
	return most;
}

/* Demand without end, met late by up to late_us; and now and then a pause. */
static void
run_short(enum queue_unit unit, int64_t count, int64_t per_us, int64_t late_us, int64_t batch,
	int least_percent)
{
	enum { TAKINGS = 4000 };
	static struct taken t[TAKINGS];
	struct queue_meter m;
	uint64_t state = (uint64_t)count * 7919 + (uint64_t)per_us;
	int64_t now_us = START, total = 0, idle_us = 0;
	size_t i;

	queue_meter_init(&m, unit, (struct queue_rate){count, per_us});
	for (i = 0; i < TAKINGS; i++) {
		int64_t room = queue_meter_room(&m, now_us, 0);

		assert_true(room > 0);
		t[i] = (struct taken){now_us, batch < room ? batch : room};
		queue_meter_take(&m, now_us, t[i].n);
		total += t[i].n;
		if (next_random(&state) % 100 == 0) {
			idle_us += 3 * per_us;
			now_us += 3 * per_us;
		}
		if (queue_meter_ready_us(&m, now_us, 0) > now_us) {
			assert_int_equal(queue_meter_room(&m, now_us, 0), 0);
			now_us = queue_meter_ready_us(&m, now_us, 0) +
				 (int64_t)(next_random(&state) % (uint64_t)(late_us + 1));
		}
	}
	assert_true(fullest_window(t, TAKINGS, per_us) <= count);
	/* And not much slower than it may be. */
	assert_true(total * per_us * 100 >=
		    count * (t[TAKINGS - 1].at_us - START - idle_us - per_us) * least_percent);
}

static void
test_short(void **state)
{
	static const struct {
		enum queue_unit unit;
		int64_t count, per_us, late_us, batch;
		int least_percent;
	} cases[] = {
		{QUEUE_UNIT_MESSAGES, 1, SEC, 0, 1, 100},
		{QUEUE_UNIT_MESSAGES, 10, SEC, 0, 1, 100},
		{QUEUE_UNIT_MESSAGES, 10, SEC, 1000, 1, 98},
		{QUEUE_UNIT_MESSAGES, 100, SEC, 0, 1, 99},
		{QUEUE_UNIT_MESSAGES, 100, SEC, 1000, 1, 99},
		{QUEUE_UNIT_MESSAGES, 5000, SEC, 1000, 1, 99},
		{QUEUE_UNIT_MESSAGES, 7, 10 * SEC, 500, 1, 99},
		{QUEUE_UNIT_MESSAGES, 999983, 59 * SEC, 500, 1, 99},
		{QUEUE_UNIT_CONNECTIONS, 300, 30 * SEC, 500, 1, 98},
		{QUEUE_UNIT_RECIPIENTS, 1, SEC, 0, 5, 100},
		{QUEUE_UNIT_RECIPIENTS, 100, SEC, 500, 50, 89},
		{QUEUE_UNIT_RECIPIENTS, 100, SEC, 500, 1, 89},
		{QUEUE_UNIT_RECIPIENTS, 3000, 10 * SEC, 500, 1000, 89},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_short(cases[i].unit, cases[i].count, cases[i].per_us, cases[i].late_us, cases[i].batch,
			cases[i].least_percent);
}

static void
test_short_random(void **state)
{
	uint64_t seed = 42;
	int i;

	for (i = 0; i < 300; i++)
		run_short((enum queue_unit)(next_random(&seed) % 3),
			1 + (int64_t)(next_random(&seed) % 20000),
			(1 + (int64_t)(next_random(&seed) % 59)) * SEC, (int64_t)(next_random(&seed) % 2000),
			1 + (int64_t)(next_random(&seed) % 300), 0);
}

/* A message is sent whole; the next waits until its bytes are paid for. */
static void
test_bytes(void **state)
{
	struct queue_meter m;

	queue_meter_init(&m, QUEUE_UNIT_BYTES, (struct queue_rate){1000000, SEC});
	assert_true(queue_meter_room(&m, START, 0) > 5000000);
	queue_meter_take(&m, START, 5000000);
	assert_int_equal(queue_meter_room(&m, START, 0), 0);
	assert_int_equal(queue_meter_ready_us(&m, START, 0), START + 5 * SEC);
	assert_true(queue_meter_room(&m, START + 5 * SEC, 0) > 0);
}

static void
test_short_give_back(void **state)
{
	struct queue_meter m;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, 10 * SEC});
	queue_meter_take(&m, START, 1);
	assert_int_equal(queue_meter_ready_us(&m, START, 0), START + 10 * SEC);
	queue_meter_give_back(&m, START, START + SEC, 1);
	assert_int_equal(queue_meter_room(&m, START + SEC, 0), 1);
	/* What is given back after its time changes nothing. */
	queue_meter_give_back(&m, START, START + 30 * SEC, 1);
	assert_int_equal(queue_meter_room(&m, START + 30 * SEC, 0), 1);
}

/* What came after it kept its distance: the room is not there any more. */
static void
test_short_give_back_late(void **state)
{
	struct queue_meter m;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, 10 * SEC});
	queue_meter_take(&m, START, 1);
	queue_meter_take(&m, START + 10 * SEC, 1);
	queue_meter_give_back(&m, START, START + 11 * SEC, 1);
	assert_int_equal(queue_meter_ready_us(&m, START + 11 * SEC, 0), START + 20 * SEC);
	queue_meter_give_back(&m, START + 10 * SEC, START + 11 * SEC, 1);
	assert_int_equal(queue_meter_room(&m, START + 11 * SEC, 0), 1);
}

/* What went at the old rate counts for the new one: its window has to be clear of it first. */
static void
test_short_lowered(void **state)
{
	struct queue_meter m;
	int64_t last_us = 0;
	int i;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){100, 10 * SEC});
	for (i = 0; i < 50; i++) {
		last_us = START + i * SEC / 10;
		queue_meter_take(&m, last_us, 1);
	}
	queue_meter_set_count(&m, 1);
	assert_int_equal(queue_meter_ready_us(&m, last_us, 0), last_us + 10 * SEC);
	queue_meter_give_back(&m, last_us, last_us + SEC, 1);
	assert_int_equal(queue_meter_ready_us(&m, last_us, 0), last_us + 10 * SEC);
	/* Raised: at once as fast as that. */
	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, 10 * SEC});
	queue_meter_take(&m, START, 1);
	queue_meter_set_count(&m, 100);
	assert_int_equal(queue_meter_ready_us(&m, START, 0), START + 10 * SEC);
	assert_int_equal(queue_meter_over_us(&m), START + 10 * SEC);
}

/* --- long windows --- */

static void
write_down(struct queue_meter *m, int64_t now_us)
{
	if (queue_meter_ask(m, now_us, true))
		queue_meter_written(m, false);
}

static void
test_long(void **state)
{
	struct queue_meter m;
	int64_t hour = START - START % HOUR, now_us = hour + 10 * MINUTE;
	int i;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){3, HOUR});
	/* Nothing before the disk knows. */
	assert_int_equal(queue_meter_room(&m, now_us, 0), 0);
	assert_int_equal(queue_meter_room_unwritten(&m, now_us, 0), 3);
	assert_int_equal(queue_meter_ready_us(&m, now_us, 0), INT64_MAX);
	for (i = 0; i < 3; i++) {
		write_down(&m, now_us);
		assert_int_equal(queue_meter_room(&m, now_us, 0), 1);
		queue_meter_take(&m, now_us, 1);
	}
	assert_false(queue_meter_ask(&m, now_us, true));
	assert_int_equal(queue_meter_ready_us(&m, now_us, 0), hour + HOUR);
	assert_int_equal(queue_meter_room_unwritten(&m, hour + HOUR - 1, 0), 0);
	assert_int_equal(queue_meter_room_unwritten(&m, hour + HOUR, 0), 3);
	/* One was not used after all: in its window it counts, later it does not. */
	queue_meter_give_back(&m, now_us, now_us, 1);
	assert_int_equal(queue_meter_room(&m, now_us, 0), 1);
	queue_meter_take(&m, now_us, 1);
	now_us = hour + HOUR + SEC;
	write_down(&m, now_us);
	queue_meter_take(&m, now_us, 1);
	queue_meter_give_back(&m, hour + 10 * MINUTE, now_us, 1);
	assert_int_equal(queue_meter_room_unwritten(&m, now_us, 0), 2);
}

/* A limit that came while mail was out knows nothing of that mail. */
static void
test_long_from(void **state)
{
	struct queue_meter m;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){3, HOUR});
	m.from_us = START + SEC;
	write_down(&m, START + 2 * SEC);
	queue_meter_take(&m, START + 2 * SEC, 1);
	queue_meter_give_back(&m, START, START + 3 * SEC, 1);
	assert_int_equal(queue_meter_room_unwritten(&m, START + 3 * SEC, 0), 2);
	queue_meter_give_back(&m, START + 2 * SEC, START + 3 * SEC, 1);
	assert_int_equal(queue_meter_room_unwritten(&m, START + 3 * SEC, 0), 3);
}

/* Much was given back: the disk is told, or a crash would waste it. */
static void
test_long_given_back(void **state)
{
	enum { COUNT = 6400, STEP = COUNT / QUEUE_METER_STEPS };
	struct queue_meter m;
	int i;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){COUNT, HOUR});
	for (i = 0; i < 1000; i++) {
		write_down(&m, START);
		queue_meter_take(&m, START, 1);
	}
	while (queue_meter_wants_write(&m, START))
		write_down(&m, START);
	queue_meter_give_back(&m, START, START, STEP);
	assert_false(queue_meter_wants_write(&m, START));
	queue_meter_give_back(&m, START, START, 1000 - STEP);
	assert_true(queue_meter_wants_write(&m, START));
	assert_true(queue_meter_ask(&m, START, false));
	assert_int_equal(m.asked, STEP);
	/* Until it is written nothing goes that the new word does not cover. */
	assert_int_equal(queue_meter_room(&m, START, 0), STEP);
	queue_meter_written(&m, false);
	assert_false(queue_meter_wants_write(&m, START));
}

/* What is only for urgent mail. */
static void
test_long_reserve(void **state)
{
	struct queue_meter m;
	int64_t hour = START - START % HOUR;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){10, HOUR});
	while (queue_meter_room_unwritten(&m, START, 2) > 0) {
		write_down(&m, START);
		queue_meter_take(&m, START, 1);
	}
	assert_int_equal(m.used, 8);
	assert_int_equal(queue_meter_ready_us(&m, START, 2), hour + HOUR);
	write_down(&m, START);
	assert_int_equal(queue_meter_room(&m, START, 0), 1);
}

/* Raised and lowered within a window: at once. */
static void
test_long_count_changes(void **state)
{
	struct queue_meter m;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){2, HOUR});
	write_down(&m, START);
	queue_meter_take(&m, START, 1);
	write_down(&m, START);
	queue_meter_take(&m, START, 1);
	assert_int_equal(queue_meter_room_unwritten(&m, START, 0), 0);
	queue_meter_set_count(&m, 5);
	assert_int_equal(queue_meter_room_unwritten(&m, START, 0), 3);
	queue_meter_set_count(&m, 1);
	assert_int_equal(queue_meter_room_unwritten(&m, START, 0), 0);
}

/* Crashed at any moment, with a write under way or not: the window never sees more than the count, and a
 * crash costs no more than what was asked ahead. */
static void
run_crashes(int64_t count, uint64_t seed)
{
	enum { CRASHES = 100 };
	int64_t day = START - START % DAY, now_us = day, sent = 0, disk_at_us = 0, disk_count = 0, wasted = 0;
	struct queue_meter m;
	int crashes = 0;

	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){count, DAY});
	while (queue_meter_room_unwritten(&m, now_us, 0) > 0) {
		bool is_asked = queue_meter_ask(&m, now_us, true);
		int64_t ahead;

		if (is_asked &&
			next_random(&seed) % 2 == 0) { /* what was asked for may be on disk all the same */
			disk_at_us = m.at_us;
			disk_count = m.asked;
		}
		if (crashes < CRASHES && next_random(&seed) % 3 == 0) {
			crashes++;
			ahead = disk_count - m.used;
			wasted += ahead > 0 ? ahead : 0;
			queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){count, DAY});
			if (disk_at_us != 0)
				queue_meter_restore(&m, disk_at_us, disk_count, now_us);
			continue;
		}
		if (is_asked) {
			disk_at_us = m.at_us;
			disk_count = m.asked;
			queue_meter_written(&m, false);
		}
		if (queue_meter_room(&m, now_us, 0) > 0) {
			queue_meter_take(&m, now_us, 1);
			sent++;
		}
		now_us += SEC;
		assert_true(now_us < day + DAY);
	}
	assert_true(sent <= count);
	assert_true(sent + wasted >= count);
	assert_true(wasted <= crashes * (count / QUEUE_METER_STEPS + 1));
}

static void
test_long_crashes(void **state)
{
	uint64_t seed;

	for (seed = 1; seed <= 100; seed++)
		run_crashes(1 + (int64_t)(seed * seed * 7 % 20000), seed);
}

/* --- the clock --- */

static void
test_clock(void **state)
{
	struct queue_meter m;

	/* Back by a day, told: what was due in ten seconds still is. */
	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, 10 * SEC});
	queue_meter_take(&m, START, 1);
	queue_meter_move(&m, -DAY);
	assert_int_equal(queue_meter_ready_us(&m, START - DAY, 0), START - DAY + 10 * SEC);
	/* Ahead by a day: the window goes with it and gives no second allowance. */
	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, DAY});
	write_down(&m, START);
	queue_meter_take(&m, START, 1);
	queue_meter_move(&m, DAY);
	assert_int_equal(queue_meter_room_unwritten(&m, START + DAY, 0), 0);
	/* Read from a disk whose clock was ahead: it counts for today, and today ends today. */
	queue_meter_init(&m, QUEUE_UNIT_MESSAGES, (struct queue_rate){1, DAY});
	queue_meter_restore(&m, START - START % DAY + 3 * DAY, 1, START);
	assert_int_equal(queue_meter_room_unwritten(&m, START, 0), 0);
	assert_int_equal(queue_meter_room_unwritten(&m, START - START % DAY + DAY, 0), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_short_random),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_short_give_back),
		cmocka_unit_test(test_short_give_back_late),
		cmocka_unit_test(test_short_lowered),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_long_from),
		cmocka_unit_test(test_long_given_back),
		cmocka_unit_test(test_long_reserve),
		cmocka_unit_test(test_long_count_changes),
		cmocka_unit_test(test_long_crashes),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
