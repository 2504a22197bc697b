/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever raises the volume of a new address too fast is blocked, and whoever counts what was handed in
 * instead of what arrived raises it by mistake. So the day's cap is kept by two sums that only delivery and
 * leases move, the hour's by a bucket that attempts empty, and the stage by one judgement a day.
 *
 * Invariants: sent + leased grows by queue_warmup_lease() alone, never above the cap, nor above what a record
 * on disk claims; only end_day() clears sent; only end_day(), operate() and a new curve move the stage.
 *
 * The bucket is in recipients times microseconds: a microsecond adds the cap, a recipient costs SPREAD_US.
 * With the largest cap an hour is 3.6e18, which leaves room for another in 63 bits.
 */
#include "queue_warmup.h"

#include "queue_bytes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US  (24 * HOUR_US)
/* A day's volume takes at least so long. Mailtrap's plans put a fifth of the day into an hour, Mailgun's a
 * fortieth. With less than a twelfth, mail that is handed in at noon could not reach the volume that moves
 * the stage. */
#define SPREAD_US  (12 * HOUR_US)
#define HEAD_US    (HOUR_US / 4) /* what a day may begin with at once */
#define DAY_MIN_US (12 * HOUR_US)
#define COUNT_MAX  INT64_C(1000000000000) /* no sum of a day in a sound record is larger */

enum {
	VERSION = 1,
	CLAIM_PARTS = 6,     /* a record claims a sixth of the cap ahead: what two hours can use */
	WANTED_PERCENT = 90, /* SparkPost's rule for the next stage */
	SENT_PERCENT = 50,
	VOLUME_MIN = 50,
	BAD_MIN = 3,
	BACK_FACTOR = 2,
	IDLE_HALF_DAYS = 14,
	IDLE_FIRST_DAYS = 30, /* SendGrid's rule */
	MILLION = 1000000,
	IS_WARM = 1,
	IS_HELD = 2,
};

static const int64_t gentle[] = {100, 125, 150, 180, 220, 260, 300, 350, 420, 500, 600, 700, 850, 1000, 1200,
	1400, 1700, 2000, 2400, 2800, 3300, 4000, 4700, 5500, 6500, 7500, 9000, 10500, 12500, 15000, 17500,
	20000, 24000, 28000, 33000, 39000, 46000, 54000, 64000, 75000, 87000, 100000, 120000, 145000, 175000,
	210000, 250000, 300000, 360000, 430000, 520000, 620000, 750000, 870000, 1000000};
static const int64_t steady[] = {200, 500, 1000, 2000, 5000, 10000, 20000, 40000, 50000, 75000, 100000,
	150000, 200000, 250000, 325000, 400000, 500000, 600000, 750000, 1000000, 1250000, 1750000, 2000000,
	3000000, 4250000, 5000000, 6000000, 7500000, 10000000};
static const int64_t brisk[] = {1000, 2000, 4000, 8000, 15000, 30000, 60000, 100000, 150000, 200000, 300000,
	450000, 650000, 1000000, 1500000, 2000000, 3000000, 4500000, 6500000, 10000000};

#define CURVE(array)                                                                                         \
	{                                                                                                    \
#array, array, sizeof(array) / sizeof((array)[0])                                            \
	}
static const struct queue_warmup_curve curves[] = {CURVE(gentle), CURVE(steady), CURVE(brisk)};

const struct queue_warmup_curve *
queue_warmup_curve_at(size_t i)
{
	return i < sizeof(curves) / sizeof(curves[0]) ? &curves[i] : NULL;
}

void
queue_warmup_init(struct queue_warmup *w)
{
	*w = (struct queue_warmup){.day = QUEUE_WARMUP_NO_DAY, .active_day = QUEUE_WARMUP_NO_DAY};
}

/* --- sums of the day --- */

int64_t
queue_warmup_sent(const struct queue_warmup *w)
{
	return w->counts[QUEUE_WARMUP_DELIVERED] + w->counts[QUEUE_WARMUP_UNCERTAIN];
}

static int64_t
used(const struct queue_warmup *w)
{
	return queue_warmup_sent(w) + w->leased;
}

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
claim_step(const struct queue_warmup *w)
{
	return w->cap / CLAIM_PARTS + 1;
}

