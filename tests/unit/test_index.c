/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index: what it finds is what reading the whole file finds, however often and wherever the file has grown;
 * of a file that is another one by now it says nothing.
 */
#include "report/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "records_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { LINE = 128, ENOUGH = 12000, PEOPLE = 1000 }; /* 1.5 MB: worth an index */

/* Records n to n + count, each to one of PEOPLE in turn. */
static char *
write_records(int n, int count, const char *head, size_t *out_len)
{
	char *bytes = malloc((size_t)count * LINE + 200);
	size_t len = (size_t)sprintf(bytes, "%s", head);

	for (int i = n; i < n + count; i++)
		len += (size_t)sprintf(bytes + len,
			"d,2026-11-01 12:00:00,%06d,Person.%d@x.test,<m%d@x.test>,%x,%050d\n", i, i % PEOPLE,
			i / 4, i, 0);
	*out_len = len;
	return bytes;
}

static const char head[] = "type,timeLogged,jobId,rcpt,header_Message-Id,message,x\n";

static void
grow(struct folder *f, const char *name, int n, int count, const char *first)
{
	size_t len;
	char *bytes = write_records(n, count, first, &len);

	put(f, name, bytes, len);
	free(bytes);
}

static bool
is_one(const struct record *r, const char *address)
{
	const struct queue_blob *b = &r->field[RECORD_RCPT];

	return b->len == strlen(address) && strncasecmp(b->ptr, address, b->len) == 0;
}

/* Records of an address by what the index says, and by reading what it does not cover. The sum of their
 * numbers is left in *out_sum. */
static int
look(struct folder *f, const char *name, uint64_t key, const char *address, int64_t *out_sum,
	uint64_t *out_covered)
{
	struct records *r = records_create();
	struct index_found found;
	struct record rec;
	char why[200];
	int count = 0;

	*out_sum = 0;
	assert_true(records_open(r, path_of(f, name), why, sizeof(why)));
	index_find(r, f->path, &key, 1, &found);
	for (size_t i = 0; i < found.count; i++) {
		assert_true(i == 0 || found.offsets[i] > found.offsets[i - 1]);
		assert_true(found.offsets[i] < found.covered);
		if (records_at(r, found.offsets[i], &rec) > 0 && (address == NULL || is_one(&rec, address))) {
			count++;
			*out_sum += strtol(rec.field[RECORD_JOB].ptr, NULL, 10);
		}
	}
	if (address != NULL) {
		assert_true(records_seek(r, found.covered));
		while (records_next(r, &rec, why, sizeof(why)) > 0)
			if (is_one(&rec, address)) {
				count++;
				*out_sum += strtol(rec.field[RECORD_JOB].ptr, NULL, 10);
			}
	}
	if (out_covered != NULL)
		*out_covered = found.covered;
	index_found_free(&found);
	records_destroy(&r);
	return count;
}

/* Lines with one of the keys. */
static int
look_all(struct folder *f, const char *name, const uint64_t *keys, size_t key_count)
{
	struct records *r = records_create();
	struct index_found found;
	struct record rec;
	char why[200];
	int count = 0;

	assert_true(records_open(r, path_of(f, name), why, sizeof(why)));
	index_find(r, f->path, keys, key_count, &found);
	for (size_t i = 0; i < found.count; i++)
		count += records_at(r, found.offsets[i], &rec);
	index_found_free(&found);
	records_destroy(&r);
	return count;
}

static int
look_for(struct folder *f, const char *name, const char *address, int64_t *out_sum, uint64_t *out_covered)
{
	return look(f, name, index_key(INDEX_RCPT, address, strlen(address)), address, out_sum, out_covered);
}

static bool
is_there(struct folder *f, const char *name)
{
	return access(path_of(f, name), F_OK) == 0;
}

static uint64_t
size_of(struct folder *f, const char *name)
{
	struct stat st;

	assert_int_equal(stat(path_of(f, name), &st), 0);
	return (uint64_t)st.st_size;
}

