/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GOLDEN_FIXTURE_H
#define TESTS_UNIT_GOLDEN_FIXTURE_H
/*
 * golden_fixture - what a program writes, against the file in tests/unit/golden that somebody looked at
 *
 * MTAD_UPDATE=1 in the environment writes the files anew; then look at them. Include it after cmocka's
 * headers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void
golden_check(const char *name, const char *bytes, size_t len)
{
	char path[512], *have = calloc(1, len + 2);
	FILE *f;
	size_t n = 0, line = 1;

	assert_non_null(have);
	snprintf(path, sizeof(path), "%s/unit/golden/%s", TEST_DIR, name);
	if (getenv("MTAD_UPDATE") != NULL) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(bytes, 1, len, f), len);
		assert_int_equal(fclose(f), 0);
	}
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s cannot be read", path);
	else {
		n = fread(have, 1, len + 1, f);
		fclose(f);
	}
	for (size_t i = 0; i < n && i < len && have[i] == bytes[i]; i++)
		line += bytes[i] == '\n';
	if (n != len || memcmp(have, bytes, len) != 0)
		fail_msg("%s:%zu: differs; MTAD_UPDATE=1 writes it anew", path, line);
	free(have);
}
#endif
