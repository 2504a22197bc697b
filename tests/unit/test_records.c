/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records: each whole line of a file is a record, a head line, or counted; which files belong together.
 */
#include "report/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "records_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define A        "d,2026-11-01 12:00:00,a@x.test\n"
#define B        "b,2026-11-01 12:00:01,b@x.test\n"

/* The local parts of the recipients, one after the other. */
static int
read_all(struct records *r, char *out, size_t max)
{
	struct record rec;
	char why[200];
	size_t n = 0;
	int got;

	while ((got = records_next(r, &rec, why, sizeof(why))) > 0 && n + 1 < max)
		out[n++] = *(const char *)rec.field[RECORD_RCPT].ptr;
	out[n] = '\0';
	return got;
}

static void
test_files(void **state)
{
	static const struct {
		const char *name, *bytes, *want;
		unsigned foreign, unfinished;
	} cases[] = {
		{"two records", HEAD A B, "ab", 0, 0},
		{"nothing", "", "", 0, 0},
		{"a head line alone", HEAD, "", 0, 0},
		{"half a record at the end", HEAD A "b,2026-11-01 12:00:01,b@x.te", "a", 0, 1},
		{"a whole one without its end", HEAD A "b,2026-11-01 12:00:01,b@x.test", "a", 0, 1},
		{"lines of others", HEAD A "# 3 records\nhello\n" B, "ab", 2, 0},
		{"empty lines are nothing", HEAD "\n" A "\n\n" B, "ab", 0, 0},
		{"other columns from the middle on", HEAD A "rcpt,type\nb@x.test,b\nc@x.test,d\n", "abc", 0,
			0},
		{"JSON between CSV", HEAD A "{\"record\":\"f\",\"rcpt\":\"c@x.test\"}\n" B, "acb", 0, 0},
		{"half a record before a crash, and one behind it", HEAD "d,2026-11-\n" A, "a", 1, 0},
	};
	struct folder *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++)
		for (int compressed = 0; compressed < 2; compressed++) {
			struct records *r = records_create();
			struct records_stats stats;
			char have[16], why[200];

			unlink(path_of(f, "acct"));
			(compressed ? put_compressed : put)(
				f, "acct", cases[i].bytes, strlen(cases[i].bytes));
			assert_true(records_open(r, f->path, why, sizeof(why)));
			assert_int_equal(read_all(r, have, sizeof(have)), 0);
			records_stats(r, &stats);
			if (strcmp(have, cases[i].want) != 0 || stats.foreign != cases[i].foreign ||
				stats.unfinished != cases[i].unfinished ||
				stats.records != strlen(cases[i].want))
				fail_msg("%s: %s, %d foreign, %d unfinished", cases[i].name, have,
					(int)stats.foreign, (int)stats.unfinished);
			records_destroy(&r);
		}
}

/* Lines that lie across what is read at a time, and one that is longer than there is room for. */
static void
test_long_files(void **state)
{
	enum { LINES = 60000, LONG = 3000000 };
	struct folder *f = *state;
	struct records *r = records_create();
	struct records_stats stats;
	struct record rec;
	char *bytes = malloc((size_t)LINES * 64 + LONG + 100), why[200];
	size_t n = 0;
	int i;

	n += (size_t)sprintf(bytes, HEAD);
	for (i = 0; i < LINES; i++) {
		if (i == LINES / 2) {
			memset(bytes + n, 'x', LONG);
			n += LONG;
			bytes[n++] = '\n';
		}
		n += (size_t)sprintf(bytes + n, "d,2026-11-01 12:00:00,%d@x.test\n", i);
	}
	put(f, "acct", bytes, n);
	assert_true(records_open(r, f->path, why, sizeof(why)));
	for (i = 0; records_next(r, &rec, why, sizeof(why)) > 0; i++)
		assert_int_equal(strtol(rec.field[RECORD_RCPT].ptr, NULL, 10), i);
	assert_int_equal(i, LINES);
	records_stats(r, &stats);
	assert_int_equal(stats.foreign, 1);
	assert_int_equal(records_offset(r), n);
	records_destroy(&r);
	free(bytes);
}

