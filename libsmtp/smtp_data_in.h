/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DATA_IN_H
#define LIBSMTP_SMTP_DATA_IN_H
/*
 * smtp_data_in - the bytes of a message as they arrive: end of data, dots, and line ends nobody may disagree
 * about
 *
 * The body comes out in pieces that point into the input wherever possible; joined, they hold CRLF line ends
 * only. The first fault is told once. Nothing comes out after it, but the end of the message is still found.
 *
 * Owner    embedded in a session.
 * Memory   none beyond the struct; a piece is valid as long as the bytes it was cut from (or forever).
 * Fails    never; a fault is a fact about the message.
 * Spec     RFC 5321 2.3.8, 4.1.1.4, 4.5.2; RFC 3030 2; RFC 5322 2.1.1.
 */
#include "smtp_types.h"

enum smtp_data_fault {
	SMTP_DATA_NO_FAULT,
	SMTP_DATA_BARE_LF,
	SMTP_DATA_BARE_CR,
	SMTP_DATA_NUL,
	SMTP_DATA_LONG_LINE,
};

struct smtp_data_in {
	bool has_dots;          /* DATA; false: BDAT, where dots mean nothing and the caller knows the end */
	bool allow_bare_lf;     /* make it CRLF instead of a fault; it still never helps to end the data */
	uint32_t text_line_max; /* bytes of a line without its end; 0: no limit */

	enum smtp_data_fault fault;
	unsigned at; /* where in a line we are */
	uint64_t line_bytes;
};

enum smtp_data_in_result {
	SMTP_DATA_IN_MORE,  /* all of *in is eaten */
	SMTP_DATA_IN_PIECE, /* *out_piece is set, never empty */
	SMTP_DATA_IN_FAULT, /* d->fault was found just now */
	SMTP_DATA_IN_END,   /* CRLF.CRLF eaten; *in begins behind it */
};

void smtp_data_in_init(struct smtp_data_in *d, bool has_dots, bool allow_bare_lf, uint32_t text_line_max);

/* Eats from the front of *in. */
enum smtp_data_in_result smtp_data_in_next(
	struct smtp_data_in *d, struct smtp_slice *in, struct smtp_slice *out_piece);

/* BDAT LAST: nothing else comes. PIECE: the line end the message lacks; FAULT: a lone CR was its last byte;
 * else END. */
enum smtp_data_in_result smtp_data_in_finish(struct smtp_data_in *d, struct smtp_slice *out_piece);
#endif
