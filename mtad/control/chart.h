/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MTAD_CONTROL_CHART_H
#define MTAD_CONTROL_CHART_H
/*
 * chart - named series of numbers over days or hours, for a terminal and as a picture (SVG); several below
 * each other
 *
 * Owner    the caller; everything is borrowed for the call. Memory: none. Thread: any.
 * Fails    never; what goes wrong with writing is the stream's to tell.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	CHART_SERIES_MAX = 8, /* more are not told apart */
	CHART_DAYS_MAX = 4000,
	CHART_WIDTH_MIN = 40, /* of a terminal, in characters */
};

enum chart_kind { CHART_BARS, CHART_LINE };

struct chart_series {
	const char *name;
	enum chart_kind kind;
	const double *values; /* one for each day; below 0: there is none */
};
/* Something that happened: numbered in the picture, told below it. */
struct chart_mark {
	size_t day; /* from 0 */
	const char *text;
};
struct chart {
	const char *name;                  /* of this one among several; NULL: none */
	bool is_hourly;                    /* each "day" is an hour, the first one of a day's first */
	int32_t first_day;                 /* since 1970; is_hourly: in hours */
	size_t day_count;                  /* 1 to CHART_DAYS_MAX */
	const struct chart_series *series; /* bars first: lines are drawn over them */
	size_t series_count;
	const struct chart_mark *marks; /* by day */
	size_t mark_count;
};
/* What one picture shows: charts on the same axes, with the same names of series. */
struct chart_picture {
	const char *title, *unit; /* "recipients a day" */
	const struct chart *charts;
	size_t count; /* at least 1 */
	bool is_log;  /* for what grows by factors; the axis then has no zero */
};
struct chart_terminal {
	int width, height; /* in characters; the height is that of one plot alone */
	bool has_colour, has_unicode;
};

void chart_write_terminal(FILE *out, const struct chart_picture *p, const struct chart_terminal *t);
/* Complete, without script or anything fetched; its colours follow the reader's light or dark theme. */
void chart_write_svg(FILE *out, const struct chart_picture *p);
/* "Nov 30", whatever the locale. */
const char *chart_day_text(int32_t day, char buf[16]);
/* "200", "2.5k", "10M". */
const char *chart_number_text(double v, char buf[16]);
#endif
