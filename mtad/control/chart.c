/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The axes, and the terminal: line by line from the top, each cell asks what is in it, so nothing is kept. A
 * bar is made of eighths of a cell; lines lie over bars. Without Unicode a bar has three heights a cell.
 */
#include "control/chart_impl.h"

#include <assert.h>
#include <math.h>
#include <time.h>

enum { LABEL_WIDTH = 6, HEIGHT_MIN = 3, EIGHTHS = 8, WEEK = 7, DAY_HOURS = 24, DAY_WIDTH_MAX = 6 };

/* --- axes --- */

/* The number of 1, 2, 5, 10, 20 ... that is not above v, v > 0. */
static double
ladder_below(double v)
{
	double ten = pow(10, floor(log10(v)));

	/* Rounding may put a power of ten a step too high or low. */
	if (ten > v)
		ten /= 10;
	else if (10 * ten <= v)
		ten *= 10;
	return 5 * ten <= v ? 5 * ten : 2 * ten <= v ? 2 * ten : ten;
}

static double
ladder_above(double v)
{
	double below = ladder_below(v);

	if (below >= v)
		return below;
	/* From 1 to 2 and from 5 to 10, but from 2 to 5. */
	return lround(below / pow(10, floor(log10(below) + 1e-9))) == 2 ? 2.5 * below : 2 * below;
}

/* The smallest above 0 and the largest of a chart, beside what they are already. */
static void
widen_range(const struct chart *c, double *least, double *most)
{
	assert(c->day_count > 0 && c->day_count <= CHART_DAYS_MAX);
	assert(c->series_count <= CHART_SERIES_MAX);
	for (size_t s = 0; s < c->series_count; s++)
		for (size_t d = 0; d < c->day_count; d++) {
			double v = c->series[s].values[d];

			if (v > *most)
				*most = v;
			if (v > 0 && (*least <= 0 || v < *least))
				*least = v;
		}
}

static void
add_tick(struct chart_scale *s, double v)
{
	if (s->tick_count < CHART_TICKS_MAX)
		s->ticks[s->tick_count++] = v;
}

void
chart_scale_init(struct chart_scale *s, const struct chart_picture *p)
{
	double least = 0, most = 0, step, v;

	assert(p->count > 0);
	for (size_t i = 0; i < p->count; i++)
		widen_range(&p->charts[i], &least, &most);
	least = least > 0 ? least : 1;
	most = most > 0 ? most : 1;
	*s = (struct chart_scale){.is_log = p->is_log};
	if (!p->is_log) {
		step = fmax(ladder_above(most / 5), 1); /* what is counted has no parts */
		s->high = step * ceil(most / step - 1e-9);
		for (int i = 0; i * step <= s->high * (1 + 1e-9); i++)
			add_tick(s, i * step);
		return;
	}
	/* Below the smallest, or its bar would have no height. */
	s->low = ladder_below(least / 2);
	s->high = ladder_above(most);
	if (s->high < 4 * s->low)
		s->high = 10 * s->low;
	/* Each is at least 1.01 times the one before: it ends. */
	v = s->low;
	while (v <= s->high * (1 + 1e-9)) {
		double ten = log10(v);

		if (s->high / s->low < 200 || fabs(ten - round(ten)) < 1e-6)
			add_tick(s, v);
		v = ladder_above(v * 1.01);
	}
}

double
chart_scale_at(const struct chart_scale *s, double v)
{
	double at;

	if (v <= s->low)
		return 0;
	at = s->is_log ? log(v / s->low) / log(s->high / s->low) : v / s->high;
	return at > 1 ? 1 : at;
}

size_t
chart_label_step(const struct chart *c, size_t least)
{
	static const uint8_t hours[] = {1, 2, 3, 6, 12, 24}; /* midnight is always among them */
	size_t step = least <= 1 ? 1 : least <= 2 ? 2 : WEEK, i = 0;

	if (c->is_hourly) {
		while (i + 1 < sizeof(hours) && hours[i] < least)
			i++;
		step = hours[i];
	}
	while (step < least)
		step *= 2;
	return step;
}

const char *
chart_day_text(int32_t day, char buf[16])
{
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at = (time_t)day * 86400;
	struct tm tm;

	gmtime_r(&at, &tm);
	snprintf(buf, 16, "%s %d", months[tm.tm_mon % 12], tm.tm_mday % 100);
	return buf;
}

const char *
chart_label(const struct chart *c, size_t day, char buf[16])
{
	int32_t hour = c->first_day + (int32_t)day;

	if (!c->is_hourly)
		return chart_day_text(hour, buf);
	if (hour % DAY_HOURS == 0)
		return chart_day_text(hour / DAY_HOURS, buf);
	snprintf(buf, 16, "%02d:00", hour % DAY_HOURS);
	return buf;
}

