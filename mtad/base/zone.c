/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TZif file lists the changes up to some year, and ends with a line that says in POSIX's words how it goes
 * on: "CET-1CEST,M3.5.0,M10.5.0/3". Some systems list none that the line would give as well, so both are
 * read.
 *
 * Invariant: out[] grows in time, and no two neighbours have the same offset.
 */
#include "base/zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FILE_MAX = 65536, /* the largest of tzdata has 4 KB */
	HEADER = 44,
	LINE_MAX_BYTES = 127,
	COUNTS = 20, /* where the six counts stand */
	DAY_S = 86400,
	YEAR_FIRST = 2020,
	YEAR_END = 2100,
	OFFSET_MAX_S = 26 * 3600, /* RFC 8536 3.2: from -25 to +26 hours */
	RULE_HOURS_MAX = 167,     /* RFC 8536 3.3.1 */
};

struct changes {
	struct queue_hours_change *items;
	int count;
	bool is_bad;
};

/* The year 9999: a later change is a mistake, and no sum of what is not one comes near the end of 64 bits. */
#define LAST_S INT64_C(253402300799)

/* From at_s on it is offset_s; times may come that are before what is wanted, in order. */
static void
put(struct changes *c, int64_t at_s, int32_t offset_s)
{
	int64_t at_us = ZONE_FIRST_US;

	if (at_s > LAST_S || offset_s > OFFSET_MAX_S || offset_s < -OFFSET_MAX_S)
		c->is_bad = true;
	else if (at_s > ZONE_FIRST_US / 1000000)
		at_us = at_s * 1000000;
	if (c->count > 0 && at_us < c->items[c->count - 1].from_us)
		c->is_bad = true;
	if (c->is_bad)
		return;
	if (c->count > 0 && c->items[c->count - 1].from_us == at_us)
		c->count--;
	if (c->count > 0 && c->items[c->count - 1].offset_s == offset_s)
		return;
	if (c->count == ZONE_CHANGES_MAX) {
		c->is_bad = true;
		return;
	}
	c->items[c->count++] = (struct queue_hours_change){at_us, offset_s};
}

/* --- the line at the end --- */

/* Where a year's change stands: month 1..12, week 1..5 (5: the last), weekday 0..6 from Sunday, wall time. */
struct rule {
	int month, week, weekday;
	int32_t at_s;
};
struct line {
	const char *p;
	bool is_bad;
};

static bool
eat(struct line *l, char c)
{
	if (*l->p != c)
		return false;
	l->p++;
	return true;
}

static int
number(struct line *l, int min, int max)
{
	int n = 0, len = 0;

	for (; *l->p >= '0' && *l->p <= '9' && len < 4; l->p++, len++)
		n = n * 10 + (*l->p - '0');
	l->is_bad |= len == 0 || n < min || n > max;
	return n;
}

