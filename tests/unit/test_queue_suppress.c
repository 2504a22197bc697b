/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of addresses in the spool: what is committed is found by prefix and in order, also after a restart;
 * what is aborted is not; the count that lets readers pass is the one of the last commit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_suppress.h"
#include "store_fixture.h"

static struct queue_blob
blob(const char *s)
{
	return (struct queue_blob){s, strnlen(s, 600)};
}

static void
add(struct fixture *f, const char *key, const char *value, int64_t expires_us)
{
	const struct queue_suppress_entry e = {expires_us, blob(value)};

	OK(queue_suppress_put(f->store, QUEUE_SUPPRESS_LIST, blob(key), &e, true));
}

/* Keys and values in the order they were shown: "a=1 b=2 ". */
struct shown {
	char text[400];
	size_t len;
	uint32_t most;
	int64_t expires_us;
};

static bool
see(void *arg, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct shown *s = arg;

	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, "%.*s=%.*s ", (int)key.len,
		(const char *)key.ptr, e->value.ptr != NULL ? (int)e->value.len : 1,
		e->value.ptr != NULL ? (const char *)e->value.ptr : "?");
	s->expires_us = e->expires_us;
	return s->most == 0 || --s->most > 0;
}

static bool
see_found(void *arg, uint32_t i, struct queue_blob key, const struct queue_suppress_entry *e)
{
	struct shown *s = arg;

	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, "%u:", i);
	return see(arg, key, e);
}

static void
check_scan(
	struct fixture *f, enum queue_suppress_list list, const char *after, uint32_t limit, const char *want)
{
	struct shown s = {0};

	assert_true(queue_suppress_scan(f->store, list, blob(after), limit, see, &s) >= 0);
	assert_string_equal(s.text, want);
}

static void
fill_list(struct fixture *f)
{
	OK(queue_store_begin(f->store));
	add(f, "b@x", "2", 0);
	add(f, "a@x|shop", "1", 50);
	add(f, "a@x|", "0", 0);
	add(f, "a@xy|", "3", 0);
	OK(queue_store_commit(f->store));
}

static void
test_what_is_committed_is_found(void **state)
{
	static const struct {
		const char *prefixes[2];
		const char *want;
	} cases[] = {
		{{"a@x|", "b"}, "0:a@x|=0 0:a@x|shop=1 1:b@x=2 "},
		{{"c", "a@xy"}, "1:a@xy|=3 "},
		{{"z", "0"}, ""},
	};
	struct fixture *f = *state;

	fill_list(f);
	stop(f);
	start(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct queue_blob prefixes[] = {blob(cases[i].prefixes[0]), blob(cases[i].prefixes[1])};
		struct shown s = {0};

		assert_true(
			queue_suppress_find(f->store, QUEUE_SUPPRESS_LIST, prefixes, 2, see_found, &s) >= 0);
		assert_string_equal(s.text, cases[i].want);
	}
	check_scan(f, QUEUE_SUPPRESS_LIST, "", 10, "a@xy|=3 a@x|=0 a@x|shop=1 b@x=2 ");
	check_scan(f, QUEUE_SUPPRESS_LIST, "a@x|", 2, "a@x|shop=1 b@x=2 ");
	check_scan(f, QUEUE_SUPPRESS_LIST, "a@x|a", 1, "a@x|shop=1 ");
	check_scan(f, QUEUE_SUPPRESS_STRIKES, "", 10, "");
}

static void
test_time_and_value_are_kept(void **state)
{
	struct shown s = {.most = 1};
	struct fixture *f = *state;

	OK(queue_store_begin(f->store));
	add(f, "a", "one", INT64_C(1) << 50);
	add(f, "a", "two", -5);
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_suppress_scan(f->store, QUEUE_SUPPRESS_LIST, blob(""), 9, see, &s), 1);
	assert_string_equal(s.text, "a=two ");
	assert_int_equal(s.expires_us, -5);
}

static void
test_the_count_is_that_of_the_last_commit(void **state)
{
	const struct queue_suppress_entry e = {0, BLOB("2")};
	struct fixture *f = *state;

	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 0);
	OK(queue_store_begin(f->store));
	add(f, "a", "1", 0);
	add(f, "a", "2", 0);
	OK(queue_suppress_put(f->store, QUEUE_SUPPRESS_STRIKES, blob("b"), &e, false));
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 0);
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_STRIKES), 1);
	OK(queue_store_begin(f->store));
	add(f, "c", "1", 0);
	queue_store_abort(f->store);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
	check_scan(f, QUEUE_SUPPRESS_LIST, "", 9, "a=2 ");
	stop(f);
	start(f);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
	OK(queue_store_begin(f->store));
	OK(queue_suppress_delete(f->store, QUEUE_SUPPRESS_LIST, blob("a")));
	assert_int_equal(queue_suppress_delete(f->store, QUEUE_SUPPRESS_LIST, blob("a")), QUEUE_ENOTFOUND);
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 0);
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_STRIKES), 1);
}

