/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CTL_PROTO_H
#define MTAD_CONTROL_CTL_PROTO_H
/*
 * ctl_proto - frames between mtactl and mtad: 8 bytes of head (magic with version, length), then one JSON
 * object
 *
 * A request is one frame: {"command": "...", ...arguments}. The answer is a stream of frames that ends with
 * one that holds "end": the exit code for mtactl; rows and texts come before it, so that a long list needs no
 * memory on either side.
 *
 * Thread   any; pure functions. Fails: negative enum ctl_err; the connection is then over.
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { CTL_HEAD_BYTES = 8, CTL_FRAME_MAX = 65536, CTL_VERSION = 1 };
#define CTL_MAGIC 0x6d746300u /* "mtc", then the version in the last byte */

enum ctl_err { CTL_OK = 0, CTL_EMAGIC = -1, CTL_EVERSION = -2, CTL_ELENGTH = -3, CTL_EJSON = -4 };
const char *ctl_err_text(int err);

/* What the bytes so far hold. 0: not yet a whole frame. Positive: bytes of the first frame, *out_object is
 * new (json_decref). Negative: enum ctl_err. */
int ctl_read_frame(const char *bytes, size_t len, json_t **out_object);
/* A new buffer with the frame (free); NULL: no memory, or the object is larger than a frame may be. */
char *ctl_write_frame(const json_t *object, size_t *out_len);
#endif
