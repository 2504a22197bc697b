/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stop must never be an accident of small numbers, and no sum of large ones may be wrong: everything is
 * integers, the test for "above the threshold by z standard deviations" is squared so that it needs no root:
 *
 *   k - n p > z sqrt(n p (1 - p))     with k of n, p the threshold; times a million, for p in ppm:
 *   (k 10^6 - n P)^2 > z^2 n P (10^6 - P)
 *
 * Invariants: total[] is the sum of the ring; the ring's newest part is never later than the clock has been;
 * a rate that has reached stop stays there until it is released.
 */
#include "queue_guard.h"

#include "queue_bytes.h"
#include "queue_retry.h"

#include <string.h>

enum { VERSION = 1, PARTS = QUEUE_GUARD_BUCKETS + 1 };
#define WINDOW_MIN_US INT64_C(1000000)
#define WINDOW_MAX_US (INT64_C(366) * 86400 * 1000000)

/* Squared standard deviations above the threshold. */
static const unsigned z_squared[QUEUE_GUARD_LEVELS] = {
	[QUEUE_GUARD_WARN] = 0, [QUEUE_GUARD_SLOW] = 2 * 2, [QUEUE_GUARD_STOP] = 3 * 3};

/* --- the window --- */

/* The place of the part that is `age` parts older than the newest. */
static uint32_t *
part(struct queue_guard *g, int age)
{
	assert(age >= 0 && age < PARTS);
	return g->ring[(g->newest + PARTS - age) % PARTS];
}

static void
add(struct queue_guard *g, uint32_t *counts, int outcome, uint64_t n)
{
	uint64_t room = UINT32_MAX - counts[outcome];

	n = n < room ? n : room;
	counts[outcome] += (uint32_t)n;
	g->total[outcome] += n;
}

/* Takes n from those delivered in that part, or in the next one: they were counted a moment after it
 * happened. */
static void
take_delivered(struct queue_guard *g, int age, uint32_t n)
{
	for (int i = age; i >= 0 && i >= age - 1; i--) {
		uint32_t *delivered = &part(g, i)[QUEUE_GUARD_DELIVERED];
		uint32_t taken = n < *delivered ? n : *delivered;

		assert(g->total[QUEUE_GUARD_DELIVERED] >= taken);
		*delivered -= taken;
		g->total[QUEUE_GUARD_DELIVERED] -= taken;
		n -= taken;
	}
}

static void
begin_part(struct queue_guard *g)
{
	uint32_t *counts;

	g->newest = (uint8_t)((g->newest + 1) % PARTS);
	counts = part(g, 0);
	for (int i = 0; i < QUEUE_GUARD_OUTCOMES; i++) {
		assert(g->total[i] >= counts[i]);
		g->total[i] -= counts[i];
		counts[i] = 0;
	}
}

/* How many parts ago `at_us` was: 0 for the newest and for the time after it. */
static int64_t
age_of(const struct queue_guard *g, int64_t at_us)
{
	return at_us >= g->newest_us ? 0 : (g->newest_us - at_us - 1) / g->part_us + 1;
}

/* Other parts: each old one goes, whole, to where it ended, so that nothing counts for less than the window.
 */
static void
cut_again(struct queue_guard *g, int64_t part_us, int64_t now_us)
{
	struct queue_guard old = *g;

	memset(g->ring, 0, sizeof(g->ring));
	memset(g->total, 0, sizeof(g->total));
	g->part_us = part_us;
	g->newest_us = now_us;
	for (int i = 0; i < PARTS && old.part_us > 0; i++) {
		int64_t age = age_of(g, old.newest_us + old.part_us - 1 - i * old.part_us);

		for (int n = 0; age < PARTS && n < QUEUE_GUARD_OUTCOMES; n++)
			add(g, part(g, (int)age), n, part(&old, i)[n]);
	}
}

void
queue_guard_shift(struct queue_guard *g, int64_t step_us)
{
	g->newest_us = queue_retry_move(g->newest_us, step_us);
	g->since_us = queue_retry_move(g->since_us, step_us);
}

