/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an accounting file: every line is a record whose fields lie in the line, a head line or
 * foreign, and the record is the same when its line is read alone.
 */
#include "report/records.h"

#include "memory_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool is_true)
{
	if (!is_true)
		abort();
}

static size_t
sum_of(const struct record *r)
{
	size_t sum = r->type;

	for (int i = 0; i < RECORD_FIELD_COUNT; i++)
		for (size_t k = 0; k < r->field[i].len; k++)
			sum = sum * 31 + ((const unsigned char *)r->field[i].ptr)[k];
	return sum;
}

/* Each line in memory of its own, so that one byte too far is seen. */
static size_t
parse_alone(struct record_columns *columns, const uint8_t *line, size_t len, size_t sum)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct record r;

	require(copy != NULL);
	if (len > 0)
		memcpy(copy, line, len);
	if (len <= RECORDS_LINE_MAX && record_parse(columns, copy, len, &r) == RECORD_READ)
		sum = sum * 7 + sum_of(&r);
	free(copy);
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_columns columns = {0};
	const uint8_t *at = data, *end = data + size, *newline;
	static struct records *r; /* once: its buffer is large */
	char path[MEMORY_FILE_PATH], why[200];
	size_t sum = 0, sum_alone = 0;
	struct record rec;
	int fd;

	if (size > 2 && data[0] == 0x1f && data[1] == 0x8b) /* zlib has fuzzers of its own */
		return 0;
	if (r == NULL)
		r = records_create();
	fd = memory_file(data, size, path);
	require(r != NULL && records_open(r, path, why, sizeof(why)));
	while (records_next(r, &rec, why, sizeof(why)) > 0)
		sum = sum * 7 + sum_of(&rec);
	for (; at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL; at = newline + 1)
		sum_alone = parse_alone(&columns, at, (size_t)(newline - at), sum_alone);
	require(sum == sum_alone);
	close(fd);
	return 0;
}
