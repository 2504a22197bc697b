/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 45 days of four new addresses and five groups of sites, with a bad week in the middle: what becomes of it
 * is in golden/warmup-45-days.txt and its pictures, to be looked at. Mail comes in on working days, more in
 * the morning; what a day's cap leaves over goes elsewhere. A site defers, blocks, bounces and complains with
 * its own rates, and in the bad week, days 21 to 27, two of the addresses are listed at two of the sites.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/chart.h"
#include "golden_fixture.h"
#include "queue_names.h"
#include "queue_warmup.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum {
	SOURCES = 4,
	SITES = 5,
	DAYS = 45,
	FIRST_DAY = 20787,
	PARTS = 96,
	BAD_FIRST = 21,
	BAD_LAST = 27,
	BATCH = 40
};

static const struct {
	const char *name, *curve;
	int32_t start; /* from the first day */
	bool is_listed;
} sources[SOURCES] = {
	{"a", "steady", 0, true},
	{"b", "gentle", 0, false},
	{"c", "brisk", 0, true},
	{"d", "steady", 10, false},
};
/* Parts in 10,000 of what is tried; complaints of what is delivered. */
static const struct site {
	const char *name;
	int64_t daily; /* of one source on a working day */
	int deferred, blocked, bounced, complained;
	bool is_listing;
} sites[SITES] = {
	{"google", 40000, 200, 2, 60, 3, false},
	{"microsoft", 25000, 300, 5, 80, 2, true},
	{"yahoo", 15000, 400, 5, 60, 3, true},
	{"gmx", 3000, 100, 0, 90, 1, false},
	{"other", 9000, 500, 10, 250, 1, false},
};

struct lane {
	struct queue_warmup w;
	struct queue_warmup_plan plan;
	const struct site *site;
	bool is_listed;
	uint64_t seed;
	int64_t demand, backlog;                                           /* today: in all, and left */
	int64_t sent[DAYS], cap[DAYS], by_part[DAYS][PARTS], wanted[DAYS]; /* as the site saw it */
	int stage[DAYS], stores;
};

static int64_t
below(uint64_t *seed, int64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return n <= 0 ? 0 : (int64_t)(*seed % (uint64_t)n);
}

static void
lane_init(struct lane *l, int source, int site)
{
	const struct queue_warmup_curve *c;
	size_t i = 0;

	memset(l, 0, sizeof(*l));
	while ((c = queue_warmup_curve_at(i)) != NULL && strcmp(c->name, sources[source].curve) != 0)
		i++;
	assert_non_null(c);
	l->plan = (struct queue_warmup_plan){.volumes = c->volumes,
		.count = c->count,
		.hold_ppm = {QUEUE_WARMUP_DEFERRED_PPM, QUEUE_WARMUP_BLOCKED_PPM, QUEUE_WARMUP_BOUNCED_PPM,
			QUEUE_WARMUP_COMPLAINED_PPM},
		.start_day = FIRST_DAY + sources[source].start};
	l->site = &sites[site];
	l->is_listed = sources[source].is_listed && sites[site].is_listing;
	l->seed = (uint64_t)(source * SITES + site) * 2654435761u + 88172645463325252u;
	queue_warmup_init(&l->w);
}

static enum queue_warmup_outcome
outcome_of(struct lane *l, bool is_bad, int64_t weather)
{
	int64_t dice = below(&l->seed, 10000), deferred = l->site->deferred, blocked = l->site->blocked;

	if (is_bad) {
		deferred = 900 + 350 * weather; /* from a little below the limit to above twice it */
		blocked = 30 * weather;
	}
	if ((dice -= blocked) < 0)
		return QUEUE_WARMUP_BLOCKED;
	if ((dice -= deferred) < 0)
		return QUEUE_WARMUP_DEFERRED;
	return dice < l->site->bounced ? QUEUE_WARMUP_BOUNCED : QUEUE_WARMUP_DELIVERED;
}

/* Stored at once, as here nothing crashes. */
static void
lane_store(struct lane *l)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX];

	if (!queue_warmup_wants_store(&l->w))
		return;
	queue_warmup_encode(&l->w, false, record);
	queue_warmup_stored(&l->w, true);
	l->stores++;
}

