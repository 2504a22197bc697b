/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_HEADER_H
#define LIBSMTP_SMTP_HEADER_H
/*
 * smtp_header - one pass over the header block of a message: fields, positions, hop count
 *
 * What one reader takes for a field another must not take for the body, so nothing is repaired: a block
 * that two parsers could read differently is refused.
 *
 * Owner    the caller; slices point into the scanned bytes.
 * Memory   the caller's array of fields.
 * Fails    SMTP_ESYNTAX: a line that is no field and no continuation (no colon, no name, a blank or any
 *          byte outside 33..126 in the name, a first line that starts with a blank), a bare CR, a bare
 *          LF, a NUL, or a last line without CRLF.
 *          SMTP_ETOOLONG: SMTP_HEADER_BLOCK_MAX, the array, or a line over SMTP_TEXT_LINE_MAX bytes.
 *          out_at says at which byte; h is then undefined.
 * Spec     RFC 5322 2.1, 2.2, 3.6.
 */
#include "smtp_types.h"

struct smtp_field {
	struct smtp_slice whole; /* name to final CRLF, continuation lines included */
	struct smtp_slice name;  /* as written */
	struct smtp_slice value; /* after the colon, to before the final CRLF; still folded */
};

struct smtp_header {
	struct smtp_field *fields; /* the caller's */
	uint32_t fields_max;
	uint32_t count;
	size_t header_bytes; /* up to and including the empty line; all of it when there is none */
	uint32_t hops;       /* Received fields */
	bool is_8bit;        /* bytes above 127 in the block */
	bool is_closed;      /* the empty line was there; else the block may go on in a next piece */
};

/*
 * `message` begins with the header block; fields and fields_max are set. On success the scan is complete
 * up to the empty line. No bytes, or an empty line first, is a block of no fields.
 */
SMTP_MUST_USE int smtp_header_scan(struct smtp_header *h, struct smtp_slice message, size_t *out_at);
/* The first field of that name from `from` on (0 at first), case-insensitive; -1: none. */
int smtp_header_find(const struct smtp_header *h, struct smtp_slice name, uint32_t from);
/* The value unfolded (CRLF removed) and trimmed, into buf; SMTP_ENOSPACE when it does not fit. Returns its
 * length. */
SMTP_MUST_USE int smtp_header_unfold(struct smtp_slice value, char *buf, size_t buf_max);
/*
 * The domain of the first mailbox of a From/Sender value: comments, quoted strings, display names and
 * groups skipped. Empty when there is none, or when it is no domain name (a literal, a comment inside).
 * Points into value, as written: not folded to lower case, not converted to A-labels.
 */
struct smtp_slice smtp_header_domain(struct smtp_slice value);
/*
 * The next address of a From value, without brackets, route and comments; *in moves behind it. 1: one; 0:
 * none is left; SMTP_ESYNTAX: readers may see other addresses there than we do (groups are that, too). When
 * no call said so, smtp_header_domain() is the domain of the first one, or empty.
 */
SMTP_MUST_USE int smtp_header_address(struct smtp_slice *in, struct smtp_slice *out_address);
#endif
