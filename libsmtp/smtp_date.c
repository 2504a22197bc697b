/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmtime() would do, but it is allowed to read files and strftime() asks the locale; a date in a header
 * must be the same bytes on every machine. The calendar repeats every 400 years, which is all there is
 * to it: years are counted from March, so that the leap day is the last day of a year.
 */
#include "smtp_date.h"

#include "smtp_out.h"

#include <assert.h>

static const int64_t LAST_SECOND = 253402300799; /* 9999-12-31 23:59:59 */

struct day {
	unsigned year, month, day; /* month 0..11, day 1..31 */
};

/* Days since 1970-01-01 to the calendar. */
static struct day
day_of(unsigned days)
{
	unsigned shifted = days + 719468; /* since 0000-03-01 */
	unsigned era = shifted / 146097, in_era = shifted % 146097;
	unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * in_year + 2) / 153; /* from March */
	struct day d = {
		.year = era * 400 + year + (month >= 10),
		.month = (month + 2) % 12,
		.day = in_year - (153 * month + 2) / 5 + 1,
	};

	assert(d.day >= 1 && d.day <= 31);
	return d;
}

int
smtp_date_write(int64_t unix_seconds, char *buf, size_t max)
{
	static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
	static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
	struct smtp_out o = {buf, max, 0, 0};
	unsigned days, seconds;
	struct day d;

	if (unix_seconds < 0)
		unix_seconds = 0;
	if (unix_seconds > LAST_SECOND)
		unix_seconds = LAST_SECOND;
	days = (unsigned)(unix_seconds / 86400);
	seconds = (unsigned)(unix_seconds % 86400);
	d = day_of(days);
	smtp_out_put(&o, (struct smtp_slice){&weekdays[5 * (size_t)(days % 7)], 5});
	smtp_out_number(&o, d.day, 2);
	smtp_out_put(&o, (struct smtp_slice){&months[5 * (size_t)d.month], 5});
	smtp_out_number(&o, d.year, 4);
	smtp_out_put(&o, SMTP_LIT(" "));
	smtp_out_number(&o, seconds / 3600, 2);
	smtp_out_put(&o, SMTP_LIT(":"));
	smtp_out_number(&o, seconds / 60 % 60, 2);
	smtp_out_put(&o, SMTP_LIT(":"));
	smtp_out_number(&o, seconds % 60, 2);
	smtp_out_put(&o, SMTP_LIT(" +0000"));
	assert(o.len == SMTP_DATE_LEN);
	return smtp_out_result(&o);
}
