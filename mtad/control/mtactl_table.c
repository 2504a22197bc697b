/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people. A column knows how to make its text from a row; widths are measured first, in characters
 * and not in bytes. Colours only on a terminal and not with NO_COLOR.
 */
#include "control/mtactl.h"

#include <stdio.h>
#include <string.h>

enum { CELL_MAX = 600, COLUMNS_MAX = 16, GAP = 2, CUT_MARK = '~' };

/* C0, DEL, and C1 (UTF-8: c2 and one of 80..9f), which some terminals obey too. */
size_t
mtactl_control_len(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
		return 2;
	return p[0] < ' ' || p[0] == 127 ? 1 : 0;
}

const char *
mtactl_bold(const struct mtactl *m)
{
	return m->colour ? "\033[1m" : "";
}

const char *
mtactl_dim(const struct mtactl *m)
{
	return m->colour ? "\033[2m" : "";
}

const char *
mtactl_red(const struct mtactl *m)
{
	return m->colour ? "\033[31m" : "";
}

const char *
mtactl_green(const struct mtactl *m)
{
	return m->colour ? "\033[32m" : "";
}

const char *
mtactl_plain(const struct mtactl *m)
{
	return m->colour ? "\033[0m" : "";
}

static bool
is_first_byte(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static int
width_of(const char *s)
{
	int width = 0;

	for (; *s != '\0'; s++)
		width += is_first_byte(*s);
	return width;
}

static void
measure(const struct mtactl_column *columns, size_t count, const json_t *rows, int64_t now_us, int *widths)
{
	char cell[CELL_MAX];
	const json_t *row;
	size_t i, k;

	for (i = 0; i < count; i++) {
		widths[i] = width_of(columns[i].title);
		json_array_foreach(rows, k, row)
		{
			columns[i].write(cell, sizeof(cell), row, columns[i].field, now_us);
			if (width_of(cell) > widths[i])
				widths[i] = width_of(cell);
		}
	}
}

static int
line_width(const int *widths, size_t count)
{
	int sum = -GAP;
	size_t i;

	for (i = 0; i < count; i++)
		sum += widths[i] > 0 ? widths[i] + GAP : 0;
	return sum;
}

static int
least_width(const struct mtactl_column *c, int width)
{
	return c->least > 0 && c->least < width ? c->least : width;
}

/* Leaves out columns from the right (their width is 0 then) until the line could fit. */
static void
leave_out(const struct mtactl *m, const struct mtactl_column *columns, size_t count, int *widths)
{
	int least[COLUMNS_MAX];
	size_t i;

	for (i = 0; i < count; i++)
		least[i] = least_width(&columns[i], widths[i]);
	for (i = count; i > 0 && line_width(least, count) > m->width; i--)
		if (columns[i - 1].is_optional)
			widths[i - 1] = least[i - 1] = 0;
}

/* The widest of those that may be cut is cut, until the line fits or nothing can be cut. */
static void
fit(const struct mtactl *m, const struct mtactl_column *columns, size_t count, int *widths)
{
	size_t i, widest;

	while (line_width(widths, count) > m->width) {
		widest = count;
		for (i = 0; i < count; i++)
			if (widths[i] > least_width(&columns[i], widths[i]) &&
				(widest == count || widths[i] > widths[widest]))
				widest = i;
		if (widest == count)
			return; /* a terminal too narrow for the numbers: lines break */
		widths[widest]--;
	}
}

/* The width after cutting. */
static int
cut(char *s, int width)
{
	int wide = width_of(s), at = 0;

	if (wide <= width)
		return wide;
	for (; !is_first_byte(*s) || at++ < width - 1; s++)
		;
	s[0] = CUT_MARK;
	s[1] = '\0';
	return width;
}

/* Spaces are owed until something follows them, so that no line ends with any. */
static void
print_cell(char *s, int width, bool is_right, int *owed)
{
	int wide = cut(s, width);

	if (wide == 0) {
		*owed += width + GAP;
		return;
	}
	printf("%*s%s", *owed + (is_right ? width - wide : 0), "", s);
	*owed = (is_right ? 0 : width - wide) + GAP;
}

static void
print_line(const struct mtactl_column *columns, size_t count, const int *widths, const json_t *row,
	int64_t now_us)
{
	char cell[CELL_MAX];
	int owed = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (widths[i] == 0)
			continue;
		if (row != NULL)
			columns[i].write(cell, sizeof(cell), row, columns[i].field, now_us);
		else
			snprintf(cell, sizeof(cell), "%s", columns[i].title);
		print_cell(cell, widths[i], columns[i].is_right, &owed);
	}
	putchar('\n');
}

void
mtactl_table(const struct mtactl *m, const struct mtactl_column *columns, size_t count, const json_t *rows,
	int64_t now_us)
{
	int widths[COLUMNS_MAX];
	const json_t *row;
	size_t k;

	measure(columns, count, rows, now_us, widths);
	leave_out(m, columns, count, widths);
	fit(m, columns, count, widths);
	fputs(mtactl_bold(m), stdout);
	print_line(columns, count, widths, NULL, now_us);
	fputs(mtactl_plain(m), stdout);
	json_array_foreach(rows, k, row)
	{
		bool is_sum = json_is_true(json_object_get(row, "is_sum"));

		fputs(is_sum ? mtactl_bold(m) : "", stdout);
		print_line(columns, count, widths, row, now_us);
		fputs(is_sum ? mtactl_plain(m) : "", stdout);
	}
}
