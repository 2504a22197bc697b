/* SPDX-License-Identifier: Apache-2.0 */
/* Each byte string has exactly one encoding: both round trips are the identity. Buffers are exact, for the
 * sanitizer. */
#include "smtp_base64.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_slice in = {(const char *)data, size};
	size_t text_max = SMTP_BASE64_LEN(size), plain_max = size / 4 * 3;
	char *text = malloc(text_max + 1), *plain = malloc(size + 1);
	int len = smtp_base64_encode(in, text, text_max);

	assert(len >= 0 && (size_t)len == text_max);
	assert((size_t)smtp_base64_decode((struct smtp_slice){text, text_max}, plain, size) == size);
	assert(size == 0 || memcmp(plain, data, size) == 0);
	len = smtp_base64_decode(in, plain, plain_max);
	if (len >= 0) {
		assert((size_t)smtp_base64_encode((struct smtp_slice){plain, (size_t)len}, text, size) ==
			size);
		assert(size == 0 || memcmp(text, data, size) == 0);
	}
	free(text);
	free(plain);
	return 0;
}
