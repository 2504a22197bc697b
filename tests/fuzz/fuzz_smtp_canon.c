/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first two bytes choose where to cut, the rest is a body. The canonical form must be the same whole, cut
 * once, and byte by byte; equal to a plain transcription of RFC 6376 3.4 that works on the whole; and its own
 * canonical form.
 */
#include "smtp_canon.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 16384 };

struct bytes {
	char buf[BODY_MAX + 2];
	size_t len;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
collect(void *arg, struct smtp_slice in)
{
	struct bytes *b = arg;

	if (in.len > sizeof(b->buf) - b->len)
		abort();
	memcpy(b->buf + b->len, in.ptr, in.len);
	b->len += in.len;
}

/* A first piece, then pieces of `step`. */
static void
canon(enum smtp_canon_kind kind, struct smtp_slice in, size_t first, size_t step, struct bytes *out)
{
	struct smtp_canon_body c;

	out->len = 0;
	smtp_canon_body_init(&c, kind, (struct smtp_canon_sink){collect, out});
	smtp_canon_body_feed(&c, (struct smtp_slice){in.ptr, first});
	for (size_t at = first; at < in.len; at += step)
		smtp_canon_body_feed(
			&c, (struct smtp_slice){in.ptr + at, in.len - at < step ? in.len - at : step});
	smtp_canon_body_end(&c);
}

static bool
ends_line(const struct bytes *b, size_t len)
{
	return len >= 2 && memcmp(b->buf + len - 2, "\r\n", 2) == 0;
}

/* RFC 6376 3.4.3 and 3.4.4, sentence by sentence. */
static void
by_the_book(enum smtp_canon_kind kind, struct smtp_slice in, struct bytes *out)
{
	out->len = 0;
	for (size_t i = 0; i < in.len; i++) {
		bool is_blank = in.ptr[i] == ' ' || in.ptr[i] == '\t';
		bool ends = i + 1 < in.len && in.ptr[i] == '\r' && in.ptr[i + 1] == '\n';

		if (kind == SMTP_CANON_RELAXED && ends && out->len > 0 && out->buf[out->len - 1] == ' ')
			out->len--;
		if (kind == SMTP_CANON_RELAXED && is_blank && out->len > 0 && out->buf[out->len - 1] == ' ')
			continue;
		out->buf[out->len++] = kind == SMTP_CANON_RELAXED && is_blank ? ' ' : in.ptr[i];
	}
	if (kind == SMTP_CANON_RELAXED && out->len > 0 && out->buf[out->len - 1] == ' ')
		out->len--;
	while (ends_line(out, out->len) && (out->len == 2 || ends_line(out, out->len - 2)))
		out->len -= 2;
	if (!ends_line(out, out->len) && (out->len > 0 || kind == SMTP_CANON_SIMPLE))
		collect(out, SMTP_LIT("\r\n"));
}

static void
require_same(const struct bytes *a, const struct bytes *b)
{
	if (a->len != b->len || memcmp(a->buf, b->buf, a->len) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes whole, other;
	struct smtp_slice in;
	size_t first;

	if (size < 2 || size - 2 > BODY_MAX)
		return 0;
	in = (struct smtp_slice){(const char *)data + 2, size - 2};
	first = in.len > 0 ? ((size_t)data[0] << 8 | data[1]) % (in.len + 1) : 0;
	for (int kind = SMTP_CANON_SIMPLE; kind <= SMTP_CANON_RELAXED; kind++) {
		canon((enum smtp_canon_kind)kind, in, 0, in.len + 1, &whole);
		by_the_book((enum smtp_canon_kind)kind, in, &other);
		require_same(&whole, &other);
		canon((enum smtp_canon_kind)kind, in, first, in.len + 1, &other);
		require_same(&whole, &other);
		canon((enum smtp_canon_kind)kind, in, 0, 1, &other);
		require_same(&whole, &other);
		canon((enum smtp_canon_kind)kind, (struct smtp_slice){whole.buf, whole.len}, 0, 7, &other);
		require_same(&whole, &other);
	}
	return 0;
}
