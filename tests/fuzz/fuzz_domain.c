/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a mail domain. Oracles: a normal form is short, printable ASCII without capitals, and its own
 * normal form; another case of the same ASCII letters has the same; what is refused leaves the output alone;
 * room that is one byte short is refused.
 */
#include "base/domain.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static void
check_normal(const char *name, int n)
{
	char again[DOMAIN_MAX];

	REQUIRE(n > 0 && n < DOMAIN_MAX && name[n] == '\0');
	for (int i = 0; i < n; i++)
		REQUIRE(name[i] > ' ' && name[i] < 127);
	REQUIRE(domain_normalise(name, (size_t)n, again, sizeof(again)) == n);
	REQUIRE(memcmp(name, again, (size_t)n + 1) == 0);
	REQUIRE(domain_normalise(name, (size_t)n, again, (size_t)n) == -1);
	if (name[0] == '[')
		return;
	for (int i = 0; i < n; i++)
		REQUIRE(!isupper((unsigned char)name[i]));
	REQUIRE(name[n - 1] != '.' && name[0] != '.');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[DOMAIN_MAX] = "untouched", other[DOMAIN_MAX];
	char *exact = malloc(size + 1);
	int n;

	REQUIRE(exact != NULL);
	memcpy(exact, data, size);
	n = domain_normalise(exact, size, out, sizeof(out));
	if (n < 0)
		REQUIRE(n == -1 && strcmp(out, "untouched") == 0);
	else
		check_normal(out, n);
	for (size_t i = 0; i < size; i++)
		exact[i] = (char)((unsigned char)exact[i] < 128 ? toupper(exact[i]) : exact[i]);
	if (n > 0 && out[0] != '[') {
		REQUIRE(domain_normalise(exact, size, other, sizeof(other)) == n);
		REQUIRE(memcmp(out, other, (size_t)n) == 0);
	}
	free(exact);
	return 0;
}
