/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that went out: kept with what they were used for, taken away by age, and nothing else ever changes
 * them. */
#include "queue_issued.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_fixture.h"

/* Of the k-th moment. */
static struct queue_blob
key_of(uint32_t k, char buf[4])
{
	for (int i = 0; i < 4; i++)
		buf[i] = (char)(k >> (24 - 8 * i));
	return (struct queue_blob){buf, 4};
}

static void
issue(struct fixture *f, uint32_t k, struct queue_blob value)
{
	char buf[4];

	OK(queue_store_begin(f->store));
	OK(queue_issued_put(f->store, key_of(k, buf), value));
	OK(queue_store_commit(f->store));
}

static void
check(struct fixture *f, uint32_t k, uint8_t used, const char *want)
{
	char buf[4], got[64] = "";
	uint8_t is = 0xff;
	int len = queue_issued_get(f->store, key_of(k, buf), &is, got, sizeof got);

	assert_int_equal(len, strnlen(want, sizeof got));
	assert_memory_equal(got, want, (size_t)len);
	assert_int_equal(is, used);
}

static int
use(struct fixture *f, uint32_t k, uint8_t bits, uint8_t *out_before)
{
	char buf[4];

	return queue_issued_use(f->store, key_of(k, buf), bits, out_before);
}

static uint64_t
count_of(struct fixture *f)
{
	uint64_t count;

	OK(queue_issued_count(f->store, &count));
	return count;
}

static void
test_used_once(void **state)
{
	struct fixture *f = *state;
	uint8_t before = 0xff;

	issue(f, 7, BLOB("a@y.example"));
	check(f, 7, 0, "a@y.example");
	OK(queue_store_begin(f->store));
	OK(use(f, 7, 2, &before));
	assert_int_equal(before, 0);
	OK(use(f, 7, 2, &before)); /* a second one in the same transaction */
	assert_int_equal(before, 2);
	OK(use(f, 7, 1, &before));
	assert_int_equal(before, 2);
	assert_int_equal(use(f, 8, 1, &before), QUEUE_ENOTFOUND);
	OK(queue_store_commit(f->store));
	check(f, 7, 3, "a@y.example");
	stop(f);
	start(f);
	check(f, 7, 3, "a@y.example");
}

static void
test_abort_uses_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t before;

	issue(f, 7, BLOB("a"));
	OK(queue_store_begin(f->store));
	OK(use(f, 7, 2, &before));
	queue_store_abort(f->store);
	check(f, 7, 0, "a");
}

/* What it was used for stays, whatever is said of it later. */
static void
test_change(void **state)
{
	struct fixture *f = *state;
	uint8_t before;
	char buf[4];

	issue(f, 7, BLOB("accepted"));
	OK(queue_store_begin(f->store));
	OK(use(f, 7, 2, &before));
	OK(queue_issued_change(f->store, key_of(7, buf), BLOB("delivered by a source")));
	assert_int_equal(queue_issued_change(f->store, key_of(8, buf), BLOB("x")), QUEUE_ENOTFOUND);
	assert_int_equal(
		queue_issued_change(f->store, key_of(7, buf), (struct queue_blob){"", 0}), QUEUE_EINVAL);
	OK(queue_store_commit(f->store));
	check(f, 7, 2, "delivered by a source");
	assert_int_equal(count_of(f), 1);
}

struct walk {
	char seen[64];
	int stop_after, count;
};

static bool
on_entry(void *arg, struct queue_blob key, uint8_t used, struct queue_blob value)
{
	struct walk *w = arg;
	size_t len = strnlen(w->seen, sizeof w->seen);

	assert_int_equal(key.len, 4);
	snprintf(w->seen + len, sizeof w->seen - len, "%.*s%u ", (int)value.len, (const char *)value.ptr,
		used);
	return ++w->count != w->stop_after;
}

static void
test_walk(void **state)
{
	static const struct {
		uint32_t from, before, max;
		int stop_after;
		const char *want;
	} cases[] = {
		{0, 100, 100, 0, "a0 b4 c0 d0 "},
		{2, 4, 100, 0, "b4 c0 "},
		{3, 3, 100, 0, ""},
		{5, 100, 100, 0, ""},
		{0, 100, 2, 0, "a0 b4 "},
		{0, 100, 100, 3, "a0 b4 c0 "},
	};
	struct fixture *f = *state;
	char from[4], before[4];
	uint8_t old;

	for (uint32_t k = 1; k <= 4; k++)
		issue(f, k, (struct queue_blob){&"abcd"[k - 1], 1});
	OK(queue_store_begin(f->store));
	OK(use(f, 2, 4, &old));
	OK(queue_store_commit(f->store));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct walk w = {.stop_after = cases[i].stop_after};
		int got = queue_issued_walk(f->store, key_of(cases[i].from, from),
			key_of(cases[i].before, before), cases[i].max, on_entry, &w);

		assert_string_equal(w.seen, cases[i].want);
		assert_int_equal(got, w.count);
	}
}