/* --- the hour's allowance --- */

/* Never less than one recipient, or a cap below twelve would be none. */
static int64_t
level_max(const struct queue_warmup *w, int64_t span_us)
{
	return larger(w->cap * span_us, SPREAD_US);
}

static void
refill(struct queue_warmup *w, int64_t elapsed_us)
{
	w->level = smaller(w->level + smaller(elapsed_us, HOUR_US) * w->cap, level_max(w, HOUR_US));
}

/* --- stages --- */

static void
set_stage(struct queue_warmup *w, const struct queue_warmup_plan *plan, size_t stage)
{
	assert(stage <= plan->count);
	w->stage = (uint16_t)stage;
	w->is_warm = stage == plan->count;
	w->cap = w->is_warm ? 0 : plan->volumes[stage];
	w->level = smaller(w->level, level_max(w, HOUR_US));
}

/* After a reload the curve may be another. */
static void
follow_plan(struct queue_warmup *w, const struct queue_warmup_plan *plan)
{
	size_t stage = 0;

	w->start_day = plan->start_day == 0 ? QUEUE_WARMUP_NO_DAY : plan->start_day;
	w->offset_us = plan->offset_us;
	if (w->is_warm) {
		w->stage = (uint16_t)plan->count;
		return;
	}
	if (w->stage < plan->count && plan->volumes[w->stage] == w->cap)
		return;
	while (stage + 1 < plan->count && plan->volumes[stage + 1] <= w->cap)
		stage++;
	set_stage(w, plan, stage);
}

/* --- the end of a day --- */

static int64_t
tried(const struct queue_warmup *w)
{
	return w->counts[QUEUE_WARMUP_DELIVERED] + w->counts[QUEUE_WARMUP_DEFERRED] +
	       w->counts[QUEUE_WARMUP_BLOCKED] + w->counts[QUEUE_WARMUP_BOUNCED];
}

/* The rate that is worst against its limit, in thousandths of that; 0: too few to tell, or none. */
static int64_t
worst_rate(const struct queue_warmup *w, const struct queue_warmup_plan *plan, struct queue_warmup_day *d)
{
	const int64_t delivered = larger(w->counts[QUEUE_WARMUP_DELIVERED], w->delivered_last);
	const int64_t bad[QUEUE_WARMUP_RATES] = {
		[QUEUE_WARMUP_RATE_DEFERRED] = w->counts[QUEUE_WARMUP_DEFERRED],
		[QUEUE_WARMUP_RATE_BLOCKED] = w->counts[QUEUE_WARMUP_BLOCKED],
		[QUEUE_WARMUP_RATE_BOUNCED] = w->counts[QUEUE_WARMUP_BOUNCED],
		[QUEUE_WARMUP_RATE_COMPLAINED] = w->complained,
	};
	int64_t worst = 0;

	for (int i = 0; i < QUEUE_WARMUP_RATES; i++) {
		int64_t base = i == QUEUE_WARMUP_RATE_COMPLAINED ? delivered : tried(w), ppm, part;

		if (base < VOLUME_MIN || bad[i] < BAD_MIN)
			continue;
		ppm = smaller(bad[i], base) * MILLION / base;
		part = ppm * 1000 / plan->hold_ppm[i];
		if (part > worst) {
			worst = part;
			d->rate = (uint8_t)i;
			d->value_ppm = (int32_t)ppm;
		}
	}
	return worst;
}

bool
queue_warmup_health(const struct queue_warmup *w, const struct queue_warmup_plan *plan,
	enum queue_warmup_rate *out_rate, int64_t *out_ppm)
{
	struct queue_warmup_day d;

	assert(w->day != QUEUE_WARMUP_NO_DAY);
	if (worst_rate(w, plan, &d) == 0)
		return false;
	*out_rate = (enum queue_warmup_rate)d.rate;
	*out_ppm = d.value_ppm;
	return true;
}

