/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thresholds of reply rules are small numbers, "5 in 1h", for which keeping the times is both exact and
 * smaller than any cleverness: the n-th hit counts when the (n-1)-th before it is younger than the window.
 * Larger ones are counted in slices, which errs to the side of acting.
 *
 * Invariants: no time kept is later than the last `now`; slices hold what happened since `at_us` and in the
 * QUEUE_HITS_EXACT slices before it.
 */
#include "queue_hits.h"

#include <assert.h>
#include <string.h>

void
queue_hits_init(struct queue_hits *h, uint32_t want, int64_t window_us)
{
	assert(want >= 1 && want <= QUEUE_HITS_MAX);
	assert(window_us >= QUEUE_HITS_EXACT);
	*h = (struct queue_hits){.want = want, .window_us = window_us};
	queue_hits_clear(h);
}

void
queue_hits_clear(struct queue_hits *h)
{
	h->next = 0;
	h->at_us = INT64_MIN;
	memset(h->slices, 0, sizeof(h->slices));
	if (h->want > QUEUE_HITS_EXACT)
		return;
	for (uint32_t i = 0; i < QUEUE_HITS_EXACT; i++)
		h->times_us[i] = INT64_MIN;
}

/* now - then without overflow; INT64_MIN is longer ago than anything. */
static int64_t
age(int64_t then_us, int64_t now_us)
{
	int64_t us;

	if (then_us == INT64_MIN || __builtin_sub_overflow(now_us, then_us, &us))
		return INT64_MAX;
	return us;
}

static bool
add_time(struct queue_hits *h, int64_t now_us)
{
	int64_t oldest;

	for (uint32_t i = 0; i < h->want && now_us < h->at_us; i++)
		if (h->times_us[i] > now_us)
			h->times_us[i] = now_us;
	h->at_us = now_us;
	h->times_us[h->next] = now_us;
	h->next = (h->next + 1) % h->want;
	oldest = h->times_us[h->next];
	return age(oldest, now_us) < h->window_us;
}

/* Moves the present slice on to the one that now_us is in. */
static void
turn_to(struct queue_hits *h, int64_t now_us)
{
	const uint32_t count = QUEUE_HITS_EXACT + 1;
	int64_t slice_us = (h->window_us + QUEUE_HITS_EXACT - 1) / QUEUE_HITS_EXACT, steps;

	if (h->at_us == INT64_MIN || now_us < h->at_us)
		h->at_us = now_us;
	steps = age(h->at_us, now_us) / slice_us;
	for (int64_t i = 0; i < steps && i < count; i++) {
		h->next = (h->next + 1) % count;
		h->slices[h->next] = 0;
	}
	h->at_us = steps < count ? h->at_us + steps * slice_us : now_us;
}

static bool
add_slice(struct queue_hits *h, int64_t now_us)
{
	uint64_t sum = 0;

	turn_to(h, now_us);
	if (h->slices[h->next] < QUEUE_HITS_MAX)
		h->slices[h->next]++;
	for (uint32_t i = 0; i <= QUEUE_HITS_EXACT; i++)
		sum += h->slices[i];
	return sum >= h->want;
}

bool
queue_hits_add(struct queue_hits *h, int64_t now_us)
{
	assert(h->want >= 1 && h->want <= QUEUE_HITS_MAX);
	assert(h->next <= QUEUE_HITS_EXACT);
	return h->want <= QUEUE_HITS_EXACT ? add_time(h, now_us) : add_slice(h, now_us);
}
