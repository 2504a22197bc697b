/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_OUT_H
#define LIBSMTP_SMTP_OUT_H
/*
 * smtp_out - text appended to a caller's buffer; private to the writers of libsmtp
 *
 * Counts on past the end, so that writers are straight lines: they look at the result once, when done.
 *
 * Owner    the writing function. Memory: the caller's buffer.
 * Fails    smtp_out_result: SMTP_ENOSPACE when it did not fit; what is in the buffer is then no use.
 */
#include "smtp_types.h"

#include <limits.h>
#include <string.h>

struct smtp_out {
	char *buf; /* may be NULL when max is 0: only counts */
	size_t max;
	size_t len;    /* bytes written, or that would have been */
	size_t column; /* of the line begun; kept by put, reset by CRLF */
};

static inline void
smtp_out_put(struct smtp_out *o, struct smtp_slice s)
{
	if (s.len == 0)
		return;
	if (o->len <= o->max && s.len <= o->max - o->len)
		memcpy(o->buf + o->len, s.ptr, s.len);
	o->len += s.len;
	o->column = s.ptr[s.len - 1] == '\n' ? 0 : o->column + s.len;
}

/* A decimal number, with zeros in front up to `digits`. */
static inline void
smtp_out_number(struct smtp_out *o, uint64_t value, int digits)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0 || (int)(sizeof(text) - at) < digits);
	smtp_out_put(o, (struct smtp_slice){text + at, sizeof(text) - at});
}

/* The length, or SMTP_ENOSPACE. */
static inline int
smtp_out_result(const struct smtp_out *o)
{
	return o->len <= o->max && o->len <= INT_MAX ? (int)o->len : SMTP_ENOSPACE;
}
#endif
