/* SPDX-License-Identifier: Apache-2.0 */
/* Dates: what is read is written and read again as the same. */
#include "smtp_date.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(int64_t at)
{
	char buf[SMTP_DATE_LEN];
	int64_t back;

	/* A zone may carry the first and the last day over the edge. */
	if (at < 0 || at > 253402300799)
		return;
	assert(smtp_date_write_stamp(at, buf, sizeof(buf)) == SMTP_DATE_STAMP_LEN);
	assert(smtp_date_parse_stamp((struct smtp_slice){buf, SMTP_DATE_STAMP_LEN}, &back) == SMTP_OK);
	assert(back == at);
	assert(smtp_date_write(at, buf, sizeof(buf)) == SMTP_DATE_LEN);
	assert(smtp_date_parse((struct smtp_slice){buf, SMTP_DATE_LEN}, &back) == SMTP_OK);
	assert(back == at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* In a block of exactly its size, so that one byte too far is seen. */
	char *copy = malloc(size == 0 ? 1 : size);
	int64_t at;

	assert(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	if (smtp_date_parse_stamp((struct smtp_slice){copy, size}, &at) == SMTP_OK)
		check(at);
	if (smtp_date_parse((struct smtp_slice){copy, size}, &at) == SMTP_OK)
		check(at);
	free(copy);
	return 0;
}
