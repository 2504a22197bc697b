/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report as JSON, CSV, or a table with a chart. The table is made of the same rows that JSON has.
 */
#include "control/chart.h"
#include "control/mtactl_report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	KEY_BYTES = 600,
	LINES_DEFAULT = 40,
	CHART_HEIGHT = 8,
	HOURS_AS_HOURS = 7 * 24, /* a chart of more is one of days */
	CLASSES_SHOWN = 24,      /* all of ours */
	COLUMNS_MAX = 16,
};
#define HOUR_US  INT64_C(3600000000)
#define MEDIAN   0.5
#define NEAR_END 0.95

/* --- the answer --- */

static int64_t
sent_of(const struct summary_group *g)
{
	return (int64_t)(g->counts[RECORD_DELIVERED] + g->counts[RECORD_BOUNCED]);
}

static void
set_number(json_t *row, const char *name, uint64_t v)
{
	(void)json_object_set_new(row, name, json_integer((json_int_t)v));
}

static void
set_rate(json_t *row, const char *name, uint64_t part, uint64_t whole)
{
	(void)json_object_set_new(
		row, name, whole > 0 ? json_real((double)part / (double)whole) : json_null());
}

static void
set_time(json_t *row, const char *name, const struct summary_times *t, double share)
{
	int64_t us = summary_times_at(t, share);

	(void)json_object_set_new(row, name, us >= 0 ? json_integer((json_int_t)us) : json_null());
}

static json_t *
row_of(const struct mtactl_report *r, const struct summary_group *g, const char *key)
{
	const uint64_t *c = g->counts;
	uint64_t sent = (uint64_t)sent_of(g);
	json_t *row = json_object(), *classes = json_object(), *name = json_string(key);
	char copy[KEY_BYTES];

	if (name == NULL) { /* bytes that are no UTF-8 */
		snprintf(copy, sizeof(copy), "%s", key);
		for (char *s = copy; *s != '\0'; s++)
			*s = (char)((unsigned char)*s < 0x80 ? *s : '?');
		name = json_string(copy);
	}
	(void)json_object_set_new(row, r->by_name, name);
	set_number(row, "received", c[RECORD_RECEIVED]);
	set_number(row, "sent", sent);
	set_number(row, "delivered", c[RECORD_DELIVERED]);
	set_number(row, "deferred", c[RECORD_TRANSIENT]);
	set_number(row, "bounced", c[RECORD_BOUNCED]);
	set_number(row, "remote_bounces", c[RECORD_REMOTE]);
	set_number(row, "complaints", c[RECORD_COMPLAINT]);
	set_number(row, "unsubscribes", c[RECORD_UNSUBSCRIBED]);
	set_rate(row, "delivered_rate", c[RECORD_DELIVERED], sent);
	set_rate(row, "bounce_rate", c[RECORD_BOUNCED], sent);
	set_rate(row, "deferral_rate", c[RECORD_TRANSIENT], sent + c[RECORD_TRANSIENT]);
	set_rate(row, "remote_bounce_rate", c[RECORD_REMOTE], c[RECORD_DELIVERED]);
	set_rate(row, "complaint_rate", c[RECORD_COMPLAINT], c[RECORD_DELIVERED]);
	set_time(row, "median_us", &g->times, MEDIAN);
	set_time(row, "p95_us", &g->times, NEAR_END);
	for (size_t i = 0; i < r->summary->class_count; i++)
		if (g->bounced[i] > 0)
			set_number(classes, r->summary->classes[i].name, g->bounced[i]);
	(void)json_object_set_new(row, "classes", classes);
	return row;
}

