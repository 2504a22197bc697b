/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DATE_H
#define LIBSMTP_SMTP_DATE_H
/*
 * smtp_date - dates as mail writes them, always in UTC
 *
 * Owner    nobody: a pure function; no locale, no time zone files. Memory: the caller's buffer.
 * Fails    SMTP_ENOSPACE. Times before 1970 or after the year 9999 are written as the nearest one that fits.
 * Spec     RFC 5322 3.3 ("+0000": UTC; "-0000" would say that the zone is not known).
 */
#include "smtp_types.h"

enum { SMTP_DATE_LEN = 31 };

/* "Mon, 23 Nov 2026 02:18:17 +0000", SMTP_DATE_LEN bytes, no NUL behind. Returns the length. */
SMTP_MUST_USE int smtp_date_write(int64_t unix_seconds, char *buf, size_t max);
#endif