/* CET, or <+03>. */
static void
abbreviation(struct line *l)
{
	size_t len;

	if (eat(l, '<')) {
		l->p += strcspn(l->p, ">");
		l->is_bad |= !eat(l, '>');
		return;
	}
	len = strspn(l->p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
	l->is_bad |= len == 0;
	l->p += len;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static int32_t
clock_time(struct line *l)
{
	bool is_minus = eat(l, '-');
	int32_t s;

	if (!is_minus)
		eat(l, '+');
	s = number(l, 0, RULE_HOURS_MAX) * 3600;
	if (eat(l, ':'))
		s += number(l, 0, 59) * 60;
	if (eat(l, ':'))
		s += number(l, 0, 59);
	return is_minus ? -s : s;
}

/* ,M10.5.0/3 is the only form that a zone of our days has. */
static struct rule
change_rule(struct line *l)
{
	struct rule r = {.at_s = 2 * 3600};

	l->is_bad |= !eat(l, ',') || !eat(l, 'M');
	r.month = number(l, 1, 12);
	l->is_bad |= !eat(l, '.');
	r.week = number(l, 1, 5);
	l->is_bad |= !eat(l, '.');
	r.weekday = number(l, 0, 6);
	if (eat(l, '/'))
		r.at_s = clock_time(l);
	return r;
}

/* Local seconds since 1970. */
static int64_t
rule_in(const struct rule *r, int year)
{
	struct tm first = {.tm_year = year - 1900, .tm_mon = r->month - 1, .tm_mday = 1},
		  next = {.tm_year = year - 1900, .tm_mon = r->month, .tm_mday = 1};
	int64_t day = timegm(&first) / DAY_S, end = timegm(&next) / DAY_S;

	/* Day 0 was a Thursday. */
	day += (r->weekday - (day + 4) % 7 + 7) % 7 + INT64_C(7) * (r->week - 1);
	if (day >= end)
		day -= 7;
	return day * DAY_S + r->at_s;
}

static void
put_rules(struct changes *c, struct queue_blob line, int64_t after_s)
{
	char text[LINE_MAX_BYTES + 1] = "";
	struct line l = {.p = text};
	int32_t winter_s, summer_s;
	struct rule to_summer, to_winter;

	if (line.len > LINE_MAX_BYTES) {
		c->is_bad = true;
		return;
	}
	memcpy(text, line.ptr, line.len);
	abbreviation(&l);
	winter_s = -clock_time(&l);
	if (*l.p == '\0') {
		put(c, after_s, winter_s);
		c->is_bad |= l.is_bad;
		return;
	}
	abbreviation(&l);
	summer_s = *l.p == ',' ? winter_s + 3600 : -clock_time(&l);
	to_summer = change_rule(&l);
	to_winter = change_rule(&l);
	c->is_bad |= l.is_bad || *l.p != '\0';
	for (int year = YEAR_FIRST; year < YEAR_END && !c->is_bad; year++) {
		int64_t summer = rule_in(&to_summer, year) - winter_s,
			winter = rule_in(&to_winter, year) - summer_s;
		bool is_north = summer < winter;

		for (int i = 0; i < 2; i++) {
			bool is_summer = (i == 0) == is_north;
			int64_t at_s = is_summer ? summer : winter;

			if (at_s > after_s)
				put(c, at_s, is_summer ? summer_s : winter_s);
		}
	}
}

/* --- the file --- */

struct header {
	size_t isut, isstd, leap, times, types, chars;
};

static uint64_t
big_endian(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static bool
read_header(const uint8_t *p, size_t left, struct header *out)
{
	if (left < HEADER || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	*out = (struct header){big_endian(p + COUNTS, 4), big_endian(p + COUNTS + 4, 4),
		big_endian(p + COUNTS + 8, 4), big_endian(p + COUNTS + 12, 4), big_endian(p + COUNTS + 16, 4),
		big_endian(p + COUNTS + 20, 4)};
	return out->times < FILE_MAX && out->types > 0 && out->types <= 256 && out->chars < FILE_MAX &&
	       out->leap == 0 && out->isut <= out->types && out->isstd <= out->types;
}

/* Of the block behind a header, whose times have so many bytes. */
static size_t
block_bytes(const struct header *h, size_t time_bytes)
{
	return h->times * (time_bytes + 1) + h->types * 6 + h->chars + h->isstd + h->isut;
}

static void
put_block(struct changes *c, const struct header *h, const uint8_t *p, int64_t *out_last_s)
{
	const uint8_t *index = p + h->times * 8, *types = index + h->times;

	*out_last_s = INT64_MIN;
	put(c, 0, (int32_t)big_endian(types, 4));
	for (size_t i = 0; i < h->times; i++) {
		if (index[i] >= h->types) {
			c->is_bad = true;
			return;
		}
		*out_last_s = (int64_t)big_endian(p + i * 8, 8);
		put(c, *out_last_s, (int32_t)big_endian(types + (size_t)index[i] * 6, 4));
	}
}

int
zone_parse(struct queue_blob bytes, struct queue_hours_change out[ZONE_CHANGES_MAX])
{
	const uint8_t *p = bytes.ptr, *end = p + bytes.len;
	struct changes c = {.items = out};
	struct header h;
	int64_t last_s;

	/* First what version 1 could say, then all again in 64 bits. */
	for (int i = 0; i < 2; i++) {
		if (!read_header(p, (size_t)(end - p), &h) ||
			block_bytes(&h, i == 0 ? 4 : 8) > (size_t)(end - p) - HEADER)
			return ZONE_EDAMAGED;
		p += HEADER;
		if (i == 1)
			put_block(&c, &h, p, &last_s);
		p += block_bytes(&h, i == 0 ? 4 : 8);
	}
	/* "\nCET-1CEST,M3.5.0,M10.5.0/3\n"; empty: nobody knows. */
	if (end - p < 2 || p[0] != '\n' || end[-1] != '\n' ||
		memchr(p + 1, '\n', (size_t)(end - p) - 1) != end - 1)
		return ZONE_EDAMAGED;
	if (p[1] != '\n')
		put_rules(&c, (struct queue_blob){p + 1, (size_t)(end - p) - 2}, last_s);
	return c.is_bad ? ZONE_EDAMAGED : c.count;
}

int
zone_read(const char *name, struct queue_hours_change out[ZONE_CHANGES_MAX])
{
	uint8_t bytes[FILE_MAX];
	size_t len = 0;
	ssize_t n = 0;
	char path[256];
	struct stat st;
	int fd;

	if (strncmp(name, "UTC", 4) == 0) {
		out[0] = (struct queue_hours_change){ZONE_FIRST_US, 0};
		return 1;
	}
	/* A name, and no way out of the folder. */
	if (name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-_/")] !=
			'\0' ||
		name[0] == '/' || name[0] == '\0')
		return ZONE_ENOTFOUND;
	n = snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
	if ((size_t)n >= sizeof(path))
		return ZONE_ENOTFOUND;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ZONE_ENOTFOUND;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ZONE_ENOTFOUND;
	}
	while (len < sizeof(bytes) && (n = read(fd, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (n < 0 || len == sizeof(bytes))
		return ZONE_EDAMAGED;
	return zone_parse((struct queue_blob){bytes, len}, out);
}
