/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a moment is quiet is asked of the clock on the wall alone; when that ends is found by asking at
 * each moment at which anything can change: a window's beginning or end, or a change of the clocks. So there
 * is one rule, and no second one for the end that could disagree with it.
 *
 * Invariant: each step goes forward, and a window has two of them a day, so the walk is short.
 */
#include "queue_hours.h"

#include "queue_retry.h"

#include <assert.h>

#define MINUTE_US (INT64_C(60) * 1000000)
#define DAY_US    (QUEUE_HOURS_DAY_MIN * MINUTE_US)

/* The offset at t, and in *out_until_us when it ends. */
static int64_t
offset_us(const struct queue_hours_zone *z, int64_t t_us, int64_t *out_until_us)
{
	uint32_t low = 0, high = z->count;

	/* The first change after t. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (z->changes[middle].from_us <= t_us)
			low = middle + 1;
		else
			high = middle;
	}
	*out_until_us = low < z->count ? z->changes[low].from_us : INT64_MAX;
	if (z->count == 0)
		return 0;
	return z->changes[low > 0 ? low - 1 : 0].offset_s * INT64_C(1000000);
}

/* Days since a Monday long ago. */
static int64_t
day_of(int64_t local_us)
{
	const int64_t epoch_us = local_us + 3 * DAY_US; /* 1970 began on a Thursday */

	return epoch_us / DAY_US - (epoch_us % DAY_US < 0);
}

static bool
begins_on(const struct queue_hours_window *w, int64_t day)
{
	return (w->days >> ((day % 7 + 7) % 7) & 1) != 0;
}

static bool
is_inside(const struct queue_hours_window *w, int64_t t_us)
{
	int64_t until_us, local_us = t_us + offset_us(w->zone, t_us, &until_us), day = day_of(local_us);
	int64_t minute = (local_us - (day - 3) * DAY_US) / MINUTE_US;

	assert(minute >= 0 && minute < QUEUE_HOURS_DAY_MIN);
	if (w->from_min < w->to_min)
		return begins_on(w, day) && minute >= w->from_min && minute < w->to_min;
	return (begins_on(w, day) && minute >= w->from_min) || (begins_on(w, day - 1) && minute < w->to_min);
}

/* The next moment after t at which is_inside() may answer otherwise. */
static int64_t
next_step(const struct queue_hours_window *w, int64_t t_us)
{
	const uint16_t ends[] = {w->from_min, w->to_min};
	int64_t next_us, offset = offset_us(w->zone, t_us, &next_us), local_us = t_us + offset;

	for (int i = 0; i < 2; i++) {
		int64_t at_us = (day_of(local_us) - 3) * DAY_US + ends[i] * MINUTE_US;

		if (at_us <= local_us)
			at_us += DAY_US;
		if (at_us - offset < next_us)
			next_us = at_us - offset;
	}
	assert(next_us > t_us);
	return next_us;
}

static bool
is_quiet(const struct queue_hours *h, int64_t t_us)
{
	for (uint32_t i = 0; i < h->count; i++)
		if (is_inside(&h->windows[i], t_us))
			return true;
	return false;
}

bool
queue_hours_quiet(const struct queue_hours *h, int64_t now_us, int64_t *out_until_us)
{
	const int64_t last_us = queue_retry_add(now_us, QUEUE_HOURS_AHEAD_DAYS * DAY_US);
	const bool is = is_quiet(h, now_us);
	int64_t t_us = now_us;

	assert(now_us >= 0);
	for (uint32_t i = 0; i < h->count; i++) {
		const struct queue_hours_window *w = &h->windows[i];

		assert(w->from_min < QUEUE_HOURS_DAY_MIN && w->to_min > 0 &&
			w->to_min <= QUEUE_HOURS_DAY_MIN);
		assert(w->from_min != w->to_min);
	}
	do {
		int64_t next_us = last_us;

		for (uint32_t i = 0; i < h->count; i++) {
			int64_t step_us = next_step(&h->windows[i], t_us);

			next_us = step_us < next_us ? step_us : next_us;
		}
		t_us = next_us;
	} while (t_us < last_us && is_quiet(h, t_us) == is);
	*out_until_us = t_us;
	return is;
}
