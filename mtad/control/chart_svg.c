/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture: a file that stands alone, in a mail, a wiki or a browser. Colours are those that people with
 * any kind of colour vision tell apart (Okabe and Ito), lighter ones on dark paper. Whoever points at a day
 * is told its number.
 */
#include "control/chart_impl.h"

#include <string.h>

enum {
	WIDTH = 960,
	LEFT = 76,
	RIGHT = 28,
	HEAD = 68,     /* title and legend */
	TOP = 24,      /* of a chart: the signs of its marks */
	NAME_TOP = 48, /* and its name */
	PLOT_HEIGHT = 320,
	PLOT_HEIGHT_OF_MANY = 130,
	PLOT_WIDTH = WIDTH - LEFT - RIGHT,
	BELOW = 40, /* the plot: the day axis */
	FOOT = 16,
	LINE_HEIGHT = 20,
	MARK_COLUMNS = 2,
	LABEL_ROOM = 58, /* of a day's label */
};

static const char style[] =
	"<style>\n"
	"svg{font-family:system-ui,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif;font-size:13px}\n"
	".paper{fill:#ffffff}.ink{fill:#1c2733}.pale{fill:#5b6875}\n"
	".title{font-size:18px;font-weight:600}.name{font-size:14px;font-weight:600}.end{text-anchor:end}."
	"mid{text-anchor:middle}\n"
	".grid{stroke:#dfe4e9;stroke-width:1}.axis{stroke:#8793a0;stroke-width:1;fill:none}\n"
	".line{fill:none;stroke-width:2.5;stroke-linejoin:round}\n"
	".mark{stroke:#b3261e;stroke-width:1;stroke-dasharray:3 3}.dot{fill:#b3261e}\n"
	".sign{fill:#ffffff;font-size:11px;font-weight:600;text-anchor:middle}\n"
	"%s"
	"@media (prefers-color-scheme:dark){\n"
	".paper{fill:#12181f}.ink{fill:#e6ebf0}.pale{fill:#9aa7b4}\n"
	".grid{stroke:#27313b}.axis{stroke:#5f6d7a}.mark{stroke:#ff8a80}.dot{fill:#ff8a80}.sign{fill:#12181f}"
	"\n"
	"%s}\n</style>\n";
static const char *const light[CHART_SERIES_MAX] = {
	"#56b4e9", "#d55e00", "#009e73", "#a3498a", "#0072b2", "#c78a00", "#4d4d4d", "#7a5195"};
static const char *const dark[CHART_SERIES_MAX] = {
	"#3d8fc4", "#ff8a3c", "#2bc79a", "#e08cc8", "#7ab8ff", "#f0c040", "#b8b8b8", "#b99cff"};

/* Text of XML. */
static void
print_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else if (*text == '"')
			fputs("&quot;", out);
		else if ((unsigned char)*text >= ' ')
			fputc(*text, out);
}

static void
print_style(FILE *out, size_t series_count)
{
	char rules[2][CHART_SERIES_MAX * 48] = {"", ""};

	for (int is_dark = 0; is_dark < 2; is_dark++)
		for (size_t s = 0, at = 0; s < series_count; s++)
			at += (size_t)snprintf(rules[is_dark] + at, sizeof(rules[0]) - at,
				".f%zu{fill:%s}.l%zu{stroke:%s}\n", s, is_dark ? dark[s] : light[s], s,
				is_dark ? dark[s] : light[s]);
	fprintf(out, style, rules[0], rules[1]);
}

struct panel {
	const struct chart *c;
	const struct chart_scale *scale;
	int top, foot; /* of the plot, from the top of the picture */
};

static double
x_of(const struct chart *c, double day)
{
	return LEFT + PLOT_WIDTH * day / (double)c->day_count;
}

static double
y_of(const struct panel *p, double v)
{
	return p->top + (p->foot - p->top) * (1 - chart_scale_at(p->scale, v));
}

static void
print_axes(FILE *out, const struct panel *p)
{
	size_t step = chart_label_step(p->c, (size_t)(LABEL_ROOM * p->c->day_count / PLOT_WIDTH) + 1);
	char text[16];

	for (size_t i = 0; i < p->scale->tick_count; i++) {
		double y = y_of(p, p->scale->ticks[i]);

		fprintf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
			LEFT + PLOT_WIDTH, y, y);
		fprintf(out, "<text class=\"pale end\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT - 8, y + 4.5,
			chart_number_text(p->scale->ticks[i], text));
	}
	for (size_t day = 0; day < p->c->day_count; day += step) {
		double x = x_of(p->c, (double)day + 0.5);

		fprintf(out, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x,
			p->foot, p->foot + 5);
		fprintf(out, "<text class=\"pale mid\" x=\"%.1f\" y=\"%d\">%s</text>\n", x, p->foot + 21,
			chart_label(p->c, day, text));
	}
}

static void
print_bars(FILE *out, const struct panel *p, size_t s)
{
	double width = (double)PLOT_WIDTH / (double)p->c->day_count;
	char day[16], number[16];

	for (size_t d = 0; d < p->c->day_count; d++) {
		double v = p->c->series[s].values[d], y = y_of(p, v);

		if (v <= 0)
			continue;
		fprintf(out,
			"<rect class=\"f%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%.1f\"><title>%s: %s ",
			s, x_of(p->c, (double)d) + width * 0.1, y, width * 0.8, p->foot - y,
			chart_label(p->c, d, day), chart_number_text(v, number));
		print_text(out, p->c->series[s].name);
		fputs("</title></rect>\n", out);
	}
}

