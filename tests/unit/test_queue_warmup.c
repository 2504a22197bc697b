/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_names.h"
#include "queue_warmup.h"

#include <stdlib.h>
#include <string.h>

#define DAY0     20000
#define AT(d)    ((int64_t)(d)*DAY)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const int64_t volumes[] = {200, 500, 1000, 2000, 5000, 10000};
static const struct queue_warmup_plan plan = {.volumes = volumes,
	.count = COUNT(volumes),
	.hold_ppm = {QUEUE_WARMUP_DEFERRED_PPM, QUEUE_WARMUP_BLOCKED_PPM, QUEUE_WARMUP_BOUNCED_PPM,
		QUEUE_WARMUP_COMPLAINED_PPM}};

/* xorshift: the same numbers everywhere. */
static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static int64_t
below(uint64_t *seed, int64_t n)
{
	return n <= 0 ? 0 : (int64_t)(next_random(seed) % (uint64_t)n);
}

static void
store(struct queue_warmup *w)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX];

	if (!queue_warmup_wants_store(w))
		return;
	queue_warmup_encode(w, false, record);
	queue_warmup_stored(w, true);
}

static struct queue_warmup_room
room_at(struct queue_warmup *w, int64_t now_us, int64_t waiting)
{
	struct queue_warmup_room room;

	queue_warmup_tick(w, &plan, now_us);
	room = queue_warmup_room(w, waiting);
	store(w);
	return room.limit == QUEUE_WARMUP_LIMIT_STORE ? queue_warmup_room(w, waiting) : room;
}

/* What a day brings. Recipients are tried hour by hour in this order, as far as there is room; those that
 * were deferred or blocked do not come back. */
struct weather {
	int64_t delivered, deferred, blocked, bounced, complained, waiting;
};

static void
run_day(struct queue_warmup *w, const struct queue_warmup_plan *p, int32_t day, const struct weather *weather)
{
	int64_t left[] = {weather->delivered, weather->deferred, weather->blocked, weather->bounced};
	int64_t waiting = weather->waiting;

	for (int64_t at = AT(day); at < AT(day + 1); at += HOUR / 4) {
		queue_warmup_tick(w, p, at);
		for (int i = 0; i < (int)COUNT(left); i++) {
			int64_t n;

			(void)queue_warmup_room(w, left[i] + waiting);
			store(w);
			n = queue_warmup_room(w, 0).count;
			n = n < left[i] ? n : left[i];
			queue_warmup_lease(w, n);
			queue_warmup_settle(w, (enum queue_warmup_outcome)i, n);
			left[i] -= n;
		}
	}
	queue_warmup_complain(w, weather->complained);
}

/* --- the curves --- */

static void
test_curves(void **state)
{
	static const char *const names[] = {"gentle", "steady", "brisk"};
	const struct queue_warmup_curve *c;
	size_t n = 0, i;

	for (; (c = queue_warmup_curve_at(n)) != NULL; n++) {
		assert_string_equal(c->name, names[n]);
		assert_in_range(c->count, 2, QUEUE_WARMUP_STAGES_MAX);
		assert_true(c->volumes[c->count - 1] >= 1000000);
		for (i = 1; i < c->count; i++) {
			assert_true(c->volumes[i] > c->volumes[i - 1]);
			assert_true(2 * c->volumes[i] <= 5 * c->volumes[i - 1]);
		}
	}
	assert_int_equal(n, COUNT(names));
	/* What the header promises of each. */
	assert_int_equal(queue_warmup_curve_at(0)->volumes[41], 100000);
	assert_int_equal(queue_warmup_curve_at(1)->count, 29);
	assert_int_equal(queue_warmup_curve_at(1)->volumes[0], 200);
	assert_int_equal(queue_warmup_curve_at(1)->volumes[28], 10000000);
	assert_int_equal(queue_warmup_curve_at(2)->volumes[13], 1000000);
	assert_int_equal(queue_warmup_curve_at(2)->count, 20);
	for (i = 1; i < queue_warmup_curve_at(0)->count; i++)
		assert_true(4 * queue_warmup_curve_at(0)->volumes[i] <=
			    5 * queue_warmup_curve_at(0)->volumes[i - 1]);
}

/* --- what a day does to the stage --- */