static enum queue_warmup_step
judge(const struct queue_warmup *w, const struct queue_warmup_plan *plan, struct queue_warmup_day *d)
{
	int64_t worst;

	if (w->is_warm)
		return QUEUE_WARMUP_WARM;
	worst = worst_rate(w, plan, d);
	if (worst >= INT64_C(1000) * BACK_FACTOR)
		return QUEUE_WARMUP_BACK;
	if (worst >= 1000)
		return QUEUE_WARMUP_ILL;
	if (w->is_held)
		return QUEUE_WARMUP_HELD;
	if (d->wanted * 100 < w->cap * WANTED_PERCENT || d->sent * 100 < w->cap * SENT_PERCENT)
		return QUEUE_WARMUP_LITTLE;
	return w->stage + 1u == plan->count ? QUEUE_WARMUP_FINISHED : QUEUE_WARMUP_ADVANCED;
}

/* What the day was, and what it does to the stage. */
static struct queue_warmup_day
conclude(struct queue_warmup *w, const struct queue_warmup_plan *plan)
{
	struct queue_warmup_day d = {.day = w->day,
		.stage = w->stage,
		.cap = w->cap,
		.sent = queue_warmup_sent(w),
		.act = w->act_today};

	d.wanted = larger(w->wanted, d.sent);
	d.step = (uint8_t)judge(w, plan, &d);
	if (d.step == QUEUE_WARMUP_ADVANCED || d.step == QUEUE_WARMUP_FINISHED)
		set_stage(w, plan, w->stage + 1u);
	else if (d.step == QUEUE_WARMUP_BACK && w->stage > 0)
		set_stage(w, plan, w->stage - 1u);
	else if (d.step == QUEUE_WARMUP_BACK)
		d.step = QUEUE_WARMUP_ILL;
	return d;
}

static void
remember(struct queue_warmup *w, const struct queue_warmup_day *d)
{
	if (w->history_count == QUEUE_WARMUP_HISTORY)
		memmove(w->history, w->history + 1, --w->history_count * sizeof(w->history[0]));
	w->history[w->history_count++] = *d;
	w->is_changed = true;
}

/* Reputation fades. One step at the half and one at the end, however often the day is looked at. */
static bool
step_back_idle(struct queue_warmup *w, const struct queue_warmup_plan *plan, int32_t today)
{
	int64_t days = (int64_t)today - w->active_day;
	uint8_t due = days >= IDLE_FIRST_DAYS ? 2 : days >= IDLE_HALF_DAYS ? 1 : 0;
	struct queue_warmup_day d = {
		.day = today - 1, .stage = w->stage, .cap = w->cap, .step = QUEUE_WARMUP_IDLE};

	if (w->active_day == QUEUE_WARMUP_NO_DAY || due <= w->idle)
		return false;
	w->idle = due;
	if (w->stage == 0)
		return false;
	set_stage(w, plan, due == 2 ? 0 : w->stage / 2);
	remember(w, &d);
	return true;
}

static bool
end_day(struct queue_warmup *w, const struct queue_warmup_plan *plan, int32_t today)
{
	bool has_ended =
		w->wanted > 0 || tried(w) + queue_warmup_sent(w) + w->complained > 0 || w->act_today != 0;

	if (has_ended) {
		struct queue_warmup_day d = conclude(w, plan);

		remember(w, &d);
	}
	if (queue_warmup_sent(w) > 0) {
		w->active_day = w->day;
		w->delivered_last = w->counts[QUEUE_WARMUP_DELIVERED];
		w->idle = 0;
	}
	has_ended |= step_back_idle(w, plan, today);
	memset(w->counts, 0, sizeof(w->counts));
	w->counts[QUEUE_WARMUP_UNCERTAIN] = w->open;
	w->complained = w->wanted = 0;
	w->claim = w->claim_asked = 0; /* a claim is for its day */
	w->act_today = QUEUE_WARMUP_ACT_NONE;
	w->age_us = 0;
	w->level = smaller(w->level, level_max(w, HEAD_US));
	return has_ended;
}

static int32_t
day_of(int64_t now_us, int64_t offset_us)
{
	int64_t local = now_us + offset_us;

	return (int32_t)(local / DAY_US - (local % DAY_US < 0 ? 1 : 0));
}

