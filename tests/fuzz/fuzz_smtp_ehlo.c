/* SPDX-License-Identifier: Apache-2.0 */
/* EHLO lines. Oracles: only known bits, the first line offers nothing, the same line twice changes nothing.
 */
#include "smtp_ehlo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_ehlo e = {0}, before;

	for (size_t at = 0; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end != NULL ? (size_t)(end - data) - at : size - at;
		char *line = malloc(len + 1);

		memcpy(line, data + at, len);
		smtp_ehlo_line(&e, (struct smtp_slice){line, len});
		REQUIRE((e.caps & ~8191u) == 0);
		REQUIRE(e.line_count > 1 || (e.caps == 0 && e.size_max == 0));
		before = e;
		if (e.line_count > 1)
			smtp_ehlo_line(&e, (struct smtp_slice){line, len});
		REQUIRE(before.caps == e.caps && before.size_max == e.size_max &&
			before.rcpt_max == e.rcpt_max && before.mail_max == e.mail_max &&
			before.by_min_s == e.by_min_s && e.by_min_s <= SMTP_BY_MAX_S);
		free(line);
		at += len + 1;
	}
	return 0;
}