/* A stair: the value of a day holds for all of it. */
static void
print_stair(FILE *out, const struct panel *p, size_t s)
{
	bool is_down = false;

	fprintf(out, "<path class=\"line l%zu\" d=\"", s);
	for (size_t d = 0; d < p->c->day_count; d++) {
		double v = p->c->series[s].values[d];

		if (v >= 0) {
			fprintf(out, is_down ? "V%.1f" : "M%.1f ",
				is_down ? y_of(p, v) : x_of(p->c, (double)d));
			if (!is_down)
				fprintf(out, "%.1f", y_of(p, v));
			fprintf(out, "H%.1f", x_of(p->c, (double)d + 1));
		}
		is_down = v >= 0;
	}
	fputs("\"><title>", out);
	print_text(out, p->c->series[s].name);
	fputs("</title></path>\n", out);
}

static size_t
letters(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void
print_legend(FILE *out, const struct chart *c)
{
	double x = LEFT;

	for (size_t s = 0; s < c->series_count; s++) {
		if (c->series[s].kind == CHART_BARS)
			fprintf(out, "<rect class=\"f%zu\" x=\"%.0f\" y=\"50\" width=\"18\" height=\"12\"/>",
				s, x);
		else
			fprintf(out, "<path class=\"line l%zu\" d=\"M%.0f 56h18\"/>", s, x);
		fprintf(out, "<text class=\"ink\" x=\"%.0f\" y=\"61\">", x + 25);
		print_text(out, c->series[s].name);
		fputs("</text>\n", out);
		x += 25 + 24 + 7.5 * (double)letters(c->series[s].name);
	}
}

static int
mark_lines(const struct chart *c)
{
	return (int)((c->mark_count + MARK_COLUMNS - 1) / MARK_COLUMNS);
}

static void
print_sign(FILE *out, double x, int y, size_t n)
{
	fprintf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%d\" r=\"8\"/>", x, y);
	fprintf(out, "<text class=\"sign\" x=\"%.1f\" y=\"%d\">%zu</text>\n", x, y + 4, n);
}

static void
print_marks(FILE *out, const struct panel *p)
{
	int lines = mark_lines(p->c);
	char day[16];

	for (size_t i = 0; i < p->c->mark_count; i++) {
		const struct chart_mark *mark = &p->c->marks[i];
		double x = x_of(p->c, (double)mark->day + 0.5);
		int at = LEFT + (int)i / lines * PLOT_WIDTH / MARK_COLUMNS;
		int y = p->foot + BELOW + (int)i % lines * LINE_HEIGHT;

		fprintf(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x,
			p->top - 2, p->foot);
		print_sign(out, x, p->top - 10, i + 1);
		print_sign(out, at + 8, y, i + 1);
		fprintf(out, "<text class=\"ink\" x=\"%d\" y=\"%d\">%s: ", at + 24, y + 4,
			chart_label(p->c, mark->day, day));
		print_text(out, mark->text);
		fputs("</text>\n", out);
	}
}

static int
plot_height(const struct chart_picture *picture)
{
	return picture->count == 1 ? PLOT_HEIGHT : PLOT_HEIGHT_OF_MANY;
}

static int
chart_height(const struct chart_picture *picture, const struct chart *c)
{
	return (c->name != NULL ? NAME_TOP : TOP) + plot_height(picture) + BELOW +
	       mark_lines(c) * LINE_HEIGHT;
}

static void
print_chart(FILE *out, const struct panel *p)
{
	if (p->c->name != NULL) {
		fprintf(out, "<text class=\"ink name\" x=\"%d\" y=\"%d\">", LEFT, p->top - TOP - 4);
		print_text(out, p->c->name);
		fputs("</text>\n", out);
	}
	print_axes(out, p);
	for (size_t s = 0; s < p->c->series_count; s++)
		if (p->c->series[s].kind == CHART_BARS)
			print_bars(out, p, s);
		else
			print_stair(out, p, s);
	fprintf(out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, p->top, p->foot, LEFT + PLOT_WIDTH);
	print_marks(out, p);
}

static void
print_head(FILE *out, const struct chart_picture *p, int height)
{
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
		"role=\"img\">\n<title>",
		WIDTH, height, WIDTH, height);
	print_text(out, p->title);
	fputs("</title>\n", out);
	print_style(out, p->charts->series_count);
	fprintf(out, "<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", WIDTH, height);
	fprintf(out, "<text class=\"ink title\" x=\"%d\" y=\"34\">", LEFT);
	print_text(out, p->title);
	fputs("</text>\n", out);
	fprintf(out, "<text class=\"pale mid\" transform=\"translate(20 %d) rotate(-90)\">",
		(HEAD + height) / 2);
	print_text(out, p->unit);
	fputs(p->is_log ? " (logarithmic)</text>\n" : "</text>\n", out);
	print_legend(out, p->charts);
}

void
chart_write_svg(FILE *out, const struct chart_picture *picture)
{
	struct chart_scale scale;
	int height = HEAD + FOOT, at = HEAD;

	chart_scale_init(&scale, picture);
	for (size_t i = 0; i < picture->count; i++)
		height += chart_height(picture, &picture->charts[i]);
	print_head(out, picture, height);
	for (size_t i = 0; i < picture->count; i++) {
		struct panel p = {.c = &picture->charts[i], .scale = &scale};

		p.top = at + (p.c->name != NULL ? NAME_TOP : TOP);
		p.foot = p.top + plot_height(picture);
		print_chart(out, &p);
		at += chart_height(picture, p.c);
	}
	fputs("</svg>\n", out);
}
