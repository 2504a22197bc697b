/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: after a crash at any moment the bytes up to the mark are there once, and those behind it are gone,
 * because their events are written again.
 */
#include "report/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "type,rcpt\n"

static const struct file_mark none = {0, 0};
static const int64_t now_us = INT64_C(1793534400000000); /* 2026-11-01 12:00:00 */

struct fixture {
	char dir[64], path[96];
	struct file file;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-file-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/acct.csv", f->dir);
	f->file.fd = -1;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	DIR *d = opendir(f->dir);
	struct dirent *e;
	char name[400];

	file_close(&f->file);
	while ((e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", f->dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(name);
	}
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
open_at(struct fixture *f, const struct file_mark *mark)
{
	if (!file_open(&f->file, f->path, HEAD, mark, now_us))
		fail_msg("%s", f->file.why);
}

static void
add(struct fixture *f, const char *line)
{
	assert_true(file_add(&f->file, line, strlen(line)));
	assert_true(file_write(&f->file));
}

static struct file_mark
sync_now(struct fixture *f)
{
	struct file_mark mark;

	assert_true(file_sync(&f->file, &mark));
	return mark;
}

/* As kill -9 leaves it: what was written is there. */
static void
crash(struct fixture *f)
{
	file_close(&f->file);
}

static void
assert_content(const char *path, const char *want)
{
	char have[1000];
	FILE *in = fopen(path, "r");
	size_t n;

	assert_non_null(in);
	n = fread(have, 1, sizeof(have) - 1, in);
	have[n] = '\0';
	fclose(in);
	assert_string_equal(have, want);
}

static void
put_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void
test_head_once(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark;

	open_at(f, &none);
	add(f, "d,a\n");
	mark = sync_now(f);
	assert_int_equal(mark.offset, sizeof(HEAD "d,a\n") - 1);
	file_close(&f->file);
	open_at(f, &mark);
	add(f, "d,b\n");
	assert_content(f->path, HEAD "d,a\nd,b\n");
	assert_true(file_is_in_place(&f->file));
}

static void
test_cut_after_crash(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark;

	open_at(f, &none);
	add(f, "d,a\n");
	mark = sync_now(f);
	add(f, "d,b\n");
	add(f, "d,c is half wri");
	crash(f);
	open_at(f, &mark);
	assert_content(f->path, HEAD "d,a\n");
	add(f, "d,b\n");
	assert_content(f->path, HEAD "d,a\nd,b\n");
}

/* The disk lost bytes below the mark (a power cut on a disk that lied): nothing is made up for them. */
static void
test_shorter_than_its_mark(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark;

	open_at(f, &none);
	add(f, "d,a\nd,b\n");
	mark = sync_now(f);
	crash(f);
	assert_int_equal(truncate(f->path, sizeof(HEAD "d,a\n") - 1), 0);
	open_at(f, &mark);
	assert_content(f->path, HEAD "d,a\n");
	file_close(&f->file);
	assert_int_equal(truncate(f->path, sizeof(HEAD "d") - 1), 0);
	open_at(f, &mark);
	add(f, "d,c\n");
	assert_content(f->path, HEAD "d\nd,c\n");
}

/* Without a mark (a new spool) a fragment is closed, not continued. */
static void
test_fragment_at_the_end(void **state)
{
	struct fixture *f = *state;

	put_file(f->path, HEAD "d,a\nd,frag");
	open_at(f, &none);
	add(f, "d,b\n");
	assert_content(f->path, HEAD "d,a\nd,frag\nd,b\n");
}

static void
test_mark_of_a_file_nobody_knows(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark = {1, 3}; /* of another machine */

	put_file(f->path, HEAD "d,a\n");
	open_at(f, &mark);
	assert_content(f->path, HEAD "d,a\n");
}

static void
test_rotate(void **state)
{
	struct fixture *f = *state;
	char first[200], second[200], want[200];

	open_at(f, &none);
	add(f, "d,a\n");
	(void)sync_now(f);
	assert_true(file_rotate(&f->file, now_us, first, sizeof(first)));
	snprintf(want, sizeof(want), "%s.20261101-120000", f->path);
	assert_string_equal(first, want);
	assert_content(first, HEAD "d,a\n");
	assert_content(f->path, HEAD);
	add(f, "d,b\n");
	/* In the same second: another name, nothing is overwritten. */
	assert_true(file_rotate(&f->file, now_us, second, sizeof(second)));
	snprintf(want, sizeof(want), "%s.20261101-120000-1", f->path);
	assert_string_equal(second, want);
	assert_content(first, HEAD "d,a\n");
	assert_content(second, HEAD "d,b\n");
	assert_content(f->path, HEAD);
}

/* The crash comes after a rotation that the spool has not heard of: its mark is of the rotated file. */
static void
test_crash_behind_a_rotation(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark;
	char name[200];

	open_at(f, &none);
	add(f, "d,a\n");
	mark = sync_now(f);
	add(f, "d,b\n"); /* the mark of it was lost as well */
	assert_true(file_rotate(&f->file, now_us, name, sizeof(name)));
	add(f, "d,c\n");
	crash(f);
	open_at(f, &mark);
	assert_content(name, HEAD "d,a\n");
	assert_content(f->path, HEAD);
	add(f, "d,b\nd,c\n");
	assert_content(f->path, HEAD "d,b\nd,c\n");
}

/* A file of another name is not ours to cut, whatever its inode. */
static void
test_foreign_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark = {0, 2};
	char other[100];
	struct stat st;

	snprintf(other, sizeof(other), "%s/notes", f->dir);
	put_file(other, "not ours\n");
	assert_int_equal(stat(other, &st), 0);
	mark.inode = st.st_ino;
	put_file(f->path, HEAD "d,a\n");
	open_at(f, &mark);
	assert_content(other, "not ours\n");
	assert_content(f->path, HEAD "d,a\n");
}

static void
test_renamed_or_removed_under_us(void **state)
{
	struct fixture *f = *state;
	struct file_mark mark;
	char moved[200];

	open_at(f, &none);
	add(f, "d,a\n");
	snprintf(moved, sizeof(moved), "%s.1", f->path);
	assert_int_equal(rename(f->path, moved), 0);
	assert_false(file_is_in_place(&f->file));
	add(f, "d,b\n"); /* still whole in the moved file */
	(void)sync_now(f);
	file_close(&f->file);
	open_at(f, &none);
	mark = sync_now(f);
	assert_true(mark.offset == sizeof(HEAD) - 1);
	assert_content(moved, HEAD "d,a\nd,b\n");
	assert_content(f->path, HEAD);
	assert_int_equal(unlink(f->path), 0);
	assert_false(file_is_in_place(&f->file));
	file_close(&f->file);
	open_at(f, &none);
	/* Emptied by `> file`: the offsets mean nothing any more. */
	add(f, "d,c\n");
	assert_int_equal(truncate(f->path, 0), 0);
	assert_false(file_is_in_place(&f->file));
}

static void
test_cannot_open(void **state)
{
	struct fixture *f = *state;
	char path[200];

	snprintf(path, sizeof(path), "%s/none/acct.csv", f->dir);
	assert_false(file_open(&f->file, path, HEAD, &none, now_us));
	assert_non_null(strstr(f->file.why, "cannot open"));
	assert_int_equal(f->file.fd, -1);
	/* A directory, a device. */
	assert_false(file_open(&f->file, f->dir, HEAD, &none, now_us));
	assert_false(file_open(&f->file, "/dev/null", HEAD, &none, now_us));
	assert_non_null(strstr(f->file.why, "regular"));
	assert_int_equal(f->file.fd, -1);
}

static void
test_buffer_grows(void **state)
{
	struct fixture *f = *state;
	static char line[1000];
	struct stat st;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	open_at(f, &none);
	for (int i = 0; i < 500; i++)
		assert_true(file_add(&f->file, line, sizeof(line)));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, sizeof(HEAD) - 1); /* buffered only */
	assert_true(file_write(&f->file));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, 500 * sizeof(line) + sizeof(HEAD) - 1);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_head_once),
		CASE(test_cut_after_crash),
		CASE(test_shorter_than_its_mark),
		CASE(test_fragment_at_the_end),
		CASE(test_mark_of_a_file_nobody_knows),
		CASE(test_rotate),
		CASE(test_crash_behind_a_rotation),
		CASE(test_foreign_files_are_left_alone),
		CASE(test_renamed_or_removed_under_us),
		CASE(test_cannot_open),
		CASE(test_buffer_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