static const struct {
	const char *name;
	uint16_t stage; /* at the beginning */
	struct weather day;
	enum queue_warmup_step step;
	uint16_t stage_after;
	const char *words;
} steps[] = {
	{"all wanted, all sent", 2, {.delivered = 1000}, QUEUE_WARMUP_ADVANCED, 3, "advanced"},
	{"nine tenths", 2, {.delivered = 900}, QUEUE_WARMUP_ADVANCED, 3, "advanced"},
	{"one less", 2, {.delivered = 899}, QUEUE_WARMUP_LITTLE, 2, "held: too little mail"},
	{"half sent and the rest waited", 2, {.delivered = 500, .waiting = 400}, QUEUE_WARMUP_ADVANCED, 3,
		"advanced"},
	{"less than half sent, much waited", 2, {.delivered = 499, .waiting = 9000}, QUEUE_WARMUP_LITTLE, 2,
		"held: too little mail"},
	{"more handed in than the cap", 2, {.delivered = 50000}, QUEUE_WARMUP_ADVANCED, 3, "advanced"},
	{"the last stage", 5, {.delivered = 10000}, QUEUE_WARMUP_FINISHED, 6, "finished"},
	{"deferred give back, rate below", 2, {.delivered = 1000, .deferred = 110}, QUEUE_WARMUP_ADVANCED, 3,
		"advanced"},
	{"deferrals at the limit", 2, {.delivered = 900, .deferred = 100}, QUEUE_WARMUP_ILL, 2,
		"held: deferrals 10 %"},
	{"deferrals at twice it", 2, {.delivered = 800, .deferred = 200}, QUEUE_WARMUP_BACK, 1,
		"stepped back: deferrals 20 %"},
	{"blocks at the limit", 2, {.delivered = 990, .blocked = 10}, QUEUE_WARMUP_ILL, 2,
		"held: blocks 1 %"},
	{"blocks below", 2, {.delivered = 991, .blocked = 9}, QUEUE_WARMUP_ADVANCED, 3, "advanced"},
	{"blocks at twice it", 2, {.delivered = 980, .blocked = 20}, QUEUE_WARMUP_BACK, 1,
		"stepped back: blocks 2 %"},
	{"bounces at the limit", 2, {.delivered = 950, .bounced = 50}, QUEUE_WARMUP_ILL, 2,
		"held: bounces 5 %"},
	{"bounces at twice it", 2, {.delivered = 900, .bounced = 100}, QUEUE_WARMUP_BACK, 1,
		"stepped back: bounces 10 %"},
	{"complaints at the limit", 4, {.delivered = 5000, .complained = 5}, QUEUE_WARMUP_ILL, 4,
		"held: complaints 0.10 %"},
	{"complaints below", 4, {.delivered = 5000, .complained = 4}, QUEUE_WARMUP_ADVANCED, 5, "advanced"},
	{"complaints at twice it", 4, {.delivered = 5000, .complained = 10}, QUEUE_WARMUP_BACK, 3,
		"stepped back: complaints 0.20 %"},
	{"two complaints are no rate", 0, {.delivered = 200, .complained = 2}, QUEUE_WARMUP_ADVANCED, 1,
		"advanced"},
	{"few recipients are no rate", 0, {.delivered = 30, .blocked = 19}, QUEUE_WARMUP_LITTLE, 0,
		"held: too little mail"},
	{"fifty are", 1, {.delivered = 30, .blocked = 20}, QUEUE_WARMUP_BACK, 0, "stepped back: blocks 40 %"},
	{"nothing before the first", 0, {.delivered = 100, .blocked = 20}, QUEUE_WARMUP_ILL, 0,
		"held: blocks 17 %"},
	{"the worst counts", 2, {.delivered = 800, .deferred = 110, .blocked = 50, .bounced = 60},
		QUEUE_WARMUP_BACK, 1, "stepped back: blocks 5 %"},
	{"ill health before little mail", 2, {.delivered = 100, .deferred = 15}, QUEUE_WARMUP_ILL, 2,
		"held: deferrals 13 %"},
};

/* At this stage, at midnight of DAY0, with an allowance that is full. */
static void
start_at(struct queue_warmup *w, uint16_t stage)
{
	queue_warmup_init(w);
	queue_warmup_tick(w, &plan, AT(DAY0 - 1));
	while (w->stage < stage)
		assert_true(queue_warmup_operate(w, &plan, QUEUE_WARMUP_ACT_SKIP, blob_of("")));
	queue_warmup_tick(w, &plan, AT(DAY0));
	w->history_count = 0;
}

static void
test_steps(void **state)
{
	enum queue_warmup_rate rate = QUEUE_WARMUP_RATES;
	struct queue_warmup w;
	int64_t ppm = 0;
	char words[80];
	bool is_ill;

	for (size_t i = 0; i < COUNT(steps); i++) {
		start_at(&w, steps[i].stage);
		run_day(&w, &plan, DAY0, &steps[i].day);
		assert_int_equal(w.history_count, 0);
		is_ill = queue_warmup_health(&w, &plan, &rate, &ppm) && ppm >= plan.hold_ppm[rate];
		assert_true(queue_warmup_tick(&w, &plan, AT(DAY0 + 1)));
		assert_int_equal(w.history_count, 1);
		/* What is said during the day is what the end of the day goes by. */
		assert_int_equal(is_ill, strstr(steps[i].words, " %") != NULL);
		if (is_ill) {
			assert_int_equal(rate, w.history[0].rate);
			assert_int_equal(ppm, w.history[0].value_ppm);
		}
		queue_warmup_words(&w.history[0], words, sizeof(words));
		if (w.history[0].step != steps[i].step || w.stage != steps[i].stage_after ||
			strcmp(words, steps[i].words) != 0)
			fail_msg("%s: %s, stage %d", steps[i].name, words, w.stage);
		assert_int_equal(w.history[0].cap, volumes[steps[i].stage]);
		assert_int_equal(w.history[0].stage, steps[i].stage);
		assert_int_equal(w.history[0].day, DAY0);
		assert_int_equal(w.is_warm, steps[i].stage_after == COUNT(volumes));
		assert_true(w.history[0].sent <= w.history[0].cap);
		assert_int_equal(queue_warmup_sent(&w), 0);
	}
}