/* Most mail first; days and hours as they come. */
static int
by_sent(const void *a, const void *b)
{
	const struct summary_group *x = *(struct summary_group *const *)a,
				   *y = *(struct summary_group *const *)b;
	uint64_t sent_x = (uint64_t)sent_of(x), sent_y = (uint64_t)sent_of(y);

	if (sent_x != sent_y)
		return sent_x > sent_y ? -1 : 1;
	if (x->counts[RECORD_RECEIVED] != y->counts[RECORD_RECEIVED])
		return x->counts[RECORD_RECEIVED] > y->counts[RECORD_RECEIVED] ? -1 : 1;
	if (x->counts[RECORD_TRANSIENT] != y->counts[RECORD_TRANSIENT])
		return x->counts[RECORD_TRANSIENT] > y->counts[RECORD_TRANSIENT] ? -1 : 1;
	return strcmp(x->key, y->key);
}

static int
by_key(const void *a, const void *b)
{
	return strcmp((*(struct summary_group *const *)a)->key, (*(struct summary_group *const *)b)->key);
}

static int
by_bounced(const void *a, const void *b)
{
	const struct summary_class *x = a, *y = b;

	if (x->bounced + x->remote != y->bounced + y->remote)
		return x->bounced + x->remote > y->bounced + y->remote ? -1 : 1;
	if (x->deferred != y->deferred)
		return x->deferred > y->deferred ? -1 : 1;
	return strcmp(x->name, y->name);
}