static void
to_time(struct queue_guard *g, const struct queue_guard_conf *c, int64_t now_us)
{
	int64_t gone;

	assert(now_us >= 0);
	assert(c->window_us >= WINDOW_MIN_US && c->window_us <= WINDOW_MAX_US);
	if (g->part_us != c->window_us / QUEUE_GUARD_BUCKETS)
		cut_again(g, c->window_us / QUEUE_GUARD_BUCKETS, now_us);
	/* The clock went back: what is known comes along, or it would count until the clock is there again.
	 */
	if (now_us < g->newest_us)
		queue_guard_shift(g, now_us - g->newest_us);
	gone = (now_us - g->newest_us) / g->part_us;
	for (int i = 0; i < gone && i < PARTS; i++)
		begin_part(g);
	g->newest_us += gone * g->part_us;
}

/* --- the levels --- */

struct queue_guard_numbers
queue_guard_numbers(const struct queue_guard *g, enum queue_guard_rate rate)
{
	bool is_bounce = rate == QUEUE_GUARD_BOUNCE;
	struct queue_guard_numbers n = {
		.events = g->total[is_bounce ? QUEUE_GUARD_BOUNCED : QUEUE_GUARD_COMPLAINED],
		.recipients =
			g->total[QUEUE_GUARD_DELIVERED] + (is_bounce ? g->total[QUEUE_GUARD_BOUNCED] : 0),
	};
	uint64_t ppm = n.recipients > 0 ? n.events * QUEUE_GUARD_PPM / n.recipients : 0;

	assert(rate < QUEUE_GUARD_RATES);
	n.ppm = ppm > UINT32_MAX ? UINT32_MAX : (uint32_t)ppm;
	return n;
}

static bool
is_reached(const struct queue_guard_numbers *n, uint32_t limit_ppm, unsigned z2)
{
	__int128 above = (__int128)n->events * QUEUE_GUARD_PPM - (__int128)n->recipients * limit_ppm;

	assert(limit_ppm > 0 && limit_ppm <= QUEUE_GUARD_PPM);
	return above > 0 &&
	       above * above > (__int128)z2 * n->recipients * limit_ppm * (QUEUE_GUARD_PPM - limit_ppm);
}

static bool
is_kept(const struct queue_guard_numbers *n, uint32_t limit_ppm, uint32_t volume_min)
{
	return n->recipients * 2 >= volume_min &&
	       (__int128)n->events * QUEUE_GUARD_PPM * 5 >= (__int128)n->recipients * limit_ppm * 4;
}

static enum queue_guard_level
judge(const struct queue_guard *g, const struct queue_guard_conf *c, enum queue_guard_rate rate)
{
	const struct queue_guard_numbers n = queue_guard_numbers(g, rate);
	bool has_enough = n.recipients >= c->volume_min && n.events >= QUEUE_GUARD_EVENTS_MIN;
	enum queue_guard_level is = g->level[rate], l;

	if (is == QUEUE_GUARD_STOP)
		return is;
	for (l = QUEUE_GUARD_STOP; l > QUEUE_GUARD_OK; l--) {
		uint32_t limit = c->limit_ppm[rate][l];

		if ((has_enough && is_reached(&n, limit, z_squared[l])) ||
			(l <= is && is_kept(&n, limit, c->volume_min)))
			break;
	}
	return l;
}

enum queue_guard_level
queue_guard_level(const struct queue_guard *g)
{
	enum queue_guard_level bounce = g->level[QUEUE_GUARD_BOUNCE],
			       complaint = g->level[QUEUE_GUARD_COMPLAINT];

	return bounce > complaint ? bounce : complaint;
}

bool
queue_guard_look(struct queue_guard *g, const struct queue_guard_conf *c, int64_t now_us,
	struct queue_guard_change *out)
{
	enum queue_guard_level from = queue_guard_level(g), to, old[QUEUE_GUARD_RATES];
	enum queue_guard_rate rate = QUEUE_GUARD_BOUNCE;

	to_time(g, c, now_us);
	for (int r = 0; r < QUEUE_GUARD_RATES; r++) {
		old[r] = g->level[r];
		g->level[r] = (uint8_t)judge(g, c, r);
	}
	to = queue_guard_level(g);
	if (to == from)
		return false;
	/* The rate that reached the new level, or the one that left the old. */
	if (to > from ? g->level[rate] != to : old[rate] != from)
		rate = QUEUE_GUARD_COMPLAINT;
	*out = (struct queue_guard_change){.from = from,
		.to = to,
		.rate = rate,
		.limit_ppm = c->limit_ppm[rate][to > from ? to : from],
		.numbers = queue_guard_numbers(g, rate)};
	return true;
}

