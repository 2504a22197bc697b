/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_MIME_TEXT_H
#define LIBSMTP_SMTP_MIME_TEXT_H
/*
 * smtp_mime_text - what the bytes of a foreign mail say: encodings undone, header words, HTML as plain text
 *
 * For readers of reports, not for showing mail: UTF-8, US-ASCII and Latin 1 (and Windows 1252, of which the
 * bytes 128..159 become '?') end as UTF-8, other character sets stay as they are. Whatever is wrong in an
 * encoding is passed over or stays as written.
 *
 * Owner    the caller; the text is in buf.
 * Memory   the caller's buffer. Text that does not fit is cut, not inside a UTF-8 character; *out_is_cut is
 *          set to true then and else not touched, so that one flag can serve several calls.
 * Fails    never. All return the bytes written; nothing is put behind them.
 * Spec     RFC 2045 6, RFC 2047.
 */
#include "smtp_mime.h"

/* A body without its transfer encoding, byte for byte. buf and body must not overlap. */
size_t smtp_mime_decode(
	struct smtp_slice body, enum smtp_mime_encoding encoding, char *buf, size_t max, bool *out_is_cut);
/* A part's body as text: decoded, in UTF-8 where the character set allows, text/html as plain text. */
size_t smtp_mime_text(const struct smtp_mime_part *part, char *buf, size_t max, bool *out_is_cut);
/* A field's value: unfolded, trimmed, encoded words decoded. */
size_t smtp_mime_value(struct smtp_slice value, char *buf, size_t max, bool *out_is_cut);
/*
 * HTML as plain text, in place: tags, comments, scripts and styles are left out, blocks and <br> end lines,
 * runs of blanks are one blank (not in <pre>), the usual character references are resolved. "<a@b.test>" in
 * HTML of careless programs is text. Returns the new length.
 */
size_t smtp_mime_html(char *text, size_t len);
#endif
