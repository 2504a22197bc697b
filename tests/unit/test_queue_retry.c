/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_names.h"
#include "queue_retry.h"

static void
test_add(void **state)
{
	assert_int_equal(queue_retry_add(START, HOUR), START + HOUR);
	assert_int_equal(queue_retry_add(START, 0), START);
	assert_int_equal(queue_retry_add(-5, 3), -2);
	assert_int_equal(queue_retry_add(START, INT64_MAX), INT64_MAX);
	assert_int_equal(queue_retry_add(INT64_MAX, 1), INT64_MAX);
}

/* J7: no clock and no setting makes a time turn round, or into "none". */
static void
test_J7_move(void **state)
{
	assert_int_equal(queue_retry_move(START, HOUR), START + HOUR);
	assert_int_equal(queue_retry_move(START, -HOUR), START - HOUR);
	assert_int_equal(queue_retry_move(0, HOUR), 0);
	assert_int_equal(queue_retry_move(INT64_MAX, -HOUR), INT64_MAX);
	assert_int_equal(queue_retry_move(INT64_MAX - 1, HOUR), INT64_MAX);
	assert_int_equal(queue_retry_move(HOUR, -DAY), 1);
}

static void
test_jitter(void **state)
{
	static const struct {
		int64_t wait_us;
		uint32_t percent, random;
		int64_t want_us;
	} cases[] = {
		{1000, 0, 0, 1000},
		{1000, 0, UINT32_MAX, 1000},
		{1000, 20, 0, 800},
		{1000, 20, UINT32_MAX, 1200},
		{1000, 20, UINT32_MAX / 2, 999},
		{1000, 100, 0, 0},
		{1000, 100, UINT32_MAX, 2000},
		{1000, 500, 0, 0}, /* no more than all of it */
		{0, 20, UINT32_MAX, 0},
		{INT64_MAX, 20, UINT32_MAX, INT64_MAX},
		{INT64_MAX, 0, 0, INT64_MAX},
		{30 * DAY, 10, UINT32_MAX, 33 * DAY},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(queue_retry_jitter(cases[i].wait_us, cases[i].percent, cases[i].random),
			cases[i].want_us);
}

static void
test_wait(void **state)
{
	static const int64_t waits[] = {5, 15, -3, 60};
	const struct queue_policy p = {.retry_us = waits, .retry_count = 4},
				  one = {.retry_us = waits, .retry_count = 1};
	static const int64_t want[] = {5, 5, 15, 0, 60, 60, 60};
	uint32_t i;

	for (i = 0; i < 7; i++)
		assert_int_equal(queue_retry_wait(&p, i), want[i]);
	assert_int_equal(queue_retry_wait(&one, 65535), 5);
}

static void
test_longest(void **state)
{
	static const int64_t short_waits[] = {MINUTE, HOUR}, long_waits[] = {2 * DAY, HOUR};
	struct queue_policy p = {.retry_us = short_waits, .retry_count = 2};

	assert_int_equal(queue_retry_longest(&p, 0), DAY);
	assert_int_equal(queue_retry_longest(&p, 50), DAY + 12 * HOUR);
	p.uncertain_retry_us = 3 * DAY;
	assert_int_equal(queue_retry_longest(&p, 0), 3 * DAY);
	p.uncertain_retry_us = 0;
	p.retry_us = long_waits;
	assert_int_equal(queue_retry_longest(&p, 0), 2 * DAY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_J7_move),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
