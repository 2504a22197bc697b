/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A curve against a volume, before anything is sent. The days come from the same arithmetic that will keep
 * them; here they are only added up over the providers and drawn.
 */
#include "control/chart.h"
#include "control/mtactl.h"

#include "conf/conf.h"
#include "conf/conf_value.h"
#include "queue_warmup.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	GROUPS_MAX = 7,
	DAYS_MAX = QUEUE_WARMUP_STAGES_MAX + 1,
	NAME_MAX_BYTES = 24,
	CHART_HEIGHT = 14,
	CHART_HEIGHT_OF_MANY = 6,
	TABLE_COLUMNS = 12,
	LOG_FACTOR = 50, /* from here on a linear axis would hide the first days */
	MILLION = 1000000,
};

/* The sites of one provider, which share a cap. */
struct group {
	char name[NAME_MAX_BYTES + 1];
	int64_t share_ppm, wanted;
	struct queue_warmup_day days[DAYS_MAX];
	size_t day_count;
};
struct preview {
	const char *curve, *volumes, *volume, *providers, *start, *svg;
	bool is_plain;
	const struct conf *conf; /* when the curve is from there */
	int64_t list[QUEUE_WARMUP_STAGES_MAX];
	struct queue_warmup_plan plan;
	int32_t start_day;
	int64_t wanted;
	struct group groups[GROUPS_MAX];
	size_t group_count, day_count;
};

static int
refuse(const char *option, const char *words)
{
	fprintf(stderr, "mtactl: --%s: %s\n", option, words);
	return 2;
}

/* --- the command line --- */

/* The n-th of the words between commas, into buf; false: behind the last. Empty when it is too long. */
static bool
word_at(const char *text, size_t n, char *buf, size_t max)
{
	size_t len;

	for (; n > 0 && text[0] != '\0'; n--) {
		text += strcspn(text, ",");
		text += text[0] == ',' ? 1 : 0;
	}
	if (text[0] == '\0')
		return false;
	len = strcspn(text, ",");
	snprintf(buf, max, "%.*s", len < max ? (int)len : 0, text);
	return true;
}

static int
take_volumes(struct preview *v)
{
	struct conf_why why;
	char word[32];

	for (; word_at(v->volumes, v->plan.count, word, sizeof(word)); v->plan.count++) {
		int64_t *at = &v->list[v->plan.count];

		if (v->plan.count == QUEUE_WARMUP_STAGES_MAX)
			return refuse("volumes", "at most 100 stages");
		if (!conf_value_count(word, at, &why))
			return refuse("volumes", why.text);
		if (*at < 1 || *at > QUEUE_WARMUP_VOLUME_MAX)
			return refuse("volumes", "from 1 to 1000000000");
		if (v->plan.count > 0 && *at < at[-1])
			return refuse("volumes", "each is at least the one before it");
	}
	v->plan.volumes = v->list;
	return v->plan.count > 0 ? 0 : refuse("volumes", "write 200,500,1000");
}

/* A block of the configuration. */
static int
take_conf_curve(struct mtactl *m, struct preview *v)
{
	v->conf = conf_load(m->conf_file, stderr);
	for (size_t i = 0; v->conf != NULL && i < v->conf->warmup_count; i++) {
		const struct conf_warmup *w = &v->conf->warmups[i];

		if (strcmp(w->name, v->curve) == 0) {
			v->plan.volumes = w->volumes.items;
			v->plan.count = w->volumes.count;
			return 0;
		}
	}
	fprintf(stderr, "mtactl: there is no curve \"%s\": gentle, steady, brisk, or a warmup block of %s\n",
		v->curve, m->conf_file);
	return 2;
}

static int
take_curve(struct mtactl *m, struct preview *v)
{
	const struct queue_warmup_curve *c;

	if (v->volumes != NULL)
		return v->curve == NULL ? take_volumes(v) : refuse("volumes", "either this or --curve");
	if (v->curve == NULL)
		v->curve = "steady";
	for (size_t i = 0; (c = queue_warmup_curve_at(i)) != NULL; i++)
		if (strcmp(c->name, v->curve) == 0) {
			v->plan.volumes = c->volumes;
			v->plan.count = c->count;
			return 0;
		}
	return take_conf_curve(m, v);
}

static int
take_group(struct preview *v, char *word, int64_t *left_ppm)
{
	struct group *g = &v->groups[v->group_count];
	char *sign = strchr(word, '=');
	struct conf_why why;

	if (sign == NULL || sign == word || sign - word > NAME_MAX_BYTES)
		return refuse("providers", "write google=40%,yahoo=20%");
	if (v->group_count + 1 == GROUPS_MAX)
		return refuse("providers", "at most six; the rest is \"other\"");
	if (!conf_value_percent(sign + 1, &g->share_ppm, &why))
		return refuse("providers", why.text);
	if (g->share_ppm == 0 || g->share_ppm > *left_ppm)
		return refuse("providers", "each has a part, and together they have no more than 100%");
	snprintf(g->name, sizeof(g->name), "%.*s", (int)(sign - word), word);
	*left_ppm -= g->share_ppm;
	v->group_count++;
	return 0;
}

