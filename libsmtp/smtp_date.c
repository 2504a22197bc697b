/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gmtime() would do, but it is allowed to read files and strftime() asks the locale; a date in a header
 * must be the same bytes on every machine. The calendar repeats every 400 years, which is all there is
 * to it: years are counted from March, so that the leap day is the last day of a year.
 */
#include "smtp_date.h"

#include "smtp_out.h"

#include <assert.h>

enum { FIRST_YEAR = 1970, DAY_SECONDS = 86400 };
static const int64_t LAST_SECOND = 253402300799; /* 9999-12-31 23:59:59 */

static const char weekdays[] = "Thu, Fri, Sat, Sun, Mon, Tue, Wed, ";
static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";
enum { WORD = 5 }; /* bytes of each */

struct day {
	unsigned year, month, day; /* month 0..11, day 1..31 */
};

/* --- writing --- */

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

static int64_t
fit(int64_t unix_seconds)
{
	if (unix_seconds < 0)
		return 0;
	return unix_seconds < LAST_SECOND ? unix_seconds : LAST_SECOND;
}

static void
put_time(struct smtp_out *o, unsigned seconds)
{
	smtp_out_number(o, seconds / 3600, 2);
	smtp_out_put(o, SMTP_LIT(":"));
	smtp_out_number(o, seconds / 60 % 60, 2);
	smtp_out_put(o, SMTP_LIT(":"));
	smtp_out_number(o, seconds % 60, 2);
}

int
smtp_date_write(int64_t unix_seconds, char *buf, size_t max)
{
	int64_t at = fit(unix_seconds);
	unsigned days = (unsigned)(at / DAY_SECONDS);
	struct smtp_out o = {buf, max, 0, 0};
	struct day d = day_of(days);

	smtp_out_put(&o, (struct smtp_slice){&weekdays[WORD * (size_t)(days % 7)], WORD});
	smtp_out_number(&o, d.day, 2);
	smtp_out_put(&o, (struct smtp_slice){&months[WORD * (size_t)d.month], WORD});
	smtp_out_number(&o, d.year, 4);
	smtp_out_put(&o, SMTP_LIT(" "));
	put_time(&o, (unsigned)(at % DAY_SECONDS));
	smtp_out_put(&o, SMTP_LIT(" +0000"));
	assert(o.len == SMTP_DATE_LEN);
	return smtp_out_result(&o);
}

int
smtp_date_write_stamp(int64_t unix_seconds, char *buf, size_t max)
{
	int64_t at = fit(unix_seconds);
	struct smtp_out o = {buf, max, 0, 0};
	struct day d = day_of((unsigned)(at / DAY_SECONDS));

	smtp_out_number(&o, d.year, 4);
	smtp_out_put(&o, SMTP_LIT("-"));
	smtp_out_number(&o, d.month + 1, 2);
	smtp_out_put(&o, SMTP_LIT("-"));
	smtp_out_number(&o, d.day, 2);
	smtp_out_put(&o, SMTP_LIT("T"));
	put_time(&o, (unsigned)(at % DAY_SECONDS));
	smtp_out_put(&o, SMTP_LIT("Z"));
	assert(o.len == SMTP_DATE_STAMP_LEN);
	return smtp_out_result(&o);
}

/* --- reading: each takes what it names from the front, or is false --- */

static bool
take_mark(struct smtp_slice *in, char mark)
{
	if (in->len == 0 || in->ptr[0] != mark)
		return false;
	in->ptr++;
	in->len--;
	return true;
}

static bool
take_number(struct smtp_slice *in, size_t digits_min, size_t digits_max, unsigned *out)
{
	unsigned value = 0;
	size_t n = 0;

	while (n < digits_max && n < in->len && in->ptr[n] >= '0' && in->ptr[n] <= '9')
		value = value * 10 + (unsigned)(in->ptr[n++] - '0');
	in->ptr += n;
	in->len -= n;
	*out = value;
	return n >= digits_min;
}

/* The number of the word in a table of `count`, in any case. */
static bool
take_word(struct smtp_slice *in, const char *table, unsigned count, unsigned *out)
{
	size_t lead = table[0] == ' ';

	for (unsigned i = 0; i < count && in->len >= 3; i++) {
		if (!smtp_slice_is_nocase((struct smtp_slice){in->ptr, 3},
			    (struct smtp_slice){&table[WORD * (size_t)i + lead], 3}))
			continue;
		in->ptr += 3;
		in->len -= 3;
		*out = i;
		return true;
	}
	return false;
}

static bool
take_blanks(struct smtp_slice *in)
{
	bool found = false;

	while (take_mark(in, ' ') || take_mark(in, '\t'))
		found = true;
	return found;
}