static void
test_finds(void **state)
{
	const uint64_t twice[] = {
		index_key(INDEX_MESSAGE, "2ee", 3), index_key(INDEX_RCPT, "person.750@x.test", 17)};
	struct folder *f = *state;
	int64_t sum;
	uint64_t covered;

	grow(f, "a", 0, ENOUGH, head);
	for (int i = 0; i < 2; i++) { /* made, and there already */
		assert_int_equal(look_for(f, "a", "person.7@X.TEST", &sum, &covered), 12);
		assert_int_equal(sum, 12 * 7 + PEOPLE * (11 * 12 / 2));
		assert_int_equal(covered, size_of(f, "a"));
	}
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, NULL), 0);
	assert_int_equal(look(f, "a", index_key(INDEX_MESSAGE_ID, "m2@x.test", 9), NULL, &sum, NULL), 4);
	assert_int_equal(look(f, "a", index_key(INDEX_MESSAGE_ID, "<M2@x.test>", 11), NULL, &sum, NULL), 4);
	assert_int_equal(look(f, "a", index_key(INDEX_MESSAGE, "2EE", 3), NULL, &sum, NULL), 1);
	assert_int_equal(sum, 0x2ee);
	assert_int_equal(look_all(f, "a", twice, 2), 12);
	/* Kinds do not mix. */
	assert_int_equal(look(f, "a", index_key(INDEX_RCPT, "2ee", 3), NULL, &sum, NULL), 0);
}

static void
test_small_files_have_none(void **state)
{
	struct folder *f = *state;
	int64_t sum;
	uint64_t covered;

	grow(f, "a", 0, 2000, head);
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 2);
	assert_int_equal(covered, 0);
	assert_false(is_there(f, "a.idx"));
}

/* A little more is read, much more goes into the index; a head line in between holds for what is behind it.
 */
static void
test_grows(void **state)
{
	static const char other[] = "header_Message-Id,type,timeLogged,jobId,rcpt,message,x\n";
	struct folder *f = *state;
	uint64_t first, covered;
	int64_t sum;

	grow(f, "a", 0, ENOUGH, head);
	(void)look_for(f, "a", "person.7@x.test", &sum, &first);
	grow(f, "a", ENOUGH, 1000, "");
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 13);
	assert_int_equal(covered, first);
	grow(f, "a", ENOUGH + 1000, ENOUGH - 1000, "");
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 24);
	assert_int_equal(sum, 24 * 7 + PEOPLE * (23 * 24 / 2));
	assert_int_equal(covered, size_of(f, "a"));
	/* A line that is half written is not covered; when it is whole it is found. */
	put(f, "a", "d,2026-11-01 12:00:00,024000,nob", 32);
	grow(f, "a", 0, 0, "");
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, NULL), 0);
	put(f, "a", "ody@x.test,,,\n", 14);
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, NULL), 1);
	put(f, "a", other, strlen(other));
	put(f, "a", "<m>,d,2026-11-01 12:00:00,5,nobody@x.test,,\n", 44);
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, NULL), 2);
	assert_int_equal(sum, 24005);
	grow(f, "a", 0, ENOUGH, head);
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, &covered), 2);
	assert_int_equal(sum, 24005);
	assert_int_equal(covered, size_of(f, "a"));
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, NULL), 36);
}

/* The head line was the last one when the index was made. */
static void
test_head_at_the_end(void **state)
{
	static const char other[] = "rcpt,type,jobId\n";
	struct folder *f = *state;
	int64_t sum;

	grow(f, "a", 0, ENOUGH, head);
	put(f, "a", other, strlen(other));
	(void)look_for(f, "a", "person.7@x.test", &sum, NULL);
	put(f, "a", "nobody@x.test,d,3\n", 18);
	assert_int_equal(look_for(f, "a", "nobody@x.test", &sum, NULL), 1);
	assert_int_equal(sum, 3);
}

static void
test_compressed(void **state)
{
	struct folder *f = *state;
	size_t len;
	char *bytes = write_records(0, ENOUGH, head, &len);
	uint64_t covered;
	int64_t sum;

	put_compressed(f, "a.gz", bytes, len);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(look_for(f, "a.gz", "person.7@x.test", &sum, &covered), 12);
		assert_int_equal(sum, 12 * 7 + PEOPLE * (11 * 12 / 2));
		assert_int_equal(covered, len);
	}
	assert_true(is_there(f, "a.gz.idx"));
	free(bytes);
}

