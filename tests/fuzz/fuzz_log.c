/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer text in a log line. Byte 0 is the room. Oracles: it ends inside the room, holds printable ASCII only,
 * and every quote sign has its backslash, so that the line is one line and the text ends where its quotes do.
 */
#include "base/log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room, len;
	char *buf, *text;

	if (size < 1)
		return 0;
	room = (size_t)data[0] + 1;
	buf = malloc(room);
	text = malloc(size);
	REQUIRE(buf != NULL && text != NULL);
	memcpy(text, data + 1, size - 1);
	REQUIRE(log_escape(buf, room, text, size - 1) == buf);
	len = strnlen(buf, room);
	REQUIRE(len < room);
	for (size_t i = 0; i < len; i++) {
		REQUIRE(buf[i] >= ' ' && buf[i] < 127 && buf[i] != '"');
		if (buf[i] == '\\')
			REQUIRE(++i < len);
	}
	free(text);
	free(buf);
	return 0;
}
