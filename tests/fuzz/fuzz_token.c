/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of any bytes, and of bytes that were signed. Oracle: what is found without having been written is
 * never good; what was written is found whatever stands around it, unless a letter follows at once.
 */
#include "feedback/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static const struct conf conf = {
	.token_secrets = {"a secret that no corpus was signed with", ""}, .token_expire = INT64_MAX / 4};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size + TOKEN_TEXT + 2);
	struct token t = {TOKEN_UNSUBSCRIBE, 0, 1, 0}, got;
	size_t i;

	REQUIRE(exact != NULL);
	memcpy(exact, data, size);
	REQUIRE(token_find(&conf, (struct smtp_slice){exact, size}, 0, &got) != TOKEN_GOOD);
	for (i = 0; i < size && i < 6; i++)
		t.arrived_us = t.arrived_us << 8 | data[i];
	t.n = (uint16_t)size;
	exact[size] = '=';
	token_write(&conf, &t, exact + size + 1);
	REQUIRE(token_find(&conf, (struct smtp_slice){exact, size + 1 + TOKEN_TEXT}, 0, &got) == TOKEN_GOOD);
	REQUIRE(got.kind == t.kind && got.arrived_us == t.arrived_us && got.nonce == 1 && got.n == t.n);
	free(exact);
	return 0;
}