static json_t *
class_rows(const struct mtactl_report *r)
{
	struct summary_class sorted[SUMMARY_CLASSES_MAX];
	size_t count = r->summary->class_count;
	json_t *rows = json_array(), *row;

	memcpy(sorted, r->summary->classes, sizeof(sorted));
	qsort(sorted, count, sizeof(sorted[0]), by_bounced);
	for (size_t i = 0; i < count; i++) {
		row = json_pack("{s:s}", "class", sorted[i].name);
		if (row == NULL)
			continue;
		set_number(row, "bounced", sorted[i].bounced);
		set_rate(row, "share", sorted[i].bounced, r->summary->total.counts[RECORD_BOUNCED]);
		set_number(row, "remote_bounces", sorted[i].remote);
		set_number(row, "deferred", sorted[i].deferred);
		(void)json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *
hour_rows(const struct summary *s)
{
	json_t *rows = json_array();

	for (int64_t hour = s->least_hour; s->first_us != 0 && hour <= s->most_hour; hour++) {
		const struct summary_hour *h = &s->hours[hour - s->first_hour];

		if (h->delivered + h->bounced + h->deferred > 0)
			(void)json_array_append_new(
				rows, json_pack("{s:I,s:I,s:I,s:I}", "hour_us", (json_int_t)hour * HOUR_US,
					      "delivered", (json_int_t)h->delivered, "bounced",
					      (json_int_t)h->bounced, "deferred", (json_int_t)h->deferred));
	}
	return rows;
}

static json_t *
answer_of(const struct mtactl_report *r)
{
	struct summary *s = r->summary;
	json_t *rows = json_array(), *summary = row_of(r, &s->total, "all");
	bool is_time = r->by == BY_DAY || r->by == BY_HOUR;
	struct records_stats stats;

	if (s->group_count > 0)
		qsort(s->groups, s->group_count, sizeof(*s->groups), is_time ? by_key : by_sent);
	for (size_t i = 0; i < s->group_count; i++)
		(void)json_array_append_new(rows, row_of(r, s->groups[i], s->groups[i]->key));
	if (s->group_count == SUMMARY_GROUPS_MAX)
		(void)json_array_append_new(rows, row_of(r, &s->rest, "(further)"));
	records_stats(r->records, &stats);
	(void)json_object_del(summary, "classes");
	(void)json_object_set_new(summary, "classes", class_rows(r));
	(void)json_object_set_new(summary, "hours", hour_rows(s));
	(void)json_object_set(summary, "notes", r->notes);
	set_number(summary, "files", r->file_count);
	set_number(summary, "records", r->used);
	set_number(summary, "foreign_lines", stats.foreign);
	set_number(summary, "first_us", (uint64_t)s->first_us);
	set_number(summary, "last_us", (uint64_t)s->last_us);
	return json_pack("{s:o,s:o}", "rows", rows, "summary", summary);
}

/* --- as a table --- */

static void
write_rate(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const json_t *v = json_object_get(row, field);

	if (!json_is_real(v) || json_real_value(v) == 0)
		snprintf(buf, max, "-");
	else if (json_real_value(v) < 0.0001)
		snprintf(buf, max, "<.01%%");
	else
		snprintf(buf, max, json_real_value(v) < 0.1 ? "%.2f%%" : "%.1f%%", 100 * json_real_value(v));
}

static void
span_text(char *buf, size_t max, int64_t us)
{
	if (us < 10000000)
		snprintf(buf, max, "%.1fs", (double)us / 1e6);
	else
		mtactl_span(buf, max, us);
}

static void
write_span(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	if (json_is_integer(json_object_get(row, field)))
		span_text(buf, max, mtactl_integer(row, field));
	else
		snprintf(buf, max, "-");
}

static void
write_key(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "(none)");
}

/* Columns of what there is: who has no complaints in his files sees no column of noughts. */
static size_t
choose_columns(
	const struct mtactl_report *r, const json_t *summary, struct mtactl_column *out, char title[32])
{
	static const struct {
		struct mtactl_column column;
		const char *needs; /* NULL: always there */
	} columns[] = {
		{{"RECEIVED", "received", mtactl_write_number, true, 0, true}, "received"},
		{{"SENT", "sent", mtactl_write_number, true, 0, false}, NULL},
		{{"DELIVERED", "delivered", mtactl_write_number, true, 0, false}, NULL},
		{{"", "delivered_rate", write_rate, true, 0, true}, NULL},
		{{"BOUNCED", "bounced", mtactl_write_number, true, 0, false}, NULL},
		{{"", "bounce_rate", write_rate, true, 0, true}, NULL},
		{{"REMOTE", "remote_bounces", mtactl_write_number, true, 0, false}, "remote_bounces"},
		{{"COMPLAINTS", "complaints", mtactl_write_number, true, 0, false}, "complaints"},
		{{"UNSUBSCR", "unsubscribes", mtactl_write_number, true, 0, true}, "unsubscribes"},
		{{"DEFERRED", "deferred", mtactl_write_number, true, 0, true}, "deferred"},
		{{"MEDIAN", "median_us", write_span, true, 0, true}, NULL},
		{{"P95", "p95_us", write_span, true, 0, true}, NULL},
	};
	size_t count = 0;

	snprintf(title, 32, "%s", r->by_name);
	for (char *s = title; *s != '\0'; s++)
		*s = (char)(*s >= 'a' && *s <= 'z' ? *s - 32 : *s);
	out[count++] =
		(struct mtactl_column){r->by == BY_ALL ? "" : title, r->by_name, write_key, false, 10, false};
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (columns[i].needs == NULL || mtactl_integer(summary, columns[i].needs) > 0)
			out[count++] = columns[i].column;
	return count;
}

static void
print_head(const struct mtactl_report *r)
{
	const struct summary *s = r->summary;
	char texts[2][32], number[32];
	const int64_t times[] = {s->first_us, s->last_us};
	struct tm tm;

	for (int i = 0; i < 2; i++) {
		time_t seconds = (time_t)(times[i] / 1000000);

		gmtime_r(&seconds, &tm);
		(void)strftime(texts[i], sizeof(texts[i]), "%Y-%m-%d %H:%M", &tm);
	}
	if (r->used == 0) {
		printf("No records of that in %zu file%s\n", r->file_count, r->file_count == 1 ? "" : "s");
		return;
	}
	printf("%s to %s UTC: %s records, %zu file%s\n", texts[0], texts[1],
		mtactl_count(number, sizeof(number), (int64_t)r->used), r->file_count,
		r->file_count == 1 ? "" : "s");
	if (s->total.times.count > 0) {
		span_text(texts[0], sizeof(texts[0]), summary_times_at(&s->total.times, MEDIAN));
		span_text(texts[1], sizeof(texts[1]), summary_times_at(&s->total.times, NEAR_END));
		printf("time to deliver: half within %s, 95%% within %s\n", texts[0], texts[1]);
	}
	putchar('\n');
}

/* The first `limit` of rows; fewer than all are said to be so. */
static json_t *
first_rows(const json_t *rows, size_t limit)
{
	json_t *shown = json_array(), *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		if (i < limit)
			(void)json_array_append(shown, row);
	}
	return shown;
}

