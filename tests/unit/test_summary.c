/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summary: counts add up, percentiles are near those of a sorted list, and memory has an end.
 */
#include "report/summary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HOUR_US  INT64_C(3600000000)
#define NOON_US  INT64_C(1793534400000000) /* 2026-11-01 12:00:00 */

static int
compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Times from a millisecond to weeks. */
static void
test_percentiles(void **state)
{
	enum { N = 20000 };
	static const double shares[] = {0, 0.01, 0.5, 0.9, 0.95, 0.999, 1};
	int64_t *sorted = malloc(N * sizeof(*sorted));
	struct summary_times t = {0};
	uint64_t seed = 1;

	assert_int_equal(summary_times_at(&t, 0.5), -1);
	for (int i = 0; i < N; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		sorted[i] = (int64_t)((seed >> 33) % 2000 + 1) << (seed >> 40) % 31;
		assert_true(summary_times_add(&t, sorted[i]));
	}
	qsort(sorted, N, sizeof(*sorted), compare);
	for (size_t i = 0; i < COUNT(shares); i++) {
		size_t at = shares[i] < 1 ? (size_t)(shares[i] * N) : N - 1;
		int64_t have = summary_times_at(&t, shares[i]), away = llabs(have - sorted[at]);

		if (away > sorted[at] / 50 && away > 1000)
			fail_msg("%g: %lld, not %lld", shares[i], (long long)have, (long long)sorted[at]);
	}
	summary_times_fini(&t);
	free(sorted);
}

static void
test_extreme_times(void **state)
{
	struct summary_times t = {0};

	assert_true(summary_times_add(&t, -5 * HOUR_US));
	assert_true(summary_times_at(&t, 1) < 1000);
	assert_true(summary_times_add(&t, INT64_MAX));
	assert_true(summary_times_at(&t, 1) > 24 * HOUR_US);
	assert_int_equal(t.count, 2);
	summary_times_fini(&t);
}

static struct record
record_of(enum record_type type, int64_t logged_us, const char *class)
{
	struct record r = {.type = type, .logged_us = logged_us, .queued_us = NOON_US};

	r.field[RECORD_CATEGORY] = (struct queue_blob){"category", 8};
	if (class != NULL)
		r.field[RECORD_CLASS] = (struct queue_blob){class, strlen(class)};
	return r;
}

static void
test_counts(void **state)
{
	struct summary *s = summary_create();
	const struct {
		enum record_type type;
		int hour;
		const char *class, *key;
	} cases[] = {
		{RECORD_RECEIVED, 0, NULL, "a"},
		{RECORD_TRANSIENT, 0, "greylisted", "a"},
		{RECORD_DELIVERED, 1, NULL, "a"},
		{RECORD_BOUNCED, 3, "bad-mailbox", "b"},
		{RECORD_BOUNCED, 2, "bad-mailbox", "a"},
		{RECORD_BOUNCED, 2, NULL, "b"},
		{RECORD_REMOTE, 2, "bad-mailbox", "a"},
		{RECORD_COMPLAINT, 9, NULL, ""},
		{RECORD_UNSUBSCRIBED, 9, NULL, NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct record r =
			record_of(cases[i].type, NOON_US + cases[i].hour * HOUR_US + 1, cases[i].class);

		assert_true(
			summary_add(s, &r, cases[i].key, cases[i].key != NULL ? strlen(cases[i].key) : 0));
	}
	for (int type = 0; type < RECORD_TYPE_COUNT; type++)
		assert_int_equal(s->total.counts[type], type == RECORD_BOUNCED ? 3 : 1);
	assert_int_equal(s->group_count, 3);
	assert_string_equal(s->groups[1]->key, "b");
	assert_int_equal(s->groups[1]->counts[RECORD_BOUNCED], 2);
	assert_int_equal(s->groups[1]->counts[RECORD_DELIVERED], 0);
	assert_string_equal(s->groups[2]->key, "");
	assert_int_equal(s->class_count, 3);
	assert_string_equal(s->classes[1].name, "bad-mailbox");
	assert_int_equal(s->classes[1].bounced, 2);
	assert_int_equal(s->classes[1].remote, 1);
	assert_int_equal(s->classes[0].deferred, 1);
	assert_string_equal(s->classes[2].name, "category");
	assert_int_equal(s->groups[1]->bounced[1], 1);
	assert_int_equal(s->total.bounced[1], 2);
	assert_int_equal(s->least_hour, NOON_US / HOUR_US);
	assert_int_equal(s->most_hour, NOON_US / HOUR_US + 3);
	assert_int_equal(s->hours[s->least_hour - s->first_hour + 2].bounced, 2);
	assert_int_equal(s->hours[s->least_hour - s->first_hour + 1].delivered, 1);
	assert_int_equal(s->first_us, NOON_US + 1);
	assert_int_equal(s->last_us, NOON_US + 9 * HOUR_US + 1);
	assert_true(llabs(summary_times_at(&s->groups[0]->times, 0.5) - HOUR_US) < HOUR_US / 50);
	summary_destroy(&s);
}

/* More groups, classes and years than there is room for. */
static void
test_bounds(void **state)
{
	struct summary *s = summary_create();
	uint64_t sum = 0;
	char key[400];

	for (int i = 0; i < SUMMARY_GROUPS_MAX + 1000; i++) {
		struct record r;

		snprintf(key, sizeof(key), "k%d", i);
		r = record_of(RECORD_BOUNCED, NOON_US + (i % 100) * 8766 * HOUR_US, key);
		assert_true(summary_add(s, &r, key, strlen(key)));
	}
	assert_int_equal(s->group_count, SUMMARY_GROUPS_MAX);
	assert_int_equal(s->rest.counts[RECORD_BOUNCED], 1000);
	assert_int_equal(s->class_count, SUMMARY_CLASSES_MAX);
	for (size_t i = 0; i < s->class_count; i++)
		sum += s->classes[i].bounced;
	assert_int_equal(sum, s->total.counts[RECORD_BOUNCED]);
	memset(key, 'x', sizeof(key));
	{
		struct record r = record_of(RECORD_DELIVERED, NOON_US, NULL);

		assert_true(summary_add(s, &r, "k7", 2));
		assert_true(summary_add(s, &r, key, sizeof(key)));
	}
	assert_int_equal(s->groups[7]->counts[RECORD_DELIVERED], 1);
	summary_destroy(&s);
}

/* NUL in a name is a byte like others. */
static void
test_keys_are_bytes(void **state)
{
	struct summary *s = summary_create();
	struct record r = record_of(RECORD_DELIVERED, NOON_US, NULL);

	assert_true(
		summary_add(s, &r, "a\0b", 3) && summary_add(s, &r, "a\0c", 3) && summary_add(s, &r, "a", 1));
	assert_int_equal(s->group_count, 3);
	summary_destroy(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_extreme_times),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_keys_are_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
