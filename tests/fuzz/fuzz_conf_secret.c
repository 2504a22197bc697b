/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a password file of a user. Oracles: the configuration is refused, or it holds the first line,
 * a hash that crypt(3) can check, and nothing of the second.
 */
#include "conf/conf_load.h"
#include "memory_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check(const struct conf *c, const uint8_t *data, size_t size)
{
	const char *hash = c->users[0].password_hash;
	size_t len = strnlen(hash, size + 1);

	REQUIRE(len >= 40 && len <= size && hash[0] == '$');
	REQUIRE(memcmp(hash, data, len) == 0);
	REQUIRE(len == size || data[len] == '\n' || data[len] == '\r' || data[len] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	char path[MEMORY_FILE_PATH], text[300];
	int fd = memory_file(data, size, path);
	const struct conf *c;
	int len;

	if (nowhere == NULL)
		nowhere = fopen("/dev/null", "w");
	REQUIRE(nowhere != NULL);
	len = snprintf(text, sizeof(text),
		"hostname = mta.test\nlisten l { address = { \"127.0.0.1:2525\" } }\n"
		"user u { password-file = \"%s\" }\n",
		path);
	c = conf_load_bytes("/nonexistent/fuzz.conf", text, (size_t)len, nowhere);
	if (c != NULL)
		check(c, data, size);
	conf_unref(c);
	close(fd);
	return 0;
}