static void
lane_part(struct lane *l, int day, int part, bool is_bad, int64_t weather)
{
	int64_t tries = 0, complained = 0;

	queue_warmup_tick(&l->w, &l->plan, (int64_t)(FIRST_DAY + day) * DAY + part * (DAY / PARTS));
	if (part == 0) {
		l->cap[day] = l->w.is_warm ? 0 : l->w.cap;
		l->stage[day] = l->w.stage;
	}
	/* Each recipient is tried once in a part; who was deferred comes again in the next. */
	for (int64_t left = l->backlog; left > 0;) {
		int64_t n;

		(void)queue_warmup_room(&l->w, left);
		lane_store(l);
		n = queue_warmup_room(&l->w, 0).count;
		n = n < left ? n : left;
		n = n < BATCH ? n : BATCH;
		if (n == 0)
			break;
		queue_warmup_lease(&l->w, n);
		left -= n;
		tries += n;
		for (; n > 0; n--) {
			enum queue_warmup_outcome outcome = outcome_of(l, is_bad, weather);

			queue_warmup_settle(&l->w, outcome, 1);
			l->sent[day] += outcome == QUEUE_WARMUP_DELIVERED;
			l->backlog -= outcome != QUEUE_WARMUP_DEFERRED;
			complained += outcome == QUEUE_WARMUP_DELIVERED &&
				      below(&l->seed, 10000) < l->site->complained;
		}
	}
	queue_warmup_complain(&l->w, complained);
	l->by_part[day][part] = tries;
}

/* A clean restart. */
static void
lane_restart(struct lane *l)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX];
	size_t len = queue_warmup_encode(&l->w, true, record);

	assert_int_equal(queue_warmup_decode((struct queue_blob){record, len}, &l->w), QUEUE_OK);
}

static void
lane_run(struct lane *l, uint64_t restart_seed)
{
	for (int day = 0; day < DAYS; day++) {
		bool is_weekend = (FIRST_DAY + day + 3) % 7 >= 5; /* day 0 of 1970 was a Thursday */
		bool is_bad = l->is_listed && day >= BAD_FIRST && day <= BAD_LAST;
		int64_t weather = 1 + below(&l->seed, 8);

		l->demand = l->site->daily * (is_weekend ? 10 : 85 + below(&l->seed, 31)) / 100;
		l->wanted[day] = l->demand;
		l->backlog = 0; /* what the cap left over went by other addresses */
		for (int part = 0; part < PARTS; part++) {
			/* From 06:00 on in sixteen portions, the last at 14:00. */
			if (part >= PARTS / 4 && part < PARTS / 4 + 32 && part % 2 == 0)
				l->backlog += l->demand / 16;
			lane_part(l, day, part, is_bad, weather);
			if (restart_seed != 0 && below(&restart_seed, 50) == 0)
				lane_restart(l);
		}
	}
	queue_warmup_tick(&l->w, &l->plan, (int64_t)(FIRST_DAY + DAYS) * DAY);
}

/* --- what must hold whatever the weather --- */

static void
check_lane(const struct lane *l)
{
	const struct queue_warmup_day *h = l->w.history;

	assert_true(l->w.history_count <= DAYS);
	for (size_t i = 0; i < l->w.history_count; i++, h++) {
		int day = h->day - FIRST_DAY;

		assert_in_range(day, 0, DAYS - 1);
		assert_int_equal(h->sent, l->sent[day]); /* the books are what the site saw */
		assert_int_equal(h->cap, l->cap[day]);
		assert_int_equal(h->stage, l->stage[day]);
	}
	for (int day = 0; day < DAYS; day++) {
		assert_true(l->sent[day] <= l->wanted[day]);
		if (l->cap[day] == 0)
			continue;
		assert_true(l->sent[day] <= l->cap[day]);
		for (int part = 3; part < PARTS; part++)
			assert_true(l->by_part[day][part] + l->by_part[day][part - 1] +
					    l->by_part[day][part - 2] + l->by_part[day][part - 3] <=
				    l->cap[day] / 6 + 1);
		/* A step is one stage, up or down. */
		if (day > 0)
			assert_true(abs(l->stage[day] - l->stage[day - 1]) <= 1);
	}
}

/* The bad week shows where it was, and nowhere else. */
static void
check_bad_week(const struct lane *l)
{
	int ill = 0, back = 0;

	for (size_t i = 0; i < l->w.history_count; i++) {
		const struct queue_warmup_day *h = &l->w.history[i];
		bool is_ill = h->step == QUEUE_WARMUP_ILL || h->step == QUEUE_WARMUP_BACK;
		int day = h->day - FIRST_DAY;

		if (l->is_listed && day >= BAD_FIRST && day <= BAD_LAST) {
			ill += is_ill;
			back += h->step == QUEUE_WARMUP_BACK;
		}
	}
	if (l->is_listed && l->cap[BAD_FIRST] != 0) {
		assert_true(ill >= 4 && back >= 1);
		assert_true(l->stage[BAD_LAST] < l->stage[BAD_FIRST]);
		assert_true(l->stage[DAYS - 1] > l->stage[BAD_LAST]); /* and it recovers */
	}
}

/* --- the golden files --- */

static void
write_numbers(FILE *out, const char *name, const struct lane *l, const int64_t *numbers)
{
	char text[16];

	fprintf(out, "  %-6s", name);
	for (int day = 0; day < DAYS; day++)
		fprintf(out, " %5s",
			numbers == l->cap && l->cap[day] == 0
				? "-"
				: chart_number_text((double)numbers[day], text));
	fputc('\n', out);
}

