/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CONF_FIXTURE_H
#define TESTS_UNIT_CONF_FIXTURE_H
/*
 * conf_fixture - a folder with configurations and the files they name, and what loading them says
 *
 * For test_conf*.c; include it after cmocka's headers.
 */
#include "conf/conf_load.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST "hostname = mta1.example.com\n"
#define HASH "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC\n"

/* Not inlined: the compiler would take the bound for a claim about the array behind the pointer. */
__attribute__((noinline, unused)) static size_t
text_len(const char *text)
{
	return strnlen(text, (size_t)1 << 26);
}

/* A folder that is gone after the test. */
struct folder {
	char path[64];
};

static inline int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	return remove(path);
}

static inline int
folder_setup(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/test_conf.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static inline int
folder_teardown(void **state)
{
	struct folder *f = *state;

	nftw(f->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static inline void
put_file(const struct folder *f, const char *name, const char *bytes, size_t len, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline void
put_text(const struct folder *f, const char *name, const char *text, mode_t mode)
{
	put_file(f, name, text, text_len(text), mode);
}

/* The files that the examples and the cases below name. */
static inline void
put_secrets(const struct folder *f, const char *below)
{
	static const char *const keys[] = {"keys/example.com.s2026.pem", "keys/shop.pem", "keys/club.pem",
		"keys/k", "secrets/tokens", "secrets/tokens.old", "tls/mta1.pem", "tls/mta1.key",
		"secrets/smarthost", "secrets/intranet", "secrets/events"};
	static const char *const hashes[] = {"secrets/shop", "secrets/club", "secrets/orders"};
	char path[256];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", below, keys[i]);
		put_text(f, path, "a-secret-of-at-least-32-characters\nsecond line\n", 0600);
	}
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", below, hashes[i]);
		put_text(f, path, HASH, 0600);
	}
}

/* Loads bytes as FOLDER/mtad.conf; *out_said is malloc'd and has the folder's path cut out. */
static inline const struct conf *
load_bytes(const struct folder *f, const char *bytes, size_t len, char **out_said)
{
	char name[128], *said = NULL;
	size_t said_len, folder_len = text_len(f->path) + 1;
	FILE *out = open_memstream(&said, &said_len);
	const struct conf *c;

	snprintf(name, sizeof(name), "%s/mtad.conf", f->path);
	c = conf_load_bytes(name, bytes, len, out);
	fclose(out);
	for (char *p; (p = strstr(said, f->path)) != NULL;)
		memmove(p, p + folder_len, text_len(p + folder_len) + 1);
	*out_said = said;
	return c;
}

static inline const struct conf *
must_load(const struct folder *f, const char *text)
{
	char *said;
	const struct conf *c = load_bytes(f, text, text_len(text), &said);

	if (c == NULL)
		fail_msg("refused, for\n%s\n%.600s", said, text);
	free(said);
	return c;
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)
#endif
