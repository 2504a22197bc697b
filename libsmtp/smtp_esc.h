/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_ESC_H
#define LIBSMTP_SMTP_ESC_H
/*
 * smtp_esc - enhanced status codes, "5.1.1", text to struct and back
 *
 * Owner    the caller.
 * Memory   none; nothing is kept.
 * Fails    SMTP_ESYNTAX: the text does not begin with a code; SMTP_ENOSPACE: the buffer is too small.
 * Spec     RFC 3463 2, RFC 2034 4.
 */
#include "smtp_types.h"

enum { SMTP_ESC_TEXT_MAX = 9 }; /* "5.999.999" */

/* The code at the front of `text`, which must be followed by a blank, a line end or nothing. Returns its
 * length. */
SMTP_MUST_USE int smtp_esc_parse(struct smtp_slice text, struct smtp_esc *out_esc);
/* Returns the length written, without a terminating zero. `esc` holds a code (class not 0). */
SMTP_MUST_USE int smtp_esc_write(struct smtp_esc esc, char *buf, size_t buf_max);
#endif
