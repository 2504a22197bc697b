/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pace in tables: lanes, sources, streams, limits. In sentences: mtactl_why.c.
 */
#include "control/mtactl.h"
#include "control/mtactl_reason.h"

#include <stdio.h>
#include <string.h>

/* The summary says how many there are, under the name of the command. */
static void
show_table(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer,
	const struct mtactl_column *columns, size_t count)
{
	const json_t *rows = mtactl_rows(answer);

	mtactl_table(m, columns, count, rows, mtactl_now(answer));
	mtactl_show_more(m, mtactl_integer(json_object_get(answer, "summary"), o->command),
		(int64_t)json_array_size(rows));
}

#define SHOW_TABLE(m, o, answer, columns)                                                                    \
	show_table(m, o, answer, columns, sizeof(columns) / sizeof(columns[0]))

static bool
is_empty(const json_t *answer, const char *words)
{
	if (json_array_size(mtactl_rows(answer)) > 0)
		return false;
	puts(words);
	return true;
}

static void
write_max(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t v = mtactl_integer(row, field);

	if (v == 0)
		snprintf(buf, max, "-");
	else
		snprintf(buf, max, "%lld", (long long)v);
}

/* At work, open, the most there may be. */
static void
write_connections(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	char most[24];

	write_max(most, sizeof(most), row, "connections_max", 0);
	if (json_object_get(row, "busy") != NULL)
		snprintf(buf, max, "%lld/%lld/%s", (long long)mtactl_integer(row, "busy"),
			(long long)mtactl_integer(row, "sessions"), most);
	else
		snprintf(buf, max, "%lld/%s", (long long)mtactl_integer(row, "sessions"), most);
}

static void
write_lane_state(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	bool is_idle = mtactl_integer(row, "ready") == 0 && mtactl_integer(row, "busy") == 0;

	if (is_idle && strcmp(mtactl_text(row, "why"), "going") == 0)
		snprintf(buf, max, "idle");
	else
		mtactl_reason_short(buf, max, row);
}

void
mtactl_show_lanes(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"SITE", "site", mtactl_write_text, false, 16, false},
		{"SOURCE", "source", mtactl_write_text, false, 8, false},
		{"CONNS", "sessions", write_connections, true, 0, false},
		{"READY", "ready", mtactl_write_number, true, 0, false},
		{"STATE", "why", write_lane_state, false, 20, false},
		{"UNTIL", "until_us", mtactl_write_until, true, 0, false}};

	if (!is_empty(answer, "no lanes: no mail goes there, and none has gone for a while"))
		SHOW_TABLE(m, o, answer, columns);
}

static void
write_list(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *item;
	size_t i, len = 0;

	snprintf(buf, max, "(any)");
	json_array_foreach(json_object_get(row, field), i, item)
	{
		if (len < max)
			len += (size_t)snprintf(
				buf + len, max - len, "%s%s", i > 0 ? ", " : "", json_string_value(item));
	}
}

/* "marketing, shop:3", as they are written in the configuration. */
static void
write_pools(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *pool;
	size_t i, len = 0;

	snprintf(buf, max, "-");
	json_array_foreach(json_object_get(row, field), i, pool)
	{
		int64_t weight = mtactl_integer(pool, "weight");

		if (len < max)
			len += (size_t)snprintf(
				buf + len, max - len, "%s%s", i > 0 ? ", " : "", mtactl_text(pool, "pool"));
		if (weight != 1 && len < max)
			len += (size_t)snprintf(buf + len, max - len, ":%lld", (long long)weight);
	}
}

static void
write_source_state(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *reason = mtactl_text(row, "reason");

	if (strcmp(mtactl_text(row, "why"), "going") == 0)
		snprintf(buf, max, "%s", mtactl_text(row, "state"));
	else if (strcmp(mtactl_text(row, "why"), "down") == 0)
		snprintf(buf, max, "down");
	else if (strcmp(mtactl_text(row, "why"), "paused") == 0)
		snprintf(buf, max, "paused%s%s", reason[0] != '\0' ? ": " : "", reason);
	else
		mtactl_reason_short(buf, max, row);
}

/* Below the table, where there is room to say it whole. */
static void
show_problems(const struct mtactl *m, const json_t *answer)
{
	int64_t now_us = mtactl_now(answer);
	char since[32], next[64], problem[300];
	const json_t *row;
	size_t i;

	json_array_foreach(mtactl_rows(answer), i, row)
	{
		if (mtactl_text(row, "problem")[0] == '\0')
			continue;
		mtactl_clock(since, sizeof(since), mtactl_integer(row, "state_since_us"), now_us);
		mtactl_when(next, sizeof(next), mtactl_integer(row, "next_probe_us"), now_us);
		mtactl_write_text(problem, sizeof(problem), row, "problem", now_us);
		printf("%s%s is %s since %s, %s, next try %s%s\n", mtactl_red(m), mtactl_text(row, "source"),
			mtactl_text(row, "state"), since, problem, next, mtactl_plain(m));
	}
}

