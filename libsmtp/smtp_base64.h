/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_BASE64_H
#define LIBSMTP_SMTP_BASE64_H
/*
 * smtp_base64 - base64 as SMTP AUTH carries it: no line breaks, padding required
 *
 * Owner    the caller; when decoding, `in` and `buf` may be the same bytes (the output never overtakes).
 * Memory   the caller's buffer; nothing is appended to it.
 * Fails    SMTP_ESYNTAX: a byte outside the alphabet, wrong padding, or bits set behind the last byte (so
 *          that each byte string has one encoding); SMTP_ENOSPACE: buf is too small. Nothing of value is
 *          in buf after a failure.
 * Spec     RFC 4648 4, RFC 4954 4.
 */
#include "smtp_types.h"

/* Bytes the encoding of `n` bytes takes. */
#define SMTP_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Both return the number of bytes written, or enum smtp_err. */
SMTP_MUST_USE int smtp_base64_encode(struct smtp_slice in, char *buf, size_t buf_max);
SMTP_MUST_USE int smtp_base64_decode(struct smtp_slice in, char *buf, size_t buf_max);
#endif