bool
queue_warmup_tick(struct queue_warmup *w, const struct queue_warmup_plan *plan, int64_t now_us)
{
	int32_t today = day_of(now_us, plan->offset_us);
	bool has_ended = false;
	int64_t elapsed;

	assert(plan->count > 0 && plan->count <= QUEUE_WARMUP_STAGES_MAX);
	assert(plan->offset_us > -DAY_US && plan->offset_us < DAY_US);
	follow_plan(w, plan);
	if (w->day == QUEUE_WARMUP_NO_DAY) {
		w->day = today;
		w->last_us = now_us;
		w->level = level_max(w, HEAD_US);
	}
	elapsed = larger(now_us - w->last_us, 0);
	w->last_us = now_us;
	w->age_us = smaller(w->age_us + smaller(elapsed, DAY_US), DAY_US);
	refill(w, elapsed);
	if (today > w->day && w->age_us >= DAY_MIN_US)
		has_ended = end_day(w, plan, today);
	w->day = today; /* a clock set back, or forward again after that: the sums go on under its day */
	w->open = 0;
	return has_ended;
}

/* --- leases --- */

/* When end_day() will be called, if the clock goes on as it should. */
static int64_t
next_day_us(const struct queue_warmup *w)
{
	int64_t midnight = ((int64_t)w->day + 1) * DAY_US - w->offset_us;

	return w->age_us + (midnight - w->last_us) >= DAY_MIN_US ? midnight : midnight + DAY_US;
}

static void
bound(struct queue_warmup_room *room, int64_t count, enum queue_warmup_limit limit)
{
	if (count >= room->count)
		return;
	room->count = larger(count, 0);
	room->limit = limit;
}

struct queue_warmup_room
queue_warmup_room(struct queue_warmup *w, int64_t waiting)
{
	struct queue_warmup_room room = {INT64_MAX, QUEUE_WARMUP_NO_LIMIT, w->last_us};

	assert(w->day != QUEUE_WARMUP_NO_DAY);
	assert(waiting >= 0);
	w->wanted = larger(w->wanted, used(w) + smaller(waiting, COUNT_MAX));
	if (w->is_warm)
		return room;
	if (w->day < w->start_day)
		return (struct queue_warmup_room){
			0, QUEUE_WARMUP_LIMIT_START, w->start_day * DAY_US - w->offset_us};
	/* Of two that leave nothing the one that lasts longer is named. */
	bound(&room, w->cap - used(w), QUEUE_WARMUP_LIMIT_DAY);
	bound(&room, w->level / SPREAD_US, QUEUE_WARMUP_LIMIT_HOUR);
	bound(&room, w->claim - used(w), QUEUE_WARMUP_LIMIT_STORE);
	if (room.count == 0 && room.limit == QUEUE_WARMUP_LIMIT_DAY)
		room.next_us = next_day_us(w);
	else if (room.count == 0 && room.limit == QUEUE_WARMUP_LIMIT_HOUR)
		room.next_us += (SPREAD_US - w->level + w->cap - 1) / w->cap;
	return room;
}

void
queue_warmup_lease(struct queue_warmup *w, int64_t n)
{
	assert(n >= 0);
	if (n == 0)
		return;
	if (!w->is_warm) {
		assert(w->day >= w->start_day);
		assert(used(w) + n <= w->cap && used(w) + n <= w->claim);
		assert(n <= w->level / SPREAD_US);
		w->level -= n * SPREAD_US;
	}
	w->leased += n;
	w->wanted = larger(w->wanted, used(w));
}

void
queue_warmup_settle(struct queue_warmup *w, enum queue_warmup_outcome outcome, int64_t n)
{
	assert(n >= 0 && n <= w->leased);
	assert(outcome >= 0 && outcome < QUEUE_WARMUP_OUTCOMES);
	w->leased -= n;
	if (outcome != QUEUE_WARMUP_UNTRIED)
		w->counts[outcome] += n;
	else if (n < level_max(w, HOUR_US) / SPREAD_US)
		w->level = smaller(w->level + n * SPREAD_US, level_max(w, HOUR_US));
	else
		w->level = level_max(w, HOUR_US);
}

void
queue_warmup_complain(struct queue_warmup *w, int64_t n)
{
	assert(n >= 0);
	assert(w->day != QUEUE_WARMUP_NO_DAY);
	w->complained += n;
}

/* --- operators --- */

