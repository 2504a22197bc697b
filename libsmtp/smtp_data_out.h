/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DATA_OUT_H
#define LIBSMTP_SMTP_DATA_OUT_H
/*
 * smtp_data_out - a message on its way out: dots doubled, nothing copied
 *
 * A message is up to SMTP_DATA_PIECES pieces (stored header fields, signature, body), each ending at a line
 * end, the last one possibly without its CRLF. smtp_data_look() is done once before anything is sent: what it
 * does not call clean must not be sent at all, because a bare CR, a bare LF or a NUL is what SMTP smuggling
 * is made of.
 *
 * Owner    the caller; the pieces are borrowed until the message is out.
 * Memory   this struct. Dots are doubled by pointing at the same dot twice.
 * Fails    never.
 * Spec     RFC 5321 2.3.8, 4.5.2.
 */
#include "smtp_types.h"

#include <sys/uio.h>

enum { SMTP_DATA_PIECES = 3 };

/* What one pass over a message tells. */
struct smtp_data_look {
	uint64_t byte_count; /* without the doubled dots: SIZE= of RFC 1870 */
	bool is_clean;       /* no NUL, CR and LF only together, pieces end at line ends */
	bool has_dots;       /* some line begins with a dot */
	bool ends_line;      /* the last line has its CRLF; an empty message counts as one that does */
};

struct smtp_data_look smtp_data_look(const struct smtp_slice pieces[SMTP_DATA_PIECES]);

/* The members are the module's own. */
struct smtp_data_out {
	struct smtp_slice pieces[SMTP_DATA_PIECES];
	uint32_t index; /* of the present piece; SMTP_DATA_PIECES: all is out */
	bool has_dots;
	bool dot_is_out; /* the byte at `pos` is a line's first dot and has been sent once */
	size_t pos;      /* in the piece: what is sent */
	size_t clear_to; /* no line between pos and here begins with a dot; spares looking again after a short
			    write */
};

/* `has_dots` from smtp_data_look(): when false the message goes out without another look at it. */
void smtp_data_out_init(
	struct smtp_data_out *o, const struct smtp_slice pieces[SMTP_DATA_PIECES], bool has_dots);
/* What to write next; 0 when all is out. The same bytes again until drained. *out_reaches_end: these are the
 * last. */
int smtp_data_out_iov(struct smtp_data_out *o, struct iovec *iov, int iov_max, bool *out_reaches_end);
/* `bytes` of them were written. Returns what exceeds the message. */
size_t smtp_data_out_drained(struct smtp_data_out *o, size_t bytes);
bool smtp_data_out_is_done(const struct smtp_data_out *o);
#endif
