/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_SKEWED_CLOCK_H
#define TESTS_UNIT_SKEWED_CLOCK_H
/* skewed_clock - the real clock and its random numbers, ahead by as much as the test says */
#include "base/clock.h"

static const int64_t second_us = 1000000;
static int64_t skew_us;

static int64_t
skewed_wall(void *arg)
{
	return clock_now(clock_real()) + skew_us;
}

static int64_t
skewed_mono(void *arg)
{
	return clock_mono(clock_real()) + skew_us;
}

static uint32_t
skewed_random(void *arg)
{
	return clock_random(clock_real());
}

static const struct clock skewed_clock = {skewed_wall, skewed_mono, skewed_random, NULL};
#endif
