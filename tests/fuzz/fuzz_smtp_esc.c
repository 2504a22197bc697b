/* SPDX-License-Identifier: Apache-2.0 */
/* Enhanced status codes at the front of a reply. Oracles: what is read and written is read as the same, and
 * never longer; the numbers are in their ranges. */
#include "smtp_esc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size + 1), text[SMTP_ESC_TEXT_MAX];
	struct smtp_esc esc, again;
	int n, written;

	REQUIRE(exact != NULL);
	memcpy(exact, data, size);
	n = smtp_esc_parse((struct smtp_slice){exact, size}, &esc);
	if (n < 0) {
		REQUIRE(n == SMTP_ESYNTAX);
		free(exact);
		return 0;
	}
	REQUIRE(n >= 5 && n <= SMTP_ESC_TEXT_MAX && (size_t)n <= size);
	REQUIRE((esc.class_digit == 2 || esc.class_digit == 4 || esc.class_digit == 5) &&
		esc.subject <= 999 && esc.detail <= 999);
	written = smtp_esc_write(esc, text, sizeof(text));
	REQUIRE(written > 0 && written <= n);
	REQUIRE(smtp_esc_write(esc, text, (size_t)written - 1) == SMTP_ENOSPACE);
	REQUIRE(smtp_esc_parse((struct smtp_slice){text, (size_t)written}, &again) == written);
	REQUIRE(again.class_digit == esc.class_digit && again.subject == esc.subject &&
		again.detail == esc.detail);
	free(exact);
	return 0;
}
