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

/* --- reading --- */

enum { AT = 1798099200 }; /* 2026-12-24 08:00:00 */

static const struct {
	const char *name;
	struct smtp_slice text;
	int64_t want; /* -1: refused */
} stamps[] = {
	{"UTC", SMTP_LIT("2026-12-24T08:00:00Z"), AT},
	{"lower case", SMTP_LIT("2026-12-24t08:00:00z"), AT},
	{"a blank", SMTP_LIT("2026-12-24 08:00:00Z"), AT},
	{"east", SMTP_LIT("2026-12-24T09:30:00+01:30"), AT},
	{"west, the day before", SMTP_LIT("2026-12-23T23:00:00-09:00"), AT},
	{"a fraction", SMTP_LIT("2026-12-24T08:00:00.000000000000000000001Z"), AT + 1},
	{"a fraction of nothing", SMTP_LIT("2026-12-24T08:00:00.0Z"), AT},
	{"a leap second", SMTP_LIT("2026-12-31T23:59:60Z"), 1798761600},
	{"a leap day", SMTP_LIT("2028-02-29T00:00:00Z"), 1835395200},
	{"the first", SMTP_LIT("1970-01-01T00:00:00Z"), 0},
	{"the last", SMTP_LIT("9999-12-31T23:59:59Z"), 253402300799},
	{"nothing", SMTP_LIT(""), -1},
	{"a day", SMTP_LIT("2026-12-24"), -1},
	{"no zone", SMTP_LIT("2026-12-24T08:00:00"), -1},
	{"no seconds", SMTP_LIT("2026-12-24T08:00Z"), -1},
	{"an empty fraction", SMTP_LIT("2026-12-24T08:00:00.Z"), -1},
	{"hour 24", SMTP_LIT("2026-12-24T24:00:00Z"), -1},
	{"minute 60", SMTP_LIT("2026-12-24T08:60:00Z"), -1},
	{"second 61", SMTP_LIT("2026-12-24T08:00:61Z"), -1},
	{"month 0", SMTP_LIT("2026-00-24T08:00:00Z"), -1},
	{"month 13", SMTP_LIT("2026-13-24T08:00:00Z"), -1},
	{"day 0", SMTP_LIT("2026-12-00T08:00:00Z"), -1},
	{"day 32", SMTP_LIT("2026-12-32T08:00:00Z"), -1},
	{"no leap day", SMTP_LIT("2026-02-29T08:00:00Z"), -1},
	{"no leap day in 2100", SMTP_LIT("2100-02-29T08:00:00Z"), -1},
	{"day 31 of 30", SMTP_LIT("2026-11-31T08:00:00Z"), -1},
	{"a program's zero", SMTP_LIT("0001-01-01T00:00:00Z"), -1},
	{"five digits", SMTP_LIT("12026-12-24T08:00:00Z"), -1},
	{"one digit", SMTP_LIT("2026-12-4T08:00:00Z"), -1},
	{"zone without colon", SMTP_LIT("2026-12-24T08:00:00+0100"), -1},
	{"zone of a day", SMTP_LIT("2026-12-24T08:00:00+24:00"), -1},
	{"something behind", SMTP_LIT("2026-12-24T08:00:00Z "), -1},
	{"a NUL", SMTP_LIT("2026-12-24T08:00:00\0"), -1},
	{"a mail's", SMTP_LIT("Thu, 24 Dec 2026 08:00:00 +0000"), -1},
};

static const struct {
	const char *name;
	struct smtp_slice text;
	int64_t want;
} mail_dates[] = {
	{"whole", SMTP_LIT("Thu, 24 Dec 2026 08:00:00 +0000"), AT},
	{"in any case, blanks as they come", SMTP_LIT("thu,24  DEC\t2026  08:00:00   -0000"), AT},
	{"no weekday, no seconds", SMTP_LIT("24 Dec 2026 08:00 GMT"), AT},
	{"one digit", SMTP_LIT("4 Jan 2027 00:00:00 UTC"), 1799020800},
	{"a zone, and a comment", SMTP_LIT("Thu, 24 Dec 2026 09:00:00 +0100 (CET)"), AT},
	{"west", SMTP_LIT("Wed, 23 Dec 2026 22:30:00 -0930"), AT},
	{"UT", SMTP_LIT("24 Dec 2026 08:00:00 ut"), AT},
	{"nothing", SMTP_LIT(""), -1},
	{"another weekday", SMTP_LIT("Fri, 24 Dec 2026 08:00:00 +0000"), -1},
	{"no such weekday", SMTP_LIT("Foo, 24 Dec 2026 08:00:00 +0000"), -1},
	{"no comma", SMTP_LIT("Thu 24 Dec 2026 08:00:00 +0000"), -1},
	{"no such month", SMTP_LIT("24 Dez 2026 08:00:00 +0000"), -1},
	{"no such day", SMTP_LIT("31 Nov 2026 08:00:00 +0000"), -1},
	{"two digits", SMTP_LIT("24 Dec 26 08:00:00 +0000"), -1},
	{"no zone", SMTP_LIT("24 Dec 2026 08:00:00"), -1},
	{"a zone of many places", SMTP_LIT("24 Dec 2026 08:00:00 EST"), -1},
	{"zone with colon", SMTP_LIT("24 Dec 2026 08:00:00 +01:00"), -1},
	{"something behind", SMTP_LIT("24 Dec 2026 08:00:00 +0100 x"), -1},
	{"zone too long", SMTP_LIT("24 Dec 2026 08:00:00 +01000"), -1},
	{"no time", SMTP_LIT("24 Dec 2026"), -1},
	{"month first", SMTP_LIT("Dec 24 2026 08:00:00 +0000"), -1},
};

static void
test_read(void **state)
{
	int64_t got;
	int err;

	for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++) {
		got = -1;
		err = smtp_date_parse_stamp(stamps[i].text, &got);
		if (got != stamps[i].want || (err == SMTP_OK) != (stamps[i].want >= 0))
			fail_msg("%s: %d %lld", stamps[i].name, err, (long long)got);
	}
	for (size_t i = 0; i < sizeof(mail_dates) / sizeof(mail_dates[0]); i++) {
		got = -1;
		err = smtp_date_parse(mail_dates[i].text, &got);
		if (got != mail_dates[i].want || (err == SMTP_OK) != (mail_dates[i].want >= 0))
			fail_msg("%s: %d %lld", mail_dates[i].name, err, (long long)got);
	}
}

/* What one side writes, the other reads. */
static void
test_there_and_back(void **state)
{
	for (int64_t day = 0; day < 146097 + 400; day++) {
		int64_t at = day * 86400 + day % 86400, back;
		char buf[SMTP_DATE_LEN];

		assert_int_equal(smtp_date_write_stamp(at, buf, sizeof(buf)), SMTP_DATE_STAMP_LEN);
		assert_int_equal(
			smtp_date_parse_stamp((struct smtp_slice){buf, SMTP_DATE_STAMP_LEN}, &back), SMTP_OK);
		assert_int_equal(back, at);
		assert_int_equal(smtp_date_write(at, buf, sizeof(buf)), SMTP_DATE_LEN);
		assert_int_equal(smtp_date_parse((struct smtp_slice){buf, SMTP_DATE_LEN}, &back), SMTP_OK);
		assert_int_equal(back, at);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_every_day),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
