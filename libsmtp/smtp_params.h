/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_PARAMS_H
#define LIBSMTP_SMTP_PARAMS_H
/*
 * smtp_params - the parameters behind MAIL FROM:<...> and RCPT TO:<...>, and xtext
 *
 * Owner    the caller; results point into `text`.
 * Memory   none: `text` is overwritten, decoded values stand where their encodings stood, never longer.
 * Fails    SMTP_ESYNTAX: a bad value, a parameter given twice, control characters behind an encoding;
 *          SMTP_ETOOLONG: a value longer than smtp_types.h allows, or a SIZE beyond 64 bits. The result
 *          is then untouched, `text` is not.
 * Spec     RFC 5321 4.1.2, 1870, 2852, 3461 4, 4865, 4954 5, 6152, 6531, 6710.
 */
#include "smtp_server.h"

/* Facts beside 0, success. */
enum { SMTP_PARAMS_UNKNOWN = 1 /* a parameter, or a value of BODY, that we do not offer: 555 */ };

/* Sets everything but the sender. On failure *out_why says what is wrong, for the client; static. */
SMTP_MUST_USE int smtp_params_mail(
	char *text, size_t text_len, struct smtp_server_mail *mail, const char **out_why);
/* Sets orcpt and notify; the address stays. */
SMTP_MUST_USE int smtp_params_rcpt(char *text, size_t text_len, struct smtp_server_rcpt *rcpt);

/* RFC 6710: "0", "-4", "9". SMTP_ESYNTAX: none. */
SMTP_MUST_USE int smtp_params_priority(struct smtp_slice value, int *out_priority);

/*
 * xtext (RFC 3461 4): both return the bytes written, or enum smtp_err. Decoding may happen in place; it
 * refuses what is not printable ASCII or a blank after decoding, as such text ends in headers, reports and
 * logs.
 */
SMTP_MUST_USE int smtp_xtext_decode(struct smtp_slice in, char *buf, size_t buf_max);
SMTP_MUST_USE int smtp_xtext_encode(struct smtp_slice in, char *buf, size_t buf_max);
#endif