bool
queue_guard_feed(struct queue_guard *g, const struct queue_guard_conf *c, const struct queue_guard_fact *f,
	int64_t now_us, struct queue_guard_change *out)
{
	int64_t sent_us = f->sent_us > 0 ? f->sent_us : now_us, age;

	assert(f->outcome < QUEUE_GUARD_OUTCOMES);
	assert(!f->was_delivered || f->outcome == QUEUE_GUARD_BOUNCED);
	to_time(g, c, now_us);
	age = age_of(g, sent_us);
	if (age < PARTS && sent_us >= g->since_us) {
		add(g, part(g, (int)age), f->outcome, f->count);
		if (f->was_delivered)
			take_delivered(g, (int)age, f->count);
	}
	return queue_guard_look(g, c, now_us, out);
}

int64_t
queue_guard_next_us(const struct queue_guard *g)
{
	enum queue_guard_level level = queue_guard_level(g);

	if (level == QUEUE_GUARD_OK || level == QUEUE_GUARD_STOP)
		return INT64_MAX;
	return queue_retry_add(g->newest_us, g->part_us);
}

bool
queue_guard_release(struct queue_guard *g, int64_t now_us, struct queue_guard_change *out)
{
	enum queue_guard_level from = queue_guard_level(g);
	enum queue_guard_rate rate =
		g->level[QUEUE_GUARD_BOUNCE] == from ? QUEUE_GUARD_BOUNCE : QUEUE_GUARD_COMPLAINT;
	const struct queue_guard_numbers n = queue_guard_numbers(g, rate);

	assert(now_us >= 0);
	*g = (struct queue_guard){.since_us = now_us};
	if (from == QUEUE_GUARD_OK)
		return false;
	*out = (struct queue_guard_change){.from = from, .to = QUEUE_GUARD_OK, .rate = rate, .numbers = n};
	return true;
}

const char *
queue_guard_level_text(enum queue_guard_level level)
{
	static const char *const texts[] = {"ok", "warn", "slow", "stop"};

	assert(level < QUEUE_GUARD_LEVELS);
	return texts[level];
}

const char *
queue_guard_rate_text(enum queue_guard_rate rate)
{
	static const char *const texts[] = {"bounce", "complaint"};

	assert(rate < QUEUE_GUARD_RATES);
	return texts[rate];
}

/* --- the record: version 1, part_us 8, newest_us 8, since_us 8, levels 1 each, parts oldest last --- */

void
queue_guard_encode(const struct queue_guard *g, uint8_t out[QUEUE_GUARD_RECORD_BYTES])
{
	uint8_t *p = queue_bytes_write(out, VERSION, 1);

	p = queue_bytes_write(p, (uint64_t)g->part_us, 8);
	p = queue_bytes_write(p, (uint64_t)g->newest_us, 8);
	p = queue_bytes_write(p, (uint64_t)g->since_us, 8);
	for (int r = 0; r < QUEUE_GUARD_RATES; r++)
		p = queue_bytes_write(p, g->level[r], 1);
	for (int i = 0; i < PARTS; i++)
		for (int n = 0; n < QUEUE_GUARD_OUTCOMES; n++)
			p = queue_bytes_write(p, g->ring[(g->newest + PARTS - i) % PARTS][n], 4);
	assert(p == out + QUEUE_GUARD_RECORD_BYTES);
}

int
queue_guard_decode(struct queue_blob bytes, struct queue_guard *out)
{
	struct queue_bytes r = {.p = bytes.ptr, .left = bytes.len};
	struct queue_guard g = {0};
	uint64_t version = queue_bytes_read(&r, 1);

	if (version > VERSION)
		return QUEUE_EVERSION;
	g.part_us = (int64_t)queue_bytes_read_up_to(&r, 8, WINDOW_MAX_US / QUEUE_GUARD_BUCKETS);
	g.newest_us = queue_bytes_read_time(&r);
	g.since_us = queue_bytes_read_time(&r);
	for (int i = 0; i < QUEUE_GUARD_RATES; i++)
		g.level[i] = (uint8_t)queue_bytes_read_up_to(&r, 1, QUEUE_GUARD_LEVELS - 1);
	for (int i = 0; i < PARTS; i++)
		for (int n = 0; n < QUEUE_GUARD_OUTCOMES; n++)
			add(&g, part(&g, i), n, queue_bytes_read(&r, 4));
	if (version < 1 || r.is_bad || r.left != 0)
		return QUEUE_EDAMAGED;
	*out = g;
	return 0;
}
