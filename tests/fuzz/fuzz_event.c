/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event of the outbox from any bytes. What decodes must be written as one CSV line and one JSON line in
 * the room there is for them, and must encode to an event that decodes to the same.
 */
#include "report/columns.h"
#include "report/event.h"
#include "report/format.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Format 1 has 16 bytes fewer in front, and four texts, and of a report six more. */
enum { GROWS_MAX = 16 + 10 * 2 };

static void
require(bool is_true)
{
	if (!is_true)
		abort();
}

static void
check_line(const char *line, size_t n)
{
	require(n > 0 && n <= FORMAT_LINE_MAX);
	require(memchr(line, '\n', n) == line + n - 1);
}

static bool
is_same(struct queue_blob a, struct queue_blob b)
{
	/* Longer texts are cut, and not inside a character. */
	bool is_whole = a.len <= QUEUE_REPLY_MAX;

	return (is_whole ? b.len == a.len : b.len <= QUEUE_REPLY_MAX && b.len > QUEUE_REPLY_MAX - 4) &&
	       (b.len == 0 || memcmp(a.ptr, b.ptr, b.len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[FORMAT_LINE_MAX], buf[QUEUE_EVENT_MAX];
	static struct columns *columns;
	struct event e, again;
	uint8_t *exact;
	int n;

	if (size > QUEUE_EVENT_MAX - GROWS_MAX)
		return 0;
	if (columns == NULL)
		require((columns = columns_create(&(struct conf_columns){.user_string = ""})) != NULL);
	exact = malloc(size + 1); /* so that one byte too far is seen */
	memcpy(exact, data, size);
	if (event_decode((struct queue_blob){exact, size}, &e) == QUEUE_OK) {
		check_line(line, columns_write(columns, &e, line, sizeof(line)));
		check_line(line, format_json(&e, line, sizeof(line)));
		n = event_encode(&e, buf, sizeof(buf));
		require(n > 0 && (size_t)n <= size + GROWS_MAX);
		require(event_decode((struct queue_blob){buf, (size_t)n}, &again) == QUEUE_OK);
		require(again.type == e.type && again.id == e.id && again.next_us == e.next_us);
		require(is_same(e.sender, again.sender) && is_same(e.reply, again.reply) &&
			is_same(e.site, again.site));
	}
	free(exact);
	return 0;
}