/* Complaints come in later: they are measured by the last day that had mail. */
static void
test_late_complaints(void **state)
{
	struct queue_warmup w;

	start_at(&w, 4);
	run_day(&w, &plan, DAY0, &(struct weather){.delivered = 5000});
	run_day(&w, &plan, DAY0 + 2, &(struct weather){.complained = 5});
	assert_true(queue_warmup_tick(&w, &plan, AT(DAY0 + 3)));
	assert_int_equal(w.history[1].day, DAY0 + 2);
	assert_int_equal(w.history[1].step, QUEUE_WARMUP_ILL);
	assert_int_equal(w.history[1].value_ppm, 1000);
	assert_int_equal(w.stage, 5);
}

static const struct {
	const char *name;
	int32_t gap; /* from one delivery to the next day with mail */
	uint16_t stage, want;
} gaps[] = {
	{"next day", 1, 4, 5},
	{"two weeks less a day", 13, 4, 5},
	{"two weeks", 14, 4, 2},
	{"a month less a day", 29, 4, 2},
	{"a month", 30, 4, 0},
	{"a year", 365, 4, 0},
	{"warm, two weeks", 14, 5, 3},
	{"warm, a month", 30, 5, 0},
	{"nothing to lose", 14, 0, 0},
};

/* Whether the object is looked at in between makes no difference. */
static void
test_idle(void **state)
{
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(gaps); i++) {
		for (int is_watched = 0; is_watched < 2; is_watched++) {
			uint16_t stage = gaps[i].stage;

			start_at(&w, stage);
			run_day(&w, &plan, DAY0,
				&(struct weather){.delivered = stage > 0 ? volumes[stage] : 1});
			for (int32_t d = 1; d < gaps[i].gap; d++)
				if (is_watched)
					queue_warmup_tick(&w, &plan, AT(DAY0 + d) + 5 * HOUR);
			queue_warmup_tick(&w, &plan, AT(DAY0 + gaps[i].gap));
			if (w.stage != gaps[i].want)
				fail_msg("%s: stage %d", gaps[i].name, w.stage);
			assert_false(w.is_warm);
			if (gaps[i].gap >= 14 && gaps[i].stage > 0) {
				assert_int_equal(w.history[w.history_count - 1].step, QUEUE_WARMUP_IDLE);
				assert_int_equal(w.cap, volumes[w.stage]);
			}
		}
	}
}

/* --- the day and its hours --- */

static void
test_hours(void **state)
{
	struct queue_warmup w;
	struct queue_warmup_room room;
	int64_t hour = volumes[5] / 12, sent = 0, at;

	/* A day begins with a quarter of an hour, not with the whole. */
	start_at(&w, 5);
	room = room_at(&w, AT(DAY0), 50000);
	assert_int_equal(room.count, hour / 4);
	assert_int_equal(room.limit, QUEUE_WARMUP_LIMIT_HOUR);
	queue_warmup_lease(&w, room.count);
	room = room_at(&w, AT(DAY0), 50000);
	assert_int_equal(room.count, 0);
	/* The time it names is exact. */
	assert_true(room.next_us > AT(DAY0));
	assert_int_equal(room_at(&w, room.next_us - 1, 0).count, 0);
	assert_int_equal(room_at(&w, room.next_us, 0).count, 1);
	queue_warmup_settle(&w, QUEUE_WARMUP_DELIVERED, hour / 4);
	/* An hour that was missed can be caught up, a morning cannot. */
	assert_int_equal(
		room_at(&w, AT(DAY0) + 30 * MINUTE, 0).count, 417); /* with the third that was left */
	assert_int_equal(room_at(&w, AT(DAY0) + HOUR, 0).count, hour);
	assert_int_equal(room_at(&w, AT(DAY0) + 9 * HOUR, 0).count, hour);
	/* From there on the rest of the day's volume is just possible. */
	sent = hour / 4;
	for (at = AT(DAY0) + 9 * HOUR; at < AT(DAY0 + 1); at += MINUTE) {
		room = room_at(&w, at, 50000);
		queue_warmup_lease(&w, room.count);
		queue_warmup_settle(&w, QUEUE_WARMUP_DELIVERED, room.count);
		sent += room.count;
		assert_true(sent <= volumes[5]);
	}
	assert_int_equal(sent, volumes[5]);
	room = room_at(&w, at - MINUTE, 1);
	assert_int_equal(room.limit, QUEUE_WARMUP_LIMIT_DAY);
	assert_int_equal(room.next_us, AT(DAY0 + 1));
}

