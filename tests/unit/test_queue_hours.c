/* SPDX-License-Identifier: Apache-2.0 */
/* Windows against a clock on a wall that is asked minute by minute; zones of our own making. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_hours.h"
#include "queue_names.h"

#define MONDAY  (INT64_C(1767571200) * SEC) /* 2026-01-05 00:00 UTC */
#define WEEKEND (1 << 5 | 1 << 6)
#define AHEAD   (QUEUE_HOURS_AHEAD_DAYS * DAY)

/* An hour ahead; on the first Sunday at 01:00 UTC the clocks go to two, on the second back again. */
static const struct queue_hours_change changes[] = {
	{MONDAY - 365 * DAY, 3600}, {MONDAY + 6 * DAY + HOUR, 7200}, {MONDAY + 13 * DAY + HOUR, 3600}};
static const struct queue_hours_zone utc = {NULL, 0}, zone = {changes, 3};

static const struct {
	const char *name;
	uint16_t from_min, to_min;
	uint8_t days;
	bool has_zone;
	int64_t at_us; /* from Monday on */
	bool want;
	int64_t want_until_us;
} cases[] = {
	{"before", 600, 720, 127, false, 9 * HOUR, false, 10 * HOUR},
	{"at its first moment", 600, 720, 127, false, 10 * HOUR, true, 12 * HOUR},
	{"inside", 600, 720, 127, false, 11 * HOUR + 1, true, 12 * HOUR},
	{"at its last moment", 600, 720, 127, false, 12 * HOUR - 1, true, 12 * HOUR},
	{"behind", 600, 720, 127, false, 12 * HOUR, false, DAY + 10 * HOUR},
	{"over midnight, evening", 1320, 420, 127, false, 23 * HOUR, true, DAY + 7 * HOUR},
	{"over midnight, morning", 1320, 420, 127, false, 3 * HOUR, true, 7 * HOUR},
	{"over midnight, day", 1320, 420, 127, false, 12 * HOUR, false, 22 * HOUR},
	{"to midnight", 1320, 1440, 127, false, 23 * HOUR, true, DAY},
	{"days that follow each other", 0, 1440, WEEKEND, false, 5 * DAY + HOUR, true, 7 * DAY},
	{"before the weekend", 0, 1440, WEEKEND, false, HOUR, false, 5 * DAY},
	{"Friday's night ends on Saturday", 1320, 420, 1 << 4, false, 5 * DAY + HOUR, true,
		5 * DAY + 7 * HOUR},
	{"Thursday's is none", 1320, 420, 1 << 4, false, 4 * DAY + HOUR, false, 4 * DAY + 22 * HOUR},
	{"Sunday's night ends on Monday", 1320, 420, 1 << 6, false, HOUR, true, 7 * HOUR},
	{"no day at all", 1320, 420, 0, false, HOUR, false, HOUR + AHEAD},
	{"all week", 0, 1440, 127, false, HOUR, true, HOUR + AHEAD},
	{"in its zone", 1320, 420, 127, true, 21 * HOUR, true, DAY + 6 * HOUR},
	{"an hour before, in its zone", 1320, 420, 127, true, 21 * HOUR - 1, false, 21 * HOUR},
	{"the night that lost an hour", 1320, 420, 127, true, 5 * DAY + 21 * HOUR, true, 6 * DAY + 5 * HOUR},
	{"the night that has one twice", 1320, 420, 127, true, 12 * DAY + 20 * HOUR, true,
		13 * DAY + 6 * HOUR},
	{"in the hour that is left out", 130, 170, 127, true, 6 * DAY, false, 7 * DAY + 10 * MINUTE},
	{"over the hour that is left out", 90, 210, 127, true, 6 * DAY + 30 * MINUTE, true,
		6 * DAY + 90 * MINUTE},
	{"in the hour that comes twice, first", 130, 170, 127, true, 13 * DAY + 15 * MINUTE, true,
		13 * DAY + 50 * MINUTE},
	{"in the hour that comes twice, between", 130, 170, 127, true, 13 * DAY + 55 * MINUTE, false,
		13 * DAY + 70 * MINUTE},
	{"in the hour that comes twice, second", 130, 170, 127, true, 13 * DAY + 75 * MINUTE, true,
		13 * DAY + 110 * MINUTE},
	{"ends in the hour that comes twice", 60, 150, 127, true, 13 * DAY, true, 13 * DAY + 30 * MINUTE},
	{"and goes on in it", 60, 150, 127, true, 13 * DAY + 40 * MINUTE, false, 13 * DAY + HOUR},
};