const char *
chart_number_text(double v, char buf[16])
{
	static const char units[] = {'\0', 'k', 'M', 'G'};
	int unit = 0;

	for (; v >= 999.5 && unit < 3; unit++)
		v /= 1000;
	snprintf(buf, 16, v < 9.95 && fabs(v - round(v)) > 0.05 ? "%.1f%c" : "%.0f%c", v, units[unit]);
	return buf;
}

/* --- the terminal --- */

struct plot {
	const struct chart *c;
	const struct chart_terminal *t;
	struct chart_scale scale;
	int height, columns;
	size_t days_per_column; /* more than 1 when there are more days than columns */
	int day_width;          /* columns of a day, else */
};

static const char *const bar_glyphs[2][EIGHTHS + 1] = {{" ", ".", ".", ".", ":", ":", "#", "#", "#"},
	{" ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"}};
/* The first is drawn through, the others stand once a day. */
static const char *const line_glyphs[2][CHART_SERIES_MAX] = {{"=", "o", "x", "+", "*", "%", "@", "v"},
	{"\u2501", "\u25cf", "\u25b2", "\u25c6", "\u25a0", "\u00d7", "\u25cb", "\u25b3"}};
static const int colours[CHART_SERIES_MAX] = {34, 33, 32, 35, 36, 31, 94, 92};
enum { CORNER, ACROSS, UP, TICK_UP, TICK_ACROSS, FRAME_GLYPHS };
static const char *const frame_glyphs[2][FRAME_GLYPHS] = {
	{"+", "-", "|", "+", "+"}, {"\u2514", "\u2500", "\u2502", "\u2524", "\u252c"}};

static const char *
line_glyph(const struct plot *p, size_t series)
{
	size_t n = 0;

	for (size_t s = 0; s < series; s++)
		n += p->c->series[s].kind == CHART_LINE;
	return line_glyphs[p->t->has_unicode][n];
}

/* The largest of the days that share a column; below 0: none. */
static double
value_at(const struct plot *p, size_t series, int column)
{
	size_t first = p->days_per_column > 1 ? (size_t)column * p->days_per_column
					      : (size_t)(column / p->day_width);
	double most = -1;

	for (size_t d = first; d < first + p->days_per_column && d < p->c->day_count; d++)
		if (p->c->series[series].values[d] > most)
			most = p->c->series[series].values[d];
	return most;
}

/* How many eighths of the cell in this row, counted from below, a value fills; below 0: it ends further down.
 */
static int
eighths_in(const struct plot *p, double v, int row)
{
	int eighths = (int)lround(chart_scale_at(&p->scale, v) * p->height * EIGHTHS);

	if (v > 0 && eighths == 0)
		eighths = 1;
	eighths -= row * EIGHTHS;
	return eighths > EIGHTHS ? EIGHTHS : eighths;
}

/* What is seen of a series in a cell; NULL: nothing. */
static const char *
glyph_at(const struct plot *p, size_t series, int column, int row)
{
	double v = value_at(p, series, column);
	int in_day = column % p->day_width, top;

	if (v < 0)
		return NULL;
	if (p->c->series[series].kind == CHART_BARS) {
		top = eighths_in(p, v, row);
		/* Bars that are wide enough stand apart. */
		if (top <= 0 || (p->day_width > 2 && in_day == p->day_width - 1))
			return NULL;
		return bar_glyphs[p->t->has_unicode][top];
	}
	top = eighths_in(p, v, row);
	if (top <= 0 || eighths_in(p, v, row + 1) > 0)
		return NULL;
	if (line_glyph(p, series) != line_glyphs[p->t->has_unicode][0] && in_day != (p->day_width - 1) / 2)
		return NULL;
	return line_glyph(p, series);
}

static void
print_coloured(FILE *out, const struct plot *p, size_t series, const char *glyph)
{
	if (p->t->has_colour)
		fprintf(out, "\033[%dm%s\033[0m", colours[series], glyph);
	else
		fputs(glyph, out);
}

/* The largest number whose tick is in this row; a tick belongs to the cell below it, the foot to the lowest.
 */
static const char *
label_of(const struct plot *p, int row, char buf[16])
{
	buf[0] = '\0';
	for (size_t i = 0; i < p->scale.tick_count; i++) {
		int at = (int)lround(chart_scale_at(&p->scale, p->scale.ticks[i]) * p->height);

		if ((at > 0 ? at - 1 : 0) == row)
			chart_number_text(p->scale.ticks[i], buf);
	}
	return buf;
}

static void
print_row(FILE *out, const struct plot *p, int row)
{
	size_t coloured = CHART_SERIES_MAX; /* whose colour is on */
	int blanks = 0;
	char label[16];

	label_of(p, row, label);
	fprintf(out, "%*s %s", LABEL_WIDTH, label,
		frame_glyphs[p->t->has_unicode][label[0] != '\0' ? TICK_UP : UP]);
	for (int column = 0; column < p->columns; column++) {
		const char *glyph = NULL;
		size_t s = p->c->series_count;

		while (glyph == NULL && s-- > 0)
			glyph = glyph_at(p, s, column, row);
		if (glyph == NULL) {
			blanks++; /* owed until something follows, so that no line ends in blanks */
			continue;
		}
		fprintf(out, "%*s", blanks, "");
		blanks = 0;
		if (p->t->has_colour && s != coloured)
			fprintf(out, "\033[%dm", colours[s]);
		coloured = s;
		fputs(glyph, out);
	}
	fputs(p->t->has_colour && coloured < CHART_SERIES_MAX ? "\033[0m\n" : "\n", out);
}