/* The smallest caps: one recipient at a time, and never none. */
static void
test_small_caps(void **state)
{
	static const int64_t one[] = {1, 3};
	const struct queue_warmup_plan small = {
		.volumes = one, .count = 2, .hold_ppm = {100000, 10000, 50000, 1000}};
	struct queue_warmup w;

	queue_warmup_init(&w);
	run_day(&w, &small, DAY0, &(struct weather){.delivered = 9});
	assert_int_equal(queue_warmup_sent(&w), 1);
	run_day(&w, &small, DAY0 + 1, &(struct weather){.delivered = 9});
	assert_int_equal(queue_warmup_sent(&w), 3);
	run_day(&w, &small, DAY0 + 2, &(struct weather){.delivered = 9});
	assert_true(w.is_warm);
	assert_int_equal(queue_warmup_sent(&w), 9);
}

/* What gives the place of the day back, and what the hour's allowance too. */
static const struct {
	const char *name;
	enum queue_warmup_outcome outcome;
	int64_t sent, left_of_day, left_of_hour;
} returns[] = {
	{"delivered", QUEUE_WARMUP_DELIVERED, 200, 9800, 633},
	{"deferred", QUEUE_WARMUP_DEFERRED, 0, 10000, 633},
	{"blocked", QUEUE_WARMUP_BLOCKED, 0, 10000, 633},
	{"bounced", QUEUE_WARMUP_BOUNCED, 0, 10000, 633},
	{"uncertain", QUEUE_WARMUP_UNCERTAIN, 200, 9800, 633},
	{"untried", QUEUE_WARMUP_UNTRIED, 0, 10000, 833},
};

static void
test_returns(void **state)
{
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(returns); i++) {
		start_at(&w, 5);
		assert_int_equal(room_at(&w, AT(DAY0) + 2 * HOUR, 9000).count, 833);
		queue_warmup_lease(&w, 200);
		assert_int_equal(w.leased, 200);
		queue_warmup_settle(&w, returns[i].outcome, 200);
		if (queue_warmup_sent(&w) != returns[i].sent ||
			w.cap - queue_warmup_sent(&w) - w.leased != returns[i].left_of_day ||
			queue_warmup_room(&w, 0).count != returns[i].left_of_hour)
			fail_msg("%s: %d", returns[i].name, (int)queue_warmup_room(&w, 0).count);
	}
}

/* --- clocks --- */

/* Times as days after DAY0 and hours; want: days that ended so far. Each tick uses up what there is. */
static const struct {
	const char *name;
	int at_hours[8]; /* -1 ends */
	int ended;
	int64_t sent_max; /* in all, when each day has 200 and then 500 */
} clocks[] = {
	{"an honest day", {0, 6, 12, 18, 24, -1}, 1, 999},
	{"back over midnight", {0, 12, 24, 23, 24, 25, -1}, 1, 999},
	{"back and forth over midnight", {0, 23, 24, 23, 24, 23, 24, -1}, 1, 999},
	{"back by a day", {24, 30, 40, 16, 20, 23, -1}, 0, 200},
	{"back by a day, then midnight", {24, 30, 40, 16, 20, 24, -1}, 1, 999},
	{"back by a month", {720, 730, 10, 20, 23, -1}, 0, 200},
	{"back by a month, then midnight", {720, 730, 10, 20, 24, -1}, 1, 999},
	{"ahead by a day", {0, 10, 34, -1}, 1, 400},
	{"ahead by ten days", {0, 10, 250, -1}, 1, 400},
	{"first day of two hours", {22, 23, 24, 25, 47, -1}, 0, 200},
};

static void
test_J7_clocks(void **state)
{
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(clocks); i++) {
		int64_t sent = 0, last = -1;
		int ended = 0;

		queue_warmup_init(&w);
		for (const int *h = clocks[i].at_hours; *h >= 0; h++) {
			int64_t to = AT(DAY0) + *h * HOUR,
				step = last >= 0 && to > last && to - last < DAY ? MINUTE : 0;

			/* Between two times less than a day apart the clock runs; else it jumps. */
			for (int64_t at = step > 0 ? last + step : to; at <= to; at += MINUTE) {
				struct queue_warmup_room room;

				ended += queue_warmup_tick(&w, &plan, at);
				room = room_at(&w, at, 900);
				if (room.count > w.cap / 12 + 1)
					fail_msg("%s: a flood of %d", clocks[i].name, (int)room.count);
				queue_warmup_lease(&w, room.count);
				queue_warmup_settle(&w, QUEUE_WARMUP_DELIVERED, room.count);
				sent += room.count;
			}
			last = to;
		}
		if (ended != clocks[i].ended || sent > clocks[i].sent_max || sent == 0)
			fail_msg("%s: %d days ended, %d sent", clocks[i].name, ended, (int)sent);
	}
}