static void
test_single_lines(void **state)
{
	struct folder *f = *state;
	struct records *r = records_create();
	struct record rec;
	char have[16], why[200];

	put(f, "acct", HEAD A B, strlen(HEAD A B));
	assert_true(records_open(r, f->path, why, sizeof(why)));
	assert_int_equal(records_at(r, 0, &rec), 0); /* the head line */
	assert_int_equal(records_at(r, strlen(HEAD A), &rec), 1);
	assert_int_equal(rec.type, RECORD_BOUNCED);
	assert_int_equal(records_at(r, strlen(HEAD) + 1, &rec), 0);
	assert_int_equal(records_at(r, 100000, &rec), 0);
	assert_true(records_seek(r, strlen(HEAD)));
	assert_int_equal(read_all(r, have, sizeof(have)), 0);
	assert_string_equal(have, "ab");
	assert_int_equal(records_record_offset(r), strlen(HEAD A));
	records_destroy(&r);
}

/* gzip was interrupted, or its disk was full. */
static void
test_compressed_and_cut(void **state)
{
	struct folder *f = *state;
	struct records *r = records_create();
	struct record rec;
	char have[16], why[200];

	put_compressed(f, "acct.gz", HEAD A B, strlen(HEAD A B));
	assert_int_equal(truncate(f->path, 40), 0);
	assert_true(records_open(r, f->path, why, sizeof(why)));
	assert_int_equal(read_all(r, have, sizeof(have)), -1);
	assert_int_equal(records_next(r, &rec, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "unexpected end of file"));
	records_destroy(&r);
}

static void
test_not_there(void **state)
{
	struct folder *f = *state;
	struct records *r = records_create();
	char why[200];

	assert_false(records_open(r, path_of(f, "none"), why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	records_destroy(&r);
}

static void
test_list(void **state)
{
	static const char *const names[] = {"acct.csv", "acct.csv.20261101-120000",
		"acct.csv.20261101-120000-1", "acct.csv.20261031-120000.gz", "acct.csv.20261101-120000.gz",
		"acct.csv-20261101", "acct.csv.1", "acct.csv.2.gz", "acct.csv.20261101-120000.idx",
		"acct.csv.moved", "acct.csv.bz2", "acct.csv.1.old.gz", "acct.jsonl", "acct.csv2"};
	/* In the order of their names, but for the one that was written to first. */
	static const char *const wanted[] = {"acct.csv.2.gz", "acct.csv-20261101", "acct.csv.1",
		"acct.csv.20261031-120000.gz", "acct.csv.20261101-120000", "acct.csv.20261101-120000-1",
		"acct.csv"};
	static const struct timespec same[] = {{1000, 0}, {1000, 0}}, before[] = {{999, 0}, {999, 0}};
	struct folder *f = *state;
	struct records_list l;
	char why[200];

	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(utimensat(AT_FDCWD, put(f, names[i], "", 0),
					 strcmp(names[i], wanted[0]) == 0 ? before : same, 0),
			0);
	assert_true(records_list(path_of(f, "acct.csv"), &l, why, sizeof(why)));
	assert_int_equal(l.count, COUNT(wanted));
	for (size_t i = 0; i < COUNT(wanted); i++)
		assert_string_equal(l.paths[i], path_of(f, wanted[i]));
	records_list_free(&l);
	/* What is missing is said by who opens it. */
	assert_true(records_list(path_of(f, "none"), &l, why, sizeof(why)));
	assert_int_equal(l.count, 1);
	records_list_free(&l);
	assert_false(records_list(path_of(f, "none/none"), &l, why, sizeof(why)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_set_up, folder_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files),
		TEST(test_long_files),
		TEST(test_single_lines),
		TEST(test_compressed_and_cut),
		TEST(test_not_there),
		TEST(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