static int
column_of(const struct plot *p, size_t day)
{
	return p->days_per_column > 1 ? (int)(day / p->days_per_column) : (int)day * p->day_width;
}

static void
print_days(FILE *out, const struct plot *p)
{
	size_t per_label = p->days_per_column > 1 ? 9 * p->days_per_column : (size_t)(8 / p->day_width + 1);
	size_t step = chart_label_step(p->c, per_label), tick = 0;
	char text[16];
	int at = 0;

	fprintf(out, "%*s %s", LABEL_WIDTH, "", frame_glyphs[p->t->has_unicode][CORNER]);
	for (int column = 0; column < p->columns; column++) {
		bool is_tick = tick < p->c->day_count && column == column_of(p, tick);

		tick += is_tick ? step : 0;
		fputs(frame_glyphs[p->t->has_unicode][is_tick ? TICK_ACROSS : ACROSS], out);
	}
	fprintf(out, "\n%*s", LABEL_WIDTH + 2, "");
	for (size_t day = 0; day < p->c->day_count; day += step) {
		chart_label(p->c, day, text);
		if (column_of(p, day) + 6 > p->columns && day > 0)
			break;
		at += fprintf(out, "%*s%s", column_of(p, day) - at, "", text);
	}
	fputc('\n', out);
}

/* 1 to 9, then a to z; what comes behind those has no number of its own. */
static char
mark_sign(size_t n)
{
	return (char)(n < 9 ? '1' + n : n < 35 ? 'a' + (n - 9) : '*');
}

static void
print_marks(FILE *out, const struct plot *p)
{
	const struct chart *c = p->c;
	char text[16];
	int at = 0;

	if (c->mark_count == 0)
		return;
	fprintf(out, "%*s", LABEL_WIDTH + 2, "");
	for (size_t i = 0; i < c->mark_count; i++) {
		int column = column_of(p, c->marks[i].day);

		if (column < at)
			continue; /* two in a column: the first */
		fprintf(out, "%*s%c", column - at, "", mark_sign(i));
		at = column + 1;
	}
	fputc('\n', out);
	for (size_t i = 0; i < c->mark_count; i++)
		fprintf(out, "%*c  %-6s  %s\n", LABEL_WIDTH, mark_sign(i),
			chart_label(c, c->marks[i].day, text), c->marks[i].text);
}

static void
print_chart(FILE *out, const struct chart *c, const struct chart_terminal *t, const struct chart_scale *scale)
{
	struct plot p = {
		.c = c, .t = t, .scale = *scale, .height = t->height < HEIGHT_MIN ? HEIGHT_MIN : t->height};
	int room = (t->width < CHART_WIDTH_MIN ? CHART_WIDTH_MIN : t->width) - LABEL_WIDTH - 3;
	int days = (int)c->day_count;

	p.days_per_column = (size_t)((days + room - 1) / room);
	p.day_width = p.days_per_column > 1 ? 1 : room / days;
	if (p.day_width > DAY_WIDTH_MAX)
		p.day_width = DAY_WIDTH_MAX;
	p.columns = p.days_per_column > 1 ? (days + (int)p.days_per_column - 1) / (int)p.days_per_column
					  : days * p.day_width;
	if (c->name != NULL)
		fprintf(out, "%*s%s\n", LABEL_WIDTH + 2, "", c->name);
	for (int row = p.height; row-- > 0;)
		print_row(out, &p, row);
	print_days(out, &p);
	print_marks(out, &p);
}

void
chart_write_terminal(FILE *out, const struct chart_picture *p, const struct chart_terminal *t)
{
	struct plot first = {.c = p->charts, .t = t};
	struct chart_scale scale;

	chart_scale_init(&scale, p);
	fprintf(out, "%s%s%s (%s)\n", t->has_colour ? "\033[1m" : "", p->title,
		t->has_colour ? "\033[0m" : "", p->unit);
	fprintf(out, "%*s", LABEL_WIDTH, "");
	for (size_t s = 0; s < p->charts->series_count; s++) {
		fputs("  ", out);
		print_coloured(out, &first, s,
			p->charts->series[s].kind == CHART_BARS ? bar_glyphs[t->has_unicode][EIGHTHS]
								: line_glyph(&first, s));
		fprintf(out, " %s", p->charts->series[s].name);
	}
	fputc('\n', out);
	for (size_t i = 0; i < p->count; i++) {
		fputs(i > 0 ? "\n" : "", out);
		print_chart(out, &p->charts[i], t, &scale);
	}
}