/* Days begin where the operator lives. */
static void
test_offset(void **state)
{
	static const int64_t offsets[] = {0, 2 * HOUR, -5 * HOUR, 14 * HOUR};
	struct queue_warmup_plan local = plan;
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(offsets); i++) {
		int64_t midnight = AT(DAY0) - offsets[i];

		local.offset_us = offsets[i];
		queue_warmup_init(&w);
		queue_warmup_tick(&w, &local, midnight);
		(void)queue_warmup_room(&w, 1);
		assert_int_equal(w.day, DAY0);
		assert_false(queue_warmup_tick(&w, &local, midnight + DAY - 1));
		assert_true(queue_warmup_tick(&w, &local, midnight + DAY));
		assert_int_equal(w.day, DAY0 + 1);
	}
}

/* --- plans and operators --- */

static void
test_start_day(void **state)
{
	struct queue_warmup_plan later = plan;
	struct queue_warmup_room room;
	struct queue_warmup w;

	later.start_day = DAY0 + 10;
	queue_warmup_init(&w);
	run_day(&w, &later, DAY0, &(struct weather){.delivered = 200});
	assert_int_equal(queue_warmup_sent(&w), 0);
	room = queue_warmup_room(&w, 5);
	assert_int_equal(room.limit, QUEUE_WARMUP_LIMIT_START);
	assert_int_equal(room.next_us, AT(DAY0 + 10));
	run_day(&w, &later, DAY0 + 10, &(struct weather){.delivered = 200});
	assert_int_equal(queue_warmup_sent(&w), 200);
	queue_warmup_tick(&w, &later, AT(DAY0 + 11));
	assert_int_equal(w.stage, 1);
}

/* A reload with another curve goes on at the same volume or the next below. */
static const struct {
	const char *name;
	int64_t volumes[4];
	size_t count;
	uint16_t stage;
	int64_t cap;
} curves[] = {
	{"the same volume elsewhere", {1000, 2000, 4000, 8000}, 4, 1, 2000},
	{"none of that volume", {700, 1500, 3000, 9000}, 4, 1, 1500},
	{"all larger", {3000, 6000}, 2, 0, 3000},
	{"all smaller", {100, 200}, 2, 1, 200},
	{"the same stage", {1, 2, 3, 2000}, 4, 3, 2000},
};

static void
test_other_curve(void **state)
{
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(curves); i++) {
		struct queue_warmup_plan other = plan;

		other.volumes = curves[i].volumes;
		other.count = curves[i].count;
		start_at(&w, 3);
		assert_false(queue_warmup_tick(&w, &other, AT(DAY0) + HOUR));
		if (w.stage != curves[i].stage || w.cap != curves[i].cap)
			fail_msg("%s: stage %d of %d", curves[i].name, w.stage, (int)w.cap);
		/* Warm stays warm. */
		start_at(&w, 5);
		assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_FINISH, blob_of("")));
		queue_warmup_tick(&w, &other, AT(DAY0) + HOUR);
		assert_true(w.is_warm);
	}
}

static void
test_operate(void **state)
{
	static const char words[] =
		"ann: a word that is longer than the eighty bytes there is room for, so it is cut off";
	struct queue_warmup w;

	start_at(&w, 2);
	assert_false(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_RELEASE, blob_of("")));
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_HOLD, blob_of(words)));
	assert_false(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_HOLD, blob_of("")));
	assert_int_equal(w.words_len, QUEUE_WARMUP_WORDS_MAX);
	assert_memory_equal(w.words, words, QUEUE_WARMUP_WORDS_MAX);
	run_day(&w, &plan, DAY0, &(struct weather){.delivered = 1000});
	queue_warmup_tick(&w, &plan, AT(DAY0 + 1));
	assert_int_equal(w.history[0].step, QUEUE_WARMUP_HELD);
	assert_int_equal(w.history[0].act, QUEUE_WARMUP_ACT_HOLD);
	assert_int_equal(w.stage, 2);
	/* Held does not mean unguarded. */
	run_day(&w, &plan, DAY0 + 1, &(struct weather){.delivered = 700, .blocked = 200});
	queue_warmup_tick(&w, &plan, AT(DAY0 + 2));
	assert_int_equal(w.stage, 1);
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_RELEASE, blob_of("")));
	/* Skip raises the cap at once; restart gives nothing back of what was sent. */
	run_day(&w, &plan, DAY0 + 2, &(struct weather){.delivered = 500});
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_SKIP, blob_of("bob")));
	assert_int_equal(w.cap, 1000);
	assert_int_equal(room_at(&w, AT(DAY0 + 3) - 1, 1).limit, QUEUE_WARMUP_LIMIT_HOUR);
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_RESTART, blob_of("")));
	assert_int_equal(w.cap, 200);
	assert_int_equal(room_at(&w, AT(DAY0 + 3) - 1, 1).count, 0);
	assert_int_equal(room_at(&w, AT(DAY0 + 3) - 1, 1).limit, QUEUE_WARMUP_LIMIT_DAY);
	/* Finish is for good, until a restart. */
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_FINISH, blob_of("")));
	assert_false(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_FINISH, blob_of("")));
	assert_false(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_SKIP, blob_of("")));
	assert_true(queue_warmup_room(&w, 1).count == INT64_MAX);
	queue_warmup_lease(&w, 1000000);
	queue_warmup_settle(&w, QUEUE_WARMUP_DELIVERED, 1000000);
	assert_true(queue_warmup_operate(&w, &plan, QUEUE_WARMUP_ACT_RESTART, blob_of("")));
	assert_false(w.is_warm);
	assert_int_equal(queue_warmup_room(&w, 0).count, 0);
}

