/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_heap.h"

enum { NODES = 500 };

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void
test_empty(void **state)
{
	struct queue_heap_node n = {0};
	struct queue_heap h;

	queue_heap_init(&h);
	assert_int_equal(queue_heap_first_us(&h), INT64_MAX);
	assert_null(queue_heap_first(&h));
	assert_int_equal(queue_heap_at(&h, &n), INT64_MAX);
	queue_heap_set(&h, &n, INT64_MAX); /* out of a heap it is not in */
	assert_int_equal(queue_heap_reserve(&h, UINT64_C(1) << 40), QUEUE_ENOMEM);
	assert_int_equal(queue_heap_reserve(&h, 1), QUEUE_OK);
	queue_heap_set(&h, &n, 5);
	assert_ptr_equal(queue_heap_first(&h), &n);
	queue_heap_set(&h, &n, INT64_MAX);
	assert_null(queue_heap_first(&h));
	queue_heap_fini(&h);
}

/* Against a plain array: set, move and take out at random, the first is the least after each. */
static void
test_against_array(void **state)
{
	struct queue_heap_node nodes[NODES] = {0};
	int64_t at[NODES];
	uint32_t random = 7;
	struct queue_heap h;
	int step, i;

	queue_heap_init(&h);
	assert_int_equal(queue_heap_reserve(&h, NODES), QUEUE_OK);
	for (i = 0; i < NODES; i++)
		at[i] = INT64_MAX;
	for (step = 0; step < 20000; step++) {
		int64_t least = INT64_MAX;

		i = (int)(next_random(&random) % NODES);
		at[i] = next_random(&random) % 4 == 0 ? INT64_MAX : (int64_t)(next_random(&random) % 300);
		queue_heap_set(&h, &nodes[i], at[i]);
		assert_int_equal(queue_heap_at(&h, &nodes[i]), at[i]);
		for (i = 0; i < NODES; i++)
			least = at[i] < least ? at[i] : least;
		assert_int_equal(queue_heap_first_us(&h), least);
		if (least != INT64_MAX)
			assert_int_equal(at[queue_heap_first(&h) - nodes], least);
	}
	for (i = 0; i < NODES; i++)
		queue_heap_set(&h, &nodes[i], INT64_MAX);
	assert_null(queue_heap_first(&h));
	queue_heap_fini(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty), cmocka_unit_test(test_against_array)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