static size_t
limit_of(const struct mtactl_options *o, size_t standard)
{
	return o->limit < 0 ? standard : o->limit == 0 ? SIZE_MAX : (size_t)o->limit;
}

/* Classes have a table of their own, with more of what bounces are about. */
static void
print_groups(const struct mtactl *m, const struct mtactl_options *o, const struct mtactl_report *r,
	const json_t *answer)
{
	const json_t *all = mtactl_rows(answer), *summary = json_object_get(answer, "summary");
	json_t *shown = first_rows(all, r->by == BY_CLASS ? 0 : limit_of(o, LINES_DEFAULT));
	json_t *sum = json_copy((json_t *)(uintptr_t)summary);
	struct mtactl_column columns[COLUMNS_MAX];
	size_t count = json_array_size(shown);
	char title[32];

	(void)json_object_set_new(sum, "is_sum", json_true());
	(void)json_array_append_new(shown, sum);
	mtactl_table(m, columns, choose_columns(r, summary, columns, title), shown, 0);
	if (r->by != BY_CLASS)
		mtactl_show_more(m, (int64_t)json_array_size(all), (int64_t)count);
	json_decref(shown);
}

static void
print_classes(const struct mtactl *m, const json_t *summary, size_t limit)
{
	static const struct mtactl_column columns[] = {
		{"CLASS", "class", mtactl_write_text, false, 10, false},
		{"BOUNCED", "bounced", mtactl_write_number, true, 0, false},
		{"", "share", write_rate, true, 0, true},
		{"REMOTE", "remote_bounces", mtactl_write_number, true, 0, true},
		{"DEFERRED", "deferred", mtactl_write_number, true, 0, true},
	};
	json_t *rows = json_object_get(summary, "classes"), *shown = first_rows(rows, limit);

	if (json_array_size(shown) > 0) {
		putchar('\n');
		MTACTL_TABLE(m, columns, shown, 0);
		mtactl_show_more(m, (int64_t)json_array_size(rows), (int64_t)json_array_size(shown));
	}
	json_decref(shown);
}

/* --- as a chart --- */

struct drawing {
	double delivered[CHART_DAYS_MAX], bounced[CHART_DAYS_MAX], deferred[CHART_DAYS_MAX];
	struct chart_series series[3];
	struct chart chart;
	struct chart_picture picture;
	char title[128];
};

/* False: there is nothing to be drawn. */
static bool
draw(const struct mtactl_report *r, struct drawing *d)
{
	const struct summary *s = r->summary;
	int64_t first_day = s->least_hour / 24, unit = 24, count;

	if (s->first_us == 0 || s->most_hour < s->least_hour)
		return false;
	count = s->most_hour / 24 - first_day + 1;
	if (s->most_hour - first_day * 24 < HOURS_AS_HOURS) {
		unit = 1;
		count *= 24;
	}
	for (int64_t hour = s->least_hour; hour <= s->most_hour; hour++) {
		const struct summary_hour *h = &s->hours[hour - s->first_hour];
		int64_t at = (hour - first_day * 24) / unit;

		d->delivered[at] += h->delivered;
		d->bounced[at] += h->bounced;
		d->deferred[at] += h->deferred;
	}
	d->series[0] = (struct chart_series){"delivered", CHART_BARS, d->delivered};
	d->series[1] = (struct chart_series){"bounced", CHART_LINE, d->bounced};
	d->series[2] = (struct chart_series){"deferred", CHART_LINE, d->deferred};
	d->chart = (struct chart){.is_hourly = unit == 1,
		.first_day = (int32_t)(first_day * 24 / unit),
		.day_count = (size_t)count,
		.series = d->series,
		.series_count = s->total.counts[RECORD_TRANSIENT] > 0 ? 3 : 2};
	d->picture = (struct chart_picture){.title = "Recipients",
		.unit = unit == 1 ? "an hour, UTC" : "a day, UTC",
		.charts = &d->chart,
		.count = 1};
	return true;
}