static int
take_groups(struct preview *v)
{
	int64_t left_ppm = MILLION;
	char word[64];
	int code;

	for (size_t n = 0; v->providers != NULL && word_at(v->providers, n, word, sizeof(word)); n++)
		if ((code = take_group(v, word, &left_ppm)) != 0)
			return code;
	if (v->group_count == 0)
		snprintf(v->groups[0].name, sizeof(v->groups[0].name), "all");
	else
		snprintf(v->groups[v->group_count].name, sizeof(v->groups[0].name), "other");
	if (left_ppm > 0)
		v->groups[v->group_count++].share_ppm = left_ppm;
	return 0;
}

static int
take_numbers(struct preview *v)
{
	struct conf_why why;

	v->wanted = v->plan.volumes[v->plan.count - 1];
	if (v->volume != NULL && !conf_value_count(v->volume, &v->wanted, &why))
		return refuse("volume", why.text);
	if (v->wanted < 1 || v->wanted > QUEUE_WARMUP_VOLUME_MAX)
		return refuse("volume", "from 1 to 1000000000 recipients a day");
	/* What is previewed without a date begins today: the one use of the clock here. */
	v->start_day = (int32_t)(time(NULL) / 86400);
	if (v->start != NULL && !conf_value_day(v->start, &v->start_day, &why))
		return refuse("start", why.text);
	return 0;
}

static int
take_options(struct mtactl *m, struct preview *v, int argc, char **argv)
{
	static const struct option options[] = {{"curve", required_argument, NULL, 'C'},
		{"volumes", required_argument, NULL, 'V'}, {"volume", required_argument, NULL, 'v'},
		{"providers", required_argument, NULL, 'p'}, {"start", required_argument, NULL, 's'},
		{"svg", required_argument, NULL, 'g'}, {"plain", no_argument, NULL, 'P'},
		{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
	int option, code;

	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":c:", options, NULL)) != -1) {
		if (option == 'c')
			m->conf_file = optarg;
		else if (option == 'P')
			v->is_plain = true;
		else if (option == 'j')
			m->json = true;
		else if (option == '?' || option == ':') {
			fprintf(stderr,
				option == ':' ? "mtactl: %s needs a value\n"
					      : "mtactl: warmup plan takes no %s\n",
				argv[optind - 1]);
			return 2;
		} else
			*(option == 'C'         ? &v->curve
				: option == 'V' ? &v->volumes
				: option == 'v' ? &v->volume
				: option == 'p' ? &v->providers
				: option == 's' ? &v->start
						: &v->svg) = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "mtactl: warmup plan does not know what to do with \"%s\"\n", argv[optind]);
		return 2;
	}
	if ((code = take_curve(m, v)) != 0 || (code = take_groups(v)) != 0)
		return code;
	return take_numbers(v);
}

/* --- the days --- */

static void
look_ahead(struct preview *v)
{
	int64_t left = v->wanted;

	for (size_t i = 0; i < v->group_count; i++) {
		struct group *g = &v->groups[i];
		struct queue_warmup w;

		/* The last one has what rounding left over. */
		g->wanted = i + 1 == v->group_count ? left : v->wanted * g->share_ppm / MILLION;
		left -= g->wanted;
		queue_warmup_init(&w);
		queue_warmup_tick(&w, &v->plan, (int64_t)v->start_day * 86400 * MILLION);
		g->day_count = queue_warmup_forecast(&w, &v->plan, g->wanted, g->days, DAYS_MAX - 1);
		if (g->day_count > v->day_count)
			v->day_count = g->day_count;
	}
}

/* Behind its last day a group is warm, or its stage and volume stay as they are. */
static struct queue_warmup_day
day_of(const struct group *g, size_t day)
{
	struct queue_warmup_day d = g->days[day < g->day_count ? day : g->day_count - 1];

	if (day >= g->day_count && d.step == QUEUE_WARMUP_FINISHED)
		return (struct queue_warmup_day){.stage = (uint16_t)(d.stage + 1),
			.sent = g->wanted,
			.wanted = g->wanted,
			.step = QUEUE_WARMUP_WARM};
	return d;
}

static int64_t
sent_on(const struct preview *v, size_t day)
{
	int64_t sent = 0;

	for (size_t i = 0; i < v->group_count; i++)
		sent += day_of(&v->groups[i], day).sent;
	return sent;
}

