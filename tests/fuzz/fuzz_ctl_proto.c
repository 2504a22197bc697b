/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame codec of mtactl and mtad. Oracles: a frame that was read has a legal length and holds an object;
 * written again and read again it is the same object; a prefix of a frame is never taken for one.
 */
#include "control/ctl_proto.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                   \
	((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

/* Escapes may make the text longer than a frame; then nothing is written. */
static void
write_again(const json_t *object)
{
	size_t len = 0;
	char *frame = ctl_write_frame(object, &len);
	json_t *again = NULL;

	if (frame == NULL) {
		REQUIRE(json_dumpb(object, NULL, 0, JSON_COMPACT) > CTL_FRAME_MAX);
		return;
	}
	REQUIRE(ctl_read_frame(frame, len, &again) == (int)len);
	REQUIRE(json_equal(object, again));
	json_decref(again);
	free(frame);
}

static void
read_stream(const char *bytes, size_t len)
{
	json_t *object = NULL, *cut = NULL;
	int got;

	while ((got = ctl_read_frame(bytes, len, &object)) > 0) {
		REQUIRE((size_t)got <= len);
		REQUIRE(got > CTL_HEAD_BYTES && got <= CTL_HEAD_BYTES + CTL_FRAME_MAX);
		REQUIRE(json_is_object(object));
		REQUIRE(ctl_read_frame(bytes, (size_t)got - 1, &cut) == 0);
		write_again(object);
		json_decref(object);
		bytes += got;
		len -= (size_t)got;
	}
	REQUIRE(got <= CTL_OK && got >= CTL_EJSON);
}

/* As it stands, and as the body of a frame whose head is right: so the JSON is reached. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t magic = CTL_MAGIC | CTL_VERSION, length = (uint32_t)size;
	char *frame = malloc(CTL_HEAD_BYTES + size);

	REQUIRE(frame != NULL);
	memcpy(frame + CTL_HEAD_BYTES, data, size);
	read_stream(frame + CTL_HEAD_BYTES, size);
	memcpy(frame, &magic, sizeof(magic));
	memcpy(frame + 4, &length, sizeof(length));
	read_stream(frame, CTL_HEAD_BYTES + size);
	free(frame);
	return 0;
}