/* --- as CSV --- */

static void
print_csv_text(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"')
			putchar('"');
		putchar((unsigned char)*s < ' ' ? ' ' : *s);
	}
	putchar('"');
}

static void
print_csv_row(const struct mtactl_report *r, const json_t *row)
{
	static const char *const numbers[] = {"received", "sent", "delivered", "deferred", "bounced",
		"remote_bounces", "complaints", "unsubscribes", "delivered_rate", "bounce_rate",
		"deferral_rate", "remote_bounce_rate", "complaint_rate", "median_us", "p95_us"};
	const json_t *v;

	if (row == NULL)
		fputs(r->by_name, stdout);
	else
		print_csv_text(mtactl_text(row, r->by_name));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		v = json_object_get(row, numbers[i]);
		if (row == NULL)
			printf(",%s", numbers[i]);
		else if (json_is_integer(v))
			printf(",%lld", (long long)json_integer_value(v));
		else if (json_is_real(v))
			printf(",%.6f", json_real_value(v));
		else
			putchar(',');
	}
	for (size_t i = 0; i < r->summary->class_count; i++) {
		const char *name = r->summary->classes[i].name;

		putchar(',');
		if (row == NULL)
			print_csv_text(name);
		else
			printf("%lld", (long long)mtactl_integer(json_object_get(row, "classes"), name));
	}
	putchar('\n');
}

static void
print_csv(const struct mtactl_report *r, const json_t *answer)
{
	const json_t *row;
	json_t *all;
	size_t i;

	print_csv_row(r, NULL);
	json_array_foreach(mtactl_rows(answer), i, row)
	{
		print_csv_row(r, row);
	}
	if (r->by != BY_ALL)
		return;
	all = row_of(r, &r->summary->total, "all");
	print_csv_row(r, all);
	json_decref(all);
}

/* --- all of it --- */

static void
print_notes(const struct mtactl *m, const struct mtactl_options *o, const struct mtactl_report *r)
{
	const json_t *text;
	size_t i;

	json_array_foreach(r->notes, i, text)
	{
		if (m->json || o->csv)
			fprintf(stderr, "mtactl: %s\n", json_string_value(text));
		else
			printf("%s%s%s%s\n", i == 0 ? "\n" : "", mtactl_dim(m), json_string_value(text),
				mtactl_plain(m));
	}
}

int
mtactl_report_show(const struct mtactl *m, const struct mtactl_options *o, const struct mtactl_report *r)
{
	struct drawing *d = calloc(1, sizeof(*d));
	json_t *answer = answer_of(r);
	bool is_drawn = d != NULL && draw(r, d), is_stdout = o->svg != NULL && strcmp(o->svg, "-") == 0;
	int code = 0;

	if (o->svg != NULL && is_drawn)
		code = mtactl_chart_save(o->svg, &d->picture);
	if (m->json && !is_stdout)
		(void)mtactl_print_json(answer, o, 0);
	else if (o->csv && !is_stdout)
		print_csv(r, answer);
	else if (!is_stdout) {
		print_head(r);
		if (r->used > 0) {
			print_groups(m, o, r, answer);
			print_classes(m, json_object_get(answer, "summary"),
				r->by == BY_CLASS ? limit_of(o, LINES_DEFAULT) : CLASSES_SHOWN);
		}
		if (is_drawn) {
			putchar('\n');
			mtactl_chart_print(m, &d->picture, CHART_HEIGHT, o->plain);
		}
	}
	if (!is_stdout)
		print_notes(m, o, r);
	json_decref(answer);
	free(d);
	return code;
}