static void
test_forecast(void **state)
{
	static const struct {
		const char *name;
		int64_t wanted;
		size_t count;
		enum queue_warmup_step last;
		int64_t sent;
	} cases[] = {
		{"plenty", 20000, 6, QUEUE_WARMUP_FINISHED, 18700},
		{"just enough for the last", 9000, 6, QUEUE_WARMUP_FINISHED, 17700},
		{"stuck", 1900, 5, QUEUE_WARMUP_LITTLE, 200 + 500 + 1000 + 1900 + 1900},
		{"nothing", 0, 1, QUEUE_WARMUP_LITTLE, 0},
	};
	struct queue_warmup_day days[20];
	struct queue_warmup w;

	for (size_t i = 0; i < COUNT(cases); i++) {
		int64_t sent = 0;
		size_t n;

		queue_warmup_init(&w);
		queue_warmup_tick(&w, &plan, AT(DAY0));
		n = queue_warmup_forecast(&w, &plan, cases[i].wanted, days, COUNT(days));
		for (size_t k = 0; k < n; k++) {
			sent += days[k].sent;
			assert_int_equal(days[k].day, DAY0 + (int)k);
			assert_int_equal(days[k].cap, volumes[days[k].stage]);
		}
		if (n != cases[i].count || days[n - 1].step != cases[i].last || sent != cases[i].sent)
			fail_msg("%s: %d days, %d sent", cases[i].name, (int)n, (int)sent);
		assert_int_equal(queue_warmup_forecast(&w, &plan, cases[i].wanted, days, 1), 1);
	}
	/* It is what then happens. */
	for (size_t k = 0; k < 6; k++)
		run_day(&w, &plan, DAY0 + (int)k, &(struct weather){.delivered = 20000});
	queue_warmup_tick(&w, &plan, AT(DAY0 + 6));
	assert_true(w.is_warm);
	assert_int_equal(queue_warmup_forecast(&w, &plan, 5, days, COUNT(days)), 0);
}

/* --- records --- */

static void
fill(struct queue_warmup *w)
{
	start_at(w, 1);
	for (int i = 0; i < 70; i++)
		run_day(w, &plan, DAY0 + i, &(struct weather){.delivered = 400, .bounced = i});
	(void)queue_warmup_operate(w, &plan, QUEUE_WARMUP_ACT_HOLD, blob_of("ann: wait"));
}

static void
test_decode(void **state)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX], again[QUEUE_WARMUP_RECORD_MAX];
	struct queue_warmup w, back, old;
	size_t len, accepted = 0;

	fill(&w);
	assert_int_equal(w.history_count, QUEUE_WARMUP_HISTORY);
	len = queue_warmup_encode(&w, true, record);
	queue_warmup_stored(&w, true);
	assert_int_equal(queue_warmup_decode((struct queue_blob){record, len}, &back), QUEUE_OK);
	assert_int_equal(queue_warmup_encode(&back, true, again), len);
	assert_memory_equal(record, again, len);
	assert_memory_equal(w.history, back.history, sizeof(w.history));
	assert_memory_equal(back.words, "ann: wait", 9);
	assert_true(back.is_held);
	/* Cut anywhere, or with something behind it. */
	memset(&old, 0x5a, sizeof(old));
	memcpy(&back, &old, sizeof(old));
	for (size_t n = 0; n < len; n++)
		assert_int_equal(queue_warmup_decode((struct queue_blob){record, n}, &back), QUEUE_EDAMAGED);
	assert_int_equal(queue_warmup_decode((struct queue_blob){record, len + 1}, &back), QUEUE_EDAMAGED);
	record[0] = 2;
	assert_int_equal(queue_warmup_decode((struct queue_blob){record, len}, &back), QUEUE_EVERSION);
	record[0] = 1;
	assert_memory_equal(&back, &old, sizeof(old));
	/* What is accepted with a wrong byte can be lived with: no assertion fails later. */
	for (size_t n = 1; n < len; n++) {
		uint8_t was = record[n];

		record[n] ^= 0xff;
		if (queue_warmup_decode((struct queue_blob){record, len}, &back) == QUEUE_OK) {
			accepted++;
			room_at(&back, AT(DAY0 + 100), 10);
			(void)queue_warmup_encode(&back, false, again);
		}
		record[n] = was;
	}
	assert_in_range(accepted, 1, len);
}

