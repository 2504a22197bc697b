/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/chart.h"
#include "golden_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
test_texts(void **state)
{
	static const struct {
		double v;
		const char *want;
	} numbers[] = {{0, "0"}, {1, "1"}, {2.5, "2.5"}, {999, "999"}, {999.6, "1k"}, {1000, "1k"},
		{1500, "1.5k"}, {12345, "12k"}, {999999, "1M"}, {1250000, "1.2M"}, {10000000, "10M"},
		{3e9, "3G"}, {5e12, "5000G"}};
	static const struct {
		int32_t day;
		const char *want;
	} days[] = {{0, "Jan 1"}, {59, "Mar 1"}, {19782, "Feb 29"}, {20787, "Nov 30"}};
	char buf[16];

	for (size_t i = 0; i < COUNT(numbers); i++)
		assert_string_equal(chart_number_text(numbers[i].v, buf), numbers[i].want);
	for (size_t i = 0; i < COUNT(days); i++)
		assert_string_equal(chart_day_text(days[i].day, buf), days[i].want);
}

static const double grows[] = {100, 200, 400, 800, 0, 3200, 6400, 12800, 25600, 51200, 102400, 204800};
static const double caps[] = {100, 250, 625, 1500, 3000, -1, -1, 20000, 50000, 120000, 300000, 300000};
static const double few[] = {1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 5, 4};
static const double nothing[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

static const struct chart_series growing[] = {{"sent", CHART_BARS, grows}, {"cap", CHART_LINE, caps}};
static const struct chart_series flat[] = {
	{"sent", CHART_BARS, few}, {"cap", CHART_LINE, grows}, {"bounced", CHART_LINE, few}};
static const struct chart_series empty[] = {{"sent", CHART_BARS, nothing}, {"cap", CHART_LINE, nothing}};
static const struct chart_mark marks[] = {
	{4, "held: deferrals 12 %"}, {5, "<b>\"R&D\"</b>"}, {11, "advanced"}};

static const struct chart charts[] = {
	{.first_day = 20787,
		.day_count = 12,
		.series = growing,
		.series_count = 2,
		.marks = marks,
		.mark_count = 3},
	{.name = "a & b",
		.first_day = 20787,
		.day_count = 12,
		.series = growing,
		.series_count = 2,
		.marks = marks,
		.mark_count = 1},
	{.name = "nothing", .first_day = 20787, .day_count = 12, .series = empty, .series_count = 2},
	{.first_day = 20787, .day_count = 12, .series = flat, .series_count = 3},
	{.first_day = 20787, .day_count = 1, .series = empty, .series_count = 2},
	{.is_hourly = true,
		.first_day = 20787 * 24 + 18,
		.day_count = 12,
		.series = flat,
		.series_count = 3,
		.marks = marks,
		.mark_count = 1},
};

static const struct {
	const char *name;
	size_t first, count;
	bool is_log;
	struct chart_terminal t;
} pictures[] = {
	{"log, blocks", 0, 1, true, {80, 10, false, true}},
	{"log, ASCII", 0, 1, true, {80, 10, false, false}},
	{"log, colours", 0, 1, true, {80, 4, true, true}},
	{"linear", 0, 1, false, {80, 8, false, true}},
	{"narrow: a column for several days", 0, 1, true, {10, 3, false, true}},
	{"several", 1, 2, true, {60, 5, false, true}},
	{"small numbers, two lines", 3, 1, false, {80, 8, false, true}},
	{"one day of nothing", 4, 1, false, {80, 4, false, true}},
	{"one day of nothing, log", 4, 1, true, {80, 4, false, true}},
	{"hours, and midnight among them", 5, 1, false, {80, 4, false, true}},
	{"hours, a label for several", 5, 1, false, {40, 4, false, true}},
};

static void
test_terminal(void **state)
{
	char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	for (size_t i = 0; i < COUNT(pictures); i++) {
		const struct chart_picture p = {pictures[i].name, "recipients a day",
			charts + pictures[i].first, pictures[i].count, pictures[i].is_log};

		chart_write_terminal(out, &p, &pictures[i].t);
		fputc('\n', out);
	}
	fclose(out);
	assert_null(strstr(said, " \n")); /* no line ends in blanks */
	golden_check("chart.txt", said, len);
	free(said);
}

static void
test_svg(void **state)
{
	const struct chart_picture p = {"Two & more", "recipients a day", charts + 1, 2, true};
	char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	chart_write_svg(out, &p);
	fclose(out);
	assert_null(strstr(said, "<script"));
	assert_null(strstr(said, "href"));
	assert_non_null(strstr(said, "Two &amp; more"));
	golden_check("chart.svg", said, len);
	free(said);
}

/* What is written about a mark or a series is text, whatever is in it. */
static void
test_svg_escapes(void **state)
{
	const struct chart_picture p = {"<svg>", "\x1b[31m", charts, 1, true};
	char *said = NULL;
	FILE *out = open_memstream(&said, &(size_t){0});

	chart_write_svg(out, &p);
	fclose(out);
	assert_non_null(strstr(said, "&lt;b&gt;&quot;R&amp;D&quot;&lt;/b&gt;"));
	assert_non_null(strstr(said, "<title>&lt;svg&gt;</title>"));
	assert_null(strchr(said, '\x1b'));
	free(said);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_svg),
		cmocka_unit_test(test_svg_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
