/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mtactl warmup: a line for each warm-up; of one, its days so far, those to come and a chart of both; and
 * what is done with them. What a curve would mean before it is used: mtactl_warmup.c.
 */
#include "control/chart.h"
#include "control/mtactl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	DAYS_MAX = 1000, /* of a chart; a history of 60 days with mail may be longer ago */
	MARKS_MAX = 70,
	CHART_HEIGHT = 14,
	LOG_FACTOR = 50, /* from here on a linear axis would hide the first days */
};

const char *
mtactl_warmup_act(size_t i)
{
	static const char *const acts[] = {"hold", "release", "skip", "restart", "finish", NULL};

	return acts[i];
}

/* --- columns --- */

static void
write_stage(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	int64_t stages = mtactl_integer(row, "stages");

	if (mtactl_is_true(row, "warm"))
		snprintf(buf, max, "warm");
	else if (stages > 0)
		snprintf(buf, max, "%lld/%lld", (long long)mtactl_integer(row, "stage"), (long long)stages);
	else
		mtactl_write_number(buf, max, row, "stage", 0);
}

/* Of something that is limited; 0 is none left, and no "-". */
static void
write_left(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	if (mtactl_integer(row, "cap") == 0)
		snprintf(buf, max, "-");
	else
		mtactl_count(buf, max, mtactl_integer(row, field));
}

static void
write_group(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, row, field, now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "-");
}

/* "deferrals 3.20 % of 10.00 %"; what a crash left open says nothing. */
static void
write_health(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *rate = mtactl_text(row, "rate");

	if (rate[0] != '\0')
		snprintf(buf, max, "%s %.2f %% of %.2f %%", rate,
			(double)mtactl_integer(row, "rate_ppm") / 10000,
			(double)mtactl_integer(row, "rate_limit_ppm") / 10000);
	else
		snprintf(buf, max, mtactl_integer(row, "delivered") > 0 ? "good" : "-");
}

static void
write_last_day(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	mtactl_write_text(buf, max, json_object_get(row, field), "words", now_us);
	if (buf[0] == '\0')
		snprintf(buf, max, "-");
}

static void
write_state(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *state = mtactl_text(row, field), *start = mtactl_text(row, "start");

	if (strcmp(state, "starts") == 0)
		snprintf(buf, max, "starts on %s", start);
	else if (strcmp(state, "new") == 0)
		snprintf(buf, max, "no mail yet%s%s", start[0] != '\0' ? "; starts on " : "", start);
	else if (strcmp(state, "unset") == 0)
		snprintf(buf, max, "no mail since start");
	else
		snprintf(buf, max, "%s", state);
}

static void
print_table(const struct mtactl *m, const json_t *answer)
{
	static const struct mtactl_column columns[] = {
		{"SOURCE", "source", mtactl_write_text, false, 8, false},
		{"TOWARDS", "group", write_group, false, 8, false},
		{"STAGE", "stage", write_stage, true, 0, false},
		{"CAP", "cap", mtactl_write_number, true, 0, false},
		{"SENT", "sent", mtactl_write_number, true, 0, false},
		{"LEFT", "left", write_left, true, 0, false},
		{"HEALTH", "rate", write_health, false, 16, false},
		{"LAST DAY", "last_day", write_last_day, false, 16, false},
		{"STATE", "state", write_state, false, 10, false}};

	if (json_array_size(mtactl_rows(answer)) == 0)
		puts("nothing warms up: see warmup of source and sender in mtad.conf(5), and mtactl warmup "
		     "plan");
	else
		MTACTL_TABLE(m, columns, mtactl_rows(answer), mtactl_now(answer));
}

/* --- days --- */

static const json_t *
days_of(const json_t *row, const char *which)
{
	return json_object_get(row, which);
}

static void
write_day_words(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *act = mtactl_text(row, "act");

	snprintf(buf, max, "%s%s%s", mtactl_text(row, field), act[0] != '\0' ? "; operator: " : "", act);
}