/* The same life twice, once with clean restarts at random points. */
static void
test_restarts_change_nothing(void **state)
{
	uint8_t one[QUEUE_WARMUP_RECORD_MAX], two[QUEUE_WARMUP_RECORD_MAX];
	uint64_t seed = 4711;
	struct queue_warmup a, b;
	int64_t now = AT(DAY0);
	size_t len;

	queue_warmup_init(&a);
	queue_warmup_init(&b);
	for (int i = 0; i < 4000; i++) {
		enum queue_warmup_outcome outcome = below(&seed, 20) > 0
							    ? QUEUE_WARMUP_DELIVERED
							    : (enum queue_warmup_outcome)below(&seed, 6);
		int64_t waiting = below(&seed, 4000), n;

		now += below(&seed, HOUR);
		n = room_at(&a, now, waiting).count;
		assert_int_equal(room_at(&b, now, waiting).count, n);
		n = n < waiting ? n : waiting;
		queue_warmup_lease(&a, n);
		queue_warmup_lease(&b, n);
		queue_warmup_settle(&a, outcome, n);
		queue_warmup_settle(&b, outcome, n);
		if (below(&seed, 10) > 0)
			continue;
		len = queue_warmup_encode(&a, true, one);
		queue_warmup_stored(&a, true);
		assert_int_equal(queue_warmup_encode(&b, true, two), len);
		assert_memory_equal(one, two, len);
		assert_int_equal(queue_warmup_decode((struct queue_blob){two, len}, &b), QUEUE_OK);
	}
	assert_true(a.stage > 0 || a.is_warm);
}

/* --- what receivers see --- */

/* Sessions that take their time, and a process that dies; `seen` is by the receiver's clock. */
struct world {
	struct queue_warmup w;
	uint64_t seed;
	int64_t now;
	struct {
		int64_t n, until;
	} sessions[40];
	uint8_t disk[QUEUE_WARMUP_RECORD_MAX], storing[QUEUE_WARMUP_RECORD_MAX];
	size_t disk_len, storing_len;
	int64_t stored_at;
	int64_t seen_today, cap_today, carried, total;
	int32_t today;
};

static void
crash(struct world *x)
{
	for (size_t i = 0; i < COUNT(x->sessions); i++) {
		/* Some of what was under way arrived and nobody knows. */
		if (x->sessions[i].n > 0 && below(&x->seed, 2) == 0)
			x->seen_today += x->sessions[i].n;
		x->sessions[i].n = 0;
	}
	if (x->disk_len == 0)
		queue_warmup_init(&x->w);
	else
		assert_int_equal(
			queue_warmup_decode((struct queue_blob){x->disk, x->disk_len}, &x->w), QUEUE_OK);
	x->storing_len = 0;
}

static void
store_slowly(struct world *x)
{
	if (x->storing_len > 0 && x->now >= x->stored_at) {
		bool is_stored = below(&x->seed, 10) > 0;

		if (is_stored) {
			memcpy(x->disk, x->storing, x->storing_len);
			x->disk_len = x->storing_len;
		}
		x->storing_len = 0;
		queue_warmup_stored(&x->w, is_stored);
	}
	if (x->storing_len == 0 && queue_warmup_wants_store(&x->w)) {
		x->storing_len = queue_warmup_encode(&x->w, false, x->storing);
		x->stored_at = x->now + below(&x->seed, 20 * SEC);
	}
}

static void
new_day(struct world *x)
{
	if ((int32_t)(x->now / DAY) == x->today)
		return;
	x->total += x->seen_today;
	x->today = (int32_t)(x->now / DAY);
	x->seen_today = x->carried = 0;
	for (size_t i = 0; i < COUNT(x->sessions); i++)
		x->carried += x->sessions[i].n;
	x->cap_today = x->w.is_warm ? INT64_MAX : x->w.cap;
}

static void
live(struct world *x)
{
	int64_t waiting = below(&x->seed, 3) > 0 ? below(&x->seed, 20000) : 0, n;

	x->now += below(&x->seed, 10 * MINUTE);
	queue_warmup_tick(&x->w, &plan, x->now);
	new_day(x);
	for (size_t i = 0; i < COUNT(x->sessions); i++) {
		if (x->sessions[i].n > 0 && x->sessions[i].until <= x->now) {
			enum queue_warmup_outcome outcome =
				below(&x->seed, 9) > 0 ? QUEUE_WARMUP_DELIVERED
						       : (enum queue_warmup_outcome)below(&x->seed, 6);

			queue_warmup_settle(&x->w, outcome, x->sessions[i].n);
			if (outcome == QUEUE_WARMUP_DELIVERED || outcome == QUEUE_WARMUP_UNCERTAIN)
				x->seen_today += x->sessions[i].n;
			x->sessions[i].n = 0;
		}
		n = queue_warmup_room(&x->w, waiting).count;
		store_slowly(x);
		if (x->sessions[i].n > 0 || waiting == 0 || x->w.is_warm)
			continue;
		n = 1 + below(&x->seed, n < waiting ? n : waiting);
		if (n > queue_warmup_room(&x->w, 0).count)
			continue;
		queue_warmup_lease(&x->w, n);
		x->sessions[i].n = n;
		x->sessions[i].until = x->now + below(&x->seed, 40 * MINUTE);
	}
}