static void
test_inside_the_transaction(void **state)
{
	struct queue_suppress_entry e;
	struct fixture *f = *state;

	OK(queue_store_begin(f->store));
	assert_int_equal(queue_suppress_get(f->store, QUEUE_SUPPRESS_LIST, blob("a"), &e), QUEUE_ENOTFOUND);
	add(f, "a", "1", 7);
	OK(queue_suppress_get(f->store, QUEUE_SUPPRESS_LIST, blob("a"), &e));
	assert_int_equal(e.expires_us, 7);
	assert_int_equal(e.value.len, 1);
	assert_memory_equal(e.value.ptr, "1", 1);
	OK(queue_store_commit(f->store));
}

static void
test_what_does_not_fit_is_refused(void **state)
{
	static const struct {
		size_t key, value;
		int want;
	} cases[] = {
		{QUEUE_SUPPRESS_KEY_MAX, QUEUE_SUPPRESS_VALUE_MAX, 0},
		{QUEUE_SUPPRESS_KEY_MAX + 1, 1, QUEUE_EINVAL},
		{1, QUEUE_SUPPRESS_VALUE_MAX + 1, QUEUE_EINVAL},
		{0, 1, QUEUE_EINVAL},
		{1, 0, QUEUE_EINVAL},
	};
	static const char bytes[QUEUE_SUPPRESS_KEY_MAX + 1] = "k";
	struct fixture *f = *state;

	OK(queue_store_begin(f->store));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct queue_suppress_entry e = {0, {bytes, cases[i].value}};

		assert_int_equal(queue_suppress_put(f->store, QUEUE_SUPPRESS_LIST,
					 (struct queue_blob){bytes, cases[i].key}, &e, true),
			cases[i].want);
	}
	OK(queue_store_commit(f->store));
	assert_int_equal(queue_suppress_count(f->store, QUEUE_SUPPRESS_LIST), 1);
}

/* New entries are as new mail to a full disk; those that mail brings when it ends are not. */
static void
test_a_full_spool(void **state)
{
	const struct queue_suppress_entry e = {0, BLOB("v")};
	struct fixture *f = *state;

	queue_store_set_limits(f->store, &(struct queue_store_limits){.spool_bytes_max = 1});
	OK(queue_store_begin(f->store));
	assert_int_equal(
		queue_suppress_put(f->store, QUEUE_SUPPRESS_LIST, blob("a"), &e, true), QUEUE_ENOSPACE);
	OK(queue_suppress_put(f->store, QUEUE_SUPPRESS_LIST, blob("b"), &e, false));
	OK(queue_store_commit(f->store));
	check_scan(f, QUEUE_SUPPRESS_LIST, "", 9, "b=v ");
}

/* One bit of an entry flips: it is still there to be seen, without what it said. */
static void
test_a_damaged_entry_is_shown_without_value(void **state)
{
	struct queue_suppress_entry e;
	struct fixture *f = *state;
	struct queue_words words;
	struct queue_lmdb *lmdb;
	struct queue_lmdb_tx tx;
	void *room;

	fill_list(f);
	stop(f);
	OK(queue_lmdb_open(f->dir, UINT64_C(1) << 30, false, &words, &lmdb));
	OK(queue_lmdb_begin(lmdb, true, &tx));
	OK(queue_lmdb_open_table(&tx, QUEUE_TABLE_SUPPRESS, false));
	OK(queue_lmdb_put(&tx, QUEUE_TABLE_SUPPRESS, blob("a@x|"), 4, &room));
	memcpy(room, "junk", 4);
	OK(queue_lmdb_commit(&tx));
	queue_lmdb_close(&lmdb);
	start(f);
	check_scan(f, QUEUE_SUPPRESS_LIST, "", 9, "a@xy|=3 a@x|=? a@x|shop=1 b@x=2 ");
	OK(queue_store_begin(f->store));
	assert_int_equal(queue_suppress_get(f->store, QUEUE_SUPPRESS_LIST, blob("a@x|"), &e), QUEUE_EDAMAGED);
	add(f, "a@x|", "new", 0);
	OK(queue_store_commit(f->store));
	check_scan(f, QUEUE_SUPPRESS_LIST, "a@xy|", 1, "a@x|=new ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_is_committed_is_found),
		CASE(test_time_and_value_are_kept),
		CASE(test_the_count_is_that_of_the_last_commit),
		CASE(test_inside_the_transaction),
		CASE(test_what_does_not_fit_is_refused),
		CASE(test_a_full_spool),
		CASE(test_a_damaged_entry_is_shown_without_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
