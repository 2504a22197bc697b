/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack: from wherever it is begun, the bytes are those that were packed; what is no gzip, or half of it, is
 * told.
 */
#include "report/unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "records_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { BYTES = 4 * UNPACK_SPAN - 12345, PLACES_MAX = 16 };

struct places {
	struct unpack_place items[PLACES_MAX];
	unsigned char windows[PLACES_MAX][UNPACK_WINDOW];
	size_t count;
};

static void
on_place(void *arg, const struct unpack_place *place)
{
	struct places *p = arg;

	assert_true(p->count < PLACES_MAX && place->window_len <= UNPACK_WINDOW);
	p->items[p->count] = *place;
	memcpy(p->windows[p->count], place->window, place->window_len);
	p->items[p->count].window = p->windows[p->count];
	p->count++;
}

/* Words out of few, with numbers: it can be packed, and no part is like another. */
static char *
make_bytes(void)
{
	char *bytes = malloc(BYTES + 64);
	uint32_t random = 1;

	assert_non_null(bytes);
	for (size_t len = 0; len < BYTES;) {
		random = random * 1664525 + 1013904223;
		len += (size_t)sprintf(bytes + len, "delivered-%x,", random >> 12);
	}
	return bytes;
}

static struct unpack *
open_file(struct folder *f, const char *name)
{
	struct unpack *u = unpack_open(open(path_of(f, name), O_RDONLY | O_CLOEXEC));

	assert_non_null(u);
	return u;
}

/* All that follows, in pieces of so many bytes, is what should. */
static void
assert_reads(struct unpack *u, const char *want, size_t len, size_t piece)
{
	char *buf = malloc(piece);
	ssize_t n;

	while ((n = unpack_read(u, buf, piece)) > 0) {
		assert_true((size_t)n <= len);
		assert_memory_equal(buf, want, n);
		want += n;
		len -= (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(len, 0);
	free(buf);
}

static void
collect(struct folder *f, const char *name, const char *bytes, size_t len, struct places *out)
{
	struct unpack *u = open_file(f, name);

	out->count = 0;
	assert_true(unpack_is_packed(u));
	unpack_watch(u, on_place, out);
	assert_reads(u, bytes, len, 70000);
	unpack_close(&u);
}

static void
test_from_anywhere(void **state)
{
	static const size_t at[] = {0, 1, UNPACK_SPAN - 1, 2 * UNPACK_SPAN + 5, 17, 3 * UNPACK_SPAN,
		BYTES - 1, BYTES, 100, UNPACK_SPAN, UNPACK_SPAN + 3, BYTES + 1000};
	static struct places places;
	struct folder *f = *state;
	char *bytes = make_bytes(), buf[100];

	put_compressed(f, "a.gz", bytes, BYTES);
	collect(f, "a.gz", bytes, BYTES, &places);
	assert_int_equal(places.count, 3);
	for (int with = 0; with < 2; with++) {
		struct unpack *u = open_file(f, "a.gz");

		unpack_use(u, places.items, with ? places.count : 0);
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
			size_t left = at[i] < BYTES ? BYTES - at[i] : 0, want = left < 100 ? left : 100;

			assert_true(unpack_seek(u, at[i]));
			assert_int_equal(unpack_read(u, buf, sizeof(buf)), want);
			assert_memory_equal(buf, bytes + (want > 0 ? at[i] : 0), want);
		}
		/* From each place to the end. */
		for (size_t i = places.count; i-- > 0;) {
			assert_true(unpack_seek(u, places.items[i].offset));
			assert_reads(u, bytes + places.items[i].offset, BYTES - places.items[i].offset, 4096);
		}
		unpack_close(&u);
	}
	free(bytes);
}

/* With its beginning destroyed, what is behind a place can be read still: nothing before it was looked at. */
static void
test_a_place_is_enough(void **state)
{
	static struct places places;
	struct folder *f = *state;
	char *bytes = make_bytes(), zeros[4096] = {0}, buf[100];
	struct unpack *u;
	int fd;

	put_compressed(f, "a.gz", bytes, BYTES);
	collect(f, "a.gz", bytes, BYTES, &places);
	fd = open(f->path, O_WRONLY);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 1000), sizeof(zeros));
	close(fd);
	u = open_file(f, "a.gz");
	unpack_use(u, places.items, places.count);
	assert_true(unpack_seek(u, places.items[0].offset + 50));
	assert_int_equal(unpack_read(u, buf, sizeof(buf)), sizeof(buf));
	assert_memory_equal(buf, bytes + places.items[0].offset + 50, sizeof(buf));
	unpack_use(u, NULL, 0);
	assert_true(!unpack_seek(u, places.items[0].offset + 50) || unpack_read(u, buf, sizeof(buf)) <= 0 ||
		    memcmp(buf, bytes + places.items[0].offset + 50, sizeof(buf)) != 0);
	while (unpack_read(u, buf, sizeof(buf)) > 0)
		;
	assert_true(unpack_trouble(u)[0] != '\0');
	/* After a failure it can begin anew. */
	assert_true(unpack_seek(u, 0));
	assert_int_equal(unpack_read(u, buf, 10), 10);
	assert_string_equal(unpack_trouble(u), "");
	unpack_close(&u);
	free(bytes);
}

