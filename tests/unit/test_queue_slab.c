/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_slab.h"

enum { OBJECTS = 3000, STEPS = 60000 };

static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static size_t
usable_count(const struct queue_slabs *s)
{
	const struct queue_link *l;
	size_t count = 0, i;

	for (i = 0; i < QUEUE_SLAB_SIZES; i++)
		for (l = s->usable[i].next; l != &s->usable[i]; l = l->next)
			count++;
	return count;
}

static bool
is_all(const unsigned char *p, size_t size, unsigned char value)
{
	for (; size > 0; size--)
		if (*p++ != value)
			return false;
	return true;
}

/* At random: what is given is zero and aligned, and nobody else writes into it. */
static void
check_kept(size_t slab_bytes)
{
	static struct {
		unsigned char *p;
		size_t size;
	} objects[OBJECTS];
	struct queue_slabs s;
	uint32_t random = 5;
	size_t step, i;

	queue_slabs_init(&s, slab_bytes);
	for (step = 0; step < STEPS; step++) {
		i = next_random(&random) % OBJECTS;
		if (objects[i].p != NULL) {
			assert_true(is_all(objects[i].p, objects[i].size, (unsigned char)i));
			queue_slabs_free(&s, objects[i].p, objects[i].size);
			objects[i].p = NULL;
			continue;
		}
		objects[i].size = 1 + next_random(&random) % (QUEUE_SLAB_OBJECT_MAX + 40);
		if (i % 2 == 0)
			objects[i].size = 160; /* many of one size */
		objects[i].p = queue_slabs_alloc(&s, objects[i].size);
		assert_non_null(objects[i].p);
		assert_int_equal((uintptr_t)objects[i].p % sizeof(int64_t), 0);
		assert_true(is_all(objects[i].p, objects[i].size, 0));
		memset(objects[i].p, (int)(unsigned char)i, objects[i].size);
	}
	for (i = 0; i < OBJECTS; i++) {
		if (objects[i].p == NULL)
			continue;
		assert_true(is_all(objects[i].p, objects[i].size, (unsigned char)i));
		queue_slabs_free(&s, objects[i].p, objects[i].size);
		objects[i].p = NULL;
	}
	assert_true(usable_count(&s) <= QUEUE_SLAB_SIZES);
	queue_slabs_fini(&s);
	assert_int_equal(usable_count(&s), 0);
}

static void
test_objects_keep_what_is_theirs(void **state)
{
	check_kept(4096);
	check_kept(QUEUE_SLAB_BYTES);
	check_kept(0);
}

/* What was freed last is used first, and slabs go when they are empty, but for the last one. */
static void
test_slabs_come_and_go(void **state)
{
	enum { SIZE = 200, COUNT = 100 };
	struct queue_slabs s;
	void *p[COUNT], *again;
	int i;

	queue_slabs_init(&s, 4096);
	for (i = 0; i < COUNT; i++)
		assert_non_null(p[i] = queue_slabs_alloc(&s, SIZE));
	assert_int_equal(usable_count(&s), 1); /* the others are full */
	queue_slabs_free(&s, p[COUNT - 1], SIZE);
	assert_non_null(again = queue_slabs_alloc(&s, SIZE + 8)); /* of the same step */
	assert_ptr_equal(again, p[COUNT - 1]);
	for (i = 0; i < COUNT; i += 2)
		queue_slabs_free(&s, p[i], SIZE);
	assert_in_range(usable_count(&s), 5, 7);
	for (i = 1; i < COUNT; i += 2)
		queue_slabs_free(&s, p[i], SIZE);
	assert_int_equal(usable_count(&s), 1);
	queue_slabs_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_keep_what_is_theirs),
		cmocka_unit_test(test_slabs_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