void
mtactl_show_sources(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {
		{"SOURCE", "source", mtactl_write_text, false, 8, false},
		{"ADDRESSES", "addresses", write_list, false, 12, false},
		{"EHLO", "ehlo", mtactl_write_text, false, 12, true},
		{"POOLS", "pools", write_pools, false, 10, false},
		{"CONNS", "sessions", write_connections, true, 0, false},
		{"STATE", "why", write_source_state, false, 16, false},
		{"UNTIL", "until_us", mtactl_write_until, true, 0, false}};

	SHOW_TABLE(m, o, answer, columns);
	show_problems(m, answer);
}

static void
write_name(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "-");
}

static void
write_stream_state(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	if (strcmp(mtactl_text(row, "why"), "going") == 0)
		snprintf(buf, max, "free");
	else
		mtactl_reason_short(buf, max, row);
}

void
mtactl_show_streams(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"USER", "user", write_name, false, 8, false},
		{"JOB", "job", write_name, false, 8, false},
		{"CLASS", "class", mtactl_write_text, false, 0, false},
		{"USER-WEIGHT", "user_weight", mtactl_write_number, true, 0, true},
		{"WEIGHT", "weight", mtactl_write_number, true, 0, true},
		{"READY", "ready", mtactl_write_number, true, 0, false},
		{"WAITING", "waiting", mtactl_write_number, true, 0, false},
		{"LEASED", "leased", mtactl_write_number, true, 0, false},
		{"HELD", "held", mtactl_write_number, true, 0, false},
		{"STATE", "why", write_stream_state, false, 16, false},
		{"UNTIL", "until_us", mtactl_write_until, true, 0, false}};

	if (!is_empty(answer, "no stream has mail in the queue"))
		SHOW_TABLE(m, o, answer, columns);
}

/* Of a lane, the source and the site. */
static void
write_limited(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	write_name(buf, max, row, field, now_us);
	if (strcmp(mtactl_text(row, "level"), "lane") == 0)
		snprintf(buf, max, "%s -> %s", mtactl_text(row, "source"), mtactl_text(row, field));
}

static void
write_limit(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_limit(buf, max, row, false);
}

static bool
is_short(const json_t *row)
{
	int64_t per_us = mtactl_integer(row, "per_us");

	return per_us > 0 && per_us < 60000000;
}

/* A pace that is spread evenly has not used anything up, and has always a little left. */
static void
write_amount(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	bool is_bytes = strcmp(mtactl_text(row, "unit"), "bytes") == 0;

	if (is_short(row))
		snprintf(buf, max, "-");
	else if (is_bytes)
		mtactl_write_size(buf, max, row, field, now_us);
	else
		mtactl_count(buf, max, mtactl_integer(row, field));
}

static void
write_waiters(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_number(buf, max, row, field, now_us);
	if (mtactl_integer(row, field) >= MTACTL_WAITERS_COUNTED)
		strncat(buf, "+", max - strnlen(buf, max) - 1);
}

/* Of a limit that is not the configuration's: by whom, until when, why. */
static void
write_override(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *override = json_object_get(row, field);

	if (override != NULL)
		mtactl_override_words(buf, max, override, now_us);
	else
		snprintf(buf, max, "-");
}

static bool
has_override(const json_t *answer)
{
	const json_t *row;
	size_t i;

	json_array_foreach(mtactl_rows(answer), i, row)
	{
		if (json_object_get(row, "override") != NULL)
			return true;
	}
	return false;
}

void
mtactl_show_limits(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer)
{
	static const struct mtactl_column columns[] = {{"LEVEL", "level", mtactl_write_text, false, 0, false},
		{"NAME", "name", write_limited, false, 16, false},
		{"WHAT", "unit", mtactl_write_text, false, 0, false},
		{"LIMIT", "limit", write_limit, true, 0, false},
		{"USED", "used", write_amount, true, 0, false},
		{"LEFT", "left", write_amount, true, 0, false},
		{"UNTIL", "until_us", mtactl_write_until, true, 0, false},
		{"WAITING", "waiters", write_waiters, true, 0, false},
		{"BY HAND", "override", write_override, false, 16, false}};
	const size_t count = sizeof(columns) / sizeof(columns[0]);

	if (!is_empty(answer, "no limits of this level"))
		show_table(m, o, answer, columns, has_override(answer) ? count : count - 1);
}