bool
queue_warmup_operate(struct queue_warmup *w, const struct queue_warmup_plan *plan, enum queue_warmup_act act,
	struct queue_blob words)
{
	assert(w->day != QUEUE_WARMUP_NO_DAY);
	assert(act > QUEUE_WARMUP_ACT_NONE && act < QUEUE_WARMUP_ACTS);
	if (act == QUEUE_WARMUP_ACT_HOLD || act == QUEUE_WARMUP_ACT_RELEASE) {
		if (w->is_held == (act == QUEUE_WARMUP_ACT_HOLD))
			return false;
		w->is_held = !w->is_held;
	} else if (act == QUEUE_WARMUP_ACT_RESTART) {
		set_stage(w, plan, 0);
	} else if (w->is_warm) {
		return false;
	} else {
		set_stage(w, plan, act == QUEUE_WARMUP_ACT_SKIP ? w->stage + 1u : plan->count);
	}
	w->act = w->act_today = (uint8_t)act;
	w->act_us = w->last_us;
	w->words_len = (size_t)smaller((int64_t)words.len, QUEUE_WARMUP_WORDS_MAX);
	if (w->words_len > 0)
		memcpy(w->words, words.ptr, w->words_len);
	w->is_changed = true;
	return true;
}

/* --- forecast --- */

size_t
queue_warmup_forecast(const struct queue_warmup *w, const struct queue_warmup_plan *plan, int64_t wanted,
	struct queue_warmup_day *out, size_t max)
{
	struct queue_warmup c = *w;
	size_t n = 0;

	assert(c.day != QUEUE_WARMUP_NO_DAY && wanted >= 0);
	if (c.day < c.start_day)
		c.day = c.start_day;
	for (; n < max && !c.is_warm; n++, c.day++) {
		/* What today has seen already counts; what went wrong in it does not, in a forecast of good
		 * days. */
		int64_t sent =
			smaller(larger(wanted, n == 0 ? used(&c) : 0), larger(c.cap, n == 0 ? used(&c) : 0));

		memset(c.counts, 0, sizeof(c.counts));
		c.counts[QUEUE_WARMUP_DELIVERED] = sent;
		c.complained = c.leased = c.delivered_last = 0;
		c.wanted = larger(wanted, sent);
		out[n] = conclude(&c, plan);
		c.act_today = QUEUE_WARMUP_ACT_NONE;
		if (out[n].step == QUEUE_WARMUP_LITTLE || out[n].step == QUEUE_WARMUP_HELD)
			return n + 1;
	}
	return n;
}

/* --- records --- */

bool
queue_warmup_wants_store(const struct queue_warmup *w)
{
	if (w->is_storing)
		return false;
	return w->is_changed || (!w->is_warm && w->day >= w->start_day && w->wanted > w->claim &&
					w->claim < w->cap && (w->claim - used(w)) * 2 < claim_step(w));
}

static uint8_t *
write_day(uint8_t *p, const struct queue_warmup_day *d)
{
	p = queue_bytes_write(p, (uint64_t)d->cap, 4);
	p = queue_bytes_write(p, (uint64_t)d->sent, 6);
	p = queue_bytes_write(p, (uint64_t)d->wanted, 6);
	p = queue_bytes_write(p, (uint32_t)d->day, 4);
	p = queue_bytes_write(p, (uint32_t)d->value_ppm, 4);
	p = queue_bytes_write(p, d->stage, 2);
	p = queue_bytes_write(p, d->step, 1);
	p = queue_bytes_write(p, d->rate, 1);
	return queue_bytes_write(p, d->act, 1);
}

/* The numbers of a record in their order; each is 0 to COUNT_MAX. */
enum { NUMBERS = QUEUE_WARMUP_UNTRIED + 4 };

static void
list_numbers(struct queue_warmup *w, int64_t *claimed, int64_t *list[NUMBERS])
{
	int64_t *more[] = {&w->complained, &w->wanted, &w->delivered_last, claimed};

	for (int i = 0; i < QUEUE_WARMUP_UNTRIED; i++)
		list[i] = &w->counts[i];
	memcpy(list + QUEUE_WARMUP_UNTRIED, more, sizeof(more));
}