static void
test_crashes_never_exceed_the_cap(void **state)
{
	int64_t total = 0;
	int crashes = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world x = {.seed = seed * 7919, .now = AT(DAY0)};

		queue_warmup_init(&x.w);
		queue_warmup_tick(&x.w, &plan, x.now);
		for (int i = 0; i < 6000; i++) {
			live(&x);
			if (seed > 5 && below(&x.seed, 400) == 0) {
				crash(&x);
				crashes++;
				queue_warmup_tick(&x.w, &plan, x.now);
			}
			/* More than the cap only when that was in sessions at midnight. */
			if (x.seen_today > x.cap_today && x.seen_today > x.carried)
				fail_msg("seed %d: %d of %d on day %d", (int)seed, (int)x.seen_today,
					(int)x.cap_today, x.today - DAY0);
		}
		total += x.total;
	}
	assert_true(crashes >= 100);
	assert_true(total > 20000);
}

/* A claim is for its day; and what was in sessions at midnight may have arrived on the new day. */
static void
test_crash_after_midnight(void **state)
{
	uint8_t record[QUEUE_WARMUP_RECORD_MAX];
	struct queue_warmup w, back;
	size_t len;

	start_at(&w, 2);
	assert_true(room_at(&w, AT(DAY0) + 23 * HOUR, 900).count > 50);
	queue_warmup_lease(&w, 50);
	len = queue_warmup_encode(&w, false, record);
	queue_warmup_stored(&w, true);
	assert_true(queue_warmup_tick(&w, &plan, AT(DAY0 + 1) + MINUTE));
	assert_int_equal(queue_warmup_room(&w, 10).limit, QUEUE_WARMUP_LIMIT_STORE);
	assert_int_equal(queue_warmup_room(&w, 10).count, 0);
	queue_warmup_settle(&w, QUEUE_WARMUP_DELIVERED, 50);
	assert_int_equal(queue_warmup_decode((struct queue_blob){record, len}, &back), QUEUE_OK);
	assert_int_equal(queue_warmup_sent(&back), 50 + 1000 / 6 + 1);
	queue_warmup_tick(&back, &plan, AT(DAY0 + 1) + 2 * MINUTE);
	assert_true(queue_warmup_sent(&back) >= 50);
	/* And no longer than that. */
	(void)queue_warmup_room(&back, 10);
	queue_warmup_tick(&back, &plan, AT(DAY0 + 2));
	assert_int_equal(queue_warmup_sent(&back), 0);
}

/* No hour, wherever it begins, takes more than a sixth of the day: what was caught up and what came in. */
static void
test_no_hour_takes_more(void **state)
{
	int64_t tried[24 * 60] = {0}, in_hour, all = 0;
	uint64_t seed = 99;
	struct queue_warmup w;

	start_at(&w, 5);
	for (int i = 0; i < (int)COUNT(tried); i++) {
		int64_t n = room_at(&w, AT(DAY0) + i * MINUTE, 30000).count;

		if (below(&seed, 40) > 0) /* mostly it waits */
			n = below(&seed, 5) > 0 ? 0 : below(&seed, n + 1);
		queue_warmup_lease(&w, n);
		queue_warmup_settle(&w, below(&seed, 2) ? QUEUE_WARMUP_DELIVERED : QUEUE_WARMUP_DEFERRED, n);
		tried[i] = n;
		all += n;
	}
	assert_true(all > 3000);
	for (int i = 0; i + 60 <= (int)COUNT(tried); i++) {
		in_hour = 0;
		for (int k = 0; k < 60; k++)
			in_hour += tried[i + k];
		assert_true(in_hour <= volumes[5] / 6 + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_curves),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_late_complaints),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_hours),
		cmocka_unit_test(test_small_caps),
		cmocka_unit_test(test_returns),
		cmocka_unit_test(test_J7_clocks),
		cmocka_unit_test(test_offset),
		cmocka_unit_test(test_start_day),
		cmocka_unit_test(test_other_curve),
		cmocka_unit_test(test_operate),
		cmocka_unit_test(test_forecast),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_restarts_change_nothing),
		cmocka_unit_test(test_crashes_never_exceed_the_cap),
		cmocka_unit_test(test_crash_after_midnight),
		cmocka_unit_test(test_no_hour_takes_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
