/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_PROTO_H
#define MTAD_CONTROL_CTL_PROTO_H
/*
 * ctl_proto - what mtactl and mtad say to each other: frames with a JSON object each
 *
 *   frame    "MTAC"  version (2)  kind (2)  length (4)  length bytes of JSON       numbers in network order
 *   request  one frame REQUEST {"command": "list", "args": {...}}
 *   answer   any number of ITEMs, then one END {"exit": 0} or {"exit": 1, "error": "words"}
 *
 * So a list of any length passes through constant memory at both ends. The header keeps its form in all versions:
 * either end can tell the other which one it speaks.
 *
 * Owner    the caller. Memory: parse borrows the bytes; what is made is the caller's.
 * Thread   any.
 * Fails    enum ctl_err. Every byte string is parsed to an end: fuzzed.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CTL_VERSION = 1,
	CTL_HEADER_BYTES = 12,
	CTL_REQUEST_MAX = 65536, /* bytes of JSON */
	CTL_ANSWER_MAX = 1 << 20,
};
enum ctl_kind { CTL_REQUEST = 1, CTL_ITEM, CTL_END };
enum ctl_err {
	CTL_EMAGIC = -1,   /* not mtactl, or not mtad */
	CTL_EVERSION = -2, /* another version; frame.version says which */
	CTL_EKIND = -3,
	CTL_ESIZE = -4, /* longer than allowed */
	CTL_EJSON = -5, /* not one JSON object */
	CTL_ENOMEM = -6,
};
const char *ctl_err_text(int err);

struct ctl_frame {
	uint16_t version;
	enum ctl_kind kind;
	const char *body; /* points into the bytes */
	size_t len;
};
/* Looks at the front of `bytes`. > 0: a frame of so many bytes stands there; 0: more is needed; < 0: it never will. A
 * header that can be refused is refused before its body has come. */
int ctl_frame_parse(const char *bytes, size_t len, size_t body_max, struct ctl_frame *out);
/* Its body as an object. */
int ctl_frame_json(const struct ctl_frame *f, json_t **out_object);
/* A frame as one malloc'ed block; NULL: no memory, or longer than body_max. */
char *ctl_frame_make(enum ctl_kind kind, const json_t *object, size_t body_max, size_t *out_len);

/* Bytes of anybody as a JSON string: what is not UTF-8, and NUL, as \xNN. */
json_t *ctl_text(const void *bytes, size_t len);
/* A member as text; "" when it is missing or no text. */
const char *ctl_get(const json_t *object, const char *name);
int64_t ctl_get_number(const json_t *object, const char *name);
#endif