size_t
queue_warmup_encode(struct queue_warmup *w, bool is_last, void *out)
{
	uint8_t *start = out, *p = start;
	int64_t claimed = used(w), *list[NUMBERS];

	assert(w->day != QUEUE_WARMUP_NO_DAY);
	assert(!w->is_storing);
	/* A claim that is on disk is not taken back: a lease may have been given on it. */
	if (!is_last && !w->is_warm && w->day >= w->start_day)
		claimed = larger(w->claim, smaller(w->cap, claimed + claim_step(w)));
	w->claim_asked = claimed;
	w->is_storing = true;
	w->is_changed = false;
	p = queue_bytes_write(p, VERSION, 1);
	p = queue_bytes_write(p, (w->is_warm ? IS_WARM : 0) | (w->is_held ? IS_HELD : 0), 1);
	p = queue_bytes_write(p, w->stage, 2);
	p = queue_bytes_write(p, (uint32_t)w->day, 4);
	p = queue_bytes_write(p, (uint32_t)w->active_day, 4);
	p = queue_bytes_write(p, w->idle, 1);
	p = queue_bytes_write(p, (uint64_t)w->cap, 4);
	list_numbers(w, &claimed, list);
	for (int i = 0; i < NUMBERS; i++)
		p = queue_bytes_write(p, (uint64_t)smaller(*list[i], COUNT_MAX), 8);
	p = queue_bytes_write(p, (uint64_t)w->last_us, 8);
	p = queue_bytes_write(p, (uint64_t)w->age_us, 8);
	p = queue_bytes_write(p, (uint64_t)w->level, 8);
	p = queue_bytes_write(p, w->act, 1);
	p = queue_bytes_write(p, w->act_today, 1);
	p = queue_bytes_write(p, (uint64_t)w->act_us, 8);
	p = queue_bytes_write(p, w->words_len, 1);
	memcpy(p, w->words, w->words_len);
	p = queue_bytes_write(p + w->words_len, w->history_count, 1);
	for (size_t i = 0; i < w->history_count; i++)
		p = write_day(p, &w->history[i]);
	assert(p - start <= QUEUE_WARMUP_RECORD_MAX);
	return (size_t)(p - start);
}

void
queue_warmup_stored(struct queue_warmup *w, bool is_stored)
{
	assert(w->is_storing);
	w->is_storing = false;
	if (is_stored)
		w->claim = w->claim_asked; /* 0 when a day ended meanwhile */
	else
		w->is_changed = true;
}

static bool
read_day(struct queue_bytes *r, struct queue_warmup_day *d)
{
	d->cap = (int64_t)queue_bytes_read(r, 4);
	d->sent = (int64_t)queue_bytes_read(r, 6);
	d->wanted = (int64_t)queue_bytes_read(r, 6);
	d->day = (int32_t)queue_bytes_read(r, 4);
	d->value_ppm = (int32_t)queue_bytes_read(r, 4);
	d->stage = (uint16_t)queue_bytes_read(r, 2);
	d->step = (uint8_t)queue_bytes_read(r, 1);
	d->rate = (uint8_t)queue_bytes_read(r, 1);
	d->act = (uint8_t)queue_bytes_read(r, 1);
	return d->cap <= QUEUE_WARMUP_VOLUME_MAX && d->value_ppm >= 0 && d->value_ppm <= MILLION &&
	       d->step < QUEUE_WARMUP_STEPS && d->rate < QUEUE_WARMUP_RATES && d->act < QUEUE_WARMUP_ACTS;
}

static bool
read_numbers(struct queue_bytes *r, struct queue_warmup *w, int64_t *claimed)
{
	int64_t *list[NUMBERS];
	bool is_good = true;

	list_numbers(w, claimed, list);
	for (int i = 0; i < NUMBERS; i++) {
		*list[i] = (int64_t)queue_bytes_read(r, 8);
		is_good &= *list[i] >= 0 && *list[i] <= COUNT_MAX;
	}
	return is_good;
}

