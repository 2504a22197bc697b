/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's clock. Randomness comes from getrandom in blocks, one block a thread, because jitter is drawn
 * for every retry and a system call each would show in the profile.
 */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/timex.h>
#include <time.h>

enum { STEP_LEAST_US = 2000000 };

static int64_t
read_us(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		abort(); /* only with a bad clock id: we are wrong */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t
real_wall(void *arg)
{
	return read_us(CLOCK_REALTIME);
}

static int64_t
real_mono(void *arg)
{
	return read_us(CLOCK_MONOTONIC);
}

static uint32_t
real_random(void *arg)
{
	/* Rule zero: thread-local, not global; nothing but this function can see it. */
	static _Thread_local uint32_t block[64];
	static _Thread_local unsigned left;

	if (left == 0) {
		if (getrandom(block, sizeof(block), 0) != sizeof(block))
			return (uint32_t)read_us(CLOCK_MONOTONIC) * 2654435761u;
		left = sizeof(block) / sizeof(block[0]);
	}
	return block[--left];
}

bool
clock_is_adrift(void)
{
	struct timex t = {.modes = 0}; /* asks only */

	return adjtimex(&t) >= 0 && (t.status & STA_UNSYNC) != 0;
}

int64_t
clock_watch_now(struct clock_watch *w, const struct clock *c, int64_t *out_step_us)
{
	int64_t now_us = clock_now(c), lead_us = now_us - clock_mono(c);
	int64_t step_us = w->has_lead ? lead_us - w->lead_us : 0;

	w->lead_us = lead_us;
	w->has_lead = true;
	*out_step_us = step_us <= -STEP_LEAST_US || step_us >= STEP_LEAST_US ? step_us : 0;
	return now_us;
}

const struct clock *
clock_real(void)
{
	static const struct clock real = {real_wall, real_mono, real_random, NULL};

	return &real;
}
