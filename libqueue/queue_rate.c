/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short windows. With an interval T between units and a tolerance t for bursts, a stretch of length L sees at
 * most 1 + (L + t) / T units (GCRA). L is the window less one microsecond, so T = (window + t) / count,
 * rounded up, keeps every window at its count. The tolerance is what makes up for late wake-ups, and what
 * lets a batch go at once.
 *
 * Long windows. Invariants: used <= written in the window at at_us, unless the count was lowered or read from
 * disk; written <= asked; used never passes the count by what is taken. A window that is over counts for
 * nothing and is replaced with the next take or ask.
 */
#include "queue_rate.h"

#include "queue_retry.h"

#include <assert.h>

#define SPARSE_US INT64_C(20000) /* wake-ups are late by far less: no tolerance is needed */

bool
queue_rate_is_long(const struct queue_rate *r)
{
	return r->per_us >= QUEUE_RATE_LONG_US;
}

void
queue_meter_init(struct queue_meter *m, enum queue_unit unit, struct queue_rate rate)
{
	assert(rate.count > 0 && rate.per_us > 0 && unit < QUEUE_UNIT_COUNT);
	*m = (struct queue_meter){.rate = rate, .unit = (uint8_t)unit, .step = 1};
}

/* --- short --- */

static int64_t
tolerance_us(const struct queue_meter *m)
{
	int64_t per_us = m->rate.per_us;

	if (m->unit == QUEUE_UNIT_RECIPIENTS)
		return m->rate.count > 1 ? per_us / QUEUE_RATE_BATCH_SLACK : 0;
	if (m->unit == QUEUE_UNIT_BYTES || per_us / m->rate.count >= SPARSE_US)
		return 0;
	return per_us / QUEUE_RATE_SLACK;
}

/* a * b / c, rounded up, where a * b may not fit. */
static int64_t
mul_div_up(int64_t a, int64_t b, int64_t c)
{
	__int128 product = (__int128)a * b + c - 1;

	product /= c;
	return product > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)product;
}

static int64_t
cost_us(const struct queue_meter *m, int64_t n)
{
	int64_t pace_us = m->rate.per_us + tolerance_us(m);

	/* A slower pace for the time being: the tolerance, and so what comes at once, stays the rate's. */
	if (m->factor > 0)
		pace_us = mul_div_up(pace_us, 1000, m->factor);
	if (m->unit == QUEUE_UNIT_BYTES)
		return mul_div_up(n, pace_us, m->rate.count);
	return n * mul_div_up(1, pace_us, m->rate.count);
}

static int64_t
short_room(const struct queue_meter *m, int64_t now_us)
{
	int64_t tolerance = tolerance_us(m), due_us = m->at_us > now_us ? m->at_us : now_us;

	if (due_us - tolerance > now_us)
		return 0;
	if (m->unit == QUEUE_UNIT_BYTES)
		return INT64_MAX;
	return (now_us - due_us + tolerance) / cost_us(m, 1) + 1;
}

/* --- long --- */

static int64_t
window_start_us(const struct queue_meter *m, int64_t now_us)
{
	return now_us - now_us % m->rate.per_us;
}

static bool
is_current(const struct queue_meter *m, int64_t now_us)
{
	return m->at_us != 0 && now_us < queue_retry_add(m->at_us, m->rate.per_us);
}

static int64_t
at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* A part of the rate, but one at least. */
static int64_t
count_now(const struct queue_meter *m)
{
	int64_t count = m->factor == 0
				? m->rate.count
				: m->rate.count / 1000 * m->factor + m->rate.count % 1000 * m->factor / 1000;

	return count > 0 ? count : 1;
}

static int64_t
long_room(const struct queue_meter *m, int64_t now_us, int64_t reserve, bool is_written)
{
	int64_t limit = count_now(m) - reserve, used = 0;

	if (is_current(m, now_us))
		used = m->used;
	if (is_written)
		limit = at_most(limit, is_current(m, now_us) ? m->written : 0);
	return limit > used ? limit - used : 0;
}

static void
roll(struct queue_meter *m, int64_t now_us)
{
	if (is_current(m, now_us))
		return;
	m->at_us = window_start_us(m, now_us);
	m->used = m->written = m->asked = 0;
}

/* --- both --- */

void
queue_meter_set_count(struct queue_meter *m, int64_t count)
{
	bool is_lower = count < m->rate.count;
	int64_t clear_us;

	assert(count > 0);
	m->rate.count = count;
	if (queue_rate_is_long(&m->rate) || !is_lower || m->taken_us == 0)
		return;
	/* The pace has no memory of how many went at the old one: none is left in the window then, whatever
	 * of them is given back. */
	m->from_us = m->taken_us;
	clear_us = queue_retry_add(m->taken_us, m->rate.per_us + tolerance_us(m));
	if (clear_us > m->at_us)
		m->at_us = clear_us;
}

int64_t
queue_meter_room(const struct queue_meter *m, int64_t now_us, int64_t reserve)
{
	return queue_rate_is_long(&m->rate) ? long_room(m, now_us, reserve, true) : short_room(m, now_us);
}