/* What is found far behind is read from there: what stands in between may be anything by now. */
static void
test_compressed_from_its_middle(void **state)
{
	static const char last[] = "d,2026-11-01 12:00:00,7,Last.One@x.test,<l@x.test>,ffff,x\n";
	enum { LINES = 60000 };
	struct folder *f = *state;
	size_t len;
	char *bytes = write_records(0, LINES, head, &len), zeros[4096] = {0};
	struct timespec times[2];
	uint64_t covered;
	struct stat st;
	int64_t sum;
	int fd;

	memcpy(bytes + len, last, sizeof(last));
	put_compressed(f, "a.gz", bytes, len + sizeof(last) - 1);
	assert_int_equal(look_for(f, "a.gz", "last.one@x.test", &sum, &covered), 1);
	assert_int_equal(covered, len + sizeof(last) - 1);
	/* The head line has to be there. */
	fd = open(path_of(f, "a.gz"), O_WRONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), st.st_size / 3), sizeof(zeros));
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	assert_int_equal(look_for(f, "a.gz", "last.one@x.test", &sum, &covered), 1);
	assert_int_equal(sum, 7);
	free(bytes);
}

/* Another file at its place, or the same one cut and written anew. */
static void
test_stale(void **state)
{
	struct folder *f = *state;
	uint64_t covered;
	int64_t sum;
	char old[420];

	grow(f, "a", 0, ENOUGH, head);
	(void)look_for(f, "a", "person.7@x.test", &sum, NULL);
	snprintf(old, sizeof(old), "%s.1", path_of(f, "a"));
	assert_int_equal(rename(f->path, old), 0);
	grow(f, "a", 500, ENOUGH, head);
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, NULL), 12);
	assert_int_equal(sum, 12 * 7 + PEOPLE * (12 * 13 / 2));
	assert_int_equal(truncate(path_of(f, "a"), 0), 0);
	grow(f, "a", 501, ENOUGH + 5, head);
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 12);
	assert_int_equal(covered, size_of(f, "a"));
	assert_int_equal(truncate(path_of(f, "a"), 300), 0);
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 0);
	assert_int_equal(covered, 0);
}

/* Whatever stands in its place: then all is read. */
static void
test_damaged(void **state)
{
	struct folder *f = *state;
	uint64_t size, covered;
	int64_t sum;

	grow(f, "a", 0, ENOUGH, head);
	(void)look_for(f, "a", "person.7@x.test", &sum, NULL);
	size = size_of(f, "a.idx");
	for (uint64_t len = 0; len < size; len += size / 50 + 1) {
		assert_int_equal(truncate(path_of(f, "a.idx"), (off_t)len), 0);
		assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 12);
		assert_int_equal(covered, size_of(f, "a"));
		assert_int_equal(size_of(f, "a.idx"), size);
	}
	for (uint64_t at = 0; at < 64; at += 8) /* its head, and how long the first segment is */ {
		int fd = open(path_of(f, "a.idx"), O_WRONLY);

		assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, (off_t)at), 8);
		close(fd);
		assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, NULL), 12);
	}
}

static void
test_no_place_for_it(void **state)
{
	struct folder *f = *state;
	uint64_t covered;
	int64_t sum;

	grow(f, "a", 0, ENOUGH, head);
	assert_int_equal(mkdir(path_of(f, "a.idx"), 0700), 0);
	assert_int_equal(look_for(f, "a", "person.7@x.test", &sum, &covered), 12);
	assert_int_equal(covered, 0);
	assert_int_equal(rmdir(path_of(f, "a.idx")), 0);
}

static void
test_tidy(void **state)
{
	struct folder *f = *state;
	char gone[420];
	int64_t sum;

	grow(f, "acct.1", 0, ENOUGH, head);
	grow(f, "acct.2", 0, ENOUGH, head);
	(void)look_for(f, "acct.1", "person.7@x.test", &sum, NULL);
	(void)look_for(f, "acct.2", "person.7@x.test", &sum, NULL);
	put(f, "acct.3.idx", "of somebody else", 16);
	snprintf(gone, sizeof(gone), "%s", path_of(f, "acct.1"));
	assert_int_equal(unlink(gone), 0);
	index_tidy(path_of(f, "acct"));
	assert_false(is_there(f, "acct.1.idx"));
	assert_true(is_there(f, "acct.2.idx"));
	assert_true(is_there(f, "acct.3.idx"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_set_up, folder_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_finds),
		TEST(test_small_files_have_none),
		TEST(test_grows),
		TEST(test_head_at_the_end),
		TEST(test_compressed),
		TEST(test_compressed_from_its_middle),
		TEST(test_stale),
		TEST(test_damaged),
		TEST(test_no_place_for_it),
		TEST(test_tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
