/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's clock. Randomness comes from getrandom in blocks, one block a thread, because jitter is drawn
 * for every retry and a system call each would show in the profile.
 */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

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

const struct clock *
clock_real(void)
{
	static const struct clock real = {real_wall, real_mono, real_random, NULL};

	return &real;
}