/* Places of another file, or of none. */
static void
test_wrong_places(void **state)
{
	static struct places places;
	struct folder *f = *state;
	char *bytes = make_bytes(), buf[100];
	struct unpack_place bad[6];

	put_compressed(f, "a.gz", bytes, BYTES);
	collect(f, "a.gz", bytes, BYTES, &places);
	for (size_t i = 0; i < 6; i++)
		bad[i] = places.items[0];
	bad[0].bits = 8;
	bad[1].window_len = UNPACK_WINDOW + 1;
	bad[2].packed_at = 0;
	bad[3].packed_at = UINT64_MAX;
	bad[4].packed_at = UINT64_C(1) << 40;
	bad[5].packed_at += 7;
	for (size_t i = 0; i < 6; i++) {
		struct unpack *u = open_file(f, "a.gz");

		unpack_use(u, &bad[i], 1);
		if (unpack_seek(u, UNPACK_SPAN * 2)) /* then it is not what was there */
			while (unpack_read(u, buf, sizeof(buf)) > 0)
				;
		else
			assert_true(unpack_trouble(u)[0] != '\0');
		unpack_use(u, NULL, 0);
		assert_true(unpack_seek(u, 10));
		assert_int_equal(unpack_read(u, buf, 50), 50);
		assert_memory_equal(buf, bytes + 10, 50);
		unpack_close(&u);
	}
	free(bytes);
}

static void
test_members(void **state)
{
	static struct places places;
	struct folder *f = *state;
	char *bytes = make_bytes(), *packed;
	struct unpack *u;
	struct stat st;
	FILE *in;

	/* Twice the same file, and something that is no gzip. */
	put_compressed(f, "one.gz", bytes, BYTES);
	assert_int_equal(stat(f->path, &st), 0);
	packed = malloc((size_t)st.st_size);
	in = fopen(f->path, "r");
	assert_int_equal(fread(packed, 1, (size_t)st.st_size, in), st.st_size);
	fclose(in);
	put(f, "two.gz", packed, (size_t)st.st_size);
	put(f, "two.gz", packed, (size_t)st.st_size);
	put(f, "two.gz", "\0\0\0", 3);
	bytes = realloc(bytes, 2 * (size_t)BYTES);
	memcpy(bytes + BYTES, bytes, BYTES);
	collect(f, "two.gz", bytes, 2 * (size_t)BYTES, &places);
	assert_in_range(places.count, 5, 8);
	u = open_file(f, "two.gz");
	unpack_use(u, places.items, places.count);
	for (size_t i = 0; i < places.count; i++) { /* the first of them run into the second member */
		assert_true(unpack_seek(u, places.items[i].offset));
		assert_reads(
			u, bytes + places.items[i].offset, 2 * (size_t)BYTES - places.items[i].offset, 65536);
	}
	unpack_close(&u);
	free(packed);
	free(bytes);
}

/* Cut in the header, the data, the trailer: what is there is read, and then it is said. */
static void
test_truncated(void **state)
{
	struct folder *f = *state;
	char *bytes = make_bytes(), *buf = malloc(BYTES);
	struct stat st;

	put_compressed(f, "a.gz", bytes, 100000);
	assert_int_equal(stat(f->path, &st), 0);
	for (off_t cut = 1; cut < st.st_size - 2; cut = cut < 12 ? cut + 1 : cut + st.st_size / 7) {
		size_t len = 0;
		struct unpack *u;
		ssize_t n;

		assert_int_equal(truncate(put_compressed(f, "a.gz", bytes, 100000), st.st_size - cut), 0);
		u = open_file(f, "a.gz");
		while ((n = unpack_read(u, buf + len, BYTES - len)) > 0)
			len += (size_t)n;
		assert_int_equal(n, -1);
		assert_string_equal(unpack_trouble(u), "unexpected end of file");
		assert_true(len <= 100000);
		assert_memory_equal(buf, bytes, len);
		unpack_close(&u);
	}
	free(buf);
	free(bytes);
}

static void
test_plain(void **state)
{
	struct folder *f = *state;
	char buf[10];
	struct unpack *u;

	put(f, "a", "0123456789", 10);
	u = open_file(f, "a");
	assert_false(unpack_is_packed(u));
	assert_int_equal(unpack_read(u, buf, 4), 4);
	assert_true(unpack_seek(u, 7));
	assert_reads(u, "789", 3, 10);
	assert_true(unpack_seek(u, 1));
	assert_int_equal(unpack_read(u, buf, 2), 2);
	assert_memory_equal(buf, "12", 2);
	assert_true(unpack_seek(u, 99));
	assert_int_equal(unpack_read(u, buf, 2), 0);
	unpack_close(&u);
	put(f, "empty", "", 0);
	u = open_file(f, "empty");
	assert_reads(u, "", 0, 10);
	unpack_close(&u);
	assert_null(unpack_open(open(f->dir, O_RDONLY)));
}

/* Forwards it goes, backwards it cannot. */
static void
test_a_pipe(void **state)
{
	struct unpack *u;
	char buf[10];
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "0123456789", 10), 10);
	close(fds[1]);
	assert_non_null(u = unpack_open(fds[0]));
	assert_true(unpack_seek(u, 0));
	assert_true(unpack_seek(u, 3));
	assert_int_equal(unpack_read(u, buf, 2), 2);
	assert_memory_equal(buf, "34", 2);
	assert_false(unpack_seek(u, 1));
	assert_true(unpack_trouble(u)[0] != '\0');
	unpack_close(&u);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_set_up, folder_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_from_anywhere),
		TEST(test_a_place_is_enough),
		TEST(test_wrong_places),
		TEST(test_members),
		TEST(test_truncated),
		TEST(test_plain),
		TEST(test_a_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
