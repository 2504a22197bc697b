/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greylisting servers say when they will take the mail, each in its own words. What they have in common is a
 * word such as "in" and a time behind it; "10 messages per 5 minutes" and "limit of 3 hours" are no such
 * time, as the word is missing.
 *
 * Invariant: the text is a stranger's; each byte is looked at a bounded number of times, and no number
 * overflows, as more than five digits are none.
 */
#include "shape/hint.h"

#include <string.h>
#include <strings.h>

#define SECOND_US INT64_C(1000000)

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
skip(struct smtp_slice *s, size_t n)
{
	s->ptr += n;
	s->len -= n;
}

/* The letters at the front, taken off. */
static struct smtp_slice
take_word(struct smtp_slice *s)
{
	struct smtp_slice word = {s->ptr, 0};

	while (word.len < s->len && is_letter(s->ptr[word.len]))
		word.len++;
	skip(s, word.len);
	return word;
}

/* One to five digits at the front, taken off; -1: there are none. */
static int64_t
take_number(struct smtp_slice *s)
{
	int64_t n = 0;
	size_t digits = 0;

	for (; digits < s->len && is_digit(s->ptr[digits]); digits++) {
		if (digits == 5)
			return -1;
		n = n * 10 + s->ptr[digits] - '0';
	}
	skip(s, digits);
	return digits > 0 ? n : -1;
}

/* 0: not a unit of time. */
static int64_t
unit_us(struct smtp_slice word)
{
	static const struct {
		const char *word;
		int64_t us;
	} units[] = {{"s", SECOND_US}, {"sec", SECOND_US}, {"secs", SECOND_US}, {"second", SECOND_US},
		{"seconds", SECOND_US}, {"m", 60 * SECOND_US}, {"min", 60 * SECOND_US},
		{"mins", 60 * SECOND_US}, {"minute", 60 * SECOND_US}, {"minutes", 60 * SECOND_US},
		{"h", 3600 * SECOND_US}, {"hr", 3600 * SECOND_US}, {"hrs", 3600 * SECOND_US},
		{"hour", 3600 * SECOND_US}, {"hours", 3600 * SECOND_US}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (smtp_slice_is_nocase(word, (struct smtp_slice){units[i].word, strnlen(units[i].word, 8)}))
			return units[i].us;
	return 0;
}

/* ":04:59" behind the hours, or ":59" behind the minutes. */
static int64_t
clock_us(int64_t first, struct smtp_slice s)
{
	int64_t parts[3] = {first, -1, -1};
	int count = 1;

	while (count < 3 && s.len > 0 && s.ptr[0] == ':') {
		skip(&s, 1);
		parts[count] = take_number(&s);
		if (parts[count] < 0 || parts[count] > 59)
			return 0;
		count++;
	}
	if (count == 1)
		return 0;
	if (count == 2)
		return (parts[0] * 60 + parts[1]) * SECOND_US;
	return (parts[0] * 3600 + parts[1] * 60 + parts[2]) * SECOND_US;
}

/* The time at the front; 0: there is none. */
static int64_t
time_us(struct smtp_slice s)
{
	int64_t n;

	while (s.len > 0 && s.ptr[0] == ' ')
		skip(&s, 1);
	n = take_number(&s);
	if (n < 0)
		return 0;
	if (s.len > 0 && s.ptr[0] == ':')
		return clock_us(n, s);
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '-'))
		skip(&s, 1);
	return n * unit_us(take_word(&s));
}

static bool
is_lead(struct smtp_slice word)
{
	return smtp_slice_is_nocase(word, SMTP_LIT("in")) || smtp_slice_is_nocase(word, SMTP_LIT("after")) ||
	       smtp_slice_is_nocase(word, SMTP_LIT("for")) || smtp_slice_is_nocase(word, SMTP_LIT("wait")) ||
	       smtp_slice_is_nocase(word, SMTP_LIT("least"));
}

int64_t
hint_wait(struct smtp_slice text)
{
	while (text.len > 0) {
		struct smtp_slice word = take_word(&text);
		int64_t us = is_lead(word) ? time_us(text) : 0;

		if (us > 0)
			return us < HINT_MIN_US ? HINT_MIN_US : us > HINT_MAX_US ? HINT_MAX_US : us;
		if (word.len == 0)
			skip(&text, 1);
	}
	return 0;
}