static void
test_refused(void **state)
{
	static char long_text[QUEUE_EVENT_MAX + 1];
	static const struct {
		const char *name;
		size_t key_len, value_len;
		int want;
	} cases[] = {
		{"the longest", QUEUE_ISSUED_KEY_MAX, QUEUE_EVENT_MAX, 0},
		{"no key", 0, 1, QUEUE_EINVAL},
		{"a key too long", QUEUE_ISSUED_KEY_MAX + 1, 1, QUEUE_EINVAL},
		{"no value", 1, 0, QUEUE_EINVAL},
		{"a value too long", 1, QUEUE_EVENT_MAX + 1, QUEUE_EINVAL},
	};
	struct fixture *f = *state;

	OK(queue_store_begin(f->store));
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(queue_issued_put(f->store, (struct queue_blob){long_text, cases[i].key_len},
					 (struct queue_blob){long_text, cases[i].value_len}),
			cases[i].want);
	OK(queue_store_commit(f->store));
	assert_int_equal(count_of(f), 1);
}

/* In any order, also over pages; the oldest go, in portions. */
static void
test_sweep(void **state)
{
	enum { COUNT = QUEUE_ISSUED_SWEEP_MAX + 1000 };
	struct fixture *f = *state;
	char buf[4];

	OK(queue_store_begin(f->store));
	for (uint32_t i = 0; i < COUNT; i++) /* neighbours pass each other, as messages do */
		OK(queue_issued_put(f->store, key_of(i ^ 3, buf), BLOB("somebody@y.example")));
	OK(queue_store_commit(f->store));
	assert_int_equal(count_of(f), COUNT);
	OK(queue_store_begin(f->store));
	assert_int_equal(queue_issued_sweep(f->store, key_of(10, buf)), 10);
	assert_int_equal(queue_issued_sweep(f->store, key_of(10, buf)), 0);
	assert_int_equal(queue_issued_sweep(f->store, key_of(COUNT - 5, buf)), QUEUE_ISSUED_SWEEP_MAX);
	OK(queue_store_commit(f->store));
	OK(queue_store_begin(f->store));
	assert_int_equal(
		queue_issued_sweep(f->store, key_of(COUNT - 5, buf)), COUNT - 15 - QUEUE_ISSUED_SWEEP_MAX);
	OK(queue_store_commit(f->store));
	assert_int_equal(count_of(f), 5);
	check(f, COUNT - 5, 0, "somebody@y.example");
	assert_int_equal(
		queue_issued_get(f->store, key_of(COUNT - 6, buf), (uint8_t *)buf, buf, 0), QUEUE_ENOTFOUND);
}

/* Pages are filled: what a token costs is its own bytes and little more. */
static void
test_pages_are_full(void **state)
{
	enum { COUNT = 20000, VALUE = 200, KEY = 13 };
	struct fixture *f = *state;
	struct queue_space before, after;
	char value[VALUE] = {0}, key[KEY] = {0};

	OK(queue_store_space(f->store, &before));
	OK(queue_store_begin(f->store));
	for (uint32_t i = 0; i < COUNT; i++) {
		(void)key_of(i % 64 == 1 ? i - 1 : i % 64 == 0 ? i + 1 : i, key);
		OK(queue_issued_put(
			f->store, (struct queue_blob){key, KEY}, (struct queue_blob){value, VALUE}));
	}
	OK(queue_store_commit(f->store));
	OK(queue_store_space(f->store, &after));
	assert_int_equal(count_of(f), COUNT);
	assert_in_range(after.used_bytes - before.used_bytes, COUNT * (VALUE + KEY),
		(uint64_t)COUNT * (VALUE + KEY + 9 + 10) * 13 / 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_used_once),
		CASE(test_abort_uses_nothing),
		CASE(test_change),
		CASE(test_walk),
		CASE(test_refused),
		CASE(test_sweep),
		CASE(test_pages_are_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