static void
print_days(const struct mtactl *m, const json_t *days, const char *sent)
{
	const struct mtactl_column columns[] = {{"DATE", "date", mtactl_write_text, false, 0, false},
		{"STAGE", "stage", mtactl_write_number, true, 0, false},
		{"CAP", "cap", mtactl_write_number, true, 0, false},
		{sent, "sent", mtactl_write_number, true, 0, false},
		{"WANTED", "wanted", mtactl_write_number, true, 0, false},
		{"THEN", "words", write_day_words, false, 16, false}};

	MTACTL_TABLE(m, columns, days, 0);
}

/* "2026-11-30 16:05" */
static void
print_act(const json_t *row)
{
	static const char *const acts[][2] = {{"hold", "held"}, {"release", "released"},
		{"skip", "skipped a stage"}, {"restart", "restarted"}, {"finish", "finished"}};
	time_t at = (time_t)(mtactl_integer(row, "act_us") / 1000000);
	char when[32], words[120];
	struct tm tm;

	mtactl_write_text(words, sizeof(words), row, "act_words", 0);
	(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", localtime_r(&at, &tm));
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(acts[i][0], mtactl_text(row, "act")) == 0)
			printf("%s %s by %s\n", acts[i][1], when, words);
}

static void
print_ahead(const struct mtactl *m, const json_t *row)
{
	const json_t *days = days_of(row, "forecast");
	const json_t *last = json_array_get(days, json_array_size(days) - 1);
	char number[32];

	if (json_array_size(days) == 0)
		return;
	printf("\n%sahead%s, with %s recipients a day in good health:\n", mtactl_bold(m), mtactl_plain(m),
		mtactl_count(number, sizeof(number), mtactl_integer(row, "forecast_wanted")));
	print_days(m, days, "EXPECTED");
	if (strcmp(mtactl_text(last, "step"), "finished") == 0)
		printf("warm after %s\n", mtactl_text(last, "date"));
	else
		printf("stays at stage %lld: %s\n", (long long)mtactl_integer(last, "stage"),
			mtactl_text(last, "words"));
}

/* --- the chart --- */

struct drawing {
	int32_t first_day;
	size_t day_count, mark_count;
	double sent[DAYS_MAX], expected[DAYS_MAX], caps[DAYS_MAX];
	char title[200], words[MARKS_MAX + 1][100];
	struct chart_series series[3];
	struct chart_mark marks[MARKS_MAX];
	struct chart chart;
	struct chart_picture picture;
};

/* Today, and what is not in the ordinary way of a warm-up. */
static void
mark_day(struct drawing *p, size_t at, const json_t *day, bool is_today)
{
	static const char *const ordinary[] = {"advanced", "warm", "little"};
	const char *step = mtactl_text(day, "step"), *act = mtactl_text(day, "act");
	char *words = p->words[p->mark_count];
	size_t i = 0;

	while (i < 3 && strcmp(step, ordinary[i]) != 0)
		i++;
	if ((i < 3 && act[0] == '\0' && !is_today) || p->mark_count == MARKS_MAX)
		return;
	if (is_today)
		snprintf(words, sizeof(p->words[0]), "today, and what is expected%s%s",
			act[0] != '\0' ? "; operator: " : "", act);
	else
		write_day_words(words, sizeof(p->words[0]), day, "words", 0);
	p->marks[p->mark_count++] = (struct chart_mark){at, words};
}

/* Days without mail are in no list: they have a cap, and nothing was sent. */
static void
put_days(struct drawing *p, const json_t *days, double *sent, bool is_ahead)
{
	const json_t *day;
	size_t i, at;

	json_array_foreach(days, i, day)
	{
		int64_t number = mtactl_integer(day, "day") - p->first_day;

		if (number < 0 || number >= DAYS_MAX)
			continue;
		at = (size_t)number;
		if (at >= p->day_count)
			p->day_count = at + 1;
		sent[at] = (double)mtactl_integer(day, "sent");
		if (mtactl_integer(day, "cap") > 0)
			p->caps[at] = (double)mtactl_integer(day, "cap");
		mark_day(p, at, day, is_ahead && i == 0);
	}
}

