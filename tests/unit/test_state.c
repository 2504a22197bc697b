/* SPDX-License-Identifier: Apache-2.0 */
/* state: what a consumer had come to is what it goes on from; records of before and damaged ones. */
#include "report/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void
fill_name(char name[CONF_CONSUMER_NAME_MAX + 1], char letter, size_t n)
{
	memset(name, letter, CONF_CONSUMER_NAME_MAX);
	name[CONF_CONSUMER_NAME_MAX] = '\0';
	name[0] = (char)('A' + n % 26);
	name[1] = (char)('A' + n / 26);
}

/* All files there can be, with the longest names, and so many outlets. */
static struct state
full(size_t outlets)
{
	struct state st = {.spool_id = 0xabcdef0123456789, .files_seq = 1000};

	snprintf(st.files[1].name, sizeof(st.files[1].name), "/json");
	for (st.file_count = 2; st.file_count < STATE_FILES_MAX; st.file_count++)
		fill_name(st.files[st.file_count].name, 'f', st.file_count);
	for (size_t i = 0; i < st.file_count; i++)
		st.files[i].mark = (struct file_mark){i + 1, i << 40};
	for (; st.outlet_count < outlets; st.outlet_count++) {
		fill_name(st.outlets[st.outlet_count].name, 'o', st.outlet_count);
		st.outlets[st.outlet_count].seq = 900 + st.outlet_count;
	}
	return st;
}

static void
assert_same(const struct state *a, const struct state *b)
{
	assert_true(a->spool_id == b->spool_id && a->files_seq == b->files_seq);
	assert_int_equal(a->file_count, b->file_count);
	assert_int_equal(a->outlet_count, b->outlet_count);
	for (size_t i = 0; i < a->file_count; i++) {
		assert_string_equal(a->files[i].name, b->files[i].name);
		assert_true(a->files[i].mark.inode == b->files[i].mark.inode);
		assert_true(a->files[i].mark.offset == b->files[i].mark.offset);
	}
	for (size_t i = 0; i < a->outlet_count; i++) {
		assert_string_equal(a->outlets[i].name, b->outlets[i].name);
		assert_true(a->outlets[i].seq == b->outlets[i].seq);
	}
}

static void
test_round_trip(void **state)
{
	static const size_t outlets[] = {0, 1, 17, CONF_CONSUMERS_MAX};
	char buf[STATE_BYTES_MAX];

	for (size_t i = 0; i < sizeof(outlets) / sizeof(outlets[0]); i++) {
		struct state in = full(outlets[i]), out;
		size_t n = state_encode(&in, buf);

		assert_true(n <= sizeof(buf));
		assert_true(state_decode((struct queue_blob){buf, n}, 5, &out));
		assert_same(&in, &out);
		/* Cut or lengthened anywhere it is refused, and *out stays as it was. */
		for (size_t len = 0; len < n; len++)
			assert_false(state_decode((struct queue_blob){buf, len}, 5, &out));
		buf[n] = 0;
		assert_false(state_decode((struct queue_blob){buf, n + 1}, 5, &out));
		assert_same(&in, &out);
	}
}

/* As the program wrote it that knew two files. */
static void
test_version_1(void **state)
{
	struct {
		uint32_t version, reserved;
		struct file_mark csv, json;
	} old = {1, 0, {11, 12}, {21, 22}};
	struct state st;

	assert_true(state_decode((struct queue_blob){&old, sizeof(old)}, 77, &st));
	assert_true(st.files_seq == 77 && st.spool_id == 0 && st.outlet_count == 0);
	assert_true(state_file_find(&st, "")->mark.inode == 11);
	assert_true(state_file_find(&st, "/json")->mark.offset == 22);
	assert_null(state_file_find(&st, "other"));
	assert_false(state_decode((struct queue_blob){&old, sizeof(old) - 1}, 77, &st));
	old.version = 3;
	assert_false(state_decode((struct queue_blob){&old, sizeof(old)}, 77, &st));
}

static void
test_cut_is_what_all_have(void **state)
{
	struct state st = full(3);

	assert_true(state_cut(&st) == 900);
	state_outlet_find(&st, st.outlets[0].name)->seq = 2000;
	assert_true(state_cut(&st) == 901);
	st.outlets[1].seq = st.outlets[2].seq = 3000;
	assert_true(state_cut(&st) == 1000);
	st.outlet_count = 0;
	assert_true(state_cut(&st) == 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_cut_is_what_all_have),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
