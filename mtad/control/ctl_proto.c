/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame codec. Lengths are checked before anything is taken from the bytes they describe; the JSON itself is
 * jansson's business (it bounds nesting and refuses what is not UTF-8).
 */
#include "control/ctl_proto.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[4] = {'M', 'T', 'A', 'C'};

const char *
ctl_err_text(int err)
{
	switch ((enum ctl_err)err) {
	case CTL_EMAGIC:
		return "it does not speak this protocol";
	case CTL_EVERSION:
		return "it speaks another version of the protocol";
	case CTL_EKIND:
		return "a frame of unknown kind";
	case CTL_ESIZE:
		return "a frame that is too long";
	case CTL_EJSON:
		return "a frame that holds no JSON object";
	case CTL_ENOMEM:
		return "out of memory";
	}
	return "no error";
}

static uint32_t
get_number(const char *p, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n = n << 8 | (unsigned char)p[i];
	return n;
}

static void
put_number(char *p, size_t len, uint32_t n)
{
	for (size_t i = len; i > 0; i--, n >>= 8)
		p[i - 1] = (char)(n & 0xff);
}

int
ctl_frame_parse(const char *bytes, size_t len, size_t body_max, struct ctl_frame *out)
{
	uint32_t kind, body;

	assert(body_max <= CTL_ANSWER_MAX);
	if (memcmp(bytes, magic, len < sizeof(magic) ? len : sizeof(magic)) != 0)
		return CTL_EMAGIC;
	if (len < 6)
		return 0;
	out->version = (uint16_t)get_number(bytes + 4, 2);
	if (out->version != CTL_VERSION)
		return CTL_EVERSION;
	if (len < CTL_HEADER_BYTES)
		return 0;
	kind = get_number(bytes + 6, 2);
	body = get_number(bytes + 8, 4);
	if (kind < CTL_REQUEST || kind > CTL_END)
		return CTL_EKIND;
	if (body > body_max)
		return CTL_ESIZE;
	if (len - CTL_HEADER_BYTES < body)
		return 0;
	out->kind = (enum ctl_kind)kind;
	out->body = bytes + CTL_HEADER_BYTES;
	out->len = body;
	return (int)(CTL_HEADER_BYTES + body);
}

int
ctl_frame_json(const struct ctl_frame *f, json_t **out_object)
{
	json_error_t error;
	json_t *object = json_loadb(f->body, f->len, JSON_REJECT_DUPLICATES, &error);

	if (object == NULL)
		return json_error_code(&error) == json_error_out_of_memory ? CTL_ENOMEM : CTL_EJSON;
	if (!json_is_object(object)) {
		json_decref(object);
		return CTL_EJSON;
	}
	*out_object = object;
	return 0;
}

char *
ctl_frame_make(enum ctl_kind kind, const json_t *object, size_t body_max, size_t *out_len)
{
	size_t len = json_dumpb(object, NULL, 0, JSON_COMPACT);
	char *frame;

	if (len == 0 || len > body_max || (frame = malloc(CTL_HEADER_BYTES + len)) == NULL)
		return NULL;
	memcpy(frame, magic, sizeof(magic));
	put_number(frame + 4, 2, CTL_VERSION);
	put_number(frame + 6, 2, kind);
	put_number(frame + 8, 4, (uint32_t)len);
	(void)json_dumpb(object, frame + CTL_HEADER_BYTES, len, JSON_COMPACT);
	*out_len = CTL_HEADER_BYTES + len;
	return frame;
}

/* Length of the UTF-8 sequence at p, 0: there is none (RFC 3629: no surrogates, nothing overlong). */
static size_t
utf8_len(const unsigned char *p, size_t left)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > left || p[0] == 0)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		(p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

json_t *
ctl_text(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	size_t at = 0, n = 0, step;
	json_t *text;
	char *copy;

	if ((text = memchr(bytes, '\0', len) == NULL ? json_stringn(bytes, len) : NULL) != NULL)
		return text;
	if ((copy = malloc(4 * len + 1)) == NULL)
		return NULL;
	while (at < len) {
		if ((step = utf8_len(p + at, len - at)) > 0)
			memcpy(copy + n, p + at, step);
		else
			snprintf(copy + n, 5, "\\x%02x", p[at]);
		n += step > 0 ? step : 4;
		at += step > 0 ? step : 1;
	}
	text = json_stringn(copy, n);
	free(copy);
	return text;
}

const char *
ctl_get(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

int64_t
ctl_get_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