static double
largest(const struct drawing *p)
{
	double most = 0;

	for (size_t i = 0; i < p->day_count; i++) {
		most = p->sent[i] > most ? p->sent[i] : most;
		most = p->expected[i] > most ? p->expected[i] : most;
	}
	return most;
}

/* False: there are no days. */
static bool
draw(struct drawing *p, const json_t *row)
{
	const json_t *history = days_of(row, "history"), *ahead = days_of(row, "forecast");
	const json_t *first =
		json_array_size(history) > 0 ? json_array_get(history, 0) : json_array_get(ahead, 0);
	double least;

	if (first == NULL)
		return false;
	p->first_day = (int32_t)mtactl_integer(first, "day");
	for (size_t i = 0; i < DAYS_MAX; i++)
		p->sent[i] = p->expected[i] = p->caps[i] = -1;
	put_days(p, history, p->sent, false);
	put_days(p, ahead, p->expected, true);
	least = (double)mtactl_integer(first, "sent");
	snprintf(p->title, sizeof(p->title), "Warm-up of %s towards %s", mtactl_text(row, "source"),
		mtactl_text(row, "group"));
	p->series[0] = (struct chart_series){"sent", CHART_BARS, p->sent};
	p->series[1] = (struct chart_series){"expected", CHART_BARS, p->expected};
	p->series[2] = (struct chart_series){"cap", CHART_LINE, p->caps};
	p->chart = (struct chart){.first_day = p->first_day,
		.day_count = p->day_count,
		.series = p->series,
		.series_count = 3,
		.marks = p->marks,
		.mark_count = p->mark_count};
	p->picture = (struct chart_picture){.title = p->title,
		.unit = "recipients a day",
		.charts = &p->chart,
		.count = 1,
		.is_log = least > 0 && largest(p) >= LOG_FACTOR * least};
	return true;
}

/* --- look --- */

static int
show_one(const struct mtactl *m, const struct mtactl_options *o, const json_t *row)
{
	struct drawing *p = calloc(1, sizeof(*p));
	bool is_drawn = p != NULL && draw(p, row), is_stdout = o->svg != NULL && strcmp(o->svg, "-") == 0;
	int code = 0;

	if (o->svg != NULL && is_drawn)
		code = mtactl_chart_save(o->svg, &p->picture);
	else if (o->svg != NULL) {
		fputs("mtactl: there are no days to draw yet\n", stderr);
		code = 1;
	}
	if (!m->json && !is_stdout) {
		printf("\n%s%s towards %s%s\n", mtactl_bold(m), mtactl_text(row, "source"),
			mtactl_text(row, "group"), mtactl_plain(m));
		print_act(row);
		if (json_array_size(days_of(row, "history")) > 0)
			print_days(m, days_of(row, "history"), "SENT");
		else
			puts("no day is over yet");
		print_ahead(m, row);
		if (is_drawn) {
			putchar('\n');
			mtactl_chart_print(m, &p->picture, CHART_HEIGHT, o->plain);
		}
	}
	free(p);
	return code;
}

static int
show(const struct mtactl *m, const struct mtactl_options *o, const json_t *answer, bool has_days)
{
	const json_t *rows = mtactl_rows(answer), *row;
	int code = 0;
	size_t i;

	if (o->svg != NULL && json_array_size(rows) != 1) {
		fputs("mtactl: --svg draws one warm-up: name it with --source and --provider\n", stderr);
		return 2;
	}
	if (!m->json && (o->svg == NULL || strcmp(o->svg, "-") != 0))
		print_table(m, answer);
	json_array_foreach(rows, i, row)
	{
		if (has_days && mtactl_text(row, "group")[0] != '\0')
			code |= show_one(m, o, row);
	}
	return code;
}