static bool
read_act(struct queue_bytes *r, struct queue_warmup *w)
{
	const uint8_t *words;

	w->act = (uint8_t)queue_bytes_read(r, 1);
	w->act_today = (uint8_t)queue_bytes_read(r, 1);
	w->act_us = (int64_t)queue_bytes_read(r, 8);
	w->words_len = queue_bytes_read(r, 1);
	words = queue_bytes_take(r, w->words_len);
	if (w->act >= QUEUE_WARMUP_ACTS || w->act_today >= QUEUE_WARMUP_ACTS ||
		w->words_len > QUEUE_WARMUP_WORDS_MAX || words == NULL)
		return false;
	memcpy(w->words, words, w->words_len);
	return true;
}

/* What a record claimed and does not know settled may have been sent, or be when midnight came before the
 * end. */
static void
count_open(struct queue_warmup *w, int64_t claimed)
{
	w->open = larger(0, claimed - queue_warmup_sent(w));
	w->counts[QUEUE_WARMUP_UNCERTAIN] += w->open;
	w->claim = claimed;
}

int
queue_warmup_decode(struct queue_blob bytes, struct queue_warmup *out)
{
	struct queue_bytes r = {.p = bytes.ptr, .left = bytes.len};
	struct queue_warmup w = {0};
	int64_t claimed = 0;
	uint64_t version = queue_bytes_read(&r, 1), flags = queue_bytes_read(&r, 1);
	bool is_good = !r.is_bad && version > 0 && flags <= (IS_WARM | IS_HELD);

	if (!r.is_bad && version > VERSION)
		return QUEUE_EVERSION;
	w.is_warm = (flags & IS_WARM) != 0;
	w.is_held = (flags & IS_HELD) != 0;
	w.stage = (uint16_t)queue_bytes_read(&r, 2);
	w.day = (int32_t)queue_bytes_read(&r, 4);
	w.active_day = (int32_t)queue_bytes_read(&r, 4);
	w.idle = (uint8_t)queue_bytes_read(&r, 1);
	w.cap = (int64_t)queue_bytes_read(&r, 4);
	is_good &= w.cap <= QUEUE_WARMUP_VOLUME_MAX && w.stage <= QUEUE_WARMUP_STAGES_MAX &&
		   w.day != QUEUE_WARMUP_NO_DAY && (w.is_warm ? w.cap == 0 : w.cap > 0);
	if (!is_good)
		return QUEUE_EDAMAGED; /* with such a cap nothing below could be computed */
	is_good &= read_numbers(&r, &w, &claimed);
	w.last_us = (int64_t)queue_bytes_read(&r, 8);
	w.age_us = (int64_t)queue_bytes_read(&r, 8);
	w.level = (int64_t)queue_bytes_read(&r, 8);
	is_good &= w.last_us >= 0 && w.age_us >= 0 && w.age_us <= DAY_US && w.level >= 0 &&
		   w.level <= level_max(&w, HOUR_US);
	is_good &= read_act(&r, &w);
	w.history_count = queue_bytes_read(&r, 1);
	if (w.history_count > QUEUE_WARMUP_HISTORY)
		return QUEUE_EDAMAGED;
	for (size_t i = 0; i < w.history_count; i++)
		is_good &= read_day(&r, &w.history[i]);
	if (!is_good || r.is_bad || r.left != 0)
		return QUEUE_EDAMAGED;
	count_open(&w, claimed);
	*out = w;
	return QUEUE_OK;
}

/* --- words --- */

size_t
queue_warmup_words(const struct queue_warmup_day *d, char *buf, size_t max)
{
	static const char *const steps[QUEUE_WARMUP_STEPS] = {"advanced", "finished", "held: too little mail",
		"held by operator", "held: ", "stepped back: ", "stepped back: idle", "warm"};
	static const char *const rates[QUEUE_WARMUP_RATES] = {"deferrals", "blocks", "bounces", "complaints"};
	int len;

	assert(max > 0 && d->step < QUEUE_WARMUP_STEPS && d->rate < QUEUE_WARMUP_RATES);
	if (d->step != QUEUE_WARMUP_ILL && d->step != QUEUE_WARMUP_BACK)
		len = snprintf(buf, max, "%s", steps[d->step]);
	else
		len = snprintf(buf, max, d->value_ppm < 10000 ? "%s%s %.2f %%" : "%s%s %.0f %%",
			steps[d->step], rates[d->rate], d->value_ppm / 10000.0);
	return (size_t)smaller(len, (int64_t)max - 1);
}