static void
write_lane(FILE *out, const struct lane *l, int source)
{
	char words[80];

	fprintf(out, "%s -> %s: %s%s\n", sources[source].name, l->site->name, sources[source].curve,
		l->is_listed ? ", listed on days 21 to 27" : "");
	fprintf(out, "  %-6s", "day");
	for (int day = 0; day < DAYS; day++)
		fprintf(out, " %5d", day);
	fputc('\n', out);
	write_numbers(out, "cap", l, l->cap);
	write_numbers(out, "wanted", l, l->wanted);
	write_numbers(out, "sent", l, l->sent);
	for (size_t i = 0; i < l->w.history_count; i++) {
		const struct queue_warmup_day *h = &l->w.history[i];

		queue_warmup_words(h, words, sizeof(words));
		if (h->step == QUEUE_WARMUP_ILL || h->step == QUEUE_WARMUP_BACK ||
			h->step == QUEUE_WARMUP_FINISHED)
			fprintf(out, "  day %d, stage %d: %s\n", h->day - FIRST_DAY, h->stage + 1, words);
	}
}

/* The charts of one source. */
struct picture {
	double sent[SITES][DAYS], caps[SITES][DAYS];
	struct chart_series series[SITES][2];
	struct chart_mark marks[SITES][DAYS];
	char words[SITES][DAYS][80];
	struct chart charts[SITES];
};

static void
draw_lane(struct picture *p, int site, const struct lane *l)
{
	struct chart *c = &p->charts[site];

	for (int day = 0; day < DAYS; day++) {
		p->sent[site][day] = (double)l->sent[day];
		p->caps[site][day] = l->cap[day] > 0 ? (double)l->cap[day] : -1;
	}
	p->series[site][0] = (struct chart_series){"sent", CHART_BARS, p->sent[site]};
	p->series[site][1] = (struct chart_series){"cap", CHART_LINE, p->caps[site]};
	*c = (struct chart){.name = l->site->name,
		.first_day = FIRST_DAY,
		.day_count = DAYS,
		.series = p->series[site],
		.series_count = 2,
		.marks = p->marks[site]};
	for (size_t i = 0; i < l->w.history_count; i++) {
		const struct queue_warmup_day *h = &l->w.history[i];
		char *words = p->words[site][c->mark_count];

		if (h->step != QUEUE_WARMUP_ILL && h->step != QUEUE_WARMUP_BACK &&
			h->step != QUEUE_WARMUP_FINISHED)
			continue;
		queue_warmup_words(h, words, sizeof(p->words[site][0]));
		p->marks[site][c->mark_count++] = (struct chart_mark){(size_t)(h->day - FIRST_DAY), words};
	}
}

static void
check_pictures(struct lane lanes[SOURCES][SITES], FILE *out)
{
	static const struct chart_terminal terminal = {.width = 110, .height = 6, .has_unicode = true};
	struct picture *p = calloc(1, sizeof(*p));
	struct chart_picture picture = {"45 days of source a", "recipients a day", p->charts, SITES, true};
	char *said = NULL;
	size_t len;
	FILE *svg = open_memstream(&said, &len);

	for (int site = 0; site < SITES; site++)
		draw_lane(p, site, &lanes[0][site]);
	chart_write_terminal(out, &picture, &terminal);
	picture.charts = &p->charts[2];
	picture.count = 1;
	chart_write_svg(svg, &picture);
	fclose(svg);
	golden_check("warmup-45-days.svg", said, len);
	free(said);
	free(p);
}

static void
test_45_days(void **state)
{
	struct lane(*lanes)[SITES] = calloc(SOURCES, sizeof(*lanes));
	struct lane *again = calloc(1, sizeof(*again));
	char *said = NULL;
	size_t len;
	FILE *out = open_memstream(&said, &len);

	for (int source = 0; source < SOURCES; source++)
		for (int site = 0; site < SITES; site++) {
			struct lane *l = &lanes[source][site];

			lane_init(l, source, site);
			lane_run(l, 0);
			check_lane(l);
			check_bad_week(l);
			write_lane(out, l, source);
			/* The same with restarts at random points. */
			lane_init(again, source, site);
			lane_run(again, 1000 + l->seed % 1000);
			assert_memory_equal(again->sent, l->sent, sizeof(l->sent));
			assert_memory_equal(again->by_part, l->by_part, sizeof(l->by_part));
			assert_memory_equal(again->w.history, l->w.history, sizeof(l->w.history));
			/* A record every hour or so is all it costs. */
			assert_in_range(l->stores, 1, 40 * DAYS);
		}
	fputc('\n', out);
	check_pictures(lanes, out);
	fclose(out);
	golden_check("warmup-45-days.txt", said, len);
	free(said);
	free(again);
	free(lanes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_45_days)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
