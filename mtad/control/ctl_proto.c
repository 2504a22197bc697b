/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The length is checked before anything is waited for or allocated; JSON is parsed by the library with
 * duplicate names refused and depth limited by it. Peer bytes end in an error, never in an assertion.
 */
#include "control/ctl_proto.h"

#include <stdlib.h>
#include <string.h>

const char *
ctl_err_text(int err)
{
	switch (err) {
	case CTL_EMAGIC:
		return "the other end does not speak mtactl's protocol";
	case CTL_EVERSION:
		return "mtactl and mtad are of different versions";
	case CTL_ELENGTH:
		return "a frame is empty or too long";
	case CTL_EJSON:
		return "a frame is no JSON object";
	default:
		return "no error";
	}
}

int
ctl_read_frame(const char *bytes, size_t len, json_t **out_object)
{
	uint32_t magic, length;

	if (len < CTL_HEAD_BYTES)
		return 0;
	memcpy(&magic, bytes, sizeof(magic));
	memcpy(&length, bytes + sizeof(magic), sizeof(length));
	if ((magic & 0xffffff00u) != CTL_MAGIC)
		return CTL_EMAGIC;
	if ((magic & 0xffu) != CTL_VERSION)
		return CTL_EVERSION;
	if (length == 0 || length > CTL_FRAME_MAX)
		return CTL_ELENGTH;
	if (len - CTL_HEAD_BYTES < length)
		return 0;
	*out_object = json_loadb(bytes + CTL_HEAD_BYTES, length, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(*out_object)) {
		json_decref(*out_object);
		return CTL_EJSON;
	}
	return (int)(CTL_HEAD_BYTES + length);
}

char *
ctl_write_frame(const json_t *object, size_t *out_len)
{
	size_t need = json_dumpb(object, NULL, 0, JSON_COMPACT);
	uint32_t magic = CTL_MAGIC | CTL_VERSION, length = (uint32_t)need;
	char *frame;

	if (need == 0 || need > CTL_FRAME_MAX || (frame = malloc(CTL_HEAD_BYTES + need)) == NULL)
		return NULL;
	memcpy(frame, &magic, sizeof(magic));
	memcpy(frame + sizeof(magic), &length, sizeof(length));
	(void)json_dumpb(object, frame + CTL_HEAD_BYTES, need, JSON_COMPACT);
	*out_len = CTL_HEAD_BYTES + need;
	return frame;
}
