/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the lines of a list. Oracles: a bad line has words; an entry has an address, a scope that is
 * one and a reason that can be given, and written it is read again as the same, if its address is one.
 */
#include "feedback/suppress_csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

static const struct suppress_record defaults = {.scope = "global", .note = "", .reason = SUPPRESS_IMPORT};

static void
check_again(const struct suppress_record *r)
{
	struct suppress_csv csv = {.has_begun = false};
	struct suppress_record again;
	char *text = NULL, why[100], *line, *end;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	REQUIRE(out != NULL);
	suppress_csv_write_head(out);
	suppress_csv_write(out, r);
	fclose(out);
	line = strchr(text, '\n');
	*line++ = '\0';
	end = strchr(line, '\n');
	REQUIRE(end != NULL && end[1] == '\0');
	*end = '\0';
	REQUIRE(suppress_csv_read(&csv, text, (size_t)(line - 1 - text), &defaults, &again, why) ==
		SUPPRESS_LINE_NONE);
	if ((size_t)(end - line) < SUPPRESS_CSV_LINE_MAX) {
		REQUIRE(suppress_csv_read(&csv, line, (size_t)(end - line), &defaults, &again, why) ==
			SUPPRESS_LINE_ENTRY);
		REQUIRE(strcmp(again.address, r->address) == 0);
		REQUIRE(strcmp(again.scope, r->scope) == 0);
		REQUIRE(again.reason == r->reason);
		REQUIRE(again.expires_us / 1000000 == r->expires_us / 1000000);
	}
	free(text);
}

static void
check_line(struct suppress_csv *csv, const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1), why[100] = "", scope[SUPPRESS_SCOPE_MAX],
	     canonical[SUPPRESS_ADDRESS_MAX];
	struct suppress_record r;

	REQUIRE(line != NULL);
	memcpy(line, data, size);
	line[size] = '\0';
	switch (suppress_csv_read(csv, line, size, &defaults, &r, why)) {
	case SUPPRESS_LINE_BAD:
		REQUIRE(why[0] != '\0');
		break;
	case SUPPRESS_LINE_NONE:
		break;
	case SUPPRESS_LINE_ENTRY:
		REQUIRE(r.address[0] != '\0' && suppress_scope_parse(r.scope, scope));
		REQUIRE(r.reason > SUPPRESS_NONE && r.reason < SUPPRESS_DAMAGED && r.expires_us >= 0);
		if (suppress_canonical((struct queue_blob){r.address, strnlen(r.address, 5000)}, canonical) >
			0)
			check_again(&r);
		break;
	}
	free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct suppress_csv csv = {.has_begun = false};

	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end != NULL ? (size_t)(end - data) : size;

		check_line(&csv, data, len);
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	return 0;
}
