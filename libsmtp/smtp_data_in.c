/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving half of message transparency. Mail smuggling lives on two programs that read the same bytes
 * as different lines, so exactly one sequence ends the data, CRLF.CRLF, and a body that leaves here has CRLF
 * line ends and no other CR, LF or NUL, whatever came in.
 *
 * Speed: inside a line everything is found with memchr(), and a piece runs on over whole lines until one
 * begins with a dot. Only the bytes around line ends that are cut in two by the network take a step of their
 * own. Each byte is looked at a fixed number of times however the input is cut, so no input is slower than
 * its length.
 */
#include "smtp_data_in.h"

#include <assert.h>
#include <string.h>

/* Where the next byte stands. */
enum at {
	AT_LINE,   /* first of a line: at the start, or behind CRLF */
	AT_LF,     /* first of a line behind a lone LF: a dot here never ends the data */
	AT_TEXT,   /* inside a line */
	AT_CR,     /* behind CR */
	AT_DOT,    /* behind a dot that began a line */
	AT_DOT_CR, /* behind a dot that began a line, and CR */
};

static const struct smtp_slice crlf = SMTP_LIT("\r\n");

void
smtp_data_in_init(struct smtp_data_in *d, bool has_dots, bool allow_bare_lf, uint32_t text_line_max)
{
	*d = (struct smtp_data_in){
		.has_dots = has_dots,
		.allow_bare_lf = allow_bare_lf,
		.text_line_max = text_line_max,
		.at = AT_LINE,
	};
}

static void
eat(struct smtp_slice *in, size_t n)
{
	assert(n <= in->len);
	in->ptr += n;
	in->len -= n;
}

static enum smtp_data_in_result
give(struct smtp_slice piece, struct smtp_slice *out_piece)
{
	assert(piece.len > 0);
	*out_piece = piece;
	return SMTP_DATA_IN_PIECE;
}

static enum smtp_data_in_result
find_fault(struct smtp_data_in *d, enum smtp_data_fault fault)
{
	if (d->fault != SMTP_DATA_NO_FAULT)
		return SMTP_DATA_IN_MORE;
	d->fault = fault;
	return SMTP_DATA_IN_FAULT;
}

/* After a fault only the end matters: to the next LF, and was there a CR before it? */
static enum smtp_data_in_result
skip_text(struct smtp_data_in *d, struct smtp_slice *in)
{
	const char *lf = memchr(in->ptr, '\n', in->len);
	size_t n = lf != NULL ? (size_t)(lf - in->ptr) : in->len;
	bool ends_in_cr = n > 0 && in->ptr[n - 1] == '\r';

	if (lf == NULL)
		d->at = ends_in_cr ? AT_CR : AT_TEXT;
	else
		d->at = ends_in_cr ? AT_LINE : AT_LF;
	eat(in, lf != NULL ? n + 1 : n);
	return SMTP_DATA_IN_MORE;
}

/* How a run of text ended; `at` is then where the next byte stands. */
struct run {
	size_t len;   /* bytes that belong to the body */
	size_t eaten; /* and those eaten with them */
	enum at at;
	enum smtp_data_fault fault;
};

/* The longest run of body bytes at the front of `in`: whole lines, and what is there of the last one. */
static struct run
find_run(struct smtp_data_in *d, struct smtp_slice in)
{
	const char *end = in.ptr + in.len, *p = in.ptr;

	for (;;) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf != NULL ? lf : end;
		const char *cr = memchr(p, '\r', (size_t)(stop - p));
		const char *text_end = cr != NULL ? cr : stop;
		size_t len = (size_t)(text_end - in.ptr);

		d->line_bytes += (uint64_t)(text_end - p);
		if (d->text_line_max != 0 && d->line_bytes > d->text_line_max)
			return (struct run){0, len, AT_TEXT, SMTP_DATA_LONG_LINE};
		if (cr == NULL && lf == NULL)
			return (struct run){len, len, AT_TEXT, SMTP_DATA_NO_FAULT};
		if (cr == NULL && d->allow_bare_lf)
			return (struct run){len, len, AT_TEXT, SMTP_DATA_NO_FAULT};
		if (cr == NULL)
			return (struct run){0, len, AT_TEXT, SMTP_DATA_BARE_LF};
		if (cr + 1 == end)
			return (struct run){len, len + 1, AT_CR, SMTP_DATA_NO_FAULT};
		if (cr + 1 != lf)
			return (struct run){0, len + 1, AT_TEXT, SMTP_DATA_BARE_CR};
		p = lf + 1;
		d->line_bytes = 0;
		if (p == end || (d->has_dots && *p == '.'))
			return (struct run){len + 2, len + 2, AT_LINE, SMTP_DATA_NO_FAULT};
	}
}

