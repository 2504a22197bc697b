/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_date: known dates, leap days, both ends of the range, and every day against the C library's calendar.
 */
#include "smtp_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static const struct {
	int64_t seconds;
	const char *want;
} dates[] = {
	{0, "Thu, 01 Jan 1970 00:00:00 +0000"},
	{951782399, "Mon, 28 Feb 2000 23:59:59 +0000"},
	{951782400, "Tue, 29 Feb 2000 00:00:00 +0000"},
	{951868800, "Wed, 01 Mar 2000 00:00:00 +0000"},
	{1792463421, "Tue, 20 Oct 2026 02:30:21 +0000"},
	{4107542399, "Sun, 28 Feb 2100 23:59:59 +0000"},
	{4107542400, "Mon, 01 Mar 2100 00:00:00 +0000"},
	{253402300799, "Fri, 31 Dec 9999 23:59:59 +0000"},
	/* Out of range: the nearest one that fits. */
	{-1, "Thu, 01 Jan 1970 00:00:00 +0000"},
	{INT64_MIN, "Thu, 01 Jan 1970 00:00:00 +0000"},
	{253402300800, "Fri, 31 Dec 9999 23:59:59 +0000"},
	{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000"},
};

static void
test_dates(void **state)
{
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		char buf[SMTP_DATE_LEN];

		assert_int_equal(smtp_date_write(dates[i].seconds, buf, sizeof(buf)), SMTP_DATE_LEN);
		assert_memory_equal(buf, dates[i].want, SMTP_DATE_LEN);
		assert_int_equal(smtp_date_write(dates[i].seconds, buf, sizeof(buf) - 1), SMTP_ENOSPACE);
	}
}

static void
test_every_day(void **state)
{
	/* 400 years and a bit, at a second of the day that moves. */
	for (int64_t day = 0; day < 146097 + 400; day++) {
		time_t seconds = day * 86400 + day % 86400;
		char buf[SMTP_DATE_LEN], want[64];
		struct tm tm;

		gmtime_r(&seconds, &tm);
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S +0000", &tm);
		assert_int_equal(smtp_date_write(seconds, buf, sizeof(buf)), SMTP_DATE_LEN);
		assert_memory_equal(buf, want, SMTP_DATE_LEN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_every_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