/* "08:00:59"; a second of 60 is a leap second, and the next minute. */
static bool
take_time(struct smtp_slice *in, bool needs_seconds, unsigned *out_seconds)
{
	unsigned hour, minute, second = 0;

	if (!take_number(in, 2, 2, &hour) || !take_mark(in, ':') || !take_number(in, 2, 2, &minute))
		return false;
	if (take_mark(in, ':') ? !take_number(in, 2, 2, &second) : needs_seconds)
		return false;
	*out_seconds = hour * 3600 + minute * 60 + second;
	return hour < 24 && minute < 60 && second <= 60;
}

/* "+01:00", or without the colon. */
static bool
take_offset(struct smtp_slice *in, bool has_colon, int64_t *out_seconds)
{
	bool is_west = take_mark(in, '-');
	unsigned hours, minutes;

	if ((!is_west && !take_mark(in, '+')) || !take_number(in, 2, 2, &hours) ||
		(has_colon && !take_mark(in, ':')) || !take_number(in, 2, 2, &minutes) || hours > 23 ||
		minutes > 59)
		return false;
	*out_seconds = (is_west ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

/* Days since 1970-01-01. */
static unsigned
days_of(struct day d)
{
	unsigned year = d.month < 2 ? d.year - 1 : d.year; /* from March */
	unsigned in_year = (153 * ((d.month + 10) % 12) + 2) / 5 + d.day - 1;

	assert(d.year >= FIRST_YEAR);
	return year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719468;
}

/* There is such a day. */
static bool
is_day(struct day d)
{
	struct day same;

	if (d.year < FIRST_YEAR || d.month > 11 || d.day < 1 || d.day > 31)
		return false;
	same = day_of(days_of(d));
	return same.month == d.month && same.day == d.day;
}

int
smtp_date_parse_stamp(struct smtp_slice in, int64_t *out_unix_seconds)
{
	unsigned seconds, fraction = 0, digit;
	int64_t offset = 0;
	struct day d;

	if (!take_number(&in, 4, 4, &d.year) || !take_mark(&in, '-') || !take_number(&in, 2, 2, &d.month) ||
		!take_mark(&in, '-') || !take_number(&in, 2, 2, &d.day))
		return SMTP_ESYNTAX;
	d.month--;
	if (!take_mark(&in, 'T') && !take_mark(&in, 't') && !take_mark(&in, ' '))
		return SMTP_ESYNTAX;
	if (!is_day(d) || !take_time(&in, true, &seconds))
		return SMTP_ESYNTAX;
	if (take_mark(&in, '.')) {
		if (!take_number(&in, 1, 1, &fraction))
			return SMTP_ESYNTAX;
		while (take_number(&in, 1, 1, &digit))
			fraction |= digit;
	}
	if (!take_mark(&in, 'Z') && !take_mark(&in, 'z') && !take_offset(&in, true, &offset))
		return SMTP_ESYNTAX;
	if (in.len > 0)
		return SMTP_ESYNTAX;
	*out_unix_seconds = (int64_t)days_of(d) * DAY_SECONDS + seconds + (fraction != 0) - offset;
	return SMTP_OK;
}

static bool
take_zone(struct smtp_slice *in, int64_t *out_offset)
{
	static const struct smtp_slice names[] = {SMTP_LIT("GMT"), SMTP_LIT("UTC"), SMTP_LIT("UT")};

	*out_offset = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (in->len >= names[i].len &&
			smtp_slice_is_nocase((struct smtp_slice){in->ptr, names[i].len}, names[i])) {
			in->ptr += names[i].len;
			in->len -= names[i].len;
			return true;
		}
	return take_offset(in, false, out_offset);
}

int
smtp_date_parse(struct smtp_slice in, int64_t *out_unix_seconds)
{
	unsigned weekday = 0, seconds;
	bool has_weekday;
	int64_t offset;
	struct day d;

	if ((has_weekday = take_word(&in, weekdays, 7, &weekday))) {
		if (!take_mark(&in, ','))
			return SMTP_ESYNTAX;
		(void)take_blanks(&in);
	}
	if (!take_number(&in, 1, 2, &d.day) || !take_blanks(&in) || !take_word(&in, months, 12, &d.month) ||
		!take_blanks(&in) || !take_number(&in, 4, 4, &d.year) || !take_blanks(&in) || !is_day(d))
		return SMTP_ESYNTAX;
	if (has_weekday && days_of(d) % 7 != weekday)
		return SMTP_ESYNTAX;
	if (!take_time(&in, false, &seconds) || !take_blanks(&in) || !take_zone(&in, &offset))
		return SMTP_ESYNTAX;
	(void)take_blanks(&in);
	if (in.len > 0 && (in.ptr[0] != '(' || in.ptr[in.len - 1] != ')'))
		return SMTP_ESYNTAX;
	*out_unix_seconds = (int64_t)days_of(d) * DAY_SECONDS + seconds - offset;
	return SMTP_OK;
}