int64_t
queue_meter_room_unwritten(const struct queue_meter *m, int64_t now_us, int64_t reserve)
{
	return queue_rate_is_long(&m->rate) ? long_room(m, now_us, reserve, false) : short_room(m, now_us);
}

int64_t
queue_meter_ready_us(const struct queue_meter *m, int64_t now_us, int64_t reserve)
{
	if (!queue_rate_is_long(&m->rate))
		return m->at_us - tolerance_us(m);
	if (long_room(m, now_us, reserve, true) > 0)
		return now_us;
	if (long_room(m, now_us, reserve, false) > 0)
		return INT64_MAX;
	return queue_retry_add(m->at_us, m->rate.per_us);
}

void
queue_meter_take(struct queue_meter *m, int64_t now_us, int64_t n)
{
	assert(n >= 0);
	if (queue_rate_is_long(&m->rate)) {
		roll(m, now_us);
		m->used += n;
		return;
	}
	m->at_us = queue_retry_add(m->at_us > now_us ? m->at_us : now_us, cost_us(m, n));
	m->taken_us = now_us;
}

void
queue_meter_give_back(struct queue_meter *m, int64_t taken_us, int64_t now_us, int64_t n)
{
	assert(n >= 0);
	if (taken_us <= m->from_us)
		return;
	if (queue_rate_is_long(&m->rate)) {
		if (is_current(m, now_us) && taken_us >= m->at_us)
			m->used = m->used > n ? m->used - n : 0;
		return;
	}
	/* Who came since would not have come sooner without it. */
	if (taken_us >= m->taken_us && m->at_us > now_us)
		m->at_us = m->at_us - cost_us(m, n) > now_us ? m->at_us - cost_us(m, n) : now_us;
}

/* --- what the disk knows --- */

static int64_t
step_max(const struct queue_meter *m)
{
	int64_t max = m->rate.count / QUEUE_METER_STEPS;

	return max < 1 ? 1 : at_most(max, m->unit == QUEUE_UNIT_BYTES ? max : QUEUE_METER_STEP_MAX);
}

/* So much was given back that a crash would waste more than it may. */
static bool
is_wasteful(const struct queue_meter *m, int64_t now_us)
{
	return is_current(m, now_us) && m->asked == m->written && m->written - m->used > 2 * step_max(m);
}

static bool
is_short(const struct queue_meter *m, int64_t now_us)
{
	int64_t left = is_current(m, now_us) ? m->written - m->used : 0;

	return long_room(m, now_us, 0, false) > left && left < (m->step + 1) / 2;
}

bool
queue_meter_wants_write(const struct queue_meter *m, int64_t now_us)
{
	return queue_rate_is_long(&m->rate) && (is_short(m, now_us) || is_wasteful(m, now_us));
}

bool
queue_meter_ask(struct queue_meter *m, int64_t now_us, bool is_waiting)
{
	int64_t max = step_max(m), ahead = max;
	bool is_out;

	if (!queue_rate_is_long(&m->rate))
		return false;
	roll(m, now_us);
	if (is_wasteful(m, now_us)) { /* until it is on disk, the disk says more: that is the safe side */
		m->written = m->asked = m->used + max;
		return true;
	}
	is_out = m->used >= m->written;
	if (m->asked > m->written || m->written >= m->rate.count || (!is_out && !is_short(m, now_us)))
		return false;
	if (m->unit != QUEUE_UNIT_BYTES) {
		ahead = at_most(max, m->step);
		/* Who waits shows that the step was too short. */
		if (is_waiting && is_out)
			m->step = (uint16_t)at_most(max, INT64_C(2) * m->step);
	}
	m->asked = at_most(m->rate.count, (m->used > m->written ? m->used : m->written) + ahead);
	return m->asked > m->written;
}

/* A window that began meanwhile has asked for nothing yet. */
void
queue_meter_written(struct queue_meter *m, bool failed)
{
	if (failed)
		m->asked = m->written;
	else
		m->written = m->asked;
}

void
queue_meter_restore(struct queue_meter *m, int64_t at_us, int64_t count, int64_t now_us)
{
	m->at_us = at_us <= now_us ? at_us : window_start_us(m, now_us);
	m->used = m->written = m->asked = count;
}

void
queue_meter_move(struct queue_meter *m, int64_t step_us)
{
	m->at_us = queue_retry_move(m->at_us, step_us);
	m->taken_us = queue_retry_move(m->taken_us, step_us);
	m->from_us = queue_retry_move(m->from_us, step_us);
}

int64_t
queue_meter_over_us(const struct queue_meter *m)
{
	int64_t clear_us;

	if (m->at_us == 0)
		return 0;
	if (queue_rate_is_long(&m->rate))
		return queue_retry_add(m->at_us, m->rate.per_us);
	clear_us = queue_retry_add(m->taken_us, m->rate.per_us);
	return m->at_us > clear_us ? m->at_us : clear_us;
}
