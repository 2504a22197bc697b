/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBSMTP_SMTP_DATE_H
#define LIBSMTP_SMTP_DATE_H
/*
 * smtp_date - dates as mail writes them, always in UTC, and reads them
 *
 * Owner    nobody: pure functions; no locale, no time zone files. Memory: the caller's buffer.
 * Fails    writing: SMTP_ENOSPACE. Times before 1970 or after the year 9999 are written as the nearest one
 *          that fits. Reading: SMTP_ESYNTAX for what is no date, for a day that is not in the calendar, a
 *          day of the week that it is not, and years before 1970; the result is then untouched.
 * Spec     RFC 5322 3.3 ("+0000": UTC; "-0000" would say that the zone is not known), RFC 3339 5.6.
 */
#include "smtp_types.h"

enum { SMTP_DATE_LEN = 31, SMTP_DATE_STAMP_LEN = 20 };

/* "Mon, 23 Nov 2026 02:18:17 +0000", SMTP_DATE_LEN bytes, no NUL behind. Returns the length. */
SMTP_MUST_USE int smtp_date_write(int64_t unix_seconds, char *buf, size_t max);
/* "2026-11-23T02:18:17Z", SMTP_DATE_STAMP_LEN bytes, no NUL behind. Returns the length. */
SMTP_MUST_USE int smtp_date_write_stamp(int64_t unix_seconds, char *buf, size_t max);

/* "Mon, 23 Nov 2026 02:18:17 +0000": the weekday and the seconds may be absent, a comment may follow; a zone
 * is a number, GMT, UT or UTC (the names of RFC 5322 4.3 are taken for other zones than they meant). */
SMTP_MUST_USE int smtp_date_parse(struct smtp_slice text, int64_t *out_unix_seconds);
/* "2026-11-23T02:18:17Z", "2026-11-23 03:18:17.5+01:00". Fractions of a second are rounded up. */
SMTP_MUST_USE int smtp_date_parse_stamp(struct smtp_slice text, int64_t *out_unix_seconds);
#endif