static const char *
date_of(const struct preview *v, size_t day, char buf[16])
{
	time_t at = (time_t)(v->start_day + (int32_t)day) * 86400;
	struct tm tm;

	(void)strftime(buf, 16, "%Y-%m-%d", gmtime_r(&at, &tm));
	return buf;
}

/* --- as JSON --- */

static json_t *
json_of_day(const struct preview *v, size_t day)
{
	json_t *groups = json_array();
	char date[16];

	for (size_t i = 0; i < v->group_count; i++) {
		struct queue_warmup_day d = day_of(&v->groups[i], day);

		(void)json_array_append_new(
			groups, json_pack("{s:s,s:i,s:I,s:I,s:I,s:b}", "provider", v->groups[i].name, "stage",
					d.stage + 1, "cap", (json_int_t)d.cap, "expected", (json_int_t)d.sent,
					"overflow", (json_int_t)(v->groups[i].wanted - d.sent), "warm",
					d.step == QUEUE_WARMUP_WARM));
	}
	return json_pack("{s:i,s:s,s:I,s:I,s:o}", "day", (int)day + 1, "date", date_of(v, day, date),
		"expected", (json_int_t)sent_on(v, day), "overflow",
		(json_int_t)(v->wanted - sent_on(v, day)), "providers", groups);
}

static void
print_json(const struct preview *v)
{
	json_t *rows = json_array(), *answer;

	for (size_t day = 0; day < v->day_count; day++)
		(void)json_array_append_new(rows, json_of_day(v, day));
	answer = json_pack("{s:o,s:{s:i,s:I}}", "rows", rows, "summary", "stages", (int)v->plan.count,
		"volume", (json_int_t)v->wanted);
	(void)json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(answer);
}

/* --- as a table --- */

static void
write_text(char *buf, size_t max, const json_t *row, const char *field, int64_t now_us)
{
	const char *text = json_string_value(json_object_get(row, field));

	snprintf(buf, max, "%s", text != NULL ? text : "");
}

static void
set_count(json_t *row, const char *field, int64_t n)
{
	char text[32];

	(void)json_object_set_new(row, field, json_string(mtactl_count(text, sizeof(text), n)));
}

static json_t *
table_row(const struct preview *v, size_t day)
{
	json_t *row = json_object();
	struct queue_warmup_day first = day_of(&v->groups[0], day);
	char text[40], date[16];

	set_count(row, "day", (int64_t)day + 1);
	(void)json_object_set_new(row, "date", json_string(date_of(v, day, date)));
	snprintf(text, sizeof(text), "%d/%zu", first.stage + 1, v->plan.count);
	(void)json_object_set_new(row, "stage", json_string(text));
	set_count(row, "cap", first.cap);
	for (size_t i = 0; i < v->group_count; i++) {
		struct queue_warmup_day d = day_of(&v->groups[i], day);
		char number[32];

		mtactl_count(number, sizeof(number), d.sent);
		snprintf(text, sizeof(text), "%s%s", number, d.sent < v->groups[i].wanted ? "<" : " ");
		(void)json_object_set_new(row, v->groups[i].name, json_string(text));
	}
	set_count(row, "expected", sent_on(v, day));
	set_count(row, "overflow", v->wanted - sent_on(v, day));
	return row;
}

static void
print_table(const struct mtactl *m, const struct preview *v)
{
	struct mtactl_column columns[TABLE_COLUMNS] = {
		{"DAY", "day", write_text, .is_right = true}, {"DATE", "date", write_text}};
	json_t *rows = json_array();
	size_t n = 2;

	if (v->group_count == 1) {
		columns[n++] = (struct mtactl_column){"STAGE", "stage", write_text, .is_right = true};
		columns[n++] = (struct mtactl_column){"CAP", "cap", write_text, .is_right = true};
	}
	for (size_t i = 0; v->group_count > 1 && i < v->group_count; i++)
		columns[n++] = (struct mtactl_column){
			v->groups[i].name, v->groups[i].name, write_text, .is_right = true};
	columns[n++] = (struct mtactl_column){"EXPECTED", "expected", write_text, .is_right = true};
	columns[n++] = (struct mtactl_column){"OVERFLOW", "overflow", write_text, .is_right = true};
	for (size_t day = 0; day < v->day_count; day++)
		(void)json_array_append_new(rows, table_row(v, day));
	mtactl_table(m, columns, n, rows, 0);
	json_decref(rows);
}

/* --- in words --- */