static void
test_windows(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct queue_hours_window w = {
			cases[i].from_min, cases[i].to_min, cases[i].days, cases[i].has_zone ? &zone : &utc};
		int64_t until_us;
		bool is = queue_hours_quiet(&(struct queue_hours){&w, 1}, MONDAY + cases[i].at_us, &until_us);

		if (is != cases[i].want || until_us != MONDAY + cases[i].want_until_us)
			fail_msg("%s: %s for %lld s, not %lld", cases[i].name, is ? "quiet" : "not quiet",
				(long long)((until_us - MONDAY - cases[i].at_us) / SEC),
				(long long)((cases[i].want_until_us - cases[i].at_us) / SEC));
	}
}

static void
test_none(void **state)
{
	int64_t until_us;

	assert_false(queue_hours_quiet(&(struct queue_hours){NULL, 0}, MONDAY, &until_us));
	assert_int_equal(until_us, MONDAY + AHEAD);
	assert_false(queue_hours_quiet(&(struct queue_hours){NULL, 0}, INT64_MAX - 5, &until_us));
	assert_int_equal(until_us, INT64_MAX);
}

static uint32_t
rnd(uint64_t *random, uint32_t n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 20) % n;
}

/* What the clock on the wall shows, counted on from where it was a minute ago. */
struct wall {
	int weekday, minute;
};

static void
wall_tick(struct wall *w, int64_t at_us, const struct queue_hours_zone *z)
{
	int step = 1;

	for (uint32_t i = 1; i < z->count; i++)
		if (z->changes[i].from_us == at_us)
			step += (z->changes[i].offset_s - z->changes[i - 1].offset_s) / 60;
	w->minute += step;
	if (w->minute < 0 || w->minute >= 1440)
		w->weekday = (w->weekday + (w->minute < 0 ? 6 : 1)) % 7;
	w->minute = (w->minute + 1440) % 1440;
}

static bool
wall_is_quiet(const struct wall *wall, const struct queue_hours_window *w)
{
	bool today = (w->days >> wall->weekday & 1) != 0,
	     yesterday = (w->days >> (wall->weekday + 6) % 7 & 1) != 0;

	if (w->from_min < w->to_min)
		return today && wall->minute >= w->from_min && wall->minute < w->to_min;
	return (today && wall->minute >= w->from_min) || (yesterday && wall->minute < w->to_min);
}

/* Three windows at random in two zones, three weeks with both changes, every minute: the same answer, and
 * what was promised to last does. */
static void
test_against_the_wall(void **state)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		uint64_t random = seed * 7919;
		struct queue_hours_window windows[3];
		struct wall walls[2] = {{0, 0}, {0, 60}};
		int64_t until_us = MONDAY, until;
		bool was = false;

		for (int i = 0; i < 3; i++) {
			windows[i] = (struct queue_hours_window){(uint16_t)rnd(&random, 1440),
				(uint16_t)(1 + rnd(&random, 1440)), (uint8_t)rnd(&random, 128),
				rnd(&random, 2) == 0 ? &zone : &utc};
			windows[i].to_min += windows[i].to_min == windows[i].from_min;
		}
		for (int64_t t = MONDAY; t < MONDAY + 21 * DAY; t += MINUTE) {
			bool want = false,
			     is = queue_hours_quiet(&(struct queue_hours){windows, 3}, t, &until);

			for (int i = 0; i < 3; i++)
				want |= wall_is_quiet(&walls[windows[i].zone == &zone], &windows[i]);
			if (is != want || (t < until_us && (is != was || until < until_us)) ||
				(t == until_us && t > MONDAY && is == was && until_us - t < AHEAD &&
					until < t + DAY))
				fail_msg("seed %d, minute %d: %d, want %d", (int)seed,
					(int)((t - MONDAY) / MINUTE), is, want);
			was = is;
			until_us = until;
			wall_tick(&walls[0], t + MINUTE, &utc);
			wall_tick(&walls[1], t + MINUTE, &zone);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_against_the_wall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