static enum smtp_data_in_result
on_text(struct smtp_data_in *d, struct smtp_slice *in, struct smtp_slice *out_piece)
{
	struct smtp_slice piece = {in->ptr, 0};
	struct run run;

	if (d->fault != SMTP_DATA_NO_FAULT)
		return skip_text(d, in);
	if (in->ptr[0] == '\n' && d->allow_bare_lf) {
		d->at = AT_LF;
		d->line_bytes = 0;
		eat(in, 1);
		return give(crlf, out_piece);
	}
	run = find_run(d, *in);
	d->at = run.at;
	eat(in, run.eaten);
	if (run.fault != SMTP_DATA_NO_FAULT)
		return find_fault(d, run.fault);
	piece.len = run.len;
	if (memchr(piece.ptr, '\0', piece.len) != NULL)
		return find_fault(d, SMTP_DATA_NUL);
	return piece.len > 0 ? give(piece, out_piece) : SMTP_DATA_IN_MORE;
}

/* The CR was kept back until now, as only a CRLF goes into the body. */
static enum smtp_data_in_result
on_cr(struct smtp_data_in *d, struct smtp_slice *in, struct smtp_slice *out_piece)
{
	d->at = AT_TEXT;
	if (in->ptr[0] != '\n')
		return find_fault(d, SMTP_DATA_BARE_CR);
	d->at = AT_LINE;
	d->line_bytes = 0;
	eat(in, 1);
	return d->fault == SMTP_DATA_NO_FAULT ? give(crlf, out_piece) : SMTP_DATA_IN_MORE;
}

/* A dot that begins a line is never part of the body (RFC 5321 4.5.2). */
static enum smtp_data_in_result
on_line(struct smtp_data_in *d, struct smtp_slice *in)
{
	bool is_dot = d->has_dots && in->ptr[0] == '.';

	if (is_dot)
		eat(in, 1);
	d->at = is_dot && d->at == AT_LINE ? AT_DOT : AT_TEXT;
	return SMTP_DATA_IN_MORE;
}

static enum smtp_data_in_result
on_dot(struct smtp_data_in *d, struct smtp_slice *in)
{
	d->at = AT_TEXT;
	if (in->ptr[0] == '\r') {
		d->at = AT_DOT_CR;
		eat(in, 1);
	}
	return SMTP_DATA_IN_MORE;
}

static enum smtp_data_in_result
on_dot_cr(struct smtp_data_in *d, struct smtp_slice *in)
{
	d->at = AT_TEXT;
	if (in->ptr[0] != '\n')
		return find_fault(d, SMTP_DATA_BARE_CR);
	eat(in, 1);
	return SMTP_DATA_IN_END;
}

enum smtp_data_in_result
smtp_data_in_next(struct smtp_data_in *d, struct smtp_slice *in, struct smtp_slice *out_piece)
{
	enum smtp_data_in_result got = SMTP_DATA_IN_MORE;

	/* Each turn eats a byte or moves from one of the other places to AT_TEXT, which always eats. */
	while (in->len > 0 && got == SMTP_DATA_IN_MORE) {
		switch ((enum at)d->at) {
		case AT_LINE:
		case AT_LF:
			got = on_line(d, in);
			break;
		case AT_TEXT:
			got = on_text(d, in, out_piece);
			break;
		case AT_CR:
			got = on_cr(d, in, out_piece);
			break;
		case AT_DOT:
			got = on_dot(d, in);
			break;
		case AT_DOT_CR:
			got = on_dot_cr(d, in);
			break;
		}
	}
	return got;
}

enum smtp_data_in_result
smtp_data_in_finish(struct smtp_data_in *d, struct smtp_slice *out_piece)
{
	enum at at = (enum at)d->at;

	assert(!d->has_dots);
	assert(at == AT_LINE || at == AT_LF || at == AT_TEXT || at == AT_CR);
	d->at = AT_LINE;
	if (at == AT_CR)
		return find_fault(d, SMTP_DATA_BARE_CR) == SMTP_DATA_IN_FAULT ? SMTP_DATA_IN_FAULT
									      : SMTP_DATA_IN_END;
	return at == AT_TEXT && d->fault == SMTP_DATA_NO_FAULT ? give(crlf, out_piece) : SMTP_DATA_IN_END;
}