static int
look(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *r = mtactl_request("warmup", o), *answer;
	bool is_asked = o->svg != NULL || json_object_get(o->filter, "history") != NULL;
	int code = 2;

	/* Days are shown of one; the daemon leaves them out where nobody looks at them. */
	(void)json_object_set_new(r, "history", json_boolean(m->json || is_asked || o->count > 0));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	is_asked |= o->count > 0 && json_array_size(mtactl_rows(answer)) == 1;
	if (!m->json && mtactl_print_error(answer)) {
		json_decref(answer);
		return code;
	}
	if (code == 0 && (!m->json || o->svg != NULL))
		code = show(m, o, answer, is_asked);
	if (m->json && (o->svg == NULL || strcmp(o->svg, "-") != 0))
		code = mtactl_print_json(answer, o, code);
	json_decref(answer);
	return code;
}

/* --- act --- */

static void
show_acts(const json_t *answer, const char *act)
{
	const json_t *row;
	size_t i;

	json_array_foreach(mtactl_rows(answer), i, row)
	{
		const char *group = mtactl_text(row, "group"), *state = mtactl_text(row, "state");

		printf("%s %s%s%s: ", act, mtactl_text(row, "source"), group[0] != '\0' ? " towards " : "",
			group);
		if (mtactl_is_true(row, "done"))
			puts("done");
		else if (strcmp(state, "new") == 0 || strcmp(state, "unset") == 0)
			puts("not done: no mail has gone there since mtad started, so there is no day to "
			     "change");
		else
			printf("nothing to do: it is %s\n", state);
	}
}

/* Holding and releasing can be taken back. */
static bool
may_act(const struct mtactl_options *o)
{
	const char *act = o->words[0];
	char question[200];

	if (o->yes || strcmp(act, "hold") == 0 || strcmp(act, "release") == 0)
		return true;
	if (!isatty(0)) {
		fprintf(stderr, "mtactl: add --yes to %s the warm-up of %s\n", act, o->words[1]);
		return false;
	}
	snprintf(question, sizeof(question), "%s the warm-up of %.80s%s%.80s?", act, o->words[1],
		o->word_count == 3 ? " towards " : "", o->word_count == 3 ? o->words[2] : "");
	return mtactl_confirm(question);
}

static int
change(struct mtactl *m, const struct mtactl_options *o)
{
	json_t *r, *answer;
	int code = 2;

	if (json_object_size(o->filter) > 0 || o->svg != NULL || o->plain) {
		fprintf(stderr,
			"mtactl: warmup %s takes SOURCE or @DOMAIN [PROVIDER], --reason and --yes alone\n",
			o->words[0]);
		return 2;
	}
	if (o->word_count < 2) {
		fprintf(stderr, "mtactl: warmup %s of which source or @domain? mtactl warmup lists them\n",
			o->words[0]);
		return 2;
	}
	if (!may_act(o))
		return 2;
	r = mtactl_request("warmup-act", o);
	(void)json_object_set_new(r, "act", json_string(o->words[0]));
	(void)json_object_set_new(r, "source", json_string(o->words[1]));
	if (o->word_count == 3)
		(void)json_object_set_new(r, "provider", json_string(o->words[2]));
	if ((answer = mtactl_ask(m, r, NULL, &code)) == NULL)
		return code;
	if (m->json)
		code = mtactl_print_json(answer, o, code);
	else if (!mtactl_print_error(answer))
		show_acts(answer, o->words[0]);
	json_decref(answer);
	return code;
}

int
mtactl_warmup(struct mtactl *m, const struct mtactl_options *o)
{
	if (o->word_count > 0)
		return change(m, o);
	if (o->yes || o->reason != NULL) {
		fputs("mtactl: --yes and --reason are for hold, release, skip, restart and finish\n", stderr);
		return 2;
	}
	return look(m, o);
}
