/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_RECORDS_FIXTURE_H
#define TESTS_UNIT_RECORDS_FIXTURE_H
/*
 * records_fixture - a folder for accounting files, and files of any bytes in it. Include it after cmocka's
 * headers.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define HEAD "type,timeLogged,rcpt\n"

struct folder {
	char dir[64];
	char path[400]; /* of the last name */
};

static inline int
folder_set_up(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/mtad-records-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static inline int
folder_tear_down(void **state)
{
	struct folder *f = *state;
	DIR *d = opendir(f->dir);
	struct dirent *e;

	while ((e = readdir(d)) != NULL) {
		snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(f->path);
	}
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static inline const char *
path_of(struct folder *f, const char *name)
{
	snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
	return f->path;
}

/* Behind what is there. */
static inline const char *
put(struct folder *f, const char *name, const char *bytes, size_t len)
{
	FILE *out = fopen(path_of(f, name), "a");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	return f->path;
}

static inline const char *
put_compressed(struct folder *f, const char *name, const char *bytes, size_t len)
{
	gzFile out = gzopen(path_of(f, name), "wb");

	assert_non_null(out);
	assert_int_equal(gzwrite(out, bytes, (unsigned)len), len);
	assert_int_equal(gzclose(out), Z_OK);
	return f->path;
}
#endif
