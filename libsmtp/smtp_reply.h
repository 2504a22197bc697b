/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_REPLY_H
#define LIBSMTP_SMTP_REPLY_H
/*
 * smtp_reply - SMTP replies, built from whatever pieces the network delivers
 *
 * Owner    its session; borrows the caller's bytes only during the call.
 * Memory   SMTP_REPLY_TEXT_MAX bytes, fixed. Longer text is cut and flagged, never grown.
 * Thread   the session's.
 * Fails    SMTP_ESYNTAX: not SMTP: a code outside 200..599 (RFC 5321 4.2 ends at 559, sites use 571 and 590),
 * codes that differ between the lines, something other than blank, hyphen or line end behind the code, a line
 * end other than CRLF, a NUL. SMTP_ETOOLONG: more than SMTP_REPLY_BYTES_MAX bytes. After a failure the
 * session is over; the same failure is returned again. A 5xx is a reply, not a failure. Bytes above 127 and
 * control characters are kept: whoever shows the text escapes it. Spec     RFC 5321 4.2 (a code without text
 * is accepted as 4.2 asks), RFC 2034 4.
 */
#include "smtp_types.h"

enum { SMTP_REPLY_CODE_MIN = 200, SMTP_REPLY_CODE_MAX = 599 };

/* What feed() found. */
enum smtp_reply_feed {
	SMTP_REPLY_NEEDS_MORE = 0, /* all eaten */
	SMTP_REPLY_WHOLE = 1,
	SMTP_REPLY_LINE = 2, /* a line that is not the last; informs, go on feeding */
};

/* Embedded in its owner; the members are the parser's own. */
struct smtp_reply_parser {
	uint32_t byte_count; /* of this reply */
	uint32_t line_bytes; /* of this line, code included, line end not */
	uint32_t text_len;
	int failure;   /* enum smtp_err, once it failed */
	uint16_t code; /* of the first line; 0: not complete yet */
	uint16_t line_code;
	bool is_last_line;
	bool has_cr; /* the line's last byte so far was CR */
	bool is_cut;
	struct smtp_esc esc;
	char text[SMTP_REPLY_TEXT_MAX];
};

void smtp_reply_init(struct smtp_reply_parser *p);
/* Eats from the front of *in and stops behind each line end. On WHOLE and LINE *out_reply holds the reply as
 * far as it is known, valid until the next call; on WHOLE the parser is ready for the next reply. */
SMTP_MUST_USE int smtp_reply_feed(
	struct smtp_reply_parser *p, struct smtp_slice *in, struct smtp_reply *out_reply);
/* After LINE: the text so far has been dealt with; the next LINE or WHOLE shows only what follows (EHLO's
 * long answer). */
void smtp_reply_forget_text(struct smtp_reply_parser *p);
#endif
