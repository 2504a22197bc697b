/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message body is by far most of what is sent, so it is never copied and most of it is read once: the
 * look before sending runs at memory speed in 16-byte steps and also finds out whether any dot needs
 * doubling. Where one does, the stream is cut behind that dot and goes on at the same dot, so that it is sent
 * twice from one place.
 *
 * The position is (index, pos, dot_is_out); everything else is derived from it. next_cut() alone decides
 * where the stream is cut, for writing and for accounting what was written, so the two cannot disagree.
 */
#include "smtp_data_out.h"

#include <assert.h>
#include <string.h>

/* How far one call looks ahead for dots: no more than a socket takes at once, else a large message with a
 * slow reader would be looked at again and again. */
enum { LOOK_AHEAD_BYTES = 131072 };

enum { STEP = 16 };
typedef unsigned char bytes16 __attribute__((vector_size(STEP)));

static bytes16
load(const char *ptr)
{
	bytes16 v;

	memcpy(&v, ptr, STEP);
	return v;
}

static bool
is_any(bytes16 v)
{
	uint64_t half[2];

	memcpy(half, &v, STEP);
	return (half[0] | half[1]) != 0;
}

/* One byte and the one before it: the same tests as below. */
static void
look_byte(unsigned char prev, unsigned char byte, bool *dirty, bool *dots)
{
	*dirty |= byte == '\0' || (byte == '\n') != (prev == '\r');
	*dots |= byte == '.' && prev == '\n';
}

/*
 * A byte is dirty when it is NUL, a LF not after a CR, or follows a CR without being a LF. Comparing each
 * block with the one that starts a byte earlier tests all three without a branch.
 */
static void
look_piece(struct smtp_slice piece, bool *dirty, bool *dots)
{
	bytes16 bad = {0}, dot = {0};
	size_t at = 1;

	if (piece.len == 0)
		return;
	look_byte('\n', (unsigned char)piece.ptr[0], dirty, dots);
	for (; at + STEP <= piece.len; at += STEP) {
		bytes16 now = load(piece.ptr + at), before = load(piece.ptr + at - 1);
		bytes16 is_lf = (bytes16)(now == '\n'), after_cr = (bytes16)(before == '\r');

		bad |= (bytes16)(now == '\0') | (is_lf ^ after_cr);
		dot |= (bytes16)(now == '.') & (bytes16)(before == '\n');
	}
	for (; at < piece.len; at++)
		look_byte((unsigned char)piece.ptr[at - 1], (unsigned char)piece.ptr[at], dirty, dots);
	*dirty |= is_any(bad) || piece.ptr[piece.len - 1] == '\r';
	*dots |= is_any(dot);
}

struct smtp_data_look
smtp_data_look(const struct smtp_slice pieces[SMTP_DATA_PIECES])
{
	struct smtp_data_look look = {.ends_line = true};
	bool dirty = false;

	for (uint32_t i = 0; i < SMTP_DATA_PIECES; i++) {
		if (pieces[i].len == 0)
			continue;
		/* The piece before did not end its line: this one would begin in the middle of it. */
		dirty |= !look.ends_line;
		look_piece(pieces[i], &dirty, &look.has_dots);
		look.byte_count += pieces[i].len;
		look.ends_line = pieces[i].ptr[pieces[i].len - 1] == '\n';
	}
	look.is_clean = !dirty;
	return look;
}

/* Steps over finished and empty pieces. */
static void
settle(struct smtp_data_out *o)
{
	while (o->index < SMTP_DATA_PIECES && o->pos >= o->pieces[o->index].len) {
		o->index++;
		o->pos = o->clear_to = 0;
	}
}

void
smtp_data_out_init(struct smtp_data_out *o, const struct smtp_slice pieces[SMTP_DATA_PIECES], bool has_dots)
{
	*o = (struct smtp_data_out){.has_dots = has_dots};
	memcpy(o->pieces, pieces, sizeof(o->pieces));
	settle(o);
}

bool
smtp_data_out_is_done(const struct smtp_data_out *o)
{
	return o->index == SMTP_DATA_PIECES;
}

/*
 * Where the stretch beginning at the present position ends (exclusive), looking no further than `limit`.
 * *out_at_dot: the last byte of the stretch is a dot to be sent again. Progress is certain: the end is beyond
 * pos.
 */
static size_t
next_cut(struct smtp_data_out *o, size_t limit, bool *out_at_dot)
{
	struct smtp_slice piece = o->pieces[o->index];
	size_t from, end;

	assert(o->pos < piece.len);
	*out_at_dot = false;
	if (!o->has_dots)
		return piece.len;
	end = limit < piece.len - o->pos ? o->pos + limit : piece.len;
	if (!o->dot_is_out && piece.ptr[o->pos] == '.' && (o->pos == 0 || piece.ptr[o->pos - 1] == '\n')) {
		*out_at_dot = true;
		return o->pos + 1;
	}
	from = o->clear_to > o->pos ? o->clear_to : o->pos;
	while (from < end) {
		const char *lf = memchr(piece.ptr + from, '\n', end - from);

		if (lf == NULL)
			break;
		from = (size_t)(lf - piece.ptr) + 1;
		if (from < piece.len && piece.ptr[from] == '.') {
			o->clear_to = from - 1;
			*out_at_dot = true;
			return from + 1;
		}
	}
	if (end > o->clear_to)
		o->clear_to = end;
	return end > from ? end : from;
}

/* Moves the position over `bytes` of the stretch that ends at `cut`. */
static void
advance(struct smtp_data_out *o, size_t bytes, size_t cut, bool at_dot)
{
	bool is_whole = bytes == cut - o->pos;

	assert(bytes > 0 && bytes <= cut - o->pos);
	o->pos += bytes;
	o->dot_is_out = is_whole && at_dot;
	if (o->dot_is_out)
		o->pos--;
	settle(o);
}

int
smtp_data_out_iov(struct smtp_data_out *o, struct iovec *iov, int iov_max, bool *out_reaches_end)
{
	struct smtp_data_out ahead = *o;
	size_t limit = LOOK_AHEAD_BYTES;
	int count = 0;

	while (count < iov_max && limit > 0 && !smtp_data_out_is_done(&ahead)) {
		bool at_dot;
		size_t cut = next_cut(&ahead, limit, &at_dot), bytes = cut - ahead.pos;

		if (count == 0)
			o->clear_to = ahead.clear_to;
		iov[count++] = (struct iovec){(void *)(ahead.pieces[ahead.index].ptr + ahead.pos), bytes};
		limit -= bytes < limit ? bytes : limit;
		advance(&ahead, bytes, cut, at_dot);
	}
	*out_reaches_end = smtp_data_out_is_done(&ahead);
	return count;
}

size_t
smtp_data_out_drained(struct smtp_data_out *o, size_t bytes)
{
	while (bytes > 0 && !smtp_data_out_is_done(o)) {
		bool at_dot;
		size_t cut = next_cut(o, bytes, &at_dot), part = cut - o->pos;

		part = part < bytes ? part : bytes;
		advance(o, part, cut, at_dot);
		bytes -= part;
	}
	return bytes;
}