static void
print_words(const struct preview *v)
{
	char a[32], b[32], date[16];
	int64_t left = 0;

	for (size_t i = 0; i < v->group_count; i++) {
		const struct group *g = &v->groups[i];
		const struct queue_warmup_day *last = &g->days[g->day_count - 1];
		const char *name = v->group_count == 1 ? "" : g->name,
			   *colon = v->group_count == 1 ? "" : ": ";

		if (last->step == QUEUE_WARMUP_FINISHED)
			printf("%s%swarm from day %zu, %s\n", name, colon, g->day_count + 1,
				date_of(v, g->day_count, date));
		else
			printf("%s%sstays at stage %d of %zu: %s a day are below 90 %% of its cap of %s, and "
			       "nothing is held back\n",
				name, colon, last->stage + 1, v->plan.count,
				mtactl_count(a, sizeof(a), g->wanted), mtactl_count(b, sizeof(b), last->cap));
	}
	for (size_t day = 0; day < v->day_count; day++)
		left += v->wanted - sent_on(v, day);
	if (left > 0 && v->group_count > 1)
		puts("<: as many as the cap lets through");
	if (left > 0)
		printf("overflow: %s recipients in these %zu days go by warm addresses of the pool, or "
		       "wait\n",
			mtactl_count(a, sizeof(a), left), v->day_count);
}

/* --- as a picture --- */

/* A chart for each group. */
struct drawing {
	double expected[GROUPS_MAX][DAYS_MAX], caps[GROUPS_MAX][DAYS_MAX];
	struct chart_series series[GROUPS_MAX][2];
	struct chart_mark marks[GROUPS_MAX];
	char title[128], names[GROUPS_MAX][64];
	struct chart charts[GROUPS_MAX];
	struct chart_picture picture;
};

static void
draw_group(const struct preview *v, size_t i, struct drawing *p)
{
	const struct group *g = &v->groups[i];
	size_t fits = v->day_count;
	char number[32];

	for (size_t day = v->day_count; day-- > 0;) {
		struct queue_warmup_day d = day_of(g, day);

		p->expected[i][day] = (double)d.sent;
		p->caps[i][day] = d.cap > 0 ? (double)d.cap : -1;
		if (d.sent == g->wanted)
			fits = day;
	}
	p->series[i][0] = (struct chart_series){"expected", CHART_BARS, p->expected[i]};
	p->series[i][1] = (struct chart_series){"cap", CHART_LINE, p->caps[i]};
	p->marks[i] = (struct chart_mark){fits, "from here on all of the volume fits"};
	snprintf(p->names[i], sizeof(p->names[i]), "%s, %s a day", g->name,
		mtactl_count(number, sizeof(number), g->wanted));
	p->charts[i] = (struct chart){.name = v->group_count > 1 ? p->names[i] : NULL,
		.first_day = v->start_day,
		.day_count = v->day_count,
		.series = p->series[i],
		.series_count = 2,
		.marks = &p->marks[i],
		.mark_count = fits > 0 && fits < v->day_count ? 1 : 0};
}

static void
draw(const struct preview *v, struct drawing *p)
{
	char number[32];

	for (size_t i = 0; i < v->group_count; i++)
		draw_group(v, i, p);
	snprintf(p->title, sizeof(p->title), "Warm-up %s for a volume of %s",
		v->volumes != NULL ? "by own volumes" : v->curve,
		mtactl_count(number, sizeof(number), v->wanted));
	p->picture = (struct chart_picture){.title = p->title,
		.unit = "recipients a day",
		.charts = p->charts,
		.count = v->group_count,
		.is_log = sent_on(v, v->day_count - 1) >= LOG_FACTOR * sent_on(v, 0)};
}

static int
show(struct mtactl *m, const struct preview *v)
{
	struct drawing *p = calloc(1, sizeof(*p));
	int code = 0;

	if (p == NULL) {
		fputs("mtactl: out of memory\n", stderr);
		return 1;
	}
	draw(v, p);
	if (v->svg != NULL)
		code = mtactl_chart_save(v->svg, &p->picture);
	if (v->svg == NULL || strcmp(v->svg, "-") != 0) {
		if (m->json) {
			print_json(v);
		} else {
			print_table(m, v);
			putchar('\n');
			print_words(v);
			putchar('\n');
			mtactl_chart_print(m, &p->picture,
				v->group_count == 1 ? CHART_HEIGHT : CHART_HEIGHT_OF_MANY, v->is_plain);
		}
	}
	free(p);
	return code;
}

int
mtactl_warmup_plan(struct mtactl *m, int argc, char **argv)
{
	struct preview *v = calloc(1, sizeof(*v));
	int code = 2;

	if (v == NULL)
		return 1;
	for (int i = 0; i < QUEUE_WARMUP_RATES; i++)
		v->plan.hold_ppm[i] = MILLION; /* in good health, whatever that is */
	if ((code = take_options(m, v, argc, argv)) == 0) {
		look_ahead(v);
		code = show(m, v);
	}
	if (v->conf != NULL)
		conf_unref(v->conf);
	free(v);
	return code;
}
