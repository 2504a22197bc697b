/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body parser against a naive one that sees the whole input at once. The first byte chooses the mode, the
 * second the size of the portions.
 */
#include "smtp_data_in.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct want {
	size_t end; /* bytes up to and with CRLF.CRLF; SIZE_MAX: no end */
	bool has_fault;
	char *body;
	size_t body_len;
};

/* CRLF.CRLF, where the start of the data counts as a CRLF before it. */
static size_t
find_end(struct smtp_slice in)
{
	if (in.len >= 3 && memcmp(in.ptr, ".\r\n", 3) == 0)
		return 3;
	for (size_t i = 0; i + 5 <= in.len; i++)
		if (memcmp(in.ptr + i, "\r\n.\r\n", 5) == 0)
			return i + 5;
	return SIZE_MAX;
}

/* Only for input with an end. Byte by byte, with the previous bytes at hand. */
static void
read_naively(struct smtp_slice in, bool allow_bare_lf, size_t line_max, struct want *w)
{
	size_t line = 0;
	bool at_start = true;

	in.len = w->end - 3;
	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];
		bool is_crlf = c == '\r' && i + 1 < in.len && in.ptr[i + 1] == '\n';

		if (at_start && c == '.') {
			at_start = false;
			continue;
		}
		at_start = is_crlf || c == '\n';
		if (at_start) {
			w->has_fault |= !is_crlf && !allow_bare_lf;
			memcpy(w->body + w->body_len, "\r\n", 2);
			w->body_len += 2;
			line = 0;
			i += is_crlf;
			continue;
		}
		w->has_fault |= c == '\r' || c == '\0' || (line_max != 0 && ++line > line_max);
		w->body[w->body_len++] = c;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_data_in d;
	struct smtp_slice in, piece;
	struct want want = {.body = NULL};
	size_t body_len = 0, portion, at = 0, line_max;
	bool allow_bare_lf;
	enum smtp_data_in_result got = SMTP_DATA_IN_MORE;

	if (size < 2)
		return 0;
	allow_bare_lf = data[0] & 1;
	line_max = data[0] >> 1 & 31;
	portion = 1 + data[1];
	in = (struct smtp_slice){(const char *)data + 2, size - 2};
	want.end = find_end(in);
	want.body = malloc(in.len * 2 + 1);
	if (want.end != SIZE_MAX)
		read_naively(in, allow_bare_lf, line_max, &want);
	smtp_data_in_init(&d, true, allow_bare_lf, (uint32_t)line_max);
	while (at < in.len && got != SMTP_DATA_IN_END) {
		struct smtp_slice part = {in.ptr + at, portion < in.len - at ? portion : in.len - at};
		size_t before = part.len;

		do {
			got = smtp_data_in_next(&d, &part, &piece);
			if (got != SMTP_DATA_IN_PIECE)
				continue;
			assert(d.fault == SMTP_DATA_NO_FAULT && piece.len > 0);
			if (want.end != SIZE_MAX && !want.has_fault) {
				assert(body_len + piece.len <= want.body_len);
				assert(memcmp(want.body + body_len, piece.ptr, piece.len) == 0);
			}
			body_len += piece.len;
		} while (got != SMTP_DATA_IN_MORE && got != SMTP_DATA_IN_END);
		at += before - part.len;
	}
	assert((got == SMTP_DATA_IN_END) == (want.end != SIZE_MAX));
	if (want.end != SIZE_MAX) {
		assert(at == want.end);
		assert((d.fault != SMTP_DATA_NO_FAULT) == want.has_fault);
		assert(want.has_fault || body_len == want.body_len);
	}
	free(want.body);
	return 0;
}
