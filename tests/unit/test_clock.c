/* SPDX-License-Identifier: Apache-2.0 */
/* A wall clock that is set, and one that only drifts. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SEC  INT64_C(1000000)
#define YEAR (365 * 86400 * SEC)

struct hands {
	int64_t wall_us, mono_us;
};

static int64_t
wall(void *arg)
{
	return ((struct hands *)arg)->wall_us;
}

static int64_t
mono(void *arg)
{
	return ((struct hands *)arg)->mono_us;
}

static void
test_steps(void **state)
{
	static const struct {
		const char *name;
		int64_t wall_us, mono_us, want_us;
	} cases[] = {
		{"the first look", 0, 0, 0},
		{"time passes", SEC, SEC, 0},
		{"J5 stopped for an hour", 3600 * SEC, 3600 * SEC, 0},
		{"J8 a leap second", 2 * SEC, SEC, 0},
		{"J8 and one taken back", 0, SEC, 0},
		{"a slew of an hour, by and by", 3601 * SEC, 3600 * SEC, 0},
		{"J1 a year ahead", YEAR + SEC, SEC, YEAR},
		{"J1 once only", SEC, SEC, 0},
		{"J2 a day back", -86400 * SEC, 0, -86400 * SEC},
		{"J5 suspended for an hour", 3600 * SEC, 0, 3600 * SEC},
		{"J7 far beyond 2038", 300 * YEAR, 0, 300 * YEAR},
	};
	struct hands h = {1700000000 * SEC, 5 * SEC};
	const struct clock c = {wall, mono, NULL, &h};
	struct clock_watch w = {0};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t step_us = -1;

		h.wall_us += cases[i].wall_us;
		h.mono_us += cases[i].mono_us;
		print_message("%s\n", cases[i].name);
		assert_int_equal(clock_watch_now(&w, &c, &step_us), h.wall_us);
		assert_int_equal(step_us, cases[i].want_us);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
