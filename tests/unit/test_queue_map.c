/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_map.h"

enum { NODES = 3000 };

static void
test_insert_find_remove(void **state)
{
	static struct queue_map_node nodes[NODES];
	struct queue_map_node *n, *next;
	struct queue_map m;
	uint64_t i, seen = 0;

	assert_int_equal(queue_map_init(&m), QUEUE_OK);
	assert_null(queue_map_each(&m, NULL));
	for (i = 0; i < NODES; i++)
		queue_map_insert(&m, &nodes[i], i * 64); /* the same chain in a small table */
	for (i = 0; i < NODES; i++)
		assert_ptr_equal(queue_map_find(&m, i * 64), &nodes[i]);
	assert_null(queue_map_find(&m, 1));
	for (i = 0; i < NODES; i += 2)
		queue_map_remove(&m, &nodes[i]);
	for (i = 0; i < NODES; i++)
		assert_ptr_equal(queue_map_find(&m, i * 64), i % 2 == 0 ? NULL : &nodes[i]);
	for (n = queue_map_each(&m, NULL); n != NULL; n = next) { /* removing on the way */
		next = queue_map_each(&m, n);
		queue_map_remove(&m, n);
		seen++;
	}
	assert_int_equal(seen, NODES / 2);
	assert_int_equal(m.count, 0);
	queue_map_fini(&m);
}

static void
test_equal_hashes(void **state)
{
	struct queue_map_node a, b, c, *n;
	struct queue_map m;
	int found = 0;

	assert_int_equal(queue_map_init(&m), QUEUE_OK);
	queue_map_insert(&m, &a, 5);
	queue_map_insert(&m, &b, 5);
	queue_map_insert(&m, &c, 5 + 64); /* the same chain, another hash */
	for (n = queue_map_find(&m, 5); n != NULL; n = queue_map_find_next(n)) {
		assert_true(n == &a || n == &b);
		found++;
	}
	assert_int_equal(found, 2);
	queue_map_fini(&m);
}

static void
test_hash(void **state)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog";
	uint64_t seen[sizeof(text)];
	size_t i, k;

	for (i = 0; i < sizeof(text); i++) {
		seen[i] = queue_map_hash(42, (struct queue_blob){text, i});
		assert_int_equal(seen[i], queue_map_hash(42, (struct queue_blob){text, i}));
		assert_int_not_equal(seen[i], queue_map_hash(43, (struct queue_blob){text, i}));
		for (k = 0; k < i; k++)
			assert_int_not_equal(seen[i], seen[k]);
	}
	/* Length counts, zero bytes do not hide. */
	assert_int_not_equal(queue_map_hash(1, (struct queue_blob){"a\0", 1}),
		queue_map_hash(1, (struct queue_blob){"a\0", 2}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insert_find_remove),
		cmocka_unit_test(test_equal_hashes),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
