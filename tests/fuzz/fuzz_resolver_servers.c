/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as resolv.conf, and as one address. Oracles: there is always a server; each has an address, a
 * port and a text that is read back as the same.
 */
#include "memory_file.h"
#include "route/resolver_servers.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

enum { SERVERS_MAX = 4 };

static void
check(const struct resolver_address *a)
{
	struct resolver_address again;
	size_t len = strnlen(a->text, sizeof(a->text));

	REQUIRE(a->port > 0 && (a->family == AF_INET || a->family == AF_INET6));
	REQUIRE(len > 0 && len < sizeof(a->text));
	REQUIRE(resolver_address_parse(a->text, len, &again));
	REQUIRE(again.family == a->family && again.port == a->port && strcmp(again.text, a->text) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resolver_address servers[SERVERS_MAX];
	char path[MEMORY_FILE_PATH], *exact = malloc(size + 1);
	int fd = memory_file(data, size, path);
	struct conf conf = {0};
	uint32_t count;

	REQUIRE(exact != NULL);
	memcpy(exact, data, size);
	if (resolver_address_parse(exact, size, &servers[0]))
		check(&servers[0]);
	count = resolver_servers_read(&conf, path, servers, SERVERS_MAX);
	REQUIRE(count >= 1 && count <= SERVERS_MAX);
	for (uint32_t i = 0; i < count; i++)
		check(&servers[i]);
	close(fd);
	free(exact);
	return 0;
}
